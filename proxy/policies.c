/* SPDX-License-Identifier: MIT */
/* policies: see policies.h. Sections are kept longest prefix first, and those that were pushed
 * behind the others, so the first that fits decides. */
#include "proxy/policies.h"

#include "common/url.h"

/* As long as a lifetime may be (RFC 9111 section 1.2.2). */
#define FOREVER_MS ((int64_t)1 << 31) * 1000

struct section {
    struct proxy_policy policy;
    struct el_buf origin; /* "http://host:port" */
    struct el_buf path;   /* decoded, without "/" at its end; empty: everything of the origin */
    bool is_pushed;
};

struct proxy_policies {
    struct proxy_policy everywhere; /* what no section is about */
    struct proxy_policy unclear, unclear_denied;
    struct section *sections;
    size_t n;
};

/* ---- paths ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void add_decoded(struct el_buf *out, struct el_str s)
{
    el_buf_reserve(out, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        bool has_two = s.p[i] == '%' && i + 2 < s.n;
        int high = has_two ? hex_value(s.p[i + 1]) : -1;
        int low = has_two ? hex_value(s.p[i + 2]) : -1;

        if (high >= 0 && low >= 0) {
            el_buf_add_byte(out, (char)(high * 16 + low));
            i += 2;
        } else {
            el_buf_add_byte(out, s.p[i]);
        }
    }
}

/* "http://host" and "/path" of a key; the query belongs to neither. */
static void split_key(struct el_str url, struct el_str *ret_origin, struct el_str *ret_path)
{
    size_t authority = el_str_find(url, ':') + 3;
    size_t slash = authority + el_str_find(el_str_from(url, authority), '/');
    struct el_str path = el_str_from(url, slash);

    *ret_origin = el_str_first(url, slash);
    *ret_path = el_str_first(path, el_str_find(path, '?'));
}

static bool is_dots(struct el_str segment)
{
    return el_str_eq(segment, EL_STR(".")) || el_str_eq(segment, EL_STR(".."));
}

/* Whether somebody could take the path for another one. An empty segment at the end is none. */
static bool is_ambiguous(struct el_str path)
{
    struct el_str rest = el_str_from(path, 1), segment;

    while (el_str_split(&rest, '/', &segment)) {
        if (is_dots(segment) || (segment.n == 0 && rest.n > 0))
            return true;
    }
    return false;
}

static void drop_last_segment(struct el_buf *path)
{
    while (path->n > 0 && path->p[path->n - 1] != '/')
        path->n--;
    if (path->n > 0)
        path->n--;
}

/* As a web server would have it: RFC 3986 section 5.2.4, and empty segments left out. */
static void add_collapsed(struct el_buf *out, struct el_str path)
{
    struct el_str rest = el_str_from(path, 1), segment;

    while (el_str_split(&rest, '/', &segment)) {
        if (el_str_eq(segment, EL_STR("..")))
            drop_last_segment(out);
        if (segment.n == 0 || is_dots(segment))
            continue;
        el_buf_add_byte(out, '/');
        el_buf_add_str(out, segment);
    }
}

/* ---- from the configuration ---- */

static struct proxy_policy policy_of(const struct el_conf *conf, const struct el_conf_policy *c)
{
    struct proxy_policy p = {
        .prefix = c->prefix,
        .auth = c->has_auth ? (enum el_auth)c->auth : (enum el_auth)conf->auth_mode,
        .grant = c->has_grant ? (enum el_grant_reach)c->grant : EL_GRANT_OBJECT,
        .grant_ttl_ms = (c->has_grant_ttl ? c->grant_ttl : conf->auth_grant_ttl_s) * 1000,
        .freshness_ms = (c->has_freshness ? c->freshness : conf->cache_freshness_s) * 1000,
        .lifetime_ms = PROXY_POLICY_NO_LIFETIME,
        .max_bytes = c->has_max_object_mb ? c->max_object_mb * EL_MIB : UINT64_MAX,
        .bypass = c->bypass,
    };

    if (c->immutable)
        p.lifetime_ms = FOREVER_MS;
    else if (c->has_ttl)
        p.lifetime_ms = (int64_t)c->ttl * 1000;
    return p;
}

static enum el_err fill_section(struct section *s, const struct el_conf *conf,
                                const struct el_conf_policy *c, struct el_error *err)
{
    struct el_str origin, path;
    struct el_buf key = { 0 };
    struct el_url url;
    enum el_err rc = el_url_parse(el_str_of(c->prefix), &url, err);

    if (rc != EL_OK)
        return rc;
    if (c->immutable && c->has_ttl)
        return el_fail(err, EL_ECONF, 0, "policy %s: immutable and ttl exclude each other",
                       c->prefix);
    s->is_pushed = c->is_pushed;
    s->policy = policy_of(conf, c);
    s->policy.prefix = el_strndup(c->prefix, strlen(c->prefix));
    el_url_write_key(&key, url.is_https, url.host, url.port, url.target);
    split_key(el_buf_str(&key), &origin, &path);
    el_buf_add_str(&s->origin, origin);
    add_decoded(&s->path, path);
    while (s->path.n > 0 && s->path.p[s->path.n - 1] == '/')
        s->path.n--;
    el_buf_deinit(&key);
    if (s->path.n > 0 && is_ambiguous(el_buf_str(&s->path)))
        return el_fail(err, EL_ECONF, 0, "policy %s: a segment of the prefix is empty, . or ..",
                       c->prefix);
    return EL_OK;
}

