/* SPDX-License-Identifier: MIT */
/*
 * plane: the state (state.h) and its store (store.h) as one thing that threads may share. Whoever
 * wants something of the state locks it, calls what it likes of nodes.h, chunks.h and so on, and
 * gives it back; what has changed is on its way to the store then, and an answer that has to be
 * true after a crash waits until it is durable:
 *
 *   struct cp_state *s = cp_plane_lock(p);
 *   rc = cp_node_register(s, &card, &node, &err);     ... format the answer while it is locked
 *   position = cp_plane_unlock(p);
 *   if (rc == EL_OK) cp_plane_wait(p, position, 2000, &req->wait);      ... send it in on_durable
 *
 * A thread of its own calls cp_state_tick() once a second. The lock is held for microseconds
 * (a full report of 32,000 chunks: some milliseconds); nothing that blocks is done under it.
 *
 * Thread: any, except where a call says otherwise.
 */
#pragma once

#include "common/clock.h"
#include "common/list.h"
#include "controlplane/store.h"

struct cp_plane;

struct cp_plane_conf {
    struct cp_state_conf state;
    const char *sqlite_path; /* one of the two */
    const struct cp_store_redis_conf *redis;
    struct el_clock *clock; /* borrowed until it is freed */
    /*
     * There are new events (cp_events_after); called on any thread, no lock held; must not block.
     * NULL: nobody listens.
     */
    void (*on_events)(void *arg);
    /* The store does not answer, or does again (NULL). */
    void (*on_trouble)(void *arg, const struct el_error *err);
    void *arg;
};

/* Everything there is in the store has been read when it returns. */
enum el_err cp_plane_open(const struct cp_plane_conf *conf, struct cp_plane **ret_plane,
                          struct el_error *err);
/* Waits for what was put, at most deadline_ms; those who still wait hear EL_ESHUTDOWN. NULL is
 * fine. */
void cp_plane_close(struct cp_plane *p, uint32_t deadline_ms);

/* The state, at the present time, until it is given back. Views end with it. Not twice by one
 * thread. */
struct cp_state *cp_plane_lock(struct cp_plane *p);
/*
 * The position at which everything that has changed since the lock will be durable; 0: nothing hard
 * has changed, and there is nothing to wait for.
 */
uint64_t cp_plane_unlock(struct cp_plane *p);

/* Embedded in the waiting request; the plane's until on_durable has been called, or cancel has
 * returned. */
struct cp_wait {
    struct el_list link;
    uint64_t position;
    uint64_t deadline_ms; /* mono */
    /*
     * Exactly once, on another thread, no lock held, and never from within cp_plane_wait: EL_OK,
     * EL_ENOTDURABLE when deadline_ms has passed (it may become durable later), EL_ESHUTDOWN.
     */
    void (*on_durable)(struct cp_wait *w, enum el_err rc);
};

/* Also when it is durable already. position 0 is durable. */
void cp_plane_wait(struct cp_plane *p, uint64_t position, uint32_t deadline_ms, struct cp_wait *w);
/* True: on_durable will not be called. False: it has been, or is running; the memory is yours after
 * it returns. */
bool cp_plane_cancel(struct cp_plane *p, struct cp_wait *w);

/*
 * The store has as much to write as may wait in memory: nothing more should be changed that has to
 * be durable. Whoever goes on nevertheless loses nothing, but memory has no bound then.
 */
bool cp_plane_is_full(struct cp_plane *p);

/* For calls that need no lock of the state: status, backup. Borrowed until the plane is closed. */
struct cp_store *cp_plane_store(struct cp_plane *p);
/* Holds the duty among several eliocp. */
bool cp_plane_has_duty(struct cp_plane *p);
