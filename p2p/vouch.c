/* SPDX-License-Identifier: MIT */
/*
 * vouch: see vouch.h. Manifests are kept with their hashes only; the object part belongs to the
 * object records (find.c), so what goes out has its SHA-256.
 */
#include "common/log.h"
#include "p2p/vouch_in.h"

#define MAX_OF_ONE 4u /* parts of a chunk by the same signer */

/* ---- what is believed ---- */

static bool has(uint32_t bitmap, unsigned block)
{
    return (bitmap >> block & 1) != 0;
}

static struct p2p_vouch_part *part_with(struct p2p_vouch_chunk *c, unsigned block)
{
    for (struct p2p_vouch_part *p = c->parts; p != NULL; p = p->next) {
        if (has(p->m.bitmap, block))
            return p;
    }
    return NULL;
}

/* Two signers, one block, two hashes: one of them is wrong, and nobody can say which. */
static bool agrees(struct p2p_vouch_chunk *c, const struct p2p_manifest *m, struct el_error *err)
{
    for (struct p2p_vouch_part *p = c->parts; p != NULL; p = p->next) {
        if (p2p_manifest_agree(&p->m, m, err) != EL_OK)
            return false;
    }
    return true;
}

static bool is_by(const struct p2p_vouch_part *p, const uint8_t *key)
{
    return memcmp(p->m.key, key, EL_KEY_BYTES) == 0;
}

/*
 * The signer's word is replaced by one that says the same and more. Who has lost what it read
 * signs anew, other blocks perhaps: that is kept beside it.
 */
static void keep(struct p2p_vouch *v, struct p2p_vouch_chunk *c, const struct p2p_manifest *m)
{
    struct p2p_vouch_part *p = c->parts;
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
    if (p == NULL && n == MAX_OF_ONE) {
        el_counter_add(v->dropped, 1);
        c->has_dropped = true;
        return;
    }
    if (p == NULL) {
        p = el_new(struct p2p_vouch_part);
        p->next = c->parts;
        c->parts = p;
    }
    p->m = *m;
    p->m.has_object = false;
    p->m.url = (struct el_str){ 0 };
    p->m.meta = NULL;
    c->known |= m->bitmap;
}

bool p2p_vouch_is_worth_keeping(const struct p2p_vouch_chunk *c)
{
    uint32_t all =
        c->parts != NULL ? ((uint32_t)1 << p2p_manifest_blocks(&c->parts->m)) - 1 : UINT32_MAX;

    return c->is_contradicted || c->known == all;
}

/* What is whole and what is distrusted outlives its place in memory. */
enum el_err p2p_vouch_take_locked(struct p2p_vouch *v, struct p2p_vouch_chunk *c,
                                  const struct p2p_manifest *m, struct el_error *err)
{
    uint32_t all = ((uint32_t)1 << p2p_manifest_blocks(m)) - 1, before = c->known;

    if (c->is_contradicted)
        return el_fail(err, EL_EHASH, 0, "what is said of the chunk contradicts itself");
    if (!agrees(c, m, err)) {
        c->is_contradicted = true;
        p2p_vouch_keep_locked(v, c);
        return EL_EHASH;
    }
    keep(v, c, m);
    if (c->known == all && before != all && !c->is_reading) /* else that comes first */
        p2p_vouch_keep_locked(v, c);
    return EL_OK;
}

/* Its signer has said different things of the chunk before; none of them has all of it. */
static void say_dropped(const struct el_chunk_id *chunk, bool is_own)
{
    char id[EL_CHUNK_ID_CHARS + 1];

    el_chunk_id_text(chunk, id);
    el_log(EL_WARN, EV_MANIFEST_DROPPED, "chunk=%s signer=%s", id, is_own ? "self" : "other");
}

/* Its signature counts with who is asked to believe it. */
static bool is_known(const struct p2p_vouch *v, const struct p2p_vouch_part *p)
{
    return is_by(p, v->public_key) || v->is_known == NULL || v->is_known(v->arg, p->m.key);
}

/* Each who gives a block may have signed it anew: what is said already is not kept once more. */
static bool is_old_news(const struct p2p_vouch *v, struct p2p_vouch_chunk *c,
                        const struct p2p_manifest *m)
{
    uint32_t news = m->bitmap;
    struct el_error err;

    for (const struct p2p_vouch_part *p = c->parts; p != NULL; p = p->next) {
        if (is_known(v, p))
            news &= ~p->m.bitmap;
    }
    return news == 0 && !c->is_contradicted && agrees(c, m, &err);
}

enum el_err p2p_vouch_take(struct p2p_vouch *v, const struct p2p_manifest *m, struct el_error *err)
{
    struct p2p_vouch_chunk *c;
    bool had_dropped, has_dropped;
    enum el_err rc;

    p2p_vouch_lock(v);
    c = p2p_vouch_make_locked(v, &m->chunk);
    had_dropped = c->has_dropped;
    rc = is_old_news(v, c, m) ? EL_OK : p2p_vouch_take_locked(v, c, m, err);
    has_dropped = c->has_dropped;
    p2p_vouch_unlock(v);
    if (has_dropped && !had_dropped)
        say_dropped(&m->chunk, memcmp(m->key, v->public_key, sizeof(m->key)) == 0);
    return rc;
}

/* ---- what this node has read ---- */

static uint32_t chunk_bytes(uint64_t length, uint32_t index)
{
    return (uint32_t)el_min_u64(length - index * CACHE_CHUNK_BYTES, CACHE_CHUNK_BYTES);
}

