/* SPDX-License-Identifier: MIT */
/*
 * source: fills taken from the origin. Request path, last: cache/fill.c starts one for missing
 * bytes, or hands over the rest of one whose transfer broke (store_fill_settle()).
 *
 * The idea: a *refill* asks for [position, end) of exactly the version that is being filled, with
 * the fields of the ticket and a precondition, and judges the answer before a byte of it is given
 * (answer.c). However a transfer ends, the next attempt starts at the byte where the last one
 * stopped; attempts without progress are counted (retry.c).
 */
#include "common/log.h"
#include "storage/answer.h"
#include "storage/job.h"
#include "storage/ticket.h"

#define REFILL_MAGIC 0x53524546u

struct refill {
    uint32_t magic;
    struct store_job job;
    uint64_t first_delay_ms; /* immutable */

    /* the home thread's */
    struct cache_fill *fill; /* NULL: done */
    struct store_pour pour;
    struct store_checksum *checksum; /* owned; of the transfer before, until the first attempt */
    struct store_retry retry;
    uint64_t started_at;    /* position when the attempt began */
    bool fits;              /* the answer does: its body is the object's */
    uint64_t body_left;     /* of an answer that fits; UINT64_MAX: not known */
    uint64_t wish_ms;       /* Retry-After */
    struct el_error answer; /* why it does not fit; code EL_OK before the head */
    bool may_retry_answer;
};

/* ---- fills and their jobs ---- */

void store_fill_assign(struct storage *s, struct cache_fill *fill, struct store_job *j)
{
    pthread_mutex_lock(&s->fills_mtx);
    cache_fill_set_data(fill, j);
    pthread_mutex_unlock(&s->fills_mtx);
}

void store_fill_done(struct storage *s, struct cache_fill *fill, enum el_err code,
                     const struct el_error *err)
{
    store_fill_assign(s, fill, NULL);
    cache_fill_done(fill, code, err);
}

/* The cache may call while the fill ends on its home thread; the mutex keeps the job alive. */
static void order_fill(struct storage *s, struct cache_fill *fill, unsigned what)
{
    struct store_job *j;

    pthread_mutex_lock(&s->fills_mtx);
    j = cache_fill_data(fill);
    if (j != NULL)
        (void)store_job_order(j, what);
    pthread_mutex_unlock(&s->fills_mtx);
}

static struct refill *of_job(struct store_job *j)
{
    struct refill *r = EL_ENTRY(j, struct refill, job);

    return EL_CAST(r, struct refill, REFILL_MAGIC);
}

/* ---- the end ---- */

static void finish(struct refill *r, enum el_err code, const struct el_error *err)
{
    struct cache_fill *fill = r->fill;
    struct el_error wrong;

    r->fill = NULL;
    if (code == EL_OK)
        code = store_pour_judge(r->job.s, fill, r->pour.checksum, &wrong);
    if (code == EL_EHASH && r->pour.wrong.code == EL_OK)
        err = &wrong;
    store_pour_end(&r->pour);
    if (code == EL_ECHANGED)
        el_log_error(EL_INFO, EV_ORIGIN_CHANGED, err);
    store_fill_done(r->job.s, fill, code, code == EL_OK ? NULL : err);
    store_job_over(&r->job);
}

static void finish_with(struct refill *r, enum el_err code, const char *why)
{
    struct el_error err = { 0 };

    if (code != EL_OK)
        el_fail(&err, code, 0, "%s", why);
    finish(r, code, &err);
}

/* ---- the question ---- */

static void add_condition(struct el_fields *fields, const struct cache_meta *meta)
{
    if (meta->etag.n > 0 && !el_str_starts(meta->etag, EL_STR("W/")))
        el_fields_add(fields, EL_STR("If-Match"), meta->etag);
    else if (meta->last_modified.n > 0)
        el_fields_add(fields, EL_STR("If-Unmodified-Since"), meta->last_modified);
}

static void add_range(struct el_fields *fields, const struct store_ticket *t, uint64_t from,
                      uint64_t end)
{
    struct el_buf value;

    if (t->base.exact) {
        if (t->range_value.n > 0)
            el_fields_add(fields, EL_STR("Range"), el_buf_str(&t->range_value));
        return;
    }
    el_buf_init(&value);
    el_buf_addf(&value, "bytes=%llu-", (unsigned long long)from);
    if (end != CACHE_UNKNOWN_LENGTH)
        el_buf_add_u64(&value, end - 1);
    el_fields_add(fields, EL_STR("Range"), el_buf_str(&value));
    el_buf_deinit(&value);
}

