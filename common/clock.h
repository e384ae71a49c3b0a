/* SPDX-License-Identifier: MIT */
/*
 * clock: time as a value. Code that decides takes `now`; only the outermost layer reads a clock,
 * and tests hand in one that they move themselves.
 */
#pragma once

#include "common/base.h"

struct el_clock {
    /* Never goes back; no relation to the calendar. Thread: any. */
    uint64_t (*mono_ns)(struct el_clock *c);
    /* Milliseconds since 1970-01-01T00:00:00Z; may jump. Thread: any. */
    int64_t (*wall_ms)(struct el_clock *c);
};

struct el_clock *el_clock_system(void); /* static, immutable */

static inline uint64_t el_clock_mono_ns(struct el_clock *c)
{
    return c->mono_ns(c);
}

static inline uint64_t el_clock_mono_ms(struct el_clock *c)
{
    return c->mono_ns(c) / 1000000u;
}

static inline int64_t el_clock_wall_ms(struct el_clock *c)
{
    return c->wall_ms(c);
}

/* "2026-11-21T05:04:03.123Z". Times before 1970 and after 9999 are shown as the first and the last.
 */
void el_clock_iso(int64_t wall_ms, char out[25]);
