/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_prompt.h"

#include <string.h>

#include "apps/arc/arc_prompt_builtin.h"
#include "base/alloc.h"
#include "base/file.h"
#include "text/text_template.h"

enum { TEMPLATE_FILE_MAX = 1 << 20 };

struct tw_arc_prompt {
    enum tw_arc_answer_kind answer;
    struct tw_arc_encoder encoder;
    const char *opening; /* a literal */
    char *name;
    char *system;
    size_t system_size;
    struct tw_template *user;
    struct tw_template *assistant;
};

static const struct tw_arc_prompt_version VERSIONS[] = {
    {"output-from-examples-v0", TW_ARC_ANSWER_GRID, NULL},
    {"output-from-examples-v1", TW_ARC_ANSWER_GRID, NULL},
    {"input-from-inputs-v0", TW_ARC_ANSWER_GRID, NULL},
    {"output-from-outputs-v0", TW_ARC_ANSWER_GRID, NULL},
    {"code-from-examples-v0", TW_ARC_ANSWER_CODE, NULL},
    {"code-from-examples-v1", TW_ARC_ANSWER_CODE, NULL},
    {"code-from-examples-v2", TW_ARC_ANSWER_CODE, NULL},
    {"code-from-examples-v3", TW_ARC_ANSWER_CODE, NULL},
    {"output-from-code-v0", TW_ARC_ANSWER_GRID, "the code of a solution (code)"},
    {"select-output-from-examples-v0", TW_ARC_ANSWER_INDEX,
     "proposed outputs to choose from (test_output_choices)"},
    {"verify-output-from-examples-v0", TW_ARC_ANSWER_YES_NO, "a proposed output to judge (test_output)"},
    {NULL, TW_ARC_ANSWER_GRID, NULL},
};

const struct tw_arc_prompt_version *tw_arc_prompt_versions(void)
{
    return VERSIONS;
}

/* ---- opening ---- */

static trawl_status unknown_version(const char *name, struct trawl_error *err)
{
    struct tw_str list;
    tw_str_init(&list, 0);
    trawl_status status = TRAWL_OK;
    for (const struct tw_arc_prompt_version *v = VERSIONS; v->name != NULL && status == TRAWL_OK; v++) {
        if (v->needs == NULL) {
            status = tw_str_printf(&list, err, "%s%s", list.size == 0 ? "" : ", ", v->name);
        }
    }
    if (status == TRAWL_OK) {
        status = tw_fail(err, TRAWL_ERR_INVALID, "unknown prompt version \"%s\", expected one of %s", name,
                         tw_str_text(&list));
    }
    tw_str_release(&list);
    return status;
}

/* The encoder's texts begin with the fence or they do not, whatever the grid. */
static trawl_status choose_opening(struct tw_arc_prompt *p, struct trawl_error *err)
{
    static const char fence[] = "```grid";
    struct tw_arc_grid grid;
    struct tw_str text;
    p->opening = "";
    if (p->answer == TW_ARC_ANSWER_CODE) {
        p->opening = "```python\n";
    }
    if (p->answer != TW_ARC_ANSWER_GRID) {
        return TRAWL_OK;
    }
    TW_TRY(tw_arc_grid_new(&grid, 1, 1, err));
    tw_str_init(&text, 0);
    trawl_status status = tw_arc_encoder_to_text(&p->encoder, &grid, &text, err);
    if (status == TRAWL_OK && strncmp(tw_str_text(&text), fence, sizeof fence - 1) == 0) {
        p->opening = fence;
    }
    tw_str_release(&text);
    tw_arc_grid_release(&grid);
    return status;
}

static trawl_status compile(struct tw_template **out, const char *source, size_t n, const char *name,
                            const char *turn, struct trawl_error *err)
{
    struct tw_str what;
    tw_str_init(&what, 0);
    trawl_status status = tw_str_printf(&what, err, "prompt %s: %s", name, turn);
    if (status == TRAWL_OK) {
        status = tw_template_compile(source, n, what.data, TW_TEMPLATE_PLAIN, out, err);
    }
    tw_str_release(&what);
    return status;
}

