/* SPDX-License-Identifier: MIT */
/*
 * probes: nodes are asked whether they answer, where the configuration wants it; reach.h says whom
 * next, and what comes of it.
 *
 *   GET http://ADDRESS:HTTP_PORT/health      200 within TIMEOUT_MS: it answers
 *
 * Where that is, nodes say themselves when they register. So whoever may register a node can have a
 * request sent to an address of its choice, and is not to get anything by it: method, path and
 * fields are fixed, nothing is followed, of the answer only the status is looked at, addresses
 * where nobody offers a service (link-local ones, say) are not asked, whatever a name resolves to,
 * and why a question failed is in the log only.
 *
 * Thread: the server's; the calls themselves run on the client's, and come back by message.
 */
#include "controlplane/serve.h"

#include "common/address.h"
#include "common/http_client.h"
#include "controlplane/reach.h"

#define AT_ONCE       64u
#define TIMEOUT_MS    5000u /* from the look-up of a name to the last byte */
#define MAX_BODY      4096u
#define MAX_CONNECTED 1u /* to one node */

struct call {
    struct cp_probes *probes;
    struct cp_probe probe;
    bool is_running;
    uint64_t began_ms;
    /* The client's thread writes these, then posts. */
    struct el_msg done;
    int status;
    size_t bytes;
    uint64_t ended_ms;
    enum el_err rc;
};

struct cp_probes {
    struct cp_service *service;
    struct el_http_client *client;
    struct el_hist *times;
    struct call call[AT_ONCE];
};

/* ---- one call ---- */

static void on_head(void *arg, int status, struct el_fieldv fields)
{
    (void)fields;
    ((struct call *)arg)->status = status;
}

/* Read only so that the connection can be used again. */
static ssize_t on_data(void *arg, const void *bytes, size_t n)
{
    struct call *c = (struct call *)arg;

    (void)bytes;
    c->bytes += n;
    return c->bytes > MAX_BODY ? EL_HTTP_ABORT : (ssize_t)n;
}

static void on_done(void *arg, enum el_err code, const struct el_error *err)
{
    struct call *c = (struct call *)arg;

    (void)err;
    c->rc = code;
    c->ended_ms = el_clock_mono_ms(c->probes->service->clock);
    cp_service_post(c->probes->service, &c->done);
}

static const struct el_http_ops ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_done = on_done,
};

static void start(struct call *c)
{
    struct el_fields fields = { 0 };
    struct el_http_call *ignored;

    c->is_running = true;
    c->status = 0;
    c->bytes = 0;
    c->began_ms = el_clock_mono_ms(c->probes->service->clock);
    el_fields_add(&fields, EL_STR("User-Agent"), EL_STR("eliocp/" ELIO_VERSION));
    el_http_client_start(c->probes->client,
                         &(struct el_http_request){
                             .method = EL_STR("GET"),
                             .scheme = EL_STR("http"),
                             .host = el_str_of(c->probe.address),
                             .port = c->probe.port,
                             .target = EL_STR("/health"),
                             .fields = el_fields_view(&fields),
                             .body_length = EL_HTTP_BODY_NONE,
                             .ops = &ops,
                             .arg = c,
                         },
                         &ignored);
    el_fields_deinit(&fields);
}

/* As many as may run at a time, as long as somebody is to be asked. */
static void fill(struct cp_probes *p)
{
    bool has_more = true;

    for (size_t i = 0; has_more && i < AT_ONCE; i++) {
        struct call *c = &p->call[i];

        if (c->is_running)
            continue;
        has_more = cp_reach_next(cp_plane_lock(p->service->plane), &c->probe);
        (void)cp_plane_unlock(p->service->plane);
        if (has_more)
            start(c);
    }
}

static void tell(const struct call *c, enum cp_reach_change change)
{
    const struct cp_probe *p = &c->probe;

    if (change == CP_REACH_LOST)
        el_log(EL_WARN, EV_CP_REACH, "state=lost node=%s address=%s port=%u status=%d error=%s",
               p->node_id, EL_LOG_Q(el_str_of(p->address)), (unsigned)p->port, c->status,
               el_err_name(c->rc));
    else if (change == CP_REACH_BACK)
        el_log(EL_INFO, EV_CP_REACH, "state=back node=%s address=%s port=%u", p->node_id,
               EL_LOG_Q(el_str_of(p->address)), (unsigned)p->port);
}

static void on_called(struct el_msg *m)
{
    struct call *c = EL_ENTRY(m, struct call, done);
    struct cp_plane *plane = c->probes->service->plane;
    bool is_well = c->rc == EL_OK && c->status == 200;
    uint64_t ms = c->ended_ms - c->began_ms;
    enum cp_reach_change change;

    c->is_running = false;
    if (is_well)
        el_hist_add(c->probes->times, ms * 1000);
    change = cp_reach_done(cp_plane_lock(plane), &c->probe, is_well, (uint32_t)ms);
    (void)cp_plane_unlock(plane);
    tell(c, change);
    fill(c->probes);
}

void cp_probes_tick(struct cp_probes *p)
{
    if (p != NULL)
        fill(p);
}

/* ---- life ---- */

static bool is_address_allowed(void *arg, const struct sockaddr *addr)
{
    struct in6_addr a;
    uint16_t port;

    (void)arg;
    return el_address_of(addr, &a, &port) && !el_address_is_odd(&a);
}

enum el_err cp_probes_new(struct cp_service *s, struct cp_probes **ret_probes, struct el_error *err)
{
    const struct el_http_client_conf client = { .thread_name = "probes",
                                                .max_connections_per_host = MAX_CONNECTED,
                                                .connect_timeout_ms = TIMEOUT_MS,
                                                .stall_timeout_ms = TIMEOUT_MS,
                                                .call_timeout_ms = TIMEOUT_MS,
                                                .address_allowed = is_address_allowed };
    struct cp_probes *p;
    enum el_err rc;

    if (s->conf->liveness_probe_ms == 0)
        return EL_OK;
    p = el_new(struct cp_probes);
    p->service = s;
    p->times = el_metrics_hist(s->metrics, "eliocp_probe_seconds",
                               "From a probe to the node's answer.", NULL);
    for (size_t i = 0; i < AT_ONCE; i++) {
        p->call[i].probes = p;
        el_msg_init(&p->call[i].done, on_called);
    }
    rc = el_http_client_new(&client, &p->client, err);
    if (rc != EL_OK) {
        cp_probes_free(p);
        return rc;
    }
    *ret_probes = p;
    return EL_OK;
}

void cp_probes_free(struct cp_probes *p)
{
    if (p == NULL)
        return;
    el_http_client_free(p->client);
    free(p);
}
