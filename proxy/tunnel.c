/* SPDX-License-Identifier: MIT */
/*
 *   [LOOKUP] --addresses--> [DIAL] --connected: on_done(EL_OK)--> [COPY] --both ended, error,
 * idle--> gone \                     |  ^ next address \                    |--+
 *         +-------------------+--> on_done(why) --> gone
 *
 * COPY: each direction has at most one buffer under way. It is read, then written, and only when
 * all of it was taken the next is read; so a slow reader holds back the writer, through the kernel.
 */
#include "proxy/tunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>

#include <h2o/hostinfo.h>

#define DIAL_MS       5000
#define IDLE_MS       (5 * 60 * 1000)
#define FAREWELL_MS   10000
#define COPY_BYTES    (64 * 1024)
#define MAX_ADDRESSES 8
#define MAX_LOOKUPS   16 /* threads of libh2o's that wait for the resolver */
#define TUNNEL_MAGIC  0x74756e6eu

static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";

struct tunnel;

/* One of the two ends. What it sends is in sock->input until the other end has taken it. */
struct side {
    struct tunnel *tunnel;
    h2o_socket_t *sock;
    size_t writing;  /* bytes of the other side's input being written here */
    uint64_t sent;   /* bytes of its own that the other end has taken */
    bool is_writing; /* a write is in flight */
    bool is_reading;
    bool is_eof;  /* sends nothing more */
    bool is_shut; /* was told that nothing more comes */
};

enum { CLIENT, TARGET };

struct address {
    struct sockaddr_storage addr;
    socklen_t n;
};

struct tunnel {
    uint32_t magic;
    struct proxy_thread *thread;
    struct proxy_stream *stream; /* NULL once it was taken, or on_done was called */
    struct proxy_tunnel_user user;
    char *host; /* owned */
    uint16_t port;
    bool is_looking_up, is_closed;
    bool is_established; /* on_end is owed */
    struct address addresses[MAX_ADDRESSES];
    size_t n_addresses, next;
    struct el_error why; /* of the last failure */
    struct proxy_timer timer;
    struct proxy_later later;
    struct proxy_member member;
    struct side sides[2];
};

static struct tunnel *tunnel_of(void *p)
{
    return EL_CAST(p, struct tunnel, TUNNEL_MAGIC);
}

/* ---- end ---- */

static void free_tunnel(struct proxy_later *l)
{
    struct tunnel *t = EL_ENTRY(l, struct tunnel, later);

    free(t->host);
    t->magic = 0;
    free(t);
}

/* The client's TLS wants to say goodbye; one who does not read it is not waited for. */
static void close_side(struct side *side)
{
    int ms = FAREWELL_MS;

    if (side->sock == NULL)
        return;
    if (side->sock->ssl != NULL)
        (void)setsockopt(h2o_socket_get_fd(side->sock), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms,
                         sizeof(ms));
    h2o_socket_close(side->sock);
    side->sock = NULL;
}

/* A lookup cannot be called off: its answer frees the tunnel then. */
static void close_tunnel(struct tunnel *t)
{
    if (t->is_closed)
        return;
    t->is_closed = true;
    proxy_timer_stop(&t->timer);
    close_side(&t->sides[CLIENT]);
    close_side(&t->sides[TARGET]);
    if (t->member.link.next != NULL)
        proxy_thread_part(t->thread, &t->member);
    if (t->is_established)
        t->user.on_end(t->user.arg, t->sides[CLIENT].sent, t->sides[TARGET].sent);
    if (t->is_looking_up)
        return;
    proxy_thread_leave(t->thread);
    proxy_thread_later(t->thread, &t->later, free_tunnel);
}

static void fail(struct tunnel *t)
{
    t->stream->ops->listen(t->stream, NULL, NULL);
    t->stream = NULL;
    t->user.on_done(t->user.arg, t->why.code, &t->why);
    close_tunnel(t);
}

/* ---- copy ---- */

static void copy(struct tunnel *t, unsigned from);

static void on_idle(struct proxy_timer *tm)
{
    close_tunnel(EL_ENTRY(tm, struct tunnel, timer));
}

static void note_life(struct tunnel *t)
{
    proxy_timer_start(t->thread, &t->timer, IDLE_MS, on_idle);
}

static unsigned index_of(const struct side *side)
{
    return side == &side->tunnel->sides[CLIENT] ? CLIENT : TARGET;
}

static void on_written(h2o_socket_t *sock, const char *err)
{
    struct side *to = sock->data;
    struct tunnel *t = tunnel_of(to->tunnel);
    unsigned from = index_of(to) == CLIENT ? TARGET : CLIENT;

    to->is_writing = false;
    if (err != NULL) {
        close_tunnel(t);
        return;
    }
    h2o_buffer_consume(&t->sides[from].sock->input, to->writing);
    t->sides[from].sent += to->writing;
    to->writing = 0;
    note_life(t);
    copy(t, from);
}

