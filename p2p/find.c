/* SPDX-License-Identifier: MIT */
/*
 * find: what the cluster knows of a URL, and what it is told of what this node knows: object
 * records, chunks that are here as a whole, URLs that have changed.
 *
 *   cache lacks a url --> FIND to its tracker --> KNOWN: published here, without a byte
 *                                             \-> ASK: this node asks the origin for all (a lead);
 *                                                 its record, or a release, ends that
 *   has it, but stale --> the same; what is known counts if it is younger, and makes it fresh again
 *
 * The cache tells from any thread; what it tells is queued (heard) and dealt with by the engine.
 */
#include "common/log.h"
#include "p2p/engine.h"
#include "p2p/tracker_wire.h"

#define FIND_MS   (P2P_FIND_WAIT_MS + 500u)
#define LEAD_MS   60000u /* the origin has answered by then, or nobody asks it */
#define WALK_MS   50u    /* after a change of the members */
#define WALK_MORE 5000u  /* once more: after a start it was not known what can be given */
#define WALK_ON   1000u  /* where there was no room for more */
/* How often what the store of manifests has is held against what is here, after the start: it reads
 * 50 bytes for each chunk. */
#define SWEEP_MS      21600000u
#define MAX_FORGOTTEN 16384u /* chunks of an object at once: 256 GiB; the rest is swept */
/* All is announced anew before trackers forget it, not by all nodes at once. */
#define ANEW_MS   (P2P_ANNOUNCE_TTL_MS / 2)
#define MAX_HEARD 65536u
#define MAX_HELD  (MAX_HEARD / 2) /* a walk leaves room for what happens meanwhile */

enum heard_kind {
    HEARD_BLOCK,
    HEARD_LOST,
    HEARD_PUBLISHED,
    HEARD_KILLED,
    HEARD_FIND,
    HEARD_LANDED,
    HEARD_HELD, /* by a walk: a chunk that was here before */
};

struct heard {
    struct el_list link;
    enum heard_kind kind;
    struct cache_object *object; /* referenced; or NULL */
    struct cache_object_id id;
    uint64_t number; /* of the block, or the chunk */
    uint16_t blocks; /* held: all of the chunk */
    struct el_digest digest;
    bool stored;
    char *url; /* owned; or NULL */
    size_t url_n;
    uint64_t max_age_ms;            /* find */
    struct p2p *p;                  /* block */
    struct p2p_vouch_waiter hashes; /* the same: what is known of its chunk is being read */
};

struct lead {
    struct el_list link;
    uint64_t since_ms;
    size_t url_n;
    char url[];
};

static void heard_free(struct heard *h)
{
    cache_object_unref(h->object);
    free(h->url);
    free(h);
}

/* ---- what may be told ---- */

static bool names(struct el_str list, struct el_str name)
{
    struct el_str part;

    while (el_str_split(&list, ',', &part)) {
        if (el_str_ieq(el_str_trim(part), name))
            return true;
    }
    return false;
}

bool p2p_is_shareable(struct cache_object *o)
{
    struct cache_meta *m = cache_object_meta(o);
    bool is = cache_object_id(o) != NULL && m->has_strong_validator &&
              cache_object_length(o) != CACHE_UNKNOWN_LENGTH && cache_object_length(o) > 0 &&
              !names(m->vary, EL_STR("authorization")) && !names(m->vary, EL_STR("cookie"));

    cache_meta_unref(m);
    return is;
}

/* ---- records ---- */

/* Its meta is the caller's to give back. */
static struct p2p_manifest object_part(struct cache_object *o)
{
    return (struct p2p_manifest){ .has_object = true,
                                  .url = cache_object_url(o),
                                  .length = cache_object_length(o),
                                  .meta = cache_object_meta(o) };
}

static uint64_t age_of(struct p2p *p, const struct cache_meta *m)
{
    int64_t age = el_clock_wall_ms(p->clock) - m->response_ms + m->corrected_age_ms;

    return age > 0 ? (uint64_t)age : 0;
}

