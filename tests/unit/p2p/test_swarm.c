/* SPDX-License-Identifier: MIT */
/* One node's swarm, by hand: what happened goes in, what it wants done comes out. */
#include "p2p/swarm.h"

#include "tests/lib/test.h"

#define SELF UINT64_C(1)

static const uint8_t version[P2P_VERSION_BYTES] = { 9 };

struct fixture {
    struct p2p_swarm *s;
    struct p2p_download *d;
    struct p2p_move moves[2048];
    struct p2p_locate locate; /* of the last question */
    size_t n;
};

static void want(struct fixture *f, uint64_t now, uint64_t first, uint64_t end, uint64_t urgent)
{
    const struct p2p_span span = { first, end };

    p2p_swarm_want(f->d, now, &span, 1, urgent);
}

static struct fixture *start(uint64_t blocks, enum p2p_reach reach)
{
    struct fixture *f = el_new(struct fixture);
    struct p2p_swarm_conf conf = { .self = SELF };

    el_rng_seed(&conf.rng, 3);
    f->s = p2p_swarm_new(&conf, 0);
    f->d = p2p_swarm_open(f->s, 0, version, blocks * P2P_MAX_BLOCK, f);
    p2p_swarm_set_reach(f->d, 0, reach, 0, 0);
    want(f, 0, 0, blocks, P2P_NO_BLOCK);
    return f;
}

static void end(struct fixture *f)
{
    p2p_swarm_free(f->s);
    free(f);
}

/* What it wants done now. */
static void drain(struct fixture *f)
{
    f->n = 0;
    while (f->n < EL_COUNT(f->moves) && p2p_swarm_next(f->s, &f->moves[f->n])) {
        if (f->moves[f->n].kind == P2P_MOVE_LOCATE)
            f->locate = *f->moves[f->n].locate;
        f->n++;
    }
    assert_true(f->n < EL_COUNT(f->moves));
}

static unsigned count(const struct fixture *f, enum p2p_move_kind kind)
{
    unsigned n = 0;

    for (size_t i = 0; i < f->n; i++)
        n += f->moves[i].kind == kind;
    return n;
}

static const struct p2p_move *first(const struct fixture *f, enum p2p_move_kind kind)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->moves[i].kind == kind)
            return &f->moves[i];
    fail_msg("it wants no such thing done");
    return NULL;
}

static struct el_chunk_id chunk_of(uint32_t index)
{
    struct el_chunk_id id = { .index = index };

    memcpy(id.object, version, sizeof(id.object));
    return id;
}

/* The tracker names these nodes, all of which take part. */
static void name(struct fixture *f, uint64_t now, uint64_t first_node, size_t n)
{
    struct p2p_located l = { .n_takers = n, .again_ms = 1000 };

    for (size_t i = 0; i < n; i++)
        l.takers[i] = (struct p2p_taker){ .node = first_node + i, .is_taking = true };
    p2p_swarm_on_located(f->d, now, 0, &l);
    drain(f);
    for (size_t i = 0; i < n; i++)
        p2p_swarm_peer_up(f->s, now, first_node + i, false);
    drain(f);
}

static void tell(struct fixture *f, uint64_t now, uint64_t node, uint32_t chunk, uint32_t bitmap)
{
    struct el_chunk_id id = chunk_of(chunk);
    struct p2p_have have = { .blocks = 16, .bitmap = bitmap, .is_filling = bitmap != 0xffff };

    p2p_swarm_on_have(f->s, now, node, &id, &have);
}

/* It has these, and is reading those. */
static void tell_coming(struct fixture *f, uint64_t now, uint64_t node, uint32_t bitmap,
                        uint32_t coming)
{
    struct el_chunk_id id = chunk_of(0);
    struct p2p_have have = { .blocks = 16, .bitmap = bitmap, .is_filling = true, .coming = coming };

    p2p_swarm_on_have(f->s, now, node, &id, &have);
    drain(f);
}

static void lease(struct fixture *f, uint64_t now, uint16_t block, uint8_t blocks)
{
    struct p2p_located l = { .n_leases = 1, .again_ms = 1000 };

    l.leases[0] = (struct p2p_lease){ 77, block, blocks, P2P_LEASE_TTL_MS };
    p2p_swarm_on_located(f->d, now, 0, &l);
    drain(f);
}

static void the_tracker_is_asked_first_and_nobody_else(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    assert_int_equal(f->n, 1);
    assert_int_equal(f->locate.blocks, 32);
    assert_int_equal(p2p_blockset_count(&f->locate.want), 32);
    assert_true(f->locate.leases > 0);
    end(f);
}

static void a_lease_is_read_and_reported_until_it_is_over(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    const struct p2p_move *m;
    uint32_t run;

    (void)state;
    drain(f);
    lease(f, 1, 16, 4);
    m = first(f, P2P_MOVE_FETCH);
    assert_int_equal(m->first, 16);
    assert_int_equal(m->count, 4);
    assert_int_equal(m->reason, P2P_REASON_LEASE);
    run = m->run;
    for (unsigned i = 0; i < 4; i++) {
        p2p_swarm_have(f->d, 2, 16 + i);
        p2p_swarm_on_run_progress(f->d, 2, run, i + 1);
    }
    p2p_swarm_on_run_over(f->d, 3, run, 4, true);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    assert_int_equal(f->locate.n_ended, 1);
    assert_int_equal(f->locate.ended[0].id, 77);
    assert_int_equal(f->locate.ended[0].done, 4);
    assert_true(f->locate.ended[0].ok);
    assert_int_equal(p2p_blockset_count(&f->locate.have), 4);
    end(f);
}

/* That node's answer: so many take, it too. */
static void locate_by(struct fixture *f, uint64_t now, uint64_t node, uint16_t taking)
{
    p2p_swarm_on_located(f->d, now, 0, &(struct p2p_located){ .taking = taking, .again_ms = 1000 });
    p2p_swarm_located_by(f->d, 0, node);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0);
}

static void when_its_tracker_is_gone_the_next_one_is_asked_at_once(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    locate_by(f, 1, 50, 8);
    p2p_swarm_tracker_lost(f->s, 2, 51);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0);
    p2p_swarm_tracker_lost(f->s, 3, 50);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    assert_true(f->locate.again);
    assert_int_equal(f->locate.others, 7);
    end(f);
}

static void a_question_that_was_out_when_its_tracker_was_lost_is_asked_anew(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct p2p_located l = { .again_ms = 1000 };

    (void)state;
    drain(f);
    locate_by(f, 1, 50, 8);
    p2p_swarm_tick(f->s, 2000);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    p2p_swarm_tracker_lost(f->s, 2001, 50);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0);
    p2p_swarm_on_located(f->d, 2002, 0, &l);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    locate_by(f, 2003, 51, 8);
    end(f);
}

/* The link was cut, another one has answered meanwhile, and now it is known that it is dead. */
static void who_answered_before_may_be_known_as_gone_later(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    locate_by(f, 1, 50, 8);
    p2p_swarm_tick(f->s, 2000);
    drain(f);
    locate_by(f, 2001, 51, 0);
    p2p_swarm_tracker_lost(f->s, 2002, 50);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    end(f);
}

