/* SPDX-License-Identifier: MIT */
#include "apps/gsm8k/gsm8k_answer.h"

#include <string.h>

#define BOX  "\\boxed"
#define MARK "####"

struct span {
    const char *text; /* NULL: none */
    size_t n;
};

/* The inside of the braces that open at text[0]; none if they do not close. */
static struct span inside_braces(const char *text, size_t n)
{
    size_t depth = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\\' && i + 1 < n) {
            i++; /* \{ and \} are signs of the formula */
        } else if (text[i] == '{') {
            depth++;
        } else if (text[i] == '}' && --depth == 0) {
            return (struct span){text + 1, i - 1};
        }
    }
    return (struct span){NULL, 0};
}

/* A text that was cut within its last box has the one before it. */
static struct span last_box(const char *text, size_t n)
{
    struct span found   = {NULL, 0};
    const size_t length = strlen(BOX);
    for (size_t i = 0; i + length < n; i++) {
        if (memcmp(text + i, BOX, length) != 0) {
            continue;
        }
        size_t open = i + length;
        while (open < n && text[open] == ' ') {
            open++;
        }
        struct span box =
            open < n && text[open] == '{' ? inside_braces(text + open, n - open) : (struct span){NULL, 0};
        if (box.text != NULL) {
            found = box;
            i     = (size_t)(box.text - text) + box.n;
        }
    }
    return found;
}

/* The first line behind the last mark that is not empty. */
static struct span marked_line(const char *text, size_t n)
{
    size_t begin = 0, length = strlen(MARK), end;
    for (size_t i = 0; i + length <= n; i++) {
        begin = memcmp(text + i, MARK, length) == 0 ? i + length : begin;
    }
    if (begin == 0) {
        return (struct span){NULL, 0};
    }
    while (begin < n && strchr(" \t\r\n", text[begin]) != NULL) {
        begin++;
    }
    for (end = begin; end < n && text[end] != '\n';) {
        end++;
    }
    return (struct span){text + begin, end - begin};
}

static bool last_number(const char *text, size_t n, char out[TW_GSM8K_NUMBER_BYTES])
{
    size_t at = 0, bytes = 0;
    for (size_t i = 0; i < n;) {
        size_t found = tw_gsm8k_decimal(text + i, n - i);
        /* neither a hyphen behind a word is a sign nor a full stop the beginning of a number */
        bool free = i == 0 || text[i - 1] == ' ' || text[i - 1] == '$';
        if (found > 0 && !free && (text[i] == '-' || text[i] == '.')) {
            found = 0;
        }
        if (found > 0) {
            at    = i;
            bytes = found;
        }
        i += found > 0 ? found : 1;
    }
    if (bytes > 0) {
        tw_gsm8k_decimal_text(text + at, bytes, out);
    }
    return bytes > 0;
}

bool tw_gsm8k_answer(const char *text, size_t n, char out[TW_GSM8K_NUMBER_BYTES])
{
    struct span said = last_box(text, n);
    if (said.text == NULL) {
        said = marked_line(text, n);
    }
    return said.text != NULL ? tw_gsm8k_number(said.text, said.n, out) : last_number(text, n, out);
}
