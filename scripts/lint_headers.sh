#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every header compiles alone; the public ones also as strict C99 and as C++11. Headers named for an ISA get its
# flags, as the files that include them do.
source "$(dirname "${BASH_SOURCE[0]}")/lint_common.sh"
flags=(-fsyntax-only -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-const-variable -I src -I include -I .)
alone()
{
    local isa=()
    case $1 in
    *_avx2.h) isa=(-mavx2 -mfma -mf16c) ;;
    *_avx512*.h) isa=(-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mavx512bf16 -mfma -mf16c) ;;
    src/kernels/x86/*) return ;; # templates: they mean something after a *_vec_<isa>.h, and are compiled there
    esac
    # -include, because a header given as the main file is warned about for its #pragma once and its guards
    echo 'typedef int not_an_empty_file;' | gcc -std=gnu11 -D_GNU_SOURCE "${flags[@]}" "${isa[@]}" -include "$1" -x c - 2>&1 |
        sed -n 1,12p
}
public()
{
    echo 'typedef int not_an_empty_file;' | gcc -std=c99 -pedantic-errors "${flags[@]}" -include "$1" -x c - 2>&1
    echo 'typedef int not_an_empty_file;' | g++ -std=c++11 -pedantic-errors "${flags[@]}" -include "$1" -x c++ - 2>&1
}
for header in $(tree_files 'src/*.h' 'apps/*.h' 'cli/*.h' 'include/*.h'); do
    report alone "$header"
done
for header in $(tree_files 'include/*.h'); do
    report public "$header"
done
exit $findings
