#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What a user of the library has: an installed prefix, moved elsewhere, is found by pkg-config; the program at the top of
# trawl.h compiles as C99 and as C++11, and an example against the shared and the static library; all of them run.
set -u
: "${TRAWL_BUILD:?the build folder}" "${TRAWL_SOURCE:?the tree}" "${TRAWL:?the command}"
for tool in pkg-config cc c++; do
    if ! command -v $tool >/dev/null; then
        echo "skipped: there is no $tool"
        exit 77
    fi
done
if grep -q '^TRAWL_SANITIZE:STRING=.' "$TRAWL_BUILD/CMakeCache.txt"; then
    echo "skipped: a sanitizer's library wants its runtime in the program"
    exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0
check() # WHAT COMMAND...
{
    local what=$1
    shift
    if ! "$@" >"$tmp/log" 2>&1; then
        echo "FAILED: $what"
        cat "$tmp/log"
        failed=1
    fi
}

check "cmake --install" cmake --install "$TRAWL_BUILD" --prefix "$tmp/first" --component library
mv "$tmp/first" "$tmp/prefix"
pc=$(find "$tmp/prefix" -name trawl.pc)
export PKG_CONFIG_PATH=${pc%/trawl.pc}
export LD_LIBRARY_PATH=${PKG_CONFIG_PATH%/pkgconfig}
flags=(-O1 -Wall -Wextra -Werror -pedantic)
read -ra shared <<<"$(pkg-config --cflags --libs trawl)"
read -ra static <<<"$(pkg-config --cflags --libs --static trawl | sed 's|-ltrawl|-l:libtrawl.a|')"
version=$(sed -n 's/^#define TRAWL_VERSION  *"\(.*\)"/\1/p' "$TRAWL_SOURCE/include/trawl/version.h")
check "the version of trawl.pc is $version" test "$(pkg-config --modversion trawl)" = "$version"

python3 "$TRAWL_SOURCE/tests/golden/make_model.py" "$tmp/model" --layers 2 --vocab 560 --eos 544 \
    --tokenizer "$TRAWL_SOURCE/tests/text/data/split"
program='/^ \*     #include <stdio.h>/,/^ \*     }$/'
sed -n "${program}p" "$TRAWL_SOURCE/include/trawl/trawl.h" | sed 's/^ \*     //; s/^ \*$//' >"$tmp/continue.c"
cp "$tmp/continue.c" "$tmp/continue.cc"
check "the program of trawl.h as C99" cc -std=c99 "${flags[@]}" -o "$tmp/continue" "$tmp/continue.c" "${shared[@]}"
check "the program of trawl.h as C++11" c++ -std=c++11 "${flags[@]}" -o "$tmp/continue++" "$tmp/continue.cc" "${shared[@]}"
check "an example" cc -std=c99 "${flags[@]}" -o "$tmp/shared" "$TRAWL_SOURCE/examples/generate.c" "${shared[@]}"
check "an example with the static library" cc -std=c99 "${flags[@]}" -o "$tmp/static" \
    "$TRAWL_SOURCE/examples/generate.c" "${static[@]}"

# 20 greedy tokens, end tokens as good as any other
printf '{"prompt": "The net goes down", "max_tokens": 20, "ignore_eos": true}\n' |
    "$TRAWL" generate --quiet --model_path "$tmp/model" --prompts_file - >"$tmp/answer.jsonl"
python3 - "$tmp/answer.jsonl" "$tmp/model" >"$tmp/want" <<'PYTHON'
import json, pathlib, sys
answer = json.loads(pathlib.Path(sys.argv[1]).read_text())
tokenizer = json.loads(pathlib.Path(sys.argv[2], "tokenizer.json").read_text())
own = [b for b in range(256) if 0x21 <= b <= 0x7e or 0xa1 <= b <= 0xac or 0xae <= b <= 0xff]
others = [b for b in range(256) if b not in own]
byte = {chr(b): b for b in own} | {chr(0x100 + i): b for i, b in enumerate(others)}
pieces = {i: bytes(byte[c] for c in piece) for piece, i in tokenizer["model"]["vocab"].items()}
pieces |= {t["id"]: t["content"].encode() for t in tokenizer["added_tokens"]}
sys.stdout.buffer.write(b"".join(pieces.get(i, b"") for i in answer["tokens"]) + b"\n")
PYTHON
for name in continue continue++; do
    "$tmp/$name" "$tmp/model" "The net goes down" >"$tmp/got"
    check "$name prints what trawl generate answers" cmp "$tmp/want" "$tmp/got"
    check "$name with a model that is not there" sh -c "! '$tmp/$name' '$tmp/nowhere' x 2>'$tmp/got'; grep nowhere '$tmp/got'"
done
"$TRAWL_BUILD/examples/generate" "$tmp/model" "The net" "crabs" >"$tmp/want"
for name in shared static; do
    "$tmp/$name" "$tmp/model" "The net" "crabs" >"$tmp/got"
    check "the example, linked $name, prints the same" cmp "$tmp/want" "$tmp/got"
done

# the name that programs look for, and no other names than those of the headers
soname=$(objdump -p "$tmp/shared" | sed -n 's/^ *NEEDED *\(libtrawl.*\)/\1/p')
check "programs need libtrawl.so.${version%.*}, not $soname" test "$soname" = "libtrawl.so.${version%.*}"
check "that file is installed" test -e "$LD_LIBRARY_PATH/$soname"
nm -D --defined-only "$LD_LIBRARY_PATH/$soname" | awk '{ print $3 }' | sort >"$tmp/got"
cat "$tmp"/prefix/include/trawl/*.h | tr '\n' ' ' | grep -oE 'TRAWL_API [^;(]*\(' | grep -oE 'trawl_[a-z0-9_]+ *\($' |
    tr -d ' (' | sort >"$tmp/want"
check "exported names are those that the headers declare" diff "$tmp/want" "$tmp/got"
exit $failed
