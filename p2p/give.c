/* SPDX-License-Identifier: MIT */
/*
 * give: blocks that go out. Given are whole blocks whose hash somebody has signed, from memory or
 * from disk, also of an object that is still being fetched. Before a block goes the manifest that
 * has its hash, unless that link has had it. Which block goes next is upload.h's to say.
 *
 *   Request --> [asked: upload core] --> reader of the cache --> link --> sent
 *           \-> [follows: a Have at each change]
 */
#include "p2p/give.h"
#include "common/log.h"

#define LOAD_MAGIC 0x4c4f4144u
#define MAX_TOLD   16384u /* chunks, of a link */
#define MAX_LOADS  65536u /* Requests that wait for the disk, which may hang */

/* What a link was told of a chunk. */
struct p2p_told_of {
    struct p2p_told_of *next; /* in its bucket */
    struct el_list link;      /* in its remote */
    struct p2p_remote *remote;
    struct el_chunk_id chunk;
    uint32_t hashes;       /* blocks whose manifest it has had */
    uint32_t have, coming; /* as the last Have said */
    bool follows;
};

/* A Request about a version that only the disk has, or a chunk whose hashes only the disk has. */
struct load {
    uint32_t magic;
    struct el_list link;
    struct p2p_remote *remote;
    struct el_chunk_id chunk;
    struct p2p_request request;
    uint32_t cancelled;             /* of its blocks */
    struct cache_waiter waiter;     /* for the version, */
    struct p2p_vouch_waiter hashes; /* then for these */
};

/* ---- what links were told ---- */

static struct p2p_told_of **bucket_of(struct p2p *p, const struct el_chunk_id *id)
{
    uint32_t h;

    memcpy(&h, id->object, sizeof(h));
    return &p->told[(h ^ id->index * 0x9e3779b1u) % P2P_TOLD_TABLE];
}

static struct p2p_told_of *told_find(struct p2p_remote *r, const struct el_chunk_id *id)
{
    struct p2p_told_of *t = *bucket_of(r->p, id);

    while (t != NULL && (t->remote != r || !el_chunk_id_eq(&t->chunk, id)))
        t = t->next;
    return t;
}

static void told_free(struct p2p_told_of *t)
{
    struct p2p_told_of **at = bucket_of(t->remote->p, &t->chunk);

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->remote->n_told--;
    el_list_remove(&t->link);
    free(t);
}

static struct p2p_told_of *told_get(struct p2p_remote *r, const struct el_chunk_id *id)
{
    struct p2p_told_of *t = told_find(r, id), **bucket = bucket_of(r->p, id);

    if (t != NULL) {
        el_list_remove(&t->link);
        el_list_append(&r->told, &t->link);
        return t;
    }
    if (r->n_told == MAX_TOLD) /* what it is told once more costs a manifest */
        told_free(EL_ENTRY(r->told.next, struct p2p_told_of, link));
    r->n_told++;
    t = el_new(struct p2p_told_of);
    t->remote = r;
    t->chunk = *id;
    t->next = *bucket;
    *bucket = t;
    el_list_append(&r->told, &t->link);
    return t;
}

/* ---- what there is ---- */

static void version_of(const struct el_chunk_id *chunk, struct cache_object_id *ret)
{
    memcpy(ret->v, chunk->object, sizeof(ret->v));
}

uint32_t p2p_give_chunk_blocks(struct cache_object *o, const struct el_chunk_id *chunk)
{
    uint64_t blocks = cache_blocks_of(cache_object_length(o));
    uint64_t first = (uint64_t)chunk->index * CACHE_CHUNK_BLOCKS;

    return first >= blocks ? 0 : (uint32_t)el_min_u64(blocks - first, CACHE_CHUNK_BLOCKS);
}

static uint32_t here(struct cache_object *o, const struct el_chunk_id *chunk)
{
    uint64_t bits[1] = { 0 };
    uint32_t n = p2p_give_chunk_blocks(o, chunk);

    if (n == 0)
        return 0;
    cache_object_map(o, (uint64_t)chunk->index * CACHE_CHUNK_BLOCKS, n, bits);
    return (uint32_t)bits[0];
}

