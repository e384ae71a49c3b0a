/* SPDX-License-Identifier: MIT */
/*
 * plane: the state and its store, shared by threads (plane.h).
 *
 * Records leave for the store while the state is still locked, so that the store has them in the
 * order of the changes. One thread of the plane's own ticks, and is the only one that calls those
 * who wait.
 */
#include "controlplane/plane.h"

#include <pthread.h>

#include "controlplane/events.h"
#include "controlplane/store_in.h"

#define TICK_MS         1000
#define PENDING_RECORDS 20000u /* beyond which soft ones wait for the store */
#define PENDING_BYTES   (64 * EL_MIB)
#define FULL_RECORDS    200000u /* beyond which hard ones are refused: each of 65,000 nodes leaves */
#define FULL_BYTES      (128 * EL_MIB) /* three when all register at once */

struct cp_plane {
    struct cp_plane_conf conf;
    struct cp_store *store; /* immutable once open; NULL while it loads */

    pthread_mutex_t mtx; /* of the state; before the store's and wait_mtx */
    struct cp_state *state;
    uint64_t events_told; /* number of the last event somebody was told of */

    pthread_mutex_t wait_mtx; /* leaf; all below */
    pthread_cond_t changed;   /* for the plane's thread */
    pthread_cond_t called;    /* for those who cancel */
    struct el_list waits;     /* cp_wait.link, in no order */
    struct cp_wait *calling;  /* whose on_durable runs now */
    uint64_t durable;
    bool is_ticking, is_quiet; /* quiet: no more ticks */
    bool is_closing;

    pthread_t thread;
    bool is_running;
};

/* ---- the lock ---- */

struct cp_state *cp_plane_lock(struct cp_plane *p)
{
    (void)pthread_mutex_lock(&p->mtx);
    cp_state_now(p->state, el_clock_mono_ms(p->conf.clock), el_clock_wall_ms(p->conf.clock));
    return p->state;
}

static bool is_any_hard(const struct cp_record *r)
{
    while (r != NULL && !r->is_hard)
        r = r->next;
    return r != NULL;
}

uint64_t cp_plane_unlock(struct cp_plane *p)
{
    struct cp_record *records = cp_state_take(p->state);
    bool is_hard = is_any_hard(records);
    uint64_t newest = cp_events_newest(p->state), position = 0;
    bool has_news = newest != p->events_told;

    p->events_told = newest;
    if (p->store == NULL)
        cp_record_free(records); /* made while loading: of what the store has */
    else if (records != NULL)
        position = cp_store_put(p->store, records);
    (void)pthread_mutex_unlock(&p->mtx);
    if (has_news && p->conf.on_events != NULL)
        p->conf.on_events(p->conf.arg);
    return is_hard ? position : 0;
}

/* ---- what the store says ---- */

static void on_record(void *arg, struct el_str key, struct el_str value, bool is_removal)
{
    struct cp_plane *p = (struct cp_plane *)arg;
    struct el_error err;
    enum el_err rc = cp_state_apply(cp_plane_lock(p), key, value, is_removal, &err);

    (void)cp_plane_unlock(p);
    /* A kind that is not known is a newer version's. */
    if (rc != EL_OK && rc != EL_EUNSUPPORTED && p->conf.on_trouble != NULL)
        p->conf.on_trouble(p->conf.arg, &err);
}

static void on_load(void *arg, bool is_begin)
{
    struct cp_plane *p = (struct cp_plane *)arg;
    struct cp_state *s = cp_plane_lock(p);

    if (is_begin)
        cp_state_load_begin(s);
    else
        cp_state_load_end(s);
    (void)cp_plane_unlock(p);
}

static void on_durable(void *arg, uint64_t position)
{
    struct cp_plane *p = (struct cp_plane *)arg;

    (void)pthread_mutex_lock(&p->wait_mtx);
    p->durable = position;
    (void)pthread_cond_signal(&p->changed);
    (void)pthread_mutex_unlock(&p->wait_mtx);
}

static void on_trouble(void *arg, const struct el_error *err)
{
    struct cp_plane *p = (struct cp_plane *)arg;

    if (p->conf.on_trouble != NULL)
        p->conf.on_trouble(p->conf.arg, err);
}

