/* SPDX-License-Identifier: MIT */
/* Versions by their id, on disk as well, and what is told of them. */
#include "tests/unit/cache/disk.h"

#include <pthread.h>

/* What was told, by any thread. */
struct told {
    struct cache_listener listener;
    pthread_mutex_t mtx;
    unsigned blocks, losses, published, killed;
    uint64_t last_block, last_lost;
    struct cache_object_id lost_id;
    struct el_digest digest;
};

static struct told told = { .mtx = PTHREAD_MUTEX_INITIALIZER };

static void lock(void)
{
    assert_int_equal(pthread_mutex_lock(&told.mtx), 0);
}

static void unlock(void)
{
    assert_int_equal(pthread_mutex_unlock(&told.mtx), 0);
}

static unsigned count(const unsigned *what)
{
    unsigned n;

    lock();
    n = *what;
    unlock();
    return n;
}

/* No lock of the cache's is held: it may be asked. */
static void on_block(struct cache_listener *l, struct cache_object *o, uint64_t number,
                     const struct el_digest *digest)
{
    struct el_digest now;

    (void)l;
    assert_non_null(cache_object_id(o));
    if (cache_object_digest(o, number, &now))
        assert_memory_equal(&now, digest, sizeof(now));
    lock();
    told.blocks++;
    told.last_block = number;
    told.digest = *digest;
    unlock();
}

static void on_lost(struct cache_listener *l, const struct cache_object_id *id, uint64_t chunk)
{
    (void)l;
    lock();
    told.losses++;
    told.last_lost = chunk;
    told.lost_id = *id;
    unlock();
}

static void on_published(struct cache_listener *l, struct cache_object *o)
{
    (void)l;
    assert_true(cache_object_length(o) != CACHE_UNKNOWN_LENGTH);
    lock();
    told.published++;
    unlock();
}

static void on_killed(struct cache_listener *l, struct cache_object *o)
{
    (void)l;
    assert_non_null(cache_object_id(o));
    lock();
    told.killed++;
    unlock();
}

static const struct cache_listener_ops told_ops = {
    .block = on_block, .lost = on_lost, .published = on_published, .killed = on_killed
};

static int listen_anew(void **state)
{
    (void)state;
    told.listener.ops = &told_ops;
    told.blocks = told.losses = told.published = told.killed = 0;
    told.last_block = told.last_lost = UINT64_MAX;
    world_listener = &told.listener;
    return 0;
}

/* ---- in memory ---- */

static struct cache_object *publish(struct world *w, const char *url, const char *etag,
                                    uint64_t length)
{
    struct cache_meta *m = meta_of(etag);
    struct cache_object *o = cache_object_new(w->cache, el_str_of(url), m, length);

    cache_meta_unref(m);
    assert_true(cache_object_publish(o));
    return o;
}

/* All of the object, from the origin. */
static void fetch_all(struct world *w, struct cache_object *o)
{
    struct client c = { 0 };

    client_open(w, &c, o, 0, CACHE_UNKNOWN_LENGTH);
    while (drain(&c, 1, UINT64_MAX) == CACHE_READ_WAIT) {
        struct cache_fill *f = w->fills[w->starts - 1];

        (void)give(f, 1, cache_fill_end(f) - cache_fill_position(f));
        if (cache_fill_position(f) == cache_fill_end(f))
            finish(w, w->starts - 1, EL_OK);
        el_msgq_dispatch(w->queue);
    }
    cache_reader_close(&c.r);
}

static void a_version_is_found_by_its_id_as_long_as_lookups_find_it(void **state)
{
    struct cache_object *o, *newer, *found;
    struct cache_object_id id;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = publish(&w, URL, "\"1\"", 3 * MB);
    id = *cache_object_id(o);
    found = cache_find_version(w.cache, &id);
    assert_ptr_equal(found, o);
    cache_object_unref(found);
    newer = publish(&w, URL, "\"2\"", 3 * MB);
    assert_null(cache_find_version(w.cache, &id));
    found = cache_find_version(w.cache, cache_object_id(newer));
    assert_ptr_equal(found, newer);
    cache_object_unref(found);
    cache_object_kill(newer);
    assert_null(cache_find_version(w.cache, cache_object_id(newer)));
    cache_object_unref(o);
    cache_object_unref(newer);
    world_close(&w);
}

