/* SPDX-License-Identifier: MIT */
/*
 * Requests as clients sign them, decided and learned from: verify.c and authorise.c together, with
 * a clock that is moved by hand.
 */
#include "proxy/authorise.h"

#include "common/url.h"
#include "tests/lib/test.h"

#define NOW_S  ((int64_t)1369353600) /* 2013-05-24T00:00:00Z */
#define TTL_MS 30000
#define SECRET "topsecret"
#define OBJECT "/b/dir/k"

struct world {
    struct proxy_grants *grants;
    struct proxy_keys *keys;
    struct proxy_policy policy;
    struct el_sha256 *hash;
    struct proxy_verifier *verifier;
    struct cache_meta *meta;
    int64_t wall_ms;
    uint64_t mono_ms;
};

/* A client's request; target and fields may be changed before it is put to the node. */
struct request {
    const char *method;
    char target[512];
    struct el_fields fields;
    struct proxy_route route;
    struct proxy_authority who;
};

static int set_up(void **state)
{
    struct world *w = el_new(struct world);

    assert_int_equal(proxy_grants_new(1000, &w->grants, NULL), EL_OK);
    assert_int_equal(proxy_keys_parse("f",
                                      EL_STR("[a]\naccess_key = KEY\nsecret_key = " SECRET "\n"),
                                      &w->keys, NULL),
                     EL_OK);
    w->policy = (struct proxy_policy){ .prefix = "http://h/b/dir", .grant_ttl_ms = TTL_MS };
    w->hash = el_sha256_new();
    w->verifier = proxy_verifier_new();
    w->meta = cache_meta_new();
    w->wall_ms = NOW_S * 1000;
    w->mono_ms = 5000;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    cache_meta_unref(w->meta);
    proxy_verifier_free(w->verifier);
    el_sha256_free(w->hash);
    proxy_keys_free(w->keys);
    proxy_grants_free(w->grants);
    free(w);
    return 0;
}

static void pass(struct world *w, int64_t ms)
{
    w->wall_ms += ms;
    w->mono_ms += (uint64_t)ms;
}

/* ---- requests ---- */

static struct store_sigv4_signer signer_at(int64_t now_s, const char *secret)
{
    return (struct store_sigv4_signer){
        .key_id = EL_STR("KEY"),
        .secret = el_str_of(secret),
        .region = EL_STR("r"),
        .service = EL_STR("s3"),
        .now_s = now_s,
    };
}

static void start_request(struct request *q, const char *method, const char *target)
{
    *q = (struct request){ .method = method };
    (void)snprintf(q->target, sizeof(q->target), "%s", target);
    el_fields_init(&q->fields);
    el_fields_add(&q->fields, EL_STR("Host"), EL_STR("h"));
}

/* In a field, by a client that has the secret; of the second in which it asks. */
static struct request signed_request(struct world *w, const char *method, const char *target,
                                     const char *secret)
{
    const struct store_sigv4_signer by = signer_at(w->wall_ms / 1000, secret);
    struct request q;

    start_request(&q, method, target);
    assert_int_equal(store_sigv4_sign(&by, el_str_of(method), el_str_of(target), &q.fields, NULL),
                     EL_OK);
    return q;
}

static struct request presigned_request(struct world *w, const char *target, const char *secret)
{
    const struct store_sigv4_signer by = signer_at(w->wall_ms / 1000, secret);
    struct el_buf signed_target = { 0 };
    struct store_sign_request req;
    struct request q;

    start_request(&q, "GET", target);
    req = (struct store_sign_request){ .method = EL_STR("GET"),
                                       .target = el_str_of(target),
                                       .fields = el_fields_view(&q.fields) };
    assert_int_equal(store_sigv4_presign(&by, &req, 60, &signed_target, NULL), EL_OK);
    (void)snprintf(q.target, sizeof(q.target), "%s", signed_target.p);
    el_buf_deinit(&signed_target);
    return q;
}

static void end_request(struct request *q)
{
    el_fields_deinit(&q->fields);
    el_buf_deinit(&q->route.url);
}

