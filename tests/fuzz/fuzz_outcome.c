/* SPDX-License-Identifier: MIT */
/* The reader of journal records, on any JSON. A record that is accepted is written and read again: it must say the
 * same. What is refused must say why. Seeds: corpus/outcome. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "api/api_outcome.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

/* As a record with a list of outputs, which holds everything. */
static void write_record(const struct tw_job_outcome *o, struct tw_str *text)
{
    struct tw_json_writer w;
    struct trawl_error err;
    tw_str_reset(text);
    tw_json_writer_init(&w, text, 0);
    tw_job_outcome_write(&w, o->number, o, true);
    check(tw_json_writer_finish(&w, &err) == TRAWL_OK);
}

static void check_again(const struct tw_job_outcome *o)
{
    struct tw_job_outcome again = {0};
    struct tw_str a, b;
    struct trawl_error err;
    json_t *j = NULL;
    tw_str_init(&a, 0);
    tw_str_init(&b, 0);
    write_record(o, &a);
    check(tw_json_parse(tw_str_text(&a), a.size, "fuzz", &j, &err) == TRAWL_OK);
    check(tw_job_outcome_read(j, o->number, &again, &err) == TRAWL_OK);
    write_record(&again, &b);
    check(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
    json_decref(j);
    tw_job_outcome_release(&again);
    tw_str_release(&a);
    tw_str_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_job_outcome o = {0};
    struct trawl_error err  = {0};
    json_t *j               = NULL;
    if (tw_json_parse((const char *)data, size, "fuzz", &j, &err) != TRAWL_OK) {
        check(err.message[0] != '\0');
        return 0;
    }
    if (tw_job_outcome_read(j, 3, &o, &err) == TRAWL_OK) {
        check(o.number >= 3);
        check_again(&o);
    } else {
        check(err.message[0] != '\0');
    }
    tw_job_outcome_release(&o);
    json_decref(j);
    return 0;
}
