#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A file's name says where it is: unique in the tree (public headers are told apart by their folder), and led by
# its module below src/ and apps/ (base and tensor are named by their nouns alone). Pages link to files that are there.
source "$(dirname "${BASH_SOURCE[0]}")/lint_common.sh"
unique()
{
    tree_files 'src/*.[ch]' 'apps/*.[ch]' 'cli/*.[ch]' 'tests/*.[ch]' 'bench/*.c' | awk -F/ '
        $NF in seen { print $0 ": the name is taken by " seen[$NF] }
        { seen[$NF] = $0 }'
}
led_by_module()
{
    tree_files 'src/*.[ch]' 'apps/*.[ch]' | awk -F/ '
        $1 == "src" && $2 ~ /^(base|tensor)$/ { next }
        $NF !~ "^" $2 "[_.]" { print $0 ": the name does not begin with " $2 }'
}
links()
{
    tree_files '*.md' | while read -r page; do
        grep -oE '\]\([^) ]+\)' "$page" | sed 's/^](//; s/)$//; s/#.*//; /:/d; /^$/d' | while read -r target; do
            if [ ! -e "$(dirname "$page")/$target" ]; then
                echo "$page: links to $target, which is not there"
            fi
        done
    done
}
report unique
report led_by_module
report links
exit $findings