static void many_versions_are_all_found(void **state)
{
    struct cache_object_id ids[3000];
    struct cache_object *o;
    char url[64];
    struct world w;

    (void)state;
    world_open(&w, 256 * MB);
    for (size_t i = 0; i < EL_COUNT(ids); i++) {
        (void)snprintf(url, sizeof(url), URL "%zu", i);
        o = publish(&w, url, "\"1\"", 1000);
        ids[i] = *cache_object_id(o);
        cache_object_unref(o);
    }
    for (size_t i = 0; i < EL_COUNT(ids); i++) {
        o = cache_find_version(w.cache, &ids[i]);
        assert_non_null(o);
        assert_memory_equal(cache_object_id(o), &ids[i], sizeof(ids[i]));
        if (i % 3 == 0)
            cache_object_kill(o);
        cache_object_unref(o);
    }
    for (size_t i = 0; i < EL_COUNT(ids); i++) {
        o = cache_find_version(w.cache, &ids[i]);
        assert_int_equal(o == NULL, i % 3 == 0);
        cache_object_unref(o);
    }
    world_close(&w);
}

static void what_is_only_good_as_a_whole_has_no_id_and_nothing_is_told_of_it(void **state)
{
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, URL, 3 * MB, false);
    assert_null(cache_object_id(o));
    assert_true(cache_object_publish(o));
    fetch_all(&w, o);
    cache_object_kill(o);
    cache_object_unref(o);
    o = new_object(&w, URL, CACHE_UNKNOWN_LENGTH, true);
    assert_null(cache_object_id(o));
    cache_object_unref(o);
    world_close(&w);
    assert_int_equal(told.blocks + told.losses + told.published + told.killed, 0);
}

static void every_block_is_told_with_its_digest(void **state)
{
    static uint8_t bytes[MB];
    struct cache_object *o;
    struct el_digest want;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = publish(&w, URL, "\"1\"", 3 * MB - 7);
    assert_int_equal(told.published, 1);
    fetch_all(&w, o);
    assert_int_equal(told.blocks, 3);
    assert_int_equal(told.last_block, 2);
    fill_bytes(bytes, 1, 2 * MB, MB - 7);
    el_sha256_of(bytes, MB - 7, &want);
    assert_memory_equal(&told.digest, &want, sizeof(want));
    cache_object_unref(o);
    world_close(&w);
    assert_int_equal(told.losses, 0); /* the end of the cache is no loss */
}

/* As of a suffix that was asked for before anything else. */
static void of_a_block_that_was_begun_within_nothing_is_told(void **state)
{
    struct client c = { 0 };
    struct cache_object *o;
    struct cache_fill *f;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = publish(&w, URL, "\"1\"", 2 * MB);
    client_open(&w, &c, o, 2 * MB - 5, 2 * MB);
    f = cache_fill_adopt(o, &w.source, &c.ticket, 2 * MB - 5, 2 * MB);
    assert_int_equal(give(f, 1, 5), 5);
    cache_fill_done(f, EL_OK, NULL);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_END);
    cache_reader_close(&c.r);
    assert_int_equal(count(&told.blocks), 0);
    fetch_all(&w, o);
    assert_int_equal(count(&told.blocks), 2);
    cache_object_unref(o);
    world_close(&w);
}

static void a_version_that_is_replaced_invalidated_or_wrong_is_killed(void **state)
{
    struct cache_object *o, *newer;
    struct client c = { 0 };
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = publish(&w, URL, "\"1\"", 3 * MB);
    newer = publish(&w, URL, "\"2\"", 3 * MB);
    assert_int_equal(told.killed, 1);
    assert_int_equal(cache_invalidate(w.cache, EL_STR(URL)), 1);
    assert_int_equal(told.killed, 2);
    cache_object_unref(o);
    cache_object_unref(newer);
    o = publish(&w, URL, "\"3\"", 3 * MB);
    client_open(&w, &c, o, 0, 3 * MB);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    finish(&w, w.starts - 1, EL_EHASH);
    assert_int_equal(told.killed, 3);
    assert_int_equal(told.published, 3);
    cache_reader_close(&c.r);
    cache_object_unref(o);
    world_close(&w);
}

static void that_a_version_is_confirmed_is_told(void **state)
{
    struct cache_meta *m = meta_of("\"1\"");
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = publish(&w, URL, "\"1\"", 3 * MB);
    cache_object_freshen(o, m);
    assert_int_equal(told.published, 2);
    cache_meta_unref(m);
    cache_object_unref(o);
    world_close(&w);
}

