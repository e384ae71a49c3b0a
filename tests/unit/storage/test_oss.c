/* SPDX-License-Identifier: MIT */
#include "storage/oss.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"
#include "tests/vectors/oss.h"

static struct store_oss_signer signer_of(const struct oss_vector *v)
{
    return (struct store_oss_signer){
        .is_v4 = v->is_v4,
        .key_id = EL_STR(OSS_KEY_ID),
        .secret = EL_STR(OSS_SECRET),
        .token = el_str_of(v->token),
        .region = EL_STR(OSS_REGION),
        .also = el_str_of(v->also),
        .now_s = OSS_NOW,
    };
}

static void start_fields(const struct oss_vector *v, struct el_fields *fields)
{
    el_fields_init(fields);
    for (size_t i = 0; i < EL_COUNT(v->fields) && v->fields[i].name != NULL; i++)
        el_fields_add(fields, el_str_of(v->fields[i].name), el_str_of(v->fields[i].value));
}

static struct store_sign_request request_of(const struct oss_vector *v, const char *target,
                                            const struct el_fields *fields)
{
    return (struct store_sign_request){
        .method = el_str_of(v->method),
        .target = el_str_of(target),
        .fields = el_fields_view(fields),
        .bucket = EL_STR(OSS_BUCKET),
    };
}

static enum el_err verify(const struct store_sign_request *req, const struct store_oss_claim *claim,
                          struct el_str secret, int64_t now_s)
{
    struct store_sign_key key;

    if (!claim->is_v4)
        return store_oss_verify_v1(req, claim, secret, now_s, NULL);
    assert_int_equal(store_oss_derive(secret, &claim->scope, &key, NULL), EL_OK);
    return store_oss_verify_v4(req, claim, &key, now_s, NULL);
}

static enum el_err judge(const struct store_sign_request *req, struct el_str secret, int64_t now_s)
{
    struct store_oss_claim claim;
    enum el_err rc = store_oss_parse(req, &claim, NULL);

    if (rc != EL_OK)
        return rc;
    assert_string_equal(claim.key_id, OSS_KEY_ID);
    return verify(req, &claim, secret, now_s);
}

/* ---- the worked examples of the vendor's documentation ---- */

static void the_documented_header_of_version_1_is_accepted(void **state)
{
    struct store_sign_request req = {
        .method = EL_STR("PUT"),
        .target = EL_STR("/nelson"),
        .bucket = EL_STR("oss-example"),
        .fields = FIELDS(
            FIELD("Content-Md5", "ODBGOERFMDMzQTczRUY3NUE3NzA5QzdFNUYzMDQxNEM="),
            FIELD("Content-Type", "text/html"), FIELD("Date", "Thu, 17 Nov 2005 18:49:58 GMT"),
            FIELD("X-OSS-Meta-Author", "foo@bar.com"), FIELD("X-OSS-Magic", "abracadabra"),
            FIELD("Authorization", "OSS 44CF9590006BF252F707:26NBxoKdsyly4EDv6inkoDft/yA=")),
    };
    struct store_oss_claim claim;
    struct el_str secret = EL_STR("OtxrzxIsfpFjA7SwPzILwy8Bw21TLhquhboDYROV");

    (void)state;
    assert_int_equal(store_oss_parse(&req, &claim, NULL), EL_OK);
    assert_string_equal(claim.key_id, "44CF9590006BF252F707");
    assert_int_equal(claim.time_s, 1132253398);
    assert_int_equal(verify(&req, &claim, secret, claim.time_s), EL_OK);
}

static void the_documented_url_of_version_1_is_accepted(void **state)
{
    struct store_sign_request req = {
        .method = EL_STR("GET"),
        .target = EL_STR("/oss-api.pdf?OSSAccessKeyId=44CF9590006BF252F707&Expires=1141889120"
                         "&Signature=EwaNTn1erJGkimiJ9WmXgwnANLc%3D"),
        .bucket = EL_STR("oss-example"),
    };
    struct store_oss_claim claim;
    struct el_str secret = EL_STR("OtxrzxIsfpFjA7SwPzILwy8Bw21TLhquhboDYROV");

    (void)state;
    assert_int_equal(store_oss_parse(&req, &claim, NULL), EL_OK);
    assert_int_equal(verify(&req, &claim, secret, 1141889120), EL_OK);
    assert_int_equal(verify(&req, &claim, secret, 1141889121), EL_EFORBIDDEN);
}

