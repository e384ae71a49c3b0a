/* SPDX-License-Identifier: MIT */
/*
 * listener: the sockets on which clients arrive. Each proxy thread has its own on the same port
 * (SO_REUSEPORT), so the kernel spreads connections and no thread wakes for another's.
 *
 * SO_REUSEPORT would also let a second node of the same user share the port in silence. The first
 * socket is therefore bound and put to listening without it, which fails while anybody else
 * listens; only then it is opened for the others to join.
 */
#pragma once

#include "proxy/server.h"

/*
 * Binds n listening sockets to one address and port (0: a free one). ret_fds has room for n; on
 * failure nothing is left open.
 */
enum el_err proxy_listener_bind(const char *address, uint16_t port, unsigned n, int *ret_fds,
                                uint16_t *ret_port, struct el_error *err);

/* Thread: the proxy thread. Accepts until the connection limit or the descriptor limit is reached.
 */
struct proxy_listener {
    struct proxy_thread *thread;
    h2o_socket_t *sock; /* NULL: closed */
    bool is_tls;
    bool is_paused;
    struct proxy_timer retry;
};

void proxy_listener_open(struct proxy_listener *l, struct proxy_thread *t, int take_fd,
                         bool is_tls);
void proxy_listener_close(struct proxy_listener *l); /* a zeroed or closed one is fine */
