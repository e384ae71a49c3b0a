/* SPDX-License-Identifier: MIT */
/* Fills and readers: who starts one, who waits, what happens when either goes away. */
#include "tests/unit/cache/world.h"

#define MB EL_MIB

static void many_readers_of_one_missing_object_start_one_fill(void **state)
{
    struct client c[5] = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 3 * MB + 5, true);
    for (size_t i = 0; i < EL_COUNT(c); i++) {
        client_open(&w, &c[i], o, 0, 3 * MB + 5);
        assert_int_equal(drain(&c[i], 1, UINT64_MAX), CACHE_READ_WAIT);
    }
    assert_int_equal(w.starts, 1);
    assert_int_equal(give(w.fills[0], 1, 3 * MB + 5), 3 * MB + 5);
    finish(&w, 0, EL_OK);
    el_msgq_dispatch(w.queue);
    for (size_t i = 0; i < EL_COUNT(c); i++) {
        assert_true(c[i].wakes > 0);
        assert_int_equal(drain(&c[i], 1, UINT64_MAX), CACHE_READ_END);
        cache_reader_close(&c[i].r);
    }
    assert_true(cache_object_is_complete(o));
    assert_int_equal(w.starts, 1);
    cache_object_unref(o);
    world_close(&w);
}

static void bytes_of_the_origin_are_readable_before_their_block_is_complete(void **state)
{
    struct client c = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", MB, true);
    client_open(&w, &c, o, 0, MB);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[0], 1, 7), 7);
    el_msgq_dispatch(w.queue);
    assert_int_equal(c.wakes, 1);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(c.r.position, 7);
    assert_int_equal(c.r.from, CACHE_FROM_ORIGIN);
    cache_reader_close(&c.r);
    finish(&w, 0, EL_OK);
    cache_object_unref(o);
    world_close(&w);
}