static void set_question(struct refill *r, const struct cache_meta *meta, uint64_t from,
                         uint64_t end)
{
    const struct store_ticket *t = store_ticket_of(cache_fill_ticket(r->fill));
    struct store_question *q = &r->job.question;
    struct el_fieldv fields = el_fields_view(&t->fields);

    el_fields_deinit(&q->fields);
    el_fields_init(&q->fields);
    for (size_t i = 0; i < fields.n; i++)
        el_fields_add(&q->fields, fields.v[i].name, fields.v[i].value);
    add_range(&q->fields, t, from, end);
    add_condition(&q->fields, meta);
    if (q->host.n > 0)
        return; /* only the range differs from the last attempt */
    el_buf_add_str(&q->method, EL_STR("GET"));
    el_buf_add_str(&q->scheme, el_buf_str(&t->scheme));
    el_buf_add_str(&q->host, el_buf_str(&t->host));
    el_buf_add_str(&q->target, el_buf_str(&t->target));
    el_buf_add_str(&q->bucket, el_buf_str(&t->bucket));
    q->port = t->port;
    q->as_node = t->as_node;
    q->body_length = EL_HTTP_BODY_NONE;
}

static bool ticket_reaches(const struct cache_ticket *t, uint64_t position)
{
    return !t->exact || (t->first <= position && position < t->end);
}

/* Ranges are clamped to the known length: some origins answer a range beyond it with the whole. */
static uint64_t wanted_end(struct cache_fill *fill)
{
    return el_min_u64(cache_fill_end(fill), cache_object_length(cache_fill_object(fill)));
}

/* The sum goes on where the last attempt has left it. */
static void begin_pour(struct refill *r)
{
    struct store_checksum *checksum = r->checksum != NULL ? r->checksum : r->pour.checksum;

    r->checksum = NULL;
    store_pour_begin(&r->pour, r->job.s, r->fill, checksum);
}

static void ask(struct refill *r, uint64_t delay_ms)
{
    struct cache_meta *meta = cache_object_meta(cache_fill_object(r->fill));
    uint64_t end = wanted_end(r->fill);

    r->started_at = cache_fill_position(r->fill);
    r->fits = false;
    r->answer = (struct el_error){ 0 };
    r->may_retry_answer = false;
    r->wish_ms = 0;
    begin_pour(r);
    if (r->started_at >= end) {
        finish_with(r, EL_OK, NULL);
    } else if (!meta->has_strong_validator) {
        finish_with(r, EL_ECHANGED, "nothing says which version the rest would be of");
    } else if (!ticket_reaches(cache_fill_ticket(r->fill), r->started_at)) {
        finish_with(r, EL_EFORBIDDEN, "the request's signature does not cover these bytes");
    } else {
        set_question(r, meta, r->started_at, end);
        store_job_ask(&r->job, el_max_u64(delay_ms, store_job_quiet_ms(&r->job)));
    }
    cache_meta_unref(meta);
}

/* ---- the answer ---- */

static struct store_expect expectation(const struct refill *r, const struct cache_meta *meta)
{
    const struct cache_ticket *t = cache_fill_ticket(r->fill);
    struct store_expect expect = {
        .asked_first = t->exact ? t->first : r->started_at,
        .position = r->started_at,
        .length = cache_object_length(cache_fill_object(r->fill)),
        .etag = meta->etag,
        .last_modified = meta->last_modified,
    };

    (void)el_fieldv_get(el_fields_view(&meta->fields), EL_STR("Content-Encoding"),
                        &expect.content_encoding); /* stays empty when there is none */
    return expect;
}

static void on_head(struct store_job *j, int status, struct el_fieldv fields)
{
    struct refill *r = of_job(j);
    struct cache_meta *meta = cache_object_meta(cache_fill_object(r->fill));
    struct store_expect expect = expectation(r, meta);

    switch (store_answer_judge(&expect, status, fields, &r->pour.skip, &r->body_left, &r->answer)) {
    case STORE_ANSWER_FITS:
        r->fits = true;
        break;
    case STORE_ANSWER_RETRY:
        r->may_retry_answer = true;
        r->wish_ms = store_retry_after_ms(fields, STORE_RETRY_AFTER_MAX_MS);
        r->body_left = STORE_DRAIN_BYTES;
        break;
    case STORE_ANSWER_BAD:
        r->body_left = STORE_DRAIN_BYTES;
        break;
    }
    cache_meta_unref(meta);
}

static ssize_t give(struct refill *r, const void *bytes, size_t n)
{
    ssize_t taken = store_pour_give(&r->pour, bytes, n);

    if (taken != EL_HTTP_ABORT)
        return taken;
    if (r->pour.wrong.code != EL_OK) {
        r->answer = r->pour.wrong;
        return EL_HTTP_ABORT;
    }
    r->pour.fill = NULL; /* enough */
    return r->body_left <= STORE_DRAIN_BYTES ? (ssize_t)n : EL_HTTP_ABORT;
}

static ssize_t on_data(struct store_job *j, const void *bytes, size_t n)
{
    struct refill *r = of_job(j);
    bool gives = r->fits && r->pour.fill != NULL;
    ssize_t taken;

    if (n > r->body_left) {
        if (r->fits)
            el_fail(&r->answer, EL_EPROTO, 0, "more bytes than the answer's head promised");
        return EL_HTTP_ABORT; /* of an error's text, enough was read */
    }
    taken = gives ? give(r, bytes, n) : (ssize_t)n;
    if (taken > 0 && r->body_left != UINT64_MAX)
        r->body_left -= (uint64_t)taken;
    return taken;
}

/* ---- after an attempt ---- */

