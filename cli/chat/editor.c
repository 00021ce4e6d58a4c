/* SPDX-License-Identifier: MIT */
#include "cli/chat/editor.h"

#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/utf8.h"

enum { ESCAPE = 27, DELETE = 127 };
enum { CTRL = 0x1f };
static const char paste_end[] = "\x1b[201~";

void cli_editor_init(struct cli_editor *e, const char *const *words, size_t n_words)
{
    *e = (struct cli_editor){.words = words, .n_words = n_words};
    tw_str_init(&e->text, 0);
    tw_str_init(&e->killed, 0);
    tw_str_init(&e->draft, 0);
}

void cli_editor_release(struct cli_editor *e)
{
    for (size_t i = 0; i < e->n_history; i++) {
        tw_free(e->history[i]);
    }
    tw_free(e->history);
    tw_str_release(&e->text);
    tw_str_release(&e->killed);
    tw_str_release(&e->draft);
    *e = (struct cli_editor){0};
}

void cli_editor_begin(struct cli_editor *e)
{
    tw_str_reset(&e->text);
    e->cursor  = 0;
    e->n_key   = 0;
    e->pasting = false;
    e->at      = e->n_history;
}

/* ---- places in the text ---- */

/* Does a character begin here that stands on its own, not an accent on the one before? */
static bool is_place(const struct cli_editor *e, size_t at)
{
    uint32_t c = 0;
    if (at == 0 || at >= e->text.size) {
        return true;
    }
    if ((e->text.data[at] & 0xc0) == 0x80) {
        return false;
    }
    (void)tw_utf8_decode(e->text.data + at, e->text.size - at, &c);
    return c < 0x300 || utf8proc_charwidth((utf8proc_int32_t)c) > 0;
}

static size_t next_place(const struct cli_editor *e, size_t at)
{
    if (at >= e->text.size) {
        return e->text.size;
    }
    do {
        at++;
    } while (!is_place(e, at));
    return at;
}

