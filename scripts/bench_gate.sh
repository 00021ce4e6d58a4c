#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Instructions that prefill, decode and harvest of a small generated model take, beside those stored in
# bench/gate.json: fails when one grew by more than 3 %. Counts do not feel other processes, so a change of a
# per cent shows where a clock would not.
#
#   ./x bench gate             compare
#   ./x bench gate --update    store what is measured now
#
# Every figure is the difference between two runs, one of twice the work of the other: start-up, loading and
# packing fall out. Counted by valgrind, which knows no AVX-512: with TRAWL_ISA=avx2, or scalar where there is
# no AVX2. Counts of another compiler or machine kind are not comparable: then nothing is compared (exit 77).
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
trawl=${TRAWL:-$source_dir/build/release/trawl}
stored=$source_dir/bench/gate.json
python=${TRAWL_PYTHON:-python3}
update=
case ${1:-} in
'') ;;
--update) update=1 ;;
*)
    echo "bench gate: unknown argument $1 (--update)" >&2
    exit 2
    ;;
esac
if ! command -v valgrind >/dev/null; then
    echo "bench gate: valgrind is not installed; nothing was compared"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" "$source_dir/tests/golden/make_model.py" "$work/model" --hidden 128 --intermediate 256 --layers 2 \
    --heads 8 --kv_heads 2 --vocab 1024

export TRAWL_ISA=avx2
if ! "$trawl" info | grep -q '^ *isa  *avx2'; then
    export TRAWL_ISA=scalar
fi

# rows COUNT LENGTH MAX_TOKENS: prompts of token ids for generate
rows()
{
    "$python" -c '
import json, sys
count, length, most = map(int, sys.argv[1:])
for i in range(count):
    print(json.dumps({"tokens": [(i * 389 + j * 97) % 1024 for j in range(length)], "max_tokens": most, "ignore_eos": True}))
' "$@"
}

# count ARGUMENTS...: instructions of one run of the command with one thread
count()
{
    if ! valgrind --tool=callgrind --callgrind-out-file="$work/profile" "$trawl" "$@" --quiet --threads 1 \
        --model_path "$work/model" >"$work/out" 2>"$work/log"; then
        tail -5 "$work/log" >&2
        echo "bench gate: trawl $1 failed under valgrind" >&2
        exit 1
    fi
    sed -n 's/^totals: //p' "$work/profile"
}

generate() # COUNT LENGTH MAX_TOKENS
{
    rows "$@" >"$work/rows.jsonl"
    count generate --prompts_file "$work/rows.jsonl" --output_filepath "$work/answers.jsonl" --batch_size 4 \
        --prompt_lookup_num_tokens 0
}

harvest() # COUNT
{
    rows "$1" 64 1 | "$python" -c 'import json, sys; print(json.dumps([json.loads(l)["tokens"] for l in sys.stdin]))' \
        >"$work/tokens.json"
    count trace --tokens "$work/tokens.json" --sites 'blocks.*.hook_resid_post' --out "$work/trace.safetensors"
}

measure() # NAME LESS MORE
{
    echo "$1 $(($3 - $2))"
}
{
    measure prefill "$(generate 2 128 1)" "$(generate 4 128 1)"
    measure decode "$(generate 4 16 16)" "$(generate 4 16 48)"
    measure harvest "$(harvest 2)" "$(harvest 4)"
} >"$work/counts"

compiler=$("$trawl" info | sed -n 's/^ *compiler *//p')
"$python" - "$work/counts" "$stored" "$compiler" "$(uname -m) $TRAWL_ISA" "$update" <<'PYTHON'
import json, pathlib, sys

counts, stored, compiler, machine, update = sys.argv[1:]
now = {name: int(n) for name, n in (line.split() for line in open(counts))}
stored = pathlib.Path(stored)
if update:
    stored.write_text(json.dumps({"compiler": compiler, "machine": machine, "instructions": now}, indent=2) + "\n")
    print(f"bench gate: {stored.name} holds {now}")
    sys.exit()
before = json.loads(stored.read_text())
if (before["compiler"], before["machine"]) != (compiler, machine):
    print(f"bench gate: the stored counts are of {before['compiler']} on {before['machine']}, this is {compiler} on "
          f"{machine}; nothing was compared")
    sys.exit(77)
worse = 0
for name, n in now.items():
    change = 100 * (n / before["instructions"][name] - 1)
    verdict = "FAILED: over +3 %" if change > 3 else "ok" if change > -3 else "better: store it with --update"
    worse += change > 3
    print(f"bench gate: {name:8} {n:>12,} instructions, {change:+6.2f} %  {verdict}")
sys.exit(bool(worse))
PYTHON
