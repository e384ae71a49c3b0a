/* SPDX-License-Identifier: MIT */
/*
 * link_out: from frames and blocks to bytes. First go `bytes` (frames, and heads and tails of
 * blocks), then the body of the block whose head was among them, then its tail. Between blocks the
 * engine's frames go in, so they wait for one block at most. What the kernel holds unsent is kept
 * short (net_thread.c), or they would wait there.
 *
 * A body may still be growing: then what is there of it goes, and the link waits for more.
 *
 * Frames go without asking for bandwidth, which would hold up a Ping; blocks pay for them.
 */
#include "p2p/link.h"

#define TURN  (1u * 1024u * 1024u) /* then another link has its turn */
#define KEEP  16384u
#define PIECE (64 * (size_t)EL_KIB) /* of a block where there is a limit */

/* Of the body that may be sent: what is there of it. */
static uint32_t body_left(const struct p2p_out *o)
{
    return o->body == NULL ? 0 : atomic_load(&o->body->ready) - o->body_done;
}

bool p2p_link_wants_write(const struct p2p_link *l)
{
    const struct p2p_out *o = &l->out;
    bool has_frames =
        o->done < o->bytes.n || (o->body == NULL && l->owed.n > 0) || p2p_stream_has_rest(l);
    bool has_blocks = o->body != NULL ? body_left(o) > 0 : !el_list_empty(&o->blocks);

    return l->is_writable && (has_frames || (has_blocks && !l->is_throttled_out));
}

/* ---- what the engine gave ---- */

static void recall_locked(struct p2p_link *l, struct el_list *ret_recalled)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &l->out.blocks) {
        if (EL_ENTRY(it, struct p2p_out_block, link)->is_recalled) {
            el_list_remove(it);
            el_list_append(ret_recalled, it);
        }
    }
    l->has_recalls = false;
}

void p2p_link_take_orders_out(struct p2p_link *l)
{
    struct el_list *it, recalled;

    el_list_init(&recalled);
    EL_ASSERT(pthread_mutex_lock(&l->mtx) == 0);
    while ((it = el_list_pop(&l->blocks)) != NULL)
        el_list_append(&l->out.blocks, it);
    if (l->has_recalls)
        recall_locked(l, &recalled);
    EL_ASSERT(pthread_mutex_unlock(&l->mtx) == 0);
    while ((it = el_list_pop(&recalled)) != NULL)
        p2p_link_report_sent(l, EL_ENTRY(it, struct p2p_out_block, link), EL_ECANCELED);
}

/* Between two blocks only: within one these would be taken for its bytes. */
static void take_frames(struct p2p_link *l)
{
    size_t n;

    el_buf_add_str(&l->out.bytes, el_buf_str(&l->owed));
    el_buf_clear(&l->owed);
    EL_ASSERT(pthread_mutex_lock(&l->mtx) == 0);
    n = l->frames.n;
    if (l->out.bytes.n == 0) {
        struct el_buf empty = l->out.bytes;

        l->out.bytes = l->frames;
        l->frames = empty;
    } else {
        el_buf_add(&l->out.bytes, l->frames.p, n);
        el_buf_clear(&l->frames);
    }
    EL_ASSERT(pthread_mutex_unlock(&l->mtx) == 0);
    atomic_fetch_sub_explicit(&l->queued_bytes, n, memory_order_relaxed);
    if (n > 0)
        l->used_ms = l->thread->now_ms;
}

/* Without its hash: of a block that is growing that is known at its end only. */
static struct p2p_frame frame_of(const struct p2p_link *l, const struct p2p_out_block *b)
{
    return (struct p2p_frame){
        .version = l->peer.version,
        .type = P2P_RESPONSE,
        .has_chunk = true,
        .chunk = b->chunk,
        .data = { NULL, b->n },
        .sequence = b->number,
        .flags = b->flags,
    };
}

static void begin_block(struct p2p_link *l)
{
    struct p2p_out *o = &l->out;
    struct el_list *it = el_list_pop(&o->blocks);
    struct p2p_frame f;
    struct p2p_head head;

    if (it == NULL)
        return;
    o->body = EL_ENTRY(it, struct p2p_out_block, link);
    o->body_done = 0;
    f = frame_of(l, o->body);
    p2p_head_write(&f, &head);
    el_buf_add(&o->bytes, head.b, head.n);
    l->used_ms = l->thread->now_ms;
}

static void end_block(struct p2p_link *l)
{
    struct p2p_out *o = &l->out;
    struct p2p_frame f = frame_of(l, o->body);
    struct p2p_out_block *b = o->body;
    uint8_t tail[P2P_TAIL_BYTES];

    f.hash = b->hash;
    p2p_tail_write(&f, tail);
    el_buf_add(&o->bytes, tail, sizeof(tail));
    o->body = NULL;
    el_counter_add(l->net->metrics.out_blocks, 1);
    p2p_link_report_sent(l, b, EL_OK);
}

