/* SPDX-License-Identifier: MIT */
/*
 * tunnel: CONNECT. Looks up and dials the target, then copies bytes both ways until both sides have
 * finished. An end of file in one direction is passed on and leaves the other direction open.
 */
#pragma once

#include "common/err.h"
#include "proxy/server.h"

/* Who wants a tunnel. Copied at the start. */
struct proxy_tunnel_user {
    bool (*address_allowed)(void *arg, const struct sockaddr *addr); /* NULL: all are */
    void *allowed_arg;
    /*
     * Exactly once. EL_OK: the client was told "200 Connection established", and the stream is no
     * longer the user's. Otherwise nothing was sent, the stream is still the user's, and *err says
     * why: EL_ERESOLVE, EL_ECONNECT, EL_ETIMEOUT, EL_EFORBIDDEN (no address was allowed), EL_ERESET
     * (the client left).
     */
    void (*on_done)(void *arg, enum el_err code, const struct el_error *err);
    /* After EL_OK, exactly once: how many bytes of the client and of the target were carried. */
    void (*on_end)(void *arg, uint64_t up, uint64_t down);
    void *arg;
};

/*
 * Never calls back from inside. Until on_done the tunnel listens to the stream's events. `host` is
 * copied; an IPv6 address comes without brackets.
 */
void proxy_tunnel_start(struct proxy_thread *t, struct proxy_stream *s, struct el_str host,
                        uint16_t port, const struct proxy_tunnel_user *user);
