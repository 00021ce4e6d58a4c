/* SPDX-License-Identifier: MIT */
/* libtrawl: run a language model over data on a (data x model) mesh, and bring up predictions,
 * log-probabilities and activations. Everything public:
 *
 *   trawl/status.h     trawl_status, struct trawl_error: how every call fails
 *   trawl/engine.h     trawl_engine: a model opened on a mesh
 *   trawl/job.h        trawl_job: requests in, results in order out, activations on disk, resume
 *   trawl/mask.h       custom attention masks of a request
 *   trawl/policy.h     sampling by the entropy of the next token: an experiment
 *   trawl/session.h    trawl_session: one timeline: append tokens, read logits, sample, fork, rewind
 *   trawl/tokenizer.h  trawl_tokenizer: text to token ids and back, chat templates
 *   trawl/world.h      trawl_world: several processes that run one engine, started by mpirun or srun
 *   trawl/version.h    the version
 *
 * A complete program, which continues a text (cc continue.c $(pkg-config --cflags --libs trawl)):
 *
 *     #include <stdio.h>
 *     #include <string.h>
 *     #include <trawl/trawl.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         struct trawl_error err;
 *         struct trawl_engine_config config;
 *         struct trawl_sampled next;
 *         trawl_tokenizer *tokenizer;
 *         trawl_engine *engine;
 *         trawl_session *session;
 *         int32_t *ids;
 *         size_t n, bytes;
 *         trawl_engine_config_init(&config);
 *         config.model_path = argc == 3 ? argv[1] : "";
 *         if (trawl_engine_open(&config, &engine, &err) != TRAWL_OK ||
 *             trawl_tokenizer_open(argv[1], &tokenizer, &err) != TRAWL_OK ||
 *             trawl_tokenizer_encode(tokenizer, argv[2], strlen(argv[2]), TRAWL_ENCODE_ADD_SPECIAL_TOKENS,
 *                                    &ids, &n, &err) != TRAWL_OK ||
 *             trawl_session_open(engine, &session, &err) != TRAWL_OK ||
 *             trawl_session_append(session, ids, n, NULL, NULL, &err) != TRAWL_OK) {
 *             return fprintf(stderr, "%s\n", err.message), 1;
 *         }
 *         for (int i = 0; i < 20 && trawl_session_sample(session, NULL, &next, &err) == TRAWL_OK &&
 *                         trawl_session_append(session, &next.token, 1, NULL, NULL, &err) == TRAWL_OK; i++) {
 *             const char *token = trawl_tokenizer_token(tokenizer, next.token, &bytes);
 *             printf("%.*s", (int)bytes, token);
 *         }
 *         return puts("") == EOF;
 *     }
 *
 * What was opened goes with the process; else it is closed in the opposite order. docs/api.md has longer
 * examples. */
#ifndef TRAWL_TRAWL_H
#define TRAWL_TRAWL_H

#include "trawl/engine.h"
#include "trawl/job.h"
#include "trawl/mask.h"
#include "trawl/policy.h"
#include "trawl/session.h"
#include "trawl/status.h"
#include "trawl/tokenizer.h"
#include "trawl/version.h"
#include "trawl/world.h"

#endif /* TRAWL_TRAWL_H */