/* Of these, what this node can vouch for: it has the very bytes of which the hash is known. */
static uint32_t verified(struct p2p *p, struct cache_object *o, const struct el_chunk_id *chunk,
                         uint32_t blocks)
{
    uint64_t first = (uint64_t)chunk->index * CACHE_CHUNK_BLOCKS;
    struct el_digest is, should_be;
    uint32_t right = 0;

    for (uint32_t left = blocks; left != 0; left &= left - 1) {
        unsigned b = (unsigned)__builtin_ctz(left);

        if (cache_object_digest(o, first + b, &is) &&
            p2p_vouch_hash(p->vouch, chunk, b, &should_be) &&
            memcmp(&is, &should_be, sizeof(is)) == 0)
            right |= (uint32_t)1 << b;
    }
    return right;
}

/* What of the chunk is here and may be given. */
static uint32_t given(struct p2p *p, struct cache_object *o, const struct el_chunk_id *chunk)
{
    return here(o, chunk) & p2p_vouch_known(p->vouch, chunk);
}

/* ---- Have ---- */

static void say_have(struct p2p_told_of *t, uint32_t blocks, uint32_t bitmap, uint32_t coming)
{
    uint32_t all = ((uint32_t)1 << blocks) - 1;
    const struct p2p_have have = {
        .blocks = blocks, .bitmap = bitmap, .is_filling = bitmap != all, .coming = coming
    };
    struct p2p_remote *r = p2p_node_remote(t->remote->node);
    struct el_buf frames;

    t->have = bitmap;
    t->coming = coming;
    el_buf_init(&frames);
    p2p_have_add(&frames, p2p_remote_version(r), &t->chunk, &have);
    p2p_remote_send(r, &frames);
}

void p2p_give_block(struct p2p *p, struct cache_object *o, const struct el_chunk_id *chunk)
{
    uint32_t bitmap = given(p, o, chunk), blocks = p2p_give_chunk_blocks(o, chunk);
    uint32_t coming = p2p_stream_coming(p, o, chunk) & ~bitmap;
    struct p2p_told_of *next;

    p2p_stream_signed(p, chunk);

    for (struct p2p_told_of *t = *bucket_of(p, chunk); t != NULL; t = next) {
        next = t->next;
        if (t->follows && (t->have != bitmap || t->coming != coming) &&
            el_chunk_id_eq(&t->chunk, chunk))
            say_have(t, blocks, bitmap, coming);
    }
}

/* ---- refusals ---- */

static void refuse(struct p2p_remote *r, const struct el_chunk_id *chunk, struct p2p_blocks blocks,
                   enum el_err code, uint32_t retry_ms)
{
    const struct p2p_refusal refusal = { .blocks = blocks,
                                         .code = code,
                                         .retry_after_ms = retry_ms };
    struct el_buf frames;

    el_buf_init(&frames);
    p2p_error_add(&frames, p2p_remote_version(r), chunk, 0, &refusal);
    p2p_remote_send(r, &frames);
}

static void malformed(struct p2p_remote *r, const struct el_error *err)
{
    el_log_error(EL_WARN, EV_PEER_MALFORMED, err);
    p2p_link_close(r->link, err);
}

/* ---- one block ---- */

static struct p2p_give *give_find(struct p2p_remote *r, const struct el_chunk_id *chunk,
                                  uint32_t block)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &r->gives) {
        struct p2p_give *g = EL_ENTRY(it, struct p2p_give, link);

        if (g->send.block == block && el_chunk_id_eq(&g->send.chunk, chunk))
            return g;
    }
    return NULL;
}

void p2p_give_over(struct p2p_give *g)
{
    struct p2p *p = g->remote->p;

    cache_reader_close(&g->reader);
    el_list_remove(&g->link);
    el_list_remove(&g->in_streams);
    p->n_gives--;
    g->magic = 0;
    free(g);
}

void p2p_give_up(struct p2p_give *g, enum el_err code)
{
    struct p2p *p = g->remote->p;

    refuse(g->remote, &g->send.chunk, (struct p2p_blocks){ g->send.block, 1 }, code, 0);
    if (!g->is_stream)
        p2p_upload_sent(p->upload, p2p_now(p), &g->send);
    p2p_give_over(g);
}

void p2p_give_sent(struct p2p_out_block *b)
{
    struct p2p_give *g = EL_ENTRY(b, struct p2p_give, out);
    struct p2p *p = g->remote->p;

    EL_ASSERT(g->magic == GIVE_MAGIC);
    if (b->result == EL_OK) {
        el_counter_add(p->count.blocks_out, 1);
        el_counter_add(p->count.bytes_out, b->n);
    }
    if (!g->is_stream) {
        cache_reader_advance(&g->reader, 0);
        p2p_upload_sent(p->upload, p2p_now(p), &g->send);
    }
    if (g->again && b->result == EL_OK && g->remote->node->served == g->remote)
        (void)p2p_upload_ask(p->upload, p2p_now(p), g->send.node, &g->send.chunk, g->send.block);
    p2p_give_over(g);
    p2p_pump(p);
}

