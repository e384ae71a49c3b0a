/* SPDX-License-Identifier: MIT */
/* controlplane: see controlplane.h. The thread is that of an HTTP client of its own; the core, the
 * calls and the timers belong to it. */
#include "discovery/controlplane.h"

#include "common/http_client.h"
#include "common/log.h"
#include "common/trace.h"
#include "discovery/discovery.h"

#define CALL_MAGIC   0x43504331u
#define CONNECTIONS  4u
#define HYDRATION_MS 1000u
#define GOOD_BYE_MS  500u
#define MAX_SEEDS    48u /* of 64: others are to have a place too */
#define FIELD_VALUE  64u

/* The fields of an answer that mean something. */
static const char *const heard_fields[] = { "X-Elio-Epoch",    "X-Elio-Interval-Ms",
                                            "X-Elio-Commands", "X-Elio-Config",
                                            "X-Elio-Policies", "X-Elio-Report",
                                            "X-Elio-Prefetch" };

struct note {
    struct el_chunk_id chunk;
    bool is_here;
};

struct outcome {
    struct el_list link;
    char id[DISC_CP_MAX_ID + 1];
    enum disc_cp_outcome what;
    char message[200];
};

struct call {
    uint32_t magic;
    struct el_list link;
    struct disc_cp *cp;
    uint64_t number;
    uint64_t started_ns;
    struct el_buf body, answer;
    size_t body_sent;
    int status;
    char values[EL_COUNT(heard_fields)][FIELD_VALUE];
    struct el_timer deadline;
    bool is_late, is_too_long;
    struct el_http_call *http;
};

struct disc_cp {
    /* immutable once it runs */
    struct disc_endpoints endpoints;
    char *name, *cluster, *zone, *token, *ca_file;
    struct disc_cp_self self;
    struct disc_cp_node node;
    void (*settings)(void *arg, const struct disc_cp_settings *settings);
    void *settings_arg;
    struct el_clock *clock;
    struct el_http_client *http; /* NULL: it does not run */
    uint64_t run_ms;

    /* the thread's */
    struct disc_cp_core *core;
    struct el_rng rng; /* for names of traces */
    struct el_list calls;
    struct el_timer timer;
    struct el_msg begin, said, leave, over;
    bool is_over;
    enum disc_cp_state told_state; /* in the log */
    bool was_told;
    size_t told_best;
    struct disc_cp_figures counted; /* in the metrics */
    uint64_t seeds_version;

    pthread_mutex_t mtx;
    pthread_cond_t left;
    /* under mtx */
    bool is_running, has_left;
    struct el_buf notes;     /* of struct note */
    struct el_buf questions; /* of struct el_chunk_id */
    struct el_list outcomes; /* of struct outcome */
    struct disc_cp_ran ran;
    bool is_ran_new;
    struct disc_cp_figures figures;
    int64_t last_ok_wall_ms;
    struct disc_seeds seeds;

    struct {
        struct el_counter *calls[DISC_CP_KINDS];
        struct el_counter *failures, *malformed, *refused, *registrations, *switches, *full_reports;
        struct el_gauge *connected, *lag, *peers, *chunks;
    } metric;
};

static uint64_t now_ms(const struct disc_cp *cp)
{
    return el_clock_mono_ms(cp->clock);
}

static void lock(struct disc_cp *cp)
{
    EL_ASSERT(pthread_mutex_lock(&cp->mtx) == 0);
}

static void unlock(struct disc_cp *cp)
{
    EL_ASSERT(pthread_mutex_unlock(&cp->mtx) == 0);
}

/* ---- what is told outside ---- */

static void count(struct el_counter *c, uint64_t now, uint64_t *was)
{
    el_counter_add(c, now - *was);
    *was = now;
}

static void publish_metrics(struct disc_cp *cp, const struct disc_cp_figures *f)
{
    struct disc_cp_figures *was = &cp->counted;

    for (enum disc_cp_kind k = DISC_CP_PROBE; k < DISC_CP_KINDS; k++)
        count(cp->metric.calls[k], f->calls[k], &was->calls[k]);
    count(cp->metric.failures, f->failures, &was->failures);
    count(cp->metric.malformed, f->malformed, &was->malformed);
    count(cp->metric.refused, f->refused, &was->refused);
    count(cp->metric.registrations, f->registrations, &was->registrations);
    count(cp->metric.switches, f->switches, &was->switches);
    count(cp->metric.full_reports, f->full_reports, &was->full_reports);
    el_gauge_set(cp->metric.connected, f->is_connected);
    el_gauge_set(cp->metric.lag, (int64_t)f->lag);
    el_gauge_set(cp->metric.peers, (int64_t)f->peers_known);
    el_gauge_set(cp->metric.chunks, (int64_t)f->chunks);
}

