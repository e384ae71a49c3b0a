/* SPDX-License-Identifier: MIT */
/* guard: see guard.h. Rules are kept as they were written and compared one by one: lists are short.
 */
#include "proxy/guard.h"

#include "common/address.h"

#define MAX_RULES 256

enum rule_kind { RULE_NAME, RULE_SUFFIX, RULE_NET };

struct rule {
    enum rule_kind kind;
    struct el_str name; /* RULE_SUFFIX: ".example.org" */
    struct el_net net;
};

struct rules {
    struct rule v[MAX_RULES];
    size_t n;
};

struct ports {
    uint16_t first[MAX_RULES], last[MAX_RULES];
    size_t n;
};

struct proxy_guard {
    char *allow_text, *deny_text; /* the rules' names point into them */
    struct rules allow, deny;
    struct ports connect;
};

struct proxy_hosts {
    char *text; /* the rules' names point into it */
    struct rules rules;
};

/* ---- parsing ---- */

/* Not a network, not a port, and not a mistyped address ("10.0.0.256"), whose end is a number. */
static bool is_name(struct el_str s)
{
    bool ends_in_number = true;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c <= 0x20 || c >= 0x7f || strchr("*/:[]@", c) != NULL)
            return false;
        ends_in_number = c == '.' ? true : ends_in_number && c >= '0' && c <= '9';
    }
    return s.n > 0 && !ends_in_number;
}

/* A name may be written with the dot of the root, which changes nothing. */
static struct el_str without_root(struct el_str host)
{
    return host.n > 1 && host.p[host.n - 1] == '.' ? el_str_first(host, host.n - 1) : host;
}

static enum el_err parse_rule(const char *key, struct el_str text, struct rule *r,
                              struct el_error *err)
{
    bool is_suffix = el_str_starts(text, EL_STR("*."));

    r->kind = RULE_NET;
    if (el_net_parse(text, &r->net))
        return EL_OK;
    r->kind = is_suffix ? RULE_SUFFIX : RULE_NAME;
    r->name = without_root(el_str_from(text, is_suffix ? 1 : 0));
    if (!is_name(el_str_from(r->name, is_suffix ? 1 : 0)))
        return el_fail(err, EL_ECONF, 0,
                       "%s: \"%.*s\" is neither a name, *.suffix, an address nor a network", key,
                       EL_STR_ARG(text));
    return EL_OK;
}

static enum el_err parse_rules(const char *key, const char *text, struct rules *rules,
                               struct el_error *err)
{
    struct el_str rest = el_str_of(text), part;
    enum el_err rc;

    while (el_str_split(&rest, ',', &part)) {
        part = el_str_trim(part);
        if (part.n == 0)
            continue;
        if (rules->n == MAX_RULES)
            return el_fail(err, EL_ECONF, 0, "%s: more than %d entries", key, MAX_RULES);
        rc = parse_rule(key, part, &rules->v[rules->n], err);
        if (rc != EL_OK)
            return rc;
        rules->n++;
    }
    return EL_OK;
}

static enum el_err parse_ports(const char *text, struct ports *ports, struct el_error *err)
{
    struct el_str rest = el_str_of(text), part;
    uint64_t first, last;

    while (el_str_split(&rest, ',', &part)) {
        size_t dash;

        part = el_str_trim(part);
        if (part.n == 0)
            continue;
        dash = el_str_find(part, '-');
        if (ports->n == MAX_RULES || !el_str_u64(el_str_first(part, dash), 65535, &first) ||
            !el_str_u64(dash < part.n ? el_str_from(part, dash + 1) : part, 65535, &last) ||
            first == 0 || last < first)
            return el_fail(
                err, EL_ECONF, 0,
                "proxy.connect_ports: \"%.*s\" is not a port or a range of ports from 1 to 65535",
                EL_STR_ARG(part));
        ports->first[ports->n] = (uint16_t)first;
        ports->last[ports->n++] = (uint16_t)last;
    }
    return EL_OK;
}

enum el_err proxy_guard_new(const char *allow, const char *deny, const char *connect_ports,
                            struct proxy_guard **ret_guard, struct el_error *err)
{
    struct proxy_guard *g = el_new(struct proxy_guard);
    enum el_err rc;

    g->allow_text = el_strndup(allow, strlen(allow));
    g->deny_text = el_strndup(deny, strlen(deny));
    rc = parse_rules("proxy.allow_hosts", g->allow_text, &g->allow, err);
    if (rc == EL_OK)
        rc = parse_rules("proxy.deny_hosts", g->deny_text, &g->deny, err);
    if (rc == EL_OK)
        rc = parse_ports(connect_ports, &g->connect, err);
    if (rc != EL_OK) {
        proxy_guard_free(g);
        return rc;
    }
    *ret_guard = g;
    return EL_OK;
}

void proxy_guard_free(struct proxy_guard *g)
{
    if (g == NULL)
        return;
    free(g->allow_text);
    free(g->deny_text);
    free(g);
}

enum el_err proxy_hosts_new(const char *key, const char *text, struct proxy_hosts **ret_hosts,
                            struct el_error *err)
{
    struct proxy_hosts *h = el_new(struct proxy_hosts);
    enum el_err rc;