static void of_many_only_who_reads_asks_the_next_tracker_at_once(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    locate_by(f, 1, 50, 1000);
    p2p_swarm_tracker_lost(f->s, 2, 50);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0);
    p2p_swarm_tick(f->s, 2000);
    drain(f);
    assert_int_equal(f->locate.others, 0);
    lease(f, 2001, 0, 4);
    p2p_swarm_tracker_lost(f->s, 2002, 50);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    end(f);
}

static void a_taker_that_is_lost_is_no_longer_one_of_the_others(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    name(f, 1, 2, 3);
    p2p_swarm_tick(f->s, 1001);
    drain(f);
    assert_int_equal(f->locate.others, 3);
    locate_by(f, 1002, 2, 4);
    p2p_swarm_peer_down(f->s, 1003, 2);
    p2p_swarm_tracker_lost(f->s, 1003, 2);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    assert_int_equal(f->locate.others, 2);
    end(f);
}

static void who_may_not_ask_the_origin_asks_for_no_lease(void **state)
{
    struct fixture *f = start(32, P2P_REACH_NONE);

    (void)state;
    drain(f);
    assert_int_equal(f->locate.leases, 0);
    lease(f, 1, 0, 4);
    assert_int_equal(count(f, P2P_MOVE_FETCH), 0);
    end(f);
}

static void an_exact_range_is_asked_for_as_a_whole(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    p2p_swarm_set_reach(f->d, 0, P2P_REACH_EXACT, 3, 7);
    drain(f);
    assert_true(f->locate.exact);
    assert_int_equal(p2p_blockset_count(&f->locate.want), 4);
    assert_true(p2p_blockset_has(&f->locate.want, 3));
    end(f);
}

/* Where memory is short the window is shorter than the range. */
static void an_exact_range_may_reach_beyond_what_is_wanted_yet(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    want(f, 0, 0, 5, 0);
    p2p_swarm_set_reach(f->d, 0, P2P_REACH_EXACT, 3, 7);
    drain(f);
    assert_int_equal(f->locate.leases, 1);
    assert_int_equal(p2p_blockset_count(&f->locate.want), 4);
    lease(f, 1, 3, 4);
    assert_int_equal(first(f, P2P_MOVE_FETCH)->count, 4);
    end(f);
}

/* Two others take part and have all of that chunk; this one has read a block of four by 1102. */
static struct fixture *beside_two_that_have(uint32_t chunk, enum p2p_reach reach, uint64_t now)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    p2p_swarm_set_reach(f->d, 0, reach, 0, 4);
    want(f, 0, 0, 16, 0);
    drain(f);
    name(f, 1, 2, 2);
    p2p_swarm_tick(f->s, 1100);
    drain(f);
    lease(f, 1101, 0, 4);
    p2p_swarm_have(f->d, 1102, 0);
    p2p_swarm_on_run_progress(f->d, 1102, first(f, P2P_MOVE_FETCH)->run, 1);
    tell(f, 1103, 2, chunk, chunk == 0 ? 0xfff0 : 0xffff);
    tell(f, 1103, 3, chunk, chunk == 0 ? 0xfff0 : 0xffff);
    p2p_swarm_tick(f->s, now);
    drain(f);
    return f;
}

static void who_is_far_behind_gives_back_what_it_has_not_begun_to_read(void **state)
{
    struct fixture *f = beside_two_that_have(0, P2P_REACH_ANY, 1210);

    (void)state;
    assert_int_equal(first(f, P2P_MOVE_STOP)->count, 2);
    assert_int_equal(f->locate.n_ended, 1); /* and says so at once */
    assert_int_equal(f->locate.ended[0].count, 2);
    p2p_swarm_tick(f->s, 5000);
    drain(f);
    assert_int_equal(f->locate.leases, 0);
    end(f);
}

/* The rest has left the origin by the time that it could be given back. */
static void what_comes_fast_is_not_given_back(void **state)
{
    struct fixture *f = beside_two_that_have(0, P2P_REACH_ANY, 1150);

    (void)state;
    assert_int_equal(count(f, P2P_MOVE_STOP), 0);
    p2p_swarm_on_run_progress(f->d, 1190, 1, 2);
    p2p_swarm_tick(f->s, 1250);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_STOP), 0);
    end(f);
}

static void of_a_signed_range_nothing_is_given_back(void **state)
{
    struct fixture *f = beside_two_that_have(0, P2P_REACH_EXACT, 1210);

    (void)state;
    assert_int_equal(count(f, P2P_MOVE_STOP), 0);
    end(f);
}

static void who_has_much_of_another_part_keeps_nobody_from_the_origin(void **state)
{
    struct fixture *f = beside_two_that_have(1, P2P_REACH_ANY, 1210);

    (void)state;
    assert_int_equal(count(f, P2P_MOVE_STOP), 0);
    p2p_swarm_tick(f->s, 5000);
    drain(f);
    assert_true(f->locate.leases > 0);
    end(f);
}

static void takers_are_connected_to_and_followed(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct p2p_located l = { .n_takers = 2, .again_ms = 1000 };

    (void)state;
    drain(f);
    l.takers[0] = (struct p2p_taker){ .node = SELF, .is_taking = true };
    l.takers[1] = (struct p2p_taker){ .node = 2, .is_taking = true };
    p2p_swarm_on_located(f->d, 1, 0, &l);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_CONNECT), 1);
    assert_int_equal(first(f, P2P_MOVE_CONNECT)->node, 2);
    p2p_swarm_peer_up(f->s, 2, 2, false);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_FOLLOW), 2);
    end(f);
}

static void who_follows_is_followed_and_asked(void **state)
{
    struct fixture *f = start(32, P2P_REACH_NONE);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    drain(f);
    p2p_swarm_peer_up(f->s, 10, 7, false);
    p2p_swarm_on_followed(f->s, 10, 7, &id);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_FOLLOW), 2);
    tell(f, 11, 7, 0, 1);
    drain(f);
    assert_int_equal(first(f, P2P_MOVE_REQUEST)->node, 7);
    end(f);
}

static void half_of_the_places_are_for_those_who_follow(void **state)
{
    struct fixture *f = start(16, P2P_REACH_NONE);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    drain(f);
    name(f, 10, 100, 40);
    assert_int_equal(count(f, P2P_MOVE_FOLLOW), 12);
    for (uint64_t node = 200; node < 240; node++) {
        p2p_swarm_peer_up(f->s, 20, node, false);
        p2p_swarm_on_followed(f->s, 20, node, &id);
    }
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_FOLLOW), 12);
    end(f);
}

/* A block that came in a ms. */
static void one_comes_fast(struct fixture *f, uint64_t now, uint64_t node)
{
    struct el_chunk_id id = chunk_of(0);

    tell(f, now, node, 0, 1);
    drain(f);
    assert_int_equal(first(f, P2P_MOVE_REQUEST)->node, node);
    p2p_swarm_on_begun(f->s, now, node, &id);
    p2p_swarm_on_block(f->s, now + 1, node, &id, 0);
    p2p_swarm_have(f->d, now + 1, 0);
    drain(f);
}

