#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `cmake --install` leaves is enough to build a program against the shared and the static library.
set -euo pipefail
if grep -q '^TRAWL_SANITIZE:STRING=.' "$TRAWL_BUILD/CMakeCache.txt"; then
    echo "skipped: a library built with a sanitizer is not for installing"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$TRAWL_BUILD" --prefix "$work/usr" >"$work/log" || { cat "$work/log" && exit 1; }
cat >"$work/program.c" <<'C'
#include <stdio.h>
#include <trawl/status.h>

int main(void)
{
    puts(trawl_status_name(TRAWL_ERR_FORMAT));
    return 0;
}
C
pc=$(find "$work/usr" -name trawl.pc)
export PKG_CONFIG_PATH=${pc%/*}
pkg_config()
{
    pkg-config --define-variable=prefix="$work/usr" "$@" trawl
}
lib=$(pkg_config --variable=libdir)
# shellcheck disable=SC2046  # flags are words
gcc -o "$work/shared" "$work/program.c" $(pkg_config --cflags --libs)
# shellcheck disable=SC2046
gcc -o "$work/static" "$work/program.c" $(pkg_config --cflags) "$lib/libtrawl.a" \
    $(pkg_config --static --libs | sed 's/-ltrawl//')
[ "$(LD_LIBRARY_PATH=$lib "$work/shared")" = format ]
[ "$("$work/static")" = format ]
ldd "$work/static" | grep -q libtrawl && exit 1
[ -x "$work/usr/bin/trawl" ]
"$work/usr/bin/trawl" --version | grep -qF "$(pkg_config --modversion)"
