/* SPDX-License-Identifier: MIT */
/* Memory that is touched ahead of need: it is there, it is taken first, and it displaces nothing.
 */
#include "tests/unit/cache/world.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/ready.h"

#define MB   EL_MIB
#define SLAB CACHE_SLAB_BYTES

static const struct cache_owner nobody;

static struct cache_arena *open_arena(uint64_t bytes, uint64_t wanted)
{
    struct cache_arena *a;

    assert_int_equal(cache_arena_open(bytes, false, &a, NULL), EL_OK);
    cache_arena_ready_want(a, wanted);
    return a;
}

static struct cache_arena_stats stats_of(struct cache_arena *a)
{
    struct cache_arena_stats st;

    cache_arena_stats_get(a, &st);
    return st;
}

static bool make_one_ready(struct cache_arena *a)
{
    if (!cache_arena_ready_begin(a))
        return false;
    assert_true(cache_arena_ready_touch(a));
    cache_arena_ready_end(a, true);
    return true;
}

static struct cache_slot take(struct cache_arena *a)
{
    struct cache_slot s = { 0 };

    assert_true(cache_arena_take_pair(a, 0, &s));
    return s;
}

/* Used, sent, and given back. */
static void wear(struct cache_arena *a, struct cache_slot *s)
{
    memset(s->mem, 'A', MB);
    cache_arena_expose(a, s);
    cache_arena_free(a, s);
}

static size_t pages_of(const uint8_t *mem)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;
    unsigned char there[SLAB / 4096];

    assert_int_equal(mincore((void *)(uintptr_t)mem, SLAB, there), 0);
    for (size_t i = 0; i < SLAB / page; i++)
        n += there[i] & 1;
    return n * page;
}

/* ---- a slab ---- */

static void ready_memory_has_its_pages_and_is_counted(void **state)
{
    struct cache_arena *a = open_arena(8 * MB, SLAB);
    struct cache_slot s;

    (void)state;
    assert_int_equal(stats_of(a).ready, 0);
    assert_true(make_one_ready(a));
    assert_int_equal(stats_of(a).ready, SLAB);
    assert_int_equal(stats_of(a).resident, SLAB);
    assert_int_equal(stats_of(a).used, 0);
    assert_false(cache_arena_ready_begin(a)); /* there is enough */
    s = take(a);
    assert_int_equal(pages_of(s.mem), SLAB);
    assert_int_equal(stats_of(a).ready, 0);
    assert_int_equal(stats_of(a).resident, SLAB);
    cache_arena_free(a, &s);
    cache_arena_close(a);
}

static void ready_memory_is_taken_first(void **state)
{
    struct cache_arena *a = open_arena(8 * MB, SLAB);
    struct cache_slot first = take(a), second = take(a), got;
    const uint8_t *mem = first.mem;

    (void)state;
    wear(a, &first);
    assert_true(make_one_ready(a)); /* of the one that is worn, though there is unused memory */
    assert_int_equal(stats_of(a).resident, 2 * SLAB);
    wear(a, &second); /* the last that was freed */
    got = take(a);
    assert_ptr_equal(got.mem, mem);
    cache_arena_free(a, &got);
    cache_arena_close(a);
}

static void ready_memory_is_low_when_less_than_a_quarter_is_left(void **state)
{
    struct cache_arena *a = open_arena(16 * MB, 4 * SLAB);
    struct cache_slot s[4];
    uint64_t taken;

    (void)state;
    assert_true(cache_arena_ready_is_low(a, &taken));
    for (unsigned i = 0; i < EL_COUNT(s); i++)
        assert_true(make_one_ready(a));
    for (unsigned i = 0; i < EL_COUNT(s); i++) {
        assert_false(cache_arena_ready_is_low(a, &taken));
        assert_int_equal(taken, i);
        s[i] = take(a);
    }
    assert_true(cache_arena_ready_is_low(a, &taken));
    assert_int_equal(taken, 4);
    for (unsigned i = 0; i < EL_COUNT(s); i++)
        cache_arena_free(a, &s[i]);
    cache_arena_close(a);
}

static void a_slab_of_which_half_was_used_is_not_ready(void **state)
{
    struct cache_arena *a = open_arena(8 * MB, SLAB);
    struct cache_slot s = take(a), other;
    const uint8_t *mem = s.mem;

    (void)state;
    s.mem[0] = 1;
    cache_arena_free(a, &s);
    assert_int_equal(stats_of(a).ready, 0);
    assert_true(make_one_ready(a));
    assert_int_equal(pages_of(mem), SLAB);
    s = take(a);
    assert_ptr_equal(s.mem, mem);
    assert_true(cache_arena_take_half(a, &s, 1, &other));
    cache_arena_free(a, &s);
    cache_arena_free(a, &other);
    assert_int_equal(stats_of(a).ready, SLAB);
    cache_arena_close(a);
}

