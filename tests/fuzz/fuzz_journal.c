/* SPDX-License-Identifier: MIT */
/* The reader of journals and of the manifest's lines, on any bytes. A group that is accepted must be made of
 * whole lines; what is refused must say why. Seeds: corpus/journal. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "store/store_manifest.h"
#include "store/store_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

static trawl_status take_record(void *user, uint64_t group, const struct tw_manifest_record *r,
                                struct trawl_error *err)
{
    (void)user;
    (void)group;
    (void)err;
    check(r->file != NULL && r->file[0] != '/' && strstr(r->file, "..") != r->file);
    check(r->bytes <= INT64_MAX && r->rows <= INT64_MAX);
    return TRAWL_OK;
}

static trawl_status take_line(void *user, uint64_t group, const char *text, size_t n, struct trawl_error *err)
{
    size_t *lines = user;
    (void)err;
    (*lines)++;
    check(group > 0 && memchr(text, '\n', n) == NULL);
    struct trawl_error why = {0};
    if (tw_manifest_parse(text, n, "fuzz", group, take_record, NULL, &why) != TRAWL_OK) {
        check(why.message[0] != '\0');
    }
    return TRAWL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_journal_scan scan;
    struct trawl_error err = {0};
    const char *text       = (const char *)data;
    size_t lines           = 0;
    (void)take_line(&lines, 1, text, size > 0 && memchr(text, '\n', size) == NULL ? size : 0, &err);
    if (tw_journal_scan(&scan, text, size, "activations", "fuzz", &err) != TRAWL_OK) {
        check(err.message[0] != '\0');
        tw_journal_scan_release(&scan);
        return 0;
    }
    check(scan.valid <= size && scan.header <= scan.valid);
    for (size_t i = 0; i < scan.n_groups; i++) {
        const struct tw_journal_group *g = &scan.groups[i];
        check(g->begin == (i == 0 ? scan.header : scan.groups[i - 1].stop) && g->begin <= g->commit);
        check(g->commit < g->stop && g->stop <= scan.valid && text[g->stop - 1] == '\n' &&
              g->first <= g->end);
        check(tw_journal_scan_each(g, i + 1, text, take_line, &lines, &err) == TRAWL_OK);
    }
    tw_journal_scan_release(&scan);
    return 0;
}
