/* SPDX-License-Identifier: MIT */
#include "cli/generate/generate_mask.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

/* Kinds by name, with the members that each may have. */
static const struct mask_name {
    const char *name;
    enum trawl_mask_kind kind;
    const char *members[2];
} names[] = {
    {"causal", TRAWL_MASK_CAUSAL, {NULL, NULL}},
    {"prefix_bidirectional", TRAWL_MASK_PREFIX_BIDIRECTIONAL, {"prefix", NULL}},
    {"sliding_window", TRAWL_MASK_SLIDING_WINDOW, {"window", "sinks"}},
    {"block_diagonal", TRAWL_MASK_BLOCK_DIAGONAL, {"lengths", NULL}},
    {"matrix", TRAWL_MASK_MATRIX, {"rows", NULL}},
};

static trawl_status read_size(const json_t *j, const char *key, const char *what, size_t *out,
                              struct trawl_error *err)
{
    int64_t n = (int64_t)*out;
    TW_TRY(tw_json_get_int(j, key, what, &n, err));
    if (n < 0 || n > UINT32_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: \"%s\" is %lld, expected 0 to %lld", what, key,
                       (long long)n, (long long)UINT32_MAX);
    }
    *out = (size_t)n;
    return TRAWL_OK;
}

static trawl_status find_kind(const json_t *j, const struct mask_name **out, struct trawl_error *err)
{
    const char *kind = NULL;
    TW_TRY(tw_json_get_string(j, "kind", "attention_mask", &kind, err));
    for (size_t i = 0; kind != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i].name, kind) == 0) {
            *out = &names[i];
            return TRAWL_OK;
        }
    }
    return tw_fail(
        err, TRAWL_ERR_INVALID,
        "attention_mask: \"kind\" is \"%s\", expected causal, prefix_bidirectional, sliding_window, "
        "block_diagonal or matrix",
        kind == NULL ? "" : kind);
}

static trawl_status check_members(const json_t *j, const struct mask_name *name, struct trawl_error *err)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)j, key, v)
    {
        bool known = strcmp(key, "kind") == 0;
        for (size_t i = 0; i < 2; i++) {
            known = known || (name->members[i] != NULL && strcmp(name->members[i], key) == 0);
        }
        if (!known) {
            return tw_fail(err, TRAWL_ERR_INVALID, "attention_mask: a %s mask has no \"%s\"", name->name,
                           key);
        }
    }
    if (name->members[0] != NULL && json_object_get(j, name->members[0]) == NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "attention_mask: a %s mask needs \"%s\"", name->name,
                       name->members[0]);
    }
    return TRAWL_OK;
}

static trawl_status read_lengths(struct cli_row_mask *mask, struct trawl_attention_mask *out, const json_t *j,
                                 struct trawl_error *err)
{
    json_t *list = NULL;
    TW_TRY(tw_json_get_array(j, "lengths", "attention_mask", &list, err));
    size_t n = json_array_size(list);
    TW_TRY(tw_alloc(n, sizeof *mask->lengths, &mask->lengths, err));
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > UINT32_MAX) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "attention_mask: \"lengths\"[%zu] is %s, expected a number of tokens", i,
                           tw_json_type_name(v));
        }
        mask->lengths[i] = (uint32_t)json_integer_value(v);
    }
    out->lengths   = mask->lengths;
    out->n_lengths = n;
    return TRAWL_OK;
}

static trawl_status read_matrix_row(uint64_t *words, const json_t *list, size_t row, size_t n_prompt,
                                    struct trawl_error *err)
{
    if (!json_is_array(list) || json_array_size(list) != n_prompt) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "attention_mask: row %zu is %s of %zu, expected an array of %zu, one 0 or 1 for each prompt "
            "token",
            row, tw_json_type_name(list), json_array_size(list), n_prompt);
    }
    for (size_t i = 0; i < n_prompt; i++) {
        const json_t *v = json_array_get(list, i);
        bool set        = json_is_true(v) || (json_is_integer(v) && json_integer_value(v) == 1);
        if (!set && !json_is_false(v) && !(json_is_integer(v) && json_integer_value(v) == 0)) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "attention_mask: \"rows\"[%zu][%zu] is %s, expected 0 or 1", row, i,
                           tw_json_type_name(v));
        }
        words[i / 64] |= (uint64_t)set << i % 64;
    }
    return TRAWL_OK;
}

static trawl_status read_matrix(struct cli_row_mask *mask, struct trawl_attention_mask *out, const json_t *j,
                                size_t n_prompt, struct trawl_error *err)
{
    json_t *list = NULL;
    size_t words = tw_ceil_div(n_prompt, 64), n = 0;
    TW_TRY(tw_json_get_array(j, "rows", "attention_mask", &list, err));
    out->n_rows = json_array_size(list);
    if (!tw_size_mul(out->n_rows, words, &n)) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "attention_mask: %zu rows", out->n_rows);
    }
    TW_TRY(tw_alloc(n, sizeof *mask->rows, &mask->rows, err));
    for (size_t i = 0; i < out->n_rows; i++) {
        TW_TRY(read_matrix_row(mask->rows + i * words, json_array_get(list, i), i, n_prompt, err));
    }
    out->rows = mask->rows;
    return TRAWL_OK;
}

trawl_status cli_row_mask_read(struct cli_row_mask *mask, struct trawl_request *q, const json_t *row,
                               struct trawl_error *err)
{
    struct trawl_attention_mask *out = &q->attention_mask;
    const struct mask_name *name     = NULL;
    json_t *j                        = NULL;
    TW_TRY(read_size(row, "attention_sinks", "row", &q->attention_sinks, err));
    TW_TRY(read_size(row, "attention_window", "row", &q->attention_window, err));
    TW_TRY(read_size(row, "attention_heavy_hitters", "row", &q->attention_heavy_hitters, err));
    TW_TRY(tw_json_get_object(row, "attention_mask", "row", &j, err));
    if (j == NULL) {
        return TRAWL_OK;
    }
    TW_TRY(find_kind(j, &name, err));
    TW_TRY(check_members(j, name, err));
    out->kind = name->kind;
    TW_TRY(read_size(j, "prefix", "attention_mask", &out->prefix, err));
    TW_TRY(read_size(j, "window", "attention_mask", &out->window, err));
    TW_TRY(read_size(j, "sinks", "attention_mask", &out->sinks, err));
    if (name->kind == TRAWL_MASK_BLOCK_DIAGONAL) {
        return read_lengths(mask, out, j, err);
    }
    return name->kind == TRAWL_MASK_MATRIX ? read_matrix(mask, out, j, q->n_prompt, err) : TRAWL_OK;
}

void cli_row_mask_release(struct cli_row_mask *mask)
{
    tw_free(mask->lengths);
    tw_free(mask->rows);
    *mask = (struct cli_row_mask){0};
}
