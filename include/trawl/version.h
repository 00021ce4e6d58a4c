/* SPDX-License-Identifier: MIT */
#ifndef TRAWL_VERSION_H
#define TRAWL_VERSION_H

#include "trawl/status.h"

#define TRAWL_VERSION_MAJOR 0
#define TRAWL_VERSION_MINOR 1
#define TRAWL_VERSION_PATCH 0
#define TRAWL_VERSION       "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version at run time, "0.1.0". */
TRAWL_API const char *trawl_version(void);

#ifdef __cplusplus
}
#endif

#endif /* TRAWL_VERSION_H */
