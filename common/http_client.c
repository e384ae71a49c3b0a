/* SPDX-License-Identifier: MIT */
/*
 * http_client: see the header. One thread runs one curl multi handle: an epoll set holds curl's
 * sockets and the eventfd of the queue by which other threads start, resume and cancel. curl calls
 * back from within its own calls, so nothing in a callback may remove a transfer: callbacks set
 * what the loop acts on.
 *
 *   start() -> message -> begin() -> [curl: open_socket, before_request, take_header, take_body,
 * fill_body]
 *                                  -> reap() or expire_stalled() or obey() -> finish()
 *
 * Failure modes worth knowing: curl answers CURLE_OK when a connection ends within the head, it
 * sends a request again on a new connection when a kept one turned out to be dead, and it would
 * read what an earlier answer left behind on a kept connection as the next answer; finish() and
 * before_request() see to them.
 */
#include "common/http_client.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/ssl.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/http_head.h"
#include "common/http_socket.h"

#define BUFFER_BYTES    (512 * 1024L)
#define MAX_CONNECTIONS 8192L /* kept ones and busy ones together */
#define MAX_EVENTS      128
/* curl reads on for as long as there is something, a hundred buffers: others have waited by then.
 */
#define TURN_MS    5u
#define CALL_MAGIC 0x48435431u

enum orders {
    ORDER_START = 1,
    ORDER_RESUME = 2,
    ORDER_CANCEL = 4,
};

struct el_http_client {
    /* immutable */
    struct el_http_client_conf conf;
    char *ca_file;
    char *thread_name;
    struct el_msgq *queue;
    pthread_t thread;
    bool has_thread;
    int epoll;
    CURLM *multi;
    struct el_http_sockets sockets;

    _Atomic unsigned calls_alive; /* started and not yet freed */

    /* the thread's */
    struct el_msg stop;
    bool is_stopping;
    uint64_t curl_due_ms;    /* when curl wants to be called; UINT64_MAX: not at all */
    struct el_list calls;    /* of el_http_call.link: given to curl */
    struct el_list waiting;  /* of el_http_call.stall: for the peer; the one silent longest first */
    struct el_timers timers; /* the caller's */
    struct el_list yielding; /* of el_http_call.turn */
    const struct el_http_call *turn_of; /* whose body comes; NULL: nobody's yet */
    uint64_t turn_ends_ms;
};

struct el_http_call {
    uint32_t magic;
    struct el_http_client *client;
    struct el_msg msg;
    _Atomic unsigned orders;

    /* the client's thread, once started */
    struct el_list link;
    struct el_list stall; /* on client->waiting unless paused, or not connected yet */
    struct el_list turn; /* on client->yielding: the rest of what curl has read comes in a moment */
    const struct el_http_ops *ops;
    void *arg;
    CURL *easy;
    struct curl_slist *fields;
    char curl_text[CURL_ERROR_SIZE];
    struct el_error err; /* why we made curl stop; code EL_OK when we did not */

    bool is_idempotent;
    unsigned attempts; /* of curl to send the request */
    unsigned sockets_opened, sockets_refused;
    bool is_spoiled; /* the kept connection it was given is not fit for use */

    struct el_http_head head;
    bool has_head;
    bool is_empty;    /* the head announces no byte of body */
    bool is_answered; /* though curl would ask again */
    bool is_in_paused, is_out_paused;
    int64_t body_left; /* of the request's body; < 0: chunked */
    bool body_was_taken;
    uint64_t bytes_in;
    uint64_t active_ms;     /* when a byte was last seen to move */
    curl_off_t seen_upload; /* bytes on the wire at that time */
};

static uint64_t now_ms(void)
{
    return el_clock_mono_ms(el_clock_system());
}

/* Thread: any. */
static void order(struct el_http_call *call, unsigned what)
{
    EL_ASSERT(call->magic == CALL_MAGIC);
    atomic_fetch_or(&call->orders, what);
    el_msgq_post(call->client->queue, &call->msg);
}

