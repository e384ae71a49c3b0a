/* SPDX-License-Identifier: MIT */
/*
 * auth: whether the client that sends a request may use the proxy, by Proxy-Authorization. Its
 * Authorization is the origin's business and is not looked at here.
 *
 * A password takes crypt(3) milliseconds, so it is verified by a worker (proxy/worker.h), and the
 * verdict, good or bad, is remembered by a keyed hash of the credentials: later requests with them
 * cost that hash and one look.
 *
 * An auth is made of a file at one moment; when the file is read again, that is a new one, which
 * remembers nothing.
 */
#pragma once

#include "common/fields.h"
#include "proxy/credentials.h"
#include "proxy/worker.h"

struct proxy_auth; /* Thread: any; what is remembered is under a leaf mutex */

enum proxy_verdict {
    PROXY_VERDICT_GOOD,
    PROXY_VERDICT_NONE,   /* there are no credentials */
    PROXY_VERDICT_WRONG,  /* or malformed, or of another scheme */
    PROXY_VERDICT_UNSURE, /* ask, with proxy_auth_ask() */
};

/* Reads the file. EL_ECONF names it, the line, and what is wrong. */
enum el_err proxy_auth_new(enum el_proxy_auth scheme, const char *file,
                           struct proxy_auth **ret_auth, struct el_error *err);
void proxy_auth_free(struct proxy_auth *a); /* NULL is fine */

const char *proxy_auth_scheme_name(const struct proxy_auth *a); /* "basic", "bearer" */
/* "Proxy-Authenticate: ...\r\n", for a 407. */
struct el_str proxy_auth_challenge(const struct proxy_auth *a);

enum proxy_verdict proxy_auth_judge(struct proxy_auth *a, struct el_fieldv fields);

struct proxy_auth_check; /* Thread: the queue's owner */

struct proxy_auth_asker {
    struct el_msgq *queue;
    /*
     * Thread: the queue's owner. Once, unless it was forgotten: GOOD or WRONG, or UNSURE when the
     * worker was stopped before it knew.
     */
    void (*on_verdict)(void *arg, enum proxy_verdict verdict);
    void *arg;
};

/* After UNSURE. The credentials are copied. NULL: too many wait for the worker. */
struct proxy_auth_check *proxy_auth_ask(struct proxy_auth *a, struct proxy_worker *w,
                                        struct el_fieldv fields,
                                        const struct proxy_auth_asker *asker);
/* The asker goes away: no verdict will be told. Not after on_verdict. NULL is fine. */
void proxy_auth_forget(struct proxy_auth_check *check);
