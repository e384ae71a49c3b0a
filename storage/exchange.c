/* SPDX-License-Identifier: MIT */
/*
 * exchange: one request to an origin and its answer, between the thread that asked (the user's) and
 * a fetch thread (home). Request path, last but one: proxy/ask.c and proxy/pass.c start exchanges;
 * what of their answers is cacheable goes on through store_pour_give() to cache/fill.c.
 *
 * What the two threads share lies under the job's mutex: two rings, the heads and the marks of
 * events not yet delivered. The home thread leaves news and posts `event` to the user's queue; the
 * user leaves bytes, room and wishes and gives the job an order. Each side says, under the mutex,
 * when it waits for the other, so that no wake-up is lost and few are sent.
 *
 * Body of the answer:
 *
 *            pipe                       close, short rest
 *   [held] --------> [piped] -------------------------------> [drained]
 *     |  \                                                       ^
 *     |   +-----------------------------------------------------+
 *     | feed
 *     +------------> [fed]
 */
#include "storage/job.h"
#include "storage/ring.h"

#define EXCHANGE_MAGIC 0x53455843u

struct head {
    struct el_list link;
    int status;
    struct el_fields fields;
    bool is_interim;
};

enum body { BODY_HELD, BODY_PIPED, BODY_FED, BODY_DRAINED };

struct exchange {
    uint32_t magic;
    _Atomic unsigned refs; /* the user's and the job's */
    struct store_job job;

    /* immutable */
    struct el_msgq *queue;
    store_on_event *on_event;
    void *arg;
    bool may_retry;
    bool is_head; /* the method is HEAD */

    /* the user's thread */
    struct store_exchange pub;

    /* under job.mtx */
    struct el_msg event;
    struct el_list heads;                     /* of head.link, not delivered yet */
    bool is_readable, is_writable, has_ended; /* events not delivered yet */
    bool is_closed;
    struct el_error end;
    struct store_ring in, out;
    bool in_is_full, out_is_empty;   /* the home thread waits */
    bool reader_waits, writer_waits; /* the user waits */
    bool out_has_ended;
    struct cache_fill *feed_fill; /* until the home thread has taken it */
    uint64_t feed_skip;

    /* the home thread's */
    enum body body;
    struct store_pour pour;
    struct store_retry retry;
    bool has_head;      /* of any attempt: no more retries */
    uint64_t body_left; /* UINT64_MAX: not known */
};

static struct exchange *of_job(struct store_job *j)
{
    struct exchange *ex = EL_ENTRY(j, struct exchange, job);

    return EL_CAST(ex, struct exchange, EXCHANGE_MAGIC);
}

static struct exchange *of_pub(struct store_exchange *pub)
{
    struct exchange *ex = EL_ENTRY(pub, struct exchange, pub);

    return EL_CAST(ex, struct exchange, EXCHANGE_MAGIC);
}

static void lock(struct exchange *ex)
{
    pthread_mutex_lock(&ex->job.mtx);
}

static void unlock(struct exchange *ex)
{
    pthread_mutex_unlock(&ex->job.mtx);
}

/* ---- life ---- */

static void free_head(struct head *h)
{
    el_fields_deinit(&h->fields);
    free(h);
}

static void unref(struct exchange *ex)
{
    struct el_list *m;

    if (atomic_fetch_sub(&ex->refs, 1) > 1)
        return;
    while ((m = el_list_pop(&ex->heads)) != NULL)
        free_head(EL_ENTRY(m, struct head, link));
    el_fields_deinit(&ex->pub.fields);
    store_pour_end(&ex->pour);
    store_ring_deinit(&ex->in);
    store_ring_deinit(&ex->out);
    store_job_deinit(&ex->job);
    free(ex);
}

/* ---- events, towards the user ---- */

static void post_event_locked(struct exchange *ex)
{
    if (!ex->is_closed)
        el_msgq_post(ex->queue, &ex->event);
}

