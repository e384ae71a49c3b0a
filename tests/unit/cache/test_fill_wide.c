/* SPDX-License-Identifier: MIT */
#include "tests/unit/cache/disk.h"

static const struct cache_source_ops wide_ops = { .label = "wide",
                                                  .from = CACHE_FROM_PEER,
                                                  .is_wide = true,
                                                  .start = world_start,
                                                  .resume = world_resume,
                                                  .cancel = world_cancel };

/* The cache's source is wide; runs and what is handed over go to the origin. */
struct peers {
    struct world w;
    struct {
        struct cache_source source;
        struct cache_fill *fill; /* the last one that was started */
        unsigned starts, resumes, cancels;
    } origin;
    struct cache_object *o;
    struct cache_fill_watch watch;
    unsigned overs;
    enum el_err code;
    uint64_t came_to;
};

static struct peers *of_origin(struct cache_source *s)
{
    return EL_ENTRY(s, struct peers, origin.source);
}

static void origin_start(struct cache_source *s, struct cache_fill *f)
{
    of_origin(s)->origin.fill = f;
    of_origin(s)->origin.starts++;
}

static void origin_resume(struct cache_source *s, struct cache_fill *f)
{
    (void)f;
    of_origin(s)->origin.resumes++;
}

static void origin_cancel(struct cache_source *s, struct cache_fill *f)
{
    (void)f;
    of_origin(s)->origin.cancels++;
}

static const struct cache_source_ops origin_ops = { .label = "origin",
                                                    .from = CACHE_FROM_ORIGIN,
                                                    .start = origin_start,
                                                    .resume = origin_resume,
                                                    .cancel = origin_cancel };

static void on_over(struct cache_fill_watch *w, enum el_err code, const struct el_error *err,
                    uint64_t position)
{
    struct peers *p = EL_ENTRY(w, struct peers, watch);

    assert_int_equal(code == EL_OK, err == NULL);
    p->overs++;
    p->code = code;
    p->came_to = position;
}

static void peers_open(struct peers *p, uint64_t memory, uint64_t length)
{
    memset(p, 0, sizeof(*p));
    world_open(&p->w, memory);
    p->w.source.ops = &wide_ops;
    p->origin.source.ops = &origin_ops;
    p->watch.over = on_over;
    p->o = new_object(&p->w, URL, length, true);
    assert_true(cache_object_publish(p->o));
}

static void peers_close(struct peers *p)
{
    cache_object_unref(p->o);
    world_close(&p->w);
}

static struct cache_fill *run(struct peers *p, struct client *c, uint64_t first, uint64_t end)
{
    return cache_fill_open(p->o, &p->origin.source, ticket_of(c), first, end, &p->watch);
}

static void end_run(struct peers *p, struct cache_fill *f, enum el_err code)
{
    struct el_error err = { .code = code, .text = "made to fail" };

    cache_fill_done(f, code, code == EL_OK ? NULL : &err);
    cache_fill_unref(f);
    assert_int_equal(p->overs, 1);
}