static int by_rank(const void *a, const void *b)
{
    const struct section *x = a, *y = b;

    if (x->is_pushed != y->is_pushed)
        return x->is_pushed ? 1 : -1;
    return x->path.n == y->path.n ? 0 : x->path.n > y->path.n ? -1 : 1;
}

static enum el_err check_twins(const struct proxy_policies *p, struct el_error *err)
{
    for (size_t i = 0; i < p->n; i++) {
        for (size_t k = i + 1; k < p->n; k++) {
            const struct section *a = &p->sections[i], *b = &p->sections[k];

            if (a->is_pushed == b->is_pushed &&
                el_str_eq(el_buf_str(&a->origin), el_buf_str(&b->origin)) &&
                el_str_eq(el_buf_str(&a->path), el_buf_str(&b->path)))
                return el_fail(err, EL_ECONF, 0, "policy %s and policy %s are about the same",
                               a->policy.prefix, b->policy.prefix);
        }
    }
    return EL_OK;
}

enum el_err proxy_policies_new(const struct el_conf *conf, struct proxy_policies **ret_policies,
                               struct el_error *err)
{
    char no_prefix[] = "";
    const struct el_conf_policy nothing = { .prefix = no_prefix };
    struct proxy_policies *p = el_new(struct proxy_policies);
    enum el_err rc = EL_OK;

    p->everywhere = policy_of(conf, &nothing);
    p->everywhere.prefix = "";
    p->unclear = p->everywhere;
    p->unclear.bypass = true;
    p->unclear_denied = p->unclear;
    p->unclear_denied.auth = EL_AUTH_DENY;
    if (conf->n_policies > 0)
        p->sections = el_alloc(conf->n_policies * sizeof(*p->sections));
    for (; rc == EL_OK && p->n < conf->n_policies; p->n++)
        rc = fill_section(&p->sections[p->n], conf, &conf->policies[p->n], err);
    if (rc == EL_OK)
        rc = check_twins(p, err);
    if (rc != EL_OK) {
        proxy_policies_free(p);
        return rc;
    }
    if (p->n > 0)
        qsort(p->sections, p->n, sizeof(*p->sections), by_rank);
    *ret_policies = p;
    return EL_OK;
}

void proxy_policies_free(struct proxy_policies *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n; i++) {
        struct section *s = &p->sections[i];

        free((char *)(uintptr_t)s->policy.prefix);
        el_buf_deinit(&s->origin);
        el_buf_deinit(&s->path);
    }
    free(p->sections);
    free(p);
}

/* ---- finding ---- */

static bool fits(const struct section *s, struct el_str origin, struct el_str path)
{
    struct el_str prefix = el_buf_str(&s->path);

    return el_str_eq(el_buf_str(&s->origin), origin) && el_str_starts(path, prefix) &&
           (path.n == prefix.n || path.p[prefix.n] == '/');
}

static const struct proxy_policy *find(const struct proxy_policies *p, struct el_str origin,
                                       struct el_str path)
{
    for (size_t i = 0; i < p->n; i++) {
        if (fits(&p->sections[i], origin, path))
            return &p->sections[i].policy;
    }
    return &p->everywhere;
}

static const struct proxy_policy *find_in_both_readings(const struct proxy_policies *p,
                                                        struct el_str origin, struct el_str path)
{
    const struct proxy_policy *as_it_is = find(p, origin, path), *collapsed;
    struct el_buf other = { 0 };

    add_collapsed(&other, path);
    collapsed = find(p, origin, el_buf_str(&other));
    el_buf_deinit(&other);
    if (as_it_is == collapsed)
        return as_it_is;
    return as_it_is->auth == EL_AUTH_DENY || collapsed->auth == EL_AUTH_DENY ? &p->unclear_denied
                                                                             : &p->unclear;
}

const struct proxy_policy *proxy_policies_find(const struct proxy_policies *p, struct el_str url)
{
    struct el_str origin, path;
    struct el_buf decoded = { 0 };
    const struct proxy_policy *policy;

    if (p->n == 0)
        return &p->everywhere;
    split_key(url, &origin, &path);
    add_decoded(&decoded, path);
    policy = is_ambiguous(el_buf_str(&decoded))
                 ? find_in_both_readings(p, origin, el_buf_str(&decoded))
                 : find(p, origin, el_buf_str(&decoded));
    el_buf_deinit(&decoded);
    return policy;
}

const struct proxy_policy *proxy_policies_trusting(const struct proxy_policies *p, size_t i)
{
    if (p->everywhere.auth == EL_AUTH_TRUST && i-- == 0)
        return &p->everywhere;
    for (size_t k = 0; k < p->n; k++) {
        if (p->sections[k].policy.auth == EL_AUTH_TRUST && i-- == 0)
            return &p->sections[k].policy;
    }
    return NULL;
}