/* Those from a place by chance on, so that not all nodes begin with the same ones. */
static void choose_seeds(struct disc_cp *cp, struct disc_seeds *ret)
{
    const struct disc_cp_members *m = disc_cp_core_members(cp->core);
    size_t from = m->n > 0 ? (size_t)(el_str_hash(el_str_of(cp->self.node_id)) % m->n) : 0;
    struct el_buf address = { 0 };

    for (size_t i = 0; i < m->n && ret->n < MAX_SEEDS; i++) {
        const struct disc_cp_member *one = &m->v[(from + i) % m->n];
        bool is_v6 = strchr(one->address, ':') != NULL && one->address[0] != '[';

        if (!one->is_live || !one->serves || strcmp(one->node_id, cp->self.node_id) == 0)
            continue;
        el_buf_clear(&address);
        el_buf_addf(&address, is_v6 ? "[%s]:%u" : "%s:%u", one->address, one->p2p_port);
        if (disc_address_ok(el_buf_str(&address)))
            disc_seeds_add(ret, el_buf_str(&address));
    }
    el_buf_deinit(&address);
}

static void publish_seeds(struct disc_cp *cp, const struct disc_cp_figures *f)
{
    struct disc_seeds fresh = { .n = 0 }, old;

    if (f->members_version == cp->seeds_version)
        return;
    cp->seeds_version = f->members_version;
    choose_seeds(cp, &fresh);
    lock(cp);
    old = cp->seeds;
    cp->seeds = fresh;
    unlock(cp);
    disc_seeds_deinit(&old);
}

/* The one that was asked last, or would have been first. */
static void log_lost(const struct disc_cp *cp, const struct disc_cp_figures *f)
{
    const struct disc_endpoint *e = f->best.host[0] != '\0' ? &f->best : &cp->endpoints.v[0];
    struct el_str error = f->last_error[0] != '\0' ? el_str_of(f->last_error) : EL_STR("no answer");

    el_log(EL_WARN, EV_CP_LOST,
           "endpoint=%s port=%u error=%s advice=\"the node works on without it, and tries again\"",
           EL_LOG_Q(el_str_of(e->host)), e->port, EL_LOG_Q(error));
}

static void log_state(const struct disc_cp *cp, const struct disc_cp_figures *f)
{
    if (f->state == DISC_CP_GOSSIP_ONLY)
        log_lost(cp, f);
    else
        el_log(EL_INFO, EV_CP_CONNECTED, "endpoint=%s port=%u cluster_size=%llu epoch=%llu",
               EL_LOG_Q(el_str_of(f->best.host)), f->best.port, (unsigned long long)f->cluster_size,
               (unsigned long long)f->epoch);
}

/* Once for each change; what is over within seconds is of no interest. */
static void tell_log(struct disc_cp *cp, const struct disc_cp_figures *f)
{
    bool is_settled = f->state == DISC_CP_CONNECTED || f->state == DISC_CP_GOSSIP_ONLY;

    if (is_settled && (!cp->was_told || cp->told_state != f->state))
        log_state(cp, f);
    else if (f->state == DISC_CP_CONNECTED && cp->counted.switches != f->switches)
        el_log(EL_INFO, EV_CP_SWITCH, "endpoint=%s port=%u error=%s",
               EL_LOG_Q(el_str_of(f->best.host)), f->best.port, EL_LOG_Q(el_str_of(f->last_error)));
    if (is_settled) {
        cp->told_state = f->state;
        cp->was_told = true;
    }
}