/* False when the user has closed the exchange in the callback. */
static bool tell(struct exchange *ex, enum store_event ev)
{
    bool is_closed;

    ex->on_event(ex->arg, &ex->pub, ev);
    lock(ex);
    is_closed = ex->is_closed;
    unlock(ex);
    return !is_closed;
}

static struct head *pop_head(struct exchange *ex)
{
    struct el_list *m;

    lock(ex);
    m = el_list_pop(&ex->heads);
    unlock(ex);
    return m == NULL ? NULL : EL_ENTRY(m, struct head, link);
}

static bool tell_heads(struct exchange *ex)
{
    struct head *h;

    while ((h = pop_head(ex)) != NULL) {
        bool is_interim = h->is_interim;

        el_fields_deinit(&ex->pub.fields);
        ex->pub.status = h->status;
        ex->pub.fields = h->fields; /* moved */
        free(h);
        if (!tell(ex, is_interim ? STORE_EV_INTERIM : STORE_EV_HEAD))
            return false;
    }
    return true;
}

static void tell_all(struct exchange *ex)
{
    bool is_readable, is_writable, has_ended;

    if (!tell_heads(ex))
        return;
    lock(ex);
    is_readable = ex->is_readable;
    is_writable = ex->is_writable;
    has_ended = ex->has_ended && el_list_empty(&ex->heads);
    ex->is_readable = false;
    ex->is_writable = false;
    if (has_ended) {
        ex->has_ended = false;
        ex->pub.err = ex->end;
        ex->pub.is_done = true;
    }
    unlock(ex);
    if (is_readable && !tell(ex, STORE_EV_READABLE))
        return;
    if (is_writable && !tell(ex, STORE_EV_WRITABLE))
        return;
    if (has_ended)
        (void)tell(ex, STORE_EV_DONE);
}

static void on_event_message(struct el_msg *m)
{
    struct exchange *ex = EL_ENTRY(m, struct exchange, event);

    EL_ASSERT(ex->magic == EXCHANGE_MAGIC);
    atomic_fetch_add(&ex->refs, 1); /* the user may close it from within */
    tell_all(ex);
    unref(ex);
}

/* ---- home: the answer ---- */

static void push_head(struct exchange *ex, int status, struct el_fieldv fields, bool is_interim)
{
    struct head *h = el_new(struct head);

    h->status = status;
    h->is_interim = is_interim;
    for (size_t i = 0; i < fields.n; i++)
        el_fields_add(&h->fields, fields.v[i].name, fields.v[i].value);
    lock(ex);
    el_list_append(&ex->heads, &h->link);
    post_event_locked(ex);
    unlock(ex);
}

static void on_interim(struct store_job *j, int status, struct el_fieldv fields)
{
    push_head(of_job(j), status, fields, true);
}

static uint64_t body_length(const struct exchange *ex, int status, struct el_fieldv fields)
{
    struct el_str value;
    uint64_t n;

    if (ex->is_head || status == 204 || status == 304)
        return 0;
    if (!el_fieldv_get(fields, EL_STR("Content-Length"), &value) ||
        !el_str_u64(value, INT64_MAX, &n))
        return UINT64_MAX;
    return n;
}

static void on_head(struct store_job *j, int status, struct el_fieldv fields)
{
    struct exchange *ex = of_job(j);

    ex->has_head = true;
    ex->body_left = body_length(ex, status, fields);
    lock(ex);
    store_ring_size(&ex->in, ex->body_left);
    unlock(ex);
    push_head(ex, status, fields, false);
}

static ssize_t pipe_in(struct exchange *ex, const void *bytes, size_t n)
{
    ssize_t taken = EL_HTTP_PAUSE;

    lock(ex);
    if (store_ring_room(&ex->in) >= n) {
        taken = store_ring_write(&ex->in, bytes, n) == n ? (ssize_t)n : EL_HTTP_ABORT;
        if (ex->reader_waits) {
            ex->reader_waits = false;
            ex->is_readable = true;
            post_event_locked(ex);
        }
    } else {
        ex->in_is_full = true;
    }
    unlock(ex);
    return taken;
}

