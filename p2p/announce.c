/* SPDX-License-Identifier: MIT */
/*
 * announce: whole chunks that are here, or no longer, said to the trackers of their groups: in
 * batches, so that a node with a million of them neither floods a link nor holds up the engine.
 */
#include "p2p/engine.h"

#define ANNOUNCE_MS 200u
#define BATCH       4096u /* chunks in that time */

struct announce {
    struct el_list link;
    struct el_chunk_id chunk;
    bool is_gone;
};

/* One of a batch. */
struct note {
    uint64_t owner;
    struct el_chunk_id chunk;
    size_t order; /* of two about one chunk the later one counts */
    bool is_gone;
};

void p2p_announce(struct p2p *p, const struct el_chunk_id *chunk, bool is_gone)
{
    struct announce *a = el_new(struct announce);

    if (p->cp != NULL)
        disc_cp_chunk(p->cp, chunk, !is_gone);
    a->chunk = *chunk;
    a->is_gone = is_gone;
    el_list_append(&p->announces, &a->link);
}

static uint64_t owner_of(struct p2p *p, const struct el_chunk_id *chunk)
{
    struct p2p_group group = { .number = chunk->index / P2P_GROUP_CHUNKS };
    uint8_t key[DISC_KEY_BYTES];

    memcpy(group.version, chunk->object, sizeof(group.version));
    p2p_group_key(&group, key);
    return p2p_owner(p, key, 0);
}

static int compare_chunks(const struct note *x, const struct note *y)
{
    int versions = memcmp(x->chunk.object, y->chunk.object, sizeof(x->chunk.object));

    if (x->owner != y->owner)
        return x->owner < y->owner ? -1 : 1;
    if (versions != 0)
        return versions;
    return (x->chunk.index > y->chunk.index) - (x->chunk.index < y->chunk.index);
}

static int compare(const void *a, const void *b)
{
    const struct note *x = a, *y = b;
    int chunks = compare_chunks(x, y);

    return chunks != 0 ? chunks : (x->order > y->order) - (x->order < y->order);
}

/* ---- messages ---- */

static void send_message(struct p2p *p, uint64_t node, enum disc_type type, struct disc_chunks *v,
                         size_t n)
{
    struct el_buf body, frames;
    struct p2p_node *to;

    if (node == p->self) {
        p2p_find_heed(p, node, type, v, n);
        return;
    }
    el_buf_init(&body);
    disc_chunks_put(&body, type, v, n);
    el_buf_init(&frames);
    p2p_envelope_add(&frames, p2p_node_version(p, node), P2P_GOSSIP, 0,
                     &(struct p2p_envelope){ P2P_STATEMENT, el_buf_str(&body) });
    (void)p2p_node_send(p, node, &frames); /* it is announced again */
    to = p2p_node_find(p, node);
    if (to != NULL)
        to->announced_ms = p2p_now(p);
    el_buf_deinit(&body);
}

/* Chunks of one group become one entry; they stand together. */
static void add_chunk(struct disc_chunks *v, size_t *n, const struct el_chunk_id *chunk)
{
    uint32_t group = chunk->index / P2P_GROUP_CHUNKS;
    struct disc_chunks *last = *n > 0 ? &v[*n - 1] : NULL;

    if (last == NULL || last->group != group ||
        memcmp(last->version, chunk->object, sizeof(last->version)) != 0) {
        last = &v[(*n)++];
        *last = (struct disc_chunks){ .group = group };
        memcpy(last->version, chunk->object, sizeof(last->version));
    }
    last->bitmap |= (uint64_t)1 << chunk->index % P2P_GROUP_CHUNKS;
}

/* All of one kind in the notes of one owner. */
static void say(struct p2p *p, const struct note *notes, size_t n_notes, bool is_gone)
{
    const enum disc_type type = is_gone ? DISC_CHUNK_REMOVE : DISC_CHUNK_ANNOUNCE;
    struct disc_chunks v[DISC_MAX_CHUNKS];
    size_t n = 0;

    for (size_t i = 0; i < n_notes; i++) {
        if (notes[i].is_gone != is_gone)
            continue;
        el_counter_add(p->count.announced, !is_gone);
        add_chunk(v, &n, &notes[i].chunk);
        if (n == DISC_MAX_CHUNKS) {
            send_message(p, notes[i].owner, type, v, n - 1); /* the last group may go on */
            v[0] = v[n - 1];
            n = 1;
        }
    }
    if (n > 0)
        send_message(p, notes[0].owner, type, v, n);
}

/* Of several about one chunk only the last stays. */
static size_t keep_latest(struct note *notes, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (i + 1 == n || compare_chunks(&notes[i], &notes[i + 1]) != 0)
            notes[kept++] = notes[i];
    }
    return kept;
}

static size_t take_batch(struct p2p *p, struct note *notes)
{
    struct el_list *l;
    size_t n = 0;

    while (n < BATCH && (l = el_list_pop(&p->announces)) != NULL) {
        struct announce *a = EL_ENTRY(l, struct announce, link);

        notes[n] = (struct note){ owner_of(p, &a->chunk), a->chunk, n, a->is_gone };
        n += notes[n].owner != 0;
        free(a);
    }
    return n;
}

void p2p_announce_tick(struct p2p *p)
{
    struct note *notes;
    size_t n, end;

    if (el_list_empty(&p->announces) || p2p_now(p) < p->announce_due_ms)
        return;
    p->announce_due_ms = p2p_now(p) + ANNOUNCE_MS;
    notes = el_alloc(BATCH * sizeof(*notes));
    n = take_batch(p, notes);
    qsort(notes, n, sizeof(*notes), compare);
    n = keep_latest(notes, n);
    for (size_t i = 0; i < n; i = end) {
        for (end = i; end < n && notes[end].owner == notes[i].owner; end++)
            continue;
        say(p, notes + i, end - i, false);
        say(p, notes + i, end - i, true);
    }
    free(notes);
}

void p2p_announce_deinit(struct p2p *p)
{
    struct el_list *l;

    while ((l = el_list_pop(&p->announces)) != NULL)
        free(EL_ENTRY(l, struct announce, link));
}