static void fail_or_retry(struct refill *r, bool may_retry, const struct el_error *err)
{
    struct storage *s = r->job.s;
    struct el_rng rng;
    uint64_t delay_ms;

    el_rng_seed_random(&rng);
    if (!may_retry || !store_retry_next(&r->retry, &s->retry, &rng, r->wish_ms, &delay_ms)) {
        finish(r, err->code, err);
        return;
    }
    el_counter_add(s->metrics.retries, 1);
    el_log_error(EL_DEBUG, EV_ORIGIN_RETRY, err);
    ask(r, delay_ms);
}

/* The body was complete: it reached the end, or was a part and the next one follows. */
static void go_on(struct refill *r)
{
    uint64_t position = cache_fill_position(r->fill);
    struct el_error err;

    if (position >= wanted_end(r->fill) || cache_fill_end(r->fill) == CACHE_UNKNOWN_LENGTH) {
        finish_with(r, EL_OK, NULL);
    } else if (position > r->started_at) {
        ask(r, 0);
    } else {
        el_fail(&err, EL_ETRUNCATED, 0, "an answer without the bytes that were asked for");
        fail_or_retry(r, true, &err);
    }
}

static void on_end(struct store_job *j, enum el_err code, const struct el_error *err)
{
    struct refill *r = of_job(j);

    if (r->fill != NULL && cache_fill_position(r->fill) > r->started_at)
        store_retry_progress(&r->retry);
    if (r->pour.fill == NULL)
        finish_with(r, EL_OK, NULL);
    else if (code == EL_ESHUTDOWN || (code == EL_ECANCELED && r->answer.code == EL_OK))
        finish(r, code, err);
    else if (r->answer.code != EL_OK)
        fail_or_retry(r, r->may_retry_answer, &r->answer);
    else if (code == EL_OK)
        go_on(r);
    else
        fail_or_retry(r, store_retry_is_transient(code), err);
}

static void on_orders(struct store_job *j, unsigned orders)
{
    struct refill *r = of_job(j);

    if ((orders & STORE_ORDER_BEGIN) != 0)
        ask(r, r->first_delay_ms);
    if ((orders & STORE_ORDER_RESUME) != 0)
        store_job_resume(j);
    if ((orders & STORE_ORDER_STOP) != 0)
        store_job_stop(j, EL_ESHUTDOWN, "the node stops");
    if ((orders & STORE_ORDER_CANCEL_FILL) != 0)
        store_job_stop(j, EL_ECANCELED, "nobody needs the rest");
}

static void let_go(struct store_job *j)
{
    struct refill *r = of_job(j);

    store_checksum_free(r->checksum);
    store_job_deinit(j);
    free(r);
}

static const struct store_job_ops refill_ops = {
    .on_orders = on_orders,
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .let_go = let_go,
};

static void start_refill(struct storage *s, struct cache_fill *fill,
                         struct store_checksum *checksum, uint64_t delay_ms)
{
    struct refill *r = el_new(struct refill);

    r->magic = REFILL_MAGIC;
    r->fill = fill;
    r->checksum = checksum;
    r->first_delay_ms = delay_ms;
    store_job_init(&r->job, s, &refill_ops, STORE_REFILL);
    store_fill_assign(s, fill, &r->job);
    store_job_start(&r->job);
}

void store_fill_settle(struct storage *s, struct cache_fill *fill, struct store_checksum *checksum,
                       enum el_err code, const struct el_error *err)
{
    bool is_short = code == EL_OK && cache_fill_end(fill) != CACHE_UNKNOWN_LENGTH &&
                    cache_fill_position(fill) < wanted_end(fill);
    struct cache_meta *meta = cache_object_meta(cache_fill_object(fill));
    bool can_resume = meta->has_strong_validator && (is_short || store_retry_is_transient(code));
    struct el_error wrong;

    cache_meta_unref(meta);
    if (can_resume) {
        start_refill(s, fill, checksum, s->retry.backoff_ms / 2);
        return;
    }
    if (is_short) {
        code = el_fail(&wrong, EL_ETRUNCATED, 0, "the answer ended before the object did");
        err = &wrong;
    } else if (code == EL_OK) {
        code = store_pour_judge(s, fill, checksum, &wrong);
        err = &wrong;
    }
    store_checksum_free(checksum);
    store_fill_done(s, fill, code, code == EL_OK ? NULL : err);
}

/* ---- cache/source.h ---- */

static struct storage *storage_of(struct cache_source *source)
{
    return EL_ENTRY(source, struct storage, source);
}

static void start_fill(struct cache_source *source, struct cache_fill *fill)
{
    start_refill(storage_of(source), fill, NULL, 0);
}

static void resume_fill(struct cache_source *source, struct cache_fill *fill)
{
    order_fill(storage_of(source), fill, STORE_ORDER_RESUME);
}

static void cancel_fill(struct cache_source *source, struct cache_fill *fill)
{
    order_fill(storage_of(source), fill, STORE_ORDER_CANCEL_FILL);
}

const struct cache_source_ops store_source_ops = {
    .label = "origin",
    .from = CACHE_FROM_ORIGIN,
    .start = start_fill,
    .resume = resume_fill,
    .cancel = cancel_fill,
};
