/* SPDX-License-Identifier: MIT */
/* What lookups find, and who asks the origin about what they do not. */
#include "tests/unit/cache/world.h"

static const struct el_str url = { "http://o/a", 10 };

struct guest {
    struct cache_waiter w;
    unsigned landed;
};

static void on_landed(struct el_msg *m)
{
    EL_ENTRY(m, struct guest, w.msg)->landed++;
}

static enum cache_flight join(struct world *w, struct guest *g, struct el_str to)
{
    memset(g, 0, sizeof(*g));
    el_list_init(&g->w.link);
    el_msg_init(&g->w.msg, on_landed);
    g->w.queue = w->queue;
    return cache_flight_join(w->cache, to, &g->w);
}

static size_t lookup(struct world *w)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    size_t n = cache_lookup(w->cache, url, found);

    for (size_t i = 0; i < n; i++)
        cache_object_unref(found[i]);
    return n;
}

static struct cache_object *publish_variant(struct world *w, const char *vary, uint64_t length)
{
    struct cache_meta *m = cache_meta_new();
    struct cache_object *o;

    m->has_strong_validator = true;
    el_buf_add_str(&m->vary_bytes, el_str_of(vary));
    o = cache_object_new(w->cache, url, m, length);
    cache_meta_unref(m);
    assert_true(cache_object_publish(o));
    return o;
}

/* ---- objects ---- */

static void an_object_is_found_once_it_is_published_and_not_once_it_is_killed(void **state)
{
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * EL_MIB);
    o = new_object(&w, url.p, 10, true);
    assert_int_equal(lookup(&w), 0);
    assert_true(cache_object_publish(o));
    assert_int_equal(lookup(&w), 1);
    cache_object_kill(o);
    assert_int_equal(lookup(&w), 0);
    assert_false(cache_object_publish(o));
    cache_object_unref(o);
    world_close(&w);
}

static void a_new_version_takes_the_place_of_the_old_one(void **state)
{
    struct cache_object *old, *new, *found[CACHE_MAX_VARIANTS];
    struct world w;

    (void)state;
    world_open(&w, 64 * EL_MIB);
    old = publish_variant(&w, "", 10);
    new = publish_variant(&w, "", 20);
    assert_int_equal(cache_lookup(w.cache, url, found), 1);
    assert_ptr_equal(found[0], new);
    cache_object_unref(found[0]);
    /* Whoever reads the old one goes on. */
    assert_int_equal(cache_object_length(old), 10);
    cache_object_unref(old);
    cache_object_unref(new);
    world_close(&w);
}

static void variants_live_side_by_side_the_newest_first_and_only_so_many(void **state)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    struct world w;

    (void)state;
    world_open(&w, 64 * EL_MIB);
    for (unsigned i = 0; i < CACHE_MAX_VARIANTS + 3; i++) {
        char vary[8];

        (void)snprintf(vary, sizeof(vary), "%u", i);
        cache_object_unref(publish_variant(&w, vary, i + 1));
    }
    assert_int_equal(cache_lookup(w.cache, url, found), CACHE_MAX_VARIANTS);
    for (unsigned i = 0; i < CACHE_MAX_VARIANTS; i++) {
        assert_int_equal(cache_object_length(found[i]), CACHE_MAX_VARIANTS + 3 - i);
        cache_object_unref(found[i]);
    }
    assert_int_equal(cache_invalidate(w.cache, url), CACHE_MAX_VARIANTS);
    assert_int_equal(lookup(&w), 0);
    world_close(&w);
}

static void freshening_gives_a_new_meta_to_the_same_bytes(void **state)
{
    struct cache_meta *fresh = cache_meta_new(), *got;
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * EL_MIB);
    o = new_object(&w, url.p, 10, true);
    fresh->lifetime_ms = 77;
    cache_object_freshen(o, fresh);
    got = cache_object_meta(o);
    assert_ptr_equal(got, fresh);
    cache_meta_unref(got);
    cache_meta_unref(fresh);
    cache_object_unref(o);
    world_close(&w);
}

static void an_empty_object_is_complete_at_once(void **state)
{
    struct cache_object *o;
    struct client c = { 0 };
    struct world w;

    (void)state;
    world_open(&w, 64 * EL_MIB);
    o = new_object(&w, url.p, 0, false);
    assert_null(cache_fill_adopt(o, &w.source, &c.ticket, 0, 0));
    assert_true(cache_object_publish(o));
    assert_true(cache_object_is_complete(o));
    assert_int_equal(lookup(&w), 1);
    cache_object_unref(o);
    world_close(&w);
}

static void without_memory_nothing_is_ever_found(void **state)
{
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 0);
    o = new_object(&w, url.p, 10, true);
    assert_false(cache_object_publish(o));
    assert_int_equal(lookup(&w), 0);
    cache_object_unref(o);
    world_close(&w);
}

