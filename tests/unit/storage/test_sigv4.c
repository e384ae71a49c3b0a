/* SPDX-License-Identifier: MIT */
#include "storage/sigv4.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"
#include "tests/vectors/sigv4.h"

static struct store_sigv4_signer signer_of(const struct sigv4_vector *v)
{
    return (struct store_sigv4_signer){
        .key_id = EL_STR(SIGV4_KEY_ID),
        .secret = EL_STR(SIGV4_SECRET),
        .token = el_str_of(v->token),
        .region = el_str_of(v->region),
        .service = EL_STR("s3"),
        .payload = el_str_of(v->payload),
        .also = el_str_of(v->also),
        .now_s = SIGV4_NOW,
    };
}

/* What the client has before it signs. */
static void start_fields(const struct sigv4_vector *v, struct el_fields *fields)
{
    el_fields_init(fields);
    el_fields_add(fields, EL_STR("Host"), el_str_of(v->host));
    for (size_t i = 0; i < EL_COUNT(v->fields) && v->fields[i].name != NULL; i++)
        el_fields_add(fields, el_str_of(v->fields[i].name), el_str_of(v->fields[i].value));
}

static struct store_sign_request request_of(const struct sigv4_vector *v, const char *target,
                                            const struct el_fields *fields)
{
    return (struct store_sign_request){
        .method = el_str_of(v->method),
        .target = el_str_of(target),
        .fields = el_fields_view(fields),
    };
}

static struct store_sign_key key_of(const struct store_sigv4_claim *claim, struct el_str secret)
{
    struct store_sign_key key;

    assert_int_equal(store_sigv4_derive(secret, &claim->scope, &key, NULL), EL_OK);
    return key;
}

/* Everything a verifier does, with that secret. */
static enum el_err judge(const struct store_sign_request *req, struct el_str secret, int64_t now_s)
{
    struct store_sigv4_claim claim;
    enum el_err rc = store_sigv4_parse(req, &claim, NULL);
    struct store_sign_key key;

    if (rc != EL_OK)
        return rc;
    assert_string_equal(claim.key_id, SIGV4_KEY_ID);
    key = key_of(&claim, secret);
    return store_sigv4_verify(req, &claim, &key, now_s, NULL);
}

/* ---- signing: as botocore does ---- */

static void a_header_is_signed_as_botocore_signs_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(sigv4_headers); i++) {
        const struct sigv4_vector *v = &sigv4_headers[i];
        struct store_sigv4_signer by = signer_of(v);
        struct el_fields fields;
        struct el_str value;

        start_fields(v, &fields);
        assert_int_equal(
            store_sigv4_sign(&by, el_str_of(v->method), el_str_of(v->target), &fields, NULL),
            EL_OK);
        assert_true(el_fieldv_get(el_fields_view(&fields), EL_STR("Authorization"), &value));
        assert_int_equal(value.n, strlen(v->authorization));
        assert_memory_equal(value.p, v->authorization, value.n);
        el_fields_deinit(&fields);
    }
}

static void a_url_is_presigned_as_botocore_presigns_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(sigv4_queries); i++) {
        const struct sigv4_vector *v = &sigv4_queries[i];
        struct store_sigv4_signer by = signer_of(v);
        struct store_sign_request req;
        struct el_buf target = { 0 };
        struct el_fields fields;

        start_fields(v, &fields);
        req = request_of(v, v->target, &fields);
        assert_int_equal(store_sigv4_presign(&by, &req, v->expires_s, &target, NULL), EL_OK);
        assert_string_equal(target.p, v->signed_target);
        el_buf_deinit(&target);
        el_fields_deinit(&fields);
    }
}

static void signing_again_replaces_the_older_signature(void **state)
{
    const struct sigv4_vector *v = &sigv4_headers[0];
    struct store_sigv4_signer by = signer_of(v);
    struct el_fields fields;
    struct el_str value;

    (void)state;
    start_fields(v, &fields);
    el_fields_add(&fields, EL_STR("authorization"), EL_STR("Bearer x"));
    el_fields_add(&fields, EL_STR("X-Amz-Date"), EL_STR("20010101T000000Z"));
    el_fields_add(&fields, EL_STR("X-Amz-Security-Token"), EL_STR("stale"));
    for (int i = 0; i < 2; i++)
        assert_int_equal(store_sigv4_sign(&by, EL_STR("GET"), el_str_of(v->target), &fields, NULL),
                         EL_OK);
    assert_int_equal(el_fields_view(&fields).n, 4); /* Host, date, payload, Authorization */
    assert_true(el_fieldv_get(el_fields_view(&fields), EL_STR("Authorization"), &value));
    assert_true(el_str_eq(value, el_str_of(v->authorization)));
    el_fields_deinit(&fields);
}