/* Into sock->input. libh2o does that for TLS; its own way for plain sockets has no bound. */
static void receive(struct side *side)
{
    h2o_iovec_t room = h2o_buffer_reserve(&side->sock->input, COPY_BYTES);
    ssize_t n = recv(h2o_socket_get_fd(side->sock), room.base, COPY_BYTES, 0);

    if (n > 0)
        side->sock->input->size += (size_t)n;
    else if (n == 0)
        side->is_eof = true;
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        close_tunnel(side->tunnel);
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    struct side *side = sock->data;
    struct tunnel *t = tunnel_of(side->tunnel);

    if (sock->ssl == NULL)
        receive(side);
    else if (err != NULL)
        side->is_eof = true;
    if (t->is_closed)
        return;
    note_life(t);
    copy(t, index_of(side));
}

static void set_reading(struct side *side, bool wants)
{
    if (side->is_reading == wants)
        return;
    side->is_reading = wants;
    if (wants)
        h2o_socket_read_start(side->sock, on_read);
    else
        h2o_socket_read_stop(side->sock);
}

/* TLS cannot end one direction only: there the first end is the end of all. */
static void pass_end(struct tunnel *t, struct side *to)
{
    struct side *other = to == &t->sides[CLIENT] ? &t->sides[TARGET] : &t->sides[CLIENT];

    if (to->is_shut)
        return;
    to->is_shut = true;
    if (other->is_shut || to->sock->ssl != NULL)
        close_tunnel(t);
    else
        (void)shutdown(h2o_socket_get_fd(to->sock), SHUT_WR);
}

/* Does what can be done now for the bytes that side `from` sends. */
static void copy(struct tunnel *t, unsigned from)
{
    struct side *source = &t->sides[from], *to = &t->sides[from == CLIENT ? TARGET : CLIENT];
    h2o_iovec_t bytes = { source->sock->input->bytes, source->sock->input->size };

    set_reading(source, bytes.len == 0 && !source->is_eof && !to->is_writing);
    if (to->is_writing)
        return;
    if (bytes.len > 0) {
        to->is_writing = true;
        to->writing = bytes.len;
        h2o_socket_write(to->sock, &bytes, 1, on_written);
    } else if (source->is_eof) {
        pass_end(t, to);
    }
}

static void drain(struct proxy_member *m)
{
    (void)m; /* it is counted as busy, and has until the deadline */
}

static void drop(struct proxy_member *m)
{
    close_tunnel(EL_ENTRY(m, struct tunnel, member));
}

static void adopt(struct tunnel *t, unsigned which, h2o_socket_t *take_sock)
{
    t->sides[which].sock = take_sock;
    take_sock->data = &t->sides[which];
    if (take_sock->ssl == NULL)
        h2o_socket_dont_read(take_sock, 1);
}

/* The client's first bytes may have come with its request: they are in its input already. */
static void tell_established(struct tunnel *t)
{
    t->is_established = true;
    t->user.on_done(t->user.arg, EL_OK, NULL);
}

static void start_copying(struct tunnel *t, h2o_socket_t *take_target)
{
    struct proxy_stream *s = t->stream;
    h2o_iovec_t answer = { (char *)(uintptr_t)established, sizeof(established) - 1 };
    h2o_socket_t *client = s->ops->take_socket(s);

    t->stream = NULL;
    adopt(t, TARGET, take_target);
    if (client == NULL) {
        tell_established(t);
        close_tunnel(t);
        return;
    }
    adopt(t, CLIENT, client);
    t->member = (struct proxy_member){ .drain = drain, .drop = drop };
    proxy_thread_join(t->thread, &t->member);
    note_life(t);
    tell_established(t);
    t->sides[CLIENT].is_writing = true;
    h2o_socket_write(client, &answer, 1, on_written);
    copy(t, CLIENT);
}

/* ---- dial ---- */

static void dial_next(struct tunnel *t);

static void on_dial_late(struct proxy_timer *tm)
{
    struct tunnel *t = EL_ENTRY(tm, struct tunnel, timer);

    (void)el_fail(&t->why, EL_ETIMEOUT, 0, "%s port %u does not answer", t->host,
                  (unsigned)t->port);
    close_side(&t->sides[TARGET]);
    dial_next(t);
}

static void on_connected(h2o_socket_t *sock, const char *err)
{
    struct tunnel *t = tunnel_of(((struct side *)sock->data)->tunnel);

    proxy_timer_stop(&t->timer);
    t->sides[TARGET].sock = NULL;
    if (err == NULL) {
        start_copying(t, sock);
        return;
    }
    h2o_socket_close(sock);
    (void)el_fail(&t->why, EL_ECONNECT, 0, "%s port %u refuses or cannot be reached", t->host,
                  (unsigned)t->port);
    dial_next(t);
}

