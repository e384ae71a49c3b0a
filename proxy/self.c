/* SPDX-License-Identifier: MIT */
/* self: see self.h. */
#include "proxy/self.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>

#include "common/address.h"

static bool is_wildcard(const struct in6_addr *a)
{
    static const struct in6_addr any_v4 = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

    return IN6_IS_ADDR_UNSPECIFIED(a) || memcmp(a, &any_v4, sizeof(*a)) == 0;
}

/* As the listener reads it: with a scope, perhaps. */
static enum el_err parse(const char *text, struct in6_addr *ret, struct el_error *err)
{
    const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
    struct addrinfo *ai = NULL;
    uint16_t port;
    bool is_address =
        getaddrinfo(text, NULL, &hints, &ai) == 0 && el_address_of(ai->ai_addr, ret, &port);

    if (ai != NULL)
        freeaddrinfo(ai);
    if (!is_address)
        return el_fail(err, EL_ECONF, 0, "bind_address: \"%s\" is not an IP address", text);
    return EL_OK;
}

static enum el_err list_all(struct proxy_addresses *ret, struct el_error *err)
{
    struct ifaddrs *all;
    uint16_t port;
    size_t room = 0;

    if (getifaddrs(&all) != 0)
        return el_fail(err, EL_ESYS, errno, "list the addresses of this machine");
    for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
        room++;
    ret->v = el_alloc((room + 1) * sizeof(*ret->v));
    for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
        if (i->ifa_addr != NULL && el_address_of(i->ifa_addr, &ret->v[ret->n], &port))
            ret->n++;
    freeifaddrs(all);
    return EL_OK;
}

enum el_err proxy_addresses_of(const char *bind_address, struct proxy_addresses *ret,
                               struct el_error *err)
{
    struct in6_addr bound = IN6ADDR_ANY_INIT;
    enum el_err rc = parse(bind_address, &bound, err);

    *ret = (struct proxy_addresses){ 0 };
    if (rc != EL_OK)
        return rc;
    if (is_wildcard(&bound))
        return list_all(ret, err);
    ret->v = el_alloc(sizeof(*ret->v));
    ret->v[ret->n++] = bound;
    return EL_OK;
}

void proxy_addresses_deinit(struct proxy_addresses *a)
{
    free(a->v);
    *a = (struct proxy_addresses){ 0 };
}