/* A reader waits, and its fill has begun. */
static struct cache_fill *begin(struct peers *p, struct client *c, uint64_t first, uint64_t end)
{
    client_open(&p->w, c, p->o, first, end);
    assert_int_equal(drain(c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_true(p->w.starts > 0);
    return p->w.fills[p->w.starts - 1];
}

static void put_room(struct cache_fill *f, const struct cache_room *room)
{
    struct el_digest digest;

    fill_bytes(room->mem, 1, room->number * MB, room->bytes);
    el_sha256_of(room->mem, room->bytes, &digest);
    cache_fill_put(f, room, &digest);
}

static void put_block(struct cache_fill *f, uint64_t number)
{
    struct cache_room room;

    assert_int_equal(cache_fill_take_at(f, number, &room), CACHE_TAKE_ROOM);
    assert_int_equal(room.number, number);
    put_room(f, &room);
}

static void check_demand(struct cache_fill *f, enum cache_take want, uint64_t want_first,
                         uint64_t want_end, uint64_t want_urgent)
{
    uint64_t first = 0, end = 0, urgent = 0;

    assert_int_equal(cache_fill_demand(f, &first, &end, &urgent), want);
    if (want == CACHE_TAKE_OVER)
        return;
    assert_int_equal(first / MB, want_first);
    assert_int_equal(end / MB, want_end);
    assert_int_equal(urgent, want_urgent);
}

static void end_reading(struct peers *p, struct client *c, struct cache_fill *f)
{
    cache_reader_close(&c->r);
    if (f == NULL)
        return;
    check_demand(f, CACHE_TAKE_OVER, 0, 0, 0);
    cache_fill_done(f, EL_OK, NULL);
    (void)p;
}

/* ---- blocks in any order ---- */

static void blocks_come_in_any_order_and_readers_have_them_in_theirs(void **state)
{
    static const unsigned order[] = { 3, 1, 0, 4, 2 };
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 5 * MB - 1000);
    f = begin(&p, &c, 0, 5 * MB - 1000);
    for (size_t i = 0; i < EL_COUNT(order); i++)
        put_block(f, order[i]);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(c.wakes, 1);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_END);
    assert_int_equal(c.r.from, CACHE_FROM_PEER);
    assert_true(cache_object_is_complete(p.o));
    end_reading(&p, &c, f);
    peers_close(&p);
}

static void a_reader_is_woken_by_the_block_it_waits_for_and_by_no_other(void **state)
{
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    f = begin(&p, &c, 7 * MB + 5, 32 * MB);
    put_block(f, 9);
    put_block(f, 8);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(c.wakes, 0);
    put_block(f, 7);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(c.wakes, 1);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(c.r.position, 10 * MB);
    end_reading(&p, &c, f);
    peers_close(&p);
}

static void a_block_is_given_out_once(void **state)
{
    struct cache_room room, other;
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 8 * MB);
    f = begin(&p, &c, MB, 8 * MB);
    assert_int_equal(cache_fill_take_at(f, 4, &room), CACHE_TAKE_ROOM);
    assert_int_equal(cache_fill_take_at(f, 4, &other), CACHE_TAKE_OVER);
    cache_fill_give_back(f, &room);
    assert_int_equal(cache_fill_take_at(f, 4, &room), CACHE_TAKE_ROOM);
    put_room(f, &room);
    assert_int_equal(cache_fill_take_at(f, 4, &other), CACHE_TAKE_OVER);
    assert_int_equal(cache_fill_take_at(f, 0, &other), CACHE_TAKE_OVER); /* before its beginning */
    assert_int_equal(cache_fill_take_at(f, 8, &other), CACHE_TAKE_OVER); /* behind its end */
    assert_int_equal(cache_fill_take_at(f, UINT64_MAX, &other), CACHE_TAKE_OVER);
    end_reading(&p, &c, f);
    peers_close(&p);
}