static void publish(struct disc_cp *cp)
{
    struct disc_cp_figures f;

    disc_cp_core_figures(cp->core, &f);
    tell_log(cp, &f);
    publish_metrics(cp, &f);
    publish_seeds(cp, &f);
    lock(cp);
    if (f.last_ok_ms != cp->figures.last_ok_ms)
        cp->last_ok_wall_ms = el_clock_wall_ms(cp->clock);
    cp->figures = f;
    if (disc_cp_core_has_left(cp->core) && !cp->has_left) {
        cp->has_left = true;
        EL_ASSERT(pthread_cond_signal(&cp->left) == 0);
    }
    unlock(cp);
}

/* ---- calls ---- */

static void pump(struct disc_cp *cp);

static void call_free(struct call *c)
{
    el_timer_stop(&c->deadline);
    el_list_remove(&c->link);
    el_buf_deinit(&c->body);
    el_buf_deinit(&c->answer);
    c->magic = 0;
    free(c);
}

static void on_head(void *arg, int status, struct el_fieldv fields)
{
    struct call *c = EL_CAST(arg, struct call, CALL_MAGIC);
    struct el_str value;

    c->status = status;
    for (size_t i = 0; i < EL_COUNT(heard_fields); i++) {
        c->values[i][0] = '\0';
        if (el_fieldv_get(fields, el_str_of(heard_fields[i]), &value) && value.n < FIELD_VALUE) {
            memcpy(c->values[i], value.p, value.n);
            c->values[i][value.n] = '\0';
        }
    }
}

static ssize_t on_data(void *arg, const void *bytes, size_t n)
{
    struct call *c = EL_CAST(arg, struct call, CALL_MAGIC);

    if (n > DISC_CP_MAX_BODY - c->answer.n) {
        c->is_too_long = true;
        return EL_HTTP_ABORT;
    }
    el_buf_add(&c->answer, bytes, n);
    return (ssize_t)n;
}

static ssize_t on_body(void *arg, void *room, size_t n)
{
    struct call *c = EL_CAST(arg, struct call, CALL_MAGIC);
    size_t some = el_min_size(n, c->body.n - c->body_sent);

    if (some > 0)
        memcpy(room, c->body.p + c->body_sent, some);
    c->body_sent += some;
    return (ssize_t)some;
}

static void answer(struct call *c, enum el_err code, const struct el_error *err)
{
    struct disc_cp *cp = c->cp;
    struct el_field fields[EL_COUNT(heard_fields)];
    struct disc_cp_answer a = {
        .code = c->is_late       ? EL_ETIMEOUT
                : c->is_too_long ? EL_EPROTO
                                 : code,
        .status = c->status,
        .body = el_buf_str(&c->answer),
        .took_us = (el_clock_mono_ns(cp->clock) - c->started_ns) / 1000,
    };

    a.why = c->is_late       ? "no answer in time"
            : c->is_too_long ? "an answer that is too long"
            : err != NULL    ? err->text
                             : el_err_text(code);
    for (size_t i = 0; i < EL_COUNT(heard_fields); i++) {
        if (c->values[i][0] != '\0')
            fields[a.fields.n++] =
                (struct el_field){ el_str_of(heard_fields[i]), el_str_of(c->values[i]) };
    }
    a.fields.v = fields;
    disc_cp_core_answer(cp->core, now_ms(cp), c->number, &a);
}

static void on_done(void *arg, enum el_err code, const struct el_error *err)
{
    struct call *c = EL_CAST(arg, struct call, CALL_MAGIC);
    struct disc_cp *cp = c->cp;

    if (!cp->is_over)
        answer(c, code, err);
    call_free(c);
    if (!cp->is_over)
        pump(cp);
}

static void on_deadline(struct el_timer *t)
{
    struct call *c = EL_ENTRY(t, struct call, deadline);

    c->is_late = true;
    el_http_call_cancel(c->http);
}

static const struct el_http_ops call_ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_body = on_body,
    .on_done = on_done,
};

static struct call *call_new(struct disc_cp *cp, struct disc_cp_call *from)
{
    struct call *c = el_new(struct call);

    c->magic = CALL_MAGIC;
    c->cp = cp;
    c->number = from->number;
    c->started_ns = el_clock_mono_ns(cp->clock);
    c->body = from->body; /* moved */
    el_buf_init(&from->body);
    el_buf_init(&c->answer);
    el_timer_init(&c->deadline, on_deadline);
    el_list_append(&cp->calls, &c->link);
    return c;
}