/* ---- the stall clock: runs while we wait for the peer and not for our own caller ---- */

static void touch(struct el_http_call *call)
{
    el_list_remove(&call->stall);
    if (call->is_in_paused || call->is_out_paused)
        return;
    call->active_ms = now_ms();
    el_list_append(&call->client->waiting, &call->stall);
}

/* curl empties its upload buffer without telling anyone: only its counter shows the progress. */
static bool upload_moved(struct el_http_call *call)
{
    curl_off_t sent = 0;

    if (curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &sent) != CURLE_OK)
        return false;
    if (sent == call->seen_upload)
        return false;
    call->seen_upload = sent;
    return true;
}

/* ---- curl's callbacks, in the order in which a call meets them ---- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct el_http_call *call = EL_CAST(arg, struct el_http_call, CALL_MAGIC);
    const struct el_http_client_conf *conf = &call->client->conf;

    (void)purpose;
    if (conf->address_allowed != NULL && !conf->address_allowed(conf->arg, &to->addr)) {
        call->sockets_refused++;
        return CURL_SOCKET_BAD;
    }
    call->sockets_opened++;
    return el_http_socket_open(&call->client->sockets, to->family, to->socktype, to->protocol);
}

/* The connection may have outlived the call that opened it, so it is the client's. */
static int close_socket(void *arg, curl_socket_t fd)
{
    struct el_http_client *c = arg;

    el_http_socket_close(&c->sockets, fd);
    return 0;
}

/*
 * Whether what comes next on the connection can be the answer to what we are about to send. What
 * waits there already is the rest of an earlier answer, which curl would take for the answer to
 * this request, or the end of the connection. Bytes are no such sign on a new connection (TLS 1.3
 * sends its tickets early), nor where HTTP/2 tells the answers apart by number.
 */
static bool connection_is_clean(struct el_http_call *call, int own_port)
{
    struct curl_tlssessioninfo *tls = NULL;
    const unsigned char *protocol = NULL;
    unsigned n = 0;

    if (call->sockets_opened > 0)
        return true;
    (void)curl_easy_getinfo(call->easy, CURLINFO_TLS_SSL_PTR, &tls);
    if (tls != NULL && tls->internals != NULL) {
        SSL_get0_alpn_selected(tls->internals, &protocol, &n);
        if (n == 2 && memcmp(protocol, "h2", 2) == 0)
            return true;
        if (SSL_has_pending(tls->internals))
            return false;
    }
    return el_http_socket_is_quiet(&call->client->sockets, (uint16_t)own_port);
}

/*
 * The connection stands and the request goes out next. The second time, curl found its kept
 * connection dead: whoever may not be repeated, or has no first byte of its body any more, fails.
 */
static int before_request(void *arg, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    struct el_http_call *call = EL_CAST(arg, struct el_http_call, CALL_MAGIC);

    (void)peer_ip;
    (void)own_ip;
    (void)peer_port;
    if (call->has_head) { /* a 417: curl drops its body, and would try again without Expect */
        call->is_answered = true;
        return CURL_PREREQFUNC_ABORT;
    }
    if (!connection_is_clean(call, own_port)) {
        call->is_spoiled = true;
        return CURL_PREREQFUNC_ABORT;
    }
    call->attempts++;
    if (call->attempts > 1 && (!call->is_idempotent || call->body_was_taken)) {
        el_fail(&call->err, EL_ERESET, 0, "the kept connection was lost under the request");
        return CURL_PREREQFUNC_ABORT;
    }
    touch(call);
    return CURL_PREREQFUNC_OK;
}

