/* SPDX-License-Identifier: MIT */
#include "cloud/cloud_crypto.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"

enum { PIECE = 1 << 20 }; /* bytes of a file that are hashed before their memory is given back */

void tw_cloud_hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i]     = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

static trawl_status crypto_failed(struct trawl_error *err, const char *what)
{
    char text[160] = "no reason given";
    unsigned long code;
    while ((code = ERR_get_error()) != 0) {
        ERR_error_string_n(code, text, sizeof text);
    }
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "libcrypto: %s: %s", what, text);
}

trawl_status tw_cloud_sha256(const void *data, size_t n, uint8_t out[TW_SHA256_BYTES],
                             struct trawl_error *err)
{
    return EVP_Digest(data, n, out, NULL, EVP_sha256(), NULL) == 1 ? TRAWL_OK : crypto_failed(err, "SHA-256");
}

trawl_status tw_cloud_hmac(const void *key, size_t key_bytes, const void *data, size_t n,
                           uint8_t out[TW_SHA256_BYTES], struct trawl_error *err)
{
    unsigned size = 0;
    return HMAC(EVP_sha256(), key, (int)key_bytes, data, n, out, &size) != NULL
               ? TRAWL_OK
               : crypto_failed(err, "HMAC-SHA-256");
}

bool tw_cloud_md5(const void *data, size_t n, uint8_t out[TW_MD5_BYTES])
{
    bool ok = EVP_Digest(data, n, out, NULL, EVP_md5(), NULL) == 1;
    ERR_clear_error();
    return ok;
}

static bool update(EVP_MD_CTX *sha, EVP_MD_CTX *md5, const uint8_t *data, size_t n)
{
    for (size_t at = 0; at < n; at += PIECE) {
        size_t step = tw_min_size(n - at, PIECE);
        if (EVP_DigestUpdate(sha, data + at, step) != 1 ||
            (md5 != NULL && EVP_DigestUpdate(md5, data + at, step) != 1)) {
            return false;
        }
    }
    return true;
}

static trawl_status hash_part(const uint8_t *data, size_t n, struct tw_part_hash *out,
                              struct trawl_error *err)
{
    uint8_t digest[TW_SHA256_BYTES];
    EVP_MD_CTX *sha = EVP_MD_CTX_new(), *md5 = EVP_MD_CTX_new();
    bool ok      = sha != NULL && md5 != NULL && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1;
    out->has_md5 = ok && EVP_DigestInit_ex(md5, EVP_md5(), NULL) == 1;
    ok           = ok && update(sha, out->has_md5 ? md5 : NULL, data, n) &&
         EVP_DigestFinal_ex(sha, digest, NULL) == 1 &&
         (!out->has_md5 || EVP_DigestFinal_ex(md5, out->md5, NULL) == 1);
    EVP_MD_CTX_free(sha);
    EVP_MD_CTX_free(md5);
    if (!ok) {
        return crypto_failed(err, "hash of a part");
    }
    ERR_clear_error();
    tw_cloud_hex(digest, sizeof digest, out->sha256);
    return TRAWL_OK;
}

trawl_status tw_cloud_hash_part(const char *path, uint64_t offset, uint64_t size, struct tw_part_hash *out,
                                struct trawl_error *err)
{
    struct tw_mapped_file file;
    TW_TRY(tw_mapped_file_open(&file, path, err));
    trawl_status status = TRAWL_OK;
    if (offset > file.size || size > file.size - offset) {
        status = tw_fail(err, TRAWL_ERR_IO, "%s: %zu bytes, expected at least %llu", path, file.size,
                         (unsigned long long)(offset + size));
    } else {
        status = hash_part(file.data + offset, (size_t)size, out, err);
    }
    tw_mapped_file_close(&file);
    return status;
}

/* ---- CRC-32C ---- */

/* table[k][b]: what byte b adds when k more bytes follow it in the word. */
void tw_crc32c_init(struct tw_crc32c *c)
{
    *c = (struct tw_crc32c){.value = 0};
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t r = b;
        for (int bit = 0; bit < 8; bit++) {
            r = (r >> 1) ^ (0x82f63b78u & (0u - (r & 1u)));
        }
        c->table[0][b] = r;
    }
    for (size_t k = 1; k < 8; k++) {
        for (uint32_t b = 0; b < 256; b++) {
            uint32_t r     = c->table[k - 1][b];
            c->table[k][b] = (r >> 8) ^ c->table[0][r & 255];
        }
    }
}

void tw_crc32c_update(struct tw_crc32c *c, const void *data, size_t n)
{
    const uint32_t(*t)[256] = (const uint32_t(*)[256])c->table;
    const uint8_t *p        = data;
    uint32_t crc            = ~c->value;
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low =
            crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        crc = t[7][low & 255] ^ t[6][low >> 8 & 255] ^ t[5][low >> 16 & 255] ^ t[4][low >> 24] ^ t[3][p[4]] ^
              t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]];
    }
    for (; n > 0; n--, p++) {
        crc = (crc >> 8) ^ t[0][(crc ^ *p) & 255];
    }
    c->value = ~crc;
}

trawl_status tw_cloud_crc32c_file(const char *path, uint32_t *crc, uint64_t *size, struct trawl_error *err)
{
    struct tw_crc32c c;
    struct tw_mapped_file file;
    TW_TRY(tw_mapped_file_open(&file, path, err));
    tw_crc32c_init(&c);
    tw_crc32c_update(&c, file.data, file.size);
    *crc  = c.value;
    *size = file.size;
    tw_mapped_file_close(&file);
    return TRAWL_OK;
}

/* ---- encodings ---- */

trawl_status tw_cloud_base64(struct tw_str *out, const void *data, size_t n, bool url,
                             struct trawl_error *err)
{
    static const char plain[]   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char for_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *letters         = url ? for_url : plain;
    const uint8_t *p            = data;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = tw_min_size(n - i, 3);
        uint32_t bits =
            (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0u);
        for (size_t k = 0; k < 4; k++) {
            if (k <= left) {
                TW_TRY(tw_str_putc(out, letters[bits >> (18 - 6 * k) & 63], err));
            } else if (!url) {
                TW_TRY(tw_str_putc(out, '=', err));
            }
        }
    }
    return TRAWL_OK;
}

/* ---- RS256 ---- */

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *out, int size, int writing, void *user)
{
    (void)writing;
    (void)user;
    if (size > 0) {
        out[0] = '\0';
    }
    return -1;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio      = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (key != NULL && EVP_PKEY_base_id(key) != EVP_PKEY_RSA) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error(); /* what it says could quote the key */
    return key;
}

trawl_status tw_cloud_rs256(struct tw_str *out, const char *pem, const char *text, size_t n,
                            struct trawl_error *err)
{
    uint8_t *bytes = NULL;
    size_t size    = 0;
    EVP_PKEY *key  = read_key(pem);
    if (key == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"private_key\" is no RSA private key in PEM");
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok         = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, NULL, &size, (const uint8_t *)text, n) == 1;
    trawl_status status = ok ? tw_alloc(size, 1, &bytes, err) : crypto_failed(err, "RS256");
    if (status == TRAWL_OK) {
        status = EVP_DigestSign(ctx, bytes, &size, (const uint8_t *)text, n) == 1
                     ? TRAWL_OK
                     : crypto_failed(err, "RS256");
    }
    if (status == TRAWL_OK) {
        status = tw_cloud_base64(out, bytes, size, true, err);
    }
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    tw_free(bytes);
    return status;
}