static uint64_t age_of(struct p2p *p, struct cache_object *o)
{
    struct cache_meta *m = cache_object_meta(o);
    int64_t age = el_clock_wall_ms(p->clock) - m->response_ms + m->corrected_age_ms;

    cache_meta_unref(m);
    return age > 0 ? (uint64_t)age : 0;
}

/* The manifest with its hash first. False: nobody has signed it. */
bool p2p_give_tell_hash(struct p2p_give *g)
{
    struct p2p_remote *r = g->remote;
    struct p2p_told_of *t = told_get(r, &g->send.chunk);
    struct cache_object *o = g->reader.object;
    struct el_buf frames;
    uint32_t hashes;

    if ((t->hashes >> g->send.block & 1) != 0)
        return true;
    el_buf_init(&frames);
    hashes = p2p_vouch_tell(r->p->vouch, &g->send.chunk, g->send.block,
                            verified(r->p, o, &g->send.chunk, here(o, &g->send.chunk)),
                            age_of(r->p, o), p2p_remote_version(r), &frames);
    t->hashes |= hashes;
    p2p_remote_send(r, &frames);
    el_buf_deinit(&frames);
    return hashes != 0;
}

static void send_span(struct p2p_give *g, const struct cache_span *span)
{
    struct el_digest signed_as;
    uint32_t blocks = p2p_give_chunk_blocks(g->reader.object, &g->send.chunk);

    if (span->digest == NULL ||
        !p2p_vouch_hash(g->remote->p->vouch, &g->send.chunk, g->send.block, &signed_as) ||
        memcmp(&signed_as, span->digest, sizeof(signed_as)) != 0 || !p2p_give_tell_hash(g)) {
        cache_reader_advance(&g->reader, 0);
        p2p_give_up(g, EL_ENOTCACHED);
        return;
    }
    g->out = (struct p2p_out_block){
        .chunk = g->send.chunk,
        .number = g->send.block,
        .flags = g->send.block + 1 == blocks ? P2P_LAST : 0,
        .hash = signed_as,
        .mem = span->mem,
        .n = (uint32_t)span->n,
        .fd = span->fd,
        .offset = span->offset,
        .on_sent = p2p_give_sent,
    };
    g->is_with_link = p2p_link_send_block(g->remote->link, &g->out);
    if (!g->is_with_link) {
        cache_reader_advance(&g->reader, 0);
        p2p_give_up(g, EL_EOVERLOAD);
    }
}

static void go_on(struct p2p_give *g)
{
    struct cache_span span;

    switch (cache_reader_next(&g->reader, CACHE_BLOCK_BYTES, &span)) {
    case CACHE_READ_DATA:
        send_span(g, &span);
        break;
    case CACHE_READ_WAIT:
        break;
    case CACHE_READ_END:
    case CACHE_READ_ERROR:
        p2p_give_up(g, EL_ENOTCACHED);
        break;
    }
}

static void on_readable(struct el_msg *m)
{
    struct p2p_give *g = EL_ENTRY(m, struct p2p_give, reader.msg);
    struct p2p *p = g->remote->p;

    EL_ASSERT(g->magic == GIVE_MAGIC);
    go_on(g);
    p2p_pump(p);
}

struct p2p_give *p2p_give_new(struct p2p *p, struct p2p_remote *r, const struct p2p_send *s,
                              struct cache_object *o, void (*wake)(struct el_msg *m))
{
    uint64_t first = ((uint64_t)s->chunk.index * CACHE_CHUNK_BLOCKS + s->block) * CACHE_BLOCK_BYTES;
    struct p2p_give *g = el_new(struct p2p_give);

    g->magic = GIVE_MAGIC;
    g->remote = r;
    g->send = *s;
    g->reader.queue = p->queue;
    el_msg_init(&g->reader.msg, wake);
    el_list_init(&g->in_streams);
    el_list_append(&r->gives, &g->link);
    p->n_gives++;
    cache_reader_open(&g->reader, o, NULL, first,
                      el_min_u64(first + CACHE_BLOCK_BYTES, cache_object_length(o)));
    return g;
}