static bool rest_is_short(const struct exchange *ex)
{
    return ex->body_left <= STORE_DRAIN_BYTES;
}

static ssize_t feed_in(struct exchange *ex, const void *bytes, size_t n)
{
    ssize_t taken = store_pour_give(&ex->pour, bytes, n);
    bool is_wrong;

    if (taken != EL_HTTP_ABORT)
        return taken;
    is_wrong = ex->pour.wrong.code != EL_OK;
    store_fill_done(ex->job.s, ex->pour.fill, ex->pour.wrong.code,
                    is_wrong ? &ex->pour.wrong : NULL);
    store_pour_end(&ex->pour);
    if (is_wrong || !rest_is_short(ex))
        return EL_HTTP_ABORT;
    ex->body = BODY_DRAINED;
    return (ssize_t)n;
}

static ssize_t take_body(struct exchange *ex, const void *bytes, size_t n)
{
    switch (ex->body) {
    case BODY_HELD:
        return EL_HTTP_PAUSE;
    case BODY_PIPED:
        return pipe_in(ex, bytes, n);
    case BODY_FED:
        return feed_in(ex, bytes, n);
    case BODY_DRAINED:
        return (ssize_t)n;
    }
    return EL_HTTP_ABORT;
}

static ssize_t on_data(struct store_job *j, const void *bytes, size_t n)
{
    struct exchange *ex = of_job(j);
    ssize_t taken = take_body(ex, bytes, n);

    if (taken > 0 && ex->body_left != UINT64_MAX)
        ex->body_left -= el_min_u64(ex->body_left, (uint64_t)taken);
    return taken;
}

/* ---- home: the request's body ---- */

static ssize_t on_body(struct store_job *j, void *room, size_t n)
{
    struct exchange *ex = of_job(j);
    ssize_t got;

    lock(ex);
    got = (ssize_t)store_ring_read(&ex->out, room, n);
    if (got == 0 && !ex->out_has_ended) {
        ex->out_is_empty = true;
        got = EL_HTTP_PAUSE;
    }
    if (ex->writer_waits && got != 0) {
        ex->writer_waits = false;
        ex->is_writable = true;
        post_event_locked(ex);
    }
    unlock(ex);
    return got;
}

/* ---- home: the end ---- */

static bool try_again(struct exchange *ex, enum el_err code)
{
    struct el_rng rng;
    uint64_t delay_ms;

    /* A time-out has cost the client enough; the breaker and the queue are ours to respect. */
    if (!ex->may_retry || ex->has_head || !store_retry_is_transient(code) || code == EL_ETIMEOUT ||
        code == EL_EBREAKER || code == EL_EBUSY)
        return false;
    el_rng_seed_random(&rng);
    if (!store_retry_next(&ex->retry, &ex->job.s->retry, &rng, 0, &delay_ms))
        return false;
    el_counter_add(ex->job.s->metrics.retries, 1);
    store_job_ask(&ex->job, delay_ms);
    return true;
}

/* The fill leaves this job; an order to cancel it that is still on its way would be lost. */
static void settle_fill(struct exchange *ex, enum el_err code, const struct el_error *err)
{
    struct cache_fill *fill = ex->pour.fill;
    struct store_checksum *checksum = ex->pour.checksum;
    bool is_cancelled;

    if (fill == NULL)
        return;
    ex->pour.fill = NULL;
    ex->pour.checksum = NULL;
    lock(ex);
    is_cancelled = (ex->job.orders & STORE_ORDER_CANCEL_FILL) != 0;
    unlock(ex);
    if (is_cancelled && code != EL_OK) {
        store_checksum_free(checksum);
        store_fill_done(ex->job.s, fill, code, err);
    } else {
        store_fill_settle(ex->job.s, fill, checksum, code, err);
    }
}

