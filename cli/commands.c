/* SPDX-License-Identifier: MIT */
#include "cli/commands.h"

#include <string.h>

#include "cli/cmd.h"

/* Order is the order of `trawl --help`. A command of the table that is not here does not exist for users. */
static const struct cli_entry entries[] = {
    {&cli_arc_run, cmd_arc_run},
    {&cli_arc_transform, cmd_arc_transform},
    {&cli_arc_vote, cmd_arc_vote},
    {&cli_arc_score, cmd_arc_score},
    {&cli_arc_report, cmd_arc_report},
    {&cli_arc_merge, cmd_arc_merge},
    {&cli_acts_inspect, cmd_acts_inspect},
    {&cli_acts_verify, cmd_acts_verify},
    {&cli_acts_export, cmd_acts_export},
    {&cli_acts_merge, cmd_acts_merge},
    {&cli_acts_upload, cmd_acts_upload},
    {&cli_harvest, cmd_harvest},
    {&cli_gsm8k, cmd_gsm8k},
    {&cli_generate, cmd_generate},
    {&cli_serve_command, cmd_serve},
    {&cli_chat, cmd_chat},
    {&cli_trace, cmd_trace},
    {&cli_perplexity, cmd_perplexity},
    {&cli_bench, cmd_bench},
    {&cli_bench_policy, cmd_bench_policy},
    {&cli_plan, cmd_plan},
    {&cli_shard, cmd_shard},
    {&cli_pull, cmd_pull},
    {&cli_tokenize, cmd_tokenize},
    {&cli_info, cmd_info},
    {&cli_help, cmd_help},
    {&cli_man, cmd_man},
    {&cli_completions, cmd_completions},
};

static const struct cli_program program = {entries, sizeof entries / sizeof entries[0]};

const struct cli_program *cli_program(void)
{
    return &program;
}

const char *cli_version(void)
{
    return TRAWL_VERSION;
}

int cli_exit_code(trawl_status status)
{
    switch (status) {
    case TRAWL_OK: return CLI_EXIT_DONE;
    case TRAWL_ERR_INVALID: return CLI_EXIT_USAGE;
    case TRAWL_ERR_CANCELLED: return CLI_EXIT_INTERRUPTED;
    case TRAWL_ERR_NOMEM:
    case TRAWL_ERR_IO:
    case TRAWL_ERR_FORMAT:
    case TRAWL_ERR_UNSUPPORTED:
    case TRAWL_ERR_LIMIT:
    case TRAWL_ERR_COMM:
    case TRAWL_ERR_EXISTS: break;
    }
    return CLI_EXIT_FAILED;
}

/* How many words of argv the name "arc run" takes up: 0 when they differ. */
static size_t match_words(const char *name, size_t argc, const char *const *argv)
{
    size_t words = 0;
    while (*name) {
        size_t n = strcspn(name, " ");
        if (words == argc || strlen(argv[words]) != n || memcmp(argv[words], name, n) != 0) {
            return 0;
        }
        words++;
        name += n;
        name += *name == ' ';
    }
    return words;
}

const struct cli_entry *cli_find_command(const struct cli_program *p, size_t argc, const char *const *argv,
                                         size_t *n_words)
{
    const struct cli_entry *found = NULL;
    *n_words                      = 0;
    for (size_t i = 0; i < p->n_entries; i++) {
        size_t n = match_words(p->entries[i].command->name, argc, argv);
        if (n > *n_words) {
            *n_words = n;
            found    = &p->entries[i];
        }
    }
    return found;
}

static bool in_family(const struct cli_command *command, const struct cli_family *family)
{
    size_t n = strlen(family->name);
    return strncmp(command->name, family->name, n) == 0 && command->name[n] == ' ';
}

const struct cli_entry *cli_family_next(const struct cli_program *p, const struct cli_family *family,
                                        const struct cli_entry *previous)
{
    for (size_t i = previous ? (size_t)(previous - p->entries) + 1 : 0; i < p->n_entries; i++) {
        if (in_family(p->entries[i].command, family)) {
            return &p->entries[i];
        }
    }
    return NULL;
}

const struct cli_family *cli_find_family(const struct cli_program *p, const char *word)
{
    for (const struct cli_family *f = cli_families; f->name; f++) {
        if (strcmp(f->name, word) == 0 && cli_family_next(p, f, NULL)) {
            return f;
        }
    }
    return NULL;
}

const char *cli_command_nearest(const struct cli_program *p, size_t argc, const char *const *argv)
{
    char words[64];
    const char *best     = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < p->n_entries; i++) {
        /* As many typed words as the name has. */
        const char *name = p->entries[i].command->name;
        size_t n         = strlen(argv[0]);
        if (n >= sizeof words) {
            return NULL;
        }
        memcpy(words, argv[0], n + 1);
        if (strchr(name, ' ') && argc > 1 && n + 1 + strlen(argv[1]) < sizeof words) {
            words[n] = ' ';
            memcpy(words + n + 1, argv[1], strlen(argv[1]) + 1);
        }
        size_t distance = cli_edit_distance(words, strlen(words), name, strlen(name));
        if (distance < best_distance && cli_near(distance, strlen(name))) {
            best          = name;
            best_distance = distance;
        }
    }
    return best;
}