static void give_begin(struct p2p *p, const struct p2p_send *s)
{
    struct p2p_node *n = p2p_node_find(p, s->node);
    struct cache_object_id id;
    struct cache_object *o;
    struct p2p_give *g;

    EL_ASSERT(n != NULL && n->served != NULL);
    version_of(&s->chunk, &id);
    o = cache_find_version(p->cache, &id);
    if (o == NULL) {
        refuse(n->served, &s->chunk, (struct p2p_blocks){ s->block, 1 }, EL_ENOTCACHED, 0);
        p2p_upload_sent(p->upload, p2p_now(p), s);
        return;
    }
    g = p2p_give_new(p, n->served, s, o, on_readable);
    g->reader.wants_whole = true;
    cache_object_unref(o);
    go_on(g);
}

void p2p_give_pump(struct p2p *p)
{
    struct p2p_send s;

    while (p2p_upload_next(p->upload, p2p_now(p), &s))
        give_begin(p, &s);
}

/* ---- requests ---- */

/* The receiver may know before we do that all of a block has been sent. */
static void ask_again(struct p2p_remote *r, const struct el_chunk_id *chunk, uint32_t block)
{
    struct p2p_give *g = give_find(r, chunk, block);
    struct el_error err;

    if (g != NULL) {
        g->again = true;
        return;
    }
    el_fail(&err, EL_EPROTO, 0, "a block was asked for twice");
    malformed(r, &err);
}

static void ask_block(struct p2p_remote *r, const struct el_chunk_id *chunk, uint32_t block)
{
    struct p2p *p = r->p;
    const struct p2p_blocks one = { block, 1 };
    enum el_err rc;

    rc = p2p_upload_ask(p->upload, p2p_now(p), r->node->hash, chunk, block);
    if (rc == EL_EOVERLOAD)
        refuse(r, chunk, one, EL_EOVERLOAD, 100);
    else if (rc != EL_OK)
        ask_again(r, chunk, block);
}

static void serve_block(struct p2p_remote *r, struct cache_object *o,
                        const struct el_chunk_id *chunk, uint32_t block, uint32_t present,
                        bool or_coming)
{
    enum el_err rc = EL_ENOTCACHED;
    struct p2p_told_of *t;

    if ((present >> block & 1) != 0) {
        ask_block(r, chunk, block);
        return;
    }
    if (or_coming && give_find(r, chunk, block) == NULL)
        rc = p2p_stream_begin(r, o, chunk, block);
    if (rc == EL_OK)
        return;
    refuse(r, chunk, (struct p2p_blocks){ block, 1 }, rc, 0);
    t = told_find(r, chunk);
    if (t != NULL)
        t->coming &= ~((uint32_t)1 << block); /* it is told anew when it is so */
}

/*
 * By itself, whatever the link has had: who asks like that has forgotten it. One manifest for each
 * of those who have signed some of what is here.
 */
static void give_manifests(struct p2p_remote *r, struct cache_object *o,
                           const struct el_chunk_id *chunk, uint32_t present)
{
    struct p2p_told_of *t = told_get(r, chunk);
    uint32_t hashes, all = verified(r->p, o, chunk, present);
    struct el_buf frames;

    if (present == 0)
        refuse(r, chunk, (struct p2p_blocks){ 0, 0 }, EL_ENOTCACHED, 0);
    el_buf_init(&frames);
    while (present != 0) {
        hashes = p2p_vouch_tell(r->p->vouch, chunk, (unsigned)__builtin_ctz(present), all,
                                age_of(r->p, o), p2p_remote_version(r), &frames);
        t->hashes |= hashes;
        present &= ~hashes & (present - 1); /* the lowest one was asked about */
    }
    p2p_remote_send(r, &frames);
    el_buf_deinit(&frames);
}

static void give_record(struct p2p_remote *r, struct cache_object *o,
                        const struct el_chunk_id *chunk)
{
    if (p2p_is_shareable(o))
        p2p_find_say(r->p, r->node->hash, o);
    else
        refuse(r, chunk, (struct p2p_blocks){ 0, 0 }, EL_ENOTCACHED, 0);
}

/* What waits was asked for over the link that its node used before, and has given up. */
static void serve_over(struct p2p_remote *r)
{
    struct p2p_node *n = r->node;

    if (n->served != NULL && n->served != r)
        p2p_upload_peer_down(r->p->upload, n->hash);
    n->served = r;
}

static bool is_cancelled(uint32_t cancelled, uint32_t block)
{
    return block < P2P_CHUNK_BLOCKS && (cancelled >> block & 1) != 0;
}