/* False: it has none. */
static bool put_record(struct p2p *p, struct cache_object *o, struct el_buf *ret)
{
    struct p2p_manifest m = object_part(o);
    struct p2p_record record = { 0 };
    struct el_buf bytes;
    struct el_error err;
    bool has;

    el_buf_init(&bytes);
    has = p2p_object_add(&bytes, &m, &err) == EL_OK;
    if (has) {
        record.bytes = el_buf_str(&bytes);
        record.age_ms = age_of(p, m.meta);
        p2p_record_put(ret, &record);
    }
    el_buf_deinit(&bytes);
    cache_meta_unref(m.meta);
    return has;
}

void p2p_find_tell(struct p2p *p, struct cache_object *o)
{
    uint8_t key[DISC_KEY_BYTES];
    struct el_buf body;

    el_buf_init(&body);
    if (put_record(p, o, &body)) {
        p2p_url_key(cache_object_url(o), key);
        p2p_call_tell(p, key, P2P_RECORD, &body);
    }
    el_buf_deinit(&body);
}

void p2p_find_say(struct p2p *p, uint64_t node, struct cache_object *o)
{
    struct el_buf body;

    el_buf_init(&body);
    if (put_record(p, o, &body))
        p2p_call_say(p, node, P2P_RECORD, el_buf_str(&body));
    el_buf_deinit(&body);
}

/* As if it had been answered to this node, that long ago. */
static void date_here(struct p2p *p, struct cache_meta *m, uint64_t age_ms)
{
    int64_t now = el_clock_wall_ms(p->clock), age = now - m->response_ms + m->corrected_age_ms;

    age = age > (int64_t)age_ms ? age : (int64_t)age_ms;
    m->response_ms = age < now ? now - age : 0;
    m->corrected_age_ms = 0;
}

/* The version of the URL, in the same variant, that is here: a reference, or NULL. */
static struct cache_object *version_here(struct p2p *p, const struct p2p_manifest *m)
{
    struct cache_object *here[CACHE_MAX_VARIANTS], *same = NULL;
    size_t n = cache_lookup(p->cache, m->url, here);

    for (size_t i = 0; i < n; i++) {
        struct cache_meta *meta = cache_object_meta(here[i]);

        if (same == NULL &&
            el_str_eq(el_buf_str(&meta->vary_bytes), el_buf_str(&m->meta->vary_bytes)))
            same = here[i];
        else
            cache_object_unref(here[i]);
        cache_meta_unref(meta);
    }
    return same;
}

/* False: what is here was confirmed later. */
static bool is_news(struct p2p *p, struct cache_object *here, const struct cache_meta *said)
{
    struct cache_meta *meta = cache_object_meta(here);
    bool is = age_of(p, meta) > age_of(p, said);

    cache_meta_unref(meta);
    return is;
}

static bool is_same(const struct cache_object *a, const struct cache_object *b)
{
    const struct cache_object_id *x = cache_object_id(a), *y = cache_object_id(b);

    return x != NULL && y != NULL && memcmp(x, y, sizeof(*x)) == 0;
}

/* In place of an older version; what is here of the same one stays, and is as fresh as that. */
static void publish(struct p2p *p, const struct p2p_manifest *m)
{
    struct cache_object *here = version_here(p, m),
                        *o = cache_object_new(p->cache, m->url, m->meta, m->length);
    bool counts = here == NULL || is_news(p, here, m->meta);

    p->is_echo = true;
    if (counts && here != NULL && is_same(here, o))
        cache_object_freshen(here, m->meta);
    else if (counts)
        (void)cache_object_publish(o);
    p->is_echo = false;
    cache_object_unref(here);
    cache_object_unref(o);
}

static void heed_record(struct p2p *p, struct el_str url, const struct p2p_record *r)
{
    struct p2p_manifest m;
    struct el_error err;

    if (p2p_object_decode(r->bytes, &m, &err) != EL_OK) {
        el_log_error(EL_WARN, EV_RECORD_REFUSED, &err);
        return;
    }
    if (el_str_eq(m.url, url) && m.meta->has_strong_validator) {
        date_here(p, m.meta, r->age_ms);
        publish(p, &m);
    }
    p2p_manifest_deinit(&m);
}

