/* SPDX-License-Identifier: MIT */
/*
 * link_hand: the handshake above TCP or TLS: both sides say Hello at once, and when they have the
 * other's, each proves that it is who it says (proof.h). docs/protocol.md has what is sent.
 */
#include <openssl/rand.h>

#include "common/clock.h"
#include "p2p/link.h"

/* ---- what this side says ---- */

void p2p_link_say_hello(struct p2p_link *l)
{
    const struct p2p_net *net = l->net;
    struct p2p_hello h = net->conf.hello;
    int64_t now = el_clock_wall_ms(el_clock_system());
    struct el_str data;

    EL_ASSERT(l->out.bytes.n == 0);
    h.version_min = P2P_VERSION_MIN;
    h.version_max = P2P_VERSION_MAX;
    h.clock_ms = now > 0 ? (uint64_t)now : 0;
    h.p2p_port = net->conf.announced_port != 0 ? net->conf.announced_port : net->port;
    h.fingerprint = net->fingerprint;
    EL_ASSERT(RAND_bytes(h.nonce, sizeof(h.nonce)) == 1);
    p2p_hello_add(&l->out.bytes, &h);
    data = el_str_from(el_buf_str(&l->out.bytes), P2P_START_BYTES + 4);
    data = el_str_first(data, data.n - P2P_TAIL_BYTES);
    el_sha256_of(data.p, data.n, &l->ends.mine);
}

static void say_proof(struct p2p_link *l)
{
    struct p2p_proof p;

    p2p_proof_make(l->net->conf.key, &l->ends, &p);
    p2p_proof_add(&l->out.bytes, l->peer.version, &p);
}

/* ---- what the other says ---- */

bool p2p_link_is_farewell(const struct p2p_frame *f)
{
    return f->type == P2P_ERROR && !f->has_chunk && f->sequence == 0;
}

enum el_err p2p_link_on_farewell(const struct p2p_frame *f, struct el_error *err)
{
    struct p2p_refusal r;
    enum el_err rc = p2p_error_decode(f, &r, err);

    if (rc != EL_OK)
        return rc;
    return el_fail(err, p2p_error_code(r.code), 0, "the peer says: %.*s", EL_STR_ARG(r.text));
}

static void copy_name(char ret[P2P_MAX_NAME + 1], struct el_str s)
{
    memcpy(ret, s.p, s.n);
    ret[s.n] = '\0';
}

static enum el_err judge_hello(const struct p2p_link *l, const struct p2p_hello *h,
                               uint32_t *ret_version, struct el_error *err)
{
    const struct p2p_net *net = l->net;

    if (!el_str_eq(h->cluster, net->conf.hello.cluster))
        return el_fail(err, EL_ECLUSTER, 0,
                       "the peer is of cluster \"%.*s\", this node of \"%.*s\"",
                       EL_STR_ARG(h->cluster), EL_STR_ARG(net->conf.hello.cluster));
    if (memcmp(h->fingerprint.b, net->fingerprint.b, sizeof(h->fingerprint.b)) == 0)
        return el_fail(err, EL_ELOOP, 0, "the other end is this node itself");
    return p2p_version_choose(P2P_VERSION_MIN, P2P_VERSION_MAX, h->version_min, h->version_max,
                              ret_version, err);
}

static enum el_err on_hello(struct p2p_link *l, const struct p2p_frame *f, struct el_error *err)
{
    struct p2p_peer *peer = &l->peer;
    struct p2p_hello h;
    enum el_err rc = p2p_hello_decode(f, &h, err);

    if (rc == EL_OK)
        rc = judge_hello(l, &h, &peer->version, err);
    if (rc != EL_OK)
        return rc;
    peer->fingerprint = h.fingerprint;
    copy_name(peer->name, h.name);
    copy_name(peer->zone, h.zone);
    peer->p2p_port = h.p2p_port;
    peer->http_port = h.http_port;
    peer->features = h.features;
    peer->clock_ms = h.clock_ms;
    peer->is_inbound = l->is_inbound;
    peer->is_http = l->is_http;
    peer->is_tls = l->ssl != NULL;
    l->ends.others = f->hash;
    p2p_reader_set_version(&l->reader, peer->version);
    say_proof(l);
    p2p_link_set_state(l, P2P_LINK_PROOF);
    return EL_OK;
}

static enum el_err on_proof(struct p2p_link *l, const struct p2p_frame *f, struct el_error *err)
{
    struct p2p_proof p;
    enum el_err rc;

    if (f->type != P2P_PROOF)
        return el_fail(err, EL_EPROTO, 0, "%s frame before the Proof", p2p_kind_of(f->type)->name);
    rc = p2p_proof_decode(f, &p, err);
    if (rc == EL_OK)
        rc = p2p_proof_check(&p, &l->peer.fingerprint, &l->ends, err);
    if (rc == EL_OK)
        p2p_link_is_proved(l);
    return rc;
}

enum el_err p2p_link_on_handshake(struct p2p_link *l, const struct p2p_frame *f,
                                  struct el_error *err)
{
    if (p2p_link_is_farewell(f))
        return p2p_link_on_farewell(f, err);
    /* The reader lets nothing but a Hello through before there is a version. */
    return l->state == P2P_LINK_HELLO && f->type == P2P_HELLO ? on_hello(l, f, err)
                                                              : on_proof(l, f, err);
}
