/* SPDX-License-Identifier: MIT */
/*
 * Choice of swarm.h: which block is asked of whom, and what is taken back.
 *
 * Nobody knows how long the queues of others are. So a node asks many neighbours at once, each for
 * another block, and as soon as enough of them have begun to send, it takes the rest back, and asks
 * again when one is there: whoever is free gives to whoever lacks, as if somebody matched them.
 */
#include "p2p/swarm_in.h"

/* Blocks that one link may owe: the sender has a choice, and its link no gap. */
#define DEPTH 2u
/* Where others read it owes streams all the time: of other blocks one besides. */
#define BESIDE_STREAMS 1u
/*
 * Blocks that come at a time: more of them would make each one slower, and it can only be passed on
 * when it is whole. One that takes far longer than blocks take does not count, up to conf.k in all.
 */
#define AT_A_TIME 3u
/*
 * Where blocks take less than this, taking back and asking again takes longer than a block: what
 * was asked for stays where it waits, there is more of it, and more comes at a time (less while a
 * run is read from the origin).
 */
#define FAST_MS                20.0
#define FAST_WAIT_MS           100.0
#define FAST_DEPTH             4u
#define AT_A_TIME_FAST         8u
#define BESIDE_THE_ORIGIN_FAST 4u
/* Who lacks so many blocks that others have gives them nothing yet; more senders fill its link. */
#define FAR_BEHIND       16u
#define AT_A_TIME_BEHIND 6u
/* Who waits for so many times what blocks take, and so long, may wait in another queue as well. */
#define QUEUES     3u
#define LATE_WAITS 2.0
#define LATE_MS    50u
/* From the foremost waiting reader on, so many blocks go before rarer ones. */
#define URGENT_BLOCKS 2u
/* A block that takes longer than this, and than so many times what blocks take, times out. */
#define TIMEOUT_MS     2000u
#define MAX_TIMEOUT_MS 60000u
#define TIMEOUT_WAITS  4.0
#define STREAM_WAITS   3.0
/* A stream that began so long ago, and that its sender has whole: all others get it as well. */
#define LATE_STREAM_MS 5000u
#define LATE_ROUNDS    3u

/* All blocks of the chunks that have one of these. */
static uint64_t whole_chunks(uint64_t blocks)
{
    uint64_t chunks = 0;

    for (unsigned c = 0; c < 64; c += P2P_CHUNK_BLOCKS)
        if ((blocks >> c & 0xffff) != 0)
            chunks |= (uint64_t)0xffff << c;
    return chunks;
}

/* What this neighbour could be asked for; no link owes two blocks of a chunk (_on_begun). */
static uint64_t candidates(const struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb,
                           unsigned i)
{
    return nb->has.w[i] & g->want.w[i] &
           ~(g->here.w[i] | g->mine.w[i] | g->begun.w[i] | g->barred.w[i]) &
           ~whole_chunks(nb->owed.w[i]);
}

static unsigned queues_of(const struct p2p_sw_group *g, unsigned block)
{
    return (unsigned)__builtin_popcount(g->asked_of[block]);
}

static bool is_late(const struct p2p_swarm *s, uint32_t since, double usual_ms)
{
    uint32_t waited = (uint32_t)s->now - since;

    return waited > LATE_MS && waited > LATE_WAITS * usual_ms;
}

/* While a Cancel is out the block may be on its way all the same. */
static bool may_queue(const struct p2p_sw_group *g, unsigned block)
{
    const struct p2p_swarm *s = g->d->s;
    unsigned n = g->owing[block];

    return n == 0 || (s->hears_begun && n < QUEUES && is_late(s, g->asked_at[block], s->wait));
}

static bool is_urgent(const struct p2p_sw_group *g, unsigned block)
{
    uint64_t n = p2p_sw_number(g, block);

    return n >= g->d->urgent && n - g->d->urgent < URGENT_BLOCKS;
}

/* Less is better: what waits in fewer queues, then what fewer have. */
static unsigned rank(const struct p2p_sw_group *g, unsigned block)
{
    return is_urgent(g, block) ? queues_of(g, block)
                               : (queues_of(g, block) + 1) * 256 + g->holders[block];
}

