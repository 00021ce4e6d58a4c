/* SPDX-License-Identifier: MIT */
/* Facts in sections, as a table for people or as JSON for machines: said once, printed either way. */
#ifndef CLI_INFO_FACTS_H
#define CLI_INFO_FACTS_H

#include "cli/table.h"
#include "json/json.h"

/* The first failure is kept and returned by cli_facts_finish, so single calls need no check. */
struct cli_facts {
    bool json, bold, in_section;
    struct tw_str *out; /* borrowed */
    struct tw_json_writer writer;
    struct cli_table table; /* of the section at hand */
    trawl_status status;
    struct trawl_error error;
};

trawl_status cli_facts_init(struct cli_facts *facts, bool json, bool bold, struct tw_str *out,
                            struct trawl_error *err);
void cli_facts_release(struct cli_facts *facts);
void cli_facts_section(struct cli_facts *facts, const char *name);
/* `key`: with underscores; the table shows blanks. */
void cli_facts_text(struct cli_facts *facts, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void cli_facts_count(struct cli_facts *facts, const char *key, int64_t n);
void cli_facts_bytes(struct cli_facts *facts, const char *key, uint64_t bytes);
trawl_status cli_facts_finish(struct cli_facts *facts, struct trawl_error *err);

/* "512 B", "48.0 KiB", "1.5 GiB" */
void cli_format_bytes(char *out, size_t size, uint64_t bytes);

#endif /* CLI_INFO_FACTS_H */
