/* SPDX-License-Identifier: MIT */
/*
 * warm_list: what a call of /api/v1/cache/warm asks for, out of its body:
 *
 *   {"urls": ["http://host/path", "/bucket/key", ...], "headers": {"Name": "value"}, "concurrency":
 * 4}
 *
 * The last two may be missing. The headers go with every request, as a client's would. Pure.
 */
#pragma once

#include "common/err.h"
#include "common/fields.h"
#include "common/json.h"

#define PROXY_WARM_MAX_URLS        10000
#define PROXY_WARM_MAX_CONCURRENCY 32
#define PROXY_WARM_CONCURRENCY     4

struct proxy_warm_list {
    json_t *urls; /* an array of strings; a reference; not to be changed */
    struct el_fields fields;
    unsigned concurrency;
};

/* EL_EBADREQ says what is wrong, and shows no value of a header. */
enum el_err proxy_warm_list_parse(struct el_str body, struct proxy_warm_list *ret_list,
                                  struct el_error *err);
void proxy_warm_list_deinit(struct proxy_warm_list *l); /* the values of headers are wiped */
size_t proxy_warm_list_count(const struct proxy_warm_list *l);
struct el_str proxy_warm_list_url(const struct proxy_warm_list *l, size_t i); /* borrowed from l */
