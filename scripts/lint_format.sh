#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every C file is formatted as .clang-format says (version 14). --fix: write the files.
source "$(dirname "${BASH_SOURCE[0]}")/lint_common.sh"
mapfile -t files < <(tree_files '*.c' '*.h')
if [ "${1:-}" = --fix ]; then
    exec clang-format-14 -i "${files[@]}"
fi
printf '%s\0' "${files[@]}" | xargs -0 -n 8 -P 2 clang-format-14 --dry-run --Werror
