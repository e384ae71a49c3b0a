/* SPDX-License-Identifier: MIT */
/* fetch_said: what peers say of blocks: who has them, who gives them not, and who has signed them.
 */
#include "common/log.h"
#include "p2p/fetch.h"

#define LOG_EVERY_MS 1000u

static void malformed(struct p2p_remote *r, const struct el_error *err)
{
    el_log_error(EL_WARN, EV_PEER_MALFORMED, err);
    p2p_link_close(r->link, err);
}

static void note_have(struct p2p_remote *r, const struct p2p_frame *f, const struct p2p_have *have)
{
    p2p_orders_have(r->p, r->node->hash, &f->chunk, have);
    p2p_swarm_on_have(r->p->swarm, p2p_now(r->p), r->node->hash, &f->chunk, have);
}

void p2p_fetch_have(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct p2p_have have;
    struct el_error err;

    if (p2p_have_decode(f, &have, &err) != EL_OK)
        malformed(r, &err);
    else
        note_have(r, f, &have);
}

void p2p_fetch_error(struct p2p_remote *r, const struct el_chunk_id *chunk,
                     const struct p2p_refusal *refusal)
{
    p2p_arrive_forget(r, chunk, refusal->blocks);
    p2p_orders_refused(r->p, r->node->hash, chunk);
    if (r->node->asking == r)
        p2p_swarm_on_refusal(r->p->swarm, p2p_now(r->p), r->node->hash, chunk, refusal->blocks,
                             refusal->code, refusal->retry_after_ms);
}

static struct p2p_cancel *take_cancel(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &r->cancels) {
        struct p2p_cancel *c = EL_ENTRY(it, struct p2p_cancel, link);

        if (el_chunk_id_eq(&c->chunk, &f->chunk) && c->blocks.first == f->sequence) {
            el_list_remove(&c->link);
            return c;
        }
    }
    return NULL;
}

void p2p_fetch_ack(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct p2p_cancel *c;
    struct el_error err;
    uint32_t type;

    if (p2p_ack_decode(f, &type, &err) != EL_OK) {
        malformed(r, &err);
        return;
    }
    c = f->has_chunk ? take_cancel(r, f) : NULL;
    if (c == NULL)
        return;
    /* The last word about them, whatever came before it. */
    if (c->blocks.count > 0) {
        p2p_arrive_forget(r, &c->chunk, c->blocks);
        if (r->node->asking == r)
            p2p_swarm_on_cancelled(r->p->swarm, p2p_now(r->p), r->node->hash, &c->chunk, c->blocks);
    }
    free(c);
}

/* One that is dead or has left may have read what others pass on. */
static bool is_signed_by_member(struct p2p *p, const struct p2p_manifest *m)
{
    struct disc_member member;
    struct el_digest fingerprint;

    el_key_fingerprint(m->key, &fingerprint);
    return disc_members_find(p->members, p2p_hash_of(&fingerprint), &member);
}

/* Of what else is signed nothing is asked for: it would only fill the place for manifests. */
static bool is_of_interest(struct p2p *p, const struct el_chunk_id *chunk)
{
    struct cache_object_id id;
    struct cache_object *o;
    bool is_here;

    if (p2p_fetch_find(p, chunk->object) != NULL)
        return true;
    memcpy(id.v, chunk->object, sizeof(id.v));
    o = cache_find_version(p->cache, &id);
    is_here = o != NULL;
    cache_object_unref(o);
    return is_here;
}

/* There is one for each block that is asked for. */
static void say_refused(struct p2p_remote *r)
{
    struct p2p *p = r->p;

    if (p2p_now(p) < p->unsaid.from_ms) {
        p->unsaid.n++;
        return;
    }
    el_log(EL_WARN, EV_MANIFEST_REFUSED,
           "peer=%016llx others=%u reason=\"its signer is no member\"",
           (unsigned long long)r->node->hash, p->unsaid.n);
    p->unsaid.from_ms = p2p_now(p) + LOG_EVERY_MS;
    p->unsaid.n = 0;
}

static void heed_manifest(struct p2p_remote *r, const struct p2p_manifest *m)
{
    struct p2p *p = r->p;
    struct p2p_fetch *fetch = p2p_fetch_find(p, m->chunk.object);
    struct el_error err;

    if (!is_signed_by_member(p, m)) {
        say_refused(r);
    } else if (p2p_vouch_take(p->vouch, m, &err) != EL_OK) {
        if (fetch != NULL)
            p2p_swarm_distrust_chunk(fetch->download, p2p_now(p), m->chunk.index);
        el_log_error(EL_WARN, EV_CHUNK_DISTRUSTED, &err);
    }
}

void p2p_fetch_manifest(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct p2p_manifest m;
    struct el_error err;

    if (p2p_manifest_decode(f, &m, &err) != EL_OK) {
        malformed(r, &err);
        return;
    }
    if (is_of_interest(r->p, &m.chunk))
        heed_manifest(r, &m);
    p2p_arrive_signed(r);
    p2p_manifest_deinit(&m);
}

void p2p_fetch_remote_down(struct p2p_remote *r)
{
    struct el_list *l;

    while ((l = el_list_pop(&r->cancels)) != NULL)
        free(EL_ENTRY(l, struct p2p_cancel, link));
}
