/* SPDX-License-Identifier: MIT */
/* A draw from a row. */
#ifndef TW_SAMPLE_DRAW_H
#define TW_SAMPLE_DRAW_H

#include "sample/sample_filter.h"

/* How a draw departs from the plain one. */
struct tw_draw_manner {
    size_t best_of; /* the most probable of that many draws; 0, 1: one draw */
    bool again;     /* put the token drawn aside and draw another one, if there is another one */
};

int32_t tw_draw_token(struct tw_sampler *s, const struct tw_sample_params *p, const struct tw_scaled_row *r,
                      struct tw_draw_manner manner, size_t position);

#endif /* TW_SAMPLE_DRAW_H */
