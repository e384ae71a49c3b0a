/* SPDX-License-Identifier: MIT */
/* prefetch: see prefetch.h. */
#include "proxy/prefetch.h"

#include "common/log.h"
#include "proxy/nodeapi_routes.h"

void proxy_prefetch_deinit(struct proxy_prefetch *p)
{
    el_buf_deinit(&p->list);
}

/* It will never begin: all of it has failed. */
static void refuse(struct proxy_prefetch *p, const struct el_error *err)
{
    el_log_error(EL_WARN, EV_ADMIN_CHANGED, err);
    el_buf_deinit(&p->list);
    p->now = (struct proxy_warm_progress){ .failed = 1, .finished = 1, .is_over = true };
}

/* What is busy now is tried again; the proxy may be gone meanwhile. */
static void begin(struct proxy_nodeapi *api, struct proxy_prefetch *p)
{
    struct proxy *proxy;
    struct proxy_warm_list list;
    struct el_error err = { 0 };
    enum el_err rc = proxy_warm_list_parse(el_buf_str(&p->list), &list, &err);

    if (rc != EL_OK) {
        refuse(p, &err);
        return;
    }
    proxy = proxy_nodeapi_lock(api);
    if (proxy != NULL)
        rc = proxy_warm_start(proxy_warm_of(proxy), &list, p->id, &err);
    else
        proxy_warm_list_deinit(&list);
    proxy_nodeapi_unlock(api);
    if (proxy == NULL || rc != EL_OK)
        return;
    el_buf_deinit(&p->list);
    el_log(EL_INFO, EV_ADMIN_CHANGED, "what=prefetch id=%s operation=%llu", p->id,
           (unsigned long long)p->operation);
}

static void look(struct proxy_nodeapi *api, struct proxy_prefetch *p)
{
    struct proxy *proxy = proxy_nodeapi_lock(api);

    /* One of which nothing is known any more was over long ago. */
    if (proxy != NULL && !proxy_warm_progress(proxy_warm_of(proxy), el_str_of(p->id), &p->now))
        p->now.is_over = true;
    proxy_nodeapi_unlock(api);
}

static void cancel(struct proxy_nodeapi *api, const struct proxy_prefetch *p)
{
    struct proxy *proxy = proxy_nodeapi_lock(api);

    if (proxy != NULL)
        (void)proxy_warm_cancel(proxy_warm_of(proxy), el_str_of(p->id));
    proxy_nodeapi_unlock(api);
}

void proxy_nodeapi_prefetch(void *arg, const struct disc_cp_prefetch *prefetch)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;
    struct proxy_prefetch *p = &api->prefetch;

    if (p->id[0] != '\0' && !p->now.is_over)
        cancel(api, p);
    el_buf_deinit(&p->list);
    *p = (struct proxy_prefetch){ .operation = prefetch->operation };
    el_buf_init(&p->list);
    if (p->operation == 0)
        return;
    el_buf_add_str(&p->list, el_buf_str(&prefetch->list));
    begin(api, p);
}

void proxy_prefetch_measure(struct proxy_nodeapi *api, struct disc_cp_beat *ret)
{
    struct proxy_prefetch *p = &api->prefetch;

    if (p->operation == 0)
        return;
    if (p->list.n > 0)
        begin(api, p);
    if (p->id[0] != '\0' && !p->now.is_over)
        look(api, p);
    ret->prefetch = p->operation;
    ret->prefetch_done = p->now.finished - p->now.failed;
    ret->prefetch_failed = p->now.failed;
    ret->prefetch_is_over = p->now.is_over;
}
