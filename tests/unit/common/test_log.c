/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buf.h"

#include "tests/lib/test.h"

/* The log goes to a file in memory; lines() returns what has been written since the last call. */
static int log_fd = -1;
static char seen[1 << 20];

static void log_to_memory(enum el_log_level level, bool is_json)
{
    el_log_setup(&(struct el_log_conf){ .level = level, .is_json = is_json, .fd = log_fd });
}

static int open_log(void **state)
{
    (void)state;
    log_fd = memfd_create("log", MFD_CLOEXEC);
    /* The position of such a file is not locked as that of others is; its end is. */
    if (log_fd < 0 || fcntl(log_fd, F_SETFL, O_APPEND) != 0)
        return -1;
    log_to_memory(EL_INFO, false);
    return 0;
}

static int close_log(void **state)
{
    (void)state;
    el_log_setup(&(struct el_log_conf){ .level = EL_INFO, .fd = STDERR_FILENO });
    return close(log_fd);
}

static const char *lines(void)
{
    off_t size = lseek(log_fd, 0, SEEK_END);

    assert_in_range(size, 0, sizeof(seen) - 1);
    assert_int_equal(pread(log_fd, seen, (size_t)size, 0), size);
    seen[size] = '\0';
    assert_int_equal(ftruncate(log_fd, 0), 0);
    return seen;
}

static size_t count_of(const char *text, char byte)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += *text == byte;
    return n;
}

/* A single line; what stands behind the time. */
static const char *one_line(void)
{
    const char *line = lines();

    assert_int_equal(count_of(line, '\n'), 1);
    assert_true(strlen(line) > 25);
    assert_int_equal(line[10], 'T');
    assert_memory_equal(line + 23, "Z ", 2);
    return line + 25;
}

static json_t *one_json(void)
{
    const char *line = lines();
    json_t *root;

    assert_int_equal(count_of(line, '\n'), 1);
    root = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    return root;
}

static void assert_member(json_t *root, const char *key, const char *expected)
{
    const char *value = json_string_value(json_object_get(root, key));

    assert_non_null(value);
    assert_string_equal(value, expected);
}

static void a_line_has_time_level_tag_and_text(void **state)
{
    (void)state;
    el_log(EL_INFO, EV_NODE_READY, "port=%d version=%s", 8080, "0.1.0");
    assert_string_equal(one_line(), "INFO  node.ready port=8080 version=0.1.0\n");
    el_log(EL_WARN, EV_CACHE_FULL, "%s", "");
    assert_string_equal(one_line(), "WARN  cache.full\n");
    el_log(EL_ERROR, EV_NODE_FAIL, "why=\"no such file\"");
    assert_string_equal(one_line(), "ERROR node.fail why=\"no such file\"\n");
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    log_to_memory(EL_WARN, false);
    assert_true(el_log_enabled(EL_ERROR));
    assert_true(el_log_enabled(EL_WARN));
    assert_false(el_log_enabled(EL_INFO));
    el_log(EL_INFO, EV_NODE_READY, "a=1");
    el_log(EL_DEBUG, EV_NODE_READY, "a=2");
    assert_string_equal(lines(), "");
    log_to_memory(EL_DEBUG, false);
    el_log(EL_DEBUG, EV_NODE_READY, "a=3");
    assert_string_equal(one_line(), "DEBUG node.ready a=3\n");
}

static void levels_are_read_by_name(void **state)
{
    enum el_log_level level = EL_DEBUG;

    (void)state;
    assert_true(el_log_level_parse(EL_STR("Warn"), &level));
    assert_int_equal(level, EL_WARN);
    assert_false(el_log_level_parse(EL_STR("warning"), &level));
    assert_false(el_log_level_parse(EL_STR(""), &level));
    assert_int_equal(level, EL_WARN);
}

static void json_has_the_same_as_members(void **state)
{
    json_t *root;

    (void)state;
    log_to_memory(EL_INFO, true);
    el_log(EL_WARN, EV_REFUSED, "rule=deny  empty= why=\"two words\" path=C:\\new");
    root = one_json();
    assert_member(root, "level", "warn");
    assert_member(root, "event", "proxy.refused");
    assert_int_equal(strlen(json_string_value(json_object_get(root, "ts"))), 24);
    assert_member(root, "rule", "deny");
    assert_member(root, "empty", "");
    assert_member(root, "why", "two words");
    assert_member(root, "path", "C:\\new");
    assert_int_equal(json_object_size(root), 7);
    json_decref(root);
}

