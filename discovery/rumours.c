/* SPDX-License-Identifier: MIT */
/* rumours: see rumours.h. */
#include "discovery/rumours.h"

#define FIRST_RUMOURS 16u

void disc_rumours_init(struct disc_rumours *q)
{
    memset(q, 0, sizeof(*q));
}

void disc_rumours_deinit(struct disc_rumours *q)
{
    free(q->v);
}

void disc_update_of(const struct disc_record *m, bool with_card, uint64_t accuser,
                    struct disc_update *ret)
{
    *ret = (struct disc_update){ .state = m->state,
                                 .has_fields = with_card,
                                 .hash = m->card->hash,
                                 .incarnation = m->incarnation,
                                 .accuser = accuser };
    if (with_card)
        ret->fields = disc_card_fields(m->card);
}

/*
 * Each tells log2(n) + 4 others. A member is missed with a probability of about e^-tellings where
 * all retell (Demers et al., 1987), and of a few percent where most had heard before; states are
 * compared besides.
 */
static unsigned tellings(const struct disc_roster *r)
{
    unsigned bits = 0;

    while (r->n_live >> bits != 0)
        bits++;
    return bits + 4;
}

static struct disc_rumour *at(const struct disc_rumours *q, uint32_t i)
{
    return &q->v[(q->front + i) & (q->cap - 1)];
}

static void grow(struct disc_rumours *q)
{
    uint32_t cap = q->cap == 0 ? FIRST_RUMOURS : q->cap * 2;
    struct disc_rumour *v = el_alloc(cap * sizeof(*v));

    for (uint32_t i = 0; i < q->n; i++)
        v[i] = *at(q, i);
    free(q->v);
    q->v = v;
    q->cap = cap;
    q->front = 0;
}

static void push_front(struct disc_rumours *q, struct disc_rumour x)
{
    if (q->n == DISC_MAX_RUMOURS)
        q->n--; /* the most told */
    if (q->n == q->cap)
        grow(q);
    q->front = (q->front - 1) & (q->cap - 1);
    q->n++;
    *at(q, 0) = x;
}

static struct disc_rumour pop_front(struct disc_rumours *q)
{
    struct disc_rumour x = *at(q, 0);

    q->front = (q->front + 1) & (q->cap - 1);
    q->n--;
    return x;
}

void disc_rumours_add(struct disc_rumours *q, const struct disc_roster *r, uint32_t slot,
                      bool with_card, uint64_t accuser)
{
    push_front(q, (struct disc_rumour){ .slot = slot,
                                        .ticket = disc_roster_at(r, slot)->ticket,
                                        .with_card = with_card,
                                        .accuser = accuser });
}

void disc_rumours_tell(struct disc_rumours *q, const struct disc_roster *r, struct el_buf *out,
                       size_t max)
{
    unsigned limit = tellings(r);

    for (uint32_t left = q->n; left > 0 && out->n + DISC_MAX_UPDATE <= max; left--) {
        struct disc_rumour x = pop_front(q);
        const struct disc_record *m = disc_roster_at(r, x.slot);
        struct disc_update u;

        if (m->card == NULL || m->ticket != x.ticket)
            continue;
        disc_update_of(m, x.with_card, x.accuser, &u);
        disc_update_put(out, &u);
        if (++x.told < limit)
            *at(q, q->n++) = x;
    }
    if (q->n == 0) {
        disc_rumours_deinit(q);
        disc_rumours_init(q);
    }
}