/* P2P_GROUP_BLOCKS: none. Of equals one by lot. */
static unsigned pick(struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb)
{
    uint16_t best[P2P_GROUP_BLOCKS];
    unsigned least = UINT32_MAX, n = 0;

    for (unsigned i = 0; i < EL_COUNT(nb->has.w); i++)
        for (uint64_t w = candidates(g, nb, i); w != 0; w &= w - 1) {
            unsigned b = i * 64 + (unsigned)__builtin_ctzll(w), r = rank(g, b);

            if (r > least || !may_queue(g, b))
                continue;
            if (r < least)
                n = 0;
            least = r;
            best[n++] = (uint16_t)b;
        }
    return n == 0 ? P2P_GROUP_BLOCKS : best[el_rng_below(&g->d->s->rng, n)];
}

static void move_blocks(struct p2p_sw_group *g, enum p2p_move_kind kind,
                        const struct p2p_sw_neighbour *nb, unsigned block)
{
    struct p2p_move m = { .kind = kind,
                          .node = nb->peer->node,
                          .blocks = { block % P2P_CHUNK_BLOCKS, 1 },
                          .is_coming = p2p_blockset_has(&g->streams, block) };

    p2p_sw_chunk_of(g, block, &m.chunk);
    p2p_sw_push(g->d->s, &m);
}

static bool is_stream(const struct p2p_sw_group *g, unsigned block)
{
    return p2p_blockset_has(&g->streams, block);
}

static void note_asked(struct p2p_sw_group *g, unsigned block)
{
    g->d->s->n_asked += !p2p_blockset_has(&g->asked, block) && !is_stream(g, block);
    p2p_blockset_add(&g->asked, block);
}

void p2p_sw_request(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block,
                    bool is_coming)
{
    struct p2p_swarm *s = g->d->s;

    if (is_coming)
        p2p_blockset_add(&g->streams, block);
    move_blocks(g, P2P_MOVE_REQUEST, nb, block);
    if (g->asked_of[block] == 0)
        g->asked_at[block] = (uint32_t)s->now;
    note_asked(g, block);
    p2p_blockset_add(&nb->owed, block);
    if (is_coming && !p2p_blockset_has(&nb->streams, block)) {
        p2p_blockset_add(&nb->streams, block);
        nb->peer->streams++;
    }
    g->owing[block]++;
    g->asked_of[block] |= (uint32_t)1 << (nb - g->nb);
    nb->awaited++;
    if (nb->peer->awaited++ == 0)
        nb->peer->last_at = s->now;
}

/* Behind the queue of a slow link a block comes fast as well, but late. */
bool p2p_sw_is_fast(const struct p2p_swarm *s)
{
    return s->took > 0 && s->took < FAST_MS && s->wait < FAST_WAIT_MS;
}

static bool ask_one(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb)
{
    unsigned block = pick(g, nb);

    if (block == P2P_GROUP_BLOCKS)
        return false;
    p2p_sw_request(g, nb, block, false);
    return true;
}

/* Where blocks take little time there are no streams. */
static bool has_room(const struct p2p_swarm *s, const struct p2p_sw_peer *p)
{
    bool is_fast = p2p_sw_is_fast(s);

    if (p->awaited >= (is_fast ? FAST_DEPTH : DEPTH) &&
        (is_fast || p->awaited - p->streams >= BESIDE_STREAMS))
        return false;
    return p2p_sw_peer_may_be_asked(s, p);
}

/*
 * The neighbour to ask next: of those that may have something the one that owes least; then the
 * same zone and the faster ones, with some luck. NULL: nobody.
 */
static struct p2p_sw_neighbour *best_neighbour(struct p2p_sw_group *g)
{
    struct p2p_swarm *s = g->d->s;
    struct p2p_sw_neighbour *best = NULL;
    double best_score = -1;

    for (uint32_t left = g->may_help; left != 0; left &= left - 1) {
        struct p2p_sw_neighbour *nb = &g->nb[__builtin_ctz(left)];
        double score;

        if (nb->peer == NULL) {
            g->may_help &= ~(left & -left);
            continue;
        }
        if (!has_room(s, nb->peer))
            continue;
        score = el_rng_unit(&s->rng) * (1.0 + nb->peer->rate) * (nb->peer->same_zone ? 2.0 : 1.0) /
                (1.0 + 8.0 * nb->peer->awaited);
        if (score <= best_score)
            continue;
        best = nb;
        best_score = score;
    }
    return best;
}