/* ---- those who wait ---- */

void cp_plane_wait(struct cp_plane *p, uint64_t position, uint32_t deadline_ms, struct cp_wait *w)
{
    w->position = position;
    w->deadline_ms = cp_mono_ms() + deadline_ms;
    (void)pthread_mutex_lock(&p->wait_mtx);
    el_list_append(&p->waits, &w->link);
    (void)pthread_cond_signal(&p->changed);
    (void)pthread_mutex_unlock(&p->wait_mtx);
}

bool cp_plane_cancel(struct cp_plane *p, struct cp_wait *w)
{
    bool was_waiting;

    (void)pthread_mutex_lock(&p->wait_mtx);
    was_waiting = !el_list_empty(&w->link);
    el_list_remove(&w->link);
    while (p->calling == w)
        (void)pthread_cond_wait(&p->called, &p->wait_mtx);
    (void)pthread_mutex_unlock(&p->wait_mtx);
    return was_waiting;
}

static bool is_ripe(const struct cp_plane *p, const struct cp_wait *w)
{
    return w->position <= p->durable || p->is_closing;
}

/* Lock held. One whose waiting is over, out of the list; NULL: none. *ret_next_ms: when one will
 * be. */
static struct cp_wait *pick_locked(struct cp_plane *p, enum el_err *ret_rc, uint64_t *ret_next_ms)
{
    uint64_t now_ms = cp_mono_ms();
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->waits) {
        struct cp_wait *w = EL_ENTRY(it, struct cp_wait, link);

        if (!is_ripe(p, w) && now_ms < w->deadline_ms) {
            *ret_next_ms = el_min_u64(*ret_next_ms, w->deadline_ms);
            continue;
        }
        *ret_rc =
            w->position <= p->durable ? EL_OK : (p->is_closing ? EL_ESHUTDOWN : EL_ENOTDURABLE);
        el_list_remove(it);
        return w;
    }
    return NULL;
}

/* Somebody came while the lock was given up. */
static bool has_ripe_locked(const struct cp_plane *p)
{
    for (const struct el_list *it = p->waits.next; it != &p->waits; it = it->next) {
        if (is_ripe(p, EL_ENTRY(it, struct cp_wait, link)))
            return true;
    }
    return p->is_closing;
}

/* Lock held; given up around each call. */
static void call_locked(struct cp_plane *p, uint64_t *ret_next_ms)
{
    struct cp_wait *w;
    enum el_err rc;

    while ((w = pick_locked(p, &rc, ret_next_ms)) != NULL) {
        p->calling = w;
        (void)pthread_mutex_unlock(&p->wait_mtx);
        w->on_durable(w, rc);
        (void)pthread_mutex_lock(&p->wait_mtx);
        p->calling = NULL;
        (void)pthread_cond_broadcast(&p->called);
    }
}

/* What comes by itself is not added to what it has to write already. */
static bool is_store_behind(struct cp_plane *p)
{
    struct cp_store_status status;

    cp_store_status(p->store, &status);
    return !status.is_up || status.pending > PENDING_RECORDS ||
           status.pending_bytes > PENDING_BYTES;
}

bool cp_plane_is_full(struct cp_plane *p)
{
    struct cp_store_status status;

    cp_store_status(p->store, &status);
    return status.pending > FULL_RECORDS || status.pending_bytes > FULL_BYTES;
}

/* Duties write as well, and wait. */
static void tick(struct cp_plane *p)
{
    bool is_behind = is_store_behind(p);
    bool has_duty = !is_behind && cp_store_has_duty(p->store);
    struct cp_state *s = cp_plane_lock(p);

    cp_state_hold_back(s, is_behind);
    cp_state_tick(s, has_duty);
    (void)cp_plane_unlock(p);
}

/* Lock held; given up around the tick. */
static void tick_locked(struct cp_plane *p, uint64_t *tick_ms)
{
    if (p->is_quiet || p->is_closing || cp_mono_ms() < *tick_ms)
        return;
    p->is_ticking = true;
    (void)pthread_mutex_unlock(&p->wait_mtx);
    tick(p);
    (void)pthread_mutex_lock(&p->wait_mtx);
    p->is_ticking = false;
    (void)pthread_cond_broadcast(&p->called);
    *tick_ms = cp_mono_ms() + TICK_MS;
}

