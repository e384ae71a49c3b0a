/* SPDX-License-Identifier: MIT */
/* cp_core: see cp_core.h. What is out, what became of it, and which state follows from that. What
 * commands are is in cp_orders.c. */
#include "discovery/cp_core_in.h"

#define HYDRATE_MS  3000u
#define PATIENCE_MS 3000u
#define REPORT_MS   1000u
#define BEAT_MS     5000u /* until the service has said when */
#define MIN_BEAT_MS 200u
#define COMMANDS_MS 30000u
#define BACKOFF_MS  250u
#define MAX_BACKOFF 5000u
#define LARGE       1000u /* beyond so many members only seeds are asked for */

/* After a hydration members are asked for after 1 s, again 4 s and 16 s later, then every
 * DISC_CP_PEERS_MS: who comes in the same moment, maybe by another endpoint, is in no hydration of
 * ours, nor are we in theirs, so that neither would begin to talk to the other. The first time
 * whatever the epoch is, since heartbeats, which tell it, may be far apart. */
#define PEERS_FIRST_MS 1000u
#define PEERS_GROWTH   4u

const char *disc_cp_state_name(enum disc_cp_state s)
{
    static const char *const names[] = { [DISC_CP_HYDRATING] = "hydrating",
                                         [DISC_CP_CONNECTED] = "connected",
                                         [DISC_CP_DEGRADED] = "degraded",
                                         [DISC_CP_GOSSIP_ONLY] = "gossip_only" };

    return names[s];
}

const char *disc_cp_kind_name(enum disc_cp_kind k)
{
    static const char *const names[] = {
        [DISC_CP_PROBE] = "probe",       [DISC_CP_REGISTER] = "register",
        [DISC_CP_HYDRATE] = "hydrate",   [DISC_CP_BEAT] = "heartbeat",
        [DISC_CP_REPORT] = "report",     [DISC_CP_PEERS] = "peers",
        [DISC_CP_COMMANDS] = "commands", [DISC_CP_CONFIG] = "config",
        [DISC_CP_POLICIES] = "policies", [DISC_CP_LOCATE] = "locations",
        [DISC_CP_ACK] = "ack",           [DISC_CP_HOLDERS] = "holders",
        [DISC_CP_PREFETCH] = "prefetch"
    };

    return names[k];
}

struct disc_cp_core *disc_cp_core_new(const struct disc_cp_core_conf *conf)
{
    struct disc_cp_core *c = el_new(struct disc_cp_core);

    c->conf = *conf;
    c->rng = conf->rng;
    c->ends = *conf->endpoints;
    c->shown = DISC_NO_ENDPOINT;
    c->started_ms = conf->now_ms;
    c->interval_ms = BEAT_MS;
    c->peers_wait_ms = PEERS_FIRST_MS;
    c->report = disc_report_new((uint64_t)conf->wall_ms);
    c->report_step_ms = conf->now_ms + REPORT_MS;
    el_list_init(&c->orders);
    el_list_init(&c->questions);
    if (conf->ran != NULL)
        c->ran = *conf->ran;
    c->settings[DISC_CP_KEYS].version = c->ran.version;
    c->settings[DISC_CP_BY_PREFIX].version = c->ran.policy_version;
    (void)snprintf(c->cluster, sizeof(c->cluster), "%s", conf->self->cluster);
    return c;
}

void disc_cp_core_free(struct disc_cp_core *c)
{
    if (c == NULL)
        return;
    disc_cp_orders_deinit(c);
    disc_cp_holders_deinit(c);
    disc_report_free(c->report);
    disc_cp_members_deinit(&c->members);
    for (size_t i = 0; i < DISC_CP_PARTS; i++)
        el_buf_deinit(&c->settings[i].lines);
    el_buf_deinit(&c->prefetch.list);
    explicit_bzero(c->token, sizeof(c->token));
    free(c);
}

/* ---- time ---- */

static uint64_t jitter(struct disc_cp_core *c, uint64_t ms, unsigned part)
{
    return ms - ms / part + el_rng_below(&c->rng, 2 * (ms / part) + 1);
}

static uint64_t pause_ms(struct disc_cp_core *c, unsigned failures)
{
    unsigned shift = (unsigned)el_min_u64(failures > 0 ? failures - 1 : 0, 5);

    return jitter(c, el_min_u64((uint64_t)BACKOFF_MS << shift, MAX_BACKOFF), 5);
}

static void soon(struct disc_cp_core *c, enum disc_cp_kind kind, uint64_t due_ms)
{
    c->jobs[kind].due_ms = due_ms;
}