/* ---- the hazard ---- */

static void check_what_was_sent_stays(bool huge_pages)
{
    uint8_t got[65536];
    struct cache_arena *a;
    struct cache_slot s;
    const uint8_t *mem;
    off_t offset = 0;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(cache_arena_open(SLAB, huge_pages, &a, NULL), EL_OK);
    cache_arena_ready_want(a, SLAB);
    s = take(a);
    mem = s.mem;
    memset(s.mem, 'A', MB);
    cache_arena_expose(a, &s);
    assert_int_equal(sendfile(fds[0], cache_arena_fd(a, &s, &(uint64_t){ 0 }), &offset, 65536),
                     65536);
    cache_arena_free(a, &s);
    assert_true(make_one_ready(a));
    s = take(a);
    assert_ptr_equal(s.mem, mem);
    assert_int_equal(s.mem[0], 0); /* new pages, and no others for whoever takes them */
    memset(s.mem, 'B', MB);
    assert_int_equal(recv(fds[1], got, sizeof(got), MSG_WAITALL), sizeof(got));
    for (size_t i = 0; i < sizeof(got); i++)
        assert_int_equal(got[i], 'A');
    cache_arena_free(a, &s);
    cache_arena_close(a);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void what_was_sent_from_memory_that_is_made_ready_again_stays_as_it_was(void **state)
{
    (void)state;
    check_what_was_sent_stays(true);
    check_what_was_sent_stays(false);
}

/* ---- the budget ---- */

static void ready_memory_never_exceeds_the_budget(void **state)
{
    struct cache_arena *a = open_arena(8 * SLAB, 8 * SLAB);
    struct cache_slot s[8];

    (void)state;
    while (make_one_ready(a))
        assert_true(stats_of(a).resident <= 8 * SLAB);
    assert_int_equal(stats_of(a).ready, 7 * SLAB);
    cache_arena_charge(a, 3 * MB);
    cache_arena_trim(a);
    assert_int_equal(stats_of(a).ready, 6 * SLAB);
    assert_false(cache_arena_ready_begin(a));
    cache_arena_charge(a, -(int64_t)(3 * MB));
    for (size_t i = 0; i < EL_COUNT(s); i++)
        s[i] = take(a);
    assert_false(cache_arena_ready_begin(a));
    assert_int_equal(stats_of(a).ready, 0);
    for (size_t i = 0; i < EL_COUNT(s); i++)
        cache_arena_free(a, &s[i]);
    cache_arena_close(a);
}

static void short_pieces_get_memory_that_was_made_ready_for_blocks(void **state)
{
    struct cache_arena *a = open_arena(4 * SLAB + 65536, 4 * SLAB);
    struct cache_slot s[4 * 64];

    (void)state;
    while (make_one_ready(a))
        ;
    for (size_t i = 0; i < EL_COUNT(s); i++)
        assert_true(cache_arena_take_small(a, 32768, &nobody, &s[i]));
    assert_int_equal(stats_of(a).ready, 0);
    assert_true(stats_of(a).resident <= stats_of(a).budget);
    for (size_t i = 0; i < EL_COUNT(s); i++)
        cache_arena_free(a, &s[i]);
    cache_arena_close(a);
}

static void what_the_system_refuses_is_not_tried_again_at_once(void **state)
{
    struct cache_arena *a = open_arena(8 * MB, SLAB);
    struct cache_slot s;

    (void)state;
    assert_true(cache_arena_ready_begin(a));
    cache_arena_ready_end(a, false);
    assert_int_equal(stats_of(a).resident, 0);
    assert_false(cache_arena_ready_begin(a));
    s = take(a);
    assert_true(make_one_ready(a));
    assert_int_equal(stats_of(a).resident, 2 * SLAB);
    cache_arena_free(a, &s);
    cache_arena_close(a);
}

/* A file that takes one MiB; -1: that needs a privilege. */
static int open_tiny(void)
{
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), mount, fd;

    if (fs < 0)
        return -1;
    assert_int_equal(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "1M", 0), 0);
    assert_int_equal(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
    mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
    assert_true(mount >= 0);
    fd = openat(mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(mount);
    (void)close(fs);
    return fd;
}

static void memory_that_cannot_be_had_fails_nothing_and_keeps_nothing(void **state)
{
    struct cache_arena *a = open_arena(8 * MB, SLAB);
    struct cache_slot s = take(a);
    int tiny = open_tiny(), fd = cache_arena_fd(a, &s, &(uint64_t){ 0 });
    struct stat st;

    (void)state;
    cache_arena_free(a, &s);
    if (tiny < 0) {
        cache_arena_close(a);
        print_message("skipped: a tmpfs of a size of its own is not to be had\n");
        skip();
    }
    assert_int_equal(dup2(tiny, fd), fd); /* under the arena's hands */
    assert_true(cache_arena_ready_begin(a));
    assert_false(cache_arena_ready_touch(a));
    cache_arena_ready_end(a, false);
    assert_int_equal(stats_of(a).resident, 0);
    assert_int_equal(stats_of(a).ready, 0);
    assert_int_equal(fstat(tiny, &st), 0);
    assert_int_equal(st.st_blocks, 0);
    (void)close(tiny);
    cache_arena_close(a);
}

/* ---- while one is being prepared ---- */

struct taker {
    struct cache_arena *arena;
    struct cache_slot slot;
    bool is_short;
    pthread_t thread;
};

static void *take_one(void *arg)
{
    struct taker *t = arg;

    if (t->is_short)
        assert_true(cache_arena_take_small(t->arena, 65536, &nobody, &t->slot));
    else
        assert_true(cache_arena_take_pair(t->arena, 0, &t->slot));
    return NULL;
}

static void check_a_taker_waits(bool is_short, bool is_touched)
{
    struct cache_arena *a = open_arena(3 * SLAB + 65536, SLAB);
    struct taker t = { .arena = a, .is_short = is_short };
    struct cache_slot first, second;

    assert_true(cache_arena_ready_begin(a));
    first = take(a);
    second = take(a);
    assert_int_not_equal(first.slab, second.slab);
    assert_int_equal(stats_of(a).resident, 3 * SLAB);
    assert_int_equal(pthread_create(&t.thread, NULL, take_one, &t), 0); /* nothing else is left */
    if (is_touched)
        assert_true(cache_arena_ready_touch(a));
    cache_arena_ready_end(a, is_touched);
    assert_int_equal(pthread_join(t.thread, NULL), 0);
    assert_true(is_short || (t.slot.slab != first.slab && t.slot.slab != second.slab));
    assert_true(stats_of(a).resident <= stats_of(a).budget);
    assert_int_equal(stats_of(a).ready, 0);
    cache_arena_free(a, &first);
    cache_arena_free(a, &second);
    cache_arena_free(a, &t.slot);
    cache_arena_close(a);
}

static void a_slab_that_is_being_prepared_is_not_given_out(void **state)
{
    (void)state;
    check_a_taker_waits(false, true);
    check_a_taker_waits(true, true);
    check_a_taker_waits(false, false);
    check_a_taker_waits(true, false);
}

static void *trim(void *arg)
{
    cache_arena_trim(arg);
    return NULL;
}

static void charges_get_what_is_being_prepared_before_anything_is_evicted(void **state)
{
    struct cache_arena *a = open_arena(3 * SLAB, SLAB);
    struct cache_slot s = take(a);
    pthread_t thread;

    (void)state;
    assert_true(cache_arena_ready_begin(a));
    cache_arena_charge(a, 3 * MB);
    assert_int_equal(pthread_create(&thread, NULL, trim, a), 0);
    assert_true(cache_arena_ready_touch(a));
    cache_arena_ready_end(a, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(stats_of(a).resident <= stats_of(a).budget);
    cache_arena_charge(a, -(int64_t)(3 * MB));
    cache_arena_free(a, &s);
    cache_arena_close(a);
}

/* ---- the threads ---- */

static void await_ready(struct cache_arena *a, uint64_t bytes)
{
    while (stats_of(a).ready != bytes)
        (void)poll(NULL, 0, 1);
}

static void memory_is_made_ready_again_after_it_was_taken(void **state)
{
    struct cache_arena *a = open_arena(16 * SLAB, 3 * SLAB);
    struct cache_slot s[8];
    struct cache_ready *r;

    (void)state;
    assert_int_equal(cache_ready_start(a, &r, NULL), EL_OK);
    await_ready(a, 3 * SLAB);
    for (size_t i = 0; i < EL_COUNT(s); i++)
        s[i] = take(a);
    await_ready(a, 3 * SLAB);
    for (size_t i = 0; i < 7; i++)
        (void)take(a);
    assert_true(stats_of(a).resident <= 16 * SLAB);
    for (size_t i = 0; i < EL_COUNT(s); i++)
        wear(a, &s[i]);
    await_ready(a, 3 * SLAB); /* of what is worn: there is nothing else */
    cache_ready_stop(r);
    cache_arena_close(a);
}

static void close_while_preparing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        struct cache_arena *a = open_arena(64 * SLAB, 32 * SLAB);
        struct cache_ready *r;

        assert_int_equal(cache_ready_start(a, &r, NULL), EL_OK);
        while (i % 2 == 0 && stats_of(a).ready == 0)
            (void)poll(NULL, 0, 1);
        cache_ready_stop(r);
        assert_true(stats_of(a).ready <= 32 * SLAB);
        cache_arena_close(a);
    }
}