static void set_route(struct request *q)
{
    struct el_str value;

    el_buf_clear(&q->route.url);
    el_url_write_key(&q->route.url, false, EL_STR("h"), 80, el_str_of(q->target));
    q->route.to.target = el_str_of(q->target);
    q->route.host_field = EL_STR("h");
    q->route.has_credentials = true;
    if (el_fieldv_get(el_fields_view(&q->fields), EL_STR("Authorization"), &value))
        q->route.signed_fields = EL_STR("host;x-amz-content-sha256;x-amz-date");
}

static enum proxy_rule decide(struct world *w, struct request *q, bool is_fresh)
{
    const struct proxy_authorise_in in = {
        .grants = w->grants,
        .hash = w->hash,
        .verifier = w->verifier,
        .keys = w->keys,
        .policy = &w->policy,
        .route = &q->route,
        .method = el_str_of(q->method),
        .fields = el_fields_view(&q->fields),
        .wall_ms = w->wall_ms,
        .mono_ms = w->mono_ms,
    };

    set_route(q);
    proxy_authority_read(&in, &q->who);
    return proxy_authorise(&in, &q->who, w->meta, is_fresh);
}

static void answer(struct world *w, const struct request *q, int status)
{
    proxy_authorise_learn(w->grants, &w->policy, &q->who, status, w->wall_ms, w->wall_ms,
                          w->mono_ms);
}

/* What the node makes of a request of that key with that secret, which it has not seen yet. */
static enum proxy_rule decide_new(struct world *w, const char *method, const char *target,
                                  const char *secret)
{
    struct request q = signed_request(w, method, target, secret);
    enum proxy_rule rule = decide(w, &q, true);

    end_request(&q);
    return rule;
}

/* The origin accepts one request of the key. */
static void accept_one(struct world *w, const char *target)
{
    struct request q = signed_request(w, "GET", target, SECRET);

    assert_int_equal(decide(w, &q, false), PROXY_RULE_ORIGIN);
    answer(w, &q, 200);
    end_request(&q);
}

/* ---- the same request ---- */

static void a_yes_is_good_for_the_same_request_until_it_ends(void **state)
{
    struct world *w = *state;
    struct request q = signed_request(w, "GET", OBJECT, "unknown to the node");

    assert_int_equal(decide(w, &q, true), PROXY_RULE_ORIGIN);
    answer(w, &q, 304);
    assert_int_equal(decide(w, &q, true), PROXY_RULE_REQUEST);
    assert_int_equal(decide(w, &q, false), PROXY_RULE_ORIGIN);
    pass(w, TTL_MS - 1);
    assert_int_equal(decide(w, &q, true), PROXY_RULE_REQUEST);
    pass(w, 1);
    assert_int_equal(decide(w, &q, true), PROXY_RULE_ORIGIN);
    end_request(&q);
}

static void a_yes_counts_from_the_question(void **state)
{
    struct world *w = *state;
    struct request q = signed_request(w, "GET", OBJECT, SECRET);
    int64_t asked_ms = w->wall_ms;

    (void)decide(w, &q, true);
    pass(w, TTL_MS - 10);
    proxy_authorise_learn(w->grants, &w->policy, &q.who, 200, asked_ms, w->wall_ms, w->mono_ms);
    assert_int_equal(decide(w, &q, true), PROXY_RULE_REQUEST);
    pass(w, 10);
    assert_int_equal(decide(w, &q, true), PROXY_RULE_ORIGIN);
    end_request(&q);
}

static void only_a_yes_is_a_yes(void **state)
{
    static const int others[] = { 100, 204, 301, 401, 403, 404, 412, 416, 500, 503 };
    struct world *w = *state;

    for (size_t i = 0; i < EL_COUNT(others); i++) {
        struct request q = signed_request(w, "GET", OBJECT, SECRET);

        (void)decide(w, &q, true);
        answer(w, &q, others[i]);
        assert_int_equal(decide(w, &q, true), PROXY_RULE_ORIGIN);
        end_request(&q);
    }
}

/* ---- the key ---- */

