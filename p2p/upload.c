/* SPDX-License-Identifier: MIT */
#include "p2p/upload.h"

#include "common/list.h"

#define DEFAULT_SLOTS 3u
/* Where a block goes out in less than this there are more: none of them waits for long. */
#define FAST_STEP_MS   4u
#define FAST_SLOTS     3u /* times as many */
#define DEFAULT_MOST   32u
#define DEFAULT_OLD_MS 250u
#define DEFAULT_QUEUE  64u
/* A peer that has had nothing from here for so long is a newcomer. */
#define NEWCOMER_MS 10000u
#define LEAST_OLD   5u
/* Who waits longer than so many blocks take to go out, and so long, is served before all others. */
#define PATIENCE    16u
#define PATIENCE_MS 500u
/*
 * One of so many sends goes to whoever has waited longest, if he has waited for so many blocks and
 * so long. Blocks that went out least often go first: who has fallen behind asks for none of these,
 * and would get nothing until all others are done.
 */
#define SHARE    4u
#define SHARE_MS 25u
/* Direct-mapped and lossy: two blocks of one place only spread a little worse. */
#define COUNTS  1024u
#define BUCKETS 64u

struct ask {
    struct el_list in_peer; /* waiting or running */
    struct el_chunk_id chunk;
    uint32_t block;
    uint64_t since; /* asked for; once running: started */
    uint64_t luck;
};

struct peer {
    struct el_list in_bucket;
    struct el_list in_turn; /* ready: it waits and gets nothing; busy: it gets something */
    uint64_t node;
    struct el_list waiting; /* of ask, oldest first */
    unsigned n_waiting;
    struct ask *running; /* NULL: none */
    bool has_had;
    uint64_t served_at; /* when the last send ended */
};

struct count {
    uint32_t tag, n;
};

struct p2p_upload {
    struct p2p_upload_conf conf;
    struct el_list buckets[BUCKETS];
    struct el_list ready, busy; /* of peer.in_turn */
    unsigned running, waiting;
    unsigned turn;      /* of SHARE; 0: the next send may be of one that waits for long */
    uint64_t step_ms16; /* between two blocks that went out while there was work; 16ths of ms */
    uint64_t last_end;
    uint64_t now;        /* of the last question for more */
    uint64_t full_until; /* no send may begin before, unless one ends; 0: look */
    struct p2p_upload_stats stats;
    struct count counts[COUNTS];
};

struct p2p_upload *p2p_upload_new(const struct p2p_upload_conf *conf)
{
    struct p2p_upload *u = el_new(struct p2p_upload);

    u->conf = *conf;
    if (u->conf.slots == 0)
        u->conf.slots = DEFAULT_SLOTS;
    if (u->conf.most == 0)
        u->conf.most = DEFAULT_MOST;
    if (u->conf.old_ms == 0)
        u->conf.old_ms = DEFAULT_OLD_MS;
    if (u->conf.queue == 0)
        u->conf.queue = DEFAULT_QUEUE;
    for (unsigned i = 0; i < BUCKETS; i++)
        el_list_init(&u->buckets[i]);
    el_list_init(&u->ready);
    el_list_init(&u->busy);
    return u;
}

/* To the list where it belongs now. */
static void take_place(struct p2p_upload *u, struct peer *p)
{
    el_list_remove(&p->in_turn);
    if (p->running != NULL)
        el_list_append(&u->busy, &p->in_turn);
    else if (p->n_waiting > 0)
        el_list_append(&u->ready, &p->in_turn);
}

static void drop_ask(struct p2p_upload *u, struct peer *p, struct ask *a)
{
    el_list_remove(&a->in_peer);
    free(a);
    u->waiting--;
    if (--p->n_waiting == 0)
        take_place(u, p);
}

static void drop_peer(struct p2p_upload *u, struct peer *p)
{
    while (!el_list_empty(&p->waiting))
        drop_ask(u, p, EL_ENTRY(p->waiting.next, struct ask, in_peer));
    if (p->running != NULL) {
        u->running--;
        u->full_until = 0;
    }
    free(p->running);
    el_list_remove(&p->in_turn);
    el_list_remove(&p->in_bucket);
    free(p);
}

void p2p_upload_free(struct p2p_upload *u)
{
    if (u == NULL)
        return;
    for (unsigned i = 0; i < BUCKETS; i++)
        while (!el_list_empty(&u->buckets[i]))
            drop_peer(u, EL_ENTRY(u->buckets[i].next, struct peer, in_bucket));
    free(u);
}

static struct el_list *bucket_of(struct p2p_upload *u, uint64_t node)
{
    return &u->buckets[node * 0x9e3779b97f4a7c15u >> 58];
}

static struct peer *find_peer(struct p2p_upload *u, uint64_t node)
{
    struct el_list *bucket = bucket_of(u, node), *it, *tmp;

    EL_LIST_EACH (it, tmp, bucket) {
        struct peer *p = EL_ENTRY(it, struct peer, in_bucket);

        if (p->node == node)
            return p;
    }
    return NULL;
}

