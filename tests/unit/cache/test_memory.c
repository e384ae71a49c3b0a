/* SPDX-License-Identifier: MIT */
/* The arena and the eviction: what is bounded, what is never overwritten, what leaves first. */
#include "tests/unit/cache/world.h"

#include <arpa/inet.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define MB EL_MIB

static const struct cache_owner nobody;

/* ---- a TCP connection whose receiver has not read yet ---- */

struct pipe {
    int out, in;
};

static void pipe_open(struct pipe *p)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(l >= 0);
    assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
    p->out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(p->out, (struct sockaddr *)&a, sizeof(a)), 0);
    p->in = accept(l, NULL, NULL);
    assert_true(p->in >= 0);
    (void)close(l);
}

static void pipe_close(struct pipe *p)
{
    (void)close(p->out);
    (void)close(p->in);
}

static void assert_received(struct pipe *p, uint8_t want, size_t n)
{
    uint8_t buf[4096];

    while (n > 0) {
        ssize_t k = read(p->in, buf, el_min_size(sizeof(buf), n));

        assert_true(k > 0);
        for (ssize_t i = 0; i < k; i++)
            assert_int_equal(buf[i], want);
        n -= (size_t)k;
    }
}

static void send_slot(struct cache_arena *a, const struct cache_slot *slot, struct pipe *p,
                      size_t n)
{
    uint64_t at;
    int fd = cache_arena_fd(a, slot, &at);
    off_t offset = (off_t)at;

    cache_arena_expose(a, slot);
    assert_int_equal(sendfile(p->out, fd, &offset, n), n);
}

/* ---- the hazard ---- */

static void check_slab_reuse(bool huge_pages)
{
    struct cache_arena *a;
    struct cache_slot s = { 0 }, again = { 0 };
    struct pipe p;

    assert_int_equal(cache_arena_open(2 * MB, huge_pages, &a, NULL), EL_OK);
    pipe_open(&p);
    assert_true(cache_arena_take_pair(a, 0, &s));
    memset(s.mem, 'A', MB);
    send_slot(a, &s, &p, 65536);
    cache_arena_free(a, &s);
    assert_true(cache_arena_take_pair(a, 0, &again)); /* the only slab there is */
    memset(again.mem, 'B', MB);
    assert_received(&p, 'A', 65536);
    cache_arena_free(a, &again);
    pipe_close(&p);
    cache_arena_close(a);
}

static void memory_given_to_sendfile_is_not_overwritten_when_it_is_reused(void **state)
{
    (void)state;
    check_slab_reuse(true);
    check_slab_reuse(false);
}

static void a_half_whose_neighbour_is_in_use_is_neither_reused_nor_zeroed(void **state)
{
    struct cache_arena *a;
    struct cache_slot first = { 0 }, second = { 0 }, third = { 0 };
    struct pipe p;

    (void)state;
    assert_int_equal(cache_arena_open(2 * MB, true, &a, NULL), EL_OK);
    pipe_open(&p);
    assert_true(cache_arena_take_pair(a, 0, &first));
    assert_true(cache_arena_take_half(a, &first, 1, &second));
    memset(first.mem, 'A', MB);
    memset(second.mem, 'C', MB);
    send_slot(a, &first, &p, 65536);
    cache_arena_free(a, &first);
    assert_false(cache_arena_take_half(a, &second, 0, &third));
    assert_false(cache_arena_take_pair(a, 0, &third));
    assert_received(&p, 'A', 65536);
    assert_int_equal(second.mem[0], 'C');
    assert_int_equal(second.mem[MB - 1], 'C');
    cache_arena_free(a, &second);
    pipe_close(&p);
    cache_arena_close(a);
}