static void a_reader_that_leaves_does_not_stop_what_others_wait_for(void **state)
{
    struct client leader = { 0 }, follower = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 2 * MB, true);
    client_open(&w, &leader, o, 0, 2 * MB);
    client_open(&w, &follower, o, 0, 2 * MB);
    assert_int_equal(drain(&leader, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(drain(&follower, 1, UINT64_MAX), CACHE_READ_WAIT);
    cache_reader_close(&leader.r);
    assert_int_equal(give(w.fills[0], 1, 2 * MB), 2 * MB);
    finish(&w, 0, EL_OK);
    assert_int_equal(drain(&follower, 1, UINT64_MAX), CACHE_READ_END);
    cache_reader_close(&follower.r);
    assert_int_equal(w.starts, 1);
    cache_object_unref(o);
    world_close(&w);
}

static void reader_survives_filler_death(void **state)
{
    struct client a = { 0 }, b = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 2 * MB, true);
    client_open(&w, &a, o, 0, 2 * MB);
    client_open(&w, &b, o, 0, 2 * MB);
    assert_int_equal(drain(&a, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(drain(&b, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[0], 1, MB + 10), MB + 10);
    assert_int_equal(drain(&b, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(drain(&a, 1, UINT64_MAX), CACHE_READ_WAIT);
    finish(&w, 0, EL_EFORBIDDEN); /* a's credentials expired */
    assert_int_equal(drain(&a, 1, UINT64_MAX), CACHE_READ_ERROR);
    assert_int_equal(a.r.err.code, EL_EFORBIDDEN);
    /* b has credentials of its own. */
    assert_int_equal(drain(&b, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(w.starts, 2);
    assert_int_equal(cache_fill_position(w.fills[1]), MB + 10);
    assert_int_equal(give(w.fills[1], 1, MB - 10), MB - 10);
    finish(&w, 1, EL_OK);
    assert_int_equal(drain(&b, 1, UINT64_MAX), CACHE_READ_END);
    cache_reader_close(&a.r);
    cache_reader_close(&b.r);
    cache_object_unref(o);
    world_close(&w);
}

static void a_fill_runs_a_window_ahead_of_its_foremost_reader_and_no_further(void **state)
{
    struct client slow = { 0 }, fast = { 0 };
    struct cache_object *o;
    struct world w;
    uint64_t window;

    (void)state;
    world_open(&w, 64 * MB);
    window = w.cache->window;
    o = new_object(&w, "http://o/a", 1000 * MB, true);
    client_open(&w, &slow, o, 0, 1000 * MB);
    assert_int_equal(drain(&slow, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[0], 1, 100 * MB), window);
    assert_int_equal(w.resumes, 0);
    client_open(&w, &fast, o, 0, 1000 * MB);
    assert_int_equal(drain(&fast, 1, 3 * MB), CACHE_READ_DATA);
    assert_true(w.resumes >= 1);
    assert_true(give(w.fills[0], 1, 100 * MB) >= (int64_t)(2 * MB));
    assert_int_equal(slow.r.position, 0);
    cache_reader_close(&fast.r);
    cache_reader_close(&slow.r);
    /* Nobody is left: it is told so at the end of its window. */
    while (give(w.fills[0], 1, MB) > 0)
        ;
    assert_int_equal(give(w.fills[0], 1, 1), -1);
    finish(&w, 0, EL_OK);
    cache_object_unref(o);
    world_close(&w);
}

static void a_paused_fill_hears_that_its_last_reader_left(void **state)
{
    struct client c = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 1000 * MB, true);
    client_open(&w, &c, o, 0, 1000 * MB);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_true(give(w.fills[0], 1, 100 * MB) < (int64_t)(100 * MB));
    cache_reader_close(&c.r);
    assert_int_equal(w.resumes, 1);
    assert_int_equal(give(w.fills[0], 1, 1), -1);
    finish(&w, 0, EL_OK);
    cache_object_unref(o);
    world_close(&w);
}

static void a_far_range_starts_its_own_fill_and_the_first_ends_where_it_begins(void **state)
{
    struct client head = { 0 }, far = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 512 * MB);
    o = new_object(&w, "http://o/a", 100 * MB, true);
    client_open(&w, &head, o, 0, 100 * MB);
    assert_int_equal(drain(&head, 1, UINT64_MAX), CACHE_READ_WAIT);
    client_open(&w, &far, o, 50 * MB + 17, 52 * MB);
    assert_int_equal(drain(&far, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(w.starts, 2);
    assert_int_equal(cache_fill_position(w.fills[1]), 50 * MB);
    assert_int_equal(cache_fill_end(w.fills[1]), 52 * MB);
    assert_int_equal(cache_fill_end(w.fills[0]), 50 * MB);
    assert_int_equal(give(w.fills[1], 1, 2 * MB), 2 * MB);
    finish(&w, 1, EL_OK);
    assert_int_equal(drain(&far, 1, UINT64_MAX), CACHE_READ_END);
    cache_reader_close(&far.r);
    cache_reader_close(&head.r);
    finish(&w, 0, EL_ECANCELED);
    cache_object_unref(o);
    world_close(&w);
}

static void a_near_range_waits_for_the_fill_that_is_coming(void **state)
{
    struct client head = { 0 }, near = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 512 * MB);
    o = new_object(&w, "http://o/a", 100 * MB, true);
    client_open(&w, &head, o, 0, 100 * MB);
    assert_int_equal(drain(&head, 1, UINT64_MAX), CACHE_READ_WAIT);
    client_open(&w, &near, o, 5 * MB, 6 * MB);
    assert_int_equal(drain(&near, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(w.starts, 1);
    cache_reader_close(&near.r);
    cache_reader_close(&head.r);
    finish(&w, 0, EL_ECANCELED);
    cache_object_unref(o);
    world_close(&w);
}

static void a_signed_range_is_fetched_as_it_is_and_its_ragged_ends_stay_readable(void **state)
{
    struct client c = { 0 }, again = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 8 * MB, true);
    atomic_init(&c.ticket.refs, 1);
    c.ticket.free = free_nothing;
    c.ticket.exact = true;
    c.ticket.first = MB + 100;
    c.ticket.end = 3 * MB + 50;
    client_open(&w, &c, o, MB + 100, 3 * MB + 50);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(cache_fill_position(w.fills[0]), MB + 100);
    assert_int_equal(cache_fill_end(w.fills[0]), 3 * MB + 50);
    assert_int_equal(give(w.fills[0], 1, 2 * MB - 50), 2 * MB - 50);
    finish(&w, 0, EL_OK);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_END);
    assert_true(cache_object_has(o, MB + 100, 3 * MB + 50));
    assert_false(cache_object_has(o, MB, 2 * MB));
    assert_true(cache_object_has(o, 2 * MB, 3 * MB));
    client_open(&w, &again, o, MB + 200, 3 * MB);
    assert_int_equal(drain(&again, 1, UINT64_MAX), CACHE_READ_END);
    assert_int_equal(again.r.from, CACHE_FROM_MEMORY);
    assert_int_equal(w.starts, 1);
    cache_reader_close(&c.r);
    cache_reader_close(&again.r);
    cache_object_unref(o);
    world_close(&w);
}

static void a_part_of_a_block_is_continued_and_then_has_the_right_digest(void **state)
{
    static uint8_t whole[EL_MIB];
    struct client c = { 0 };
    struct cache_object *o;
    struct cache_block *b;
    struct el_digest want;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 8 * MB, true);
    atomic_init(&c.ticket.refs, 1);
    c.ticket.free = free_nothing;
    c.ticket.exact = true;
    c.ticket.first = 0;
    c.ticket.end = 1000;
    client_open(&w, &c, o, 0, 1000);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[0], 1, 1000), 1000);
    finish(&w, 0, EL_OK);
    cache_reader_close(&c.r);
    c.ticket.first = 1000;
    c.ticket.end = MB;
    client_open(&w, &c, o, 1000, MB);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[1], 1, MB - 1000), MB - 1000);
    finish(&w, 1, EL_OK);
    cache_reader_close(&c.r);
    fill_bytes(whole, 1, 0, sizeof(whole));
    el_sha256_of(whole, sizeof(whole), &want);
    b = cache_block_find_locked(o, 0);
    assert_non_null(b);
    assert_true(b->has_digest);
    assert_memory_equal(b->digest.b, want.b, sizeof(want.b));
    cache_object_unref(o);
    world_close(&w);
}