static void what_is_on_its_way_when_a_fill_ends_is_kept(void **state)
{
    struct cache_room room, lost, other;
    struct client c = { 0 }, late = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 8 * MB);
    f = begin(&p, &c, 0, 8 * MB);
    assert_int_equal(cache_fill_take_at(f, 2, &room), CACHE_TAKE_ROOM);
    assert_int_equal(cache_fill_take_at(f, 3, &lost), CACHE_TAKE_ROOM);
    (void)cache_fill_ref(f);
    end_reading(&p, &c, f);
    assert_int_equal(cache_fill_take_at(f, 4, &other), CACHE_TAKE_OVER);

    client_open(&p.w, &late, p.o, 2 * MB, 4 * MB);
    assert_int_equal(drain(&late, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(p.w.starts, 1); /* it waits for what is on its way */
    put_room(f, &room);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&late, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(p.w.starts, 1);
    cache_fill_give_back(f, &lost);
    cache_fill_unref(f);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(late.wakes, 2);
    assert_int_equal(drain(&late, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(p.w.starts, 2); /* and has the other one brought anew */
    put_block(p.w.fills[1], 3);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&late, 1, UINT64_MAX), CACHE_READ_END);
    end_reading(&p, &late, p.w.fills[1]);
    peers_close(&p);
}

static void without_memory_a_block_waits_and_is_told_when_there_is_some(void **state)
{
    struct cache_room rooms[64];
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;
    unsigned n = 0;

    (void)state;
    peers_open(&p, 16 * MB, 64 * MB);
    f = begin(&p, &c, 0, 64 * MB);
    while (cache_fill_take_at(f, n, &rooms[n]) == CACHE_TAKE_ROOM)
        n++;
    assert_in_range(n, 4, 16);
    assert_int_equal(cache_fill_take_at(f, n, &rooms[n]), CACHE_TAKE_WAIT);
    p.w.resumes = 0;
    cache_fill_give_back(f, &rooms[0]);
    cache_fill_give_back(f, &rooms[1]);
    assert_true(p.w.resumes > 0);
    assert_int_equal(cache_fill_take_at(f, n, &rooms[n]), CACHE_TAKE_ROOM);
    for (unsigned i = 2; i <= n; i++)
        cache_fill_give_back(f, &rooms[i]);
    end_reading(&p, &c, f);
    peers_close(&p);
}

/* ---- who will have given it ---- */

static void of_what_nobody_has_in_hand_nobody_is_foreseen(void **state)
{
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 8 * MB);
    f = begin(&p, &c, 0, 8 * MB);
    assert_int_equal(cache_reader_foresee(&c.r), 0);
    put_block(f, 0);
    assert_int_equal(cache_reader_foresee(&c.r), CACHE_FROM_PEER);
    end_reading(&p, &c, f);
    peers_close(&p);
}

static void what_was_there_before_is_foreseen_from_memory(void **state)
{
    struct client c = { 0 }, late = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 8 * MB);
    f = begin(&p, &c, 0, 8 * MB);
    put_block(f, 2);
    client_open(&p.w, &late, p.o, MB, 8 * MB);
    assert_int_equal(cache_reader_foresee(&late.r), CACHE_FROM_MEMORY);
    put_block(f, 0); /* not of its bytes */
    assert_int_equal(cache_reader_foresee(&late.r), CACHE_FROM_MEMORY);
    put_block(f, 1);
    assert_int_equal(cache_reader_foresee(&late.r), CACHE_FROM_MEMORY | CACHE_FROM_PEER);
    cache_reader_close(&late.r);
    end_reading(&p, &c, f);
    peers_close(&p);
}

static void a_run_is_foreseen_by_whose_bytes_it_brings_before_it_has_any(void **state)
{
    struct client c = { 0 }, before = { 0 };
    struct cache_fill *f, *r;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 8 * MB);
    f = begin(&p, &c, 0, 8 * MB);
    put_block(f, 0);
    client_open(&p.w, &before, p.o, 0, 6 * MB);
    r = run(&p, &c, 6 * MB, 8 * MB);
    assert_int_equal(cache_reader_foresee(&c.r), CACHE_FROM_PEER | CACHE_FROM_ORIGIN);
    assert_int_equal(cache_reader_foresee(&before.r), CACHE_FROM_MEMORY);
    end_run(&p, r, EL_ERESET);
    assert_int_equal(cache_reader_foresee(&c.r), CACHE_FROM_PEER);
    cache_reader_close(&before.r);
    end_reading(&p, &c, f);
    peers_close(&p);
}

/* ---- demand ---- */

