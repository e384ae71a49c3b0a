/* SPDX-License-Identifier: MIT */
/* The SSD tier as a whole: what was written comes back, verified, after whatever happens to it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/cache/disk.h"

static const enum el_ring_backend backends[] = { EL_RING_URING, EL_RING_THREADS };

static void what_was_written_is_served_after_a_restart(void **state)
{
    static const uint64_t lengths[] = { 1, 4096, 5000, MB, MB + 1, 16 * MB, 40 * MB + 7 };

    (void)state;
    for (size_t b = 0; b < EL_COUNT(backends); b++) {
        struct disk d;

        disk_init(&d, backends[b], 256 * MB);
        UNTIL(strcmp(stats(&d).state, "normal") == 0);
        for (size_t i = 0; i < EL_COUNT(lengths); i++) {
            char url[64];

            (void)snprintf(url, sizeof(url), URL "%zu", i);
            fetch(&d, url, "\"v1\"", i, lengths[i]);
        }
        disk_reopen(&d);
        for (size_t i = 0; i < EL_COUNT(lengths); i++) {
            char url[64];

            (void)snprintf(url, sizeof(url), URL "%zu", i);
            check_from_disk(&d, url, i, lengths[i]);
        }
        assert_int_equal(stats(&d).mismatches, 0);
        disk_end(&d);
    }
}

static void the_head_comes_back_with_the_bytes(void **state)
{
    struct cache_object *o;
    struct cache_meta *m;
    struct disk d;
    struct el_str type;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    fetch(&d, URL, "\"v1\"", 1, 5000);
    disk_reopen(&d);
    o = find(&d, URL);
    assert_non_null(o);
    m = cache_object_meta(o);
    assert_int_equal(m->status, 200);
    assert_true(m->is_public && m->has_strong_validator);
    assert_true(el_str_eq(m->etag, EL_STR("\"v1\"")));
    assert_true(el_fieldv_get(el_fields_view(&m->fields), EL_STR("content-type"), &type));
    assert_true(el_str_eq(type, EL_STR("application/x-test")));
    assert_int_equal(cache_object_length(o), 5000);
    cache_meta_unref(m);
    cache_object_unref(o);
    disk_end(&d);
}

/* What the disk did not take when it came is offered again before memory gives it up. */
static void what_leaves_memory_gets_a_second_chance(void **state)
{
    struct cache_object *o, *other;
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 256 * MB);
    world_close(&d.w);
    disk_open(&d, 32 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    atomic_store(&write_fault, -EIO);
    o = put(&d, URL, "\"v1\"", 2 * MB);
    (void)read_range(&d, o, 3, 0, 2 * MB);
    UNTIL(stats(&d).write_errors == 2);
    atomic_store(&write_fault, 0);
    other = put(&d, URL "2", "\"v1\"", 100 * MB);
    for (uint64_t at = 0; at < 100 * MB; at += MB) {
        d.w.starts = 0;
        (void)read_range(&d, other, 4, at, at + MB);
        UNTIL(stats(&d).written_blocks > at / MB); /* or a busy machine gives up what is offered */
    }
    d.w.starts = 0;
    assert_int_equal(read_range(&d, o, 3, 0, 2 * MB), CACHE_FROM_DISK);
    assert_int_equal(d.w.starts, 0);
    cache_object_unref(o);
    cache_object_unref(other);
    disk_end(&d);
}

/* Memory for 12 MiB, an object of 48: the second pass comes from the disk. */
static void what_memory_cannot_hold_is_read_back(void **state)
{
    struct cache_object *o;
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 128 * MB);
    world_close(&d.w);
    disk_open(&d, 12 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    o = put(&d, URL, "\"v1\"", 48 * MB);
    for (uint64_t at = 0; at < 48 * MB; at += MB) {
        uint64_t before = stats(&d).written_bytes;

        (void)read_range(&d, o, 3, at, at + MB);
        UNTIL(stats(&d).written_bytes > before);
    }
    d.w.starts = 0;
    assert_true((read_range(&d, o, 3, 0, 48 * MB) & CACHE_FROM_DISK) != 0);
    assert_int_equal(d.w.starts, 0);
    cache_object_unref(o);
    disk_end(&d);
}