/* ---- signing: as ali-oss does ---- */

static void a_header_is_signed_as_ali_oss_signs_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(oss_headers); i++) {
        const struct oss_vector *v = &oss_headers[i];
        struct store_oss_signer by = signer_of(v);
        struct el_fields fields;
        struct el_str value;

        start_fields(v, &fields);
        assert_int_equal(store_oss_sign(&by, el_str_of(v->method), EL_STR(OSS_BUCKET),
                                        el_str_of(v->target), &fields, NULL),
                         EL_OK);
        assert_true(el_fieldv_get(el_fields_view(&fields), EL_STR("Authorization"), &value));
        assert_int_equal(value.n, strlen(v->authorization));
        assert_memory_equal(value.p, v->authorization, value.n);
        el_fields_deinit(&fields);
    }
}

/* In whatever order, but with the same parameters, the signature among them. */
static void assert_same_parameters(const char *one, const char *other)
{
    struct el_buf a = { 0 }, b = { 0 };
    struct el_str x = el_str_of(one), y = el_str_of(other);

    assert_true(el_str_eq(store_sign_path(x), store_sign_path(y)));
    assert_int_equal(store_sign_add_query(&a, store_sign_query(x), NULL, true, NULL), EL_OK);
    assert_int_equal(store_sign_add_query(&b, store_sign_query(y), NULL, true, NULL), EL_OK);
    assert_string_equal(a.p, b.p);
    el_buf_deinit(&a);
    el_buf_deinit(&b);
}

static void a_url_is_presigned_as_ali_oss_presigns_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(oss_queries); i++) {
        const struct oss_vector *v = &oss_queries[i];
        struct store_oss_signer by = signer_of(v);
        struct store_sign_request req;
        struct el_buf target = { 0 };
        struct el_fields fields;

        start_fields(v, &fields);
        req = request_of(v, v->target, &fields);
        assert_int_equal(store_oss_presign(&by, &req, v->expires_s, &target, NULL), EL_OK);
        assert_same_parameters(target.p, v->signed_target);
        el_buf_deinit(&target);
        el_fields_deinit(&fields);
    }
}

static const struct oss_vector *vector(const struct oss_vector *v, size_t n, bool is_v4,
                                       const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i].is_v4 == is_v4 && strcmp(v[i].name, name) == 0)
            return &v[i];
    }
    fail_msg("no vector %s", name);
    return NULL;
}

static const struct oss_vector *header(bool is_v4, const char *name)
{
    return vector(oss_headers, EL_COUNT(oss_headers), is_v4, name);
}

static const struct oss_vector *query(bool is_v4, const char *name)
{
    return vector(oss_queries, EL_COUNT(oss_queries), is_v4, name);
}

static void signing_again_replaces_the_older_signature(void **state)
{
    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        const struct oss_vector *v = header(v4, "session");
        struct store_oss_signer by = signer_of(v);
        struct el_fields fields;
        size_t n = 0;

        start_fields(v, &fields);
        el_fields_add(&fields, EL_STR("date"), EL_STR("Thu, 17 Nov 2005 18:49:58 GMT"));
        for (int i = 0; i < 2; i++) {
            assert_int_equal(store_oss_sign(&by, EL_STR("GET"), EL_STR(OSS_BUCKET),
                                            el_str_of(v->target), &fields, NULL),
                             EL_OK);
            n = i == 0 ? el_fields_view(&fields).n : n;
        }
        assert_int_equal(el_fields_view(&fields).n, n);
        assert_int_equal(el_fieldv_count(el_fields_view(&fields), EL_STR("Authorization")), 1);
        assert_false(el_fieldv_has(el_fields_view(&fields), EL_STR("Date")));
        el_fields_deinit(&fields);
    }
}