#define USERS 4
#define TURNS 400

struct user {
    struct cache_arena *arena;
    uint8_t mark;
    bool is_wrong; /* somebody else has written into its memory */
    pthread_t thread;
};

static bool has_mark(const struct cache_slot *s, uint8_t mark)
{
    for (size_t i = 0; i < s->bytes; i += 4096) {
        if (s->mem[i] != mark)
            return false;
    }
    return true;
}

static bool take_any(struct cache_arena *a, unsigned turn, struct cache_slot *ret)
{
    return turn % 5 == 0 ? cache_arena_take_small(a, 65536, &nobody, ret)
                         : cache_arena_take_pair(a, turn & 1, ret);
}

static void *use(void *arg)
{
    struct user *u = arg;

    for (unsigned i = 0; i < TURNS; i++) {
        struct cache_slot s = { 0 };

        if (!take_any(u->arena, i + u->mark, &s))
            continue;
        memset(s.mem, u->mark, s.bytes);
        cache_arena_charge(u->arena, 700);
        if (i % 3 == 0)
            cache_arena_expose(u->arena, &s);
        if (!has_mark(&s, u->mark))
            u->is_wrong = true;
        cache_arena_charge(u->arena, -700);
        cache_arena_free(u->arena, &s);
    }
    return NULL;
}