struct cache_object *p2p_find_adopt(struct p2p *p, const struct p2p_manifest *m, uint64_t age_ms)
{
    struct cache_object *o;
    bool is_there;

    if (!m->meta->has_strong_validator)
        return NULL;
    o = version_here(p, m);
    if (o != NULL) {
        cache_object_unref(o);
        return NULL;
    }
    date_here(p, m->meta, age_ms);
    o = cache_object_new(p->cache, m->url, m->meta, m->length);
    p->is_echo = true;
    is_there = cache_object_publish(o);
    p->is_echo = false;
    if (is_there)
        return o;
    cache_object_unref(o);
    return NULL;
}

/* ---- finding ---- */

/* After a change of the members whoever owns a key now may know less than who did before. */
#define UNSETTLED_MS 300000u

struct find {
    unsigned attempt;
    uint64_t max_age_ms;
    size_t url_n;
    char url[];
};

/* True: this node has asked about it for all. */
static bool lead_ends(struct p2p *p, struct el_str url)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->leads) {
        struct lead *l = EL_ENTRY(it, struct lead, link);

        if (l->url_n == url.n && memcmp(l->url, url.p, url.n) == 0) {
            el_list_remove(&l->link);
            free(l);
            return true;
        }
    }
    return false;
}

/* What nobody asked about in the end: the copy went, or what was said of it made it fresh. */
static void forget_leads(struct p2p *p)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->leads) {
        struct lead *l = EL_ENTRY(it, struct lead, link);

        if (p2p_now(p) - l->since_ms < LEAD_MS)
            return;
        el_list_remove(&l->link);
        free(l);
    }
}

static void lead(struct p2p *p, struct el_str url)
{
    struct lead *l = el_alloc(sizeof(*l) + url.n);

    (void)lead_ends(p, url); /* one is enough */
    forget_leads(p);
    l->since_ms = p2p_now(p);
    l->url_n = url.n;
    memcpy(l->url, url.p, url.n);
    el_list_append(&p->leads, &l->link);
}

/* What this node asked about for all. */
static void release(struct p2p *p, struct el_str url, enum p2p_release why)
{
    uint8_t key[DISC_KEY_BYTES];
    struct el_buf body;

    if (!lead_ends(p, url))
        return;
    p2p_url_key(url, key);
    el_buf_init(&body);
    p2p_release_put(&body, url, why);
    p2p_call_tell(p, key, P2P_RELEASE, &body);
}

static void find_at(struct p2p *p, struct find *q);

static bool is_unsettled(struct p2p *p)
{
    return p2p_now(p) - p->changed_ms < UNSETTLED_MS;
}

static bool has_backup(struct p2p *p, const struct find *q)
{
    uint8_t key[DISC_KEY_BYTES];

    p2p_url_key((struct el_str){ q->url, q->url_n }, key);
    return q->attempt + 1 < DISC_OWNERS && p2p_owner(p, key, q->attempt + 1) != 0;
}

/* A backup knew it: its owner, who named this node to ask, hears what it is. */
static void pass_on_records(struct p2p *p, struct el_str url, const struct p2p_found *found)
{
    uint8_t key[DISC_KEY_BYTES];
    struct el_buf body;

    p2p_url_key(url, key);
    for (size_t i = found->n; i > 0; i--) { /* the newest last, so that it is the first there */
        el_buf_init(&body);
        p2p_record_put(&body, &found->records[i - 1]);
        p2p_call_tell(p, key, P2P_RECORD, &body);
    }
}

static void on_found(struct p2p *p, void *arg, uint64_t node, struct el_str body, enum el_err code)
{
    struct find *q = arg;
    struct el_str url = { q->url, q->url_n };
    struct p2p_found found;
    struct el_error err;

    (void)node;
    if (code == EL_OK && p2p_found_decode(body, &found, &err) == EL_OK) {
        if (found.kind == P2P_FOUND_ASK && q->max_age_ms == UINT64_MAX && has_backup(p, q) &&
            is_unsettled(p)) {
            q->attempt++;
            find_at(p, q);
            return;
        }
        if (found.kind == P2P_FOUND_ASK)
            lead(p, url);
        else if (q->attempt > 0)
            pass_on_records(p, url, &found);
        for (size_t i = found.n; i > 0; i--) /* the newest last, so that it is found first */
            heed_record(p, url, &found.records[i - 1]);
        el_counter_add(found.kind == P2P_FOUND_ASK ? p->count.finds_asked : p->count.finds_known,
                       1);
    } else if (q->attempt > 0) {
        lead(p, url); /* as the one before said */
    }
    if (!cache_found(p->cache, url))
        release(p, url, P2P_RELEASE_FAILED); /* nobody here asks for all */
    free(q);
}

