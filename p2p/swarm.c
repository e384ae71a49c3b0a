/* SPDX-License-Identifier: MIT */
#include "p2p/swarm_in.h"

#define DEFAULT_K     10u
#define DEFAULT_PEERS 24u
/* Without any progress for so long (and up to as much again, by lot) the origin is asked. */
#define PATIENCE_MS 3000u

struct p2p_swarm *p2p_swarm_new(const struct p2p_swarm_conf *conf, uint64_t now)
{
    struct p2p_swarm *s = el_new(struct p2p_swarm);

    s->conf = *conf;
    s->rng = conf->rng;
    s->now = now;
    if (s->conf.k == 0)
        s->conf.k = DEFAULT_K;
    if (s->conf.max_peers == 0)
        s->conf.max_peers = DEFAULT_PEERS;
    for (unsigned i = 0; i < P2P_SW_BUCKETS; i++)
        el_list_init(&s->buckets[i]);
    el_list_init(&s->downloads);
    el_list_init(&s->dirty);
    el_list_init(&s->farewells);
    el_list_init(&s->debts);
    return s;
}

/* ---- the queue of moves ---- */

static void grow(struct p2p_swarm *s)
{
    size_t size = s->queue_size == 0 ? 16 : s->queue_size * 2;
    struct p2p_move *queue = el_alloc(size * sizeof(*queue));

    for (size_t i = 0; i < s->queue_n; i++)
        queue[i] = s->queue[(s->queue_first + i) % s->queue_size];
    free(s->queue);
    s->queue = queue;
    s->queue_size = size;
    s->queue_first = 0;
}

void p2p_sw_push(struct p2p_swarm *s, const struct p2p_move *move)
{
    if (s->queue_n == s->queue_size)
        grow(s);
    s->queue[(s->queue_first + s->queue_n++) % s->queue_size] = *move;
}

static bool pop(struct p2p_swarm *s, struct p2p_move *ret)
{
    if (s->queue_n == 0)
        return false;
    *ret = s->queue[s->queue_first];
    s->queue_first = (s->queue_first + 1) % s->queue_size;
    s->queue_n--;
    return true;
}

/* Of a download that goes: what is queued for its peers stays, they wait for it. */
static void forget_moves(struct p2p_swarm *s, const struct p2p_download *d)
{
    size_t n = s->queue_n;

    for (size_t i = 0; i < n; i++) {
        struct p2p_move m;

        (void)pop(s, &m);
        if (m.download != d)
            p2p_sw_push(s, &m);
    }
}

/* ---- groups ---- */

void p2p_sw_dirty(struct p2p_sw_group *g)
{
    if (el_list_empty(&g->in_dirty))
        el_list_append(&g->d->s->dirty, &g->in_dirty);
}

void p2p_sw_chunk_of(const struct p2p_sw_group *g, unsigned block, struct el_chunk_id *ret)
{
    memcpy(ret->object, g->d->version, P2P_VERSION_BYTES);
    ret->index = g->number * P2P_GROUP_CHUNKS + block / P2P_CHUNK_BLOCKS;
}

struct p2p_sw_group *p2p_sw_group_of(struct p2p_swarm *s, const struct el_chunk_id *chunk)
{
    uint32_t number = chunk->index / P2P_GROUP_CHUNKS;

    for (struct el_list *it = s->downloads.next; it != &s->downloads; it = it->next) {
        struct p2p_download *d = EL_ENTRY(it, struct p2p_download, in_swarm);

        if (number < d->n_groups && memcmp(d->version, chunk->object, P2P_VERSION_BYTES) == 0)
            return d->groups[number];
    }
    return NULL;
}

static bool is_whole(const struct p2p_download *d, uint32_t group)
{
    return (d->whole[group / 8] >> group % 8 & 1) != 0;
}

static unsigned blocks_of(const struct p2p_download *d, uint32_t group)
{
    return (unsigned)el_min_u64(d->blocks - (uint64_t)group * P2P_GROUP_BLOCKS, P2P_GROUP_BLOCKS);
}