static void a_path_that_begins_with_the_bucket_is_signed_the_same(void **state)
{
    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        const struct oss_vector *v = header(v4, "plain");
        struct store_oss_signer by = signer_of(v);
        struct el_fields fields;
        struct el_str value;

        start_fields(v, &fields);
        assert_int_equal(store_oss_sign(&by, EL_STR("GET"), EL_STR(""),
                                        EL_STR("/" OSS_BUCKET "/llama/weights.bin"), &fields, NULL),
                         EL_OK);
        assert_true(el_fieldv_get(el_fields_view(&fields), EL_STR("Authorization"), &value));
        assert_true(el_str_eq(value, el_str_of(v->authorization)));
        el_fields_deinit(&fields);
    }
}

static enum el_err sign_with(struct store_oss_signer by, const char *target)
{
    struct el_fields fields = { 0 };
    enum el_err rc =
        store_oss_sign(&by, EL_STR("GET"), EL_STR("b"), el_str_of(target), &fields, NULL);

    el_fields_deinit(&fields);
    return rc;
}

static void a_signer_without_what_it_needs_is_refused(void **state)
{
    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        const struct store_oss_signer good = signer_of(header(v4, "plain"));
        struct store_oss_signer by = good;

        assert_int_equal(sign_with(good, "/k"), EL_OK);
        assert_int_equal(sign_with(good, "k"), EL_EBADREQ);
        assert_int_equal(sign_with(good, "/%x"), EL_EBADREQ);
        by.key_id = EL_STR("");
        assert_int_equal(sign_with(by, "/k"), EL_EINVAL);
        by.key_id = EL_STR("a:b");
        assert_int_equal(sign_with(by, "/k"), EL_EINVAL);
        by = good;
        by.secret = EL_STR("");
        assert_int_equal(sign_with(by, "/k"), EL_EINVAL);
        by = good;
        by.region = EL_STR("");
        assert_int_equal(sign_with(by, "/k"), v4 ? EL_EINVAL : EL_OK);
        by = good;
        by.also = EL_STR("range"); /* of which the request has none */
        assert_int_equal(sign_with(by, "/k"), v4 ? EL_EBADREQ : EL_OK);
    }
}

static void too_many_fields_to_be_signed_are_refused(void **state)
{
    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        struct store_oss_signer by = signer_of(header(v4, "plain"));
        struct el_fields fields = { 0 };

        for (int i = 0; i < STORE_SIGN_MAX_NAMES; i++) {
            char name[32];

            (void)snprintf(name, sizeof(name), "x-oss-meta-%d", i);
            el_fields_add(&fields, el_str_of(name), EL_STR("v"));
        }
        assert_int_equal(
            store_oss_sign(&by, EL_STR("PUT"), EL_STR("b"), EL_STR("/k"), &fields, NULL),
            EL_ETOOLARGE);
        el_fields_deinit(&fields);
    }
}

static enum el_err presign_with(bool is_v4, const char *target, int64_t expires_s)
{
    struct store_oss_signer by = signer_of(query(is_v4, "plain"));
    struct store_sign_request req = {
        .method = EL_STR("GET"),
        .target = el_str_of(target),
        .bucket = EL_STR("b"),
    };
    struct el_buf out = { 0 };
    enum el_err rc = store_oss_presign(&by, &req, expires_s, &out, NULL);

    assert_int_equal(out.n > 0, rc == EL_OK);
    el_buf_deinit(&out);
    return rc;
}

static void a_presigned_url_is_good_for_a_second_to_a_week_and_not_signed_twice(void **state)
{
    static const char *const signed_ones[] = {
        "/k?OSSAccessKeyId=x",   "/k?Expires=1",         "/k?Signature=x",
        "/k?a&security-token=x", "/k?x-oss-signature=x", "/k?x-oss-credential",
        "/k?x-oss-expires=1",    "/k?x-oss-date=1",
    };

    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        assert_int_equal(presign_with(v4, "/k", 1), EL_OK);
        assert_int_equal(presign_with(v4, "/k?", 604800), EL_OK);
        assert_int_equal(presign_with(v4, "/k", 0), EL_EINVAL);
        assert_int_equal(presign_with(v4, "/k", 604801), EL_EINVAL);
        assert_int_equal(presign_with(v4, "k", 60), EL_EBADREQ);
        for (size_t i = 0; i < EL_COUNT(signed_ones); i++)
            assert_int_equal(presign_with(v4, signed_ones[i], 60), EL_EINVAL);
    }
}

