/* SPDX-License-Identifier: MIT */
/* Any bytes as a template, in both dialects, over a context with every kind of value and within small limits. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "text/text_template.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char context_text[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9 "
    "\\n\\ud83d\\ude00\"},{\"role\":\"assistant\",\"content\":null,"
    "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":[1,2.5,true]}}}]}],\"tools\":null,"
    "\"bos_token\":\"<s>\","
    "\"x\":[3,1,2],\"s\":\"a,b "
    "c\",\"n\":7,\"f\":1.5,\"e\":\"\",\"m\":{\"b\":1,\"a\":{\"c\":[]}},\"add_generation_prompt\":true}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tm now             = {.tm_year = 124, .tm_mday = 1};
    const struct tw_render_options options = {
        .now = &now, .max_output = 1 << 16, .max_memory = 1 << 22, .max_steps = 20000};
    struct trawl_error err;
    json_t *context = NULL;
    if (size == 0 || size > 4096 ||
        tw_json_parse(context_text, sizeof context_text - 1, "context", &context, &err) != TRAWL_OK) {
        return -1;
    }
    for (int dialect = TW_TEMPLATE_PLAIN; dialect <= TW_TEMPLATE_CHAT; dialect++) {
        struct tw_template *t = NULL;
        struct tw_str out;
        tw_str_init(&out, 0);
        if (tw_template_compile((const char *)data, size, "t", (enum tw_template_dialect)dialect, &t, &err) ==
            TRAWL_OK) {
            if (tw_template_render(t, context, &options, &out, &err) != TRAWL_OK && out.size != 0) {
                __builtin_trap(); /* a failed rendering leaves nothing */
            }
        }
        tw_str_release(&out);
        tw_template_free(t);
    }
    json_decref(context);
    return 0;
}