static enum el_err sign_with(struct store_sigv4_signer by, const char *target)
{
    struct el_fields fields;
    enum el_err rc;

    start_fields(&sigv4_headers[0], &fields);
    rc = store_sigv4_sign(&by, EL_STR("GET"), el_str_of(target), &fields, NULL);
    el_fields_deinit(&fields);
    return rc;
}

static void a_signer_without_what_it_needs_is_refused(void **state)
{
    const struct store_sigv4_signer good = signer_of(&sigv4_headers[0]);
    struct store_sigv4_signer by = good;

    (void)state;
    assert_int_equal(sign_with(good, "/k"), EL_OK);
    assert_int_equal(sign_with(good, "k"), EL_EBADREQ);
    assert_int_equal(sign_with(good, "/%"), EL_EBADREQ);
    by.key_id = EL_STR("");
    assert_int_equal(sign_with(by, "/k"), EL_EINVAL);
    by = good;
    by.secret = EL_STR("");
    assert_int_equal(sign_with(by, "/k"), EL_EINVAL);
    by = good;
    by.region = EL_STR("a/b");
    assert_int_equal(sign_with(by, "/k"), EL_EINVAL);
    by = good;
    by.payload = EL_STR("SIGNED-PAYLOAD");
    assert_int_equal(sign_with(by, "/k"), EL_EINVAL);
    by = good;
    by.also = EL_STR("if-match"); /* of which the request has none */
    assert_int_equal(sign_with(by, "/k"), EL_EBADREQ);
}

static void too_many_fields_to_be_signed_are_refused(void **state)
{
    struct store_sigv4_signer by = signer_of(&sigv4_headers[0]);
    struct el_fields fields;
    struct el_error err;

    (void)state;
    start_fields(&sigv4_headers[0], &fields);
    for (int i = 0; i < STORE_SIGN_MAX_NAMES; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "x-amz-meta-%d", i);
        el_fields_add(&fields, el_str_of(name), EL_STR("v"));
    }
    assert_int_equal(store_sigv4_sign(&by, EL_STR("PUT"), EL_STR("/k"), &fields, &err),
                     EL_ETOOLARGE);
    el_fields_deinit(&fields);
}

static enum el_err presign_with(const char *target, int64_t expires_s)
{
    struct store_sigv4_signer by = signer_of(&sigv4_queries[0]);
    struct store_sign_request req = {
        .method = EL_STR("GET"),
        .target = el_str_of(target),
        .host = EL_STR("h"),
    };
    struct el_buf out = { 0 };
    enum el_err rc = store_sigv4_presign(&by, &req, expires_s, &out, NULL);

    assert_int_equal(out.n > 0, rc == EL_OK);
    el_buf_deinit(&out);
    return rc;
}

static void a_presigned_url_is_good_for_a_second_to_a_week_and_not_signed_twice(void **state)
{
    (void)state;
    assert_int_equal(presign_with("/k", 1), EL_OK);
    assert_int_equal(presign_with("/k?", 604800), EL_OK);
    assert_int_equal(presign_with("/k", 0), EL_EINVAL);
    assert_int_equal(presign_with("/k", -1), EL_EINVAL);
    assert_int_equal(presign_with("/k", 604801), EL_EINVAL);
    assert_int_equal(presign_with("/k?X-Amz-Signature=x", 60), EL_EINVAL);
    assert_int_equal(presign_with("/k?a=b&X-Amz-Security-Token=x", 60), EL_EINVAL);
    assert_int_equal(presign_with("k", 60), EL_EBADREQ);
}

static void a_url_with_an_empty_query_keeps_one_question_mark(void **state)
{
    struct store_sigv4_signer by = signer_of(&sigv4_queries[0]);
    struct store_sign_request req = {
        .method = EL_STR("GET"),
        .target = EL_STR("/k?"),
        .host = EL_STR("h"),
    };
    struct el_buf out = { 0 };

    (void)state;
    assert_int_equal(store_sigv4_presign(&by, &req, 60, &out, NULL), EL_OK);
    assert_true(el_str_starts(el_buf_str(&out), EL_STR("/k?X-Amz-Algorithm=")));
    el_buf_deinit(&out);
}

