/* SPDX-License-Identifier: MIT */
/*
 * A node and its control planes in virtual time: services that do as docs/api.yaml says, or hang,
 * refuse, lie, forget.
 */
#include "discovery/cp_core.h"

#include "tests/lib/test.h"

#define SECOND    1000u
#define MAX_CALLS 64u

enum mode {
    WELL,
    GONE,         /* refuses connections */
    HANGS,        /* never answers */
    GARBAGE,      /* 200 and bytes that are no JSON */
    LIES,         /* 200 and JSON of the wrong form */
    OTHER,        /* of another cluster */
    FAILS,        /* 500 to all but the probe */
    KEEPS_FORGET, /* 404 to all that names the node */
    PLAIN,        /* has nothing but what is asked of any control plane: no hydration */
};

struct service {
    enum mode mode;
    bool knows;       /* the node */
    bool hides;       /* all others: it has not heard of them */
    uint64_t came_ms; /* when it was started */
    uint64_t chunk_epoch, chunks, epoch;
    uint64_t total;       /* members of which a hydration names some; 0: it does not say */
    unsigned asked_seeds; /* of PEERS */
    bool wants_full;
    unsigned asked[DISC_CP_KINDS];
    const char *commands; /* JSON of a list; "" none */
    char acks[200];
    char token[64];       /* of the last call that was no probe */
    const char *settings; /* JSON; NULL: an empty object */
    const char *prefetch; /* the operation that heartbeats are told of; NULL: none */
    const char *policies; /* JSON of a list; NULL: none */
    char ran[300];        /* what the last heartbeat said of it */
};

struct world {
    uint64_t now;
    struct disc_cp_core *core;
    struct service s[2];
    struct {
        bool is_out;
        struct disc_cp_call call;
        uint64_t due_ms;
        size_t which;
    } calls[MAX_CALLS];
    char states[200]; /* in order */
    enum disc_cp_state state;
    struct disc_cp_self self;
};

static void measure(void *arg, struct disc_cp_beat *ret)
{
    (void)arg;
    ret->is_ready = true;
    ret->origin_ok = true;
}

static void world_init_of(struct world *w, const char *list, const char *cluster)
{
    struct disc_endpoints ends;
    struct disc_cp_core_conf conf = { .endpoints = &ends,
                                      .token = "first",
                                      .now_ms = 1,
                                      .wall_ms = 1700000000000,
                                      .measure = measure,
                                      .arg = w };

    *w = (struct world){ .now = 1 };
    w->self = (struct disc_cp_self){ .node_id = "n1",
                                     .proof = "only-n1-can-say-this-----------------",
                                     .address = "10.0.0.1",
                                     .name = "one",
                                     .cluster = cluster,
                                     .zone = "",
                                     .version = "0",
                                     .p2p_port = 9000,
                                     .http_port = 8082 };
    conf.self = &w->self;
    w->s[0].commands = w->s[1].commands = "";
    w->s[0].epoch = w->s[1].epoch = 3;
    el_rng_seed(&conf.rng, 7);
    assert_int_equal(disc_endpoints_parse(el_str_of(list), &ends, NULL), EL_OK);
    w->core = disc_cp_core_new(&conf);
    (void)snprintf(w->states, sizeof(w->states), "hydrating");
}

static void world_init(struct world *w, const char *list)
{
    world_init_of(w, list, "");
}

static void world_end(struct world *w)
{
    for (size_t i = 0; i < MAX_CALLS; i++) {
        if (w->calls[i].is_out) {
            el_buf_deinit(&w->calls[i].call.target);
            el_buf_deinit(&w->calls[i].call.body);
        }
    }
    disc_cp_core_free(w->core);
}

static void note_state(struct world *w)
{
    struct disc_cp_figures f;

    disc_cp_core_figures(w->core, &f);
    if (f.state == w->state)
        return;
    w->state = f.state;
    (void)snprintf(w->states + strlen(w->states), sizeof(w->states) - strlen(w->states), " %s",
                   disc_cp_state_name(f.state));
}

/* ---- the service ---- */

#define MEMBERS                                                                           \
    "[{\"node_id\":\"n2\",\"address\":\"10.0.0.2\",\"p2p_port\":9000,\"http_port\":8082," \
    "\"state\":\"active\",\"serves\":true,\"zone\":\"\"},"                                \
    "{\"node_id\":\"n3\",\"address\":\"10.0.0.3\",\"p2p_port\":9000,\"http_port\":8082,"  \
    "\"state\":\"dead\",\"zone\":\"\"}]"

static const char *members_of(const struct service *s)
{
    return s->hides ? "[]" : MEMBERS;
}

static const char *cluster_of(const struct service *s)
{
    return s->mode == OTHER ? "theirs" : "ours";
}

static void list_commands(const struct service *s, struct el_buf *out)
{
    el_buf_addf(out, "\"commands\":[%s]", s->commands);
}

