/* SPDX-License-Identifier: MIT */
/* How many runs are out at a time, with origins of different kinds. */
#include "tests/lib/test.h"

#include "p2p/tracker_pace.h"

struct origin {
    struct p2p_pace pace;
    uint64_t now;
    unsigned each;  /* blocks in 10 s over one connection */
    unsigned total; /* and over all of them together */
    unsigned left;  /* of what was read and is not a block yet, in 1/10000 */
    bool is_wanted;
    uint64_t read; /* the same, ever */
};

static void init(struct origin *o, unsigned each, unsigned total)
{
    *o = (struct origin){ .now = 5000, .each = each, .total = total, .is_wanted = true };
    p2p_pace_init(&o->pace, o->now, 0);
}

static unsigned rate(const struct origin *o, unsigned runs)
{
    return (unsigned)el_min_u64(runs * o->each, o->total);
}

/* So many ms: as many runs are read as may be. */
static void pass(struct origin *o, unsigned ms)
{
    for (; ms > 0; ms--) {
        o->now++;
        if (o->is_wanted)
            p2p_pace_full(&o->pace);
        o->left += rate(o, o->pace.limit);
        o->read += rate(o, o->pace.limit);
        if (o->left >= 10000)
            p2p_pace_read(&o->pace, o->now, o->left / 10000);
        o->left %= 10000;
        assert_in_range(o->pace.limit, P2P_PACE_LEAST, P2P_PACE_MOST);
    }
}

/* Of what it could give in that time, in percent. */
static unsigned share(struct origin *o, unsigned ms)
{
    uint64_t before = o->read;

    pass(o, ms);
    return (unsigned)((o->read - before) * 100 / ((uint64_t)ms * o->total));
}

/* 200 Mbit/s, however many connections share them. */
static void a_shaped_origin_is_read_by_few_runs(void **state)
{
    struct origin o;

    (void)state;
    init(&o, 238, 238);
    pass(&o, 11000);
    assert_in_range(o.pace.limit, 2, 4);
    pass(&o, 60000);
    assert_in_range(o.pace.limit, 2, 4);
}

/* 50 MB/s for each connection, up to 3 GB/s. */
static void an_origin_that_gives_more_to_more_connections_is_read_by_dozens(void **state)
{
    struct origin o;

    (void)state;
    init(&o, 477, 28610);
    while (o.pace.limit < 32)
        pass(&o, 1);
    assert_true(o.read / 10000 < 512); /* half a group */
    assert_in_range(share(&o, 60000), 90, 100);
}

static void an_origin_in_between_is_read_by_as_many_as_fill_it(void **state)
{
    struct origin o;

    (void)state;
    init(&o, 100, 1000);
    pass(&o, 120000);
    assert_in_range(o.pace.limit, 8, 16);
    assert_in_range(share(&o, 60000), 90, 100);
}

static void an_origin_that_becomes_slower_or_faster_is_followed(void **state)
{
    struct origin o;

    (void)state;
    init(&o, 100, 3000);
    pass(&o, 30000);
    assert_in_range(share(&o, 60000), 90, 100);
    o.total = 100;
    pass(&o, 600000);
    assert_in_range(o.pace.limit, 2, 4);
    o.total = 3000;
    pass(&o, 600000);
    assert_in_range(share(&o, 60000), 90, 100);
}

/* Fewer are out than may be: what they bring says nothing about the limit. */
static void without_demand_the_limit_stays(void **state)
{
    struct origin o;

    (void)state;
    init(&o, 238, 238);
    o.is_wanted = false;
    pass(&o, 60000);
    assert_int_equal(o.pace.limit, P2P_PACE_START);
}

static void the_time_in_which_nothing_was_read_does_not_count(void **state)
{
    struct origin o;
    unsigned limit;

    (void)state;
    init(&o, 477, 28610);
    pass(&o, 400);
    limit = o.pace.limit;
    o.now += 3600000;
    p2p_pace_resume(&o.pace, o.now);
    pass(&o, 3000);
    assert_true(o.pace.limit > limit);
}

static void what_was_found_elsewhere_is_where_to_begin(void **state)
{
    struct p2p_pace p;

    (void)state;
    p2p_pace_init(&p, 0, 0);
    assert_int_equal(p.limit, 4);
    p2p_pace_init(&p, 0, 2);
    assert_int_equal(p.limit, 4);
    p2p_pace_init(&p, 0, 12);
    assert_int_equal(p.limit, 12);
    p2p_pace_init(&p, 0, 64);
    assert_int_equal(p.limit, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shaped_origin_is_read_by_few_runs),
        cmocka_unit_test(an_origin_that_gives_more_to_more_connections_is_read_by_dozens),
        cmocka_unit_test(an_origin_in_between_is_read_by_as_many_as_fill_it),
        cmocka_unit_test(an_origin_that_becomes_slower_or_faster_is_followed),
        cmocka_unit_test(without_demand_the_limit_stays),
        cmocka_unit_test(the_time_in_which_nothing_was_read_does_not_count),
        cmocka_unit_test(what_was_found_elsewhere_is_where_to_begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
