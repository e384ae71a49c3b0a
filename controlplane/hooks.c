/* SPDX-License-Identifier: MIT */
/*
 * hooks: whoever is to be called when something happens. Each URL has a queue of its own and one
 * call at a time; a call that fails is made again, later and later, and is given up after a few
 * hours, so that a receiver that is away for a while misses nothing and one that is gone for good
 * costs nothing.
 *
 *   POST URL
 *   X-Elio-Event: node_down         X-Elio-Delivery: a number, the same in each attempt
 *   X-Elio-Signature: sha256=HMAC-SHA-256 of the body, hexadecimal, with webhooks.secret
 *
 * Among several eliocp the one that holds the duty calls. Thread: the server's; the calls
 * themselves run on the client's, and come back by message.
 */
#include "controlplane/serve.h"

#include <inttypes.h>

#include "common/http_client.h"
#include "common/rng.h"
#include "common/sha256.h"
#include "common/url.h"

#define MAX_QUEUED     1000u
#define MAX_ATTEMPTS   20u
#define FIRST_PAUSE_MS 1000u
#define MAX_PAUSE_MS   600000u
#define TIMEOUT_MS     5000u

struct delivery {
    struct el_list link;
    uint64_t number;
    char event[32];
    struct el_buf body;
    unsigned attempts;
};

struct hook {
    struct cp_hooks *hooks;
    struct el_url url;
    char *text;           /* owned; url points into it */
    struct el_list queue; /* of delivery.link; the first is the one that is being tried */
    size_t n;
    uint64_t due_ms; /* not before */
    uint64_t delivered, failed, dropped;
    /* The call that runs; the client's thread writes status and rc, then posts. */
    bool is_calling;
    struct el_msg done;
    int status;
    enum el_err rc;
    size_t sent;
    struct el_buf body;
};

struct cp_hooks {
    struct cp_service *service;
    struct el_http_client *client;
    struct hook *v;
    size_t n;
    uint64_t after, numbers;
    struct el_rng rng;
};

/* ---- one call ---- */

static void on_head(void *arg, int status, struct el_fieldv fields)
{
    (void)fields;
    ((struct hook *)arg)->status = status;
}

static ssize_t on_data(void *arg, const void *bytes, size_t n)
{
    (void)arg;
    (void)bytes;
    return (ssize_t)n;
}

static ssize_t on_body(void *arg, void *room, size_t n)
{
    struct hook *h = (struct hook *)arg;
    size_t now = el_min_size(n, h->body.n - h->sent);

    memcpy(room, h->body.p + h->sent, now);
    h->sent += now;
    return (ssize_t)now;
}

static void on_done(void *arg, enum el_err code, const struct el_error *err)
{
    struct hook *h = (struct hook *)arg;

    (void)err;
    h->rc = code;
    cp_service_post(h->hooks->service, &h->done);
}

static const struct el_http_ops ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_body = on_body,
    .on_done = on_done,
};

static void add_signature(struct el_fields *fields, const struct el_conf *conf, struct el_str body)
{
    struct el_str secret = el_secret_get(&conf->webhooks_secret);
    uint8_t mac[EL_SHA256_BYTES];
    char text[8 + 2 * EL_SHA256_BYTES] = "sha256=";

    if (secret.n == 0)
        return;
    el_hmac_sha256(secret.p, secret.n, body, mac);
    el_hex(mac, sizeof(mac), text + 7);
    el_fields_add(fields, EL_STR("X-Elio-Signature"), el_str_of(text));
}

static void call(struct hook *h, struct delivery *d)
{
    struct el_fields fields = { 0 };
    struct el_http_call *ignored;
    char number[24];

    (void)snprintf(number, sizeof(number), "%" PRIu64, d->number);
    el_buf_clear(&h->body);
    el_buf_add_str(&h->body, el_buf_str(&d->body));
    h->sent = 0;
    h->status = 0;
    h->is_calling = true;
    el_fields_add(&fields, EL_STR("Content-Type"), EL_STR("application/json"));
    el_fields_add(&fields, EL_STR("User-Agent"), EL_STR("eliocp/" ELIO_VERSION));
    el_fields_add(&fields, EL_STR("X-Elio-Event"), el_str_of(d->event));
    el_fields_add(&fields, EL_STR("X-Elio-Delivery"), el_str_of(number));
    add_signature(&fields, h->hooks->service->conf, el_buf_str(&h->body));
    el_http_client_start(h->hooks->client,
                         &(struct el_http_request){
                             .method = EL_STR("POST"),
                             .scheme = h->url.is_https ? EL_STR("https") : EL_STR("http"),
                             .host = h->url.host,
                             .port = h->url.port,
                             .target = h->url.target,
                             .fields = el_fields_view(&fields),
                             .body_length = (int64_t)h->body.n,
                             .ops = &ops,
                             .arg = h,
                         },
                         &ignored);
    el_fields_deinit(&fields);
}

