#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What a regular expression can see: blanks, invisible characters, functions that are not used here, unfinished
# marks, paths of somebody's machine, the licence line.
source "$(dirname "${BASH_SOURCE[0]}")/lint_common.sh"
mapfile -t text < <(tree_files '*.[ch]' '*.md' '*.sh' '*.py' '*.cmake' '*CMakeLists.txt' '*.json' x .ci/run |
    grep -vE '^(tests/(golden|fuzz/corpus|[a-z]*/data)|examples)/.*\.json$')
mapfile -t code < <(tree_files '*.[ch]' '*.sh' '*.py' '*.cmake' '*CMakeLists.txt' x .ci/run)
mapfile -t product < <(tree_files 'src/*.[ch]' 'apps/*.[ch]' 'cli/*.[ch]')
# base/error.c ends the process on a broken invariant; nothing else does
mapfile -t library < <(tree_files 'src/*.[ch]' 'apps/*.[ch]' | grep -vx src/base/error.c)
mapfile -t beyond_base < <(printf '%s\n' "${product[@]}" | grep -v '^src/base/')

no() # WHAT PATTERN FILES...: report lines that match
{
    report sh -c 'what=$1 pattern=$2; shift 2; grep -nHP -- "$pattern" "$@" | sed "s|\$|    <- $what|"' sh "$@"
}
not_called='(?<![\w.>])'
no "tab" '\t' "${text[@]}"
no "trailing blank" '[ \t\r]$' "${text[@]}"
no "invisible character" '\x{00A0}|\x{00AD}|\x{180E}|[\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}\x{FEFF}]' "${text[@]}"
no "banned function" "$not_called(strcpy|strcat|sprintf|vsprintf|strtok|gets|atoi|atol|atof|rand|srand|alloca)\s*\(" \
    "${product[@]}"
no "memory goes through base/alloc.h" "$not_called(malloc|calloc|realloc|free|strdup)\s*\(" "${beyond_base[@]}"
no "the library neither exits nor prints" "$not_called(_?exit|abort|v?f?printf|puts|fputs|putchar|perror)\s*\(" \
    "${library[@]}"
no "unfinished" '\b(TO''DO|FIX''ME|X''XX|HA''CK)\b' "${text[@]}"
no "path of one machine" '(?<![\w.$}])/(ro''ot|ho''me|wo''rk|Us''ers)/' "${text[@]}"

ends_with_newline()
{
    for file in "${text[@]}"; do
        if [ -s "$file" ] && [ "$(tail -c1 "$file" | wc -l)" -eq 0 ]; then
            echo "$file: no newline at the end"
        fi
    done
}
licence()
{
    for file in "${code[@]}"; do
        if ! head -n 2 "$file" | grep -q 'SPDX-License-Identifier: MIT'; then
            echo "$file:1: no SPDX line"
        fi
    done
}
report ends_with_newline
report licence
exit $findings
