/* SPDX-License-Identifier: MIT */
/*
 * watch: events as they happen, to WebSockets and to those whose question waits for one. Whoever
 * watches has a position, the number of the last event that it was told; so nobody misses any, and
 * who was away goes on where it was, as long as the events are kept.
 *
 * Thread: the server's, except cp_watch_poke().
 */
#include "controlplane/serve.h"

#include <inttypes.h>

#define MAX_EVENTS   1000u
#define MAX_WAIT_MS  30000u
#define HELLO_MS     10000u /* a WebSocket that does not say hello by then is closed */
#define MAX_WATCHERS 4096u
#define TOKENS_MS    2000u /* after which a token is looked up again */
#define HELLO_DEPTH  4u
#define HELLO_VALUES 64u

struct cp_watch {
    struct cp_service *service;
    struct el_list watchers; /* of watcher.link */
    struct el_list pollers;  /* of poller.link */
    size_t n_watchers;
    uint64_t looked_ms; /* when their tokens were last looked up */
    struct el_msg news;
};

/* One WebSocket. */
struct watcher {
    struct el_list link;
    struct cp_watch *watch;
    struct el_http_ws *ws;
    struct cp_who who;
    bool may;       /* its token, if one is wanted, is good */
    bool is_told;   /* it has said hello */
    uint64_t after; /* the last event it was sent */
    uint64_t hello_by_ms;
};

/* One question that waits. */
struct poller {
    struct el_list link;
    struct el_http_later *later;
    uint64_t after, limit, until_ms;
};

/* ---- events as JSON ---- */

static void add_stream(json_t *o, const struct cp_state *state)
{
    cp_json_digest(o, "stream", cp_events_stream(state));
}

/* Whether there was anything. */
static bool write_events(struct cp_state *state, uint64_t after, uint64_t limit,
                         struct el_http_reply *out)
{
    json_t *root = el_json_new(), *list = el_json_child_list(root, "events");
    bool has_gap;
    const struct cp_event *e = cp_events_after(state, after, &has_gap);
    const struct cp_event *oldest = cp_events_after(state, 0, NULL);
    uint64_t next = e != NULL ? after : cp_events_newest(state);
    bool is_news = e != NULL;

    for (; e != NULL && limit > 0; limit--) {
        cp_json_event(el_json_append_child(list), e);
        next = e->seq;
        e = cp_events_after(state, next, NULL);
    }
    add_stream(root, state);
    el_json_add_u64(root, "first", oldest != NULL ? oldest->seq : 0);
    el_json_add_u64(root, "next", next);
    el_json_add_bool(root, "gap", has_gap);
    cp_reply_json(out, 200, root);
    return is_news;
}

/* ---- questions ---- */

static bool is_of_stream(struct el_str query, const struct cp_state *state)
{
    char stream[24], own[17];

    if (!cp_query_text(query, "stream", stream, sizeof(stream)))
        return true;
    (void)snprintf(own, sizeof(own), "%016" PRIx64, cp_events_stream(state));
    return strcmp(stream, own) == 0;
}

static void wait_for_news(struct cp_watch *w, uint64_t after, uint64_t limit, uint64_t wait_ms,
                          struct el_http_reply *out)
{
    struct poller *p = el_new(struct poller);

    p->later = el_http_defer(out);
    if (p->later == NULL) {
        free(p);
        return;
    }
    p->after = after;
    p->limit = limit;
    p->until_ms = el_clock_mono_ms(w->service->clock) + wait_ms;
    el_list_init(&p->link);
    el_list_append(&w->pollers, &p->link);
}

void cp_get_events(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = (struct cp_service *)arg;
    uint64_t after = 0, limit = MAX_EVENTS, wait_ms = 0;
    struct cp_state *state;
    struct cp_ask a;
    bool is_news;

    cp_ask_init(&a, NULL);
    cp_query_u64(&a, in->query, "after", 0, INT64_MAX, &after);
    cp_query_u64(&a, in->query, "limit", 1, 10000, &limit);
    cp_query_u64(&a, in->query, "wait_ms", 0, MAX_WAIT_MS, &wait_ms);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
        return;
    }
    state = cp_plane_lock(s->plane);
    if (!is_of_stream(in->query, state))
        after = 0;
    is_news = write_events(state, after, el_min_u64(limit, MAX_EVENTS), out);
    (void)cp_plane_unlock(s->plane);
    if (!is_news && wait_ms > 0)
        wait_for_news(s->watch, after, limit, wait_ms, out);
}

/* The answer that it has already says that there is nothing. */
static void give(struct poller *p)
{
    el_list_remove(&p->link);
    el_http_later_give(p->later);
    free(p);
}