static trawl_status open_builtin(struct tw_arc_prompt *p, struct trawl_error *err)
{
    const struct tw_arc_prompt_text *text = tw_arc_prompt_builtin(p->name);
    if (text == NULL) {
        return unknown_version(p->name, err);
    }
    p->system_size = strlen(text->system);
    TW_TRY(tw_strdup(text->system, &p->system, err));
    TW_TRY(compile(&p->user, text->user, strlen(text->user), p->name, "user", err));
    return compile(&p->assistant, text->assistant, strlen(text->assistant), p->name, "assistant", err);
}

static trawl_status read_template_file(const char *folder, const char *file, char **text, size_t *n,
                                       struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_path_join(folder, file, &path, err));
    trawl_status status = tw_file_read(path, TEMPLATE_FILE_MAX, text, n, err);
    tw_free(path);
    return status;
}

static trawl_status compile_file(struct tw_template **out, const char *folder, const char *file,
                                 const char *name, struct trawl_error *err)
{
    char *text = NULL;
    size_t n   = 0;
    TW_TRY(read_template_file(folder, file, &text, &n, err));
    trawl_status status = compile(out, text, n, name, file, err);
    tw_free(text);
    return status;
}

static trawl_status open_folder(struct tw_arc_prompt *p, const char *dir, struct trawl_error *err)
{
    char *folder = NULL;
    if (strchr(p->name, '/') != NULL || p->name[0] == '.' || p->name[0] == '\0') {
        return tw_fail(err, TRAWL_ERR_INVALID, "prompt version \"%s\" is no name of a folder in %s", p->name,
                       dir);
    }
    TW_TRY(tw_path_join(dir, p->name, &folder, err));
    trawl_status status = TRAWL_OK;
    if (!tw_path_is_dir(folder)) {
        status = tw_fail(err, TRAWL_ERR_INVALID,
                         "%s: no such folder, prompt version \"%s\" is read from there", folder, p->name);
    }
    if (status == TRAWL_OK) {
        status = read_template_file(folder, "system.jinja", &p->system, &p->system_size, err);
    }
    if (status == TRAWL_OK) {
        status = compile_file(&p->user, folder, "user.jinja", p->name, err);
    }
    if (status == TRAWL_OK) {
        status = compile_file(&p->assistant, folder, "assistant.jinja", p->name, err);
    }
    tw_free(folder);
    return status;
}

static trawl_status open_parts(struct tw_arc_prompt *p, const char *name, const char *dir,
                               struct trawl_error *err)
{
    for (const struct tw_arc_prompt_version *v = VERSIONS; v->name != NULL; v++) {
        if (strcmp(v->name, name) != 0) {
            continue;
        }
        p->answer = v->answer;
        if (v->needs != NULL) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                           "prompt version %s needs %s, which a data set does not have", name, v->needs);
        }
    }
    TW_TRY(tw_strdup(name, &p->name, err));
    TW_TRY(choose_opening(p, err));
    return dir == NULL ? open_builtin(p, err) : open_folder(p, dir, err);
}

trawl_status tw_arc_prompt_open(struct tw_arc_prompt **out, const char *name, const char *dir,
                                const struct tw_arc_encoder *encoder, struct trawl_error *err)
{
    struct tw_arc_prompt *p = NULL;
    *out                    = NULL;
    TW_TRY(tw_alloc(1, sizeof *p, &p, err));
    p->encoder          = *encoder;
    trawl_status status = open_parts(p, name, dir, err);
    if (status != TRAWL_OK) {
        tw_arc_prompt_free(p);
        return status;
    }
    *out = p;
    return TRAWL_OK;
}

void tw_arc_prompt_free(struct tw_arc_prompt *p)
{
    if (p == NULL) {
        return;
    }
    tw_template_free(p->user);
    tw_template_free(p->assistant);
    tw_free(p->system);
    tw_free(p->name);
    tw_free(p);
}

enum tw_arc_answer_kind tw_arc_prompt_answer(const struct tw_arc_prompt *p)
{
    return p->answer;
}

