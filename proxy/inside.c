/* SPDX-License-Identifier: MIT */
/*
 * inside: the context is either kept already, or a worker makes it meanwhile, which takes from 0.5
 * milliseconds (a CA with P-256) to 7 (RSA with 4096 bits), and more when processors are busy.
 *
 * A connection that is encrypted to us already (the TLS listener) would have to carry TLS inside of
 * TLS, which libh2o's sockets cannot: such a client gets an ordinary tunnel.
 */
#include "proxy/inside.h"

#include "proxy/intercept.h"

struct proxy_inside {
    struct proxy_errand errand;
    struct proxy_req *req; /* NULL: it has gone */
    struct proxy_intercept *intercept;
    int64_t now_s;
    SSL_CTX *tls; /* what was made; NULL: it cannot be */
    char name[PROXY_LEAF_NAME_BYTES];
};

bool proxy_inside_wants(const struct proxy_req *r)
{
    char name[PROXY_LEAF_NAME_BYTES];

    return r->proxy->intercept != NULL && r->stream->ops->intercept != NULL && !r->stream->is_tls &&
           proxy_intercept_has(r->proxy->intercept, r->route.to.host, name);
}

/* The answer and the handshake follow when the request is done, from req.c. */
static void hand_over(struct proxy_req *r, SSL_CTX *take_tls)
{
    el_counter_add(r->proxy->intercepted, 1);
    proxy_req_first_byte(r);
    r->tls = take_tls;
    r->status = 200;
    proxy_req_step(r, PROXY_STEP_DONE);
}

static void make(struct proxy_errand *e)
{
    struct proxy_inside *in = EL_ENTRY(e, struct proxy_inside, errand);

    in->tls = proxy_intercept_make(in->intercept, in->name, in->now_s);
}

static void on_made(struct proxy_errand *e)
{
    struct proxy_inside *in = EL_ENTRY(e, struct proxy_inside, errand);
    struct proxy_req *r = in->req;
    SSL_CTX *tls = in->tls;
    bool was_done = e->was_done;

    free(in);
    if (r == NULL) {
        SSL_CTX_free(tls);
        return;
    }
    r->inside = NULL;
    if (tls != NULL)
        hand_over(r, tls);
    else if (!was_done)
        proxy_req_fail(r, EL_ESHUTDOWN, "the node stops");
    else
        proxy_req_fail(r, EL_ETLS, "no certificate can be made for this host: has the CA expired?");
}

static void have_made(struct proxy_req *r, const char *name, int64_t now_s)
{
    struct proxy_inside *in = el_new(struct proxy_inside);

    in->errand =
        (struct proxy_errand){ .queue = r->thread->queue, .work = make, .on_done = on_made };
    in->req = r;
    in->intercept = r->proxy->intercept;
    in->now_s = now_s;
    memcpy(in->name, name, strlen(name) + 1);
    if (proxy_worker_give(r->proxy->leaf_worker, &in->errand)) {
        r->inside = in;
        return;
    }
    free(in);
    proxy_req_fail(r, EL_EOVERLOAD, "too many hosts wait for a certificate");
}

void proxy_inside_start(struct proxy_req *r)
{
    int64_t now_s = proxy_req_now(r) / 1000;
    char name[PROXY_LEAF_NAME_BYTES];
    SSL_CTX *tls;

    EL_ASSERT(proxy_intercept_has(r->proxy->intercept, r->route.to.host, name));
    tls = proxy_intercept_find(r->proxy->intercept, name, now_s);
    if (tls != NULL)
        hand_over(r, tls);
    else
        have_made(r, name, now_s);
}

void proxy_inside_forget(struct proxy_inside *inside)
{
    if (inside != NULL)
        inside->req = NULL;
}
