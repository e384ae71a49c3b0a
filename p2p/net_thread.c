/* SPDX-License-Identifier: MIT */
/*
 * net_thread: one of the threads that move bytes. A turn waits for sockets, messages and timers,
 * and then gives each link that has something to do one step, which is bounded: a busy link does
 * not hold up the others. Sockets are watched edge-triggered and for good, so that no call is
 * needed to stop and go on reading.
 *
 * The first thread has the listener and deals the connections out.
 */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "p2p/link.h"

#define EVENTS          64
#define ACCEPTS         64 /* of a turn */
#define ACCEPT_AGAIN_MS 100u
#define MAX_WAIT_MS     60000u
#define LOG_EVERY_MS    1000u

static uint64_t now_ms(void)
{
    return el_clock_mono_ms(el_clock_system());
}

/* ---- what was refused ---- */

static enum p2p_refusal_kind kind_of(enum el_err code)
{
    static const struct {
        enum el_err code;
        enum p2p_refusal_kind kind;
    } kinds[] = {
        { EL_ETLS, P2P_REFUSED_TLS },         { EL_ESIGNATURE, P2P_REFUSED_PROOF },
        { EL_ECLUSTER, P2P_REFUSED_CLUSTER }, { EL_EVERSION, P2P_REFUSED_VERSION },
        { EL_ETIMEOUT, P2P_REFUSED_TIMEOUT }, { EL_ERESET, P2P_REFUSED_LOST },
        { EL_ETRUNCATED, P2P_REFUSED_LOST },  { EL_EOVERLOAD, P2P_REFUSED_FLOOD },
        { EL_ELOOP, P2P_REFUSED_SELF },
    };

    for (size_t i = 0; i < EL_COUNT(kinds); i++) {
        if (kinds[i].code == code)
            return kinds[i].kind;
    }
    return P2P_REFUSED_PROTOCOL;
}

void p2p_thread_refused(struct p2p_link *l, const struct el_error *why)
{
    struct p2p_thread *t = l->thread;

    el_counter_add(l->net->metrics.refused[kind_of(why->code)], 1);
    if (t->logged_ms != 0 && t->now_ms < t->logged_ms + LOG_EVERY_MS) {
        t->unlogged++;
        return;
    }
    el_log(EL_WARN, EV_P2P_REFUSED, "peer=%s direction=%s code=%u others=%u error=%s",
           l->peer.address, l->is_inbound ? "in" : "out", (unsigned)why->code, t->unlogged,
           EL_LOG_Q(el_str_of(why->text)));
    t->logged_ms = t->now_ms;
    t->unlogged = 0;
}

/* ---- accepting ---- */

/* Whether another one may be there. */
static bool accept_one(struct p2p_thread *t)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t n = sizeof(addr);
    int fd = accept4(t->listener, (struct sockaddr *)&addr, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        p2p_net_hand_over(t->net, fd, &addr, n, false);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        (void)epoll_ctl(t->epoll, EPOLL_CTL_DEL, t->listener, NULL);
        el_timer_start(&t->timers, &t->accept_again, t->now_ms + ACCEPT_AGAIN_MS);
        return false;
    }
    return errno != EAGAIN && errno != EWOULDBLOCK;
}

static void accept_some(struct p2p_thread *t)
{
    for (unsigned i = 0; i < ACCEPTS && accept_one(t); i++)
        ;
}

static enum el_err watch_listener(struct p2p_thread *t, struct el_error *err)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = &t->listener };

    if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->listener, &e) != 0)
        return el_fail(err, EL_ESYS, errno, "epoll_ctl");
    return EL_OK;
}

static void on_accept_again(struct el_timer *timer)
{
    struct p2p_thread *t = EL_ENTRY(timer, struct p2p_thread, accept_again);

    if (t->listener >= 0 && watch_listener(t, NULL) != EL_OK)
        el_timer_start(&t->timers, &t->accept_again, t->now_ms + ACCEPT_AGAIN_MS);
}

static void stop_accepting(struct p2p_thread *t)
{
    if (t->listener >= 0)
        (void)close(t->listener);
    t->listener = -1;
    el_timer_stop(&t->accept_again);
}

/* ---- links ---- */

enum el_err p2p_thread_watch(struct p2p_thread *t, struct p2p_link *l, struct el_error *err)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = l };

    if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, l->fd, &e) != 0)
        return el_fail(err, EL_ESYS, errno, "epoll_ctl");
    return EL_OK;
}

void p2p_thread_throttle(struct p2p_thread *t, struct p2p_link *l)
{
    uint64_t wait = p2p_rates_wait_ms(t->net, l->is_throttled_in, l->is_throttled_out);
    uint64_t due = t->now_ms + el_min_u64(el_max_u64(wait, 1), MAX_WAIT_MS);

    el_list_remove(&l->ready);
    el_list_append(&t->throttled, &l->ready);
    if (el_list_empty(&t->unthrottle.link) || due < t->unthrottle.due_ms)
        el_timer_start(&t->timers, &t->unthrottle, due);
}

static void unthrottle(struct p2p_thread *t)
{
    struct el_list *it;

    while ((it = el_list_pop(&t->throttled)) != NULL)
        el_list_append(&t->ready, it);
}