static void whom_few_follow_chooses_more_neighbours_where_links_are_fast(void **state)
{
    struct fixture *f = start(16, P2P_REACH_NONE);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    drain(f);
    name(f, 10, 100, 40);
    assert_int_equal(count(f, P2P_MOVE_FOLLOW), 12);
    p2p_swarm_tick(f->s, 200);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_FOLLOW), 0);
    p2p_swarm_peer_up(f->s, 200, 200, false);
    p2p_swarm_on_followed(f->s, 200, 200, &id);
    drain(f);
    one_comes_fast(f, 201, 200);
    p2p_swarm_tick(f->s, 300);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_FOLLOW), 11);
    end(f);
}

/* Of 200 who follow, in this order or the other way round. */
static uint64_t sum_of_followed(bool backwards)
{
    struct fixture *f = start(16, P2P_REACH_NONE);
    struct el_chunk_id id = chunk_of(0);
    uint64_t sum = 0;

    drain(f);
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t node = 1000 + (backwards ? 199 - i : i);

        p2p_swarm_peer_up(f->s, 20, node, false);
        p2p_swarm_on_followed(f->s, 20, node, &id);
    }
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_FOLLOW), 24);
    for (size_t i = 0; i < f->n; i++)
        if (f->moves[i].kind == P2P_MOVE_FOLLOW)
            sum += f->moves[i].node;
    end(f);
    return sum;
}

static void of_many_who_follow_a_sample_stays_whoever_came_first(void **state)
{
    (void)state;
    assert_int_equal(sum_of_followed(false), sum_of_followed(true));
}

/* The first block comes at once; then as many begin as would be enough on a slow link. */
static void on_fast_links_nothing_is_taken_back(void **state)
{
    struct fixture *f = start(512, P2P_REACH_NONE);
    struct p2p_move asked[24];
    size_t n = 0;

    (void)state;
    drain(f);
    name(f, 10, 100, 12);
    for (uint32_t c = 0; c < 32; c++)
        for (uint64_t node = 100; node < 112; node++)
            tell(f, 11, node, c, 0xffff);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 24);
    for (size_t i = 0; i < f->n; i++)
        if (f->moves[i].kind == P2P_MOVE_REQUEST)
            asked[n++] = f->moves[i];
    p2p_swarm_on_begun(f->s, 12, asked[0].node, &asked[0].chunk);
    p2p_swarm_on_block(f->s, 12, asked[0].node, &asked[0].chunk, asked[0].blocks.first);
    p2p_swarm_have(f->d, 12,
                   asked[0].chunk.index * P2P_CHUNK_BLOCKS + (uint64_t)asked[0].blocks.first);
    for (size_t i = 1; i < 9; i++)
        p2p_swarm_on_begun(f->s, 12, asked[i].node, &asked[i].chunk);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_CANCEL), 0);
    end(f);
}

static void a_block_is_asked_of_one_peer_that_has_it(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    const struct p2p_move *m;

    (void)state;
    drain(f);
    name(f, 1, 2, 3);
    tell(f, 2, 2, 0, 1u << 5);
    tell(f, 2, 3, 0, 1u << 5);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    m = first(f, P2P_MOVE_REQUEST);
    assert_int_equal(m->blocks.first, 5);
    assert_true(m->node == 2 || m->node == 3);
    end(f);
}

static void what_the_fewest_have_is_asked_for_first(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    name(f, 1, 2, 3);
    p2p_swarm_peer_down(f->s, 1, 4);
    tell(f, 2, 2, 0, 0x0003);
    tell(f, 2, 3, 0, 0x0001);
    drain(f);
    for (size_t i = 0; i < f->n; i++)
        if (f->moves[i].kind == P2P_MOVE_REQUEST && f->moves[i].node == 2)
            assert_int_equal(f->moves[i].blocks.first, 1);
    end(f);
}

/* Named as having all, it is connected to. */
static bool is_connected_to(struct fixture *f, uint64_t now, uint64_t node)
{
    struct p2p_located l = { .n_takers = 1, .again_ms = 10 };

    p2p_swarm_tick(f->s, now);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    l.takers[0] = (struct p2p_taker){ .node = node, .whole = 3 };
    p2p_swarm_on_located(f->d, now, 0, &l);
    drain(f);
    return count(f, P2P_MOVE_CONNECT) > 0;
}

static void who_was_gone_and_is_back_is_connected_to_at_once(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    assert_true(is_connected_to(f, 1, 2));
    p2p_swarm_peer_down(f->s, 2, 2);
    assert_false(is_connected_to(f, 300, 2));
    p2p_swarm_peer_back(f->s, 301, 2);
    assert_true(is_connected_to(f, 600, 2));
    end(f);
}

static void what_a_neighbour_reads_is_asked_of_it_two_at_a_time(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct el_chunk_id id = chunk_of(0);
    const struct p2p_move *m;

    (void)state;
    drain(f);
    name(f, 1, 2, 2);
    tell_coming(f, 2, 2, 0, 0x0f0);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 2);
    m = first(f, P2P_MOVE_REQUEST);
    assert_true(m->is_coming && m->node == 2 && m->blocks.first == 4 && m->blocks.count == 1);
    tell_coming(f, 2, 3, 0, 0x030); /* nobody else is asked for the same */
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 0);
    p2p_swarm_on_begun(f->s, 3, 2, &id);
    p2p_swarm_on_block(f->s, 90, 2, &id, 4);
    p2p_swarm_have(f->d, 90, 4);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    m = first(f, P2P_MOVE_REQUEST);
    assert_true(m->is_coming && m->blocks.first == 6);
    end(f);
}

static void where_blocks_take_no_time_they_are_not_asked_for_before_they_are_there(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    drain(f);
    name(f, 1, 2, 2);
    tell_coming(f, 2, 2, 0, 0x001);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    p2p_swarm_on_begun(f->s, 4, 2, &id);
    p2p_swarm_on_block(f->s, 5, 2, &id, 0);
    p2p_swarm_have(f->d, 5, 0);
    drain(f);
    tell_coming(f, 6, 2, 0x001, 0x002);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 0);
    tell_coming(f, 7, 2, 0x003, 0x004);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    assert_false(first(f, P2P_MOVE_REQUEST)->is_coming);
    end(f);
}

static void who_lacks_what_others_have_asks_for_that(void **state)
{
    struct fixture *f = start(64, P2P_REACH_ANY);

    (void)state;
    drain(f);
    name(f, 1, 2, 1);
    tell(f, 2, 2, 1, 0xffff);
    tell_coming(f, 2, 2, 0, 0x001);
    for (size_t i = 0; i < f->n; i++)
        assert_false(f->moves[i].kind == P2P_MOVE_REQUEST && f->moves[i].is_coming);
    end(f);
}

