/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "store/store_export.h"

/* Place of a word among choices that begin with the same one as an enum. */
static unsigned place(const char *word, const char *choices)
{
    size_t n;
    unsigned i = 0;
    for (const char *c; (c = cli_choice_next(&choices, &n)) != NULL; i++) {
        if (strlen(word) == n && memcmp(word, c, n) == 0) {
            return i;
        }
    }
    TW_BUG_ON(true); /* the parser takes no other word */
}

static bool tick(void *user, uint64_t done, uint64_t total)
{
    struct cli_progress *progress = user;
    progress->total               = total; /* known once the rows were counted */
    cli_progress_update(progress, done, 0);
    return !cli_interrupted();
}

static trawl_status configure(const struct cli_args *args, struct tw_export_config *c,
                              struct trawl_error *err)
{
    static const enum tw_dtype dtypes[] = {TW_DTYPE_F32, TW_DTYPE_BF16, TW_DTYPE_F16};
    const char *split                   = cli_get_string(args, "split_by");
    *c                                  = (struct tw_export_config){
                                         .dir       = cli_operand(args, 0),
                                         .output    = cli_get_string(args, "output_dir"),
                                         .format    = (enum tw_export_format)place(cli_get_string(args, "format"),
                                                                                   "npy|npz|safetensors|pkl|hf_datasets"),
                                         .only      = (enum tw_export_only)place(cli_get_string(args, "only"), "all|prompt|generated"),
                                         .max_rows  = (uint64_t)cli_get_int_or(args, "max_rows", 0),
                                         .context   = (size_t)cli_get_int_or(args, "context_size", 0),
                                         .has_dtype = cli_has(args, "dtype"),
    };
    c->n_sites = cli_get_strings(args, "sites", &c->sites);
    c->split   = split != NULL                ? (enum tw_export_split)place(split, "site|document|chunk")
                 : c->format == TW_EXPORT_PKL ? TW_EXPORT_BY_CHUNK
                                              : TW_EXPORT_BY_SITE;
    if (c->has_dtype) {
        c->dtype = dtypes[place(cli_get_string(args, "dtype"), "float32|bfloat16|float16") % 3];
    }
    if (strcmp(c->dir, c->output) == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--output_dir is the folder to be exported");
    }
    return TRAWL_OK;
}

int cmd_acts_export(const struct cli_args *args, struct trawl_error *err)
{
    struct tw_export_config c;
    struct tw_export_summary s;
    struct cli_progress progress;
    trawl_status status = configure(args, &c, err);
    if (status != TRAWL_OK) {
        return cli_exit_code(status);
    }
    c.tick = tick;
    c.user = &progress;
    cli_progress_start(&progress, "acts export", "rows", 0, cli_get_flag(args, "quiet"));
    status = tw_store_export(&c, &s, err);
    cli_progress_finish(&progress);
    if (status == TRAWL_OK) {
        (void)fprintf(stderr,
                      "trawl acts export: %" PRIu64 " rows of each site in %" PRIu64 " files, %" PRIu64
                      " bytes, in %s\n",
                      s.rows - s.left_out, s.files, s.bytes, c.output);
    }
    if (status == TRAWL_OK && c.format == TW_EXPORT_DATASETS) {
        (void)fprintf(stderr,
                      "trawl acts export: %zu tokens a row; %" PRIu64
                      " rows at the ends of requests did not fill one\n",
                      s.context, s.left_out);
    }
    return cli_exit_code(status);
}
