/* SPDX-License-Identifier: MIT */
/*
 * direct: a peer whose port could not be reached is asked over a link by way of its node API
 * (link_http.c). Its port is tried again now and then, and once it answers, that link takes over:
 * what was asked over the old one and has not come is asked again.
 */
#include "p2p/engine.h"

#define TRY_MS 5000u

bool p2p_is_detour(const struct p2p_remote *r)
{
    const struct p2p_peer *peer = p2p_link_peer(r->link);

    return peer->is_http && !peer->is_inbound;
}

static bool is_direct(const struct p2p_remote *r)
{
    const struct p2p_peer *peer = p2p_link_peer(r->link);

    return !peer->is_http && !peer->is_inbound;
}

static void move_over(struct p2p *p, struct p2p_node *n, struct p2p_remote *r)
{
    static const struct el_error orderly = { .text = "its port can be reached again" };
    struct p2p_remote *old = n->asking;

    n->asking = NULL;
    p2p_swarm_peer_down(p->swarm, p2p_now(p), n->hash);
    p2p_call_link_down(p, n->hash);
    p2p_node_ask_over(p, n, r);
    p2p_link_close(old->link, &orderly);
}

void p2p_direct_up(struct p2p *p, struct p2p_node *n, struct p2p_remote *r)
{
    if (n->asking == r && p2p_is_detour(r))
        n->direct_due_ms = p2p_now(p) + TRY_MS;
    else if (n->asking != NULL && p2p_is_detour(n->asking) && is_direct(r))
        move_over(p, n, r);
}

void p2p_direct_tick(struct p2p *p)
{
    for (size_t i = 0; i < P2P_TABLE; i++) {
        for (struct p2p_node *n = p->nodes[i]; n != NULL; n = n->next) {
            if (n->asking == NULL || !p2p_is_detour(n->asking) || p2p_now(p) < n->direct_due_ms)
                continue;
            n->direct_due_ms = p2p_now(p) + TRY_MS;
            p2p_node_try_port(p, n);
        }
    }
}
