/* SPDX-License-Identifier: MIT */
/*
 * warm: lists of URLs that the node fetches into its cache on its own, a few at a time, while
 * whoever asked for it may leave. An operation has workers, each on one proxy thread, which take
 * one URL after the other from the list (proxy/fetch.h).
 *
 *   start --> RUNNING --> DONE
 *                |  cancel
 *                +------> CANCELLED   the URLs that were not begun stay as they are
 *
 * Some are remembered when they are over, the last ones.
 *
 * Thread: new, stop and free belong to the main thread; all else to any, while neither new nor free
 * runs.
 */
#pragma once

#include "common/clock.h"
#include "common/json.h"
#include "proxy/warm_list.h"

#define PROXY_WARM_MAX_RUNNING 4
#define PROXY_WARM_MAX_KEPT    16 /* running ones included */
#define PROXY_WARM_ID_BYTES    17

struct proxy_warm;
struct proxy_gateway;
struct proxy_server;

/* The gateway names objects in reports. All are borrowed until free. */
struct proxy_warm *proxy_warm_new(const struct proxy_gateway *gateway, struct proxy_server *server,
                                  struct el_clock *clock);
/* EL_EBUSY: too many are running. EL_ESHUTDOWN. The list is taken in any case. */
enum el_err proxy_warm_start(struct proxy_warm *w, struct proxy_warm_list *take_list,
                             char ret_id[PROXY_WARM_ID_BYTES], struct el_error *err);
/* What has become of it, and of each URL. NULL: there is no such operation. */
json_t *proxy_warm_show(struct proxy_warm *w, struct el_str id);
struct proxy_warm_progress {
    size_t total, finished, failed; /* the failed are among the finished */
    bool is_over;
};
/* False: there is no such operation. */
bool proxy_warm_progress(struct proxy_warm *w, struct el_str id, struct proxy_warm_progress *ret);
/* Adds an object without results to the list for each that is remembered, the newest first. */
void proxy_warm_list_all(struct proxy_warm *w, json_t *list);
/* False: there is no such operation. One that is over stays as it is. */
bool proxy_warm_cancel(struct proxy_warm *w, struct el_str id);
/* No more are begun; those that run end with the server's drain. */
void proxy_warm_stop(struct proxy_warm *w); /* NULL is fine */
void proxy_warm_free(struct proxy_warm *w); /* after the server's end; NULL is fine */