const struct tw_arc_encoder *tw_arc_prompt_encoder(const struct tw_arc_prompt *p)
{
    return &p->encoder;
}

const char *tw_arc_prompt_opening(const struct tw_arc_prompt *p)
{
    return p->opening;
}

/* ---- rendering ---- */

static trawl_status no_memory(struct trawl_error *err)
{
    return tw_fail(err, TRAWL_ERR_NOMEM, "out of memory for a prompt");
}

/* object[key] = the grid seen through the augmentation, as text. */
static trawl_status set_grid(json_t *object, const char *key, const struct tw_arc_prompt *p,
                             const struct tw_arc_augment *a, const struct tw_arc_grid *grid,
                             struct trawl_error *err)
{
    struct tw_arc_grid seen;
    struct tw_str text;
    TW_TRY(tw_arc_augment_apply(a, grid, &seen, err));
    tw_str_init(&text, 0);
    trawl_status status = tw_arc_encoder_to_text(&p->encoder, &seen, &text, err);
    if (status == TRAWL_OK &&
        json_object_set_new(object, key, json_stringn(tw_str_text(&text), text.size)) != 0) {
        status = no_memory(err);
    }
    tw_str_release(&text);
    tw_arc_grid_release(&seen);
    return status;
}

static trawl_status fill_variables(json_t *variables, const struct tw_arc_prompt *p,
                                   const struct tw_arc_task *task, int idx, const struct tw_arc_augment *a,
                                   struct trawl_error *err)
{
    json_t *samples = json_array();
    if (json_object_set_new(variables, "train_samples", samples) != 0 ||
        json_object_set_new(variables, "output", json_string(p->opening)) != 0) {
        return no_memory(err);
    }
    for (int i = 0; i < task->n_train; i++) {
        const struct tw_arc_pair *pair = &task->train[a->train_order[i]];
        json_t *sample                 = json_object();
        if (json_array_append_new(samples, sample) != 0) {
            return no_memory(err);
        }
        TW_TRY(set_grid(sample, "input", p, a, &pair->input, err));
        TW_TRY(set_grid(sample, "output", p, a, &pair->output, err));
    }
    return set_grid(variables, "test_input", p, a, &task->test[idx].input, err);
}

static trawl_status add_message(json_t *messages, const char *role, const char *text, size_t n,
                                struct trawl_error *err)
{
    json_t *message = json_object();
    if (json_array_append_new(messages, message) != 0 ||
        json_object_set_new(message, "role", json_string(role)) != 0 ||
        json_object_set_new(message, "content", json_stringn(text, n)) != 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "the prompt's %s text is not UTF-8", role);
    }
    return TRAWL_OK;
}

static trawl_status add_rendered(json_t *messages, const char *role, const struct tw_template *t,
                                 const json_t *variables, struct trawl_error *err)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = tw_template_render(t, variables, NULL, &text, err);
    if (status == TRAWL_OK) {
        status = add_message(messages, role, tw_str_text(&text), text.size, err);
    }
    tw_str_release(&text);
    return status;
}

static trawl_status fill_messages(json_t *messages, const struct tw_arc_prompt *p, const json_t *variables,
                                  struct trawl_error *err)
{
    TW_TRY(add_message(messages, "system", p->system, p->system_size, err));
    TW_TRY(add_rendered(messages, "user", p->user, variables, err));
    return add_rendered(messages, "assistant", p->assistant, variables, err);
}

static const char *find_last(const char *text, size_t n, const char *what)
{
    size_t k          = strlen(what);
    const char *found = NULL;
    for (const char *at = text; (at = memmem(at, (size_t)(text + n - at), what, k)) != NULL; at += k) {
        found = at;
    }
    return found;
}

static size_t without_trailing_space(const char *s, size_t n)
{
    while (n > 0 && memchr(" \t\r\n", s[n - 1], 4) != NULL) {
        n--;
    }
    return n;
}

