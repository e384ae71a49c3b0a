/* SPDX-License-Identifier: MIT */
/*
 * Many readers, several threads that fill, and a memory that is far too small for what is read,
 * with and without a disk beside it, in order from one source or in none from another (and with
 * memory made ready meanwhile): every byte is compared with what the url promises, nobody waits for
 * ever, and the memory stays bounded.
 */
#include "tests/unit/cache/world.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "cache/ready.h"
#include "common/rng.h"

#define READERS 4
#define FILLERS 2
#define ROUNDS  400
#define MEMORY  (16 * EL_MIB)
#define URLS    48
#define WAIT_MS 30000
#define LARGEST (7 * EL_MIB + 12345)
#define ROOMS   4 /* that a wide job has in hand */

/* ---- a source with threads of its own ---- */

struct job {
    struct el_list link; /* under mtx: of the stage */
    struct cache_fill *fill;
    bool is_idle, is_kicked; /* under mtx: paused; resumed while it ran */
    bool is_cancelled;       /* under mtx */
    bool is_wide, was_fed;
    struct cache_room rooms[ROOMS];
    unsigned n_rooms;
};

struct stage {
    struct world w;
    struct cache_source origin;   /* where the cache's own source is wide */
    struct cache_source *ordered; /* that one, or the cache's */
    struct cache_fill *shared;    /* under mtx: of a wide job, perhaps over; referenced */
    pthread_mutex_t mtx;
    pthread_cond_t changed;
    struct el_list jobs;
    unsigned n_jobs;
    bool is_over;
};

static struct stage *stage_of(struct cache_source *s)
{
    return EL_ENTRY(s, struct stage, w.source);
}

static struct stage *stage_of_origin(struct cache_source *s)
{
    return EL_ENTRY(s, struct stage, origin);
}

static void add_job(struct stage *s, struct cache_fill *f, bool is_wide)
{
    struct job *j = el_new(struct job);

    j->fill = f;
    j->is_wide = is_wide;
    pthread_mutex_lock(&s->mtx);
    cache_fill_set_data(f, j);
    el_list_append(&s->jobs, &j->link);
    s->n_jobs++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mtx);
}

static void stage_start(struct cache_source *source, struct cache_fill *f)
{
    add_job(stage_of(source), f, false);
}

static void wide_start(struct cache_source *source, struct cache_fill *f)
{
    add_job(stage_of(source), f, true);
}

static void origin_start(struct cache_source *source, struct cache_fill *f)
{
    add_job(stage_of_origin(source), f, false);
}

static void resume_job(struct stage *s, struct cache_fill *f, bool is_cancelled)
{
    struct job *j;

    pthread_mutex_lock(&s->mtx);
    j = cache_fill_data(f);
    if (j != NULL)
        j->is_cancelled |= is_cancelled;
    if (j != NULL && j->is_idle) {
        j->is_idle = false;
        el_list_append(&s->jobs, &j->link);
        pthread_cond_broadcast(&s->changed);
    } else if (j != NULL) {
        j->is_kicked = true;
    }
    pthread_mutex_unlock(&s->mtx);
}

static void stage_resume(struct cache_source *source, struct cache_fill *f)
{
    resume_job(stage_of(source), f, false);
}

static void origin_resume(struct cache_source *source, struct cache_fill *f)
{
    resume_job(stage_of_origin(source), f, false);
}

static void origin_cancel(struct cache_source *source, struct cache_fill *f)
{
    resume_job(stage_of_origin(source), f, true);
}

static const struct cache_source_ops wide_ops = { .label = "wide",
                                                  .from = CACHE_FROM_PEER,
                                                  .is_wide = true,
                                                  .start = wide_start,
                                                  .resume = stage_resume,
                                                  .cancel = stage_resume };
static const struct cache_source_ops origin_ops = { .label = "origin",
                                                    .from = CACHE_FROM_ORIGIN,
                                                    .start = origin_start,
                                                    .resume = origin_resume,
                                                    .cancel = origin_cancel };