static void a_value_cannot_begin_another_line(void **state)
{
    (void)state;
    el_log(EL_INFO, EV_REFUSED, "url=%s", "/x\r\n2026-11-21 ERROR node.fail \x1b[2J\x7f");
    assert_string_equal(
        one_line(),
        "INFO  proxy.refused url=/x\\x0d\\x0a2026-11-21 ERROR node.fail \\x1b[2J\\x7f\n");
    el_log(EL_INFO, EV_REFUSED, "url=%s", EL_LOG_Q(EL_STR("/x\r\ny\0z")));
    assert_string_equal(one_line(), "INFO  proxy.refused url=\"/x\\x0d\\x0ay\\x00z\"\n");
}

static void a_quoted_value_cannot_add_another(void **state)
{
    static const char evil[] = "a\" event=forged b=\"c\\";
    json_t *root;

    (void)state;
    el_log(EL_INFO, EV_REFUSED, "url=%s rule=deny", EL_LOG_Q(EL_STR(evil)));
    assert_string_equal(one_line(),
                        "INFO  proxy.refused url=\"a\\\" event=forged b=\\\"c\\\\\" rule=deny\n");

    log_to_memory(EL_INFO, true);
    el_log(EL_INFO, EV_REFUSED, "url=%s rule=deny", EL_LOG_Q(EL_STR("a\" event=forged b=\"c\\")));
    root = one_json();
    assert_member(root, "event", "proxy.refused");
    assert_member(root, "url", evil);
    assert_member(root, "rule", "deny");
    assert_int_equal(json_object_size(root), 5);
    json_decref(root);
}

static void bytes_beyond_ascii_are_escaped(void **state)
{
    json_t *root;

    (void)state;
    /* The single byte 0x9b begins a command on some terminals. */
    el_log(EL_INFO, EV_REFUSED, "key=%s", "\xc3\xa9\x9b");
    assert_string_equal(one_line(), "INFO  proxy.refused key=\\xc3\\xa9\\x9b\n");
    log_to_memory(EL_INFO, true);
    el_log(EL_INFO, EV_REFUSED, "key=%s", "\xff");
    root = one_json();
    assert_member(root, "key", "\\xff");
    json_decref(root);
}

static void quoting_cuts_what_is_long(void **state)
{
    struct el_log_quoted q;
    char value[2000];

    (void)state;
    memset(value, 'v', sizeof(value));
    assert_ptr_equal(el_log_quote(&q, (struct el_str){ value, 400 }), q.text);
    assert_int_equal(strlen(q.text), 402);
    assert_int_equal(q.text[401], '"');
    /* Bytes that take one, two and four places meet the end at every distance. */
    for (size_t plain = 0; plain < 4; plain++) {
        for (const char *filler = "v\"\n"; *filler != '\0'; filler++) {
            memset(value + plain, *filler, sizeof(value) - plain);
            (void)el_log_quote(&q, (struct el_str){ value, sizeof(value) });
            assert_in_range(strlen(q.text), sizeof(q.text) - 9, sizeof(q.text) - 1);
            assert_string_equal(q.text + strlen(q.text) - 4, "...\"");
            value[plain] = 'v';
        }
    }
    assert_string_equal(el_log_quote(&q, el_str_of(NULL)), "\"\"");
}

static void a_long_line_is_cut_and_says_so(void **state)
{
    const char *line;

    (void)state;
    el_log(EL_INFO, EV_REFUSED, "url=%0500000d", 1);
    line = one_line();
    assert_in_range(strlen(line), 1000, PIPE_BUF);
    assert_string_equal(line + strlen(line) - 4, "...\n");
}

/* Longer writes to a pipe may be mixed with those of others. */
static void no_line_is_longer_than_a_pipe_takes_at_once(void **state)
{
    static const char *const units[] = { "\"", "\\", "\n", "= ", "=\"\" ", "a=\\\" ", "\xff" };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(units); i++) {
        struct el_buf value = { 0 };

        while (value.n < 10000)
            el_buf_add_str(&value, el_str_of(units[i]));
        for (int is_json = 0; is_json <= 1; is_json++) {
            log_to_memory(EL_INFO, is_json == 1);
            el_log(EL_INFO, EV_NODE_EXPOSED, "%s", value.p);
            assert_in_range(strlen(lines()), 30, PIPE_BUF);
            assert_int_equal(count_of(seen, '\n'), 1);
        }
        assert_int_equal(seen[strlen(seen) - 2], '}');
        el_buf_deinit(&value);
    }
}

