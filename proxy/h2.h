/* SPDX-License-Identifier: MIT */
/*
 * h2: HTTP/2, spoken by libh2o; each of its requests is wrapped as a proxy_stream. Opt-in, on the
 * TLS listener, by ALPN.
 *
 * Limits that libh2o 2.2.5 sets: the body of a request is complete (buffered) before the request is
 * seen, there are no 1xx answers, and CONNECT cannot be tunnelled.
 */
#pragma once

#include "proxy/server.h"

struct proxy_h2; /* what all threads share: libh2o's configuration. Immutable */

struct proxy_h2 *proxy_h2_new(const struct proxy_limits *limits);
void proxy_h2_free(struct proxy_h2 *h2); /* NULL is fine */
h2o_globalconf_t *proxy_h2_globalconf(struct proxy_h2 *h2);

/* The socket, its handshake done, becomes libh2o's. `client` is copied. Thread: t. */
void proxy_h2_accept(struct proxy_thread *t, h2o_socket_t *take_sock, const char *client);
