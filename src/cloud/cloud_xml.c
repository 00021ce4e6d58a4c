/* SPDX-License-Identifier: MIT */
#include "cloud/cloud_xml.h"

#include <stdio.h>
#include <string.h>

/* The character that a reference at `at` stands for, its length in *n; 0: it is none. */
static char reference(const char *at, size_t left, size_t *n)
{
    static const struct {
        const char *text;
        char c;
    } known[] = {{"&amp;", '&'},   {"&lt;", '<'},  {"&gt;", '>'},  {"&quot;", '"'},
                 {"&apos;", '\''}, {"&#34;", '"'}, {"&#39;", '\''}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        *n = strlen(known[i].text);
        if (*n <= left && memcmp(at, known[i].text, *n) == 0) {
            return known[i].c;
        }
    }
    return 0;
}

bool tw_xml_text(const char *xml, size_t n, const char *name, char *out, size_t size)
{
    char open[64], close[64];
    int length = snprintf(open, sizeof open, "<%s>", name);
    if (length < 0 || (size_t)length + 1 >= sizeof open) {
        return false;
    }
    (void)snprintf(close, sizeof close, "</%s>", name);
    const char *begin = memmem(xml, n, open, (size_t)length);
    if (begin == NULL) {
        return false;
    }
    begin += length;
    size_t left = (size_t)(xml + n - begin), used = 0;
    const char *end = memmem(begin, left, close, (size_t)length + 1);
    if (end == NULL || memchr(begin, '<', (size_t)(end - begin)) != NULL) {
        return false;
    }
    while (begin < end && used + 1 < size) {
        size_t step = 1;
        char c      = *begin == '&' ? reference(begin, (size_t)(end - begin), &step) : *begin;
        step        = c == 0 ? 1 : step;
        out[used++] = c == 0 ? *begin : c;
        begin += step;
    }
    out[used] = '\0';
    return true;
}
