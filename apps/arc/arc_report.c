/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_report.h"

#include <math.h>
#include <string.h>

#include "apps/arc/arc_ballot.h"
#include "apps/arc/arc_dataset.h"
#include "apps/arc/arc_render.h"
#include "apps/arc/arc_report_style.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"

/* Distinct predictions shown per test input; the rest is told as a number. */
enum { SHOWN_MAX = 24 };

enum verdict { UNKNOWN, SOLVED, MISSED };

struct report {
    const struct tw_arc_report_config *config;
    struct tw_arc_dataset tasks;
    struct tw_arc_dataset answers; /* none: those of `tasks` */
    struct tw_arc_ballots ballots;
    const struct tw_arc_ballot **of_task; /* [tasks.n], NULL: no results */
    struct tw_str page;
};

/* ---- facts ---- */

static const struct tw_arc_grid *answer_of(const struct report *r, const struct tw_arc_task *task, size_t idx)
{
    const struct tw_arc_task *known =
        r->config->solutions == NULL ? task : tw_arc_dataset_find(&r->answers, task->id);
    if (known == NULL || idx >= (size_t)known->n_test || tw_arc_grid_is_none(&known->test[idx].output)) {
        return NULL;
    }
    return &known->test[idx].output;
}

/* Whether one of the first two candidates is the answer. */
static enum verdict judge_box(const struct tw_arc_box *box, const struct tw_arc_grid *answer)
{
    if (answer == NULL) {
        return UNKNOWN;
    }
    for (size_t k = 0; k < box->n && k < 2; k++) {
        if (tw_arc_grid_equal(&box->candidates[k].grid, answer)) {
            return SOLVED;
        }
    }
    return MISSED;
}

/* Solved when every test is; unknown when any answer is. */
static enum verdict judge_task(const struct report *r, const struct tw_arc_task *task,
                               const struct tw_arc_ballot *b)
{
    enum verdict verdict = SOLVED;
    for (size_t i = 0; i < b->n_test; i++) {
        enum verdict v = judge_box(&b->tests[i], answer_of(r, task, i));
        if (v == UNKNOWN) {
            return UNKNOWN;
        }
        verdict = v == MISSED ? MISSED : verdict;
    }
    return b->n_test == (size_t)task->n_test ? verdict : MISSED;
}

static const char *verdict_class(enum verdict v)
{
    return v == SOLVED ? "good" : v == MISSED ? "bad" : "open";
}

/* ---- text ---- */

static trawl_status put_escaped(struct tw_str *out, const char *s, struct trawl_error *err)
{
    for (; *s != '\0'; s++) {
        const char *escape = *s == '&'   ? "&amp;"
                             : *s == '<' ? "&lt;"
                             : *s == '>' ? "&gt;"
                             : *s == '"' ? "&quot;"
                                         : NULL;
        if (escape != NULL) {
            TW_TRY(tw_str_puts(out, escape, err));
        } else {
            TW_TRY(tw_str_putc(out, *s, err));
        }
    }
    return TRAWL_OK;
}

/* Pixels a cell, so that small grids can be seen and large ones fit. */
static int pixels_for(int side)
{
    return side <= 4 ? 24 : side <= 8 ? 18 : side <= 14 ? 13 : side <= 20 ? 10 : side <= 30 ? 8 : 3;
}

static int longest_side(const struct tw_arc_grid *g, int side)
{
    int own = g->rows > g->cols ? g->rows : g->cols;
    return own > side ? own : side;
}

/* One size of cell for the whole task, so that grids can be compared by eye. */
static int task_pixels(const struct report *r, const struct tw_arc_task *task)
{
    int side = 0;
    for (int i = 0; i < task->n_train; i++) {
        side = longest_side(&task->train[i].output, longest_side(&task->train[i].input, side));
    }
    for (int i = 0; i < task->n_test; i++) {
        const struct tw_arc_grid *answer = answer_of(r, task, (size_t)i);
        side                             = longest_side(&task->test[i].input, side);
        side                             = answer == NULL ? side : longest_side(answer, side);
    }
    return pixels_for(side);
}

