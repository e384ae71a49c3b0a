/* SPDX-License-Identifier: MIT */
/*
 * vouch_keep: which chunks are in memory, and which are in the store; see vouch_in.h. What the
 * store's thread brings is merged as if somebody had said it now, signature and contradiction
 * included.
 */
#include "common/bytes.h"
#include "common/log.h"
#include "p2p/vouch_in.h"

#define READ_MS 1000u /* the store has so long; a disk that hangs is waited for once */

void p2p_vouch_lock(struct p2p_vouch *v)
{
    EL_ASSERT(pthread_mutex_lock(&v->mtx) == 0);
}

void p2p_vouch_unlock(struct p2p_vouch *v)
{
    el_gauge_set(v->kept, (int64_t)v->stored.n);
    EL_ASSERT(pthread_mutex_unlock(&v->mtx) == 0);
}

/* ---- the table ---- */

static uint32_t bucket_of(const struct el_chunk_id *id)
{
    uint64_t h;

    memcpy(&h, id->object, sizeof(h));
    h ^= id->index * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 7) % P2P_VOUCH_BUCKETS;
}

/* As it is: it does not count as a use. */
static struct p2p_vouch_chunk *peek(struct p2p_vouch *v, const struct el_chunk_id *id)
{
    struct p2p_vouch_chunk *c = v->buckets[bucket_of(id)];

    while (c != NULL && !el_chunk_id_eq(&c->id, id))
        c = c->next;
    return c;
}

static void wake_all(struct p2p_vouch_chunk *c)
{
    struct el_list *l;

    while ((l = el_list_pop(&c->waiting)) != NULL) {
        struct p2p_vouch_waiter *w = EL_ENTRY(l, struct p2p_vouch_waiter, link);

        el_msgq_post(w->queue, &w->msg);
    }
}

void p2p_vouch_chunk_free_locked(struct p2p_vouch *v, struct p2p_vouch_chunk *c)
{
    struct p2p_vouch_chunk **at = &v->buckets[bucket_of(&c->id)];
    struct p2p_vouch_part *p;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    el_list_remove(&c->used);
    v->n_chunks--;
    wake_all(c);
    while ((p = c->parts) != NULL) {
        c->parts = p->next;
        free(p);
    }
    free(c);
}

/* What is being read goes for no other. */
static struct p2p_vouch_chunk *add(struct p2p_vouch *v, const struct el_chunk_id *id)
{
    struct p2p_vouch_chunk *c = el_new(struct p2p_vouch_chunk);
    uint32_t bucket = bucket_of(id);

    while (v->n_chunks >= v->max_chunks && !el_list_empty(&v->used))
        p2p_vouch_chunk_free_locked(v, EL_ENTRY(v->used.next, struct p2p_vouch_chunk, used));
    c->id = *id;
    c->next = v->buckets[bucket];
    v->buckets[bucket] = c;
    el_list_init(&c->waiting);
    el_list_append(&v->used, &c->used);
    v->n_chunks++;
    return c;
}

/* False: the store has nothing of it. Until it has named all that it has, nobody knows. */
static bool is_stored(struct p2p_vouch *v, const struct el_chunk_id *id, unsigned *ret_flags)
{
    *ret_flags = 0;
    return v->store != NULL && (p2p_vouch_set_get(&v->stored, id, ret_flags) || !v->is_named);
}

/* NULL: too much is to be read already. */
static struct p2p_vouch_chunk *begin_read(struct p2p_vouch *v, const struct el_chunk_id *id)
{
    struct p2p_vouch_chunk *c;

    if (v->is_stuck || !p2p_vouch_store_get(v->store, id))
        return NULL;
    c = add(v, id);
    c->is_reading = true;
    c->asked_ms = v->now_ms;
    el_list_remove(&c->used);
    el_list_append(&v->reading, &c->used);
    return c;
}

struct p2p_vouch_chunk *p2p_vouch_find_locked(struct p2p_vouch *v, const struct el_chunk_id *id)
{
    struct p2p_vouch_chunk *c = peek(v, id);
    unsigned flags;

    if (c == NULL && is_stored(v, id, &flags)) {
        if ((flags & P2P_VOUCH_DISTRUSTED) == 0)
            return begin_read(v, id);
        c = add(v, id);
        c->is_contradicted = true;
    } else if (c != NULL && !c->is_reading) {
        el_list_remove(&c->used);
        el_list_append(&v->used, &c->used);
    }
    return c;
}

struct p2p_vouch_chunk *p2p_vouch_make_locked(struct p2p_vouch *v, const struct el_chunk_id *id)
{
    struct p2p_vouch_chunk *c = p2p_vouch_find_locked(v, id);