static void many_urls_are_all_found(void **state)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    struct world w;
    char name[32];

    (void)state;
    world_open(&w, 256 * EL_MIB);
    for (unsigned i = 0; i < 20000; i++) {
        struct cache_object *o;

        (void)snprintf(name, sizeof(name), "http://o/%u", i);
        o = new_object(&w, name, i, true);
        assert_true(cache_object_publish(o));
        cache_object_unref(o);
    }
    for (unsigned i = 0; i < 20000; i++) {
        (void)snprintf(name, sizeof(name), "http://o/%u", i);
        assert_int_equal(cache_lookup(w.cache, el_str_of(name), found), 1);
        assert_int_equal(cache_object_length(found[0]), i);
        cache_object_unref(found[0]);
    }
    world_close(&w);
}

/* ---- flights ---- */

static void one_leads_and_the_others_hear_how_it_landed(void **state)
{
    struct guest leader, a, b, late;
    struct world w;

    (void)state;
    world_open(&w, 64 * EL_MIB);
    assert_int_equal(join(&w, &leader, url), CACHE_FLIGHT_LEAD);
    assert_int_equal(join(&w, &a, url), CACHE_FLIGHT_WAIT);
    assert_int_equal(join(&w, &b, url), CACHE_FLIGHT_WAIT);
    cache_flight_land(w.cache, url, true, 0);
    el_msgq_dispatch(w.queue);
    assert_int_equal(leader.landed, 0);
    assert_true(a.landed == 1 && a.w.stored && b.landed == 1 && b.w.stored);
    assert_int_equal(join(&w, &late, url), CACHE_FLIGHT_LEAD);
    cache_flight_land(w.cache, url, false, 0);
    world_close(&w);
}

static void a_waiter_that_left_hears_nothing_landed_or_not(void **state)
{
    struct guest leader, early, late, never;
    struct world w;

    (void)state;
    world_open(&w, 64 * EL_MIB);
    assert_int_equal(join(&w, &leader, url), CACHE_FLIGHT_LEAD);
    assert_int_equal(join(&w, &early, url), CACHE_FLIGHT_WAIT);
    assert_int_equal(join(&w, &late, url), CACHE_FLIGHT_WAIT);
    cache_flight_leave(w.cache, &early.w);
    cache_flight_land(w.cache, url, false, 0);
    cache_flight_leave(w.cache, &late.w); /* the message is on its way */
    cache_flight_leave(w.cache, &leader.w);
    el_msgq_dispatch(w.queue);
    assert_int_equal(early.landed + late.landed + leader.landed, 0);
    memset(&never, 0, sizeof(never));
    el_msg_init(&never.w.msg, on_landed);
    never.w.queue = w.queue;
    cache_flight_leave(w.cache, &never.w);
    world_close(&w);
}

static void what_cannot_be_shared_is_asked_alone_for_a_while(void **state)
{
    const struct el_str other = EL_STR("http://o/b");
    struct guest g;
    struct world w;

    (void)state;
    world_open(&w, 64 * EL_MIB);
    assert_int_equal(join(&w, &g, url), CACHE_FLIGHT_LEAD);
    cache_flight_land(w.cache, url, false, 5000);
    assert_int_equal(join(&w, &g, url), CACHE_FLIGHT_SOLO);
    assert_int_equal(join(&w, &g, other), CACHE_FLIGHT_LEAD);
    cache_flight_land(w.cache, other, false, 0);
    w.now_ms += 4999;
    assert_int_equal(join(&w, &g, url), CACHE_FLIGHT_SOLO);
    w.now_ms += 1;
    assert_int_equal(join(&w, &g, url), CACHE_FLIGHT_LEAD);
    cache_flight_land(w.cache, url, true, 0);
    world_close(&w);
}

static void urls_that_cannot_be_shared_leave_nothing_in_the_index(void **state)
{
    struct world w;
    struct guest g;
    char name[32];

    (void)state;
    world_open(&w, 64 * EL_MIB);
    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(name, sizeof(name), "http://o/%u", i);
        if (join(&w, &g, el_str_of(name)) == CACHE_FLIGHT_LEAD)
            cache_flight_land(w.cache, el_str_of(name), false, 120000);
    }
    for (size_t i = 0; i < CACHE_SHARDS; i++)
        assert_int_equal(w.cache->shards[i].n_entries, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_found_once_it_is_published_and_not_once_it_is_killed),
        cmocka_unit_test(a_new_version_takes_the_place_of_the_old_one),
        cmocka_unit_test(variants_live_side_by_side_the_newest_first_and_only_so_many),
        cmocka_unit_test(freshening_gives_a_new_meta_to_the_same_bytes),
        cmocka_unit_test(an_empty_object_is_complete_at_once),
        cmocka_unit_test(without_memory_nothing_is_ever_found),
        cmocka_unit_test(many_urls_are_all_found),
        cmocka_unit_test(one_leads_and_the_others_hear_how_it_landed),
        cmocka_unit_test(a_waiter_that_left_hears_nothing_landed_or_not),
        cmocka_unit_test(what_cannot_be_shared_is_asked_alone_for_a_while),
        cmocka_unit_test(urls_that_cannot_be_shared_leave_nothing_in_the_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
