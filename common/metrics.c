/* SPDX-License-Identifier: MIT */
/*
 * metrics: a list of families (one name, one help text, one type), each with its series (one set of
 * labels, one value). The list only grows; its mutex is taken to register and to write the text.
 */
#include "common/metrics.h"

#include <inttypes.h>
#include <pthread.h>

#include "common/list.h"

enum kind { COUNTER, GAUGE, GAUGE_FN, HIST };

struct series {
    struct el_list link;
    char *labels; /* "" when there are none */
    union {
        struct el_counter counter;
        struct el_gauge gauge;
        struct el_hist hist;
        struct {
            int64_t (*read)(void *arg);
            void *arg;
        } fn;
    } u;
};

struct family {
    struct el_list link;
    enum kind kind;
    char *name, *help;
    struct el_list series;
};

struct el_metrics {
    pthread_mutex_t mtx;
    struct el_list families; /* under mtx */
};

/* Upper bounds of the histogram's buckets. */
static const uint64_t bounds_us[EL_HIST_BUCKETS] = {
    10,      25,      50,       100,      250,      500,       1000,   2500,
    5000,    10000,   25000,    50000,    100000,   250000,    500000, 1000000,
    2500000, 5000000, 10000000, 25000000, 50000000, 100000000,
};

struct el_metrics *el_metrics_new(void)
{
    struct el_metrics *m = el_new(struct el_metrics);

    EL_ASSERT(pthread_mutex_init(&m->mtx, NULL) == 0);
    el_list_init(&m->families);
    return m;
}

static void free_family(struct family *f)
{
    struct el_list *l;

    while ((l = el_list_pop(&f->series)) != NULL) {
        struct series *s = EL_ENTRY(l, struct series, link);

        free(s->labels);
        free(s);
    }
    free(f->name);
    free(f->help);
    free(f);
}

void el_metrics_free(struct el_metrics *m)
{
    struct el_list *l;

    if (m == NULL)
        return;
    while ((l = el_list_pop(&m->families)) != NULL)
        free_family(EL_ENTRY(l, struct family, link));
    EL_ASSERT(pthread_mutex_destroy(&m->mtx) == 0);
    free(m);
}

static struct family *family_locked(struct el_metrics *m, enum kind kind, const char *name,
                                    const char *help)
{
    struct el_list *it, *tmp;
    struct family *f;

    EL_LIST_EACH (it, tmp, &m->families) {
        f = EL_ENTRY(it, struct family, link);
        if (strcmp(f->name, name) == 0) {
            EL_ASSERT(f->kind == kind);
            return f;
        }
    }
    f = el_new(struct family);
    f->kind = kind;
    f->name = el_strndup(name, strlen(name));
    f->help = el_strndup(help, strlen(help));
    el_list_init(&f->series);
    el_list_append(&m->families, &f->link);
    return f;
}

static struct series *series_locked(struct family *f, const char *labels)
{
    struct el_list *it, *tmp;
    struct series *s;

    EL_LIST_EACH (it, tmp, &f->series) {
        s = EL_ENTRY(it, struct series, link);
        if (strcmp(s->labels, labels) == 0)
            return s;
    }
    s = el_new(struct series);
    s->labels = el_strndup(labels, strlen(labels));
    el_list_append(&f->series, &s->link);
    return s;
}

static struct series *add_locked(struct el_metrics *m, enum kind kind, const char *name,
                                 const char *help, const char *labels)
{
    return series_locked(family_locked(m, kind, name, help), labels == NULL ? "" : labels);
}

static struct series *add(struct el_metrics *m, enum kind kind, const char *name, const char *help,
                          const char *labels)
{
    struct series *s;

    EL_ASSERT(pthread_mutex_lock(&m->mtx) == 0);
    s = add_locked(m, kind, name, help, labels);
    EL_ASSERT(pthread_mutex_unlock(&m->mtx) == 0);
    return s;
}

