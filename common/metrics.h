/* SPDX-License-Identifier: MIT */
/*
 * metrics: counters, gauges and histograms in one registry, written as Prometheus text (exposition
 * format 0.0.4). A metric is registered once, usually at start, and lives as long as the registry;
 * updating it is one relaxed atomic operation.
 */
#pragma once

#include <stdatomic.h>

#include "common/buf.h"

struct el_metrics; /* Thread: registering and writing take its lock; updating takes none */

struct el_counter {
    _Atomic uint64_t v;
};
struct el_gauge {
    _Atomic int64_t v;
};
/* Latencies in microseconds; buckets at 1, 2.5, 5 times the powers of ten, from 10 us to 100 s. */
#define EL_HIST_BUCKETS 22
struct el_hist {
    _Atomic uint64_t bucket[EL_HIST_BUCKETS + 1]; /* the last one is +Inf */
    _Atomic uint64_t sum_us;
};

struct el_metrics *el_metrics_new(void);
void el_metrics_free(struct el_metrics *m);

/*
 * `name` and `help` as in "eliop2p_requests_total"; `labels` as in "tier=\"memory\"" or NULL. All
 * three are copied. The same name and labels give the same metric again. Borrowed until
 * el_metrics_free().
 */
struct el_counter *el_metrics_counter(struct el_metrics *m, const char *name, const char *help,
                                      const char *labels);
struct el_gauge *el_metrics_gauge(struct el_metrics *m, const char *name, const char *help,
                                  const char *labels);
struct el_hist *el_metrics_hist(struct el_metrics *m, const char *name, const char *help,
                                const char *labels);
/* A gauge whose value is asked for when the text is written. read() must not block. */
void el_metrics_gauge_fn(struct el_metrics *m, const char *name, const char *help,
                         const char *labels, int64_t (*read)(void *arg), void *arg);

void el_metrics_write(struct el_metrics *m, struct el_buf *out);

static inline void el_counter_add(struct el_counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(&c->v, n, memory_order_relaxed);
}

static inline uint64_t el_counter_get(struct el_counter *c)
{
    return atomic_load_explicit(&c->v, memory_order_relaxed);
}

static inline void el_gauge_add(struct el_gauge *g, int64_t n)
{
    atomic_fetch_add_explicit(&g->v, n, memory_order_relaxed);
}

static inline void el_gauge_set(struct el_gauge *g, int64_t v)
{
    atomic_store_explicit(&g->v, v, memory_order_relaxed);
}

static inline int64_t el_gauge_get(struct el_gauge *g)
{
    return atomic_load_explicit(&g->v, memory_order_relaxed);
}

void el_hist_add(struct el_hist *h, uint64_t us);
