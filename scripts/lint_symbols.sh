#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/symbols.txt, the functions that the public headers declare, and what libtrawl.so exports are one list.
source "$(dirname "${BASH_SOURCE[0]}")/lint_common.sh"
listed()
{
    sed -n 's/^\(trawl_[a-z0-9_]*\) .*/\1/p' scripts/symbols.txt | sort
}
declared()
{
    # a declaration may be broken over lines: join up to the parenthesis
    cat include/trawl/*.h | tr '\n' ' ' | grep -oE 'TRAWL_API [^;(]*\(' | grep -oE 'trawl_[a-z0-9_]+ *\($' |
        tr -d ' (' | sort
}
exported()
{
    nm -D --defined-only build/release/libtrawl.so | awk '{ print $3 }' | sort
}
compare() # WHAT FUNCTION
{
    diff <(listed) <("$2") | sed -n "s|^< \(.*\)|scripts/symbols.txt: \1 is listed but not $1|p
        s|^> \(.*\)|scripts/symbols.txt: \1 is $1 but not listed|p"
}
report compare "declared in include/trawl" declared
if log=$(ninja -C build/release trawl_shared 2>&1); then
    report compare "exported by libtrawl.so" exported
else
    printf '%s\n' "$log" | tail -5
    findings=1
fi
exit $findings