static void serve(struct p2p_remote *r, struct cache_object *o, const struct el_chunk_id *chunk,
                  const struct p2p_request *request, uint32_t cancelled)
{
    uint32_t present = given(r->p, o, chunk), blocks = p2p_give_chunk_blocks(o, chunk);
    struct p2p_told_of *t;

    if (blocks == 0) {
        refuse(r, chunk, (struct p2p_blocks){ 0, 0 }, EL_ENOTCACHED, 0);
        return;
    }
    serve_over(r);
    if ((request->flags & P2P_WANT_HAVE) != 0) {
        t = told_get(r, chunk);
        t->follows = true;
        say_have(t, blocks, present, p2p_stream_coming(r->p, o, chunk) & ~present);
    }
    if ((request->flags & P2P_WANT_MANIFEST) != 0 && request->blocks.count == 0)
        give_manifests(r, o, chunk, present);
    if ((request->flags & P2P_WANT_RECORD) != 0)
        give_record(r, o, chunk);
    for (uint32_t i = 0; i < request->blocks.count; i++) {
        if (!is_cancelled(cancelled, request->blocks.first + i))
            serve_block(r, o, chunk, request->blocks.first + i, present,
                        (request->flags & P2P_WANT_COMING) != 0);
    }
}

/* Of a version that this node does not have yet, but may: it is told when it has. */
static void not_here(struct p2p_remote *r, const struct el_chunk_id *chunk,
                     const struct p2p_request *request, uint32_t cancelled)
{
    const struct p2p_blocks blocks = request->blocks;

    if ((request->flags & P2P_WANT_HAVE) != 0)
        told_get(r, chunk)->follows = true;
    if (cancelled == 0 && (blocks.count > 0 || (request->flags & P2P_WANT_HAVE) == 0))
        refuse(r, chunk, blocks, EL_ENOTCACHED, 0);
    for (uint32_t i = 0; cancelled != 0 && i < blocks.count; i++) {
        if (!is_cancelled(cancelled, blocks.first + i))
            refuse(r, chunk, (struct p2p_blocks){ blocks.first + i, 1 }, EL_ENOTCACHED, 0);
    }
}

static void load_free(struct p2p *p, struct load *l)
{
    cache_flight_leave(p->cache, &l->waiter);
    p2p_vouch_leave(p->vouch, &l->hashes);
    el_list_remove(&l->link);
    p->n_loads--;
    l->magic = 0;
    free(l);
}

static void on_hashes(struct el_msg *m)
{
    struct load *l = EL_ENTRY(m, struct load, hashes.msg);
    struct p2p *p = l->remote->p;
    struct cache_object_id id;
    struct cache_object *o;

    EL_ASSERT(l->magic == LOAD_MAGIC);
    el_list_remove(&l->link);
    version_of(&l->chunk, &id);
    o = cache_find_version(p->cache, &id);
    if (o != NULL)
        serve(l->remote, o, &l->chunk, &l->request, l->cancelled);
    else
        not_here(l->remote, &l->chunk, &l->request, l->cancelled);
    cache_object_unref(o);
    load_free(p, l);
    p2p_pump(p);
}

/* False: what is known of its hashes is in memory. */
static bool load_hashes(struct load *l, struct cache_object *o)
{
    return p2p_give_chunk_blocks(o, &l->chunk) > 0 &&
           p2p_vouch_load(l->remote->p->vouch, &l->chunk, &l->hashes);
}

static void on_loaded(struct el_msg *m)
{
    struct load *l = EL_ENTRY(m, struct load, waiter.msg);
    struct cache_object_id id;
    struct cache_object *o;

    EL_ASSERT(l->magic == LOAD_MAGIC);
    version_of(&l->chunk, &id);
    o = cache_find_version(l->remote->p->cache, &id);
    if (o == NULL || !load_hashes(l, o))
        on_hashes(&l->hashes.msg);
    cache_object_unref(o);
}

static struct load *load_new(struct p2p_remote *r, const struct el_chunk_id *chunk,
                             const struct p2p_request *request)
{
    struct load *l = el_new(struct load);

    l->magic = LOAD_MAGIC;
    l->remote = r;
    l->chunk = *chunk;
    l->request = *request;
    l->waiter.queue = r->p->queue;
    el_list_init(&l->waiter.link);
    el_msg_init(&l->waiter.msg, on_loaded);
    l->hashes.queue = r->p->queue;
    el_list_init(&l->hashes.link);
    el_msg_init(&l->hashes.msg, on_hashes);
    el_list_append(&r->loads, &l->link);
    r->p->n_loads++;
    return l;
}

