/* SPDX-License-Identifier: MIT */
#include "sample/sample_draw.h"

#include "base/philox.h"
#include "base/size.h"
#include "sample/sample_select.h"

/* Nothing is left out: no list and no sorting, the row in the order of tokens; first to the right block of sums. */
static int32_t draw_from_row(struct tw_sampler *s, const struct tw_scaled_row *r, double u)
{
    double total = 0, sum = 0;
    size_t n_sums = tw_ceil_div(s->n_vocab, TW_SUM_BLOCK), last = 0, block = 0;
    s->kernels->softmax_weights(s->weights, s->sums, r->x, s->n_vocab, r->max, r->scale);
    for (size_t i = 0; i < n_sums; i++) {
        total += s->sums[i];
        block = s->sums[i] > 0 ? i : block; /* the last one with any weight */
    }
    for (size_t i = 0; i < block; i++) {
        if (u * total < sum + s->sums[i]) {
            block = i;
            break;
        }
        sum += s->sums[i];
    }
    size_t end = tw_min_size(s->n_vocab, (block + 1) * TW_SUM_BLOCK);
    for (size_t i = block * TW_SUM_BLOCK; i < end; i++) {
        sum += (double)s->weights[i];
        if (s->weights[i] > 0) {
            last = i;
            if (u * total < sum) {
                break;
            }
        }
    }
    return (int32_t)last;
}

static double total_of(const float *w, size_t n)
{
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        total += (double)w[i];
    }
    return total;
}

/* Place of a draw among n weights. */
static size_t draw_from_list(const float *w, size_t n, double u)
{
    double total = total_of(w, n), sum = 0;
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)w[i];
        if (w[i] > 0) {
            last = i;
            if (u * total < sum) {
                return i;
            }
        }
    }
    return last; /* u * total was rounded up to the total */
}

/* The best of `times` draws has a place of at least r with the probability (tail of r / total) ^ times: one
 * number finds it. */
static size_t draw_best(const float *w, size_t n, size_t times, double u)
{
    double total = total_of(w, n), tail = total;
    size_t i = 0;
    for (; i + 1 < n; i++) {
        double power = 1;
        tail -= (double)w[i];
        for (size_t j = 0; j < times; j++) {
            power *= tail / total;
        }
        if (!(power > u)) {
            break;
        }
    }
    return i;
}

/* Exclude top choices: how many of the n most probable tokens are passed over. */
static size_t exclude_top(const struct tw_sample_params *p, const float *w, size_t n, double u)
{
    double total = total_of(w, n);
    size_t above = 0;
    if (u >= p->xtc_probability) {
        return 0;
    }
    while (above < n && (double)w[above] >= p->xtc_threshold * total) {
        above++;
    }
    return above > 1 ? above - 1 : 0;
}

int32_t tw_draw_token(struct tw_sampler *s, const struct tw_sample_params *p, const struct tw_scaled_row *r,
                      struct tw_draw_manner manner, size_t position)
{
    struct tw_philox_stream stream;
    tw_philox_stream_init(&stream, p->seed, position);
    double u = tw_philox_double(&stream), u_xtc = tw_philox_double(&stream);
    if (!tw_filter_any(p) && !(p->xtc_probability > 0) && manner.best_of <= 1 && !manner.again) {
        return draw_from_row(s, r, u);
    }
    size_t n = tw_filter_keep(s, p, r), skipped = exclude_top(p, s->weights, n, u_xtc);
    const struct tw_candidate *c = s->candidates[0] + skipped;
    float *w                     = s->weights + skipped;
    n -= skipped;
    if (manner.best_of > 1) {
        return c[draw_best(w, n, manner.best_of, u)].token;
    }
    size_t place = draw_from_list(w, n, u);
    if (manner.again && n > 1) {
        w[place] = 0;
        place    = draw_from_list(w, n, tw_philox_double(&stream));
    }
    return c[place].token;
}
