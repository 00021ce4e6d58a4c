/* SPDX-License-Identifier: MIT */
/* Status codes and error text shared by every fallible call of libtrawl. */
#ifndef TRAWL_STATUS_H
#define TRAWL_STATUS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#    define TRAWL_API        __attribute__((visibility("default")))
#    define TRAWL_MUST_CHECK __attribute__((warn_unused_result))
#else
#    define TRAWL_API
#    define TRAWL_MUST_CHECK
#endif

/* Values are ABI: append, never renumber. */
typedef enum trawl_status {
    TRAWL_OK              = 0,
    TRAWL_ERR_INVALID     = -1, /* the caller broke a documented precondition */
    TRAWL_ERR_NOMEM       = -2, /* memory could not be had */
    TRAWL_ERR_IO          = -3, /* a file or socket operation failed; os_error holds errno */
    TRAWL_ERR_FORMAT      = -4, /* a file or a request is malformed */
    TRAWL_ERR_UNSUPPORTED = -5, /* well formed, but not something trawl does */
    TRAWL_ERR_LIMIT       = -6, /* a configured or physical limit was reached */
    TRAWL_ERR_COMM        = -7, /* a peer failed or the transport broke */
    TRAWL_ERR_EXISTS      = -8, /* the output is there already, or belongs to another run */
    TRAWL_ERR_CANCELLED   = -9  /* stopped on request; what was committed stays valid */
} trawl_status;

#define TRAWL_ERROR_MESSAGE_BYTES 512

/* Filled by a call that fails, untouched by one that succeeds. Every function that takes a
 * `struct trawl_error *` accepts NULL. The message is one clause that names the thing at fault:
 *   model.safetensors: tensor "model.norm.weight" has shape [895], expected [896] */
struct trawl_error {
    trawl_status status;
    int32_t os_error;                        /* errno, 0 when the failure is not the system's */
    int32_t rank;                            /* rank where it began, -1: this process, no mesh involved */
    char message[TRAWL_ERROR_MESSAGE_BYTES]; /* always NUL terminated */
};

/* A short lower-case name of a status, "ok", "format", ...; never NULL. */
TRAWL_API const char *trawl_status_name(trawl_status status);

#ifdef __cplusplus
}
#endif

#endif /* TRAWL_STATUS_H */