static struct p2p_sw_group *open_group(struct p2p_download *d, uint32_t number)
{
    struct p2p_sw_group *g = d->groups[number];

    if (g != NULL)
        return g;
    g = el_new(struct p2p_sw_group);
    g->d = d;
    g->number = number;
    g->blocks = blocks_of(d, number);
    g->locate_at = d->s->now;
    g->dry_until = UINT64_MAX;
    el_list_init(&g->runs);
    el_list_init(&g->in_dirty);
    el_list_append(&d->active, &g->in_download);
    d->groups[number] = g;
    return g;
}

static void close_group(struct p2p_sw_group *g)
{
    unsigned b;

    for (b = p2p_blockset_next(&g->asked, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&g->asked, b + 1))
        p2p_sw_take_back(g, b);
    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        if (g->nb[i].peer != NULL)
            p2p_sw_neighbour_drop(g, &g->nb[i]);
    if (g->d->s->fresh_in == g)
        g->d->s->fresh = NULL; /* it points into the group */
    p2p_sw_runs_free(g);
    el_list_remove(&g->in_dirty);
    el_list_remove(&g->in_download);
    g->d->groups[g->number] = NULL;
    free(g);
}

/* Whole, said so to the tracker, and nothing is owed: its memory can go. */
static bool is_finished(const struct p2p_sw_group *g)
{
    if (p2p_blockset_count(&g->here) < g->blocks || g->n_runs > 0 || g->is_locating)
        return false;
    if (g->is_located && !g->is_quiet)
        return false;
    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        if (g->nb[i].awaited > 0)
            return false;
    return true;
}

static void finish(struct p2p_sw_group *g)
{
    g->d->whole[g->number / 8] |= (uint8_t)(1u << g->number % 8);
    close_group(g);
}

/* ---- downloads ---- */

struct p2p_download *p2p_swarm_open(struct p2p_swarm *s, uint64_t now, const uint8_t version[16],
                                    uint64_t length, void *arg)
{
    struct p2p_download *d = el_new(struct p2p_download);

    EL_ASSERT(length > 0);
    s->now = now;
    d->s = s;
    d->arg = arg;
    memcpy(d->version, version, P2P_VERSION_BYTES);
    d->blocks = (length - 1) / P2P_MAX_BLOCK + 1;
    d->n_groups = (uint32_t)((d->blocks - 1) / P2P_GROUP_BLOCKS + 1);
    d->groups = el_alloc(d->n_groups * sizeof(struct p2p_sw_group *));
    d->whole = el_alloc(d->n_groups / 8 + 1);
    el_list_init(&d->active);
    d->urgent = P2P_NO_BLOCK;
    d->reach = P2P_REACH_NONE;
    d->patience = PATIENCE_MS + el_rng_below(&s->rng, PATIENCE_MS);
    d->moved_at = now;
    el_list_append(&s->downloads, &d->in_swarm);
    return d;
}

void *p2p_download_arg(const struct p2p_download *d)
{
    return d->arg;
}

static void free_download(struct p2p_download *d)
{
    while (!el_list_empty(&d->active))
        close_group(EL_ENTRY(d->active.next, struct p2p_sw_group, in_download));
    forget_moves(d->s, d);
    el_list_remove(&d->in_swarm);
    free(d->spans);
    free(d->groups);
    free(d->whole);
    free(d);
}

void p2p_swarm_close(struct p2p_download *d, uint64_t now)
{
    struct el_list *it, *tmp;

    d->s->now = now;
    EL_LIST_EACH (it, tmp, &d->active)
        p2p_sw_farewell(EL_ENTRY(it, struct p2p_sw_group, in_download));
    free_download(d);
}

void p2p_swarm_free(struct p2p_swarm *s)
{
    if (s == NULL)
        return;
    while (!el_list_empty(&s->downloads))
        free_download(EL_ENTRY(s->downloads.next, struct p2p_download, in_swarm));
    while (!el_list_empty(&s->farewells))
        free(EL_ENTRY(el_list_pop(&s->farewells), struct p2p_sw_farewell, in_swarm));
    while (!el_list_empty(&s->debts))
        free(EL_ENTRY(el_list_pop(&s->debts), struct p2p_sw_debt, in_swarm));
    p2p_sw_peers_free(s);
    free(s->queue);
    free(s);
}

