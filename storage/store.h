/* SPDX-License-Identifier: MIT */
/*
 * store: the storage itself, as the files of this library see it.
 *
 * Locks, outermost first: jobs_mtx, fills_mtx, governor_mtx, store_job.mtx, then the queues' own.
 */
#pragma once

#include <pthread.h>

#include "storage/checksum.h"
#include "storage/governor.h"
#include "storage/retry.h"
#include "storage/storage.h"

/* A rest of a body this short is read to its end, so that the connection can be kept. */
#define STORE_DRAIN_BYTES (64 * EL_KIB)

struct store_job;

struct store_metrics {
    struct el_counter *requests[STORE_REASONS], *bytes[STORE_REASONS];
    struct el_counter *errors, *retries, *sums_right, *sums_wrong;
    struct el_gauge *running;
    struct el_hist *head_time;
};

struct storage {
    /* immutable */
    struct store_conf conf;
    struct el_http_client **clients; /* conf.threads of them */
    struct cache_source source;
    struct store_metrics metrics;
    struct store_retry_policy retry;

    _Atomic unsigned next_client;

    pthread_mutex_t governor_mtx;
    struct store_governor *governor;

    pthread_mutex_t fills_mtx; /* cache_fill_data() of every fill that is with us */

    pthread_mutex_t jobs_mtx;
    pthread_cond_t jobs_gone;
    struct el_list jobs; /* of store_job.link: started and not let go */
    size_t n_jobs;       /* and those whose memory is being let go */
    bool is_stopping;
};

/* ---- pour.c ---- */

/*
 * Where an answer's body goes when it fills: drops `skip` bytes, gives the others. Of an object
 * that is brought from its first byte on, the last bytes are given only when the whole is what the
 * origin says it is (checksum.h); what follows from it otherwise is a fill that ends with EL_EHASH.
 */
struct store_pour {
    struct storage *s;
    struct cache_fill *fill; /* NULL: it wants no more */
    uint64_t skip;
    size_t taken;                    /* of the bytes that will come again after a pause */
    struct store_checksum *checksum; /* owned; NULL: nothing to hold them against */
    struct el_error wrong;           /* code EL_EHASH: they are not what they should be */
};

/* `checksum`, if any, comes with the fill from another transfer: owned. */
void store_pour_begin(struct store_pour *p, struct storage *s, struct cache_fill *fill,
                      struct store_checksum *checksum);
/* As on_data does; EL_HTTP_ABORT: the fill wants no more, or is wrong, and nothing was taken. */
ssize_t store_pour_give(struct store_pour *p, const void *bytes, size_t n);
/* The fill is done, or with somebody else. */
void store_pour_end(struct store_pour *p);
/* All that comes has come: code and *err of a fill that ended with EL_OK. Logged and counted. */
enum el_err store_pour_judge(struct storage *s, struct cache_fill *fill,
                             const struct store_checksum *checksum, struct el_error *err);

/* ---- source.c ---- */

extern const struct cache_source_ops store_source_ops;

/* The fill is with this job (NULL: with none) from now on: resume and cancel go there. */
void store_fill_assign(struct storage *s, struct cache_fill *fill, struct store_job *j);
/* cache_fill_done(), after which no order reaches the fill's job for it. */
void store_fill_done(struct storage *s, struct cache_fill *fill, enum el_err code,
                     const struct el_error *err);
/*
 * A transfer that fed the fill has ended with `code`: the fill is done, or the rest is asked for
 * with its ticket. The fill and `checksum` (owned, may be NULL) are out of the caller's hands.
 */
void store_fill_settle(struct storage *s, struct cache_fill *fill, struct store_checksum *checksum,
                       enum el_err code, const struct el_error *err);