static void hydrate(const struct service *s, struct el_buf *out)
{
    el_buf_addf(out,
                "{\"cluster_id\":\"%s\",\"epoch\":%llu,\"heartbeat_interval_ms\":5000,"
                "\"members\":%s,\"policies\":[],\"policy_version\":4,"
                "\"config\":{\"version\":2,\"settings\":{},\"changed_at\":null},\"groups\":[],"
                "\"report\":\"%s\",",
                cluster_of(s), (unsigned long long)s->epoch, members_of(s),
                s->chunk_epoch == 0 ? "full" : "none");
    if (s->total > 0)
        el_buf_addf(out, "\"members_total\":%llu,", (unsigned long long)s->total);
    list_commands(s, out);
    el_buf_add_byte(out, '}');
}

static int take_report(struct service *s, struct el_str body)
{
    bool is_full = strstr(body.p, "\"chunk_ids\"") != NULL;
    unsigned long long epoch = 0, base = 0;
    size_t n = 0;

    assert_int_equal(sscanf(body.p, "{\"epoch\":%llu", &epoch), 1);
    for (size_t i = 0; i < body.n; i++)
        n += body.p[i] == '-';
    if (!is_full && strstr(body.p, "base_epoch") != NULL)
        (void)sscanf(strstr(body.p, "base_epoch"), "base_epoch\":%llu", &base);
    if (!is_full && (base != s->chunk_epoch || s->chunk_epoch == 0))
        return 409;
    assert_true(epoch > s->chunk_epoch);
    s->chunk_epoch = epoch;
    s->chunks = is_full ? n : s->chunks + n;
    return 204;
}

static int reply(struct world *w, struct service *s, const struct disc_cp_call *call,
                 struct el_buf *out)
{
    unsigned long long up = (w->now - s->came_ms) / SECOND;
    char *last = call->target.p;

    if (s->mode == FAILS && call->kind != DISC_CP_PROBE)
        return 500;
    if (call->kind > DISC_CP_REGISTER && call->kind <= DISC_CP_COMMANDS &&
        call->kind != DISC_CP_PEERS && !s->knows && strcmp(last, "/api/v1/nodes") != 0)
        return 404;
    switch (call->kind) {
    case DISC_CP_PROBE:
        el_buf_addf(out,
                    "{\"status\":\"ok\",\"cluster_id\":\"%s\",\"epoch\":%llu,"
                    "\"uptime_seconds\":%llu}",
                    cluster_of(s), (unsigned long long)s->epoch, up);
        return 200;
    case DISC_CP_REGISTER:
        s->knows = s->mode != KEEPS_FORGET;
        el_buf_addf(out,
                    "{\"success\":true,\"node_id\":\"n1\",\"message\":\"\",\"token\":\"t%u\","
                    "\"cluster_id\":\"%s\",\"heartbeat_interval_ms\":5000,\"epoch\":3,"
                    "\"config_version\":2,\"policy_version\":4}",
                    s->asked[DISC_CP_REGISTER], cluster_of(s));
        return 201;
    case DISC_CP_HYDRATE:
        if (s->mode == PLAIN && strcmp(last, "/api/v1/nodes") != 0)
            return 404;
        if (strcmp(last, "/api/v1/nodes") == 0)
            el_buf_addf(out, "{\"nodes\":" MEMBERS ",\"total\":3,\"active\":2}");
        else
            hydrate(s, out);
        return 200;
    case DISC_CP_BEAT:
        assert_non_null(strstr(call->body.p, "\"config\":"));
        (void)snprintf(s->ran, sizeof(s->ran), "%s", strstr(call->body.p, "\"config\":"));
        return 204;
    case DISC_CP_REPORT:
        el_buf_addf(out, "{\"code\":1,\"text\":\"\",\"want\":\"full\",\"epoch\":%llu}",
                    (unsigned long long)s->chunk_epoch);
        return take_report(s, el_buf_str(&call->body));
    case DISC_CP_PEERS:
        if (strcmp(last, "/api/v1/peers/seeds") == 0) {
            s->asked_seeds++;
            el_buf_add_str(out, el_str_of(members_of(s)));
            return 200;
        }
        el_buf_addf(out, "{\"nodes\":%s,\"total\":3,\"active\":2}", members_of(s));
        return 200;
    case DISC_CP_COMMANDS:
        el_buf_add_byte(out, '{');
        list_commands(s, out);
        el_buf_add_byte(out, '}');
        return 200;
    case DISC_CP_CONFIG:
        el_buf_addf(out, "{\"version\":2,\"settings\":%s,\"changed_at\":null}",
                    s->settings != NULL ? s->settings : "{}");
        return 200;
    case DISC_CP_POLICIES:
        el_buf_addf(out, "{\"version\":4,\"policies\":[%s]}",
                    s->policies != NULL ? s->policies : "");
        return 200;
    case DISC_CP_PREFETCH:
        el_buf_addf(out, "{\"urls\":[\"%s\"]}", last);
        return 200;
    case DISC_CP_LOCATE:
    case DISC_CP_HOLDERS:
        el_buf_addf(out,
                    "{\"locations\":[{\"chunk_id\":\"%.41s\",\"peer_ids\":[\"n2\",\"n9\"],"
                    "\"peers\":[]}]}",
                    strchr(call->body.p, '[') + 2);
        return 200;
    case DISC_CP_ACK:
        (void)snprintf(s->acks + strlen(s->acks), sizeof(s->acks) - strlen(s->acks), "%.*s ",
                       (int)call->body.n - 1, call->body.p);
        return 204;
    case DISC_CP_KINDS:
        break;
    }
    return 500;
}