static void a_payload_named_when_presigning_is_in_the_url_and_verified(void **state)
{
    struct store_sigv4_signer by = signer_of(&sigv4_queries[2]);
    struct el_buf out = { 0 };
    struct store_sign_request req = {
        .method = EL_STR("PUT"),
        .target = EL_STR("/k"),
        .host = EL_STR("h"),
    };

    (void)state;
    by.payload = EL_STR("UNSIGNED-PAYLOAD");
    assert_int_equal(store_sigv4_presign(&by, &req, 60, &out, NULL), EL_OK);
    req.target = el_buf_str(&out);
    assert_int_equal(judge(&req, EL_STR(SIGV4_SECRET), SIGV4_NOW), EL_OK);
    el_buf_deinit(&out);
}

/* ---- verifying ---- */

/* What a client of botocore's sends: the vector's fields and those that signing adds. */
static void sent_fields(const struct sigv4_vector *v, struct el_fields *fields)
{
    start_fields(v, fields);
    if (v->authorization == NULL)
        return;
    el_fields_add(fields, EL_STR("X-Amz-Date"), EL_STR("20240506T070809Z"));
    el_fields_add(fields, EL_STR("X-Amz-Content-SHA256"), el_str_of(v->payload));
    if (v->token[0] != '\0')
        el_fields_add(fields, EL_STR("X-Amz-Security-Token"), el_str_of(v->token));
    el_fields_add(fields, EL_STR("Authorization"), el_str_of(v->authorization));
}

static void what_botocore_signed_is_accepted_in_its_time_with_the_right_secret(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(sigv4_headers) + EL_COUNT(sigv4_queries); i++) {
        bool is_query = i >= EL_COUNT(sigv4_headers);
        const struct sigv4_vector *v =
            is_query ? &sigv4_queries[i - EL_COUNT(sigv4_headers)] : &sigv4_headers[i];
        int64_t last = SIGV4_NOW + (is_query ? v->expires_s : STORE_SIGN_SKEW_S);
        struct store_sign_request req;
        struct el_fields fields;

        sent_fields(v, &fields);
        req = request_of(v, is_query ? v->signed_target : v->target, &fields);
        assert_int_equal(judge(&req, EL_STR(SIGV4_SECRET), SIGV4_NOW), EL_OK);
        assert_int_equal(judge(&req, EL_STR(SIGV4_SECRET), last), EL_OK);
        assert_int_equal(judge(&req, EL_STR(SIGV4_SECRET), last + 1), EL_EFORBIDDEN);
        assert_int_equal(judge(&req, EL_STR(SIGV4_SECRET), SIGV4_NOW - STORE_SIGN_SKEW_S - 1),
                         EL_EFORBIDDEN);
        assert_int_equal(judge(&req, EL_STR("another secret"), SIGV4_NOW), EL_EFORBIDDEN);
        req.method = EL_STR("PATCH");
        assert_int_equal(judge(&req, EL_STR(SIGV4_SECRET), SIGV4_NOW), EL_EFORBIDDEN);
        el_fields_deinit(&fields);
    }
}

static enum el_err judge_altered(const struct sigv4_vector *v, const char *target, const char *name,
                                 const char *value)
{
    struct store_sign_request req;
    struct el_fields fields;
    enum el_err rc;

    sent_fields(v, &fields);
    if (name != NULL)
        (void)el_fields_remove(&fields, el_str_of(name));
    if (value != NULL)
        el_fields_add(&fields, el_str_of(name), el_str_of(value));
    req = request_of(v, target, &fields);
    rc = judge(&req, EL_STR(SIGV4_SECRET), SIGV4_NOW);
    el_fields_deinit(&fields);
    return rc;
}

static void whatever_is_signed_cannot_be_altered(void **state)
{
    const struct sigv4_vector *v = &sigv4_headers[2]; /* signs its Range */

    (void)state;
    assert_int_equal(judge_altered(v, "/a/b.txt", NULL, NULL), EL_OK);
    assert_int_equal(judge_altered(v, "/a/%62.txt", NULL, NULL), EL_OK); /* the same bytes */
    assert_int_equal(judge_altered(v, "/a/c.txt", NULL, NULL), EL_EFORBIDDEN);
    assert_int_equal(judge_altered(v, "/a//b.txt", NULL, NULL), EL_EFORBIDDEN);
    assert_int_equal(judge_altered(v, "/a/b.txt?versionId=x", NULL, NULL), EL_EFORBIDDEN);
    assert_int_equal(judge_altered(v, "/a/b.txt", "Host", "other"), EL_EFORBIDDEN);
    assert_int_equal(judge_altered(v, "/a/b.txt", "Range", "bytes=0-1"), EL_EFORBIDDEN);
    assert_int_equal(judge_altered(v, "/a/b.txt", "Range", NULL), EL_EBADREQ);
    assert_int_equal(judge_altered(v, "/a/b.txt", "X-Amz-Date", "20240506T070810Z"), EL_EFORBIDDEN);
    assert_int_equal(judge_altered(v, "/a/b.txt", "X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD"),
                     EL_EFORBIDDEN);
    assert_int_equal(judge_altered(v, "/a/b.txt", "If-None-Match", "\"x\""), EL_OK);
}

