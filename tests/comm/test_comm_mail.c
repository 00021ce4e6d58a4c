/* SPDX-License-Identifier: MIT */
/* Letters between processes that are threads here: of every size, both ways at once, in order; and letters that
 * arrive cut, or from a process that is gone. */
#include "support/test.h"

#include "base/alloc.h"
#include "comm/comm_wires.h"
#include "comm/message/comm_mail.h"

enum { TAG = 2, LETTERS = 60, FIRST_BYTES = 1 << 16 };

/* Sizes around the borders between one message and two, and some beyond. */
static size_t letter_bytes(int from, int number)
{
    static const size_t sizes[] = {
        sizeof(struct tw_letter), sizeof(struct tw_letter) + 1, 100, FIRST_BYTES - 1, FIRST_BYTES,
        FIRST_BYTES + 1,          3 * FIRST_BYTES + 17};
    return sizes[(size_t)(number * 5 + from) % (sizeof sizes / sizeof sizes[0])];
}

static unsigned char letter_byte(int from, int number, size_t at)
{
    return (unsigned char)(at * 31 + (size_t)number * 7 + (size_t)from);
}

static trawl_status post(struct tw_mail *m, int from, int number, struct trawl_error *err)
{
    struct tw_letter *letter = NULL;
    size_t bytes             = letter_bytes(from, number);
    TW_TRY(tw_alloc(bytes, 1, &letter, err));
    for (size_t i = sizeof *letter; i < bytes; i++) {
        ((unsigned char *)letter)[i] = letter_byte(from, number, i);
    }
    return tw_mail_send(m, letter, bytes, err);
}

static bool is_right(const struct tw_letter *letter, int from, int number)
{
    bool right = letter->bytes == letter_bytes(from, number);
    for (size_t i = sizeof *letter; right && i < letter->bytes; i++) {
        right = ((const unsigned char *)letter)[i] == letter_byte(from, number, i);
    }
    return right;
}

/* Letters to the other one, a few ahead of what has come; `again` counts wrong ones. */
static void correspond(struct wire_rank *me)
{
    struct tw_mail m;
    struct tw_wire_patience patience = {0};
    int sent = 0, come = 0, other = 1 - me->rank;
    me->status = tw_mail_init(&m, me->wire, other, TAG, &me->err);
    while (me->status == TRAWL_OK && (come < LETTERS || m.first != NULL)) {
        struct tw_letter *letter = NULL;
        bool moved               = false;
        for (; me->status == TRAWL_OK && sent < LETTERS && sent < come + 3; sent++) {
            me->status = post(&m, me->rank, sent, &me->err);
        }
        if (me->status == TRAWL_OK) {
            me->status = come < LETTERS ? tw_mail_poll(&m, &letter, &moved, &me->err)
                                        : tw_mail_push(&m, &moved, &me->err);
        }
        if (letter != NULL) {
            me->again += !is_right(letter, other, come++);
            tw_free(letter);
        }
        patience = moved ? (struct tw_wire_patience){0} : patience;
        if (!moved) {
            tw_wire_pause(me->wire, &patience);
        }
    }
    me->again += me->status == TRAWL_OK && m.waiting != 0;
    tw_mail_release(&m);
}

static void letters_arrive_whole_and_in_order(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct hub hub;
        struct wire_rank ranks[2];
        hub_init(&hub, 2, (uint64_t)way);
        hub.looks_most = way == 1 ? 9 : 0;
        hub.eager_most = way == 2 ? 0 : 4096;
        run_wires(&hub, 60000, correspond, NULL, ranks);
        for (int i = 0; i < 2; i++) {
            if (ranks[i].status != TRAWL_OK || ranks[i].again != 0) {
                fail_msg("way %d, rank %d: %d wrong, \"%s\"", way, i, (int)ranks[i].again,
                         ranks[i].err.message);
            }
        }
        hub_release(&hub);
    }
}

/* However much of rank 1's messages is lost: rank 0 refuses the first letter that is not what it says. */
static void cut_letters_are_refused(void **state)
{
    (void)state;
    static const size_t left[] = {0, 1, 7, 8, 99, FIRST_BYTES - 1};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        struct hub hub;
        struct wire_rank ranks[2];
        hub_init(&hub, 2, 1);
        hub.cut_from  = 1;
        hub.cut_bytes = left[i];
        hub.cut_tag   = TAG;
        run_wires(&hub, 60000, correspond, NULL, ranks);
        for (int r = 0; r < 2; r++) {
            char words[64];
            (void)snprintf(words, sizeof words, "rank 1 sent %zu bytes as a part of a letter of ", left[i]);
            assert_int_equal(ranks[r].status, TRAWL_ERR_COMM);
            assert_int_equal(ranks[r].again, 0);
            if (strstr(ranks[r].err.message, words) == NULL || ranks[r].err.rank != 1) {
                fail_msg("rank %d says \"%s\", expected \"%s\"", r, ranks[r].err.message, words);
            }
        }
        hub_release(&hub);
    }
}

/* A letter half written when the other one ends, and one that never went out: nothing is leaked or touched. */
static void leave_early(struct wire_rank *me)
{
    struct tw_mail m;
    struct tw_letter *letter = NULL;
    bool moved               = false;
    me->status               = tw_mail_init(&m, me->wire, 1 - me->rank, TAG, &me->err);
    for (int i = 0; i < 7 && me->status == TRAWL_OK; i++) {
        me->status = post(&m, me->rank, i, &me->err);
    }
    if (me->status == TRAWL_OK) {
        me->status = tw_mail_poll(&m, &letter, &moved, &me->err);
    }
    tw_free(letter);
    tw_wire_break(me->wire, me->rank, "rank %d leaves", me->rank);
    me->again = tw_mail_poll(&m, &letter, &moved, NULL);
    tw_mail_release(&m);
}

static void letters_under_way_are_dropped(void **state)
{
    (void)state;
    struct hub hub;
    struct wire_rank ranks[2];
    hub_init(&hub, 2, 1);
    run_wires(&hub, 60000, leave_early, NULL, ranks);
    for (int i = 0; i < 2; i++) {
        assert_true(ranks[i].status == TRAWL_OK || ranks[i].status == TRAWL_ERR_COMM);
        assert_int_equal(ranks[i].again, TRAWL_ERR_COMM);
    }
    hub_release(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_arrive_whole_and_in_order),
        cmocka_unit_test(cut_letters_are_refused),
        cmocka_unit_test(letters_under_way_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
