/* SPDX-License-Identifier: MIT */
/*
 * wire: a proxy_server whose requests are answered by a script in their path, and a client that
 * speaks in raw bytes, for the tests of the message layer.
 *
 *   /ok          200 "hello"                  /len/N     N bytes from memory
 *   /count       reads the body, says length  /file/N    N bytes with a file behind them
 *   /ignore      200, body not read           /chunked/N N bytes of unknown length
 *   /hold        never answers                /cut/N     half of N bytes, then abort()
 *   /lazy        reads the body when told     /status/S  status S without body
 *   /date        a Date of its own            /interim   103, then 200
 */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/http_client.h"
#include "proxy/server.h"
#include "proxy/tunnel.h"

#include "tests/lib/test.h"

#define WIRE_CONTENT_BYTES (32 * EL_MIB)
#define WIRE_PATIENCE_MS   10000

struct wire {
    struct proxy_server *server;
    char *content; /* WIRE_CONTENT_BYTES of a pattern, also at content_fd */
    int content_fd;
    _Atomic unsigned requests, gone, finished;
    _Atomic uint64_t body_bytes;
    _Atomic bool may_read; /* /lazy goes on */
    _Atomic int tunnel_code;
    _Atomic unsigned tunnels_ended;
    _Atomic uint64_t tunnel_up, tunnel_down; /* of the last one */
    _Atomic unsigned by_thread[8];
};

/* libh2o keeps spare chunks for each thread and has no call to free them when the thread ends. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle";
}

/* What the proxy's side of a test remembers of one request. */
struct wire_req {
    struct wire *w;
    struct proxy_stream *s;
    uint64_t sent, total, body;
    bool from_file, is_cut, counts;
    struct proxy_timer poll;
};

static inline uint8_t wire_byte(uint64_t i)
{
    return (uint8_t)(i ^ i >> 8 ^ i >> 16 ^ 0x55);
}

/* ---- the proxy's side ---- */

static inline void wire_done(struct wire_req *r)
{
    proxy_timer_stop(&r->poll);
    atomic_fetch_add(&r->w->finished, 1);
    free(r);
}

static inline void wire_pump(struct wire_req *r)
{
    uint64_t end = r->is_cut ? r->total / 2 : r->total;

    while (r->sent < end) {
        struct proxy_piece piece = { .mem = r->w->content + r->sent,
                                     .n = el_min_u64(end - r->sent, EL_MIB),
                                     .fd = r->from_file ? r->w->content_fd : -1,
                                     .offset = r->sent };
        ssize_t n = r->s->ops->push(r->s, &piece);

        if (n < 0) {
            r->s->ops->abort(r->s);
            wire_done(r);
            return;
        }
        r->sent += (uint64_t)n;
        if ((size_t)n < piece.n)
            return;
    }
    if (r->is_cut)
        r->s->ops->abort(r->s);
    else
        r->s->ops->end(r->s);
    wire_done(r);
}

static inline void wire_answer_text(struct wire_req *r, int status, const char *fields,
                                    const char *text)
{
    struct proxy_piece piece = { .mem = text, .n = strlen(text), .fd = -1 };

    r->s->ops->send_head(r->s, status, el_str_of(fields), (int64_t)piece.n);
    (void)r->s->ops->push(r->s, &piece);
    r->s->ops->end(r->s);
    wire_done(r);
}

/* Reads the body as far as it goes; the answer says how long it was, or why it failed. */
static inline void wire_read_body(struct wire_req *r)
{
    const void *bytes;
    size_t n;
    bool is_end, is_right = true;
    enum el_err rc;
    char text[32];

    while ((rc = r->s->ops->body_read(r->s, &bytes, &n, &is_end)) == EL_OK && n > 0) {
        for (size_t i = 0; i < n; i++)
            is_right &= ((const uint8_t *)bytes)[i] == wire_byte(r->body + i);
        r->body += n;
        atomic_fetch_add(&r->w->body_bytes, n);
        r->s->ops->body_consume(r->s, n);
    }
    if (rc == EL_OK && !is_right)
        rc = EL_EHASH;
    if (rc != EL_OK) {
        wire_answer_text(r, 400, "", el_err_name(rc));
    } else if (is_end) {
        (void)snprintf(text, sizeof(text), "%lu", (unsigned long)r->body);
        wire_answer_text(r, 200, "", text);
    }
}

static inline void wire_poll(struct proxy_timer *tm)
{
    struct wire_req *r = EL_ENTRY(tm, struct wire_req, poll);

    if (atomic_load(&r->w->may_read)) {
        r->counts = true;
        wire_read_body(r);
        return;
    }
    proxy_timer_start(r->s->thread, &r->poll, 10, wire_poll);
}

