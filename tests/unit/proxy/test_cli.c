/* SPDX-License-Identifier: MIT */
/*
 * `elionode get` against a server that stands in for the node: libcurl sends it the whole URL, as
 * to any proxy, so a route for everything answers.
 */
#include "common/cli.h"
#include "proxy/cli.h"

#include <dirent.h>
#include <fcntl.h>

#include "common/http_server.h"
#include "tests/lib/raw_http.h"

struct fixture {
    char dir[64], file[96], captured[96], proxy[40];
    struct el_http_server *server;
};

static void answer_any(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    if (el_str_eq(in->path, EL_STR("http://origin.test/gone")))
        el_http_reply_problem(out, 404, "Not Found", "no such key");
    else
        el_buf_add_str(&out->body, EL_STR("abc"));
}

static const struct el_http_route routes[] = { { "GET", "*", answer_any, 0 } };

static int set_up(void **state)
{
    struct fixture *f = el_new(struct fixture);
    const struct el_http_server_conf conf = {
        .thread_name = "test",
        .bind_address = "127.0.0.1",
        .routes = routes,
        .route_count = EL_COUNT(routes),
    };

    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_cli-XXXXXX");
    if (mkdtemp(f->dir) == NULL || el_http_server_start(&conf, &f->server, NULL) != EL_OK)
        return -1;
    (void)snprintf(f->file, sizeof(f->file), "%s/object", f->dir);
    (void)snprintf(f->captured, sizeof(f->captured), "%s/captured", f->dir);
    (void)snprintf(f->proxy, sizeof(f->proxy), "--proxy=127.0.0.1:%u",
                   el_http_server_port(f->server));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    el_http_server_stop(f->server);
    (void)unlink(f->file);
    (void)unlink(f->captured);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

/* Runs the command with the descriptor `fd` going to f->captured. */
static int run_captured(struct fixture *f, int fd, char *const *words)
{
    int file = open(f->captured, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int kept, argc = 0, rc;

    while (words[argc] != NULL)
        argc++;
    (void)fflush(NULL);
    kept = dup(fd);
    assert_true(file >= 0 && kept >= 0);
    assert_int_equal(dup2(file, fd), fd);
    rc = proxy_cli_run(argc, words);
    (void)fflush(NULL);
    assert_int_equal(dup2(kept, fd), fd);
    (void)close(kept);
    (void)close(file);
    return rc;
}

static void assert_file(const char *path, const char *expected_part)
{
    char text[2048] = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) >= 0);
    (void)close(fd);
    if (strstr(text, expected_part) == NULL)
        fail_msg("\"%s\" is not in: %s", expected_part, text);
}

static size_t files_in(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n - 2;
}

#define WORDS(...)                                           \
    (char *const[])                                          \
    {                                                        \
        (char *)"elionode", (char *)"get", __VA_ARGS__, NULL \
    }
#define WORD(text) (char *)(uintptr_t)(text)

static void the_object_is_in_the_file_and_nothing_else_is_left(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    assert_int_equal(
        run_captured(f, STDERR_FILENO,
                     WORDS(WORD("http://origin.test/k"), WORD("-o"), f->file, f->proxy)),
        EL_CLI_OK);
    assert_file(f->file, "abc");
    assert_file(f->captured, "3 B in ");
    assert_int_equal(files_in(f->dir), 2);
}

static void json_reports_size_and_hash(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    assert_int_equal(run_captured(f, STDOUT_FILENO,
                                  WORDS(WORD("http://origin.test/k"), WORD("-o"), f->file, f->proxy,
                                        WORD("--json"))),
                     EL_CLI_OK);
    assert_file(f->captured, "\"bytes\":3,");
    assert_file(f->captured, "\"x_cache\":null,");
    assert_file(f->captured, /* FIPS 180-2, appendix B.1 */
                "\"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"");
}

static void a_dash_writes_to_standard_output(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    assert_int_equal(run_captured(f, STDOUT_FILENO,
                                  WORDS(WORD("http://origin.test/k"), WORD("-o"), WORD("-"),
                                        f->proxy, WORD("--quiet"))),
                     EL_CLI_OK);
    assert_file(f->captured, "abc");
}

static void an_error_of_the_origin_is_shown_and_leaves_no_file(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    assert_int_equal(
        run_captured(f, STDERR_FILENO,
                     WORDS(WORD("http://origin.test/gone"), WORD("-o"), f->file, f->proxy)),
        EL_CLI_FAILED);
    assert_file(f->captured, "the answer is 404: no such key");
    assert_int_equal(files_in(f->dir), 1);
}

static void a_node_that_does_not_run_is_named(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);
    char proxy[40];

    /* Bound but not listening: nobody else gets the port, and connecting is refused. */
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    (void)snprintf(proxy, sizeof(proxy), "--proxy=127.0.0.1:%u", ntohs(a.sin_port));
    assert_int_equal(run_captured(f, STDERR_FILENO,
                                  WORDS(WORD("http://origin.test/k"), WORD("-o"), f->file, proxy)),
                     EL_CLI_ABSENT);
    assert_file(f->captured, "elionode get: cannot reach the node at 127.0.0.1:");
    assert_file(f->captured, "is it running?");
    assert_int_equal(files_in(f->dir), 1);
    (void)close(fd);
}

static void a_directory_as_file_is_refused_before_anything_is_fetched(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    assert_int_equal(
        run_captured(f, STDERR_FILENO,
                     WORDS(WORD("http://origin.test/k"), WORD("-o"), f->dir, f->proxy)),
        EL_CLI_FAILED);
    assert_file(f->captured, "is a directory");
}

static void a_wrong_command_line_is_a_usage_error(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    char *const *const wrong[] = {
        (char *const[]){ WORD("elionode"), WORD("get"), NULL },
        WORDS(WORD("--fast"), WORD("http://h/k")),
        WORDS(WORD("http://h/k"), WORD("http://h/l")),
        WORDS(WORD("http://h/k"), WORD("-o")),
        WORDS(WORD("http://h/")),
        WORDS(WORD("http://h/..")),
        WORDS(WORD("http://h")),
        WORDS(WORD("http://h/k"), WORD("--json"), WORD("-o"), WORD("-")),
    };

    for (size_t i = 0; i < EL_COUNT(wrong); i++)
        assert_int_equal(run_captured(f, STDERR_FILENO, wrong[i]), EL_CLI_USAGE);
}

static void progress_shows_share_rate_and_time_left(void **state)
{
    struct proxy_cli_progress p = {
        .done = 256 * EL_MIB, .total = EL_GIB, .seconds = 2, .x_cache = "HIT"
    };
    char line[160];

    (void)state;
    proxy_cli_progress_line(&p, line, sizeof(line));
    assert_string_equal(
        line, " 25% [======>                 ] 256.0 MiB / 1.0 GiB  128.0 MiB/s  ETA 0:06  HIT");
    p.total = 0;
    proxy_cli_progress_line(&p, line, sizeof(line));
    assert_string_equal(line, "256.0 MiB  128.0 MiB/s  HIT");
    p = (struct proxy_cli_progress){ .done = 0, .total = 10, .x_cache = "" };
    proxy_cli_progress_line(&p, line, sizeof(line));
    assert_non_null(strstr(line, "ETA -:--"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_object_is_in_the_file_and_nothing_else_is_left, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(json_reports_size_and_hash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dash_writes_to_standard_output, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_of_the_origin_is_shown_and_leaves_no_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_does_not_run_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_as_file_is_refused_before_anything_is_fetched,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_command_line_is_a_usage_error, set_up, tear_down),
        cmocka_unit_test(progress_shows_share_rate_and_time_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
