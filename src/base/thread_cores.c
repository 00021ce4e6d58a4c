/* SPDX-License-Identifier: MIT */
/* How many cores the process may use. Containers limit CPU time by cgroup, which no affinity mask shows: a
 * team sized by the mask alone would be oversubscribed and throttled. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"

enum { PROC_LIMIT = 1 << 20 };

static int affinity_cores(void)
{
    for (size_t n = CPU_SETSIZE; n <= (1u << 20); n *= 2) {
        cpu_set_t *mask = CPU_ALLOC(n);
        if (mask == NULL) {
            return 1;
        }
        size_t bytes = CPU_ALLOC_SIZE(n);
        int cores    = -1;
        if (sched_getaffinity(0, bytes, mask) == 0) {
            cores = CPU_COUNT_S(bytes, mask);
        } else if (errno != EINVAL) { /* EINVAL: the kernel's mask is longer */
            cores = 1;
        }
        CPU_FREE(mask);
        if (cores >= 0) {
            return cores;
        }
    }
    return 1;
}

/* Microseconds per period, -1 for "no limit" or a file that is not there. */
static long long read_number(const char *path, long long *second)
{
    char *text  = NULL;
    size_t size = 0;
    *second     = -1;
    if (tw_file_read(path, PROC_LIMIT, &text, &size, NULL) != TRAWL_OK) {
        return -1;
    }
    char *end       = text;
    long long first = strtoll(text, &end, 10);
    if (end == text) { /* "max 100000" */
        first = -1;
    } else {
        *second = strtoll(end, NULL, 10);
    }
    tw_free(text);
    return first;
}

static int quota_of_dir(const char *dir, bool v2)
{
    struct tw_str path;
    long long quota = -1, period = -1, unused;
    tw_str_init(&path, 0);
    if (v2) {
        if (tw_str_printf(&path, NULL, "%s/cpu.max", dir) == TRAWL_OK) {
            quota = read_number(path.data, &period);
        }
    } else if (tw_str_printf(&path, NULL, "%s/cpu.cfs_quota_us", dir) == TRAWL_OK) {
        quota = read_number(path.data, &unused);
        tw_str_reset(&path);
        if (tw_str_printf(&path, NULL, "%s/cpu.cfs_period_us", dir) == TRAWL_OK) {
            period = read_number(path.data, &unused);
        }
    }
    tw_str_release(&path);
    if (quota <= 0 || period <= 0 || quota / period >= 1 << 20) {
        return 0;
    }
    return (int)((quota + period - 1) / period);
}

static int tighter(int a, int b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Every level from the mount point down to the process's own group may set a limit. */
static int quota_of_path(const char *mount, const char *group, bool v2)
{
    struct tw_str dir;
    tw_str_init(&dir, 0);
    int quota = quota_of_dir(mount, v2);
    if (tw_str_printf(&dir, NULL, "%s%s", mount, group) == TRAWL_OK) {
        size_t stop = strlen(mount);
        while (dir.size > stop) {
            quota = tighter(quota, quota_of_dir(dir.data, v2));
            while (dir.size > stop && dir.data[dir.size - 1] != '/') {
                dir.size--;
            }
            if (dir.size > stop) {
                dir.size--; /* the slash */
            }
            dir.data[dir.size] = '\0';
        }
    }
    tw_str_release(&dir);
    return quota;
}

/* Is `word` an element of the comma-separated list? */
static bool in_list(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)) != NULL; p += n) {
        if ((p == list || p[-1] == ',') && (p[n] == ',' || p[n] == '\0')) {
            return true;
        }
    }
    return false;
}

/* The group of this process in the hierarchy of one mount: a line "id:controllers:path" of
 * /proc/self/cgroup, where v2 has no controllers. A container without a cgroup namespace sees the host's
 * path there, while its mount begins at its own group (`mount_root`): that part is taken off. Borrowed from
 * `cgroups`, whose lines are cut at their ends. */
static const char *group_of(char *cgroups, bool v2, const char *mount_root)
{
    char *next = NULL;
    for (char *line = strtok_r(cgroups, "\n", &next); line != NULL; line = strtok_r(NULL, "\n", &next)) {
        char *list = strchr(line, ':');
        char *path = list == NULL ? NULL : strchr(list + 1, ':');
        if (path == NULL) {
            continue;
        }
        *path++ = '\0';
        if (v2 ? list[1] != '\0' : !in_list(list + 1, "cpu")) {
            continue;
        }
        size_t n = strlen(mount_root);
        if (n > 1 && strncmp(path, mount_root, n) == 0 && (path[n] == '/' || path[n] == '\0')) {
            path += n;
        }
        return strcmp(path, "/") == 0 ? "" : path;
    }
    return NULL;
}

/* One line of /proc/self/mountinfo: "id parent major:minor root mount options ... - type source super". */
static int quota_of_mount(const char *root, char *line)
{
    char *tail = strstr(line, " - ");
    if (tail == NULL) {
        return 0;
    }
    *tail      = '\0';
    char *next = NULL;
    char *field[5];
    for (int i = 0; i < 5; i++) {
        field[i] = strtok_r(i == 0 ? line : NULL, " ", &next);
        if (field[i] == NULL) {
            return 0;
        }
    }
    char *type   = strtok_r(tail + 3, " ", &next);
    char *source = strtok_r(NULL, " ", &next);
    char *super  = strtok_r(NULL, " ", &next);
    bool v2      = type != NULL && strcmp(type, "cgroup2") == 0;
    if (type == NULL || source == NULL || super == NULL ||
        (!v2 && (strcmp(type, "cgroup") != 0 || !in_list(super, "cpu")))) {
        return 0;
    }
    struct tw_str path;
    char *cgroups = NULL;
    size_t size   = 0;
    int quota     = 0;
    tw_str_init(&path, 0);
    if (tw_str_printf(&path, NULL, "%s/proc/self/cgroup", root) == TRAWL_OK &&
        tw_file_read(path.data, PROC_LIMIT, &cgroups, &size, NULL) == TRAWL_OK) {
        const char *group = group_of(cgroups, v2, field[3]);
        tw_str_reset(&path);
        if (group != NULL && tw_str_printf(&path, NULL, "%s%s", root, field[4]) == TRAWL_OK) {
            quota = quota_of_path(path.data, group, v2);
        }
    }
    tw_free(cgroups);
    tw_str_release(&path);
    return quota;
}

int tw_cores_quota(const char *root)
{
    struct tw_str path;
    char *mounts = NULL;
    size_t size  = 0;
    int quota    = 0;
    tw_str_init(&path, 0);
    if (tw_str_printf(&path, NULL, "%s/proc/self/mountinfo", root) == TRAWL_OK &&
        tw_file_read(path.data, PROC_LIMIT, &mounts, &size, NULL) == TRAWL_OK) {
        char *next = NULL;
        for (char *line = strtok_r(mounts, "\n", &next); line != NULL; line = strtok_r(NULL, "\n", &next)) {
            quota = tighter(quota, quota_of_mount(root, line));
        }
    }
    tw_free(mounts);
    tw_str_release(&path);
    return quota;
}

int tw_cores_available(void)
{
    int cores = affinity_cores();
    int quota = tw_cores_quota("");
    return quota > 0 && quota < cores ? quota : cores;
}
