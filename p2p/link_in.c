/* SPDX-License-Identifier: MIT */
/*
 * link_in: from bytes to frames. A block for which there is a place is received straight into it,
 * and in the same call what follows it: its tail and the head of the next.
 */
#include "p2p/link.h"

#define TURN     (1u * 1024u * 1024u)   /* then another link has its turn */
#define BEHIND   1024u                  /* read together with the end of a block */
#define PIECE    (64 * (size_t)EL_KIB)  /* where there is a limit */
#define MAX_OWED (256 * (size_t)EL_KIB) /* answers that a peer does not take */

bool p2p_link_wants_read(struct p2p_link *l)
{
    return l->is_readable && !l->is_throttled_in && l->owed.n < MAX_OWED && !p2p_link_is_full(l);
}

/* ---- frames ---- */

static enum el_err on_block_coming(struct p2p_link *l, struct el_error *err)
{
    const struct p2p_net_conf *conf = &l->net->conf;
    const struct p2p_frame *f = &l->reader.frame;

    if (l->state != P2P_LINK_UP)
        return el_fail(err, EL_EPROTO, 0, "a block before the Proof");
    l->placed = conf->ops->place(conf->arg, l, &f->chunk, (uint32_t)f->data.n);
    if (l->placed != NULL)
        p2p_reader_place(&l->reader, l->placed);
    return EL_OK;
}

static enum el_err on_read(struct p2p_link *l, enum p2p_read event, struct el_error *err)
{
    const struct p2p_net_conf *conf = &l->net->conf;

    if (event == P2P_READ_BLOCK)
        return on_block_coming(l, err);
    if (l->state != P2P_LINK_UP)
        return p2p_link_on_handshake(l, &l->reader.frame, err);
    if (l->reader.frame.type != P2P_RESPONSE)
        return p2p_link_on_frame(l, &l->reader.frame, err);
    l->placed = NULL;
    l->used_ms = l->thread->now_ms;
    el_counter_add(l->net->metrics.in_blocks, 1);
    conf->ops->block(conf->arg, l, &l->reader.frame);
    return EL_OK;
}

/* At the end of what it is given the reader may still have something to say. */
static enum el_err feed(struct p2p_link *l, struct el_str bytes, struct el_error *err)
{
    if (!l->has_reader) {
        p2p_reader_init(&l->reader);
        l->has_reader = true;
    }
    for (;;) {
        enum p2p_read event;
        enum el_err rc = p2p_reader_feed(&l->reader, &bytes, &event, err);

        if (rc == EL_OK && event == P2P_READ_MORE)
            return EL_OK;
        if (rc == EL_OK)
            rc = on_read(l, event, err);
        if (rc != EL_OK)
            return rc;
    }
}

/* ---- bytes ---- */

struct target {
    struct p2p_span block, other;
};

static struct target target_of(struct p2p_link *l, size_t allowed)
{
    struct target t = { .other = { l->thread->scratch, P2P_SCRATCH } };

    if (l->placed != NULL)
        t.block.p = p2p_reader_direct(&l->reader, &t.block.n);
    if (t.block.p != NULL)
        t.other.n = BEHIND;
    t.block.n = el_min_size(t.block.n, allowed);
    t.other.n = el_min_size(t.other.n, allowed - t.block.n);
    return t;
}

static enum p2p_stream read_target(struct p2p_link *l, const struct target *t, size_t *ret_n,
                                   struct el_error *err)
{
    struct p2p_span none = { 0 };

    if (t->block.n == 0)
        return p2p_stream_read(l, t->other, none, ret_n, err);
    return p2p_stream_read(l, t->block, t->other.n > 0 ? t->other : none, ret_n, err);
}

static enum el_err take(struct p2p_link *l, const struct target *t, size_t n, struct el_error *err)
{
    size_t direct = el_min_size(n, t->block.n);

    l->in_ms = l->thread->now_ms;
    l->pinged_ms = 0;
    atomic_fetch_add_explicit(&l->in_bytes, n, memory_order_relaxed);
    el_counter_add(l->net->metrics.in_bytes, n);
    if (l->is_http)
        el_counter_add(l->net->metrics.http_in_bytes, n);
    if (direct > 0)
        p2p_reader_arrived(&l->reader, direct);
    return feed(l, (struct el_str){ t->other.p, n - direct }, err);
}

static enum el_err ended(struct p2p_link *l, struct el_error *err)
{
    if (l->has_reader && !p2p_reader_is_between(&l->reader))
        return el_fail(err, EL_ETRUNCATED, 0, "the peer has left within a frame");
    if (l->state == P2P_LINK_UP && l->expects == 0) {
        (void)el_fail(err, EL_OK, 0, "closed by the peer");
        return EL_ERESET; /* the link is over; *err says how */
    }
    return el_fail(err, EL_ERESET, 0, "closed by the peer");
}

static enum el_err read_once(struct p2p_link *l, size_t *ret_n, struct el_error *err)
{
    size_t allowed = p2p_rates_take_in(l->net, PIECE, P2P_MAX_BLOCK + BEHIND), n = 0;
    enum p2p_stream rc;
    struct target t;

    *ret_n = 0;
    if (allowed == 0) {
        l->is_throttled_in = true;
        return EL_OK;
    }
    t = target_of(l, allowed);
    rc = read_target(l, &t, &n, err);
    p2p_rates_give_back_in(l->net, allowed - n);
    switch (rc) {
    case P2P_STREAM_MOVED:
        *ret_n = n;
        return take(l, &t, n, err);
    case P2P_STREAM_WAIT:
        return EL_OK;
    case P2P_STREAM_END:
        return ended(l, err);
    case P2P_STREAM_FAILED:
        break;
    }
    return err->code;
}

enum el_err p2p_link_read(struct p2p_link *l, struct el_error *err)
{
    size_t moved = 0, n;
    enum el_err rc = EL_OK;

    while (rc == EL_OK && moved < TURN && p2p_link_wants_read(l)) {
        rc = read_once(l, &n, err);
        moved += n;
    }
    return rc;
}