static size_t fill_body(char *room, size_t size, size_t count, void *arg)
{
    struct el_http_call *call = EL_CAST(arg, struct el_http_call, CALL_MAGIC);
    size_t n = size * count;
    ssize_t got;

    if (call->body_left >= 0)
        n = (size_t)el_min_u64(n, (uint64_t)call->body_left);
    if (n == 0)
        return 0;
    got = call->ops->on_body(call->arg, room, n);
    if (got == EL_HTTP_PAUSE) {
        call->is_out_paused = true;
        touch(call);
        return CURL_READFUNC_PAUSE;
    }
    if (got == EL_HTTP_ABORT) {
        el_fail(&call->err, EL_ECANCELED, 0, "the request's body was given up");
        return CURL_READFUNC_ABORT;
    }
    EL_ASSERT(got >= 0 && (size_t)got <= n);
    if (got == 0 && call->body_left > 0) {
        el_fail(&call->err, EL_ETRUNCATED, 0, "the request's body ended early");
        return CURL_READFUNC_ABORT;
    }
    if (got > 0)
        call->body_was_taken = true;
    if (call->body_left >= 0)
        call->body_left -= got;
    touch(call);
    return (size_t)got;
}

static enum el_err end_interim(struct el_http_call *call)
{
    int status = call->head.status;

    if (status == 101)
        return el_fail(&call->err, EL_EPROTO, 0, "an upgrade that was not asked for");
    if (status != 100 && call->ops->on_interim != NULL)
        call->ops->on_interim(call->arg, status, el_fields_view(&call->head.fields));
    el_http_head_clear(&call->head);
    return EL_OK;
}

static void end_head(struct el_http_call *call)
{
    struct el_fieldv fields = el_fields_view(&call->head.fields);
    struct el_str length;

    call->has_head = true;
    call->is_empty =
        el_fieldv_get(fields, EL_STR("Content-Length"), &length) && el_str_eq(length, EL_STR("0"));
    /* On an error curl stops sending, but would wait for a paused body for ever. */
    if (call->head.status >= 400 && call->is_out_paused)
        order(call, ORDER_RESUME);
    call->ops->on_head(call->arg, call->head.status, fields);
    el_http_head_clear(&call->head);
}

static size_t take_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct el_http_call *call = EL_CAST(arg, struct el_http_call, CALL_MAGIC);
    size_t n = size * count;
    bool is_complete;

    call->bytes_in += n;
    touch(call);
    if (call->has_head)
        return n; /* a trailer */
    if (el_http_head_line(&call->head, (struct el_str){ bytes, n }, &is_complete, &call->err) !=
        EL_OK)
        return 0;
    if (!is_complete)
        return n;
    if (call->head.status < 200)
        return end_interim(call) == EL_OK ? n : 0;
    end_head(call);
    return n;
}

/* Something of each answer is taken in each turn. */
static bool is_turn_over(struct el_http_call *call)
{
    struct el_http_client *c = call->client;
    uint64_t now = now_ms();

    if (c->turn_of == call)
        return now >= c->turn_ends_ms;
    c->turn_of = call;
    c->turn_ends_ms = now + TURN_MS;
    return false;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct el_http_call *call = EL_CAST(arg, struct el_http_call, CALL_MAGIC);
    size_t n = size * count;
    ssize_t taken;

    if (is_turn_over(call)) {
        el_list_append(&call->client->yielding, &call->turn);
        return CURL_WRITEFUNC_PAUSE;
    }
    taken = call->ops->on_data(call->arg, bytes, n);
    if (taken == EL_HTTP_PAUSE) {
        call->is_in_paused = true;
        touch(call);
        return CURL_WRITEFUNC_PAUSE;
    }
    if (taken == EL_HTTP_ABORT) {
        el_fail(&call->err, EL_ECANCELED, 0, "the answer's body was given up");
        return CURL_WRITEFUNC_ERROR;
    }
    EL_ASSERT(taken >= 0 && (size_t)taken == n);
    call->bytes_in += n;
    touch(call);
    return n;
}

/* ---- the end of a call ---- */