static void a_presigned_url_of_version_4_may_sign_fields_besides(void **state)
{
    struct store_oss_signer by = signer_of(query(true, "plain"));
    struct store_sign_request req = {
        .method = EL_STR("GET"),
        .target = EL_STR("/k"),
        .bucket = EL_STR(OSS_BUCKET),
        .host = EL_STR("h"),
        .fields = FIELDS(FIELD("Range", "bytes=0-1")),
    };
    struct el_buf out = { 0 };

    (void)state;
    by.also = EL_STR("range;host;content-type;x-oss-meta-a"); /* the last two always are */
    assert_int_equal(store_oss_presign(&by, &req, 60, &out, NULL), EL_OK);
    assert_non_null(strstr(out.p, "x-oss-additional-headers=host%3Brange&"));
    req.target = el_buf_str(&out);
    assert_int_equal(judge(&req, EL_STR(OSS_SECRET), OSS_NOW), EL_OK);
    req.host = EL_STR("other");
    assert_int_equal(judge(&req, EL_STR(OSS_SECRET), OSS_NOW), EL_EFORBIDDEN);
    req.fields = NO_FIELDS;
    assert_int_equal(judge(&req, EL_STR(OSS_SECRET), OSS_NOW), EL_EBADREQ);
    el_buf_deinit(&out);
}

/* ---- verifying ---- */

static void sent_fields(const struct oss_vector *v, struct el_fields *fields)
{
    start_fields(v, fields);
    if (v->authorization == NULL)
        return;
    el_fields_add(fields, EL_STR("x-oss-date"),
                  v->is_v4 ? EL_STR("20250131T225958Z") : EL_STR("Fri, 31 Jan 2025 22:59:58 GMT"));
    if (v->is_v4)
        el_fields_add(fields, EL_STR("x-oss-content-sha256"), EL_STR("UNSIGNED-PAYLOAD"));
    if (v->token[0] != '\0')
        el_fields_add(fields, EL_STR("x-oss-security-token"), el_str_of(v->token));
    el_fields_add(fields, EL_STR("Authorization"), el_str_of(v->authorization));
}

static void assert_judged(const struct oss_vector *v)
{
    bool is_query = v->signed_target != NULL;
    int64_t last = OSS_NOW + (is_query ? v->expires_s : STORE_SIGN_SKEW_S);
    struct store_sign_request req;
    struct el_fields fields;

    sent_fields(v, &fields);
    req = request_of(v, is_query ? v->signed_target : v->target, &fields);
    assert_int_equal(judge(&req, EL_STR(OSS_SECRET), OSS_NOW), EL_OK);
    assert_int_equal(judge(&req, EL_STR(OSS_SECRET), last), EL_OK);
    assert_int_equal(judge(&req, EL_STR(OSS_SECRET), last + 1), EL_EFORBIDDEN);
    /* A URL of version 1 does not say since when it is good. */
    assert_int_equal(judge(&req, EL_STR(OSS_SECRET), OSS_NOW - STORE_SIGN_SKEW_S - 1),
                     is_query && !v->is_v4 ? EL_OK : EL_EFORBIDDEN);
    assert_int_equal(judge(&req, EL_STR("another secret"), OSS_NOW), EL_EFORBIDDEN);
    req.method = EL_STR("PATCH");
    assert_int_equal(judge(&req, EL_STR(OSS_SECRET), OSS_NOW), EL_EFORBIDDEN);
    req.method = el_str_of(v->method);
    req.bucket = EL_STR("another-bucket");
    assert_int_equal(judge(&req, EL_STR(OSS_SECRET), OSS_NOW), EL_EFORBIDDEN);
    el_fields_deinit(&fields);
}

