/* SPDX-License-Identifier: MIT */
#include "api/api_mask.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/size.h"

static trawl_status copy_lengths(struct tw_job_mask *out, const struct trawl_attention_mask *from,
                                 struct trawl_error *err)
{
    if (from->lengths == NULL) {
        return TRAWL_OK; /* no documents: the engine says that they are not the prompt */
    }
    TW_TRY(tw_alloc(from->n_lengths, sizeof *out->lengths, &out->lengths, err));
    memcpy(out->lengths, from->lengths, from->n_lengths * sizeof *out->lengths);
    out->mask.lengths   = out->lengths;
    out->mask.n_lengths = from->n_lengths;
    return TRAWL_OK;
}

static uint64_t asked(const struct trawl_attention_mask *from, size_t row, size_t first, size_t end)
{
    uint64_t word = 0;
    for (size_t token = first; token < end; token++) {
        word |= (uint64_t)from->sees(from->user, row, token) << (token - first);
    }
    return word;
}

static trawl_status copy_matrix(struct tw_job_mask *out, const struct trawl_attention_mask *from,
                                size_t n_prompt, struct trawl_error *err)
{
    size_t words = tw_ceil_div(n_prompt, 64), n = 0;
    if (from->n_rows < n_prompt || from->n_rows > n_prompt + 1 || n_prompt == 0 ||
        (from->rows == NULL && from->sees == NULL)) {
        return TRAWL_OK; /* refused by the engine: without rows, or by their number */
    }
    if (!tw_size_mul(from->n_rows, words, &n)) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "an attention mask of %zu rows of %zu tokens", from->n_rows,
                       n_prompt);
    }
    TW_TRY(tw_alloc(n, sizeof *out->rows, &out->rows, err));
    for (size_t i = 0; i < n; i++) {
        size_t first = i % words * 64, end = tw_min_size(first + 64, n_prompt);
        uint64_t all = end - first == 64 ? UINT64_MAX : ((uint64_t)1 << (end - first)) - 1;
        out->rows[i] = from->sees != NULL ? asked(from, i / words, first, end) : from->rows[i] & all;
    }
    out->mask.rows = out->rows;
    return TRAWL_OK;
}

trawl_status tw_job_mask_copy(struct tw_job_mask *out, const struct trawl_request *request,
                              struct trawl_error *err)
{
    const struct trawl_attention_mask *from = &request->attention_mask;
    trawl_status status                     = TRAWL_OK;
    *out = (struct tw_job_mask){.mask = {.kind   = (enum tw_mask_kind)from->kind,
                                         .prefix = from->prefix,
                                         .sinks  = from->sinks,
                                         .window = from->window,
                                         .n_rows = from->n_rows}};
    if (from->kind == TRAWL_MASK_BLOCK_DIAGONAL) {
        status = copy_lengths(out, from, err);
    } else if (from->kind == TRAWL_MASK_MATRIX) {
        status = copy_matrix(out, from, request->n_prompt, err);
    }
    if (status != TRAWL_OK) {
        tw_job_mask_release(out);
        return status;
    }
    if (request->attention_sinks > 0 || request->attention_window > 0 ||
        request->attention_heavy_hitters > 0) {
        tw_job_mask_release(out);
        out->mask.prune = true; /* of no kind: refused by the engine */
        if (from->kind == TRAWL_MASK_CAUSAL) {
            out->mask.kind   = request->attention_heavy_hitters > 0 ? TW_MASK_HEAVY : TW_MASK_WINDOW;
            out->mask.heavy  = tw_ceil_div(request->attention_heavy_hitters, TW_KV_BLOCK);
            out->mask.sinks  = request->attention_sinks;
            out->mask.window = request->attention_window;
        }
    }
    return TRAWL_OK;
}

void tw_job_mask_release(struct tw_job_mask *m)
{
    tw_free(m->lengths);
    tw_free(m->rows);
    *m = (struct tw_job_mask){0};
}

uint64_t tw_job_mask_hash(const struct tw_job_mask *m, size_t n_prompt, uint64_t prompt_hash)
{
    const struct tw_mask *k = &m->mask;
    if (k->kind == TW_MASK_CAUSAL && !k->prune) {
        return prompt_hash;
    }
    uint64_t parts[] = {prompt_hash,
                        (uint64_t)k->kind,
                        k->prune,
                        k->prefix,
                        k->sinks,
                        k->window,
                        k->heavy,
                        k->n_lengths,
                        k->n_rows,
                        tw_hash64(k->lengths, tw_mask_lengths_bytes(k)),
                        tw_hash64(k->rows, tw_mask_rows_bytes(k, n_prompt))};
    return tw_hash64(parts, sizeof parts);
}
