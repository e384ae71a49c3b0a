/* SPDX-License-Identifier: MIT */
/*
 * job: see the header. Two rules keep it free of races: the message is on its way exactly while
 * `orders` is not 0, and only the home thread, finding no orders under the mutex, lets a job go.
 */
#include "storage/job.h"

#include "common/log.h"
#include "storage/address.h"
#include "storage/answer.h"
#include "storage/signer.h"

#define JOB_MAGIC 0x534a4f42u
/* A request that queues only because the origin slowed us down goes out after this. */
#define SLOWED_WAIT_MS 1000
/* How often a question follows its bucket to another region. */
#define MAX_MOVES 2

static uint64_t now_ms(const struct store_job *j)
{
    return el_clock_mono_ms(j->s->conf.clock);
}

/* In real time, whatever clock decides: the home thread's loop runs it. */
static void start_timer(struct store_job *j, uint64_t delay_ms)
{
    el_timer_start(el_http_client_timers(j->home), &j->timer,
                   el_clock_mono_ms(el_clock_system()) + delay_ms);
}

static struct el_str origin_name(const struct store_job *j, struct el_buf *buf)
{
    el_buf_init(buf);
    el_buf_add_str(buf, el_buf_str(&j->question.host));
    el_buf_addf(buf, ":%u", (unsigned)j->question.port);
    return el_buf_str(buf);
}

/* ---- the governor ---- */

static void log_turn(const struct store_job *j, enum store_turn turn)
{
    struct el_buf buf;
    struct el_str name;

    if (turn == STORE_TURN_NONE)
        return;
    name = origin_name(j, &buf);
    switch (turn) {
    case STORE_TURN_NONE:
        break;
    case STORE_TURN_SLOWED:
        el_log(EL_WARN, EV_SLOWDOWN, "origin=%s", EL_LOG_Q(name));
        break;
    case STORE_TURN_OPENED:
        el_log(EL_WARN, EV_BREAKER_OPEN, "origin=%s for_ms=%llu", EL_LOG_Q(name),
               (unsigned long long)j->s->conf.breaker_open_ms);
        break;
    case STORE_TURN_CLOSED:
        el_log(EL_INFO, EV_BREAKER_CLOSED, "origin=%s", EL_LOG_Q(name));
        break;
    }
    el_buf_deinit(&buf);
}

/* With the governor's mutex held: tells the jobs that need not wait any more. */
static void wake_ready_locked(struct storage *s)
{
    struct store_permit *p;

    while ((p = store_governor_next(s->governor)) != NULL)
        (void)store_job_order(EL_ENTRY(p, struct store_job, permit), STORE_ORDER_PERMIT);
}

static enum store_permit_state ask_governor(struct store_job *j)
{
    enum store_permit_state state;
    struct el_buf buf;
    struct el_str name = origin_name(j, &buf);

    pthread_mutex_lock(&j->s->governor_mtx);
    state = store_governor_ask(j->s->governor, name, &j->permit, now_ms(j));
    pthread_mutex_unlock(&j->s->governor_mtx);
    el_buf_deinit(&buf);
    return state;
}

uint64_t store_job_quiet_ms(struct store_job *j)
{
    struct el_buf buf;
    struct el_str name = origin_name(j, &buf);
    uint64_t quiet_ms;

    pthread_mutex_lock(&j->s->governor_mtx);
    quiet_ms = store_governor_quiet_ms(j->s->governor, name, now_ms(j));
    pthread_mutex_unlock(&j->s->governor_mtx);
    el_buf_deinit(&buf);
    return quiet_ms;
}

static void tell_governor(struct store_job *j, int status, struct el_fieldv fields)
{
    uint64_t wish = store_retry_after_ms(fields, STORE_RETRY_AFTER_MAX_MS);
    enum store_turn turn;

    pthread_mutex_lock(&j->s->governor_mtx);
    turn = store_governor_answered(j->s->governor, &j->permit, status, wish, now_ms(j));
    wake_ready_locked(j->s);
    pthread_mutex_unlock(&j->s->governor_mtx);
    log_turn(j, turn);
}

static void leave_governor(struct store_job *j, bool has_failed)
{
    enum store_turn turn;

    pthread_mutex_lock(&j->s->governor_mtx);
    turn = store_governor_leave(j->s->governor, &j->permit, has_failed, now_ms(j));
    wake_ready_locked(j->s);
    pthread_mutex_unlock(&j->s->governor_mtx);
    log_turn(j, turn);
}