static enum el_err err_of_curl(const struct el_http_call *call, CURLcode code)
{
    if (call->is_answered)
        return call->is_empty ? EL_OK : EL_ETRUNCATED;
    switch ((int)code) { /* an open set: what is not named here is a malformed message */
    case CURLE_OK:
        return call->has_head ? EL_OK : EL_ETRUNCATED;
    case CURLE_COULDNT_RESOLVE_HOST:
        return EL_ERESOLVE;
    case CURLE_COULDNT_CONNECT:
        return call->sockets_refused > 0 && call->sockets_opened == 0 ? EL_EFORBIDDEN : EL_ECONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return EL_ETIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return EL_ETLS;
    case CURLE_PARTIAL_FILE:
        return EL_ETRUNCATED;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return EL_ERESET;
    case CURLE_OUT_OF_MEMORY:
        /* Also what curl says to a head line beyond its own limit. */
        return call->head.status != 0 ? EL_EPROTO : EL_ENOMEM;
    default:
        /* Garbage where a kept connection should bring a head is a leftover of the message before.
         */
        return call->head.status == 0 && el_http_call_was_reused(call) ? EL_ERESET : EL_EPROTO;
    }
}

static void free_call(struct el_http_call *call)
{
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->fields);
    el_http_head_deinit(&call->head);
    atomic_fetch_sub(&call->client->calls_alive, 1);
    free(call);
}

/* From the loop only. call->err says how it ended. */
static void finish(struct el_http_call *call)
{
    struct el_http_client *c = call->client;

    if (!el_list_empty(&call->link))
        (void)curl_multi_remove_handle(c->multi, call->easy); /* fails only when it is not there */
    el_list_remove(&call->link);
    el_list_remove(&call->stall);
    el_list_remove(&call->turn);
    call->ops->on_done(call->arg, call->err.code, &call->err);
    el_msgq_cancel(c->queue, &call->msg); /* an order that crossed with the end */
    free_call(call);
}

/*
 * Nothing was sent, and curl closed the spoiled connection as it gave up: there is one less each
 * time, and the last resort is a new one.
 */
static void start_over(struct el_http_call *call)
{
    struct el_http_client *c = call->client;

    call->is_spoiled = false;
    (void)curl_multi_remove_handle(c->multi, call->easy); /* fails only when it is not there */
    EL_ASSERT(curl_multi_add_handle(c->multi, call->easy) == CURLM_OK);
}

static void finish_with_curl_code(struct el_http_call *call, CURLcode code)
{
    enum el_err rc;

    if (call->is_spoiled) {
        start_over(call);
        return;
    }
    rc = err_of_curl(call, code);
    if (call->err.code == EL_OK && rc != EL_OK) {
        const char *text = call->curl_text[0] != '\0' ? call->curl_text : curl_easy_strerror(code);

        if (code == CURLE_OK)
            text = "the connection ended within the head";
        el_fail(&call->err, rc, 0, "%s", text);
    }
    finish(call);
}

static void finish_with(struct el_http_call *call, enum el_err code, const char *text)
{
    el_fail(&call->err, code, 0, "%s", text);
    finish(call);
}

/* ---- from a request to curl's options ---- */

static bool is_framing(struct el_str name)
{
    return el_str_ieq(name, EL_STR("Content-Length")) ||
           el_str_ieq(name, EL_STR("Transfer-Encoding"));
}

static bool is_printable(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    return s.n > 0;
}

static bool is_host(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

        if (!is_alnum && (c == '\0' || strchr("-._:", c) == NULL))
            return false;
    }
    return s.n > 0 && s.n <= 255;
}

/* What could end a line early, or frame the body twice, never reaches the wire. */
static enum el_err check_request(const struct el_http_request *req, struct el_error *err)
{
    for (size_t i = 0; i < req->fields.n; i++) {
        const struct el_field *f = &req->fields.v[i];

        if (!el_http_is_token(f->name) || !el_http_is_value(f->value) || is_framing(f->name))
            return el_fail(err, EL_EINVAL, 0, "a field that cannot be sent");
    }
    if (!el_http_is_token(req->method) || !is_printable(req->target) || !is_host(req->host))
        return el_fail(err, EL_EINVAL, 0, "a request line that cannot be sent");
    if (!el_str_eq(req->scheme, EL_STR("http")) && !el_str_eq(req->scheme, EL_STR("https")))
        return el_fail(err, EL_EINVAL, 0, "a scheme that is not spoken");
    if (el_str_eq(req->method, EL_STR("HEAD")) && req->body_length != EL_HTTP_BODY_NONE &&
        req->body_length != 0)
        return el_fail(err, EL_EUNSUPPORTED, 0, "a HEAD with a body");
    return EL_OK;
}