/* ---- queues ---- */

static void free_delivery(struct hook *h, struct delivery *d)
{
    el_list_remove(&d->link);
    h->n--;
    el_buf_deinit(&d->body);
    free(d);
}

/* The time until the next attempt, with jitter of a quarter. */
static uint64_t pause_ms(struct cp_hooks *hooks, unsigned attempts)
{
    uint64_t ms = FIRST_PAUSE_MS << (attempts < 16 ? attempts - 1 : 15);

    ms = el_min_u64(ms, MAX_PAUSE_MS);
    return ms + el_rng_below(&hooks->rng, ms / 4 + 1);
}

static void on_called(struct el_msg *m)
{
    struct hook *h = EL_ENTRY(m, struct hook, done);
    struct delivery *d = EL_ENTRY(h->queue.next, struct delivery, link);
    bool is_well = h->rc == EL_OK && h->status >= 200 && h->status < 300;

    h->is_calling = false;
    d->attempts++;
    if (is_well) {
        h->delivered++;
        h->due_ms = 0;
        free_delivery(h, d);
        return;
    }
    h->failed++;
    h->due_ms = el_clock_mono_ms(h->hooks->service->clock) + pause_ms(h->hooks, d->attempts);
    if (d->attempts == 1) /* behind the host there may be a secret, and readers read the log */
        el_log(EL_WARN, EV_CP_HOOK, "hook=%zu host=%s port=%u event=%s status=%d error=%s",
               (size_t)(h - h->hooks->v) + 1, EL_LOG_Q(h->url.host), (unsigned)h->url.port,
               d->event, h->status, el_err_name(h->rc));
    if (d->attempts >= MAX_ATTEMPTS) {
        h->dropped++;
        free_delivery(h, d);
    }
}

static void enqueue(struct hook *h, const char *event, uint64_t number, struct el_str body)
{
    struct delivery *d;

    if (h->n >= MAX_QUEUED) {
        h->dropped++;
        return;
    }
    d = el_new(struct delivery);
    d->number = number;
    (void)snprintf(d->event, sizeof(d->event), "%s", event);
    el_buf_add_str(&d->body, body);
    el_list_init(&d->link);
    el_list_append(&h->queue, &d->link);
    h->n++;
}

static void enqueue_all(struct cp_hooks *hooks, const char *event, json_t *take_body)
{
    struct el_buf body = { 0 };

    el_json_add_str(take_body, "cluster_id", el_str_of(hooks->service->conf->service_cluster_id));
    el_json_write(&body, take_body);
    hooks->numbers++;
    for (size_t i = 0; i < hooks->n; i++)
        enqueue(&hooks->v[i], event, hooks->numbers, el_buf_str(&body));
    el_buf_deinit(&body);
}

/* The name stands in webhooks.events, or that is empty. */
static bool is_wanted(const struct cp_hooks *hooks, const char *name)
{
    struct el_str rest = el_str_of(hooks->service->conf->webhooks_events), part;

    if (rest.n == 0)
        return true;
    while (el_str_split(&rest, ',', &part)) {
        if (el_str_eq(el_str_trim(part), el_str_of(name)))
            return true;
    }
    return false;
}

static void gather(struct cp_hooks *hooks)
{
    struct cp_service *s = hooks->service;
    struct cp_state *state = cp_plane_lock(s->plane);
    bool is_mine = cp_plane_has_duty(s->plane);
    const struct cp_event *e;

    while ((e = cp_events_after(state, hooks->after, NULL)) != NULL) {
        hooks->after = e->seq;
        if (is_mine && is_wanted(hooks, cp_event_name(e->kind))) {
            json_t *body = el_json_new();

            cp_json_event(body, e);
            enqueue_all(hooks, cp_event_name(e->kind), body);
        }
    }
    (void)cp_plane_unlock(s->plane);
}