static void answer(struct world *w, size_t i)
{
    struct service *s = &w->s[w->calls[i].which];
    struct disc_cp_call *call = &w->calls[i].call;
    struct el_buf out = { 0 };
    char epoch[24], commands[8];
    struct el_field fields[] = { { EL_STR("x-elio-epoch"), { epoch, 0 } },
                                 { EL_STR("X-Elio-Interval-Ms"), EL_STR("5000") },
                                 { EL_STR("X-Elio-Commands"), { commands, 0 } },
                                 { EL_STR("X-Elio-Prefetch"),
                                   el_str_of(s->prefetch != NULL ? s->prefetch : "0") },
                                 { EL_STR("X-Elio-Report"), EL_STR("full") } };
    struct disc_cp_answer a = { .code = EL_OK, .took_us = 1000 };

    s->asked[call->kind]++;
    if (call->kind != DISC_CP_PROBE)
        (void)snprintf(s->token, sizeof(s->token), "%s", call->token);
    fields[0].value.n =
        (size_t)snprintf(epoch, sizeof(epoch), "%llu", (unsigned long long)s->epoch);
    fields[2].value.n = (size_t)snprintf(commands, sizeof(commands), "%d", s->commands[0] != '\0');
    a.fields = (struct el_fieldv){ fields, s->wants_full ? 5 : 4 };
    if (s->mode == GONE || s->mode == HANGS) {
        a.code = s->mode == GONE ? EL_ECONNECT : EL_ETIMEOUT;
        a.why = "no answer";
    } else if (s->mode == GARBAGE || s->mode == LIES) {
        a.status = 200;
        el_buf_add_str(&out, s->mode == LIES
                                 ? EL_STR("{\"success\":1,\"nodes\":{},\"epoch\":\"x\"}")
                                 : EL_STR("<html>[[[["));
    } else {
        a.status = reply(w, s, call, &out);
    }
    a.body = el_buf_str(&out);
    w->calls[i].is_out = false;
    disc_cp_core_answer(w->core, w->now, call->number, &a);
    el_buf_deinit(&out);
    el_buf_deinit(&call->target);
    el_buf_deinit(&call->body);
    note_state(w);
}

/* ---- time ---- */

static void send_all(struct world *w)
{
    struct disc_cp_call call;
    size_t i;

    while (disc_cp_core_next(w->core, w->now, 1700000000000 + (int64_t)w->now, &call)) {
        for (i = 0; i < MAX_CALLS && w->calls[i].is_out; i++)
            continue;
        assert_true(i < MAX_CALLS);
        w->calls[i].is_out = true;
        w->calls[i].call = call;
        w->calls[i].which = strcmp(call.endpoint->host, "b") == 0;
        w->calls[i].due_ms = w->now + (w->s[w->calls[i].which].mode == HANGS ? DISC_CP_CALL_MS : 2);
    }
}

static uint64_t next_due(const struct world *w)
{
    uint64_t due = disc_cp_core_due_ms(w->core);

    for (size_t i = 0; i < MAX_CALLS; i++) {
        if (w->calls[i].is_out)
            due = el_min_u64(due, w->calls[i].due_ms);
    }
    return due;
}

static void run_until(struct world *w, uint64_t end)
{
    for (;;) {
        disc_cp_core_tick(w->core, w->now);
        note_state(w);
        send_all(w);
        for (size_t i = 0; i < MAX_CALLS; i++) {
            if (w->calls[i].is_out && w->calls[i].due_ms <= w->now)
                answer(w, i);
        }
        send_all(w);
        if (next_due(w) >= end)
            break;
        w->now = el_max_u64(next_due(w), w->now + 1);
    }
    w->now = end;
}

static struct disc_cp_figures figures(const struct world *w)
{
    struct disc_cp_figures f;

    disc_cp_core_figures(w->core, &f);
    return f;
}

static void have(struct world *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        disc_cp_core_chunk(w->core, &(struct el_chunk_id){ .index = i }, true);
}

static void forget_all(struct world *w, size_t which)
{
    struct service *s = &w->s[which];

    s->knows = false;
    s->chunk_epoch = s->chunks = 0;
    s->came_ms = w->now;
}

/* ---- tests ---- */

static void it_registers_and_is_hydrated_before_anything_else(void **state)
{
    struct world w;
    struct disc_cp_figures f;

    (void)state;
    world_init(&w, "a");
    run_until(&w, 100);
    f = figures(&w);
    assert_string_equal(w.states, "hydrating connected");
    assert_true(f.is_connected);
    assert_string_equal(f.best.host, "a");
    assert_int_equal(f.peers_known, 1); /* of the others one is dead */
    assert_int_equal(f.cluster_size, 3);
    assert_int_equal(f.epoch, 3);
    assert_int_equal(f.config_version, 2);
    assert_int_equal(f.policy_version, 4);
    assert_string_equal(w.s[0].token, "t1"); /* the one that it was given */
    assert_int_equal(disc_cp_core_members(w.core)->n, 2);
    world_end(&w);
}