static void a_header_that_is_malformed_or_ambiguous_is_refused(void **state)
{
#define CREDENTIAL "Credential=" SIGV4_KEY_ID "/20240506/eu-west-1/s3/aws4_request"
#define SIGNATURE  "Signature=80c46525a73128eae5983d84407367fadfa380b584c0935b569b696c7e0e9875"
#define NAMES      "SignedHeaders=host;x-amz-content-sha256;x-amz-date"
    static const char *const wrong[] = {
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES,
        "AWS4-HMAC-SHA256 " CREDENTIAL ", " SIGNATURE,
        "AWS4-HMAC-SHA256 " NAMES ", " SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES ", " SIGNATURE ", " SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL "/x, " NAMES ", " SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL ", " NAMES ", " SIGNATURE "0",
        "AWS4-HMAC-SHA256 Credential=" SIGV4_KEY_ID "/20240507/eu-west-1/s3/aws4_request, " NAMES
        ", " SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL
        ", SignedHeaders=x-amz-date;host;x-amz-content-sha256, " SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL
        ", SignedHeaders=x-amz-content-sha256;x-amz-date, " SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host;x-amz-date, " SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=host, " SIGNATURE,
    };
    const struct sigv4_vector *v = &sigv4_headers[0];

    (void)state;
    assert_int_equal(judge_altered(v, v->target, "Authorization",
                                   "AWS4-HMAC-SHA256 " CREDENTIAL "," NAMES "," SIGNATURE),
                     EL_OK);
    for (size_t i = 0; i < EL_COUNT(wrong); i++)
        assert_int_equal(judge_altered(v, v->target, "Authorization", wrong[i]), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "X-Amz-Date", NULL), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "X-Amz-Date", "20240506T0708Z"), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "X-Amz-Content-SHA256", NULL), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "X-Amz-Content-SHA256", "x"), EL_EBADREQ);
    assert_int_equal(judge_altered(v, "/a/b+c", NULL, NULL), EL_EBADREQ);
    assert_int_equal(judge_altered(v, "/a/%zz", NULL, NULL), EL_EBADREQ);
}

static void a_field_of_the_store_that_is_not_signed_is_refused(void **state)
{
    const struct sigv4_vector *v = &sigv4_headers[0], *q = &sigv4_queries[0];

    (void)state;
    assert_int_equal(judge_altered(v, v->target, "x-amz-acl", "public-read"), EL_EBADREQ);
    assert_int_equal(judge_altered(q, q->signed_target, NULL, NULL), EL_OK);
    assert_int_equal(judge_altered(q, q->signed_target, "X-AMZ-ACL", "public-read"), EL_EBADREQ);
}

static void two_proofs_of_who_asks_are_refused(void **state)
{
    const struct sigv4_vector *v = &sigv4_headers[0], *q = &sigv4_queries[0];

    (void)state;
    assert_int_equal(judge_altered(v, q->signed_target, NULL, NULL), EL_EBADREQ);
    assert_int_equal(judge_altered(q, q->signed_target, "Authorization", "Basic eDp5"), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "authorization", v->authorization), EL_OK);
    assert_int_equal(
        judge_altered(v, "/k?X-Amz-Signature=1&X-Amz-Signature=2", "Authorization", NULL),
        EL_EBADREQ);
}

static void a_second_authorization_is_refused(void **state)
{
    const struct sigv4_vector *v = &sigv4_headers[0];
    struct store_sign_request req;
    struct el_fields fields;

    (void)state;
    sent_fields(v, &fields);
    el_fields_add(&fields, EL_STR("Authorization"), el_str_of(v->authorization));
    req = request_of(v, v->target, &fields);
    assert_int_equal(judge(&req, EL_STR(SIGV4_SECRET), SIGV4_NOW), EL_EBADREQ);
    el_fields_deinit(&fields);
}

