/* SPDX-License-Identifier: MIT */
/*
 * governor: how much one origin is asked at a time. For each origin it bounds the requests that run
 * (the others queue, oldest first), halves the bound when the origin says 429 or 503 and lets it
 * grow back with every other answer, and leaves an origin alone that fails again and again:
 *
 *               N failures in a row                 open_ms later, the next to ask
 *   [closed] ------------------------> [open] ----------------------------------> [half open]
 *      ^  ask: go or wait               ask: shut                                  ask: shut
 *      |                                  ^                                           |
 *      |                                  +------------- the probe fails -------------+
 *      +----------------------------- the probe is answered --------------------------+
 *
 * A failure is a request that got no answer, or one whose body broke off. An answer of any status
 * is none. The head of an answer ends a row of the first kind, a whole answer a row of the second:
 * an origin whose heads are good and whose bodies are not is a failing one all the same.
 *
 * Pure: time is handed in. Thread: one, or under one lock.
 */
#pragma once

#include "common/list.h"
#include "common/str.h"

struct store_governor;
struct store_origin;

struct store_governor_conf {
    unsigned max_running;
    unsigned breaker_failures; /* 0: never opens */
    uint64_t breaker_open_ms;
};

enum store_permit_state {
    STORE_PERMIT_NONE,    /* not asked for, or returned */
    STORE_PERMIT_WAITING, /* in the queue */
    STORE_PERMIT_HELD,    /* the request may run */
    STORE_PERMIT_REFUSED, /* the breaker opened while it waited */
};

/* Embedded in a request; a zeroed one after store_permit_init(). Borrowed from ask until leave. */
struct store_permit {
    struct el_list link;
    struct store_origin *origin;
    enum store_permit_state state;
    bool is_probe;
    bool is_answered; /* its head came */
    uint64_t held_ms; /* since when */
};

void store_permit_init(struct store_permit *p);

/* What an event changed that an operator wants to read. */
enum store_turn {
    STORE_TURN_NONE,
    STORE_TURN_SLOWED,
    STORE_TURN_OPENED,
    STORE_TURN_CLOSED,
};

struct store_governor *store_governor_new(const struct store_governor_conf *conf);
void store_governor_free(struct store_governor *g); /* every permit has left; NULL is fine */

/* `origin` names host and port. The permit is HELD, WAITING or, when the circuit is open, NONE. */
enum store_permit_state store_governor_ask(struct store_governor *g, struct el_str origin,
                                           struct store_permit *p, uint64_t now_ms);
/*
 * A permit that waits only because the origin asked for fewer requests is held from now on: nobody
 * is made to wait for long by another's 503. False when it goes on waiting.
 */
bool store_governor_insist(struct store_governor *g, struct store_permit *p, uint64_t now_ms);
/* The head of the answer came. retry_after_ms 0: it did not say. */
enum store_turn store_governor_answered(struct store_governor *g, struct store_permit *p,
                                        int status, uint64_t retry_after_ms, uint64_t now_ms);
/* Returns the permit, whatever its state. has_failed: without an answer, or within its body. */
enum store_turn store_governor_leave(struct store_governor *g, struct store_permit *p,
                                     bool has_failed, uint64_t now_ms);
/* One after another, the permits that stopped waiting through the calls above: HELD or REFUSED. */
struct store_permit *store_governor_next(struct store_governor *g);

/* For how long the origin wants to be left alone (Retry-After); 0: not at all. */
uint64_t store_governor_quiet_ms(struct store_governor *g, struct el_str origin, uint64_t now_ms);
size_t store_governor_origins(const struct store_governor *g);