static void find_at(struct p2p *p, struct find *q)
{
    struct el_str url = { q->url, q->url_n };
    uint8_t key[DISC_KEY_BYTES];
    struct el_buf body;

    p2p_url_key(url, key);
    el_buf_init(&body);
    p2p_find_put(&body, url, q->max_age_ms);
    p2p_call_ask(p, key, q->attempt, P2P_FIND, &body, FIND_MS, on_found, q);
}

static void find_url(struct p2p *p, struct el_str url, uint64_t max_age_ms)
{
    struct find *q = el_alloc(sizeof(*q) + url.n);

    q->max_age_ms = max_age_ms;
    q->url_n = url.n;
    memcpy(q->url, url.p, url.n);
    find_at(p, q);
}

static void landed(struct p2p *p, struct el_str url, bool stored)
{
    if (stored)
        (void)lead_ends(p, url); /* by its record */
    else
        release(p, url, P2P_RELEASE_ALONE);
}

static bool is_whole(struct cache_object *o, uint64_t chunk)
{
    uint64_t length = cache_object_length(o), bits[1] = { 0 };
    uint64_t blocks = cache_blocks_of(length);
    uint64_t first = chunk * CACHE_CHUNK_BLOCKS;
    size_t n = (size_t)el_min_u64(blocks - first, CACHE_CHUNK_BLOCKS);

    cache_object_map(o, first, n, bits);
    return bits[0] == ((uint64_t)1 << n) - 1;
}

/* The cache tells of none of them that it is lost. Who still takes it needs its hashes. */
static void forget_chunks(struct p2p *p, struct cache_object *o)
{
    uint64_t n = (cache_object_length(o) + CACHE_CHUNK_BYTES - 1) / CACHE_CHUNK_BYTES;
    struct cache_object *same = cache_find_version(p->cache, cache_object_id(o));
    struct el_chunk_id chunk = { .index = 0 };
    bool is_wanted;

    memcpy(chunk.object, cache_object_id(o)->v, sizeof(chunk.object));
    is_wanted = same != NULL || p2p_fetch_find(p, chunk.object) != NULL;
    for (; p->cp != NULL && chunk.index < n; chunk.index++)
        disc_cp_chunk(p->cp, &chunk, same != NULL && is_whole(same, chunk.index));
    n = is_wanted ? 0 : el_min_u64(n, MAX_FORGOTTEN);
    for (chunk.index = 0; chunk.index < n; chunk.index++)
        p2p_vouch_forget(p->vouch, &chunk);
    cache_object_unref(same);
}

/* Others are told of it; and it is not the same again, by what somebody else said a moment ago. */
static bool takes_its_place(struct cache_object *o, struct cache_object *old)
{
    struct cache_meta *meta = cache_object_meta(o), *old_meta = cache_object_meta(old);
    bool does =
        p2p_is_shareable(o) && (!is_same(o, old) || meta->response_ms > old_meta->response_ms);

    cache_meta_unref(meta);
    cache_meta_unref(old_meta);
    return does;
}

/* Nobody is to believe what was known of the URL, unless another version has taken its place. */
static void killed(struct p2p *p, struct cache_object *o)
{
    struct cache_object *others[CACHE_MAX_VARIANTS];
    size_t n = cache_lookup(p->cache, cache_object_url(o), others);
    uint8_t key[DISC_KEY_BYTES];
    bool is_replaced = false;
    struct el_buf body;

    for (size_t i = 0; i < n; i++) {
        is_replaced = is_replaced || takes_its_place(others[i], o);
        cache_object_unref(others[i]);
    }
    if (!p2p_is_shareable(o))
        return;
    forget_chunks(p, o);
    if (is_replaced || !p2p_url_is_fine(cache_object_url(o))) /* nobody was told of such a one */
        return;
    p2p_url_key(cache_object_url(o), key);
    el_buf_init(&body);
    p2p_forget_put(&body, cache_object_url(o));
    p2p_call_tell(p, key, P2P_FORGET, &body);
}

