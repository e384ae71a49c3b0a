/* SPDX-License-Identifier: MIT */
/*
 * job: what an exchange (exchange.c) and a fill taken from the origin (source.c) have in common: a
 * question that is put to the origin, once or several times, on one fetch thread, its home. All
 * that a job does it does there; other threads give it orders.
 *
 *             ask                 permit               answered or failed
 *   [idle] ---------> [pausing] ---------> [queued] ---------> [calling] ---------> [idle],
 * on_end() timer                governor             http_client
 *
 * on_end() either asks again or says that the job is over; an over job is let go as soon as no
 * order is on its way to it. An answer that only says in which region a bucket is, to a question
 * that the node has signed, is not told to anybody: the question is put again, there.
 */
#pragma once

#include "storage/store.h"

enum store_orders {
    STORE_ORDER_BEGIN = 1,
    STORE_ORDER_PERMIT = 2,       /* the governor's: job.c acts on it */
    STORE_ORDER_RESUME = 4,       /* there is room for, or are bytes of, a body again */
    STORE_ORDER_STOP = 8,         /* storage_stop() */
    STORE_ORDER_CANCEL_FILL = 16, /* nobody needs the rest of the fill */
    STORE_ORDER_PIPE = 32,
    STORE_ORDER_FEED = 64,
    STORE_ORDER_CLOSE = 128,
};

struct store_question {
    struct el_buf method, scheme, host, target;
    struct el_buf bucket; /* as in struct store_target */
    uint16_t port;
    bool as_node;
    struct el_fields fields;
    int64_t body_length;
};

struct store_job;

/* All on the home thread, with no lock held. */
struct store_job_ops {
    void (*on_orders)(struct store_job *j, unsigned orders);
    void (*on_interim)(struct store_job *j, int status, struct el_fieldv fields); /* may be NULL */
    void (*on_head)(struct store_job *j, int status, struct el_fieldv fields);
    ssize_t (*on_data)(struct store_job *j, const void *bytes, size_t n);
    ssize_t (*on_body)(struct store_job *j, void *room, size_t n); /* may be NULL: no body */
    /* The attempt is over: ask again, or store_job_over(). */
    void (*on_end)(struct store_job *j, enum el_err code, const struct el_error *err);
    /* The job is let go: nothing refers to it any more but its owner. */
    void (*let_go)(struct store_job *j);
};

enum store_job_state { STORE_JOB_IDLE, STORE_JOB_PAUSING, STORE_JOB_QUEUED, STORE_JOB_CALLING };

struct store_job {
    uint32_t magic;
    /* immutable */
    struct storage *s;
    struct el_http_client *home;
    const struct store_job_ops *ops;
    enum store_reason reason;

    /* under mtx */
    pthread_mutex_t mtx;
    unsigned orders; /* not 0: msg is on its way */
    bool is_let_go;  /* nobody reads orders any more */

    struct el_msg msg;
    struct el_list link; /* storage.jobs, under its mutex */

    /* the home thread's */
    struct store_question question;
    enum store_job_state state;
    bool is_over;
    bool has_head, has_bytes; /* this attempt's */
    bool has_sent_body;       /* some of it: it cannot be sent again */
    bool is_moving;           /* this attempt's answer says in which region to ask again */
    unsigned moves;
    struct el_buf signed_for; /* the region, of a question that the node signs */
    struct el_timer timer;
    struct store_permit permit; /* under the governor's mutex */
    uint64_t queued_ms, called_ns;
    struct el_http_call *call;
    struct el_error stopped; /* why we end the attempt; code EL_OK when we do not */
};

/* The caller has set nothing yet. STORE_ORDER_BEGIN comes on the home thread. */
void store_job_init(struct store_job *j, struct storage *s, const struct store_job_ops *ops,
                    enum store_reason reason);
void store_job_start(struct store_job *j);
void store_job_deinit(struct store_job *j); /* after let_go */

/* Thread: any, while the job is referenced. False: too late, the job is let go. */
bool store_job_order(struct store_job *j, unsigned what);
bool store_job_order_locked(struct store_job *j, unsigned what); /* with j->mtx held */

/* ---- on the home thread ---- */

/* Puts the question, after a pause. */
void store_job_ask(struct store_job *j, uint64_t delay_ms);
/* For how long the origin asked not to be asked. */
uint64_t store_job_quiet_ms(struct store_job *j);
/* The attempt ends with that error; on_end() may come from inside. Harmless when idle. */
void store_job_stop(struct store_job *j, enum el_err code, const char *why);
void store_job_resume(struct store_job *j);
void store_job_over(struct store_job *j);
