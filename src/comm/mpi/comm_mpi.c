/* SPDX-License-Identifier: MIT */
#include "comm/mpi/comm_mpi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

/* How many processes the environment says were started together; 0: it says nothing. Slurm's word counts only
 * where it set up PMIx: tasks without that cannot find each other. */
static long started(void)
{
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    size_t n                         = sizeof sizes / sizeof sizes[0] - (getenv("PMIX_RANK") == NULL ? 1 : 0);
    for (size_t i = 0; i < n; i++) {
        const char *size = getenv(sizes[i]);
        if (size != NULL) {
            return strtol(size, NULL, 10);
        }
    }
    return 0;
}

bool tw_comm_mpi_launched(void)
{
    const char *mode = getenv("TRAWL_MPI");
    long n           = started();
    if (mode != NULL && strcmp(mode, "off") == 0) {
        return false;
    }
    return n > 1 || (n == 0 && getenv("PMIX_RANK") != NULL);
}

static const char here[] = "some address in the program or library that this code is in";

static trawl_status own_folder(char **out, struct trawl_error *err)
{
    Dl_info info;
    if (dladdr(here, &info) != 0 && info.dli_fname != NULL && strstr(info.dli_fname, ".so") != NULL) {
        return tw_path_dir(info.dli_fname, out, err);
    }
    char path[4096];
    ssize_t n           = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n < 0 ? 0 : n] = '\0';
    return tw_path_dir(path, out, err);
}

static trawl_status try_file(const char *path, void **library, struct trawl_error *err)
{
    if (access(path, F_OK) != 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "no %s", path);
    }
    /* Global: Open MPI loads parts of itself that look for the symbols of libmpi. */
    *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    return *library != NULL ? TRAWL_OK : tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: %s", path, dlerror());
}

static trawl_status try_folder(const char *folder, void **library, struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_path_join(folder, TW_COMM_MPI_FILE, &path, err));
    trawl_status status = try_file(path, library, err);
    tw_free(path);
    return status;
}

static trawl_status find(void **library, struct trawl_error *err)
{
    const char *given = getenv("TRAWL_MPI_PLUGIN");
    char *own         = NULL;
    if (given != NULL) {
        return try_file(given, library, err);
    }
    TW_TRY(own_folder(&own, err));
    trawl_status status = try_folder(own, library, err);
    tw_free(own);
    struct trawl_error installed;
    if (status != TRAWL_OK && try_folder(TW_COMM_PLUGIN_DIR, library, &installed) == TRAWL_OK) {
        return TRAWL_OK;
    }
    return status;
}

trawl_status tw_comm_mpi_load(const struct tw_wire_ops **out, struct trawl_error *err)
{
    void *library = NULL;
    *out          = NULL;
    if (find(&library, err) != TRAWL_OK) {
        return tw_fail_prefix(err, TRAWL_ERR_UNSUPPORTED, "MPI is not available");
    }
    tw_comm_mpi_plugin_fn *plugin = NULL;
    void *symbol                  = dlsym(library, TW_COMM_MPI_SYMBOL);
    memcpy(&plugin, &symbol, sizeof plugin); /* ISO C has no cast from data to function */
    const struct tw_wire_ops *ops = plugin == NULL ? NULL : plugin();
    if (ops == NULL || ops->abi != TW_WIRE_ABI) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "MPI is not available: %s belongs to another version of trawl", TW_COMM_MPI_FILE);
    }
    *out = ops;
    return TRAWL_OK;
}

trawl_status tw_comm_mpi_open(struct tw_wire **out, struct trawl_error *err)
{
    const struct tw_wire_ops *ops = NULL;
    char version[128]             = "";
    *out                          = NULL;
    TW_TRY(tw_comm_mpi_load(&ops, err));
    TW_TRY(tw_wire_open(out, ops, err));
    int size = (*out)->size;
    if (started() == 0 || started() == size) {
        return TRAWL_OK;
    }
    tw_wire_close(*out, 0);
    *out = NULL;
    ops->version(version, sizeof version);
    return tw_fail(
        err, TRAWL_ERR_COMM,
        "%ld processes were started, %s, which %s is built with, finds %d: start them with its own "
        "mpirun, or build the plug-in with the MPI of the one in use",
        started(), version, TW_COMM_MPI_FILE, size);
}