static void what_memory_evicts_and_no_disk_has_is_lost(void **state)
{
    struct cache_object *o, *other;
    uint64_t map;
    struct world w;

    (void)state;
    world_open(&w, 16 * MB);
    o = publish(&w, URL, "\"1\"", 4 * MB);
    fetch_all(&w, o);
    assert_int_equal(told.losses, 0);
    other = publish(&w, URL "2", "\"1\"", 32 * MB);
    fetch_all(&w, other);
    assert_true(told.losses > 0);
    cache_object_map(o, 0, 4, &map);
    assert_int_equal(map, 0);
    cache_object_unref(o);
    cache_object_unref(other);
    world_close(&w);
}

static void what_was_never_published_is_lost_with_its_last_reference(void **state)
{
    struct cache_object_id id;
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    o = new_object(&w, URL, 20 * MB, true);
    id = *cache_object_id(o);
    fetch_all(&w, o);
    assert_int_equal(told.losses, 0);
    cache_object_unref(o);
    assert_int_equal(told.losses, 2);
    assert_int_equal(told.last_lost, 1);
    assert_memory_equal(&told.lost_id, &id, sizeof(id));
    world_close(&w);
}

/* ---- on disk ---- */

static void wait_until_loaded(struct disk *d)
{
    UNTIL(strcmp(stats(d).state, "loading") != 0);
}

static void disk_begin(struct disk *d)
{
    disk_init(d, EL_RING_AUTO, 64 * MB);
    wait_until_loaded(d); /* what comes earlier is not kept */
}

static struct cache_object_id id_of(const char *url, const char *etag, uint64_t length)
{
    struct cache_meta *m = meta_of(etag);
    struct cache_object_id id;

    cache_object_id_of(el_str_of(url), m, length, &id);
    cache_meta_unref(m);
    return id;
}

static void a_version_that_only_the_disk_has_is_loaded_by_its_id(void **state)
{
    struct cache_waiter first = { 0 }, second = { 0 };
    struct cache_object_id id = id_of(URL, "\"1\"", 3 * MB), none = { { 1 } };
    struct cache_object *o;
    struct disk d;

    (void)state;
    disk_begin(&d);
    fetch(&d, URL, "\"1\"", 1, 3 * MB);
    disk_reopen(&d);
    wait_until_loaded(&d);
    assert_null(cache_find_version(d.w.cache, &id));
    first.queue = second.queue = d.w.queue;
    el_msg_init(&first.msg, on_loaded);
    el_msg_init(&second.msg, on_loaded);
    assert_true(cache_load_version(d.w.cache, &id, &first));
    assert_true(cache_load_version(d.w.cache, &id, &second));
    cache_flight_leave(d.w.cache, &second);
    wait_event(&d);
    o = cache_find_version(d.w.cache, &id);
    assert_non_null(o);
    assert_int_equal(read_range(&d, o, 1, 0, 3 * MB), CACHE_FROM_DISK);
    assert_int_equal(told.published, 1); /* when it came, not when it was loaded */
    cache_object_unref(o);

    assert_true(cache_load_version(d.w.cache, &none, &first));
    wait_event(&d);
    assert_null(cache_find_version(d.w.cache, &none));
    disk_end(&d);
}

static void without_a_disk_there_is_nothing_to_load_by_id(void **state)
{
    struct cache_object_id id = id_of(URL, "\"1\"", 3 * MB);
    struct cache_waiter waiter = { 0 };
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    assert_false(cache_load_version(w.cache, &id, &waiter));
    world_close(&w);
}

static void what_leaves_memory_and_disk_is_lost_and_not_before(void **state)
{
    struct cache_object_id id = id_of(URL, "\"1\"", 3 * MB);
    struct disk d;

    (void)state;
    disk_begin(&d);
    fetch(&d, URL, "\"1\"", 1, 3 * MB);
    assert_int_equal(count(&told.blocks), 3);
    disk_reopen(&d);
    wait_until_loaded(&d);
    assert_int_equal(count(&told.losses), 0);
    assert_true(cache_invalidate(d.w.cache, EL_STR(URL)) > 0); /* memory knows nothing of it */
    UNTIL(count(&told.losses) == 3);
    assert_memory_equal(&told.lost_id, &id, sizeof(id));
    assert_int_equal(told.last_lost, 0);
    disk_end(&d);
}

