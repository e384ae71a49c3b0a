/* SPDX-License-Identifier: MIT */
/*
 * tracker_record: what a tracker knows of URLs, and who waits to hear. Part of the tracker; private
 * to it.
 *
 *   nothing known --find--> ASK: the finder asks the origin     others --find--> WAIT
 *     ^    ^                     |        |         |
 *     |    +--release: failed----+        |         +--silence, P2P_ASK_MS: the next who waits
 *     |                                   |            asks as well
 *     |                                record: everybody who waits is answered
 *     +--forget----------------------------
 *
 * 1. Who waits is in one list: of its URL, or of the answers that are ready.
 * 2. Waits are all of the same length, and so are the silences of askers: the lists of both are in
 *    the order in which they end.
 * 3. A URL with somebody who waits is never given up.
 */
#pragma once

#include "common/list.h"
#include "p2p/table.h"
#include "p2p/tracker.h"

struct p2p_variant {
    char *bytes; /* owned */
    size_t n;
    struct el_str key; /* what tells variants apart; in `bytes' */
    int64_t confirmed; /* when the answer was new: may lie before the clock's zero */
};

struct p2p_turl {
    struct p2p_table_entry entry;
    struct el_list by_use; /* of records->urls, the least recently used first */
    struct el_list asking; /* of records->asking while it has an asker */
    struct el_list waiting;
    size_t n_waiters; /* waiting, or ready and not answered */
    char *url;        /* owned */
    size_t n;
    struct p2p_variant variants[P2P_MAX_VARIANTS]; /* newest first */
    size_t n_variants;
    bool has_asker;
    uint64_t asker, asked_at;
    uint64_t alone_until; /* everybody asks for himself */
    bool has_changed;
    uint64_t changed_at;
    bool has_doubted; /* who was asking then: what it gets may be from before */
    uint64_t doubted;
    uint64_t *interested; /* owned; who may know of it */
    size_t n_interested, cap_interested;
    bool everybody; /* more than that */
    uint64_t used;
};

struct p2p_waiter {
    struct el_list link;   /* of turl->waiting, or of records->ready */
    struct el_list by_due; /* of records->waiters while it waits */
    struct p2p_turl *url;
    uint64_t node, cookie;
    uint64_t since;
    bool may_ask; /* when ready: ASK, otherwise KNOWN */
};

struct p2p_tracker_records {
    struct p2p_table table;
    struct el_list urls;
    struct el_list asking;  /* the longest first */
    struct el_list waiters; /* the longest first */
    struct el_list ready;
    size_t bytes, n_variants, n_waiters; /* n_waiters: waiting or ready */
};

struct p2p_tracker_records *p2p_records_new(void);
void p2p_records_free(struct p2p_tracker_records *r);
void p2p_records_gone(struct p2p_tracker *t, uint64_t now, uint64_t node);
void p2p_records_sweep(struct p2p_tracker *t, uint64_t now);
uint64_t p2p_records_due(const struct p2p_tracker *t);
void p2p_records_stats(const struct p2p_tracker_records *r, struct p2p_tracker_stats *ret);
