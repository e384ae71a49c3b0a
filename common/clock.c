/* SPDX-License-Identifier: MIT */
/* clock: the system's clocks behind the interface that tests replace. */
#include "common/clock.h"

#include <stdio.h>
#include <time.h>

#define LAST_MS INT64_C(253402300799999) /* the end of the year 9999 */

static uint64_t system_mono_ns(struct el_clock *c)
{
    struct timespec ts;

    (void)c;
    EL_ASSERT(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int64_t system_wall_ms(struct el_clock *c)
{
    struct timespec ts;

    (void)c;
    EL_ASSERT(clock_gettime(CLOCK_REALTIME, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct el_clock *el_clock_system(void)
{
    static struct el_clock system_clock = { system_mono_ns, system_wall_ms };

    return &system_clock;
}

void el_clock_iso(int64_t wall_ms, char out[25])
{
    int64_t ms = wall_ms < 0 ? 0 : wall_ms > LAST_MS ? LAST_MS : wall_ms;
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    char date[20];

    EL_ASSERT(gmtime_r(&s, &tm) != NULL);
    EL_ASSERT(strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == sizeof(date) - 1);
    (void)snprintf(out, 25, "%.19s.%03uZ", date, (unsigned)(ms % 1000));
}