/* ---- the window of demand ---- */

/* What of the spans is in the group, if it is at work. */
static void set_want(struct p2p_sw_group *g)
{
    uint64_t base = (uint64_t)g->number * P2P_GROUP_BLOCKS;

    memset(&g->want, 0, sizeof(g->want));
    for (size_t i = 0; g->is_open && i < g->d->n_spans; i++) {
        uint64_t end = el_min_u64(g->d->spans[i].end, base + g->blocks);

        for (uint64_t b = el_max_u64(g->d->spans[i].first, base); b < end; b++)
            p2p_blockset_add(&g->want, (unsigned)(b - base));
    }
    g->must_follow = true;
    p2p_sw_wake(g);
}

/* The nth group of the span. False: it has fewer. */
static bool open_nth(struct p2p_download *d, const struct p2p_span *span, uint64_t nth,
                     size_t *room)
{
    uint64_t k = span->first / P2P_GROUP_BLOCKS + nth;
    struct p2p_sw_group *g;

    if (k * P2P_GROUP_BLOCKS >= span->end)
        return false;
    if (is_whole(d, (uint32_t)k))
        return true;
    g = open_group(d, (uint32_t)k);
    *room -= !g->is_open;
    g->is_open = true;
    return true;
}

/* So many groups at a time, the first of each span first: memory is bounded by it. */
static void open_window(struct p2p_download *d)
{
    size_t room = el_min_size((size_t)el_max_u64(d->n_spans, P2P_SW_GROUPS), P2P_SW_MAX_GROUPS);
    struct el_list *it, *tmp;
    bool has_more = true;

    EL_LIST_EACH (it, tmp, &d->active)
        EL_ENTRY(it, struct p2p_sw_group, in_download)->is_open = false;
    for (uint64_t nth = 0; has_more && room > 0; nth++) {
        has_more = false;
        for (size_t i = 0; i < d->n_spans && room > 0; i++)
            has_more |= open_nth(d, &d->spans[i], nth, &room);
    }
    EL_LIST_EACH (it, tmp, &d->active)
        set_want(EL_ENTRY(it, struct p2p_sw_group, in_download));
}

/* Without those that are empty or lie behind the end. False: they are what they were. */
static bool set_spans(struct p2p_download *d, const struct p2p_span *spans, size_t n)
{
    struct p2p_span *kept = el_alloc((n + 1) * sizeof(kept[0]));
    size_t n_kept = 0;
    bool is_same;

    for (size_t i = 0; i < n; i++) {
        kept[n_kept] = (struct p2p_span){ spans[i].first, el_min_u64(spans[i].end, d->blocks) };
        n_kept += kept[n_kept].first < kept[n_kept].end;
    }
    is_same = n_kept == d->n_spans &&
              (n_kept == 0 || memcmp(kept, d->spans, n_kept * sizeof(kept[0])) == 0);
    free(d->spans);
    d->spans = kept;
    d->n_spans = n_kept;
    return !is_same;
}

void p2p_swarm_want(struct p2p_download *d, uint64_t now, const struct p2p_span *spans, size_t n,
                    uint64_t urgent)
{
    bool was_empty = d->n_spans == 0;

    d->s->now = now;
    if (urgent != d->urgent) {
        d->urgent_at = now;
        d->is_urgent_had = false;
    }
    d->urgent = urgent;
    if (!set_spans(d, spans, n))
        return;
    if (was_empty)
        d->moved_at = now;
    open_window(d);
}

void p2p_swarm_set_reach(struct p2p_download *d, uint64_t now, enum p2p_reach reach, uint64_t first,
                         uint64_t end)
{
    d->s->now = now;
    EL_ASSERT(reach != P2P_REACH_EXACT ||
              (first < end && first / P2P_CHUNK_BLOCKS == (end - 1) / P2P_CHUNK_BLOCKS));
    if (reach != P2P_REACH_NONE &&
        (d->reach != reach || d->reach_first != first || d->reach_end != end))
        for (struct el_list *it = d->active.next; it != &d->active; it = it->next)
            p2p_sw_locate_now(EL_ENTRY(it, struct p2p_sw_group, in_download));
    d->reach = reach;
    d->reach_first = first;
    d->reach_end = end;
}