/* The next group of all that are at work; NULL: that was the last one. */
static struct p2p_sw_group *next_group(const struct p2p_swarm *s, struct p2p_sw_group *g)
{
    struct el_list *d = g == NULL ? s->downloads.next : &g->d->in_swarm, *it;

    if (g != NULL && g->in_download.next != &g->d->active)
        return EL_ENTRY(g->in_download.next, struct p2p_sw_group, in_download);
    for (it = g == NULL ? d : d->next; it != &s->downloads; it = it->next) {
        const struct p2p_download *other = EL_ENTRY(it, const struct p2p_download, in_swarm);

        if (!el_list_empty(&other->active))
            return EL_ENTRY(other->active.next, struct p2p_sw_group, in_download);
    }
    return NULL;
}

static unsigned at_a_time(const struct p2p_swarm *s)
{
    bool is_fast = p2p_sw_is_fast(s);

    for (struct p2p_sw_group *g = next_group(s, NULL); g != NULL; g = next_group(s, g)) {
        if (is_fast && g->n_runs > 0)
            return BESIDE_THE_ORIGIN_FAST;
        if (!is_fast && p2p_sw_is_behind(g, FAR_BEHIND))
            return AT_A_TIME_BEHIND;
    }
    return is_fast ? AT_A_TIME_FAST : AT_A_TIME;
}

/* As many blocks come as should at a time. */
static bool has_enough(const struct p2p_swarm *s)
{
    unsigned n = 0, b, most = at_a_time(s);

    if (s->n_begun >= s->conf.k || s->n_begun < most)
        return s->n_begun >= s->conf.k;
    for (struct p2p_sw_group *g = next_group(s, NULL); g != NULL; g = next_group(s, g))
        for (b = p2p_blockset_next(&g->begun, 0); b < P2P_GROUP_BLOCKS;
             b = p2p_blockset_next(&g->begun, b + 1))
            n += !is_stream(g, b) && !is_late(s, g->begun_at[b], s->took);
    return n >= most;
}

/* What has not begun is taken out of its queue: whoever it waits for is free for others. */
static void withdraw(struct p2p_sw_group *g)
{
    unsigned b;

    for (b = p2p_blockset_next(&g->asked, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&g->asked, b + 1))
        if (!p2p_blockset_has(&g->begun, b) && !is_stream(g, b) && !is_urgent(g, b))
            p2p_sw_take_back(g, b);
}

static void ask_all(struct p2p_sw_group *g)
{
    struct p2p_sw_neighbour *nb;

    while ((nb = best_neighbour(g)) != NULL)
        if (!ask_one(g, nb))
            g->may_help &= ~((uint32_t)1 << (nb - g->nb));
}

void p2p_sw_ask(struct p2p_swarm *s)
{
    bool is_enough = s->hears_begun && has_enough(s), is_fast = p2p_sw_is_fast(s);

    s->must_ask = false;
    s->fresh = NULL;
    for (struct p2p_sw_group *g = next_group(s, NULL); g != NULL && !is_fast; g = next_group(s, g))
        p2p_sw_ask_streams(g);
    for (struct p2p_sw_group *g = next_group(s, NULL); g != NULL; g = next_group(s, g))
        if (!is_enough)
            ask_all(g);
        else if (!is_fast)
            withdraw(g);
}

void p2p_sw_ask_fresh(struct p2p_swarm *s)
{
    struct p2p_sw_neighbour *nb = s->fresh;

    s->fresh = NULL;
    if (nb->peer == NULL || !has_room(s, nb->peer) || (s->hears_begun && has_enough(s)))
        return;
    while (has_room(s, nb->peer) && ask_one(s->fresh_in, nb))
        ;
}

/* ---- the end of a question ---- */

static void wake_holders(struct p2p_sw_group *g, unsigned block)
{
    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        if (g->nb[i].peer != NULL && p2p_blockset_has(&g->nb[i].has, block))
            g->may_help |= (uint32_t)1 << i;
    p2p_sw_dirty(g);
}

