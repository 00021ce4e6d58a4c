#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# clang-tidy with the list in .clang-tidy, and a build with clang with warnings as errors. CMake runs both for
# each file, so a second start only sees what changed.
source "$(dirname "${BASH_SOURCE[0]}")/lint_common.sh"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
config=$(sha256sum .clang-tidy src/*/.clang-tidy)
if [ "$(cat build/tidy/config 2>/dev/null)" != "$config" ]; then
    rm -rf build/tidy
fi
if ! cmake --preset tidy >"$log" 2>&1; then
    cat "$log"
    exit 1
fi
printf '%s\n' "$config" >build/tidy/config
if ! ninja -C build/tidy -k 0 --quiet modules >"$log" 2>&1; then
    grep -E '(error|warning):|FAILED' "$log" | sort -u | head -100
    exit 1
fi