static bool method_is_idempotent(struct el_str method)
{
    static const char *const unsafe[] = { "POST", "PATCH", "CONNECT", "LOCK" };

    for (size_t i = 0; i < EL_COUNT(unsafe); i++)
        if (el_str_eq(method, el_str_of(unsafe[i])))
            return false;
    return true;
}

static void add_line(struct el_http_call *call, const char *line)
{
    struct curl_slist *longer = curl_slist_append(call->fields, line);

    EL_ASSERT(longer != NULL);
    call->fields = longer;
}

static void set_fields(struct el_http_call *call, const struct el_http_request *req)
{
    struct el_buf line;

    el_buf_init(&line);
    for (size_t i = 0; i < req->fields.n; i++) {
        const struct el_field *f = &req->fields.v[i];

        el_buf_clear(&line);
        el_buf_add_str(&line, f->name);
        if (f->value.n > 0) {
            el_buf_add_str(&line, EL_STR(": "));
            el_buf_add_str(&line, f->value);
        } else {
            el_buf_add_byte(&line, ';'); /* curl's way to write a field without a value */
        }
        add_line(call, line.p);
    }
    el_buf_deinit(&line);
    if (!el_fieldv_has(req->fields, EL_STR("Accept")))
        add_line(call, "Accept:");
    if (!el_fieldv_has(req->fields, EL_STR("Expect")))
        add_line(call, "Expect:");
    (void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->fields);
}

static void set_method(struct el_http_call *call, const struct el_http_request *req)
{
    char *method = el_strndup(req->method.p, req->method.n);
    bool wants_length =
        strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;

    call->is_idempotent = method_is_idempotent(req->method);
    call->body_left = req->body_length == EL_HTTP_BODY_NONE ? 0 : req->body_length;
    if (strcmp(method, "HEAD") == 0) {
        if (req->body_length == 0)
            add_line(call, "Content-Length: 0");
        (void)curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
    } else if (req->body_length != EL_HTTP_BODY_NONE || wants_length) {
        (void)curl_easy_setopt(call->easy, CURLOPT_UPLOAD, 1L);
        if (call->body_left >= 0)
            (void)curl_easy_setopt(call->easy, CURLOPT_INFILESIZE_LARGE,
                                   (curl_off_t)call->body_left);
        (void)curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
    } else {
        (void)curl_easy_setopt(call->easy, CURLOPT_HTTPGET, 1L);
        (void)curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
    }
    free(method);
}

static void set_target(struct el_http_call *call, const struct el_http_request *req)
{
    bool is_ipv6 = el_str_find(req->host, ':') < req->host.n;
    struct el_buf url, target;

    el_buf_init(&url);
    el_buf_addf(&url, "%.*s://%s%.*s%s:%u/", EL_STR_ARG(req->scheme), is_ipv6 ? "[" : "",
                EL_STR_ARG(req->host), is_ipv6 ? "]" : "", (unsigned)req->port);
    el_buf_init(&target);
    el_buf_add_str(&target, req->target);
    (void)curl_easy_setopt(call->easy, CURLOPT_URL, url.p);
    (void)curl_easy_setopt(call->easy, CURLOPT_REQUEST_TARGET, target.p);
    (void)curl_easy_setopt(call->easy, CURLOPT_PATH_AS_IS, 1L);
    el_buf_deinit(&url);
    el_buf_deinit(&target);
}

/* Nothing from the environment, nothing remembered between calls, nothing followed or decoded. */
static void set_plainness(CURL *easy)
{
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
}

