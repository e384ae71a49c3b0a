/* SPDX-License-Identifier: MIT */
/*
 * link_state: the life of a link on its thread; link.h has the picture. Whatever goes wrong comes
 * back as an error to p2p_link_step(), which is the one place that ends a link for it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "p2p/link.h"

/* A host that confirms nothing is gone: the kernel would wait ever longer before it sends again. */
#define UNHEARD_MS 5000
#define LINGER_MS  200u
#define STALL_MS   10000u /* a peer that takes not one byte of what waits for it */
/* What the kernel holds unsent: 5 ms at 200 Mbit/s, so that short frames do not wait for more. */
#define NOT_SENT (128 * 1024)

static bool may_follow(enum p2p_link_state from, enum p2p_link_state to)
{
    static const uint8_t table[] = {
        [P2P_LINK_NEW] = 1 << P2P_LINK_CONNECTING | 1 << P2P_LINK_TLS | 1 << P2P_LINK_HELLO,
        [P2P_LINK_CONNECTING] = 1 << P2P_LINK_HTTP | 1 << P2P_LINK_TLS | 1 << P2P_LINK_HELLO,
        [P2P_LINK_HTTP] = 1 << P2P_LINK_TLS | 1 << P2P_LINK_HELLO,
        [P2P_LINK_TLS] = 1 << P2P_LINK_HELLO,
        [P2P_LINK_HELLO] = 1 << P2P_LINK_PROOF,
        [P2P_LINK_PROOF] = 1 << P2P_LINK_UP,
        [P2P_LINK_UP] = 0,
        [P2P_LINK_LINGERING] = 0,
        [P2P_LINK_OVER] = 0,
    };

    if (to == P2P_LINK_OVER)
        return from != P2P_LINK_OVER;
    if (to == P2P_LINK_LINGERING)
        return from < P2P_LINK_LINGERING;
    return (table[from] >> to & 1) != 0;
}

void p2p_link_set_state(struct p2p_link *l, enum p2p_link_state state)
{
    EL_ASSERT(may_follow(l->state, state));
    l->state = state;
}

static void set_timer(struct p2p_link *l, uint64_t in_ms)
{
    el_timer_start(&l->thread->timers, &l->timer, l->thread->now_ms + in_ms);
}

/* ---- the end ---- */

static void free_io(struct p2p_link *l)
{
    el_timer_stop(&l->timer);
    el_list_remove(&l->ready);
    el_list_remove(&l->of_thread);
    p2p_tls_end(l);
    if (l->has_reader)
        p2p_reader_deinit(&l->reader);
    if (l->fd >= 0)
        (void)close(l->fd); /* epoll forgets it with that */
    l->fd = -1;
}

static void leave_half_open(struct p2p_link *l)
{
    if (el_list_empty(&l->half_open))
        return;
    el_list_remove(&l->half_open);
    l->thread->n_half_open--;
}

static void be_over(struct p2p_link *l)
{
    p2p_link_set_state(l, P2P_LINK_OVER);
    free_io(l);
    if (l->is_known)
        p2p_link_report_down(l, &l->why); /* from here on it is the engine's */
    else
        p2p_link_free(l);
}

static void add_farewell(struct p2p_link *l)
{
    struct p2p_refusal r = { .code = (uint32_t)l->why.code };
    char text[P2P_MAX_TEXT];
    size_t n = el_min_size(strlen(l->why.text), sizeof(text));

    for (size_t i = 0; i < n; i++)
        text[i] = l->why.text[i] >= 0x20 && l->why.text[i] <= 0x7e ? l->why.text[i] : '?';
    r.text = (struct el_str){ text, n };
    p2p_error_add(&l->out.bytes, l->peer.version != 0 ? l->peer.version : P2P_VERSION_HELLO, NULL,
                  0, &r);
}

/* Between frames, and where there is something to say. */
static bool may_tell(const struct p2p_link *l)
{
    bool is_talking = l->state >= P2P_LINK_HELLO && l->state <= P2P_LINK_UP;

    return is_talking && l->why.code != EL_OK && l->why.code != EL_ERESET && l->out.body == NULL;
}

