/* SPDX-License-Identifier: MIT */
/*
 * policies: what operators want of objects whose names begin alike (groups.h). Records, hard:
 * policy/PREFIX: copies, flags, settings, the version that this change made.
 */
#include "controlplane/state_in.h"

#define POLICY_FORMAT 1

struct cp_policy_in {
    struct cp_policy policy;
    uint64_t version, load;
};

static struct el_str own_text(struct el_str text)
{
    return (struct el_str){ el_strndup(text.p, text.n), text.n };
}

static void free_policy(struct cp_policy_in *p)
{
    free((void *)(uintptr_t)p->policy.settings.p);
    free(p);
}

/* The place of the prefix, or where it would stand. */
static size_t place_of(const struct cp_state *s, struct el_str prefix, bool *ret_is_there)
{
    size_t at = 0;

    *ret_is_there = false;
    for (; at < s->policies; at++) {
        struct el_str other = el_str_of(s->policy[at]->policy.prefix);
        int order =
            memcmp(other.p, prefix.p == NULL ? "" : prefix.p, el_min_size(other.n, prefix.n));

        *ret_is_there = order == 0 && other.n == prefix.n;
        if (order > 0 || (order == 0 && other.n >= prefix.n))
            break;
    }
    return at;
}

static struct cp_policy_in *put_policy(struct cp_state *s, const struct cp_policy *policy)
{
    struct cp_policy_in *p;
    bool is_there;
    size_t at = place_of(s, el_str_of(policy->prefix), &is_there);

    if (is_there) {
        p = s->policy[at];
        free((void *)(uintptr_t)p->policy.settings.p);
    } else {
        p = el_new(struct cp_policy_in);
        s->policy = (struct cp_policy_in **)cp_array_reserve(
            s->policy, s->policies, &s->policies_cap, sizeof(struct cp_policy_in *));
        memmove(s->policy + at + 1, s->policy + at,
                (s->policies - at) * sizeof(struct cp_policy_in *));
        s->policy[at] = p;
        s->policies++;
    }
    p->policy = *policy;
    p->policy.settings = own_text(policy->settings);
    p->load = s->load;
    return p;
}

static void drop_policy(struct cp_state *s, size_t at)
{
    free_policy(s->policy[at]);
    s->policies--;
    memmove(s->policy + at, s->policy + at + 1, (s->policies - at) * sizeof(struct cp_policy_in *));
}

static void encode_policy(struct el_buf *b, const struct cp_policy_in *in)
{
    const struct cp_policy *p = &in->policy;

    el_bytes_add_u8(b, POLICY_FORMAT);
    el_bytes_add_u64(b, in->version);
    el_bytes_add_u32(b, p->min_copies);
    el_bytes_add_u32(b, p->max_copies);
    el_bytes_add_u8(b, p->is_pinned);
    el_bytes_add_u8(b, p->is_replicated);
    cp_add_text(b, p->settings);
}

static void policies_changed(struct cp_state *s, const char *what)
{
    cp_event_add(s, CP_EV_POLICIES, (struct el_str){ "", 0 }, s->policy_version, el_str_of(what));
}

static enum el_err check_policy(const struct cp_policy *p, struct el_error *err)
{
    if (!cp_is_printable(el_str_of(p->prefix)))
        return el_fail(err, EL_EINVAL, 0, "prefix: printable ASCII only");
    if (p->min_copies > 100 || p->max_copies > 100)
        return el_fail(err, EL_EINVAL, 0, "max_copies: at most 100");
    if (p->max_copies != 0 && p->min_copies > p->max_copies)
        return el_fail(err, EL_EINVAL, 0, "min_copies: more than max_copies");
    if (p->settings.n > UINT16_MAX)
        return el_fail(err, EL_EINVAL, 0, "settings: longer than %u bytes", UINT16_MAX);
    return EL_OK;
}

enum el_err cp_policy_set(struct cp_state *s, const struct cp_policy *policy, struct el_error *err)
{
    enum el_err rc = check_policy(policy, err);
    struct el_buf b = { 0 };
    struct cp_policy_in *p;
    struct cp_key k;
    bool is_there;