static void set_transport(CURL *easy, const struct el_http_client *c, bool is_tls)
{
    const struct el_http_client_conf *conf = &c->conf;

    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)conf->connect_timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)conf->call_timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                           is_tls && conf->http2 ? (long)CURL_HTTP_VERSION_2TLS
                                                 : (long)CURL_HTTP_VERSION_1_1);
    if (c->ca_file != NULL)
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, conf->insecure_tls ? 0L : 1L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, conf->insecure_tls ? 0L : 2L);
}

static void set_callbacks(struct el_http_call *call)
{
    CURL *easy = call->easy;

    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_text);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    (void)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, call->client);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, fill_body);
    (void)curl_easy_setopt(easy, CURLOPT_READDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
}

/* ---- orders, on the client's thread ---- */

static void begin(struct el_http_call *call)
{
    struct el_http_client *c = call->client;
    CURLMcode rc;

    if (call->err.code != EL_OK) {
        finish(call);
        return;
    }
    rc = curl_multi_add_handle(c->multi, call->easy);
    if (rc != CURLM_OK) {
        finish_with(call, EL_ENOMEM, curl_multi_strerror(rc));
        return;
    }
    el_list_append(&c->calls, &call->link);
}

/* Delivers at once what curl kept back, so a callback may pause again, or fail. */
static void let_flow(struct el_http_call *call)
{
    CURLcode code;

    el_list_remove(&call->turn);
    call->client->turn_of = NULL;
    code = curl_easy_pause(call->easy, call->is_out_paused ? CURLPAUSE_SEND : CURLPAUSE_CONT);
    if (code != CURLE_OK) {
        finish_with_curl_code(call, code);
        return;
    }
    call->client->curl_due_ms = 0; /* go on now, not when the socket next stirs */
}

static void resume(struct el_http_call *call)
{
    if (el_list_empty(&call->link) || (!call->is_in_paused && !call->is_out_paused))
        return;
    call->is_in_paused = false;
    call->is_out_paused = false;
    touch(call);
    let_flow(call);
}

static void obey(struct el_msg *m)
{
    struct el_http_call *call = EL_ENTRY(m, struct el_http_call, msg);
    unsigned orders = atomic_exchange(&call->orders, 0);

    EL_ASSERT(call->magic == CALL_MAGIC);
    if ((orders & ORDER_CANCEL) != 0 || call->client->is_stopping) {
        finish_with(call, EL_ECANCELED, "cancelled");
        return;
    }
    if ((orders & ORDER_START) != 0)
        begin(call);
    else if ((orders & ORDER_RESUME) != 0)
        resume(call);
}

static void stop_all(struct el_msg *m)
{
    struct el_http_client *c = EL_ENTRY(m, struct el_http_client, stop);

    c->is_stopping = true;
    while (!el_list_empty(&c->calls))
        finish_with(EL_ENTRY(c->calls.next, struct el_http_call, link), EL_ECANCELED, "cancelled");
}

/* ---- the loop ---- */

static void reap(struct el_http_client *c)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        CURLcode code = m->data.result;
        char *arg = NULL;

        EL_ASSERT(m->msg == CURLMSG_DONE);
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &arg);
        finish_with_curl_code(EL_CAST(arg, struct el_http_call, CALL_MAGIC), code);
    }
}

static void expire_stalled(struct el_http_client *c)
{
    uint64_t now = now_ms();

    while (!el_list_empty(&c->waiting)) {
        struct el_http_call *call = EL_ENTRY(c->waiting.next, struct el_http_call, stall);

        if (call->active_ms + c->conf.stall_timeout_ms > now)
            return;
        if (upload_moved(call))
            touch(call);
        else
            finish_with(call, EL_ETIMEOUT, "no byte moved within the stall timeout");
    }
}

