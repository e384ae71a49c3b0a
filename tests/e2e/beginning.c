/* SPDX-License-Identifier: MIT */
/*
 * beginning: an elionode that asks for the beginning of what it does not know, as in a cluster, but
 * is in none: what is left of each object comes from the origin as well. Linked with
 * --wrap=proxy_start.
 */
#include "proxy/proxy.h"

enum el_err __real_proxy_start(const struct proxy_conf *conf, struct proxy **ret_proxy,
                               struct el_error *err);
enum el_err __wrap_proxy_start(const struct proxy_conf *conf, struct proxy **ret_proxy,
                               struct el_error *err);

enum el_err __wrap_proxy_start(const struct proxy_conf *conf, struct proxy **ret_proxy,
                               struct el_error *err)
{
    struct proxy_conf copy = *conf;

    copy.first_bytes = CACHE_CHUNK_BYTES;
    return __real_proxy_start(&copy, ret_proxy, err);
}
