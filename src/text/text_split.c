/* SPDX-License-Identifier: MIT */
#include "text/text_split.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "text/text_unicode.h"

/* A match, or the gap between two; together they cover a piece. */
struct tw_cut {
    size_t begin;
    size_t end;
    bool match;
};

void tw_splitter_release(struct tw_splitter *splitter)
{
    for (size_t i = 0; i < splitter->n_steps; i++) {
        tw_regex_free(splitter->steps[i].regex);
        tw_free(splitter->steps[i].literal);
    }
    *splitter = (struct tw_splitter){0};
}

void tw_split_scratch_release(struct tw_split_scratch *s)
{
    tw_regex_scratch_free(s->regex);
    for (int i = 0; i < 2; i++) {
        tw_free(s->spans[i].data);
        tw_str_release(&s->spaced[i]);
    }
    tw_free(s->cuts);
    *s = (struct tw_split_scratch){0};
}

/* ---- finding matches ---- */

/* Next match of a step in text[0..n) at or after `from`. */
static trawl_status next_match(const struct tw_split_step *step, struct tw_split_scratch *s, const char *text,
                               size_t n, size_t from, bool *found, size_t *begin, size_t *end,
                               struct trawl_error *err)
{
    if (step->regex != NULL) {
        return tw_regex_next(step->regex, s->regex, text, n, from, found, begin, end, err);
    }
    *found = false;
    if (step->literal != NULL && step->n_literal > 0) {
        const char *at = memmem(text + from, n - from, step->literal, step->n_literal);
        if (at != NULL) {
            *found = true;
            *begin = (size_t)(at - text);
            *end   = *begin + step->n_literal;
        }
        return TRAWL_OK;
    }
    while (step->digits && from < n) {
        uint32_t c  = (unsigned char)text[from];
        size_t size = c < 0x80 ? 1 : tw_utf8_decode(text + from, n - from, &c);
        if (tw_unicode_is_numeric(c)) {
            *found = true;
            *begin = from;
            *end   = from + size;
            break;
        }
        from += size;
    }
    return TRAWL_OK;
}

static trawl_status push_cut(struct tw_split_scratch *s, size_t begin, size_t end, bool match,
                             struct trawl_error *err)
{
    TW_TRY(tw_grow(&s->cuts, &s->cuts_capacity, s->n_cuts + 1, sizeof *s->cuts, err));
    s->cuts[s->n_cuts++] = (struct tw_cut){begin, end, match};
    return TRAWL_OK;
}

/* Matches and gaps of text[0..n) in order. An empty match is one too (a pattern may only look around),
 * but not right after another match. */
static trawl_status find_cuts(const struct tw_split_step *step, struct tw_split_scratch *s, const char *text,
                              size_t n, struct trawl_error *err)
{
    size_t from = 0;
    size_t done = 0;
    bool any    = false;
    s->n_cuts   = 0;
    while (from <= n) {
        bool found   = false;
        size_t begin = 0;
        size_t end   = 0;
        TW_TRY(next_match(step, s, text, n, from, &found, &begin, &end, err));
        if (!found) {
            break;
        }
        if (begin == end && any && end == done) {
            size_t size = from < n ? tw_utf8_decode(text + from, n - from, NULL) : 1;
            from += size;
            continue;
        }
        if (done < begin) {
            TW_TRY(push_cut(s, done, begin, step->invert, err));
        }
        TW_TRY(push_cut(s, begin, end, !step->invert, err));
        from = end;
        done = end;
        any  = true;
    }
    return done < n ? push_cut(s, done, n, step->invert, err) : TRAWL_OK;
}

/* ---- from matches to pieces ---- */

static trawl_status push_span(struct tw_spans *spans, size_t begin, size_t end, struct trawl_error *err)
{
    TW_TRY(tw_grow(&spans->data, &spans->capacity, spans->size + 1, sizeof *spans->data, err));
    spans->data[spans->size++] = (struct tw_span){begin, end};
    return TRAWL_OK;
}

/* Does cut i belong to the same piece as the one before it? */
static bool joins_previous(enum tw_split_behavior behavior, const struct tw_cut *cuts, size_t i)
{
    if (i == 0) {
        return false;
    }
    switch (behavior) {
    case TW_SPLIT_MERGED_WITH_PREVIOUS: return cuts[i].match && !cuts[i - 1].match;
    case TW_SPLIT_MERGED_WITH_NEXT: return cuts[i - 1].match && !cuts[i].match;
    case TW_SPLIT_CONTIGUOUS: return cuts[i].match == cuts[i - 1].match;
    case TW_SPLIT_REMOVED:
    case TW_SPLIT_ISOLATED: break;
    }
    return false;
}

/* Cut one piece of the text, base[span), into `out`. */
static trawl_status cut_piece(const struct tw_split_step *step, struct tw_split_scratch *s, const char *base,
                              struct tw_span span, struct tw_spans *out, struct trawl_error *err)
{
    TW_TRY(find_cuts(step, s, base + span.begin, span.end - span.begin, err));
    for (size_t i = 0; i < s->n_cuts;) {
        size_t last = i;
        while (last + 1 < s->n_cuts && joins_previous(step->behavior, s->cuts, last + 1)) {
            last++;
        }
        bool removed = step->behavior == TW_SPLIT_REMOVED && s->cuts[i].match;
        if (!removed && s->cuts[i].begin < s->cuts[last].end) {
            TW_TRY(push_span(out, span.begin + s->cuts[i].begin, span.begin + s->cuts[last].end, err));
        }
        i = last + 1;
    }
    return TRAWL_OK;
}

/* A copy of the pieces with a space before each that does not begin with one. */
static trawl_status add_spaces(struct tw_str *out, const char *base, struct tw_spans *spans,
                               struct trawl_error *err)
{
    tw_str_reset(out);
    for (size_t i = 0; i < spans->size; i++) {
        struct tw_span *p = &spans->data[i];
        size_t begin      = out->size;
        if (base[p->begin] != ' ') {
            TW_TRY(tw_str_putc(out, ' ', err));
        }
        TW_TRY(tw_str_append(out, base + p->begin, p->end - p->begin, err));
        *p = (struct tw_span){begin, out->size};
    }
    return TRAWL_OK;
}

trawl_status tw_splitter_cut(const struct tw_splitter *splitter, struct tw_split_scratch *s, const char *text,
                             size_t n, const char **base, const struct tw_spans **pieces,
                             struct trawl_error *err)
{
    if (s->regex == NULL) {
        TW_TRY(tw_regex_scratch_new(&s->regex, err));
    }
    int current            = 0;
    int spaced             = 0;
    *base                  = text;
    s->spans[current].size = 0;
    if (n > 0) {
        TW_TRY(push_span(&s->spans[current], 0, n, err));
    }
    for (size_t i = 0; i < splitter->n_steps; i++) {
        const struct tw_split_step *step = &splitter->steps[i];
        struct tw_spans *in              = &s->spans[current];
        struct tw_spans *out             = &s->spans[1 - current];
        if (step->add_prefix_space && in->size > 0) {
            TW_TRY(add_spaces(&s->spaced[spaced], *base, in, err));
            *base  = s->spaced[spaced].data;
            spaced = 1 - spaced;
        }
        if (step->regex == NULL && step->literal == NULL && !step->digits) {
            continue;
        }
        out->size = 0;
        for (size_t p = 0; p < in->size; p++) {
            TW_TRY(cut_piece(step, s, *base, in->data[p], out, err));
        }
        current = 1 - current;
    }
    *pieces = &s->spans[current];
    return TRAWL_OK;
}
