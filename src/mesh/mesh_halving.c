/* SPDX-License-Identifier: MIT */
#include "mesh/mesh_halving.h"

#include "base/size.h"

struct tw_range tw_mesh_halving(size_t n_units, int parts, int part)
{
    struct tw_range r = {0, n_units};
    for (int half = parts / 2; half >= 1; half /= 2) {
        /* One unit, or none, goes to the left whole: the right half is then empty. */
        size_t middle = r.end - tw_range_size(r) / 2;
        if (part & half) {
            r.begin = middle;
        } else {
            r.end = middle;
        }
    }
    return r;
}

struct tw_range tw_mesh_halving_clipped(size_t n, size_t unit, int parts, int part)
{
    struct tw_range r = tw_mesh_halving(tw_ceil_div(n, unit), parts, part);
    return (struct tw_range){tw_min_size(r.begin * unit, n), tw_min_size(r.end * unit, n)};
}