    return c != NULL ? c : add(v, id);
}

/* ---- into the store ---- */

/* Frames, each behind its length. */
static void write_parts(const struct p2p_vouch_chunk *c, struct el_buf *value)
{
    struct el_buf frame = { 0 };

    for (const struct p2p_vouch_part *p = c->parts; p != NULL; p = p->next) {
        p2p_manifest_add(&frame, P2P_VERSION_MAX, &p->m);
        el_bytes_add_u32(value, (uint32_t)frame.n);
        el_buf_add(value, frame.p, frame.n);
        el_buf_clear(&frame);
    }
    el_buf_deinit(&frame);
}

void p2p_vouch_keep_locked(struct p2p_vouch *v, const struct p2p_vouch_chunk *c)
{
    unsigned flags = 0, wanted = c->is_contradicted ? P2P_VOUCH_DISTRUSTED : 0;
    struct el_buf value = { 0 };

    if (v->store == NULL ||
        (p2p_vouch_set_get(&v->stored, &c->id, &flags) && (flags & P2P_VOUCH_DISTRUSTED) == wanted))
        return;
    if (!c->is_contradicted)
        write_parts(c, &value);
    if (!p2p_vouch_store_put(v->store, &c->id, c->is_contradicted, &value)) {
        el_counter_add(v->lost, 1);
        if (!c->is_contradicted) /* what it has of that must not come back as long as this runs */
            return;
    }
    (void)p2p_vouch_set_put(&v->stored, &c->id, wanted | P2P_VOUCH_MET); /* or not shared */
}

/* What still waits to be written goes with it. */
static void drop(struct p2p_vouch *v, const struct el_chunk_id *chunk)
{
    p2p_vouch_set_remove(&v->stored, chunk);
    (void)p2p_vouch_store_drop(v->store, chunk); /* or the next sweep does it */
}

void p2p_vouch_forget(struct p2p_vouch *v, const struct el_chunk_id *chunk)
{
    struct p2p_vouch_chunk *c;
    unsigned flags;

    p2p_vouch_lock(v);
    c = peek(v, chunk);
    if (c != NULL)
        p2p_vouch_chunk_free_locked(v, c);
    if (is_stored(v, chunk, &flags))
        drop(v, chunk);
    p2p_vouch_unlock(v);
}

/* Where there is no room to say that it is distrusted, what is there must not come back either. */
static void on_lost(void *arg, const struct el_chunk_id *chunk, bool is_distrusted)
{
    struct p2p_vouch *v = arg;
    unsigned flags = 0;

    p2p_vouch_lock(v);
    (void)p2p_vouch_set_get(&v->stored, chunk, &flags); /* or it was forgotten */
    if (is_distrusted)
        drop(v, chunk);
    else if ((flags & P2P_VOUCH_DISTRUSTED) == 0) /* it may have become so meanwhile */
        p2p_vouch_set_remove(&v->stored, chunk);
    p2p_vouch_unlock(v);
    el_counter_add(v->lost, 1);
}

/* ---- out of the store ---- */

/* A frame as p2p_manifest_add() wrote it; what is none is as if it had not been kept. */
static void read_frame(struct p2p_vouch *v, const struct el_chunk_id *chunk, struct el_str bytes)
{
    struct p2p_frame f = { .version = P2P_VERSION_MAX, .type = P2P_MANIFEST, .has_chunk = true };
    struct p2p_vouch_chunk *c;
    enum el_err rc = EL_OK;
    struct p2p_manifest m;
    struct el_error err;

    if (bytes.n <= P2P_HEAD_MAX + P2P_TAIL_BYTES)
        return;
    f.chunk = *chunk;
    f.data =
        el_str_first(el_str_from(bytes, P2P_HEAD_MAX), bytes.n - P2P_HEAD_MAX - P2P_TAIL_BYTES);
    if (p2p_manifest_decode(&f, &m, NULL) != EL_OK)
        return;
    p2p_vouch_lock(v);
    c = peek(v, chunk);
    if (c != NULL && !c->is_contradicted)
        rc = p2p_vouch_take_locked(v, c, &m, &err);
    p2p_vouch_unlock(v);
    p2p_manifest_deinit(&m);
    if (rc != EL_OK)
        el_log_error(EL_WARN, EV_CHUNK_DISTRUSTED, &err);
}

static void read_parts(struct p2p_vouch *v, const struct el_chunk_id *chunk, struct el_str value)
{
    struct el_bytes in = el_bytes_of(value);

    while (!el_bytes_is_end(&in) && !in.is_bad) {
        size_t n = el_bytes_u32(&in);

        read_frame(v, chunk, el_bytes_str(&in, n));
    }
}

