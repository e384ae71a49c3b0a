/* SPDX-License-Identifier: MIT */
#include "controlplane/timeline.h"

static uint64_t grown(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

void cp_timeline_add(struct cp_timeline *t, uint64_t mono_ms, int64_t wall_ms,
                     const struct cp_bytes *sums, uint32_t active_nodes)
{
    struct cp_timeline_step *step = &t->steps[t->next];

    if (t->has_last && mono_ms < t->due_ms)
        return;
    t->due_ms = mono_ms + CP_TIMELINE_STEP_MS;
    if (t->has_last) {
        *step = (struct cp_timeline_step){
            .wall_ms = wall_ms,
            .bytes = { .memory = grown(sums->memory, t->last.memory),
                       .disk = grown(sums->disk, t->last.disk),
                       .peer = grown(sums->peer, t->last.peer),
                       .origin = grown(sums->origin, t->last.origin) },
            .active_nodes = active_nodes,
        };
        t->next = (t->next + 1) % CP_TIMELINE_STEPS;
        t->n += t->n < CP_TIMELINE_STEPS;
    }
    t->last = *sums;
    t->has_last = true;
}

const struct cp_timeline_step *cp_timeline_at(const struct cp_timeline *t, size_t i)
{
    EL_ASSERT(i < t->n);
    return &t->steps[(t->next + CP_TIMELINE_STEPS - t->n + i) % CP_TIMELINE_STEPS];
}
