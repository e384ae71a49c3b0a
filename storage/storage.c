/* SPDX-License-Identifier: MIT */
/* storage: start and stop of the origin side, and its figures. See storage.h for the whole. */
#include "storage/storage.h"

#include "storage/job.h"
#include "storage/store.h"

static const char *const reason_names[STORE_REASONS] = {
    [STORE_MISS] = "miss",
    [STORE_REFILL] = "refill",
    [STORE_REVALIDATE] = "revalidate",
    [STORE_PASS] = "pass",
};

static void register_metrics(struct store_metrics *m, struct el_metrics *in)
{
    struct el_buf label;

    for (size_t i = 0; i < STORE_REASONS; i++) {
        el_buf_init(&label);
        el_buf_addf(&label, "reason=\"%s\"", reason_names[i]);
        m->requests[i] = el_metrics_counter(in, "eliop2p_origin_requests_total",
                                            "Requests sent to origins.", label.p);
        m->bytes[i] = el_metrics_counter(in, "eliop2p_origin_bytes_total",
                                         "Body bytes received from origins.", label.p);
        el_buf_deinit(&label);
    }
    m->errors =
        el_metrics_counter(in, "eliop2p_origin_errors_total",
                           "Requests to origins that ended without a complete answer.", NULL);
    m->retries = el_metrics_counter(in, "eliop2p_origin_retries_total",
                                    "Requests to origins that were sent again.", NULL);
    m->sums_right = el_metrics_counter(in, "eliop2p_origin_checksums_total",
                                       "Objects that were held against a checksum of the origin.",
                                       "result=\"right\"");
    m->sums_wrong = el_metrics_counter(in, "eliop2p_origin_checksums_total",
                                       "Objects that were held against a checksum of the origin.",
                                       "result=\"wrong\"");
    m->running =
        el_metrics_gauge(in, "eliop2p_origin_running", "Requests to origins under way.", NULL);
    m->head_time =
        el_metrics_hist(in, "eliop2p_origin_head_seconds",
                        "Time from a request to an origin to the head of its answer.", NULL);
}

static enum el_err start_clients(struct storage *s, struct el_error *err)
{
    struct el_http_client_conf conf = {
        .thread_name = "elio-fetch",
        .connect_timeout_ms = s->conf.connect_timeout_ms,
        .stall_timeout_ms = s->conf.stall_timeout_ms,
        .ca_file = s->conf.ca_file,
        .insecure_tls = s->conf.insecure_tls,
        .http2 = s->conf.http2,
        .address_allowed = s->conf.address_allowed,
        .arg = s->conf.arg,
    };
    enum el_err rc = EL_OK;

    s->clients = el_try_alloc(s->conf.threads * sizeof(*s->clients));
    if (s->clients == NULL)
        return el_fail(err, EL_ENOMEM, 0, "%u fetch threads", s->conf.threads);
    for (unsigned i = 0; i < s->conf.threads && rc == EL_OK; i++)
        rc = el_http_client_new(&conf, &s->clients[i], err);
    return rc;
}

static struct storage *alloc_storage(const struct store_conf *conf)
{
    struct storage *s = el_new(struct storage);
    struct store_governor_conf limits = {
        .max_running = conf->max_connections_per_host,
        .breaker_failures = conf->breaker_failures,
        .breaker_open_ms = conf->breaker_open_ms,
    };

    s->conf = *conf;
    s->source.ops = &store_source_ops;
    s->retry.tries = conf->retries;
    s->retry.backoff_ms = conf->retry_backoff_ms;
    s->governor = store_governor_new(&limits);
    el_list_init(&s->jobs);
    (void)pthread_mutex_init(&s->governor_mtx, NULL); /* none fails with default attributes */
    (void)pthread_mutex_init(&s->fills_mtx, NULL);
    (void)pthread_mutex_init(&s->jobs_mtx, NULL);
    (void)pthread_cond_init(&s->jobs_gone, NULL);
    return s;
}

enum el_err storage_start(const struct store_conf *conf, struct storage **ret_s,
                          struct el_error *err)
{
    struct storage *s;
    enum el_err rc;

    if (conf->threads == 0 || conf->threads > 1024)
        return el_fail(err, EL_EINVAL, 0, "%u fetch threads", conf->threads);
    s = alloc_storage(conf);
    register_metrics(&s->metrics, conf->metrics);
    rc = start_clients(s, err);
    if (rc != EL_OK) {
        storage_stop(s);
        return rc;
    }
    *ret_s = s;
    return EL_OK;
}

static void stop_jobs(struct storage *s)
{
    struct el_list *it, *tmp;

    pthread_mutex_lock(&s->jobs_mtx);
    s->is_stopping = true;
    EL_LIST_EACH (it, tmp, &s->jobs)
        (void)store_job_order(EL_ENTRY(it, struct store_job, link), STORE_ORDER_STOP);
    while (s->n_jobs > 0)
        pthread_cond_wait(&s->jobs_gone, &s->jobs_mtx);
    pthread_mutex_unlock(&s->jobs_mtx);
}

void storage_stop(struct storage *s)
{
    if (s == NULL)
        return;
    stop_jobs(s);
    for (unsigned i = 0; s->clients != NULL && i < s->conf.threads; i++)
        el_http_client_free(s->clients[i]);
    store_governor_free(s->governor);
    (void)pthread_mutex_destroy(&s->governor_mtx); /* no thread is left to hold one */
    (void)pthread_mutex_destroy(&s->fills_mtx);
    (void)pthread_mutex_destroy(&s->jobs_mtx);
    (void)pthread_cond_destroy(&s->jobs_gone);
    free(s->clients);
    free(s);
}

bool storage_signs(const struct storage *s)
{
    return s->conf.signer != NULL;
}

struct cache_source *storage_source(struct storage *s)
{
    return &s->source;
}

void store_stats_get(struct storage *s, struct store_stats *ret)
{
    int64_t running = el_gauge_get(s->metrics.running);

    *ret = (struct store_stats){ 0 };
    for (size_t i = 0; i < STORE_REASONS; i++) {
        ret->exchanges += el_counter_get(s->metrics.requests[i]);
        ret->bytes_by_reason[i] = el_counter_get(s->metrics.bytes[i]);
        ret->bytes_in += ret->bytes_by_reason[i];
    }
    ret->running = running > 0 ? (uint64_t)running : 0;
    ret->errors = el_counter_get(s->metrics.errors);
}
