/* SPDX-License-Identifier: MIT */
/*
 * link: what the engine and a link's thread hand to each other; see link.h. What one side puts down
 * is taken by the other in one piece, under mtx; callbacks run without it.
 */
#include "p2p/link.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "common/clock.h"

static void lock(struct p2p_link *l)
{
    EL_ASSERT(pthread_mutex_lock(&l->mtx) == 0);
}

static void unlock(struct p2p_link *l)
{
    EL_ASSERT(pthread_mutex_unlock(&l->mtx) == 0);
}

/* ---- its beginning and end ---- */

static void on_reports(struct el_msg *m);

struct p2p_link *p2p_link_new(struct p2p_net *net, struct p2p_thread *t)
{
    struct p2p_link *l = el_new(struct p2p_link);

    l->net = net;
    l->thread = t;
    l->fd = -1;
    EL_ASSERT(pthread_mutex_init(&l->mtx, NULL) == 0);
    el_list_init(&l->blocks);
    el_list_init(&l->arrived);
    el_list_init(&l->sent);
    el_list_init(&l->of_thread);
    el_list_init(&l->half_open);
    el_list_init(&l->ready);
    el_list_init(&l->out.blocks);
    el_msg_init(&l->to_thread, p2p_link_on_orders);
    el_msg_init(&l->to_engine, on_reports);
    return l;
}

static void free_arrived(struct el_list *frames)
{
    struct el_list *it;

    while ((it = el_list_pop(frames)) != NULL)
        free(EL_ENTRY(it, struct p2p_arrived, link));
}

void p2p_link_free(struct p2p_link *l)
{
    EL_ASSERT(el_list_empty(&l->blocks) && el_list_empty(&l->sent) && l->n_blocks == 0);
    free_arrived(&l->arrived);
    el_buf_deinit(&l->frames);
    el_buf_deinit(&l->owed);
    el_buf_deinit(&l->cipher);
    el_buf_deinit(&l->out.bytes);
    EL_ASSERT(pthread_mutex_destroy(&l->mtx) == 0);
    p2p_net_uncount_link(l->net);
    free(l);
}

void p2p_link_set_address(struct p2p_link *l, const struct sockaddr_storage *addr, socklen_t n)
{
    const void *ip = &((const struct sockaddr_in *)addr)->sin_addr;

    if (addr->ss_family == AF_INET6)
        ip = &((const struct sockaddr_in6 *)addr)->sin6_addr;
    l->addr = *addr;
    l->addr_len = n;
    EL_ASSERT(inet_ntop(addr->ss_family, ip, l->peer.address, sizeof(l->peer.address)) != NULL);
}

/* ---- orders: from the engine ---- */

void *p2p_link_arg(struct p2p_link *link)
{
    return atomic_load_explicit(&link->arg, memory_order_acquire);
}

void *p2p_link_attempt(const struct p2p_link *link)
{
    return link->attempt;
}

void p2p_link_set_arg(struct p2p_link *link, void *arg)
{
    atomic_store_explicit(&link->arg, arg, memory_order_release);
}

const struct p2p_peer *p2p_link_peer(const struct p2p_link *link)
{
    return &link->peer;
}

/* The thread has let go of a link that is down. */
static void order_locked(struct p2p_link *l)
{
    if (!l->is_down)
        el_msgq_post(l->thread->queue, &l->to_thread);
}

bool p2p_link_send(struct p2p_link *link, struct el_buf *frames)
{
    bool takes;

    EL_ASSERT(link->was_up);
    lock(link);
    takes = !link->is_closing && !link->is_down && link->frames.n + frames->n <= P2P_QUEUE_BYTES;
    if (takes) {
        el_buf_add(&link->frames, frames->p, frames->n);
        order_locked(link);
    }
    unlock(link);
    if (!takes)
        return false;
    atomic_fetch_add_explicit(&link->queued_bytes, frames->n, memory_order_relaxed);
    el_buf_deinit(frames);
    return true;
}

bool p2p_link_send_block(struct p2p_link *link, struct p2p_out_block *b)
{
    bool takes;

    EL_ASSERT(link->was_up && b->n >= 1 && b->n <= P2P_MAX_BLOCK);
    lock(link);
    takes = !link->is_closing && !link->is_down && link->n_blocks < P2P_QUEUE_BLOCKS;
    if (takes) {
        if (!b->is_growing)
            atomic_store(&b->ready, b->n);
        atomic_store(&b->sent, 0);
        b->is_recalled = false;
        link->n_blocks++;
        el_list_append(&link->blocks, &b->link);
        atomic_fetch_add_explicit(&link->queued_bytes, b->n, memory_order_relaxed);
        order_locked(link);
    }
    unlock(link);
    return takes;
}

void p2p_link_grow(struct p2p_link *link, struct p2p_out_block *b, uint32_t ready)
{
    EL_ASSERT(b->is_growing && ready <= b->n && ready >= atomic_load(&b->ready));
    atomic_store(&b->ready, ready);
    lock(link);
    order_locked(link);
    unlock(link);
}

void p2p_link_cancel_block(struct p2p_link *link, struct p2p_out_block *b)
{
    lock(link);
    b->is_recalled = true;
    link->has_recalls = true;
    order_locked(link);
    unlock(link);
}

void p2p_link_expects(struct p2p_link *link, uint32_t ms)
{
    lock(link);
    if (link->expects_ms != ms) {
        link->expects_ms = ms;
        order_locked(link);
    }
    unlock(link);
}