static void demand_reaches_a_window_ahead_of_the_foremost_reader(void **state)
{
    struct client c = { 0 }, ahead = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 1024 * MB, 1024 * MB); /* an eighth of it: 128 MiB */
    f = begin(&p, &c, 0, 1024 * MB);
    check_demand(f, CACHE_TAKE_ROOM, 0, 128, 0);
    client_open(&p.w, &ahead, p.o, 100 * MB, 1024 * MB);
    assert_int_equal(drain(&ahead, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(p.w.starts, 1); /* within its reach: the same fill */
    assert_true(p.w.resumes > 0);
    check_demand(f, CACHE_TAKE_ROOM, 0, 228, 0);
    put_block(f, 0);
    check_demand(f, CACHE_TAKE_ROOM, 1, 228, 100); /* the first reader has not looked yet */
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    check_demand(f, CACHE_TAKE_ROOM, 1, 228, 1);
    cache_reader_close(&ahead.r);
    check_demand(f, CACHE_TAKE_ROOM, 1, 129, 1);
    end_reading(&p, &c, f);
    peers_close(&p);
}

static void demand_ends_where_its_readers_do(void **state)
{
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 20 * MB);
    f = begin(&p, &c, 3 * MB, 5 * MB + 1);
    check_demand(f, CACHE_TAKE_ROOM, 3, 6, 3);
    put_block(f, 3);
    put_block(f, 4);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    check_demand(f, CACHE_TAKE_ROOM, 5, 6, 5);
    put_block(f, 5);
    check_demand(f, CACHE_TAKE_OVER, 0, 0, 0);
    cache_fill_done(f, EL_OK, NULL);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_END);
    cache_reader_close(&c.r);
    peers_close(&p);
}

static void a_reader_far_beyond_the_window_gets_a_fill_of_its_own(void **state)
{
    struct client c = { 0 }, far = { 0 };
    struct cache_fill *f, *g;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 1024 * MB);
    f = begin(&p, &c, 0, 1024 * MB);
    g = begin(&p, &far, 900 * MB, 1024 * MB);
    assert_ptr_not_equal(f, g);
    check_demand(f, CACHE_TAKE_ROOM, 0, 32, 0);
    check_demand(g, CACHE_TAKE_ROOM, 900, 932, 900);
    put_block(f, 900); /* either will do */
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&far, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(far.r.position, 901 * MB);
    end_reading(&p, &far, g);
    end_reading(&p, &c, f);
    peers_close(&p);
}

static void who_said_that_all_is_in_hand_hears_when_it_is_not(void **state)
{
    struct cache_room a, b;
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 2 * MB);
    f = begin(&p, &c, 0, 2 * MB);
    assert_int_equal(cache_fill_take_at(f, 0, &a), CACHE_TAKE_ROOM);
    assert_int_equal(cache_fill_take_at(f, 1, &b), CACHE_TAKE_ROOM);
    check_demand(f, CACHE_TAKE_WAIT, 2, 2, UINT64_MAX);
    p.w.resumes = 0;
    put_room(f, &a);
    assert_int_equal(p.w.resumes, 0);
    cache_fill_give_back(f, &b);
    assert_int_equal(p.w.resumes, 1);
    check_demand(f, CACHE_TAKE_ROOM, 1, 2, UINT64_MAX);
    end_reading(&p, &c, f);
    peers_close(&p);
}

static void a_fill_of_many_shares_the_memory_for_what_is_ahead(void **state)
{
    struct client c[9];
    struct peers p;

    (void)state;
    memset(c, 0, sizeof(c));
    peers_open(&p, 1024 * MB, 8192 * MB);
    for (unsigned i = 0; i < EL_COUNT(c); i++)
        (void)begin(&p, &c[i], i * 900 * MB, 8192 * MB);
    assert_int_equal(p.w.starts, EL_COUNT(c));
    check_demand(p.w.fills[0], CACHE_TAKE_ROOM, 0, 64, 0);
    for (unsigned i = 0; i < EL_COUNT(c); i++)
        cache_reader_close(&c[i].r);
    for (unsigned i = 0; i < EL_COUNT(c); i++)
        finish(&p.w, i, EL_OK);
    peers_close(&p);
}

