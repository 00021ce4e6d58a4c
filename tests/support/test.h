/* SPDX-License-Identifier: MIT */
/* What every unit test includes: cmocka with the headers it wants before it, and a scratch folder. */
#ifndef TRAWL_TESTS_SUPPORT_TEST_H
#define TRAWL_TESTS_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "support/folder.h"

/* The call succeeds, or the test fails with its message. */
#define assert_ok(call)                             \
    do {                                            \
        if ((call) != TRAWL_OK) {                   \
            fail_msg("%s: %s", #call, err.message); \
        }                                           \
    } while (0)

/* The call fails with `code` and a message that contains `words`; needs `struct trawl_error err`. */
#define assert_refused(call, code, words)                                         \
    do {                                                                          \
        err.message[0] = '\0';                                                    \
        assert_int_equal((call), (code));                                         \
        assert_int_equal(err.status, (code));                                     \
        if (strstr(err.message, (words)) == NULL) {                               \
            fail_msg("message \"%s\" does not say \"%s\"", err.message, (words)); \
        }                                                                         \
    } while (0)

struct scratch {
    char dir[TEST_FOLDER_BYTES];
    char path[1024]; /* what scratch_path returned last */
};

static inline int scratch_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline int scratch_make(void **state)
{
    struct scratch *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return -1;
    }
    *state = s;
    return test_folder_make(s->dir) ? 0 : -1;
}

static inline int scratch_remove(void **state)
{
    struct scratch *s = *state;
    (void)nftw(s->dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(s);
    return 0;
}

/* "<folder of this test>/name", valid until the next call. */
static inline const char *scratch_path(struct scratch *s, const char *name)
{
    (void)snprintf(s->path, sizeof s->path, "%s/%s", s->dir, name);
    return s->path;
}

/* A test that gets an empty folder of its own as *state and loses it afterwards. */
#define scratch_test(function) cmocka_unit_test_setup_teardown(function, scratch_make, scratch_remove)

#endif /* TRAWL_TESTS_SUPPORT_TEST_H */
