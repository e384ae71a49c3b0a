/* SPDX-License-Identifier: MIT */
/*
 * alerts: what somebody should look at, as rules over what is known, looked at with each
 * cp_state_tick(). An alert has a name and a subject, is raised once (an event), and cleared when
 * its reason is gone. Thread: cp_state's.
 */
#pragma once

#include "controlplane/state.h"

enum cp_alert_kind {
    CP_ALERT_NODE_DOWN,     /* a node is dead; until it is back or forgotten */
    CP_ALERT_LOW_REPLICAS,  /* chunks have fewer copies than they should, for more than a minute */
    CP_ALERT_DISK,          /* a node's disk is degraded or down */
    CP_ALERT_ORIGIN_ERRORS, /* too many of a node's requests to origins fail, or it says so */
    CP_ALERT_UNREACHABLE,   /* its beats come, but it does not answer when it is asked (reach.h) */
    CP_ALERT_EGRESS,        /* too much of what nodes give comes from origins */
};

/* View. */
struct cp_alert {
    enum cp_alert_kind kind;
    char subject[CP_ID_MAX + 1]; /* the node; empty: the cluster */
    int64_t since_wall_ms;
    char text[CP_TEXT_MAX + 1];
};

const struct cp_alert *cp_alert_next(const struct cp_state *s, uint32_t *cursor);
size_t cp_alert_count(const struct cp_state *s);
/* "node_down", "low_replicas", "disk", "origin_errors", "unreachable", "egress" */
const char *cp_alert_name(enum cp_alert_kind k);
