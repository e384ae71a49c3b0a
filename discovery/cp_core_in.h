/* SPDX-License-Identifier: MIT */
/* cp_core_in: what the files of cp_core share, private to them. */
#pragma once

#include <stdarg.h>

#include "common/list.h"
#include "discovery/cp_core.h"

/* A kind of call: at most one of it is out. */
struct disc_cp_job {
    bool is_flying;
    uint64_t number; /* of the call */
    size_t endpoint; /* where it went */
    uint64_t due_ms;
    unsigned failures; /* in a row */
};

struct disc_cp_core {
    struct disc_cp_core_conf conf;
    struct el_rng rng;
    struct disc_endpoints ends;
    uint64_t probes[DISC_MAX_ENDPOINTS];   /* numbers of those that are out */
    uint64_t uptime_s[DISC_MAX_ENDPOINTS]; /* as they said last */
    size_t was_best, shown;                /* the best one before this moment; the last that was */
    struct disc_cp_job jobs[DISC_CP_KINDS];
    uint64_t last_number;

    enum disc_cp_state state;
    uint64_t started_ms, since_ms; /* since_ms: when that state began */
    bool is_registered, is_hydrated;
    bool is_plain;     /* the service has no hydration, though it knows this node */
    bool is_live;      /* the best endpoint has answered a call since it is that */
    bool was_heard;    /* a heartbeat, since the node registered */
    unsigned relapses; /* registrations since a heartbeat was heard */
    bool is_leaving, has_left;
    char token[DISC_CP_MAX_TOKEN + 1];
    char cluster[DISC_CP_MAX_ID + 1]; /* "": none was named yet */
    uint64_t interval_ms, config_version, policy_version;
    uint64_t epoch; /* as the endpoint that is asked now has said; 0: not yet */

    struct disc_report *report;
    uint64_t report_step_ms;

    struct disc_cp_members members;
    bool peers_are_seeds;   /* of the question that is out */
    uint64_t asked_epoch;   /* when it went out */
    uint64_t peers_wait_ms; /* from the next answer to the question after it */
    bool has_looked;        /* it was answered since the last hydration */
    uint64_t members_epoch, members_version;

    struct disc_cp_ran ran;
    struct disc_cp_settings settings[DISC_CP_PARTS]; /* as they were fetched last */
    bool is_settings_new[DISC_CP_PARTS];

    struct el_list orders; /* cp_orders.c: commands, the oldest first */
    size_t n_orders;

    uint64_t prefetch_wanted; /* as the last heartbeat was told; 0: none */
    uint64_t prefetch_asked;  /* whose list was asked for last */
    struct disc_cp_prefetch prefetch;
    bool is_prefetch_new;

    struct el_list questions; /* cp_holders.c: who has a chunk, the oldest first */
    size_t n_questions;

    struct disc_cp_figures n; /* what only counts */
};

/* ---- cp_orders.c: commands, from their coming to the ack of their outcome ---- */

/* What is new of them. */
void disc_cp_orders_take(struct disc_cp_core *c, const struct disc_cp_commands *commands);
void disc_cp_orders_deinit(struct disc_cp_core *c);
/* There is something to be asked (LOCATE) or said (ACK). */
bool disc_cp_orders_want(const struct disc_cp_core *c, enum disc_cp_kind kind);
/* The question where the chunks are. */
void disc_cp_orders_ask(struct disc_cp_core *c, struct el_buf *body);
bool disc_cp_orders_located(struct disc_cp_core *c, struct el_str body, struct el_error *err);
/* The outcome of one. */
void disc_cp_orders_say(struct disc_cp_core *c, struct disc_cp_call *call);
void disc_cp_orders_heard(struct disc_cp_core *c);
/* That call was not heard. */
void disc_cp_orders_unsaid(struct disc_cp_core *c, enum disc_cp_kind kind);

/* ---- cp_holders.c: who has a chunk, asked by the node ---- */

bool disc_cp_holders_want(const struct disc_cp_core *c);
void disc_cp_holders_ask(struct disc_cp_core *c, struct el_buf *body);
bool disc_cp_holders_located(struct disc_cp_core *c, struct el_str body, struct el_error *err);
/* That call was not heard, or there is nobody to put it to. */
void disc_cp_holders_unsaid(struct disc_cp_core *c);
void disc_cp_holders_deinit(struct disc_cp_core *c);