static void on_end(struct store_job *j, enum el_err code, const struct el_error *err)
{
    struct exchange *ex = of_job(j);
    bool has_enough = ex->body == BODY_FED && ex->pour.fill == NULL;

    if (try_again(ex, code))
        return;
    settle_fill(ex, code, err);
    lock(ex);
    if (!has_enough && code != EL_OK)
        ex->end = *err;
    ex->has_ended = true;
    post_event_locked(ex);
    unlock(ex);
    store_job_over(j);
}

/* ---- home: orders ---- */

static void begin_feed(struct exchange *ex)
{
    struct cache_fill *fill;
    uint64_t skip;

    lock(ex);
    fill = ex->feed_fill;
    skip = ex->feed_skip;
    ex->feed_fill = NULL;
    unlock(ex);
    if (ex->job.is_over) { /* the body was empty, or broke before it was wanted */
        store_fill_settle(ex->job.s, fill, NULL, ex->end.code, &ex->end);
        return;
    }
    ex->body = BODY_FED;
    store_pour_begin(&ex->pour, ex->job.s, fill, NULL);
    ex->pour.skip = skip;
    store_job_resume(&ex->job);
}

static void give_up(struct exchange *ex)
{
    bool is_sending;

    if (ex->body == BODY_FED)
        return; /* the fill goes on */
    lock(ex);
    is_sending =
        ex->job.question.body_length != EL_HTTP_BODY_NONE && !(ex->out_has_ended && ex->out.n == 0);
    unlock(ex);
    if (ex->has_head && rest_is_short(ex) && !is_sending) {
        ex->body = BODY_DRAINED;
        store_job_resume(&ex->job);
    } else {
        store_job_stop(&ex->job, EL_ECANCELED, "nobody wants the answer any more");
    }
}

static void on_orders(struct store_job *j, unsigned orders)
{
    struct exchange *ex = of_job(j);

    if ((orders & STORE_ORDER_BEGIN) != 0)
        store_job_ask(j, 0);
    if ((orders & STORE_ORDER_PIPE) != 0)
        ex->body = BODY_PIPED;
    if ((orders & STORE_ORDER_FEED) != 0)
        begin_feed(ex);
    if ((orders & STORE_ORDER_CLOSE) != 0)
        give_up(ex);
    if ((orders & (STORE_ORDER_PIPE | STORE_ORDER_RESUME)) != 0)
        store_job_resume(j);
    if ((orders & STORE_ORDER_CANCEL_FILL) != 0 && ex->pour.fill != NULL)
        store_job_stop(j, EL_ECANCELED, "nobody needs the rest");
    if ((orders & STORE_ORDER_STOP) != 0)
        store_job_stop(j, EL_ESHUTDOWN, "the node stops");
}

static void let_go(struct store_job *j)
{
    unref(of_job(j));
}

static const struct store_job_ops exchange_ops = {
    .on_orders = on_orders,
    .on_interim = on_interim,
    .on_head = on_head,
    .on_data = on_data,
    .on_body = on_body,
    .on_end = on_end,
    .let_go = let_go,
};

/* ---- public, on the user's thread ---- */

static void set_question(struct store_question *q, const struct store_request *req)
{
    el_buf_add_str(&q->method, req->method);
    el_buf_add_str(&q->scheme, req->to.scheme);
    el_buf_add_str(&q->host, req->to.host);
    el_buf_add_str(&q->target, req->to.target);
    el_buf_add_str(&q->bucket, req->to.bucket);
    q->port = req->to.port;
    q->as_node = req->to.as_node;
    q->body_length = req->body_length;
    for (size_t i = 0; i < req->fields.n; i++)
        el_fields_add(&q->fields, req->fields.v[i].name, req->fields.v[i].value);
}

