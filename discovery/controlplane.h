/* SPDX-License-Identifier: MIT */
/*
 * controlplane: the node's one client of its control plane. What is asked, and when, is cp_core.h's
 * to say; here a thread makes the calls, and others say what the node has and hear what it is to
 * do. Nobody ever waits for it.
 *
 *   cache, p2p: disc_cp_chunk() ---->  +-----------+ ----> HTTP, to the best endpoint
 *   p2p <---- command()                |  thread   |
 *        ---> disc_cp_outcome() ---->  +-----------+ ----> figures, seeds (a copy, under a mutex)
 *
 * Thread: those who say `any', besides them the main thread.
 */
#pragma once

#include "common/clock.h"
#include "common/metrics.h"
#include "discovery/cp_core.h"

struct disc_cp;
struct disc_provider;
struct disc_seeds;

struct disc_cp_conf {
    const char *endpoints; /* as disc_endpoints_parse() takes them */
    const char *token;     /* for registration; "": none */
    const char *ca_file;   /* NULL: the system's */
    const char *name, *cluster, *zone;
    uint64_t memory_capacity_mb, disk_capacity_mb;
    const struct disc_cp_ran *ran; /* the pushed configuration that the node starts with; copied.
                                    NULL: none, and nobody hears of another */
    /* Another one was pushed, on the thread of the client; must be quick. disc_cp_ran() follows. */
    void (*settings)(void *arg, const struct disc_cp_settings *settings);
    void *settings_arg;
    struct el_clock *clock;     /* borrowed until free */
    struct el_metrics *metrics; /* the same */
};

/* Strings are copied. Nothing happens before disc_cp_run(). EL_ECONF: no such endpoints. */
enum el_err disc_cp_new(const struct disc_cp_conf *conf, struct disc_cp **ret_cp,
                        struct el_error *err);
void disc_cp_free(struct disc_cp *cp); /* stopped; NULL is fine */

/* Who runs commands, and what heartbeats say. Borrowed until disc_cp_stop(). */
struct disc_cp_node {
    const char *node_id, *address;
    const char *proof; /* see disc_cp_self */
    uint16_t p2p_port, http_port;
    bool serves;
    /* All on the thread of the client; must be quick. */
    void (*measure)(void *arg, struct disc_cp_beat *ret);
    void *measure_arg;
    /* To be carried out; one outcome follows. The command is borrowed for the call. */
    void (*command)(void *arg, const struct disc_cp_command *command);
    void *command_arg;
    /* As disc_cp_core_next_prefetch(). */
    void (*prefetch)(void *arg, const struct disc_cp_prefetch *prefetch);
    void *prefetch_arg;
    /* An answer to disc_cp_ask_holders(), borrowed for the call. */
    void (*holders)(void *arg, const struct disc_cp_holders *holders);
    void *holders_arg;
};
enum el_err disc_cp_run(struct disc_cp *cp, const struct disc_cp_node *node, struct el_error *err);
/* Says that the node goes, waits for that to be heard at most a moment, and ends the thread. */
void disc_cp_stop(struct disc_cp *cp); /* one that does not run is fine */

/* Thread of these: any, also before disc_cp_run() and after disc_cp_stop(). */

/* A whole chunk is here, or is no longer. */
void disc_cp_chunk(struct disc_cp *cp, const struct el_chunk_id *chunk, bool is_here);
/* Who has these chunks? As disc_cp_core_ask_holders(); the answers come to holders(). */
void disc_cp_ask_holders(struct disc_cp *cp, const struct el_chunk_id *chunks, size_t n);
void disc_cp_outcome(struct disc_cp *cp, const char *command_id, enum disc_cp_outcome what,
                     const char *message);
void disc_cp_ran(struct disc_cp *cp, const struct disc_cp_ran *ran);
void disc_cp_figures(struct disc_cp *cp, struct disc_cp_figures *ret);
/* When it was last answered, wall clock; 0: never. */
int64_t disc_cp_last_ok_ms(struct disc_cp *cp);
/* It answers, or did a moment ago. */
bool disc_cp_is_connected(struct disc_cp *cp);
/* The first members may come any moment now: whoever looks for others may wait for them. Not for
 * longer than a second. */
bool disc_cp_is_hydrating(struct disc_cp *cp);
/* Some members that can be connected to, as it says; the last that it said. */
void disc_cp_add_seeds(struct disc_cp *cp, struct disc_seeds *seeds);
