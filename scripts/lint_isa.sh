#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# No object of src, apps or cli but *_avx2, *_avx512 and *_avx512bf16 contains an instruction on ymm or zmm
# registers, and the latter define no function that another object could pick up by accident.
#     scripts/lint_isa.sh [BUILD_FOLDER]
source "$(dirname "${BASH_SOURCE[0]}")/lint_common.sh"
build=${1:-build/release}
objects()
{
    find "$build" -name '*.c.o' \( -path '*/src/*' -o -path '*/apps/*' -o -path '*/cli/*' \)
}
if [ "$(uname -m)" != x86_64 ]; then
    echo "not x86-64: nothing to check"
    exit 77
fi
if [ -z "$(objects)" ]; then
    echo "$build: no objects; build first"
    exit 1
fi
wide_registers()
{
    objects | grep -vE '_avx(2|512|512bf16)\.c\.o$' | sort | while read -r object; do
        objdump -d --no-show-raw-insn "$object" | awk -v object="$object" '
            /^[0-9a-f]+ <.*>:$/ { name = $2 }
            /%[yz]mm[0-9]/ { print object ": " name " " $0; exit }'
    done
}
# Weak and common symbols of an ISA object may be linked in place of a plain one.
shared_symbols()
{
    objects | grep -E '_avx(2|512|512bf16)\.c\.o$' | sort | while read -r object; do
        nm --defined-only "$object" | awk -v object="$object" '
            $2 ~ /^[WVCu]$/ || ($2 ~ /^[TDBR]$/ && $3 !~ /_avx(2|512|512bf16)$/ && $3 !~ /^(__)?(asan|ubsan|tsan|gcov|sancov)/) {
                print object ": symbol " $3 " (" $2 ") is visible and does not end in the name of its ISA" }'
    done
}
report wide_registers
report shared_symbols
exit $findings