/* What was asked for often before a restart is not the first to leave after it. */
static void heat_survives_a_restart(void **state)
{
    struct cache_object *o;
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    fetch(&d, URL, "\"v1\"", 1, 16 * MB);
    o = find(&d, URL);
    assert_int_equal(stats(&d).hot_regions, 0);
    while (stats(&d).hot_regions == 0)
        (void)read_range(&d, o, 1, 0, 1);
    cache_object_unref(o);
    disk_reopen(&d);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    assert_int_equal(stats(&d).hot_regions, 1);
    disk_end(&d);
}

/* How many fills it takes to read the object's first bytes for a reader of [0, end). */
static uint64_t fills_for(struct disk *d, struct cache_object *o, uint64_t end, uint64_t bytes)
{
    struct client c = { 0 };
    struct cache_stats before, after;

    cache_stats_get(d->w.cache, &before);
    client_open(&d->w, &c, o, 0, end);
    while (c.r.position < bytes && drain(&c, 1, bytes - c.r.position) == CACHE_READ_WAIT)
        wait_event(d);
    assert_int_equal(c.r.position, bytes);
    cache_reader_close(&c.r);
    cache_stats_get(d->w.cache, &after);
    return after.fills - before.fills;
}

static void the_next_chunk_is_begun_before_its_reader_gets_there(void **state)
{
    static const struct {
        uint64_t end, bytes, fills;
    } cases[] = { { 32 * MB, 8 * MB, 1 }, { 32 * MB, 9 * MB, 2 }, { 16 * MB, 16 * MB, 1 } };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct cache_object *o;
        struct disk d;

        disk_init(&d, EL_RING_AUTO, 64 * MB);
        UNTIL(strcmp(stats(&d).state, "normal") == 0);
        fetch(&d, URL, "\"v1\"", 1, 32 * MB);
        disk_reopen(&d);
        o = find(&d, URL);
        assert_non_null(o);
        assert_int_equal(fills_for(&d, o, cases[i].end, cases[i].bytes), cases[i].fills);
        UNTIL(stats(&d).read_bytes >= cases[i].fills * 16 * MB); /* the rest of them: no reader */
        cache_object_unref(o);
        disk_end(&d);
    }
}

static void bytes_that_changed_on_disk_are_fetched_again(void **state)
{
    struct cache_object *o;
    struct disk d;
    char path[128];
    int fd;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    fetch(&d, URL, "\"v1\"", 1, 16 * MB);
    world_close(&d.w);
    (void)snprintf(path, sizeof(path), "%s/store", d.dir);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (off_t at = 0; at < (off_t)(64 * MB); at += (off_t)(3 * MB) + 12345) {
        uint8_t byte;

        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    disk_open(&d, 256 * MB);
    o = find(&d, URL);
    assert_non_null(o);
    (void)read_range(&d, o, 1, 0, 16 * MB);
    assert_true(stats(&d).mismatches > 0);
    assert_true(d.w.starts > 0);
    cache_object_unref(o);
    disk_end(&d);
}

static void a_disk_that_cannot_be_read_fails_no_reader(void **state)
{
    (void)state;
    for (size_t b = 0; b < EL_COUNT(backends); b++) {
        struct cache_object *o;
        struct disk d;

        disk_init(&d, backends[b], 64 * MB);
        UNTIL(strcmp(stats(&d).state, "normal") == 0);
        fetch(&d, URL, "\"v1\"", 1, 20 * MB);
        disk_reopen(&d);
        o = find(&d, URL);
        assert_non_null(o);
        atomic_store(&read_fault, -EIO);
        (void)read_range(&d, o, 1, 0, 20 * MB);
        assert_true(stats(&d).read_errors > 0);
        cache_object_unref(o);
        disk_end(&d);
    }
}

static void a_disk_that_stalls_holds_no_reader_up(void **state)
{
    (void)state;
    for (size_t b = 0; b < EL_COUNT(backends); b++) {
        struct cache_object *o;
        struct disk d;

        disk_init(&d, backends[b], 64 * MB);
        UNTIL(strcmp(stats(&d).state, "normal") == 0);
        fetch(&d, URL, "\"v1\"", 1, 20 * MB);
        d.conf.read_deadline_ms = 20;
        disk_reopen(&d);
        o = find(&d, URL);
        assert_non_null(o);
        atomic_store(&read_delay_ms, 1500);
        (void)read_range(&d, o, 1, 0, 20 * MB);
        assert_true(stats(&d).late_reads > 0);
        atomic_store(&read_delay_ms, 0);
        cache_object_unref(o);
        disk_end(&d);
    }
}

static void a_disk_that_cannot_be_written_fails_no_fill(void **state)
{
    static const int faults[] = { -EIO, -ENOSPC, -EROFS };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(faults); i++) {
        struct cache_object *o;
        struct disk d;

        disk_init(&d, EL_RING_AUTO, 64 * MB);
        UNTIL(strcmp(stats(&d).state, "normal") == 0);
        atomic_store(&write_fault, faults[i]);
        o = put(&d, URL, "\"v1\"", 20 * MB);
        (void)read_range(&d, o, 1, 0, 20 * MB);
        UNTIL(stats(&d).write_errors > 0);
        assert_int_equal(read_range(&d, o, 1, 0, 20 * MB), CACHE_FROM_MEMORY);
        cache_object_unref(o);
        disk_end(&d);
    }
}

