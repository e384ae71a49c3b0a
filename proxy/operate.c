/* SPDX-License-Identifier: MIT */
/*
 * operate: what operators ask of the cache through the node API.
 *
 *   GET  /api/v1/cache/stat?url=          what is cached of it
 *   POST /api/v1/cache/purge?url=         forget it, all variants
 *   POST /api/v1/cache/purge?prefix=      forget all that begins so
 *   POST /api/v1/cache/pin?url=, unpin    keep it, or no longer
 *
 * The url is what a client would ask for, a path of the gateway too, %-escaped; what is looked up
 * is the origin URL that the proxy makes of it. The disks are asked as well, so the cache answers
 * by message, on the node API's own thread: each operation is a struct that lives until then. What
 * takes long in memory as well is a worker's.
 */
#include "proxy/nodeapi_routes.h"

#include "common/log.h"
#include "proxy/fresh.h"
#include "proxy/query.h"

struct operation {
    struct proxy_nodeapi *api;
    struct el_http_later *later; /* its answer */
    struct el_buf key;
    bool is_prefix;             /* of a purge */
    bool is_pinned;             /* pin, or unpin */
    struct proxy_errand errand; /* of a purge by prefix */
    unsigned awaited;           /* messages until a purge is over */
    union {
        struct cache_stat stat;
        struct cache_purge purge;
        struct cache_pin pin;
    } u;
};

/* ---- what is asked for ---- */

/* An operation that fails is told in the status that this gives. */
static int status_of(enum el_err code)
{
    switch (code) {
    case EL_ENOTCACHED:
        return 404;
    case EL_ENOORIGIN: /* a gateway's path where there is no gateway */
        return 400;
    case EL_EUNSUPPORTED:
        return 409;
    default:
        return el_err_status(code);
    }
}

void proxy_operate_reply_error(struct el_http_reply *out, const struct el_error *err)
{
    int status = status_of(err->code);

    el_http_reply_problem(out, status, el_http_status_text(status), err->text);
}

enum el_err proxy_operate_key(struct proxy_nodeapi *api, struct el_str target, struct el_buf *key,
                              struct el_error *err)
{
    struct proxy *proxy = proxy_nodeapi_lock(api);
    enum el_err rc = proxy != NULL
                         ? proxy_url_key(proxy, target, key, err)
                         : el_fail(err, EL_ESHUTDOWN, 0, "the node is starting or stopping");

    proxy_nodeapi_unlock(api);
    return rc;
}

static enum el_err read_key(struct operation *op, struct el_str query, size_t n_names,
                            struct el_error *err)
{
    static const char *const names[] = { "url", "prefix" };
    struct el_buf target = { 0 };
    size_t which = 0;
    enum el_err rc = proxy_query_one(query, names, n_names, &which, &target, err);

    if (rc == EL_OK)
        rc = proxy_operate_key(op->api, el_buf_str(&target), &op->key, err);
    el_buf_deinit(&target);
    op->is_prefix = which == 1;
    return rc;
}

static void free_operation(struct operation *op)
{
    el_buf_deinit(&op->key);
    free(op);
}

/* Takes a url, with two names a prefix instead. NULL: the answer is given. */
static struct operation *begin(struct proxy_nodeapi *api, const struct el_http_call_in *in,
                               size_t n_names, struct el_http_reply *out)
{
    struct operation *op = el_new(struct operation);
    struct el_error err = { 0 };

    op->api = api;
    if (read_key(op, in->query, n_names, &err) != EL_OK)
        proxy_operate_reply_error(out, &err);
    else
        op->later = el_http_defer(out);
    if (op->later != NULL)
        return op;
    free_operation(op);
    return NULL;
}

/* In the log: who asks why something is gone, or is never gone, finds it there. */
static void note_change(const struct operation *op, const char *what, uint64_t objects)
{
    el_log(EL_INFO, EV_ADMIN_CHANGED, "what=%s %s=%s objects=%llu", what,
           op->is_prefix ? "prefix" : "url", EL_LOG_Q(el_buf_str(&op->key)),
           (unsigned long long)objects);
}