/* ---- chunks ---- */

void p2p_find_heed(struct p2p *p, uint64_t node, enum disc_type type, const struct disc_chunks *v,
                   size_t n)
{
    if (type == DISC_CHUNK_REMOVE) {
        p2p_tracker_remove(p->tracker, p2p_now(p), node, v, n);
        return;
    }
    p2p_tracker_announce(p->tracker, p2p_now(p), node, v, n);
    for (size_t i = 0; i < n; i++)
        el_counter_add(p->count.heard, (unsigned)__builtin_popcountll(v[i].bitmap));
}

/* Signed by this node, if nobody else has signed the same, and told to who follows. */
static void vouch_for(struct p2p *p, const struct heard *h)
{
    struct el_chunk_id chunk = { .index = (uint32_t)(h->number / CACHE_CHUNK_BLOCKS) };
    unsigned number = (unsigned)(h->number % CACHE_CHUNK_BLOCKS);
    struct el_digest known;
    struct p2p_manifest m;
    struct el_error err;
    struct p2p_fetch *f;
    enum el_err rc = EL_OK;

    memcpy(chunk.object, h->id.v, sizeof(chunk.object));
    if (!p2p_vouch_hash(p->vouch, &chunk, number, &known) ||
        memcmp(&known, &h->digest, sizeof(known)) != 0) {
        m = object_part(h->object);
        rc = p2p_vouch_sign(p->vouch, &m, &chunk, number, &h->digest, &err);
        cache_meta_unref(m.meta);
    }
    if (rc == EL_EHASH) {
        el_log_error(EL_WARN, EV_CHUNK_DISTRUSTED, &err);
        f = p2p_fetch_find(p, chunk.object);
        if (f != NULL)
            p2p_swarm_distrust_chunk(f->download, p2p_now(p), chunk.index);
    }
    p2p_give_block(p, h->object, &chunk);
    if (is_whole(h->object, chunk.index))
        p2p_announce(p, &chunk, false);
}

/* Of what is read for who reads a dead object on nothing can be given. */
static bool is_here(struct p2p *p, const struct heard *h)
{
    struct cache_object *o = cache_find_version(p->cache, &h->id);
    uint64_t bits[1] = { 0 };

    if (o == h->object)
        cache_object_map(o, h->number, 1, bits);
    cache_object_unref(o);
    return bits[0] != 0;
}

static void on_hashes(struct el_msg *m)
{
    struct heard *h = EL_ENTRY(m, struct heard, hashes.msg);
    struct p2p *p = h->p;

    el_list_remove(&h->link);
    p->n_awaiting--;
    if (is_here(p, h)) /* it may have gone meanwhile */
        vouch_for(p, h);
    heard_free(h);
    p2p_pump(p);
}

/* What this node signs, and says that it has, goes with what it knew before. */
static bool await_hashes(struct p2p *p, struct heard *h, const struct el_chunk_id *chunk)
{
    h->p = p;
    h->hashes.queue = p->queue;
    el_list_init(&h->hashes.link);
    el_msg_init(&h->hashes.msg, on_hashes);
    if (p->n_awaiting == MAX_HEARD || !p2p_vouch_load(p->vouch, chunk, &h->hashes))
        return false;
    el_list_append(&p->awaiting, &h->link);
    p->n_awaiting++;
    return true;
}

/* Who waits for the block here does not wait for hashes. False: it is kept. */
static bool block(struct p2p *p, struct heard *h)
{
    struct el_chunk_id chunk = { .index = (uint32_t)(h->number / CACHE_CHUNK_BLOCKS) };

    if (!p2p_is_shareable(h->object))
        return true;
    memcpy(chunk.object, h->id.v, sizeof(chunk.object));
    p2p_fetch_block(p, &chunk, h->number);
    if (await_hashes(p, h, &chunk))
        return false;
    if (is_here(p, h))
        vouch_for(p, h);
    return true;
}