static const struct cache_source_ops stage_ops = { .label = "stage",
                                                   .from = CACHE_FROM_ORIGIN,
                                                   .start = stage_start,
                                                   .resume = stage_resume,
                                                   .cancel = stage_resume };

static uint64_t seed_of(struct el_str url)
{
    return el_str_siphash(url, 1, 2);
}

/* What the origin has under the url; a function of the url alone. */
static uint64_t length_of(struct el_str url)
{
    static const uint64_t lengths[] = { 0,      1,          4096,           70000,
                                        EL_MIB, EL_MIB + 1, 2 * EL_MIB - 9, 3 * EL_MIB,
                                        LARGEST };

    return lengths[seed_of(url) % EL_COUNT(lengths)];
}

/* The oldest room comes to something, or to nothing. */
static void settle_room(struct job *j, struct el_rng *rng)
{
    struct cache_room room = j->rooms[0];
    uint64_t seed = seed_of(cache_object_url(cache_fill_object(j->fill)));
    struct el_digest digest;

    memmove(j->rooms, j->rooms + 1, --j->n_rooms * sizeof(room));
    if (el_rng_below(rng, 8) == 0) {
        cache_fill_give_back(j->fill, &room);
        return;
    }
    fill_bytes(room.mem, seed, room.number * CACHE_BLOCK_BYTES, room.bytes);
    el_sha256_of(room.mem, room.bytes, &digest);
    cache_fill_put(j->fill, &room, &digest);
}

static void job_over(struct stage *s, struct job *j, enum el_err code, struct el_rng *rng)
{
    const struct el_error err = { .code = code, .text = "made to fail" };

    pthread_mutex_lock(&s->mtx);
    cache_fill_set_data(j->fill, NULL);
    pthread_mutex_unlock(&s->mtx);
    (void)cache_fill_ref(j->fill);
    cache_fill_done(j->fill, code, code == EL_OK ? NULL : &err);
    while (j->n_rooms > 0)
        settle_room(j, rng); /* what is on its way still counts */
    cache_fill_unref(j->fill);
    free(j);
    pthread_mutex_lock(&s->mtx);
    s->n_jobs--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mtx);
}

/* Nothing can be done now; false: it has to be looked at again all the same. */
static bool rest(struct stage *s, struct job *j)
{
    bool is_idle;

    pthread_mutex_lock(&s->mtx);
    is_idle = !j->is_kicked;
    j->is_kicked = false;
    j->is_idle = is_idle;
    pthread_mutex_unlock(&s->mtx);
    return is_idle;
}

/* ---- in no order ---- */

static void forget_watch(struct cache_fill_watch *w, enum el_err code, const struct el_error *err,
                         uint64_t position)
{
    (void)position;
    EL_ASSERT((code == EL_OK) == (err == NULL));
    free(w);
}

/* Some blocks from the origin; now and then it is called off. */
static void begin_run(struct stage *s, struct job *j, uint64_t first, uint64_t end,
                      struct el_rng *rng)
{
    struct cache_fill_watch *w = el_new(struct cache_fill_watch);
    struct cache_fill *run;

    w->over = forget_watch;
    end = el_min_u64(end, first + (1 + el_rng_below(rng, 3)) * CACHE_BLOCK_BYTES);
    run = cache_fill_open(cache_fill_object(j->fill), &s->origin, cache_fill_ticket(j->fill), first,
                          end, w);
    if (run == NULL)
        free(w);
    else if (el_rng_below(rng, 4) == 0)
        cache_fill_cancel(run);
    cache_fill_unref(run);
}

/* A block of a fill that another thread has, and may have ended. */
static void meddle(struct stage *s, struct job *j, struct el_rng *rng)
{
    struct job other = { .fill = cache_fill_ref(j->fill) };
    struct cache_fill *mine = other.fill;

    pthread_mutex_lock(&s->mtx);
    other.fill = s->shared;
    s->shared = mine;
    pthread_mutex_unlock(&s->mtx);
    if (other.fill != NULL &&
        cache_fill_take_at(other.fill, el_rng_below(rng, 8), other.rooms) == CACHE_TAKE_ROOM) {
        other.n_rooms = 1;
        settle_room(&other, rng);
    }
    cache_fill_unref(other.fill);
}