/* Not asked of this neighbour any more, whatever its link still owes. */
static void unask(struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb, unsigned block)
{
    unsigned i = (unsigned)(nb - g->nb);

    g->asked_of[block] &= ~((uint32_t)1 << i);
    if (p2p_blockset_has(&g->begun, block) && g->begun_by[block] == i) {
        p2p_blockset_remove(&g->begun, block);
        g->d->s->n_begun -= !is_stream(g, block);
    }
    if (g->asked_of[block] == 0 && p2p_blockset_has(&g->asked, block)) {
        p2p_blockset_remove(&g->asked, block);
        g->d->s->n_asked -= !is_stream(g, block);
        p2p_blockset_remove(&g->streams, block);
    }
}

static void no_stream(struct p2p_sw_neighbour *nb, unsigned block)
{
    nb->peer->streams -= p2p_blockset_has(&nb->streams, block);
    p2p_blockset_remove(&nb->streams, block);
}

/* Nothing more is to come of it from there. */
static void is_over(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block)
{
    p2p_blockset_remove(&nb->owed, block);
    p2p_blockset_remove(&nb->cancelled, block);
    no_stream(nb, block);
    g->owing[block]--;
    nb->awaited--;
    nb->peer->awaited--;
}

bool p2p_sw_settle(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block, bool is_ack)
{
    bool was_asked = (g->asked_of[block] >> (nb - g->nb) & 1) != 0;

    if (!p2p_blockset_has(&nb->owed, block))
        return false;
    nb->peer->last_at = g->d->s->now;
    if (is_ack || !p2p_blockset_has(&nb->cancelled, block))
        is_over(g, nb, block);
    unask(g, nb, block);
    g->may_help |= (uint32_t)1 << (nb - g->nb);
    p2p_sw_dirty(g);
    if (was_asked && !p2p_blockset_has(&g->here, block))
        wake_holders(g, block);
    return true;
}

void p2p_sw_take_back_from(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block)
{
    if (!p2p_blockset_has(&nb->cancelled, block))
        move_blocks(g, P2P_MOVE_CANCEL, nb, block);
    p2p_blockset_add(&nb->cancelled, block);
    no_stream(nb, block);
    unask(g, nb, block);
}

void p2p_sw_take_back(struct p2p_sw_group *g, unsigned block)
{
    while (g->asked_of[block] != 0)
        p2p_sw_take_back_from(g, &g->nb[__builtin_ctz(g->asked_of[block])], block);
}

void p2p_sw_begun(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb, unsigned block)
{
    unsigned i = (unsigned)(nb - g->nb);
    uint32_t others;

    /* Two at the same moment: one comes for nothing. */
    if (p2p_blockset_has(&g->begun, block) || p2p_blockset_has(&g->here, block))
        return;
    others = g->asked_of[block] & ~((uint32_t)1 << i);
    for (; others != 0; others &= others - 1)
        p2p_sw_take_back_from(g, &g->nb[__builtin_ctz(others)], block);
    g->asked_of[block] = (uint32_t)1 << i;
    note_asked(g, block);
    p2p_blockset_add(&g->begun, block);
    g->d->s->n_begun += !is_stream(g, block);
    g->begun_by[block] = (uint8_t)i;
    g->begun_at[block] = (uint32_t)g->d->s->now;
    g->fed_at = g->d->s->now;
    p2p_sw_dirty(g);
}

/* ---- what does not come ---- */

static uint64_t timeout_of(const struct p2p_swarm *s)
{
    double usual = s->took > 0 ? s->wait : s->stream_took;
    uint64_t ms = (uint64_t)(usual * TIMEOUT_WAITS);

    return ms < TIMEOUT_MS ? TIMEOUT_MS : el_min_u64(ms, MAX_TIMEOUT_MS);
}

/* Blocks that begin together on this node's link end together, and not before. */
static uint64_t time_of_all(const struct p2p_sw_group *g)
{
    uint64_t n_here = p2p_blockset_count(&g->here), n_begun = p2p_blockset_count(&g->begun);

    return LATE_ROUNDS * n_begun * (g->d->s->now - g->began_at) / (n_here + 1);
}

static uint64_t stream_patience(const struct p2p_swarm *s)
{
    return el_max_u64(timeout_of(s), (uint64_t)(STREAM_WAITS * s->stream_took));
}