/* Each call is a trace of its own: where it passes a mesh or a load balancer, it can be found. */
static size_t write_fields(const struct disc_cp_call *from, struct el_buf *bearer,
                           const char *trace, struct el_field fields[4])
{
    size_t n = 0;

    fields[n++] = (struct el_field){ EL_STR("traceparent"), el_str_of(trace) };
    fields[n++] = (struct el_field){ EL_STR("Accept"), EL_STR("application/json") };
    if (from->body.n > 0)
        fields[n++] = (struct el_field){ EL_STR("Content-Type"), EL_STR("application/json") };
    if (from->token[0] != '\0') {
        el_buf_addf(bearer, "Bearer %s", from->token);
        fields[n++] = (struct el_field){ EL_STR("Authorization"), el_buf_str(bearer) };
    }
    return n;
}

/* Takes what *from has. */
static void start(struct disc_cp *cp, struct disc_cp_call *from)
{
    const struct disc_endpoint *e = from->endpoint;
    struct el_buf bearer = { 0 };
    char trace[EL_TRACE_PARENT_CHARS + 1];
    struct el_field fields[4];
    struct el_http_request req = {
        .method = el_str_of(from->method),
        .scheme = e->is_tls ? EL_STR("https") : EL_STR("http"),
        .host = el_str_of(e->host),
        .port = e->port,
        .target = el_buf_str(&from->target),
        .body_length = from->body.n > 0 ? (int64_t)from->body.n : EL_HTTP_BODY_NONE,
        .ops = &call_ops,
    };
    struct call *c = call_new(cp, from);

    el_trace_begin(&cp->rng, trace);
    req.fields = (struct el_fieldv){ fields, write_fields(from, &bearer, trace, fields) };
    req.arg = c;
    el_timer_start(el_http_client_timers(cp->http), &c->deadline, now_ms(cp) + DISC_CP_CALL_MS);
    el_http_client_start(cp->http, &req, &c->http);
    if (bearer.n > 0)
        explicit_bzero(bearer.p, bearer.n);
    el_buf_deinit(&bearer);
    el_buf_deinit(&from->target);
}

/* ---- the thread ---- */

static void pump(struct disc_cp *cp)
{
    uint64_t now = now_ms(cp);
    const struct disc_cp_command *command;
    struct disc_cp_call call;
    const struct disc_cp_settings *settings;
    const struct disc_cp_prefetch *prefetch;
    struct disc_cp_holders holders;

    disc_cp_core_tick(cp->core, now);
    while (disc_cp_core_next(cp->core, now, el_clock_wall_ms(cp->clock), &call))
        start(cp, &call);
    while ((command = disc_cp_core_next_command(cp->core)) != NULL)
        cp->node.command(cp->node.command_arg, command);
    prefetch = disc_cp_core_next_prefetch(cp->core);
    if (prefetch != NULL && cp->node.prefetch != NULL)
        cp->node.prefetch(cp->node.prefetch_arg, prefetch);
    while (disc_cp_core_next_holders(cp->core, &holders))
        cp->node.holders(cp->node.holders_arg, &holders);
    while ((settings = disc_cp_core_next_settings(cp->core)) != NULL) {
        if (cp->settings != NULL)
            cp->settings(cp->settings_arg, settings);
    }
    publish(cp);
    el_timer_start(el_http_client_timers(cp->http), &cp->timer, disc_cp_core_due_ms(cp->core));
}

static void on_timer(struct el_timer *t)
{
    pump(EL_ENTRY(t, struct disc_cp, timer));
}

static void on_begin(struct el_msg *m)
{
    pump(EL_ENTRY(m, struct disc_cp, begin));
}

static void heed_notes(struct disc_cp *cp, const struct el_buf *notes)
{
    const struct note *v = (const struct note *)(const void *)notes->p;

    for (size_t i = 0; i < notes->n / sizeof(*v); i++)
        disc_cp_core_chunk(cp->core, &v[i].chunk, v[i].is_here);
}

/* What is not asked is not answered: nobody waits for it. */
static void heed_questions(struct disc_cp *cp, const struct el_buf *questions)
{
    const struct el_chunk_id *v = (const struct el_chunk_id *)(const void *)questions->p;

    for (size_t i = 0; i < questions->n / sizeof(*v); i++)
        (void)disc_cp_core_ask_holders(cp->core, &v[i]);
}