static void short_writes_and_reads_are_continued(void **state)
{
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    atomic_store(&write_fault, 8192);
    fetch(&d, URL, "\"v1\"", 1, 2 * MB + 100);
    atomic_store(&write_fault, 0);
    disk_reopen(&d);
    atomic_store(&read_fault, 12288);
    check_from_disk(&d, URL, 1, 2 * MB + 100);
    atomic_store(&read_fault, 0);
    disk_end(&d);
}

static void an_invalidated_url_is_gone_from_the_disk_at_once_and_for_good(void **state)
{
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    fetch(&d, URL, "\"v1\"", 1, 3 * MB);
    disk_reopen(&d);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    assert_int_equal(cache_invalidate(d.w.cache, EL_STR(URL)), 1);
    assert_null(find(&d, URL));
    disk_reopen(&d);
    assert_null(find(&d, URL));
    disk_end(&d);
}

static void a_newer_version_takes_the_place_of_the_older_on_disk(void **state)
{
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    fetch(&d, URL, "\"v1\"", 1, 3 * MB);
    fetch(&d, URL, "\"v2\"", 2, 3 * MB);
    disk_reopen(&d);
    check_from_disk(&d, URL, 2, 3 * MB);
    assert_int_equal(stats(&d).objects, 1);
    disk_end(&d);
}

/* More than the store holds goes through it; what is there afterwards is right, and nothing leaks.
 */
static void a_full_store_makes_room(void **state)
{
    struct disk d;
    struct cache_store_stats s;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 128 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    for (unsigned i = 0; i < 40; i++) {
        char url[64];
        struct cache_object *o;
        uint64_t length = i % 3 == 0 ? 100000 : 17 * MB;

        (void)snprintf(url, sizeof(url), URL "%u", i);
        o = put(&d, url, "\"v\"", length);
        d.w.starts = 0;
        for (unsigned pass = 0; pass < 3; pass++)
            (void)read_range(&d, o, i, 0, length);
        cache_object_unref(o);
    }
    UNTIL(stats(&d).free_regions > 0);
    s = stats(&d);
    assert_true(s.used_bytes <= s.limit_bytes);
    d.w.starts = 0;
    disk_reopen(&d);
    for (unsigned i = 0; i < 40; i++) {
        char url[64];
        struct cache_object *o;

        (void)snprintf(url, sizeof(url), URL "%u", i);
        o = find(&d, url);
        d.w.starts = 0;
        if (o != NULL)
            (void)read_range(&d, o, i, 0, cache_object_length(o));
        cache_object_unref(o);
    }
    assert_int_equal(stats(&d).mismatches, 0);
    disk_end(&d);
}

/* Two blocks of each, so that no region is ever full; the later ones are asked for more often. */
static void a_store_full_of_parts_of_chunks_makes_room(void **state)
{
    struct cache_object *o;
    struct disk d;
    char url[64];

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    for (unsigned i = 0; i < 20 && stats(&d).evicted_chunks == 0; i++) {
        (void)snprintf(url, sizeof(url), URL "%u", i);
        o = put(&d, url, "\"v\"", 16 * MB);
        d.w.starts = 0;
        for (unsigned pass = 0; pass < 1 + i; pass++)
            (void)read_range(&d, o, i, 0, MB);
        (void)read_range(&d, o, i, MB, 2 * MB);
        UNTIL(stats(&d).written_blocks + stats(&d).dropped_unadmitted + stats(&d).dropped_behind >=
              2 * (i + 1));
        cache_object_unref(o);
    }
    assert_true(stats(&d).evicted_chunks > 0);
    disk_end(&d);
}