static void a_stream_that_does_not_come_is_asked_of_others_when_it_is_refused(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    drain(f);
    name(f, 1, 2, 2);
    tell_coming(f, 2, 2, 0, 0x001);
    tell_coming(f, 2, 3, 0, 0x001);
    p2p_swarm_on_refusal(f->s, 3, 2, &id, (struct p2p_blocks){ 0, 1 }, EL_ENOTCACHED, 0);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    assert_int_equal(first(f, P2P_MOVE_REQUEST)->node, 3);
    end(f);
}

static void a_stream_whose_sender_has_it_whole_is_not_waited_for_without_end(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    drain(f);
    name(f, 1, 2, 2);
    tell_coming(f, 2, 2, 0, 0x001);
    p2p_swarm_on_begun(f->s, 3, 2, &id);
    for (unsigned b = 16; b < 32; b++)
        p2p_swarm_have(f->d, 4, b); /* its own link is not the slow one */
    drain(f);
    p2p_swarm_tick(f->s, 6000);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_CANCEL), 0); /* it is still being read */
    tell_coming(f, 6001, 2, 0x001, 0);
    tell_coming(f, 6001, 3, 0x001, 0);
    p2p_swarm_tick(f->s, 6002);
    drain(f);
    assert_int_equal(first(f, P2P_MOVE_CANCEL)->node, 2);
    end(f);
}

/* As long as nobody has it its sender may be as slow as it is. */
static void a_stream_that_others_have_whole_is_asked_of_them(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    drain(f);
    name(f, 1, 2, 2);
    tell_coming(f, 2, 2, 0, 0x001);
    p2p_swarm_on_begun(f->s, 3, 2, &id);
    for (unsigned b = 16; b < 31; b++)
        p2p_swarm_have(f->d, 4, b);
    p2p_swarm_tick(f->s, 6000);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_CANCEL), 0);
    p2p_swarm_have(f->d, 6001, 31); /* or it would rather read the block itself */
    tell_coming(f, 6001, 3, 0x001, 0);
    p2p_swarm_tick(f->s, 6002);
    drain(f);
    assert_int_equal(first(f, P2P_MOVE_CANCEL)->node, 2);
    assert_int_equal(first(f, P2P_MOVE_REQUEST)->node, 3);
    end(f);
}

/* Its sender has lost the lease, since it stands still. */
static void who_is_given_the_lease_of_a_block_that_has_begun_reads_it(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct el_chunk_id id = chunk_of(0);
    unsigned cancel, fetch;

    (void)state;
    drain(f);
    name(f, 1, 2, 1);
    tell_coming(f, 2, 2, 0, 0x001);
    p2p_swarm_on_begun(f->s, 3, 2, &id);
    drain(f);
    p2p_swarm_tick(f->s, 1100);
    drain(f);
    lease(f, 1101, 0, 1);
    cancel = (unsigned)(first(f, P2P_MOVE_CANCEL) - f->moves);
    fetch = (unsigned)(first(f, P2P_MOVE_FETCH) - f->moves);
    assert_true(cancel < fetch); /* or there would be no room for what is read */
    end(f);
}

static void a_run_that_found_nothing_to_do_is_not_asked_for_at_once(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    lease(f, 1000, 0, 1);
    p2p_swarm_on_run_vain(f->d, 1001);
    p2p_swarm_on_run_over(f->d, 1001, first(f, P2P_MOVE_FETCH)->run, 0, true);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    assert_int_equal(f->locate.leases, 0);
    p2p_swarm_on_located(f->d, 1002, 0, &(struct p2p_located){ .again_ms = 250 });
    for (uint64_t now = 1002; now < 2000 && f->locate.leases == 0; now += 50) {
        p2p_swarm_tick(f->s, now);
        drain(f);
        p2p_swarm_on_located(f->d, now, 0, &(struct p2p_located){ .again_ms = 250 });
    }
    assert_true(f->locate.leases > 0);
    end(f);
}

static void a_run_says_when_no_byte_of_it_comes(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    uint32_t run;

    (void)state;
    drain(f);
    lease(f, 1000, 0, 4);
    run = first(f, P2P_MOVE_FETCH)->run;
    p2p_swarm_tick(f->s, 2000);
    drain(f);
    assert_true(f->locate.n_ended == 1 && f->locate.ended[0].still); /* none has come yet */
    p2p_swarm_on_run_moved(f->d, 2001, run);
    p2p_swarm_on_located(f->d, 2002, 0, &(struct p2p_located){ .again_ms = 250 });
    p2p_swarm_tick(f->s, 2300);
    drain(f);
    assert_int_equal(f->locate.n_ended, 1);
    assert_false(f->locate.ended[0].still);
    p2p_swarm_on_located(f->d, 2301, 0, &(struct p2p_located){ .again_ms = 250 });
    p2p_swarm_tick(f->s, 2001 + P2P_STILL_MS);
    drain(f);
    assert_true(f->locate.n_ended == 1 && f->locate.ended[0].still);
    end(f);
}

/* Its link owes streams as long as it reads: what else it has is not to wait for the end of that.
 */
static void who_missed_a_block_is_given_it_between_streams(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    name(f, 1, 2, 1);
    tell_coming(f, 2, 2, 0, 0x003);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 2);
    tell(f, 3, 2, 1, 0x003);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    assert_int_equal(first(f, P2P_MOVE_REQUEST)->chunk.index, 1);
    assert_false(first(f, P2P_MOVE_REQUEST)->is_coming);
    end(f);
}

/* The tracker says that somebody reads all of it. */
static void all_come(struct fixture *f, uint64_t now)
{
    struct p2p_located l = { .again_ms = 1000 };

    for (unsigned b = 0; b < 32; b++)
        p2p_blockset_add(&l.coming, b);
    p2p_swarm_on_located(f->d, now, 0, &l);
}

/* It may be slow for everybody: a second reader would only make it slower. */
static void what_somebody_reads_is_waited_for_as_long_as_the_tracker_lives(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    uint64_t now;

    (void)state;
    want(f, 0, 0, 32, 0);
    drain(f);
    for (now = 0; now < 60000; now += 500) {
        all_come(f, now);
        p2p_swarm_tick(f->s, now);
        drain(f);
        assert_int_equal(count(f, P2P_MOVE_FETCH), 0);
        assert_false(f->locate.complains);
    }
    /* From here on it answers no more. */
    for (; now < 75000 && count(f, P2P_MOVE_FETCH) == 0; now += 500) {
        p2p_swarm_tick(f->s, now);
        drain(f);
    }
    assert_int_equal(first(f, P2P_MOVE_FETCH)->reason, P2P_REASON_HEDGE);
    assert_in_range(now, 70000, 74500);
    end(f);
}

/*
 * Of a slow origin so many read as make it fastest, and some blocks have to wait. First there is an
 * answer that names nothing, from a tracker that knows of so many takers (0: it only listens).
 */
