/* SPDX-License-Identifier: MIT */
/* locate: questions about the index, and what is hot (chunks.h). */
#include "controlplane/state_in.h"

double cp_heat(const struct cp_state *s, const struct cp_span *sp)
{
    uint64_t now_s = s->mono_ms / 1000, half_s = CP_HEAT_HALF_MS / 1000;
    uint64_t age_s = now_s > sp->heat_s ? now_s - sp->heat_s : 0;

    if (sp->heat <= 0 || age_s / half_s > 30)
        return 0;
    /* Straight between two halvings: never off by more than 6 %. */
    return (double)sp->heat / (double)(1ull << age_s / half_s) *
           (1 - (double)(age_s % half_s) / (double)(2 * half_s));
}

void cp_heat_add(struct cp_state *s, struct cp_span *sp, double by)
{
    sp->heat = (float)(cp_heat(s, sp) + by);
    sp->heat_s = (uint32_t)(s->mono_ms / 1000);
}

/* ---- who has it ---- */

struct search {
    struct cp_state *s;
    const struct cp_question *q;
    struct el_str zone;
    const struct cp_member *asker; /* NULL: none, or unknown */
    size_t max;
    const struct cp_node *holder[CP_HOLDERS_MAX];
    size_t near, far; /* of `holder`: the first ones, and behind them */
};

static bool is_near(const struct search *q, const struct cp_member *m)
{
    return q->zone.n > 0 && el_str_eq(q->zone, el_str_of(m->node.card.zone));
}

/* Nearer ones push out others. */
static void name_holder(struct search *q, const struct cp_member *m)
{
    if (is_near(q, m)) {
        if (q->near == q->max)
            return;
        q->far -= q->near + q->far == q->max;
        memmove(q->holder + q->near + 1, q->holder + q->near, q->far * sizeof(q->holder[0]));
        q->holder[q->near++] = &m->node;
    } else if (q->near + q->far < q->max) {
        q->holder[q->near + q->far++] = &m->node;
    }
}

static bool is_done(const struct search *q)
{
    return q->near == q->max || (q->zone.n == 0 && q->far == q->max);
}

/* Numbers in [from, to). */
static void gather(struct search *q, const struct cp_holders *h, uint32_t from, uint32_t to)
{
    for (uint32_t node = from; !is_done(q) && cp_holders_next(h, &node) && node < to; node++) {
        const struct cp_member *m = cp_member_of(q->s, (uint16_t)node);

        if (m != NULL && m != q->asker && cp_member_gives(m))
            name_holder(q, m);
    }
}

static void locate_one(struct search *q, const struct el_chunk_id *id, cp_located *located,
                       void *arg)
{
    struct cp_state *s = q->s;
    const struct cp_holders *h;
    uint32_t number, start;
    struct cp_span *sp;

    q->near = 0;
    q->far = 0;
    if (!cp_index_find(&s->index, id, &number)) {
        located(arg, id, q->holder, 0, 0);
        return;
    }
    sp = cp_index_span(&s->index, number);
    h = cp_index_holders(&s->index, number);
    start = s->numbers == 0 ? 0 : (uint32_t)el_rng_below(&s->rng, s->numbers);
    gather(q, h, start, (uint32_t)s->numbers);
    gather(q, h, 0, start);
    cp_heat_add(s, sp, 1.0 / sp->slots);
    located(arg, id, q->holder, q->near + q->far, cp_holders_count(h));
}

enum el_err cp_chunks_locate(struct cp_state *s, const struct cp_question *q, cp_located *located,
                             void *arg, struct el_error *err)
{
    struct search search = { .s = s, .q = q, .zone = q->zone };

    if (q->n > CP_LOCATE_MAX)
        return el_fail(err, EL_EINVAL, 0, "chunk_ids: more than %u", CP_LOCATE_MAX);
    search.max = el_min_size(q->max_holders, CP_HOLDERS_MAX);
    search.asker = q->asker.n == 0 ? NULL : cp_member_get(s, q->asker);
    if (search.zone.n == 0 && search.asker != NULL)
        search.zone = el_str_of(search.asker->node.card.zone);
    s->count.total_queries++;
    for (size_t i = 0; i < q->n; i++)
        locate_one(&search, &q->ids[i], located, arg);
    return EL_OK;
}