static void what_is_longer_than_anything_kept_is_not_written(void **state)
{
    struct cache_object *o;
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    o = put(&d, URL, "\"v1\"", CACHE_MAX_LENGTH + 1);
    (void)read_range(&d, o, 1, 0, MB);
    cache_object_unref(o);
    fetch(&d, URL "2", "\"v1\"", 2, 16 * MB); /* long enough for the one before */
    assert_int_equal(stats(&d).objects, 1);
    disk_end(&d);
}

static void two_nodes_do_not_share_a_directory(void **state)
{
    struct cache *second = NULL;
    struct el_error err;
    struct cache_conf conf;
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    conf = d.w.cache->conf;
    conf.disk = &d.conf;
    assert_int_equal(cache_open(&conf, &second, &err), EL_ECONF);
    assert_non_null(strstr(err.text, "in use by another node"));
    disk_end(&d);
}

/* No directory, no tier; but a cache. */
static void a_directory_that_cannot_be_made_is_left_out(void **state)
{
    struct cache_disk_stats s;
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    world_close(&d.w);
    remove_dir(d.dir);
    d.dirs[0] = "/proc/no/such/place";
    disk_open(&d, 64 * MB);
    cache_disk_stats_get(d.w.cache, &s);
    assert_int_equal(s.n, 0);
    world_close(&d.w);
}

static void a_store_may_change_its_size(void **state)
{
    struct disk d;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 128 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    fetch(&d, URL "1", "\"v1\"", 1, 48 * MB);
    fetch(&d, URL "2", "\"v1\"", 2, 3 * MB);
    d.conf.bytes = 64 * MB;
    disk_reopen(&d);
    cache_object_unref(find(&d, URL "1")); /* waits until it is loaded */
    assert_int_equal(stats(&d).limit_bytes, 64 * MB);
    d.conf.bytes = 256 * MB;
    world_close(&d.w);
    disk_open(&d, 256 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    assert_int_equal(stats(&d).limit_bytes, 256 * MB);
    fetch(&d, URL "3", "\"v1\"", 3, 48 * MB);
    disk_reopen(&d);
    check_from_disk(&d, URL "3", 3, 48 * MB);
    disk_end(&d);
}

static void the_scrubber_finds_what_nobody_reads(void **state)
{
    struct disk d;
    char path[128];
    uint8_t junk[4096];
    int fd;

    (void)state;
    disk_init(&d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(&d).state, "normal") == 0);
    fetch(&d, URL, "\"v1\"", 1, 3 * MB);
    world_close(&d.w);
    (void)snprintf(path, sizeof(path), "%s/store", d.dir);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    memset(junk, 0x5a, sizeof(junk));
    for (off_t at = 0; at < (off_t)(64 * MB); at += (off_t)MB)
        assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
    close(fd);
    d.conf.scrub_bytes_s = 1000 * MB;
    disk_open(&d, 64 * MB);
    UNTIL(stats(&d).mismatches > 0);
    disk_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_served_after_a_restart),
        cmocka_unit_test(the_head_comes_back_with_the_bytes),
        cmocka_unit_test(what_memory_cannot_hold_is_read_back),
        cmocka_unit_test(what_leaves_memory_gets_a_second_chance),
        cmocka_unit_test(heat_survives_a_restart),
        cmocka_unit_test(the_next_chunk_is_begun_before_its_reader_gets_there),
        cmocka_unit_test(bytes_that_changed_on_disk_are_fetched_again),
        cmocka_unit_test(a_disk_that_cannot_be_read_fails_no_reader),
        cmocka_unit_test(a_disk_that_stalls_holds_no_reader_up),
        cmocka_unit_test(a_disk_that_cannot_be_written_fails_no_fill),
        cmocka_unit_test(short_writes_and_reads_are_continued),
        cmocka_unit_test(an_invalidated_url_is_gone_from_the_disk_at_once_and_for_good),
        cmocka_unit_test(a_newer_version_takes_the_place_of_the_older_on_disk),
        cmocka_unit_test(a_full_store_makes_room),
        cmocka_unit_test(a_store_full_of_parts_of_chunks_makes_room),
        cmocka_unit_test(what_is_longer_than_anything_kept_is_not_written),
        cmocka_unit_test(two_nodes_do_not_share_a_directory),
        cmocka_unit_test(a_directory_that_cannot_be_made_is_left_out),
        cmocka_unit_test(a_store_may_change_its_size),
        cmocka_unit_test(the_scrubber_finds_what_nobody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