static void peers_later(struct disc_cp_core *c, uint64_t now_ms)
{
    soon(c, DISC_CP_PEERS, now_ms + jitter(c, c->peers_wait_ms, 10));
    c->peers_wait_ms = el_min_u64(c->peers_wait_ms * PEERS_GROWTH, DISC_CP_PEERS_MS);
}

/* ---- the state ---- */

static void note_error(struct disc_cp_core *c, const char *fmt, ...) EL_PRINTF(2, 3);
static void note_error(struct disc_cp_core *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(c->n.last_error, sizeof(c->n.last_error), fmt, args);
    va_end(args);
}

static bool is_good(const struct disc_cp_core *c)
{
    return c->ends.best != DISC_NO_ENDPOINT && c->is_registered && c->is_hydrated && c->is_live &&
           c->was_heard;
}

static void enter(struct disc_cp_core *c, uint64_t now_ms, enum disc_cp_state state)
{
    c->state = state;
    c->since_ms = now_ms;
    if (state != DISC_CP_CONNECTED)
        disc_cp_holders_unsaid(c);
    if (state == DISC_CP_GOSSIP_ONLY)
        c->is_hydrated = false; /* what it says then may be old by the time it is back */
}

static void evaluate(struct disc_cp_core *c, uint64_t now_ms)
{
    bool good = is_good(c);

    switch (c->state) {
    case DISC_CP_HYDRATING:
        if (good)
            enter(c, now_ms, DISC_CP_CONNECTED);
        else if (disc_endpoints_are_down(&c->ends) || now_ms >= c->started_ms + HYDRATE_MS)
            enter(c, now_ms, DISC_CP_GOSSIP_ONLY);
        break;
    case DISC_CP_CONNECTED:
        if (!good)
            enter(c, now_ms, DISC_CP_DEGRADED);
        break;
    case DISC_CP_DEGRADED:
        if (good)
            enter(c, now_ms, DISC_CP_CONNECTED);
        else if (now_ms >= c->since_ms + PATIENCE_MS)
            enter(c, now_ms, DISC_CP_GOSSIP_ONLY);
        break;
    case DISC_CP_GOSSIP_ONLY:
        if (good)
            enter(c, now_ms, DISC_CP_CONNECTED);
        break;
    }
}

/* ---- which endpoint ---- */

static void not_heard(struct disc_cp_core *c, enum disc_cp_kind kind)
{
    if (kind == DISC_CP_REPORT)
        disc_report_refused(c->report);
    if (kind == DISC_CP_LOCATE || kind == DISC_CP_ACK)
        disc_cp_orders_unsaid(c, kind);
    if (kind == DISC_CP_HOLDERS)
        disc_cp_holders_unsaid(c);
}

static void abandon(struct disc_cp_core *c, enum disc_cp_kind kind, uint64_t now_ms)
{
    struct disc_cp_job *job = &c->jobs[kind];

    if (!job->is_flying)
        return;
    job->is_flying = false;
    job->due_ms = now_ms;
    not_heard(c, kind);
}

/* Each counts epochs of its own: what another one has said is compared with nothing. Not all nodes
 * that have lost the same endpoint ask the next one for its members at once. */
static void forget_epochs(struct disc_cp_core *c, uint64_t now_ms)
{
    c->epoch = c->members_epoch = 0;
    soon(c, DISC_CP_PEERS, now_ms + el_rng_below(&c->rng, c->peers_wait_ms));
}

/* What is out to another one than the best is of no interest any more. */
static void follow_best(struct disc_cp_core *c, uint64_t now_ms)
{
    size_t best = c->ends.best;

    for (enum disc_cp_kind k = DISC_CP_REGISTER; k < DISC_CP_KINDS; k++) {
        if (c->jobs[k].endpoint != best)
            abandon(c, k, now_ms);
    }
    if (best == c->was_best)
        return;
    c->was_best = best;
    c->is_live = c->is_plain = false;
    if (best == DISC_NO_ENDPOINT)
        return;
    if (c->shown != DISC_NO_ENDPOINT && c->shown != best) {
        c->n.switches++;
        forget_epochs(c, now_ms);
    }
    c->shown = best;
    soon(c, DISC_CP_BEAT, now_ms); /* does it know this node? */
    soon(c, DISC_CP_HYDRATE, now_ms);
    soon(c, DISC_CP_REGISTER, now_ms);
}

