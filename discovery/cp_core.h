/* SPDX-License-Identifier: MIT */
/*
 * cp_core: what a node asks of its control plane, when, and what it makes of the answers. Pure:
 * time, answers and random numbers come in, calls to make come out; controlplane.c makes them.
 *
 *             members are known                 nobody answers        5 s without an answer
 *   HYDRATING ----------------> CONNECTED ----------------> DEGRADED ----------------> GOSSIP_ONLY
 *       |                           ^                          |                            |
 *       |                           +---- answers again -------+                            |
 *       |                           +---- hydrated again ------------------------------------+
 *       +---- every endpoint has failed, or 3 s have passed --------------------------------^
 *
 * 1. Nothing here is waited for by anybody: whatever a control plane does, a node serves.
 * 2. One call of each kind is out at a time, to the best endpoint; probes go to all of them. A call
 *    that fails makes another endpoint the best one at once, and is made again there.
 * 3. 404 (not known) and 401 or 403 (not with that token): the node registers again, then says
 *    everything anew.
 * 4. What is no answer of docs/api.yaml, or of another cluster, is a failure like silence.
 * 5. Heartbeats and reports take turns, so that a heartbeat names the very set that is held.
 * 6. A command is carried out once, however often it is given; its outcome is said until it is
 *    heard.
 */
#pragma once

#include "discovery/cp_api.h"
#include "discovery/endpoint.h"

#define DISC_CP_CALL_MS  3000u  /* a call has so long */
#define DISC_CP_PEERS_MS 30000u /* members are asked for so often, more often at first */

enum disc_cp_state { DISC_CP_HYDRATING, DISC_CP_CONNECTED, DISC_CP_DEGRADED, DISC_CP_GOSSIP_ONLY };
const char *disc_cp_state_name(enum disc_cp_state s);

struct disc_cp_core;

struct disc_cp_core_conf {
    const struct disc_endpoints *endpoints; /* copied */
    const struct disc_cp_self *self;        /* its strings are borrowed until free */
    const char *token;                      /* for registration; "": none; the same */
    const struct disc_cp_ran *ran;          /* at the start; copied. NULL: none */
    uint64_t now_ms;
    int64_t wall_ms; /* later than that of any process before that had this id */
    struct el_rng rng;
    /* The figures for a heartbeat, from inside disc_cp_core_next(). */
    void (*measure)(void *arg, struct disc_cp_beat *ret);
    void *arg;
};

struct disc_cp_core *disc_cp_core_new(const struct disc_cp_core_conf *conf);
void disc_cp_core_free(struct disc_cp_core *c); /* NULL is fine */

/* To be called when due, and at any other time. */
void disc_cp_core_tick(struct disc_cp_core *c, uint64_t now_ms);
uint64_t disc_cp_core_due_ms(const struct disc_cp_core *c);

/* ---- calls ---- */

enum disc_cp_kind {
    DISC_CP_PROBE,
    DISC_CP_REGISTER,
    DISC_CP_HYDRATE,
    DISC_CP_BEAT,
    DISC_CP_REPORT,
    DISC_CP_PEERS,
    DISC_CP_COMMANDS,
    DISC_CP_CONFIG,
    DISC_CP_POLICIES,
    DISC_CP_LOCATE,
    DISC_CP_ACK,
    DISC_CP_HOLDERS,
    DISC_CP_PREFETCH,
    DISC_CP_KINDS
};
const char *disc_cp_kind_name(enum disc_cp_kind k); /* for metrics */

struct disc_cp_call {
    uint64_t number;
    enum disc_cp_kind kind;
    const struct disc_endpoint *endpoint; /* borrowed until free */
    const char *method;
    const char *token;          /* borrowed until the next call into the core; "": none */
    struct el_buf target, body; /* the caller's to give back; no body: n is 0 */
};
/* False: nothing is to be asked now. After each tick, answer or outcome. */
bool disc_cp_core_next(struct disc_cp_core *c, uint64_t now_ms, int64_t wall_ms,
                       struct disc_cp_call *ret);