static void on_unthrottle(struct el_timer *timer)
{
    unthrottle(EL_ENTRY(timer, struct p2p_thread, unthrottle));
}

static void on_rates_changed(struct el_msg *m)
{
    unthrottle(EL_ENTRY(m, struct p2p_thread, rates_changed));
}

static void step_ready(struct p2p_thread *t)
{
    struct el_list turn, *it;

    el_list_move(&turn, &t->ready);
    while ((it = el_list_pop(&turn)) != NULL)
        p2p_link_step(EL_ENTRY(it, struct p2p_link, ready));
}

/* ---- closing ---- */

static void end_links(struct p2p_thread *t)
{
    struct el_list all, *it;
    struct el_error why = { 0 };

    (void)el_fail(&why, EL_ESHUTDOWN, 0, "this node is leaving");
    el_list_move(&all, &t->links);
    while ((it = el_list_pop(&all)) != NULL) {
        struct p2p_link *l = EL_ENTRY(it, struct p2p_link, of_thread);

        el_list_append(&t->links, &l->of_thread);
        if (l->state != P2P_LINK_LINGERING)
            p2p_link_end(l, &why);
    }
}

/* The first one tells the others, behind the connections that it has dealt out to them. */
static void on_close(struct el_msg *m)
{
    struct p2p_thread *t = EL_ENTRY(m, struct p2p_thread, close);

    t->is_closing = true;
    stop_accepting(t);
    if (t->index == 0) {
        for (unsigned i = 1; i < t->net->n_threads; i++)
            el_msgq_post(t->net->threads[i].queue, &t->net->threads[i].close);
    }
    end_links(t);
}

static bool goes_on(struct p2p_thread *t)
{
    return !t->is_closing || !el_list_empty(&t->links);
}

/* ---- the loop ---- */

static int wait_ms(const struct p2p_thread *t)
{
    uint64_t due = el_timers_due_ms(&t->timers), now = now_ms();

    if (!el_list_empty(&t->ready) || due <= now)
        return 0;
    return (int)el_min_u64(due - now, MAX_WAIT_MS);
}

static void wait_for_events(struct p2p_thread *t)
{
    struct epoll_event e[EVENTS];
    int n = epoll_wait(t->epoll, e, EVENTS, wait_ms(t));
    bool has_messages = false;

    EL_ASSERT(n >= 0 || errno == EINTR);
    t->now_ms = now_ms();
    for (int i = 0; i < n; i++) {
        if (e[i].data.ptr == t)
            has_messages = true;
        else if (e[i].data.ptr == &t->listener)
            accept_some(t);
        else
            p2p_link_on_events(e[i].data.ptr, e[i].events);
    }
    if (has_messages)
        el_msgq_dispatch(t->queue);
}

static void *run(void *arg)
{
    struct p2p_thread *t = arg;
    struct p2p_net *net = t->net;
    sigset_t all;
    char name[16];

    /* sendfile() has no MSG_NOSIGNAL. */
    (void)sigfillset(&all);
    EL_ASSERT(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
    (void)snprintf(name, sizeof(name), "net-%u", t->index);
    (void)pthread_setname_np(pthread_self(), name); /* cosmetic */
    t->now_ms = now_ms();
    while (goes_on(t)) {
        wait_for_events(t);
        el_timers_run(&t->timers, t->now_ms);
        step_ready(t);
    }
    if (atomic_fetch_sub(&net->threads_open, 1) == 1)
        el_msgq_post(net->conf.queue, &net->closed);
    return NULL;
}

/* ---- its own life ---- */

enum el_err p2p_thread_init(struct p2p_thread *t, struct p2p_net *net, unsigned index, int listener,
                            struct el_error *err)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = t };
    enum el_err rc;

    t->net = net;
    t->index = index;
    t->listener = listener;
    t->scratch = el_alloc(P2P_SCRATCH);
    el_msg_init(&t->close, on_close);
    el_msg_init(&t->rates_changed, on_rates_changed);
    el_timers_init(&t->timers);
    el_timer_init(&t->accept_again, on_accept_again);
    el_timer_init(&t->unthrottle, on_unthrottle);
    el_list_init(&t->links);
    el_list_init(&t->half_open);
    el_list_init(&t->ready);
    el_list_init(&t->throttled);
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (t->epoll < 0)
        return el_fail(err, EL_ESYS, errno, "epoll_create1");
    rc = el_msgq_new(&t->queue, err);
    if (rc != EL_OK)
        return rc;
    if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, el_msgq_fd(t->queue), &e) != 0)
        return el_fail(err, EL_ESYS, errno, "epoll_ctl");
    return listener >= 0 ? watch_listener(t, err) : EL_OK;
}

enum el_err p2p_thread_start(struct p2p_thread *t, struct el_error *err)
{
    int sys = pthread_create(&t->thread, NULL, run, t);

    if (sys != 0)
        return el_fail(err, EL_ESYS, sys, "a thread for links");
    t->has_thread = true;
    return EL_OK;
}

void p2p_thread_deinit(struct p2p_thread *t)
{
    if (t->net == NULL)
        return;
    if (t->has_thread)
        EL_ASSERT(pthread_join(t->thread, NULL) == 0);
    stop_accepting(t);
    if (t->epoll >= 0)
        (void)close(t->epoll);
    el_msgq_free(t->queue);
    free(t->scratch);
}