static void hand_over(struct stage *s, struct job *j)
{
    pthread_mutex_lock(&s->mtx);
    cache_fill_set_data(j->fill, NULL);
    pthread_mutex_unlock(&s->mtx);
    cache_fill_hand_over(j->fill, &s->origin);
    free(j);
    pthread_mutex_lock(&s->mtx);
    s->n_jobs--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mtx);
}

/* False: there is no memory, and nothing in hand that would give some back. */
static bool take_one(struct job *j, uint64_t first, uint64_t end, struct el_rng *rng)
{
    uint64_t from = first / CACHE_BLOCK_BYTES, to = (end - 1) / CACHE_BLOCK_BYTES;

    j->was_fed = true;
    if (j->n_rooms == ROOMS)
        settle_room(j, rng);
    switch (cache_fill_take_at(j->fill, from + el_rng_below(rng, to - from + 1),
                               &j->rooms[j->n_rooms])) {
    case CACHE_TAKE_ROOM:
        j->n_rooms++;
        return true;
    case CACHE_TAKE_WAIT:
        if (j->n_rooms == 0)
            return false;
        while (j->n_rooms > 0)
            settle_room(j, rng);
        return true;
    case CACHE_TAKE_OVER:
        return true;
    }
    return true;
}

/* What is wanted of the fill, somehow; false: it is over, or rests. */
static bool work_wide(struct stage *s, struct job *j, struct el_rng *rng)
{
    uint64_t first, end, urgent;

    if (!j->was_fed && (cache_fill_object(j->fill)->is_whole_only || el_rng_below(rng, 16) == 0)) {
        hand_over(s, j);
        return false;
    }
    switch (cache_fill_demand(j->fill, &first, &end, &urgent)) {
    case CACHE_TAKE_OVER:
        job_over(s, j, EL_OK, rng);
        return false;
    case CACHE_TAKE_WAIT:
        if (j->n_rooms == 0)
            return !rest(s, j);
        settle_room(j, rng);
        return true;
    case CACHE_TAKE_ROOM:
        break;
    }
    if (el_rng_below(rng, 300) == 0) {
        job_over(s, j, EL_ERESET, rng);
        return false;
    }
    if (el_rng_below(rng, 8) == 0)
        begin_run(s, j, first, end, rng);
    if (el_rng_below(rng, 8) == 0)
        meddle(s, j, rng);
    return take_one(j, first, end, rng) || !rest(s, j);
}

/* ---- in order ---- */

static bool is_cancelled(struct stage *s, struct job *j)
{
    bool is;

    pthread_mutex_lock(&s->mtx);
    is = j->is_cancelled;
    pthread_mutex_unlock(&s->mtx);
    return is;
}

/* Some pieces of the fill; false: it is over, or paused. */
static bool work(struct stage *s, struct job *j, struct el_rng *rng)
{
    struct el_str url = cache_object_url(cache_fill_object(j->fill));
    uint64_t at = cache_fill_position(j->fill);
    uint64_t end = el_min_u64(cache_fill_end(j->fill), length_of(url));
    uint8_t buf[32768];
    size_t n = (size_t)el_min_u64(1 + el_rng_below(rng, sizeof(buf)), at < end ? end - at : 0);
    ssize_t k;

    if (el_rng_below(rng, 2000) == 0 || is_cancelled(s, j)) {
        job_over(s, j, EL_ERESET, rng);
        return false;
    }
    fill_bytes(buf, seed_of(url), at, n);
    k = n > 0 ? cache_fill_give(j->fill, buf, n) : -1;
    if (k < 0) {
        job_over(s, j, EL_OK, rng);
        return false;
    }
    return (size_t)k == n || !rest(s, j);
}

static void work_on(struct stage *s, struct job *j, struct el_rng *rng)
{
    bool goes_on = true;

    while (goes_on)
        goes_on = j->is_wide ? work_wide(s, j, rng) : work(s, j, rng);
}

