/* SPDX-License-Identifier: MIT */
/*
 * vouch: see vouch.h. Manifests are kept with their hashes only; the object part belongs to the
 * object records (find.c), so what goes out has its SHA-256.
 */
#include "p2p/vouch.h"

#include <pthread.h>

#include "common/bytes.h"
#include "p2p/vouch_store.h"

#define BUCKETS    16384u
#define MAX_OF_ONE 4u /* parts of a chunk by the same signer */

/* What one signer says of a chunk. */
struct part {
    struct part *next;
    struct p2p_manifest m; /* without its object part */
};

struct chunk {
    struct chunk *next;  /* in its bucket */
    struct el_list used; /* most recent last */
    struct el_chunk_id id;
    uint32_t known; /* blocks */
    bool is_contradicted;
    struct part *parts; /* owned */
    struct part *own;   /* of these, this node's; NULL: it has read nothing of it */
};

struct p2p_vouch {
    const struct el_key *key;
    uint8_t public_key[EL_KEY_BYTES];
    size_t max_chunks;
    struct p2p_vouch_store *store; /* NULL: nothing outlives the process */
    pthread_mutex_t mtx;           /* all below */
    struct chunk *buckets[BUCKETS];
    struct el_list used;
    size_t n_chunks;
};

/* ---- the table ---- */

static uint32_t bucket_of(const struct el_chunk_id *id)
{
    uint64_t h;

    memcpy(&h, id->object, sizeof(h));
    h ^= id->index * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 7) % BUCKETS;
}

static void chunk_free(struct p2p_vouch *v, struct chunk *c)
{
    struct chunk **at = &v->buckets[bucket_of(&c->id)];
    struct part *p;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    el_list_remove(&c->used);
    v->n_chunks--;
    while ((p = c->parts) != NULL) {
        c->parts = p->next;
        free(p);
    }
    free(c);
}

static struct chunk *find(struct p2p_vouch *v, const struct el_chunk_id *id)
{
    struct chunk *c = v->buckets[bucket_of(id)];

    while (c != NULL && !el_chunk_id_eq(&c->id, id))
        c = c->next;
    if (c != NULL) {
        el_list_remove(&c->used);
        el_list_append(&v->used, &c->used);
    }
    return c;
}

static struct chunk *find_or_make(struct p2p_vouch *v, const struct el_chunk_id *id)
{
    struct chunk *c = find(v, id);
    uint32_t bucket = bucket_of(id);

    if (c != NULL)
        return c;
    if (v->n_chunks >= v->max_chunks)
        chunk_free(v, EL_ENTRY(v->used.next, struct chunk, used));
    c = el_new(struct chunk);
    c->id = *id;
    c->next = v->buckets[bucket];
    v->buckets[bucket] = c;
    el_list_append(&v->used, &c->used);
    v->n_chunks++;
    return c;
}

struct p2p_vouch *p2p_vouch_new(const struct el_key *key, size_t max_chunks)
{
    struct p2p_vouch *v = el_new(struct p2p_vouch);

    EL_ASSERT(max_chunks > 0);
    v->key = key;
    v->max_chunks = max_chunks;
    el_key_public(key, v->public_key);
    el_list_init(&v->used);
    EL_ASSERT(pthread_mutex_init(&v->mtx, NULL) == 0);
    return v;
}

void p2p_vouch_free(struct p2p_vouch *v)
{
    if (v == NULL)
        return;
    p2p_vouch_store_close(v->store);
    while (!el_list_empty(&v->used))
        chunk_free(v, EL_ENTRY(v->used.next, struct chunk, used));
    EL_ASSERT(pthread_mutex_destroy(&v->mtx) == 0);
    free(v);
}

static void lock(struct p2p_vouch *v)
{
    EL_ASSERT(pthread_mutex_lock(&v->mtx) == 0);
}

static void unlock(struct p2p_vouch *v)
{
    EL_ASSERT(pthread_mutex_unlock(&v->mtx) == 0);
}

/* ---- what is believed ---- */

static bool has(uint32_t bitmap, unsigned block)
{
    return (bitmap >> block & 1) != 0;
}

static struct part *part_with(struct chunk *c, unsigned block)
{
    for (struct part *p = c->parts; p != NULL; p = p->next) {
        if (has(p->m.bitmap, block))
            return p;
    }
    return NULL;
}