static void who_has_no_ticket_does_not_wait_for_what_demand_brings(void **state)
{
    struct client c = { 0 }, peer = { 0 };
    struct cache_fill *f;
    struct cache_span span;
    struct cache_room room;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    f = begin(&p, &c, 0, 32 * MB);
    el_msg_init(&peer.r.msg, on_wake);
    peer.r.queue = p.w.queue;
    cache_reader_open(&peer.r, p.o, NULL, MB, 2 * MB);
    assert_int_equal(cache_reader_next(&peer.r, SIZE_MAX, &span), CACHE_READ_ERROR);
    assert_int_equal(peer.r.err.code, EL_ENOTCACHED);
    assert_int_equal(cache_fill_take_at(f, 1, &room), CACHE_TAKE_ROOM);
    cache_reader_seek(&peer.r, MB, 2 * MB);
    assert_int_equal(cache_reader_next(&peer.r, SIZE_MAX, &span), CACHE_READ_WAIT);
    put_room(f, &room);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&peer, 1, UINT64_MAX), CACHE_READ_END);
    cache_reader_close(&peer.r);
    end_reading(&p, &c, f);
    peers_close(&p);
}

/* ---- beside a disk ---- */

/* An object of 20 MiB of which the disk has the first 3, in a cache whose source is wide. */
static struct cache_object *begin_with_disk(struct disk *d, uint64_t read_deadline_ms)
{
    struct cache_object *o;

    disk_init(d, EL_RING_AUTO, 64 * MB);
    UNTIL(strcmp(stats(d).state, "loading") != 0);
    o = put(d, URL, "\"1\"", 20 * MB);
    (void)read_range(d, o, 1, 0, 3 * MB);
    UNTIL(stats(d).written_bytes == 3 * MB);
    cache_object_unref(o);
    d->conf.read_deadline_ms = read_deadline_ms;
    disk_reopen(d);
    d->w.source.ops = &wide_ops;
    o = find(d, URL);
    assert_non_null(o);
    return o;
}

static void what_the_disk_has_is_the_disks_to_bring(void **state)
{
    struct client c = { 0 };
    struct cache_object *o;
    struct cache_room room;
    struct cache_fill *f;
    struct disk d;

    (void)state;
    o = begin_with_disk(&d, 60000);
    client_open(&d.w, &c, o, 0, 20 * MB);
    while (drain(&c, 1, UINT64_MAX) == CACHE_READ_WAIT && d.w.starts == 0)
        wait_event(&d);
    assert_int_equal(c.r.position, 3 * MB);
    assert_int_equal(c.r.from, CACHE_FROM_DISK);
    f = d.w.fills[0];
    check_demand(f, CACHE_TAKE_ROOM, 3, 20, 3);
    assert_false(cache_fill_shuns_disk(f));
    put_block(f, 3);
    cache_disk_add(o, 0, 1 << 4); /* as if another store had told of it only now */
    c.wakes = 0;
    el_msgq_dispatch(d.w.queue);
    assert_int_equal(c.wakes, 1);
    assert_int_equal(cache_fill_take_at(f, 4, &room), CACHE_TAKE_OVER);
    check_demand(f, CACHE_TAKE_ROOM, 5, 20, UINT64_MAX);
    cache_disk_remove(o, 0, 1 << 4);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    put_block(d.w.fills[d.w.starts - 1], 4);
    cache_reader_close(&c.r);
    for (unsigned i = 0; i < d.w.starts; i++)
        finish(&d.w, i, EL_OK);
    cache_object_unref(o);
    disk_end(&d);
}

static void what_a_disk_does_not_give_in_time_is_wanted_all_the_same(void **state)
{
    struct client c = { 0 };
    struct cache_object *o;
    struct cache_fill *f;
    struct disk d;

    (void)state;
    o = begin_with_disk(&d, 20);
    atomic_store(&read_delay_ms, 300);
    client_open(&d.w, &c, o, 0, 20 * MB);
    while (drain(&c, 1, UINT64_MAX) == CACHE_READ_WAIT && d.w.starts == 0)
        wait_event(&d);
    f = d.w.fills[0];
    assert_true(cache_fill_shuns_disk(f));
    check_demand(f, CACHE_TAKE_ROOM, 0, 20, 0);
    put_block(f, 0);
    el_msgq_dispatch(d.w.queue);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(c.r.position, MB);
    assert_int_equal(c.r.from, CACHE_FROM_PEER);
    atomic_store(&read_delay_ms, 0);
    cache_reader_close(&c.r);
    for (unsigned i = 0; i < d.w.starts; i++)
        finish(&d.w, i, EL_OK);
    cache_object_unref(o);
    disk_end(&d);
}