static void *fill_thread(void *arg)
{
    struct stage *s = arg;
    struct el_rng rng;

    el_rng_seed_random(&rng);
    pthread_mutex_lock(&s->mtx);
    for (;;) {
        struct el_list *l = el_list_pop(&s->jobs);

        if (l == NULL && s->is_over)
            break;
        if (l == NULL) {
            pthread_cond_wait(&s->changed, &s->mtx);
            continue;
        }
        pthread_mutex_unlock(&s->mtx);
        work_on(s, EL_ENTRY(l, struct job, link), &rng);
        pthread_mutex_lock(&s->mtx);
    }
    pthread_mutex_unlock(&s->mtx);
    return NULL;
}

/* ---- readers ---- */

struct patron {
    struct stage *s;
    struct el_rng rng;
    struct el_msgq *queue;
    struct client c;
    uint64_t delivered, failed;
};

static void await(struct patron *p, const unsigned *wakes)
{
    struct pollfd fd = { .fd = el_msgq_fd(p->queue), .events = POLLIN };
    unsigned before = *wakes;

    while (*wakes == before) {
        EL_ASSERT(poll(&fd, 1, WAIT_MS) == 1);
        el_msgq_dispatch(p->queue);
    }
}

/* ---- what the disk may have ---- */

struct load {
    struct cache_waiter waiter;
    unsigned wakes;
};

static void on_load(struct el_msg *m)
{
    EL_ENTRY(m, struct load, waiter.msg)->wakes++;
}

static void load(struct patron *p, struct el_str url)
{
    struct load l = { .waiter.queue = p->queue };

    el_list_init(&l.waiter.link);
    el_msg_init(&l.waiter.msg, on_load);
    if (cache_load(p->s->w.cache, url, &l.waiter))
        await(p, &l.wakes);
    cache_flight_leave(p->s->w.cache, &l.waiter);
}

static void check(struct patron *p, const struct cache_span *span, uint64_t seed)
{
    static _Thread_local uint8_t want[4096];

    for (size_t i = 0; i < span->n; i += sizeof(want)) {
        size_t n = el_min_size(sizeof(want), span->n - i);

        fill_bytes(want, seed, p->c.r.position + i, n);
        EL_ASSERT(memcmp(want, span->mem + i, n) == 0);
    }
}

static void read_all(struct patron *p, uint64_t seed)
{
    size_t sendfile_from = el_rng_below(&p->rng, 2) == 0 ? 1 : SIZE_MAX;
    uint64_t patience = el_rng_below(&p->rng, 4) == 0 ? el_rng_below(&p->rng, 64) : UINT64_MAX;
    struct cache_span span;

    while (patience-- > 0) {
        switch (cache_reader_next(&p->c.r, sendfile_from, &span)) {
        case CACHE_READ_DATA:
            check(p, &span, seed);
            EL_ASSERT((span.fd >= 0) == (span.n >= sendfile_from));
            span.n = el_rng_below(&p->rng, 3) == 0 ? el_rng_below(&p->rng, span.n + 1) : span.n;
            p->delivered += span.n;
            cache_reader_advance(&p->c.r, span.n);
            break;
        case CACHE_READ_WAIT:
            await(p, &p->c.wakes);
            break;
        case CACHE_READ_END:
            EL_ASSERT(p->c.r.position ==
                      el_min_u64(p->c.r.end, cache_object_length(p->c.r.object)));
            return;
        case CACHE_READ_ERROR:
            EL_ASSERT(p->c.r.err.code == EL_ERESET || p->c.r.object->is_whole_only);
            p->failed++;
            return;
        }
    }
}

/* As the proxy does it: the cached version, or a new one with its first answer. */
static struct cache_object *get(struct patron *p, struct el_str url, bool *ret_is_new)
{
    struct cache_object *found[CACHE_MAX_VARIANTS], *o;
    struct cache_meta *m;