static void a_yes_to_a_key_is_good_for_what_it_signs_next(void **state)
{
    struct world *w = *state;
    struct request url;

    accept_one(w, OBJECT);
    pass(w, 1000);
    assert_int_equal(decide_new(w, "GET", OBJECT, SECRET), PROXY_RULE_KEY);
    assert_int_equal(decide_new(w, "HEAD", OBJECT, SECRET), PROXY_RULE_ORIGIN);
    assert_int_equal(decide_new(w, "GET", "/b/dir/other", SECRET), PROXY_RULE_ORIGIN);
    assert_int_equal(decide_new(w, "GET", OBJECT "?versionId=1", SECRET), PROXY_RULE_ORIGIN);
    url = presigned_request(w, OBJECT, SECRET);
    assert_int_equal(decide(w, &url, true), PROXY_RULE_KEY);
    end_request(&url);
    pass(w, TTL_MS);
    assert_int_equal(decide_new(w, "GET", OBJECT, SECRET), PROXY_RULE_ORIGIN);
}

static void the_name_of_a_key_is_no_secret(void **state)
{
    struct world *w = *state;
    struct request url;

    accept_one(w, OBJECT);
    pass(w, 1000);
    assert_int_equal(decide_new(w, "GET", OBJECT, "wrong"), PROXY_RULE_ORIGIN);
    assert_int_equal(decide_new(w, "GET", OBJECT, "topsecre"), PROXY_RULE_ORIGIN);
    url = presigned_request(w, OBJECT, "wrong");
    assert_int_equal(decide(w, &url, true), PROXY_RULE_ORIGIN);
    end_request(&url);
}

static void a_signature_that_has_ended_is_none(void **state)
{
    struct world *w = *state;
    struct request url = presigned_request(w, OBJECT, SECRET);

    pass(w, 61000);
    accept_one(w, OBJECT);
    assert_int_equal(decide(w, &url, true), PROXY_RULE_ORIGIN);
    end_request(&url);
}

static void what_the_signature_does_not_cover_helps_nobody(void **state)
{
    struct world *w = *state;
    struct request q = signed_request(w, "GET", "/b/dir/mine", SECRET);

    accept_one(w, OBJECT);
    pass(w, 1000);
    /* Signed for another path, query or method. */
    (void)snprintf(q.target, sizeof(q.target), "%s", OBJECT);
    assert_int_equal(decide(w, &q, true), PROXY_RULE_ORIGIN);
    end_request(&q);
    q = signed_request(w, "HEAD", OBJECT, SECRET);
    q.method = "GET";
    assert_int_equal(decide(w, &q, true), PROXY_RULE_ORIGIN);
    end_request(&q);
    /* For another Host. */
    q = signed_request(w, "GET", OBJECT, SECRET);
    el_fields_remove(&q.fields, EL_STR("Host"));
    el_fields_add(&q.fields, EL_STR("Host"), EL_STR("other"));
    assert_int_equal(decide(w, &q, true), PROXY_RULE_ORIGIN);
    end_request(&q);
}

static void what_may_decide_beside_the_key_is_for_the_origin(void **state)
{
    static const char *const names[] = {
        "x-amz-security-token",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-request-payer",
        "x-amz-expected-bucket-owner",
        "Cookie",
        "X-Auth-Token",
        "X-HTTP-Method-Override",
        "Referer",
    };
    struct world *w = *state;

    accept_one(w, OBJECT);
    pass(w, 1000);
    for (size_t i = 0; i < EL_COUNT(names); i++) {
        const struct store_sigv4_signer by = signer_at(w->wall_ms / 1000, SECRET);
        struct request q;

        start_request(&q, "GET", OBJECT);
        el_fields_add(&q.fields, el_str_of(names[i]), EL_STR("v"));
        assert_int_equal(store_sigv4_sign(&by, EL_STR("GET"), EL_STR(OBJECT), &q.fields, NULL),
                         EL_OK);
        if (i == 0) /* the signer takes it for its own */
            el_fields_add(&q.fields, el_str_of(names[i]), EL_STR("v"));
        assert_int_equal(decide(w, &q, true), PROXY_RULE_ORIGIN);
        end_request(&q);
    }
}