static void fail_endpoint(struct disc_cp_core *c, uint64_t now_ms, size_t endpoint)
{
    c->n.failures++;
    disc_endpoint_failed(&c->ends, endpoint, now_ms, &c->rng);
}

/* ---- what is asked ---- */

static bool is_node_call(enum disc_cp_kind k)
{
    return k == DISC_CP_HYDRATE || k == DISC_CP_BEAT || k == DISC_CP_REPORT ||
           k == DISC_CP_COMMANDS;
}

/* Whether it makes sense now, had it time. */
static bool is_wanted(const struct disc_cp_core *c, enum disc_cp_kind k)
{
    if (c->is_leaving && k != DISC_CP_BEAT)
        return false;
    if (k == DISC_CP_REGISTER)
        return !c->is_registered;
    if (!c->is_registered)
        return false;
    switch (k) {
    case DISC_CP_HYDRATE:
        return !c->is_hydrated;
    case DISC_CP_BEAT:
        return !c->jobs[DISC_CP_REPORT].is_flying;
    case DISC_CP_REPORT:
        return c->is_hydrated && !c->jobs[DISC_CP_BEAT].is_flying && disc_report_is_due(c->report);
    case DISC_CP_LOCATE:
    case DISC_CP_ACK:
        return c->is_hydrated && disc_cp_orders_want(c, k);
    case DISC_CP_HOLDERS:
        return c->is_hydrated && disc_cp_holders_want(c);
    case DISC_CP_PREFETCH:
        return c->is_hydrated && c->prefetch_wanted != 0 &&
               c->prefetch_wanted != c->prefetch.operation;
    case DISC_CP_PEERS:
        return c->is_hydrated && (!c->has_looked || c->members_epoch != c->epoch);
    case DISC_CP_COMMANDS:
        return c->is_hydrated;
    case DISC_CP_CONFIG:
        return c->is_hydrated && c->config_version > 0 &&
               c->config_version != c->settings[DISC_CP_KEYS].version;
    case DISC_CP_POLICIES:
        return c->is_hydrated && c->policy_version > 0 &&
               c->policy_version != c->settings[DISC_CP_BY_PREFIX].version;
    case DISC_CP_PROBE:
    case DISC_CP_REGISTER:
    case DISC_CP_KINDS:
        break;
    }
    return false;
}

static void path(struct disc_cp_core *c, struct disc_cp_call *call, const char *tail)
{
    el_buf_addf(&call->target, "/api/v1/nodes/%s%s", c->conf.self->node_id, tail);
}

static void write_beat(struct disc_cp_core *c, int64_t wall_ms, struct disc_cp_call *call)
{
    bool is_whole = !disc_report_is_restarting(c->report);
    const struct disc_cp_beat_of of = {
        .node_id = c->conf.self->node_id,
        .is_leaving = c->is_leaving,
        .chunks = disc_report_count(c->report),
        .epoch = is_whole ? disc_report_told_epoch(c->report) : 0,
        .digest = disc_report_told_digest(c->report),
        .wall_ms = wall_ms,
        .ran = &c->ran,
    };
    struct disc_cp_beat beat = { .disk_state = "none" };

    c->conf.measure(c->conf.arg, &beat);
    path(c, call, "/heartbeat");
    disc_cp_put_beat(&call->body, &of, &beat);
}

static void write_report(struct disc_cp_core *c, struct disc_cp_call *call)
{
    struct disc_report_part part;

    disc_report_next(c->report, &part);
    c->n.full_reports += part.is_full && part.page == 0;
    path(c, call, "/chunks");
    disc_cp_put_report(&call->body, &part);
}