static void a_short_piece_given_to_sendfile_gets_new_pages_before_it_is_reused(void **state)
{
    struct cache_arena *a;
    struct cache_slot s = { 0 }, other = { 0 }, again = { 0 };
    uint8_t *mem;
    struct pipe p;

    (void)state;
    assert_int_equal(cache_arena_open(2 * MB + 65536, true, &a, NULL), EL_OK);
    pipe_open(&p);
    assert_true(cache_arena_take_small(a, 65536, &nobody, &s));
    assert_true(cache_arena_take_small(a, 65536, &nobody, &other)); /* keeps the slab in use */
    memset(s.mem, 'A', 65536);
    memset(other.mem, 'O', 65536);
    mem = s.mem;
    send_slot(a, &s, &p, 65536);
    cache_arena_free(a, &s);
    assert_true(cache_arena_take_small(a, 65536, &nobody, &again));
    assert_ptr_equal(again.mem, mem);
    memset(again.mem, 'B', 65536);
    assert_received(&p, 'A', 65536);
    assert_int_equal(other.mem[0], 'O');
    cache_arena_free(a, &again);
    cache_arena_free(a, &other);
    pipe_close(&p);
    cache_arena_close(a);
}

/* ---- the bound ---- */

/* Whether the kernel will not use huge pages for the mapping of that name. */
static bool is_kept_from_huge_pages(const char *name)
{
    FILE *maps = fopen("/proc/self/smaps", "re");
    bool is_it = false, is_kept = false;
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (strchr(line, '-') != NULL && strstr(line, " rw-s ") != NULL)
            is_it = strstr(line, name) != NULL;
        if (is_it && strncmp(line, "VmFlags:", 8) == 0)
            is_kept = strstr(line, " nh") != NULL;
    }
    assert_int_equal(fclose(maps), 0);
    return is_kept;
}

/* Whatever shmem_enabled says: in a huge page a slot's hole would be zeros that clients get. */
static void short_pieces_are_never_in_huge_pages(void **state)
{
    struct cache_arena *a;

    (void)state;
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0) {
        print_message("skipped: this kernel has no transparent huge pages\n");
        skip();
    }
    assert_int_equal(cache_arena_open(8 * EL_MIB, false, &a, NULL), EL_OK);
    assert_true(is_kept_from_huge_pages("eliop2p-small"));
    cache_arena_close(a);
}

static void slabs_move_between_the_files_and_never_exceed_the_budget(void **state)
{
    struct cache_arena_stats st;
    struct cache_slot big[4], small[64], none;
    struct cache_arena *a;

    (void)state;
    assert_int_equal(cache_arena_open(8 * MB + 65536, true, &a, NULL), EL_OK);
    for (size_t i = 0; i < EL_COUNT(big); i++)
        assert_true(cache_arena_take_pair(a, 0, &big[i]));
    assert_false(cache_arena_take_small(a, 4096, &nobody, &none));
    cache_arena_free(a, &big[2]);
    for (size_t i = 0; i < EL_COUNT(small); i++)
        assert_true(cache_arena_take_small(a, 32768, &nobody, &small[i]));
    assert_false(cache_arena_take_small(a, 32768, &nobody, &none));
    cache_arena_stats_get(a, &st);
    assert_true(st.resident <= st.budget);
    for (size_t i = 0; i < EL_COUNT(small); i++)
        cache_arena_free(a, &small[i]);
    assert_true(cache_arena_take_pair(a, 0, &big[2]));
    for (size_t i = 0; i < EL_COUNT(big); i++)
        cache_arena_free(a, &big[i]);
    cache_arena_stats_get(a, &st);
    assert_int_equal(st.used, 0);
    cache_arena_close(a);
}

/* Fetches a whole object of n bytes through a reader. */
static void fetch(struct world *w, const char *url, uint64_t n, uint64_t seed)
{
    struct cache_object *o = new_object(w, url, n, true);
    struct client c = { 0 };

    assert_true(cache_object_publish(o));
    client_open(w, &c, o, 0, n);
    w->starts = 0;
    assert_int_equal(drain(&c, seed, UINT64_MAX), CACHE_READ_WAIT);
    while (c.r.position < n) {
        (void)give(w->fills[0], seed, n - cache_fill_position(w->fills[0]));
        (void)drain(&c, seed, UINT64_MAX);
    }
    finish(w, 0, EL_OK);
    cache_reader_close(&c.r);
    cache_object_unref(o);
}

