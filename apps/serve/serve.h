/* SPDX-License-Identifier: MIT */
/* Answers over HTTP, as OpenAI's API has them: one job in the engine, whose requests come from the clients of a server. */
#ifndef TW_SERVE_H
#define TW_SERVE_H

#include <stdbool.h>
#include <stddef.h>

#include "trawl/engine.h"

/* Texts are borrowed for as long as the server runs. */
struct tw_serve_config {
    const char *model_path;  /* folder of the tokenizer */
    const char *model_name;  /* how clients call the model */
    const char *host;        /* name or address to listen at */
    int port;                /* 0: one that is free */
    const char *api_key;     /* that clients have to show; NULL: none */
    const char *cors_origin; /* whose pages may ask from a browser, besides our own; "*": any; NULL: none */
    size_t max_requests;     /* answers waiting and under way; more are sent away with 429 */
    size_t max_body_bytes;   /* of a request */
    double timeout;          /* seconds for an answer, waiting included; 0: none */
    double client_timeout;   /* seconds after which a client that sends or takes nothing is dropped */
    double grace;            /* seconds for running answers to end when the server is to stop */
    void *user;              /* of the callbacks */
    bool (*stopping)(void *user); /* ten times a second: is the server to stop? */
    void (*listening)(void *user, const char *host, int port);
};

/* Serve until `stopping`; the calling thread runs the event loop. No job of the engine may be open.
 * errors: IO: the address; FORMAT, UNSUPPORTED: the tokenizer; what ends a job. */
trawl_status tw_serve_run(trawl_engine *engine, const struct tw_serve_config *config,
                          struct trawl_error *err);

#endif /* TW_SERVE_H */