/* Takes root; the operation is gone. */
static void finish(struct operation *op, json_t *root)
{
    el_http_reply_json(el_http_later_reply(op->later), 200, root);
    el_http_later_give(op->later);
    free_operation(op);
}

static void finish_failed(struct operation *op, const struct el_error *err)
{
    proxy_operate_reply_error(el_http_later_reply(op->later), err);
    el_http_later_give(op->later);
    free_operation(op);
}

/* ---- stat ---- */

static void add_text(json_t *o, const char *key, struct el_str value)
{
    if (value.n > 0)
        el_json_add_str(o, key, value);
    else
        el_json_add_null(o, key);
}

static void add_meta(json_t *o, const struct cache_meta *meta, int64_t now_ms)
{
    int64_t age_ms = proxy_fresh_age_ms(meta, now_ms);

    el_json_add_u64(o, "status", (uint64_t)meta->status);
    add_text(o, "etag", meta->etag);
    add_text(o, "last_modified", meta->last_modified);
    add_text(o, "vary", meta->vary);
    el_json_add_bool(o, "public", meta->is_public);
    el_json_add_u64(o, "age_s", (uint64_t)age_ms / 1000);
    el_json_add_bool(o, "fresh", !meta->always_revalidate && age_ms < meta->lifetime_ms);
}

static void add_variant(json_t *list, const struct cache_variant *v, int64_t now_ms)
{
    json_t *o = el_json_append_child(list);

    add_meta(o, v->meta, now_ms);
    if (v->length == CACHE_UNKNOWN_LENGTH)
        el_json_add_null(o, "length");
    else
        el_json_add_u64(o, "length", v->length);
    el_json_add_u64(o, "blocks", v->blocks);
    el_json_add_u64(o, "cached_blocks", v->cached_blocks);
    el_json_add_u64(o, "memory_blocks", v->memory_blocks);
    el_json_add_u64(o, "disk_blocks", v->disk_blocks);
    el_json_add_str(o, "heat", el_str_of(v->heat));
    el_json_add_real(o, "accesses_per_hour", v->per_hour);
    el_json_add_bool(o, "pinned", v->is_pinned);
    el_json_add_bool(o, "filling", v->is_filling);
}

static void on_stat(struct el_msg *m)
{
    struct operation *op = EL_ENTRY(m, struct operation, u.stat.msg);
    const struct cache_stat *st = &op->u.stat;
    int64_t now_ms = el_clock_wall_ms(op->api->conf.clock);
    struct el_error err = { 0 };
    json_t *root, *list;

    if (st->n == 0) {
        (void)el_fail(&err, EL_ENOTCACHED, 0, "nothing of this URL is cached");
        finish_failed(op, &err);
        return;
    }
    root = el_json_new();
    el_json_add_str(root, "url", el_buf_str(&op->key));
    list = el_json_child_list(root, "variants");
    for (size_t i = 0; i < st->n; i++)
        add_variant(list, &st->v[i], now_ms);
    cache_stat_deinit(&op->u.stat);
    finish(op, root);
}

void proxy_operate_stat(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct operation *op = begin(arg, in, 1, out);

    if (op == NULL)
        return;
    el_msg_init(&op->u.stat.msg, on_stat);
    op->u.stat.queue = el_http_later_queue(op->later);
    cache_stat(op->api->conf.cache, el_buf_str(&op->key), &op->u.stat);
}

/* ---- purge ---- */

static void finish_purge(struct operation *op)
{
    json_t *root;

    if (op->u.purge.err.code != EL_OK) {
        finish_failed(op, &op->u.purge.err);
        return;
    }
    note_change(op, "purge", op->u.purge.objects);
    root = el_json_new();
    el_json_add_str(root, op->is_prefix ? "prefix" : "url", el_buf_str(&op->key));
    el_json_add_u64(root, "objects", op->u.purge.objects);
    finish(op, root);
}