static void what_ali_oss_signed_is_accepted_in_its_time_with_the_right_secret(void **state)
{
    (void)state;
    for (size_t i = 0; i < EL_COUNT(oss_headers); i++)
        assert_judged(&oss_headers[i]);
    for (size_t i = 0; i < EL_COUNT(oss_queries); i++)
        assert_judged(&oss_queries[i]);
}

static enum el_err judge_altered(const struct oss_vector *v, const char *target, const char *name,
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
    rc = judge(&req, EL_STR(OSS_SECRET), OSS_NOW);
    el_fields_deinit(&fields);
    return rc;
}

static void whatever_is_signed_cannot_be_altered(void **state)
{
    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        const struct oss_vector *v = header(v4, "put");

        assert_int_equal(judge_altered(v, "/k", NULL, NULL), EL_OK);
        assert_int_equal(judge_altered(v, "/%6b", NULL, NULL), EL_OK); /* the same bytes */
        assert_int_equal(judge_altered(v, "/l", NULL, NULL), EL_EFORBIDDEN);
        assert_int_equal(judge_altered(v, "/k?acl", NULL, NULL), EL_EFORBIDDEN);
        assert_int_equal(judge_altered(v, "/k?x-oss-process=a", NULL, NULL), EL_EFORBIDDEN);
        assert_int_equal(judge_altered(v, "/k?other=a", NULL, NULL), v4 ? EL_EFORBIDDEN : EL_OK);
        assert_int_equal(judge_altered(v, "/k", "Content-Type", "text/html"), EL_EFORBIDDEN);
        assert_int_equal(judge_altered(v, "/k", "Content-MD5", NULL), EL_EFORBIDDEN);
        assert_int_equal(judge_altered(v, "/k", "x-oss-meta-b", "two words"), EL_EFORBIDDEN);
        assert_int_equal(judge_altered(v, "/k", "x-oss-acl", "public-read"), EL_EFORBIDDEN);
        assert_int_equal(judge_altered(v, "/k", "If-None-Match", "\"x\""), EL_OK);
        assert_int_equal(judge_altered(header(v4, "range"), "/k", "Range", NULL), EL_OK);
    }
    assert_int_equal(judge_altered(header(true, "additional"), "/k", "Range", "bytes=0-8"),
                     EL_EFORBIDDEN);
    assert_int_equal(judge_altered(header(true, "additional"), "/k", "Range", NULL), EL_EBADREQ);
}

/* Signed with version 1 for what stands on the left, and sent as what stands on the right. */
static void a_request_that_has_the_text_of_another_is_refused(void **state)
{
    static const char *const cases[][2] = {
        { "/k?acl", "/k%3Facl" },
        { "/k?acl&versionId=3", "/k?acl%26versionId=3" },
        { "/k?restore&versionId=3%26acl", "/k?restore&versionId=3%26acl" },
        { "/k%0Al", "/k%0Al" },
        { "/k?versionId=%0A", "/k?versionId=%0A" },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct store_oss_signer by = signer_of(header(false, "plain"));
        struct el_fields fields = { 0 };
        struct store_sign_request req;
        enum el_err rc;

        assert_int_equal(store_oss_sign(&by, EL_STR("GET"), EL_STR(OSS_BUCKET),
                                        el_str_of(cases[i][0]), &fields, NULL),
                         EL_OK);
        req = request_of(header(false, "plain"), cases[i][1], &fields);
        rc = judge(&req, EL_STR(OSS_SECRET), OSS_NOW);
        assert_true(rc == EL_EBADREQ || rc == EL_EFORBIDDEN);
        el_fields_deinit(&fields);
    }
}