static void an_error_is_logged_with_code_and_text(void **state)
{
    struct el_error err;
    json_t *root;

    (void)state;
    (void)el_fail(&err, EL_ECONF, ENOENT, "open \"%s\"", "a b");
    el_log_error(EL_ERROR, EV_NODE_FAIL, &err);
    assert_string_equal(
        one_line(),
        "ERROR node.fail code=1002 error=\"open \\\"a b\\\": No such file or directory\"\n");

    log_to_memory(EL_INFO, true);
    el_log_error(EL_ERROR, EV_NODE_FAIL, &err);
    root = one_json();
    assert_member(root, "code", "1002");
    assert_member(root, "error", "open \"a b\": No such file or directory");
    json_decref(root);

    log_to_memory(EL_INFO, false);
    el_log_error(EL_ERROR, EV_NODE_FAIL, &(struct el_error){ .code = EL_ETIMEOUT });
    assert_string_equal(one_line(), "ERROR node.fail code=2003 error=\"timed out\"\n");
}

static json_t *recent(size_t max)
{
    struct el_buf out = { 0 };
    json_t *root;

    el_log_recent(&out, max);
    root = json_loads(out.p, 0, NULL);
    assert_non_null(root);
    el_buf_deinit(&out);
    return root;
}

static void the_last_lines_are_kept_the_newest_last(void **state)
{
    json_t *root;

    (void)state;
    for (int i = 0; i < 300; i++)
        el_log(EL_INFO, EV_CONF_RELOAD, "n=%d", i);
    el_log(EL_DEBUG, EV_CONF_RELOAD, "n=debug");
    root = recent(3);
    assert_int_equal(json_array_size(root), 3);
    assert_member(json_array_get(root, 0), "n", "297");
    assert_member(json_array_get(root, 2), "n", "299");
    assert_member(json_array_get(root, 2), "event", "conf.reload");
    json_decref(root);

    root = recent(SIZE_MAX);
    assert_int_equal(json_array_size(root), 256);
    assert_member(json_array_get(root, 0), "n", "44");
    json_decref(root);

    root = recent(0);
    assert_int_equal(json_array_size(root), 0);
    json_decref(root);
}

#define LINES_EACH 300

static void *log_lines(void *arg)
{
    for (int i = 0; i < LINES_EACH; i++)
        el_log(EL_INFO, EV_CONF_RELOAD, "thread=%s n=%d", (const char *)arg, i);
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    static char names[2][2] = { "a", "b" };
    int next[2] = { 0 }, n;
    pthread_t threads[2];
    char *line, *rest = seen;
    char name;

    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_lines, names[i]), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    (void)lines();
    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        assert_true(strlen(line) > 25);
        assert_int_equal(sscanf(line + 25, "INFO  conf.reload thread=%c n=%d", &name, &n), 2);
        assert_in_range(name, 'a', 'b');
        assert_int_equal(n, next[name - 'a']++);
    }
    assert_int_equal(next[0], LINES_EACH);
    assert_int_equal(next[1], LINES_EACH);
}

static void a_secret_is_given_out_by_its_getter_alone(void **state)
{
    struct el_secret s = { 0 };

    (void)state;
    assert_int_equal(el_secret_get(&s).n, 0);
    el_secret_set(&s, EL_STR("hunter2"));
    assert_true(el_str_eq(el_secret_get(&s), EL_STR("hunter2")));
    el_secret_set(&s, el_str_from(el_secret_get(&s), 6));
    assert_true(el_str_eq(el_secret_get(&s), EL_STR("2")));
    el_secret_deinit(&s);
    assert_null(s.hidden);
    assert_int_equal(s.n, 0);
    el_secret_deinit(&s);
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, open_log, close_log)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_line_has_time_level_tag_and_text),
        LOG_TEST(lines_below_the_level_are_not_written),
        LOG_TEST(levels_are_read_by_name),
        LOG_TEST(json_has_the_same_as_members),
        LOG_TEST(a_value_cannot_begin_another_line),
        LOG_TEST(a_quoted_value_cannot_add_another),
        LOG_TEST(bytes_beyond_ascii_are_escaped),
        LOG_TEST(quoting_cuts_what_is_long),
        LOG_TEST(a_long_line_is_cut_and_says_so),
        LOG_TEST(no_line_is_longer_than_a_pipe_takes_at_once),
        LOG_TEST(an_error_is_logged_with_code_and_text),
        LOG_TEST(the_last_lines_are_kept_the_newest_last),
        LOG_TEST(lines_of_threads_do_not_mix),
        LOG_TEST(a_secret_is_given_out_by_its_getter_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