static void a_changed_origin_ends_every_reader_that_still_misses_bytes(void **state)
{
    struct cache_object *o, *found[CACHE_MAX_VARIANTS];
    struct client waiting = { 0 }, elsewhere = { 0 };
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 30 * MB, true);
    assert_true(cache_object_publish(o));
    client_open(&w, &waiting, o, 0, 30 * MB);
    client_open(&w, &elsewhere, o, 0, 30 * MB);
    assert_int_equal(drain(&waiting, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[0], 1, MB), MB);
    finish(&w, 0, EL_ECHANGED);
    assert_int_equal(drain(&waiting, 1, UINT64_MAX), CACHE_READ_ERROR);
    assert_int_equal(waiting.r.err.code, EL_ECHANGED);
    /* What is there is of one version and may still be read. */
    assert_int_equal(drain(&elsewhere, 1, UINT64_MAX), CACHE_READ_ERROR);
    assert_int_equal(elsewhere.r.position, MB);
    assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/a"), found), 0);
    assert_int_equal(w.starts, 1);
    cache_reader_close(&waiting.r);
    cache_reader_close(&elsewhere.r);
    cache_object_unref(o);
    world_close(&w);
}

static void of_wrong_bytes_nobody_gets_more(void **state)
{
    struct cache_object *o, *found[CACHE_MAX_VARIANTS];
    struct client waiting = { 0 }, elsewhere = { 0 };
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 3 * MB, true);
    assert_true(cache_object_publish(o));
    client_open(&w, &waiting, o, 0, 3 * MB);
    client_open(&w, &elsewhere, o, 0, MB);
    assert_int_equal(drain(&waiting, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[0], 1, 2 * MB), 2 * MB);
    finish(&w, 0, EL_EHASH);
    assert_int_equal(drain(&waiting, 1, UINT64_MAX), CACHE_READ_ERROR);
    assert_int_equal(waiting.r.err.code, EL_EHASH);
    assert_int_equal(drain(&elsewhere, 1, UINT64_MAX), CACHE_READ_ERROR);
    assert_int_equal(elsewhere.r.err.code, EL_EHASH);
    assert_int_equal(elsewhere.r.position, 0);
    assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/a"), found), 0);
    assert_int_equal(w.starts, 1);
    cache_reader_close(&waiting.r);
    cache_reader_close(&elsewhere.r);
    cache_object_unref(o);
    world_close(&w);
}