struct el_counter *el_metrics_counter(struct el_metrics *m, const char *name, const char *help,
                                      const char *labels)
{
    return &add(m, COUNTER, name, help, labels)->u.counter;
}

struct el_gauge *el_metrics_gauge(struct el_metrics *m, const char *name, const char *help,
                                  const char *labels)
{
    return &add(m, GAUGE, name, help, labels)->u.gauge;
}

struct el_hist *el_metrics_hist(struct el_metrics *m, const char *name, const char *help,
                                const char *labels)
{
    return &add(m, HIST, name, help, labels)->u.hist;
}

void el_metrics_gauge_fn(struct el_metrics *m, const char *name, const char *help,
                         const char *labels, int64_t (*read)(void *arg), void *arg)
{
    struct series *s;

    EL_ASSERT(pthread_mutex_lock(&m->mtx) == 0);
    s = add_locked(m, GAUGE_FN, name, help, labels);
    s->u.fn.read = read;
    s->u.fn.arg = arg;
    EL_ASSERT(pthread_mutex_unlock(&m->mtx) == 0);
}

void el_hist_add(struct el_hist *h, uint64_t us)
{
    size_t i = 0;

    while (i < EL_HIST_BUCKETS && us > bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&h->bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

/* ---- the text: Prometheus exposition format 0.0.4 ---- */

static void write_name(struct el_buf *out, const char *name, const char *suffix, const char *labels)
{
    el_buf_addf(out, "%s%s", name, suffix);
    if (labels[0] != '\0')
        el_buf_addf(out, "{%s}", labels);
}

static void write_hist(struct el_buf *out, const char *name, struct series *s)
{
    const char *comma = s->labels[0] == '\0' ? "" : ",";
    uint64_t sum_us = atomic_load_explicit(&s->u.hist.sum_us, memory_order_relaxed);
    uint64_t total = 0;

    for (size_t i = 0; i < EL_HIST_BUCKETS; i++) {
        total += atomic_load_explicit(&s->u.hist.bucket[i], memory_order_relaxed);
        el_buf_addf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, s->labels, comma,
                    (double)bounds_us[i] / 1e6, total);
    }
    total += atomic_load_explicit(&s->u.hist.bucket[EL_HIST_BUCKETS], memory_order_relaxed);
    el_buf_addf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, s->labels, comma, total);
    write_name(out, name, "_sum", s->labels);
    el_buf_addf(out, " %" PRIu64 ".%06" PRIu64 "\n", sum_us / 1000000, sum_us % 1000000);
    write_name(out, name, "_count", s->labels);
    el_buf_addf(out, " %" PRIu64 "\n", total);
}

static void write_series(struct el_buf *out, const struct family *f, struct series *s)
{
    if (f->kind == HIST) {
        write_hist(out, f->name, s);
        return;
    }
    write_name(out, f->name, "", s->labels);
    if (f->kind == COUNTER)
        el_buf_addf(out, " %" PRIu64 "\n", el_counter_get(&s->u.counter));
    else if (f->kind == GAUGE)
        el_buf_addf(out, " %" PRId64 "\n", el_gauge_get(&s->u.gauge));
    else
        el_buf_addf(out, " %" PRId64 "\n", s->u.fn.read(s->u.fn.arg));
}

static void write_family(struct el_buf *out, struct family *f)
{
    const char *type = f->kind == COUNTER ? "counter" : f->kind == HIST ? "histogram" : "gauge";
    struct el_list *it, *tmp;

    el_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, type);
    EL_LIST_EACH (it, tmp, &f->series) {
        write_series(out, f, EL_ENTRY(it, struct series, link));
    }
}

void el_metrics_write(struct el_metrics *m, struct el_buf *out)
{
    struct el_list *it, *tmp;

    EL_ASSERT(pthread_mutex_lock(&m->mtx) == 0);
    EL_LIST_EACH (it, tmp, &m->families) {
        write_family(out, EL_ENTRY(it, struct family, link));
    }
    EL_ASSERT(pthread_mutex_unlock(&m->mtx) == 0);
}