struct store_exchange *store_exchange_start(struct storage *s, const struct store_request *req,
                                            struct el_msgq *queue, store_on_event *on_event,
                                            void *arg)
{
    struct exchange *ex = el_new(struct exchange);

    ex->magic = EXCHANGE_MAGIC;
    atomic_init(&ex->refs, 2);
    store_job_init(&ex->job, s, &exchange_ops, req->reason);
    set_question(&ex->job.question, req);
    ex->queue = queue;
    ex->on_event = on_event;
    ex->arg = arg;
    ex->may_retry = req->retry && req->body_length == EL_HTTP_BODY_NONE;
    ex->is_head = el_str_eq(req->method, EL_STR("HEAD"));
    ex->reader_waits = true;
    ex->body_left = UINT64_MAX;
    ex->out_has_ended = req->body_length == EL_HTTP_BODY_NONE || req->body_length == 0;
    el_list_init(&ex->heads);
    el_msg_init(&ex->event, on_event_message);
    if (req->body_length > 0)
        store_ring_size(&ex->out, (uint64_t)req->body_length);
    store_job_start(&ex->job);
    return &ex->pub;
}

size_t store_exchange_write(struct store_exchange *pub, const void *bytes, size_t n)
{
    struct exchange *ex = of_pub(pub);
    size_t taken;

    lock(ex);
    EL_ASSERT(!ex->out_has_ended);
    taken = store_ring_write(&ex->out, bytes, n);
    ex->writer_waits = taken < n;
    if (taken > 0 && ex->out_is_empty) {
        ex->out_is_empty = false;
        (void)store_job_order_locked(&ex->job, STORE_ORDER_RESUME);
    }
    unlock(ex);
    return taken;
}

void store_exchange_write_end(struct store_exchange *pub)
{
    struct exchange *ex = of_pub(pub);

    lock(ex);
    ex->out_has_ended = true;
    ex->out_is_empty = false;
    (void)store_job_order_locked(&ex->job, STORE_ORDER_RESUME);
    unlock(ex);
}

void store_exchange_pipe(struct store_exchange *pub)
{
    (void)store_job_order(&of_pub(pub)->job, STORE_ORDER_PIPE);
}

void store_exchange_feed(struct store_exchange *pub, struct cache_fill *fill, uint64_t skip)
{
    struct exchange *ex = of_pub(pub);
    struct storage *s = ex->job.s;
    bool is_in_time;

    pub->was_fed = true;
    store_fill_assign(s, fill, &ex->job);
    lock(ex);
    ex->feed_fill = fill;
    ex->feed_skip = skip;
    is_in_time = store_job_order_locked(&ex->job, STORE_ORDER_FEED);
    unlock(ex);
    if (!is_in_time)
        store_fill_settle(s, fill, NULL, ex->end.code, &ex->end);
}

void store_exchange_read(struct store_exchange *pub, const void **ret_bytes, size_t *ret_n)
{
    struct exchange *ex = of_pub(pub);

    lock(ex);
    store_ring_peek(&ex->in, ret_bytes, ret_n);
    if (*ret_n == 0)
        ex->reader_waits = true;
    unlock(ex);
}

void store_exchange_consume(struct store_exchange *pub, size_t n)
{
    struct exchange *ex = of_pub(pub);

    lock(ex);
    store_ring_consume(&ex->in, n);
    ex->reader_waits = true; /* whoever reads one stretch at a time is told of the next */
    if (ex->in_is_full && store_ring_room(&ex->in) >= ex->in.cap / 2) {
        ex->in_is_full = false;
        (void)store_job_order_locked(&ex->job, STORE_ORDER_RESUME);
    }
    unlock(ex);
}

void store_exchange_close(struct store_exchange *pub)
{
    struct exchange *ex;

    if (pub == NULL)
        return;
    ex = of_pub(pub);
    lock(ex);
    ex->is_closed = true;
    (void)store_job_order_locked(&ex->job, STORE_ORDER_CLOSE);
    unlock(ex);
    el_msgq_cancel(ex->queue, &ex->event);
    unref(ex);
}