bool p2p_swarm_adopt(struct p2p_download *d, uint64_t now, uint64_t first, unsigned count,
                     uint32_t *ret_run)
{
    uint32_t number = (uint32_t)(first / P2P_GROUP_BLOCKS);

    d->s->now = now;
    EL_ASSERT(count > 0 && first + count <= d->blocks &&
              first / P2P_CHUNK_BLOCKS == (first + count - 1) / P2P_CHUNK_BLOCKS);
    if (is_whole(d, number))
        return false;
    if (d->groups[number] == NULL)
        (void)open_group(d, number);
    return p2p_sw_run_adopt(d->groups[number], (unsigned)(first % P2P_GROUP_BLOCKS), count,
                            ret_run);
}

bool p2p_swarm_tell(struct p2p_download *d, uint64_t now)
{
    struct p2p_sw_group *g = d->groups[0];

    d->s->now = now;
    if (g == NULL || (!p2p_sw_lacks(g) && g->n_runs == 0 && !g->is_locating))
        return false;
    p2p_sw_locate_now(g);
    return true;
}

/* A read-ahead that is told twice changes nothing. */
void p2p_swarm_have(struct p2p_download *d, uint64_t now, uint64_t block)
{
    struct p2p_sw_group *g;
    unsigned b = (unsigned)(block % P2P_GROUP_BLOCKS);

    d->s->now = now;
    if (block >= d->blocks || is_whole(d, (uint32_t)(block / P2P_GROUP_BLOCKS)))
        return;
    g = open_group(d, (uint32_t)(block / P2P_GROUP_BLOCKS));
    if (p2p_blockset_has(&g->here, b))
        return;
    p2p_blockset_add(&g->here, b);
    p2p_blockset_remove(&g->mine, b);
    d->moved_at = now;
    p2p_sw_take_back(g, b);
    if (p2p_blockset_chunk(&g->here, b / P2P_CHUNK_BLOCKS) == 0xffff ||
        p2p_blockset_count(&g->here) == g->blocks)
        g->must_follow = true;
    p2p_sw_dirty(g);
}

void p2p_swarm_lost(struct p2p_download *d, uint64_t now, uint64_t block)
{
    uint32_t k = (uint32_t)(block / P2P_GROUP_BLOCKS);
    struct p2p_sw_group *g;

    d->s->now = now;
    if (block >= d->blocks)
        return;
    if (is_whole(d, k)) {
        g = open_group(d, k);
        for (unsigned b = 0; b < g->blocks; b++)
            p2p_blockset_add(&g->here, b);
        d->whole[k / 8] &= (uint8_t) ~(1u << k % 8);
        open_window(d);
    }
    g = d->groups[k];
    if (g == NULL)
        return;
    p2p_blockset_remove(&g->here, (unsigned)(block % P2P_GROUP_BLOCKS));
    g->must_follow = true;
    p2p_sw_wake(g);
}

void p2p_swarm_distrust_chunk(struct p2p_download *d, uint64_t now, uint32_t chunk)
{
    uint32_t k = chunk / P2P_GROUP_CHUNKS;
    struct p2p_sw_group *g;
    unsigned first = chunk % P2P_GROUP_CHUNKS * P2P_CHUNK_BLOCKS;

    d->s->now = now;
    if (k >= d->n_groups || is_whole(d, k))
        return;
    g = open_group(d, k);
    for (unsigned b = first; b < first + P2P_CHUNK_BLOCKS && b < g->blocks; b++) {
        p2p_blockset_add(&g->barred, b);
        p2p_sw_take_back(g, b);
    }
    g->must_follow = true;
    p2p_sw_dirty(g);
}

/* ---- what peers say ---- */