/* A prediction may be far larger than the task's grids. */
static trawl_status put_grid(struct tw_str *out, const struct tw_arc_grid *g, int pixels,
                             struct trawl_error *err)
{
    int own = pixels_for(longest_side(g, 0));
    return tw_arc_render_svg(g, own < pixels ? own : pixels, out, err);
}

static trawl_status put_figure(struct tw_str *out, const struct tw_arc_grid *g, int pixels,
                               const char *caption, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, "<figure>", err));
    TW_TRY(put_grid(out, g, pixels, err));
    return tw_str_printf(out, err, "<figcaption>%s<br>%d &times; %d</figcaption></figure>", caption, g->rows,
                         g->cols);
}

/* ---- parts of a task ---- */

static trawl_status put_train(struct tw_str *out, const struct tw_arc_task *task, int pixels,
                              struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, "<div class=\"part\"><h3>Training pairs</h3><div class=\"row\">", err));
    for (int i = 0; i < task->n_train; i++) {
        TW_TRY(tw_str_puts(out, "<div class=\"pair\">", err));
        TW_TRY(put_grid(out, &task->train[i].input, pixels, err));
        TW_TRY(tw_str_puts(out, "<span class=\"arrow\">&rarr;</span>", err));
        TW_TRY(put_grid(out, &task->train[i].output, pixels, err));
        TW_TRY(tw_str_puts(out, "</div>", err));
    }
    return tw_str_puts(out, "</div></div>\n", err);
}

static trawl_status put_candidate(struct tw_str *out, const struct tw_arc_candidate *c,
                                  const struct tw_arc_box *box, const struct tw_arc_grid *answer, int pixels,
                                  struct trawl_error *err)
{
    bool right = answer != NULL && tw_arc_grid_equal(&c->grid, answer);
    TW_TRY(tw_str_puts(out, "<figure>", err));
    TW_TRY(put_grid(out, &c->grid, pixels, err));
    TW_TRY(tw_str_printf(out, err, "<figcaption><b>%d of %zu</b>", c->votes, box->n_predictions));
    if (answer != NULL) {
        TW_TRY(tw_str_printf(out, err, "<span class=\"tag %s\">%s</span>", right ? "good" : "bad",
                             right ? "correct" : "wrong"));
    }
    TW_TRY(tw_str_printf(out, err, "<br>%d &times; %d", c->grid.rows, c->grid.cols));
    if (c->scored > 0) {
        TW_TRY(tw_str_printf(out, err, "<br>log p %.3f a token", tw_arc_candidate_logprob(c)));
    }
    return tw_str_puts(out, "</figcaption></figure>", err);
}

static trawl_status put_reasons(struct tw_str *out, const struct tw_arc_box *box, struct trawl_error *err)
{
    int n = 0;
    for (size_t i = 0; i < box->n_reasons; i++) {
        n += box->reasons[i].count;
    }
    if (n == 0) {
        return TRAWL_OK;
    }
    TW_TRY(tw_str_printf(out, err, "<details><summary>%d of %zu answers are no grid</summary><ul>", n,
                         box->n_predictions));
    for (size_t i = 0; i < box->n_reasons; i++) {
        TW_TRY(tw_str_printf(out, err, "<li>%d &times; ", box->reasons[i].count));
        TW_TRY(put_escaped(out, box->reasons[i].text, err));
        TW_TRY(tw_str_puts(out, "</li>", err));
    }
    return tw_str_puts(out, "</ul></details>", err);
}

static trawl_status put_predictions(struct tw_str *out, const struct tw_arc_box *box,
                                    const struct tw_arc_grid *answer, int pixels, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, "<div class=\"box\"><h3>Predictions</h3><div class=\"row\">", err));
    for (size_t k = 0; k < box->n && k < SHOWN_MAX; k++) {
        TW_TRY(put_candidate(out, &box->candidates[k], box, answer, pixels, err));
    }
    if (box->n == 0) {
        TW_TRY(tw_str_puts(out, "<span class=\"none\">no grid was predicted</span>", err));
    }
    TW_TRY(tw_str_puts(out, "</div>", err));
    if (box->n > SHOWN_MAX) {
        TW_TRY(tw_str_printf(out, err, "<p class=\"none\">and %zu other grids</p>", box->n - SHOWN_MAX));
    }
    TW_TRY(put_reasons(out, box, err));
    return tw_str_puts(out, "</div>", err);
}