    if (rc != EL_OK)
        return rc;
    (void)place_of(s, el_str_of(policy->prefix), &is_there);
    if (!is_there && s->policies >= CP_POLICIES_MAX)
        return el_fail(err, EL_EFULL, 0, "prefix: %u policies are there already", CP_POLICIES_MAX);
    p = put_policy(s, policy);
    p->version = ++s->policy_version;
    encode_policy(&b, p);
    cp_emit(s, CP_HARD, cp_key_of(&k, "policy", el_str_of(policy->prefix)), &b);
    policies_changed(s, "set");
    return EL_OK;
}

enum el_err cp_policy_delete(struct cp_state *s, struct el_str prefix, struct el_error *err)
{
    struct cp_key k;
    bool is_there;
    size_t at = place_of(s, prefix, &is_there);

    if (!is_there)
        return el_fail(err, EL_ENOTFOUND, 0, "prefix: no such policy");
    drop_policy(s, at);
    s->policy_version++;
    cp_emit_removal(s, CP_HARD, cp_key_of(&k, "policy", prefix));
    policies_changed(s, "deleted");
    return EL_OK;
}

uint64_t cp_policy_version(const struct cp_state *s)
{
    return s->policy_version;
}

const struct cp_policy *cp_policy_next(const struct cp_state *s, uint32_t *cursor)
{
    return *cursor < s->policies ? &s->policy[(*cursor)++]->policy : NULL;
}

const struct cp_policy *cp_policy_for(const struct cp_state *s, struct el_str object_name)
{
    const struct cp_policy *best = NULL;

    /* By prefix: a longer one that also fits stands behind. */
    for (size_t i = 0; i < s->policies; i++) {
        if (el_str_starts(object_name, el_str_of(s->policy[i]->policy.prefix)))
            best = &s->policy[i]->policy;
    }
    return best;
}

/* ---- records ---- */

static enum el_err apply_policy(struct cp_state *s, struct el_str name, struct el_str value,
                                bool is_removal, struct el_error *err)
{
    struct cp_policy p = { 0 };
    struct el_bytes b = el_bytes_of(value);
    struct cp_policy_in *in;
    uint64_t version;
    bool is_there;
    size_t at = place_of(s, name, &is_there);

    if (is_removal) {
        if (is_there)
            drop_policy(s, at);
        s->policy_version += is_there;
        policies_changed(s, "deleted");
        return EL_OK;
    }
    if (name.n > CP_PREFIX_MAX || el_bytes_u8(&b) != POLICY_FORMAT)
        return cp_bad_record(err, "policy");
    memcpy(p.prefix, name.p, name.n);
    version = el_bytes_u64(&b);
    p.min_copies = el_bytes_u32(&b);
    p.max_copies = el_bytes_u32(&b);
    p.is_pinned = el_bytes_u8(&b) != 0;
    p.is_replicated = el_bytes_u8(&b) != 0;
    p.settings = cp_get_text(&b, UINT16_MAX);
    if (!el_bytes_is_end(&b) || check_policy(&p, NULL) != EL_OK ||
        (!is_there && s->policies >= CP_POLICIES_MAX))
        return cp_bad_record(err, "policy");
    in = put_policy(s, &p);
    in->version = version;
    s->policy_version = el_max_u64(s->policy_version, version);
    policies_changed(s, "set");
    return EL_OK;
}

static void sweep_policies(struct cp_state *s)
{
    for (size_t i = s->policies; i > 0; i--) {
        if (s->policy[i - 1]->load != s->load)
            drop_policy(s, i - 1);
    }
}

static void dump_policies(const struct cp_state *s, cp_keep *keep, void *arg)
{
    for (size_t i = 0; i < s->policies; i++) {
        struct el_buf b = { 0 };
        struct cp_key k;

        encode_policy(&b, s->policy[i]);
        keep(arg, cp_key_of(&k, "policy", el_str_of(s->policy[i]->policy.prefix)), el_buf_str(&b));
        el_buf_deinit(&b);
    }
}

const struct cp_kind cp_kind_policy = { "policy", apply_policy, sweep_policies, dump_policies };

void cp_policies_deinit(struct cp_state *s)
{
    while (s->policies > 0)
        drop_policy(s, s->policies - 1);
    free(s->policy);
}