/* Nothing else is left to be said. False: it could not be said at once. */
static bool tell(struct p2p_link *l)
{
    struct el_error err = { 0 };

    add_farewell(l);
    if (p2p_link_write(l, &err) != EL_OK)
        return false;
    return l->out.done == l->out.bytes.n && !p2p_stream_has_rest(l) &&
           shutdown(l->fd, SHUT_WR) == 0;
}

static void unplace(struct p2p_link *l)
{
    const struct p2p_net_conf *conf = &l->net->conf;

    if (l->placed == NULL)
        return;
    conf->ops->unplaced(conf->arg, l, &l->reader.frame.chunk, l->placed);
    l->placed = NULL;
}

static void count_up(struct p2p_link *l, int64_t by)
{
    el_gauge_add(l->net->metrics.links, by);
    if (l->is_http)
        el_gauge_add(l->net->metrics.http_links, by);
}

void p2p_link_end(struct p2p_link *l, const struct el_error *why)
{
    bool is_handshake = l->state > P2P_LINK_HTTP && l->state < P2P_LINK_UP;
    bool is_failure = why->code != EL_OK && why->code != EL_ESHUTDOWN && why->code != EL_ECANCELED;
    bool tells;

    l->why = *why;
    if (is_handshake && is_failure)
        p2p_thread_refused(l, why);
    if (why->code == EL_EHASH)
        el_counter_add(l->net->metrics.bad_blocks, 1);
    leave_half_open(l);
    unplace(l);
    if (l->is_counted)
        count_up(l, -1);
    l->is_counted = false;
    tells = may_tell(l);
    p2p_link_drop_out(l, why->code == EL_OK ? EL_ECANCELED : why->code);
    if (!tells || !tell(l)) {
        be_over(l);
        return;
    }
    p2p_link_set_state(l, P2P_LINK_LINGERING);
    set_timer(l, LINGER_MS);
}

static void end_with(struct p2p_link *l, enum el_err code, const char *text)
{
    struct el_error why = { 0 };

    (void)el_fail(&why, code, 0, "%s", text);
    p2p_link_end(l, &why);
}

/* ---- deadlines ---- */

static void ping(struct p2p_link *l)
{
    struct p2p_ping p = { .role = P2P_QUESTION, .stamp = el_clock_mono_ns(el_clock_system()) };

    l->ping_stamp = p.stamp;
    l->pinged_ms = l->thread->now_ms;
    p2p_ping_add(&l->owed, l->peer.version, 0, &p);
}

/* When something has to be done about the other's silence; UINT64_MAX: never. */
static uint64_t silence_due(const struct p2p_link *l)
{
    if (l->expects == 0)
        return UINT64_MAX;
    if (l->pinged_ms != 0)
        return l->pinged_ms + P2P_DEAD_MS;
    return el_max_u64(l->in_ms, l->expected_ms) + l->expects;
}

static uint64_t stall_due(const struct p2p_link *l)
{
    bool is_stalled = !l->is_writable && (l->out.body != NULL || l->out.done < l->out.bytes.n ||
                                          p2p_stream_has_rest(l));

    return is_stalled ? l->out_ms + STALL_MS : UINT64_MAX;
}

static uint64_t idle_due(const struct p2p_link *l)
{
    return l->expects == 0 ? l->used_ms + l->net->conf.idle_ms : UINT64_MAX;
}

static void set_due(struct p2p_link *l)
{
    uint64_t due = el_min_u64(silence_due(l), idle_due(l));

    /* A stall may begin at any time: it is looked for often enough. */
    due = el_min_u64(due, l->thread->now_ms + STALL_MS / 4);
    el_timer_start(&l->thread->timers, &l->timer, due);
}

static void look_at(struct p2p_link *l)
{
    uint64_t now = l->thread->now_ms;

    if (l->is_readable) /* it has spoken, and was not listened to yet */
        l->in_ms = now;
    if (now >= stall_due(l)) {
        end_with(l, EL_ETIMEOUT, "the peer takes nothing of what is sent");
        return;
    }
    if (now >= idle_due(l)) {
        end_with(l, EL_OK, "idle");
        return;
    }
    if (now >= silence_due(l)) {
        if (l->pinged_ms != 0 && !l->is_readable) {
            end_with(l, EL_ETIMEOUT, "the peer is silent");
            return;
        }
        ping(l);
        p2p_link_make_ready(l);
    }
    set_due(l);
}