static trawl_status put_test(struct report *r, const struct tw_arc_task *task, const struct tw_arc_ballot *b,
                             size_t idx, struct trawl_error *err)
{
    struct tw_str *out               = &r->page;
    const struct tw_arc_grid *answer = answer_of(r, task, idx);
    int pixels                       = task_pixels(r, task);
    TW_TRY(tw_str_puts(out, "<div class=\"part test\"><div>", err));
    TW_TRY(tw_str_printf(out, err, "<h3>Test %zu</h3><div class=\"row\">", idx + 1));
    TW_TRY(put_figure(out, &task->test[idx].input, pixels, "input", err));
    if (answer != NULL) {
        TW_TRY(put_figure(out, answer, pixels, "solution", err));
    }
    TW_TRY(tw_str_puts(out, "</div></div>", err));
    TW_TRY(put_predictions(out, &b->tests[idx], answer, pixels, err));
    return tw_str_puts(out, "</div>\n", err);
}

static trawl_status put_task(struct report *r, size_t place, struct trawl_error *err)
{
    static const char *const verdicts[] = {
        [UNKNOWN] = "answer not known", [SOLVED] = "solved", [MISSED] = "not solved"};
    const struct tw_arc_task *task = &r->tasks.tasks[place];
    const struct tw_arc_ballot *b  = r->of_task[place];
    enum verdict verdict           = judge_task(r, task, b);
    TW_TRY(tw_str_printf(&r->page, err, "<section id=\"t%zu\"><div class=\"head\"><h2>", place));
    TW_TRY(put_escaped(&r->page, task->id, err));
    TW_TRY(tw_str_printf(&r->page, err, "</h2><span class=\"tag %s\">%s</span></div>\n",
                         verdict_class(verdict), verdicts[verdict]));
    TW_TRY(put_train(&r->page, task, task_pixels(r, task), err));
    for (size_t i = 0; i < b->n_test && i < (size_t)task->n_test; i++) {
        TW_TRY(put_test(r, task, b, i, err));
    }
    return tw_str_puts(&r->page, "</section>\n", err);
}

/* ---- the page ---- */

struct sums {
    size_t tasks;
    size_t tests;
    size_t solved_tasks;
    size_t judged_tasks;
    size_t predictions;
    size_t grids;
};

static struct sums sum_up(const struct report *r)
{
    struct sums s = {0};
    for (size_t t = 0; t < r->tasks.n; t++) {
        const struct tw_arc_ballot *b = r->of_task[t];
        if (b == NULL) {
            continue;
        }
        enum verdict v = judge_task(r, &r->tasks.tasks[t], b);
        s.tasks++;
        s.tests += b->n_test;
        s.solved_tasks += v == SOLVED;
        s.judged_tasks += v != UNKNOWN;
        for (size_t i = 0; i < b->n_test; i++) {
            s.predictions += b->tests[i].n_predictions;
            for (size_t k = 0; k < b->tests[i].n; k++) {
                s.grids += (size_t)b->tests[i].candidates[k].votes;
            }
        }
    }
    return s;
}

static trawl_status put_head(struct tw_str *out, const struct report *r, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out,
                       "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                       "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                       "<title>ARC predictions</title>\n<style>\n",
                       err));
    TW_TRY(tw_str_puts(out, tw_arc_report_style(), err));
    for (int c = 0; c < TW_ARC_COLORS; c++) {
        TW_TRY(tw_str_printf(out, err, ".k%d{fill:%s}", c, tw_arc_color_hex(c)));
    }
    TW_TRY(
        tw_str_puts(out, "\n</style></head><body><main>\n<h1>ARC predictions</h1>\n<p class=\"sub\">", err));
    TW_TRY(put_escaped(out, r->config->results, err));
    return tw_str_puts(out, "</p>\n", err);
}