static void write_call(struct disc_cp_core *c, int64_t wall_ms, struct disc_cp_call *call)
{
    switch (call->kind) {
    case DISC_CP_PROBE:
        el_buf_add_str(&call->target, EL_STR("/health"));
        break;
    case DISC_CP_REGISTER:
        call->method = "POST";
        call->token = c->conf.token;
        el_buf_add_str(&call->target, EL_STR("/api/v1/nodes"));
        disc_cp_put_registration(&call->body, c->conf.self);
        break;
    case DISC_CP_HYDRATE:
        if (c->is_plain)
            el_buf_add_str(&call->target, EL_STR("/api/v1/nodes"));
        else
            path(c, call, "/hydration");
        break;
    case DISC_CP_BEAT:
        call->method = "PUT";
        write_beat(c, wall_ms, call);
        break;
    case DISC_CP_REPORT:
        call->method = "PUT";
        write_report(c, call);
        break;
    case DISC_CP_PEERS:
        el_buf_add_str(&call->target, c->members.total > LARGE ? EL_STR("/api/v1/peers/seeds")
                                                               : EL_STR("/api/v1/nodes"));
        c->peers_are_seeds = c->members.total > LARGE;
        c->asked_epoch = c->epoch;
        break;
    case DISC_CP_COMMANDS:
        path(c, call, "/commands");
        break;
    case DISC_CP_CONFIG:
        el_buf_add_str(&call->target, EL_STR("/api/v1/config"));
        break;
    case DISC_CP_POLICIES:
        el_buf_add_str(&call->target, EL_STR("/api/v1/policies"));
        break;
    case DISC_CP_LOCATE:
        call->method = "POST";
        el_buf_add_str(&call->target, EL_STR("/api/v1/chunks/locations"));
        disc_cp_orders_ask(c, &call->body);
        break;
    case DISC_CP_ACK:
        call->method = "POST";
        disc_cp_orders_say(c, call);
        break;
    case DISC_CP_HOLDERS:
        call->method = "POST";
        el_buf_add_str(&call->target, EL_STR("/api/v1/chunks/locations"));
        disc_cp_holders_ask(c, &call->body);
        break;
    case DISC_CP_PREFETCH:
        c->prefetch_asked = c->prefetch_wanted;
        el_buf_addf(&call->target, "/api/v1/operations/%llu/urls",
                    (unsigned long long)c->prefetch_asked);
        break;
    case DISC_CP_KINDS:
        break;
    }
}

static void begin(struct disc_cp_core *c, int64_t wall_ms, enum disc_cp_kind kind, size_t endpoint,
                  struct disc_cp_call *ret)
{
    *ret = (struct disc_cp_call){ .number = ++c->last_number,
                                  .kind = kind,
                                  .endpoint = &c->ends.v[endpoint],
                                  .method = "GET",
                                  .token = kind == DISC_CP_PROBE ? "" : c->token };
    c->n.calls[kind]++;
    write_call(c, wall_ms, ret);
}

bool disc_cp_core_next(struct disc_cp_core *c, uint64_t now_ms, int64_t wall_ms,
                       struct disc_cp_call *ret)
{
    size_t probe = c->is_leaving ? DISC_NO_ENDPOINT : disc_endpoints_next_probe(&c->ends, now_ms);

    if (probe != DISC_NO_ENDPOINT) {
        begin(c, wall_ms, DISC_CP_PROBE, probe, ret);
        c->probes[probe] = ret->number;
        return true;
    }
    if (c->ends.best == DISC_NO_ENDPOINT)
        return false;
    for (enum disc_cp_kind k = DISC_CP_REGISTER; k < DISC_CP_KINDS; k++) {
        struct disc_cp_job *job = &c->jobs[k];

        if (job->is_flying || job->due_ms > now_ms || !is_wanted(c, k))
            continue;
        begin(c, wall_ms, k, c->ends.best, ret);
        job->is_flying = true;
        job->number = ret->number;
        job->endpoint = c->ends.best;
        return true;
    }
    return false;
}

uint64_t disc_cp_core_due_ms(const struct disc_cp_core *c)
{
    uint64_t due = el_min_u64(disc_endpoints_due_ms(&c->ends), c->report_step_ms);

    if (c->state == DISC_CP_HYDRATING)
        due = el_min_u64(due, c->started_ms + HYDRATE_MS);
    if (c->state == DISC_CP_DEGRADED)
        due = el_min_u64(due, c->since_ms + PATIENCE_MS);
    if (c->ends.best == DISC_NO_ENDPOINT)
        return due;
    for (enum disc_cp_kind k = DISC_CP_REGISTER; k < DISC_CP_KINDS; k++) {
        if (!c->jobs[k].is_flying && is_wanted(c, k))
            due = el_min_u64(due, c->jobs[k].due_ms);
    }
    return due;
}

void disc_cp_core_tick(struct disc_cp_core *c, uint64_t now_ms)
{
    if (now_ms >= c->report_step_ms) {
        c->report_step_ms = now_ms + REPORT_MS;
        disc_report_step(c->report);
    }
    follow_best(c, now_ms);
    evaluate(c, now_ms);
}

/* ---- what the answers are ---- */

