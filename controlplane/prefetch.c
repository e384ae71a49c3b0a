/* SPDX-License-Identifier: MIT */
/*
 * prefetch: a list of URLs that the nodes of a scope load into their caches. A node is told with
 * the answer to its beat which list is its own, fetches it, and says with its beats how far it is:
 * what an operation has reached is what the beats of its nodes say. So nothing of that is kept
 * here, and any eliocp knows it.
 *
 * A node has one list at a time, the oldest that runs; it goes on to the next one when that has
 * ended for all. Who comes meanwhile takes part, who dies is no longer waited for.
 *
 * Record, hard: prefetch/ID, the list as JSON text.
 */
#include "controlplane/operations_in.h"

#define MAX_URL_BYTES 16384u

static bool is_in_words(const char *url, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)url[i] <= ' ' || url[i] == 0x7f || url[i] == '#')
            return false;
    }
    return n > 0 && n <= MAX_URL_BYTES;
}

/* As nodes take it: a URL, or a path of the gateway. */
static bool is_url(const json_t *v)
{
    struct el_str s = { json_string_value(v), json_string_length(v) };

    return json_is_string(v) && is_in_words(s.p, s.n) &&
           (s.p[0] == '/' || el_str_starts(s, EL_STR("http://")) ||
            el_str_starts(s, EL_STR("https://")));
}

static enum el_err check_urls(const json_t *urls, struct el_error *err)
{
    size_t n = json_array_size(urls);

    if (n == 0 || n > CP_PREFETCH_URLS_MAX)
        return el_fail(err, EL_EINVAL, 0, "urls: 1 to %u", CP_PREFETCH_URLS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (!is_url(json_array_get(urls, i)))
            return el_fail(err, EL_EINVAL, 0, "urls[%zu]: is no URL, and no path", i);
    }
    return EL_OK;
}

static struct el_str key_of(struct cp_key *k, uint64_t id)
{
    char text[17];
    int n = snprintf(text, sizeof(text), "%016llx", (unsigned long long)id);

    return cp_key_of(k, "prefetch", (struct el_str){ text, (size_t)n });
}

enum el_err cp_operation_prefetch(struct cp_state *s, const struct cp_scope *nodes,
                                  const json_t *urls, uint64_t *ret_id, struct el_error *err)
{
    enum el_err rc = check_urls(urls, err);
    struct el_buf b = { 0 };
    struct cp_key k;
    struct cp_op *op;
    char *text;

    if (rc == EL_OK)
        rc = cp_op_check_scope(s, nodes, err);
    if (rc == EL_OK && nodes->kind == CP_SCOPE_PREFIX)
        rc = el_fail(err, EL_EINVAL, 0, "targets: all, a node, a group or a zone");
    if (rc == EL_OK)
        rc = cp_op_check_room(s, err);
    if (rc != EL_OK)
        return rc;
    text = json_dumps(urls, JSON_COMPACT);
    EL_ASSERT(text != NULL);
    op = cp_op_new(s, CP_PREFETCH);
    op->op.scope = op->nodes = *nodes;
    op->urls = el_strndup(text, strlen(text));
    op->urls_n = (uint32_t)json_array_size(urls);
    free(text);
    el_buf_add(&b, op->urls, strlen(op->urls));
    cp_emit(s, CP_HARD, key_of(&k, op->op.id), &b);
    cp_op_emit(s, op, CP_HARD);
    cp_op_tell(s, op);
    *ret_id = op->op.id;
    return EL_OK;
}

const char *cp_operation_urls(const struct cp_state *s, uint64_t id)
{
    const struct cp_op *op = cp_op_get(s, id);

    return op != NULL ? op->urls : NULL;
}

uint64_t cp_prefetch_for(const struct cp_state *s, const struct cp_member *m)
{
    for (size_t i = 0; i < s->ops; i++) {
        const struct cp_op *op = s->op[i];

        if (op->op.kind == CP_PREFETCH && op->op.state == CP_RUNNING && op->urls != NULL &&
            cp_op_is_node_in(s, &op->nodes, m))
            return op->op.id;
    }
    return 0;
}

/* What the beats of its nodes say. */
struct sum {
    uint64_t nodes, over, done, failed;
};

static void add(struct sum *sum, const struct cp_member *m, uint64_t id)
{
    const struct cp_beat *b = &m->node.beat;

    sum->nodes++;
    if (b->prefetch != id)
        return;
    sum->over += b->prefetch_is_over;
    sum->done += b->prefetch_done;
    sum->failed += b->prefetch_failed;
}

void cp_op_prefetch(struct cp_state *s, struct cp_op *op)
{
    struct sum sum = { 0 };
    uint32_t cursor = 0;
    struct cp_member *m;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        if (cp_node_is_alive(&m->node) && cp_op_is_node_in(s, &op->nodes, m))
            add(&sum, m, op->op.id);
    }
    op->is_dirty = op->is_dirty || op->op.done != sum.done || op->op.failed != sum.failed;
    op->op.total = sum.nodes * op->urls_n;
    op->op.done = sum.done;
    op->op.failed = sum.failed;
    if (sum.nodes == 0)
        cp_op_end(s, op, CP_BROKEN, "no node of its scope lives");
    else if (sum.over == sum.nodes)
        cp_op_end(s, op, sum.failed == 0 ? CP_OVER : CP_BROKEN,
                  sum.failed == 0 ? "" : "some could not be loaded; their nodes say why");
}

/* ---- records ---- */

void cp_op_emit_no_urls(struct cp_state *s, const struct cp_op *op)
{
    struct cp_key k;

    if (op->urls != NULL)
        cp_emit_removal(s, CP_HARD, key_of(&k, op->op.id));
}

static enum el_err apply(struct cp_state *s, struct el_str name, struct el_str value,
                         bool is_removal, struct el_error *err)
{
    json_t *urls;
    struct cp_op *op;
    uint64_t id;

    if (is_removal)
        return EL_OK; /* its operation goes too */
    urls = json_loadb(value.p == NULL ? "" : value.p, value.n, 0, NULL);
    if (!cp_op_parse_id(name, &id) || check_urls(urls, NULL) != EL_OK) {
        json_decref(urls);
        return cp_bad_record(err, "prefetch");
    }
    op = cp_op_get(s, id);
    if (op == NULL) {
        op = cp_op_put(s, id); /* its operation comes yet, or is swept */
        op->load = s->load - 1;
        op->op.kind = CP_PREFETCH;
        op->op.state = CP_OVER;
    }
    free(op->urls);
    op->urls = el_strndup(value.p, value.n);
    op->urls_n = (uint32_t)json_array_size(urls);
    json_decref(urls);
    return EL_OK;
}

static void dump(const struct cp_state *s, cp_keep *keep, void *arg)
{
    for (size_t i = 0; i < s->ops; i++) {
        const struct cp_op *op = s->op[i];
        struct cp_key k;

        if (op->urls != NULL)
            keep(arg, key_of(&k, op->op.id), el_str_of(op->urls));
    }
}

const struct cp_kind cp_kind_prefetch = { "prefetch", apply, NULL, dump };
