/* SPDX-License-Identifier: MIT */
/* nodeapi_served: GET /api/v1/served: who gave the bytes of a client's last request; served.h. */
#include "proxy/nodeapi_routes.h"
#include "proxy/query.h"

static void add_served(struct proxy_nodeapi *api, const struct proxy_served_by *by, json_t *root)
{
    json_t *bytes = el_json_child(root, "bytes"), *peers = el_json_child_list(root, "peers");

    for (enum proxy_tier t = 0; t < PROXY_TIERS; t++)
        el_json_add_u64(bytes, proxy_tier_name(t), by->share.bytes[t]);
    if (api->conf.p2p != NULL && by->has_version && by->share.bytes[PROXY_TIER_PEER] > 0)
        p2p_peers_that_gave(api->conf.p2p, by->version.v, peers);
}

static enum el_err find_served(struct proxy_nodeapi *api, struct el_str query,
                               struct proxy_served_by *ret, struct el_error *err)
{
    static const char *const names[] = { "client" };
    struct el_buf client = { 0 };
    size_t which;
    enum el_err rc = proxy_query_one(query, names, 1, &which, &client, err);

    if (rc == EL_OK) {
        struct proxy *proxy = proxy_nodeapi_lock(api);

        if (proxy == NULL || !proxy_served_get(proxy, el_buf_str(&client), ret))
            rc = el_fail(err, EL_ENOTCACHED, 0, "no request of that client is known");
        proxy_nodeapi_unlock(api);
    }
    el_buf_deinit(&client);
    return rc;
}

void proxy_served_answer(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct proxy_nodeapi *api = (struct proxy_nodeapi *)arg;
    struct proxy_served_by by;
    struct el_error err;
    json_t *root;

    if (find_served(api, in->query, &by, &err) != EL_OK) {
        proxy_operate_reply_error(out, &err);
        return;
    }
    root = el_json_new();
    add_served(api, &by, root);
    el_http_reply_json(out, 200, root);
}