static uint64_t time_alone_beside_others(uint16_t taking)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct p2p_located l = { .taking = taking, .again_ms = 400 };
    uint64_t now;

    want(f, 0, 0, 32, 0);
    drain(f);
    p2p_swarm_on_located(f->d, 0, 0, &l);
    drain(f);
    l.taking = 2;
    p2p_blockset_add(&l.coming, 20);
    for (now = 500; now < 60000 && count(f, P2P_MOVE_FETCH) == 0; now += 500) {
        p2p_swarm_on_located(f->d, now, 0, &l);
        p2p_swarm_tick(f->s, now);
        drain(f);
    }
    end(f);
    return now;
}

static void what_nobody_reads_yet_waits_its_turn_but_not_for_long(void **state)
{
    (void)state;
    assert_in_range(time_alone_beside_others(0), 12000, 13500);
}

static void what_all_is_said_to_be_had_and_nobody_gives_is_read_soon(void **state)
{
    (void)state;
    assert_in_range(time_alone_beside_others(2), 2000, 3500);
}

static void what_took_long_to_be_read_is_waited_for_anew_when_it_can_be_had(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct p2p_located l = { .again_ms = 400 };
    uint64_t now, at = 0;

    (void)state;
    want(f, 0, 0, 32, 0);
    drain(f);
    name(f, 1, 2, 1);
    p2p_blockset_add(&l.coming, 0);
    for (now = 500; now < 30000; now += 500) {
        p2p_swarm_on_located(f->d, now, 0, &l);
        p2p_swarm_tick(f->s, now);
        drain(f);
    }
    tell(f, now, 2, 0, 1); /* and does not give it */
    l.coming = (struct p2p_blockset){ 0 };
    p2p_swarm_on_located(f->d, now, 0, &l);
    for (; now < 60000 && at == 0; now += 100) {
        p2p_swarm_tick(f->s, now);
        drain(f);
        at = count(f, P2P_MOVE_FETCH) > 0 ? now : 0;
    }
    assert_in_range(at, 31500, 46000);
    end(f);
}

static void whom_nothing_reaches_tells_the_tracker(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    name(f, 1, 2, 1);
    tell(f, 2, 2, 0, 0xffff);
    drain(f);
    p2p_swarm_tick(f->s, 500);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0);
    p2p_swarm_tick(f->s, 700);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    assert_true(f->locate.complains);
    end(f);
}

/* The tracker names one who takes part, and there is no link to it yet. */
static struct fixture *start_without_link(enum p2p_reach reach)
{
    struct p2p_located l = { .n_takers = 1, .again_ms = 10000 };
    struct fixture *f = start(32, reach);

    drain(f);
    l.takers[0] = (struct p2p_taker){ .node = 2, .is_taking = true };
    p2p_swarm_on_located(f->d, 1, 0, &l);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_CONNECT), 1);
    return f;
}

/* Where ports are shut it takes a second until there is a link to the one who has it. */
static void while_a_link_is_made_nobody_complains_too_soon(void **state)
{
    struct fixture *f = start_without_link(P2P_REACH_ANY);

    (void)state;
    p2p_swarm_tick(f->s, 1100);
    p2p_swarm_peer_up(f->s, 1101, 2, false);
    drain(f);
    p2p_swarm_tick(f->s, 1500);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0);
    p2p_swarm_tick(f->s, 1700);
    drain(f);
    assert_true(f->locate.complains);
    end(f);
}

static void a_link_that_is_never_made_is_something_to_complain_of(void **state)
{
    struct fixture *f = start_without_link(P2P_REACH_NONE);

    (void)state;
    p2p_swarm_tick(f->s, 1900);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0);
    p2p_swarm_tick(f->s, 2100);
    drain(f);
    assert_true(f->locate.complains);
    end(f);
}

static void of_many_nobody_complains_more_often_than_the_tracker_can_hear(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct p2p_located l = { .taking = 501, .again_ms = 10000 };

    (void)state;
    drain(f);
    p2p_swarm_on_located(f->d, 1, 0, &l);
    drain(f);
    p2p_swarm_tick(f->s, 900);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0);
    p2p_swarm_tick(f->s, 1100);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    assert_true(f->locate.complains);
    end(f);
}

static void whom_something_reaches_has_nothing_to_complain_of(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    drain(f);
    name(f, 1, 2, 1);
    tell(f, 2, 2, 0, 0xffff);
    drain(f);
    p2p_swarm_on_begun(f->s, 400, 2, &id);
    drain(f);
    p2p_swarm_tick(f->s, 900);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0);
    p2p_swarm_tick(f->s, 1100);
    drain(f);
    assert_false(f->locate.complains);
    end(f);
}

static void when_enough_blocks_come_the_rest_is_taken_back(void **state)
{
    struct fixture *f = start(1024, P2P_REACH_ANY);
    unsigned begun = 0;

    (void)state;
    drain(f);
    name(f, 1, 2, 6);
    for (uint64_t node = 2; node < 8; node++)
        tell(f, 2, node, (uint32_t)node, 0x3);
    drain(f);
    assert_true(count(f, P2P_MOVE_REQUEST) >= 6);
    for (uint64_t node = 2; node < 5; node++) {
        for (size_t i = 0; i < f->n; i++)
            if (f->moves[i].kind == P2P_MOVE_REQUEST && f->moves[i].node == node) {
                p2p_swarm_on_begun(f->s, 3, node, &f->moves[i].chunk);
                begun++;
                break;
            }
    }
    assert_int_equal(begun, 3);
    drain(f);
    assert_true(count(f, P2P_MOVE_CANCEL) >= 3);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 0);
    end(f);
}

/* Block 0, of node 2, which has nothing else. */
static struct fixture *start_with_one_asked(void)
{
    struct fixture *f = start(16, P2P_REACH_NONE);

    drain(f);
    name(f, 1, 2, 1);
    tell(f, 2, 2, 0, 1);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    return f;
}

/* It does not come, and is taken back. */
static void time_out(struct fixture *f)
{
    p2p_swarm_tick(f->s, 5000);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_CANCEL), 1);
}

static void a_block_is_asked_for_again_on_a_link_only_after_the_ack(void **state)
{
    struct fixture *f = start_with_one_asked();
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    time_out(f);
    /* The Error was on its way when the Cancel went out. */
    p2p_swarm_on_refusal(f->s, 5001, 2, &id, (struct p2p_blocks){ 0, 1 }, EL_EOVERLOAD, 0);
    p2p_swarm_tick(f->s, 7000);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 0);
    p2p_swarm_on_cancelled(f->s, 7001, 2, &id, (struct p2p_blocks){ 0, 1 });
    tell(f, 7001, 2, 0, 1);
    p2p_swarm_tick(f->s, 30000);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    end(f);
}

static void a_block_that_begins_behind_its_cancel_is_owed_until_the_ack(void **state)
{
    struct fixture *f = start_with_one_asked();
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    time_out(f);
    p2p_swarm_on_begun(f->s, 5001, 2, &id);
    /* There was no room for it here. */
    p2p_swarm_on_dropped(f->s, 5002, 2, &id, 0);
    p2p_swarm_tick(f->s, 7000);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 0);
    assert_int_equal(count(f, P2P_MOVE_CANCEL), 0);
    p2p_swarm_on_cancelled(f->s, 7001, 2, &id, (struct p2p_blocks){ 0, 1 });
    p2p_swarm_tick(f->s, 30000);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    end(f);
}