/* ---- runs ---- */

static void a_run_goes_on_without_any_reader(void **state)
{
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;
    uint64_t map[2];

    (void)state;
    peers_open(&p, 32 * MB, 100 * MB); /* the window is 4 MiB */
    f = run(&p, &c, 48 * MB, 64 * MB);
    assert_non_null(f);
    assert_int_equal(p.origin.starts, 1);
    assert_int_equal(give(f, 1, 16 * MB), 16 * MB);
    assert_int_equal(give(f, 1, 1), -1);
    cache_object_map(p.o, 32, 68, map);
    assert_int_equal(map[0], UINT64_C(0xffff) << 16);
    assert_int_equal(map[1], 0);
    end_run(&p, f, EL_OK);
    assert_int_equal(p.code, EL_OK);
    assert_int_equal(p.came_to, 64 * MB);
    peers_close(&p);
}

static void bytes_of_a_run_are_read_as_they_come(void **state)
{
    struct client c = { 0 };
    struct cache_fill *wide, *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    wide = begin(&p, &c, 0, 32 * MB);
    f = run(&p, &c, 0, 16 * MB);
    assert_int_equal(give(f, 1, 1000), 1000);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(c.wakes, 1);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(c.r.position, 1000);
    assert_int_equal(c.r.from, CACHE_FROM_ORIGIN);
    end_run(&p, f, EL_ECANCELED);
    end_reading(&p, &c, wide);
    peers_close(&p);
}

static void a_run_that_fails_fails_no_reader(void **state)
{
    struct client c = { 0 };
    struct cache_fill *wide, *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    f = run(&p, &c, 0, 16 * MB);
    client_open(&p.w, &c, p.o, 0, 32 * MB);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(p.w.starts, 0);
    end_run(&p, f, EL_EFORBIDDEN);
    assert_int_equal(p.code, EL_EFORBIDDEN);
    assert_int_equal(p.came_to, 0);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    assert_int_equal(p.w.starts, 1);
    wide = p.w.fills[0];
    put_block(wide, 0);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_WAIT);
    end_reading(&p, &c, wide);
    peers_close(&p);
}

static void a_run_is_for_what_is_missing_and_in_nobodys_hand(void **state)
{
    struct client c = { 0 };
    struct cache_fill *wide, *f;
    struct cache_room room;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    wide = begin(&p, &c, 0, 32 * MB);
    put_block(wide, 0);
    assert_int_equal(cache_fill_take_at(wide, 1, &room), CACHE_TAKE_ROOM);
    assert_null(run(&p, &c, 0, 2 * MB));
    f = run(&p, &c, 0, 4 * MB); /* that the wide fill covers it does not count */
    assert_non_null(f);
    assert_null(run(&p, &c, 2 * MB, 4 * MB));
    assert_null(run(&p, &c, 32 * MB, 40 * MB));
    assert_int_equal(give(f, 1, 2 * MB + 10), 2 * MB + 10);                /* two are passed over */
    assert_int_equal(cache_fill_take_at(wide, 2, &room), CACHE_TAKE_OVER); /* being written */
    put_block(wide, 3);                                                    /* not yet */
    assert_int_equal(give(f, 1, 4 * MB), -1);
    end_run(&p, f, EL_OK);
    assert_int_equal(p.came_to, 4 * MB);
    cache_fill_give_back(wide, &room);
    check_demand(wide, CACHE_TAKE_ROOM, 1, 32, UINT64_MAX);
    end_reading(&p, &c, wide);
    peers_close(&p);
}

static void runs_are_cut_by_nobody_and_cut_nobody(void **state)
{
    struct client c = { 0 };
    struct cache_fill *adopted, *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 100 * MB);
    client_open(&p.w, &c, p.o, 0, 100 * MB);
    adopted = cache_fill_adopt(p.o, &p.origin.source, &c.ticket, 0, 100 * MB);
    f = run(&p, &c, 64 * MB, 80 * MB);
    assert_int_equal(cache_fill_end(adopted), 100 * MB);
    assert_null(cache_fill_adopt(p.o, &p.origin.source, &c.ticket, 70 * MB, 80 * MB));
    assert_int_equal(cache_fill_end(f), 80 * MB);
    end_run(&p, f, EL_OK);
    cache_reader_close(&c.r);
    cache_fill_done(adopted, EL_OK, NULL);
    peers_close(&p);
}