/* The first cluster that is met is this node's, unless it was named. */
static bool is_our_cluster(struct disc_cp_core *c, const char *cluster)
{
    if (cluster[0] == '\0' || strcmp(c->cluster, cluster) == 0)
        return true;
    if (c->cluster[0] == '\0') {
        (void)snprintf(c->cluster, sizeof(c->cluster), "%s", cluster);
        return true;
    }
    note_error(c, "it is of the cluster %.60s", cluster);
    c->n.refused++;
    return false;
}

static void set_interval(struct disc_cp_core *c, uint64_t ms)
{
    if (ms > 0)
        c->interval_ms = el_max_u64(ms, MIN_BEAT_MS);
}

static bool take_registered(struct disc_cp_core *c, uint64_t now_ms, struct el_str body,
                            struct el_error *err)
{
    struct disc_cp_registered r;

    if (disc_cp_registered(body, &r, err) != EL_OK)
        return false;
    if (!is_our_cluster(c, r.cluster))
        return false;
    (void)snprintf(c->token, sizeof(c->token), "%s", r.token);
    explicit_bzero(r.token, sizeof(r.token));
    set_interval(c, r.interval_ms);
    c->epoch = r.epoch;
    c->config_version = r.config_version;
    c->policy_version = r.policy_version;
    for (size_t i = 0; i < DISC_CP_PARTS; i++)
        c->settings[i].version = 0; /* one that has lost its state may count from 1 again */
    c->is_registered = true;
    c->is_hydrated = false;
    c->n.registrations++;
    soon(c, DISC_CP_HYDRATE, now_ms);
    soon(c, DISC_CP_BEAT, now_ms);
    return true;
}

/* Takes *members. */
static void take_members(struct disc_cp_core *c, struct disc_cp_members *members, uint64_t epoch)
{
    disc_cp_members_deinit(&c->members);
    c->members = *members;
    c->members_epoch = epoch;
    c->members_version++;
}

static void hydrated(struct disc_cp_core *c, uint64_t now_ms)
{
    c->is_hydrated = true;
    c->has_looked = false;
    c->peers_wait_ms = PEERS_FIRST_MS;
    soon(c, DISC_CP_REPORT, now_ms);
    peers_later(c, now_ms);
    soon(c, DISC_CP_COMMANDS, now_ms + jitter(c, COMMANDS_MS, 10));
}

/* Of a service that has no such thing: all the same, in several answers. */
static bool take_plain(struct disc_cp_core *c, uint64_t now_ms, struct el_str body,
                       struct el_error *err)
{
    struct disc_cp_members m;

    if (disc_cp_nodes(body, &m, err) != EL_OK)
        return false;
    take_members(c, &m, c->epoch);
    disc_report_restart(c->report, 0);
    hydrated(c, now_ms);
    soon(c, DISC_CP_COMMANDS, now_ms);
    return true;
}

static bool take_hydration(struct disc_cp_core *c, uint64_t now_ms, struct el_str body,
                           struct el_error *err)
{
    struct disc_cp_hydration h;

    if (c->is_plain)
        return take_plain(c, now_ms, body, err);
    if (disc_cp_hydration(body, &h, err) != EL_OK)
        return false;
    if (!is_our_cluster(c, h.cluster)) {
        disc_cp_hydration_deinit(&h);
        return false;
    }
    set_interval(c, h.interval_ms);
    c->epoch = h.epoch;
    c->config_version = h.config_version;
    c->policy_version = h.policy_version;
    take_members(c, &h.members, h.epoch);
    disc_cp_orders_take(c, &h.commands);
    disc_cp_commands_deinit(&h.commands);
    if (h.wants_full)
        disc_report_restart(c->report, 0);
    hydrated(c, now_ms);
    return true;
}

/* Its list is fetched before it is begun; that there is none is known at once. */
static void heed_prefetch(struct disc_cp_core *c, uint64_t operation)
{
    c->prefetch_wanted = operation;
    if (operation != 0 || c->prefetch.operation == 0)
        return;
    c->prefetch.operation = 0;
    el_buf_clear(&c->prefetch.list);
    c->is_prefetch_new = true;
}

/* Whether it is a list is for who loads it to say. */
static void take_prefetch(struct disc_cp_core *c, struct el_str body)
{
    c->prefetch.operation = c->prefetch_asked;
    el_buf_clear(&c->prefetch.list);
    el_buf_add_str(&c->prefetch.list, body);
    c->is_prefetch_new = true;
}

