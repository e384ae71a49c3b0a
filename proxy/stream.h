/* SPDX-License-Identifier: MIT */
/*
 * stream: one request and its response on a client's connection, whatever carries it. http1.c
 * implements it on plain and TLS sockets, h2.c on libh2o's HTTP/2. req.c, deliver.c, pass.c and
 * tunnel.c are written against this and know no wire.
 *
 * Thread: the proxy thread that accepted the connection, for everything.
 *
 * Life: the connection parses a head and calls on_request with a stream; the request keeps it until
 * it calls end() or abort(), after which the stream must not be touched (the connection may reuse
 * its memory for the next request at once). Callbacks never run from inside a call below.
 */
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include "common/fields.h"
#include "common/msgq.h"

struct proxy_stream;
struct proxy_thread;
struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* The request's head, parsed and checked (RFC 9112 framing rules); slices live as long as the
 * stream. */
struct proxy_head {
    struct el_str method;
    struct el_str target; /* as received: origin, absolute, authority or asterisk form */
    struct el_str host;   /* the Host field; empty in HTTP/1.0 without one */
    int minor_version;    /* of HTTP/1; 1 for HTTP/2 */
    bool is_http2;
    struct el_str inside; /* the target of the intercepted CONNECT in which it came; else empty */
    struct el_fieldv fields; /* all of them, framing included, in order */
    int64_t
        body_length; /* EL_HTTP_BODY_NONE, EL_HTTP_BODY_CHUNKED or a count (common/http_client.h) */
    bool expects_continue;
};

/* What the request wants to hear of; all on the proxy's thread, never from inside a call. */
struct proxy_stream_events {
    void (*on_writable)(
        void *arg);             /* push() may be called again after it returned less than asked */
    void (*on_body)(void *arg); /* body_read() has bytes, or the end, or an error */
    void (*on_gone)(
        void *arg); /* the client went away or timed out: abort() is the only call left */
};

/* Bytes to send. fd >= 0: the same bytes are at offset of that file and may be sent with sendfile.
 */
struct proxy_piece {
    const void *mem;
    size_t n;
    int fd;
    uint64_t offset;
};

struct proxy_stream_ops {
    void (*listen)(struct proxy_stream *s, const struct proxy_stream_events *ev, void *arg);
    /*
     * The response's head: fields are "Name: value\r\n" lines, end-to-end only; the stream adds the
     * framing, Connection and, when there is none, Date. body_length: a count, or
     * EL_HTTP_BODY_CHUNKED when unknown, or EL_HTTP_BODY_NONE when the status or method admits
     * none; for HEAD it is the length that a GET would have. It is kept and goes out with the first
     * bytes that push() is given, or with flush() or end().
     */
    void (*send_head)(struct proxy_stream *s, int status, struct el_str fields,
                      int64_t body_length);
    /* The head leaves now, for the body may be long in coming. False: the client is gone (on_gone
     * will not come as well). Nothing happens when it has left. */
    bool (*flush)(struct proxy_stream *s);
    /* A 1xx, at once; dropped for HTTP/1.0 and HTTP/2. */
    void (*send_interim)(struct proxy_stream *s, int status, struct el_str fields);
    /*
     * Sends or takes up to piece->n bytes of body: how many; 0 or fewer than n means wait for
     * on_writable; -1: the client is gone (on_gone will not come as well). Bytes taken need not
     * stay valid afterwards, except those of fd, whose pages the kernel may still refer to
     * (cache/cache.h).
     */
    ssize_t (*push)(struct proxy_stream *s, const struct proxy_piece *piece);
    /* The next bytes of the request's body, borrowed until body_consume: n == 0 and *end: it is
     * complete; n == 0 and !*end: wait for on_body. EL_OK, or why the body is unusable (EL_EBADREQ,
     * EL_ERESET, EL_ETIMEOUT). */
    enum el_err (*body_read)(struct proxy_stream *s, const void **ret_bytes, size_t *ret_n,
                             bool *ret_end);
    void (*body_consume)(struct proxy_stream *s, size_t n);
    /* The body of the response is complete. The connection goes on (keep-alive) or closes, as the
     * messages demand. */
    void (*end)(struct proxy_stream *s);
    /* The response cannot be completed: the framing is broken on purpose so that the client
     * notices. */
    void (*abort)(struct proxy_stream *s);
    /*
     * CONNECT on HTTP/1, before any answer: the socket becomes the caller's, who says "200" on it;
     * bytes already received are in sock->input. The stream is gone. NULL: the client was, too. The
     * pointer itself is NULL where that is impossible (HTTP/2): answer 501.
     */
    struct st_h2o_socket_t *(*take_socket)(struct proxy_stream *s);
    /*
     * CONNECT on a plain HTTP/1 connection, before any answer: says "200", serves TLS with the
     * context (a reference) and hands on the requests inside, whose head says so. The stream is
     * gone. NULL where take_socket is.
     */
    void (*intercept)(struct proxy_stream *s, struct ssl_ctx_st *take_tls);
};

struct proxy_stream {
    const struct proxy_stream_ops *ops;
    struct proxy_thread *thread;
    struct proxy_head head;
    const char *client; /* "192.0.2.1:4711", for logs; lives as long as the stream */
    bool is_tls;
    bool is_own;         /* the node asks itself (proxy/fetch.h): it need not say who it is */
    uint64_t started_ns; /* when the first byte of the head came */
    uint64_t body_bytes_sent;
    bool wants_sendfile; /* pieces with an fd are worth it on this connection */
};
