/* SPDX-License-Identifier: MIT */
/* Rows of text to rows of ids and back. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/lines.h"
#include "cli/model_folder.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "text/text_chat.h"
#include "text/text_tokenizer.h"
#include "json/json.h"

struct job {
    struct tw_tokenizer *tokenizer;
    struct tw_encoder *encoder;
    struct tw_encode_options options;
    struct tw_ids ids;
    struct tw_str text, row; /* reused from row to row */
    uint64_t n_rows, n_failed;
};

static void put_ids(struct tw_json_writer *w, const struct tw_ids *ids)
{
    tw_json_key(w, "ids");
    tw_json_begin_array(w);
    for (size_t i = 0; i < ids->size; i++) {
        tw_json_int(w, ids->data[i]);
    }
    tw_json_end_array(w);
}

static trawl_status read_ids(struct job *job, const json_t *array, struct trawl_error *err)
{
    size_t n      = json_array_size(array);
    job->ids.size = 0;
    TW_TRY(tw_grow(&job->ids.data, &job->ids.capacity, n + 1, sizeof *job->ids.data, err));
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(array, i);
        if (!json_is_integer(item)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "\"ids\"[%zu] is %s, expected an integer", i,
                           tw_json_type_name(item));
        }
        /* A head may have more rows than the tokenizer has tokens: such ids decode to nothing. */
        json_int_t id = json_integer_value(item);
        if (id < 0 || id > INT32_MAX) {
            return tw_fail(err, TRAWL_ERR_FORMAT,
                           "\"ids\"[%zu] is %" JSON_INTEGER_FORMAT ", expected 0 to %d", i, id, INT32_MAX);
        }
        job->ids.data[i] = (int32_t)id;
    }
    job->ids.size = n;
    return TRAWL_OK;
}

/* Members of a chat row that are not part of the request are variables of the template. */
static trawl_status render_chat(struct job *job, json_t *row, struct trawl_error *err)
{
    struct tw_chat_request request = {0};
    bool prompt                    = false;
    TW_TRY(tw_json_get_bool(row, "add_generation_prompt", "row", &prompt, err));
    json_t *extra = json_copy(row); /* shares the values */
    if (!extra) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for the variables of a chat template");
    }
    (void)json_object_del(extra, "messages");
    (void)json_object_del(extra, "tools");
    (void)json_object_del(extra, "add_generation_prompt");
    request.messages              = json_object_get(row, "messages");
    request.tools                 = json_object_get(row, "tools");
    request.add_generation_prompt = prompt;
    request.extra                 = extra;
    tw_str_reset(&job->text);
    trawl_status status = tw_chat_render(job->tokenizer, &request, &job->text, err);
    json_decref(extra);
    return status;
}

static trawl_status convert_text(struct job *job, struct tw_json_writer *w, const char *text, size_t n,
                                 struct trawl_error *err)
{
    job->ids.size = 0;
    TW_TRY(tw_encode(job->encoder, text, n, &job->options, &job->ids, err));
    put_ids(w, &job->ids);
    return TRAWL_OK;
}

static trawl_status convert_row(struct job *job, struct tw_json_writer *w, json_t *row,
                                struct trawl_error *err)
{
    const json_t *text = json_object_get(row, "text"), *ids = json_object_get(row, "ids");
    if (json_is_string(text)) {
        return convert_text(job, w, json_string_value(text), json_string_length(text), err);
    }
    if (json_is_array(json_object_get(row, "messages"))) {
        TW_TRY(render_chat(job, row, err));
        tw_json_key(w, "text");
        tw_json_string_n(w, tw_str_text(&job->text), job->text.size);
        return convert_text(job, w, tw_str_text(&job->text), job->text.size, err);
    }
    if (json_is_array(ids)) {
        TW_TRY(read_ids(job, ids, err));
        tw_str_reset(&job->text);
        TW_TRY(tw_decode(job->tokenizer, job->ids.data, job->ids.size, false, &job->text, err));
        tw_json_key(w, "text");
        tw_json_string_n(w, tw_str_text(&job->text), job->text.size);
        return TRAWL_OK;
    }
    return tw_fail(
        err, TRAWL_ERR_FORMAT,
        "expected an object with \"text\" (a string), \"ids\" (an array) or \"messages\" (an array)");
}

/* One row in, one row out, also when it fails: rows keep their places. */
static trawl_status write_row(struct job *job, const char *line, size_t n, struct trawl_error *row_err,
                              struct trawl_error *err)
{
    struct tw_json_writer w;
    json_t *row = NULL;
    tw_str_reset(&job->row);
    tw_json_writer_init(&w, &job->row, 0);
    tw_json_begin_object(&w);
    trawl_status status = tw_json_parse(line, n, "row", &row, row_err);
    if (status == TRAWL_OK) {
        status = convert_row(job, &w, row, row_err);
    }
    json_decref(row);
    if (status == TRAWL_ERR_NOMEM) {
        *err = *row_err;
        return status;
    }
    if (status != TRAWL_OK) {
        tw_str_reset(&job->row);
        tw_json_writer_init(&w, &job->row, 0);
        tw_json_begin_object(&w);
        tw_json_key(&w, "error");
        tw_json_string(&w, row_err->message);
        job->n_failed++;
    }
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    TW_TRY(tw_str_putc(&job->row, '\n', err));
    job->n_rows++;
    return cli_write(job->row.data, job->row.size, err);
}

