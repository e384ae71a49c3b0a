/* SPDX-License-Identifier: MIT */
/*
 * guard: what may be asked of whom. Hosts are judged twice: by name before resolving, by address
 * before connecting, because a name can resolve to anything.
 *
 * Always refused unless allow_hosts names the very address: link-local addresses and those of cloud
 * metadata services, unspecified, multicast and broadcast ones, also inside IPv6. Loopback and
 * private networks are allowed, for that is where clusters keep their storage; only this node's own
 * ports there, and wherever else it listens, are not.
 *
 * Pure; a guard is immutable and may be read by any thread.
 */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "common/err.h"
#include "common/fields.h"

struct proxy_guard;

/* The texts of proxy.allow_hosts, proxy.deny_hosts and proxy.connect_ports. Errors name the key. */
enum el_err proxy_guard_new(const char *allow, const char *deny, const char *connect_ports,
                            struct proxy_guard **ret_guard, struct el_error *err);
void proxy_guard_free(struct proxy_guard *g); /* NULL is fine */

/* A list of hosts of its own, written as proxy.allow_hosts is. Immutable. */
struct proxy_hosts;
/* `key` is whose value the text is, for errors. */
enum el_err proxy_hosts_new(const char *key, const char *text, struct proxy_hosts **ret_hosts,
                            struct el_error *err);
void proxy_hosts_free(struct proxy_hosts *h); /* NULL is fine */
/* By name, or by address where the host is written as one. */
bool proxy_hosts_has(const struct proxy_hosts *h, struct el_str host);

/* EL_EFORBIDDEN, and which list says so. The host as in the URL: a name or an address, IPv6 bare.
 */
enum el_err proxy_guard_host(const struct proxy_guard *g, struct el_str host, struct el_error *err);
/* The host, and the port against connect_ports. */
enum el_err proxy_guard_connect(const struct proxy_guard *g, struct el_str host, uint16_t port,
                                struct el_error *err);
/* A listener of this node: a connection to its port on one of its addresses, or on any of loopback,
 * would loop. */
struct proxy_guard_own {
    const struct in6_addr *addresses; /* as of el_address_of() */
    size_t n;
    uint16_t port; /* 0: there is none */
};
/* A resolved address. Fits address_allowed of storage.h and tunnel.h through this struct. */
struct proxy_guard_at {
    const struct proxy_guard *guard;
    const struct proxy_guard_own *own;
    size_t n_own;
};
bool proxy_guard_address(void *at, const struct sockaddr *addr);

/* EL_ELOOP when a Via field names us (RFC 9110 section 7.6.3). */
enum el_err proxy_guard_loop(struct el_fieldv fields, struct el_str via_token,
                             struct el_error *err);
