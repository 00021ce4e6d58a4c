/* SPDX-License-Identifier: MIT */
#include "mesh/mesh.h"

#include <stdbool.h>

/* A positive decimal number up to TW_MESH_RANKS_MAX; moves *text past it. */
static bool parse_degree(const char **text, int *out)
{
    const char *p = *text;
    int value     = 0;
    while (*p >= '0' && *p <= '9' && value <= TW_MESH_RANKS_MAX) {
        value = value * 10 + (*p - '0');
        p++;
    }
    if (p == *text || value < 1 || value > TW_MESH_RANKS_MAX) {
        return false;
    }
    *text = p;
    *out  = value;
    return true;
}

static void skip_spaces(const char **text)
{
    while (**text == ' ' || **text == '\t') {
        (*text)++;
    }
}

/* "x", "X", "," or blanks. */
static bool parse_separator(const char **text)
{
    const char *start = *text;
    skip_spaces(text);
    if (**text == 'x' || **text == 'X' || **text == ',') {
        (*text)++;
        skip_spaces(text);
    }
    return *text != start;
}

trawl_status tw_mesh_parse(const char *text, struct tw_mesh *out, struct trawl_error *err)
{
    struct tw_mesh mesh = {0, 0};
    const char *p       = text;
    skip_spaces(&p);
    bool ok = parse_degree(&p, &mesh.data) && parse_separator(&p) && parse_degree(&p, &mesh.model);
    skip_spaces(&p);
    if (!ok || *p != '\0') {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "mesh shape \"%s\": expected two numbers from 1 to %d, data and model, as in 2x2",
                       text, TW_MESH_RANKS_MAX);
    }
    if (tw_mesh_size(mesh) > TW_MESH_RANKS_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "mesh shape \"%s\": %d devices, at most %d are possible", text,
                       tw_mesh_size(mesh), TW_MESH_RANKS_MAX);
    }
    *out = mesh;
    return TRAWL_OK;
}