/* Two signers, one block, two hashes: one of them is wrong, and nobody can say which. */
static bool agrees(struct chunk *c, const struct p2p_manifest *m, struct el_error *err)
{
    for (struct part *p = c->parts; p != NULL; p = p->next) {
        if (p2p_manifest_agree(&p->m, m, err) != EL_OK)
            return false;
    }
    return true;
}

static bool is_by(const struct part *p, const uint8_t *key)
{
    return memcmp(p->m.key, key, EL_KEY_BYTES) == 0;
}

/*
 * The signer's word is replaced by one that says the same and more. Who has lost what it read
 * signs anew, other blocks perhaps: that is kept beside it.
 */
static void keep(struct chunk *c, const struct p2p_manifest *m)
{
    struct part *p = c->parts;
    unsigned n = 0;

    for (; p != NULL; p = p->next) {
        if (!is_by(p, m->key))
            continue;
        if ((m->bitmap & ~p->m.bitmap) == 0)
            return;
        if ((p->m.bitmap & ~m->bitmap) == 0)
            break;
        n++;
    }
    if (p == NULL && n == MAX_OF_ONE)
        return;
    if (p == NULL) {
        p = el_new(struct part);
        p->next = c->parts;
        c->parts = p;
    }
    p->m = *m;
    p->m.has_object = false;
    p->m.url = (struct el_str){ 0 };
    p->m.meta = NULL;
    c->known |= m->bitmap;
}

/* Frames, each behind its length. */
static void store_chunk(struct p2p_vouch *v, const struct chunk *c)
{
    struct el_buf value = { 0 }, frame = { 0 };

    for (const struct part *p = c->parts; p != NULL; p = p->next) {
        p2p_manifest_add(&frame, P2P_VERSION_MAX, &p->m);
        el_bytes_add_u32(&value, (uint32_t)frame.n);
        el_buf_add(&value, frame.p, frame.n);
        el_buf_clear(&frame);
    }
    el_buf_deinit(&frame);
    p2p_vouch_store_put(v->store, &c->id, &value);
}

static enum el_err take_locked(struct chunk *c, const struct p2p_manifest *m, struct el_error *err)
{
    if (c->is_contradicted)
        return el_fail(err, EL_EHASH, 0, "what is said of the chunk contradicts itself");
    if (!agrees(c, m, err)) {
        c->is_contradicted = true;
        return EL_EHASH;
    }
    keep(c, m);
    return EL_OK;
}

/* The same, and the chunk is kept over restarts once all of it is known. */
static enum el_err take_and_keep_locked(struct p2p_vouch *v, struct chunk *c,
                                        const struct p2p_manifest *m, struct el_error *err)
{
    uint32_t all = ((uint32_t)1 << p2p_manifest_blocks(m)) - 1, before = c->known;
    enum el_err rc = take_locked(c, m, err);

    if (rc == EL_OK && v->store != NULL && c->known == all && before != all)
        store_chunk(v, c);
    return rc;
}

enum el_err p2p_vouch_take(struct p2p_vouch *v, const struct p2p_manifest *m, struct el_error *err)
{
    enum el_err rc;

    lock(v);
    rc = take_and_keep_locked(v, find_or_make(v, &m->chunk), m, err);
    unlock(v);
    return rc;
}

void p2p_vouch_forget(struct p2p_vouch *v, const struct el_chunk_id *chunk)
{
    struct chunk *c;

    lock(v);
    c = find(v, chunk);
    if (c != NULL)
        chunk_free(v, c);
    unlock(v);
    if (v->store != NULL)
        p2p_vouch_store_drop(v->store, chunk);
}

/* ---- over a restart ---- */

/* A frame as p2p_manifest_add() wrote it. */
static void read_frame(struct p2p_vouch *v, const struct el_chunk_id *chunk, struct el_str bytes)
{
    struct p2p_frame f = { .version = P2P_VERSION_MAX, .type = P2P_MANIFEST, .has_chunk = true };
    struct p2p_manifest m;

    if (bytes.n <= P2P_HEAD_MAX + P2P_TAIL_BYTES)
        return;
    f.chunk = *chunk;
    f.data =
        el_str_first(el_str_from(bytes, P2P_HEAD_MAX), bytes.n - P2P_HEAD_MAX - P2P_TAIL_BYTES);
    if (p2p_manifest_decode(&f, &m, NULL) != EL_OK)
        return; /* it is as if it had not been kept */
    lock(v);
    (void)take_locked(find_or_make(v, &m.chunk), &m, NULL);
    unlock(v);
    p2p_manifest_deinit(&m);
}