static void a_header_of_version_1_that_is_malformed_is_refused(void **state)
{
    static const char *const wrong[] = {
        "OSS ",
        "OSS " OSS_KEY_ID,
        "OSS " OSS_KEY_ID ":",
        "OSS :m0TidWyi4+iTBOIhjh4TKw4Fh7I=",
        "OSS  " OSS_KEY_ID ":m0TidWyi4+iTBOIhjh4TKw4Fh7I=",
        "OSS " OSS_KEY_ID ":m0TidWyi4+iTBOIhjh4TKw4Fh7I",
        "OSS " OSS_KEY_ID ":m0TidWyi4+iTBOIhjh4TKw4Fh7I==",
    };
    const struct oss_vector *v = header(false, "plain");

    (void)state;
    for (size_t i = 0; i < EL_COUNT(wrong); i++)
        assert_int_equal(judge_altered(v, v->target, "Authorization", wrong[i]), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "x-oss-date", NULL), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "x-oss-date", "20250131T225958Z"), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "Date", "Fri, 31 Jan 2025 22:59:57 GMT"),
                     EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "Date", "Fri, 31 Jan 2025 22:59:58 GMT"), EL_OK);
    assert_int_equal(judge_altered(v, "/a+b", NULL, NULL), EL_EBADREQ);
    assert_int_equal(judge_altered(v, "/%zz", NULL, NULL), EL_EBADREQ);
}

static void a_header_of_version_4_that_is_malformed_is_refused(void **state)
{
#define V4         "OSS4-HMAC-SHA256 "
#define CREDENTIAL "Credential=" OSS_KEY_ID "/20250131/cn-shanghai/oss/aliyun_v4_request"
#define SIGNATURE  "Signature=80c46525a73128eae5983d84407367fadfa380b584c0935b569b696c7e0e9875"
    static const char *const wrong[] = {
        "OSS4-HMAC-SHA256",
        V4 CREDENTIAL,
        V4 SIGNATURE,
        V4 CREDENTIAL "," SIGNATURE "0",
        V4 CREDENTIAL "," SIGNATURE "," SIGNATURE,
        V4 CREDENTIAL "," SIGNATURE ",SignedHeaders=host",
        V4 CREDENTIAL "x," SIGNATURE,
        V4 "Credential=" OSS_KEY_ID "/20250130/cn-shanghai/oss/aliyun_v4_request," SIGNATURE,
        V4 CREDENTIAL ",AdditionalHeaders=range;host," SIGNATURE,
        V4 CREDENTIAL ",AdditionalHeaders=Host," SIGNATURE,
    };
    const struct oss_vector *v = header(true, "plain");

    (void)state;
    assert_int_equal(judge_altered(v, v->target, "Authorization", V4 CREDENTIAL "," SIGNATURE),
                     EL_EFORBIDDEN);
    for (size_t i = 0; i < EL_COUNT(wrong); i++)
        assert_int_equal(judge_altered(v, v->target, "Authorization", wrong[i]), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "x-oss-date", NULL), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "x-oss-date", "Fri, 31 Jan 2025 22:59:58 GMT"),
                     EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "x-oss-content-sha256", NULL), EL_EBADREQ);
    assert_int_equal(judge_altered(v, v->target, "x-oss-content-sha256", "x"), EL_EBADREQ);
    assert_int_equal(judge_altered(v, "/a+b", NULL, NULL), EL_EBADREQ);
}

static void names_that_are_too_long_are_refused(void **state)
{
    const struct oss_vector *v = header(true, "plain");
    struct el_buf value = { 0 };

    (void)state;
    el_buf_add_str(&value, EL_STR(V4 CREDENTIAL "," SIGNATURE ",AdditionalHeaders="));
    for (int i = 0; i < 1024; i++)
        el_buf_add_byte(&value, 'h');
    assert_int_equal(judge_altered(v, v->target, "Authorization", value.p), EL_EBADREQ);
    el_buf_deinit(&value);
}

static void a_field_that_is_signed_and_there_twice_is_refused(void **state)
{
    static const char *const names[] = { "Content-Type", "Content-MD5", "x-oss-date", "Date" };

    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        const struct oss_vector *v = header(v4, "put");

        for (size_t i = 0; i < EL_COUNT(names); i++) {
            struct store_sign_request req;
            struct el_fields fields;
            struct el_str value = EL_STR("x");

            sent_fields(v, &fields);
            (void)el_fieldv_get(el_fields_view(&fields), el_str_of(names[i]), &value);
            for (int twice = 0; twice < 2; twice++)
                el_fields_add(&fields, el_str_of(names[i]), value);
            req = request_of(v, v->target, &fields);
            assert_int_equal(judge(&req, EL_STR(OSS_SECRET), OSS_NOW), EL_EBADREQ);
            el_fields_deinit(&fields);
        }
    }
}

