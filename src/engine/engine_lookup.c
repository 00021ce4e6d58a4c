/* SPDX-License-Identifier: MIT */
#include "engine/engine_lookup.h"

#include "base/size.h"
#include "engine/engine.h"

enum { FIRST_LENGTH = 4 };

/* Tokens before and at i that are those before and at the last one. */
static size_t common(const int32_t *tokens, size_t n, size_t i)
{
    size_t same = 0;
    while (same < TW_LOOKUP_LONGEST && same <= i && tokens[i - same] == tokens[n - 1 - same]) {
        same++;
    }
    return same;
}

/* The longer the part that stood before, the likelier is what followed it. */
static size_t length_of(const struct tw_lookup_pace *pace, size_t same, size_t most)
{
    size_t length = pace->length == 0 ? FIRST_LENGTH : pace->length;
    return tw_min_size(tw_max_size(length, same - 1), most);
}

size_t tw_lookup(const struct tw_lookup_pace *pace, const int32_t *tokens, size_t n, int32_t *out,
                 size_t most)
{
    size_t best = TW_LOOKUP_LEAST - 1, at = 0;
    size_t first = n > TW_LOOKUP_WINDOW ? n - TW_LOOKUP_WINDOW : 0;
    if (n < TW_LOOKUP_LEAST) {
        return 0;
    }
    for (size_t i = n - 1; i-- > first && best < TW_LOOKUP_LONGEST;) {
        if (tokens[i] == tokens[n - 1]) {
            size_t same = common(tokens, n, i);
            if (same > best) {
                best = same;
                at   = i;
            }
        }
    }
    if (best < TW_LOOKUP_LEAST) {
        return 0;
    }
    size_t length = length_of(pace, best, most);
    for (size_t i = 0; i < length; i++) {
        size_t from = at + 1 + i;
        out[i]      = from < n ? tokens[from] : out[from - n];
    }
    return length;
}

/* All right: twice as many. Else as many as were right, and one more. */
void tw_lookup_learn(struct tw_lookup_pace *pace, size_t n, size_t right)
{
    pace->trust  = (uint8_t)((3 * (size_t)pace->trust + 255 * right / n) / 4);
    pace->length = (uint8_t)tw_min_size(right == n ? 2 * n : right + 1, TW_PROMPT_LOOKUP_MOST);
}