static void all_is_quiet_when_all_is_well(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    have(&w, 100);
    run_until(&w, 600 * SECOND);
    assert_string_equal(w.states, "hydrating connected");
    assert_int_equal(w.s[0].asked[DISC_CP_REGISTER], 1);
    assert_int_equal(w.s[0].asked[DISC_CP_REPORT], 1);
    assert_int_equal(w.s[0].chunks, 100);
    assert_in_range(w.s[0].asked[DISC_CP_PROBE], 100, 140);
    assert_in_range(w.s[0].asked[DISC_CP_BEAT], 108, 135);
    assert_int_equal(w.s[0].asked[DISC_CP_PEERS], 1); /* nothing has changed since */
    assert_in_range(w.s[0].asked[DISC_CP_COMMANDS], 15, 25);
    assert_int_equal(figures(&w).failures, 0);
    world_end(&w);
}

static void peers_are_asked_for_again_when_the_membership_has_changed(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    run_until(&w, 100 * SECOND);
    assert_int_equal(w.s[0].asked[DISC_CP_PEERS], 1);
    w.s[0].epoch++;
    run_until(&w, 140 * SECOND);
    assert_int_equal(w.s[0].asked[DISC_CP_PEERS], 2);
    assert_int_equal(figures(&w).members_version, 3);
    world_end(&w);
}

/* Neither was in the other's hydration. */
static void who_comes_in_the_same_moment_is_known_within_two_seconds(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    w.s[0].hides = true;
    run_until(&w, 500);
    assert_int_equal(figures(&w).peers_known, 0);
    w.s[0].hides = false;
    run_until(&w, 2 * SECOND);
    assert_int_equal(figures(&w).peers_known, 1);
    world_end(&w);
}

static void of_a_large_cluster_a_node_never_asks_for_all_members(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    w.s[0].total = 5000;
    run_until(&w, SECOND / 2);
    assert_string_equal(w.states, "hydrating connected");
    assert_int_equal(figures(&w).cluster_size, 5000);
    assert_int_equal(figures(&w).peers_known, 1);
    w.s[0].epoch++;
    run_until(&w, 60 * SECOND);
    assert_true(w.s[0].asked[DISC_CP_PEERS] > 0);
    assert_int_equal(w.s[0].asked_seeds, w.s[0].asked[DISC_CP_PEERS]);
    assert_int_equal(figures(&w).cluster_size, 5000);
    world_end(&w);
}

/* The epoch grows with each chunk that is reported. */
static void
a_membership_that_never_rests_is_asked_for_three_times_then_every_30_seconds(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    for (unsigned i = 1; i <= 600; i++) {
        w.s[0].epoch++;
        run_until(&w, i * SECOND);
        if (i == 35)
            assert_int_equal(w.s[0].asked[DISC_CP_PEERS], 3);
    }
    assert_in_range(w.s[0].asked[DISC_CP_PEERS], 18, 25);
    world_end(&w);
}

/* Both have counted to three, not to the same. */
static void epochs_of_two_endpoints_are_not_compared(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a,b");
    w.s[0].hides = true;
    run_until(&w, 20 * SECOND);
    assert_string_equal(figures(&w).best.host, "a");
    assert_int_equal(figures(&w).peers_known, 0);
    w.s[1].knows = true;
    w.s[1].chunk_epoch = w.s[0].chunk_epoch;
    w.s[0].mode = GONE;
    run_until(&w, 60 * SECOND);
    assert_int_equal(w.s[1].asked[DISC_CP_PEERS], 1);
    assert_int_equal(w.s[1].asked[DISC_CP_HYDRATE], 0);
    assert_int_equal(figures(&w).epoch, 3);
    assert_int_equal(figures(&w).peers_known, 1);
    world_end(&w);
}

static void changes_are_reported_within_seconds(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    run_until(&w, 10 * SECOND);
    have(&w, 5);
    run_until(&w, 12 * SECOND);
    assert_int_equal(w.s[0].chunks, 5);
    assert_int_equal(figures(&w).lag, 0);
    world_end(&w);
}

/* Each of these is no control plane: gossip alone within 4 s, and still trying. */
static void without_one_it_is_left_to_gossip_and_finds_one_later(void **state)
{
    static const enum mode modes[] = { GONE, HANGS, GARBAGE, LIES, FAILS, KEEPS_FORGET };
    struct world w;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(modes); i++) {
        world_init(&w, "a");
        w.s[0].mode = modes[i];
        have(&w, 3);
        run_until(&w, 4 * SECOND);
        assert_string_equal(w.states, "hydrating gossip_only");
        run_until(&w, 300 * SECOND);
        assert_string_equal(w.states, "hydrating gossip_only");
        assert_true(figures(&w).last_error[0] != '\0' || modes[i] == KEEPS_FORGET);
        w.s[0].mode = WELL;
        run_until(&w, 315 * SECOND);
        assert_string_equal(w.states, "hydrating gossip_only connected");
        assert_int_equal(w.s[0].chunks, 3);
        world_end(&w);
    }
}