/* The next of this node's own manifests of the chunk; sealed and signed. */
static enum el_err grow(struct p2p_vouch *v, struct p2p_vouch_chunk *c,
                        const struct p2p_manifest *object, unsigned block,
                        const struct el_digest *digest, struct p2p_manifest *m,
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

static void find_own(struct p2p_vouch *v, struct p2p_vouch_chunk *c, unsigned block)
{
    for (struct p2p_vouch_part *p = c->parts; p != NULL; p = p->next) {
        if (is_by(p, v->public_key) && has(p->m.bitmap, block))
            c->own = p;
    }
}

static enum el_err sign_locked(struct p2p_vouch *v, struct p2p_vouch_chunk *c,
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
        rc = p2p_vouch_take_locked(v, c, &m, err);
    if (rc == EL_OK)
        find_own(v, c, block);
    return rc;
}

enum el_err p2p_vouch_sign(struct p2p_vouch *v, const struct p2p_manifest *object,
                           const struct el_chunk_id *chunk, unsigned block,
                           const struct el_digest *digest, struct el_error *err)
{
    struct p2p_vouch_chunk *c;
    bool had_dropped, has_dropped;
    enum el_err rc;

    p2p_vouch_lock(v);
    c = p2p_vouch_make_locked(v, chunk);
    had_dropped = c->has_dropped;
    rc = sign_locked(v, c, object, block, digest, err);
    has_dropped = c->has_dropped;
    p2p_vouch_unlock(v);
    if (has_dropped && !had_dropped)
        say_dropped(chunk, true);
    return rc;
}

/* ---- asking ---- */

/* NULL: nothing of it can be told now. */
static struct p2p_vouch_chunk *find_told(struct p2p_vouch *v, const struct el_chunk_id *id)
{
    struct p2p_vouch_chunk *c = p2p_vouch_find_locked(v, id);

    return c != NULL && !c->is_contradicted && !c->is_reading ? c : NULL;
}

bool p2p_vouch_hash(struct p2p_vouch *v, const struct el_chunk_id *chunk, unsigned block,
                    struct el_digest *ret)
{
    struct p2p_vouch_chunk *c;
    struct p2p_vouch_part *p;

    p2p_vouch_lock(v);
    c = find_told(v, chunk);
    p = c != NULL ? part_with(c, block) : NULL;
    if (p != NULL)
        *ret = p->m.blocks[block];
    p2p_vouch_unlock(v);
    return p != NULL;
}

uint32_t p2p_vouch_known(struct p2p_vouch *v, const struct el_chunk_id *chunk)
{
    struct p2p_vouch_chunk *c;
    uint32_t known;

    p2p_vouch_lock(v);
    c = find_told(v, chunk);
    known = c != NULL ? c->known : 0;
    p2p_vouch_unlock(v);
    return known;
}

static struct p2p_vouch_part *known_part_with(const struct p2p_vouch *v, struct p2p_vouch_chunk *c,
                                              unsigned block)
{
    struct p2p_vouch_part *p = c->parts;

    while (p != NULL && (!has(p->m.bitmap, block) || !is_known(v, p)))
        p = p->next;
    return p;
}

/* The last one that grew, or of those that the store had, any; NULL: there is none. */
static const struct p2p_vouch_part *own_part(const struct p2p_vouch *v,
                                             const struct p2p_vouch_chunk *c)
{
    const struct p2p_vouch_part *p = c->own != NULL ? c->own : c->parts;

    while (p != NULL && !is_by(p, v->public_key))
        p = p->next;
    return p;
}

/* What has been signed by some who are not known any more; it grows this node's own word. */
static void sign_anew(struct p2p_vouch *v, struct p2p_vouch_chunk *c,
                      const struct p2p_vouch_part *any, unsigned block, uint32_t here)
{
    const struct p2p_vouch_part *own = own_part(v, c);
    struct p2p_manifest m = own != NULL ? own->m : any->m;
    struct el_error err;

    if (own == NULL)
        m.bitmap = 0;
    for (uint32_t left = here & c->known & ~m.bitmap; left != 0; left &= left - 1) {
        unsigned b = (unsigned)__builtin_ctz(left);

        m.blocks[b] = part_with(c, b)->m.blocks[b];
        m.bitmap |= (uint32_t)1 << b;
    }
    if (!has(m.bitmap, block) || p2p_manifest_seal(&m, &err) != EL_OK)
        return;
    p2p_manifest_sign(&m, v->key);
    (void)p2p_vouch_take_locked(v, c, &m, &err); /* it says what is known */
    find_own(v, c, block);
}

static struct p2p_vouch_part *part_to_tell(struct p2p_vouch *v, struct p2p_vouch_chunk *c,
                                           unsigned block, uint32_t here)
{
    struct p2p_vouch_part *any = part_with(c, block), *p = known_part_with(v, c, block);

    if (any == NULL || p != NULL)
        return p;
    sign_anew(v, c, any, block, here);
    p = known_part_with(v, c, block);
    return p != NULL ? p : any;
}

uint32_t p2p_vouch_tell(struct p2p_vouch *v, const struct el_chunk_id *chunk, unsigned block,
                        uint32_t here, uint64_t age_ms, uint32_t version, struct el_buf *out)
{
    uint32_t bitmap = 0;
    struct p2p_vouch_chunk *c;
    struct p2p_vouch_part *p;

    p2p_vouch_lock(v);
    c = find_told(v, chunk);
    p = c != NULL ? part_to_tell(v, c, block, here) : NULL;
    if (p != NULL) {
        p->m.age_ms = age_ms;
        p2p_manifest_add(out, version, &p->m);
        bitmap = p->m.bitmap;
    }
    p2p_vouch_unlock(v);
    return bitmap;
}