static void on_said(struct el_msg *m)
{
    struct disc_cp *cp = EL_ENTRY(m, struct disc_cp, said);
    struct el_list outcomes, *l;
    struct disc_cp_ran ran;
    struct el_buf notes, questions;
    bool is_ran_new;

    lock(cp);
    ran = cp->ran;
    is_ran_new = cp->is_ran_new;
    cp->is_ran_new = false;
    notes = cp->notes;
    el_buf_init(&cp->notes);
    questions = cp->questions;
    el_buf_init(&cp->questions);
    el_list_move(&outcomes, &cp->outcomes);
    unlock(cp);
    heed_notes(cp, &notes);
    el_buf_deinit(&notes);
    heed_questions(cp, &questions);
    el_buf_deinit(&questions);
    while ((l = el_list_pop(&outcomes)) != NULL) {
        struct outcome *o = EL_ENTRY(l, struct outcome, link);

        disc_cp_core_outcome(cp->core, o->id, o->what, o->message);
        free(o);
    }
    if (is_ran_new)
        disc_cp_core_ran(cp->core, now_ms(cp), &ran);
    pump(cp);
}

static void on_leave(struct el_msg *m)
{
    struct disc_cp *cp = EL_ENTRY(m, struct disc_cp, leave);

    disc_cp_core_leave(cp->core, now_ms(cp));
    pump(cp);
}

/* From now on answers are of no interest. */
static void on_over(struct el_msg *m)
{
    struct disc_cp *cp = EL_ENTRY(m, struct disc_cp, over);

    cp->is_over = true;
    el_timer_stop(&cp->timer);
}

/* ---- what others say ---- */

static void post_said(struct disc_cp *cp)
{
    if (cp->is_running)
        el_http_client_post(cp->http, &cp->said);
}

void disc_cp_chunk(struct disc_cp *cp, const struct el_chunk_id *chunk, bool is_here)
{
    const struct note n = { .chunk = *chunk, .is_here = is_here };

    lock(cp);
    el_buf_add(&cp->notes, &n, sizeof(n));
    post_said(cp);
    unlock(cp);
}

void disc_cp_ask_holders(struct disc_cp *cp, const struct el_chunk_id *chunks, size_t n)
{
    lock(cp);
    if (cp->questions.n < DISC_CP_MAX_QUESTIONS * sizeof(*chunks))
        el_buf_add(&cp->questions, chunks, n * sizeof(*chunks));
    post_said(cp);
    unlock(cp);
}

void disc_cp_outcome(struct disc_cp *cp, const char *command_id, enum disc_cp_outcome what,
                     const char *message)
{
    struct outcome *o = el_new(struct outcome);

    (void)snprintf(o->id, sizeof(o->id), "%s", command_id);
    (void)snprintf(o->message, sizeof(o->message), "%s", message);
    o->what = what;
    lock(cp);
    el_list_append(&cp->outcomes, &o->link);
    post_said(cp);
    unlock(cp);
}

void disc_cp_ran(struct disc_cp *cp, const struct disc_cp_ran *ran)
{
    lock(cp);
    cp->ran = *ran;
    cp->is_ran_new = true;
    post_said(cp);
    unlock(cp);
}

void disc_cp_figures(struct disc_cp *cp, struct disc_cp_figures *ret)
{
    lock(cp);
    *ret = cp->figures;
    unlock(cp);
}

int64_t disc_cp_last_ok_ms(struct disc_cp *cp)
{
    int64_t ms;

    lock(cp);
    ms = cp->last_ok_wall_ms;
    unlock(cp);
    return ms;
}

bool disc_cp_is_connected(struct disc_cp *cp)
{
    bool is_it;

    lock(cp);
    is_it = cp->figures.is_connected;
    unlock(cp);
    return is_it;
}

bool disc_cp_is_hydrating(struct disc_cp *cp)
{
    bool is_it;

    lock(cp);
    is_it = cp->is_running && cp->figures.state == DISC_CP_HYDRATING &&
            now_ms(cp) < cp->run_ms + HYDRATION_MS;
    unlock(cp);
    return is_it;
}

void disc_cp_add_seeds(struct disc_cp *cp, struct disc_seeds *seeds)
{
    lock(cp);
    for (size_t i = 0; i < cp->seeds.n; i++)
        disc_seeds_add(seeds, el_str_of(cp->seeds.address[i]));
    unlock(cp);
}

