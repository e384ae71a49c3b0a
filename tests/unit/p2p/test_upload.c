/* SPDX-License-Identifier: MIT */
#include "p2p/upload.h"

#include "tests/lib/test.h"

static struct el_chunk_id chunk_of(uint32_t index)
{
    struct el_chunk_id id = { .index = index };

    memset(id.object, 7, sizeof(id.object));
    return id;
}

static struct p2p_upload *make(unsigned slots, unsigned queue)
{
    struct p2p_upload_conf conf = { .slots = slots, .queue = queue };

    el_rng_seed(&conf.rng, 1);
    return p2p_upload_new(&conf);
}

static void ask(struct p2p_upload *u, uint64_t now, uint64_t node, uint32_t block)
{
    struct el_chunk_id id = chunk_of(0);

    assert_int_equal(p2p_upload_ask(u, now, node, &id, block), EL_OK);
}

static struct p2p_send next(struct p2p_upload *u, uint64_t now)
{
    struct p2p_send s = { 0 };

    assert_true(p2p_upload_next(u, now, &s));
    return s;
}

static void only_so_many_sends_run_at_a_time(void **state)
{
    struct p2p_upload *u = make(2, 0);
    struct p2p_send a, b, c;

    (void)state;
    for (uint64_t node = 1; node <= 3; node++)
        ask(u, 0, node, 0);
    a = next(u, 0);
    b = next(u, 0);
    assert_int_not_equal(a.node, b.node);
    assert_false(p2p_upload_next(u, 0, &c));
    p2p_upload_sent(u, 1, &a);
    c = next(u, 1);
    assert_int_not_equal(c.node, b.node);
    p2p_upload_free(u);
}

static void a_peer_gets_one_block_at_a_time(void **state)
{
    struct p2p_upload *u = make(4, 0);
    struct p2p_send a, b;

    (void)state;
    ask(u, 0, 1, 0);
    ask(u, 0, 1, 1);
    a = next(u, 0);
    assert_false(p2p_upload_next(u, 0, &b));
    p2p_upload_sent(u, 5, &a);
    b = next(u, 5);
    assert_int_not_equal(a.block, b.block);
    p2p_upload_free(u);
}

static void a_send_to_somebody_slow_makes_room_for_another(void **state)
{
    struct p2p_upload *u = make(1, 0);
    struct p2p_send s;

    (void)state;
    ask(u, 0, 1, 0);
    ask(u, 0, 2, 0);
    (void)next(u, 0);
    assert_false(p2p_upload_next(u, 100, &s));
    assert_int_equal(p2p_upload_due_ms(u), 250);
    assert_true(p2p_upload_next(u, 250, &s));
    p2p_upload_free(u);
}

static void a_block_that_went_out_less_often_goes_first(void **state)
{
    struct p2p_upload *u = make(1, 0);
    struct p2p_send s;

    (void)state;
    ask(u, 0, 1, 0);
    s = next(u, 0);
    p2p_upload_sent(u, 10, &s);
    ask(u, 10, 2, 0);
    ask(u, 10, 3, 1);
    s = next(u, 10);
    assert_int_equal(s.block, 1);
    p2p_upload_free(u);
}

static void who_has_waited_for_very_long_goes_first(void **state)
{
    struct p2p_upload *u = make(1, 0);
    struct p2p_send s;

    (void)state;
    ask(u, 0, 1, 0);
    s = next(u, 0);
    p2p_upload_sent(u, 1, &s);
    ask(u, 1, 1, 0); /* often sent */
    ask(u, 10000, 2, 1);
    s = next(u, 10001);
    assert_int_equal(s.node, 1);
    p2p_upload_free(u);
}