static void a_run_is_called_off(void **state)
{
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    f = run(&p, &c, 16 * MB, 32 * MB);
    cache_fill_cancel(f);
    assert_int_equal(p.origin.cancels, 1);
    assert_int_equal(give(f, 1, 100), 100);
    (void)cache_fill_ref(f);
    end_run(&p, f, EL_ECANCELED);
    assert_int_equal(p.came_to, 16 * MB + 100);
    cache_fill_cancel(f); /* too late is harmless */
    cache_fill_unref(f);
    peers_close(&p);
}

static void a_run_that_is_held_pauses_at_that_byte(void **state)
{
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    f = run(&p, &c, 16 * MB, 32 * MB);
    cache_fill_hold(f, 16 * MB + 100);
    assert_int_equal(give(f, 1, 150), 100);
    assert_int_equal(give(f, 1, 150), 0);
    cache_fill_hold(f, 16 * MB + 90); /* it has gone beyond that */
    assert_int_equal(p.origin.resumes, 0);
    cache_fill_hold(f, 16 * MB + 120);
    assert_int_equal(p.origin.resumes, 1);
    assert_int_equal(give(f, 1, 150), 20);
    cache_fill_hold(f, UINT64_MAX);
    assert_int_equal(p.origin.resumes, 2);
    assert_int_equal(give(f, 1, 150), 150);
    cache_fill_hold(f, 0);
    cache_fill_cancel(f); /* held or not */
    assert_int_equal(p.origin.cancels, 1);
    (void)cache_fill_ref(f);
    end_run(&p, f, EL_ECANCELED);
    cache_fill_hold(f, UINT64_MAX); /* too late is harmless */
    assert_int_equal(p.origin.resumes, 2);
    cache_fill_unref(f);
    peers_close(&p);
}

static void a_run_over_another_version_ends_the_object(void **state)
{
    struct client c = { 0 };
    struct cache_fill *wide, *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    wide = begin(&p, &c, 0, 32 * MB);
    f = run(&p, &c, 0, 16 * MB);
    end_run(&p, f, EL_ECHANGED);
    cache_fill_done(wide, EL_ECHANGED, &(struct el_error){ .code = EL_ECHANGED });
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_ERROR);
    assert_int_equal(c.r.err.code, EL_ECHANGED);
    cache_reader_close(&c.r);
    peers_close(&p);
}

/* ---- another source instead ---- */

static void a_fill_handed_over_is_the_other_ones(void **state)
{
    struct client c = { 0 };
    struct cache_fill *next;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    (void)begin(&p, &c, 0, 32 * MB);
    cache_fill_hand_over(p.w.fills[0], &p.origin.source);
    assert_int_equal(p.origin.starts, 1);
    next = p.origin.fill;
    assert_ptr_equal(cache_fill_ticket(next), &c.ticket);
    assert_int_equal(cache_fill_position(next), 0);
    assert_int_equal(cache_fill_end(next), 32 * MB);
    assert_int_equal(give(next, 1, 32 * MB), 32 * MB);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&c, 1, UINT64_MAX), CACHE_READ_END);
    assert_int_equal(c.r.from, CACHE_FROM_ORIGIN);
    assert_int_equal(p.w.starts, 1);
    cache_fill_done(next, EL_OK, NULL);
    cache_reader_close(&c.r);
    peers_close(&p);
}

