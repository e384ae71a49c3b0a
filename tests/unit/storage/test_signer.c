/* SPDX-License-Identifier: MIT */
#include "storage/signer.h"

#include <unistd.h>

#include "storage/oss.h"
#include "storage/sigv4.h"
#include "tests/lib/fields.h"
#include "tests/lib/test.h"

/* ---- a clock that is moved by hand, and a file of keys ---- */

static int64_t wall_ms = 1714979289000;

static uint64_t mono(struct el_clock *c)
{
    (void)c;
    return 0;
}

static int64_t wall(struct el_clock *c)
{
    (void)c;
    return wall_ms;
}

static struct el_clock clock_by_hand = { mono, wall };
static char path[40];

static void write_keys(const char *id, const char *secret)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_true(fprintf(f, "[p]\naws_access_key_id=%s\naws_secret_access_key=%s\n", id, secret) >
                0);
    assert_int_equal(fclose(f), 0);
}

static int make_file(void **state)
{
    int fd;

    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/test_signer-XXXXXX");
    fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static struct store_signer_conf given_keys(void)
{
    return (struct store_signer_conf){
        .id = EL_STR("AKID"),
        .secret = EL_STR("secret"),
        .clock = &clock_by_hand,
    };
}

static struct store_signer_conf keys_of_file(void)
{
    return (struct store_signer_conf){ .file = path, .profile = "p", .clock = &clock_by_hand };
}

static struct store_signer *signer_of(struct store_signer_conf conf)
{
    struct store_signer *s = NULL;
    struct el_error err;

    if (store_signer_new(&conf, &s, &err) != EL_OK)
        fail_msg("%s", err.text);
    return s;
}

static const struct store_signer_request get = {
    .method = { "GET", 3 },
    .scheme = { "http", 4 },
    .host = { "s3.test", 7 },
    .target = { "/bucket/key", 11 },
    .port = 80,
};

/* What a server that knows this one key makes of the request. */
static enum el_err judge_s3(const struct store_signed *s, const char *id, const char *secret,
                            const char *region)
{
    const struct store_sign_request req = {
        .method = EL_STR("GET"),
        .target = el_buf_str(&s->target),
        .fields = el_fields_view(&s->fields),
    };
    struct store_sigv4_claim claim;
    struct store_sign_key key;

    assert_int_equal(store_sigv4_parse(&req, &claim, NULL), EL_OK);
    if (strcmp(claim.key_id, id) != 0)
        return EL_EFORBIDDEN;
    assert_string_equal(claim.scope.region, region);
    assert_int_equal(store_sigv4_derive(el_str_of(secret), &claim.scope, &key, NULL), EL_OK);
    return store_sigv4_verify(&req, &claim, &key, wall_ms / 1000, NULL);
}

static const char *field(const struct store_signed *s, const char *name)
{
    struct el_str value = { NULL, 0 };

    return el_fieldv_get(el_fields_view(&s->fields), el_str_of(name), &value) ? value.p : NULL;
}

static void sign(struct store_signer *s, const struct store_signer_request *req,
                 struct store_signed *out)
{
    struct el_error err;

    if (store_signer_sign(s, req, out, &err) != EL_OK)
        fail_msg("%s", err.text);
}

/* ---- the tests ---- */

static void a_request_is_signed_with_the_key_for_where_it_goes(void **state)
{
    struct store_signer *s = signer_of(given_keys());
    struct store_signer_request req = get;
    struct store_signed out = { 0 };

    (void)state;
    req.fields = FIELDS(FIELD("Host", "gateway:8080"), FIELD("Range", "bytes=0-1"),
                        FIELD("x-amz-meta-a", "b"));
    req.port = 9000;
    sign(s, &req, &out);
    assert_string_equal(field(&out, "Host"), "s3.test:9000");
    assert_int_equal(el_fieldv_count(el_fields_view(&out.fields), EL_STR("Host")), 1);
    assert_string_equal(field(&out, "Range"), "bytes=0-1");
    assert_string_equal(field(&out, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
    assert_null(field(&out, "x-amz-security-token"));
    assert_int_equal(judge_s3(&out, "AKID", "secret", "us-east-1"), EL_OK);
    req.host = EL_STR("::1");
    sign(s, &req, &out);
    assert_string_equal(field(&out, "Host"), "[::1]:9000");
    assert_string_equal(out.host.p, "::1");
    store_signed_deinit(&out);
    store_signer_free(s);
}

static void a_session_a_region_and_virtual_hosts_are_signed_for(void **state)
{
    struct store_signer_conf conf = given_keys();
    struct store_signed out = { 0 };
    struct store_signer *s;

    (void)state;
    conf.token = EL_STR("token");
    conf.region = EL_STR("eu-west-1");
    conf.is_virtual = true;
    s = signer_of(conf);
    sign(s, &get, &out);
    assert_string_equal(out.host.p, "bucket.s3.test");
    assert_string_equal(field(&out, "Host"), "bucket.s3.test");
    assert_string_equal(out.target.p, "/key");
    assert_string_equal(field(&out, "x-amz-security-token"), "token");
    assert_int_equal(judge_s3(&out, "AKID", "secret", "eu-west-1"), EL_OK);
    store_signed_deinit(&out);
    store_signer_free(s);
}

static void a_hash_of_the_body_that_the_client_gives_is_kept(void **state)
{
    static const struct {
        const char *given, *sent;
    } cases[] = {
        { "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER" },
        { "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
          "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" },
        { "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "UNSIGNED-PAYLOAD" },
        { "nonsense", "UNSIGNED-PAYLOAD" },
    };
    struct store_signer *s = signer_of(given_keys());
    struct store_signed out = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(cases); i++) {
        struct store_signer_request req = get;

        req.fields = ONE_FIELD("x-amz-content-sha256", cases[i].given);
        sign(s, &req, &out);
        assert_string_equal(field(&out, "x-amz-content-sha256"), cases[i].sent);
    }
    store_signed_deinit(&out);
    store_signer_free(s);
}

static void oss_is_signed_by_its_own_rules_with_and_without_a_region(void **state)
{
    static const char *const regions[] = { "", "cn-hangzhou" };
    struct store_signed out = { 0 };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(regions); i++) {
        struct store_signer_conf conf = given_keys();
        struct store_sign_request req = { .method = EL_STR("GET"), .bucket = EL_STR("bucket") };
        struct store_oss_claim claim;
        struct store_sign_key key;
        struct store_signer *s;

        conf.is_oss = true;
        conf.is_virtual = true;
        conf.region = el_str_of(regions[i]);
        s = signer_of(conf);
        sign(s, &get, &out);
        assert_string_equal(field(&out, "Host"), "bucket.s3.test");
        req.target = el_buf_str(&out.target);
        req.fields = el_fields_view(&out.fields);
        assert_int_equal(store_oss_parse(&req, &claim, NULL), EL_OK);
        assert_int_equal(claim.is_v4, i == 1);
        if (claim.is_v4) {
            assert_int_equal(store_oss_derive(EL_STR("secret"), &claim.scope, &key, NULL), EL_OK);
            assert_int_equal(store_oss_verify_v4(&req, &claim, &key, wall_ms / 1000, NULL), EL_OK);
        } else {
            assert_int_equal(
                store_oss_verify_v1(&req, &claim, EL_STR("secret"), wall_ms / 1000, NULL), EL_OK);
        }
        store_signer_free(s);
    }
    store_signed_deinit(&out);
}

static void a_file_that_has_changed_is_read_again_and_one_that_is_wrong_is_not_taken(void **state)
{
    struct store_signed out = { 0 };
    struct store_signer *s;

    (void)state;
    write_keys("FIRST", "one");
    s = signer_of(keys_of_file());
    sign(s, &get, &out);
    assert_int_equal(judge_s3(&out, "FIRST", "one", "us-east-1"), EL_OK);
    write_keys("SECOND", "another");
    store_signer_look(s);
    sign(s, &get, &out);
    assert_int_equal(judge_s3(&out, "SECOND", "another", "us-east-1"), EL_OK);
    write_keys("", "");
    store_signer_look(s);
    sign(s, &get, &out);
    assert_int_equal(judge_s3(&out, "SECOND", "another", "us-east-1"), EL_OK);
    assert_int_equal(unlink(path), 0);
    store_signer_look(s);
    sign(s, &get, &out);
    assert_int_equal(judge_s3(&out, "SECOND", "another", "us-east-1"), EL_OK);
    write_keys("THIRD", "three");
    store_signer_look(s);
    sign(s, &get, &out);
    assert_int_equal(judge_s3(&out, "THIRD", "three", "us-east-1"), EL_OK);
    store_signed_deinit(&out);
    store_signer_free(s);
}

static void a_thread_looks_at_the_file_and_ends_with_the_signer(void **state)
{
    struct store_signed out = { 0 };
    struct store_signer *s;

    (void)state;
    write_keys("FIRST", "one");
    s = signer_of(keys_of_file());
    assert_int_equal(store_signer_watch(s, NULL), EL_OK);
    write_keys("SECOND", "another");
    do
        sign(s, &get, &out);
    while (judge_s3(&out, "SECOND", "another", "us-east-1") != EL_OK);
    store_signed_deinit(&out);
    store_signer_free(s);
}

static void keys_that_cannot_sign_are_refused_at_the_start(void **state)
{
    struct store_signer_conf conf = given_keys();
    struct store_signer *s = NULL;

    (void)state;
    conf.id = EL_STR("a/b");
    assert_int_equal(store_signer_new(&conf, &s, NULL), EL_ECONF);
    conf = given_keys();
    conf.region = EL_STR("eu west");
    assert_int_equal(store_signer_new(&conf, &s, NULL), EL_ECONF);
    conf = keys_of_file(); /* which is empty */
    assert_int_equal(store_signer_new(&conf, &s, NULL), EL_ECONF);
    assert_null(s);
}

static bool learns(struct store_signer *s, int status, const char *region)
{
    return store_signer_learn(s, &get, EL_STR("us-east-1"), status,
                              ONE_FIELD("x-amz-bucket-region", region));
}

static void a_bucket_in_another_region_is_asked_there_from_then_on(void **state)
{
    struct store_signer *s = signer_of(given_keys());
    struct store_signer_request other = get, req = get;
    struct store_signed out = { 0 };

    (void)state;
    assert_false(learns(s, 200, "eu-west-1"));
    assert_false(learns(s, 301, "us-east-1"));
    assert_false(learns(s, 301, "evil.test/"));
    assert_false(store_signer_learn(s, &get, EL_STR("us-east-1"), 301, NO_FIELDS));
    assert_true(learns(s, 301, "eu-west-1"));
    req.host = EL_STR("s3.us-east-1.amazonaws.com");
    sign(s, &req, &out);
    assert_string_equal(out.host.p, "s3.eu-west-1.amazonaws.com");
    assert_string_equal(out.region.p, "eu-west-1");
    assert_int_equal(judge_s3(&out, "AKID", "secret", "eu-west-1"), EL_OK);
    other.target = EL_STR("/other/key");
    sign(s, &other, &out);
    assert_int_equal(judge_s3(&out, "AKID", "secret", "us-east-1"), EL_OK);
    assert_true(learns(s, 307, "eu-north-1"));
    sign(s, &get, &out);
    assert_int_equal(judge_s3(&out, "AKID", "secret", "eu-north-1"), EL_OK);
    store_signed_deinit(&out);
    store_signer_free(s);
}

static void only_so_many_buckets_in_other_regions_are_remembered(void **state)
{
    struct store_signer *s = signer_of(given_keys());
    struct store_signed out = { 0 };
    struct store_signer_request req = get;
    char target[32];

    (void)state;
    assert_true(learns(s, 301, "eu-west-1"));
    for (int i = 0; i < 64; i++) {
        (void)snprintf(target, sizeof(target), "/bucket-%d/k", i);
        req.target = el_str_of(target);
        assert_true(store_signer_learn(s, &req, EL_STR("us-east-1"), 301,
                                       FIELDS(FIELD("x-amz-bucket-region", "eu-west-1"))));
    }
    sign(s, &req, &out);
    assert_string_equal(out.region.p, "eu-west-1");
    sign(s, &get, &out);
    assert_string_equal(out.region.p, "us-east-1");
    store_signed_deinit(&out);
    store_signer_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_signed_with_the_key_for_where_it_goes),
        cmocka_unit_test(a_session_a_region_and_virtual_hosts_are_signed_for),
        cmocka_unit_test(a_hash_of_the_body_that_the_client_gives_is_kept),
        cmocka_unit_test(oss_is_signed_by_its_own_rules_with_and_without_a_region),
        cmocka_unit_test_setup_teardown(
            a_file_that_has_changed_is_read_again_and_one_that_is_wrong_is_not_taken, make_file,
            remove_file),
        cmocka_unit_test_setup_teardown(a_thread_looks_at_the_file_and_ends_with_the_signer,
                                        make_file, remove_file),
        cmocka_unit_test_setup_teardown(keys_that_cannot_sign_are_refused_at_the_start, make_file,
                                        remove_file),
        cmocka_unit_test(a_bucket_in_another_region_is_asked_there_from_then_on),
        cmocka_unit_test(only_so_many_buckets_in_other_regions_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
