/* SPDX-License-Identifier: MIT */
#include "cli/bench/bench_machine.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

void bench_cpu_name(char *out, size_t size)
{
    char *text = NULL;
    size_t n   = 0;
    (void)snprintf(out, size, "unknown");
    if (tw_file_read("/proc/cpuinfo", 16 << 20, &text, &n, NULL) != TRAWL_OK) {
        return;
    }
    const char *line = strstr(text, "model name");
    const char *name = line == NULL ? NULL : strchr(line, ':');
    if (name != NULL) {
        name += 1 + strspn(name + 1, " \t");
        (void)snprintf(out, size, "%.*s", (int)strcspn(name, "\n"), name);
    }
    tw_free(text);
}

uint64_t bench_resident_bytes(void)
{
    char *text     = NULL;
    size_t n       = 0;
    uint64_t pages = 0;
    if (tw_file_read("/proc/self/statm", 4096, &text, &n, NULL) == TRAWL_OK) {
        char *second = text;
        (void)strtoull(text, &second, 10); /* address space */
        pages = strtoull(second, NULL, 10);
        tw_free(text);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Adds the pages of a file, and those of them that are in memory. */
static trawl_status count_pages(const char *path, size_t *pages, size_t *cached)
{
    struct tw_mapped_file file;
    unsigned char *in_core = NULL;
    size_t page            = (size_t)sysconf(_SC_PAGESIZE);
    TW_TRY(tw_mapped_file_open(&file, path, NULL));
    size_t n            = (file.size + page - 1) / page;
    trawl_status status = tw_alloc(n, 1, &in_core, NULL);
    if (status == TRAWL_OK && n > 0 && mincore((void *)(uintptr_t)file.data, file.size, in_core) != 0) {
        status = TRAWL_ERR_UNSUPPORTED;
    }
    for (size_t i = 0; status == TRAWL_OK && i < n; i++) {
        *cached += in_core[i] & 1;
        *pages += 1;
    }
    tw_free(in_core);
    tw_mapped_file_close(&file);
    return status;
}

double bench_page_cache_fraction(const char *folder)
{
    static const char ending[] = ".safetensors";
    size_t pages = 0, cached = 0;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    trawl_status status = TRAWL_OK;
    if (dir == NULL) {
        return -1;
    }
    while (status == TRAWL_OK && (entry = readdir(dir)) != NULL) {
        size_t n   = strlen(entry->d_name);
        char *path = NULL;
        if (n > strlen(ending) && strcmp(entry->d_name + n - strlen(ending), ending) == 0) {
            status = tw_path_join(folder, entry->d_name, &path, NULL);
            if (status == TRAWL_OK) {
                status = count_pages(path, &pages, &cached);
            }
            tw_free(path);
        }
    }
    (void)closedir(dir);
    return status != TRAWL_OK || pages == 0 ? -1 : (double)cached / (double)pages;
}

double bench_load_average(void)
{
    double load = -1;
    return getloadavg(&load, 1) == 1 ? load : -1;
}