static void two_proofs_of_who_asks_are_refused(void **state)
{
    (void)state;
    for (int v4 = 0; v4 < 2; v4++) {
        const struct oss_vector *v = header(v4, "plain"), *q = query(v4, "plain");

        assert_int_equal(judge_altered(v, q->signed_target, NULL, NULL), EL_EBADREQ);
        assert_int_equal(judge_altered(q, q->signed_target, "Authorization", "Basic eDp5"),
                         EL_EBADREQ);
        assert_int_equal(
            judge_altered(v, "/k?OSSAccessKeyId=a&x-oss-signature=b", "Authorization", NULL),
            EL_EBADREQ);
    }
}

static void a_request_without_such_a_signature_is_told_apart(void **state)
{
    static const char *const others[] = { "Bearer x", "AWS AKID:sig", "OSSX a:b", "oss a:b", "" };
    const struct oss_vector *v = header(false, "plain");

    (void)state;
    assert_int_equal(judge_altered(v, v->target, "Authorization", NULL), EL_EUNSUPPORTED);
    for (size_t i = 0; i < EL_COUNT(others); i++)
        assert_int_equal(judge_altered(v, v->target, "Authorization", others[i]), EL_EUNSUPPORTED);
}

static void a_presigned_url_that_is_malformed_is_refused(void **state)
{
    static const struct {
        bool is_v4;
        const char *from, *to;
        enum el_err rc;
    } cases[] = {
        { false, "Expires=1738364458", "Expires=1738364459", EL_EFORBIDDEN },
        { false, "Expires=1738364458", "Expires=x", EL_EBADREQ },
        { false, "Expires=1738364458", "Expires=2147483648", EL_EBADREQ },
        { false, "&Expires=", "&Expires=1&Expires=", EL_EBADREQ },
        { false, "&Expires=", "&expires=", EL_EBADREQ },
        { false, "OSSAccessKeyId=", "OSSAccessKeyId=%2F", EL_EBADREQ },
        { false, "OSSAccessKeyId=", "OSSAccessKeyId=%00", EL_EBADREQ },
        { false, "Signature=", "Signature=x", EL_EBADREQ },
        { false, "Signature=", "Signature=%00", EL_EBADREQ },
        { false, "/llama/", "/ll+ama/", EL_EBADREQ },
        { true, "x-oss-expires=60", "x-oss-expires=0", EL_EBADREQ },
        { true, "x-oss-expires=60", "x-oss-expires=604801", EL_EBADREQ },
        { true, "x-oss-expires=60", "x-oss-expires=61", EL_EFORBIDDEN },
        { true, "x-oss-expires=60", "x-oss-expires=60&x-oss-expires=60", EL_EBADREQ },
        { true, "OSS4-HMAC-SHA256", "OSS3-HMAC-SHA256", EL_EBADREQ },
        { true, "%2Faliyun_v4_request", "%2Faws4_request", EL_EBADREQ },
        { true, "20250131T225958Z", "20250130T225958Z", EL_EBADREQ },
        { true, "x-oss-signature=", "x-oss-signature=z", EL_EBADREQ },
        { true, "&x-oss-signature=", "&a=b&x-oss-signature=", EL_EFORBIDDEN },
        { true,
          "&x-oss-signature=", "&x-oss-additional-headers=host&x-oss-signature=", EL_EBADREQ },
        { true,
          "&x-oss-signature=", "&x-oss-additional-headers=B%3Ba&x-oss-signature=", EL_EBADREQ },
        { true, "&x-oss-signature=", "&x-oss-additional-headers=%00&x-oss-signature=", EL_EBADREQ },
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        const struct oss_vector *q = query(cases[i].is_v4, "plain");
        const char *at = strstr(q->signed_target, cases[i].from);
        struct el_buf target = { 0 };

        assert_non_null(at);
        el_buf_add(&target, q->signed_target, (size_t)(at - q->signed_target));
        el_buf_addf(&target, "%s%s", cases[i].to, at + strlen(cases[i].from));
        assert_int_equal(judge_altered(q, target.p, NULL, NULL), cases[i].rc);
        el_buf_deinit(&target);
    }
}