static void what_the_disk_drops_stays_as_long_as_memory_has_it(void **state)
{
    struct cache_object *o;
    struct disk d;
    uint64_t map;

    (void)state;
    disk_begin(&d);
    o = put(&d, URL, "\"1\"", 3 * MB);
    assert_true((read_range(&d, o, 1, 0, 3 * MB) & CACHE_FROM_ORIGIN) != 0);
    UNTIL(stats(&d).written_bytes == 3 * MB);
    cache_disk_lost(d.w.cache, cache_object_id(o), 0, 3);
    assert_int_equal(count(&told.losses), 0);
    cache_object_map(o, 0, 3, &map);
    assert_int_equal(map, 7);
    cache_object_unref(o);
    disk_end(&d);
}

/* ---- all of them ---- */

struct walker {
    struct cache_walk walk;
    struct cache_object_id ids[2];
    uint16_t maps[2][2]; /* of each version its first chunks */
    bool is_over;
};

static void on_chunk(struct cache_walk *walk, const struct cache_object_id *id, uint64_t length,
                     uint64_t chunk, uint16_t blocks)
{
    struct walker *w = EL_ENTRY(walk, struct walker, walk);

    for (size_t i = 0; i < EL_COUNT(w->ids); i++) {
        if (memcmp(&w->ids[i], id, sizeof(*id)) != 0)
            continue;
        assert_in_range(chunk, 0, 1);
        assert_int_equal(length, (i + 1) * 10 * MB);
        w->maps[i][chunk] |= blocks;
        return;
    }
    fail_msg("another version");
}

static void on_walked(struct el_msg *m)
{
    EL_ENTRY(m, struct walker, walk.msg)->is_over = true;
}

static void a_walk_meets_what_is_in_memory_and_what_is_on_disk(void **state)
{
    struct walker w = { .walk.each = on_chunk };
    struct cache_object *o;
    struct disk d;

    (void)state;
    disk_begin(&d);
    fetch(&d, URL, "\"1\"", 1, 10 * MB);
    disk_reopen(&d);
    o = put(&d, URL "2", "\"1\"", 20 * MB);
    assert_true((read_range(&d, o, 1, 15 * MB, 17 * MB) & CACHE_FROM_ORIGIN) != 0);
    w.ids[0] = id_of(URL, "\"1\"", 10 * MB);
    w.ids[1] = *cache_object_id(o);
    w.walk.queue = d.w.queue;
    el_msg_init(&w.walk.msg, on_walked);
    cache_each_version(d.w.cache, &w.walk);
    while (!w.is_over)
        wait_event(&d);
    assert_int_equal(w.walk.err.code, EL_OK);
    assert_int_equal(w.maps[0][0], (1 << 10) - 1);
    assert_int_equal(w.maps[0][1], 0);
    assert_int_equal(w.maps[1][0], 1 << 15);
    assert_int_equal(w.maps[1][1] & 1, 1);
    cache_object_unref(o);
    disk_end(&d);
}

static void a_walk_without_a_disk_is_over_at_once(void **state)
{
    struct walker w = { .walk.each = on_chunk };
    struct cache_object *o;
    struct world world;

    (void)state;
    world_open(&world, 64 * MB);
    o = publish(&world, URL, "\"1\"", 10 * MB);
    fetch_all(&world, o);
    w.ids[0] = *cache_object_id(o);
    w.walk.queue = world.queue;
    el_msg_init(&w.walk.msg, on_walked);
    cache_each_version(world.cache, &w.walk);
    el_msgq_dispatch(world.queue);
    assert_true(w.is_over);
    assert_int_equal(w.maps[0][0], (1 << 10) - 1);
    cache_object_unref(o);
    world_close(&world);
}

/* ---- serving others ---- */

