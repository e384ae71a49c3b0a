/* SPDX-License-Identifier: MIT */
/* raw_http: bytes to a port of this machine and back, for tests that want to see the wire. */
#pragma once

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/test.h"

static inline int raw_connect(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval limit = { .tv_sec = 20 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static inline void raw_send(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        assert_true(sent > 0);
        bytes += sent;
        n -= (size_t)sent;
    }
}

/* Everything up to the end of the stream, NUL-terminated; free() it. Closes fd. */
static inline char *raw_read_all(int fd)
{
    size_t n = 0, cap = 65536;
    char *p = (char *)malloc(cap);
    ssize_t got;

    assert_non_null(p);
    while ((got = recv(fd, p + n, cap - n - 1, 0)) > 0) {
        n += (size_t)got;
        if (cap - n < 4096) {
            cap *= 2;
            p = (char *)realloc(p, cap);
            assert_non_null(p);
        }
    }
    assert_int_equal(got, 0);
    (void)close(fd);
    p[n] = '\0';
    return p;
}

/* One request on a connection of its own; it should say "Connection: close". free() the answer. */
static inline char *raw_exchange(uint16_t port, const char *request)
{
    int fd = raw_connect(port);

    raw_send(fd, request, strlen(request));
    return raw_read_all(fd);
}

static inline char *raw_get(uint16_t port, const char *path)
{
    char request[512];

    (void)snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", path);
    return raw_exchange(port, request);
}