static void what_is_no_answer_is_counted(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    w.s[0].mode = GARBAGE;
    run_until(&w, 20 * SECOND);
    assert_in_range(figures(&w).malformed, 4, 20);
    assert_int_equal(figures(&w).malformed, figures(&w).failures);
    world_end(&w);
}

static void another_cluster_is_refused(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a,b");
    run_until(&w, 10 * SECOND);
    w.s[0].mode = OTHER; /* the first that was met is ours */
    run_until(&w, 60 * SECOND);
    assert_true(figures(&w).refused > 0);
    assert_string_equal(figures(&w).best.host, "b");
    world_end(&w);
}

static void a_cluster_that_was_named_is_the_only_one(void **state)
{
    struct world w;

    (void)state;
    world_init_of(&w, "a", "mine");
    run_until(&w, 60 * SECOND);
    assert_string_equal(w.states, "hydrating gossip_only");
    assert_true(figures(&w).refused > 0);
    assert_int_equal(w.s[0].asked[DISC_CP_REGISTER], 0);
    assert_string_equal(figures(&w).last_error, "probe: it is of another cluster");
    world_end(&w);
}

static void silence_is_noticed_and_so_is_the_return(void **state)
{
    static const enum mode modes[] = { GONE, HANGS, GARBAGE, LIES, FAILS };
    struct world w;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(modes); i++) {
        world_init(&w, "a");
        run_until(&w, 20 * SECOND);
        w.s[0].mode = modes[i];
        run_until(&w, 35 * SECOND);
        assert_string_equal(w.states, "hydrating connected degraded gossip_only");
        run_until(&w, 200 * SECOND);
        w.s[0].mode = WELL;
        run_until(&w, 215 * SECOND);
        assert_string_equal(w.states, "hydrating connected degraded gossip_only connected");
        assert_int_equal(w.s[0].asked[DISC_CP_REGISTER], 1);
        assert_int_equal(w.s[0].asked[DISC_CP_HYDRATE] >= 2, true);
        world_end(&w);
    }
}

static void a_short_silence_changes_nothing_but_for_a_moment(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    run_until(&w, 20 * SECOND);
    w.s[0].mode = GONE;
    while (figures(&w).state == DISC_CP_CONNECTED)
        run_until(&w, w.now + 10);
    w.s[0].mode = WELL;
    run_until(&w, w.now + 2 * SECOND);
    assert_string_equal(w.states, "hydrating connected degraded connected");
    assert_int_equal(w.s[0].asked[DISC_CP_REGISTER], 1);
    world_end(&w);
}

static void one_of_two_may_go_and_nobody_notices(void **state)
{
    static const enum mode modes[] = { GONE, HANGS, FAILS, GARBAGE };
    struct world w;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(modes); i++) {
        world_init(&w, "a,b");
        have(&w, 4);
        run_until(&w, 20 * SECOND);
        assert_string_equal(figures(&w).best.host, "a");
        w.s[1].knows = true; /* they share what they know */
        w.s[1].chunk_epoch = w.s[0].chunk_epoch;
        w.s[0].mode = modes[i];
        run_until(&w, 40 * SECOND);
        assert_string_equal(figures(&w).best.host, "b");
        assert_int_equal(figures(&w).state, DISC_CP_CONNECTED);
        assert_int_equal(figures(&w).switches, 1);
        assert_int_equal(w.s[1].asked[DISC_CP_REGISTER], 0);
        assert_true(w.s[1].asked[DISC_CP_BEAT] >= 1);
        world_end(&w);
    }
}

static void the_other_one_is_asked_within_a_second_of_a_failure(void **state)
{
    struct world w;
    uint64_t failures;

    (void)state;
    world_init(&w, "a,b");
    run_until(&w, 20 * SECOND);
    w.s[1].knows = true;
    w.s[0].mode = GONE;
    failures = figures(&w).failures;
    while (figures(&w).failures == failures)
        run_until(&w, w.now + 1);
    run_until(&w, w.now + 100);
    assert_true(w.s[1].asked[DISC_CP_BEAT] >= 1);
    assert_int_equal(figures(&w).state, DISC_CP_CONNECTED);
    world_end(&w);
}

static void one_that_was_started_empty_has_everything_within_seconds(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    have(&w, 50);
    run_until(&w, 60 * SECOND);
    forget_all(&w, 0);
    run_until(&w, 66 * SECOND);
    assert_int_equal(w.s[0].chunks, 50);
    assert_int_equal(w.s[0].asked[DISC_CP_REGISTER], 2);
    assert_string_equal(w.s[0].token, "t2");
    world_end(&w);
}

static void a_full_report_is_sent_when_it_is_asked_for(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    have(&w, 50);
    run_until(&w, 60 * SECOND);
    w.s[0].wants_full = true;
    w.s[0].chunks = 0;
    run_until(&w, 66 * SECOND);
    w.s[0].wants_full = false;
    assert_int_equal(w.s[0].chunks, 50);
    w.s[0].chunk_epoch += 1000; /* a delta does not fit */
    have(&w, 51);
    run_until(&w, 70 * SECOND);
    assert_int_equal(w.s[0].chunks, 51);
    world_end(&w);
}

