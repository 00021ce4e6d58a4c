/* SPDX-License-Identifier: MIT */
/* A folder of a test's own, where the environment ($TMPDIR) or else the C library has temporary files. */
#ifndef TRAWL_TESTS_SUPPORT_FOLDER_H
#define TRAWL_TESTS_SUPPORT_FOLDER_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEST_FOLDER_BYTES = 96 };

/* Makes it and writes its path to dir [TEST_FOLDER_BYTES]. */
static inline bool test_folder_make(char *dir)
{
    const char *where = getenv("TMPDIR");
    int n             = snprintf(dir, TEST_FOLDER_BYTES, "%s/trawl-XXXXXX", where != NULL ? where : P_tmpdir);
    return n > 0 && n < TEST_FOLDER_BYTES && mkdtemp(dir) != NULL;
}

#endif /* TRAWL_TESTS_SUPPORT_FOLDER_H */