static bool is_cached(struct world *w, const char *url)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    bool is_complete = cache_lookup(w->cache, el_str_of(url), found) == 1;

    if (is_complete) {
        is_complete = cache_object_is_complete(found[0]);
        cache_object_unref(found[0]);
    }
    return is_complete;
}

static void a_hundred_thousand_short_objects_stay_within_the_bound(void **state)
{
    struct cache_arena_stats st;
    char url[32];
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(url, sizeof(url), "http://o/%u", i);
        w.now_ms++;
        fetch(&w, url, 4096, i);
        if (i % 1000 == 0) {
            cache_arena_stats_get(w.cache->arena, &st);
            assert_true(st.resident <= st.budget);
        }
    }
    assert_true(is_cached(&w, "http://o/99999"));
    assert_false(is_cached(&w, "http://o/0"));
    cache_arena_stats_get(w.cache->arena, &st);
    assert_true(st.used <= st.budget * 81 / 100);
    world_close(&w);
}

static void long_and_short_objects_take_memory_from_each_other(void **state)
{
    char url[32];
    struct world w;

    (void)state;
    world_open(&w, 32 * MB);
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(url, sizeof(url), "http://o/s%u", i);
        w.now_ms++;
        fetch(&w, url, 4096, i);
    }
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(url, sizeof(url), "http://o/l%u", i);
        w.now_ms += 1000;
        fetch(&w, url, 8 * MB, i);
    }
    assert_true(is_cached(&w, "http://o/l9"));
    fetch(&w, "http://o/again", 4096, 7);
    assert_true(is_cached(&w, "http://o/again"));
    world_close(&w);
}

/* Reads a cached object from memory, which makes it the most recently used. */
static void touch(struct world *w, const char *url, uint64_t n, uint64_t seed)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    struct client c = { 0 };

    if (cache_lookup(w->cache, el_str_of(url), found) == 0)
        return;
    client_open(w, &c, found[0], 0, n);
    assert_int_equal(drain(&c, seed, UINT64_MAX), CACHE_READ_END);
    cache_reader_close(&c.r);
    cache_object_unref(found[0]);
}

static void a_slab_comes_back_although_its_objects_were_used_in_any_order(void **state)
{
    struct cache_stats st;
    char url[32];
    struct world w;

    (void)state;
    world_open(&w, 32 * MB);
    w.cache->conf.evict_above = 1.0;
    for (unsigned i = 0; i < 4000; i++) {
        (void)snprintf(url, sizeof(url), "http://o/%u", i);
        fetch(&w, url, 4096, i);
    }
    for (unsigned i = 0; i < 4000; i++) {
        unsigned k = i * 1597 % 4000; /* neighbours are far apart in time now */

        (void)snprintf(url, sizeof(url), "http://o/%u", k);
        w.now_ms += 10;
        touch(&w, url, 4096, k);
    }
    fetch(&w, "http://o/large", 14 * MB, 1);
    assert_true(is_cached(&w, "http://o/large"));
    cache_stats_get(w.cache, &st);
    assert_true(st.evicted_blocks > 0);
    assert_true(st.evicted_blocks <
                3 * 512); /* a slab has 512; without its neighbours all had to go */
    world_close(&w);
}