/* Each time there is one more that went out less often. */
static void who_asks_for_what_went_out_often_gets_one_of_four_sends(void **state)
{
    struct p2p_upload *u = make(1, 0);
    struct p2p_send s;
    unsigned old = 0;

    (void)state;
    for (uint64_t node = 1; node <= 8; node++) {
        ask(u, 0, node, 0);
        s = next(u, 0);
        p2p_upload_sent(u, 1, &s);
    }
    for (uint64_t node = 2; node <= 8; node++)
        ask(u, 1, node, 0);
    for (uint64_t now = 100; now < 120; now++) {
        ask(u, now, 1, (uint32_t)now);
        s = next(u, now);
        old += s.block == 0;
        p2p_upload_sent(u, now, &s);
    }
    assert_int_equal(old, 5);
    p2p_upload_free(u);
}

static void a_newcomer_goes_before_who_has_had_something(void **state)
{
    struct p2p_upload *u = make(1, 0);
    struct p2p_send s;

    (void)state;
    ask(u, 0, 1, 0);
    s = next(u, 0);
    p2p_upload_sent(u, 1, &s);
    ask(u, 1, 1, 1); /* went out less often, but to somebody known */
    ask(u, 1, 2, 0);
    s = next(u, 1);
    assert_int_equal(s.node, 2);
    p2p_upload_free(u);
}

static void what_is_cancelled_is_not_sent_and_what_is_being_sent_is_named(void **state)
{
    struct p2p_upload *u = make(1, 0);
    struct el_chunk_id id = chunk_of(0);
    struct p2p_send s;

    (void)state;
    ask(u, 0, 1, 3);
    s = next(u, 0);
    ask(u, 0, 1, 4);
    assert_int_equal(p2p_upload_cancel(u, 1, &id, (struct p2p_blocks){ 4, 1 }), 0);
    assert_int_equal(p2p_upload_cancel(u, 1, &id, (struct p2p_blocks){ 0, 0 }), 1u << 3);
    p2p_upload_sent(u, 1, &s);
    assert_false(p2p_upload_next(u, 1, &s));
    p2p_upload_free(u);
}

static void a_peer_cannot_ask_for_more_than_its_queue_holds_nor_twice(void **state)
{
    struct p2p_upload *u = make(1, 2);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    ask(u, 0, 1, 0);
    assert_int_equal(p2p_upload_ask(u, 0, 1, &id, 0), EL_EPROTO);
    ask(u, 0, 1, 1);
    assert_int_equal(p2p_upload_ask(u, 0, 1, &id, 2), EL_EOVERLOAD);
    ask(u, 0, 2, 0);
    p2p_upload_free(u);
}

static void a_link_that_ends_frees_its_slot(void **state)
{
    struct p2p_upload *u = make(1, 0);
    struct p2p_upload_stats stats;
    struct p2p_send s;

    (void)state;
    ask(u, 0, 1, 0);
    s = next(u, 0);
    ask(u, 0, 1, 1);
    ask(u, 0, 2, 2);
    p2p_upload_peer_down(u, s.node);
    s = next(u, 0);
    assert_int_equal(s.node, 2);
    p2p_upload_stats(u, &stats);
    assert_int_equal(stats.running, 1);
    assert_int_equal(stats.waiting, 0);
    p2p_upload_free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_so_many_sends_run_at_a_time),
        cmocka_unit_test(a_peer_gets_one_block_at_a_time),
        cmocka_unit_test(a_send_to_somebody_slow_makes_room_for_another),
        cmocka_unit_test(a_block_that_went_out_less_often_goes_first),
        cmocka_unit_test(who_has_waited_for_very_long_goes_first),
        cmocka_unit_test(who_asks_for_what_went_out_often_gets_one_of_four_sends),
        cmocka_unit_test(a_newcomer_goes_before_who_has_had_something),
        cmocka_unit_test(what_is_cancelled_is_not_sent_and_what_is_being_sent_is_named),
        cmocka_unit_test(a_peer_cannot_ask_for_more_than_its_queue_holds_nor_twice),
        cmocka_unit_test(a_link_that_ends_frees_its_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
