/* SPDX-License-Identifier: MIT */
/* `elionode presign`: what it prints is verified, with the key that it was given. */
#include "common/cli.h"
#include "common/clock.h"
#include "common/url.h"
#include "proxy/cli.h"
#include "storage/oss.h"
#include "storage/sigv4.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/lib/test.h"

struct fixture {
    char dir[64], captured[96], credentials[96], option[128];
    char out[4096];
};

static const char *const variables[] = {
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_REGION",        "AWS_PROFILE",           "AWS_SHARED_CREDENTIALS_FILE",
    "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN",
    "OSS_REGION",
};

static int set_up(void **state)
{
    struct fixture *f = el_new(struct fixture);
    FILE *file;

    for (size_t i = 0; i < EL_COUNT(variables); i++)
        (void)unsetenv(variables[i]);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_cli_presign-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    (void)snprintf(f->captured, sizeof(f->captured), "%s/captured", f->dir);
    (void)snprintf(f->credentials, sizeof(f->credentials), "%s/credentials", f->dir);
    (void)snprintf(f->option, sizeof(f->option), "--credentials-file=%s", f->credentials);
    file = fopen(f->credentials, "we");
    if (file == NULL ||
        fputs("[default]\naws_access_key_id = FILEKEY\naws_secret_access_key = filesecret\n"
              "[ci]\naws_access_key_id = CIKEY\naws_secret_access_key = cisecret\n",
              file) < 0)
        return -1;
    *state = f;
    return fclose(file);
}

static int tear_down(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    (void)unlink(f->captured);
    (void)unlink(f->credentials);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

/* Runs the command; what it prints is in f->out. */
static int run(struct fixture *f, const char *a, const char *b, const char *c, const char *d)
{
    const char *const given[] = { "elionode", "presign", a, b, c, d };
    char *words[EL_COUNT(given) + 1] = { NULL };
    int file = open(f->captured, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), kept, argc = 0, rc;
    ssize_t n;

    for (; argc < (int)EL_COUNT(given) && given[argc] != NULL; argc++)
        words[argc] = el_strndup(given[argc], strlen(given[argc]));
    (void)fflush(NULL);
    kept = dup(STDOUT_FILENO);
    assert_true(file >= 0 && kept >= 0);
    assert_int_equal(dup2(file, STDOUT_FILENO), STDOUT_FILENO);
    rc = proxy_cli_run(argc, words);
    (void)fflush(NULL);
    assert_int_equal(dup2(kept, STDOUT_FILENO), STDOUT_FILENO);
    n = pread(file, f->out, sizeof(f->out) - 1, 0);
    assert_true(n >= 0);
    f->out[n] = '\0';
    (void)close(kept);
    (void)close(file);
    for (int i = 0; i < argc; i++)
        free(words[i]);
    return rc;
}

static int64_t now_s(void)
{
    return el_clock_wall_ms(el_clock_system()) / 1000;
}

/* The request that the printed URL makes. */
static struct store_sign_request request_of(struct fixture *f, const char *method, const char *host)
{
    struct store_sign_request req = { .method = el_str_of(method), .host = el_str_of(host) };
    struct el_str line = el_str_of(f->out);
    struct el_url url = { 0 };

    assert_true(line.n > 0 && line.p[line.n - 1] == '\n');
    assert_int_equal(el_url_parse(el_str_first(line, line.n - 1), &url, NULL), EL_OK);
    req.target = url.target;
    return req;
}

static enum el_err verify_s3(const struct store_sign_request *req, const char *key_id,
                             const char *secret, const char *region)
{
    struct store_sigv4_claim claim;
    struct store_sign_key key;

    assert_int_equal(store_sigv4_parse(req, &claim, NULL), EL_OK);
    assert_string_equal(claim.key_id, key_id);
    assert_string_equal(claim.scope.region, region);
    assert_int_equal(store_sigv4_derive(el_str_of(secret), &claim.scope, &key, NULL), EL_OK);
    return store_sigv4_verify(req, &claim, &key, now_s(), NULL);
}

static void a_url_is_signed_for_its_method_and_host(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct store_sign_request req;

    assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1), 0);
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1), 0);
    assert_int_equal(
        run(f, "https://Store.test:8443/b/k%20x?versionId=1", "--method=PUT", "--expires=60", NULL),
        EL_CLI_OK);
    assert_non_null(strstr(f->out, "https://store.test:8443/b/k%20x?versionId=1&"));
    assert_non_null(strstr(f->out, "&X-Amz-Expires=60&"));
    req = request_of(f, "PUT", "store.test:8443");
    assert_int_equal(verify_s3(&req, "ENVKEY", "envsecret", "us-east-1"), EL_OK);
    req.method = EL_STR("GET");
    assert_int_equal(verify_s3(&req, "ENVKEY", "envsecret", "us-east-1"), EL_EFORBIDDEN);
}

