/* SPDX-License-Identifier: MIT */
/*
 * tunnel: CONNECT. Looks up and dials the target, then copies bytes both ways until both sides have
 * finished. An end of file in one direction is passed on and leaves the other direction open.
 */
#pragma once

#include "common/err.h"
#include "proxy/server.h"

/*
 * Never calls back from inside. on_done comes exactly once:
 * EL_OK: the client was told "200 Connection established", and the stream is no longer the
 * caller's. Otherwise nothing was sent, the stream is still the caller's, and *err says why:
 * EL_ERESOLVE, EL_ECONNECT, EL_ETIMEOUT, EL_EFORBIDDEN (no address was allowed), EL_ERESET (the
 * client left). Until then the tunnel listens to the stream's events. `host` is copied; an IPv6
 * address comes without brackets. `address_allowed` may be NULL: all are.
 */
void proxy_tunnel_start(struct proxy_thread *t, struct proxy_stream *s, struct el_str host,
                        uint16_t port,
                        bool (*address_allowed)(void *arg, const struct sockaddr *addr),
                        void *allowed_arg,
                        void (*on_done)(void *arg, enum el_err code, const struct el_error *err),
                        void *arg);