static void what_no_member_has_signed_is_not_asked_of_its_sender_again(void **state)
{
    struct fixture *f = start_with_one_asked();
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    p2p_swarm_on_begun(f->s, 1001, 2, &id);
    tell(f, 1002, 2, 0, 7);
    p2p_swarm_on_unsigned(f->s, 1003, 2, &id, 0, 4);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1); /* block 2 */
    p2p_swarm_on_begun(f->s, 1004, 2, &id);
    p2p_swarm_on_unsigned(f->s, 1005, 2, &id, 2, 0);
    p2p_swarm_tick(f->s, 2000);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 0);
    tell(f, 2001, 2, 0, 1);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    end(f);
}

static void an_ack_says_nothing_of_what_was_asked_after_its_cancel(void **state)
{
    struct fixture *f = start_with_one_asked();
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    /* Of the end of following, which named all of the chunk and came before. */
    p2p_swarm_on_cancelled(f->s, 3, 2, &id, (struct p2p_blocks){ 0, 0 });
    p2p_swarm_tick(f->s, 500);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 0);
    end(f);
}

static void who_sends_a_bad_block_is_blamed_and_asked_no_more(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct p2p_move m;

    (void)state;
    drain(f);
    name(f, 1, 2, 1);
    tell(f, 2, 2, 0, 0xffff);
    drain(f);
    m = *first(f, P2P_MOVE_REQUEST);
    p2p_swarm_on_bad(f->s, 3, 2, &m.chunk, m.blocks.first);
    drain(f);
    assert_int_equal(first(f, P2P_MOVE_BLAME)->node, 2);
    assert_true(f->locate.complains); /* and the tracker is told */
    assert_true(p2p_swarm_is_quarantined(f->s, 4, 2));
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 0);
    tell(f, 4, 2, 1, 0xffff);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 0);
    assert_false(p2p_swarm_is_quarantined(f->s, 4000000, 2));
    end(f);
}

static void a_second_lie_costs_more_than_the_first(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    struct el_chunk_id id = chunk_of(0);
    uint64_t once, twice;

    (void)state;
    drain(f);
    p2p_swarm_on_bad(f->s, 1000, 2, &id, 0);
    drain(f);
    once = first(f, P2P_MOVE_BLAME)->until - 1000;
    p2p_swarm_on_bad(f->s, 2000, 2, &id, 1);
    drain(f);
    twice = first(f, P2P_MOVE_BLAME)->until - 2000;
    assert_true(twice >= 2 * once - 1);
    end(f);
}

static void what_a_lost_link_owed_is_asked_of_another(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    uint64_t node;

    (void)state;
    drain(f);
    name(f, 1, 2, 2);
    tell(f, 2, 2, 0, 1);
    tell(f, 2, 3, 0, 1);
    drain(f);
    node = first(f, P2P_MOVE_REQUEST)->node;
    p2p_swarm_peer_down(f->s, 3, node);
    drain(f);
    assert_int_equal(first(f, P2P_MOVE_REQUEST)->node, node == 2 ? 3 : 2);
    end(f);
}

static void without_a_tracker_the_origin_is_asked_after_a_while(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    unsigned fetches = 0;

    (void)state;
    for (uint64_t now = 0; now < 5000 && fetches == 0; now += 50) {
        p2p_swarm_tick(f->s, now);
        drain(f);
        if (count(f, P2P_MOVE_LOCATE) > 0)
            p2p_swarm_on_locate_failed(f->d, now, 0);
        fetches = count(f, P2P_MOVE_FETCH);
        assert_true(fetches == 0 || now > 100);
    }
    assert_true(fetches > 0);
    assert_int_equal(first(f, P2P_MOVE_FETCH)->reason, P2P_REASON_NO_TRACKER);
    end(f);
}

/* Questions fail as they are put; 2 is named as having chunk 0 when the first one has. */
static unsigned blocks_from_the_origin(struct fixture *f, bool is_up)
{
    const struct p2p_taker named = { .node = 2, .whole = 1 };
    unsigned from_origin = 0, failures = 0;

    for (uint64_t now = 0; now < 2000; now += 50) {
        p2p_swarm_tick(f->s, now);
        drain(f);
        for (size_t i = 0; i < f->n; i++) {
            if (f->moves[i].kind == P2P_MOVE_FETCH && f->moves[i].first < 16)
                from_origin++;
        }
        if (count(f, P2P_MOVE_LOCATE) == 0)
            continue;
        p2p_swarm_on_locate_failed(f->d, now, 0);
        if (failures++ > 0)
            continue;
        p2p_swarm_on_named(f->d, now, 0, &named, 1);
        drain(f);
        assert_int_equal(first(f, P2P_MOVE_CONNECT)->node, 2);
        if (is_up)
            p2p_swarm_peer_up(f->s, now, 2, false);
    }
    return from_origin;
}

static void without_a_tracker_who_is_named_is_asked_before_the_origin(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    assert_int_equal(blocks_from_the_origin(f, true), 0);
    end(f);
}

static void who_is_named_and_cannot_be_reached_keeps_nobody_from_the_origin(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    assert_true(blocks_from_the_origin(f, false) > 0);
    end(f);
}

static void with_a_tracker_only_the_tracker_names_anybody(void **state)
{
    const struct p2p_taker named = { .node = 2, .whole = 1 };
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    p2p_swarm_on_named(f->d, 1, 0, &named, 1);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_CONNECT), 0);
    end(f);
}

static void when_nobody_brings_anything_the_origin_is_asked_as_a_hedge(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    uint64_t at = 0;

    (void)state;
    drain(f);
    name(f, 1, 2, 1);
    tell(f, 1, 2, 0, 0xffff);
    tell(f, 1, 2, 1, 0xffff);
    for (uint64_t now = 100; now < 20000 && at == 0; now += 100) {
        p2p_swarm_tick(f->s, now);
        drain(f);
        at = count(f, P2P_MOVE_FETCH) > 0 ? now : 0;
    }
    assert_true(at > 0 && at <= 7000);
    assert_int_equal(first(f, P2P_MOVE_FETCH)->reason, P2P_REASON_HEDGE);
    end(f);
}

static void where_nobody_may_ask_the_origin_the_reader_is_told(void **state)
{
    struct fixture *f = start(32, P2P_REACH_NONE);
    bool told = false;

    (void)state;
    for (uint64_t now = 0; now < 20000 && !told; now += 100) {
        p2p_swarm_tick(f->s, now);
        drain(f);
        assert_int_equal(count(f, P2P_MOVE_FETCH), 0);
        told = count(f, P2P_MOVE_FAIL) > 0;
    }
    assert_true(told);
    assert_int_equal(first(f, P2P_MOVE_FAIL)->code, EL_ENOTCACHED);
    end(f);
}