static void an_object_of_unknown_length_is_found_only_when_its_end_was_seen(void **state)
{
    struct cache_object *o, *found[CACHE_MAX_VARIANTS];
    struct cache_fill *f;
    struct client c = { 0 };
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", CACHE_UNKNOWN_LENGTH, true);
    client_open(&w, &c, o, 0, CACHE_UNKNOWN_LENGTH);
    f = cache_fill_adopt(o, &w.source, &c.ticket, 0, CACHE_UNKNOWN_LENGTH);
    assert_non_null(f);
    assert_true(cache_object_publish(o));
    assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/a"), found), 0);
    assert_int_equal(give(f, 1, MB + 3), MB + 3);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    cache_fill_done(f, EL_OK, NULL);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_END);
    assert_int_equal(cache_object_length(o), MB + 3);
    assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/a"), found), 1);
    cache_object_unref(found[0]);
    cache_reader_close(&c.r);
    cache_object_unref(o);
    world_close(&w);
}

static void an_object_of_unknown_length_that_nobody_wanted_to_the_end_is_never_found(void **state)
{
    struct cache_object *o, *found[CACHE_MAX_VARIANTS];
    struct cache_fill *f;
    struct client c = { 0 };
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", CACHE_UNKNOWN_LENGTH, true);
    client_open(&w, &c, o, 0, CACHE_UNKNOWN_LENGTH);
    f = cache_fill_adopt(o, &w.source, &c.ticket, 0, CACHE_UNKNOWN_LENGTH);
    assert_true(cache_object_publish(o));
    assert_int_equal(give(f, 1, 100), 100);
    cache_reader_close(&c.r);
    while (give(f, 1, MB) >= 0)
        ;
    cache_fill_done(f, EL_OK, NULL); /* the source was told to stop, and that is fine */
    assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/a"), found), 0);
    cache_object_unref(o);
    world_close(&w);
}

static void an_object_without_validator_that_breaks_off_fails_its_reader(void **state)
{
    struct cache_object *o, *found[CACHE_MAX_VARIANTS];
    struct cache_fill *f;
    struct client c = { 0 };
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 2 * MB, false);
    client_open(&w, &c, o, 0, 2 * MB);
    f = cache_fill_adopt(o, &w.source, &c.ticket, 0, 2 * MB);
    assert_true(cache_object_publish(o));
    assert_int_equal(give(f, 1, MB + 1), MB + 1);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    cache_fill_done(f, EL_ERESET, &(struct el_error){ .code = EL_ERESET, .text = "reset" });
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_ERROR);
    assert_int_equal(c.r.err.code, EL_ERESET);
    assert_int_equal(w.starts, 0);
    assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/a"), found), 0);
    cache_reader_close(&c.r);
    cache_object_unref(o);
    world_close(&w);
}

static void a_fill_that_fails_again_and_again_ends_the_reader(void **state)
{
    struct client a = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 2 * MB, true);
    client_open(&w, &a, o, 0, 2 * MB);
    assert_int_equal(drain(&a, 1, UINT64_MAX), CACHE_READ_WAIT);
    finish(&w, 0, EL_ETIMEOUT);
    assert_int_equal(drain(&a, 1, UINT64_MAX), CACHE_READ_ERROR);
    assert_int_equal(a.r.err.code, EL_ETIMEOUT);
    cache_reader_close(&a.r);
    cache_object_unref(o);
    world_close(&w);
}

static void a_reader_without_ticket_is_told_what_is_missing(void **state)
{
    struct client c = { 0 };
    struct cache_span span;
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 2 * MB, true);
    el_msg_init(&c.r.msg, on_wake);
    c.r.queue = w.queue;
    cache_reader_open(&c.r, o, NULL, 0, 2 * MB);
    assert_int_equal(cache_reader_next(&c.r, SIZE_MAX, &span), CACHE_READ_ERROR);
    assert_int_equal(c.r.err.code, EL_ENOTCACHED);
    cache_reader_close(&c.r);
    cache_object_unref(o);
    world_close(&w);
}

static void make_exact(struct client *c, uint64_t first, uint64_t end)
{
    atomic_init(&c->ticket.refs, 1);
    c->ticket.free = free_nothing;
    c->ticket.exact = true;
    c->ticket.first = first;
    c->ticket.end = end;
}