/* What is left of the chunk, maybe in an object that took the place of the one that lost it. */
static bool is_anything_left(struct p2p *p, const struct heard *h, bool *ret_whole)
{
    struct cache_object *o = cache_find_version(p->cache, &h->id);
    uint64_t bits[1] = { 0 };

    *ret_whole = o != NULL && is_whole(o, h->number);
    if (o != NULL)
        cache_object_map(o, h->number * CACHE_CHUNK_BLOCKS, CACHE_CHUNK_BLOCKS, bits);
    cache_object_unref(o);
    return bits[0] != 0;
}

static void lost(struct p2p *p, const struct heard *h)
{
    struct el_chunk_id chunk = { .index = (uint32_t)h->number };
    bool is_whole_still, is_left = is_anything_left(p, h, &is_whole_still);
    struct p2p_fetch *f;

    memcpy(chunk.object, h->id.v, sizeof(chunk.object));
    f = p2p_fetch_find(p, chunk.object);
    if (f != NULL)
        p2p_fetch_lost(f, chunk.index);
    if (!is_whole_still)
        p2p_announce(p, &chunk, true);
    if (!is_left)
        p2p_vouch_forget(p->vouch, &chunk);
}

/* What others cannot take for want of its hashes is of no interest to them. */
static void held(struct p2p *p, const struct heard *h)
{
    struct el_chunk_id chunk = { .index = (uint32_t)h->number };

    memcpy(chunk.object, h->id.v, sizeof(chunk.object));
    if (p2p_vouch_can_tell(p->vouch, &chunk, h->blocks))
        p2p_announce(p, &chunk, false);
}

/* ---- what the cache tells ---- */

/* Takes h. */
static void heed(struct p2p *p, struct heard *h)
{
    struct el_str url = { h->url, h->url_n };

    switch (h->kind) {
    case HEARD_BLOCK:
        if (!block(p, h))
            return;
        break;
    case HEARD_LOST:
        lost(p, h);
        break;
    case HEARD_PUBLISHED:
        if (p2p_is_shareable(h->object))
            p2p_fetch_adopt(p, h->object);
        else
            release(p, cache_object_url(h->object), P2P_RELEASE_ALONE);
        break;
    case HEARD_KILLED:
        killed(p, h->object);
        break;
    case HEARD_FIND:
        find_url(p, url, h->max_age_ms);
        break;
    case HEARD_LANDED:
        landed(p, url, h->stored);
        break;
    case HEARD_HELD:
        held(p, h);
        break;
    }
    heard_free(h);
}

static void on_heard(struct el_msg *m)
{
    struct p2p *p = EL_ENTRY(m, struct p2p, heard_msg);
    struct el_list some, *l;
    bool has_missed;

    EL_ASSERT(pthread_mutex_lock(&p->heard_mtx) == 0);
    el_list_move(&some, &p->heard);
    p->n_heard = 0;
    has_missed = p->has_missed;
    if (has_missed) { /* what it was is found by looking at all */
        p->walk_due_ms = el_min_u64(p->walk_due_ms, p2p_now(p) + WALK_MORE);
        p->sweep_due_ms = 0;
    }
    p->has_missed = false;
    EL_ASSERT(pthread_mutex_unlock(&p->heard_mtx) == 0);
    while ((l = el_list_pop(&some)) != NULL)
        heed(p, EL_ENTRY(l, struct heard, link));
    if (has_missed)
        p2p_fetch_missed(p);
    p2p_pump(p);
}

/* Takes h. False: too much is waiting, and h is gone. */
static bool tell(struct p2p *p, struct heard *h)
{
    size_t most = h->kind == HEARD_HELD ? MAX_HELD : MAX_HEARD;
    bool fits;

    EL_ASSERT(pthread_mutex_lock(&p->heard_mtx) == 0);
    fits = atomic_load(&p->is_running) && p->n_heard < most;
    p->has_missed = p->has_missed || (!fits && h->kind != HEARD_HELD);
    if (fits) {
        p->n_heard++;
        el_list_append(&p->heard, &h->link);
        el_msgq_post(p->queue, &p->heard_msg);
    }
    EL_ASSERT(pthread_mutex_unlock(&p->heard_mtx) == 0);
    if (!fits)
        heard_free(h);
    return fits;
}

