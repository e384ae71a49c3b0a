/* SPDX-License-Identifier: MIT */
/*
 * http_socket: the sockets under libcurl's connections, found again by their local port, which is
 * the only name by which curl tells the connection that a request is about to use. Internal to the
 * HTTP client.
 * Thread: the client's.
 */
#pragma once

#include <sys/socket.h>

#include "common/base.h"

struct el_http_sockets {
    struct el_http_socket *v;
    size_t n, cap;
};

void el_http_sockets_init(struct el_http_sockets *s);
/* Forgets them; closes none. */
void el_http_sockets_deinit(struct el_http_sockets *s);

/* Returns the socket, < 0 with errno. */
int el_http_socket_open(struct el_http_sockets *s, int family, int type, int protocol);
void el_http_socket_close(struct el_http_sockets *s, int fd);

/*
 * Whether nothing waits to be read on the sockets of that local port, and none has ended. Several
 * share a port when they lead to different peers: then it is said of all of them. False when there
 * is none.
 */
bool el_http_socket_is_quiet(struct el_http_sockets *s, uint16_t local_port);