static inline void wire_on_writable(void *arg)
{
    wire_pump(arg);
}

static inline void wire_on_body(void *arg)
{
    struct wire_req *r = arg;

    if (r->counts)
        wire_read_body(r);
}

static inline void wire_on_gone(void *arg)
{
    struct wire_req *r = arg;

    atomic_fetch_add(&r->w->gone, 1);
    r->s->ops->abort(r->s);
    wire_done(r);
}

static const struct proxy_stream_events wire_events = {
    .on_writable = wire_on_writable,
    .on_body = wire_on_body,
    .on_gone = wire_on_gone,
};

static inline void wire_on_tunnel(void *arg, enum el_err code, const struct el_error *err)
{
    struct wire_req *r = arg;

    atomic_store(&r->w->tunnel_code, (int)code);
    if (code != EL_OK)
        wire_answer_text(r, el_err_status(code), "", err->text);
}

static inline void wire_on_tunnel_end(void *arg, uint64_t up, uint64_t down)
{
    struct wire_req *r = arg;

    atomic_store(&r->w->tunnel_up, up);
    atomic_store(&r->w->tunnel_down, down);
    atomic_fetch_add(&r->w->tunnels_ended, 1);
    wire_done(r);
}

static inline bool wire_allows(void *arg, const struct sockaddr *addr)
{
    (void)arg; /* 127.0.0.9 plays the address that nobody may reach */
    return addr->sa_family != AF_INET ||
           ((const struct sockaddr_in *)addr)->sin_addr.s_addr != htonl(0x7f000009);
}

static inline void wire_connect(struct wire_req *r)
{
    struct el_str host = el_str_first(r->s->head.target, el_str_find(r->s->head.target, ':'));
    const struct proxy_tunnel_user user = { .address_allowed = wire_allows,
                                            .on_done = wire_on_tunnel,
                                            .on_end = wire_on_tunnel_end,
                                            .arg = r };
    uint64_t port = 0;

    (void)el_str_u64(el_str_from(r->s->head.target, host.n + 1), 65535, &port);
    proxy_tunnel_start(r->s->thread, r->s, host, (uint16_t)port, &user);
}

static inline uint64_t wire_number(struct el_str path, const char *prefix)
{
    uint64_t n = 0;

    (void)el_str_u64(el_str_from(path, strlen(prefix)), WIRE_CONTENT_BYTES, &n);
    return n;
}

static inline void wire_send(struct wire_req *r, const char *prefix, bool is_known)
{
    r->total = wire_number(r->s->head.target, prefix);
    r->s->ops->send_head(r->s, 200, EL_STR(""), is_known ? (int64_t)r->total : -1);
    wire_pump(r);
}

static inline void wire_send_status(struct wire_req *r)
{
    r->s->ops->send_head(r->s, (int)wire_number(r->s->head.target, "/status/"), EL_STR(""),
                         EL_HTTP_BODY_NONE);
    r->s->ops->end(r->s);
    wire_done(r);
}

static inline bool wire_is(const struct wire_req *r, const char *prefix)
{
    return el_str_starts(r->s->head.target, el_str_of(prefix));
}

static inline void wire_on_request(void *arg, struct proxy_thread *t, struct proxy_stream *s)
{
    struct wire_req *r = el_new(struct wire_req);

    r->w = arg;
    r->s = s;
    atomic_fetch_add(&r->w->requests, 1);
    atomic_fetch_add(&r->w->by_thread[t->index], 1);
    s->ops->listen(s, &wire_events, r);
    r->from_file = wire_is(r, "/file/");
    r->is_cut = wire_is(r, "/cut/") || wire_is(r, "/cutchunked/");
    if (el_str_eq(s->head.method, EL_STR("CONNECT"))) {
        wire_connect(r);
    } else if (wire_is(r, "/len/")) {
        wire_send(r, "/len/", true);
    } else if (wire_is(r, "/file/")) {
        wire_send(r, "/file/", true);
    } else if (wire_is(r, "/cut/")) {
        wire_send(r, "/cut/", true);
    } else if (wire_is(r, "/chunked/")) {
        wire_send(r, "/chunked/", false);
    } else if (wire_is(r, "/cutchunked/")) {
        wire_send(r, "/cutchunked/", false);
    } else if (wire_is(r, "/status/")) {
        wire_send_status(r);
    } else if (wire_is(r, "/count")) {
        r->counts = true;
        wire_read_body(r);
    } else if (wire_is(r, "/lazy")) {
        proxy_timer_start(t, &r->poll, 10, wire_poll);
    } else if (wire_is(r, "/date")) {
        wire_answer_text(r, 200, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "old");
    } else if (wire_is(r, "/interim")) {
        s->ops->send_interim(s, 103, EL_STR("Link: </a>\r\n"));
        wire_answer_text(r, 200, "", "final");
    } else if (!wire_is(r, "/hold")) {
        wire_answer_text(r, 200, "X-Test: yes\r\n", "hello");
    }
}

