/* SPDX-License-Identifier: MIT */
/* What operators ask: what is known of a url, that it is forgotten, that it is kept. */
#include "tests/unit/cache/disk.h"

/* ---- waiting for an answer ---- */

static bool is_answered;

static void on_answer(struct el_msg *m)
{
    (void)m;
    is_answered = true;
}

static void wait_answer(struct world *w)
{
    struct pollfd p = { .fd = el_msgq_fd(w->queue), .events = POLLIN };

    while (!is_answered) {
        assert_int_equal(poll(&p, 1, 60000), 1);
        el_msgq_dispatch(w->queue);
    }
    is_answered = false;
}

static struct cache_stat stat_of(struct world *w, const char *url)
{
    static struct cache_stat st;

    el_msg_init(&st.msg, on_answer);
    st.queue = w->queue;
    cache_stat(w->cache, el_str_of(url), &st);
    wait_answer(w);
    return st;
}

static uint64_t purge(struct world *w, const char *text, bool is_prefix)
{
    struct cache_purge p = { .queue = w->queue };

    el_msg_init(&p.msg, on_answer);
    if (is_prefix)
        cache_purge_prefix(w->cache, el_str_of(text), &p);
    else
        cache_purge_url(w->cache, el_str_of(text), &p);
    wait_answer(w);
    assert_int_equal(p.err.code, EL_OK);
    return p.objects;
}

static struct cache_pin pin(struct world *w, const char *url, bool is_pinned)
{
    static struct cache_pin p;

    el_msg_init(&p.msg, on_answer);
    p.queue = w->queue;
    cache_pin(w->cache, el_str_of(url), is_pinned, &p);
    wait_answer(w);
    return p;
}

static struct cache_stats sums(struct world *w)
{
    struct cache_stats s;

    cache_stats_get(w->cache, &s);
    return s;
}

static void open_disk(struct disk *d, uint64_t bytes)
{
    disk_init(d, EL_RING_AUTO, bytes);
    UNTIL(strcmp(stats(d).state, "normal") == 0);
}

static void reopen_disk(struct disk *d)
{
    disk_reopen(d);
    UNTIL(strcmp(stats(d).state, "normal") == 0);
}

static bool is_pinned_now(struct world *w, const char *url)
{
    struct cache_stat st = stat_of(w, url);
    bool is_pinned = st.n == 1 && st.v[0].is_pinned;

    cache_stat_deinit(&st);
    return is_pinned;
}

/* ---- what is known ---- */

static void a_variant_is_told_with_what_memory_and_disk_have_of_it(void **state)
{
    struct cache_stat st;
    struct disk d;

    (void)state;
    open_disk(&d, 64 * MB);
    fetch(&d, URL, "\"v1\"", 1, 3 * MB);
    st = stat_of(&d.w, URL);
    assert_int_equal(st.n, 1);
    assert_true(st.v[0].is_in_memory && !st.v[0].is_pinned && !st.v[0].is_filling);
    assert_int_equal(st.v[0].length, 3 * MB);
    assert_int_equal(st.v[0].blocks, 3);
    assert_int_equal(st.v[0].memory_blocks, 3);
    assert_int_equal(st.v[0].disk_blocks, 3);
    assert_int_equal(st.v[0].cached_blocks, 3);
    assert_true(st.v[0].per_hour > 0);
    cache_stat_deinit(&st);
    disk_end(&d);
}

/* Object i is read i + 1 times. */
static void fetch_some(struct disk *d, unsigned n)
{
    struct cache_object *o;
    char url[64];

    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(url, sizeof(url), "%s%u", URL, i);
        fetch(d, url, "\"v1\"", 1, 2 * MB);
        o = find(d, url);
        for (unsigned k = 0; k < i; k++)
            (void)read_range(d, o, 1, 0, 2 * MB);
        cache_object_unref(o);
    }
}

