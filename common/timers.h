/* SPDX-License-Identifier: MIT */
/*
 * timers: what a thread's loop has to do later. A sorted list: few run at a time, and most
 * deadlines of a kind come in the order in which they are set, at the end. Thread: all calls from
 * the one that owns the list.
 */
#pragma once

#include "common/base.h"
#include "common/list.h"

struct el_timers {
    struct el_list list; /* of el_timer.link, soonest first */
};

/* Embedded in an object of the caller's; borrowed by the list while it runs. */
struct el_timer {
    struct el_list link;
    uint64_t due_ms; /* monotonic */
    void (*on_timer)(struct el_timer *t);
};

void el_timers_init(struct el_timers *ts);
void el_timer_init(struct el_timer *t, void (*on_timer)(struct el_timer *t));
/* Anew when it runs already. */
void el_timer_start(struct el_timers *ts, struct el_timer *t, uint64_t due_ms);
void el_timer_stop(struct el_timer *t); /* harmless when it does not run */
/* When the soonest is due; UINT64_MAX when none runs. */
uint64_t el_timers_due_ms(const struct el_timers *ts);
/* Runs what is due; each is stopped first, so that it may start itself again or free its object. */
void el_timers_run(struct el_timers *ts, uint64_t now_ms);
