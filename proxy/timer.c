/* SPDX-License-Identifier: MIT */
#include "proxy/timer.h"

#include <limits.h>

#include "proxy/server.h"

void proxy_timers_init(struct proxy_timers *w, uint64_t now_ms)
{
    for (size_t i = 0; i < PROXY_TIMER_SLOTS; i++)
        el_list_init(&w->slots[i]);
    w->tick = now_ms / PROXY_TIMER_TICK_MS;
    w->next_ms = UINT64_MAX;
}

/* The end of the tick in which `due_ms` lies: when its slot is visited nothing in it is early. */
static uint64_t round_up(uint64_t due_ms)
{
    return (due_ms + PROXY_TIMER_TICK_MS - 1) / PROXY_TIMER_TICK_MS * PROXY_TIMER_TICK_MS;
}

void proxy_timers_start(struct proxy_timers *w, struct proxy_timer *tm, uint64_t due_ms,
                        void (*on_time)(struct proxy_timer *tm))
{
    uint64_t tick;

    proxy_timer_stop(tm);
    tm->due_ms = el_max_u64(round_up(due_ms), w->tick * PROXY_TIMER_TICK_MS);
    tm->on_time = on_time;
    tick = tm->due_ms / PROXY_TIMER_TICK_MS;
    el_list_append(&w->slots[tick % PROXY_TIMER_SLOTS], &tm->link);
    w->next_ms = el_min_u64(w->next_ms, tm->due_ms);
}

void proxy_timer_stop(struct proxy_timer *tm)
{
    if (tm->link.next == NULL)
        el_list_init(&tm->link);
    else
        el_list_remove(&tm->link);
}

int proxy_timers_wait_ms(const struct proxy_timers *w, uint64_t now_ms)
{
    if (w->next_ms == UINT64_MAX)
        return -1;
    if (w->next_ms <= now_ms)
        return 0;
    return (int)el_min_u64(w->next_ms - now_ms, INT_MAX);
}

/* Visits one slot. A timer that on_time starts lands in a later slot or, a full round on, in this
 * one. */
static bool fire_slot(struct el_list *slot, uint64_t now_ms)
{
    struct el_list visiting;
    bool fired = false;

    el_list_move(&visiting, slot);
    while (!el_list_empty(&visiting)) {
        struct proxy_timer *tm = EL_ENTRY(el_list_pop(&visiting), struct proxy_timer, link);

        if (tm->due_ms > now_ms) {
            el_list_append(slot, &tm->link);
            continue;
        }
        fired = true;
        tm->on_time(tm);
    }
    return fired;
}

/* The first slot with something in it, one round ahead at most. */
static uint64_t find_next(const struct proxy_timers *w)
{
    for (uint64_t tick = w->tick; tick < w->tick + PROXY_TIMER_SLOTS; tick++)
        if (!el_list_empty(&w->slots[tick % PROXY_TIMER_SLOTS]))
            return tick * PROXY_TIMER_TICK_MS;
    return UINT64_MAX;
}

bool proxy_timers_run(struct proxy_timers *w, uint64_t now_ms)
{
    uint64_t last = now_ms / PROXY_TIMER_TICK_MS, first = w->tick;
    bool fired = false;

    if (now_ms < w->next_ms || last < first)
        return false;
    if (last - first >= PROXY_TIMER_SLOTS)
        first = last - PROXY_TIMER_SLOTS + 1;
    for (uint64_t tick = first; tick <= last; tick++) {
        w->tick = tick + 1;
        fired |= fire_slot(&w->slots[tick % PROXY_TIMER_SLOTS], now_ms);
    }
    w->next_ms = find_next(w);
    return fired;
}
