/* SPDX-License-Identifier: MIT */
/*
 * give_stream: a block that goes out while this node is still reading it from the origin. What has
 * come is passed on as it comes; the block's hash, and the manifest that has it, follow when it is
 * whole and signed. Whoever receives it believes nothing of it before.
 *
 *   Request (coming) --> reader of the cache --> first bytes: the block is with its link
 *                                            --> more bytes: it grows
 *                                            --> whole, signed: manifest, hash, end
 */
#include "common/log.h"
#include "p2p/give.h"

/* Asked of this node on one link, and in all: each keeps a block in memory. */
#define MOST_OF_LINK 4u
#define MOST         256u
/* One that has begun and gets no more of the origin, or no signature, ends with its link: what is
 * behind it waits. */
#define STILL_MS    30000u
#define UNSIGNED_MS 3000u
/* So many bytes more are worth waking the link, or any after a while: who receives nothing for long
 * takes the stream for dead. */
#define STEP    (64 * (size_t)EL_KIB)
#define STEP_MS 250u

uint32_t p2p_stream_coming(struct p2p *p, struct cache_object *o, const struct el_chunk_id *chunk)
{
    uint32_t n = p2p_give_chunk_blocks(o, chunk), bits;

    if (n == 0 || !p2p_is_shareable(o))
        return 0;
    bits = (uint32_t)cache_object_coming(o, (uint64_t)chunk->index * CACHE_CHUNK_BLOCKS, n);
    return bits & ~p2p_fetch_stopped(p, chunk);
}

/* Of that block, and its link has some of it. */
static bool has_begun(const struct p2p_give *g, const uint8_t version[16], uint64_t block)
{
    uint64_t number = (uint64_t)g->send.chunk.index * CACHE_CHUNK_BLOCKS + g->send.block;

    return g->is_with_link && number == block &&
           memcmp(g->send.chunk.object, version, sizeof(g->send.chunk.object)) == 0;
}

size_t p2p_stream_sent(struct p2p *p, const uint8_t version[16], uint64_t block, uint32_t *ret,
                       size_t max)
{
    struct el_list *it, *tmp;
    size_t n = 0;

    EL_LIST_EACH (it, tmp, &p->streams) {
        const struct p2p_give *g = EL_ENTRY(it, const struct p2p_give, in_streams);

        if (n < max && has_begun(g, version, block))
            ret[n++] = atomic_load_explicit(&g->out.sent, memory_order_relaxed);
    }
    return n;
}

bool p2p_stream_has_begun(struct p2p *p, const uint8_t version[16], uint64_t block)
{
    uint32_t any;

    return p2p_stream_sent(p, version, block, &any, 1) > 0;
}

/* What its reading is to end in front of is not begun, though some bytes of it may have come. */
static bool may_begin(const struct p2p_give *g)
{
    return (p2p_fetch_stopped(g->remote->p, &g->send.chunk) >> g->send.block & 1) == 0;
}

/* What the link has of it cannot be taken back. The peer is not to blame, whatever `why` is. */
static void fail(struct p2p_give *g, const char *why)
{
    struct el_error err;

    if (g->is_with_link) {
        el_fail(&err, EL_ENOTCACHED, 0, "%s", why);
        p2p_link_close(g->remote->link, &err); /* and on_sent() follows */
    } else {
        p2p_give_up(g, EL_ENOTCACHED);
    }
}

/* All that has come but the last byte, which goes with the hash. */
static uint32_t may_go(const struct p2p_give *g)
{
    return g->got == g->bytes ? g->got - 1 : g->got;
}

static void grow(struct p2p_give *g)
{
    uint64_t now = p2p_now(g->remote->p);
    uint32_t n = may_go(g), more = n - atomic_load(&g->out.ready);

    if (more < STEP && g->got < g->bytes && (more == 0 || now - g->grown_ms < STEP_MS))
        return;
    g->grown_ms = now;
    p2p_link_grow(g->remote->link, &g->out, n);
}

/* False: it is over. */
static bool pass_on(struct p2p_give *g, const struct cache_span *span)
{
    uint32_t got = g->got + (uint32_t)span->n;

    if (g->got == 0 && !may_begin(g)) {
        p2p_give_up(g, EL_ENOTCACHED);
        return false;
    }
    if (g->got == 0) {
        cache_reader_keep(&g->reader);
        g->out.mem = span->mem;
    } else if (span->mem != (const uint8_t *)g->out.mem + g->got) {
        fail(g, "a block that was being read has been dropped");
        return false;
    }
    g->got = got;
    g->moved_ms = p2p_now(g->remote->p);
    if (g->is_with_link) {
        grow(g);
    } else if (may_go(g) > 0) {
        atomic_store(&g->out.ready, may_go(g));
        g->grown_ms = g->moved_ms;
        g->is_with_link = p2p_link_send_block(g->remote->link, &g->out);
        if (!g->is_with_link) {
            p2p_give_up(g, EL_EOVERLOAD);
            return false;
        }
    }
    return true;
}