/* ---- the beginning ---- */

/* None of these is needed for what is right. */
static void tune(int fd)
{
    int one = 1, not_sent = NOT_SENT, unheard = UNHEARD_MS;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard, sizeof(unheard));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &not_sent, sizeof(not_sent));
}

static void drop_oldest_half_open(struct p2p_thread *t)
{
    struct el_list *oldest = t->half_open.next;

    end_with(EL_ENTRY(oldest, struct p2p_link, half_open), EL_EOVERLOAD,
             "too many connections that say nothing");
}

static void enter_half_open(struct p2p_link *l)
{
    struct p2p_thread *t = l->thread;
    unsigned most = l->net->conf.max_half_open / l->net->n_threads;

    el_list_append(&t->half_open, &l->half_open);
    if (++t->n_half_open > (most > 0 ? most : 1))
        drop_oldest_half_open(t);
}

/* From here on the bytes are those of the protocol between nodes. */
static void begin(struct p2p_link *l)
{
    if (l->net->tls != NULL) {
        p2p_link_set_state(l, P2P_LINK_TLS);
        return;
    }
    p2p_link_set_state(l, P2P_LINK_HELLO);
    p2p_link_say_hello(l);
}

/* The socket is connected. */
static enum el_err opened(struct p2p_link *l, struct el_error *err)
{
    l->began_ms = l->in_ms = l->used_ms = l->out_ms = l->thread->now_ms;
    tune(l->fd);
    set_timer(l, P2P_HANDSHAKE_MS);
    if (l->is_http && !l->is_inbound) {
        p2p_link_set_state(l, P2P_LINK_HTTP);
        return p2p_link_ask_http(l, err);
    }
    begin(l);
    return EL_OK;
}

static enum el_err dial(struct p2p_link *l, struct el_error *err)
{
    l->fd = socket(l->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return el_fail(err, EL_ECONNECT, errno, "socket");
    if (connect(l->fd, (const struct sockaddr *)&l->addr, l->addr_len) != 0 && errno != EINPROGRESS)
        return el_fail(err, EL_ECONNECT, errno, "connect to %s", l->peer.address);
    if (l->state == P2P_LINK_NEW)
        p2p_link_set_state(l, P2P_LINK_CONNECTING);
    set_timer(l, P2P_CONNECT_MS);
    return EL_OK;
}

/* To where its node API is, when the peer's own port answers nobody. */
static enum el_err dial_http(struct p2p_link *l, struct el_error *err)
{
    enum el_err rc;

    if (l->fd >= 0)
        (void)close(l->fd); /* epoll forgets it with that */
    l->is_readable = l->is_writable = l->is_ended = false;
    l->is_http = true;
    p2p_net_set_port(&l->addr, l->http_port);
    rc = dial(l, err);
    return rc == EL_OK ? p2p_thread_watch(l->thread, l, err) : rc;
}

static bool may_dial_http(const struct p2p_link *l)
{
    return l->state == P2P_LINK_CONNECTING && l->http_port != 0 && !l->is_http;
}

static void no_connection(struct p2p_link *l)
{
    struct el_error err = { 0 };

    if (!may_dial_http(l))
        end_with(l, EL_ETIMEOUT, "no connection in time");
    else if (dial_http(l, &err) != EL_OK)
        p2p_link_end(l, &err);
}

static void on_timer(struct el_timer *timer)
{
    struct p2p_link *l = EL_ENTRY(timer, struct p2p_link, timer);

    switch (l->state) {
    case P2P_LINK_CONNECTING:
        no_connection(l);
        break;
    case P2P_LINK_NEW:
    case P2P_LINK_HTTP:
    case P2P_LINK_TLS:
    case P2P_LINK_HELLO:
    case P2P_LINK_PROOF:
        end_with(l, EL_ETIMEOUT, "no handshake in time");
        break;
    case P2P_LINK_UP:
        look_at(l);
        break;
    case P2P_LINK_LINGERING:
    case P2P_LINK_OVER:
        be_over(l);
        break;
    }
}

static void start(struct p2p_link *l)
{
    struct p2p_thread *t = l->thread;
    struct el_error err = { 0 };
    enum el_err rc = EL_OK;

    el_timer_init(&l->timer, on_timer);
    el_list_append(&t->links, &l->of_thread);
    if (t->is_closing)
        rc = el_fail(&err, EL_ESHUTDOWN, 0, "this node is leaving");
    else if (!l->is_inbound)
        rc = dial(l, &err);
    if (rc == EL_OK)
        rc = p2p_thread_watch(t, l, &err);
    if (rc == EL_OK && l->is_inbound)
        rc = opened(l, &err);
    if (rc != EL_OK) {
        p2p_link_end(l, &err);
        return;
    }
    if (l->is_inbound)
        enter_half_open(l); /* it is not the oldest, unless one is the most */
}

void p2p_link_is_proved(struct p2p_link *l)
{
    p2p_link_set_state(l, P2P_LINK_UP);
    leave_half_open(l);
    l->is_known = l->is_counted = true;
    count_up(l, 1);
    p2p_link_report_up(l);
    ping(l); /* for the time it takes */
    l->pinged_ms = 0;
    set_due(l);
}

/* ---- what the engine wants ---- */

struct orders {
    bool is_closing;
    uint32_t expects;
    struct el_error why;
};

static struct orders take_orders(struct p2p_link *l)
{
    struct orders o;