static void a_signed_range_far_from_its_reader_is_asked_for_once_and_not_cut(void **state)
{
    struct client c = { 0 }, other = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 512 * MB);
    o = new_object(&w, "http://o/a", 100 * MB, true);
    make_exact(&c, 0, 90 * MB);
    client_open(&w, &c, o, 50 * MB, 90 * MB);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(w.starts, 1);
    client_open(&w, &other, o, 40 * MB, 41 * MB);
    assert_int_equal(drain(&other, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(w.starts, 2);
    assert_int_equal(cache_fill_end(w.fills[0]), 90 * MB);
    assert_int_equal(give(w.fills[1], 1, MB), MB);
    finish(&w, 1, EL_OK);
    assert_int_equal(drain(&other, 1, UINT64_MAX), CACHE_READ_END);
    /* It goes over what the other has brought, and on. */
    assert_int_equal(give(w.fills[0], 1, 60 * MB), 60 * MB);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(c.r.position, 60 * MB);
    cache_reader_close(&c.r);
    cache_reader_close(&other.r);
    finish(&w, 0, EL_ECANCELED);
    cache_object_unref(o);
    world_close(&w);
}

static void a_fill_waits_for_a_block_that_another_begins_but_will_not_end(void **state)
{
    struct client a = { 0 }, b = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 2 * MB, true);
    make_exact(&a, 0, 500000);
    client_open(&w, &a, o, 0, 500000);
    assert_int_equal(drain(&a, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[0], 1, 300000), 300000);
    client_open(&w, &b, o, 600000, MB);
    assert_int_equal(drain(&b, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(w.starts, 2);
    assert_int_equal(give(w.fills[1], 1, MB), 500000);
    assert_int_equal(w.resumes, 0);
    assert_int_equal(give(w.fills[0], 1, 200000), 200000);
    finish(&w, 0, EL_OK);
    assert_int_equal(w.resumes, 1);
    assert_int_equal(give(w.fills[1], 1, MB - 500000), MB - 500000);
    finish(&w, 1, EL_OK);
    assert_int_equal(drain(&a, 1, UINT64_MAX), CACHE_READ_END);
    assert_int_equal(drain(&b, 1, UINT64_MAX), CACHE_READ_END);
    assert_true(cache_object_has(o, 0, MB));
    assert_int_equal(w.starts, 2);
    cache_reader_close(&a.r);
    cache_reader_close(&b.r);
    cache_object_unref(o);
    world_close(&w);
}

static void a_body_in_hand_is_taken_unless_all_of_it_is_there_or_coming(void **state)
{
    struct client c = { 0 };
    struct cache_object *o;
    struct cache_fill *f;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", 3 * MB, true);
    client_open(&w, &c, o, 0, MB);
    f = cache_fill_adopt(o, &w.source, &c.ticket, 0, MB);
    assert_non_null(f);
    assert_null(cache_fill_adopt(o, &w.source, &c.ticket, 0, MB));
    /* In the middle of a block, too. */
    assert_int_equal(give(f, 1, 1000), 1000);
    assert_null(cache_fill_adopt(o, &w.source, &c.ticket, 0, MB));
    assert_int_equal(give(f, 1, MB - 1000), MB - 1000);
    cache_fill_done(f, EL_OK, NULL);
    assert_null(cache_fill_adopt(o, &w.source, &c.ticket, 0, MB));
    f = cache_fill_adopt(o, &w.source, &c.ticket, 0, 3 * MB);
    assert_non_null(f);
    assert_int_equal(give(f, 1, 3 * MB), 3 * MB);
    cache_fill_done(f, EL_OK, NULL);
    assert_true(cache_object_is_complete(o));
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_END);
    cache_reader_close(&c.r);
    cache_object_unref(o);
    world_close(&w);
}

static void a_source_that_brings_nothing_is_not_asked_for_ever(void **state)
{
    struct client c = { 0 };
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, "http://o/a", MB, true);
    client_open(&w, &c, o, 0, MB);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
        assert_int_equal(w.starts, i + 1);
        finish(&w, i, EL_OK);
    }
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_ERROR);
    assert_int_equal(c.r.err.code, EL_ENOTCACHED);
    cache_reader_close(&c.r);
    cache_object_unref(o);
    world_close(&w);
}