static void read_chunk(void *arg, const struct el_chunk_id *chunk, struct el_str value)
{
    struct el_bytes in = el_bytes_of(value);

    while (!el_bytes_is_end(&in) && !in.is_bad) {
        size_t n = el_bytes_u32(&in);

        read_frame(arg, chunk, el_bytes_str(&in, n));
    }
}

enum el_err p2p_vouch_keep(struct p2p_vouch *v, const char *dir, struct el_error *err)
{
    return p2p_vouch_store_open(dir, v->max_chunks, read_chunk, v, &v->store, err);
}

/* ---- what this node has read ---- */

static uint32_t chunk_bytes(uint64_t length, uint32_t index)
{
    return (uint32_t)el_min_u64(length - index * CACHE_CHUNK_BYTES, CACHE_CHUNK_BYTES);
}

/* The next of this node's own manifests of the chunk; sealed and signed. */
static enum el_err grow(struct p2p_vouch *v, struct chunk *c, const struct p2p_manifest *object,
                        unsigned block, const struct el_digest *digest, struct p2p_manifest *m,
                        struct el_error *err)
{
    enum el_err rc;

    if (c->own != NULL)
        *m = c->own->m;
    m->chunk = c->id;
    m->has_object = true;
    m->url = object->url;
    m->length = object->length;
    m->meta = object->meta;
    m->bytes = chunk_bytes(m->length, c->id.index);
    m->bitmap |= (uint32_t)1 << block;
    m->blocks[block] = *digest;
    rc = p2p_manifest_seal(m, err);
    if (rc == EL_OK)
        p2p_manifest_sign(m, v->key);
    return rc;
}

static enum el_err sign_locked(struct p2p_vouch *v, struct chunk *c,
                               const struct p2p_manifest *object, unsigned block,
                               const struct el_digest *digest, struct el_error *err)
{
    struct p2p_manifest m = { 0 };
    enum el_err rc;

    if (c->own != NULL && has(c->own->m.bitmap, block) &&
        memcmp(&c->own->m.blocks[block], digest, sizeof(*digest)) == 0)
        return EL_OK;
    rc = grow(v, c, object, block, digest, &m, err);
    if (rc == EL_OK)
        rc = take_and_keep_locked(v, c, &m, err);
    for (struct part *p = c->parts; p != NULL && rc == EL_OK; p = p->next) {
        if (is_by(p, v->public_key) && has(p->m.bitmap, block))
            c->own = p;
    }
    return rc;
}

enum el_err p2p_vouch_sign(struct p2p_vouch *v, const struct p2p_manifest *object,
                           const struct el_chunk_id *chunk, unsigned block,
                           const struct el_digest *digest, struct el_error *err)
{
    enum el_err rc;

    lock(v);
    rc = sign_locked(v, find_or_make(v, chunk), object, block, digest, err);
    unlock(v);
    return rc;
}

/* ---- asking ---- */

bool p2p_vouch_hash(struct p2p_vouch *v, const struct el_chunk_id *chunk, unsigned block,
                    struct el_digest *ret)
{
    struct chunk *c;
    struct part *p;

    lock(v);
    c = find(v, chunk);
    p = c != NULL && !c->is_contradicted ? part_with(c, block) : NULL;
    if (p != NULL)
        *ret = p->m.blocks[block];
    unlock(v);
    return p != NULL;
}

uint32_t p2p_vouch_known(struct p2p_vouch *v, const struct el_chunk_id *chunk)
{
    struct chunk *c;
    uint32_t known;

    lock(v);
    c = find(v, chunk);
    known = c != NULL && !c->is_contradicted ? c->known : 0;
    unlock(v);
    return known;
}

uint32_t p2p_vouch_tell(struct p2p_vouch *v, const struct el_chunk_id *chunk, unsigned block,
                        uint64_t age_ms, uint32_t version, struct el_buf *out)
{
    uint32_t bitmap = 0;
    struct chunk *c;
    struct part *p;

    lock(v);
    c = find(v, chunk);
    p = c != NULL && !c->is_contradicted ? part_with(c, block) : NULL;
    if (p != NULL) {
        p->m.age_ms = age_ms;
        p2p_manifest_add(out, version, &p->m);
        bitmap = p->m.bitmap;
    }
    unlock(v);
    return bitmap;
}