/* The neighbour and block that an event is about; NULL: we know of no such thing. */
static struct p2p_sw_neighbour *find(struct p2p_swarm *s, uint64_t node,
                                     const struct el_chunk_id *chunk, struct p2p_sw_group **ret)
{
    *ret = p2p_sw_group_of(s, chunk);
    return *ret == NULL ? NULL : p2p_sw_neighbour_of(*ret, node);
}

static unsigned first_of(const struct el_chunk_id *chunk)
{
    return chunk->index % P2P_GROUP_CHUNKS * P2P_CHUNK_BLOCKS;
}

void p2p_swarm_on_have(struct p2p_swarm *s, uint64_t now, uint64_t node,
                       const struct el_chunk_id *chunk, const struct p2p_have *have)
{
    struct p2p_sw_group *g;
    struct p2p_sw_neighbour *nb = find(s, node, chunk, &g);

    s->now = now;
    if (nb == NULL || first_of(chunk) >= g->blocks || now < nb->peer->quarantined_until)
        return;
    nb->said |= (uint64_t)1 << chunk->index % P2P_GROUP_CHUNKS;
    p2p_sw_has(g, nb, chunk->index % P2P_GROUP_CHUNKS, have->bitmap);
    p2p_sw_comes(g, nb, chunk->index % P2P_GROUP_CHUNKS, have->coming);
}

void p2p_swarm_on_followed(struct p2p_swarm *s, uint64_t now, uint64_t node,
                           const struct el_chunk_id *chunk)
{
    struct p2p_sw_group *g = p2p_sw_group_of(s, chunk);

    s->now = now;
    if (g != NULL)
        p2p_sw_followed(g, node);
}

void p2p_swarm_on_begun(struct p2p_swarm *s, uint64_t now, uint64_t node,
                        const struct el_chunk_id *chunk)
{
    struct p2p_sw_group *g;
    struct p2p_sw_neighbour *nb = find(s, node, chunk, &g);
    unsigned b;

    s->now = now;
    s->hears_begun = true;
    if (nb == NULL || first_of(chunk) >= g->blocks)
        return;
    b = p2p_sw_beginner(g, nb, chunk->index % P2P_GROUP_CHUNKS);
    if (b < P2P_GROUP_BLOCKS)
        p2p_sw_begun(g, nb, b);
}

void p2p_swarm_on_block(struct p2p_swarm *s, uint64_t now, uint64_t node,
                        const struct el_chunk_id *chunk, uint64_t block_of_chunk)
{
    struct p2p_sw_group *g;
    struct p2p_sw_neighbour *nb = find(s, node, chunk, &g);
    unsigned b = first_of(chunk) + (unsigned)block_of_chunk;
    bool has_begun, is_stream;

    s->now = now;
    if (nb == NULL || block_of_chunk >= P2P_CHUNK_BLOCKS || b >= g->blocks)
        return;
    has_begun = p2p_blockset_has(&g->begun, b);
    is_stream = p2p_blockset_has(&g->streams, b);
    if (!p2p_sw_settle(g, nb, b, false))
        return;
    if (p2p_blockset_has(&g->here, b))
        s->stats.twice++;
    nb->useful_at = g->fed_at = now;
    if (g->dry_until == UINT64_MAX)
        g->d->hedges = 0;
    p2p_sw_peer_gave(s, nb->peer);
    s->stats.blocks_streams += is_stream;
    if (is_stream && has_begun)
        p2p_sw_stream_came(g, b);
    else if (!is_stream)
        p2p_sw_peer_took(s, nb->peer, (uint32_t)now - g->asked_at[b],
                         (uint32_t)now - (has_begun ? g->begun_at : g->asked_at)[b]);
}

/* Of all that it takes part in. */
static void disbelieve(struct p2p_swarm *s, uint64_t node)
{
    for (struct el_list *it = s->downloads.next; it != &s->downloads; it = it->next) {
        struct p2p_download *d = EL_ENTRY(it, struct p2p_download, in_swarm);

        for (struct el_list *i = d->active.next; i != &d->active; i = i->next) {
            struct p2p_sw_group *g = EL_ENTRY(i, struct p2p_sw_group, in_download);
            struct p2p_sw_neighbour *nb = p2p_sw_neighbour_of(g, node);

            if (nb == NULL)
                continue;
            p2p_sw_disbelieve(g, nb);
            p2p_sw_dry(g);
            g->lied_at = g->locate_at = s->now;
            p2p_sw_dirty(g);
        }
    }
}