static void take_beat(struct disc_cp_core *c, uint64_t now_ms, struct el_fieldv fields)
{
    struct disc_cp_heard h;

    disc_cp_heard(fields, &h);
    set_interval(c, h.interval_ms);
    c->epoch = h.epoch > 0 ? h.epoch : c->epoch;
    c->config_version = h.config_version > 0 ? h.config_version : c->config_version;
    c->policy_version = h.policy_version > 0 ? h.policy_version : c->policy_version;
    heed_prefetch(c, h.prefetch);
    c->relapses = 0;
    c->was_heard = true;
    if (h.commands > 0)
        soon(c, DISC_CP_COMMANDS, now_ms);
    if (h.wants_full && !disc_report_is_restarting(c->report)) {
        disc_report_restart(c->report, 0);
        soon(c, DISC_CP_REPORT, now_ms);
    }
    c->has_left = c->is_leaving;
    soon(c, DISC_CP_BEAT, now_ms + jitter(c, c->interval_ms, 10));
}

static bool take_peers(struct disc_cp_core *c, uint64_t now_ms, struct el_str body,
                       struct el_error *err)
{
    struct disc_cp_members m;
    uint64_t total = c->members.total;
    enum el_err rc =
        c->peers_are_seeds ? disc_cp_seeds(body, &m, err) : disc_cp_nodes(body, &m, err);

    if (rc != EL_OK)
        return false;
    if (c->peers_are_seeds)
        m.total = el_max_u64(m.total, total);
    take_members(c, &m, c->asked_epoch);
    c->has_looked = true;
    peers_later(c, now_ms);
    return true;
}

static bool take_commands(struct disc_cp_core *c, uint64_t now_ms, struct el_str body,
                          struct el_error *err)
{
    struct disc_cp_commands commands;

    if (disc_cp_commands(body, &commands, err) != EL_OK)
        return false;
    disc_cp_orders_take(c, &commands);
    disc_cp_commands_deinit(&commands);
    soon(c, DISC_CP_COMMANDS, now_ms + jitter(c, COMMANDS_MS, 10));
    return true;
}

static bool take_settings(struct disc_cp_core *c, enum disc_cp_part part, struct el_str body,
                          struct el_error *err)
{
    uint64_t *version = part == DISC_CP_KEYS ? &c->config_version : &c->policy_version;
    struct disc_cp_settings fresh;

    if (disc_cp_settings(body, part, &fresh, err) != EL_OK) {
        el_buf_deinit(&fresh.lines);
        return false;
    }
    el_buf_deinit(&c->settings[part].lines);
    c->settings[part] = fresh;
    *version = fresh.version; /* it may have changed again meanwhile */
    c->is_settings_new[part] = fresh.version > 0;
    return true;
}

/* 2xx. False: it is not what it should be, and *err says so. */
static bool take(struct disc_cp_core *c, uint64_t now_ms, enum disc_cp_kind kind,
                 const struct disc_cp_answer *a, struct el_error *err)
{
    switch (kind) {
    case DISC_CP_REGISTER:
        return take_registered(c, now_ms, a->body, err);
    case DISC_CP_HYDRATE:
        return take_hydration(c, now_ms, a->body, err);
    case DISC_CP_BEAT:
        take_beat(c, now_ms, a->fields);
        return true;
    case DISC_CP_REPORT:
        disc_report_taken(c->report);
        soon(c, DISC_CP_REPORT, disc_report_is_restarting(c->report) ? now_ms : now_ms + REPORT_MS);
        return true;
    case DISC_CP_PEERS:
        return take_peers(c, now_ms, a->body, err);
    case DISC_CP_COMMANDS:
        return take_commands(c, now_ms, a->body, err);
    case DISC_CP_CONFIG:
        return take_settings(c, DISC_CP_KEYS, a->body, err);
    case DISC_CP_POLICIES:
        return take_settings(c, DISC_CP_BY_PREFIX, a->body, err);
    case DISC_CP_LOCATE:
        return disc_cp_orders_located(c, a->body, err);
    case DISC_CP_ACK:
        disc_cp_orders_heard(c);
        return true;
    case DISC_CP_HOLDERS:
        return disc_cp_holders_located(c, a->body, err);
    case DISC_CP_PREFETCH:
        take_prefetch(c, a->body);
        return true;
    case DISC_CP_PROBE:
    case DISC_CP_KINDS:
        break;
    }
    return true;
}

/* ---- what went wrong ---- */

/* It does not know this node any more, or not by that token. */
static void relapse(struct disc_cp_core *c, uint64_t now_ms)
{
    c->is_registered = c->is_hydrated = c->was_heard = false;
    c->token[0] = '\0';
    soon(c, DISC_CP_REGISTER, c->relapses == 0 ? now_ms : now_ms + pause_ms(c, c->relapses));
    c->relapses++;
    for (enum disc_cp_kind k = DISC_CP_HYDRATE; k < DISC_CP_KINDS; k++)
        abandon(c, k, now_ms);
}