static void the_hottest_objects_come_first_each_once(void **state)
{
    struct cache_hot hot[CACHE_MAX_HOTTEST];
    char url[64];
    struct disk d;
    size_t n;

    (void)state;
    open_disk(&d, 64 * MB);
    assert_int_equal(cache_hottest(d.w.cache, hot, CACHE_MAX_HOTTEST), 0);
    fetch_some(&d, 6);
    n = cache_hottest(d.w.cache, hot, 4);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(url, sizeof(url), "%s%zu", URL, 5 - i);
        assert_true(el_str_eq(cache_object_url(hot[i].object), el_str_of(url)));
        assert_true(i == 0 || hot[i].per_hour < hot[i - 1].per_hour);
        cache_object_unref(hot[i].object);
    }
    n = cache_hottest(d.w.cache, hot, CACHE_MAX_HOTTEST);
    assert_int_equal(n, 6);
    while (n > 0)
        cache_object_unref(hot[--n].object);
    disk_end(&d);
}

static void what_only_the_disk_has_is_told_without_being_loaded(void **state)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    struct cache_stat st;
    struct disk d;

    (void)state;
    open_disk(&d, 64 * MB);
    fetch(&d, URL, "\"v1\"", 1, 3 * MB);
    reopen_disk(&d);
    st = stat_of(&d.w, URL);
    assert_int_equal(st.n, 1);
    assert_false(st.v[0].is_in_memory);
    assert_true(el_str_eq(st.v[0].meta->etag, EL_STR("\"v1\"")));
    assert_int_equal(st.v[0].memory_blocks, 0);
    assert_int_equal(st.v[0].disk_blocks, 3);
    assert_int_equal(st.v[0].cached_blocks, 3);
    assert_int_equal(cache_lookup(d.w.cache, EL_STR(URL), found), 0);
    cache_stat_deinit(&st);
    disk_end(&d);
}

/* The index learns of it in a minute; the record is on its way. */
static void what_the_index_does_not_know_yet_is_told(void **state)
{
    struct cache_stat st;
    struct disk d;

    (void)state;
    open_disk(&d, 64 * MB);
    world_close(&d.w);
    d.conf.commit_ms = 60000;
    disk_open(&d, 256 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    fetch(&d, URL, "\"v1\"", 1, 2 * MB);
    st = stat_of(&d.w, URL);
    assert_int_equal(st.n, 1);
    assert_int_equal(st.v[0].disk_blocks, 2);
    cache_stat_deinit(&st);
    disk_end(&d);
}

static void nothing_is_told_of_an_unknown_url(void **state)
{
    struct disk d;
    struct world w;

    (void)state;
    open_disk(&d, 64 * MB);
    assert_int_equal(stat_of(&d.w, URL).n, 0);
    disk_end(&d);
    world_open(&w, 16 * MB);
    assert_int_equal(stat_of(&w, URL).n, 0);
    world_close(&w);
}

/* ---- forgetting ---- */

static void fetch_numbered(struct disk *d, const char *prefix, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char url[96];

        (void)snprintf(url, sizeof(url), "%s%u", prefix, i);
        d->w.starts = 0;
        fetch(d, url, "\"v\"", i, 1000);
    }
}

static unsigned count_known(struct disk *d, const char *prefix, unsigned n)
{
    unsigned known = 0;

    for (unsigned i = 0; i < n; i++) {
        char url[96];
        struct cache_object *o;

        (void)snprintf(url, sizeof(url), "%s%u", prefix, i);
        o = find(d, url);
        known += o != NULL;
        cache_object_unref(o);
    }
    return known;
}

static void a_purged_prefix_is_gone_from_memory_and_disk_and_nothing_else_is(void **state)
{
    struct disk d;

    (void)state;
    open_disk(&d, 64 * MB);
    fetch_numbered(&d, "http://a.test/x/", 20);
    fetch_numbered(&d, "http://a.test/y/", 20);
    assert_int_equal(purge(&d.w, "http://a.test/x/", true), 20);
    assert_int_equal(count_known(&d, "http://a.test/x/", 20), 0);
    assert_int_equal(count_known(&d, "http://a.test/y/", 20), 20);
    reopen_disk(&d);
    assert_int_equal(count_known(&d, "http://a.test/x/", 20), 0);
    assert_int_equal(count_known(&d, "http://a.test/y/", 20), 20);
    disk_end(&d);
}

/* More than one step through the index. */
static void a_prefix_of_thousands_that_only_the_disk_has_is_purged(void **state)
{
    struct disk d;

    (void)state;
    open_disk(&d, 64 * MB);
    fetch_numbered(&d, "http://a.test/x/", 1500);
    fetch_numbered(&d, "http://a.test/y/", 1000);
    reopen_disk(&d);
    assert_int_equal(purge(&d.w, "http://a.test/x/", true), 1500);
    assert_int_equal(count_known(&d, "http://a.test/x/", 1500), 0);
    assert_int_equal(purge(&d.w, "http://a.test/", true), 1000);
    UNTIL(stats(&d).objects == 0);
    disk_end(&d);
}