/* Also of one for which nobody waits any more. False: it was forgotten meanwhile. */
static bool begin_merge(struct p2p_vouch *v, const struct el_chunk_id *chunk, bool is_there,
                        bool is_distrusted)
{
    struct p2p_vouch_chunk *c;
    bool is_wanted;

    p2p_vouch_lock(v);
    v->is_stuck = false;
    c = peek(v, chunk);
    is_wanted = c != NULL;
    if (is_wanted && is_distrusted)
        c->is_contradicted = true;
    if (is_wanted && is_there && !p2p_vouch_set_get(&v->stored, chunk, NULL)) /* not named yet */
        (void)p2p_vouch_set_put(&v->stored, chunk, is_distrusted ? P2P_VOUCH_DISTRUSTED : 0);
    p2p_vouch_unlock(v);
    return is_wanted;
}

static void end_read(struct p2p_vouch *v, struct p2p_vouch_chunk *c)
{
    c->is_reading = false;
    el_list_remove(&c->used);
    el_list_append(&v->used, &c->used);
    wake_all(c);
    if (p2p_vouch_is_worth_keeping(c))
        p2p_vouch_keep_locked(v, c);
}

/* What has come meanwhile is kept with it. */
static void end_merge(struct p2p_vouch *v, const struct el_chunk_id *chunk, bool is_known)
{
    struct p2p_vouch_chunk *c;

    p2p_vouch_lock(v);
    c = peek(v, chunk);
    if (c != NULL && c->is_reading) {
        end_read(v, c);
        if (c->parts == NULL && !c->is_contradicted) { /* nothing that is of use */
            p2p_vouch_chunk_free_locked(v, c);
            if (is_known && p2p_vouch_set_get(&v->stored, chunk, NULL))
                drop(v, chunk);
        }
    }
    p2p_vouch_unlock(v);
}

void p2p_vouch_tick(struct p2p_vouch *v, uint64_t now_ms)
{
    struct p2p_vouch_chunk *c;

    p2p_vouch_lock(v);
    v->now_ms = now_ms;
    while (!el_list_empty(&v->reading)) {
        c = EL_ENTRY(v->reading.next, struct p2p_vouch_chunk, used);
        if (now_ms - c->asked_ms < READ_MS)
            break;
        v->is_stuck = true;
        end_read(v, c);
    }
    p2p_vouch_unlock(v);
}

static void on_got(void *arg, const struct el_chunk_id *chunk, struct el_str value, bool is_known)
{
    struct p2p_vouch *v = arg;
    bool is_distrusted = value.n == sizeof(uint32_t); /* no frame is as short */

    if (!begin_merge(v, chunk, value.n > 0, is_distrusted))
        return;
    if (!is_distrusted)
        read_parts(v, chunk, value);
    el_counter_add(v->read, value.n > 0);
    end_merge(v, chunk, is_known);
}

bool p2p_vouch_load(struct p2p_vouch *v, const struct el_chunk_id *chunk,
                    struct p2p_vouch_waiter *w)
{
    struct p2p_vouch_chunk *c;
    bool waits;

    p2p_vouch_lock(v);
    c = p2p_vouch_find_locked(v, chunk);
    waits = c != NULL && c->is_reading;
    if (waits)
        el_list_append(&c->waiting, &w->link);
    p2p_vouch_unlock(v);
    return waits;
}

void p2p_vouch_leave(struct p2p_vouch *v, struct p2p_vouch_waiter *w)
{
    p2p_vouch_lock(v);
    el_list_remove(&w->link);
    p2p_vouch_unlock(v);
    el_msgq_cancel(w->queue, &w->msg);
}

bool p2p_vouch_can_tell(struct p2p_vouch *v, const struct el_chunk_id *chunk, uint32_t blocks)
{
    const struct p2p_vouch_chunk *c;
    unsigned flags = 0;
    bool can;

    p2p_vouch_lock(v);
    c = peek(v, chunk);
    if (c != NULL && !c->is_reading)
        can = !c->is_contradicted && (blocks & ~c->known) == 0;
    else
        can = p2p_vouch_set_get(&v->stored, chunk, &flags) && (flags & P2P_VOUCH_DISTRUSTED) == 0;
    p2p_vouch_unlock(v);
    return can;
}

/* ---- all that the store has ---- */

/* What is in memory may be on its way here: it is looked at the next time. */
static void judge(struct p2p_vouch *v, const struct el_chunk_id *chunk)
{
    unsigned flags = 0;

    (void)p2p_vouch_set_get(&v->stored, chunk, &flags); /* or it was forgotten */
    if ((flags & P2P_VOUCH_MET) == 0 && peek(v, chunk) == NULL)
        drop(v, chunk);
}

