/* SPDX-License-Identifier: MIT */
/* Where tests of packed weights read from and write to. */
#ifndef TRAWL_TESTS_MODEL_PACKED_FOLDERS_H
#define TRAWL_TESTS_MODEL_PACKED_FOLDERS_H

#include "model/model_packed.h"
#include "support/test.h"

struct folders {
    char from[128], to[128], file[192];
};

static inline struct folders folders_in(struct scratch *s)
{
    struct folders f;
    (void)snprintf(f.from, sizeof f.from, "%s/checkpoint", s->dir);
    (void)snprintf(f.to, sizeof f.to, "%s/packed", s->dir);
    (void)snprintf(f.file, sizeof f.file, "%s/" TW_PACKED_FILE, f.to);
    return f;
}

#endif /* TRAWL_TESTS_MODEL_PACKED_FOLDERS_H */
