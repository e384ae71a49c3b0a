/* SPDX-License-Identifier: MIT */
/*
 * origin: a scripted HTTP server inside the test program, on raw sockets, so that a test decides
 * every byte on the wire. Each connection runs the script on a thread of its own; the requests'
 * heads are kept in the order they came.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/test.h"

#define ORIGIN_MAX_CONNS 64
#define ORIGIN_MAX_HEADS 256

struct origin;

struct origin_conn {
    struct origin *o;
    int fd;
    int index;        /* of the connection, from 0 */
    int request;      /* on this connection, from 0 */
    char head[16384]; /* of the last request, NUL-terminated */
    char extra[16384];
    size_t n_extra; /* bytes read behind the head */
    pthread_t thread;
};

struct origin {
    int fd;
    uint16_t port;
    void (*script)(struct origin_conn *c);
    pthread_t thread;
    pthread_mutex_t mtx;
    pthread_cond_t changed;
    struct origin_conn *conns[ORIGIN_MAX_CONNS];
    int n_conns;
    char *heads[ORIGIN_MAX_HEADS];
    int n_heads;
    bool gate; /* for scripts that wait for the test */
};

static inline void origin_keep_head(struct origin_conn *c)
{
    struct origin *o = c->o;

    pthread_mutex_lock(&o->mtx);
    assert_true(o->n_heads < ORIGIN_MAX_HEADS);
    o->heads[o->n_heads++] = strdup(c->head);
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->mtx);
}

/* The head of the next request; false when the peer went away before it. */
static inline bool origin_read_head(struct origin_conn *c)
{
    size_t n = c->n_extra;
    char *end;

    memcpy(c->head, c->extra, n);
    c->head[n] = '\0';
    while ((end = strstr(c->head, "\r\n\r\n")) == NULL) {
        ssize_t got = recv(c->fd, c->head + n, sizeof(c->head) - 1 - n, 0);

        if (got <= 0)
            return false;
        n += (size_t)got;
        c->head[n] = '\0';
    }
    end += 4;
    c->n_extra = n - (size_t)(end - c->head);
    memcpy(c->extra, end, c->n_extra);
    *end = '\0';
    origin_keep_head(c);
    c->request++;
    return true;
}

/* Reads n bytes of body, NULL to drop them; false when the peer went away. */
static inline bool origin_read_body(struct origin_conn *c, void *room, size_t n)
{
    char sink[65536];

    while (n > 0) {
        size_t want = n < sizeof(sink) ? n : sizeof(sink);
        ssize_t got;

        if (c->n_extra > 0) {
            got = (ssize_t)(c->n_extra < want ? c->n_extra : want);
            memcpy(sink, c->extra, (size_t)got);
            c->n_extra -= (size_t)got;
            memmove(c->extra, c->extra + got, c->n_extra);
        } else {
            got = recv(c->fd, sink, want, 0);
        }
        if (got <= 0)
            return false;
        if (room != NULL) {
            memcpy(room, sink, (size_t)got);
            room = (char *)room + got;
        }
        n -= (size_t)got;
    }
    return true;
}

static inline bool origin_send_raw(struct origin_conn *c, const void *bytes, size_t n)
{
    const char *p = bytes;

    while (n > 0) {
        ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static inline __attribute__((format(printf, 2, 3))) bool origin_send(struct origin_conn *c,
                                                                     const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    bool done;
    int n;

    va_start(args, fmt);
    n = vasprintf(&text, fmt, args);
    va_end(args);
    assert_true(n >= 0);
    done = origin_send_raw(c, text, (size_t)n);
    free(text);
    return done;
}

/* What stands at an offset of every test object. */
static inline uint8_t origin_byte(uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 251 + offset / 65521);
}

static inline void origin_fill(uint8_t *room, uint64_t first, size_t n)
{
    for (size_t i = 0; i < n; i++)
        room[i] = origin_byte(first + i);
}

static inline bool origin_send_object(struct origin_conn *c, uint64_t first, uint64_t end)
{
    uint8_t room[32768];

    while (first < end) {
        size_t n = end - first < sizeof(room) ? (size_t)(end - first) : sizeof(room);

        origin_fill(room, first, n);
        if (!origin_send_raw(c, room, n))
            return false;
        first += n;
    }
    return true;
}

/* The connection ends with a reset; the script returns after it. */
static inline void origin_reset(struct origin_conn *c)
{
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };

    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
}

/* Until the peer's kernel has all that was sent, the end of the connection among it. The mutex: its
 * thread closes it once the peer has left. */