void cp_hooks_tick(struct cp_hooks *hooks)
{
    uint64_t now_ms;

    if (hooks == NULL)
        return;
    now_ms = el_clock_mono_ms(hooks->service->clock);
    gather(hooks);
    for (size_t i = 0; i < hooks->n; i++) {
        struct hook *h = &hooks->v[i];

        if (!h->is_calling && h->n > 0 && h->due_ms <= now_ms)
            call(h, EL_ENTRY(h->queue.next, struct delivery, link));
    }
}

size_t cp_hooks_test(struct cp_hooks *hooks)
{
    json_t *body;

    if (hooks == NULL)
        return 0;
    body = el_json_new();
    el_json_add_str(body, "type", EL_STR("test"));
    cp_json_time(body, "at", el_clock_wall_ms(hooks->service->clock));
    enqueue_all(hooks, "test", body);
    return hooks->n;
}

void cp_hooks_json(json_t *list, struct cp_hooks *hooks)
{
    for (size_t i = 0; hooks != NULL && i < hooks->n; i++) {
        const struct hook *h = &hooks->v[i];
        json_t *o = el_json_append_child(list);

        el_json_add_str(o, "host", h->url.host);
        el_json_add_u64(o, "port", h->url.port);
        el_json_add_u64(o, "waiting", h->n);
        el_json_add_u64(o, "delivered", h->delivered);
        el_json_add_u64(o, "failed_attempts", h->failed);
        el_json_add_u64(o, "dropped", h->dropped);
    }
}

/* ---- life ---- */

static enum el_err add_hook(struct cp_hooks *hooks, struct el_str url, struct el_error *err)
{
    struct hook *h = &hooks->v[hooks->n];
    struct el_error why = { 0 };

    *h = (struct hook){ .hooks = hooks, .text = el_strndup(url.p, url.n) };
    el_list_init(&h->queue);
    el_msg_init(&h->done, on_called);
    hooks->n++;
    if (el_url_parse(el_str_of(h->text), &h->url, &why) == EL_OK)
        return EL_OK;
    return el_fail(err, EL_ECONF, 0, "webhooks.urls: the %zuth is no URL: %s", hooks->n, why.text);
}

static enum el_err add_hooks(struct cp_hooks *hooks, struct el_error *err)
{
    struct el_str rest = el_str_of(hooks->service->conf->webhooks_urls), part;
    enum el_err rc = EL_OK;
    size_t n = 1;

    for (size_t i = 0; i < rest.n; i++)
        n += rest.p[i] == ',';
    hooks->v = el_try_alloc(n * sizeof(*hooks->v));
    if (hooks->v == NULL)
        return el_fail(err, EL_ENOMEM, 0, "webhooks.urls");
    while (rc == EL_OK && el_str_split(&rest, ',', &part)) {
        part = el_str_trim(part);
        if (part.n > 0)
            rc = add_hook(hooks, part, err);
    }
    return rc;
}

enum el_err cp_hooks_new(struct cp_service *s, struct cp_hooks **ret_hooks, struct el_error *err)
{
    const struct el_http_client_conf client = { .thread_name = "webhooks",
                                                .max_connections_per_host = 2,
                                                .connect_timeout_ms = TIMEOUT_MS,
                                                .stall_timeout_ms = TIMEOUT_MS };
    struct cp_hooks *hooks;
    enum el_err rc;

    if (s->conf->webhooks_urls[0] == '\0')
        return EL_OK;
    hooks = el_new(struct cp_hooks);
    hooks->service = s;
    el_rng_seed_random(&hooks->rng);
    rc = add_hooks(hooks, err);
    if (rc == EL_OK)
        rc = el_http_client_new(&client, &hooks->client, err);
    if (rc != EL_OK) {
        cp_hooks_free(hooks);
        return rc;
    }
    *ret_hooks = hooks;
    return EL_OK;
}

void cp_hooks_free(struct cp_hooks *hooks)
{
    if (hooks == NULL)
        return;
    el_http_client_free(hooks->client);
    for (size_t i = 0; i < hooks->n; i++) {
        struct hook *h = &hooks->v[i];

        while (!el_list_empty(&h->queue))
            free_delivery(h, EL_ENTRY(h->queue.next, struct delivery, link));
        el_buf_deinit(&h->body);
        free(h->text);
    }
    free(hooks->v);
    free(hooks);
}
