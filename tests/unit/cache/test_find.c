/* SPDX-License-Identifier: MIT */
/* Who is asked about a url that memory lacks: the disk, then the finder. */
#include "tests/unit/cache/disk.h"

static const struct el_str url = { URL, sizeof(URL) - 1 };

struct guest {
    struct cache_waiter w;
    unsigned told;
};

/* It knows what the test says. */
struct seer {
    struct cache_finder finder;
    bool has_something;
    struct cache *says_at_once; /* that it was found; NULL: the test does */
    _Atomic unsigned asked;
    uint64_t max_age_ms; /* of the last question */
    unsigned landed;
    bool stored;
};

static bool find_url(struct cache_finder *f, struct el_str what, uint64_t max_age_ms)
{
    struct seer *s = EL_ENTRY(f, struct seer, finder);

    assert_true(el_str_eq(what, url));
    atomic_fetch_add(&s->asked, 1);
    s->max_age_ms = max_age_ms;
    if (s->says_at_once != NULL)
        (void)cache_found(s->says_at_once, what);
    return s->has_something;
}

static void note_landed(struct cache_finder *f, struct el_str what, bool stored)
{
    struct seer *s = EL_ENTRY(f, struct seer, finder);

    assert_true(el_str_eq(what, url));
    s->landed++;
    s->stored = stored;
}

static const struct cache_finder_ops seer_ops = { .find = find_url, .landed = note_landed };
static struct seer seer;

static int begin(void **state)
{
    (void)state;
    memset(&seer, 0, sizeof(seer));
    seer.finder.ops = &seer_ops;
    seer.has_something = true;
    world_finder = &seer.finder;
    return 0;
}

static void on_told(struct el_msg *m)
{
    EL_ENTRY(m, struct guest, w.msg)->told++;
}

static void prepare(struct world *w, struct guest *g)
{
    memset(g, 0, sizeof(*g));
    el_list_init(&g->w.link);
    el_msg_init(&g->w.msg, on_told);
    g->w.queue = w->queue;
    g->w.leads = true;
}

static bool load(struct world *w, struct guest *g)
{
    prepare(w, g);
    return cache_load(w->cache, url, &g->w);
}

static void many_who_want_a_url_ask_the_finder_once(void **state)
{
    struct guest a, b, c;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    assert_true(load(&w, &a));
    assert_true(load(&w, &b));
    assert_true(load(&w, &c));
    assert_true(a.w.is_asked && b.w.is_asked);
    assert_int_equal(seer.asked, 1);
    cache_flight_leave(w.cache, &c.w);
    assert_true(cache_found(w.cache, url));
    el_msgq_dispatch(w.queue);
    assert_int_equal(a.told + b.told, 2);
    assert_int_equal(c.told, 0);
    assert_true(a.w.stored);
    assert_true(load(&w, &a)); /* another time, another answer */
    assert_int_equal(seer.asked, 2);
    assert_true(cache_found(w.cache, url));
    el_msgq_dispatch(w.queue);
    world_close(&w);
}

static void a_finder_that_knows_nothing_holds_nobody_up(void **state)
{
    struct guest a;
    struct world w;

    (void)state;
    seer.has_something = false;
    world_open(&w, 64 * MB);
    assert_false(load(&w, &a));
    assert_int_equal(seer.asked, 1);
    cache_flight_leave(w.cache, &a.w); /* it waits for nothing: harmless */
    el_msgq_dispatch(w.queue);
    assert_int_equal(a.told, 0);
    assert_int_equal(cache_flight_join(w.cache, url, &a.w), CACHE_FLIGHT_LEAD);
    cache_flight_land(w.cache, url, false, 0);
    world_close(&w);
}

static void an_answer_may_come_before_the_question_returns(void **state)
{
    struct guest a;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    seer.says_at_once = w.cache;
    assert_true(load(&w, &a));
    el_msgq_dispatch(w.queue);
    assert_int_equal(a.told, 1);
    world_close(&w);
}

static void an_answer_that_nobody_waits_for_any_more_is_known_to_be_one(void **state)
{
    struct guest a;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    assert_true(load(&w, &a));
    cache_flight_leave(w.cache, &a.w);
    assert_false(cache_found(w.cache, url));
    world_close(&w);
}

static void who_would_ask_for_himself_alone_does_not_lead(void **state)
{
    struct guest alone, leader;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    prepare(&w, &alone);
    alone.w.leads = false;
    assert_true(cache_load(w.cache, url, &alone.w));
    assert_false(cache_found(w.cache, url));
    el_msgq_dispatch(w.queue);
    assert_int_equal(alone.told, 1);

    prepare(&w, &alone);
    alone.w.leads = false;
    assert_true(cache_load(w.cache, url, &alone.w) && load(&w, &leader));
    assert_true(cache_found(w.cache, url));
    el_msgq_dispatch(w.queue);
    assert_true(alone.told == 1 && leader.told == 1);
    world_close(&w);
}

