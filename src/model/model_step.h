/* SPDX-License-Identifier: MIT */
/* One step of work for a replica: rows (tokens) of any number of sequences, without padding. The scheduler
 * fills it, every device of the replica reads it. */
#ifndef TW_MODEL_STEP_H
#define TW_MODEL_STEP_H

#include <stddef.h>
#include <stdint.h>

#include "model/model_site.h"

/* Consecutive tokens of one sequence. */
struct tw_segment {
    size_t row;            /* first row in the step */
    size_t n_rows;         /* >= 1 */
    size_t position;       /* of the first row in its sequence */
    const uint32_t *pages; /* KV pages of positions 0 .. position + n_rows - 1 */
};

/* A site to capture; all devices write their columns into `rows`. */
struct tw_capture {
    struct tw_site site;
    size_t width;
    float *rows; /* [step rows, width] */
};

struct tw_step {
    size_t n_rows;
    const int32_t *tokens;       /* [n_rows] */
    const uint32_t *row_segment; /* [n_rows] index into segments */
    size_t n_segments;
    struct tw_segment *segments; /* in row order, covering all rows */
    size_t n_logit_rows;
    const uint32_t *logit_rows; /* ascending rows whose logits are wanted */
    float *logits;              /* [n_logit_rows, vocab] */
    size_t n_captures;
    struct tw_capture *captures;
};

#endif /* TW_MODEL_STEP_H */