static void a_request_without_such_a_signature_is_told_apart(void **state)
{
    static const char *const others[] = { "Bearer x", "AWS AKID:sig", "Basic eDp5", "" };
    const struct sigv4_vector *v = &sigv4_headers[0];

    (void)state;
    assert_int_equal(judge_altered(v, v->target, "Authorization", NULL), EL_EUNSUPPORTED);
    for (size_t i = 0; i < EL_COUNT(others); i++)
        assert_int_equal(judge_altered(v, v->target, "Authorization", others[i]), EL_EUNSUPPORTED);
}

static void a_presigned_url_that_is_malformed_is_refused(void **state)
{
    static const struct {
        const char *from, *to;
        enum el_err rc;
    } cases[] = {
        { "Expires=3600", "Expires=0", EL_EBADREQ },
        { "Expires=3600", "Expires=604801", EL_EBADREQ },
        { "Expires=3600", "Expires=x", EL_EBADREQ },
        { "Expires=3600", "Expires=3601", EL_EFORBIDDEN },
        { "X-Amz-Expires=3600", "Expires=3600", EL_EBADREQ },
        { "X-Amz-Expires=3600", "X-Amz-Expires=3600&X-Amz-Expires=3600", EL_EBADREQ },
        { "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512", EL_EBADREQ },
        { "%2Faws4_request", "%2Faws5_request", EL_EBADREQ },
        { "SignedHeaders=host", "SignedHeaders=", EL_EBADREQ },
        { "SignedHeaders=host", "SignedHeaders=range", EL_EBADREQ },
        { "SignedHeaders=host", "SignedHeaders=host%3Brange", EL_EBADREQ },
        { "SignedHeaders=host", "SignedHeaders=host%00", EL_EBADREQ },
        { "20240506T070809Z", "20240507T070809Z", EL_EBADREQ },
        { "Signature=32", "Signature=zz", EL_EBADREQ },
        { "Signature=32", "Signature=33", EL_EFORBIDDEN },
        { "&X-Amz-Signature", "&X-Amz-Content-Sha256=x&X-Amz-Signature", EL_EBADREQ },
        { "&X-Amz-Signature", "&a=b&X-Amz-Signature", EL_EFORBIDDEN },
        { "/a/b.txt?", "/a/b+txt?", EL_EBADREQ },
    };
    const struct sigv4_vector *q = &sigv4_queries[0];

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const char *at = strstr(q->signed_target, cases[i].from);
        struct el_buf target = { 0 };

        assert_non_null(at);
        el_buf_add(&target, q->signed_target, (size_t)(at - q->signed_target));
        el_buf_addf(&target, "%s%s", cases[i].to, at + strlen(cases[i].from));
        assert_int_equal(judge_altered(q, target.p, NULL, NULL), cases[i].rc);
        el_buf_deinit(&target);
    }
}

static void the_hash_of_a_presigned_body_is_given_once(void **state)
{
    struct store_sigv4_signer by = signer_of(&sigv4_queries[2]);
    struct store_sign_request req = {
        .method = EL_STR("PUT"),
        .target = EL_STR("/k"),
        .host = EL_STR("h"),
        .fields = FIELDS(FIELD("x-amz-content-sha256", "UNSIGNED-PAYLOAD")),
    };
    struct store_sigv4_claim claim;
    struct el_buf out = { 0 };

    (void)state;
    by.also = EL_STR("x-amz-content-sha256");
    assert_int_equal(store_sigv4_presign(&by, &req, 60, &out, NULL), EL_OK);
    req.target = el_buf_str(&out);
    assert_int_equal(judge(&req, EL_STR(SIGV4_SECRET), SIGV4_NOW), EL_OK);
    assert_int_equal(store_sigv4_parse(&req, &claim, NULL), EL_OK);
    assert_int_equal(claim.payload, STORE_SIGV4_UNSIGNED);
    el_buf_clear(&out);
    by.payload = EL_STR("UNSIGNED-PAYLOAD"); /* in the query as well */
    req.target = EL_STR("/k");
    assert_int_equal(store_sigv4_presign(&by, &req, 60, &out, NULL), EL_OK);
    req.target = el_buf_str(&out);
    assert_int_equal(store_sigv4_parse(&req, &claim, NULL), EL_EBADREQ);
    el_buf_deinit(&out);
}

