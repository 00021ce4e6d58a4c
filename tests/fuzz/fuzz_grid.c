/* SPDX-License-Identifier: MIT */
/* Every JSON that the ARC tools read: data sets, records, attempts. The first byte chooses. */
#include "apps/arc/arc_dataset.h"
#include "apps/arc/arc_results.h"
#include "apps/arc/arc_transform.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_records(struct tw_arc_stream *s)
{
    for (bool more = true; more;) {
        struct tw_arc_record r;
        if (tw_arc_results_next(s, &r, &more, NULL) == TRAWL_OK && more) {
            struct tw_str out;
            tw_str_init(&out, 0);
            (void)tw_arc_record_write(&r, &out, NULL);
            tw_str_release(&out);
            tw_arc_record_release(&r);
        }
    }
}

static void read_attempts(struct tw_arc_stream *s)
{
    for (bool more = true; more;) {
        struct tw_arc_attempts a;
        if (tw_arc_submission_next(s, &a, &more, NULL) == TRAWL_OK && more) {
            tw_arc_attempts_release(&a);
        }
    }
}

static void name_entries(struct tw_arc_stream *s)
{
    for (;;) {
        json_t *key, *value;
        char id[9];
        if (tw_arc_stream_next(s, &key, &value, NULL) != TRAWL_OK || value == NULL) {
            return;
        }
        (void)tw_arc_transform_id(value, s->n, id, NULL);
        json_decref(key);
        json_decref(value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const char *name = data[0] & 1 ? "x.jsonl" : "x.json";
    const char *text = (const char *)data + 1;
    struct tw_arc_stream s;
    if ((data[0] >> 1 & 3) == 0) {
        struct tw_arc_dataset ds;
        if (tw_arc_dataset_load_text(&ds, name, text, size - 1, 0, NULL, NULL) == TRAWL_OK) {
            (void)tw_arc_dataset_find(&ds, ds.tasks[ds.n - 1].id);
            tw_arc_dataset_release(&ds);
        }
        return 0;
    }
    if (tw_arc_stream_over(&s, name, text, size - 1, NULL) != TRAWL_OK) {
        return 0;
    }
    switch (data[0] >> 1 & 3) {
    case 1: read_records(&s); break;
    case 2: read_attempts(&s); break;
    default: name_entries(&s); break;
    }
    tw_arc_stream_close(&s);
    return 0;
}
