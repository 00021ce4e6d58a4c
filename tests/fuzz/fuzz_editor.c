/* SPDX-License-Identifier: MIT */
/* What a terminal sends: any bytes. The text stays UTF-8 with the cursor between its characters. */
#include <stdlib.h>

#include "base/utf8.h"
#include "cli/chat/editor_screen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const words[] = {"/help", "/hello"};
    struct cli_editor e;
    struct trawl_error err;
    struct tw_str frame;
    size_t row = 0;
    cli_editor_init(&e, words, 2);
    cli_editor_begin(&e);
    tw_str_init(&frame, 0);
    for (size_t i = 0; i < size; i++) {
        enum cli_edit what;
        if (cli_editor_feed(&e, (char)data[i], &what, &err) != TRAWL_OK || e.cursor > e.text.size ||
            !tw_utf8_valid(tw_str_text(&e.text), e.text.size) ||
            !tw_utf8_valid(tw_str_text(&e.text), e.cursor)) {
            abort();
        }
        if (what == CLI_EDIT_LINE) {
            if (cli_editor_remember(&e, tw_str_text(&e.text), e.text.size, &err) != TRAWL_OK ||
                cli_editor_draw(&e, "> ", 12, 4, &row, &frame, &err) != TRAWL_OK || row >= 4) {
                abort();
            }
            cli_editor_begin(&e);
            tw_str_reset(&frame);
            row = 0;
        }
    }
    tw_str_release(&frame);
    cli_editor_release(&e);
    return 0;
}