static void one_that_has_no_more_than_the_documented_calls_will_do(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    w.s[0].mode = PLAIN;
    have(&w, 9);
    run_until(&w, 10 * SECOND);
    assert_string_equal(w.states, "hydrating connected");
    assert_int_equal(w.s[0].chunks, 9);
    assert_int_equal(figures(&w).peers_known, 1);
    run_until(&w, 100 * SECOND);
    assert_int_equal(w.s[0].asked[DISC_CP_REGISTER], 3);
    world_end(&w);
}

#define COMMAND(id, action, target)                                              \
    "{\"command_id\":\"" id "\",\"chunk_id\":\"000102030405060708090a0b0c0d0e0f" \
    "-00000001\",\"action\":\"" action "\",\"source_node_id\":\"n2\","           \
    "\"target_node_id\":\"" target "\",\"priority\":1,\"created_at\":\"\",\"expires_at\":\"\"}"

static void a_command_is_carried_out_once_and_acknowledged(void **state)
{
    const struct disc_cp_command *command;
    struct world w;

    (void)state;
    world_init(&w, "a");
    run_until(&w, 10 * SECOND);
    assert_null(disc_cp_core_next_command(w.core));
    w.s[0].commands = "{\"command_id\":\"c2\",\"chunk_id\":\"000102030405060708090a0b0c0d0e0f-"
                      "00000001\",\"action\":\"evict\",\"source_node_id\":\"\","
                      "\"target_node_id\":\"n7\"}," COMMAND("c1", "replicate", "n1");
    run_until(&w, 17 * SECOND);
    command = disc_cp_core_next_command(w.core);
    assert_non_null(command);
    assert_string_equal(command->id, "c1");
    assert_int_equal(command->action, DISC_CP_REPLICATE);
    assert_int_equal(command->n_peers, 2);
    assert_string_equal(command->peers[1], "n9");
    assert_null(disc_cp_core_next_command(w.core)); /* c2 is for somebody else */
    run_until(&w, 30 * SECOND);
    assert_null(disc_cp_core_next_command(w.core));
    disc_cp_core_outcome(w.core, "c1", DISC_CP_DONE, "");
    run_until(&w, 31 * SECOND);
    assert_int_equal(strncmp(w.s[0].acks, "{\"status\":\"done\"} ", 18), 0);
    run_until(&w, 50 * SECOND); /* it is given again: acknowledged again, not carried out */
    assert_null(disc_cp_core_next_command(w.core));
    assert_true(strlen(w.s[0].acks) > 20);
    world_end(&w);
}

static void what_cannot_be_done_now_is_done_when_it_is_given_again(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    w.s[0].commands = COMMAND("c1", "evict", "n1");
    run_until(&w, 10 * SECOND);
    assert_non_null(disc_cp_core_next_command(w.core));
    disc_cp_core_outcome(w.core, "c1", DISC_CP_LATER, "");
    run_until(&w, 20 * SECOND);
    assert_string_equal(w.s[0].acks, "");
    assert_non_null(disc_cp_core_next_command(w.core));
    disc_cp_core_outcome(w.core, "c1", DISC_CP_FAILED, "it is the last copy");
    run_until(&w, 21 * SECOND);
    assert_non_null(strstr(w.s[0].acks, "\"failed\",\"message\":\"it is the last copy\""));
    world_end(&w);
}

static void nothing_is_carried_out_while_the_control_plane_is_away(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, "a");
    w.s[0].commands = COMMAND("c1", "evict", "n1");
    run_until(&w, 10 * SECOND);
    w.s[0].mode = GONE;
    run_until(&w, 30 * SECOND);
    assert_null(disc_cp_core_next_command(w.core));
    w.s[0].mode = WELL;
    run_until(&w, 50 * SECOND);
    assert_non_null(disc_cp_core_next_command(w.core));
    world_end(&w);
}

static void a_pushed_configuration_is_fetched_once_and_what_became_of_it_is_told(void **state)
{
    struct world w;
    struct disc_cp_ran ran = { .version = 2, .pending = { "cache.huge_pages" }, .n_pending = 1 };
    const struct disc_cp_settings *settings;

    (void)state;
    world_init(&w, "a");
    w.s[0].settings = "{\"cache.freshness_s\":7,\"proxy.http2\":false,\"p2p.max_peers\":\"9\"}";
    run_until(&w, 10 * SECOND);
    settings = disc_cp_core_next_settings(w.core);
    assert_non_null(settings);
    assert_int_equal(settings->version, 2);
    assert_string_equal(settings->lines.p,
                        "cache.freshness_s=7\nproxy.http2=false\np2p.max_peers=9\n");
    settings = disc_cp_core_next_settings(w.core);
    assert_non_null(settings);
    assert_int_equal(settings->part, DISC_CP_BY_PREFIX);
    assert_null(disc_cp_core_next_settings(w.core));
    assert_true(el_str_starts(el_str_of(w.s[0].ran), EL_STR("\"config\":{\"version\":0,")));
    disc_cp_core_ran(w.core, w.now, &ran);
    run_until(&w, 60 * SECOND);
    assert_int_equal(w.s[0].asked[DISC_CP_CONFIG], 1);
    assert_true(el_str_starts(el_str_of(w.s[0].ran),
                              EL_STR("\"config\":{\"version\":2,\"error\":\"\",\"pending\":["
                                     "\"cache.huge_pages\"],\"policy_version\":0,")));
    world_end(&w);
}