static void answer_pollers(struct cp_watch *w, struct cp_state *state)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &w->pollers) {
        struct poller *p = EL_ENTRY(it, struct poller, link);

        if (cp_events_after(state, p->after, NULL) == NULL)
            continue;
        (void)write_events(state, p->after, el_min_u64(p->limit, MAX_EVENTS),
                           el_http_later_reply(p->later));
        give(p);
    }
}

/* ---- WebSockets ---- */

/* Takes root. */
static void send_json(struct el_http_ws *ws, json_t *root)
{
    struct el_buf text = { 0 };

    el_json_write(&text, root);
    el_http_ws_send(ws, el_str_first(el_buf_str(&text), text.n - 1));
    el_buf_deinit(&text);
}

static void send_error(struct el_http_ws *ws, const char *text)
{
    json_t *root = el_json_new();

    el_json_add_str(root, "type", EL_STR("error"));
    el_json_add_str(root, "text", el_str_of(text));
    send_json(ws, root);
}

static uint64_t lowest_position(struct cp_watch *w)
{
    struct el_list *it, *tmp;
    uint64_t lowest = UINT64_MAX;

    EL_LIST_EACH (it, tmp, &w->watchers) {
        struct watcher *x = EL_ENTRY(it, struct watcher, link);

        if (x->is_told)
            lowest = el_min_u64(lowest, x->after);
    }
    return lowest;
}

static void send_to_watchers(struct cp_watch *w, const struct cp_event *e)
{
    struct el_list *it, *tmp;
    struct el_buf text = { 0 };
    json_t *root = el_json_new();

    cp_json_event(root, e);
    el_json_write(&text, root);
    EL_LIST_EACH (it, tmp, &w->watchers) {
        struct watcher *x = EL_ENTRY(it, struct watcher, link);

        if (!x->is_told || x->after >= e->seq)
            continue;
        x->after = e->seq;
        el_http_ws_send(x->ws, el_str_first(el_buf_str(&text), text.n - 1));
    }
    el_buf_deinit(&text);
}

static void tell_watchers(struct cp_watch *w, struct cp_state *state)
{
    uint64_t seq = lowest_position(w);
    const struct cp_event *e;

    while (seq != UINT64_MAX && (e = cp_events_after(state, seq, NULL)) != NULL) {
        send_to_watchers(w, e);
        seq = e->seq;
    }
}

static void on_news(struct el_msg *m)
{
    struct cp_watch *w = EL_ENTRY(m, struct cp_watch, news);
    struct cp_state *state = cp_plane_lock(w->service->plane);

    answer_pollers(w, state);
    tell_watchers(w, state);
    (void)cp_plane_unlock(w->service->plane);
}

/* True: it may watch from now on. */
static bool check_token(struct watcher *x, struct cp_ask *a, const struct cp_state *state)
{
    struct el_str token = { NULL, 0 };
    struct cp_who who;

    cp_ask_str(a, "token", CP_OPTIONAL, &token);
    if (token.n > 0 && cp_access_find(x->watch->service->file_tokens, state, token, &who)) {
        x->may = true;
        x->who = who;
    }
    return x->may;
}

/* Where it goes on, and whether nothing is lost. */
static bool find_position(struct watcher *x, struct cp_ask *a, const struct cp_state *state)
{
    bool has_digest = false, has_gap = false;
    uint64_t stream = cp_events_stream(state), own = stream;

    x->after = cp_events_newest(state);
    cp_ask_digest(a, "stream", &has_digest, &stream);
    cp_ask_u64(a, "after", CP_OPTIONAL, INT64_MAX, &x->after);
    if (stream != own)
        x->after = 0;
    (void)cp_events_after(state, x->after, &has_gap);
    return stream == own && !has_gap;
}

static void answer_hello(struct watcher *x, struct cp_ask *a)
{
    struct cp_service *s = x->watch->service;
    struct cp_state *state = cp_plane_lock(s->plane);
    bool is_resumed;
    json_t *root;

    if (!check_token(x, a, state)) {
        send_error(x->ws, "a token is wanted");
    } else {
        is_resumed = find_position(x, a, state);
        x->is_told = true;
        root = el_json_new();
        el_json_add_str(root, "type", EL_STR("hello"));
        el_json_add_str(root, "cluster_id", el_str_of(s->conf->service_cluster_id));
        el_json_add_str(root, "version", EL_STR(ELIO_VERSION));
        el_json_add_u64(root, "epoch", cp_state_epoch(state));
        add_stream(root, state);
        el_json_add_u64(root, "seq", cp_events_newest(state));
        el_json_add_bool(root, "resumed", is_resumed);
        send_json(x->ws, root);
        tell_watchers(x->watch, state);
    }
    (void)cp_plane_unlock(s->plane);
}

