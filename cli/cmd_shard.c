/* SPDX-License-Identifier: MIT */
/* Weights in the layout of the kernels, on disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/thread.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/model_folder.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "kernels/kernels.h"
#include "model/model_packed.h"

enum { MIB = 1 << 20 };

static void print_log(void *user, int level, const char *message)
{
    (void)user;
    (void)fprintf(stderr, "trawl: %s%s\n", level == TW_LOG_WARNING ? "warning: " : "", message);
}

static bool tick(void *user, uint64_t done, uint64_t total)
{
    (void)total;
    cli_progress_update(user, done / MIB, 0);
    return !cli_interrupted();
}

static trawl_status say(const char *folder, uint64_t bytes, const char *what, double seconds,
                        struct trawl_error *err)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = tw_str_printf(&text, err, "%s/" TW_PACKED_FILE ": %.3f GiB, %s\n", folder,
                                        (double)bytes / (1024.0 * MIB), what);
    if (status == TRAWL_OK) {
        status = cli_write(tw_str_text(&text), text.size, err);
    }
    tw_str_release(&text);
    (void)fprintf(stderr, "%.1f s, %.2f GB/s\n", seconds, (double)bytes / seconds / 1e9);
    return status;
}

/* Unless it was said: where those who map the file here would take compressed weights from the checkpoint too. */
static trawl_status shall_compress(const struct cli_args *args, bool *out, struct trawl_error *err)
{
    struct tw_kernels kernels;
    TW_TRY(tw_kernels_init(&kernels, getenv("TRAWL_ISA"), err));
    *out = cli_get_int_or(args, "compress_weights", kernels.compressed) != 0;
    return TRAWL_OK;
}

static trawl_status pack(const struct cli_args *args, const char *folder, int n_threads,
                         struct trawl_error *err)
{
    const struct tw_log log = {.fn = print_log, .max_level = TW_LOG_INFO};
    struct cli_progress progress;
    struct tw_packed_result result;
    struct tw_packed_job job = {
        .folder     = folder,
        .output_dir = cli_get_string(args, "output_dir"),
        .compute    = strcmp(cli_get_string(args, "dtype"), "float32") == 0 ? TW_DTYPE_F32 : TW_DTYPE_BF16,
        .n_threads  = n_threads,
        .log        = &log,
        .on_tick    = tick,
        .user       = &progress,
    };
    TW_TRY(shall_compress(args, &job.compress, err));
    uint64_t start = tw_clock_ns();
    cli_progress_start(&progress, "shard", "MiB", 0, cli_get_flag(args, "quiet"));
    trawl_status status = tw_packed_write(&job, &result, err);
    cli_progress_finish(&progress);
    TW_TRY(status);
    char what[128], hex[17];
    tw_hash_hex(result.fingerprint, hex);
    const char *serves = "bfloat16";
    if (result.exact) {
        serves = result.weight == TW_DTYPE_BF16 ? "bfloat16 and float32" : "float32";
    }
    (void)snprintf(what, sizeof what, "%s, serves %s, weights %s",
                   result.n_compressed > 0 ? "compressed" : "plain", serves, hex);
    return say(job.output_dir, result.file_bytes, what, (double)(tw_clock_ns() - start) / 1e9, err);
}

static trawl_status verify(const char *folder, int n_threads, struct trawl_error *err)
{
    uint64_t bytes = 0;
    uint64_t start = tw_clock_ns();
    TW_TRY(tw_packed_verify(folder, n_threads, &bytes, err));
    return say(folder, bytes, "every checksum is right", (double)(tw_clock_ns() - start) / 1e9, err);
}

int cmd_shard(const struct cli_args *args, struct trawl_error *err)
{
    char *folder  = NULL;
    int n_threads = (int)cli_get_int_or(args, "threads", tw_cores_available());
    bool check    = cli_get_flag(args, "verify");
    if (check == cli_has(args, "output_dir")) {
        return cli_exit_code(tw_fail(err, TRAWL_ERR_INVALID,
                                     check ? "--verify writes nothing: leave --output_dir out"
                                           : "--output_dir DIR is missing: where the packed weights go"));
    }
    trawl_status status = cli_model_folder(cli_get_string(args, "model_path"), &folder, err);
    if (status == TRAWL_OK) {
        status = check ? verify(folder, n_threads, err) : pack(args, folder, n_threads, err);
    }
    tw_free(folder);
    return cli_exit_code(status);
}