static void on_each(void *arg, const struct el_chunk_id *chunk, bool is_distrusted)
{
    struct p2p_vouch *v = arg;
    unsigned flags = is_distrusted ? P2P_VOUCH_DISTRUSTED : 0;

    p2p_vouch_lock(v);
    if (v->is_sweeping)
        judge(v, chunk);
    else if (!p2p_vouch_set_get(&v->stored, chunk, NULL))
        (void)p2p_vouch_set_put(&v->stored, chunk, flags); /* or it is not shared */
    p2p_vouch_unlock(v);
}

static void on_all_named(void *arg)
{
    struct p2p_vouch *v = arg;

    p2p_vouch_lock(v);
    v->is_named = true;
    v->is_sweeping = false;
    p2p_vouch_unlock(v);
}

bool p2p_vouch_is_named(struct p2p_vouch *v)
{
    bool is;

    p2p_vouch_lock(v);
    is = v->store == NULL || v->is_named;
    p2p_vouch_unlock(v);
    return is;
}

void p2p_vouch_walk_begin(struct p2p_vouch *v)
{
    p2p_vouch_lock(v);
    v->is_walked = v->store != NULL && v->is_named && !v->is_sweeping;
    if (v->is_walked)
        p2p_vouch_set_unmeet(&v->stored);
    p2p_vouch_unlock(v);
}

void p2p_vouch_walk_met(struct p2p_vouch *v, const struct el_chunk_id *chunk)
{
    unsigned flags;

    p2p_vouch_lock(v);
    if (v->is_walked && p2p_vouch_set_get(&v->stored, chunk, &flags))
        (void)p2p_vouch_set_put(&v->stored, chunk, flags | P2P_VOUCH_MET); /* it is there */
    p2p_vouch_unlock(v);
}

void p2p_vouch_sweep(struct p2p_vouch *v)
{
    p2p_vouch_lock(v);
    if (v->is_walked)
        v->is_sweeping = p2p_vouch_store_look(v->store);
    v->is_walked = false;
    p2p_vouch_unlock(v);
}

/* ---- its life ---- */

static const struct p2p_vouch_store_ops store_ops = {
    .each = on_each,
    .all_named = on_all_named,
    .got = on_got,
    .lost = on_lost,
};

static void count(struct p2p_vouch *v, struct el_metrics *m)
{
    v->kept = el_metrics_gauge(m, "eliop2p_p2p_kept_chunks",
                               "chunks whose hashes are in general.state_dir", NULL);
    v->read = el_metrics_counter(m, "eliop2p_p2p_manifests_read_total",
                                 "chunks whose hashes were read from there", NULL);
    v->lost = el_metrics_counter(m, "eliop2p_p2p_manifests_lost_total",
                                 "chunks whose hashes could not be written there", NULL);
    v->dropped = el_metrics_counter(m, "eliop2p_p2p_manifests_dropped_total",
                                    "manifests that were right and had no room beside others of "
                                    "their signer",
                                    NULL);
}

struct p2p_vouch *p2p_vouch_new(const struct p2p_vouch_conf *conf)
{
    struct p2p_vouch *v = el_new(struct p2p_vouch);

    EL_ASSERT(conf->max_chunks > 0);
    v->key = conf->key;
    v->max_chunks = conf->max_chunks;
    v->is_known = conf->is_known;
    v->arg = conf->arg;
    el_key_public(conf->key, v->public_key);
    el_list_init(&v->used);
    el_list_init(&v->reading);
    EL_ASSERT(pthread_mutex_init(&v->mtx, NULL) == 0);
    count(v, conf->metrics);
    return v;
}

enum el_err p2p_vouch_keep(struct p2p_vouch *v, const char *dir, uint64_t max_bytes,
                           struct el_error *err)
{
    const struct p2p_vouch_store_conf conf = {
        .dir = dir, .max_bytes = max_bytes, .ops = &store_ops, .arg = v
    };

    return p2p_vouch_store_open(&conf, &v->store, err);
}

void p2p_vouch_free(struct p2p_vouch *v)
{
    if (v == NULL)
        return;
    p2p_vouch_store_close(v->store);
    while (!el_list_empty(&v->used))
        p2p_vouch_chunk_free_locked(v, EL_ENTRY(v->used.next, struct p2p_vouch_chunk, used));
    EL_ASSERT(el_list_empty(&v->reading)); /* the store has answered for all */
    p2p_vouch_set_deinit(&v->stored);
    EL_ASSERT(pthread_mutex_destroy(&v->mtx) == 0);
    free(v);
}
