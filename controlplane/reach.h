/* SPDX-License-Identifier: MIT */
/*
 * reach: whether the API of each node answers when it is asked from here. A heartbeat cannot say
 * that: it goes the other way. Somebody else asks (probes.c); this says who is next, and what comes
 * of an answer or none.
 *
 * A node whose beats come, but that has not answered conf.probe_failures times in a row, is out of
 * reach: its health is lower and there is an alert, until it answers. It lives nevertheless: its
 * beats say so, and others may well reach it.
 *
 * This process stands where it stands, so nothing is written down, and another eliocp may find
 * something else. Thread: cp_state's.
 */
#pragma once

#include "controlplane/nodes.h"

/* Where a node is to be asked, as it said when it registered. */
struct cp_probe {
    char node_id[CP_ID_MAX + 1];
    char address[CP_HOST_MAX + 1];
    uint16_t port;
};

/*
 * One that is to be asked now; it is not given again before cp_reach_done(). False: none, as far as
 * this call has looked; the next one looks further. Who is not alive, or says that it cannot be
 * connected to, is not asked.
 */
bool cp_reach_next(struct cp_state *s, struct cp_probe *ret);

enum cp_reach_change { CP_REACH_SAME, CP_REACH_LOST, CP_REACH_BACK };
/*
 * It has answered, or has not, which took so long. That the node is gone, or elsewhere by now, is
 * fine, and says nothing of it.
 */
enum cp_reach_change cp_reach_done(struct cp_state *s, const struct cp_probe *probe, bool is_well,
                                   uint32_t ms);