static void a_fill_without_memory_waits_and_hears_when_there_is_some(void **state)
{
    struct client holders[4] = { 0 }, c = { 0 };
    struct cache_object *held, *o;
    struct cache_span span;
    struct world w;

    (void)state;
    world_open(&w, 0); /* the least there is: four slabs */
    held = new_object(&w, "http://o/held", 8 * MB, true);
    for (unsigned i = 0; i < EL_COUNT(holders); i++) {
        client_open(&w, &holders[i], held, 2 * i * MB, (2 * i + 1) * MB);
        assert_int_equal(drain(&holders[i], 1, UINT64_MAX), CACHE_READ_WAIT);
        assert_int_equal(give(w.fills[i], 1, 1), 1);
        assert_int_equal(cache_reader_next(&holders[i].r, SIZE_MAX, &span), CACHE_READ_DATA);
    }
    o = new_object(&w, "http://o/a", 4 * MB, true);
    client_open(&w, &c, o, 0, 4 * MB);
    w.resumes = 0;
    assert_int_equal(drain(&c, 2, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[w.starts - 1], 2, MB), 0);
    assert_int_equal(w.resumes, 0);
    for (unsigned i = 0; i < EL_COUNT(holders); i++) {
        cache_reader_advance(&holders[i].r, 1);
        cache_reader_close(&holders[i].r);
        finish(&w, i, EL_ERESET);
    }
    assert_true(w.resumes > 0);
    assert_int_equal(give(w.fills[w.starts - 1], 2, MB), MB);
    assert_int_equal(drain(&c, 2, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(c.r.position, MB);
    cache_reader_close(&c.r);
    finish(&w, w.starts - 1, EL_ERESET);
    cache_object_unref(held);
    cache_object_unref(o);
    world_close(&w);
}

static void a_woken_reader_finds_its_block_however_scarce_memory_is(void **state)
{
    struct client c[6] = { 0 };
    struct cache_object *o[6];
    struct world w;
    char url[16];

    (void)state;
    world_open(&w, 0); /* four slabs for six readers that all wait for a block */
    for (unsigned i = 0; i < 6; i++) {
        (void)snprintf(url, sizeof(url), "http://o/%u", i);
        o[i] = new_object(&w, url, 2 * MB, true);
        client_open(&w, &c[i], o[i], 0, 2 * MB);
        assert_int_equal(drain(&c[i], i, UINT64_MAX), CACHE_READ_WAIT);
    }
    for (unsigned i = 0; i < 6; i++)
        (void)give(w.fills[i], i, MB);
    el_msgq_dispatch(w.queue);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(drain(&c[i], i, UINT64_MAX), CACHE_READ_WAIT);
        assert_int_equal(c[i].r.position, c[i].wakes > 0 ? MB : 0);
    }
    assert_int_equal(w.starts, 6);
    assert_true(c[0].wakes > 0);
    assert_true(w.resumes > 0);
    for (unsigned i = 0; i < 6; i++) {
        cache_reader_close(&c[i].r);
        finish(&w, i, EL_ECANCELED);
        cache_object_unref(o[i]);
    }
    world_close(&w);
}

/* Whoever has read the last byte and asks again must not find nothing, and ask the origin. */
static void what_is_good_only_as_a_whole_is_found_once_its_last_byte_is_there(void **state)
{
    static const enum el_err codes[] = { EL_OK, EL_ERESET };
    struct cache_object *o, *found[CACHE_MAX_VARIANTS];
    struct client c = { 0 };
    struct cache_fill *f;
    struct world w;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(codes); i++) {
        world_open(&w, 64 * MB);
        o = new_object(&w, "http://o/weak", 2 * MB, false);
        client_open(&w, &c, o, 0, 2 * MB);
        f = cache_fill_adopt(o, &w.source, &c.ticket, 0, 2 * MB);
        assert_true(cache_object_publish(o));
        assert_int_equal(give(f, 1, 2 * MB - 1), 2 * MB - 1);
        assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/weak"), found), 0);
        assert_int_equal(give(f, 1, 1), 1);
        assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_END);
        assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/weak"), found), 1);
        cache_object_unref(found[0]);
        cache_fill_done(f, codes[i], NULL);
        assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/weak"), found), codes[i] == EL_OK);
        if (codes[i] == EL_OK)
            cache_object_unref(found[0]);
        cache_reader_close(&c.r);
        cache_object_unref(o);
        world_close(&w);
    }
}

