/* SPDX-License-Identifier: MIT */
/* Hashes, signatures and encodings that clouds ask for, by libcrypto; CRC-32C is our own. */
#ifndef TW_CLOUD_CRYPTO_H
#define TW_CLOUD_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

enum { TW_SHA256_BYTES = 32, TW_SHA256_HEX = 65, TW_MD5_BYTES = 16, TW_MD5_HEX = 33 };

/* Lower-case hexadecimal, NUL terminated: 2 * n + 1 bytes. */
void tw_cloud_hex(const uint8_t *bytes, size_t n, char *out);

trawl_status tw_cloud_sha256(const void *data, size_t n, uint8_t out[TW_SHA256_BYTES],
                             struct trawl_error *err);
trawl_status tw_cloud_hmac(const void *key, size_t key_bytes, const void *data, size_t n,
                           uint8_t out[TW_SHA256_BYTES], struct trawl_error *err);

/* SHA-256 and MD5 of a part of a file, read once. `*has_md5` is false where this system has no MD5 (FIPS). */
struct tw_part_hash {
    char sha256[TW_SHA256_HEX];
    uint8_t md5[TW_MD5_BYTES];
    bool has_md5;
};
trawl_status tw_cloud_hash_part(const char *path, uint64_t offset, uint64_t size, struct tw_part_hash *out,
                                struct trawl_error *err);
/* MD5 of a few bytes; false where there is none. */
bool tw_cloud_md5(const void *data, size_t n, uint8_t out[TW_MD5_BYTES]);

/* CRC-32C (Castagnoli), eight bytes at a time; `value` is that of the bytes so far. */
struct tw_crc32c {
    uint32_t value;
    uint32_t table[8][256];
};
void tw_crc32c_init(struct tw_crc32c *c);
void tw_crc32c_update(struct tw_crc32c *c, const void *data, size_t n);
/* Of a whole file, with its size. */
trawl_status tw_cloud_crc32c_file(const char *path, uint32_t *crc, uint64_t *size, struct trawl_error *err);

/* Append base64; the URL form has '-' and '_' and no padding. */
trawl_status tw_cloud_base64(struct tw_str *out, const void *data, size_t n, bool url,
                             struct trawl_error *err);

/* Append the RSASSA-PKCS1-v1_5 SHA-256 signature of `text` in URL base64. `pem`: an RSA private key, not
 * encrypted. TRAWL_ERR_FORMAT when it is no such key. */
trawl_status tw_cloud_rs256(struct tw_str *out, const char *pem, const char *text, size_t n,
                            struct trawl_error *err);

#endif /* TW_CLOUD_CRYPTO_H */
