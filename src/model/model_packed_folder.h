/* SPDX-License-Identifier: MIT */
/* The folder that packed weights go to: a model folder of its own. */
#ifndef TW_MODEL_PACKED_FOLDER_H
#define TW_MODEL_PACKED_FOLDER_H

#include <stdint.h>

#include "base/error.h"

/* Copy the configuration and the tokenizer's files of `from` to the folder `to`, unless they are one. EXISTS: `to`
 * holds a checkpoint, which is another one. */
trawl_status tw_packed_folder_prepare(const char *from, const char *to, struct trawl_error *err);

/* TRAWL_ERR_LIMIT with both numbers when fewer than `need` bytes are free in `dir`. */
trawl_status tw_packed_folder_space(const char *dir, uint64_t need, struct trawl_error *err);

#endif /* TW_MODEL_PACKED_FOLDER_H */