static size_t last_place(const struct cli_editor *e, size_t at)
{
    if (at == 0) {
        return 0;
    }
    do {
        at--;
    } while (!is_place(e, at));
    return at;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static size_t word_left(const struct cli_editor *e)
{
    size_t at = e->cursor;
    while (at > 0 && is_blank(e->text.data[at - 1])) {
        at--;
    }
    while (at > 0 && !is_blank(e->text.data[at - 1])) {
        at--;
    }
    return at;
}

static size_t word_right(const struct cli_editor *e)
{
    size_t at = e->cursor;
    while (at < e->text.size && is_blank(e->text.data[at])) {
        at++;
    }
    while (at < e->text.size && !is_blank(e->text.data[at])) {
        at++;
    }
    return at;
}

static size_t line_begin(const struct cli_editor *e)
{
    size_t at = e->cursor;
    while (at > 0 && e->text.data[at - 1] != '\n') {
        at--;
    }
    return at;
}

static size_t line_end(const struct cli_editor *e)
{
    size_t at = e->cursor;
    while (at < e->text.size && e->text.data[at] != '\n') {
        at++;
    }
    return at;
}

/* ---- changes ---- */

static trawl_status insert(struct cli_editor *e, const char *bytes, size_t n, struct trawl_error *err)
{
    size_t behind = e->text.size - e->cursor;
    TW_TRY(tw_str_append(&e->text, bytes, n, err));
    char *at = e->text.data + e->cursor;
    memmove(at + n, at, behind);
    memcpy(at, bytes, n);
    e->cursor += n;
    return TRAWL_OK;
}

static void erase(struct cli_editor *e, size_t from, size_t to)
{
    memmove(e->text.data + from, e->text.data + to, e->text.size - to);
    e->text.size -= to - from;
    e->text.data[e->text.size] = '\0';
    e->cursor                  = from;
}

/* What is erased can be put back with Ctrl-Y. */
static trawl_status cut(struct cli_editor *e, size_t from, size_t to, struct trawl_error *err)
{
    if (from == to) {
        return TRAWL_OK;
    }
    tw_str_reset(&e->killed);
    TW_TRY(tw_str_append(&e->killed, e->text.data + from, to - from, err));
    erase(e, from, to);
    return TRAWL_OK;
}

static void delete_right(struct cli_editor *e)
{
    size_t to = next_place(e, e->cursor);
    if (to > e->cursor) {
        erase(e, e->cursor, to);
    }
}

static void delete_left(struct cli_editor *e)
{
    if (e->cursor > 0) {
        erase(e, last_place(e, e->cursor), e->cursor);
    }
}

/* Ctrl-T: the character before the cursor and the one at it, or the last two. */
static trawl_status transpose(struct cli_editor *e, struct trawl_error *err)
{
    size_t middle = e->cursor == e->text.size ? last_place(e, e->cursor) : e->cursor;
    size_t from   = last_place(e, middle), to;
    if (middle == 0 || from == middle) {
        return TRAWL_OK;
    }
    to = next_place(e, middle);
    struct tw_str left;
    tw_str_init(&left, 0);
    trawl_status status = tw_str_append(&left, e->text.data + from, middle - from, err);
    if (status == TRAWL_OK) {
        memmove(e->text.data + from, e->text.data + middle, to - middle);
        memcpy(e->text.data + from + (to - middle), left.data, left.size);
        e->cursor = to;
    }
    tw_str_release(&left);
    return status;
}

/* ---- history ---- */

static trawl_status show_entry(struct cli_editor *e, size_t entry, struct trawl_error *err)
{
    const char *line = entry == e->n_history ? tw_str_text(&e->draft) : e->history[entry];
    size_t n         = entry == e->n_history ? e->draft.size : strlen(line);
    if (e->at == e->n_history) {
        tw_str_reset(&e->draft);
        TW_TRY(tw_str_append(&e->draft, tw_str_text(&e->text), e->text.size, err));
    }
    TW_TRY(tw_str_reserve(&e->text, n, err));
    tw_str_reset(&e->text);
    TW_TRY(tw_str_append(&e->text, line, n, err));
    e->cursor = n;
    e->at     = entry;
    return TRAWL_OK;
}

/* Up and down move within a text of several lines first. */
static trawl_status move_up(struct cli_editor *e, struct trawl_error *err)
{
    size_t begin = line_begin(e), column = e->cursor - begin;
    if (begin > 0) {
        e->cursor    = begin - 1;
        size_t above = line_begin(e), at = above + column;
        e->cursor = at < e->cursor ? at : e->cursor;
        while (!is_place(e, e->cursor)) {
            e->cursor--;
        }
        return TRAWL_OK;
    }
    return e->at > 0 ? show_entry(e, e->at - 1, err) : TRAWL_OK;
}

static trawl_status move_down(struct cli_editor *e, struct trawl_error *err)
{
    size_t end = line_end(e), column = e->cursor - line_begin(e);
    if (end < e->text.size) {
        size_t at = end + 1 + column;
        e->cursor = end + 1;
        end       = line_end(e);
        e->cursor = at < end ? at : end;
        while (!is_place(e, e->cursor)) {
            e->cursor--;
        }
        return TRAWL_OK;
    }
    return e->at < e->n_history ? show_entry(e, e->at + 1, err) : TRAWL_OK;
}

trawl_status cli_editor_remember(struct cli_editor *e, const char *line, size_t n, struct trawl_error *err)
{
    const char *last = e->n_history > 0 ? e->history[e->n_history - 1] : "";
    if (n == 0 || (strlen(last) == n && memcmp(last, line, n) == 0)) {
        return TRAWL_OK;
    }
    if (e->n_history == CLI_EDITOR_HISTORY) {
        tw_free(e->history[0]);
        memmove(e->history, e->history + 1, --e->n_history * sizeof *e->history);
    }
    TW_TRY(tw_grow(&e->history, &e->history_capacity, e->n_history + 1, sizeof *e->history, err));
    TW_TRY(tw_strndup(line, n, &e->history[e->n_history], err));
    e->n_history++;
    return TRAWL_OK;
}

/* ---- completion ---- */

/* The longest beginning that all words have that begin with the text before the cursor. */
static trawl_status complete(struct cli_editor *e, struct trawl_error *err)
{
    const char *common = NULL;
    size_t n = 0, fits = 0;
    for (size_t i = 0; i < e->n_words && e->cursor > 0; i++) {
        const char *word = e->words[i];
        if (strncmp(word, tw_str_text(&e->text), e->cursor) != 0) {
            continue;
        }
        if (fits++ == 0) {
            common = word;
            n      = strlen(word);
        }
        while (strncmp(word, common, n) != 0) {
            n--;
        }
    }
    if (fits == 0 || n <= e->cursor) {
        return TRAWL_OK;
    }
    TW_TRY(insert(e, common + e->cursor, n - e->cursor, err));
    return fits == 1 && e->cursor == e->text.size ? insert(e, " ", 1, err) : TRAWL_OK;
}

/* ---- keys ---- */

static trawl_status control(struct cli_editor *e, char byte, enum cli_edit *out, struct trawl_error *err)
{
    switch (byte | 0x40) {
    case 'A': e->cursor = line_begin(e); break;
    case 'B': e->cursor = last_place(e, e->cursor); break;
    case 'C': *out = CLI_EDIT_CANCEL; break;
    case 'D':
        if (e->text.size == 0) {
            *out = CLI_EDIT_END;
        } else {
            delete_right(e);
        }
        break;
    case 'E': e->cursor = line_end(e); break;
    case 'F': e->cursor = next_place(e, e->cursor); break;
    case 'H': delete_left(e); break;
    case 'I': return complete(e, err);
    case 'J':
    case 'M': *out = CLI_EDIT_LINE; break;
    case 'K': return cut(e, e->cursor, line_end(e), err);
    case 'L': *out = CLI_EDIT_REDRAW; break;
    case 'N': return move_down(e, err);
    case 'P': return move_up(e, err);
    case 'T': return transpose(e, err);
    case 'U': return cut(e, line_begin(e), e->cursor, err);
    case 'W': return cut(e, word_left(e), e->cursor, err);
    case 'Y': return insert(e, tw_str_text(&e->killed), e->killed.size, err);
    case 'Z': *out = CLI_EDIT_STOP; break;
    default: break; /* no such key: nothing happens */
    }
    return TRAWL_OK;
}

/* ESC and one character more. */
static trawl_status alt(struct cli_editor *e, char byte, struct trawl_error *err)
{
    switch (byte) {
    case 'b': e->cursor = word_left(e); break;
    case 'f': e->cursor = word_right(e); break;
    case 'd': return cut(e, e->cursor, word_right(e), err);
    case DELETE:
    case '\b': return cut(e, word_left(e), e->cursor, err);
    case '\r':
    case '\n': return insert(e, "\n", 1, err);
    default: break;
    }
    return TRAWL_OK;
}

/* ESC [ or ESC O, parameters, and a last byte. With Ctrl or Alt held there is a second parameter. */
static trawl_status sequence(struct cli_editor *e, struct trawl_error *err)
{
    char last     = e->key[e->n_key - 1];
    bool modified = memchr(e->key, ';', e->n_key) != NULL;
    switch (last) {
    case 'A': return move_up(e, err);
    case 'B': return move_down(e, err);
    case 'C': e->cursor = modified ? word_right(e) : next_place(e, e->cursor); break;
    case 'D': e->cursor = modified ? word_left(e) : last_place(e, e->cursor); break;
    case 'H': e->cursor = line_begin(e); break;
    case 'F': e->cursor = line_end(e); break;
    case '~':
        switch (e->key[2]) {
        case '1':
        case '7': e->cursor = line_begin(e); break;
        case '4':
        case '8': e->cursor = line_end(e); break;
        case '3': delete_right(e); break;
        case '2': e->pasting = e->n_key == 6 && memcmp(e->key, "\x1b[200~", 6) == 0; break;
        default: break;
        }
        break;
    default: break;
    }
    return TRAWL_OK;
}

/* Is e->key a whole key that begins with ESC? */
static bool escape_done(const struct cli_editor *e)
{
    char second = e->n_key > 1 ? e->key[1] : '\0', last = e->key[e->n_key - 1];
    if (e->n_key < 2) {
        return false;
    }
    if (second != '[' && second != 'O') {
        return true;
    }
    return e->n_key > 2 && last >= 0x40 && last <= 0x7e;
}

static trawl_status feed_escape(struct cli_editor *e, struct trawl_error *err)
{
    if (!escape_done(e)) {
        if (e->n_key == CLI_EDITOR_KEY) {
            e->n_key = 0; /* no key is that long */
        }
        return TRAWL_OK;
    }
    trawl_status status = e->key[1] == '[' || e->key[1] == 'O' ? sequence(e, err) : alt(e, e->key[1], err);
    e->n_key            = 0;
    return status;
}

/* Bytes of a character come one by one; those that make none are left out. */
static trawl_status feed_character(struct cli_editor *e, struct trawl_error *err)
{
    size_t n = tw_utf8_decode(e->key, e->n_key, NULL);
    if (n == 0 && tw_utf8_incomplete(e->key, e->n_key) == e->n_key) {
        return TRAWL_OK;
    }
    trawl_status status = n > 0 ? insert(e, e->key, e->n_key, err) : TRAWL_OK;
    e->n_key            = 0;
    return status;
}

/* Pasted text ends with a key of its own; line ends are \r or \r\n, other control characters are no text. */
static trawl_status feed_paste(struct cli_editor *e, char byte, struct trawl_error *err)
{
    if (byte == ESCAPE || (e->n_key > 0 && e->key[0] != ESCAPE && (byte & 0xc0) != 0x80)) {
        e->n_key = 0; /* what came before was cut short */
    }
    e->key[e->n_key++] = byte;
    if (e->key[0] == ESCAPE) {
        if (memcmp(e->key, paste_end, e->n_key) != 0) {
            e->n_key = 0;
        } else if (e->n_key == sizeof paste_end - 1) {
            e->pasting = false;
            e->n_key   = 0;
        }
        return TRAWL_OK;
    }
    if (byte == '\r' || byte == '\n') {
        bool second = byte == '\n' && e->cursor > 0 && e->text.data[e->cursor - 1] == '\r';
        e->n_key    = 0;
        if (second) {
            e->text.data[e->cursor - 1] = '\n';
            return TRAWL_OK;
        }
        return insert(e, byte == '\n' ? "\n" : "\r", 1, err);
    }
    if ((unsigned char)byte < ' ' && byte != '\t') {
        e->n_key = 0;
        return TRAWL_OK;
    }
    return feed_character(e, err);
}

/* A \r that no \n followed is a line end too. */
static void settle_paste(struct cli_editor *e)
{
    for (size_t i = 0; i < e->text.size; i++) {
        if (e->text.data[i] == '\r') {
            e->text.data[i] = '\n';
        }
    }
}

trawl_status cli_editor_feed(struct cli_editor *e, char byte, enum cli_edit *out, struct trawl_error *err)
{
    *out = CLI_EDIT_MORE;
    if (e->pasting) {
        trawl_status status = feed_paste(e, byte, err);
        if (!e->pasting) {
            settle_paste(e);
        }
        return status;
    }
    if (e->n_key == 0 && ((unsigned char)byte <= CTRL || byte == DELETE) && byte != ESCAPE) {
        if (byte == DELETE) {
            delete_left(e);
            return TRAWL_OK;
        }
        return control(e, byte, out, err);
    }
    if (e->n_key > 0 && (byte == ESCAPE || (e->key[0] != ESCAPE && (byte & 0xc0) != 0x80))) {
        e->n_key = 0; /* a key or character that was cut short */
        return cli_editor_feed(e, byte, out, err);
    }
    e->key[e->n_key++] = byte;
    return e->key[0] == ESCAPE ? feed_escape(e, err) : feed_character(e, err);
}