static void on_message(struct watcher *x, struct cp_ask *a)
{
    struct el_str type = { NULL, 0 };
    json_t *pong;

    cp_ask_str(a, "type", CP_NEEDED, &type);
    if (el_str_eq(type, EL_STR("hello")) && !x->is_told) {
        answer_hello(x, a);
    } else if (el_str_eq(type, EL_STR("ping"))) {
        pong = el_json_new();
        el_json_add_str(pong, "type", EL_STR("pong"));
        send_json(x->ws, pong);
    } else {
        send_error(x->ws, "the first message is a hello, and any other a ping");
    }
}

static void on_text(void *arg, struct el_http_ws *ws, struct el_str text)
{
    const struct el_json_limits limits = { .depth = HELLO_DEPTH, .values = HELLO_VALUES };
    struct watcher *x = (struct watcher *)arg;
    struct el_error err = { 0 };
    struct cp_ask a;
    json_t *root;

    if (el_json_parse(text, &limits, &root, &err) != EL_OK) {
        send_error(ws, err.text);
        return;
    }
    cp_ask_init(&a, root);
    on_message(x, &a);
    if (a.code != EL_OK)
        send_error(ws, a.why.text);
    json_decref(root);
}

static void on_close(void *arg, struct el_http_ws *ws)
{
    struct watcher *x = (struct watcher *)arg;

    (void)ws;
    x->watch->n_watchers--;
    el_list_remove(&x->link);
    free(x);
}

static const struct el_http_ws_ops ops = { .on_text = on_text, .on_close = on_close };

/* While no token is wanted any name may have been made to point here, so names say nothing. */
static bool is_own_page(const struct cp_service *s, const struct el_http_call_in *in)
{
    return !s->who.is_open && cp_access_is_own_page(in->fields, in->host);
}

void cp_get_ws(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = (struct cp_service *)arg;
    struct cp_watch *w = s->watch;
    struct watcher *x;

    if (cp_access_is_foreign_page(in->fields, s->conf->service_cors_origins) &&
        !is_own_page(s, in)) {
        cp_reply_say(out, 403, EL_EFORBIDDEN, NULL, "a page of another host may not watch");
        return;
    }
    if (w->n_watchers >= MAX_WATCHERS) {
        cp_reply_say(out, 503, EL_EOVERLOAD, NULL, "too many watch already");
        return;
    }
    x = el_new(struct watcher);
    el_list_init(&x->link);
    x->watch = w;
    x->who = s->who;
    x->may = s->who.is_open || s->who.is_known;
    x->hello_by_ms = el_clock_mono_ms(s->clock) + HELLO_MS;
    x->ws = el_http_upgrade(out, &ops, x);
    if (x->ws == NULL) {
        free(x);
        cp_reply_say(out, 400, EL_EBADREQ, NULL, "this is no handshake of a WebSocket");
        return;
    }
    w->n_watchers++;
    el_list_append(&w->watchers, &x->link);
}

/* ---- life ---- */

struct cp_watch *cp_watch_new(struct cp_service *s)
{
    struct cp_watch *w = el_new(struct cp_watch);

    w->service = s;
    el_list_init(&w->watchers);
    el_list_init(&w->pollers);
    el_msg_init(&w->news, on_news);
    return w;
}

void cp_watch_free(struct cp_watch *w)
{
    free(w);
}

void cp_watch_poke(struct cp_watch *w)
{
    cp_service_post(w->service, &w->news);
}

/* A token that was revoked, or has expired, ends what it had let begin. */
static void close_unknown(struct cp_watch *w)
{
    struct cp_state *state = cp_plane_lock(w->service->plane);
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &w->watchers) {
        struct watcher *x = EL_ENTRY(it, struct watcher, link);

        if (x->may && !cp_access_is_still(&x->who, state, w->service->is_closed))
            el_http_ws_close(x->ws);
    }
    (void)cp_plane_unlock(w->service->plane);
}

void cp_watch_tick(struct cp_watch *w)
{
    uint64_t now_ms = el_clock_mono_ms(w->service->clock);
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &w->pollers) {
        struct poller *p = EL_ENTRY(it, struct poller, link);

        if (p->until_ms <= now_ms)
            give(p);
    }
    EL_LIST_EACH (it, tmp, &w->watchers) {
        struct watcher *x = EL_ENTRY(it, struct watcher, link);

        if (!x->is_told && x->hello_by_ms <= now_ms)
            el_http_ws_close(x->ws);
    }
    if (now_ms - w->looked_ms >= TOKENS_MS && w->n_watchers > 0) {
        w->looked_ms = now_ms;
        close_unknown(w);
    }
}

void cp_watch_stop(struct cp_watch *w)
{
    while (!el_list_empty(&w->pollers))
        give(EL_ENTRY(w->pollers.next, struct poller, link));
}