/* ---- start and stop ---- */

static inline struct proxy_server_conf wire_conf(struct wire *w)
{
    return (struct proxy_server_conf){
        .bind_address = "127.0.0.1",
        .tls_cert = "",
        .tls_key = "",
        .threads = 1,
        .limits = { .max_connections = 100,
                    .max_head_bytes = 8192,
                    .head_timeout_ms = 10000,
                    .idle_timeout_ms = 10000,
                    .body_timeout_ms = 10000 },
        .on_request = wire_on_request,
        .arg = w,
    };
}

static inline void wire_start(struct wire *w, const struct proxy_server_conf *conf)
{
    struct el_error err = { 0 };

    w->content_fd = memfd_create("content", MFD_CLOEXEC);
    assert_int_equal(ftruncate(w->content_fd, WIRE_CONTENT_BYTES), 0);
    w->content =
        mmap(NULL, WIRE_CONTENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, w->content_fd, 0);
    assert_true(w->content != MAP_FAILED);
    for (uint64_t i = 0; i < WIRE_CONTENT_BYTES; i++)
        w->content[i] = (char)wire_byte(i);
    if (proxy_server_start(conf, &w->server, &err) != EL_OK)
        fail_msg("start: %s", err.text);
}

static inline void wire_stop(struct wire *w)
{
    proxy_server_stop(w->server);
    assert_int_equal(atomic_load(&w->finished), atomic_load(&w->requests));
    (void)munmap(w->content, WIRE_CONTENT_BYTES);
    (void)close(w->content_fd);
}

/* ---- the client's side ---- */

static inline int wire_dial_port(uint16_t port, int receive_bytes)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (receive_bytes > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static inline int wire_dial(struct wire *w)
{
    return wire_dial_port(proxy_server_port(w->server), 0);
}

static inline void wire_say_bytes(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;

    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

        assert_true(sent > 0);
        p += sent;
        n -= (size_t)sent;
    }
}

static inline void wire_say(int fd, const char *text)
{
    wire_say_bytes(fd, text, strlen(text));
}

/* What recv() says within the patience: 0 at the end, -1 for a reset. */
static inline ssize_t wire_hear_some(int fd, void *room, size_t n)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    if (poll(&p, 1, WIRE_PATIENCE_MS) != 1)
        fail_msg("nothing was heard for %d ms", WIRE_PATIENCE_MS);
    return recv(fd, room, n, 0);
}

/* Everything until the connection ends, as a string in a buffer of the test's. */
static inline size_t wire_hear_all(int fd, char *room, size_t cap)
{
    size_t n = 0;
    ssize_t got;

    while (n < cap - 1 && (got = wire_hear_some(fd, room + n, cap - 1 - n)) > 0)
        n += (size_t)got;
    room[n] = '\0';
    return n;
}

/* Until the text was heard; what came is in the buffer. */
static inline void wire_hear_until(int fd, const char *text, char *room, size_t cap)
{
    size_t n = 0;

    room[0] = '\0';
    while (strstr(room, text) == NULL) {
        ssize_t got = n < cap - 1 ? wire_hear_some(fd, room + n, cap - 1 - n) : 0;

        if (got <= 0)
            fail_msg("\"%s\" did not come, but: %s", text, room);
        n += (size_t)got;
        room[n] = '\0';
    }
}

/* Says it on a connection of its own and hears until the server closes. */
static inline char *wire_exchange(struct wire *w, const char *request, char *room, size_t cap)
{
    int fd = wire_dial(w);

    wire_say(fd, request);
    (void)wire_hear_all(fd, room, cap);
    (void)close(fd);
    return room;
}

static inline void wire_nap(void)
{
    (void)usleep(2000);
}

/* For what happens on the other side, which the test cannot see on its socket. */
#define WIRE_WAIT_FOR(claim)                             \
    do {                                                 \
        for (int wire_i = 0; !(claim); wire_i++) {       \
            if (wire_i > WIRE_PATIENCE_MS / 2)           \
                fail_msg("never came true: %s", #claim); \
            wire_nap();                                  \
        }                                                \
    } while (0)
