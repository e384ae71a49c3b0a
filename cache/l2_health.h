/* SPDX-License-Identifier: MIT */
/*
 * l2_health: whether a cache directory can be relied on. Pure.
 *
 *     +------------------------- fatal --------------------------------+
 *     |                                                                v
 *   [OK] ---- fails ----> [DEGRADED] ---- goes on failing, fatal ---> [DOWN]
 *    ^                      |    ^                                     |
 *    +-- good for a while --+    +------ a probe came back good -------+
 *
 * OK: read and written. DEGRADED: the disk is slow or fails now and then. DOWN: it fails all the
 * time, or is not there. In both it is left alone, readers go elsewhere, and a probe that no
 * request waits for (l2_probe.c) is due now and then. Whatever the state, no request fails because
 * of it. Every arrow is l2_health_note()'s.
 */
#pragma once

#include "common/base.h"

enum l2_state { L2_OK, L2_DEGRADED, L2_DOWN };

enum l2_outcome {
    L2_GOOD,    /* in time */
    L2_LATE,    /* not there by its deadline */
    L2_FAILED,  /* EIO and the like */
    L2_NO_ROOM, /* ENOSPC, EDQUOT: writing is over for now, reading is fine */
    L2_FATAL,   /* EROFS, EBADF, the device is gone: the store is not there any more */
};

struct l2_health_conf {
    unsigned degrade_after; /* failures in a row, late ones included; 1.. */
    unsigned down_after;    /* failures in a row in DEGRADED, 1..; late ones count neither way */
    uint64_t probe_every_ms;
    unsigned recover_after; /* good ones in a row, those in DOWN included, lead back to OK; 1.. */
    uint64_t no_room_ms;    /* nothing is written for so long after L2_NO_ROOM */
};

/* Owned by the caller, zeroed by l2_health_init(). */
struct l2_health {
    struct l2_health_conf conf;
    enum l2_state state;
    unsigned bad_in_row, good_in_row;
    uint64_t changed_ms, probed_ms, no_room_until_ms;
    uint64_t good, late, failed, no_room, fatal; /* counts */
};

void l2_health_init(struct l2_health *h, const struct l2_health_conf *conf, uint64_t now_ms);
/* Once for every operation: one that is late and comes back after all is just late. True when the
 * state changed. */
bool l2_health_note(struct l2_health *h, enum l2_outcome outcome, uint64_t now_ms);
/* What a failed operation means; sys is an errno. */
enum l2_outcome l2_outcome_of(int sys);
bool l2_health_may_read(const struct l2_health *h);
bool l2_health_may_write(const struct l2_health *h, uint64_t now_ms);
/* When the next probe is due, the first probe_every_ms after the trouble began; UINT64_MAX in OK.
 */
uint64_t l2_health_probe_ms(const struct l2_health *h);
void l2_health_probed(struct l2_health *h, uint64_t now_ms); /* one begins */
const char *l2_state_name(enum l2_state s);                  /* "normal", "degraded", "down" */
