/* SPDX-License-Identifier: MIT */
/* The property test: random models, meshes, batches, chunks, threads and instruction sets give one and the
 * same answer. */
#ifndef TRAWL_TESTS_ENGINE_DRAWS_H
#define TRAWL_TESTS_ENGINE_DRAWS_H

#include <stdint.h>

/* Draw n configurations from `seed` and compare each with 1x1, one thread, one request at a time. Prints what
 * was drawn before it fails the running test. Models are written below `dir`. */
void engine_draws(const char *dir, uint64_t seed, int n);

#endif /* TRAWL_TESTS_ENGINE_DRAWS_H */