/* ---- as a provider ---- */

struct provider {
    struct disc_provider base;
    struct disc_cp *cp;
};

static enum el_err poll_members(struct disc_provider *p, int64_t wall_ms, struct disc_seeds *seeds,
                                struct el_error *err)
{
    (void)wall_ms;
    (void)err; /* its silence is told of once, elsewhere */
    disc_cp_add_seeds(EL_ENTRY(p, struct provider, base)->cp, seeds);
    return EL_OK;
}

static void free_provider(struct disc_provider *p)
{
    free(EL_ENTRY(p, struct provider, base));
}

struct disc_provider *disc_provider_controlplane(struct disc_cp *cp)
{
    struct provider *p = el_new(struct provider);

    p->base = (struct disc_provider){ .name = "controlplane",
                                      .learnt = DISC_LEARNT_CONTROL_PLANE,
                                      .poll = poll_members,
                                      .free = free_provider };
    p->cp = cp;
    return &p->base;
}

/* ---- life ---- */

static void make_metrics(struct disc_cp *cp, struct el_metrics *m)
{
    for (enum disc_cp_kind k = DISC_CP_PROBE; k < DISC_CP_KINDS; k++) {
        char label[48];

        (void)snprintf(label, sizeof(label), "kind=\"%s\"", disc_cp_kind_name(k));
        cp->metric.calls[k] = el_metrics_counter(m, "eliop2p_control_plane_calls_total",
                                                 "calls to control planes, by kind", label);
    }
    cp->metric.failures = el_metrics_counter(m, "eliop2p_control_plane_failures_total",
                                             "of these, that brought no answer of use", NULL);
    cp->metric.malformed = el_metrics_counter(m, "eliop2p_control_plane_malformed_total",
                                              "answers that no control plane gives", NULL);
    cp->metric.refused = el_metrics_counter(m, "eliop2p_control_plane_refused_total",
                                            "answers of another cluster", NULL);
    cp->metric.registrations = el_metrics_counter(m, "eliop2p_control_plane_registrations_total",
                                                  "how often the node has registered", NULL);
    cp->metric.switches = el_metrics_counter(m, "eliop2p_control_plane_switches_total",
                                             "changes to another control plane", NULL);
    cp->metric.full_reports = el_metrics_counter(m, "eliop2p_control_plane_full_reports_total",
                                                 "reports of all chunks", NULL);
    cp->metric.connected = el_metrics_gauge(m, "eliop2p_control_plane_connected",
                                            "1 while a control plane answers", NULL);
    cp->metric.lag = el_metrics_gauge(m, "eliop2p_control_plane_lag_reports",
                                      "reports of chunks that it is behind", NULL);
    cp->metric.peers = el_metrics_gauge(m, "eliop2p_control_plane_peers",
                                        "other living nodes that it knows", NULL);
    cp->metric.chunks = el_metrics_gauge(m, "eliop2p_control_plane_chunks",
                                         "whole chunks of this node, to be reported", NULL);
}

static char *copy(const char *s)
{
    return el_strndup(s, strlen(s));
}

static void init(struct disc_cp *cp, const struct disc_cp_conf *conf)
{
    cp->name = copy(conf->name);
    cp->cluster = copy(conf->cluster);
    cp->zone = copy(conf->zone);
    cp->token = copy(conf->token);
    cp->ca_file = conf->ca_file != NULL ? copy(conf->ca_file) : NULL;
    cp->self = (struct disc_cp_self){ .name = cp->name,
                                      .cluster = cp->cluster,
                                      .zone = cp->zone,
                                      .version = ELIO_VERSION,
                                      .memory_capacity_mb = conf->memory_capacity_mb,
                                      .disk_capacity_mb = conf->disk_capacity_mb };
    if (conf->ran != NULL)
        cp->ran = *conf->ran;
    cp->settings = conf->settings;
    cp->settings_arg = conf->settings_arg;
    cp->clock = conf->clock;
    el_list_init(&cp->calls);
    el_list_init(&cp->outcomes);
    el_buf_init(&cp->notes);
    el_buf_init(&cp->questions);
    el_timer_init(&cp->timer, on_timer);
    el_msg_init(&cp->begin, on_begin);
    el_msg_init(&cp->said, on_said);
    el_msg_init(&cp->leave, on_leave);
    el_msg_init(&cp->over, on_over);
    EL_ASSERT(pthread_mutex_init(&cp->mtx, NULL) == 0);
    EL_ASSERT(pthread_cond_init(&cp->left, NULL) == 0);
    make_metrics(cp, conf->metrics);
}