static void end_if_signed(struct p2p_give *g)
{
    struct p2p *p = g->remote->p;
    struct el_digest here;

    if (!p2p_vouch_hash(p->vouch, &g->send.chunk, g->send.block, &g->out.hash))
        return;
    if (!cache_object_digest(g->reader.object,
                             (uint64_t)g->send.chunk.index * CACHE_CHUNK_BLOCKS + g->send.block,
                             &here))
        return;
    if (memcmp(&here, &g->out.hash, sizeof(here)) != 0 || !p2p_give_tell_hash(g)) {
        fail(g, "a block that was read is not what was signed");
        return;
    }
    el_list_remove(&g->in_streams);
    if (g->is_with_link) {
        p2p_link_grow(g->remote->link, &g->out, g->bytes);
        return;
    }
    /* Of one byte: that went nowhere without the hash. */
    atomic_store(&g->out.ready, g->bytes);
    g->is_with_link = p2p_link_send_block(g->remote->link, &g->out);
    if (!g->is_with_link)
        p2p_give_up(g, EL_EOVERLOAD);
}

static void go_on(struct p2p_give *g)
{
    struct cache_span span;
    enum cache_read rc = CACHE_READ_DATA;
    bool goes_on = true;

    while (g->got < g->bytes && rc == CACHE_READ_DATA) {
        rc = cache_reader_next(&g->reader, SIZE_MAX, &span);
        if (rc != CACHE_READ_DATA)
            break;
        goes_on = pass_on(g, &span);
        if (!goes_on)
            return;
        cache_reader_advance(&g->reader, span.n);
    }
    if (rc == CACHE_READ_ERROR || rc == CACHE_READ_END)
        fail(g, g->reader.err.text);
    else if (g->got == g->bytes)
        end_if_signed(g);
}

static void on_readable(struct el_msg *m)
{
    struct p2p_give *g = EL_ENTRY(m, struct p2p_give, reader.msg);
    struct p2p *p = g->remote->p;

    EL_ASSERT(g->magic == GIVE_MAGIC);
    go_on(g);
    p2p_pump(p);
}

void p2p_stream_signed(struct p2p *p, const struct el_chunk_id *chunk)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->streams) {
        struct p2p_give *g = EL_ENTRY(it, struct p2p_give, in_streams);

        if (g->got == g->bytes && el_chunk_id_eq(&g->send.chunk, chunk))
            end_if_signed(g);
    }
}

void p2p_stream_tick(struct p2p *p)
{
    uint64_t now = p2p_now(p);
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->streams) {
        struct p2p_give *g = EL_ENTRY(it, struct p2p_give, in_streams);

        if (g->is_with_link && now - g->moved_ms > (g->got == g->bytes ? UNSIGNED_MS : STILL_MS))
            fail(g, "a block that was being read does not come");
        else if (g->is_with_link && g->got < g->bytes)
            grow(g);
    }
}

static bool are_enough(const struct p2p_remote *r)
{
    const struct el_list *it;
    unsigned of_link = 0;

    for (it = r->gives.next; it != &r->gives; it = it->next)
        of_link += EL_ENTRY(it, const struct p2p_give, link)->is_stream;
    return of_link >= MOST_OF_LINK || r->p->n_gives >= MOST;
}

enum el_err p2p_stream_begin(struct p2p_remote *r, struct cache_object *o,
                             const struct el_chunk_id *chunk, uint32_t block)
{
    const struct p2p_send send = { .node = r->node->hash, .chunk = *chunk, .block = block };
    uint32_t blocks = p2p_give_chunk_blocks(o, chunk);
    struct p2p_give *g;

    /* Not on the only link to a node: answers to it would wait for the origin. */
    if (r == r->node->asking || (p2p_stream_coming(r->p, o, chunk) >> block & 1) == 0)
        return EL_ENOTCACHED;
    if (are_enough(r))
        return EL_EOVERLOAD;
    g = p2p_give_new(r->p, r, &send, o, on_readable);
    g->is_stream = true;
    g->bytes = (uint32_t)(g->reader.end - g->reader.first);
    g->out = (struct p2p_out_block){ .chunk = *chunk,
                                     .number = block,
                                     .flags = block + 1 == blocks ? P2P_LAST : 0,
                                     .n = g->bytes,
                                     .is_growing = true,
                                     .fd = -1,
                                     .on_sent = p2p_give_sent };
    el_list_append(&r->p->streams, &g->in_streams);
    go_on(g);
    return EL_OK;
}