static void policies_are_fetched_once_and_those_without_settings_are_not_for_nodes(void **state)
{
    struct world w;
    struct disc_cp_ran ran = { .policy_version = 4, .policy_error = "why" };
    const struct disc_cp_settings *settings;

    (void)state;
    world_init(&w, "a");
    w.s[0].policies = "{\"prefix\":\"http://h/a\",\"min_copies\":3,\"settings\":{}},"
                      "{\"prefix\":\"http://h/b\",\"settings\":{\"ttl\":7,\"bypass\":true}}";
    run_until(&w, 10 * SECOND);
    assert_non_null(disc_cp_core_next_settings(w.core));
    settings = disc_cp_core_next_settings(w.core);
    assert_non_null(settings);
    assert_int_equal(settings->part, DISC_CP_BY_PREFIX);
    assert_int_equal(settings->version, 4);
    assert_string_equal(settings->lines.p, "[policy http://h/b]\nttl=7\nbypass=true\n");
    disc_cp_core_ran(w.core, w.now, &ran);
    run_until(&w, 60 * SECOND);
    assert_int_equal(w.s[0].asked[DISC_CP_POLICIES], 1);
    assert_non_null(strstr(w.s[0].ran, "\"policy_version\":4,\"policy_error\":\"why\""));
    world_end(&w);
}

static void what_could_never_be_set_is_an_error_of_that_version(void **state)
{
    struct world w;
    const struct disc_cp_settings *settings;

    (void)state;
    world_init(&w, "a");
    w.s[0].settings = "{\"cache.freshness_s\":[7]}";
    run_until(&w, 10 * SECOND);
    settings = disc_cp_core_next_settings(w.core);
    assert_non_null(settings);
    assert_int_equal(settings->version, 2);
    assert_true(strstr(settings->error, "cache.freshness_s") != NULL);
    world_end(&w);
}

static const struct el_chunk_id some_chunk = { { 1, 2, 3 }, 5 };

static void who_has_a_chunk_is_asked_at_once_and_answered_once(void **state)
{
    struct disc_cp_holders h;
    struct world w;

    (void)state;
    world_init(&w, "a");
    run_until(&w, 10 * SECOND);
    assert_true(disc_cp_core_ask_holders(w.core, &some_chunk));
    assert_true(disc_cp_core_ask_holders(w.core, &some_chunk));
    run_until(&w, w.now + 10);
    assert_int_equal(w.s[0].asked[DISC_CP_HOLDERS], 1);
    assert_true(disc_cp_core_next_holders(w.core, &h));
    assert_true(el_chunk_id_eq(&h.chunk, &some_chunk));
    assert_int_equal(h.n, 2);
    assert_string_equal(h.node_ids[0], "n2");
    assert_string_equal(h.node_ids[1], "n9");
    assert_false(disc_cp_core_next_holders(w.core, &h));
    world_end(&w);
}

static void many_chunks_are_one_call_and_no_more_than_so_many_wait(void **state)
{
    struct el_chunk_id chunk = some_chunk;
    struct world w;

    (void)state;
    world_init(&w, "a");
    run_until(&w, 10 * SECOND);
    for (chunk.index = 0; chunk.index < DISC_CP_MAX_QUESTIONS; chunk.index++)
        assert_true(disc_cp_core_ask_holders(w.core, &chunk));
    assert_false(disc_cp_core_ask_holders(w.core, &chunk));
    run_until(&w, w.now + 10);
    assert_int_equal(w.s[0].asked[DISC_CP_HOLDERS], 1);
    world_end(&w);
}

static void who_has_a_chunk_is_not_asked_of_one_that_is_away_and_not_asked_again(void **state)
{
    struct disc_cp_holders h;
    struct world w;

    (void)state;
    world_init(&w, "a");
    assert_false(disc_cp_core_ask_holders(w.core, &some_chunk));
    run_until(&w, 10 * SECOND);
    w.s[0].mode = FAILS;
    assert_true(disc_cp_core_ask_holders(w.core, &some_chunk));
    run_until(&w, w.now + 20 * SECOND);
    assert_false(disc_cp_core_ask_holders(w.core, &some_chunk));
    w.s[0].mode = WELL;
    w.s[0].asked[DISC_CP_HOLDERS] = 0;
    run_until(&w, w.now + 20 * SECOND);
    assert_int_equal(w.s[0].asked[DISC_CP_HOLDERS], 0);
    assert_false(disc_cp_core_next_holders(w.core, &h));
    world_end(&w);
}

static void a_list_is_fetched_once_and_that_there_is_none_any_more_is_told(void **state)
{
    const struct disc_cp_prefetch *prefetch;
    struct world w;

    (void)state;
    world_init(&w, "a");
    run_until(&w, 10 * SECOND);
    assert_null(disc_cp_core_next_prefetch(w.core));
    w.s[0].prefetch = "77";
    run_until(&w, 40 * SECOND);
    prefetch = disc_cp_core_next_prefetch(w.core);
    assert_non_null(prefetch);
    assert_int_equal(prefetch->operation, 77);
    assert_string_equal(prefetch->list.p, "{\"urls\":[\"/api/v1/operations/77/urls\"]}");
    assert_null(disc_cp_core_next_prefetch(w.core));
    assert_int_equal(w.s[0].asked[DISC_CP_PREFETCH], 1);
    w.s[0].prefetch = NULL;
    run_until(&w, 60 * SECOND);
    prefetch = disc_cp_core_next_prefetch(w.core);
    assert_non_null(prefetch);
    assert_int_equal(prefetch->operation, 0);
    world_end(&w);
}

