/* SPDX-License-Identifier: MIT */
/* The files in ~/.aws: sections in brackets, "name = value" lines. */
#ifndef TW_CLOUD_INI_H
#define TW_CLOUD_INI_H

#include <stddef.h>

#include "base/error.h"

/* The value of `key` in the last section named `section` or "profile <section>" that has it, "" counting as none;
 * *out is NULL when there is none, else freed with tw_free. Lines that begin with blanks belong to nested
 * settings and are left out, as are comments ('#', ';', and " #" behind a value). */
trawl_status tw_ini_get(const char *text, size_t n, const char *section, const char *key, char **out,
                        struct trawl_error *err);

#endif /* TW_CLOUD_INI_H */
