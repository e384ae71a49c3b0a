/* SPDX-License-Identifier: MIT */
/* policies: see policies.h. Sections are kept longest prefix first, and those that were pushed
 * behind the others, so the first that fits decides. */
#include "proxy/policies.h"

#include "common/conf_policy.h"
#include "common/prefix.h"

/* As long as a lifetime may be (RFC 9111 section 1.2.2). */
#define FOREVER_MS ((int64_t)1 << 31) * 1000

struct section {
    struct proxy_policy policy;
    struct el_prefix prefix;
    bool is_pushed;
};

struct proxy_policies {
    struct proxy_policy everywhere; /* what no section is about */
    struct proxy_policy unclear, unclear_denied;
    struct section *sections;
    size_t n;
};

/* ---- paths ---- */

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
        if (segment.n == 0 || el_prefix_is_dots(segment))
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
    s->is_pushed = c->is_pushed;
    s->policy = policy_of(conf, c);
    s->policy.prefix = el_strndup(c->prefix, strlen(c->prefix));
    return el_prefix_parse(c->prefix, &s->prefix, err);
}

static int by_rank(const void *a, const void *b)
{
    const struct section *x = a, *y = b;

    if (x->is_pushed != y->is_pushed)
        return x->is_pushed ? 1 : -1;
    return x->prefix.path.n == y->prefix.path.n ? 0 : x->prefix.path.n > y->prefix.path.n ? -1 : 1;
}

enum el_err proxy_policies_new(const struct el_conf *conf, struct proxy_policies **ret_policies,
                               struct el_error *err)
{
    char no_prefix[] = "";
    const struct el_conf_policy nothing = { .prefix = no_prefix };
    struct proxy_policies *p = el_new(struct proxy_policies);
    enum el_err rc = el_conf_policy_check(conf, err);

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
        el_prefix_deinit(&s->prefix);
    }
    free(p->sections);
    free(p);
}

/* ---- finding ---- */

static const struct proxy_policy *find(const struct proxy_policies *p, struct el_str origin,
                                       struct el_str path)
{
    for (size_t i = 0; i < p->n; i++) {
        if (el_prefix_fits(&p->sections[i].prefix, origin, path))
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
    el_prefix_split(url, &origin, &path);
    el_prefix_add_decoded(&decoded, path);
    policy = el_prefix_is_ambiguous(el_buf_str(&decoded))
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