static void dial_next(struct tunnel *t)
{
    h2o_socket_t *sock = NULL;

    for (; t->next < t->n_addresses && sock == NULL; t->next++) {
        struct address *a = &t->addresses[t->next];
        struct sockaddr *addr = (struct sockaddr *)&a->addr;

        if (t->user.address_allowed != NULL &&
            !t->user.address_allowed(t->user.allowed_arg, addr)) {
            (void)el_fail(&t->why, EL_EFORBIDDEN, 0, "the address of %s is not allowed", t->host);
            continue;
        }
        sock = h2o_socket_connect(t->thread->loop, addr, a->n, on_connected);
        if (sock == NULL)
            (void)el_fail(&t->why, EL_ECONNECT, errno, "connect to %s", t->host);
    }
    if (sock == NULL) {
        fail(t);
        return;
    }
    t->sides[TARGET].sock = sock;
    sock->data = &t->sides[TARGET];
    proxy_timer_start(t->thread, &t->timer, DIAL_MS, on_dial_late);
}

/* ---- lookup ---- */

static void add_address(struct tunnel *t, const struct sockaddr *addr, socklen_t n)
{
    struct address *a = &t->addresses[t->n_addresses];

    if (t->n_addresses == MAX_ADDRESSES || n > sizeof(a->addr) ||
        (addr->sa_family != AF_INET && addr->sa_family != AF_INET6))
        return;
    memcpy(&a->addr, addr, n);
    a->n = n;
    if (addr->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->addr)->sin6_port = htons(t->port);
    else
        ((struct sockaddr_in *)&a->addr)->sin_port = htons(t->port);
    t->n_addresses++;
}

static void on_looked_up(h2o_hostinfo_getaddr_req_t *req, const char *errstr, struct addrinfo *res,
                         void *arg)
{
    struct tunnel *t = tunnel_of(arg);

    (void)req;
    t->is_looking_up = false;
    if (t->is_closed) {
        proxy_thread_leave(t->thread);
        proxy_thread_later(t->thread, &t->later, free_tunnel);
        return;
    }
    for (; res != NULL; res = res->ai_next)
        add_address(t, res->ai_addr, res->ai_addrlen);
    (void)el_fail(&t->why, EL_ERESOLVE, 0, "%s: %s", t->host,
                  errstr != NULL ? errstr : "no address");
    dial_next(t);
}

/* True: the host is an address itself. */
static bool parse_address(struct tunnel *t)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

    if (inet_pton(AF_INET, t->host, &in.sin_addr) == 1)
        add_address(t, (struct sockaddr *)&in, sizeof(in));
    else if (inet_pton(AF_INET6, t->host, &in6.sin6_addr) == 1)
        add_address(t, (struct sockaddr *)&in6, sizeof(in6));
    return t->n_addresses > 0;
}

static void begin(struct proxy_later *l)
{
    struct tunnel *t = EL_ENTRY(l, struct tunnel, later);
    char port[8];
    h2o_iovec_t name = { t->host, strlen(t->host) }, service = { port, 0 };

    if (parse_address(t)) {
        dial_next(t);
        return;
    }
    service.len = (size_t)snprintf(port, sizeof(port), "%u", (unsigned)t->port);
    t->is_looking_up = true;
    (void)h2o_hostinfo_getaddr(&t->thread->h2o.receivers.hostinfo_getaddr, name, service, AF_UNSPEC,
                               SOCK_STREAM, IPPROTO_TCP, AI_ADDRCONFIG | AI_NUMERICSERV,
                               on_looked_up, t);
}

static void on_gone(void *arg)
{
    struct tunnel *t = tunnel_of(arg);

    (void)el_fail(&t->why, EL_ERESET, 0, "the client left while %s was dialled", t->host);
    fail(t);
}

static const struct proxy_stream_events dial_events = { .on_gone = on_gone };

void proxy_tunnel_start(struct proxy_thread *t, struct proxy_stream *s, struct el_str host,
                        uint16_t port, const struct proxy_tunnel_user *user)
{
    struct tunnel *tn = el_new(struct tunnel);

    tn->magic = TUNNEL_MAGIC;
    tn->thread = t;
    tn->stream = s;
    tn->user = *user;
    tn->host = el_strndup(host.p, host.n);
    tn->port = port;
    tn->sides[CLIENT].tunnel = tn->sides[TARGET].tunnel = tn;
    proxy_thread_enter(t);
    s->ops->listen(s, &dial_events, tn);
    proxy_thread_later(t, &tn->later, begin);
}
