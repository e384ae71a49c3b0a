/* SPDX-License-Identifier: MIT */
/* api_dashboard: what is read for people only: who has how much of what is hot; a node's past. */
#include "controlplane/serve.h"

#include <stdlib.h>

#include "controlplane/map.h"

#define MAX_COLUMNS 2048u /* nodes in a map */

/* ---- the history of a node ---- */

static void add_history(json_t *root, struct cp_service *s, const struct cp_node *n)
{
    json_t *list = el_json_child_list(root, "points");
    struct cp_history_point v[CP_HISTORY_POINTS];
    size_t count = cp_histories_get(s->histories, n, v);

    for (size_t i = 0; i < count; i++) {
        json_t *o = el_json_append_child(list);

        cp_json_time(o, "at", v[i].wall_ms);
        el_json_add_u64(o, "ms", v[i].ms);
        cp_json_bytes(o, &v[i].bytes);
    }
}

void cp_get_node_timeline(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char node_id[CP_ID_MAX + 1];
    const struct cp_node *n;
    json_t *root;

    if (!cp_param(in, 0, out, node_id))
        return;
    root = el_json_new();
    el_json_add_str(root, "node_id", el_str_of(node_id));
    n = cp_node_get(cp_plane_lock(s->plane), el_str_of(node_id));
    if (n != NULL)
        add_history(root, s, n);
    (void)cp_plane_unlock(s->plane);
    if (n != NULL) {
        cp_reply_json(out, 200, root);
    } else {
        cp_reply_say(out, 404, EL_ENOTFOUND, "node_id", "no node of that name is registered");
        json_decref(root);
    }
}

/* ---- the map ---- */

struct map {
    struct cp_map_conf conf;
    uint64_t limit;
    const struct cp_node *columns[MAX_COLUMNS];
    size_t n_columns;
    struct cp_map_row rows[CP_MAP_ROWS];
};

static int by_place(const void *a, const void *b)
{
    const struct cp_node *x = *(const struct cp_node *const *)a;
    const struct cp_node *y = *(const struct cp_node *const *)b;
    int rc = strcmp(x->card.zone, y->card.zone);

    if (rc == 0)
        rc = strcmp(x->card.name, y->card.name);
    return rc != 0 ? rc : strcmp(x->card.node_id, y->card.node_id);
}

/* Nodes of a zone beside each other. */
static void gather_columns(struct map *m, const struct cp_state *state)
{
    const struct cp_node *n;
    uint32_t cursor = 0;

    while (m->n_columns < MAX_COLUMNS && (n = cp_node_next(state, &cursor)) != NULL) {
        m->columns[m->n_columns++] = n;
        m->conf.numbers = (size_t)el_max_u64(m->conf.numbers, (uint64_t)n->number + 1);
    }
    qsort(m->columns, m->n_columns, sizeof(m->columns[0]), by_place);
}

static void add_columns(json_t *root, const struct map *m)
{
    json_t *list = el_json_child_list(root, "nodes");

    for (size_t i = 0; i < m->n_columns; i++) {
        const struct cp_node *n = m->columns[i];
        json_t *o = el_json_append_child(list);

        el_json_add_str(o, "node_id", el_str_of(n->card.node_id));
        el_json_add_str(o, "name", el_str_of(n->card.name));
        el_json_add_str(o, "zone", el_str_of(n->card.zone));
        el_json_add_str(o, "state", el_str_of(cp_node_status(n)));
    }
}

static void add_row(json_t *o, const struct map *m, const struct cp_map_row *row)
{
    json_t *held;

    if (m->conf.by_prefix)
        el_json_add_str(o, "name", row->sum.name);
    else
        cp_json_object(o, &row->sum);
    if (m->conf.by_prefix) {
        el_json_add_u64(o, "bytes", row->sum.bytes);
        el_json_add_u64(o, "chunks", row->sum.chunks);
        el_json_add_u64(o, "locations", row->sum.locations);
        el_json_add_u64(o, "min_copies", row->sum.min_copies);
        el_json_add_u64(o, "max_copies", row->sum.max_copies);
        el_json_add_real(o, "heat", row->sum.heat);
    }
    el_json_add_u64(o, "objects", row->objects);
    el_json_add_u64(o, "looked", row->looked);
    held = el_json_child_list(o, "held");
    for (size_t i = 0; i < m->n_columns; i++)
        EL_ASSERT(json_array_append_new(held, json_integer(row->held[m->columns[i]->number])) == 0);
}

/* NULL: there is no memory for it. */
static json_t *map_of(struct map *m, const struct cp_state *state)
{
    uint32_t *held = el_try_alloc(m->conf.numbers * m->limit * sizeof(*held));
    json_t *root, *list;
    size_t n;

    if (held == NULL)
        return NULL;
    for (size_t i = 0; i < m->limit; i++)
        m->rows[i].held = held + i * m->conf.numbers;
    root = el_json_new();
    n = cp_map(state, &m->conf, m->rows, (size_t)m->limit);
    add_columns(root, m);
    list = el_json_child_list(root, "rows");
    for (size_t i = 0; i < n; i++)
        add_row(el_json_append_child(list), m, &m->rows[i]);
    free(held);
    return root;
}

static void ask_map(struct cp_ask *a, struct el_str query, struct map *m)
{
    char by[16] = "object";
    uint64_t depth = 0;

    cp_ask_init(a, NULL);
    m->limit = 20;
    (void)cp_query_text(query, "by", by, sizeof(by));
    m->conf.by_prefix = strcmp(by, "prefix") == 0;
    if (!m->conf.by_prefix && strcmp(by, "object") != 0)
        cp_ask_fault(a, EL_EINVAL, "by", "is neither object nor prefix");
    cp_query_u64(a, query, "limit", 1, CP_MAP_ROWS, &m->limit);
    cp_query_u64(a, query, "depth", 0, 16, &depth);
    m->conf.depth = (unsigned)depth;
}

static void answer_map(struct cp_service *s, struct map *m, struct el_http_reply *out)
{
    const struct cp_state *state = cp_plane_lock(s->plane);
    json_t *root;

    gather_columns(m, state);
    root = map_of(m, state);
    (void)cp_plane_unlock(s->plane);
    if (root != NULL)
        cp_reply_json(out, 200, root);
    else
        cp_reply_say(out, 503, EL_ENOMEM, NULL, "there is no memory for a map");
}

void cp_get_map(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct map *m = el_new(struct map);
    struct cp_ask a;

    ask_map(&a, in->query, m);
    if (a.code == EL_OK)
        answer_map(cp_service_of(arg), m, out);
    else
        cp_reply_fault(out, &a);
    free(m);
}
