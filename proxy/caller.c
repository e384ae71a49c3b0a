/* SPDX-License-Identifier: MIT */
/*
 * caller: every request has to name its sender, whatever its form: absolute, CONNECT, and the
 * gateway's as well, where the field is Proxy-Authorization too, because Authorization is the
 * origin's. What comes inside an intercepted tunnel was admitted with its CONNECT.
 */
#include "proxy/caller.h"

/* Clients that wait to be asked begin like this: no line of the log. */
static void refuse_nobody(struct proxy_req *r)
{
    el_counter_add(r->proxy->auth_missing, 1);
    el_counter_add(r->proxy->refused, 1);
    proxy_req_fail(r, EL_EPROXYAUTH, "this proxy wants credentials in Proxy-Authorization");
}

static void refuse_stranger(struct proxy_req *r)
{
    el_counter_add(r->proxy->auth_wrong, 1);
    proxy_req_refuse(r, EL_EPROXYAUTH, "the credentials in Proxy-Authorization are not valid");
}

static void on_verdict(void *arg, enum proxy_verdict verdict);

/* Many questions at once are somebody's guesses: those who were admitted before are not asked. */
static void ask(struct proxy_req *r)
{
    const struct proxy_auth_asker asker = {
        .queue = r->thread->queue,
        .on_verdict = on_verdict,
        .arg = r,
    };

    r->check =
        proxy_auth_ask(r->settings->auth, r->proxy->auth_worker, r->stream->head.fields, &asker);
    if (r->check == NULL)
        proxy_req_refuse(r, EL_EOVERLOAD, "too many credentials wait to be verified");
}

static void act(struct proxy_req *r, enum proxy_verdict verdict)
{
    switch (verdict) {
    case PROXY_VERDICT_GOOD:
        proxy_req_route(r);
        return;
    case PROXY_VERDICT_NONE:
        refuse_nobody(r);
        return;
    case PROXY_VERDICT_WRONG:
        refuse_stranger(r);
        return;
    case PROXY_VERDICT_UNSURE:
        ask(r);
        return;
    }
}

/* The worker was stopped: so is the node. */
static void on_verdict(void *arg, enum proxy_verdict verdict)
{
    struct proxy_req *r = EL_CAST(arg, struct proxy_req, PROXY_REQ_MAGIC);

    r->check = NULL;
    if (verdict == PROXY_VERDICT_UNSURE)
        proxy_req_fail(r, EL_ESHUTDOWN, "the node stops");
    else
        act(r, verdict);
}

void proxy_caller_check(struct proxy_req *r)
{
    struct proxy_auth *auth = r->settings->auth;

    if (auth == NULL || r->stream->head.inside.n > 0 || r->stream->is_own)
        proxy_req_route(r);
    else
        act(r, proxy_auth_judge(auth, r->stream->head.fields));
}
