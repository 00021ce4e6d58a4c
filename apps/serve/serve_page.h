/* SPDX-License-Identifier: MIT */
/* The page at /, made from web/index.html when trawl is built. */
#ifndef TW_SERVE_PAGE_H
#define TW_SERVE_PAGE_H

#include <stddef.h>

extern const unsigned char tw_serve_page[];
extern const size_t tw_serve_page_bytes;

#endif /* TW_SERVE_PAGE_H */