static void *run(void *arg)
{
    struct cp_plane *p = (struct cp_plane *)arg;
    uint64_t tick_ms = cp_mono_ms() + TICK_MS;

    (void)pthread_mutex_lock(&p->wait_mtx);
    for (;;) {
        uint64_t next_ms = p->is_quiet ? cp_mono_ms() + TICK_MS : tick_ms;

        call_locked(p, &next_ms);
        if (p->is_closing)
            break;
        tick_locked(p, &tick_ms);
        if (!has_ripe_locked(p))
            cp_cond_wait_until(&p->changed, &p->wait_mtx, next_ms);
    }
    (void)pthread_mutex_unlock(&p->wait_mtx);
    return NULL;
}

/* ---- life ---- */

static void free_plane(struct cp_plane *p)
{
    cp_state_free(p->state);
    (void)pthread_cond_destroy(&p->called);
    (void)pthread_cond_destroy(&p->changed);
    (void)pthread_mutex_destroy(&p->wait_mtx);
    (void)pthread_mutex_destroy(&p->mtx);
    free(p);
}

static enum el_err open_store(struct cp_plane *p, struct el_error *err)
{
    struct cp_store_events events = { p, on_record, on_load, on_durable, on_trouble };
    struct cp_store *store = NULL;
    enum el_err rc = p->conf.redis != NULL
                         ? cp_store_redis_open(p->conf.redis, &events, &store, err)
                         : cp_store_sqlite_open(p->conf.sqlite_path, &events, &store, err);

    if (rc != EL_OK)
        return rc;
    (void)pthread_mutex_lock(&p->mtx);
    p->store = store;
    (void)pthread_mutex_unlock(&p->mtx);
    return EL_OK;
}

enum el_err cp_plane_open(const struct cp_plane_conf *conf, struct cp_plane **ret_plane,
                          struct el_error *err)
{
    struct cp_plane *p = el_new(struct cp_plane);
    struct el_rng rng;
    enum el_err rc;

    EL_ASSERT((conf->sqlite_path == NULL) != (conf->redis == NULL));
    el_rng_seed_random(&rng);
    p->conf = *conf;
    p->state = cp_state_new(&conf->state, &rng);
    el_list_init(&p->waits);
    (void)pthread_mutex_init(&p->mtx, NULL);
    (void)pthread_mutex_init(&p->wait_mtx, NULL);
    cp_cond_init(&p->changed);
    cp_cond_init(&p->called);
    rc = open_store(p, err);
    if (rc == EL_OK)
        rc = cp_thread_start(&p->thread, "cp-plane", run, p, err);
    if (rc != EL_OK)
        goto fail;
    p->is_running = true;
    *ret_plane = p;
    return EL_OK;
fail:
    cp_plane_close(p, 0);
    return rc;
}

/* No more ticks; soft records leave as well, so that a restart that was asked for loses nothing. */
static void flush(struct cp_plane *p)
{
    (void)pthread_mutex_lock(&p->wait_mtx);
    p->is_quiet = true;
    while (p->is_ticking)
        (void)pthread_cond_wait(&p->called, &p->wait_mtx);
    (void)pthread_mutex_unlock(&p->wait_mtx);
    cp_state_flush(cp_plane_lock(p));
    (void)cp_plane_unlock(p);
}

void cp_plane_close(struct cp_plane *p, uint32_t deadline_ms)
{
    if (p == NULL)
        return;
    if (p->is_running)
        flush(p);
    cp_store_close(p->store, deadline_ms);
    (void)pthread_mutex_lock(&p->wait_mtx);
    p->is_closing = true;
    (void)pthread_cond_signal(&p->changed);
    (void)pthread_mutex_unlock(&p->wait_mtx);
    if (p->is_running)
        (void)pthread_join(p->thread, NULL);
    free_plane(p);
}

struct cp_store *cp_plane_store(struct cp_plane *p)
{
    return p->store;
}

bool cp_plane_has_duty(struct cp_plane *p)
{
    return cp_store_has_duty(p->store);
}
