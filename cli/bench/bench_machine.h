/* SPDX-License-Identifier: MIT */
/* What a benchmark must know of the system it ran on. */
#ifndef CLI_BENCH_MACHINE_H
#define CLI_BENCH_MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* The processor's name; "unknown" when the system does not say. */
void bench_cpu_name(char *out, size_t size);
/* Bytes of this process that are in memory now; 0 when the system does not say. */
uint64_t bench_resident_bytes(void);
/* Share of the folder's safetensors files that the page cache holds: 0 a cold start, 1 a warm one; negative
 * when there is no way to know. */
double bench_page_cache_fraction(const char *folder);
/* Load average of the last minute, the work of others included; negative when the system does not say. */
double bench_load_average(void);

#endif /* CLI_BENCH_MACHINE_H */
