/* SPDX-License-Identifier: MIT */
#include "hub/hub_hash.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { SHA256_DIGITS = 64 };

struct tw_hub_hash {
    EVP_MD_CTX *context;
    const EVP_MD *kind;
    bool git;
    uint64_t size, bytes;
};

static trawl_status failed(struct trawl_error *err)
{
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "libcrypto cannot compute a hash");
}

trawl_status tw_hub_hash_new(const char *expected, uint64_t size, struct tw_hub_hash **out,
                             struct trawl_error *err)
{
    struct tw_hub_hash *h = NULL;
    TW_TRY(tw_alloc(1, sizeof *h, &h, err));
    h->git     = strlen(expected) != SHA256_DIGITS;
    h->kind    = h->git ? EVP_sha1() : EVP_sha256();
    h->size    = size;
    h->context = EVP_MD_CTX_new();
    if (h->context == NULL) {
        tw_free(h);
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for a hash");
    }
    trawl_status status = tw_hub_hash_reset(h, err);
    if (status != TRAWL_OK) {
        tw_hub_hash_free(h);
        h = NULL;
    }
    *out = h;
    return status;
}

trawl_status tw_hub_hash_reset(struct tw_hub_hash *h, struct trawl_error *err)
{
    char head[40];
    int n    = h->git ? snprintf(head, sizeof head, "blob %" PRIu64, h->size) + 1 : 0;
    h->bytes = 0;
    bool ok  = EVP_DigestInit_ex(h->context, h->kind, NULL) == 1 &&
              EVP_DigestUpdate(h->context, head, (size_t)n) == 1;
    return ok ? TRAWL_OK : failed(err);
}

trawl_status tw_hub_hash_add(struct tw_hub_hash *h, const void *data, size_t n, struct trawl_error *err)
{
    h->bytes += n;
    return EVP_DigestUpdate(h->context, data, n) == 1 ? TRAWL_OK : failed(err);
}

uint64_t tw_hub_hash_bytes(const struct tw_hub_hash *h)
{
    return h->bytes;
}

trawl_status tw_hub_hash_end(struct tw_hub_hash *h, char out[TW_HUB_HASH_BYTES], struct trawl_error *err)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(h->context, bytes, &n) != 1 || 2 * n >= TW_HUB_HASH_BYTES) {
        return failed(err);
    }
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
    return TRAWL_OK;
}

void tw_hub_hash_free(struct tw_hub_hash *h)
{
    if (h != NULL) {
        EVP_MD_CTX_free(h->context);
        tw_free(h);
    }
}