/* The call is put again, later, maybe elsewhere. */
static void unsaid(struct disc_cp_core *c, uint64_t now_ms, enum disc_cp_kind kind)
{
    struct disc_cp_job *job = &c->jobs[kind];

    job->failures++;
    soon(c, kind, now_ms + pause_ms(c, job->failures));
    not_heard(c, kind);
}

static bool is_unknown_here(enum disc_cp_kind kind, int status)
{
    return kind != DISC_CP_REGISTER &&
           (status == 401 || status == 403 || (status == 404 && is_node_call(kind)));
}

/* Neither an answer that helps, nor one that says that the node is not known. */
static void refused(struct disc_cp_core *c, uint64_t now_ms, enum disc_cp_kind kind,
                    size_t endpoint, const struct disc_cp_answer *a)
{
    struct disc_cp_refusal why;

    disc_cp_refusal(a->body, &why);
    note_error(c, "%s: %d %.120s", disc_cp_kind_name(kind), a->status, why.text);
    if (kind == DISC_CP_REPORT && a->status == 409) {
        disc_report_restart(c->report, why.epoch);
        soon(c, kind, now_ms);
        return;
    }
    if (kind == DISC_CP_ACK && a->status < 500 && a->status != 429) {
        disc_cp_orders_heard(c); /* it knows of no such command: nobody waits for the outcome */
        return;
    }
    unsaid(c, now_ms, kind);
    if (kind == DISC_CP_REPORT && a->status < 500 && a->status != 429)
        disc_report_restart(c->report, why.epoch); /* it may know of no other kind */
    if (a->status >= 500 || a->status == 429 || kind <= DISC_CP_BEAT)
        fail_endpoint(c, now_ms, endpoint);
}

static void failed(struct disc_cp_core *c, uint64_t now_ms, enum disc_cp_kind kind, size_t endpoint,
                   const char *why)
{
    note_error(c, "%s: %s", disc_cp_kind_name(kind), why);
    unsaid(c, now_ms, kind);
    soon(c, kind, now_ms); /* by another endpoint at once; this one is down */
    fail_endpoint(c, now_ms, endpoint);
}

static void succeeded(struct disc_cp_core *c, uint64_t now_ms, enum disc_cp_kind kind,
                      size_t endpoint)
{
    c->jobs[kind].failures = 0;
    c->n.last_ok_ms = now_ms;
    c->is_live = true;
    disc_endpoint_answered(&c->ends, endpoint);
}

static void job_answer(struct disc_cp_core *c, uint64_t now_ms, enum disc_cp_kind kind,
                       const struct disc_cp_answer *a)
{
    struct disc_cp_job *job = &c->jobs[kind];
    struct el_error err = { .code = EL_OK };

    job->is_flying = false;
    if (a->code != EL_OK) {
        c->n.malformed += a->code == EL_EPROTO;
        failed(c, now_ms, kind, job->endpoint, a->why);
    } else if (is_unknown_here(kind, a->status)) {
        c->is_plain = kind == DISC_CP_HYDRATE && a->status == 404 && c->relapses > 0;
        unsaid(c, now_ms, kind);
        relapse(c, now_ms);
    } else if (a->status < 200 || a->status > 299) {
        refused(c, now_ms, kind, job->endpoint, a);
    } else if (!take(c, now_ms, kind, a, &err)) {
        c->n.malformed += err.code != EL_OK;
        failed(c, now_ms, kind, job->endpoint,
               err.code != EL_OK ? err.text : "it is of another cluster");
    } else {
        succeeded(c, now_ms, kind, job->endpoint);
    }
}

/* ---- probes ---- */

static void probe_failed(struct disc_cp_core *c, uint64_t now_ms, size_t which, const char *why)
{
    note_error(c, "probe: %s", why);
    c->n.failures++;
    disc_endpoint_probe_failed(&c->ends, which, now_ms, &c->rng);
}

