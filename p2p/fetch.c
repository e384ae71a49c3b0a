/* SPDX-License-Identifier: MIT */
/*
 * fetch: the cache's fills as downloads. What is missing here becomes the demand of the swarm; what
 * the swarm wants done about it (ask a peer, ask the tracker, read a run from the origin) is
 * carried out (fetch_move.c).
 *
 *   cache: start(fill) -> feed --+
 *                                +--> fetch (one for each version) <--> download of the swarm
 *   another reader:      feed ---+          |
 *                                           +--> runs: fills of the origin's source, on behalf of
 *                                                a feed whose ticket may ask for them
 *
 * A feed is a fill of ours: its demand is looked at again whenever the cache says so (resume). A
 * fetch lives as long as it has feeds, runs or questions that are not answered.
 */
#include "p2p/fetch.h"

static struct p2p_fetch **slot_of(struct p2p *p, const uint8_t version[16])
{
    struct p2p_fetch **at = &p->fetches[version[0]]; /* P2P_TABLE of them */

    _Static_assert(P2P_TABLE == 256, "by the first byte");
    while (*at != NULL && memcmp((*at)->id.object, version, 16) != 0)
        at = &(*at)->next;
    return at;
}

struct p2p_fetch *p2p_fetch_find(struct p2p *p, const uint8_t version[16])
{
    return *slot_of(p, version);
}

/* What is here already, in memory or on disk. */
static void note_present(struct p2p_fetch *f)
{
    uint64_t n = cache_blocks_of(cache_object_length(f->object)), bits[16];

    for (uint64_t at = 0; at < n; at += P2P_GROUP_BLOCKS) {
        size_t some = (size_t)el_min_u64(n - at, P2P_GROUP_BLOCKS);

        cache_object_map(f->object, at, some, bits);
        for (size_t i = 0; i < some; i++) {
            if ((bits[i / 64] >> i % 64 & 1) != 0)
                p2p_swarm_have(f->download, p2p_now(f->p), at + i);
        }
    }
}

void p2p_fetch_let_go(struct p2p_fetch *f)
{
    struct p2p_fetch **at = slot_of(f->p, f->id.object);

    if (!el_list_empty(&f->feeds) || !el_list_empty(&f->runs) || f->n_calls > 0)
        return;
    if (f->owes_record && !atomic_load(&f->p->is_stopping)) {
        p2p_fetch_tell_present(f); /* what was to say it was not asked any more */
        return;
    }
    p2p_swarm_close(f->download, p2p_now(f->p));
    *at = f->next;
    f->p->n_fetches--;
    cache_object_unref(f->object);
    free(f);
}

static bool is_current(struct p2p *p, const struct cache_object *o)
{
    struct cache_object *current = cache_find_version(p->cache, cache_object_id(o));

    cache_object_unref(current);
    return current == o;
}

/* What the swarm was not told of, or of another object. */
static void look_again(struct p2p_fetch *f)
{
    uint64_t blocks = cache_blocks_of(cache_object_length(f->object));

    for (uint64_t i = 0; i * CACHE_CHUNK_BLOCKS < blocks; i++)
        p2p_fetch_lost(f, i);
    note_present(f);
}

/* The version is to be had anew: nothing of what the former object has is here any more. */
static void move_to(struct p2p_fetch *f, struct cache_object *o)
{
    f->n_calls++; /* it stays while its parts go */
    p2p_feeds_hand_over(f);
    p2p_readings_stop(f, "another object is in its place");
    f->n_calls--;
    cache_object_unref(f->object);
    f->object = cache_object_ref(o);
    f->failure = (struct el_error){ 0 };
    f->is_gone = false;
    look_again(f);
    p2p_readings_adopt(f);
    p2p_progress_begin(f);
}

struct p2p_fetch *p2p_fetch_get(struct p2p *p, struct cache_object *o)
{
    const struct cache_object_id *id = cache_object_id(o);
    struct p2p_fetch **at = slot_of(p, id->v), *f = *at;