static void what_is_too_long_to_be_kept_as_a_whole_leaves_the_rest_alone(void **state)
{
    struct cache_object *kept, *o, *found[CACHE_MAX_VARIANTS];
    struct client c = { 0 };
    struct cache_stats st;
    struct cache_fill *f;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    kept = new_object(&w, "http://o/kept", 4 * MB, true);
    assert_true(cache_object_publish(kept));
    client_open(&w, &c, kept, 0, 4 * MB);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[0], 1, 4 * MB), 4 * MB);
    finish(&w, 0, EL_OK);
    cache_reader_close(&c.r);
    w.now_ms += 3600000;

    o = new_object(&w, "http://o/stream", CACHE_UNKNOWN_LENGTH, true);
    client_open(&w, &c, o, 0, CACHE_UNKNOWN_LENGTH);
    f = cache_fill_adopt(o, &w.source, &c.ticket, 0, CACHE_UNKNOWN_LENGTH);
    assert_true(cache_object_publish(o));
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(give(f, 2, MB), MB);
        assert_int_equal(drain(&c, 2, UINT64_MAX), CACHE_READ_WAIT);
    }
    cache_fill_done(f, EL_OK, NULL);
    assert_int_equal(drain(&c, 2, UINT64_MAX), CACHE_READ_END);
    cache_reader_close(&c.r);
    assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/stream"), found), 0);
    cache_object_unref(o);
    assert_true(cache_object_is_complete(kept));
    cache_stats_get(w.cache, &st);
    assert_int_equal(st.evicted_blocks, 0);
    cache_object_unref(kept);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_readers_of_one_missing_object_start_one_fill),
        cmocka_unit_test(bytes_of_the_origin_are_readable_before_their_block_is_complete),
        cmocka_unit_test(a_reader_that_leaves_does_not_stop_what_others_wait_for),
        cmocka_unit_test(reader_survives_filler_death),
        cmocka_unit_test(a_fill_runs_a_window_ahead_of_its_foremost_reader_and_no_further),
        cmocka_unit_test(a_paused_fill_hears_that_its_last_reader_left),
        cmocka_unit_test(a_far_range_starts_its_own_fill_and_the_first_ends_where_it_begins),
        cmocka_unit_test(a_near_range_waits_for_the_fill_that_is_coming),
        cmocka_unit_test(a_signed_range_is_fetched_as_it_is_and_its_ragged_ends_stay_readable),
        cmocka_unit_test(a_part_of_a_block_is_continued_and_then_has_the_right_digest),
        cmocka_unit_test(a_changed_origin_ends_every_reader_that_still_misses_bytes),
        cmocka_unit_test(of_wrong_bytes_nobody_gets_more),
        cmocka_unit_test(an_object_of_unknown_length_is_found_only_when_its_end_was_seen),
        cmocka_unit_test(an_object_of_unknown_length_that_nobody_wanted_to_the_end_is_never_found),
        cmocka_unit_test(an_object_without_validator_that_breaks_off_fails_its_reader),
        cmocka_unit_test(a_fill_that_fails_again_and_again_ends_the_reader),
        cmocka_unit_test(a_reader_without_ticket_is_told_what_is_missing),
        cmocka_unit_test(a_signed_range_far_from_its_reader_is_asked_for_once_and_not_cut),
        cmocka_unit_test(a_fill_waits_for_a_block_that_another_begins_but_will_not_end),
        cmocka_unit_test(a_body_in_hand_is_taken_unless_all_of_it_is_there_or_coming),
        cmocka_unit_test(a_source_that_brings_nothing_is_not_asked_for_ever),
        cmocka_unit_test(a_fill_without_memory_waits_and_hears_when_there_is_some),
        cmocka_unit_test(a_woken_reader_finds_its_block_however_scarce_memory_is),
        cmocka_unit_test(what_is_good_only_as_a_whole_is_found_once_its_last_byte_is_there),
        cmocka_unit_test(what_is_too_long_to_be_kept_as_a_whole_leaves_the_rest_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
