/* SPDX-License-Identifier: MIT */
/*
 * prefetch: lists of URLs that a control plane has the node load: an operation as those of
 * /api/v1/cache/warm, of which heartbeats tell how far it is. One at a time.
 *
 *   another list, or none any more --> what runs is cancelled --> begin --> warm.h
 *                                              room for no more: ^    with the next heartbeat
 *
 * No header goes with the requests: what is loaded is what whoever reaches the node may have.
 *
 * Thread: the control plane client's.
 */
#pragma once

#include "common/buf.h"
#include "proxy/warm.h"

struct proxy_prefetch {
    uint64_t operation; /* the control plane's; 0: none */
    struct el_buf list; /* JSON, while it has not begun */
    char id[PROXY_WARM_ID_BYTES];
    struct proxy_warm_progress now; /* is_over: nothing changes any more */
};

void proxy_prefetch_deinit(struct proxy_prefetch *p);
