/* SPDX-License-Identifier: MIT */
#include "text/text_added.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "text/text_unicode.h"

void tw_added_release(struct tw_added_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        tw_free(set->tokens[i].text);
    }
    tw_free(set->tokens);
    *set = (struct tw_added_set){0};
}

trawl_status tw_added_add(struct tw_added_set *set, const struct tw_added_token *token,
                          struct trawl_error *err)
{
    if (token->n == 0) {
        return TRAWL_OK;
    }
    TW_TRY(tw_grow(&set->tokens, &set->capacity, set->n + 1, sizeof *set->tokens, err));
    char *copy = NULL;
    TW_TRY(tw_strndup(token->text, token->n, &copy, err));
    set->tokens[set->n]      = *token;
    set->tokens[set->n].text = copy;
    set->n++;
    return TRAWL_OK;
}

static int compare_bytes(const char *a, size_t n_a, const char *b, size_t n_b)
{
    int order = memcmp(a, b, tw_min_size(n_a, n_b));
    return order != 0 ? order : (n_a > n_b) - (n_a < n_b);
}

static int compare_tokens(const void *pa, const void *pb)
{
    const struct tw_added_token *a = pa;
    const struct tw_added_token *b = pb;
    int order                      = compare_bytes(a->text, a->n, b->text, b->n);
    return order != 0 ? order : (a->id > b->id) - (a->id < b->id);
}

void tw_added_build(struct tw_added_set *set)
{
    if (set->n == 0) {
        return;
    }
    qsort(set->tokens, set->n, sizeof *set->tokens, compare_tokens);
    size_t kept = 0;
    for (size_t i = 0; i < set->n; i++) {
        struct tw_added_token *t = &set->tokens[i];
        if (kept > 0 &&
            compare_bytes(set->tokens[kept - 1].text, set->tokens[kept - 1].n, t->text, t->n) == 0) {
            tw_free(t->text);
            continue;
        }
        set->first[(unsigned char)t->text[0]] = true;
        set->tokens[kept++]                   = *t;
    }
    set->n = kept;
}

/* First token in [lo, hi) whose byte at `depth` is >= c; all of them are longer than depth. */
static size_t lower_bound(const struct tw_added_set *set, size_t lo, size_t hi, size_t depth, int c)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)set->tokens[mid].text[depth] < c) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* The longest token at the start of `text`, NULL: none. */
static const struct tw_added_token *longest_at(const struct tw_added_set *set, const char *text, size_t n)
{
    const struct tw_added_token *found = NULL;
    size_t lo                          = 0;
    size_t hi                          = set->n;
    for (size_t depth = 0; depth < n && lo < hi; depth++) {
        int c = (unsigned char)text[depth];
        lo    = lower_bound(set, lo, hi, depth, c);
        hi    = lower_bound(set, lo, hi, depth, c + 1);
        if (lo < hi && set->tokens[lo].n == depth + 1) {
            found = &set->tokens[lo++];
        }
    }
    return found;
}

const struct tw_added_token *tw_added_find(const struct tw_added_set *set, const char *text, size_t n)
{
    const struct tw_added_token *t = longest_at(set, text, n);
    return t != NULL && t->n == n ? t : NULL;
}

static bool accepted(const struct tw_added_token *t, const struct tw_added_scan *scan, size_t begin,
                     size_t end)
{
    if (scan->no_special && t->special) {
        return false;
    }
    return !t->single_word || (!tw_unicode_word_before(scan->text, begin) &&
                               !tw_unicode_word_at(scan->text + end, scan->n - end));
}

bool tw_added_next(const struct tw_added_set *set, struct tw_added_scan *scan, struct tw_added_part *part)
{
    if (scan->pending_set) {
        scan->pending_set = false;
        *part             = scan->pending;
        return true;
    }
    while (set->n > 0 && scan->from < scan->n) {
        size_t at = scan->from;
        while (at < scan->n && !set->first[(unsigned char)scan->text[at]]) {
            at++;
        }
        scan->from                     = at;
        const struct tw_added_token *t = at < scan->n ? longest_at(set, scan->text + at, scan->n - at) : NULL;
        if (t == NULL) {
            scan->from++;
            continue;
        }
        /* A match that is not accepted still uses up its characters. */
        scan->from   = at + t->n;
        size_t begin = at;
        size_t end   = at + t->n;
        if (!accepted(t, scan, begin, end)) {
            continue;
        }
        if (t->lstrip) {
            begin = tw_max_size(tw_unicode_space_start(scan->text, begin), scan->done);
        }
        if (t->rstrip) {
            end += tw_unicode_space_length(scan->text + end, scan->n - end);
        }
        if (begin >= end) {
            continue; /* white space that an rstrip before it took already: nothing is left to be this token */
        }
        scan->pending     = (struct tw_added_part){begin, end, t->id};
        size_t text_begin = scan->done;
        scan->done        = end;
        if (text_begin < begin) {
            *part             = (struct tw_added_part){text_begin, begin, -1};
            scan->pending_set = true;
        } else {
            *part = scan->pending;
        }
        return true;
    }
    if (scan->done >= scan->n) {
        return false;
    }
    *part      = (struct tw_added_part){scan->done, scan->n, -1};
    scan->done = scan->n;
    return true;
}