static void names_that_are_too_long_are_refused(void **state)
{
    const struct sigv4_vector *v = &sigv4_headers[0];
    struct el_buf value = { 0 };

    (void)state;
    el_buf_add_str(&value,
                   EL_STR("AWS4-HMAC-SHA256 " CREDENTIAL ", " SIGNATURE ", SignedHeaders="));
    for (int i = 0; i < 1024; i++)
        el_buf_add_byte(&value, 'h');
    assert_int_equal(judge_altered(v, v->target, "Authorization", value.p), EL_EBADREQ);
    el_buf_deinit(&value);
}

static void a_key_of_another_scope_verifies_nothing(void **state)
{
    const struct sigv4_vector *v = &sigv4_headers[0];
    struct store_sign_request req;
    struct store_sigv4_claim claim;
    struct store_sign_scope tomorrow;
    struct store_sign_key key;
    struct el_fields fields;

    (void)state;
    sent_fields(v, &fields);
    req = request_of(v, v->target, &fields);
    assert_int_equal(store_sigv4_parse(&req, &claim, NULL), EL_OK);
    key = key_of(&claim, EL_STR(SIGV4_SECRET));
    assert_int_equal(store_sigv4_verify(&req, &claim, &key, SIGV4_NOW, NULL), EL_OK);
    assert_int_equal(store_sign_scope_make(SIGV4_NOW + 86400, EL_STR("eu-west-1"), EL_STR("s3"),
                                           &tomorrow, NULL),
                     EL_OK);
    assert_int_equal(store_sigv4_derive(EL_STR(SIGV4_SECRET), &tomorrow, &key, NULL), EL_OK);
    assert_int_equal(store_sigv4_verify(&req, &claim, &key, SIGV4_NOW, NULL), EL_EFORBIDDEN);
    el_fields_deinit(&fields);
}

/* ---- the payload ---- */

static void the_kinds_of_payload_are_told_apart(void **state)
{
    static const struct {
        const char *value;
        enum store_sigv4_payload payload;
        bool is_streaming;
    } cases[] = {
        { "UNSIGNED-PAYLOAD", STORE_SIGV4_UNSIGNED, false },
        { "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", STORE_SIGV4_CHUNKS, true },
        { "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", STORE_SIGV4_CHUNKS_TRAILER, true },
        { "STREAMING-UNSIGNED-PAYLOAD-TRAILER", STORE_SIGV4_TRAILER, true },
        { "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", STORE_SIGV4_HASH,
          false },
    };
    enum store_sigv4_payload payload;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        assert_true(store_sigv4_payload_parse(el_str_of(cases[i].value), &payload));
        assert_int_equal(payload, cases[i].payload);
        assert_int_equal(store_sigv4_payload_is_streaming(payload), cases[i].is_streaming);
    }
    assert_false(store_sigv4_payload_parse(EL_STR(""), &payload));
    assert_false(store_sigv4_payload_parse(EL_STR("unsigned-payload"), &payload));
    assert_false(store_sigv4_payload_parse(
        EL_STR("E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"), &payload));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_signed_as_botocore_signs_it),
        cmocka_unit_test(a_url_is_presigned_as_botocore_presigns_it),
        cmocka_unit_test(signing_again_replaces_the_older_signature),
        cmocka_unit_test(a_signer_without_what_it_needs_is_refused),
        cmocka_unit_test(too_many_fields_to_be_signed_are_refused),
        cmocka_unit_test(a_presigned_url_is_good_for_a_second_to_a_week_and_not_signed_twice),
        cmocka_unit_test(a_url_with_an_empty_query_keeps_one_question_mark),
        cmocka_unit_test(a_payload_named_when_presigning_is_in_the_url_and_verified),
        cmocka_unit_test(what_botocore_signed_is_accepted_in_its_time_with_the_right_secret),
        cmocka_unit_test(whatever_is_signed_cannot_be_altered),
        cmocka_unit_test(a_header_that_is_malformed_or_ambiguous_is_refused),
        cmocka_unit_test(a_field_of_the_store_that_is_not_signed_is_refused),
        cmocka_unit_test(two_proofs_of_who_asks_are_refused),
        cmocka_unit_test(a_second_authorization_is_refused),
        cmocka_unit_test(a_request_without_such_a_signature_is_told_apart),
        cmocka_unit_test(a_presigned_url_that_is_malformed_is_refused),
        cmocka_unit_test(the_hash_of_a_presigned_body_is_given_once),
        cmocka_unit_test(names_that_are_too_long_are_refused),
        cmocka_unit_test(a_key_of_another_scope_verifies_nothing),
        cmocka_unit_test(the_kinds_of_payload_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