static void harmless_additions_do_not_matter(void **state)
{
    struct world *w = *state;
    struct request q;

    accept_one(w, OBJECT);
    pass(w, 1000);
    q = signed_request(w, "GET", OBJECT, SECRET);
    el_fields_add(&q.fields, EL_STR("Range"), EL_STR("bytes=0-9"));
    el_fields_add(&q.fields, EL_STR("If-None-Match"), EL_STR("\"1\""));
    el_fields_add(&q.fields, EL_STR("amz-sdk-invocation-id"), EL_STR("9"));
    assert_int_equal(decide(w, &q, true), PROXY_RULE_KEY);
    end_request(&q);
}

static void a_key_that_the_node_does_not_know_is_the_origins(void **state)
{
    struct world *w = *state;

    accept_one(w, OBJECT);
    pass(w, 1000);
    proxy_keys_free(w->keys);
    w->keys = NULL;
    assert_int_equal(decide_new(w, "GET", OBJECT, SECRET), PROXY_RULE_ORIGIN);
}

static void a_yes_to_somebody_elses_signature_is_no_yes_to_the_key(void **state)
{
    struct world *w = *state;
    struct request q = signed_request(w, "GET", OBJECT, "the origin knows a newer secret");

    (void)decide(w, &q, true);
    answer(w, &q, 200);
    end_request(&q);
    pass(w, 1000);
    assert_int_equal(decide_new(w, "GET", OBJECT, SECRET), PROXY_RULE_ORIGIN);
}

static void a_policy_may_grant_a_prefix(void **state)
{
    struct world *w = *state;

    w->policy.grant = EL_GRANT_PREFIX;
    accept_one(w, OBJECT);
    pass(w, 1000);
    assert_int_equal(decide_new(w, "GET", "/b/dir/other", SECRET), PROXY_RULE_KEY);
    assert_int_equal(decide_new(w, "GET", "/b/dir/other", "wrong"), PROXY_RULE_ORIGIN);
}

static void a_refusal_takes_back_what_the_key_had(void **state)
{
    struct world *w = *state;
    struct request q;

    w->policy.grant = EL_GRANT_PREFIX;
    accept_one(w, OBJECT);
    pass(w, 1000);
    q = signed_request(w, "GET", "/b/dir/closed", SECRET);
    (void)decide(w, &q, false);
    answer(w, &q, 403);
    end_request(&q);
    assert_int_equal(decide_new(w, "GET", "/b/dir/other", SECRET), PROXY_RULE_ORIGIN);
    assert_int_equal(decide_new(w, "GET", OBJECT, SECRET), PROXY_RULE_KEY); /* its own yes */
    q = signed_request(w, "GET", OBJECT, SECRET);
    (void)decide(w, &q, true);
    answer(w, &q, 401);
    end_request(&q);
    assert_int_equal(decide_new(w, "GET", OBJECT, SECRET), PROXY_RULE_ORIGIN);
}

static void without_time_nothing_is_granted(void **state)
{
    struct world *w = *state;

    w->policy.grant_ttl_ms = 0;
    accept_one(w, OBJECT);
    assert_int_equal(decide_new(w, "GET", OBJECT, SECRET), PROXY_RULE_ORIGIN);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_yes_is_good_for_the_same_request_until_it_ends),
        WITH_WORLD(a_yes_counts_from_the_question),
        WITH_WORLD(only_a_yes_is_a_yes),
        WITH_WORLD(a_yes_to_a_key_is_good_for_what_it_signs_next),
        WITH_WORLD(the_name_of_a_key_is_no_secret),
        WITH_WORLD(a_signature_that_has_ended_is_none),
        WITH_WORLD(what_the_signature_does_not_cover_helps_nobody),
        WITH_WORLD(what_may_decide_beside_the_key_is_for_the_origin),
        WITH_WORLD(harmless_additions_do_not_matter),
        WITH_WORLD(a_key_that_the_node_does_not_know_is_the_origins),
        WITH_WORLD(a_yes_to_somebody_elses_signature_is_no_yes_to_the_key),
        WITH_WORLD(a_policy_may_grant_a_prefix),
        WITH_WORLD(a_refusal_takes_back_what_the_key_had),
        WITH_WORLD(without_time_nothing_is_granted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