static void run_timers(struct el_http_client *c)
{
    uint64_t now = now_ms();
    int running;

    el_timers_run(&c->timers, now);
    if (c->curl_due_ms <= now) {
        c->curl_due_ms = UINT64_MAX;
        (void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

static int wait_ms(const struct el_http_client *c)
{
    uint64_t due = el_min_u64(c->curl_due_ms, el_timers_due_ms(&c->timers)), now;

    if (!el_list_empty(&c->yielding))
        return 0;
    if (!el_list_empty(&c->waiting))
        due = el_min_u64(due, EL_ENTRY(c->waiting.next, struct el_http_call, stall)->active_ms +
                                  c->conf.stall_timeout_ms);
    if (due == UINT64_MAX)
        return -1;
    now = now_ms();
    return due <= now ? 0 : (int)el_min_u64(due - now, 60000);
}

/* Errors and hang-ups are read, not reported: an answer may still stand before them. */
static int curl_bits(uint32_t events)
{
    int bits = 0;

    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0)
        bits |= CURL_CSELECT_IN;
    if ((events & EPOLLOUT) != 0)
        bits |= CURL_CSELECT_OUT;
    return bits;
}

static void run_events(struct el_http_client *c, const struct epoll_event *v, int n)
{
    bool has_messages = false;
    int running;

    for (int i = 0; i < n; i++) {
        if (v[i].data.fd == el_msgq_fd(c->queue))
            has_messages = true;
        else
            (void)curl_multi_socket_action(c->multi, v[i].data.fd, curl_bits(v[i].events),
                                           &running);
    }
    reap(c);
    if (has_messages)
        el_msgq_dispatch(c->queue);
}

/* Those that yield again are for the next round. */
static void run_yielding(struct el_http_client *c)
{
    struct el_list all;

    el_list_move(&all, &c->yielding);
    while (!el_list_empty(&all))
        let_flow(EL_ENTRY(all.next, struct el_http_call, turn));
}

static void *run(void *arg)
{
    struct el_http_client *c = arg;
    struct epoll_event events[MAX_EVENTS];

    (void)pthread_setname_np(pthread_self(), c->thread_name); /* cosmetic */
    while (!c->is_stopping || atomic_load(&c->calls_alive) > 0) {
        int n = epoll_wait(c->epoll, events, MAX_EVENTS, wait_ms(c));

        EL_ASSERT(n >= 0 || errno == EINTR);
        c->turn_of = NULL;
        run_events(c, events, n);
        run_yielding(c);
        c->turn_of = NULL;
        run_timers(c);
        reap(c);
        expire_stalled(c);
    }
    return NULL;
}

static int watch_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct el_http_client *c = arg;

    (void)multi;
    if (timeout_ms < 0)
        c->curl_due_ms = UINT64_MAX;
    else if (timeout_ms == 0)
        c->curl_due_ms = 0;
    else /* Rounded up: called too early, curl does nothing and does not ask again. */
        c->curl_due_ms = now_ms() + (uint64_t)timeout_ms + 1;
    return 0;
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct el_http_client *c = arg;
    struct epoll_event e = { .data.fd = fd };

    (void)easy;
    (void)socket_arg;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(c->epoll, EPOLL_CTL_DEL, fd, NULL); /* closing it has the same effect */
        return 0;
    }
    if ((what & CURL_POLL_IN) != 0)
        e.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0)
        e.events |= EPOLLOUT;
    if (epoll_ctl(c->epoll, EPOLL_CTL_MOD, fd, &e) == 0)
        return 0;
    return errno == ENOENT && epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -1;
}

/* ---- public ---- */

static void init_curl(void)
{
    EL_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static void set_multi(struct el_http_client *c)
{
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, watch_timer);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, MAX_CONNECTIONS);
    if (c->conf.max_connections_per_host > 0)
        (void)curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                                (long)c->conf.max_connections_per_host);
}

static struct el_http_client *alloc_client(const struct el_http_client_conf *conf)
{
    struct el_http_client *c = el_new(struct el_http_client);