static void a_run_that_fails_is_for_others_and_the_reader_is_told(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    uint32_t run;

    (void)state;
    drain(f);
    lease(f, 1, 0, 4);
    run = first(f, P2P_MOVE_FETCH)->run;
    p2p_swarm_on_run_over(f->d, 2, run, 1, false);
    drain(f);
    assert_int_equal(first(f, P2P_MOVE_FAIL)->first, 1);
    assert_int_equal(first(f, P2P_MOVE_FAIL)->code, EL_EORIGIN);
    assert_false(f->locate.ended[0].ok);
    assert_int_equal(f->locate.leases, 0);
    end(f);
}

static void runs_that_fail_together_have_failed_once(void **state)
{
    struct fixture *f = start(64, P2P_REACH_ANY);
    struct p2p_located l = { .n_leases = 4, .again_ms = 1000 };
    uint32_t runs[4];

    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        l.leases[i] = (struct p2p_lease){ 77 + i, (uint16_t)(16 * i), 4, P2P_LEASE_TTL_MS };
    drain(f);
    p2p_swarm_on_located(f->d, 1, 0, &l);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_FETCH), 4);
    for (size_t i = 0, n = 0; i < f->n; i++)
        if (f->moves[i].kind == P2P_MOVE_FETCH)
            runs[n++] = f->moves[i].run;
    for (size_t i = 0; i < 4; i++)
        p2p_swarm_on_run_over(f->d, 2, runs[i], 0, false);
    drain(f);
    assert_int_equal(f->locate.leases, 0);
    p2p_swarm_on_located(f->d, 3, 0, &(struct p2p_located){ .again_ms = 600 });
    drain(f);
    p2p_swarm_tick(f->s, 700);
    drain(f);
    assert_true(f->locate.leases > 0);
    end(f);
}

/* Far apart, and what lies between is nobody's. */
static void each_of_several_spans_is_at_work(void **state)
{
    const uint64_t far = 1000 * (uint64_t)P2P_GROUP_BLOCKS;
    struct fixture *f = start(2 * far, P2P_REACH_ANY);
    const struct p2p_span spans[] = { { 0, far }, { far + 5, far + 8 }, { 4 * far, 5 * far } };
    bool is_asked = false;

    (void)state;
    drain(f);
    p2p_swarm_want(f->d, 1, spans, EL_COUNT(spans), P2P_NO_BLOCK);
    drain(f);
    assert_in_range(count(f, P2P_MOVE_LOCATE), 1, 3);
    for (size_t i = 0; i < f->n; i++)
        if (f->moves[i].kind == P2P_MOVE_LOCATE && f->moves[i].locate->group.number == 1000)
            is_asked = true;
    assert_true(is_asked);
    assert_int_equal(f->locate.group.number, 1000);
    assert_int_equal(p2p_blockset_count(&f->locate.want), 3);
    assert_true(p2p_blockset_has(&f->locate.want, 5));
    p2p_swarm_want(f->d, 2, spans, 1, P2P_NO_BLOCK);
    drain(f);
    end(f);
}

/* Whoever waits elsewhere, nothing else could be read. */
static void the_one_range_that_can_be_read_is_hedged_wherever_it_is(void **state)
{
    const uint64_t next = P2P_GROUP_BLOCKS;
    struct fixture *f = start(2 * next, P2P_REACH_ANY);
    const struct p2p_span spans[] = { { 0, 4 }, { next, next + 4 } };
    bool is_read = false;

    (void)state;
    drain(f);
    p2p_swarm_want(f->d, 1, spans, EL_COUNT(spans), 0);
    p2p_swarm_set_reach(f->d, 1, P2P_REACH_EXACT, next, next + 4);
    drain(f);
    p2p_swarm_have(f->d, 1, next);
    for (uint64_t now = 100; now < 20000 && !is_read; now += 100) {
        p2p_swarm_tick(f->s, now);
        drain(f);
        is_read = count(f, P2P_MOVE_FETCH) > 0;
    }
    assert_true(is_read);
    assert_int_equal(first(f, P2P_MOVE_FETCH)->first, next);
    assert_int_equal(first(f, P2P_MOVE_FETCH)->count, 4);
    end(f);
}

static void a_download_that_closes_says_farewell_to_the_tracker(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    lease(f, 1, 0, 4);
    p2p_swarm_close(f->d, 2);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    assert_null(first(f, P2P_MOVE_LOCATE)->download);
    assert_true(f->locate.leaves);
    assert_int_equal(f->locate.n_ended, 1);
    assert_false(f->locate.ended[0].ok);
    end(f);
}

/* What the tracker grants to the new one it would take back when it hears of the old one's end. */
static void a_farewell_goes_out_before_the_same_is_asked_for_anew(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    name(f, 1, 2, 1);
    p2p_swarm_close(f->d, 2);
    f->d = p2p_swarm_open(f->s, 2, version, UINT64_C(32) * P2P_MAX_BLOCK, f);
    p2p_swarm_set_reach(f->d, 2, P2P_REACH_ANY, 0, 0);
    want(f, 2, 0, 32, 0);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 2);
    assert_null(first(f, P2P_MOVE_LOCATE)->download);
    assert_false(f->locate.leaves);
    end(f);
}

static void who_takes_part_tells_what_is_here_with_its_next_question(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    p2p_swarm_have(f->d, 1, 0);
    assert_true(p2p_swarm_tell(f->d, 1));
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0); /* the first one is under way */
    lease(f, 2, 1, 4);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    assert_true(p2p_blockset_has(&f->locate.have, 0));
    assert_int_equal(f->locate.n_ended, 1); /* and of what it reads */
    end(f);
}

static void who_wants_nothing_does_not_tell_what_is_here(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    p2p_swarm_want(f->d, 0, NULL, 0, P2P_NO_BLOCK);
    assert_false(p2p_swarm_tell(f->d, 1));
    end(f);
}

/* The question may bring a lease, which would be of a node that has left. */
static void who_wants_nothing_any_more_tells_it_after_the_question_under_way(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);
    const struct p2p_located l = { .again_ms = 1000 };

    (void)state;
    drain(f);
    p2p_swarm_have(f->d, 1, 0);
    p2p_swarm_want(f->d, 1, NULL, 0, P2P_NO_BLOCK);
    assert_true(p2p_swarm_tell(f->d, 1));
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 0);
    p2p_swarm_on_located(f->d, 2, 0, &l);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_LOCATE), 1);
    assert_true(f->locate.leaves);
    assert_true(p2p_blockset_has(&f->locate.have, 0));
    end(f);
}

static void what_a_closed_download_is_owed_is_not_asked_for_again(void **state)
{
    struct fixture *f = start(16, P2P_REACH_ANY);
    struct el_chunk_id id = chunk_of(0);

    (void)state;
    drain(f);
    name(f, 1, 2, 1);
    tell(f, 2, 2, 0, 1);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    p2p_swarm_close(f->d, 3);
    f->d = p2p_swarm_open(f->s, 3, version, 16 * P2P_MAX_BLOCK, f);
    want(f, 3, 0, 16, P2P_NO_BLOCK);
    drain(f);
    name(f, 4, 2, 1);
    tell(f, 4, 2, 0, 1);
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 0);
    p2p_swarm_on_cancelled(f->s, 5, 2, &id, (struct p2p_blocks){ 0, 1 });
    drain(f);
    assert_int_equal(count(f, P2P_MOVE_REQUEST), 1);
    end(f);
}

