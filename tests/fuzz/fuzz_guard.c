/* SPDX-License-Identifier: MIT */
/* An input is proxy.allow_hosts, proxy.deny_hosts, proxy.connect_ports, a host, and 16 bytes of an
 * address. */
#include <netinet/in.h>

#include "proxy/guard.h"
#include "tests/fuzz/fuzz.h"

static struct proxy_guard *parse(struct el_str allow, struct el_str deny, struct el_str ports)
{
    char *a = el_strndup(allow.p, allow.n), *d = el_strndup(deny.p, deny.n);
    char *p = el_strndup(ports.p, ports.n);
    struct proxy_guard *g = NULL;
    struct el_error err = { 0 };
    enum el_err rc = proxy_guard_new(a, d, p, &g, &err);

    CLAIM(rc == EL_OK ? g != NULL : rc == EL_ECONF && g == NULL && err.text[0] != '\0');
    free(a);
    free(d);
    free(p);
    return g;
}

static bool address_is_fine(const struct proxy_guard *g, const struct sockaddr_in6 *addr)
{
    const struct proxy_guard_own own = { .addresses = &addr->sin6_addr, .n = 1, .port = 8080 };
    struct proxy_guard_at at = { .guard = g, .own = &own, .n_own = 1 };

    return proxy_guard_address(&at, (const struct sockaddr *)addr);
}

/* The metadata address stays out, whatever is listed, unless it is listed itself. */
static void check_metadata(const struct proxy_guard *g, struct el_str allow)
{
    struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = 1 };
    static const uint8_t metadata[] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 169, 254, 169, 254
    };

    memcpy(&addr.sin6_addr, metadata, sizeof(metadata));
    if (address_is_fine(g, &addr))
        CLAIM(memmem(allow.p, allow.n, "169.254.169.254", 15) != NULL ||
              memmem(allow.p, allow.n, "/128", 4) != NULL || el_str_find(allow, ':') < allow.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str rest = { (const char *)data, n };
    struct el_str allow = fuzz_line(&rest), deny = fuzz_line(&rest), ports = fuzz_line(&rest);
    struct el_str host = fuzz_line(&rest);
    struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = 1 };
    struct proxy_guard *g = parse(allow, deny, ports);

    if (g == NULL)
        return 0;
    if (proxy_guard_connect(g, host, 443, NULL) == EL_OK)
        CLAIM(proxy_guard_host(g, host, NULL) == EL_OK);
    if (rest.n > 0)
        memcpy(&addr.sin6_addr, rest.p, el_min_size(rest.n, sizeof(addr.sin6_addr)));
    (void)address_is_fine(g, &addr);
    check_metadata(g, allow);
    proxy_guard_free(g);
    return 0;
}
