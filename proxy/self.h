/* SPDX-License-Identifier: MIT */
/*
 * self: the addresses at which a listener of this node is reached, for the guard, which refuses to
 * connect there. Read once, at start: an address that the machine is given later is not among them.
 */
#pragma once

#include <netinet/in.h>

#include "common/err.h"

/* IPv4 as IPv4-mapped IPv6, as the guard compares them. A zeroed one holds none. */
struct proxy_addresses {
    struct in6_addr *v; /* owned */
    size_t n;
};

/*
 * Those of a listener that is bound to `bind_address`: itself, or every address of the machine when
 * it is a wildcard. EL_ECONF: it is not an address.
 */
enum el_err proxy_addresses_of(const char *bind_address, struct proxy_addresses *ret,
                               struct el_error *err);
void proxy_addresses_deinit(struct proxy_addresses *a);