static void probe_answer(struct disc_cp_core *c, uint64_t now_ms, size_t which,
                         const struct disc_cp_answer *a)
{
    struct disc_cp_health h = { .epoch = 0 };
    struct el_error err;
    char status[32];

    c->probes[which] = 0;
    if (a->code != EL_OK) {
        c->n.malformed += a->code == EL_EPROTO;
        probe_failed(c, now_ms, which, a->why);
    } else if (a->status != 200) {
        (void)snprintf(status, sizeof(status), "status %d", a->status);
        probe_failed(c, now_ms, which, status);
    } else if (disc_cp_health(a->body, &h, &err) != EL_OK) {
        c->n.malformed++;
        probe_failed(c, now_ms, which, err.text);
    } else if (!is_our_cluster(c, h.cluster)) {
        probe_failed(c, now_ms, which, "it is of another cluster");
    } else {
        /* It was started anew, and may know nothing of this node. */
        if (h.uptime_s < c->uptime_s[which] && which == c->ends.best)
            soon(c, DISC_CP_BEAT, now_ms);
        c->uptime_s[which] = h.uptime_s;
        disc_endpoint_probed(&c->ends, which, now_ms, &c->rng, a->took_us, h.epoch);
    }
}

void disc_cp_core_answer(struct disc_cp_core *c, uint64_t now_ms, uint64_t number,
                         const struct disc_cp_answer *a)
{
    for (size_t i = 0; i < c->ends.n; i++) {
        if (c->probes[i] == number)
            probe_answer(c, now_ms, i, a);
    }
    for (enum disc_cp_kind k = DISC_CP_REGISTER; k < DISC_CP_KINDS; k++) {
        if (c->jobs[k].is_flying && c->jobs[k].number == number) {
            job_answer(c, now_ms, k, a);
            break;
        }
    }
    follow_best(c, now_ms);
    evaluate(c, now_ms);
}

/* ---- the node ---- */

void disc_cp_core_chunk(struct disc_cp_core *c, const struct el_chunk_id *chunk, bool is_here)
{
    (void)disc_report_note(c->report, chunk, is_here); /* what there is no room for is not told */
}

void disc_cp_core_leave(struct disc_cp_core *c, uint64_t now_ms)
{
    c->is_leaving = true;
    c->has_left = !is_good(c);
    abandon(c, DISC_CP_REPORT, now_ms);
    abandon(c, DISC_CP_BEAT, now_ms);
    soon(c, DISC_CP_BEAT, now_ms);
}

bool disc_cp_core_has_left(const struct disc_cp_core *c)
{
    return c->has_left || (c->is_leaving && c->ends.best == DISC_NO_ENDPOINT);
}

const struct disc_cp_settings *disc_cp_core_next_settings(struct disc_cp_core *c)
{
    for (size_t i = 0; i < DISC_CP_PARTS; i++) {
        bool is_new = c->is_settings_new[i];

        c->is_settings_new[i] = false;
        if (is_new)
            return &c->settings[i];
    }
    return NULL;
}

const struct disc_cp_prefetch *disc_cp_core_next_prefetch(struct disc_cp_core *c)
{
    bool is_new = c->is_prefetch_new;

    c->is_prefetch_new = false;
    return is_new ? &c->prefetch : NULL;
}

void disc_cp_core_ran(struct disc_cp_core *c, uint64_t now_ms, const struct disc_cp_ran *ran)
{
    c->ran = *ran;
    soon(c, DISC_CP_BEAT, now_ms);
}

/* ---- what is known ---- */

static uint64_t live_others(const struct disc_cp_core *c)
{
    uint64_t n = 0;

    for (size_t i = 0; i < c->members.n; i++)
        n += c->members.v[i].is_live && strcmp(c->members.v[i].node_id, c->conf.self->node_id) != 0;
    return n;
}

void disc_cp_core_figures(const struct disc_cp_core *c, struct disc_cp_figures *ret)
{
    *ret = c->n;
    ret->state = c->state;
    ret->is_connected = c->state == DISC_CP_CONNECTED || c->state == DISC_CP_DEGRADED;
    if (c->shown != DISC_NO_ENDPOINT)
        ret->best = c->ends.v[c->shown];
    ret->epoch = c->epoch;
    ret->digest = disc_report_told_digest(c->report);
    ret->chunk_epoch = disc_report_told_epoch(c->report);
    ret->lag = disc_report_lag(c->report);
    ret->chunks = disc_report_count(c->report);
    ret->peers_known = live_others(c);
    ret->cluster_size = el_max_u64(c->members.total, 1);
    ret->members_version = c->members_version;
    ret->config_version = c->config_version;
    ret->policy_version = c->policy_version;
    ret->ran = c->ran;
}

const struct disc_cp_members *disc_cp_core_members(const struct disc_cp_core *c)
{
    return &c->members;
}