static inline void origin_wait_arrived(struct origin_conn *c)
{
    struct tcp_info info;
    socklen_t n = sizeof(info);

    do {
        (void)poll(NULL, 0, 1);
        pthread_mutex_lock(&c->o->mtx);
        assert_int_equal(getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n), 0);
        pthread_mutex_unlock(&c->o->mtx);
    } while (info.tcpi_unacked > 0);
}

/* Until the peer closes its side (or resets); what it sends is dropped. */
static inline void origin_wait_gone(struct origin_conn *c)
{
    char sink[65536];

    while (recv(c->fd, sink, sizeof(sink), 0) > 0)
        ;
}

/* Scripts wait here until the test opens the gate. */
static inline void origin_wait_gate(struct origin_conn *c)
{
    struct origin *o = c->o;

    pthread_mutex_lock(&o->mtx);
    while (!o->gate)
        pthread_cond_wait(&o->changed, &o->mtx);
    pthread_mutex_unlock(&o->mtx);
}

static inline void origin_open_gate(struct origin *o)
{
    pthread_mutex_lock(&o->mtx);
    o->gate = true;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->mtx);
}

static inline void origin_wait_heads(struct origin *o, int n)
{
    pthread_mutex_lock(&o->mtx);
    while (o->n_heads < n)
        pthread_cond_wait(&o->changed, &o->mtx);
    pthread_mutex_unlock(&o->mtx);
}

static inline int origin_heads(struct origin *o)
{
    int n;

    pthread_mutex_lock(&o->mtx);
    n = o->n_heads;
    pthread_mutex_unlock(&o->mtx);
    return n;
}

static inline const char *origin_head(struct origin *o, int i)
{
    const char *head;

    origin_wait_heads(o, i + 1);
    pthread_mutex_lock(&o->mtx);
    head = o->heads[i];
    pthread_mutex_unlock(&o->mtx);
    return head;
}

static inline int origin_conns(struct origin *o)
{
    int n;

    pthread_mutex_lock(&o->mtx);
    n = o->n_conns;
    pthread_mutex_unlock(&o->mtx);
    return n;
}

/* Closing under the mutex: origin_stop() must not shut down a number that means something else. */
static inline void *origin_run_conn(void *arg)
{
    struct origin_conn *c = arg;

    c->o->script(c);
    pthread_mutex_lock(&c->o->mtx);
    (void)close(c->fd);
    c->fd = -1;
    pthread_mutex_unlock(&c->o->mtx);
    return NULL;
}

static inline void *origin_run(void *arg)
{
    struct origin *o = arg;
    int fd;

    while ((fd = accept(o->fd, NULL, NULL)) >= 0) {
        struct origin_conn *c = calloc(1, sizeof(*c));

        assert_non_null(c);
        c->o = o;
        c->fd = fd;
        pthread_mutex_lock(&o->mtx);
        assert_true(o->n_conns < ORIGIN_MAX_CONNS);
        c->index = o->n_conns;
        o->conns[o->n_conns++] = c;
        assert_int_equal(pthread_create(&c->thread, NULL, origin_run_conn, c), 0);
        pthread_mutex_unlock(&o->mtx);
    }
    return NULL;
}

static inline void origin_start(struct origin *o, void (*script)(struct origin_conn *c))
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(at);

    memset(o, 0, sizeof(*o));
    o->script = script;
    o->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(o->fd >= 0);
    assert_int_equal(bind(o->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(o->fd, 128), 0);
    assert_int_equal(getsockname(o->fd, (struct sockaddr *)&at, &n), 0);
    o->port = ntohs(at.sin_port);
    pthread_mutex_init(&o->mtx, NULL);
    pthread_cond_init(&o->changed, NULL);
    assert_int_equal(pthread_create(&o->thread, NULL, origin_run, o), 0);
}

/* After the client's connections are gone, or they are cut. */
static inline void origin_stop(struct origin *o)
{
    origin_open_gate(o);
    (void)shutdown(o->fd, SHUT_RDWR);
    (void)pthread_join(o->thread, NULL);
    (void)close(o->fd);
    for (int i = 0; i < o->n_conns; i++) {
        pthread_mutex_lock(&o->mtx);
        if (o->conns[i]->fd >= 0)
            (void)shutdown(o->conns[i]->fd, SHUT_RDWR);
        pthread_mutex_unlock(&o->mtx);
        (void)pthread_join(o->conns[i]->thread, NULL);
        free(o->conns[i]);
    }
    for (int i = 0; i < o->n_heads; i++)
        free(o->heads[i]);
    pthread_mutex_destroy(&o->mtx);
    pthread_cond_destroy(&o->changed);
}
