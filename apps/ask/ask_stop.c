/* SPDX-License-Identifier: MIT */
#include "apps/ask/ask_stop.h"

#include <string.h>

#include "base/alloc.h"

trawl_status tw_ask_stop_read(const json_t *object, const char *const *fallback, size_t n_fallback,
                              char ***texts, size_t *n_texts, struct trawl_error *err)
{
    const json_t *stop = json_object_get(object, "stop");
    bool one           = json_is_string(stop);
    *texts             = NULL;
    *n_texts           = 0;
    if (stop != NULL && !json_is_null(stop) && !one && !json_is_array(stop)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"stop\" is %s, expected a string or an array",
                       tw_json_type_name(stop));
    }
    bool own = one || json_is_array(stop);
    size_t n = one ? 1 : own ? json_array_size(stop) : n_fallback;
    TW_TRY(tw_alloc(n, sizeof **texts, texts, err));
    for (size_t i = 0; i < n; i++, *n_texts = i) {
        const json_t *v = one ? stop : json_array_get(stop, i);
        const char *s   = own ? json_string_value(v) : fallback[i];
        if (s != NULL && own && strlen(s) != json_string_length(v)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "\"stop\"[%zu] contains U+0000", i);
        }
        if (s == NULL || s[0] == '\0') {
            return tw_fail(err, TRAWL_ERR_FORMAT, "\"stop\"[%zu] is %s, expected a text", i,
                           s == NULL ? tw_json_type_name(v) : "empty");
        }
        TW_TRY(tw_strdup(s, &(*texts)[i], err));
    }
    return TRAWL_OK;
}

void tw_ask_stop_free(char **texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tw_free(texts[i]);
    }
    tw_free((void *)texts);
}
