/* SPDX-License-Identifier: MIT */
/*
 * http1: HTTP/1.1 on a client's connection, plain or TLS; implements proxy/stream.h. See http1.c.
 */
#pragma once

#include "proxy/server.h"

/* A connection that was just accepted. Thread: t. */
void proxy_http1_accept(struct proxy_thread *t, int take_fd, const struct sockaddr_storage *addr,
                        bool is_tls);