static void many_take_and_free_while_it_is_made_ready(void **state)
{
    struct cache_arena *a = open_arena(6 * SLAB, 4 * SLAB);
    struct user users[USERS];
    struct cache_ready *r;

    (void)state;
    assert_int_equal(cache_ready_start(a, &r, NULL), EL_OK);
    for (unsigned i = 0; i < USERS; i++) {
        users[i] = (struct user){ .arena = a, .mark = (uint8_t)(i + 1) };
        assert_int_equal(pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
    }
    for (size_t i = 0; i < USERS; i++)
        assert_int_equal(pthread_join(users[i].thread, NULL), 0);
    cache_ready_stop(r);
    for (size_t i = 0; i < USERS; i++)
        assert_false(users[i].is_wrong);
    assert_int_equal(stats_of(a).used, 0);
    assert_true(stats_of(a).resident <= stats_of(a).budget);
    cache_arena_close(a);
}

/* ---- the cache ---- */

static uint64_t ready_of(struct cache *c)
{
    struct cache_stats st;

    cache_stats_get(c, &st);
    return st.memory_ready_bytes;
}

static void a_cache_keeps_a_sixteenth_ready_at_most(void **state)
{
    struct world w;

    (void)state;
    world_ready_bytes = 256 * MB;
    world_open(&w, 64 * MB);
    await_ready(w.cache->arena, 4 * MB);
    assert_int_equal(ready_of(w.cache), 4 * MB);
    world_close(&w);
    world_open(&w, 16 * MB);
    assert_null(w.cache->ready); /* less than a slab */
    world_close(&w);
    world_ready_bytes = 0;
    world_open(&w, 64 * MB);
    assert_null(w.cache->ready);
    assert_false(cache_arena_ready_begin(w.cache->arena));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready_memory_has_its_pages_and_is_counted),
        cmocka_unit_test(ready_memory_is_taken_first),
        cmocka_unit_test(ready_memory_is_low_when_less_than_a_quarter_is_left),
        cmocka_unit_test(a_slab_of_which_half_was_used_is_not_ready),
        cmocka_unit_test(what_was_sent_from_memory_that_is_made_ready_again_stays_as_it_was),
        cmocka_unit_test(ready_memory_never_exceeds_the_budget),
        cmocka_unit_test(short_pieces_get_memory_that_was_made_ready_for_blocks),
        cmocka_unit_test(what_the_system_refuses_is_not_tried_again_at_once),
        cmocka_unit_test(memory_that_cannot_be_had_fails_nothing_and_keeps_nothing),
        cmocka_unit_test(a_slab_that_is_being_prepared_is_not_given_out),
        cmocka_unit_test(charges_get_what_is_being_prepared_before_anything_is_evicted),
        cmocka_unit_test(memory_is_made_ready_again_after_it_was_taken),
        cmocka_unit_test(close_while_preparing),
        cmocka_unit_test(many_take_and_free_while_it_is_made_ready),
        cmocka_unit_test(a_cache_keeps_a_sixteenth_ready_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
