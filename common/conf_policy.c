/* SPDX-License-Identifier: MIT */
/* conf_policy: see conf_policy.h. The keys are those of conf_policy_list.h. */
#include "common/conf_policy.h"

#include "common/prefix.h"
#include "common/url.h"

/* A key and the flag that says whether the section sets it. */
struct policy_key {
    struct el_conf_key key;
    size_t has; /* offset of has_<name> */
};

/* clang-format off */
#define KEY(s, n, t, r, a, h, ...)                                                                \
    { .key = { .section = #s, .name = #n, .offset = offsetof(struct el_conf_policy, n),           \
               .type = t, .reloads = (r), .alias = (a), .help = (h), __VA_ARGS__ },               \
      .has = offsetof(struct el_conf_policy, has_##n) },

static const struct policy_key keys[] = {
#define EL_CONF_INT(s, n, d, lo, hi, r, a, h)  KEY(s, n, EL_KEY_INT, r, a, h, .int_default = (d), .min = (lo), .max = (hi))
#define EL_CONF_BOOL(s, n, d, r, a, h)         KEY(s, n, EL_KEY_BOOL, r, a, h, .int_default = (d))
#define EL_CONF_ENUM(s, n, d, w, r, a, h)      KEY(s, n, EL_KEY_ENUM, r, a, h, .int_default = (d), .words = (w))
#include "common/conf_policy_list.h"
#undef EL_CONF_INT
#undef EL_CONF_BOOL
#undef EL_CONF_ENUM
};
/* clang-format on */

static bool *has_at(const struct el_conf_policy *p, const struct policy_key *k)
{
    return (bool *)((char *)(uintptr_t)p + k->has);
}

const struct el_conf_key *el_conf_policy_key(size_t i)
{
    return i < EL_COUNT(keys) ? &keys[i].key : NULL;
}

/* ---- a section ---- */

enum el_err el_conf_policy_check_prefix(struct el_str prefix, const char *where,
                                        struct el_error *err)
{
    struct el_error why = { 0 };
    struct el_url url;

    if (prefix.n == 0)
        return el_fail(err, EL_ECONF, 0, "%s: a policy names a prefix: [policy http://host/path]",
                       where);
    if (el_url_parse(prefix, &url, &why) != EL_OK)
        return el_fail(err, EL_ECONF, 0, "%s: policy: the prefix is no URL: %s", where, why.text);
    if (el_str_find(prefix, '?') < prefix.n)
        return el_fail(err, EL_ECONF, 0, "%s: policy: a prefix has no query", where);
    return EL_OK;
}

enum el_err el_conf_policy_begin(struct el_conf *c, struct el_str prefix, bool is_pushed,
                                 const char *where, struct el_error *err)
{
    enum el_err rc = el_conf_policy_check_prefix(prefix, where, err);
    struct el_conf_policy *grown;
    size_t alike = 0;

    if (rc != EL_OK)
        return rc;
    for (size_t i = 0; i < c->n_policies; i++) {
        if (c->policies[i].is_pushed != is_pushed)
            continue;
        alike++;
        if (el_str_eq(prefix, el_str_of(c->policies[i].prefix)))
            return el_fail(err, EL_ECONF, 0, "%s: this policy is there already", where);
    }
    if (alike == EL_CONF_MAX_POLICIES)
        return el_fail(err, EL_ECONF, 0, "%s: at most %d policies are allowed", where,
                       EL_CONF_MAX_POLICIES);
    grown = realloc(c->policies, (c->n_policies + 1) * sizeof(*grown));
    if (grown == NULL)
        return el_fail(err, EL_ENOMEM, 0, "%s: memory for a policy", where);
    c->policies = grown;
    grown[c->n_policies++] =
        (struct el_conf_policy){ .prefix = el_strndup(prefix.p, prefix.n), .is_pushed = is_pushed };
    return EL_OK;
}

static enum el_err refuse_name(struct el_str name, const char *where, struct el_error *err)
{
    struct el_buf names = { 0 };
    enum el_err rc;

    for (size_t i = 0; i < EL_COUNT(keys); i++)
        el_buf_addf(&names, "%s%s", i == 0 ? "" : ", ", keys[i].key.name);
    rc = el_fail(err, EL_ECONF, 0, "%s: there is no key policy.%.*s; allowed are %s", where,
                 EL_STR_ARG(el_str_first(name, 64)), names.p);
    el_buf_deinit(&names);
    return rc;
}

/* As for keys outside of sections (conf.c): from afar nobody says who may do what. */
static bool may_push(const struct el_conf_key *k)
{
    static const char *const never[] = { "auth", "grant", "grant_ttl" };

    for (size_t i = 0; i < EL_COUNT(never); i++) {
        if (strcmp(k->name, never[i]) == 0)
            return false;
    }
    return true;
}

enum el_err el_conf_policy_set(struct el_conf *c, struct el_str name, struct el_str value,
                               const char *where, struct el_error *err)
{
    struct el_conf_policy *p = &c->policies[c->n_policies - 1];
    size_t i = 0;

    while (i < EL_COUNT(keys) && !el_str_eq(name, el_str_of(keys[i].key.name)))
        i++;
    if (i == EL_COUNT(keys))
        return refuse_name(name, where, err);
    if (*has_at(p, &keys[i]))
        return el_fail(err, EL_ECONF, 0, "%s: policy.%s is set again", where, keys[i].key.name);
    if (p->is_pushed && !may_push(&keys[i].key))
        return el_fail(err, EL_ECONF, 0, "%s: policy.%s is not set from afar", where,
                       keys[i].key.name);
    *has_at(p, &keys[i]) = true;
    return el_conf_key_set(p, &keys[i].key, value, where, err);
}

/* ---- all of them ---- */

void el_conf_policy_free_all(struct el_conf *c)
{
    for (size_t i = 0; i < c->n_policies; i++)
        free(c->policies[i].prefix);
    free(c->policies);
    c->policies = NULL;
    c->n_policies = 0;
}

void el_conf_policy_copy_all(struct el_conf *c, const struct el_conf *from)
{
    el_conf_policy_free_all(c);
    if (from->n_policies == 0)
        return;
    c->policies = el_alloc(from->n_policies * sizeof(*c->policies));
    for (size_t i = 0; i < from->n_policies; i++) {
        const char *prefix = from->policies[i].prefix;

        c->policies[i] = from->policies[i];
        c->policies[i].prefix = el_strndup(prefix, strlen(prefix));
    }
    c->n_policies = from->n_policies;
}

static void print(const struct el_conf_policy *p, FILE *out)
{
    (void)fprintf(out, "\n[policy %s]\n", p->prefix);
    for (size_t i = 0; i < EL_COUNT(keys); i++) {
        struct el_buf value = { 0 };

        if (!*has_at(p, &keys[i]))
            continue;
        el_conf_key_add_value(&value, p, &keys[i].key);
        (void)fprintf(out, "%s = %s\n", keys[i].key.name, value.p);
        el_buf_deinit(&value);
    }
}

void el_conf_policy_print_all(const struct el_conf *c, FILE *out)
{
    for (size_t i = 0; i < c->n_policies; i++)
        print(&c->policies[i], out);
}

/* ---- all of them together ---- */

static enum el_err check_twins(const struct el_conf *c, const struct el_prefix *v,
                               struct el_error *err)
{
    for (size_t i = 0; i < c->n_policies; i++) {
        for (size_t k = i + 1; k < c->n_policies; k++) {
            const struct el_conf_policy *a = &c->policies[i], *b = &c->policies[k];

            if (a->is_pushed == b->is_pushed && el_prefix_is_same(&v[i], &v[k]))
                return el_fail(err, EL_ECONF, 0, "policy %s and policy %s are about the same",
                               a->prefix, b->prefix);
        }
    }
    return EL_OK;
}

enum el_err el_conf_policy_check(const struct el_conf *c, struct el_error *err)
{
    struct el_prefix *v = (struct el_prefix *)el_alloc((c->n_policies + 1) * sizeof(*v));
    enum el_err rc = EL_OK;

    for (size_t i = 0; rc == EL_OK && i < c->n_policies; i++) {
        const struct el_conf_policy *p = &c->policies[i];

        rc = el_prefix_parse(p->prefix, &v[i], err);
        if (rc == EL_OK && p->immutable && p->has_ttl)
            rc = el_fail(err, EL_ECONF, 0, "policy %s: immutable and ttl exclude each other",
                         p->prefix);
    }
    if (rc == EL_OK)
        rc = check_twins(c, v, err);
    for (size_t i = 0; i < c->n_policies; i++)
        el_prefix_deinit(&v[i]);
    free(v);
    return rc;
}