void p2p_link_close(struct p2p_link *link, const struct el_error *why)
{
    link->was_closed = true;
    lock(link);
    if (!link->is_closing) {
        link->is_closing = true;
        link->closing_why = *why;
        order_locked(link);
    }
    unlock(link);
}

void p2p_link_stats(struct p2p_link *link, struct p2p_link_stats *ret)
{
    ret->in_bytes = atomic_load_explicit(&link->in_bytes, memory_order_relaxed);
    ret->out_bytes = atomic_load_explicit(&link->out_bytes, memory_order_relaxed);
    ret->queued_bytes = atomic_load_explicit(&link->queued_bytes, memory_order_relaxed);
    ret->rtt_us = atomic_load_explicit(&link->rtt_us, memory_order_relaxed);
}

/* ---- reports: from the thread ---- */

static void report_locked(struct p2p_link *l)
{
    el_msgq_post(l->net->conf.queue, &l->to_engine);
}

void p2p_link_report_up(struct p2p_link *l)
{
    lock(l);
    l->is_up = true;
    report_locked(l);
    unlock(l);
}

enum el_err p2p_link_report_frame(struct p2p_link *l, const struct p2p_frame *f,
                                  struct el_error *err)
{
    size_t bytes = sizeof(struct p2p_arrived) + f->data.n;
    struct p2p_arrived *a = el_try_alloc(bytes);

    if (a == NULL)
        return el_fail(err, EL_ENOMEM, 0, "no memory for a frame of %zu bytes", f->data.n);
    el_list_init(&a->link);
    a->frame = *f;
    a->frame.data.p = a->data;
    memcpy(a->data, f->data.p, f->data.n);
    lock(l);
    l->arrived_bytes += bytes;
    l->arrived_count++;
    el_list_append(&l->arrived, &a->link);
    report_locked(l);
    unlock(l);
    return EL_OK;
}

bool p2p_link_is_full(struct p2p_link *l)
{
    bool is_full;

    lock(l);
    is_full = l->arrived_bytes >= P2P_ARRIVED_BYTES || l->arrived_count >= P2P_ARRIVED_COUNT;
    l->is_reader_waiting = is_full;
    unlock(l);
    return is_full;
}

void p2p_link_report_sent(struct p2p_link *l, struct p2p_out_block *b, enum el_err result)
{
    b->result = result;
    atomic_fetch_sub_explicit(&l->queued_bytes, b->n, memory_order_relaxed);
    lock(l);
    EL_ASSERT(l->n_blocks > 0);
    l->n_blocks--;
    el_list_append(&l->sent, &b->link);
    report_locked(l);
    unlock(l);
}

/* What the engine gives until here and the thread has not seen goes back with it. */
void p2p_link_report_down(struct p2p_link *l, const struct el_error *why)
{
    struct el_list *it;

    lock(l);
    while ((it = el_list_pop(&l->blocks)) != NULL) {
        EL_ENTRY(it, struct p2p_out_block, link)->result =
            why->code == EL_OK ? EL_ECANCELED : why->code;
        l->n_blocks--;
        el_list_append(&l->sent, it);
    }
    l->is_down = true; /* no orders from here on; none is left behind either */
    el_msgq_cancel(l->thread->queue, &l->to_thread);
    l->down_why = *why;
    report_locked(l);
    unlock(l);
}

/* ---- the engine takes them ---- */

struct reports {
    struct el_list arrived, sent;
    bool is_up, is_down;
    struct el_error why;
};

static void take_reports(struct p2p_link *l, struct reports *ret)
{
    lock(l);
    el_list_move(&ret->arrived, &l->arrived);
    el_list_move(&ret->sent, &l->sent);
    ret->is_up = l->is_up && !l->was_up;
    ret->is_down = l->is_down;
    ret->why = l->down_why;
    l->arrived_bytes = l->arrived_count = 0;
    if (l->is_reader_waiting) {
        l->is_reader_waiting = false;
        order_locked(l);
    }
    unlock(l);
}

static void hand_out_sent(struct el_list *sent)
{
    struct el_list *it;

    while ((it = el_list_pop(sent)) != NULL) {
        struct p2p_out_block *b = EL_ENTRY(it, struct p2p_out_block, link);

        b->on_sent(b);
    }
}

static void hand_out_frames(struct p2p_link *l, struct el_list *frames)
{
    struct el_list *it;

    while (!l->was_closed && (it = el_list_pop(frames)) != NULL) {
        struct p2p_arrived *a = EL_ENTRY(it, struct p2p_arrived, link);

        l->net->conf.ops->frame(l->net->conf.arg, l, &a->frame);
        free(a);
    }
    free_arrived(frames);
}

static void on_reports(struct el_msg *m)
{
    struct p2p_link *l = EL_ENTRY(m, struct p2p_link, to_engine);
    const struct p2p_net_conf *conf = &l->net->conf;
    struct reports r;

    take_reports(l, &r);
    if (r.is_up) {
        l->was_up = true;
        if (!l->was_closed)
            conf->ops->up(conf->arg, l);
    }
    hand_out_sent(&r.sent);
    hand_out_frames(l, &r.arrived);
    if (!r.is_down)
        return;
    el_msgq_cancel(conf->queue, &l->to_engine);
    conf->ops->down(conf->arg, l, &r.why);
    p2p_link_free(l);
}