static trawl_status put_sums(struct tw_str *out, const struct report *r, struct trawl_error *err)
{
    struct sums s = sum_up(r);
    TW_TRY(tw_str_puts(out, "<div class=\"sums\">", err));
    if (s.judged_tasks > 0) {
        TW_TRY(tw_str_printf(out, err, "<div><b>%zu of %zu</b><span>tasks solved by two votes</span></div>",
                             s.solved_tasks, s.judged_tasks));
    }
    TW_TRY(
        tw_str_printf(out, err,
                      "<div><b>%zu</b><span>tasks</span></div><div><b>%zu</b><span>test inputs</span></div>"
                      "<div><b>%zu</b><span>predictions</span></div>",
                      s.tasks, s.tests, s.predictions));
    if (s.predictions > 0) {
        TW_TRY(tw_str_printf(out, err, "<div><b>%.1f%%</b><span>of them are grids</span></div>",
                             100 * (double)s.grids / (double)s.predictions));
    }
    return tw_str_puts(out, "</div>\n", err);
}

static trawl_status put_links(struct tw_str *out, const struct report *r, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, "<nav>", err));
    for (size_t t = 0; t < r->tasks.n; t++) {
        if (r->of_task[t] == NULL) {
            continue;
        }
        const struct tw_arc_task *task = &r->tasks.tasks[t];
        TW_TRY(tw_str_printf(out, err, "<a href=\"#t%zu\" class=\"%s\">", t,
                             verdict_class(judge_task(r, task, r->of_task[t]))));
        TW_TRY(put_escaped(out, task->id, err));
        TW_TRY(tw_str_puts(out, "</a>", err));
    }
    return tw_str_puts(out, "</nav>\n", err);
}

static trawl_status put_page(struct report *r, struct trawl_error *err)
{
    TW_TRY(put_head(&r->page, r, err));
    TW_TRY(put_sums(&r->page, r, err));
    TW_TRY(put_links(&r->page, r, err));
    for (size_t t = 0; t < r->tasks.n; t++) {
        if (r->of_task[t] != NULL) {
            TW_TRY(put_task(r, t, err));
        }
    }
    return tw_str_puts(&r->page, "</main></body></html>\n", err);
}

static trawl_status match(struct report *r, const struct tw_log *log, struct trawl_error *err)
{
    TW_TRY(tw_alloc(r->tasks.n, sizeof *r->of_task, &r->of_task, err));
    size_t n = 0;
    for (size_t i = 0; i < r->ballots.n; i++) {
        const struct tw_arc_ballot *b  = &r->ballots.tasks[i];
        const struct tw_arc_task *task = tw_arc_dataset_find(&r->tasks, b->task_id);
        if (task == NULL) {
            tw_log(log, TW_LOG_WARNING, "%s: task \"%s\" is not in %s; it is left out", r->config->results,
                   b->task_id, r->config->dataset);
            continue;
        }
        if (b->n_test > (size_t)task->n_test) {
            return tw_fail(err, TRAWL_ERR_FORMAT,
                           "%s: task \"%s\" has results for %zu test inputs, in %s it has %d",
                           r->config->results, b->task_id, b->n_test, r->config->dataset, task->n_test);
        }
        r->of_task[task - r->tasks.tasks] = b;
        n++;
    }
    if (n == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: no result belongs to a task of %s", r->config->results,
                       r->config->dataset);
    }
    return TRAWL_OK;
}

static trawl_status make(struct report *r, const struct tw_log *log, struct trawl_error *err)
{
    TW_TRY(tw_arc_dataset_load(&r->tasks, r->config->dataset, 0, log, err));
    if (r->config->solutions != NULL) {
        TW_TRY(tw_arc_solutions_load(&r->answers, r->config->solutions, log, err));
    }
    TW_TRY(tw_arc_ballots_read(&r->ballots, r->config->results, err));
    TW_TRY(match(r, log, err));
    TW_TRY(put_page(r, err));
    TW_TRY(tw_make_parent_dirs(r->config->output, err));
    return tw_file_replace(r->config->output, r->page.data, r->page.size, err);
}

trawl_status tw_arc_report(const struct tw_arc_report_config *config, const struct tw_log *log,
                           struct trawl_error *err)
{
    struct report r = {.config = config};
    tw_str_init(&r.page, 0);
    trawl_status status = make(&r, log, err);
    tw_arc_dataset_release(&r.tasks);
    tw_arc_dataset_release(&r.answers);
    tw_arc_ballots_release(&r.ballots);
    tw_free((void *)r.of_task);
    tw_str_release(&r.page);
    return status;
}
