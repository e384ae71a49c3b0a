/* SPDX-License-Identifier: MIT */
/*
 * fetch_move: what the swarm wants done (swarm.h), carried out: questions to peers and to trackers,
 * runs read from the origin, somebody blamed.
 */
#include "common/log.h"
#include "p2p/fetch.h"
#include "p2p/tracker_wire.h"

#define LOCATE_MS 5000u /* a tracker has so long; one that is dead is found out sooner */

/* ---- peers ---- */

static void follow(struct p2p *p, const struct p2p_move *m)
{
    const struct p2p_request request = { .flags = P2P_WANT_HAVE };
    struct el_buf frames;

    el_buf_init(&frames);
    p2p_request_add(&frames, p2p_node_version(p, m->node), &m->chunk, 0, &request);
    (void)p2p_node_send(p, m->node, &frames); /* peer_down() is told if it cannot */
}

static void withdraw(struct p2p *p, const struct p2p_move *m, struct p2p_blocks blocks)
{
    struct p2p_node *n = p2p_node_find(p, m->node);
    struct el_buf frames;
    struct p2p_cancel *c;

    if (n == NULL || n->asking == NULL)
        return;
    c = el_new(struct p2p_cancel);
    c->chunk = m->chunk;
    c->blocks = blocks;
    el_list_append(&n->asking->cancels, &c->link);
    if (blocks.count > 0)
        p2p_arrive_strand(n->asking, &m->chunk, blocks);
    el_buf_init(&frames);
    p2p_cancel_add(&frames, p2p_remote_version(n->asking), &m->chunk, &blocks);
    p2p_remote_send(n->asking, &frames);
}

static void expect(struct p2p *p, struct p2p_remote *r, const struct p2p_move *m)
{
    struct p2p_fetch *f = p2p_fetch_find(p, m->chunk.object);

    for (uint32_t i = 0; i < m->blocks.count; i++) {
        uint32_t block = m->blocks.first + i;
        struct p2p_feed *feed =
            f != NULL ? p2p_feeds_at(f, (uint64_t)m->chunk.index * CACHE_CHUNK_BLOCKS + block)
                      : NULL;

        p2p_arrive_expect(r, &m->chunk, block, feed != NULL ? feed->fill : NULL, m->is_coming);
    }
}

static void request(struct p2p *p, const struct p2p_move *m)
{
    const struct p2p_request request = {
        .blocks = m->blocks, .flags = P2P_WANT_MANIFEST | (m->is_coming ? P2P_WANT_COMING : 0)
    };
    struct p2p_node *n = p2p_node_find(p, m->node);
    struct el_buf frames;

    if (n == NULL || n->asking == NULL)
        return; /* peer_down() is on its way */
    expect(p, n->asking, m);
    el_buf_init(&frames);
    p2p_request_add(&frames, p2p_remote_version(n->asking), &m->chunk, 0, &request);
    p2p_remote_send(n->asking, &frames);
}

/* ---- trackers ---- */

struct question {
    struct p2p_fetch *fetch; /* NULL: a farewell */
    uint32_t group, blocks;
    uint64_t chunks; /* of the group, that are wanted */
    bool is_ours;    /* the swarm has not asked it */
    bool tells;      /* what the object's record waits for */
};

/* NULL: nobody answered. */
static void tell_swarm(struct p2p_fetch *f, uint32_t group, uint64_t node,
                       const struct p2p_located *located)
{
    if (located == NULL) {
        p2p_swarm_on_locate_failed(f->download, p2p_now(f->p), group);
        return;
    }
    p2p_swarm_on_located(f->download, p2p_now(f->p), group, located);
    p2p_swarm_located_by(f->download, group, node);
}

static void on_located(struct p2p *p, void *arg, uint64_t node, struct el_str body,
                       enum el_err code)
{
    struct question *q = arg;
    struct p2p_fetch *f = q->fetch;
    struct p2p_located located;
    struct el_error err;

    if (f != NULL) {
        f->n_calls--;
        if (code == EL_OK)
            code = p2p_located_decode(body, q->blocks, &located, &err);
        if (!q->is_ours)
            tell_swarm(f, q->group, node, code == EL_OK ? &located : NULL);
        if (!q->is_ours && code != EL_OK)
            p2p_second_ask(f, q->group, q->chunks);
        if (f->owes_record && q->group == 0 && (q->tells || code != EL_OK)) {
            f->owes_record = false;
            p2p_find_tell(p, f->object);
        }
        p2p_fetch_let_go(f);
    }
    free(q);
}