    *ret_is_new = false;
    if (el_rng_below(&p->rng, 200) == 0)
        (void)cache_invalidate(p->s->w.cache, url);
    if (cache_lookup(p->s->w.cache, url, found) > 0)
        return found[0];
    load(p, url);
    if (cache_lookup(p->s->w.cache, url, found) > 0)
        return found[0];
    m = cache_meta_new();
    m->status = 200;
    m->has_strong_validator = el_rng_below(&p->rng, 4) > 0;
    o = cache_object_new(p->s->w.cache, url, m,
                         el_rng_below(&p->rng, 8) == 0 ? CACHE_UNKNOWN_LENGTH : length_of(url));
    cache_meta_unref(m);
    *ret_is_new = true;
    return o;
}

static void free_ticket(struct cache_ticket *t)
{
    free(t);
}

/* For a range of the object; some are signed for exactly that. */
static struct cache_ticket *new_ticket(struct patron *p, uint64_t first, uint64_t end)
{
    struct cache_ticket *t = el_new(struct cache_ticket);

    atomic_init(&t->refs, 1);
    t->free = free_ticket;
    t->exact = end != CACHE_UNKNOWN_LENGTH && el_rng_below(&p->rng, 4) == 0;
    t->first = first;
    t->end = end;
    return t;
}

/* As the proxy does it: reader, fill, publish. */
static void visit_range(struct patron *p, struct cache_object *o, bool is_new, uint64_t first,
                        uint64_t end)
{
    struct cache_ticket *t = new_ticket(p, first, end);
    struct cache_fill *f = NULL;

    memset(&p->c, 0, sizeof(p->c));
    el_msg_init(&p->c.r.msg, on_wake);
    p->c.r.queue = p->queue;
    cache_reader_open(&p->c.r, o, t, first, end);
    if (is_new)
        f = cache_fill_adopt(o, p->s->ordered, t, first, end);
    if (f != NULL)
        add_job(p->s, f, false);
    if (is_new)
        (void)cache_object_publish(o);
    read_all(p, seed_of(cache_object_url(o)));
    cache_reader_close(&p->c.r);
    cache_ticket_unref(t);
}

static void visit(struct patron *p)
{
    uint64_t first = 0, end, length;
    struct cache_object *o;
    struct el_str url;
    char name[32];
    bool is_new;

    (void)snprintf(name, sizeof(name), "http://o/%u", (unsigned)el_rng_below(&p->rng, URLS));
    url = el_str_of(name);
    length = length_of(url);
    o = get(p, url, &is_new);
    end = cache_object_length(o);
    if (!o->is_whole_only && length > 0) {
        first = el_rng_below(&p->rng, 2) * el_rng_below(&p->rng, length);
        end = first + 1 + el_rng_below(&p->rng, length - first);
    }
    if (end > 0)
        visit_range(p, o, is_new, first, end);
    cache_object_unref(o);
}

static void *read_thread(void *arg)
{
    struct patron *p = arg;

    for (unsigned i = 0; i < ROUNDS; i++)
        visit(p);
    return NULL;
}

/* ---- the play ---- */

static void open_stage(struct stage *s, bool is_wide, const struct cache_disk_conf *disk)
{
    memset(s, 0, sizeof(*s));
    world_open_with(&s->w, MEMORY, disk);
    s->w.source.ops = is_wide ? &wide_ops : &stage_ops;
    s->origin.ops = &origin_ops;
    s->ordered = is_wide ? &s->origin : &s->w.source;
    pthread_mutex_init(&s->mtx, NULL);
    pthread_cond_init(&s->changed, NULL);
    el_list_init(&s->jobs);
}

/* Fills that nobody reads any more end by themselves. */
static void wait_for_jobs(struct stage *s)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    pthread_mutex_lock(&s->mtx);
    while (s->n_jobs > 0)
        assert_int_equal(pthread_cond_timedwait(&s->changed, &s->mtx, &until), 0);
    s->is_over = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mtx);
}

static void close_stage(struct stage *s)
{
    cache_fill_unref(s->shared);
    pthread_mutex_destroy(&s->mtx);
    pthread_cond_destroy(&s->changed);
    world_close(&s->w);
}

