/* SPDX-License-Identifier: MIT */
/* address: see address.h. */
#include "common/address.h"

#include <arpa/inet.h>

static struct in6_addr mapped(struct in_addr v4)
{
    struct in6_addr a = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

    memcpy(&a.s6_addr[12], &v4, 4);
    return a;
}

bool el_address_parse(struct el_str text, struct in6_addr *ret, bool *ret_is_v4)
{
    char z[INET6_ADDRSTRLEN];
    struct in_addr v4;

    if (text.n == 0 || text.n >= sizeof(z))
        return false;
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    *ret_is_v4 = inet_pton(AF_INET, z, &v4) == 1;
    if (*ret_is_v4)
        *ret = mapped(v4);
    return *ret_is_v4 || inet_pton(AF_INET6, z, ret) == 1;
}

bool el_address_of(const struct sockaddr *addr, struct in6_addr *ret, uint16_t *ret_port)
{
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;

        *ret = mapped(in->sin_addr);
        *ret_port = ntohs(in->sin_port);
        return true;
    }
    if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;

        *ret = in6->sin6_addr;
        *ret_port = ntohs(in6->sin6_port);
        return true;
    }
    return false;
}

/* ---- networks ---- */

bool el_net_parse(struct el_str text, struct el_net *ret)
{
    size_t slash = el_str_find(text, '/');
    bool is_v4;
    uint64_t bits;

    if (!el_address_parse(el_str_first(text, slash), &ret->address, &is_v4))
        return false;
    bits = is_v4 ? 32 : 128;
    if (slash < text.n && !el_str_u64(el_str_from(text, slash + 1), bits, &bits))
        return false;
    ret->bits = (unsigned)bits + (is_v4 ? 96 : 0);
    return true;
}

bool el_net_has(const struct el_net *net, const struct in6_addr *a)
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);

    return memcmp(a, &net->address, whole) == 0 &&
           (rest == 0 || (a->s6_addr[whole] & mask) == (net->address.s6_addr[whole] & mask));
}

/* ---- what an address is ---- */

/* Whether the address lies in one of our own tables of networks. */
static bool is_in_any(const struct in6_addr *a, const char *const *nets, size_t n)
{
    struct el_net net;

    for (size_t i = 0; i < n; i++) {
        if (el_net_parse(el_str_of(nets[i]), &net) && el_net_has(&net, a))
            return true;
    }
    return false;
}

struct in6_addr el_address_translated(const struct in6_addr *a)
{
    static const char *const nets[] = { "64:ff9b::/96", "::/96" };
    struct in_addr v4;

    if (!is_in_any(a, nets, EL_COUNT(nets)) || IN6_IS_ADDR_LOOPBACK(a))
        return *a;
    memcpy(&v4, &a->s6_addr[12], sizeof(v4));
    return mapped(v4);
}

bool el_address_is_loopback(const struct in6_addr *a)
{
    static const char *const nets[] = { "127.0.0.0/8", "::1/128" };
    struct in6_addr v4 = el_address_translated(a);

    return is_in_any(&v4, nets, EL_COUNT(nets));
}

bool el_address_is_odd(const struct in6_addr *a)
{
    /* The single ones are metadata services: AWS, Alibaba Cloud, Azure, Oracle Cloud. */
    static const char *const nets[] = {
        "0.0.0.0/8",       "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255",
        "::/128",          "fe80::/10",      "ff00::/8",    "fd00:ec2::254",
        "100.100.100.200", "168.63.129.16",  "192.0.0.192",
    };
    struct in6_addr v4 = el_address_translated(a);

    return is_in_any(a, nets, EL_COUNT(nets)) || is_in_any(&v4, nets, EL_COUNT(nets));
}
