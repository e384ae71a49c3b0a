/* SPDX-License-Identifier: MIT */
/*
 * address: IP addresses and networks as those compare them who decide where a connection may go.
 * IPv4 addresses are kept as IPv4-mapped IPv6 ones, so that one comparison serves both. Pure.
 */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "common/str.h"

/* Of text: "10.0.0.1", "fd00::1". */
bool el_address_parse(struct el_str text, struct in6_addr *ret, bool *ret_is_v4);
/* Of a socket's; false: of another family. */
bool el_address_of(const struct sockaddr *addr, struct in6_addr *ret, uint16_t *ret_port);
/* The IPv4 address that a gateway would make of it (RFC 6052, RFC 4291 section 2.5.5.1); others are
 * as they are. */
struct in6_addr el_address_translated(const struct in6_addr *a);
bool el_address_is_loopback(const struct in6_addr *a);
/*
 * Nobody offers a service to others there: link-local, multicast, unspecified, and where clouds
 * tell a machine its own secrets.
 */
bool el_address_is_odd(const struct in6_addr *a);

struct el_net {
    struct in6_addr address;
    unsigned bits; /* that count, of 128 */
};

/* "10.0.0.0/8", "fd00::/8" or a single address. */
bool el_net_parse(struct el_str text, struct el_net *ret);
bool el_net_has(const struct el_net *net, const struct in6_addr *a);