/* o is NULL where memory lacks it. False: there is nothing to wait for, or no room to. */
static bool load(struct p2p_remote *r, struct cache_object *o, const struct el_chunk_id *chunk,
                 const struct p2p_request *request)
{
    struct cache_object_id id;
    struct load *l;

    if (r->p->n_loads == MAX_LOADS)
        return false;
    version_of(chunk, &id);
    l = load_new(r, chunk, request);
    if (o != NULL ? load_hashes(l, o) : cache_load_version(r->p->cache, &id, &l->waiter))
        return true;
    load_free(r->p, l);
    return false;
}

void p2p_give_request(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct cache_object_id id;
    struct p2p_request request;
    struct cache_object *o;
    struct el_error err;

    if (p2p_request_decode(f, &request, &err) != EL_OK) {
        malformed(r, &err);
        return;
    }
    if ((request.flags & P2P_WANT_HAVE) != 0)
        p2p_swarm_on_followed(r->p->swarm, p2p_now(r->p), r->node->hash, &f->chunk);
    version_of(&f->chunk, &id);
    o = cache_find_version(r->p->cache, &id);
    if (!load(r, o, &f->chunk, &request)) {
        if (o != NULL)
            serve(r, o, &f->chunk, &request, 0);
        else
            not_here(r, &f->chunk, &request, 0);
    }
    cache_object_unref(o);
}

/* What has not been looked at yet. */
static void recall_loads(struct p2p_remote *r, const struct el_chunk_id *chunk,
                         struct p2p_blocks blocks)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &r->loads) {
        struct load *l = EL_ENTRY(it, struct load, link);

        if (!el_chunk_id_eq(&l->chunk, chunk))
            continue;
        if (blocks.count == 0) {
            load_free(r->p, l);
            continue;
        }
        for (uint32_t i = 0; i < blocks.count && blocks.first + i < P2P_CHUNK_BLOCKS; i++)
            l->cancelled |= (uint32_t)1 << (blocks.first + i);
    }
}

/* Of what the link has, what is not begun does not go: the Ack would overtake it. */
static void recall(struct p2p_remote *r, const struct el_chunk_id *chunk, struct p2p_blocks blocks)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &r->gives) {
        struct p2p_give *g = EL_ENTRY(it, struct p2p_give, link);
        bool is_named = blocks.count == 0 || (g->send.block >= blocks.first &&
                                              g->send.block < blocks.first + blocks.count);

        if (!is_named || !el_chunk_id_eq(&g->send.chunk, chunk))
            continue;
        g->again = false;
        if (g->is_with_link) {
            p2p_link_cancel_block(r->link, &g->out);
        } else {
            if (!g->is_stream)
                p2p_upload_sent(r->p->upload, p2p_now(r->p), &g->send);
            p2p_give_over(g);
        }
    }
}

void p2p_give_cancel(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct p2p_told_of *t = told_find(r, &f->chunk);
    struct p2p_blocks blocks;
    struct el_buf frames;
    struct el_error err;

    if (p2p_cancel_decode(f, &blocks, &err) != EL_OK) {
        malformed(r, &err);
        return;
    }
    p2p_upload_cancel(r->p->upload, r->node->hash, &f->chunk, blocks);
    recall_loads(r, &f->chunk, blocks);
    recall(r, &f->chunk, blocks);
    if (blocks.count == 0 && t != NULL)
        told_free(t);
    el_buf_init(&frames);
    p2p_ack_add(&frames, f);
    p2p_remote_send(r, &frames);
}

/* ---- the end of a link ---- */

void p2p_give_remote_down(struct p2p_remote *r)
{
    struct p2p *p = r->p;

    while (!el_list_empty(&r->told))
        told_free(EL_ENTRY(r->told.next, struct p2p_told_of, link));
    while (!el_list_empty(&r->loads))
        load_free(p, EL_ENTRY(r->loads.next, struct load, link));
    /* Blocks that the link had have come back; these wait for the cache. */
    while (!el_list_empty(&r->gives))
        p2p_give_over(EL_ENTRY(r->gives.next, struct p2p_give, link));
    if (r->node->served == r)
        p2p_upload_peer_down(p->upload, r->node->hash);
}

bool p2p_give_is_idle(const struct p2p *p)
{
    return p->n_gives == 0;
}
