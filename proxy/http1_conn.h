/* SPDX-License-Identifier: MIT */
/*
 * http1_conn: the inside of an HTTP/1 connection, shared by its three files: http1.c (life, input,
 * heads), http1_body.c (bodies of requests) and http1_out.c (responses). See http1.c for the
 * states.
 */
#pragma once

#include "common/buf.h"
#include "proxy/http1_parse.h"
#include "proxy/server.h"

#define HTTP1_MAGIC 0x68747470u

enum http1_state {
    HTTP1_HANDSHAKE,
    HTTP1_IDLE,
    HTTP1_HEAD,
    HTTP1_BUSY,
    HTTP1_FLUSHING,
    HTTP1_SKIPPING,
    HTTP1_LINGER,
    HTTP1_CLOSED,
};

/* How the end of the response's body is told. */
enum http1_framing { HTTP1_NO_BODY, HTTP1_LENGTH, HTTP1_CHUNKED, HTTP1_CLOSE };

/* Bytes received and not yet used: p[off] to p[n]. */
struct http1_in {
    char *p;
    size_t off, n, cap;
};

/* The body of the present request. */
struct http1_body {
    bool is_chunked;
    bool is_done;     /* all of it was consumed, or there is none */
    uint64_t left;    /* not chunked: bytes not yet consumed */
    uint64_t given;   /* chunked: bytes consumed so far, for the limit */
    size_t offered;   /* what the last read returned */
    enum el_err code; /* why it is unusable */
    struct proxy_chunked chunked;
};

struct http1_response {
    bool has_head, is_head_sent; /* send_head() was called; some byte of it left */
    enum http1_framing framing;
    uint64_t left;       /* HTTP1_LENGTH: bytes promised and not yet taken */
    uint64_t chunk_left; /* HTTP1_CHUNKED: of the chunk whose size was announced */
};

/* Thread: the proxy thread that accepted it. Freed by a proxy_later, so that no callback loses it.
 */
struct http1_conn {
    uint32_t magic;
    enum http1_state state;
    struct proxy_stream stream; /* of the present request; each request uses it anew */
    struct proxy_member member;
    struct proxy_later later;
    struct proxy_timer timer; /* what it means depends on the state */
    h2o_socket_t *sock;       /* NULL once it is closed or was handed over */
    int fd;
    SSL_CTX *tls;       /* NULL: plain */
    SSL_CTX *inner_tls; /* what is to follow the answer to an intercepted CONNECT; else NULL */
    char *inside;       /* the target of that CONNECT; NULL: none was intercepted */
    const struct proxy_stream_events *events;
    void *arg;
    bool is_advancing;   /* proxy_http1_advance() is on the stack */
    bool is_reading;     /* the loop watches for input */
    bool is_eof;         /* no more input will come */
    bool is_gone;        /* the client cannot be answered any more */
    bool keep_alive;     /* after the present response */
    bool is_counted;     /* the thread counts it as busy */
    bool saw_crlf;       /* an empty line was skipped in front of this head */
    bool sent_continue;  /* 100 Continue went out */
    bool wants_body;     /* on_body is owed */
    bool wants_writable; /* on_writable is owed */
    bool is_writing;     /* the loop reports when more can be written (TLS: the write in flight) */
    struct http1_in in;
    size_t scanned; /* see proxy_http1_head_end() */
    char *head;     /* where the present head was copied; its slices point here */
    size_t head_cap;
    struct el_field *fields;
    size_t fields_cap;
    struct http1_body body;
    struct http1_response res;
    struct el_buf out; /* heads and framing not yet sent, from out_off */
    size_t out_off;
    size_t turn_bytes;  /* sent since the loop last ran */
    int unsent_seen;    /* what the kernel still held when the timer was set */
    uint64_t discarded; /* SKIPPING, LINGER */
    char client[INET6_ADDRSTRLEN + 8];
};

/* ---- http1.c ---- */
void proxy_http1_move(struct http1_conn *c, enum http1_state to);
/* Does what can be done now; may call the request's events and on_request. */
void proxy_http1_advance(struct http1_conn *c);
/* From inside a call of the stream's owner: proxy_http1_advance(), now or later, but not in this
 * call. */
void proxy_http1_advance_later(struct http1_conn *c);
void proxy_http1_close(struct http1_conn *c);
/* The client is lost while a request is there. */
void proxy_http1_tell_gone(struct http1_conn *c);
/* Takes what has arrived, as far as there is room. */
void proxy_http1_receive(struct http1_conn *c);
void proxy_http1_consume(struct http1_conn *c, size_t n);
/* More of the body has to come, within the time for it. */
void proxy_http1_await_body(struct http1_conn *c);
/* Bytes wait for the client to take some: within the time for it. */
void proxy_http1_await_writable(struct http1_conn *c);
/* Everything was sent: on to the next request, or to the end of the connection. */
void proxy_http1_finish(struct http1_conn *c);
struct http1_conn *proxy_http1_conn_of(struct proxy_stream *s);

/* ---- http1_body.c ---- */
void proxy_http1_body_begin(struct http1_conn *c, int64_t length);
enum el_err proxy_http1_body_read(struct proxy_stream *s, const void **ret_bytes, size_t *ret_n,
                                  bool *ret_end);
void proxy_http1_body_consume(struct proxy_stream *s, size_t n);
/* Input came, or will not come any more: calls on_body when it is owed. */
void proxy_http1_body_wake(struct http1_conn *c);
/* Drops what has arrived of the body. False: more has to come. */
bool proxy_http1_body_skip(struct http1_conn *c);

/* ---- http1_out.c ---- */
void proxy_http1_send_head(struct proxy_stream *s, int status, struct el_str fields,
                           int64_t body_length);
bool proxy_http1_flush(struct proxy_stream *s);
void proxy_http1_send_interim(struct proxy_stream *s, int status, struct el_str fields);
ssize_t proxy_http1_push(struct proxy_stream *s, const struct proxy_piece *piece);
void proxy_http1_end(struct proxy_stream *s);
void proxy_http1_abort(struct proxy_stream *s);
/* Answers a CONNECT whose tunnel ends here; proxy_http1_finish() follows. */
void proxy_http1_establish(struct http1_conn *c);
/* Answers a message that is no request, and closes. */
void proxy_http1_refuse(struct http1_conn *c, const struct proxy_http1_refusal *why);
/* Whether the client took bytes since this was last asked. */
bool proxy_http1_out_progressed(struct http1_conn *c);