enum el_err cp_chunks_of(const struct cp_state *s, struct el_str node_id,
                         bool (*visit)(void *arg, const struct el_chunk_id *id), void *arg,
                         struct el_error *err)
{
    struct cp_member *m = NULL;
    enum el_err rc = cp_member_find(s, node_id, &m, err);
    uint64_t mask;

    if (rc != EL_OK)
        return rc;
    for (uint64_t base = 0; cp_set_next(&m->chunks, &base, &mask); base += CP_SPAN) {
        for (; mask != 0; mask &= mask - 1) {
            struct el_chunk_id id;

            cp_index_id(&s->index, (uint32_t)base + (uint32_t)__builtin_ctzll(mask), &id);
            if (!visit(arg, &id))
                return EL_OK;
        }
    }
    return EL_OK;
}

/* ---- objects ---- */

static void count_span(struct cp_object *o, const struct cp_span *sp)
{
    for (unsigned i = 0; i < sp->slots; i++) {
        uint32_t copies = (uint32_t)cp_holders_count(&sp->slot[i].holders);

        if (copies == 0)
            continue;
        o->min_copies = o->chunks == 0 || copies < o->min_copies ? copies : o->min_copies;
        o->max_copies = copies > o->max_copies ? copies : o->max_copies;
        o->chunks++;
    }
}

static double hottest_of(const struct cp_state *s, const struct cp_version *v)
{
    double heat = 0;

    for (size_t i = 0; i < v->n; i++) {
        double h = cp_heat(s, v->span[i]);

        heat = h > heat ? h : heat;
    }
    return heat;
}

static void view_object(const struct cp_state *s, const struct cp_version *v, struct cp_object *ret)
{
    *ret = (struct cp_object){ .locations = v->locations };
    memcpy(ret->object, v->object, sizeof(ret->object));
    ret->name = cp_name_of(s, v->object, &ret->bytes);
    for (size_t i = 0; i < v->n; i++)
        count_span(ret, v->span[i]);
    ret->heat = hottest_of(s, v);
}

bool cp_object_get(const struct cp_state *s, const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES],
                   struct cp_object *ret)
{
    const struct cp_version *v = cp_index_version(&s->index, object);

    if (v == NULL || v->locations == 0)
        return false;
    view_object(s, v, ret);
    return true;
}

/* Only heat and version are kept while looking; the rest is filled in for those that stay. */
static size_t keep_hot(struct cp_object *ret, size_t n, size_t max, const struct cp_version *v,
                       double heat)
{
    size_t at = n;

    while (at > 0 && ret[at - 1].heat < heat)
        at--;
    if (at == max)
        return n;
    n = n < max ? n + 1 : n;
    memmove(ret + at + 1, ret + at, (n - at - 1) * sizeof(*ret));
    ret[at] = (struct cp_object){ .heat = heat };
    memcpy(ret[at].object, v->object, sizeof(v->object));
    return n;
}

size_t cp_objects_hot(const struct cp_state *s, struct cp_object *ret, size_t max)
{
    const struct cp_table *t = &s->index.versions;
    size_t n = 0;

    for (size_t i = 0; max > 0 && i < t->buckets; i++) {
        for (const struct cp_entry *e = t->bucket[i]; e != NULL; e = e->next) {
            const struct cp_version *v =
                (const struct cp_version *)EL_ENTRY(e, struct cp_version, entry);

            if (v->locations > 0)
                n = keep_hot(ret, n, max, v, hottest_of(s, v));
        }
    }
    for (size_t i = 0; i < n; i++)
        view_object(s, cp_index_version(&s->index, ret[i].object), &ret[i]);
    return n;
}

void cp_chunks_copies(const struct cp_state *s, uint64_t ret[CP_COPIES_BINS])
{
    memcpy(ret, s->index.copies, sizeof(s->index.copies));
}