enum el_err disc_cp_new(const struct disc_cp_conf *conf, struct disc_cp **ret_cp,
                        struct el_error *err)
{
    struct disc_cp *cp = el_new(struct disc_cp);
    enum el_err rc = disc_endpoints_parse(el_str_of(conf->endpoints), &cp->endpoints, err);

    if (rc != EL_OK) {
        free(cp);
        return rc;
    }
    init(cp, conf);
    *ret_cp = cp;
    return EL_OK;
}

static void new_core(struct disc_cp *cp, const struct disc_cp_node *node)
{
    struct disc_cp_core_conf conf = { .endpoints = &cp->endpoints,
                                      .self = &cp->self,
                                      .token = cp->token,
                                      .ran = &cp->ran,
                                      .now_ms = now_ms(cp),
                                      .wall_ms = el_clock_wall_ms(cp->clock),
                                      .measure = node->measure,
                                      .arg = node->measure_arg };

    cp->node = *node;
    cp->self.node_id = node->node_id;
    cp->self.address = node->address;
    cp->self.proof = node->proof;
    cp->self.p2p_port = node->p2p_port;
    cp->self.http_port = node->http_port;
    cp->self.serves = node->serves;
    el_rng_seed_random(&conf.rng);
    el_rng_seed_random(&cp->rng);
    cp->core = disc_cp_core_new(&conf);
}

enum el_err disc_cp_run(struct disc_cp *cp, const struct disc_cp_node *node, struct el_error *err)
{
    const struct el_http_client_conf http = {
        .thread_name = "controlplane",
        .max_connections_per_host = CONNECTIONS,
        .connect_timeout_ms = DISC_CP_CALL_MS,
        .stall_timeout_ms = DISC_CP_CALL_MS,
        .ca_file = cp->ca_file,
    };
    enum el_err rc;

    new_core(cp, node);
    cp->run_ms = now_ms(cp);
    rc = el_http_client_new(&http, &cp->http, err);
    if (rc != EL_OK)
        return rc;
    lock(cp);
    cp->is_running = true;
    post_said(cp);
    unlock(cp);
    el_http_client_post(cp->http, &cp->begin);
    return EL_OK;
}

static void wait_for_leave(struct disc_cp *cp)
{
    struct timespec end;

    EL_ASSERT(clock_gettime(CLOCK_REALTIME, &end) == 0);
    end.tv_nsec += (long)GOOD_BYE_MS * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    lock(cp);
    while (!cp->has_left && pthread_cond_timedwait(&cp->left, &cp->mtx, &end) == 0)
        continue;
    cp->is_running = false;
    unlock(cp);
}

void disc_cp_stop(struct disc_cp *cp)
{
    if (cp == NULL || cp->http == NULL)
        return;
    el_http_client_post(cp->http, &cp->leave);
    wait_for_leave(cp);
    el_http_client_post(cp->http, &cp->over);
    el_http_client_free(cp->http);
    cp->http = NULL;
}

void disc_cp_free(struct disc_cp *cp)
{
    struct el_list *l;

    if (cp == NULL)
        return;
    EL_ASSERT(cp->http == NULL && el_list_empty(&cp->calls));
    while ((l = el_list_pop(&cp->outcomes)) != NULL)
        free(EL_ENTRY(l, struct outcome, link));
    disc_cp_core_free(cp->core);
    disc_seeds_deinit(&cp->seeds);
    el_buf_deinit(&cp->notes);
    el_buf_deinit(&cp->questions);
    EL_ASSERT(pthread_mutex_destroy(&cp->mtx) == 0);
    EL_ASSERT(pthread_cond_destroy(&cp->left) == 0);
    explicit_bzero(cp->token, strlen(cp->token));
    free(cp->token);
    free(cp->name);
    free(cp->cluster);
    free(cp->zone);
    free(cp->ca_file);
    free(cp);
}