/* With a stream that has begun, and that its sender has whole. */
static uint64_t late_patience(const struct p2p_sw_group *g)
{
    return el_max_u64(el_max_u64(stream_patience(g->d->s), time_of_all(g)), LATE_STREAM_MS);
}

/* What else is asked of the link comes behind the streams that have begun and those that wait. */
static uint64_t patience_with(const struct p2p_sw_group *g, const struct p2p_sw_neighbour *nb)
{
    const struct p2p_swarm *s = g->d->s;
    uint64_t streams = 0, begun = 0, read = 0;

    for (unsigned i = 0; i < EL_COUNT(g->streams.w); i++) {
        streams |= nb->owed.w[i] & g->streams.w[i];
        begun |= nb->owed.w[i] & g->streams.w[i] & g->begun.w[i];
        read |= nb->owed.w[i] & g->streams.w[i] & g->begun.w[i] & ~nb->has.w[i];
    }
    if (read != 0)
        return UINT64_MAX; /* as long as its sender reads; arrive.c looks whether it moves */
    if (begun != 0)
        return late_patience(g);
    return streams != 0 ? stream_patience(s) : timeout_of(s);
}

static uint64_t patience_for(const struct p2p_sw_group *g, unsigned block)
{
    uint64_t ms = UINT64_MAX;

    for (uint32_t of = g->asked_of[block]; of != 0; of &= of - 1)
        ms = el_min_u64(ms, patience_with(g, &g->nb[__builtin_ctz(of)]));
    return ms;
}

/* Not as long as only its sender reads; arrive.c looks whether it moves. */
static bool is_late_stream(const struct p2p_sw_group *g, unsigned block)
{
    return g->holders[block] > 0 && (uint32_t)g->d->s->now - g->begun_at[block] > late_patience(g);
}

static bool has_waited(const struct p2p_sw_group *g, unsigned block)
{
    uint32_t waited; /* no patience is shorter than TIMEOUT_MS */

    if (is_stream(g, block) && p2p_blockset_has(&g->begun, block))
        return is_late_stream(g, block);
    waited = (uint32_t)g->d->s->now - g->asked_at[block];
    return waited > TIMEOUT_MS && waited > patience_for(g, block);
}

static void check_late(struct p2p_sw_group *g, unsigned block)
{
    struct p2p_swarm *s = g->d->s;

    if (!has_waited(g, block))
        return;
    if (p2p_blockset_has(&g->begun, block))
        p2p_sw_peer_was_slow(s, g->nb[g->begun_by[block]].peer);
    p2p_sw_take_back(g, block);
    wake_holders(g, block);
}

/*
 * A link that owes something and brings nothing, no block, no refusal, no Ack. What it streams to
 * another group is looked at there, and all else comes behind that.
 */
static void check_silent(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb)
{
    struct p2p_swarm *s = g->d->s;
    struct p2p_sw_peer *p = nb->peer;

    if (p->awaited == 0 || p->streams > p2p_blockset_count(&nb->streams) ||
        s->now - p->last_at <= TIMEOUT_MS || s->now - p->last_at <= patience_with(g, nb))
        return;
    p2p_sw_peer_was_slow(s, p);
    p->last_at = s->now;
}

void p2p_sw_ask_tick(struct p2p_sw_group *g)
{
    unsigned b;

    for (b = p2p_blockset_next(&g->asked, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&g->asked, b + 1))
        check_late(g, b);
    for (unsigned i = 0; i < P2P_SW_NEIGHBOURS; i++)
        if (g->nb[i].peer != NULL)
            check_silent(g, &g->nb[i]);
    p2p_sw_fill_places(g);
    /* Who cooled down may be asked again. */
    p2p_sw_wake(g);
}

void p2p_sw_disbelieve(struct p2p_sw_group *g, struct p2p_sw_neighbour *nb)
{
    unsigned b, i = (unsigned)(nb - g->nb);

    for (b = p2p_blockset_next(&nb->has, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&nb->has, b + 1))
        p2p_sw_has_not(g, nb, b);
    for (b = p2p_blockset_next(&nb->owed, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&nb->owed, b + 1)) {
        if ((g->asked_of[b] >> i & 1) == 0)
            continue;
        p2p_sw_take_back_from(g, nb, b);
        wake_holders(g, b);
    }
}