static struct heard *heard_new(enum heard_kind kind, struct cache_object *o)
{
    struct heard *h = el_new(struct heard);
    const struct cache_object_id *id = o != NULL ? cache_object_id(o) : NULL;

    h->kind = kind;
    h->object = o != NULL ? cache_object_ref(o) : NULL;
    if (id != NULL)
        h->id = *id;
    return h;
}

static struct heard *heard_of_url(enum heard_kind kind, struct el_str url)
{
    struct heard *h = heard_new(kind, NULL);

    h->url = el_strndup(url.p, url.n);
    h->url_n = url.n;
    return h;
}

/* On the engine's thread, what another node has said comes back like that. */
static bool is_echo(struct p2p *p)
{
    return pthread_equal(pthread_self(), p->thread) && p->is_echo;
}

static struct p2p *of_listener(struct cache_listener *l)
{
    return EL_ENTRY(l, struct p2p, listener);
}

static void told_block(struct cache_listener *l, struct cache_object *o, uint64_t number,
                       const struct el_digest *digest)
{
    struct heard *h = heard_new(HEARD_BLOCK, o);

    h->number = number;
    h->digest = *digest;
    (void)tell(of_listener(l), h);
}

static void told_lost(struct cache_listener *l, const struct cache_object_id *id, uint64_t chunk)
{
    struct heard *h = heard_new(HEARD_LOST, NULL);

    h->id = *id;
    h->number = chunk;
    (void)tell(of_listener(l), h);
}

static void told_published(struct cache_listener *l, struct cache_object *o)
{
    if (!is_echo(of_listener(l)))
        (void)tell(of_listener(l), heard_new(HEARD_PUBLISHED, o));
}

static void told_killed(struct cache_listener *l, struct cache_object *o)
{
    if (!is_echo(of_listener(l)))
        (void)tell(of_listener(l), heard_new(HEARD_KILLED, o));
}

const struct cache_listener_ops p2p_listener_ops = {
    .block = told_block,
    .lost = told_lost,
    .published = told_published,
    .killed = told_killed,
};

static struct p2p *of_finder(struct cache_finder *f)
{
    return EL_ENTRY(f, struct p2p, finder);
}

static bool may_know(struct cache_finder *finder, struct el_str url, uint64_t max_age_ms)
{
    struct p2p *p = of_finder(finder);
    struct heard *h;

    if (!atomic_load(&p->asks_others) || !p2p_url_is_fine(url))
        return false;
    h = heard_of_url(HEARD_FIND, url);
    h->max_age_ms = max_age_ms;
    return tell(p, h);
}

static void told_landed(struct cache_finder *finder, struct el_str url, bool stored)
{
    struct p2p *p = of_finder(finder);

    struct heard *h;

    if (atomic_load(&p->n_live) <= 1)
        return;
    h = heard_of_url(HEARD_LANDED, url);
    h->stored = stored;
    (void)tell(p, h);
}

const struct cache_finder_ops p2p_finder_ops = { .find = may_know, .landed = told_landed };

/* ---- what is here already ---- */

/* Thread: any. */
static void walk_meets(struct cache_walk *w, const struct cache_object_id *id, uint64_t length,
                       uint64_t chunk, uint16_t blocks)
{
    struct p2p *p = EL_ENTRY(w, struct p2p, walk);
    uint64_t left = length - chunk * CACHE_CHUNK_BYTES;
    uint64_t n = cache_blocks_of(el_min_u64(left, CACHE_CHUNK_BYTES));
    struct el_chunk_id met = { .index = (uint32_t)chunk };
    struct heard *h;

    memcpy(met.object, id->v, sizeof(met.object));
    p2p_vouch_walk_met(p->vouch, &met);
    if (blocks != (uint16_t)(((uint32_t)1 << n) - 1) || p->walk_is_full ||
        p->walk_met++ < p->walk_from)
        return;
    h = heard_new(HEARD_HELD, NULL);
    h->id = *id;
    h->number = chunk;
    h->blocks = blocks;
    p->walk_is_full = !tell(p, h);
}