static void who_leaves_says_so_and_asks_nothing_more(void **state)
{
    struct world w;
    unsigned beats;

    (void)state;
    world_init(&w, "a");
    run_until(&w, 10 * SECOND + 500);
    beats = w.s[0].asked[DISC_CP_BEAT];
    disc_cp_core_leave(w.core, w.now);
    assert_false(disc_cp_core_has_left(w.core));
    run_until(&w, w.now + 100);
    assert_true(disc_cp_core_has_left(w.core));
    assert_int_equal(w.s[0].asked[DISC_CP_BEAT], beats + 1);
    world_end(&w);

    world_init(&w, "a");
    w.s[0].mode = GONE;
    run_until(&w, 10 * SECOND);
    disc_cp_core_leave(w.core, w.now);
    assert_true(disc_cp_core_has_left(w.core));
    world_end(&w);
}

/* Whatever happens to two of them, in any order: in the end all is known, and little was asked. */
static void after_any_trouble_everything_is_well_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct el_rng rng;
        struct world w;

        el_rng_seed(&rng, seed);
        world_init(&w, "a,b");
        for (unsigned i = 0; i < 40; i++) {
            size_t which = (size_t)el_rng_below(&rng, 2);

            if (el_rng_below(&rng, 3) == 0)
                forget_all(&w, which);
            w.s[which].mode = (enum mode)el_rng_below(&rng, KEEPS_FORGET + 1);
            if (w.s[which].mode == OTHER)
                w.s[which].mode = WELL;
            have(&w, i);
            run_until(&w, w.now + el_rng_below(&rng, 20 * SECOND));
        }
        w.s[0].mode = w.s[1].mode = WELL;
        have(&w, 41);
        run_until(&w, w.now + 15 * SECOND);
        assert_int_equal(figures(&w).state, DISC_CP_CONNECTED);
        assert_int_equal(w.s[strcmp(figures(&w).best.host, "b") == 0].chunks, 41);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_large_cluster_a_node_never_asks_for_all_members),
        cmocka_unit_test(it_registers_and_is_hydrated_before_anything_else),
        cmocka_unit_test(all_is_quiet_when_all_is_well),
        cmocka_unit_test(peers_are_asked_for_again_when_the_membership_has_changed),
        cmocka_unit_test(who_comes_in_the_same_moment_is_known_within_two_seconds),
        cmocka_unit_test(
            a_membership_that_never_rests_is_asked_for_three_times_then_every_30_seconds),
        cmocka_unit_test(epochs_of_two_endpoints_are_not_compared),
        cmocka_unit_test(changes_are_reported_within_seconds),
        cmocka_unit_test(without_one_it_is_left_to_gossip_and_finds_one_later),
        cmocka_unit_test(what_is_no_answer_is_counted),
        cmocka_unit_test(another_cluster_is_refused),
        cmocka_unit_test(a_cluster_that_was_named_is_the_only_one),
        cmocka_unit_test(silence_is_noticed_and_so_is_the_return),
        cmocka_unit_test(a_short_silence_changes_nothing_but_for_a_moment),
        cmocka_unit_test(one_of_two_may_go_and_nobody_notices),
        cmocka_unit_test(the_other_one_is_asked_within_a_second_of_a_failure),
        cmocka_unit_test(one_that_was_started_empty_has_everything_within_seconds),
        cmocka_unit_test(a_full_report_is_sent_when_it_is_asked_for),
        cmocka_unit_test(one_that_has_no_more_than_the_documented_calls_will_do),
        cmocka_unit_test(a_command_is_carried_out_once_and_acknowledged),
        cmocka_unit_test(what_cannot_be_done_now_is_done_when_it_is_given_again),
        cmocka_unit_test(nothing_is_carried_out_while_the_control_plane_is_away),
        cmocka_unit_test(a_pushed_configuration_is_fetched_once_and_what_became_of_it_is_told),
        cmocka_unit_test(policies_are_fetched_once_and_those_without_settings_are_not_for_nodes),
        cmocka_unit_test(what_could_never_be_set_is_an_error_of_that_version),
        cmocka_unit_test(who_has_a_chunk_is_asked_at_once_and_answered_once),
        cmocka_unit_test(many_chunks_are_one_call_and_no_more_than_so_many_wait),
        cmocka_unit_test(who_has_a_chunk_is_not_asked_of_one_that_is_away_and_not_asked_again),
        cmocka_unit_test(a_list_is_fetched_once_and_that_there_is_none_any_more_is_told),
        cmocka_unit_test(who_leaves_says_so_and_asks_nothing_more),
        cmocka_unit_test(after_any_trouble_everything_is_well_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