    c->conf = *conf;
    if (conf->ca_file != NULL)
        c->ca_file = el_strndup(conf->ca_file, strlen(conf->ca_file));
    c->thread_name = el_strndup(conf->thread_name, strlen(conf->thread_name));
    c->curl_due_ms = UINT64_MAX;
    c->epoll = -1;
    el_http_sockets_init(&c->sockets);
    el_list_init(&c->calls);
    el_list_init(&c->waiting);
    el_list_init(&c->yielding);
    el_timers_init(&c->timers);
    el_msg_init(&c->stop, stop_all);
    return c;
}

enum el_err el_http_client_new(const struct el_http_client_conf *conf,
                               struct el_http_client **ret_client, struct el_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct epoll_event wake = { .events = EPOLLIN };
    struct el_http_client *c = alloc_client(conf);
    enum el_err rc;
    int sys;

    EL_ASSERT(pthread_once(&once, init_curl) == 0);
    rc = el_msgq_new(&c->queue, err);
    if (rc != EL_OK)
        goto fail;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    wake.data.fd = el_msgq_fd(c->queue);
    if (c->epoll < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, wake.data.fd, &wake) != 0) {
        rc = el_fail(err, EL_ESYS, errno, "epoll");
        goto fail;
    }
    c->multi = curl_multi_init();
    if (c->multi == NULL) {
        rc = el_fail(err, EL_ENOMEM, 0, "curl_multi_init");
        goto fail;
    }
    set_multi(c);
    sys = pthread_create(&c->thread, NULL, run, c);
    if (sys != 0) {
        rc = el_fail(err, EL_ESYS, sys, "a thread for HTTP requests");
        goto fail;
    }
    c->has_thread = true;
    *ret_client = c;
    return EL_OK;
fail:
    el_http_client_free(c);
    return rc;
}

void el_http_client_free(struct el_http_client *c)
{
    if (c == NULL)
        return;
    if (c->has_thread) {
        el_msgq_post(c->queue, &c->stop);
        (void)pthread_join(c->thread, NULL); /* it exists and is joined nowhere else */
    }
    if (c->multi != NULL)
        (void)curl_multi_cleanup(c->multi); /* closes what was kept */
    el_http_sockets_deinit(&c->sockets);
    if (c->epoll >= 0)
        (void)close(c->epoll);
    el_msgq_free(c->queue);
    free(c->ca_file);
    free(c->thread_name);
    free(c);
}

static struct el_http_call *alloc_call(struct el_http_client *c, const struct el_http_request *req)
{
    struct el_http_call *call = el_new(struct el_http_call);

    call->magic = CALL_MAGIC;
    call->client = c;
    call->ops = req->ops;
    call->arg = req->arg;
    el_list_init(&call->link);
    el_list_init(&call->stall);
    el_list_init(&call->turn);
    el_http_head_init(&call->head);
    el_msg_init(&call->msg, obey);
    return call;
}

void el_http_client_start(struct el_http_client *c, const struct el_http_request *req,
                          struct el_http_call **ret_call)
{
    struct el_http_call *call = alloc_call(c, req);

    if (check_request(req, &call->err) == EL_OK) {
        call->easy = curl_easy_init();
        EL_ASSERT(call->easy != NULL);
        set_plainness(call->easy);
        set_transport(call->easy, c, el_str_eq(req->scheme, EL_STR("https")));
        set_callbacks(call);
        set_target(call, req);
        set_method(call, req);
        set_fields(call, req);
    }
    atomic_fetch_add(&c->calls_alive, 1);
    *ret_call = call;
    order(call, ORDER_START);
}

void el_http_call_resume(struct el_http_call *call)
{
    order(call, ORDER_RESUME);
}

void el_http_call_cancel(struct el_http_call *call)
{
    order(call, ORDER_CANCEL);
}

uint64_t el_http_call_bytes_in(const struct el_http_call *call)
{
    return call->bytes_in;
}

bool el_http_call_was_reused(const struct el_http_call *call)
{
    long connects = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
    return connects == 0;
}

void el_http_client_post(struct el_http_client *c, struct el_msg *m)
{
    el_msgq_post(c->queue, m);
}

struct el_timers *el_http_client_timers(struct el_http_client *c)
{
    return &c->timers;
}
