/* SPDX-License-Identifier: MIT */
#include "sample/sample_select.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/size.h"

void tw_select_blocks(struct tw_sampler *s, const float *x)
{
    for (size_t b = 0; b < s->n_blocks; b++) {
        size_t begin = b * TW_SAMPLE_BLOCK, index;
        float max;
        s->kernels->argmax(x + begin, tw_min_size(s->n_vocab - begin, TW_SAMPLE_BLOCK), &max, &index);
        s->block_max[b] = isnan(max) ? -INFINITY : max;
    }
}

/* Hoare's selection: the k-th largest (from 0) of the n numbers x, which are put in another order. */
static float select_nth(float *x, ptrdiff_t n, ptrdiff_t k)
{
    ptrdiff_t low = 0, high = n - 1;
    while (low < high) {
        float pivot = x[low + (high - low) / 2];
        ptrdiff_t i = low - 1, j = high + 1;
        for (;;) {
            do {
                i++;
            } while (x[i] > pivot);
            do {
                j--;
            } while (x[j] < pivot);
            if (i >= j) {
                break;
            }
            float t = x[i];
            x[i]    = x[j];
            x[j]    = t;
        }
        /* x[low .. j] >= pivot >= x[j + 1 .. high], and low <= j < high */
        if (k <= j) {
            high = j;
        } else {
            low = j + 1;
        }
    }
    return x[k];
}

/* Every block with such a maximum has a token that reaches it. */
float tw_select_threshold(struct tw_sampler *s, size_t k)
{
    if (k > s->n_blocks) {
        return -FLT_MAX;
    }
    memcpy(s->block_order, s->block_max, s->n_blocks * sizeof *s->block_order);
    return fmaxf(select_nth(s->block_order, (ptrdiff_t)s->n_blocks, (ptrdiff_t)k - 1), -FLT_MAX);
}

size_t tw_select_collect(struct tw_sampler *s, const float *x, float threshold)
{
    struct tw_candidate *c = s->candidates[0];
    size_t n               = 0;
    for (size_t b = 0; b < s->n_blocks; b++) {
        if (!(s->block_max[b] >= threshold)) {
            continue;
        }
        size_t end = tw_min_size(s->n_vocab, (b + 1) * TW_SAMPLE_BLOCK);
        for (size_t i = b * TW_SAMPLE_BLOCK; i < end; i++) {
            c[n].token = (int32_t)i; /* written in any case, kept if it counts: no branch to mispredict */
            n += (size_t)(x[i] >= threshold);
        }
    }
    for (size_t i = 0; i < n; i++) {
        c[i].key = tw_candidate_key(x[c[i].token]);
    }
    return n;
}

static void insertion_sort(struct tw_candidate *c, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct tw_candidate x = c[i];
        size_t j              = i;
        for (; j > 0 && c[j - 1].key > x.key; j--) {
            c[j] = c[j - 1];
        }
        c[j] = x;
    }
}

/* One digit of a radix sort, ties in order; false: all have the same digit, nothing was moved. */
static bool sort_digit(const struct tw_candidate *from, struct tw_candidate *to, size_t n, unsigned shift)
{
    enum { DIGITS = 2048 };
    uint32_t start[DIGITS] = {0};
    for (size_t i = 0; i < n; i++) {
        start[from[i].key >> shift & (DIGITS - 1)]++;
    }
    if (start[from[0].key >> shift & (DIGITS - 1)] == n) {
        return false;
    }
    uint32_t sum = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        uint32_t count = start[i];
        start[i]       = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++) {
        to[start[from[i].key >> shift & (DIGITS - 1)]++] = from[i];
    }
    return true;
}

void tw_select_sort(struct tw_sampler *s, size_t n)
{
    if (n < 64) {
        insertion_sort(s->candidates[0], n);
        return;
    }
    for (unsigned shift = 0; shift < 32; shift += 11) {
        if (sort_digit(s->candidates[0], s->candidates[1], n, shift)) {
            struct tw_candidate *sorted = s->candidates[1];
            s->candidates[1]            = s->candidates[0];
            s->candidates[0]            = sorted;
        }
    }
}
