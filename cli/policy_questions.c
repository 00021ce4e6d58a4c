/* SPDX-License-Identifier: MIT */
#include "cli/policy_questions.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/lines.h"
#include "json/json.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The number at the beginning of text[0, n): digits with commas, and a fraction. Returns its bytes, 0: none. */
static size_t number_bytes(const char *text, size_t n)
{
    size_t i = n > 0 && text[0] == '-' ? 1 : 0, digits = i;
    while (i < n &&
           (is_digit(text[i]) || (i > digits && text[i] == ',' && i + 1 < n && is_digit(text[i + 1])))) {
        i++;
    }
    if (i == digits) {
        return 0;
    }
    if (i + 1 < n && text[i] == '.' && is_digit(text[i + 1])) {
        i++;
        while (i < n && is_digit(text[i])) {
            i++;
        }
    }
    return i;
}

/* "-01,234.50" -> "-1234.5" */
static void write_number(const char *text, size_t n, char out[POLICY_NUMBER_BYTES])
{
    size_t used = 0, i = 0;
    bool fraction = false;
    if (text[0] == '-') {
        out[used++] = '-';
        i++;
    }
    while (i + 1 < n && text[i] == '0' && is_digit(text[i + 1])) {
        i++;
    }
    for (; i < n && used + 1 < POLICY_NUMBER_BYTES; i++) {
        fraction = fraction || text[i] == '.';
        if (text[i] != ',') {
            out[used++] = text[i];
        }
    }
    while (fraction && out[used - 1] == '0') {
        used--;
    }
    used -= fraction && out[used - 1] == '.' ? 1 : 0;
    out[used] = '\0';
}

bool policy_number(const char *text, size_t n, char out[POLICY_NUMBER_BYTES])
{
    size_t begin = 0, at = 0, bytes = 0;
    for (size_t i = 0; i + 4 <= n; i++) {
        begin = memcmp(text + i, "####", 4) == 0 ? i + 4 : begin;
    }
    for (size_t i = begin; i < n;) {
        size_t found = number_bytes(text + i, n - i);
        /* a hyphen behind a word is no sign */
        bool sign = found > 0 && text[i] == '-' && i > begin && text[i - 1] != ' ' && text[i - 1] != '$';
        i += sign ? 1 : 0;
        found -= sign ? 1 : 0;
        if (found > 0) {
            at    = i;
            bytes = found;
            if (begin > 0) {
                break; /* the first one behind the mark */
            }
        }
        i += found > 0 ? found : 1;
    }
    if (bytes > 0) {
        write_number(text + at, bytes, out);
    }
    return bytes > 0;
}

static trawl_status read_question(const json_t *row, struct policy_question *q, struct trawl_error *err)
{
    const char *question = NULL, *answer = NULL;
    if (!json_is_object(row)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "the row is %s, expected an object", tw_json_type_name(row));
    }
    TW_TRY(tw_json_get_string(row, "question", "row", &question, err));
    TW_TRY(tw_json_get_string(row, "answer", "row", &answer, err));
    if (question == NULL || answer == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "the row has no \"%s\"",
                       question == NULL ? "question" : "answer");
    }
    if (!policy_number(answer, strlen(answer), q->number)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"answer\" has no number");
    }
    return tw_strdup(question, &q->text, err);
}

trawl_status policy_questions_read(struct policy_questions *q, const char *path, size_t most,
                                   struct trawl_error *err)
{
    struct cli_lines lines;
    const char *line    = NULL;
    size_t n            = 0;
    trawl_status status = cli_lines_open(&lines, path, err);
    while (status == TRAWL_OK && q->n < most &&
           (status = cli_lines_next(&lines, &line, &n, err)) == TRAWL_OK && line != NULL) {
        json_t *row = NULL;
        if (n == strspn(line, " \t")) {
            continue;
        }
        status = tw_grow(&q->list, &q->capacity, q->n + 1, sizeof *q->list, err);
        if (status == TRAWL_OK) {
            q->list[q->n] = (struct policy_question){0};
            status        = tw_json_parse(line, n, "row", &row, err);
        }
        if (status == TRAWL_OK) {
            status = read_question(row, &q->list[q->n++], err);
        }
        json_decref(row);
        if (status != TRAWL_OK) {
            status = tw_fail_prefix(err, status, "%s line %" PRIu64, lines.name, lines.number);
        }
    }
    cli_lines_close(&lines);
    if (status == TRAWL_OK && q->n < 2) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: %zu questions, a standard error needs 2", path, q->n);
    }
    return status;
}

void policy_questions_release(struct policy_questions *q)
{
    for (size_t i = 0; i < q->n; i++) {
        tw_free(q->list[i].text);
    }
    tw_free(q->list);
    *q = (struct policy_questions){0};
}
