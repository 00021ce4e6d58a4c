/* SPDX-License-Identifier: MIT */
/* What of a folder has been uploaded, in <folder>/uploads.jsonl: one line a file, written when the server has it
 * and its checksum was right.
 *
 *     {"file": "layer_10_batch_000001.pkl", "bytes": 14686211, "xxh3": "<hex>", "object": "gs://bucket/path/layer_...",
 *      "version": "1732250000000000"}
 *
 * One process at a time has it open; several threads may use it. */
#ifndef TW_CLOUD_LEDGER_H
#define TW_CLOUD_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cloud/cloud.h"

#define TW_LEDGER_NAME "uploads.jsonl"

struct tw_ledger;

/* A torn last line is dropped. TRAWL_ERR_EXISTS: another process uploads this folder. TRAWL_ERR_FORMAT: a line that
 * is none (named). */
trawl_status tw_ledger_open(const char *dir, struct tw_ledger **out, struct trawl_error *err);
void tw_ledger_close(struct tw_ledger *ledger); /* NULL is allowed */

/* Has a file of this content been uploaded as `object`? */
bool tw_ledger_has(struct tw_ledger *ledger, const char *object, uint64_t bytes, uint64_t xxh3);
/* Durable when it returns. */
trawl_status tw_ledger_add(struct tw_ledger *ledger, const char *file, const struct tw_cloud_receipt *receipt,
                           struct trawl_error *err);

/* Read the bytes of a ledger into `fn`, which gets every whole line; *valid: bytes up to the end of the last one. */
typedef trawl_status tw_ledger_fn(void *user, const char *object, uint64_t bytes, const char *xxh3,
                                  struct trawl_error *err);
trawl_status tw_ledger_read(const char *text, size_t n, const char *what, tw_ledger_fn *fn, void *user,
                            size_t *valid, struct trawl_error *err);

#endif /* TW_CLOUD_LEDGER_H */