static void while_somebody_asks_the_origin_nobody_asks_the_finder(void **state)
{
    struct guest leader, a;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    prepare(&w, &leader);
    assert_int_equal(cache_flight_join(w.cache, url, &leader.w), CACHE_FLIGHT_LEAD);
    assert_false(load(&w, &a));
    assert_int_equal(seer.asked, 0);
    cache_flight_land(w.cache, url, true, 0);
    assert_int_equal(seer.landed, 1);
    assert_true(seer.stored);
    world_close(&w);
}

static void what_cannot_be_shared_is_nobody_elses(void **state)
{
    struct guest a;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    prepare(&w, &a);
    assert_int_equal(cache_flight_join(w.cache, url, &a.w), CACHE_FLIGHT_LEAD);
    cache_flight_land(w.cache, url, false, 1000);
    assert_false(load(&w, &a));
    w.now_ms += 1000;
    assert_true(load(&w, &a));
    assert_int_equal(seer.asked, 1);
    (void)cache_found(w.cache, url);
    world_close(&w);
}

static void what_memory_or_disk_has_is_not_asked_about(void **state)
{
    struct cache_object *o;
    struct guest a;
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "loading") != 0);
    fetch(&d, URL, "\"1\"", 1, 3 * MB);
    assert_true(load(&d.w, &a)); /* for another variant than the one in memory */
    assert_false(a.w.is_asked);
    while (a.told == 0)
        wait_event(&d);
    disk_reopen(&d);
    UNTIL(strcmp(stats(&d).state, "loading") != 0);
    o = find(&d, URL);
    assert_non_null(o);
    cache_object_unref(o);
    assert_int_equal(seer.asked, 0);
    disk_end(&d);
}

static void what_the_disk_was_wrongly_said_to_have_is_asked_about_then(void **state)
{
    struct cache_object_id id;
    struct cache_object *o;
    struct guest a;
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "loading") != 0);
    o = put(&d, URL, "\"1\"", 3 * MB);
    id = *cache_object_id(o);
    (void)read_range(&d, o, 1, 0, 3 * MB);
    UNTIL(stats(&d).written_bytes == 3 * MB);
    cache_object_unref(o);
    disk_reopen(&d);
    UNTIL(strcmp(stats(&d).state, "loading") != 0);
    assert_true(load(&d.w, &a));
    assert_false(a.w.is_asked);
    /* Whoever forgets it now does so before the disk has answered, or kills what it answered. */
    (void)cache_invalidate(d.w.cache, url);
    for (bool is_answered = false; a.told == 0; el_msgq_dispatch(d.w.queue)) {
        if (!is_answered && atomic_load(&seer.asked) > 0) {
            assert_true(cache_found(d.w.cache, url));
            is_answered = true;
        }
        (void)poll(NULL, 0, 1);
    }
    assert_null(cache_find_version(d.w.cache, &id));
    disk_end(&d);
}

static bool confirm(struct world *w, struct guest *g)
{
    prepare(w, g);
    return cache_confirm(w->cache, url, 5000, &g->w);
}

static void what_is_here_and_stale_is_asked_about_once_with_its_age(void **state)
{
    struct guest a, b;
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "loading") != 0);
    fetch(&d, URL, "\"1\"", 1, 3 * MB);
    assert_true(confirm(&d.w, &a));
    assert_true(confirm(&d.w, &b));
    assert_true(a.w.is_asked && b.w.is_asked);
    assert_int_equal(seer.asked, 1);
    assert_int_equal(seer.max_age_ms, 5000);
    assert_true(cache_found(d.w.cache, url));
    el_msgq_dispatch(d.w.queue);
    assert_int_equal(a.told + b.told, 2);
    disk_end(&d);
}

static void nobody_confirms_what_is_being_asked_about_or_cannot_be_shared(void **state)
{
    struct guest leader, a;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    prepare(&w, &leader);
    assert_int_equal(cache_flight_join(w.cache, url, &leader.w), CACHE_FLIGHT_LEAD);
    assert_false(confirm(&w, &a));
    cache_flight_land(w.cache, url, false, 1000);
    assert_false(confirm(&w, &a));
    assert_int_equal(seer.asked, 0);
    w.now_ms += 1000;
    seer.has_something = false;
    assert_false(confirm(&w, &a));
    assert_int_equal(seer.asked, 1);
    world_close(&w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        TEST(many_who_want_a_url_ask_the_finder_once),
        TEST(a_finder_that_knows_nothing_holds_nobody_up),
        TEST(an_answer_may_come_before_the_question_returns),
        TEST(an_answer_that_nobody_waits_for_any_more_is_known_to_be_one),
        TEST(who_would_ask_for_himself_alone_does_not_lead),
        TEST(while_somebody_asks_the_origin_nobody_asks_the_finder),
        TEST(what_cannot_be_shared_is_nobody_elses),
        TEST(what_memory_or_disk_has_is_not_asked_about),
        TEST(what_the_disk_was_wrongly_said_to_have_is_asked_about_then),
        TEST(what_is_here_and_stale_is_asked_about_once_with_its_age),
        TEST(nobody_confirms_what_is_being_asked_about_or_cannot_be_shared),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