static void free_memory_goes_before_what_is_cached(void **state)
{
    struct cache_slot big[4];
    struct world w;

    (void)state;
    world_open(&w, 8 * MB);
    w.cache->conf.evict_above = 1.0;
    for (size_t i = 0; i < EL_COUNT(big); i++)
        assert_true(cache_arena_take_pair(w.cache->arena, 0, &big[i]));
    for (size_t i = 0; i < EL_COUNT(big); i++)
        cache_arena_free(w.cache->arena, &big[i]);
    fetch(&w, "http://o/kept", 4096, 1);
    cache_arena_charge(w.cache->arena, 3 * MB);
    fetch(&w, "http://o/next", 4096, 2);
    assert_true(is_cached(&w, "http://o/kept"));
    cache_arena_charge(w.cache->arena, -(int64_t)(3 * MB));
    world_close(&w);
}

static void a_short_tail_does_not_take_half_a_slab(void **state)
{
    struct cache_arena_stats st;
    struct world w;

    (void)state;
    world_open(&w, 32 * MB);
    fetch(&w, "http://o/a", MB + 100, 1);
    cache_arena_stats_get(w.cache->arena, &st);
    assert_true(st.used < MB + 4096 + 16384);
    world_close(&w);
}

static void what_an_object_costs_counts_and_changes_with_its_meta(void **state)
{
    struct cache_arena_stats before, with, fresh, after;
    struct cache_meta *m = cache_meta_new();
    struct cache_object *o;
    struct world w;

    (void)state;
    world_open(&w, 32 * MB);
    cache_arena_stats_get(w.cache->arena, &before);
    o = new_object(&w, "http://o/a", 10, true);
    cache_arena_stats_get(w.cache->arena, &with);
    assert_true(with.used - before.used > 500 && with.used - before.used < 1500);
    el_buf_reserve(&m->head, 100000);
    cache_object_freshen(o, m);
    cache_arena_stats_get(w.cache->arena, &fresh);
    assert_true(fresh.used >= with.used + 100000);
    cache_meta_unref(m);
    cache_object_unref(o);
    cache_arena_stats_get(w.cache->arena, &after);
    assert_int_equal(after.used, before.used);
    world_close(&w);
}

/* ---- the hazard, with all the parts together ---- */

static void send_span(struct world *w, const char *url, struct pipe *p, size_t n)
{
    struct cache_object *found[CACHE_MAX_VARIANTS];
    struct client c = { 0 };
    struct cache_span span;
    off_t offset;

    assert_int_equal(cache_lookup(w->cache, el_str_of(url), found), 1);
    client_open(w, &c, found[0], 0, n);
    assert_int_equal(cache_reader_next(&c.r, n + 1, &span), CACHE_READ_DATA);
    assert_int_equal(span.fd, -1);
    cache_reader_advance(&c.r, 0);
    assert_int_equal(cache_reader_next(&c.r, n, &span), CACHE_READ_DATA);
    assert_int_equal(span.n, n);
    offset = (off_t)span.offset;
    assert_int_equal(sendfile(p->out, span.fd, &offset, n), n);
    cache_reader_advance(&c.r, n);
    cache_reader_close(&c.r);
    cache_object_unref(found[0]);
}

static void what_a_client_was_promised_survives_eviction_and_refill(void **state)
{
    uint8_t want[65536], got[65536];
    struct pipe large, small;
    struct world w;

    (void)state;
    world_open(&w, 16 * MB);
    pipe_open(&large);
    pipe_open(&small);
    fetch(&w, "http://o/large", 4 * MB, 1);
    fetch(&w, "http://o/small", 65536, 2);
    send_span(&w, "http://o/large", &large, 65536);
    send_span(&w, "http://o/small", &small, 65536);
    for (unsigned i = 0; i < 60; i++) {
        char url[32];

        (void)snprintf(url, sizeof(url), "http://o/%u", i);
        w.now_ms += 60000;
        fetch(&w, url, i % 2 == 0 ? 4 * MB : 65536, 100 + i);
    }
    assert_false(is_cached(&w, "http://o/large"));
    assert_false(is_cached(&w, "http://o/small"));
    fill_bytes(want, 1, 0, sizeof(want));
    assert_int_equal(recv(large.in, got, sizeof(got), MSG_WAITALL), sizeof(got));
    assert_memory_equal(got, want, sizeof(want));
    fill_bytes(want, 2, 0, sizeof(want));
    assert_int_equal(recv(small.in, got, sizeof(got), MSG_WAITALL), sizeof(got));
    assert_memory_equal(got, want, sizeof(want));
    pipe_close(&large);
    pipe_close(&small);
    world_close(&w);
}

