/* SPDX-License-Identifier: MIT */
/* How far a node reads ahead of what it passes on. */
#include "tests/lib/test.h"

#include "p2p/lead.h"

#define START 1000000u
#define KIB   1024u
#define LEAST (128u * KIB)

/* To three takers, the median one has `sent'. */
static uint32_t lead_of_three(struct p2p_lead *l, uint64_t now, uint64_t block, uint32_t sent)
{
    uint32_t v[] = { UINT32_MAX, 0, sent };

    return p2p_lead(l, now, block, 0, v, 3);
}

static void who_passes_on_to_few_is_not_held(void **state)
{
    struct p2p_lead l = { 0 };
    uint32_t v[] = { 0, 0 };

    (void)state;
    assert_int_equal(p2p_lead(&l, START, 1, 0, v, 0), P2P_LEAD_ALL);
    assert_int_equal(p2p_lead(&l, START, 1, 0, v, 2), P2P_LEAD_ALL);
}

static void who_passes_on_little_reads_little_more(void **state)
{
    struct p2p_lead l = { 0 };

    (void)state;
    assert_int_equal(lead_of_three(&l, START, 1, 0), LEAST);
    for (uint32_t i = 1; i <= 10; i++)
        assert_int_equal(lead_of_three(&l, START + i * 100, 1, i * 50 * KIB), i * 50 * KIB + LEAST);
}

/* What goes out between two looks has to be there: 10 MiB a second, in 40 ms. */
static void who_passes_on_much_reads_ahead_for_some_time(void **state)
{
    struct p2p_lead l = { 0 };
    uint32_t sent = 0, lead = 0;

    (void)state;
    for (unsigned ms = 0; ms <= 1000; ms += 100, sent += 1024 * KIB)
        lead = lead_of_three(&l, START + ms, 1, sent) - sent;
    assert_in_range(lead, 400 * KIB, 420 * KIB);
}

static void one_taker_that_is_slow_holds_up_nobody(void **state)
{
    uint32_t v[] = { 900 * KIB, 0, 800 * KIB, 850 * KIB };
    struct p2p_lead l = { 0 };

    (void)state;
    assert_int_equal(p2p_lead(&l, START, 1, 0, v, 4), 800 * KIB + LEAST);
}

static void who_waits_for_takers_that_get_nothing_goes_on(void **state)
{
    struct p2p_lead l = { 0 };

    (void)state;
    assert_int_equal(lead_of_three(&l, START, 1, 10), 10 + LEAST);
    assert_int_equal(lead_of_three(&l, START + 500, 1, 10), 10 + LEAST);
    assert_int_equal(lead_of_three(&l, START + 501, 1, 10), P2P_LEAD_ALL);
    assert_int_equal(lead_of_three(&l, START + 600, 1, 20), 20 + LEAST); /* they do again */
}

/* Its own uplink is slow, that is: nobody would get the block sooner if it read it later. */
static void who_takes_longer_than_others_is_not_held(void **state)
{
    struct p2p_lead l = { 0 };
    uint32_t v[] = { 10, 20, 30 };

    (void)state;
    assert_int_equal(p2p_lead(&l, START, 1, 300, v, 3), 20 + LEAST);
    assert_int_equal(p2p_lead(&l, START + 300, 1, 300, v, 3), 20 + LEAST);
    assert_int_equal(p2p_lead(&l, START + 301, 1, 300, v, 3), P2P_LEAD_ALL);
    assert_int_equal(p2p_lead(&l, START + 302, 2, 300, v, 3), 20 + LEAST);
}

static void the_next_block_is_begun_anew(void **state)
{
    struct p2p_lead l = { 0 };

    (void)state;
    (void)lead_of_three(&l, START, 1, 900 * KIB);
    assert_int_equal(lead_of_three(&l, START + 50, 2, 0), LEAST);
    assert_int_equal(lead_of_three(&l, START + 550, 2, 0), LEAST);
    assert_int_equal(lead_of_three(&l, START + 551, 2, 0), P2P_LEAD_ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_passes_on_to_few_is_not_held),
        cmocka_unit_test(who_passes_on_little_reads_little_more),
        cmocka_unit_test(who_passes_on_much_reads_ahead_for_some_time),
        cmocka_unit_test(one_taker_that_is_slow_holds_up_nobody),
        cmocka_unit_test(who_waits_for_takers_that_get_nothing_goes_on),
        cmocka_unit_test(who_takes_longer_than_others_is_not_held),
        cmocka_unit_test(the_next_block_is_begun_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