/* ---- an attempt ---- */

/* What says that the origin, and not this request, is in trouble. */
static bool counts_as_failure(enum el_err code)
{
    return code == EL_ECONNECT || code == EL_ERESOLVE || code == EL_ETIMEOUT || code == EL_ERESET ||
           code == EL_ETRUNCATED || code == EL_ETLS;
}

/* A refill that breaks off takes the rest from where it came to: it has not failed. */
static bool has_failed(const struct store_job *j, enum el_err code)
{
    bool has_progress = j->reason == STORE_REFILL && j->has_bytes;

    return j->stopped.code == EL_OK && counts_as_failure(code) && !has_progress;
}

/* The last thing an attempt does. */
static void end_attempt(struct store_job *j, enum el_err code, const struct el_error *err)
{
    struct el_error why = j->stopped.code != EL_OK ? j->stopped : *err;
    bool failed = has_failed(j, code);

    if (j->stopped.code != EL_OK)
        code = j->stopped.code;
    el_timer_stop(&j->timer);
    j->state = STORE_JOB_IDLE;
    j->call = NULL;
    j->stopped = (struct el_error){ 0 };
    if (code != EL_OK && code != EL_ECANCELED)
        el_counter_add(j->s->metrics.errors, 1);
    leave_governor(j, failed);
    j->ops->on_end(j, code, &why);
}

static void fail_attempt(struct store_job *j, enum el_err code, const char *why)
{
    struct el_error err;

    el_fail(&err, code, 0, "%s", why);
    end_attempt(j, code, &err);
}

static void settle(struct store_job *j)
{
    struct storage *s = j->s;

    if (!j->is_over)
        return;
    pthread_mutex_lock(&j->mtx);
    j->is_let_go = j->orders == 0;
    pthread_mutex_unlock(&j->mtx);
    if (!j->is_let_go)
        return; /* the message is on its way and comes back here */
    pthread_mutex_lock(&s->jobs_mtx);
    el_list_remove(&j->link);
    pthread_mutex_unlock(&s->jobs_mtx);
    j->ops->let_go(j);
    /* Only now: whoever waits for the last one frees what it stood on. */
    pthread_mutex_lock(&s->jobs_mtx);
    s->n_jobs--;
    pthread_cond_broadcast(&s->jobs_gone);
    pthread_mutex_unlock(&s->jobs_mtx);
}

static struct store_job *job_of(void *arg)
{
    return EL_CAST(arg, struct store_job, JOB_MAGIC);
}

static void on_interim(void *arg, int status, struct el_fieldv fields)
{
    struct store_job *j = job_of(arg);

    if (j->ops->on_interim != NULL)
        j->ops->on_interim(j, status, fields);
}

/* ---- questions that the node signs ---- */

static struct store_signer_request to_be_signed(const struct store_job *j)
{
    const struct store_question *q = &j->question;

    return (struct store_signer_request){
        .method = el_buf_str(&q->method),
        .scheme = el_buf_str(&q->scheme),
        .host = el_buf_str(&q->host),
        .bucket = el_buf_str(&q->bucket),
        .target = el_buf_str(&q->target),
        .port = q->port,
        .fields = el_fields_view(&q->fields),
    };
}

static bool has_moved(struct store_job *j, int status, struct el_fieldv fields)
{
    const struct store_signer_request req = to_be_signed(j);
    struct el_str signed_for = el_buf_str(&j->signed_for);

    if (!j->question.as_node ||
        !store_signer_learn(j->s->conf.signer, &req, signed_for, status, fields))
        return false;
    el_log(EL_INFO, EV_REGION, "bucket=%s not_in=%s",
           EL_LOG_Q(store_address_bucket(req.bucket, req.target)), EL_LOG_Q(signed_for));
    return !j->has_sent_body && j->moves < MAX_MOVES;
}

static void on_head(void *arg, int status, struct el_fieldv fields)
{
    struct store_job *j = job_of(arg);
    uint64_t took_ns = el_clock_mono_ns(j->s->conf.clock) - j->called_ns;

    j->has_head = true;
    el_hist_add(j->s->metrics.head_time, took_ns / 1000);
    tell_governor(j, status, fields);
    j->is_moving = has_moved(j, status, fields);
    if (!j->is_moving)
        j->ops->on_head(j, status, fields);
}