static bool is_blank(const char *line, size_t n)
{
    size_t i = 0;
    while (i < n && (line[i] == ' ' || line[i] == '\t')) {
        i++;
    }
    return i == n;
}

static trawl_status convert_file(struct job *job, const char *path, bool quiet, struct trawl_error *err)
{
    struct cli_lines lines;
    struct cli_progress progress;
    const char *line;
    size_t n;
    uint64_t n_ids = 0;
    cli_progress_start(&progress, "tokenize", "rows", 0, quiet);
    trawl_status status = cli_lines_open(&lines, path, err);
    while (status == TRAWL_OK && (status = cli_lines_next(&lines, &line, &n, err)) == TRAWL_OK && line) {
        struct trawl_error row_err = {0};
        if (cli_interrupted()) {
            status = tw_fail(err, TRAWL_ERR_CANCELLED, "interrupted after line %llu of %s",
                             (unsigned long long)lines.number - 1, lines.name);
            break;
        }
        if (is_blank(line, n)) {
            continue;
        }
        status = write_row(job, line, n, &row_err, err);
        if (status == TRAWL_OK && row_err.message[0]) {
            cli_progress_say(&progress, "trawl tokenize: %s line %llu: %s", lines.name,
                             (unsigned long long)lines.number, row_err.message);
        }
        n_ids += job->ids.size;
        cli_progress_update(&progress, job->n_rows, n_ids);
    }
    cli_progress_finish(&progress);
    cli_lines_close(&lines);
    return status;
}

/* A piece as it can be shown in one line. */
static trawl_status put_piece(struct tw_json_writer *w, const struct tw_tokenizer *tokenizer, int32_t id)
{
    size_t n;
    const char *piece = tw_tokenizer_piece(tokenizer, id, &n);
    tw_json_string_n(w, piece ? piece : "", n);
    return w->status;
}

static trawl_status show_text(struct job *job, const char *text, struct trawl_error *err)
{
    struct cli_table table;
    struct tw_json_writer w;
    TW_TRY(tw_encode(job->encoder, text, strlen(text), &job->options, &job->ids, err));
    cli_table_init(&table, "rll");
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; i < job->ids.size && status == TRAWL_OK; i++) {
        int32_t id = job->ids.data[i];
        tw_str_reset(&job->row);
        tw_json_writer_init(&w, &job->row, 0);
        status = put_piece(&w, job->tokenizer, id);
        if (status == TRAWL_OK) {
            status = tw_json_writer_finish(&w, err);
        }
        if (status == TRAWL_OK) {
            status = cli_table_add(&table, err, "%d", id);
        }
        if (status == TRAWL_OK) {
            status = cli_table_add(&table, err, "%s", tw_str_text(&job->row));
        }
        if (status == TRAWL_OK) {
            status = cli_table_add(&table, err, "%s",
                                   tw_tokenizer_is_special(job->tokenizer, id) ? "special" : "");
        }
    }
    tw_str_reset(&job->text);
    if (status == TRAWL_OK) {
        status = cli_table_print(&table, 0, false, &job->text, err);
    }
    cli_table_release(&table);
    return status == TRAWL_OK ? cli_write(tw_str_text(&job->text), job->text.size, err) : status;
}

static trawl_status run(struct job *job, const struct cli_args *args, struct trawl_error *err)
{
    char *folder = NULL;
    TW_TRY(cli_model_folder(cli_get_string(args, "model_path"), &folder, err));
    trawl_status status = tw_tokenizer_open(folder, &job->tokenizer, err);
    tw_free(folder);
    TW_TRY(status);
    TW_TRY(tw_encoder_new(job->tokenizer, &job->encoder, err));
    job->options.no_special = cli_get_flag(args, "no_special");
    job->options.no_added   = cli_get_flag(args, "no_added");
    if (cli_given(args, "text")) {
        return show_text(job, cli_get_string(args, "text"), err);
    }
    return convert_file(job, cli_get_string(args, "file"), cli_get_flag(args, "quiet"), err);
}

int cmd_tokenize(const struct cli_args *args, struct trawl_error *err)
{
    struct job job = {0};
    if (cli_given(args, "text") && cli_given(args, "file")) {
        return cli_exit_code(tw_fail(err, TRAWL_ERR_INVALID, "--text and --file exclude each other"));
    }
    tw_str_init(&job.text, 0);
    tw_str_init(&job.row, 0);
    int code = cli_exit_code(run(&job, args, err));
    tw_ids_release(&job.ids);
    tw_str_release(&job.text);
    tw_str_release(&job.row);
    tw_encoder_free(job.encoder);
    tw_tokenizer_close(job.tokenizer);
    if (code == CLI_EXIT_DONE && job.n_failed > 0) {
        (void)tw_fail(err, TRAWL_ERR_FORMAT, "%llu of %llu rows failed", (unsigned long long)job.n_failed,
                      (unsigned long long)job.n_rows);
        code = CLI_EXIT_INCOMPLETE;
    }
    return code;
}