/* Memory holds a few of them, the index none: all that knows the rest is on its way there. */
static void what_the_index_does_not_know_yet_is_purged(void **state)
{
    struct disk d;

    (void)state;
    open_disk(&d, 512 * MB);
    world_close(&d.w);
    d.conf.commit_ms = 60000;
    disk_open(&d, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    for (unsigned i = 0; i < 48; i++) {
        char url[96];

        (void)snprintf(url, sizeof(url), "http://a.test/x/%u", i);
        d.w.starts = 0;
        d.w.now_ms += 1000; /* otherwise all are of one age, and the new one may leave first */
        fetch(&d, url, "\"v\"", i, 2 * MB);
    }
    assert_true(sums(&d.w).objects < 48);
    assert_int_equal(purge(&d.w, "http://a.test/x/", true), 48);
    assert_int_equal(count_known(&d, "http://a.test/x/", 48), 0);
    disk_end(&d);
}

static void a_purged_url_is_counted_once_and_gone(void **state)
{
    struct disk d;

    (void)state;
    open_disk(&d, 64 * MB);
    fetch(&d, URL, "\"v1\"", 1, 3 * MB);
    fetch(&d, URL "2", "\"v1\"", 1, 3 * MB);
    assert_int_equal(purge(&d.w, URL, false), 1);
    reopen_disk(&d);
    assert_int_equal(purge(&d.w, URL, false), 0);
    assert_int_equal(purge(&d.w, URL "2", false), 1);
    assert_null(find(&d, URL "2"));
    disk_end(&d);
}

/* Its chunks are spread over both. */
static void an_object_on_two_disks_is_told_pinned_and_purged_as_one(void **state)
{
    char second[64] = "/tmp/elio-l2-XXXXXX";
    struct cache_disk_stats s;
    struct cache_object *o;
    struct cache_stat st;
    struct disk d;

    (void)state;
    open_disk(&d, 64 * MB);
    world_close(&d.w);
    assert_non_null(mkdtemp(second));
    d.dirs[1] = second;
    d.conf.n_dirs = 2;
    d.conf.bytes = 512 * MB;
    disk_open(&d, 256 * MB);
    do
        cache_disk_stats_get(d.w.cache, &s);
    while (strcmp(s.stores[0].state, "normal") != 0 || strcmp(s.stores[1].state, "normal") != 0);
    o = put(&d, URL, "\"v1\"", 160 * MB);
    for (uint64_t at = 0; at < 160 * MB; at += MB) { /* no faster than it is written */
        uint64_t n = (at / MB) + 1;

        d.w.starts = 0;
        (void)read_range(&d, o, 1, at, at + MB);
        do
            cache_disk_stats_get(d.w.cache, &s);
        while (s.stores[0].written_blocks + s.stores[1].written_blocks < n);
    }
    cache_object_unref(o);
    assert_true(s.stores[0].written_blocks > 0 && s.stores[1].written_blocks > 0);
    world_close(&d.w);
    disk_open(&d, 256 * MB);
    st = stat_of(&d.w, URL);
    assert_int_equal(st.n, 1);
    assert_int_equal(st.v[0].disk_blocks, 160);
    assert_int_equal(st.v[0].cached_blocks, 160);
    cache_stat_deinit(&st);
    assert_int_equal(pin(&d.w, URL, true).objects, 1);
    assert_int_equal(sums(&d.w).pinned_objects, 1);
    assert_int_equal(sums(&d.w).pinned_bytes, 160 * MB);
    assert_int_equal(purge(&d.w, URL, false), 1);
    assert_int_equal(sums(&d.w).pinned_objects, 0);
    disk_end(&d);
    remove_dir(second);
}

/* ---- keeping ---- */

static void a_pin_outlives_a_restart_until_it_is_taken_away(void **state)
{
    struct disk d;

    (void)state;
    open_disk(&d, 64 * MB);
    fetch(&d, URL, "\"v1\"", 1, 3 * MB);
    assert_int_equal(pin(&d.w, URL, true).objects, 1);
    assert_true(is_pinned_now(&d.w, URL));
    reopen_disk(&d);
    assert_true(is_pinned_now(&d.w, URL));
    assert_int_equal(sums(&d.w).pinned_objects, 1);
    assert_int_equal(sums(&d.w).pinned_bytes, 3 * MB);
    assert_int_equal(pin(&d.w, URL, false).objects, 1);
    assert_int_equal(sums(&d.w).pinned_bytes, 0);
    reopen_disk(&d);
    assert_false(is_pinned_now(&d.w, URL));
    disk_end(&d);
}

static void what_is_written_after_the_pin_is_pinned_as_well(void **state)
{
    struct cache_object *o;
    struct disk d;

    (void)state;
    open_disk(&d, 128 * MB);
    o = put(&d, URL, "\"v1\"", 20 * MB);
    assert_int_equal(pin(&d.w, URL, true).objects, 1);
    (void)read_range(&d, o, 1, 0, 20 * MB);
    cache_object_unref(o);
    UNTIL(stats(&d).written_blocks == 20);
    reopen_disk(&d);
    assert_true(is_pinned_now(&d.w, URL));
    assert_int_equal(pin(&d.w, URL, false).objects, 1);
    disk_end(&d);
}

static void no_more_than_half_of_the_tier_is_pinned(void **state)
{
    struct cache_pin p;
    struct disk d;

    (void)state;
    open_disk(&d, 256 * MB);
    fetch(&d, URL "1", "\"v1\"", 1, 70 * MB);
    fetch(&d, URL "2", "\"v1\"", 2, 70 * MB);
    assert_int_equal(pin(&d.w, URL "1", true).err.code, EL_OK);
    p = pin(&d.w, URL "2", true);
    assert_int_equal(p.err.code, EL_EFULL);
    assert_int_equal(p.objects, 0);
    assert_non_null(strstr(p.err.text, "no more than 134217728 may be"));
    assert_false(is_pinned_now(&d.w, URL "2"));
    assert_int_equal(pin(&d.w, URL "1", true).err.code, EL_OK); /* again */
    assert_int_equal(pin(&d.w, URL "1", false).err.code, EL_OK);
    assert_int_equal(pin(&d.w, URL "2", true).err.code, EL_OK);
    disk_end(&d);
}

static void what_is_not_cached_or_only_as_a_whole_cannot_be_pinned(void **state)
{
    struct cache_object *o;
    struct client c = { 0 };
    struct cache_fill *f;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    assert_int_equal(pin(&w, URL, true).err.code, EL_ENOTCACHED);
    assert_int_equal(pin(&w, URL, false).err.code, EL_ENOTCACHED);
    o = new_object(&w, URL, 1000, false);
    client_open(&w, &c, o, 0, 1000);
    assert_true(cache_object_publish(o));
    f = cache_fill_adopt(o, &w.source, &c.ticket, 0, 1000);
    assert_non_null(f);
    assert_int_equal(give(f, 1, 1000), 1000);
    cache_fill_done(f, EL_OK, NULL);
    cache_reader_close(&c.r);
    cache_object_unref(o);
    assert_int_equal(pin(&w, URL, true).err.code, EL_EUNSUPPORTED);
    world_close(&w);
}

static void a_successor_takes_over_the_pin(void **state)
{
    struct disk d;

    (void)state;
    open_disk(&d, 256 * MB);
    fetch(&d, URL, "\"v1\"", 1, 20 * MB);
    assert_int_equal(pin(&d.w, URL, true).err.code, EL_OK);
    fetch(&d, URL, "\"v2\"", 2, 21 * MB);
    reopen_disk(&d);
    assert_true(is_pinned_now(&d.w, URL));
    assert_int_equal(sums(&d.w).pinned_bytes, 21 * MB);
    disk_end(&d);
}

static void load_memory(struct world *w, const char *url, uint64_t length)
{
    struct cache_object *o = new_object(w, url, length, true);
    struct client c = { 0 };

    assert_true(cache_object_publish(o));
    w->starts = 0;
    for (uint64_t at = 0; at < length; at += MB) {
        client_open(w, &c, o, at, at + MB);
        while (drain(&c, 1, UINT64_MAX) == CACHE_READ_WAIT) {
            struct cache_fill *f = w->fills[w->starts - 1];

            (void)give(f, 1, cache_fill_end(f) - cache_fill_position(f));
            finish(w, --w->starts, EL_OK);
            el_msgq_dispatch(w->queue);
        }
        cache_reader_close(&c.r);
    }
    cache_object_unref(o);
}

static uint64_t memory_blocks(struct world *w, const char *url)
{
    struct cache_stat st = stat_of(w, url);
    uint64_t n = st.n == 1 ? st.v[0].memory_blocks : 0;

    cache_stat_deinit(&st);
    return n;
}

static void what_is_pinned_leaves_memory_last(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 32 * MB);
    load_memory(&w, URL "pinned", 8 * MB);
    load_memory(&w, URL "other", 8 * MB);
    assert_int_equal(pin(&w, URL "pinned", true).err.code, EL_OK);
    for (unsigned i = 0; i < 12; i++) {
        char url[64];

        (void)snprintf(url, sizeof(url), URL "%u", i);
        w.now_ms += 1000;
        load_memory(&w, url, 8 * MB);
    }
    assert_int_equal(memory_blocks(&w, URL "pinned"), 8);
    assert_int_equal(memory_blocks(&w, URL "other"), 0);
    world_close(&w);
}

