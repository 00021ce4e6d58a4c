/* SPDX-License-Identifier: MIT */
/* The sampling fields of a public request, for jobs and sessions alike. */
#ifndef TW_API_SAMPLING_H
#define TW_API_SAMPLING_H

#include "sample/sample.h"
#include "trawl/job.h"

/* Lists are borrowed from the request. */
struct tw_sample_params tw_api_sampling(const struct trawl_request *request, uint64_t seed);

#endif /* TW_API_SAMPLING_H */
