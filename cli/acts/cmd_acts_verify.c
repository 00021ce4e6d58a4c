/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "cli/acts/acts_recompute.h"
#include "cli/cmd.h"
#include "cli/model_folder.h"
#include "cli/terminal.h"
#include "store/store.h"

static trawl_status recompute(const struct cli_args *args, struct cli_acts_recompute *c,
                              struct tw_str *report, struct trawl_error *err)
{
    struct cli_mesh mesh = cli_get_mesh(args, "mesh_shape");
    char *folder         = NULL;
    if (cli_get_string(args, "model_path") == NULL) {
        return TRAWL_OK;
    }
    TW_TRY(cli_model_folder_checked(cli_get_string(args, "model_path"), &folder, err));
    *c                  = (struct cli_acts_recompute){.dir        = cli_operand(args, 0),
                                                      .model_path = folder,
                                                      .samples    = (size_t)cli_get_int(args, "samples"),
                                                      .seed       = (uint64_t)cli_get_int(args, "random_seed"),
                                                      .mesh_data  = mesh.automatic ? 1 : mesh.data,
                                                      .mesh_model = mesh.automatic ? 1 : mesh.model,
                                                      .threads    = (int)cli_get_int_or(args, "threads", 0),
                                                      .batch_size = (size_t)cli_get_int(args, "batch_size"),
                                                      .quiet      = cli_get_flag(args, "quiet")};
    trawl_status status = cli_acts_recompute(c, report, err);
    tw_free(folder);
    return status;
}

static void print_summary(const struct tw_store_check *check, const struct cli_acts_recompute *c)
{
    uint64_t problems = check->problems + c->problems;
    (void)fprintf(stderr, "trawl acts verify: %" PRIu64 " files, %" PRIu64 " bytes", check->files,
                  check->bytes);
    if (check->content) {
        (void)fprintf(stderr, ", statistics of %" PRIu64 " rows of each site", check->rows);
    }
    if (c->samples > 0) {
        (void)fprintf(stderr, "; %" PRIu64 " of %" PRIu64 " requests with %" PRIu64 " rows computed again",
                      c->checked, c->requests, c->rows);
    }
    (void)fprintf(stderr, ": %" PRIu64 " problem%s\n", problems, problems == 1 ? "" : "s");
    if (c->requests > c->candidates) {
        (void)fprintf(stderr,
                      "trawl acts verify: %" PRIu64
                      " requests lack rows of their first tokens and were not among those "
                      "that could be computed again\n",
                      c->requests - c->candidates);
    }
}

int cmd_acts_verify(const struct cli_args *args, struct trawl_error *err)
{
    struct tw_store_check check = {0};
    struct cli_acts_recompute c = {0};
    struct tw_str report;
    tw_str_init(&report, 0);
    trawl_status status = tw_store_verify(cli_operand(args, 0), &check, &report, err);
    if (status == TRAWL_OK && check.problems == check.extra) { /* of damaged files nothing can be expected */
        status = recompute(args, &c, &report, err);
    }
    if (report.size > 0) {
        trawl_status written = cli_write(report.data, report.size, status == TRAWL_OK ? err : NULL);
        status               = status == TRAWL_OK ? written : status;
    }
    if (status == TRAWL_OK) {
        print_summary(&check, &c);
    }
    tw_str_release(&report);
    return status != TRAWL_OK                ? cli_exit_code(status)
           : check.problems + c.problems > 0 ? CLI_EXIT_FAILED
                                             : CLI_EXIT_DONE;
}