static void a_key_of_another_scope_verifies_nothing(void **state)
{
    const struct oss_vector *v = header(true, "plain");
    struct store_sign_scope scope;
    struct store_sign_request req;
    struct store_oss_claim claim;
    struct store_sign_key key;
    struct el_fields fields;

    (void)state;
    sent_fields(v, &fields);
    req = request_of(v, v->target, &fields);
    assert_int_equal(store_oss_parse(&req, &claim, NULL), EL_OK);
    assert_int_equal(
        store_sign_scope_make(OSS_NOW, EL_STR("cn-beijing"), EL_STR("oss"), &scope, NULL), EL_OK);
    assert_int_equal(store_oss_derive(EL_STR(OSS_SECRET), &scope, &key, NULL), EL_OK);
    assert_int_equal(store_oss_verify_v4(&req, &claim, &key, OSS_NOW, NULL), EL_EFORBIDDEN);
    el_fields_deinit(&fields);
}

static void a_secret_is_neither_empty_nor_endless(void **state)
{
    static const char endless[STORE_SIGN_MAX_SECRET + 1] = "x";
    const struct oss_vector *v = header(false, "plain");
    struct store_sign_request req;
    struct store_oss_claim claim;
    struct el_fields fields;

    (void)state;
    sent_fields(v, &fields);
    req = request_of(v, v->target, &fields);
    assert_int_equal(store_oss_parse(&req, &claim, NULL), EL_OK);
    assert_int_equal(verify(&req, &claim, EL_STR(""), OSS_NOW), EL_EINVAL);
    assert_int_equal(verify(&req, &claim, (struct el_str){ endless, sizeof(endless) }, OSS_NOW),
                     EL_EINVAL);
    el_fields_deinit(&fields);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_header_of_version_1_is_accepted),
        cmocka_unit_test(the_documented_url_of_version_1_is_accepted),
        cmocka_unit_test(a_header_is_signed_as_ali_oss_signs_it),
        cmocka_unit_test(a_url_is_presigned_as_ali_oss_presigns_it),
        cmocka_unit_test(signing_again_replaces_the_older_signature),
        cmocka_unit_test(a_path_that_begins_with_the_bucket_is_signed_the_same),
        cmocka_unit_test(a_signer_without_what_it_needs_is_refused),
        cmocka_unit_test(too_many_fields_to_be_signed_are_refused),
        cmocka_unit_test(a_presigned_url_is_good_for_a_second_to_a_week_and_not_signed_twice),
        cmocka_unit_test(a_presigned_url_of_version_4_may_sign_fields_besides),
        cmocka_unit_test(what_ali_oss_signed_is_accepted_in_its_time_with_the_right_secret),
        cmocka_unit_test(whatever_is_signed_cannot_be_altered),
        cmocka_unit_test(a_request_that_has_the_text_of_another_is_refused),
        cmocka_unit_test(a_header_of_version_1_that_is_malformed_is_refused),
        cmocka_unit_test(a_header_of_version_4_that_is_malformed_is_refused),
        cmocka_unit_test(names_that_are_too_long_are_refused),
        cmocka_unit_test(a_field_that_is_signed_and_there_twice_is_refused),
        cmocka_unit_test(two_proofs_of_who_asks_are_refused),
        cmocka_unit_test(a_request_without_such_a_signature_is_told_apart),
        cmocka_unit_test(a_presigned_url_that_is_malformed_is_refused),
        cmocka_unit_test(a_key_of_another_scope_verifies_nothing),
        cmocka_unit_test(a_secret_is_neither_empty_nor_endless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
