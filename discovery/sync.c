/* SPDX-License-Identifier: MIT */
/*
 * sync: comparing all that two members know, at the price of what differs.
 *
 *   A -- sums of its buckets ---------------------> B
 *   A <- of each bucket that differs, what B has -- B      hash, incarnation, state: 17 bytes each
 *   A -- what is newer here; which cards it lacks -> B
 *   A <- those cards ------------------------------ B
 *
 * A step sends at most SYNC_PAGES messages and begins at a random bucket; what did not fit is still
 * different next time, which then comes soon, and is with somebody else.
 */
#include <limits.h>

#include "discovery/members_in.h"

/* Messages of one kind to one node, each filled before the next is begun. */
struct pages {
    struct disc_members *m;
    uint64_t to;
    uint32_t left;
    struct el_buf *out; /* the one being filled */
    void (*head)(const struct pages *p);
    uint8_t bits;
};

/* Where `bytes` more may be written; NULL: enough was sent. */
static struct el_buf *page(struct pages *p, size_t bytes)
{
    if (p->out != NULL && p->out->n + bytes <= DISC_MAX_MESSAGE)
        return p->out;
    if (p->left == 0)
        return NULL;
    p->left--;
    p->out = disc_send_back(p->m, p->to);
    p->head(p);
    return p->out;
}

static void cards_head(const struct pages *p)
{
    disc_cards_put(p->out);
}

static void lists_head(const struct pages *p)
{
    disc_lists_put(p->out, p->bits);
}

static struct pages cards_to(struct disc_members *m, uint64_t to)
{
    return (struct pages){ .m = m, .to = to, .left = SYNC_PAGES, .head = cards_head };
}

static void put_record(struct pages *p, const struct disc_record *r, bool with_card)
{
    struct el_buf *out = page(p, DISC_MAX_UPDATE);
    struct disc_update u;

    if (out == NULL)
        return;
    disc_update_of(r, with_card, p->m->self->hash, &u);
    disc_update_put(out, &u);
}

/* Much: others will have as much to tell. */
static void found(struct disc_members *m, size_t differences)
{
    if (differences < SYNC_MUCH)
        return;
    m->sync_every_ms = SYNC_SOON_MS;
    m->sync_due_ms = el_min_u64(m->sync_due_ms,
                                m->now_ms + SYNC_SOON_MS / 2 + el_rng_below(&m->rng, SYNC_SOON_MS));
}

/* ---- 1: the sums ---- */

static void send_digest(struct disc_members *m, struct el_buf *out)
{
    uint8_t bits = disc_roster_bits(&m->roster);

    disc_digest_put(out, m->incarnation, bits);
    for (uint32_t i = 0; i < 1u << bits; i++)
        el_bytes_add_u64(out, disc_roster_sum(&m->roster, i, bits));
}

void disc_sync_with(struct disc_members *m, const struct disc_card *to)
{
    send_digest(m, disc_send(m, to));
}

void disc_sync_next(struct disc_members *m)
{
    const struct disc_card *to = disc_somebody(m);

    if (to != NULL)
        disc_sync_with(m, to);
}

/* ---- 2: lists of the buckets that differ ---- */

/* Slots by bucket: those of bucket b are slot[first[b]] to slot[first[b + 1]]. */
struct sorted {
    uint32_t first[DISC_SUMS + 1];
    uint32_t *slot;
};

static void sort(const struct disc_roster *r, uint8_t bits, struct sorted *s)
{
    uint32_t next[DISC_SUMS];

    memset(s->first, 0, sizeof(s->first));
    s->slot = el_alloc((r->n + 1) * sizeof(*s->slot));
    for (uint32_t i = 0; i < r->n_slots; i++)
        if (r->v[i].card != NULL)
            s->first[disc_bucket(r->v[i].card->hash, bits) + 1]++;
    for (uint32_t b = 0; b < DISC_SUMS; b++) {
        s->first[b + 1] += s->first[b];
        next[b] = s->first[b];
    }
    for (uint32_t i = 0; i < r->n_slots; i++)
        if (r->v[i].card != NULL)
            s->slot[next[disc_bucket(r->v[i].card->hash, bits)]++] = i;
}

/* A suspicion is not told: who hears of it so would begin to count anew. */
static void put_entry(struct el_buf *out, const struct disc_record *r)
{
    struct disc_update u;

    disc_update_of(r, false, 0, &u);
    if (u.state == DISC_SUSPECT)
        u.state = DISC_ALIVE;
    disc_entry_put(out, &u);
}

static void put_list(struct pages *p, const struct sorted *s, uint32_t bucket)
{
    uint32_t from = s->first[bucket], n = s->first[bucket + 1] - from;
    struct el_buf *out = NULL;

    /* More than a message holds only where hashes were made to collide. */
    n = (uint32_t)el_min_u64(n, (DISC_MAX_MESSAGE - 7) / DISC_ENTRY_BYTES);
    out = page(p, 4 + n * (size_t)DISC_ENTRY_BYTES);
    if (out == NULL)
        return;
    disc_list_put(out, (uint16_t)bucket, (uint16_t)n);
    for (uint32_t i = 0; i < n; i++)
        put_entry(out, disc_roster_at(&p->m->roster, s->slot[from + i]));
}