/* Nothing else is there to leave. */
static void what_is_pinned_does_not_keep_others_from_being_served(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 16 * MB);
    load_memory(&w, URL "pinned", 8 * MB);
    assert_int_equal(pin(&w, URL "pinned", true).err.code, EL_OK);
    load_memory(&w, URL "large", 64 * MB);
    world_close(&w);
}

static void what_is_pinned_stays_on_a_full_disk(void **state)
{
    struct disk d;

    (void)state;
    open_disk(&d, 128 * MB);
    fetch(&d, URL "pinned", "\"v1\"", 7, 32 * MB);
    fetch(&d, URL "small", "\"v1\"", 8, 5000);
    assert_int_equal(pin(&d.w, URL "pinned", true).err.code, EL_OK);
    assert_int_equal(pin(&d.w, URL "small", true).err.code, EL_OK);
    for (unsigned i = 0; i < 30; i++) {
        char url[64];
        struct cache_object *o;

        (void)snprintf(url, sizeof(url), URL "%u", i);
        d.w.now_ms += 1000;
        o = put(&d, url, "\"v\"", 17 * MB);
        d.w.starts = 0;
        for (unsigned pass = 0; pass < 3; pass++)
            (void)read_range(&d, o, i, 0, 17 * MB);
        cache_object_unref(o);
    }
    reopen_disk(&d);
    d.w.starts = 0;
    check_from_disk(&d, URL "pinned", 7, 32 * MB);
    check_from_disk(&d, URL "small", 8, 5000);
    disk_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_variant_is_told_with_what_memory_and_disk_have_of_it),
        cmocka_unit_test(the_hottest_objects_come_first_each_once),
        cmocka_unit_test(what_only_the_disk_has_is_told_without_being_loaded),
        cmocka_unit_test(what_the_index_does_not_know_yet_is_told),
        cmocka_unit_test(nothing_is_told_of_an_unknown_url),
        cmocka_unit_test(a_purged_prefix_is_gone_from_memory_and_disk_and_nothing_else_is),
        cmocka_unit_test(a_prefix_of_thousands_that_only_the_disk_has_is_purged),
        cmocka_unit_test(what_the_index_does_not_know_yet_is_purged),
        cmocka_unit_test(a_purged_url_is_counted_once_and_gone),
        cmocka_unit_test(an_object_on_two_disks_is_told_pinned_and_purged_as_one),
        cmocka_unit_test(a_pin_outlives_a_restart_until_it_is_taken_away),
        cmocka_unit_test(what_is_written_after_the_pin_is_pinned_as_well),
        cmocka_unit_test(no_more_than_half_of_the_tier_is_pinned),
        cmocka_unit_test(what_is_not_cached_or_only_as_a_whole_cannot_be_pinned),
        cmocka_unit_test(a_successor_takes_over_the_pin),
        cmocka_unit_test(what_is_pinned_leaves_memory_last),
        cmocka_unit_test(what_is_pinned_does_not_keep_others_from_being_served),
        cmocka_unit_test(what_is_pinned_stays_on_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
