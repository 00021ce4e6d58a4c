/* SPDX-License-Identifier: MIT */
/* A server for other programs, and for people with a browser. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/serve/serve.h"
#include "base/alloc.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/model_engine.h"
#include "cli/model_folder.h"

static bool is_stopping(void *user)
{
    (void)user;
    return cli_interrupted();
}

/* Programs that start a server wait for this line. */
static void say_listening(void *user, const char *host, int port)
{
    const struct tw_serve_config *c = user;
    bool v6                         = strchr(host, ':') != NULL;
    (void)fprintf(stderr, "trawl serve: %s at http://%s%s%s:%d\n", c->model_name, v6 ? "[" : "", host,
                  v6 ? "]" : "", port);
    (void)fflush(stderr);
}

/* An id as it was given; of a path the last part that has a name. */
static trawl_status name_of(const char *given, const char *folder, char **name, struct trawl_error *err)
{
    size_t n = strlen(given);
    if (strcmp(given, folder) != 0) {
        return tw_strdup(given, name, err);
    }
    while (n > 1 && given[n - 1] == '/') {
        n--;
    }
    const char *slash = memrchr(given, '/', n);
    const char *from  = slash == NULL ? given : slash + 1;
    size_t length     = (size_t)(given + n - from);
    return length == 0 || *from == '.' ? tw_strdup("model", name, err) : tw_strndup(from, length, name, err);
}

static void configure(struct tw_serve_config *c, const struct cli_args *args)
{
    c->host         = cli_get_string(args, "host");
    c->port         = (int)cli_get_int(args, "port");
    c->api_key      = cli_given(args, "api_key") ? cli_get_string(args, "api_key") : getenv("TRAWL_API_KEY");
    c->cors_origin  = cli_get_string(args, "cors_origin");
    c->max_requests = (size_t)cli_get_int(args, "max_concurrent_requests");
    c->max_body_bytes = cli_get_size(args, "max_body_size");
    c->timeout        = cli_given(args, "timeout") ? cli_get_float(args, "timeout") : 0;
    c->client_timeout = cli_get_float(args, "client_timeout");
    c->grace          = cli_get_float(args, "grace_period");
    c->user           = c;
    c->stopping       = is_stopping;
    c->listening      = say_listening;
}

static trawl_status serve(const struct cli_args *args, const char *folder, const char *name,
                          struct trawl_error *err)
{
    struct tw_serve_config c = {.model_path = folder, .model_name = name};
    trawl_engine *engine     = NULL;
    configure(&c, args);
    if (c.api_key != NULL && c.api_key[0] == '\0') {
        return tw_fail(err, TRAWL_ERR_INVALID, "the API key is empty, expected one, or none at all");
    }
    TW_TRY(cli_engine_open(args, &engine, err));
    trawl_status status = tw_serve_run(engine, &c, err);
    trawl_engine_close(&engine);
    return status;
}

int cmd_serve(const struct cli_args *args, struct trawl_error *err)
{
    const char *given = cli_get_string(args, "model_path");
    char *folder = NULL, *name = NULL;
    trawl_status status = cli_model_folder_checked(given, &folder, err);
    if (status == TRAWL_OK) {
        status = cli_given(args, "served_model_name")
                     ? tw_strdup(cli_get_string(args, "served_model_name"), &name, err)
                     : name_of(given, folder, &name, err);
    }
    if (status == TRAWL_OK) {
        status = serve(args, folder, name, err);
    }
    tw_free(name);
    tw_free(folder);
    return cli_exit_code(status);
}