void p2p_swarm_on_bad(struct p2p_swarm *s, uint64_t now, uint64_t node,
                      const struct el_chunk_id *chunk, uint64_t block_of_chunk)
{
    struct p2p_sw_peer *p = p2p_sw_peer_get(s, node);
    struct p2p_sw_group *g;
    struct p2p_sw_neighbour *nb = find(s, node, chunk, &g);
    unsigned b = first_of(chunk) + (unsigned)block_of_chunk;

    s->now = now;
    p2p_sw_push(s, &(struct p2p_move){ .kind = P2P_MOVE_BLAME,
                                       .node = node,
                                       .chunk = *chunk,
                                       .blocks = { (uint32_t)block_of_chunk, 1 },
                                       .until = p2p_sw_peer_lied(s, p) });
    if (nb == NULL || block_of_chunk >= P2P_CHUNK_BLOCKS || b >= g->blocks)
        return;
    (void)p2p_sw_settle(g, nb, b, false);
    disbelieve(s, node);
}

void p2p_swarm_on_unsigned(struct p2p_swarm *s, uint64_t now, uint64_t node,
                           const struct el_chunk_id *chunk, uint64_t block_of_chunk, uint32_t known)
{
    struct p2p_sw_group *g;
    struct p2p_sw_neighbour *nb = find(s, node, chunk, &g);
    unsigned first = first_of(chunk);

    s->now = now;
    if (nb == NULL || block_of_chunk >= P2P_CHUNK_BLOCKS || first + block_of_chunk >= g->blocks)
        return;
    (void)p2p_sw_settle(g, nb, first + (unsigned)block_of_chunk, false);
    for (unsigned i = 0; i < P2P_CHUNK_BLOCKS && first + i < g->blocks; i++)
        if ((known >> i & 1) == 0)
            p2p_sw_has_not(g, nb, first + i);
}

void p2p_swarm_on_dropped(struct p2p_swarm *s, uint64_t now, uint64_t node,
                          const struct el_chunk_id *chunk, uint64_t block_of_chunk)
{
    struct p2p_sw_group *g;
    struct p2p_sw_neighbour *nb = find(s, node, chunk, &g);
    unsigned b = first_of(chunk) + (unsigned)block_of_chunk;

    s->now = now;
    if (nb == NULL || block_of_chunk >= P2P_CHUNK_BLOCKS || b >= g->blocks)
        return;
    if (p2p_sw_settle(g, nb, b, false))
        p2p_sw_peer_cool(s, nb->peer, P2P_SW_TICK_MS);
}

/*
 * What is owed of these; all of the chunk when there are none of them. An Ack is no word about what
 * was asked for after the Cancel that it answers.
 */
static void settle_all(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb,
                       const struct el_chunk_id *chunk, struct p2p_blocks blocks, bool is_ack,
                       bool has_not)
{
    unsigned first = first_of(chunk), n = blocks.count;

    if (n == 0)
        blocks.first = 0, n = P2P_CHUNK_BLOCKS;
    for (unsigned i = blocks.first; i < blocks.first + n && i < P2P_CHUNK_BLOCKS; i++) {
        if (first + i >= g->blocks)
            return;
        if (!is_ack || p2p_blockset_has(&nb->cancelled, first + i))
            (void)p2p_sw_settle(g, nb, first + i, is_ack);
        if (has_not)
            p2p_sw_has_not(g, nb, first + i);
    }
}

void p2p_swarm_on_cancelled(struct p2p_swarm *s, uint64_t now, uint64_t node,
                            const struct el_chunk_id *chunk, struct p2p_blocks blocks)
{
    struct p2p_sw_group *g;
    struct p2p_sw_neighbour *nb = find(s, node, chunk, &g);

    s->now = now;
    p2p_sw_debts_paid(s, node, chunk, blocks);
    if (nb != NULL)
        settle_all(g, nb, chunk, blocks, true, false);
}

