/* SPDX-License-Identifier: MIT */
/* verify: see verify.h. */
#include "proxy/verify.h"

/* A derived key costs four HMACs. One that is pushed out is derived again. */
#define SLOTS 64

/* SHA-256 of nothing, which is the body of a GET. */
#define NO_BODY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct slot {
    const struct proxy_keys *keys; /* NULL: empty */
    char key_id[STORE_SIGN_KEY_ID_BYTES];
    struct store_sign_key key;
};

struct proxy_verifier {
    struct slot slots[SLOTS];
};

struct proxy_verifier *proxy_verifier_new(void)
{
    return el_new(struct proxy_verifier);
}

void proxy_verifier_free(struct proxy_verifier *v)
{
    if (v == NULL)
        return;
    explicit_bzero(v, sizeof(*v));
    free(v);
}

/* ---- what else may decide ---- */

static bool is_among(struct el_str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (el_str_ieq(name, el_str_of(names[i])))
            return true;
    }
    return false;
}

/* Fields of the store that change neither who may read nor what. */
static bool is_harmless(struct el_str name)
{
    static const char *const names[] = { "x-amz-date", "x-amz-content-sha256", "x-amz-user-agent",
                                         "x-amz-checksum-mode" };

    return is_among(name, names, EL_COUNT(names));
}

static bool may_decide(struct el_str name)
{
    static const char *const names[] = {
        "Cookie",         "X-Auth-Token",      "X-Api-Key",
        "X-Original-URL", "X-Rewrite-URL",     "X-Forwarded-Host",
        "Expect",         "X-Method-Override", "X-HTTP-Method-Override",
    };

    if (el_str_istarts(name, EL_STR("x-amz-")))
        return !is_harmless(name);
    return el_str_istarts(name, EL_STR("x-oss-")) || is_among(name, names, EL_COUNT(names));
}

/* The Host that was signed has to be the one that is sent. */
static bool has_one_host(struct el_fieldv fields, struct el_str sent)
{
    struct el_str host;

    return el_fieldv_count(fields, EL_STR("Host")) == 1 &&
           el_fieldv_get(fields, EL_STR("Host"), &host) && el_str_eq(host, sent);
}

static bool is_plain(const struct proxy_route *route, struct el_fieldv fields)
{
    struct el_str query = store_sign_query(route->to.target);

    for (size_t i = 0; i < fields.n; i++) {
        if (may_decide(fields.v[i].name))
            return false;
    }
    return has_one_host(fields, route->host_field) &&
           !store_sign_has_parameter(query, "X-Amz-Security-Token");
}

static bool is_without_body(const struct store_sigv4_claim *claim)
{
    return claim->payload == STORE_SIGV4_UNSIGNED ||
           (claim->payload == STORE_SIGV4_HASH && el_str_eq(claim->payload_value, EL_STR(NO_BODY)));
}

/* ---- the key ---- */

static struct slot *slot_of(struct proxy_verifier *v, const struct store_sigv4_claim *claim)
{
    uint64_t hash = el_str_hash(el_str_of(claim->key_id)) ^
                    el_str_hash(el_str_of(claim->scope.region)) ^
                    el_str_hash(el_str_of(claim->scope.date));

    return &v->slots[hash % SLOTS];
}

static bool is_it(const struct slot *s, const struct proxy_keys *keys,
                  const struct store_sigv4_claim *claim)
{
    return s->keys == keys && strcmp(s->key_id, claim->key_id) == 0 &&
           store_sign_scope_is_same(&s->key.scope, &claim->scope);
}

/* NULL: the secret is not known. */
static const struct store_sign_key *find_key(struct proxy_verifier *v,
                                             const struct proxy_keys *keys,
                                             const struct store_sigv4_claim *claim)
{
    struct slot *s = slot_of(v, claim);
    struct el_str secret;

    if (is_it(s, keys, claim))
        return &s->key;
    if (!proxy_keys_find(keys, el_str_of(claim->key_id), &secret))
        return NULL;
    s->keys = NULL;
    if (store_sigv4_derive(secret, &claim->scope, &s->key, NULL) != EL_OK)
        return NULL;
    memcpy(s->key_id, claim->key_id, sizeof(s->key_id));
    s->keys = keys;
    return &s->key;
}

bool proxy_verify(struct proxy_verifier *v, const struct proxy_keys *keys, struct el_str method,
                  const struct proxy_route *route, struct el_fieldv fields, int64_t now_s,
                  struct proxy_verified *ret)
{
    const struct store_sign_request req = { .method = method,
                                            .target = route->to.target,
                                            .fields = fields };
    const struct store_sign_key *key;
    struct store_sigv4_claim claim;
    int n;

    if (!is_plain(route, fields) || store_sigv4_parse(&req, &claim, NULL) != EL_OK ||
        !is_without_body(&claim))
        return false;
    key = find_key(v, keys, &claim);
    if (key == NULL || store_sigv4_verify(&req, &claim, key, now_s, NULL) != EL_OK)
        return false;
    memcpy(ret->key_id, claim.key_id, sizeof(ret->key_id));
    n = snprintf(ret->scope, sizeof(ret->scope), "%s/%s", claim.scope.region, claim.scope.service);
    return n > 0 && (size_t)n < sizeof(ret->scope);
}
