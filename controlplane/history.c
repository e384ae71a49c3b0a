/* SPDX-License-Identifier: MIT */
#include "controlplane/history.h"

#include <stdlib.h>

struct history {
    char node_id[CP_ID_MAX + 1]; /* numbers are used again */
    bool has_last;
    struct cp_bytes last;  /* as the newest beat had it */
    uint64_t seen_ms;      /* that beat */
    uint64_t point_ms;     /* the beat at the end of the newest point */
    struct cp_bytes since; /* what came after that */
    size_t n, next;
    struct cp_history_point points[CP_HISTORY_POINTS]; /* a ring */
};

struct cp_histories {
    struct history **by_number; /* NULL: none yet */
    size_t n;
};

struct cp_histories *cp_histories_new(void)
{
    return el_new(struct cp_histories);
}

void cp_histories_free(struct cp_histories *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < h->n; i++)
        free(h->by_number[i]);
    free(h->by_number);
    free(h);
}

static void make_room(struct cp_histories *h, size_t number)
{
    size_t n = h->n > 0 ? h->n : 64;
    struct history **grown;

    if (number < h->n)
        return;
    while (n <= number)
        n *= 2;
    grown = el_alloc(n * sizeof(struct history *));
    if (h->n > 0)
        memcpy(grown, h->by_number, h->n * sizeof(struct history *));
    free(h->by_number);
    h->by_number = grown;
    h->n = n;
}

static struct history *history_of(struct cp_histories *h, const struct cp_node *n)
{
    struct history **at;

    make_room(h, n->number);
    at = &h->by_number[n->number];
    if (*at == NULL)
        *at = el_new(struct history);
    if (strcmp((*at)->node_id, n->card.node_id) != 0) {
        **at = (struct history){ .n = 0 };
        memcpy((*at)->node_id, n->card.node_id, sizeof((*at)->node_id));
    }
    return *at;
}

static uint64_t risen(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static void add_bytes(struct cp_bytes *to, const struct cp_bytes *b)
{
    to->memory += b->memory;
    to->disk += b->disk;
    to->peer += b->peer;
    to->origin += b->origin;
}

static void push(struct history *x, const struct cp_node *n)
{
    x->points[x->next] = (struct cp_history_point){
        .wall_ms = n->seen_wall_ms,
        .ms = n->seen_ms - x->point_ms,
        .bytes = x->since,
    };
    x->next = (x->next + 1) % CP_HISTORY_POINTS;
    x->n += x->n < CP_HISTORY_POINTS;
    x->since = (struct cp_bytes){ 0 };
    x->point_ms = n->seen_ms;
}

static void begin(struct history *x, const struct cp_node *n, const struct cp_bytes *now)
{
    x->has_last = true;
    x->last = *now;
    x->seen_ms = n->seen_ms;
    x->point_ms = n->seen_ms;
}

void cp_histories_add(struct cp_histories *h, const struct cp_node *n, struct cp_bytes *sum)
{
    const struct cp_bytes now = { n->beat.bytes_memory, n->beat.bytes_disk, n->beat.bytes_peer,
                                  n->beat.bytes_origin };
    struct history *x;
    struct cp_bytes new;

    if (n->life == CP_JOINING)
        return; /* it has said nothing yet */
    x = history_of(h, n);
    if (!x->has_last) {
        begin(x, n, &now);
        return;
    }
    if (n->seen_ms == x->seen_ms)
        return;
    new = (struct cp_bytes){ risen(now.memory, x->last.memory), risen(now.disk, x->last.disk),
                             risen(now.peer, x->last.peer), risen(now.origin, x->last.origin) };
    add_bytes(&x->since, &new);
    add_bytes(sum, &new);
    x->last = now;
    x->seen_ms = n->seen_ms;
    if (n->seen_ms >= x->point_ms + CP_HISTORY_GAP_MS)
        push(x, n);
}

size_t cp_histories_get(const struct cp_histories *h, const struct cp_node *n,
                        struct cp_history_point ret[CP_HISTORY_POINTS])
{
    const struct history *x = n->number < h->n ? h->by_number[n->number] : NULL;

    if (x == NULL || strcmp(x->node_id, n->card.node_id) != 0)
        return 0;
    for (size_t i = 0; i < x->n; i++)
        ret[i] = x->points[(x->next + CP_HISTORY_POINTS - x->n + i) % CP_HISTORY_POINTS];
    return x->n;
}