    EL_ASSERT(pthread_mutex_lock(&l->mtx) == 0);
    o.is_closing = l->is_closing;
    o.expects = l->expects_ms;
    o.why = l->closing_why;
    EL_ASSERT(pthread_mutex_unlock(&l->mtx) == 0);
    return o;
}

static void follow(struct p2p_link *l, const struct orders *o)
{
    if (l->state != P2P_LINK_UP)
        return;
    p2p_link_take_orders_out(l);
    if (o->expects == l->expects)
        return;
    if (l->expects == 0)
        l->expected_ms = l->thread->now_ms;
    l->expects = o->expects;
    if (l->expects == 0)
        l->pinged_ms = 0;
    set_due(l);
}

void p2p_link_on_orders(struct el_msg *m)
{
    struct p2p_link *l = EL_ENTRY(m, struct p2p_link, to_thread);
    struct orders o = take_orders(l);

    if (l->state == P2P_LINK_LINGERING)
        return;
    if (o.is_closing) {
        if (l->state == P2P_LINK_NEW)
            el_timer_init(&l->timer, on_timer);
        p2p_link_end(l, &o.why);
        return;
    }
    if (l->state == P2P_LINK_NEW) {
        start(l);
        return;
    }
    follow(l, &o);
    p2p_link_make_ready(l);
}

/* ---- frames of a link that is up ---- */

static enum el_err on_ping(struct p2p_link *l, const struct p2p_frame *f, struct el_error *err)
{
    struct p2p_ping p;
    enum el_err rc = p2p_ping_decode(f, &p, err);

    if (rc != EL_OK)
        return rc;
    if (p.role == P2P_ANSWER) {
        uint64_t rtt = el_clock_mono_ns(el_clock_system()) - l->ping_stamp;

        if (p.stamp == l->ping_stamp)
            atomic_store_explicit(&l->rtt_us, (uint32_t)el_min_u64(rtt / 1000 + 1, UINT32_MAX),
                                  memory_order_relaxed);
        return EL_OK;
    }
    p.role = P2P_ANSWER;
    p2p_ping_add(&l->owed, l->peer.version, f->sequence, &p);
    return EL_OK;
}

enum el_err p2p_link_on_frame(struct p2p_link *l, const struct p2p_frame *f, struct el_error *err)
{
    if (f->type == P2P_PING)
        return on_ping(l, f, err);
    if (f->type == P2P_PROOF)
        return el_fail(err, EL_EPROTO, 0, "a second Proof");
    if (p2p_link_is_farewell(f))
        return p2p_link_on_farewell(f, err);
    l->used_ms = l->thread->now_ms;
    return p2p_link_report_frame(l, f, err);
}

/* ---- steps ---- */

void p2p_link_make_ready(struct p2p_link *l)
{
    el_list_remove(&l->ready);
    el_list_append(&l->thread->ready, &l->ready);
}

void p2p_link_on_events(struct p2p_link *l, uint32_t events)
{
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        l->is_readable = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        l->is_ended = true;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0 && !l->is_writable) {
        l->is_writable = true;
        l->in_ms = l->thread->now_ms; /* it has taken what it was sent: that is no silence */
        l->pinged_ms = 0;
    }
    p2p_link_make_ready(l);
}