/* Where the assistant's turn ends in text[0..n), which ends with that turn. */
static trawl_status find_cut(const struct tw_arc_chat *chat, const char *text, size_t n,
                             const json_t *assistant, size_t *cut, struct trawl_error *err)
{
    const char *const markers[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", chat->eos_token};
    const char *at              = NULL;
    for (size_t i = 0; i < sizeof markers / sizeof markers[0] && at == NULL; i++) {
        if (markers[i] != NULL && markers[i][0] != '\0') {
            at = find_last(text, n, markers[i]);
        }
    }
    if (at == NULL) {
        return tw_fail(
            err, TRAWL_ERR_UNSUPPORTED,
            "the chat template ends no turn with <|eot_id|>, <|im_end|>, <|end|> or the tokenizer's end "
            "token (%s), so the prompt cannot be left open",
            chat->eos_token == NULL ? "it names none" : chat->eos_token);
    }
    *cut               = (size_t)(at - text);
    const char *answer = json_string_value(assistant);
    size_t answer_n    = without_trailing_space(answer, json_string_length(assistant));
    size_t end         = without_trailing_space(text, *cut);
    if (end < answer_n || memcmp(text + end - answer_n, answer, answer_n) != 0) {
        return tw_fail(
            err, TRAWL_ERR_UNSUPPORTED,
            "the chat template's last end marker does not follow the assistant's text, so the prompt cannot "
            "be left open");
    }
    return TRAWL_OK;
}

static trawl_status render_turns(const struct tw_arc_prompt *p, const struct tw_arc_chat *chat,
                                 json_t *variables, json_t *messages, struct tw_str *out,
                                 struct trawl_error *err)
{
    size_t start = out->size;
    size_t cut   = 0;
    TW_TRY(fill_messages(messages, p, variables, err));
    TW_TRY(chat->render(chat->user, messages, out, err));
    TW_TRY(find_cut(chat, tw_str_text(out) + start, out->size - start,
                    json_object_get(json_array_get(messages, 2), "content"), &cut, err));
    out->size            = start + cut;
    out->data[out->size] = '\0';
    return TRAWL_OK;
}

trawl_status tw_arc_prompt_render(const struct tw_arc_prompt *p, const struct tw_arc_chat *chat,
                                  const struct tw_arc_task *task, int idx, const struct tw_arc_augment *a,
                                  struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_arc_augment_check(a, err));
    if (idx < 0 || idx >= task->n_test || a->n_train != task->n_train) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "task \"%s\" has %d test inputs and %d training pairs, not %d and %d", task->id,
                       task->n_test, task->n_train, idx + 1, a->n_train);
    }
    json_t *variables   = json_object();
    json_t *messages    = json_array();
    trawl_status status = variables == NULL || messages == NULL ? no_memory(err) : TRAWL_OK;
    if (status == TRAWL_OK) {
        status = fill_variables(variables, p, task, idx, a, err);
    }
    if (status == TRAWL_OK) {
        status = render_turns(p, chat, variables, messages, out, err);
    }
    json_decref(variables);
    json_decref(messages);
    return status;
}

/* ---- answers ---- */

trawl_status tw_arc_prompt_read_answer(const struct tw_arc_prompt *p, const struct tw_arc_augment *a,
                                       const char *response, size_t n, struct tw_arc_grid *grid,
                                       struct trawl_error *err)
{
    *grid = (struct tw_arc_grid){0, 0, NULL};
    if (p->answer != TW_ARC_ANSWER_GRID) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "prompt version %s is answered with code, not with a grid",
                       p->name);
    }
    struct tw_arc_grid seen = {0, 0, NULL};
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = tw_str_puts(&text, p->opening, err);
    if (status == TRAWL_OK) {
        status = tw_str_append(&text, response, n, err);
    }
    if (status == TRAWL_OK) {
        status = tw_arc_encoder_to_grid(&p->encoder, tw_str_text(&text), text.size, &seen, err);
    }
    if (status == TRAWL_OK) {
        status = tw_arc_augment_invert(a, &seen, grid, err);
    }
    tw_arc_grid_release(&seen);
    tw_str_release(&text);
    return status;
}