/* ---- the order ---- */

static void what_was_not_used_for_longest_leaves_first(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 64 * MB);
    fetch(&w, "http://o/old", 16 * MB, 1);
    w.now_ms += 60000;
    fetch(&w, "http://o/young", 16 * MB, 2);
    w.now_ms += 60000;
    fetch(&w, "http://o/third", 16 * MB, 3);
    w.now_ms += 60000;
    fetch(&w, "http://o/fourth", 16 * MB, 4);
    assert_false(is_cached(&w, "http://o/old"));
    assert_true(is_cached(&w, "http://o/fourth"));
    assert_true(is_cached(&w, "http://o/third"));
    world_close(&w);
}

static void a_block_in_use_never_leaves(void **state)
{
    struct cache_object *o, *found[CACHE_MAX_VARIANTS];
    struct client c = { 0 };
    struct cache_span span;
    struct world w;

    (void)state;
    world_open(&w, 16 * MB);
    fetch(&w, "http://o/held", 2 * MB, 9);
    assert_int_equal(cache_lookup(w.cache, EL_STR("http://o/held"), found), 1);
    o = found[0];
    client_open(&w, &c, o, 0, 2 * MB);
    assert_int_equal(cache_reader_next(&c.r, SIZE_MAX, &span), CACHE_READ_DATA);
    for (unsigned i = 0; i < 8; i++) {
        char url[32];

        (void)snprintf(url, sizeof(url), "http://o/%u", i);
        w.now_ms += 60000;
        fetch(&w, url, 6 * MB, i);
    }
    for (size_t i = 0; i < span.n; i++)
        assert_int_equal(span.mem[i], byte_at(9, i));
    cache_reader_advance(&c.r, span.n);
    cache_reader_close(&c.r);
    cache_object_unref(o);
    world_close(&w);
}

static void a_large_object_streams_through_a_small_memory(void **state)
{
    struct cache_arena_stats st;
    struct world w;

    (void)state;
    world_open(&w, 16 * MB);
    fetch(&w, "http://o/large", 300 * MB, 5);
    cache_arena_stats_get(w.cache->arena, &st);
    assert_true(st.resident <= st.budget);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_given_to_sendfile_is_not_overwritten_when_it_is_reused),
        cmocka_unit_test(a_half_whose_neighbour_is_in_use_is_neither_reused_nor_zeroed),
        cmocka_unit_test(a_short_piece_given_to_sendfile_gets_new_pages_before_it_is_reused),
        cmocka_unit_test(short_pieces_are_never_in_huge_pages),
        cmocka_unit_test(slabs_move_between_the_files_and_never_exceed_the_budget),
        cmocka_unit_test(a_hundred_thousand_short_objects_stay_within_the_bound),
        cmocka_unit_test(long_and_short_objects_take_memory_from_each_other),
        cmocka_unit_test(a_slab_comes_back_although_its_objects_were_used_in_any_order),
        cmocka_unit_test(free_memory_goes_before_what_is_cached),
        cmocka_unit_test(a_short_tail_does_not_take_half_a_slab),
        cmocka_unit_test(what_an_object_costs_counts_and_changes_with_its_meta),
        cmocka_unit_test(what_a_client_was_promised_survives_eviction_and_refill),
        cmocka_unit_test(what_was_not_used_for_longest_leaves_first),
        cmocka_unit_test(a_block_in_use_never_leaves),
        cmocka_unit_test(a_large_object_streams_through_a_small_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
