/* SPDX-License-Identifier: MIT */
/*
 * intercept: the hosts whose tunnels end at this node, and the TLS context with which each of them
 * is served: its certificate is made on demand (proxy/leaf.h), kept while it is in use, and made
 * anew when half of its life is over.
 */
#pragma once

#include <openssl/ssl.h>

#include "common/conf.h"
#include "common/metrics.h"
#include "proxy/leaf.h"

struct proxy_intercept; /* Thread: any; what is kept is under a leaf mutex */

/*
 * *ret_intercept is NULL when proxy.intercept_hosts is empty. EL_ECONF: a list, a file or the CA in
 * it is bad, or origins are not verified, for then nobody would verify them.
 */
enum el_err proxy_intercept_new(const struct el_conf *conf, int64_t now_s,
                                struct proxy_intercept **ret_intercept, struct el_error *err);
void proxy_intercept_free(struct proxy_intercept *i); /* NULL is fine */

/* Whether the host of a CONNECT is listed, and then its name for the calls below. */
bool proxy_intercept_has(const struct proxy_intercept *i, struct el_str host,
                         char name[PROXY_LEAF_NAME_BYTES]);

/* A reference for the caller; NULL: it has to be made. */
SSL_CTX *proxy_intercept_find(struct proxy_intercept *i, const char *name, int64_t now_s);
/*
 * Finds it, or makes it, which takes as long as the CA's key takes to sign. NULL: it cannot be
 * made; the CA has expired, or memory is out.
 */
SSL_CTX *proxy_intercept_make(struct proxy_intercept *i, const char *name, int64_t now_s);

struct proxy_intercept_info {
    const char *hosts; /* as configured; these two live as long as the intercept */
    const char *ca;    /* its subject */
    int64_t ca_end_s;
    bool is_key_readable; /* the file of its key, by others than its owner */
    uint64_t made, kept;  /* certificates */
};
void proxy_intercept_info_get(struct proxy_intercept *i, struct proxy_intercept_info *ret);