struct disc_cp_answer {
    enum el_err code; /* EL_OK: status, fields and body are those of the answer */
    const char *why;  /* otherwise */
    int status;
    struct el_fieldv fields;
    struct el_str body;
    uint64_t took_us;
};
/* Once for each call, within DISC_CP_CALL_MS; an answer to a call of which nothing is known any
 * more is ignored. Everything is borrowed for the call. */
void disc_cp_core_answer(struct disc_cp_core *c, uint64_t now_ms, uint64_t number,
                         const struct disc_cp_answer *a);

/* ---- what the node has, and what it is to do ---- */

void disc_cp_core_chunk(struct disc_cp_core *c, const struct el_chunk_id *chunk, bool is_here);

/* The next command to be carried out, with those who have its chunk. Borrowed until the outcome. */
const struct disc_cp_command *disc_cp_core_next_command(struct disc_cp_core *c);
enum disc_cp_outcome {
    DISC_CP_DONE,
    DISC_CP_FAILED,
    DISC_CP_LATER, /* not now: it is carried out when it is given again */
};
void disc_cp_core_outcome(struct disc_cp_core *c, const char *command_id, enum disc_cp_outcome what,
                          const char *message);

/* A pushed configuration, or policies, that were not looked at yet, once. Borrowed until the next
 * call. NULL: there are none. */
const struct disc_cp_settings *disc_cp_core_next_settings(struct disc_cp_core *c);
/* What became of it; told with the next heartbeat. */
void disc_cp_core_ran(struct disc_cp_core *c, uint64_t now_ms, const struct disc_cp_ran *ran);

struct disc_cp_prefetch {
    uint64_t operation; /* 0: none, any more */
    struct el_buf list; /* JSON, {"urls": [...]} */
};
/* Which list the node is to load now, or that there is none any more, once. Borrowed until the next
 * call. NULL: it is as it was. How far it is stands in heartbeats. */
const struct disc_cp_prefetch *disc_cp_core_next_prefetch(struct disc_cp_core *c);

#define DISC_CP_MAX_QUESTIONS 256u
/*
 * Who has the chunk? Goes out with all that wait, at once. False: there is no answer to be had, for
 * the node is not connected, or so many wait. One that nobody answers ends without a word.
 */
bool disc_cp_core_ask_holders(struct disc_cp_core *c, const struct el_chunk_id *chunk);
/* An answer, each once, none named included. False: there is none. */
bool disc_cp_core_next_holders(struct disc_cp_core *c, struct disc_cp_holders *ret);

/* The last heartbeat says that it goes; nothing is asked besides any more. */
void disc_cp_core_leave(struct disc_cp_core *c, uint64_t now_ms);
/* That was heard, or there is nobody to hear it. */
bool disc_cp_core_has_left(const struct disc_cp_core *c);

/* ---- what is known ---- */

struct disc_cp_figures {
    enum disc_cp_state state;
    bool is_connected;            /* connected, or degraded a moment ago */
    struct disc_endpoint best;    /* the one that is asked, or was last; host "": none yet */
    uint64_t last_ok_ms;          /* monotonic; 0: never */
    char last_error[200];         /* "": none yet */
    uint64_t epoch;               /* of the membership, as it says */
    uint64_t digest, chunk_epoch; /* of what it holds for this node */
    unsigned lag;                 /* reports that it is behind */
    uint64_t chunks;
    uint64_t peers_known, cluster_size;
    uint64_t members_version; /* changes with what disc_cp_core_members() gives */
    uint64_t config_version, policy_version;
    struct disc_cp_ran ran;
    uint64_t calls[DISC_CP_KINDS], failures; /* since the start */
    uint64_t malformed, refused;             /* answers of the wrong form; of another cluster */
    uint64_t registrations, switches, full_reports;
};
void disc_cp_core_figures(const struct disc_cp_core *c, struct disc_cp_figures *ret);
/* Others, the dead included; borrowed until the next call that changes something. */
const struct disc_cp_members *disc_cp_core_members(const struct disc_cp_core *c);