static void sweep(struct p2p *p)
{
    p->sweep_due_ms = p2p_now(p) + SWEEP_MS;
    p2p_vouch_sweep(p->vouch);
}

static void walk_ends(struct el_msg *m)
{
    struct p2p *p = EL_ENTRY(m, struct p2p, walk.msg);

    p->is_walking = false;
    if (p->is_sweeping && p->walk.err.code == EL_OK)
        sweep(p);
    p->walk_from = 0;
    if (p->walk_is_full) { /* the next one goes on there: order changes little */
        p->walk_from = p->walk_met - 1;
        p->walk_due_ms = el_min_u64(p->walk_due_ms, p2p_now(p) + WALK_ON);
    }
}

/* Whoever has become a tracker knows nothing yet. */
static void walk(struct p2p *p)
{
    uint64_t now = p2p_now(p);
    bool is_named;

    if (p->walked_version != p->live_version) {
        p->walked_version = p->live_version;
        p->walk_due_ms = now + WALK_MS + el_rng_below(&p->rng, WALK_MS);
        p->walks_more = true;
    }
    if (now < p->walk_due_ms || p->is_walking || (!p2p_has_company(p) && p->cp == NULL))
        return;
    is_named = p2p_vouch_is_named(p->vouch);
    p->walks_more = p->walks_more || !is_named;
    if (p->walks_more)
        p->walk_from = 0; /* some trackers know nothing at all */
    p->walk_due_ms =
        now + (p->walks_more ? WALK_MORE : ANEW_MS - el_rng_below(&p->rng, ANEW_MS / 4));
    p->walks_more = false;
    p->is_walking = true;
    p->walk_is_full = false;
    p->walk_met = 0;
    p->walk.queue = p->queue;
    p->walk.each = walk_meets;
    p->walk.err = (struct el_error){ 0 };
    el_msg_init(&p->walk.msg, walk_ends);
    p->is_sweeping = is_named && now >= p->sweep_due_ms;
    if (p->is_sweeping)
        p2p_vouch_walk_begin(p->vouch);
    cache_each_version(p->cache, &p->walk);
}

/* ---- life ---- */

void p2p_find_init(struct p2p *p)
{
    el_list_init(&p->leads);
    el_list_init(&p->announces);
    el_list_init(&p->heard);
    el_list_init(&p->awaiting);
    el_msg_init(&p->heard_msg, on_heard);
    EL_ASSERT(pthread_mutex_init(&p->heard_mtx, NULL) == 0);
}

void p2p_find_missed(struct p2p *p)
{
    p->walk_due_ms = el_min_u64(p->walk_due_ms, p2p_now(p) + WALK_ON);
}

void p2p_find_tick(struct p2p *p)
{
    walk(p);
}

/* Who waits for an answer goes to the origin. Nothing is told any more: is_running is not set. */
void p2p_find_stop(struct p2p *p)
{
    struct el_list *l;

    EL_ASSERT(pthread_mutex_lock(&p->heard_mtx) == 0);
    EL_ASSERT(pthread_mutex_unlock(&p->heard_mtx) == 0);
    el_msgq_cancel(p->queue, &p->heard_msg);
    while ((l = el_list_pop(&p->heard)) != NULL) {
        struct heard *h = EL_ENTRY(l, struct heard, link);

        if (h->kind == HEARD_FIND)
            (void)cache_found(p->cache, (struct el_str){ h->url, h->url_n });
        heard_free(h);
    }
    while ((l = el_list_pop(&p->awaiting)) != NULL) {
        struct heard *h = EL_ENTRY(l, struct heard, link);

        p2p_vouch_leave(p->vouch, &h->hashes);
        heard_free(h);
    }
}

void p2p_find_deinit(struct p2p *p)
{
    struct el_list *l;

    while ((l = el_list_pop(&p->leads)) != NULL)
        free(EL_ENTRY(l, struct lead, link));
    EL_ASSERT(pthread_mutex_destroy(&p->heard_mtx) == 0);
}