static ssize_t on_data(void *arg, const void *bytes, size_t n)
{
    struct store_job *j = job_of(arg);
    ssize_t taken;

    if (j->is_moving)
        return EL_HTTP_ABORT; /* its head has said all */
    taken = j->ops->on_data(j, bytes, n);
    if (taken > 0) {
        j->has_bytes = true;
        el_counter_add(j->s->metrics.bytes[j->reason], (uint64_t)taken);
    }
    return taken;
}

static ssize_t on_body(void *arg, void *room, size_t n)
{
    struct store_job *j = job_of(arg);
    ssize_t got = j->ops->on_body(j, room, n);

    j->has_sent_body = j->has_sent_body || got > 0;
    return got;
}

/* However the answer ended, its head was enough. */
static void move(struct store_job *j)
{
    j->is_moving = false;
    j->moves++;
    j->call = NULL;
    j->state = STORE_JOB_IDLE;
    leave_governor(j, false);
    store_job_ask(j, 0);
}

static void on_done(void *arg, enum el_err code, const struct el_error *err)
{
    struct store_job *j = job_of(arg);

    el_gauge_add(j->s->metrics.running, -1);
    if (j->is_moving && j->stopped.code == EL_OK)
        move(j);
    else
        end_attempt(j, code, err);
    settle(j);
}

static const struct el_http_ops http_ops = {
    .on_interim = on_interim,
    .on_head = on_head,
    .on_data = on_data,
    .on_body = on_body,
    .on_done = on_done,
};

/* Host, target and fields as they are sent, signed now. */
static enum el_err sign(struct store_job *j, struct store_signed *s, struct el_http_request *req,
                        struct el_error *err)
{
    const struct store_signer_request asked = to_be_signed(j);
    enum el_err rc;

    EL_ASSERT(storage_signs(j->s));
    rc = store_signer_sign(j->s->conf.signer, &asked, s, err);

    if (rc != EL_OK)
        return rc;
    el_buf_clear(&j->signed_for);
    el_buf_add_str(&j->signed_for, el_buf_str(&s->region));
    req->host = el_buf_str(&s->host);
    req->target = el_buf_str(&s->target);
    req->fields = el_fields_view(&s->fields);
    return EL_OK;
}

static void call(struct store_job *j)
{
    const struct store_question *q = &j->question;
    struct store_signed signed_one = { 0 };
    struct el_error err;
    struct el_http_request req = {
        .method = el_buf_str(&q->method),
        .scheme = el_buf_str(&q->scheme),
        .host = el_buf_str(&q->host),
        .port = q->port,
        .target = el_buf_str(&q->target),
        .fields = el_fields_view(&q->fields),
        .body_length = q->body_length,
        .ops = &http_ops,
        .arg = j,
    };

    if (q->as_node && sign(j, &signed_one, &req, &err) != EL_OK) {
        store_signed_deinit(&signed_one);
        end_attempt(j, err.code, &err);
        return;
    }
    el_timer_stop(&j->timer);
    j->state = STORE_JOB_CALLING;
    j->called_ns = el_clock_mono_ns(j->s->conf.clock);
    el_counter_add(j->s->metrics.requests[j->reason], 1);
    el_gauge_add(j->s->metrics.running, 1);
    el_http_client_start(j->home, &req, &j->call);
    store_signed_deinit(&signed_one);
}

static void request_permit(struct store_job *j)
{
    j->has_head = false;
    j->has_bytes = false;
    j->is_moving = false;
    switch (ask_governor(j)) {
    case STORE_PERMIT_HELD:
        call(j);
        break;
    case STORE_PERMIT_WAITING:
        j->state = STORE_JOB_QUEUED;
        j->queued_ms = now_ms(j);
        start_timer(j, SLOWED_WAIT_MS);
        break;
    case STORE_PERMIT_NONE:
    case STORE_PERMIT_REFUSED:
        fail_attempt(j, EL_EBREAKER, "the origin failed repeatedly a moment ago");
        break;
    }
}

static void take_permit(struct store_job *j)
{
    enum store_permit_state state;

    if (j->state != STORE_JOB_QUEUED)
        return;
    pthread_mutex_lock(&j->s->governor_mtx);
    state = j->permit.state;
    pthread_mutex_unlock(&j->s->governor_mtx);
    if (state == STORE_PERMIT_HELD)
        call(j);
    else if (state == STORE_PERMIT_REFUSED)
        fail_attempt(j, EL_EBREAKER, "the origin failed repeatedly a moment ago");
}

