/* SPDX-License-Identifier: MIT */
#include "base/philox.h"

#include <string.h>

enum { ROUNDS = 10 };

void tw_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c[4];
    memcpy(c, counter, sizeof c);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
        c[1]        = (uint32_t)p1;
        c[3]        = (uint32_t)p0;
        c[0]        = n0;
        c[2]        = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

void tw_philox_stream_init(struct tw_philox_stream *s, uint64_t seed, uint64_t stream)
{
    *s = (struct tw_philox_stream){
        .key     = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {0, 0, (uint32_t)stream, (uint32_t)(stream >> 32)},
        .used    = 4,
    };
}

uint32_t tw_philox_next(struct tw_philox_stream *s)
{
    if (s->used == 4) {
        tw_philox(s->key, s->counter, s->block);
        s->used = 0;
        if (++s->counter[0] == 0) {
            s->counter[1]++;
        }
    }
    return s->block[s->used++];
}

uint32_t tw_philox_below(struct tw_philox_stream *s, uint32_t n)
{
    uint32_t limit = (uint32_t)(-n) % n; /* 2^32 mod n: values below it would be over-represented */
    for (;;) {
        uint32_t x = tw_philox_next(s);
        if (x >= limit) {
            return x % n;
        }
    }
}

double tw_philox_double(struct tw_philox_stream *s)
{
    uint64_t hi = tw_philox_next(s) >> 5;
    uint64_t lo = tw_philox_next(s) >> 6;
    return (double)(hi << 26 | lo) * 0x1p-53;
}
