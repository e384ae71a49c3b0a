/* SPDX-License-Identifier: MIT */
/*
 * timer: the timers of one proxy thread, a hashed wheel. Starting, restarting and stopping cost a
 * few pointer writes, since each request does it several times and almost no timer ever fires.
 *
 *   slot:   0    1    2   ...  SLOTS-1        each TICK_MS wide; a timer lies in the slot of its
 * due [ ]-[tm]-[ ]-      -[tm,tm]        time modulo the wheel, and stays there for as many ^ tick
 * rounds as its due time asks.
 *
 * Invariants: 1. no timer is due before `next_ms`; it may be too early (a stopped timer leaves it),
 * never too late. 2. every slot before `tick` of this round has been visited.
 *
 * Thread: one. Times are milliseconds of CLOCK_MONOTONIC, handed in.
 */
#pragma once

#include "common/list.h"

struct proxy_timer;

#define PROXY_TIMER_TICK_MS 8
#define PROXY_TIMER_SLOTS   2048

struct proxy_timers {
    struct el_list slots[PROXY_TIMER_SLOTS];
    uint64_t tick;    /* number of the first tick not yet visited */
    uint64_t next_ms; /* UINT64_MAX: nothing is started */
};

void proxy_timers_init(struct proxy_timers *w, uint64_t now_ms);
/* Restarts a running one. It fires at `due_ms` or up to a tick later, never before. */
void proxy_timers_start(struct proxy_timers *w, struct proxy_timer *tm, uint64_t due_ms,
                        void (*on_time)(struct proxy_timer *tm));
/* How long the thread may sleep; -1: until something else happens. */
int proxy_timers_wait_ms(const struct proxy_timers *w, uint64_t now_ms);
/* Fires what is due; on_time may start, stop and free timers. True: something fired. */
bool proxy_timers_run(struct proxy_timers *w, uint64_t now_ms);