static void wait_no_longer(struct store_job *j)
{
    bool is_held;

    pthread_mutex_lock(&j->s->governor_mtx);
    is_held = store_governor_insist(j->s->governor, &j->permit, now_ms(j));
    pthread_mutex_unlock(&j->s->governor_mtx);
    if (is_held)
        call(j);
    else if (now_ms(j) - j->queued_ms >= j->s->conf.stall_timeout_ms)
        fail_attempt(j, EL_EBUSY, "too many requests to this origin are running");
    else
        start_timer(j, SLOWED_WAIT_MS);
}

static void on_timer(struct el_timer *t)
{
    struct store_job *j = job_of(EL_ENTRY(t, struct store_job, timer));

    if (j->state == STORE_JOB_PAUSING)
        request_permit(j);
    else if (j->state == STORE_JOB_QUEUED)
        wait_no_longer(j);
    settle(j);
}

void store_job_ask(struct store_job *j, uint64_t delay_ms)
{
    EL_ASSERT(j->state == STORE_JOB_IDLE && !j->is_over);
    if (delay_ms == 0) {
        request_permit(j);
        return;
    }
    j->state = STORE_JOB_PAUSING;
    start_timer(j, delay_ms);
}

void store_job_stop(struct store_job *j, enum el_err code, const char *why)
{
    if (j->state == STORE_JOB_IDLE)
        return;
    if (j->stopped.code == EL_OK)
        el_fail(&j->stopped, code, 0, "%s", why);
    if (j->state == STORE_JOB_CALLING)
        el_http_call_cancel(j->call);
    else
        end_attempt(j, code, &j->stopped);
}

void store_job_resume(struct store_job *j)
{
    if (j->state == STORE_JOB_CALLING)
        el_http_call_resume(j->call);
}

void store_job_over(struct store_job *j)
{
    EL_ASSERT(j->state == STORE_JOB_IDLE);
    j->is_over = true;
}

/* ---- orders ---- */

static void on_message(struct el_msg *m)
{
    struct store_job *j = job_of(EL_ENTRY(m, struct store_job, msg));
    unsigned orders;

    pthread_mutex_lock(&j->mtx);
    orders = j->orders;
    j->orders = 0;
    pthread_mutex_unlock(&j->mtx);
    if ((orders & STORE_ORDER_PERMIT) != 0)
        take_permit(j);
    if ((orders & ~(unsigned)STORE_ORDER_PERMIT) != 0)
        j->ops->on_orders(j, orders);
    settle(j);
}

bool store_job_order_locked(struct store_job *j, unsigned what)
{
    if (j->is_let_go)
        return false;
    if (j->orders == 0)
        el_http_client_post(j->home, &j->msg);
    j->orders |= what;
    return true;
}

bool store_job_order(struct store_job *j, unsigned what)
{
    bool is_in_time;

    pthread_mutex_lock(&j->mtx);
    is_in_time = store_job_order_locked(j, what);
    pthread_mutex_unlock(&j->mtx);
    return is_in_time;
}

/* ---- life ---- */

void store_job_init(struct store_job *j, struct storage *s, const struct store_job_ops *ops,
                    enum store_reason reason)
{
    unsigned n = atomic_fetch_add(&s->next_client, 1);

    *j = (struct store_job){ .magic = JOB_MAGIC, .s = s, .ops = ops, .reason = reason };
    j->home = s->clients[n % s->conf.threads];
    (void)pthread_mutex_init(&j->mtx, NULL); /* cannot fail with default attributes */
    el_msg_init(&j->msg, on_message);
    el_list_init(&j->link);
    el_timer_init(&j->timer, on_timer);
    store_permit_init(&j->permit);
}

void store_job_start(struct store_job *j)
{
    struct storage *s = j->s;
    bool is_stopping;

    pthread_mutex_lock(&s->jobs_mtx);
    el_list_append(&s->jobs, &j->link);
    s->n_jobs++;
    is_stopping = s->is_stopping;
    pthread_mutex_unlock(&s->jobs_mtx);
    (void)store_job_order(j,
                          is_stopping ? STORE_ORDER_BEGIN | STORE_ORDER_STOP : STORE_ORDER_BEGIN);
}

void store_job_deinit(struct store_job *j)
{
    struct store_question *q = &j->question;

    el_buf_deinit(&q->method);
    el_buf_deinit(&q->scheme);
    el_buf_deinit(&q->host);
    el_buf_deinit(&q->target);
    el_buf_deinit(&q->bucket);
    el_buf_deinit(&j->signed_for);
    el_fields_deinit(&q->fields);
    (void)pthread_mutex_destroy(&j->mtx); /* unlocked: nobody refers to it */
}