static void locate(struct p2p *p, const struct p2p_move *m, bool is_ours)
{
    struct question *q = el_new(struct question);
    uint8_t key[DISC_KEY_BYTES];
    struct el_buf body;

    q->fetch = m->download != NULL ? p2p_download_arg(m->download) : NULL;
    q->group = m->locate->group.number;
    q->blocks = m->locate->blocks;
    q->chunks = p2p_named_chunks(&m->locate->want);
    q->is_ours = is_ours;
    q->tells = q->fetch != NULL && q->fetch->owes_record && q->group == 0;
    if (q->fetch != NULL)
        q->fetch->n_calls++;
    p2p_group_key(&m->locate->group, key);
    el_buf_init(&body);
    p2p_locate_put(&body, m->locate);
    p2p_call_ask(p, key, 0, P2P_LOCATE, &body, LOCATE_MS, on_located, q);
}

/*
 * Others hear of the object only when the tracker of its blocks knows what is here, or comes here:
 * or the first of them would be told to read it once more. Who takes part says so with its next
 * question: this one would end what was granted to it meanwhile.
 */
void p2p_fetch_tell_present(struct p2p_fetch *f)
{
    struct p2p_locate l = { .leaves = true };
    uint64_t n = el_min_u64(cache_blocks_of(cache_object_length(f->object)), P2P_GROUP_BLOCKS);
    const struct p2p_move m = { .download = f->download, .locate = &l };

    memcpy(l.group.version, f->id.object, sizeof(l.group.version));
    l.blocks = (uint32_t)n;
    cache_object_map(f->object, 0, (size_t)n, l.have.w);
    locate(f->p, &m, true);
}

void p2p_fetch_adopt(struct p2p *p, struct cache_object *o)
{
    struct p2p_fetch *f = p2p_fetch_get(p, o);

    if (f == NULL)
        return; /* another one has taken its place, and is told of */
    f->owes_record = true;
    if (!p2p_swarm_tell(f->download, p2p_now(p)))
        p2p_fetch_tell_present(f);
    p2p_fetch_let_go(f);
}

/* ---- moves ---- */

static void blame(struct p2p *p, const struct p2p_move *m)
{
    struct p2p_node *n = p2p_node_find(p, m->node);
    const char *name = n != NULL && n->asking != NULL ? p2p_link_peer(n->asking->link)->name : "";
    char chunk[EL_CHUNK_ID_CHARS + 1];

    el_chunk_id_text(&m->chunk, chunk);
    el_counter_add(p->count.bad, 1);
    el_log(EL_WARN, EV_PEER_BLAMED,
           "peer=%016llx name=%s chunk=%s block=%u for_ms=%llu reason=\"the block is not what its "
           "manifest says\"",
           (unsigned long long)m->node, EL_LOG_Q(el_str_of(name)), chunk, m->blocks.first,
           (unsigned long long)(m->until - el_min_u64(m->until, p2p_now(p))));
}

/* The origin does not give it, and nobody else has it: who waits for it hears why. */
static void fail_feeds(const struct p2p_move *m)
{
    struct p2p_fetch *f = p2p_download_arg(m->download);
    struct el_error err = f->failure;
    struct p2p_feed *feed;

    if (err.code == EL_OK)
        el_fail(&err, m->code, 0, "neither a peer nor the origin gave the block");
    f->n_calls++; /* it stays while its parts go */
    while ((feed = p2p_feeds_at(f, m->first)) != NULL)
        p2p_feed_end(feed, err.code, &err);
    f->n_calls--;
    p2p_fetch_let_go(f);
}

static void carry_out(struct p2p *p, const struct p2p_move *m)
{
    switch (m->kind) {
    case P2P_MOVE_CONNECT:
        p2p_node_connect(p, m->node);
        break;
    case P2P_MOVE_FOLLOW:
        follow(p, m);
        break;
    case P2P_MOVE_UNFOLLOW:
        withdraw(p, m, (struct p2p_blocks){ 0, 0 });
        break;
    case P2P_MOVE_REQUEST:
        request(p, m);
        break;
    case P2P_MOVE_CANCEL:
        withdraw(p, m, m->blocks);
        break;
    case P2P_MOVE_LOCATE:
        locate(p, m, false);
        break;
    case P2P_MOVE_FETCH:
        p2p_reading_begin(p, m);
        break;
    case P2P_MOVE_STOP:
        p2p_reading_cut(p, m);
        break;
    case P2P_MOVE_BLAME:
        blame(p, m);
        break;
    case P2P_MOVE_FAIL:
        fail_feeds(m);
        break;
    }
}

void p2p_fetch_pump(struct p2p *p)
{
    struct p2p_move m;

    while (p2p_swarm_next(p->swarm, &m))
        carry_out(p, &m);
}
