#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Files of at most 600 lines, functions of at most 120; exceptions, each with its reason, are in
# scripts/size_exceptions.txt as: path[:function] reason.
source "$(dirname "${BASH_SOURCE[0]}")/lint_common.sh"
excepted()
{
    grep -q "^$1 " scripts/size_exceptions.txt
}
check()
{
    tree_files 'src/*' 'apps/*' 'cli/*' 'include/*' 'tests/*.[ch]' 'tests/*.sh' 'tests/*.py' 'bench/*.c' \
        'scripts/*.sh' 'scripts/*.py' x | grep -E '(\.[ch]|\.sh|\.py|^x)$' |
        xargs awk '
            FNR == 1 && NR > 1 { if (lines > 600) { print file, lines, "lines, at most 600" } }
            { file = FILENAME; lines = FNR }
            /^[a-z].*\(/ && !/;$/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
            /^{/ { start = FNR }
            /^}/ && start {
                if (FNR - start - 1 > 120) { print file ":" name, FNR - start - 1, "lines, at most 120" }
                start = 0
            }
            END { if (lines > 600) { print file, lines, "lines, at most 600" } }' |
        while read -r what rest; do
            if ! excepted "$what"; then
                printf '%s: %s\n' "$what" "$rest"
            fi
        done
    # an exception that is no longer needed goes
    sed -n 's/^\([^# :]*\)[: ].*/\1/p' scripts/size_exceptions.txt | while read -r file; do
        if [ ! -f "$file" ]; then
            printf 'scripts/size_exceptions.txt: %s is not there any more\n' "$file"
        fi
    done
}
report check
exit $findings
