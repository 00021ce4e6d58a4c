/* SPDX-License-Identifier: MIT */
#include "apps/gsm8k/gsm8k_rows.h"

#include <string.h>

#include "base/alloc.h"
#include "json/json.h"

trawl_status tw_gsm8k_path(const char *output, const char *ending, char **out, struct trawl_error *err)
{
    static const char usual[] = ".jsonl";
    size_t n = strlen(output), m = sizeof usual - 1;
    struct tw_str path;
    n -= n >= m && strcmp(output + n - m, usual) == 0 ? m : 0;
    tw_str_init(&path, 0);
    trawl_status status = tw_str_printf(&path, err, "%.*s%s", (int)n, output, ending);
    if (status == TRAWL_OK) {
        status = tw_strdup(tw_str_text(&path), out, err);
    }
    tw_str_release(&path);
    return status;
}

trawl_status tw_gsm8k_rows_open(struct tw_gsm8k_rows *rows, const char *path, struct trawl_error *err)
{
    *rows = (struct tw_gsm8k_rows){.open = false};
    tw_str_init(&rows->line, 0);
    TW_TRY(tw_make_parent_dirs(path, err));
    TW_TRY(tw_atomic_file_open(&rows->file, path, err));
    rows->open = true;
    return TRAWL_OK;
}

static void put_text(struct tw_json_writer *w, const char *key, const char *text)
{
    tw_json_key(w, key);
    if (text == NULL) {
        tw_json_null(w);
    } else {
        tw_json_string(w, text);
    }
}

trawl_status tw_gsm8k_rows_add(struct tw_gsm8k_rows *rows, const struct tw_gsm8k_answered *a,
                               struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_str_reset(&rows->line);
    tw_json_writer_init(&w, &rows->line, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "id");
    tw_json_int(&w, (int64_t)a->question->id);
    put_text(&w, "question", a->question->text);
    put_text(&w, "target", a->question->target);
    put_text(&w, "predicted", a->predicted);
    tw_json_key(&w, "correct");
    tw_json_bool(&w, a->correct);
    tw_json_key(&w, "response");
    tw_json_string_n(&w, a->response, a->n_response);
    tw_json_key(&w, "n_tokens");
    tw_json_int(&w, (int64_t)a->n_tokens);
    put_text(&w, "finish_reason", a->finish_reason);
    if (a->error != NULL) {
        put_text(&w, "error", a->error);
    }
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    TW_TRY(tw_str_putc(&rows->line, '\n', err));
    return tw_atomic_file_write(&rows->file, tw_str_text(&rows->line), rows->line.size, err);
}

trawl_status tw_gsm8k_rows_commit(struct tw_gsm8k_rows *rows, struct trawl_error *err)
{
    rows->open = false; /* commit closes the file whatever comes of it */
    return tw_atomic_file_commit(&rows->file, err);
}

void tw_gsm8k_rows_close(struct tw_gsm8k_rows *rows)
{
    if (rows->open) {
        tw_atomic_file_abandon(&rows->file);
        rows->open = false;
    }
    tw_str_release(&rows->line);
}