static void a_fill_handed_over_brings_only_what_is_missing(void **state)
{
    struct client c = { 0 }, later = { 0 };
    struct cache_fill *next;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    (void)begin(&p, &c, 0, 32 * MB);
    put_block(p.w.fills[0], 5);
    client_open(&p.w, &later, p.o, 7 * MB, 32 * MB);
    assert_int_equal(drain(&later, 1, UINT64_MAX), CACHE_READ_WAIT);
    end_reading(&p, &c, NULL);
    cache_fill_done(p.w.fills[0], EL_OK, NULL);
    el_msgq_dispatch(p.w.queue);
    assert_int_equal(drain(&later, 1, UINT64_MAX), CACHE_READ_WAIT);
    (void)begin(&p, &c, 0, 32 * MB);
    cache_fill_hand_over(p.w.fills[p.w.starts - 1], &p.origin.source);
    next = p.origin.fill;
    assert_int_equal(cache_fill_end(next), 5 * MB);
    cache_reader_close(&c.r);
    cache_fill_done(next, EL_OK, NULL);
    end_reading(&p, &later, p.w.fills[1]);
    peers_close(&p);
}

/* ---- what is there ---- */

static void digests_are_those_of_whole_blocks(void **state)
{
    static uint8_t bytes[EL_MIB];
    struct el_digest digest, want;
    struct client c = { 0 };
    struct cache_fill *f;
    struct peers p;

    (void)state;
    peers_open(&p, 256 * MB, 32 * MB);
    f = run(&p, &c, 0, 16 * MB);
    assert_int_equal(give(f, 1, MB - 1), MB - 1);
    assert_false(cache_object_digest(p.o, 0, &digest));
    assert_int_equal(give(f, 1, 1), 1);
    assert_true(cache_object_digest(p.o, 0, &digest));
    fill_bytes(bytes, 1, 0, MB);
    el_sha256_of(bytes, MB, &want);
    assert_memory_equal(&digest, &want, sizeof(want));
    assert_false(cache_object_digest(p.o, 31, &digest));
    end_run(&p, f, EL_OK);
    peers_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_what_nobody_has_in_hand_nobody_is_foreseen),
        cmocka_unit_test(what_was_there_before_is_foreseen_from_memory),
        cmocka_unit_test(a_run_is_foreseen_by_whose_bytes_it_brings_before_it_has_any),
        cmocka_unit_test(blocks_come_in_any_order_and_readers_have_them_in_theirs),
        cmocka_unit_test(a_reader_is_woken_by_the_block_it_waits_for_and_by_no_other),
        cmocka_unit_test(a_block_is_given_out_once),
        cmocka_unit_test(what_is_on_its_way_when_a_fill_ends_is_kept),
        cmocka_unit_test(without_memory_a_block_waits_and_is_told_when_there_is_some),
        cmocka_unit_test(demand_reaches_a_window_ahead_of_the_foremost_reader),
        cmocka_unit_test(demand_ends_where_its_readers_do),
        cmocka_unit_test(a_reader_far_beyond_the_window_gets_a_fill_of_its_own),
        cmocka_unit_test(who_said_that_all_is_in_hand_hears_when_it_is_not),
        cmocka_unit_test(a_fill_of_many_shares_the_memory_for_what_is_ahead),
        cmocka_unit_test(who_has_no_ticket_does_not_wait_for_what_demand_brings),
        cmocka_unit_test(what_the_disk_has_is_the_disks_to_bring),
        cmocka_unit_test(what_a_disk_does_not_give_in_time_is_wanted_all_the_same),
        cmocka_unit_test(a_run_goes_on_without_any_reader),
        cmocka_unit_test(bytes_of_a_run_are_read_as_they_come),
        cmocka_unit_test(a_run_that_fails_fails_no_reader),
        cmocka_unit_test(a_run_is_for_what_is_missing_and_in_nobodys_hand),
        cmocka_unit_test(runs_are_cut_by_nobody_and_cut_nobody),
        cmocka_unit_test(a_run_is_called_off),
        cmocka_unit_test(a_run_that_is_held_pauses_at_that_byte),
        cmocka_unit_test(a_run_over_another_version_ends_the_object),
        cmocka_unit_test(a_fill_handed_over_is_the_other_ones),
        cmocka_unit_test(a_fill_handed_over_brings_only_what_is_missing),
        cmocka_unit_test(digests_are_those_of_whole_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