static struct peer *get_peer(struct p2p_upload *u, uint64_t node)
{
    struct peer *p = find_peer(u, node);

    if (p != NULL)
        return p;
    p = el_new(struct peer);
    p->node = node;
    el_list_init(&p->waiting);
    el_list_init(&p->in_turn);
    el_list_append(bucket_of(u, node), &p->in_bucket);
    return p;
}

static bool is_same(const struct ask *a, const struct el_chunk_id *chunk, uint32_t block)
{
    return a->block == block && el_chunk_id_eq(&a->chunk, chunk);
}

static bool is_asked(const struct peer *p, const struct el_chunk_id *chunk, uint32_t block)
{
    const struct el_list *it;

    if (p->running != NULL && is_same(p->running, chunk, block))
        return true;
    for (it = p->waiting.next; it != &p->waiting; it = it->next)
        if (is_same(EL_ENTRY(it, const struct ask, in_peer), chunk, block))
            return true;
    return false;
}

enum el_err p2p_upload_ask(struct p2p_upload *u, uint64_t now, uint64_t node,
                           const struct el_chunk_id *chunk, uint32_t block)
{
    struct peer *p = get_peer(u, node);
    struct ask *a;

    if (is_asked(p, chunk, block))
        return EL_EPROTO;
    if (p->n_waiting >= u->conf.queue) {
        u->stats.refused++;
        return EL_EOVERLOAD;
    }
    a = el_new(struct ask);
    a->chunk = *chunk;
    a->block = block;
    a->since = now;
    a->luck = el_rng_u64(&u->conf.rng);
    el_list_append(&p->waiting, &a->in_peer);
    u->waiting++;
    if (p->n_waiting++ == 0)
        take_place(u, p);
    return EL_OK;
}

static bool is_among(struct p2p_blocks blocks, uint32_t block)
{
    return blocks.count == 0 || (block >= blocks.first && block - blocks.first < blocks.count);
}

uint32_t p2p_upload_cancel(struct p2p_upload *u, uint64_t node, const struct el_chunk_id *chunk,
                           struct p2p_blocks blocks)
{
    struct peer *p = find_peer(u, node);
    struct el_list *it, *tmp;

    if (p == NULL)
        return 0;
    EL_LIST_EACH (it, tmp, &p->waiting) {
        struct ask *a = EL_ENTRY(it, struct ask, in_peer);

        if (!is_among(blocks, a->block) || !el_chunk_id_eq(&a->chunk, chunk))
            continue;
        drop_ask(u, p, a);
        u->stats.cancelled++;
    }
    if (p->running != NULL && is_among(blocks, p->running->block) &&
        el_chunk_id_eq(&p->running->chunk, chunk))
        return (uint32_t)1 << p->running->block;
    return 0;
}

void p2p_upload_peer_down(struct p2p_upload *u, uint64_t node)
{
    struct peer *p = find_peer(u, node);

    if (p != NULL)
        drop_peer(u, p);
}

/* ---- which is next ---- */

static struct count *count_of(struct p2p_upload *u, const struct el_chunk_id *chunk, uint32_t block)
{
    uint64_t key;
    struct count *c;

    memcpy(&key, chunk->object, sizeof(key));
    key = (key ^ ((uint64_t)chunk->index * P2P_CHUNK_BLOCKS + block + 1)) * 0x9e3779b97f4a7c15u;
    c = &u->counts[key >> 54];
    if (c->tag != (uint32_t)key)
        *c = (struct count){ .tag = (uint32_t)key };
    return c;
}

static bool is_newcomer(const struct peer *p, uint64_t now)
{
    return !p->has_had || now - p->served_at > NEWCOMER_MS;
}

/* How long a send may run and count: what so many at once take here, and then some. */
static uint64_t old_after(const struct p2p_upload *u)
{
    uint64_t ms = u->step_ms16 * u->running / 16;

    return u->step_ms16 == 0 ? u->conf.old_ms : el_max_u64(ms, LEAST_OLD);
}

static unsigned slots_of(const struct p2p_upload *u)
{
    bool is_fast = u->step_ms16 > 0 && u->step_ms16 < FAST_STEP_MS * 16;

    return is_fast ? FAST_SLOTS * u->conf.slots : u->conf.slots;
}

/* Those that count; a newcomer among them is told. */
static unsigned count_running(struct p2p_upload *u, uint64_t now, bool *ret_newcomer)
{
    uint64_t old = old_after(u);
    struct el_list *it, *tmp;
    unsigned n = 0;

    *ret_newcomer = false;
    EL_LIST_EACH (it, tmp, &u->busy) {
        struct peer *p = EL_ENTRY(it, struct peer, in_turn);

        if (now - p->running->since >= old)
            continue;
        n++;
        if (is_newcomer(p, now))
            *ret_newcomer = true;
    }
    return n;
}

