/* SPDX-License-Identifier: MIT */
/* tracker_pace: see tracker_pace.h. */
#include "p2p/tracker_pace.h"

#define MOST_AT_START 16u
#define LEAST_BLOCKS  16u
#define LEAST_MS      250u
#define MOST_MS       4000u
#define HOLD_WINDOWS  8u

static unsigned clamp(unsigned v, unsigned least, unsigned most)
{
    return v < least ? least : v > most ? most : v;
}

static void begin_window(struct p2p_pace *p, uint64_t now)
{
    p->began = now;
    p->blocks = 0;
    p->was_full = false;
}

void p2p_pace_init(struct p2p_pace *p, uint64_t now, unsigned start)
{
    *p = (struct p2p_pace){ .step = P2P_PACE_CLIMB };
    p->limit = clamp(start, P2P_PACE_START, MOST_AT_START);
    p->unsettled = p->limit;
    begin_window(p, now);
}

void p2p_pace_resume(struct p2p_pace *p, uint64_t now)
{
    p->before = 0;
    p->unsettled = p->limit;
    begin_window(p, now);
}

void p2p_pace_full(struct p2p_pace *p)
{
    p->was_full = true;
}

static unsigned quarter_of(unsigned limit)
{
    return limit < 8 ? 1 : limit / 4;
}

/*
 * From here on with so many; the rate is compared with that of before. On the way down it is that
 * of the top: what each step may cost does not add up.
 */
static void try(struct p2p_pace *p, unsigned limit, uint64_t rate)
{
    if (p->step != P2P_PACE_DESCEND || p->before == 0 || rate > p->rate_before)
        p->rate_before = rate;
    p->before = p->limit;
    p->limit = clamp(limit, P2P_PACE_LEAST, P2P_PACE_MOST);
    p->unsettled = p->limit;
}

static void next_try(struct p2p_pace *p, uint64_t rate)
{
    switch (p->step) {
    case P2P_PACE_CLIMB:
        try(p, 2 * p->limit, rate);
        break;
    case P2P_PACE_PROBE:
        try(p, p->limit + quarter_of(p->limit), rate);
        break;
    case P2P_PACE_DESCEND:
        try(p, p->limit - quarter_of(p->limit), rate);
        break;
    case P2P_PACE_HOLD:
        p->before = 0;
        break;
    }
    /* At the floor or ceiling there is nothing to try. */
    if (p->before == p->limit) {
        p->before = 0;
        p->step = p->step == P2P_PACE_DESCEND ? P2P_PACE_HOLD : P2P_PACE_DESCEND;
    }
}

static bool has_paid(const struct p2p_pace *p, uint64_t rate)
{
    switch (p->step) {
    case P2P_PACE_CLIMB:
        return rate * 4 >= p->rate_before * 5;
    case P2P_PACE_PROBE:
        return rate * 10 >= p->rate_before * 11;
    case P2P_PACE_DESCEND:
        return rate * 20 >= p->rate_before * 19;
    case P2P_PACE_HOLD:
        break;
    }
    return true;
}

/* The rate of before is that of the limit which comes back. */
static void go_back(struct p2p_pace *p)
{
    p->limit = p->before;
    p->before = 0;
    p->unsettled = p->limit;
    p->held = 0;
    p->step = p->step == P2P_PACE_DESCEND ? P2P_PACE_HOLD : P2P_PACE_DESCEND;
}

static void judge(struct p2p_pace *p, uint64_t rate)
{
    if (p->step == P2P_PACE_HOLD && ++p->held >= HOLD_WINDOWS)
        p->step = P2P_PACE_PROBE;
    if (p->before != 0 && !has_paid(p, rate))
        go_back(p);
    else
        next_try(p, rate);
}

static bool is_over(const struct p2p_pace *p, uint64_t now)
{
    uint64_t ms = now - p->began;
    unsigned enough = 4 * p->limit < LEAST_BLOCKS ? LEAST_BLOCKS : 4 * p->limit;

    return ms >= MOST_MS || (ms >= LEAST_MS && p->blocks >= enough);
}

void p2p_pace_read(struct p2p_pace *p, uint64_t now, unsigned blocks)
{
    if (p->unsettled > 0) {
        p->unsettled -= blocks < p->unsettled ? blocks : p->unsettled;
        begin_window(p, now);
        return;
    }
    p->blocks += blocks;
    if (!is_over(p, now))
        return;
    if (p->was_full)
        judge(p, p->blocks * UINT64_C(1000000) / (now - p->began));
    else
        p->before = 0;
    begin_window(p, now);
}