    if (f != NULL && f->object != o) {
        if (!is_current(p, o))
            return NULL;
        move_to(f, o);
    }
    if (f != NULL)
        return f;
    f = el_new(struct p2p_fetch);
    f->p = p;
    f->object = cache_object_ref(o);
    memcpy(f->id.object, id->v, sizeof(f->id.object));
    el_list_init(&f->feeds);
    el_list_init(&f->runs);
    *at = f;
    p->n_fetches++;
    p2p_gave_begin(p->gave, f->id.object);
    f->download = p2p_swarm_open(p->swarm, p2p_now(p), id->v, cache_object_length(o), f);
    note_present(f);
    p2p_readings_adopt(f);
    p2p_progress_begin(f);
    return f;
}

/* ---- what of it is here ---- */

void p2p_fetch_put(struct p2p *p, const struct el_chunk_id *chunk, uint64_t number)
{
    struct p2p_fetch *f = p2p_fetch_find(p, chunk->object);
    uint64_t bits[1] = { 0 };

    if (f == NULL)
        return;
    cache_object_map(f->object, number, 1, bits);
    if (bits[0] != 0)
        p2p_swarm_have(f->download, p2p_now(p), number);
}

void p2p_fetch_lost(struct p2p_fetch *f, uint64_t chunk)
{
    uint64_t first = chunk * CACHE_CHUNK_BLOCKS, bits[1];
    uint64_t end =
        el_min_u64(cache_blocks_of(cache_object_length(f->object)), first + CACHE_CHUNK_BLOCKS);

    if (first >= end)
        return;
    cache_object_map(f->object, first, (size_t)(end - first), bits);
    for (uint64_t i = 0; i < end - first; i++) {
        if ((bits[0] >> i & 1) == 0)
            p2p_swarm_lost(f->download, p2p_now(f->p), first + i);
    }
}

bool p2p_fetch_is_urgent(struct p2p *p, const struct el_chunk_id *chunk, uint64_t number)
{
    struct p2p_fetch *f = p2p_fetch_find(p, chunk->object);
    struct el_list *it, *tmp;

    if (f == NULL)
        return false;
    EL_LIST_EACH (it, tmp, &f->feeds) {
        struct p2p_feed *feed = EL_ENTRY(it, struct p2p_feed, link);

        /* A block in hand is no demand any more, but its reader stands there. */
        if (feed->urgent == number || cache_fill_position(feed->fill) / CACHE_BLOCK_BYTES == number)
            return true;
    }
    return false;
}

void p2p_fetch_missed(struct p2p *p)
{
    for (size_t i = 0; i < P2P_TABLE; i++) {
        for (struct p2p_fetch *f = p->fetches[i]; f != NULL; f = f->next)
            look_again(f);
    }
}

void p2p_fetch_tick(struct p2p *p)
{
    struct p2p_fetch *next;

    p2p_stream_tick(p);
    for (size_t i = 0; i < P2P_TABLE; i++) {
        for (struct p2p_fetch *f = p->fetches[i]; f != NULL; f = next) {
            next = f->next;
            p2p_readings_look(f);
            p2p_feeds_look(f);
        }
    }
}

void p2p_fetch_tick_leads(struct p2p *p)
{
    for (size_t i = 0; i < P2P_TABLE; i++) {
        for (struct p2p_fetch *f = p->fetches[i]; f != NULL; f = f->next)
            p2p_readings_hold(f);
    }
}

/* ---- the end ---- */

static void stop_fetch(struct p2p_fetch *f)
{
    f->n_calls++; /* it stays while its parts go */
    p2p_feeds_stop(f);
    p2p_readings_stop(f, "the node stops");
    f->n_calls--;
    p2p_fetch_let_go(f);
}

void p2p_fetch_stop(struct p2p *p)
{
    struct p2p_fetch *next;

    for (size_t i = 0; i < P2P_TABLE; i++) {
        for (struct p2p_fetch *f = p->fetches[i]; f != NULL; f = next) {
            next = f->next;
            stop_fetch(f);
        }
    }
}

bool p2p_fetch_is_idle(const struct p2p *p)
{
    return p->n_fetches == 0;
}
