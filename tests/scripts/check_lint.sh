#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The lint scripts find what they are there to find: each planted fault in a small tree is reported, on its line,
# and the tree without the faults passes.
set -euo pipefail
if ! command -v git >/dev/null || ! command -v g++ >/dev/null; then
    echo "skipped: git and g++ are needed (./x deps lint)"
    exit 77
fi
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp -r "$TRAWL_SOURCE/scripts" "$tree/"
cp "$TRAWL_SOURCE/.clang-format" "$tree/"
cd "$tree"
git init -q .
mkdir -p src/base src/json src/text apps/arc cli include/trawl
spdx='/* SPDX-License-Identifier: MIT */'
printf '%s\nint tw_one(void);\n' "$spdx" >src/base/base_one.h
printf '%s\n#include "base/base_one.h"\n\nint tw_one(void)\n{\n    return 1;\n}\n' "$spdx" >src/base/base_one.c
printf '%s\nint trawl_one(void);\n' "$spdx" >include/trawl/one.h
rm -f scripts/size_exceptions.txt && touch scripts/size_exceptions.txt

failures=0
expect() # LINT WORDS: the script fails and says the words
{
    local text
    if text=$(bash "scripts/lint_$1.sh" 2>&1); then
        echo "lint $1 passed, expected: $2"
        failures=$((failures + 1))
    elif ! grep -qF -- "$2" <<<"$text"; then
        printf 'lint %s did not say "%s" but:\n%s\n' "$1" "$2" "$text"
        failures=$((failures + 1))
    fi
}
plant() # FILE LINES...: a file with the licence line
{
    local file=$1
    shift
    { echo "$spdx" && printf '%b\n' "$@"; } >"$file"
}
for name in style names size deps headers; do
    bash "scripts/lint_$name.sh" || { echo "lint $name fails on a clean tree" && exit 1; }
done

plant src/json/json_a.c '#include "text/text_b.h"'
expect deps 'src/json/json_a.c:2: json may not include text/text_b.h'
plant src/json/json_a.c '#include "json_a.h"'
expect deps 'src/json/json_a.c:2: write the include as "module/file.h"'
plant apps/arc/arc_a.c '#include "engine/engine.h"'
expect deps 'apps/arc/arc_a.c:2: app_arc may not include engine/engine.h'
cp scripts/deps.txt deps.saved
sed -i 's/^base:.*/base: json/' scripts/deps.txt
expect deps 'base names json, which is not above it'
mv deps.saved scripts/deps.txt
rm src/json/json_a.c apps/arc/arc_a.c

plant src/text/text_b.h 'size_t tw_b(void);'
expect headers "unknown type name"
plant include/trawl/two.h 'int trawl_two(int class);'
expect headers "two.h"
rm src/text/text_b.h include/trawl/two.h

for fault in 'int\ta;' 'int a; ' 'char *a = malloc(3);' 'char *a = strcpy(b, c);' 'void f(void) { printf("x"); }' \
    'void f(void) { exit(1); }' "/* TO""DO later */" "const char *p = \"/ho""me/me\";"; do
    plant src/json/json_a.c "$fault"
    expect style 'src/json/json_a.c:2:'
done
echo 'int a;' >src/json/json_a.c
expect style 'src/json/json_a.c:1: no SPDX line'
printf '%s' "$spdx" >src/json/json_a.c
expect style 'no newline at the end'
rm src/json/json_a.c

plant src/text/base_one.c
expect names 'src/text/base_one.c: the name is taken by src/base/base_one.c'
expect names 'does not begin with text'
rm src/text/base_one.c
echo '[one](nowhere.md) [two](src/base) [three](https://example.org)' >page.md
expect names 'page.md: links to nowhere.md'
[ "$(bash scripts/lint_names.sh | wc -l)" -eq 1 ] || { echo "a good link is reported" && failures=$((failures + 1)); }
rm page.md

{ echo "$spdx" && echo 'int f(void)' && echo '{' && seq 130 | sed 's/.*/    ;/' && echo '}'; } >src/json/json_a.c
expect size 'src/json/json_a.c:f: 130 lines, at most 120'
{ echo "$spdx" && seq 700 | sed 's/.*/int a;/'; } >src/json/json_a.c
expect size 'src/json/json_a.c: 701 lines, at most 600'
echo 'src/json/json_a.c a table' >scripts/size_exceptions.txt
bash scripts/lint_size.sh || { echo "an excepted file is reported" && failures=$((failures + 1)); }

echo "$failures failures"
[ "$failures" -eq 0 ]
