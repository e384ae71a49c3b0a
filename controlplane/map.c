/* SPDX-License-Identifier: MIT */
#include "controlplane/map.h"

#include "controlplane/state_in.h"

/* ---- prefixes ---- */

struct el_str cp_prefix_of(struct el_str name, unsigned depth)
{
    size_t scheme = el_str_find(name, ':');
    size_t at = 0, end = 0;
    unsigned slashes = 0;

    if (el_str_starts(el_str_from(name, scheme), EL_STR("://")))
        at = scheme + 3;
    for (; at < name.n && (depth == 0 || slashes <= depth); at++) {
        if (name.p[at] != '/')
            continue;
        slashes++;
        end = at + 1;
    }
    return end > 0 ? el_str_first(name, end) : name;
}

/* ---- rows ---- */

static void add_object(struct cp_map_row *row, const struct cp_object *o)
{
    struct cp_object *sum = &row->sum;

    row->objects++;
    sum->bytes += o->bytes;
    sum->locations += o->locations;
    sum->heat += o->heat;
    if (o->chunks > 0 && (sum->chunks == 0 || o->min_copies < sum->min_copies))
        sum->min_copies = o->min_copies;
    if (o->max_copies > sum->max_copies)
        sum->max_copies = o->max_copies;
    sum->chunks += o->chunks;
}

static struct cp_map_row *row_of(struct cp_map_row *rows, size_t *n, struct el_str name)
{
    for (size_t i = 0; i < *n; i++) {
        if (el_str_eq(rows[i].sum.name, name))
            return &rows[i];
    }
    rows[*n] = (struct cp_map_row){ .sum.name = name };
    return &rows[(*n)++];
}

/* ---- who has it ---- */

struct count {
    struct cp_map_row *row;
    size_t numbers;
    uint64_t stride, chunk; /* each stride-th is looked at; how many were met */
};

static void count_slot(struct count *c, const struct cp_holders *h)
{
    if (cp_holders_count(h) == 0 || c->chunk++ % c->stride != 0)
        return;
    c->row->looked++;
    for (uint32_t node = 0; cp_holders_next(h, &node) && node < c->numbers; node++)
        c->row->held[node]++;
}

static void count_object(const struct cp_state *s, struct count *c,
                         const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES])
{
    const struct cp_version *v = cp_index_version(&s->index, object);

    for (size_t i = 0; v != NULL && i < v->n; i++) {
        for (unsigned k = 0; k < v->span[i]->slots; k++)
            count_slot(c, &v->span[i]->slot[k].holders);
    }
}

static struct count count_of(struct cp_map_row *row, size_t numbers)
{
    return (struct count){ .row = row,
                           .numbers = numbers,
                           .stride = row->sum.locations / CP_MAP_LOOKS + 1 };
}

/* ---- by object, by prefix ---- */

static size_t map_objects(const struct cp_state *s, const struct cp_map_conf *conf,
                          const struct cp_object *hot, size_t n, struct cp_map_row *rows)
{
    for (size_t i = 0; i < n; i++) {
        struct count c;

        rows[i].sum = hot[i];
        rows[i].objects = 1;
        c = count_of(&rows[i], conf->numbers);
        count_object(s, &c, hot[i].object);
    }
    return n;
}

static void sort_rows(struct cp_map_row *rows, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct cp_map_row row = rows[i];
        size_t at = i;

        for (; at > 0 && rows[at - 1].sum.heat < row.sum.heat; at--)
            rows[at] = rows[at - 1];
        rows[at] = row;
    }
}

/* Which prefix is the hottest is known when all are summed. */
static size_t sum_prefixes(const struct cp_object *hot, size_t n, unsigned depth,
                           struct cp_map_row *rows, size_t max)
{
    struct cp_map_row all[CP_MAP_OBJECTS];
    size_t n_all = 0;

    for (size_t i = 0; i < n; i++)
        add_object(row_of(all, &n_all, cp_prefix_of(hot[i].name, depth)), &hot[i]);
    sort_rows(all, n_all);
    for (size_t i = 0; i < el_min_size(n_all, max); i++) {
        all[i].held = rows[i].held;
        rows[i] = all[i];
    }
    return el_min_size(n_all, max);
}

static size_t map_prefixes(const struct cp_state *s, const struct cp_map_conf *conf,
                           const struct cp_object *hot, size_t n, struct cp_map_row *rows,
                           size_t max)
{
    size_t n_rows = sum_prefixes(hot, n, conf->depth, rows, max);

    for (size_t r = 0; r < n_rows; r++) {
        struct count c = count_of(&rows[r], conf->numbers);

        for (size_t i = 0; i < n; i++) {
            if (el_str_eq(cp_prefix_of(hot[i].name, conf->depth), rows[r].sum.name))
                count_object(s, &c, hot[i].object);
        }
    }
    return n_rows;
}

size_t cp_map(const struct cp_state *s, const struct cp_map_conf *conf, struct cp_map_row *rows,
              size_t max)
{
    struct cp_object hot[CP_MAP_OBJECTS];
    size_t n =
        cp_objects_hot(s, hot, conf->by_prefix ? CP_MAP_OBJECTS : el_min_size(max, CP_MAP_OBJECTS));

    for (size_t i = 0; i < max; i++) {
        rows[i].objects = 0;
        rows[i].looked = 0;
    }
    return conf->by_prefix ? map_prefixes(s, conf, hot, n, rows, max)
                           : map_objects(s, conf, hot, n, rows);
}
