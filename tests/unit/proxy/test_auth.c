/* SPDX-License-Identifier: MIT */
#include "proxy/auth.h"

#include <poll.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/sha256.h"
#include "tests/lib/test.h"

#define PATIENCE_MS 10000
#define USERS       500

static char path[] = "/tmp/elio-auth-XXXXXX";
static struct el_msgq *queue;
static struct proxy_worker *worker;
static int n_good, n_wrong, n_unsure;

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fputs(text, f) < 0, 0);
    assert_int_equal(fclose(f), 0);
}

/* Tokens "t0", "t1" and so on. */
static void write_tokens(int n)
{
    struct el_buf text = { 0 };
    struct el_digest d;
    char token[16], hex[2 * EL_SHA256_BYTES + 1];

    for (int i = 0; i < n; i++) {
        el_sha256_of(token, (size_t)snprintf(token, sizeof(token), "t%d", i), &d);
        el_hex(d.b, sizeof(d.b), hex);
        el_buf_addf(&text, "user%d:%s\n", i, hex);
    }
    write_file(el_buf_str(&text).p);
    el_buf_deinit(&text);
}

static int set_up(void **state)
{
    int fd;

    (void)state;
    memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
    fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    n_good = n_wrong = n_unsure = 0;
    assert_int_equal(el_msgq_new(&queue, NULL), EL_OK);
    return proxy_worker_start("test", USERS, &worker, NULL) == EL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    proxy_worker_free(worker);
    el_msgq_free(queue);
    return unlink(path);
}

static struct proxy_auth *auth_of(enum el_proxy_auth scheme)
{
    struct proxy_auth *a = NULL;
    struct el_error err = { 0 };

    if (proxy_auth_new(scheme, path, &a, &err) != EL_OK)
        fail_msg("%s", err.text);
    return a;
}

static void on_verdict(void *arg, enum proxy_verdict verdict)
{
    (void)arg;
    n_good += verdict == PROXY_VERDICT_GOOD;
    n_wrong += verdict == PROXY_VERDICT_WRONG;
    n_unsure += verdict == PROXY_VERDICT_UNSURE;
}

static struct el_fieldv fields_of(struct el_field *room, const char *value)
{
    room[0] = (struct el_field){ EL_STR("Authorization"), EL_STR("Bearer t0") };
    room[1] = (struct el_field){ EL_STR("proxy-authorization"), el_str_of(value) };
    return (struct el_fieldv){ room, value != NULL ? 2 : 1 };
}

static enum proxy_verdict judge(struct proxy_auth *a, const char *value)
{
    struct el_field room[2];

    return proxy_auth_judge(a, fields_of(room, value));
}

static struct proxy_auth_check *ask(struct proxy_auth *a, const char *value)
{
    const struct proxy_auth_asker asker = { .queue = queue, .on_verdict = on_verdict };
    struct el_field room[2];

    return proxy_auth_ask(a, worker, fields_of(room, value), &asker);
}

static void hear(int n)
{
    while (n_good + n_wrong + n_unsure < n) {
        struct pollfd p = { .fd = el_msgq_fd(queue), .events = POLLIN };

        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        el_msgq_dispatch(queue);
    }
}

static void a_verdict_is_asked_for_once_and_then_known(void **state)
{
    struct proxy_auth *a;

    (void)state;
    write_tokens(2);
    a = auth_of(EL_PROXY_AUTH_BEARER);
    assert_int_equal(judge(a, "Bearer t1"), PROXY_VERDICT_UNSURE);
    assert_int_equal(judge(a, "Bearer guess"), PROXY_VERDICT_UNSURE);
    assert_non_null(ask(a, "Bearer t1"));
    assert_non_null(ask(a, "Bearer guess"));
    hear(2);
    assert_int_equal(n_good, 1);
    assert_int_equal(n_wrong, 1);
    assert_int_equal(judge(a, "Bearer t1"), PROXY_VERDICT_GOOD);
    assert_int_equal(judge(a, "bearer  t1"), PROXY_VERDICT_GOOD);
    assert_int_equal(judge(a, "Bearer guess"), PROXY_VERDICT_WRONG);
    assert_int_equal(judge(a, "Bearer t0"), PROXY_VERDICT_UNSURE);
    proxy_auth_free(a);
}

static void only_proxy_authorization_counts(void **state)
{
    struct el_field twice[] = { { EL_STR("Proxy-Authorization"), EL_STR("Bearer t0") },
                                { EL_STR("Proxy-Authorization"), EL_STR("Bearer t0") } };
    struct proxy_auth *a;

    (void)state;
    write_tokens(1);
    a = auth_of(EL_PROXY_AUTH_BEARER);
    assert_int_equal(judge(a, NULL), PROXY_VERDICT_NONE);
    assert_int_equal(judge(a, "Basic dDA6"), PROXY_VERDICT_WRONG);
    assert_int_equal(judge(a, ""), PROXY_VERDICT_WRONG);
    assert_int_equal(proxy_auth_judge(a, (struct el_fieldv){ twice, 2 }), PROXY_VERDICT_WRONG);
    proxy_auth_free(a);
}

/* Nearly all of them: a row of the table may have been chosen five times. */
static void many_users_are_remembered_and_guesses_do_not_push_them_out(void **state)
{
    struct proxy_auth *a;
    char value[32];
    int kept = 0;

    (void)state;
    write_tokens(USERS);
    a = auth_of(EL_PROXY_AUTH_BEARER);
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(value, sizeof(value), "Bearer t%d", i);
        assert_non_null(ask(a, value));
    }
    hear(USERS);
    assert_int_equal(n_good, USERS);
    for (int i = 0; i < 20 * USERS; i++) {
        (void)snprintf(value, sizeof(value), "Bearer guess%d", i);
        assert_non_null(ask(a, value));
        hear(USERS + i + 1);
    }
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(value, sizeof(value), "Bearer t%d", i);
        kept += judge(a, value) == PROXY_VERDICT_GOOD;
    }
    assert_true(kept > USERS * 8 / 10);
    proxy_auth_free(a);
}

static void who_has_gone_hears_nothing_and_who_waits_at_the_end_hears_that(void **state)
{
    struct proxy_auth *a;

    (void)state;
    write_file("a:$2y$10$Zq7TnA.p1oV/8sKcW3dLheAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
    a = auth_of(EL_PROXY_AUTH_BASIC);
    proxy_auth_forget(ask(a, "Basic YTpi"));
    assert_non_null(ask(a, "Basic YTpj"));
    proxy_worker_stop(worker);
    assert_null(ask(a, "Basic YTpk"));
    hear(1);
    assert_int_equal(n_good, 0);
    proxy_auth_forget(NULL);
    proxy_auth_free(a);
}

static void expect_refusal(const char *file, const char *says)
{
    struct proxy_auth *a = NULL;
    struct el_error err = { 0 };

    assert_int_equal(proxy_auth_new(EL_PROXY_AUTH_BASIC, file, &a, &err), EL_ECONF);
    if (strstr(err.text, says) == NULL)
        fail_msg("%s", err.text);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    expect_refusal("", "proxy.auth_file");
    expect_refusal("/nonexistent/users", "/nonexistent/users");
    expect_refusal("/tmp", "/tmp");
    expect_refusal(path, "names nobody");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_verdict_is_asked_for_once_and_then_known),
        TEST(only_proxy_authorization_counts),
        TEST(many_users_are_remembered_and_guesses_do_not_push_them_out),
        TEST(who_has_gone_hears_nothing_and_who_waits_at_the_end_hears_that),
        TEST(a_file_that_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
