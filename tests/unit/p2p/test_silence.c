/* SPDX-License-Identifier: MIT */
/* What is made of trackers that do not answer. */
#include "tests/lib/test.h"

#include "p2p/silence.h"

#define ASKED 1000u

static void who_owes_no_answer_is_not_late(void **state)
{
    (void)state;
    assert_false(p2p_silence_is_late(0, ASKED));
    assert_false(p2p_silence_is_gone(0, ASKED));
}

static void who_does_not_answer_is_late_and_then_gone(void **state)
{
    (void)state;
    assert_false(p2p_silence_is_late(ASKED, ASKED + P2P_LATE_MS - 1));
    assert_true(p2p_silence_is_late(ASKED, ASKED + P2P_LATE_MS));
    assert_false(p2p_silence_is_gone(ASKED, ASKED + P2P_SILENT_MS - 1));
    assert_true(p2p_silence_is_gone(ASKED, ASKED + P2P_SILENT_MS));
}

static void an_answer_that_cannot_be_there_yet_is_not_late(void **state)
{
    (void)state;
    assert_false(p2p_silence_is_late(ASKED, ASKED - 300));
    assert_false(p2p_silence_is_gone(ASKED, ASKED - 300));
}

static void who_was_silent_is_asked_again_after_a_while(void **state)
{
    (void)state;
    assert_true(p2p_silence_is_late(ASKED, ASKED + P2P_PARDON_MS - 1));
    assert_false(p2p_silence_is_late(ASKED, ASKED + P2P_PARDON_MS));
    assert_false(p2p_silence_is_gone(ASKED, ASKED + P2P_PARDON_MS));
}

/* Who may yet answer may grant what was asked for. */
static void who_only_listens_has_not_answered(void **state)
{
    const struct p2p_locate question = { .leases = 1 };
    struct p2p_located answer = { 0 };

    (void)state;
    assert_false(p2p_silence_counts(&question, &answer));
    answer.taking = 1;
    assert_true(p2p_silence_counts(&question, &answer));
    answer = (struct p2p_located){ .n_leases = 1 };
    assert_true(p2p_silence_counts(&question, &answer));
}

static void who_asks_for_nothing_to_read_waits_for_nobody(void **state)
{
    const struct p2p_locate question = { .leases = 0 };
    const struct p2p_located answer = { 0 };

    (void)state;
    assert_true(p2p_silence_counts(&question, &answer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_owes_no_answer_is_not_late),
        cmocka_unit_test(who_does_not_answer_is_late_and_then_gone),
        cmocka_unit_test(an_answer_that_cannot_be_there_yet_is_not_late),
        cmocka_unit_test(who_was_silent_is_asked_again_after_a_while),
        cmocka_unit_test(who_only_listens_has_not_answered),
        cmocka_unit_test(who_asks_for_nothing_to_read_waits_for_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