void p2p_swarm_on_refusal(struct p2p_swarm *s, uint64_t now, uint64_t node,
                          const struct el_chunk_id *chunk, struct p2p_blocks blocks, uint32_t code,
                          uint32_t retry_ms)
{
    struct p2p_sw_group *g;
    struct p2p_sw_neighbour *nb = find(s, node, chunk, &g);
    bool overloaded = p2p_error_code(code) == EL_EOVERLOAD;

    s->now = now;
    if (nb == NULL)
        return;
    s->stats.refused++;
    settle_all(g, nb, chunk, blocks, false, !overloaded);
    if (overloaded || retry_ms > 0)
        p2p_sw_peer_cool(s, nb->peer, el_max_u64(retry_ms, P2P_SW_TICK_MS));
}

/* ---- what to do ---- */

static void plan(struct p2p_sw_group *g)
{
    el_list_remove(&g->in_dirty);
    if (g->must_follow)
        p2p_sw_follow(g);
    g->d->s->must_ask = true;
    p2p_sw_runs(g);
    if (is_finished(g)) {
        struct p2p_download *d = g->d;

        finish(g);
        open_window(d);
    }
}

static bool say_farewell(struct p2p_swarm *s, struct p2p_move *ret)
{
    struct p2p_sw_farewell *f;

    if (el_list_empty(&s->farewells))
        return false;
    f = EL_ENTRY(el_list_pop(&s->farewells), struct p2p_sw_farewell, in_swarm);
    s->locate = f->locate;
    free(f);
    *ret = (struct p2p_move){ .kind = P2P_MOVE_LOCATE, .locate = &s->locate };
    return true;
}

bool p2p_swarm_next(struct p2p_swarm *s, struct p2p_move *ret)
{
    /* Before a new download of the same asks: what is granted to that one is not to end. */
    if (say_farewell(s, ret))
        return true;
    while (s->queue_n == 0 && !el_list_empty(&s->dirty))
        plan(EL_ENTRY(s->dirty.next, struct p2p_sw_group, in_dirty));
    if (s->queue_n == 0 && s->must_ask)
        p2p_sw_ask(s);
    if (s->queue_n == 0 && s->fresh != NULL)
        p2p_sw_ask_fresh(s);
    if (!pop(s, ret))
        return false;
    if (ret->kind == P2P_MOVE_LOCATE) {
        p2p_sw_locate_fill(ret->download->groups[ret->first], &s->locate);
        ret->locate = &s->locate;
        ret->first = 0;
    }
    return true;
}

uint64_t p2p_swarm_due_ms(const struct p2p_swarm *s)
{
    uint64_t due = UINT64_MAX;

    for (struct el_list *it = s->downloads.next; it != &s->downloads; it = it->next) {
        const struct p2p_download *d = EL_ENTRY(it, struct p2p_download, in_swarm);

        for (struct el_list *g = d->active.next; g != &d->active; g = g->next)
            due = el_min_u64(due, p2p_sw_due(EL_ENTRY(g, struct p2p_sw_group, in_download)));
    }
    return due;
}

void p2p_swarm_tick(struct p2p_swarm *s, uint64_t now)
{
    s->now = now;
    for (struct el_list *it = s->downloads.next; it != &s->downloads; it = it->next) {
        struct p2p_download *d = EL_ENTRY(it, struct p2p_download, in_swarm);

        for (struct el_list *g = d->active.next; g != &d->active; g = g->next)
            p2p_sw_ask_tick(EL_ENTRY(g, struct p2p_sw_group, in_download));
        p2p_sw_hedge(d);
    }
    s->ticked_at = now;
}

void p2p_swarm_stats(const struct p2p_swarm *s, struct p2p_swarm_stats *ret)
{
    struct p2p_swarm_peer p;
    size_t cursor = 0;

    *ret = s->stats;
    while (p2p_swarm_peer_next(s, s->now, &cursor, &p)) {
        ret->peers += p.is_up;
        ret->quarantined += p.quarantined_until != 0;
    }
}