static void give_digest(struct disc_members *m, uint64_t from, const struct disc_message *msg)
{
    uint8_t bits = (uint8_t)el_max_u64(msg->sum_bits, disc_roster_bits(&m->roster));
    struct pages p = { .m = m, .to = from, .left = SYNC_PAGES, .head = lists_head, .bits = bits };
    struct el_bytes sums = msg->rest;
    bool differs[DISC_SUMS] = { false }, any = false;
    struct sorted s;

    for (uint32_t i = 0; i < 1u << msg->sum_bits; i++) {
        differs[i] = el_bytes_u64(&sums) != disc_roster_sum(&m->roster, i, msg->sum_bits);
        any = any || differs[i];
    }
    if (!any)
        return;
    sort(&m->roster, bits, &s);
    for (uint32_t i = 0, n = 1u << bits, b = (uint32_t)el_rng_below(&m->rng, n); i < n; i++) {
        if (differs[b >> (bits - msg->sum_bits)])
            put_list(&p, &s, b);
        b = (b + 1) % n;
        if (b == 0)
            p.out = NULL; /* numbers ascend in a message */
    }
    free(s.slot);
}

/* ---- 3: what is newer here, and what is lacked ---- */

void disc_want(struct disc_members *m, uint64_t from, const struct el_buf *hashes)
{
    struct el_buf *out;

    if (hashes->n == 0)
        return;
    out = disc_send_back(m, from);
    disc_want_put(out);
    el_buf_add(out, hashes->p, el_min_size(hashes->n, MAX_WANTS * 8));
}

struct compared {
    struct disc_members *m;
    uint8_t *seen; /* a bit for each slot */
    struct el_buf want;
    struct pages newer;
    size_t changed;
};

static bool is_older(const struct disc_update *u, const struct disc_record *r)
{
    if (u->incarnation != r->incarnation)
        return u->incarnation < r->incarnation;
    return u->state < r->state && r->state != DISC_SUSPECT;
}

static void compare_entry(struct compared *c, const struct disc_update *u)
{
    uint32_t slot;
    const struct disc_record *r;

    c->changed += disc_hear(c->m, u, DISC_FROM_SYNC, &c->want);
    slot = disc_roster_find(&c->m->roster, u->hash);
    if (slot == DISC_NO_SLOT)
        return;
    r = disc_roster_at(&c->m->roster, slot);
    c->seen[slot / 8] |= (uint8_t)(1u << slot % 8);
    if (is_older(u, r))
        put_record(&c->newer, r, START_OF(u->incarnation) != START_OF(r->incarnation));
}

static void compare_list(struct compared *c, struct el_bytes entries, bool *ret_listed)
{
    struct disc_update u;

    *ret_listed = true;
    while (disc_entry_next(&entries, &u))
        compare_entry(c, &u);
}

/* The living that the other did not name. */
static void put_unnamed(struct compared *c, uint8_t bits, const bool listed[DISC_SUMS])
{
    const struct disc_roster *r = &c->m->roster;

    for (uint32_t i = 0; i < r->n_slots; i++)
        if (disc_is_live(&r->v[i]) && listed[disc_bucket(r->v[i].card->hash, bits)] &&
            (c->seen[i / 8] >> i % 8 & 1) == 0)
            put_record(&c->newer, &r->v[i], true);
}

static void give_lists(struct disc_members *m, uint64_t from, const struct disc_message *msg)
{
    struct compared c = { .m = m, .newer = cards_to(m, from) };
    struct el_bytes rest = msg->rest, entries;
    bool listed[DISC_SUMS] = { false };
    uint16_t bucket;

    /* What is heard of here is known already: no slot is added. */
    c.seen = el_alloc(m->roster.n_slots / 8 + 1);
    while (disc_list_next(&rest, &bucket, &entries))
        compare_list(&c, entries, &listed[bucket]);
    put_unnamed(&c, msg->sum_bits, listed);
    disc_want(m, from, &c.want);
    found(m, c.changed + c.want.n / 8);
    free(c.seen);
    el_buf_deinit(&c.want);
}

/* ---- 4: cards ---- */

static void give_want(struct disc_members *m, uint64_t from, const struct disc_message *msg)
{
    struct pages p = cards_to(m, from);
    struct el_bytes rest = msg->rest;
    uint64_t hash;

    while (disc_hash_next(&rest, &hash)) {
        uint32_t slot = disc_roster_find(&m->roster, hash);

        if (slot != DISC_NO_SLOT)
            put_record(&p, disc_roster_at(&m->roster, slot), true);
    }
}