static void no_byte_of_a_distrusted_chunk_comes_from_peers(void **state)
{
    struct fixture *f = start(32, P2P_REACH_ANY);

    (void)state;
    drain(f);
    name(f, 1, 2, 1);
    p2p_swarm_distrust_chunk(f->d, 2, 0);
    tell(f, 2, 2, 0, 0xffff);
    tell(f, 2, 2, 1, 0xffff);
    drain(f);
    for (size_t i = 0; i < f->n; i++)
        if (f->moves[i].kind == P2P_MOVE_REQUEST)
            assert_int_equal(f->moves[i].chunk.index, 1);
    assert_true(count(f, P2P_MOVE_REQUEST) > 0);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tracker_is_asked_first_and_nobody_else),
        cmocka_unit_test(a_lease_is_read_and_reported_until_it_is_over),
        cmocka_unit_test(when_its_tracker_is_gone_the_next_one_is_asked_at_once),
        cmocka_unit_test(a_question_that_was_out_when_its_tracker_was_lost_is_asked_anew),
        cmocka_unit_test(who_answered_before_may_be_known_as_gone_later),
        cmocka_unit_test(of_many_only_who_reads_asks_the_next_tracker_at_once),
        cmocka_unit_test(a_taker_that_is_lost_is_no_longer_one_of_the_others),
        cmocka_unit_test(who_may_not_ask_the_origin_asks_for_no_lease),
        cmocka_unit_test(an_exact_range_is_asked_for_as_a_whole),
        cmocka_unit_test(an_exact_range_may_reach_beyond_what_is_wanted_yet),
        cmocka_unit_test(who_is_far_behind_gives_back_what_it_has_not_begun_to_read),
        cmocka_unit_test(what_comes_fast_is_not_given_back),
        cmocka_unit_test(of_a_signed_range_nothing_is_given_back),
        cmocka_unit_test(who_has_much_of_another_part_keeps_nobody_from_the_origin),
        cmocka_unit_test(takers_are_connected_to_and_followed),
        cmocka_unit_test(who_follows_is_followed_and_asked),
        cmocka_unit_test(half_of_the_places_are_for_those_who_follow),
        cmocka_unit_test(whom_few_follow_chooses_more_neighbours_where_links_are_fast),
        cmocka_unit_test(of_many_who_follow_a_sample_stays_whoever_came_first),
        cmocka_unit_test(on_fast_links_nothing_is_taken_back),
        cmocka_unit_test(a_block_is_asked_of_one_peer_that_has_it),
        cmocka_unit_test(what_the_fewest_have_is_asked_for_first),
        cmocka_unit_test(who_was_gone_and_is_back_is_connected_to_at_once),
        cmocka_unit_test(what_a_neighbour_reads_is_asked_of_it_two_at_a_time),
        cmocka_unit_test(where_blocks_take_no_time_they_are_not_asked_for_before_they_are_there),
        cmocka_unit_test(who_lacks_what_others_have_asks_for_that),
        cmocka_unit_test(a_stream_that_does_not_come_is_asked_of_others_when_it_is_refused),
        cmocka_unit_test(a_stream_whose_sender_has_it_whole_is_not_waited_for_without_end),
        cmocka_unit_test(a_stream_that_others_have_whole_is_asked_of_them),
        cmocka_unit_test(who_is_given_the_lease_of_a_block_that_has_begun_reads_it),
        cmocka_unit_test(a_run_that_found_nothing_to_do_is_not_asked_for_at_once),
        cmocka_unit_test(a_run_says_when_no_byte_of_it_comes),
        cmocka_unit_test(who_missed_a_block_is_given_it_between_streams),
        cmocka_unit_test(what_somebody_reads_is_waited_for_as_long_as_the_tracker_lives),
        cmocka_unit_test(what_nobody_reads_yet_waits_its_turn_but_not_for_long),
        cmocka_unit_test(what_all_is_said_to_be_had_and_nobody_gives_is_read_soon),
        cmocka_unit_test(what_took_long_to_be_read_is_waited_for_anew_when_it_can_be_had),
        cmocka_unit_test(whom_nothing_reaches_tells_the_tracker),
        cmocka_unit_test(while_a_link_is_made_nobody_complains_too_soon),
        cmocka_unit_test(a_link_that_is_never_made_is_something_to_complain_of),
        cmocka_unit_test(of_many_nobody_complains_more_often_than_the_tracker_can_hear),
        cmocka_unit_test(whom_something_reaches_has_nothing_to_complain_of),
        cmocka_unit_test(when_enough_blocks_come_the_rest_is_taken_back),
        cmocka_unit_test(a_block_is_asked_for_again_on_a_link_only_after_the_ack),
        cmocka_unit_test(a_block_that_begins_behind_its_cancel_is_owed_until_the_ack),
        cmocka_unit_test(what_no_member_has_signed_is_not_asked_of_its_sender_again),
        cmocka_unit_test(an_ack_says_nothing_of_what_was_asked_after_its_cancel),
        cmocka_unit_test(who_sends_a_bad_block_is_blamed_and_asked_no_more),
        cmocka_unit_test(a_second_lie_costs_more_than_the_first),
        cmocka_unit_test(what_a_lost_link_owed_is_asked_of_another),
        cmocka_unit_test(without_a_tracker_the_origin_is_asked_after_a_while),
        cmocka_unit_test(without_a_tracker_who_is_named_is_asked_before_the_origin),
        cmocka_unit_test(who_is_named_and_cannot_be_reached_keeps_nobody_from_the_origin),
        cmocka_unit_test(with_a_tracker_only_the_tracker_names_anybody),
        cmocka_unit_test(when_nobody_brings_anything_the_origin_is_asked_as_a_hedge),
        cmocka_unit_test(where_nobody_may_ask_the_origin_the_reader_is_told),
        cmocka_unit_test(a_run_that_fails_is_for_others_and_the_reader_is_told),
        cmocka_unit_test(runs_that_fail_together_have_failed_once),
        cmocka_unit_test(each_of_several_spans_is_at_work),
        cmocka_unit_test(the_one_range_that_can_be_read_is_hedged_wherever_it_is),
        cmocka_unit_test(a_download_that_closes_says_farewell_to_the_tracker),
        cmocka_unit_test(a_farewell_goes_out_before_the_same_is_asked_for_anew),
        cmocka_unit_test(who_takes_part_tells_what_is_here_with_its_next_question),
        cmocka_unit_test(who_wants_nothing_does_not_tell_what_is_here),
        cmocka_unit_test(who_wants_nothing_any_more_tells_it_after_the_question_under_way),
        cmocka_unit_test(what_a_closed_download_is_owed_is_not_asked_for_again),
        cmocka_unit_test(no_byte_of_a_distrusted_chunk_comes_from_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