static uint64_t pinned_bytes(struct stage *s)
{
    struct cache_stats stats;

    cache_stats_get(s->w.cache, &stats);
    return stats.memory_pinned_bytes;
}

static void make_ready(struct stage *s)
{
    cache_arena_ready_want(s->w.cache->arena, MEMORY / 4);
    assert_int_equal(cache_ready_start(s->w.cache->arena, &s->w.cache->ready, NULL), EL_OK);
}

static void play(bool is_wide, const struct cache_disk_conf *disk)
{
    static struct patron patrons[READERS];
    pthread_t readers[READERS], fillers[FILLERS];
    static struct stage s;
    struct cache_arena_stats st;
    struct cache_stats stats;

    open_stage(&s, is_wide, disk);
    if (is_wide)
        make_ready(&s);
    for (size_t i = 0; i < FILLERS; i++)
        assert_int_equal(pthread_create(&fillers[i], NULL, fill_thread, &s), 0);
    for (size_t i = 0; i < READERS; i++) {
        patrons[i].s = &s;
        el_rng_seed(&patrons[i].rng, i + 1);
        assert_int_equal(el_msgq_new(&patrons[i].queue, NULL), EL_OK);
        assert_int_equal(pthread_create(&readers[i], NULL, read_thread, &patrons[i]), 0);
    }
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    wait_for_jobs(&s);
    for (size_t i = 0; i < FILLERS; i++)
        assert_int_equal(pthread_join(fillers[i], NULL), 0);
    cache_arena_stats_get(s.w.cache->arena, &st);
    assert_true(st.resident <= st.budget);
    cache_stats_get(s.w.cache, &stats);
    while (disk != NULL && (pinned_bytes(&s) > 0 || stats.fills_running > 0)) {
        (void)poll(NULL, 0, 1); /* what is being written, and read for nobody any more */
        cache_stats_get(s.w.cache, &stats);
    }
    assert_int_equal(pinned_bytes(&s), 0);
    assert_int_equal(stats.fills_running, 0);
    assert_true(stats.evicted_blocks > 0);
    for (size_t i = 0; i < READERS; i++) {
        assert_true(patrons[i].delivered > 0);
        el_msgq_free(patrons[i].queue);
    }
    close_stage(&s);
}

static void every_reader_gets_the_right_bytes_out_of_a_memory_that_is_too_small(void **state)
{
    (void)state;
    play(false, NULL);
}

static void and_from_sources_that_keep_no_order(void **state)
{
    (void)state;
    play(true, NULL);
}

/* Now and then it fails, is slow, or moves less than it should. */
static int fault(void *arg, const struct el_ring_op *op)
{
    static _Atomic unsigned asked;
    unsigned n = atomic_fetch_add(&asked, 1);

    (void)arg;
    if (op->what == EL_RING_SYNC)
        return 0;
    if (n % 101 == 0)
        return -EIO;
    if (n % 211 == 0)
        (void)poll(NULL, 0, 40);
    return n % 7 == 0 ? 8192 : 0;
}

static void and_from_a_disk_that_fails_now_and_then(void **state)
{
    static const enum el_ring_backend backends[] = { EL_RING_URING, EL_RING_THREADS };
    char dir[] = "/tmp/elio-stress-XXXXXX", command[64];
    const char *dirs[] = { dir };
    struct cache_disk_conf disk = {
        .bytes = 96 * EL_MIB,
        .dirs = dirs,
        .n_dirs = 1,
        .read_deadline_ms = 25,
        .commit_ms = 10,
        .write_bytes = 8 * EL_MIB,
        .scrub_bytes_s = 50 * EL_MIB,
        .fault = fault,
    };

    (void)state;
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < 2 * EL_COUNT(backends); i++) { /* each once more, on what it left */
        disk.io = backends[i / 2];
        play(false, &disk);
    }
    play(true, &disk);
    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reader_gets_the_right_bytes_out_of_a_memory_that_is_too_small),
        cmocka_unit_test(and_from_sources_that_keep_no_order),
        cmocka_unit_test(and_from_a_disk_that_fails_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
