/* SPDX-License-Identifier: MIT */
/* http_socket: see the header. */
#include "common/http_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

struct el_http_socket {
    int fd;
    uint16_t local_port; /* 0: not asked for yet; a socket has none before it is connected */
};

void el_http_sockets_init(struct el_http_sockets *s)
{
    *s = (struct el_http_sockets){ 0 };
}

void el_http_sockets_deinit(struct el_http_sockets *s)
{
    free(s->v);
    el_http_sockets_init(s);
}

int el_http_socket_open(struct el_http_sockets *s, int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);

    if (fd < 0)
        return fd;
    if (s->n == s->cap) {
        s->cap = s->cap == 0 ? 16 : 2 * s->cap;
        s->v = realloc(s->v, s->cap * sizeof(s->v[0]));
        EL_ASSERT(s->v != NULL);
    }
    s->v[s->n++] = (struct el_http_socket){ .fd = fd };
    return fd;
}

void el_http_socket_close(struct el_http_sockets *s, int fd)
{
    size_t i = 0;

    while (i < s->n && s->v[i].fd != fd)
        i++;
    EL_ASSERT(i < s->n);
    s->v[i] = s->v[--s->n];
    (void)close(fd);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t n = sizeof(addr);

    if (getsockname(fd, (struct sockaddr *)&addr, &n) != 0)
        return 0;
    if (addr.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&addr)->sin_port);
    return addr.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&addr)->sin6_port) : 0;
}

static bool has_input(int fd)
{
    uint8_t byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
           (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

bool el_http_socket_is_quiet(struct el_http_sockets *s, uint16_t local_port)
{
    bool was_found = false;

    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].local_port == 0)
            s->v[i].local_port = port_of(s->v[i].fd);
        if (s->v[i].local_port != local_port || local_port == 0)
            continue;
        if (has_input(s->v[i].fd))
            return false;
        was_found = true;
    }
    return was_found;
}