static bool is_overdue(const struct p2p_upload *u, const struct ask *a)
{
    uint64_t waited = u->now - a->since;

    return waited > (u->turn == 0 ? SHARE_MS : PATIENCE_MS) &&
           waited > u->step_ms16 * PATIENCE / 16;
}

/* The ask of this peer whose block has gone out least often; the oldest of equals. */
static struct ask *best_of(struct p2p_upload *u, struct peer *p, uint32_t *ret_count)
{
    struct el_list *it, *tmp;
    struct ask *best = NULL;

    if (p->n_waiting > 0 && is_overdue(u, EL_ENTRY(p->waiting.next, struct ask, in_peer)))
        return EL_ENTRY(p->waiting.next, struct ask, in_peer);

    EL_LIST_EACH (it, tmp, &p->waiting) {
        struct ask *a = EL_ENTRY(it, struct ask, in_peer);
        uint32_t n = count_of(u, &a->chunk, a->block)->n;

        if (best != NULL && n >= *ret_count)
            continue;
        best = a;
        *ret_count = n;
    }
    return best;
}

struct choice {
    struct peer *peer;
    struct ask *ask;
    uint32_t count;
    bool is_newcomer, is_overdue;
};

static bool is_better(const struct choice *a, const struct choice *b)
{
    if (b->ask == NULL || a->is_overdue != b->is_overdue)
        return b->ask == NULL || a->is_overdue;
    if (a->is_newcomer != b->is_newcomer)
        return a->is_newcomer;
    if (a->count != b->count && !a->is_overdue)
        return a->count < b->count;
    return a->is_overdue ? a->ask->since < b->ask->since : a->ask->luck < b->ask->luck;
}

static struct choice choose(struct p2p_upload *u, uint64_t now, bool newcomers)
{
    struct choice best = { .ask = NULL };
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &u->ready) {
        struct choice c = { .peer = EL_ENTRY(it, struct peer, in_turn) };

        c.is_newcomer = newcomers && is_newcomer(c.peer, now);
        c.ask = best_of(u, c.peer, &c.count);
        c.is_overdue = c.ask != NULL && is_overdue(u, c.ask);
        if (c.ask != NULL && is_better(&c, &best))
            best = c;
    }
    return best;
}

/* When the next send gets old. */
static uint64_t next_old(const struct p2p_upload *u)
{
    uint64_t due = UINT64_MAX, old = old_after(u);

    for (const struct el_list *it = u->busy.next; it != &u->busy; it = it->next) {
        const struct peer *p = EL_ENTRY(it, const struct peer, in_turn);

        if (p->running->since + old > u->now)
            due = el_min_u64(due, p->running->since + old);
    }
    return due;
}

bool p2p_upload_next(struct p2p_upload *u, uint64_t now, struct p2p_send *ret)
{
    bool newcomer;
    struct choice c;

    u->now = now;
    if (u->waiting == 0 || u->running >= u->conf.most || now < u->full_until)
        return false;
    u->full_until = 0;
    if (count_running(u, now, &newcomer) >= slots_of(u)) {
        u->full_until = next_old(u);
        return false;
    }
    c = choose(u, now, !newcomer);
    if (c.ask == NULL)
        return false;
    el_list_remove(&c.ask->in_peer);
    c.peer->n_waiting--;
    u->waiting--;
    c.peer->running = c.ask;
    c.ask->since = now;
    take_place(u, c.peer);
    if (u->running++ == 0)
        u->last_end = now;
    count_of(u, &c.ask->chunk, c.ask->block)->n++;
    u->turn = (u->turn + 1) % SHARE;
    *ret = (struct p2p_send){ c.peer->node, c.ask->chunk, c.ask->block };
    return true;
}

/* The uplink brings a block out every `step`: what makes a send too slow is measured against it. */
static void learn(struct p2p_upload *u, uint64_t now)
{
    uint64_t took = (now - u->last_end) * 16 + 1;

    u->step_ms16 = u->step_ms16 == 0 ? took : (u->step_ms16 * 7 + took) / 8;
    u->last_end = now;
}

void p2p_upload_sent(struct p2p_upload *u, uint64_t now, const struct p2p_send *send)
{
    struct peer *p = find_peer(u, send->node);

    if (p == NULL || p->running == NULL || !is_same(p->running, &send->chunk, send->block))
        return;
    learn(u, now);
    free(p->running);
    p->running = NULL;
    p->has_had = true;
    p->served_at = now;
    take_place(u, p);
    u->running--;
    u->full_until = 0;
    u->stats.sent++;
}

uint64_t p2p_upload_due_ms(const struct p2p_upload *u)
{
    if (u->waiting == 0 || u->running >= u->conf.most)
        return UINT64_MAX;
    return u->full_until > u->now ? u->full_until : next_old(u);
}

void p2p_upload_stats(const struct p2p_upload *u, struct p2p_upload_stats *ret)
{
    *ret = u->stats;
    ret->running = u->running;
    ret->waiting = u->waiting;
}
