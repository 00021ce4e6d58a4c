/* SPDX-License-Identifier: MIT */
/* How a sequence may go on: as it did where its latest tokens stood before. Answers that copy from their prompt or
 * repeat themselves are guessed well this way (prompt lookup decoding), and a guess costs no model. */
#ifndef TW_ENGINE_LOOKUP_H
#define TW_ENGINE_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TW_LOOKUP_LEAST   = 2,      /* tokens that must have stood before */
    TW_LOOKUP_LONGEST = 8,      /* more are not looked at */
    TW_LOOKUP_WINDOW  = 1 << 15 /* tokens that are searched, the latest ones */
};

/* How much to guess, of one sequence; zeros at its beginning. */
struct tw_lookup_pace {
    uint8_t length; /* next; 0: nothing has been guessed yet */
    uint8_t trust;  /* share of what was right lately, of 255 */
};

/* Three of four guesses were right lately: rows that cost something pay too. */
static inline bool tw_lookup_trusted(const struct tw_lookup_pace *pace)
{
    return pace->trust >= 192;
}

/* Of the places where the longest part of the last tokens stood before, the latest one: what followed there goes
 * to out [most]; where the sequence ends there, out goes on with itself. Returns how many tokens to guess, as the
 * pace and the length of that part have it; 0: no such place. */
size_t tw_lookup(const struct tw_lookup_pace *pace, const int32_t *tokens, size_t n, int32_t *out,
                 size_t most);

/* Of n tokens that were guessed (>= 1) the first `right` were right. */
void tw_lookup_learn(struct tw_lookup_pace *pace, size_t n, size_t right);

#endif /* TW_ENGINE_LOOKUP_H */
