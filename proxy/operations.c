/* SPDX-License-Identifier: MIT */
/*
 * operations: what takes longer than a call of the node API, and goes on when the caller has left.
 *
 *   POST   /api/v1/cache/warm        begins one (proxy/warm_list.h): 202 with its id
 *   GET    /api/v1/operations        those that run, and the last ones
 *   GET    /api/v1/operations/ID     how far it is, and what became of each URL
 *   DELETE /api/v1/operations/ID     ends it
 */
#include "proxy/nodeapi_routes.h"

#include "common/log.h"

#define OPERATIONS "/api/v1/operations/"

static void reply_error(struct el_http_reply *out, const struct el_error *err)
{
    int status = el_err_status(err->code);

    el_http_reply_problem(out, status, el_http_status_text(status), err->text);
}

static void reply_unknown(struct el_http_reply *out)
{
    el_http_reply_problem(out, 404, el_http_status_text(404),
                          "there is no such operation, or it was long ago");
}

/* The proxy may be gone meanwhile; *take_list goes in any case. */
static enum el_err start(struct proxy_nodeapi *api, struct proxy_warm_list *take_list,
                         char id[PROXY_WARM_ID_BYTES], struct el_error *err)
{
    struct proxy *proxy = proxy_nodeapi_lock(api);
    enum el_err rc;

    if (proxy != NULL) {
        rc = proxy_warm_start(proxy_warm_of(proxy), take_list, id, err);
    } else {
        proxy_warm_list_deinit(take_list);
        rc = el_fail(err, EL_ESHUTDOWN, 0, "the node is starting or stopping");
    }
    proxy_nodeapi_unlock(api);
    return rc;
}

static void reply_started(struct el_http_reply *out, const char *id, size_t urls)
{
    json_t *root = el_json_new();
    struct el_buf path = { 0 };

    el_buf_addf(&path, OPERATIONS "%s", id);
    el_json_add_str(root, "id", el_str_of(id));
    el_json_add_str(root, "operation", el_buf_str(&path));
    el_json_add_u64(root, "total", urls);
    el_http_reply_json(out, 202, root);
    el_buf_deinit(&path);
}

void proxy_operations_warm(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;
    char id[PROXY_WARM_ID_BYTES];
    struct proxy_warm_list list;
    struct el_error err = { 0 };
    size_t urls = 0;
    enum el_err rc = proxy_warm_list_parse(in->body, &list, &err);

    if (rc == EL_OK) {
        urls = proxy_warm_list_count(&list);
        rc = start(api, &list, id, &err);
    }
    if (rc != EL_OK) {
        reply_error(out, &err);
        return;
    }
    el_log(EL_INFO, EV_ADMIN_CHANGED, "what=warm id=%s urls=%zu", id, urls);
    reply_started(out, id, urls);
}

void proxy_operations_list(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;
    struct proxy *proxy = proxy_nodeapi_lock(api);
    json_t *root = el_json_new(), *list = el_json_child_list(root, "operations");

    (void)in;
    if (proxy != NULL)
        proxy_warm_list_all(proxy_warm_of(proxy), list);
    proxy_nodeapi_unlock(api);
    el_http_reply_json(out, 200, root);
}

static void reply_operation(struct proxy_nodeapi *api, struct el_str path, bool is_cancelled,
                            struct el_http_reply *out)
{
    struct el_str id = el_str_from(path, sizeof(OPERATIONS) - 1);
    struct proxy *proxy = proxy_nodeapi_lock(api);
    json_t *root = NULL;

    if (proxy != NULL && (!is_cancelled || proxy_warm_cancel(proxy_warm_of(proxy), id)))
        root = proxy_warm_show(proxy_warm_of(proxy), id);
    proxy_nodeapi_unlock(api);
    if (root == NULL) {
        reply_unknown(out);
        return;
    }
    if (is_cancelled)
        el_log(EL_INFO, EV_ADMIN_CHANGED, "what=cancel id=%s", EL_LOG_Q(id));
    el_http_reply_json(out, 200, root);
}

void proxy_operations_show(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    reply_operation((struct proxy_nodeapi *)arg, in->path, false, out);
}

void proxy_operations_cancel(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    reply_operation((struct proxy_nodeapi *)arg, in->path, true, out);
}