static enum el_err step_connecting(struct p2p_link *l, struct el_error *err)
{
    int sys = 0;
    socklen_t n = sizeof(sys);

    if (!l->is_writable)
        return EL_OK;
    EL_ASSERT(getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &sys, &n) == 0);
    if (sys == 0)
        return opened(l, err);
    if (may_dial_http(l))
        return dial_http(l, err);
    return el_fail(err, EL_ECONNECT, sys, "connect to %s", l->peer.address);
}

static enum el_err step_http(struct p2p_link *l, struct el_error *err)
{
    bool is_done = false;
    enum el_err rc = l->is_readable ? p2p_link_hear_http(l, &is_done, err) : EL_OK;

    if (is_done)
        begin(l);
    return rc;
}

static enum el_err step_tls(struct p2p_link *l, struct el_error *err)
{
    enum el_err rc = EL_OK;

    if (l->ssl == NULL) {
        if (l->is_inbound && !l->is_readable)
            return EL_OK; /* nothing is spent on who says nothing */
        rc = p2p_tls_begin(l, err);
        if (rc != EL_OK)
            return rc;
    }
    switch (p2p_tls_handshake(l, err)) {
    case P2P_STREAM_MOVED:
        l->is_readable = true; /* TLS may have read more than the handshake */
        p2p_link_set_state(l, P2P_LINK_HELLO);
        p2p_link_say_hello(l);
        break;
    case P2P_STREAM_WAIT:
        break;
    case P2P_STREAM_END:
    case P2P_STREAM_FAILED:
        rc = err->code;
        break;
    }
    return rc;
}

static enum el_err step_talking(struct p2p_link *l, struct el_error *err)
{
    enum el_err rc = p2p_link_read(l, err);

    return rc == EL_OK ? p2p_link_write(l, err) : rc;
}

/* What still comes is not read: only that the other has closed as well. */
static enum el_err step_lingering(struct p2p_link *l, struct el_error *err)
{
    ssize_t n;

    do {
        n = recv(l->fd, l->thread->scratch, P2P_SCRATCH, 0);
    } while (n > 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        l->is_readable = false;
        return EL_OK;
    }
    *err = l->why;
    return EL_ERESET;
}

static enum el_err step(struct p2p_link *l, struct el_error *err)
{
    enum el_err rc = EL_OK;

    switch (l->state) {
    case P2P_LINK_CONNECTING:
        rc = step_connecting(l, err);
        break;
    case P2P_LINK_HTTP:
        rc = step_http(l, err);
        break;
    case P2P_LINK_TLS:
        rc = step_tls(l, err);
        break;
    case P2P_LINK_HELLO:
    case P2P_LINK_PROOF:
    case P2P_LINK_UP:
        rc = step_talking(l, err);
        break;
    case P2P_LINK_LINGERING:
        rc = step_lingering(l, err);
        break;
    case P2P_LINK_NEW:
    case P2P_LINK_OVER:
        break;
    }
    return rc;
}

static bool has_more(struct p2p_link *l)
{
    switch (l->state) {
    case P2P_LINK_HELLO:
    case P2P_LINK_PROOF:
    case P2P_LINK_UP:
        return p2p_link_wants_read(l) || p2p_link_wants_write(l);
    case P2P_LINK_TLS:
        return l->ssl == NULL ? !l->is_inbound && l->is_writable : false;
    case P2P_LINK_NEW:
    case P2P_LINK_CONNECTING:
    case P2P_LINK_HTTP:
    case P2P_LINK_LINGERING:
    case P2P_LINK_OVER:
        break;
    }
    return false;
}

void p2p_link_step(struct p2p_link *l)
{
    enum p2p_link_state before = l->state;
    struct el_error err = { 0 };

    l->is_throttled_in = l->is_throttled_out = false; /* until it asks again */
    if (step(l, &err) != EL_OK) {
        if (l->state == P2P_LINK_LINGERING)
            be_over(l);
        else
            p2p_link_end(l, &err);
        return;
    }
    if (has_more(l) || l->state != before)
        p2p_link_make_ready(l);
    else if (l->is_throttled_in || l->is_throttled_out)
        p2p_thread_throttle(l->thread, l);
}