static void on_purged(struct el_msg *m)
{
    struct operation *op = EL_ENTRY(m, struct operation, u.purge.msg);

    if (--op->awaited == 0)
        finish_purge(op);
}

static void purge_prefix(struct proxy_errand *e)
{
    struct operation *op = EL_ENTRY(e, struct operation, errand);

    cache_purge_prefix(op->api->conf.cache, el_buf_str(&op->key), &op->u.purge);
}

/* The worker lets go of it; the disks may be at it yet, or have been faster. */
static void on_errand_done(struct proxy_errand *e)
{
    struct operation *op = EL_ENTRY(e, struct operation, errand);
    struct el_error err = { 0 };

    if (!e->was_done) {
        (void)el_fail(&err, EL_ESHUTDOWN, 0, "the node is stopping");
        finish_failed(op, &err);
    } else if (--op->awaited == 0) {
        finish_purge(op);
    }
}

/* Memory is looked through as a whole, which takes longer than a probe of /health waits. */
static void give_to_worker(struct operation *op)
{
    struct el_error err = { 0 };

    op->awaited = 2;
    op->errand = (struct proxy_errand){
        .queue = el_http_later_queue(op->later),
        .work = purge_prefix,
        .on_done = on_errand_done,
    };
    if (proxy_worker_give(op->api->worker, &op->errand))
        return;
    (void)el_fail(&err, EL_EOVERLOAD, 0, "too many purges wait, or the node is stopping");
    finish_failed(op, &err);
}

/* What is being fetched was asked for before the purge, so it must not be stored after it. */
static void distrust_asked(struct operation *op)
{
    struct proxy *proxy = proxy_nodeapi_lock(op->api);

    if (proxy != NULL)
        proxy_distrust_asked(proxy, el_buf_str(&op->key), op->is_prefix);
    proxy_nodeapi_unlock(op->api);
}

void proxy_operate_purge(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct operation *op = begin(arg, in, 2, out);

    if (op == NULL)
        return;
    distrust_asked(op);
    el_msg_init(&op->u.purge.msg, on_purged);
    op->u.purge.queue = el_http_later_queue(op->later);
    if (op->is_prefix) {
        give_to_worker(op);
        return;
    }
    op->awaited = 1;
    cache_purge_url(op->api->conf.cache, el_buf_str(&op->key), &op->u.purge);
}

/* ---- pin ---- */

static void on_pinned(struct el_msg *m)
{
    struct operation *op = EL_ENTRY(m, struct operation, u.pin.msg);
    json_t *root;

    if (op->u.pin.err.code != EL_OK) {
        finish_failed(op, &op->u.pin.err);
        return;
    }
    note_change(op, op->is_pinned ? "pin" : "unpin", op->u.pin.objects);
    root = el_json_new();
    el_json_add_str(root, "url", el_buf_str(&op->key));
    el_json_add_bool(root, "pinned", op->is_pinned);
    el_json_add_u64(root, "objects", op->u.pin.objects);
    finish(op, root);
}

static void begin_pin(struct proxy_nodeapi *api, const struct el_http_call_in *in, bool is_pinned,
                      struct el_http_reply *out)
{
    struct operation *op = begin(api, in, 1, out);

    if (op == NULL)
        return;
    op->is_pinned = is_pinned;
    el_msg_init(&op->u.pin.msg, on_pinned);
    op->u.pin.queue = el_http_later_queue(op->later);
    cache_pin(api->conf.cache, el_buf_str(&op->key), is_pinned, &op->u.pin);
}

void proxy_operate_pin(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    begin_pin(arg, in, true, out);
}

void proxy_operate_unpin(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    begin_pin(arg, in, false, out);
}