static void who_asks_for_others_reads_whole_blocks_and_drives_no_fill(void **state)
{
    struct client c = { 0 }, peer = { 0 };
    struct el_digest digest;
    struct cache_span span;
    struct cache_object *o;
    struct world w;
    uint8_t byte;

    (void)state;
    world_open(&w, 64 * MB);
    o = publish(&w, URL, "\"1\"", 40 * MB);
    client_open(&w, &c, o, 0, 40 * MB);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[0], 1, MB - 1), MB - 1);
    el_msg_init(&peer.r.msg, on_wake);
    peer.r.queue = w.queue;
    peer.r.wants_whole = true;
    cache_reader_open(&peer.r, o, NULL, 0, MB);
    assert_int_equal(cache_reader_next(&peer.r, 0, &span), CACHE_READ_WAIT);
    assert_int_equal(give(w.fills[0], 1, MB), MB);
    el_msgq_dispatch(w.queue);
    assert_int_equal(peer.wakes, 1);
    assert_int_equal(cache_reader_next(&peer.r, 0, &span), CACHE_READ_DATA);
    assert_int_equal(span.n, MB);
    assert_true(cache_object_digest(o, 0, &digest));
    assert_memory_equal(span.digest, &digest, sizeof(digest));
    assert_true(span.fd >= 0);
    assert_int_equal(pread(span.fd, &byte, 1, (off_t)span.offset + 1000), 1);
    assert_int_equal(byte, byte_at(1, 1000));
    cache_reader_advance(&peer.r, span.n);
    assert_int_equal(cache_reader_next(&peer.r, 0, &span), CACHE_READ_END);

    cache_reader_seek(&peer.r, 30 * MB, 31 * MB); /* nobody brings that soon */
    assert_int_equal(cache_reader_next(&peer.r, 0, &span), CACHE_READ_ERROR);
    assert_int_equal(peer.r.err.code, EL_ENOTCACHED);
    cache_reader_seek(&peer.r, 0, 40 * MB);
    cache_reader_close(&c.r);
    assert_int_equal(give(w.fills[0], 1, 32 * MB), -1); /* at its limit: it wants nothing more */
    assert_int_equal(w.starts, 1);
    finish(&w, 0, EL_OK);
    cache_reader_close(&peer.r);
    cache_object_unref(o);
    world_close(&w);
}

static void who_asks_for_others_is_served_from_disk(void **state)
{
    struct cache_object_id id = id_of(URL, "\"1\"", 3 * MB);
    struct cache_waiter waiter = { 0 };
    struct client peer = { 0 };
    struct cache_span span;
    struct cache_object *o;
    struct disk d;

    (void)state;
    disk_begin(&d);
    fetch(&d, URL, "\"1\"", 1, 3 * MB);
    disk_reopen(&d);
    wait_until_loaded(&d);
    waiter.queue = d.w.queue;
    el_msg_init(&waiter.msg, on_loaded);
    assert_true(cache_load_version(d.w.cache, &id, &waiter));
    wait_event(&d);
    o = cache_find_version(d.w.cache, &id);
    el_msg_init(&peer.r.msg, on_wake);
    peer.r.queue = d.w.queue;
    peer.r.wants_whole = true;
    cache_reader_open(&peer.r, o, NULL, 2 * MB, 3 * MB);
    assert_int_equal(cache_reader_next(&peer.r, 0, &span), CACHE_READ_WAIT);
    wait_event(&d);
    assert_int_equal(cache_reader_next(&peer.r, 0, &span), CACHE_READ_DATA);
    assert_int_equal(span.n, MB);
    assert_non_null(span.digest);
    assert_int_equal(span.mem[0], byte_at(1, 2 * MB));
    cache_reader_advance(&peer.r, MB);
    assert_int_equal(d.w.starts, 0);
    cache_reader_close(&peer.r);
    cache_object_unref(o);
    disk_end(&d);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, listen_anew)
    const struct CMUnitTest tests[] = {
        TEST(a_version_is_found_by_its_id_as_long_as_lookups_find_it),
        TEST(many_versions_are_all_found),
        TEST(what_is_only_good_as_a_whole_has_no_id_and_nothing_is_told_of_it),
        TEST(every_block_is_told_with_its_digest),
        TEST(of_a_block_that_was_begun_within_nothing_is_told),
        TEST(a_version_that_is_replaced_invalidated_or_wrong_is_killed),
        TEST(that_a_version_is_confirmed_is_told),
        TEST(what_memory_evicts_and_no_disk_has_is_lost),
        TEST(what_was_never_published_is_lost_with_its_last_reference),
        TEST(a_version_that_only_the_disk_has_is_loaded_by_its_id),
        TEST(without_a_disk_there_is_nothing_to_load_by_id),
        TEST(what_leaves_memory_and_disk_is_lost_and_not_before),
        TEST(what_the_disk_drops_stays_as_long_as_memory_has_it),
        TEST(a_walk_meets_what_is_in_memory_and_what_is_on_disk),
        TEST(a_walk_without_a_disk_is_over_at_once),
        TEST(who_asks_for_others_reads_whole_blocks_and_drives_no_fill),
        TEST(who_asks_for_others_is_served_from_disk),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