    h->text = el_strndup(text, strlen(text));
    rc = parse_rules(key, h->text, &h->rules, err);
    if (rc != EL_OK) {
        proxy_hosts_free(h);
        return rc;
    }
    *ret_hosts = h;
    return EL_OK;
}

void proxy_hosts_free(struct proxy_hosts *h)
{
    if (h == NULL)
        return;
    free(h->text);
    free(h);
}

/* ---- judging ---- */

static bool name_matches(const struct rule *r, struct el_str host)
{
    if (r->kind == RULE_NAME)
        return el_str_ieq(r->name, host);
    return host.n > r->name.n && el_str_ieq(el_str_from(host, host.n - r->name.n), r->name);
}

/* By name, or by address where the host is written as one. */
static bool host_matches(const struct rules *rules, struct el_str host)
{
    struct in6_addr a;
    bool is_v4, is_address = el_address_parse(host, &a, &is_v4);

    host = without_root(host);
    for (size_t i = 0; i < rules->n; i++) {
        const struct rule *r = &rules->v[i];

        if (r->kind == RULE_NET ? is_address && el_net_has(&r->net, &a) : name_matches(r, host))
            return true;
    }
    return false;
}

bool proxy_hosts_has(const struct proxy_hosts *h, struct el_str host)
{
    return host_matches(&h->rules, host);
}

static bool has_names(const struct rules *rules)
{
    for (size_t i = 0; i < rules->n; i++) {
        if (rules->v[i].kind != RULE_NET)
            return true;
    }
    return false;
}

static bool address_matches(const struct rules *rules, const struct in6_addr *a, unsigned min_bits)
{
    for (size_t i = 0; i < rules->n; i++) {
        const struct rule *r = &rules->v[i];

        if (r->kind == RULE_NET && r->net.bits >= min_bits && el_net_has(&r->net, a))
            return true;
    }
    return false;
}

enum el_err proxy_guard_host(const struct proxy_guard *g, struct el_str host, struct el_error *err)
{
    if (host_matches(&g->deny, host))
        return el_fail(err, EL_EFORBIDDEN, 0, "host %.*s is in proxy.deny_hosts", EL_STR_ARG(host));
    /* A list of networks only is judged when the address is known. */
    if (g->allow.n > 0 && !host_matches(&g->allow, host) && has_names(&g->allow))
        return el_fail(err, EL_EFORBIDDEN, 0, "host %.*s is not in proxy.allow_hosts",
                       EL_STR_ARG(host));
    return EL_OK;
}

enum el_err proxy_guard_connect(const struct proxy_guard *g, struct el_str host, uint16_t port,
                                struct el_error *err)
{
    for (size_t i = 0; i < g->connect.n; i++) {
        if (port >= g->connect.first[i] && port <= g->connect.last[i])
            return proxy_guard_host(g, host, err);
    }
    return el_fail(err, EL_EFORBIDDEN, 0, "port %u is not in proxy.connect_ports", port);
}

static bool listens_at(const struct proxy_guard_own *own, const struct in6_addr *a)
{
    if (el_address_is_loopback(a))
        return true;
    for (size_t i = 0; i < own->n; i++) {
        if (memcmp(&own->addresses[i], a, sizeof(*a)) == 0)
            return true;
    }
    return false;
}

static bool is_our_own(const struct proxy_guard_at *where, const struct in6_addr *a, uint16_t port)
{
    struct in6_addr v4 = el_address_translated(a);

    for (size_t i = 0; i < where->n_own; i++) {
        const struct proxy_guard_own *own = &where->own[i];

        if (own->port == port && (listens_at(own, a) || listens_at(own, &v4)))
            return true;
    }
    return false;
}

bool proxy_guard_address(void *at, const struct sockaddr *addr)
{
    const struct proxy_guard_at *where = at;
    const struct proxy_guard *g = where->guard;
    struct in6_addr a, v4;
    uint16_t port;

    if (!el_address_of(addr, &a, &port))
        return false;
    v4 = el_address_translated(&a);
    if (address_matches(&g->deny, &a, 0) || address_matches(&g->deny, &v4, 0))
        return false;
    if (is_our_own(where, &a, port))
        return false;
    if (el_address_is_odd(&a))
        return address_matches(&g->allow, &a, 128);
    return g->allow.n == 0 || has_names(&g->allow) || address_matches(&g->allow, &a, 0);
}

/* The pseudonym of "1.1 pseudonym (comment)". */
static struct el_str received_by(struct el_str member)
{
    struct el_str rest = el_str_trim(el_str_from(member, el_str_find(member, ' ')));

    return el_str_first(rest, el_str_find(rest, ' '));
}

enum el_err proxy_guard_loop(struct el_fieldv fields, struct el_str via_token, struct el_error *err)
{
    struct el_list_cursor c = { 0 };
    struct el_str member;

    while (el_fieldv_member(fields, EL_STR("Via"), &c, &member)) {
        if (el_str_ieq(received_by(member), via_token))
            return el_fail(err, EL_ELOOP, 0, "Via already names this node");
    }
    return EL_OK;
}