void p2p_link_drop_out(struct p2p_link *l, enum el_err result)
{
    struct p2p_out *o = &l->out;
    struct el_list *it;

    EL_ASSERT(pthread_mutex_lock(&l->mtx) == 0);
    el_buf_clear(&l->frames);
    EL_ASSERT(pthread_mutex_unlock(&l->mtx) == 0);
    el_buf_clear(&l->owed);
    if (o->body != NULL)
        p2p_link_report_sent(l, o->body, result);
    o->body = NULL;
    while ((it = el_list_pop(&o->blocks)) != NULL)
        p2p_link_report_sent(l, EL_ENTRY(it, struct p2p_out_block, link), result);
}

/* ---- bytes ---- */

/* How much of the body may go now. */
static uint32_t allowance(struct p2p_link *l)
{
    const struct p2p_out *o = &l->out;
    size_t left, n;

    if (o->body == NULL || l->is_throttled_out)
        return 0;
    left = body_left(o);
    if (left == 0)
        return 0;
    if (!atomic_load_explicit(&l->net->is_limited_out, memory_order_relaxed))
        return (uint32_t)left;
    n = p2p_rates_take_out(l->net, el_min_size(left, PIECE));
    l->is_throttled_out = n == 0;
    return (uint32_t)n;
}

static void moved(struct p2p_link *l, size_t n, uint32_t allowed)
{
    struct p2p_out *o = &l->out;
    size_t frames = el_min_size(n, o->bytes.n - o->done);
    uint32_t body = (uint32_t)(n - frames);

    l->out_ms = l->thread->now_ms;
    atomic_fetch_add_explicit(&l->out_bytes, n, memory_order_relaxed);
    el_counter_add(l->net->metrics.out_bytes, n);
    if (l->is_http)
        el_counter_add(l->net->metrics.http_out_bytes, n);
    p2p_rates_spend_out(l->net, frames);
    p2p_rates_give_back_out(l->net, allowed - body);
    o->done += frames;
    if (o->done == o->bytes.n) {
        el_buf_clear(&o->bytes);
        o->done = 0;
    }
    if (o->body == NULL)
        return;
    o->body_done += body;
    atomic_store_explicit(&o->body->sent, o->body_done, memory_order_relaxed);
    if (o->body_done == o->body->n)
        end_block(l);
}

/* *ret_n 0: nothing can be done now. */
static enum el_err write_once(struct p2p_link *l, size_t *ret_n, struct el_error *err)
{
    struct p2p_out *o = &l->out;
    struct el_str bytes;
    enum p2p_stream rc;
    uint32_t allowed;
    size_t n = 0;

    *ret_n = 0;
    if (o->body == NULL) {
        take_frames(l);
        if (l->state == P2P_LINK_UP && !l->is_throttled_out)
            begin_block(l);
    }
    bytes = el_str_from(el_buf_str(&o->bytes), o->done);
    allowed = allowance(l);
    if (bytes.n == 0 && allowed == 0)
        return EL_OK;
    rc = p2p_stream_write(l, bytes, o->body, o->body_done, allowed, &n, err);
    if (rc == P2P_STREAM_FAILED || rc == P2P_STREAM_END)
        return err->code;
    moved(l, n, allowed);
    *ret_n = n;
    return EL_OK;
}

/* A link that sends nothing holds no memory for it. */
static void give_back_memory(struct p2p_link *l)
{
    const struct p2p_out *o = &l->out;
    bool is_busy = o->body != NULL || !el_list_empty(&o->blocks) || o->done < o->bytes.n;

    if (!is_busy && l->cipher.n == 0 && l->cipher.cap > KEEP)
        el_buf_deinit(&l->cipher);
    if (!is_busy && o->bytes.cap > KEEP)
        el_buf_deinit(&l->out.bytes);
}

enum el_err p2p_link_write(struct p2p_link *l, struct el_error *err)
{
    size_t done = 0, n = 1;
    enum el_err rc = EL_OK;

    if (l->is_writable && p2p_stream_has_rest(l)) {
        switch (p2p_stream_flush(l, err)) {
        case P2P_STREAM_MOVED:
        case P2P_STREAM_WAIT:
            break;
        case P2P_STREAM_END:
        case P2P_STREAM_FAILED:
            return err->code;
        }
    }
    while (rc == EL_OK && n > 0 && done < TURN && l->is_writable) {
        rc = write_once(l, &n, err);
        done += n;
    }
    give_back_memory(l);
    return rc;
}