static void a_session_and_a_region_come_from_the_environment_too(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct store_sign_request req;

    assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1), 0);
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1), 0);
    assert_int_equal(setenv("AWS_SESSION_TOKEN", "to/ken", 1), 0);
    assert_int_equal(setenv("AWS_REGION", "eu-west-1", 1), 0);
    assert_int_equal(run(f, "http://store.test:80/b/k", NULL, NULL, NULL), EL_CLI_OK);
    assert_non_null(strstr(f->out, "&X-Amz-Security-Token=to%2Fken&"));
    req = request_of(f, "GET", "store.test");
    assert_int_equal(verify_s3(&req, "ENVKEY", "envsecret", "eu-west-1"), EL_OK);
    assert_int_equal(run(f, "http://store.test/b/k", "--region=cn-north-1", NULL, NULL), EL_CLI_OK);
    req = request_of(f, "GET", "store.test");
    assert_int_equal(verify_s3(&req, "ENVKEY", "envsecret", "cn-north-1"), EL_OK);
}

static void a_file_that_is_named_wins_over_the_environment(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct store_sign_request req;

    assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1), 0);
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1), 0);
    assert_int_equal(run(f, f->option, "http://[::1]:9000/b/k", NULL, NULL), EL_CLI_OK);
    req = request_of(f, "GET", "[::1]:9000");
    assert_int_equal(verify_s3(&req, "FILEKEY", "filesecret", "us-east-1"), EL_OK);
    assert_int_equal(run(f, f->option, "http://h/b/k", "--profile=ci", NULL), EL_CLI_OK);
    req = request_of(f, "GET", "h");
    assert_int_equal(verify_s3(&req, "CIKEY", "cisecret", "us-east-1"), EL_OK);
    assert_int_equal(run(f, f->option, "http://h/b/k", "--profile=none", NULL), EL_CLI_FAILED);
}

static void without_a_key_in_the_environment_the_file_of_the_environment_is_read(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct store_sign_request req;

    assert_int_equal(run(f, "http://h/b/k", NULL, NULL, NULL), EL_CLI_FAILED);
    assert_string_equal(f->out, "");
    assert_int_equal(setenv("AWS_SHARED_CREDENTIALS_FILE", f->credentials, 1), 0);
    assert_int_equal(setenv("AWS_PROFILE", "ci", 1), 0);
    assert_int_equal(run(f, "http://h/b/k", NULL, NULL, NULL), EL_CLI_OK);
    req = request_of(f, "GET", "h");
    assert_int_equal(verify_s3(&req, "CIKEY", "cisecret", "us-east-1"), EL_OK);
}

static void oss_is_signed_with_version_4_where_a_region_is_known_and_1_otherwise(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    struct store_sign_request req;
    struct store_oss_claim claim;
    struct store_sign_key key;

    assert_int_equal(setenv("OSS_ACCESS_KEY_ID", "OSSKEY", 1), 0);
    assert_int_equal(setenv("OSS_ACCESS_KEY_SECRET", "osssecret", 1), 0);
    assert_int_equal(run(f, "--type=oss", "http://bkt.oss-cn-hangzhou.aliyuncs.com/k", NULL, NULL),
                     EL_CLI_OK);
    req = request_of(f, "GET", "");
    req.bucket = EL_STR("bkt");
    assert_int_equal(store_oss_parse(&req, &claim, NULL), EL_OK);
    assert_false(claim.is_v4);
    assert_int_equal(store_oss_verify_v1(&req, &claim, EL_STR("osssecret"), now_s(), NULL), EL_OK);
    assert_int_equal(
        run(f, "--type=oss", "https://cdn.test/k", "--bucket=bkt", "--region=cn-hangzhou"),
        EL_CLI_OK);
    req = request_of(f, "GET", "");
    req.bucket = EL_STR("bkt");
    assert_int_equal(store_oss_parse(&req, &claim, NULL), EL_OK);
    assert_true(claim.is_v4);
    assert_int_equal(store_oss_derive(EL_STR("osssecret"), &claim.scope, &key, NULL), EL_OK);
    assert_int_equal(store_oss_verify_v4(&req, &claim, &key, now_s(), NULL), EL_OK);
}

static void wrong_words_are_refused(void **state)
{
    static const char *const wrong[][3] = {
        { NULL, NULL, NULL },
        { "http://h/k", "http://h/l", NULL },
        { "http://h/k", "--expires=0", NULL },
        { "http://h/k", "--expires=604801", NULL },
        { "http://h/k", "--expires=x", NULL },
        { "http://h/k", "--expires=", NULL },
        { "http://h/k", "--type=gcs", NULL },
        { "http://h/k", "--secret-key=x", NULL },
        { "ftp://h/k", NULL, NULL },
        { "h/k", NULL, NULL },
    };
    struct fixture *f = (struct fixture *)*state;

    assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1), 0);
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1), 0);
    for (size_t i = 0; i < EL_COUNT(wrong); i++) {
        assert_int_equal(run(f, wrong[i][0], wrong[i][1], wrong[i][2], NULL), EL_CLI_USAGE);
        assert_string_equal(f->out, "");
    }
    assert_int_equal(run(f, "http://h/k?X-Amz-Signature=1", NULL, NULL, NULL), EL_CLI_FAILED);
    assert_int_equal(run(f, "--help", NULL, NULL, NULL), EL_CLI_OK);
    assert_non_null(strstr(f->out, "--credentials-file=FILE"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_url_is_signed_for_its_method_and_host, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_session_and_a_region_come_from_the_environment_too,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_named_wins_over_the_environment, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            without_a_key_in_the_environment_the_file_of_the_environment_is_read, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            oss_is_signed_with_version_4_where_a_region_is_known_and_1_otherwise, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(wrong_words_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
