/* SPDX-License-Identifier: MIT */
/* timers: see the header. */
#include "common/timers.h"

void el_timers_init(struct el_timers *ts)
{
    el_list_init(&ts->list);
}

void el_timer_init(struct el_timer *t, void (*on_timer)(struct el_timer *t))
{
    el_list_init(&t->link);
    t->due_ms = 0;
    t->on_timer = on_timer;
}

static struct el_timer *timer_of(struct el_list *link)
{
    return EL_ENTRY(link, struct el_timer, link);
}

void el_timer_start(struct el_timers *ts, struct el_timer *t, uint64_t due_ms)
{
    struct el_list *after;

    el_list_remove(&t->link);
    t->due_ms = due_ms;
    after = ts->list.prev;
    while (after != &ts->list && timer_of(after)->due_ms > due_ms)
        after = after->prev;
    el_list_insert_before(after->next, &t->link);
}

void el_timer_stop(struct el_timer *t)
{
    el_list_remove(&t->link);
}

uint64_t el_timers_due_ms(const struct el_timers *ts)
{
    return el_list_empty(&ts->list) ? UINT64_MAX : timer_of(ts->list.next)->due_ms;
}

void el_timers_run(struct el_timers *ts, uint64_t now_ms)
{
    struct el_list due;

    /* Moved aside: one that starts itself anew for a time already past waits for the next run. */
    el_list_init(&due);
    while (el_timers_due_ms(ts) <= now_ms && !el_list_empty(&ts->list))
        el_list_append(&due, el_list_pop(&ts->list));
    while (!el_list_empty(&due)) {
        struct el_timer *t = timer_of(el_list_pop(&due));

        t->on_timer(t);
    }
}
