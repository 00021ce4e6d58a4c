/* SPDX-License-Identifier: MIT */
/* arc transform, vote, score, report: files in, files out; the work is done in apps/arc. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apps/arc/arc_merge.h"
#include "apps/arc/arc_report.h"
#include "apps/arc/arc_score.h"
#include "apps/arc/arc_transform.h"
#include "apps/arc/arc_vote.h"
#include "base/alloc.h"
#include "base/str.h"
#include "cli/cmd.h"
#include "cli/terminal.h"

/* Warnings on stderr. Of a broken data set only the first ones: they say what is wrong with it. */
struct talk {
    const char *command;
    size_t n, limit; /* messages so far, and how many are shown; 0: all */
};

static void talk_line(void *user, int level, const char *message)
{
    struct talk *talk = user;
    (void)level;
    talk->n++;
    if (talk->limit == 0 || talk->n <= talk->limit) {
        (void)fprintf(stderr, "trawl %s: %s\n", talk->command, message);
    }
}

static struct tw_log talk_log(struct talk *talk)
{
    return (struct tw_log){.fn = talk_line, .user = talk, .max_level = TW_LOG_WARNING};
}

/* ---- transform ---- */

int cmd_arc_transform(const struct cli_args *args, struct trawl_error *err)
{
    struct talk talk                        = {.command = cli_args_command(args)->name, .limit = 20};
    struct tw_log log                       = talk_log(&talk);
    struct tw_arc_transform_summary summary = {0};
    struct tw_arc_transform_config config   = {.dataset     = cli_get_string(args, "dataset"),
                                               .output_dir  = cli_get_string(args, "output_dir"),
                                               .split       = cli_get_string(args, "split"),
                                               .max_samples = cli_get_int_or(args, "max_samples", 0)};
    trawl_status status                     = tw_arc_transform(&config, &summary, &log, err);
    if (talk.n > talk.limit) {
        (void)fprintf(stderr, "trawl %s: %zu more messages, all in %s/transformation_errors.json\n",
                      talk.command, talk.n - talk.limit, config.output_dir);
    }
    if (status != TRAWL_OK) {
        return cli_exit_code(status);
    }
    (void)fprintf(stderr,
                  "%s/arc_format_%s.json: %" PRIu64 " tasks of %" PRIu64 " rows, %" PRIu64
                  " rows left out, %" PRIu64 " unusable examples dropped\n",
                  config.output_dir, config.split, summary.n_tasks, summary.n_rows, summary.n_failed_rows,
                  summary.n_dropped_pairs);
    return summary.n_failed_rows > 0 ? CLI_EXIT_INCOMPLETE : CLI_EXIT_DONE;
}

/* ---- vote ---- */

/* "x.json" -> "x_voting.json" */
static trawl_status voting_path(const char *input, char **out, struct trawl_error *err)
{
    struct tw_str path;
    size_t n = strlen(input);
    n -= n >= 5 && strcmp(input + n - 5, ".json") == 0 ? 5 : 0;
    tw_str_init(&path, 0);
    trawl_status status = tw_str_printf(&path, err, "%.*s_voting.json", (int)n, input);
    if (status == TRAWL_OK) {
        status = tw_strdup(tw_str_text(&path), out, err);
    }
    tw_str_release(&path);
    return status;
}

int cmd_arc_vote(const struct cli_args *args, struct trawl_error *err)
{
    struct tw_arc_vote_summary summary = {0};
    const char *input                  = cli_get_string(args, "input_filepath");
    const char *given                  = cli_get_string(args, "output_filepath");
    char *output                       = NULL;
    trawl_status status = given ? tw_strdup(given, &output, err) : voting_path(input, &output, err);
    if (status == TRAWL_OK) {
        status = tw_arc_vote(input, output, (int)cli_get_int(args, "n"), &summary, err);
    }
    if (status == TRAWL_OK) {
        (void)fprintf(stderr,
                      "%s: %zu tasks, %zu test inputs, %zu of %zu predictions are grids, %zu unanswered\n",
                      output, summary.n_tasks, summary.n_tests, summary.n_grids, summary.n_predictions,
                      summary.n_unanswered);
    }
    tw_free(output);
    return cli_exit_code(status);
}

/* ---- score ---- */

int cmd_arc_score(const struct cli_args *args, struct trawl_error *err)
{
    struct tw_arc_score score = {0};
    struct talk talk          = {.command = cli_args_command(args)->name};
    struct tw_log log         = talk_log(&talk);
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = tw_arc_score_files(&score, cli_get_string(args, "submission"),
                                             cli_get_string(args, "solutions"), 0, &log, err);
    if (status == TRAWL_OK) {
        status = cli_get_flag(args, "json") ? tw_arc_score_write_json(&score, &text, err)
                                            : tw_arc_score_write_text(&score, &text, err);
    }
    if (status == TRAWL_OK) {
        status = cli_write(tw_str_text(&text), text.size, err);
    }
    tw_str_release(&text);
    tw_arc_score_release(&score);
    return cli_exit_code(status);
}

/* ---- report ---- */

int cmd_arc_report(const struct cli_args *args, struct trawl_error *err)
{
    struct talk talk                   = {.command = cli_args_command(args)->name};
    struct tw_log log                  = talk_log(&talk);
    struct tw_arc_report_config config = {.results   = cli_get_string(args, "results"),
                                          .dataset   = cli_get_string(args, "dataset"),
                                          .solutions = cli_get_string(args, "solutions"),
                                          .output    = cli_get_string(args, "out")};
    return cli_exit_code(tw_arc_report(&config, &log, err));
}

/* ---- merge ---- */

int cmd_arc_merge(const struct cli_args *args, struct trawl_error *err)
{
    struct tw_arc_merge_summary summary;
    const char *const *inputs = NULL;
    size_t n                  = cli_get_strings(args, "inputs", &inputs);
    trawl_status status = tw_arc_merge(inputs, n, cli_get_string(args, "output_filepath"), &summary, err);
    if (status == TRAWL_OK) {
        (void)fprintf(stderr, "trawl arc merge: %zu shards, %zu tasks, %zu records\n", n, summary.tasks,
                      summary.records);
    }
    return cli_exit_code(status);
}