void disc_sync_given(struct disc_members *m, uint64_t from, const struct disc_message *msg)
{
    m->pass_left = MAX_INTRODUCED;
    switch (msg->sync) {
    case DISC_SYNC_DIGEST:
        disc_hear_owner(m, from, msg->incarnation);
        give_digest(m, from, msg);
        break;
    case DISC_SYNC_LISTS:
        give_lists(m, from, msg);
        break;
    case DISC_SYNC_CARDS:
        found(m, disc_hear_updates(m, msg->rest, DISC_FROM_SYNC, from));
        break;
    case DISC_SYNC_WANT:
        give_want(m, from, msg);
        break;
    }
    m->pass_left = UINT_MAX;
}

/* ---- joining, and finding each other again ---- */

void disc_join_put_self(struct disc_members *m, struct el_buf *out, uint8_t flags)
{
    struct disc_fields f = disc_card_fields(m->self);

    disc_join_put(out, flags, m->incarnation, &f);
}

/* As many members as fit into a message: enough to ask others for the rest. */
static void introduce(struct disc_members *m, uint64_t to)
{
    struct pages p = cards_to(m, to);
    uint32_t n = m->roster.n_slots, at = (uint32_t)el_rng_below(&m->rng, n);

    p.left = 1;
    put_record(&p, disc_roster_at(&m->roster, 0), true);
    for (uint32_t i = 0; i < n; i++, at = at + 1 == n ? 0 : at + 1)
        if (at != 0 && disc_is_live(disc_roster_at(&m->roster, at)))
            put_record(&p, disc_roster_at(&m->roster, at), true);
}

void disc_join_given(struct disc_members *m, uint64_t from, const struct disc_message *msg)
{
    struct disc_update u = { .state = DISC_ALIVE,
                             .has_fields = true,
                             .hash = disc_id_hash(msg->fields.id),
                             .incarnation = msg->incarnation,
                             .fields = msg->fields };
    struct el_buf want = { 0 }, *out;

    if (u.hash != from || from == m->self->hash)
        return; /* nobody introduces another */
    (void)disc_hear(m, &u, DISC_FROM_OWNER, &want);
    el_buf_deinit(&want); /* it brought its card */
    out = disc_send_back(m, from);
    disc_rumours_put(out, m->incarnation);
    disc_add_rumours(m, out, from, PIGGYBACK);
    if ((msg->flags & DISC_JOIN_WANTS_REPLY) == 0)
        return;
    introduce(m, from);
    send_digest(m, disc_send_back(m, from));
}

static bool is_gone(const struct disc_record *r, const void *arg)
{
    (void)arg;
    return r->state == DISC_DEAD && disc_card_is_serving(r->card);
}

/* Of two, the one that died later: it is the likelier to come back. */
static const struct disc_card *somebody_gone(struct disc_members *m)
{
    uint32_t a = disc_roster_pick(&m->roster, &m->rng, is_gone, NULL);
    uint32_t b = disc_roster_pick(&m->roster, &m->rng, is_gone, NULL);

    if (a == DISC_NO_SLOT)
        return NULL;
    if (disc_roster_at(&m->roster, b)->since > disc_roster_at(&m->roster, a)->since)
        a = b;
    return disc_roster_at(&m->roster, a)->card;
}

bool disc_is_at(const struct disc_record *r, const char *address)
{
    const char *colon = strrchr(address, ':');
    struct el_str host;
    uint64_t port;

    if (colon == NULL)
        return false;
    host = (struct el_str){ address, (size_t)(colon - address) };
    if (host.n > 2 && host.p[0] == '[' && disc_card_host(r->card)[0] != '[')
        host = (struct el_str){ host.p + 1, host.n - 2 };
    return el_str_u64(el_str_of(colon + 1), UINT16_MAX, &port) && port == r->card->p2p_port &&
           el_str_eq(host, disc_card_fields(r->card).host);
}

static bool is_member(const struct disc_members *m, const struct disc_seed *seed)
{
    uint32_t slot = disc_roster_find(&m->roster, seed->hash);

    if (seed->hash != 0 && slot != DISC_NO_SLOT && disc_is_live(disc_roster_at(&m->roster, slot)))
        return true;
    for (uint32_t i = 0; i < m->roster.n_slots; i++)
        if (disc_is_live(&m->roster.v[i]) && disc_is_at(&m->roster.v[i], seed->address))
            return true;
    return false;
}

static void try_again(struct disc_members *m)
{
    const struct disc_card *gone;

    if (el_rng_below(&m->rng, m->n_seeds + m->roster.n_gone) < m->n_seeds) {
        const struct disc_seed *seed = &m->seed[el_rng_below(&m->rng, m->n_seeds)];

        if (!is_member(m, seed))
            disc_join_put_self(m, disc_send_address(m, seed->address), DISC_JOIN_WANTS_REPLY);
        return;
    }
    gone = somebody_gone(m);
    if (gone != NULL)
        disc_join_put_self(m, disc_send(m, gone), DISC_JOIN_WANTS_REPLY);
}

void disc_heal(struct disc_members *m)
{
    uint64_t others = m->n_seeds + m->roster.n_gone;

    if (others == 0)
        return;
    if (m->roster.n_live == 1)
        try_again(m); /* alone: one more each time */
    if (el_rng_below(&m->rng, m->roster.n_live) < HEAL_TRIES * others)
        try_again(m);
}
