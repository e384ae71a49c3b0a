/* SPDX-License-Identifier: MIT */
#include "common/conf.h"

#include <unistd.h>

#include "common/buf.h"
#include "tests/lib/test.h"

#define MAX_ARGS 64

struct world {
    char file[32]; /* path; "" while there is none */
    char *args[MAX_ARGS], *env[MAX_ARGS];
    int argc, envc;
    struct el_conf *conf;
    struct el_conf_args asked;
    struct el_error err;
};

static int set_up(void **state)
{
    struct world *w = el_new(struct world);

    w->args[w->argc++] = el_strndup("elionode", 8);
    *state = w;
    return 0;
}

/* What the last load gave and what the next one would be given. */
static void forget(struct world *w)
{
    el_conf_free(w->conf);
    w->conf = NULL;
    el_conf_args_deinit(&w->asked);
    while (w->argc > 1) {
        free(w->args[--w->argc]);
        w->args[w->argc] = NULL;
    }
    while (w->envc > 0) {
        free(w->env[--w->envc]);
        w->env[w->envc] = NULL;
    }
    if (w->file[0] != '\0')
        (void)unlink(w->file);
    w->file[0] = '\0';
}

static int tear_down(void **state)
{
    struct world *w = *state;

    forget(w);
    free(w->args[0]);
    free(w);
    return 0;
}

static void add_arg(struct world *w, const char *arg)
{
    assert_true(w->argc < MAX_ARGS - 1);
    w->args[w->argc++] = el_strndup(arg, strlen(arg));
}

static void add_env(struct world *w, const char *entry)
{
    assert_true(w->envc < MAX_ARGS - 1);
    w->env[w->envc++] = el_strndup(entry, strlen(entry));
}

static void write_file(struct world *w, struct el_str text)
{
    int fd;

    (void)snprintf(w->file, sizeof(w->file), "/tmp/conf.XXXXXX");
    fd = mkstemp(w->file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.p, text.n), text.n);
    (void)close(fd);
}

static void use_file(struct world *w, const char *text)
{
    char option[64];

    write_file(w, el_str_of(text));
    (void)snprintf(option, sizeof(option), "--config=%s", w->file);
    add_arg(w, option);
}

static enum el_err load(struct world *w)
{
    w->err = (struct el_error){ 0 };
    return el_conf_load(w->argc, w->args, w->env, &w->conf, &w->asked, &w->err);
}

static void assert_loads(struct world *w)
{
    if (load(w) != EL_OK)
        fail_msg("%s", w->err.text);
}

static void assert_says(const struct world *w, const char *part)
{
    if (strstr(w->err.text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, w->err.text);
}

/* Refused with a text that holds `part`; what was to be loaded is forgotten. */
static void assert_refused(struct world *w, const char *part)
{
    assert_int_equal(load(w), EL_ECONF);
    assert_int_equal(w->err.code, EL_ECONF);
    assert_null(w->conf);
    assert_null(w->asked.file);
    assert_says(w, part);
    forget(w);
}

static void assert_arg_refused(struct world *w, const char *arg, const char *part)
{
    add_arg(w, arg);
    assert_refused(w, part);
}

static void assert_env_refused(struct world *w, const char *entry, const char *part)
{
    add_env(w, entry);
    assert_refused(w, part);
}

/* `part` is what follows the name of the file. */
static void assert_file_refused(struct world *w, const char *text, const char *part)
{
    char expected[256];

    use_file(w, text);
    (void)snprintf(expected, sizeof(expected), "%s%s", w->file, part);
    assert_refused(w, expected);
}

static char *printed(const struct el_conf *c)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    assert_non_null(out);
    el_conf_print(c, out);
    (void)fclose(out);
    return text;
}

static char *written_by(void (*writer)(enum el_conf_program, FILE *))
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    assert_non_null(out);
    writer(EL_CONF_ELIONODE, out);
    (void)fclose(out);
    return text;
}

/* ---- the table ---- */

static const struct {
    const char *section, *name, *alias;
    bool is_secret;
} table[] = {
#define EL_CONF_STR(s, n, d, r, a, h)          { #s, #n, a, false },
#define EL_CONF_SECRET(s, n, r, a, h)          { #s, #n, a, true },
#define EL_CONF_INT(s, n, d, lo, hi, r, a, h)  { #s, #n, a, false },
#define EL_CONF_REAL(s, n, d, lo, hi, r, a, h) { #s, #n, a, false },
#define EL_CONF_BOOL(s, n, d, r, a, h)         { #s, #n, a, false },
#define EL_CONF_ENUM(s, n, d, w, r, a, h)      { #s, #n, a, false },
#include "common/conf_list.h"
#undef EL_CONF_STR
#undef EL_CONF_SECRET
#undef EL_CONF_INT
#undef EL_CONF_REAL
#undef EL_CONF_BOOL
#undef EL_CONF_ENUM
};

static void variable_of(size_t i, char out[80])
{
    (void)snprintf(out, 80, "ELIOP2P_%s_%s", table[i].section, table[i].name);
    for (; *out != '\0'; out++) {
        if (*out >= 'a' && *out <= 'z')
            *out = (char)(*out - 'a' + 'A');
    }
}

static void no_variable_sets_two_keys(void **state)
{
    const char *names[2 * EL_COUNT(table)];
    char spelled[EL_COUNT(table)][80];
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < EL_COUNT(table); i++) {
        variable_of(i, spelled[i]);
        names[n++] = spelled[i];
        if (table[i].alias != NULL)
            names[n++] = table[i].alias;
    }
    for (size_t i = 0; i < n; i++) {
        assert_memory_equal(names[i], "ELIOP2P_", 8);
        assert_string_not_equal(names[i], "ELIOP2P_CONFIG");
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[i], names[k]);
    }
}

static void the_keys_of_a_section_stand_together(void **state)
{
    (void)state;
    for (size_t i = 1; i < EL_COUNT(table); i++) {
        for (size_t k = 0; strcmp(table[i].section, table[i - 1].section) != 0 && k < i; k++)
            assert_string_not_equal(table[k].section, table[i].section);
    }
}

static void words_stand_in_the_order_of_their_constants(void **state)
{
    static const struct {
        const char *word;
        unsigned value;
    } levels[] = { { "error", EL_ERROR },
                   { "warn", EL_WARN },
                   { "info", EL_INFO },
                   { "debug", EL_DEBUG } },
      types[] = { { "s3", EL_STORAGE_S3 }, { "oss", EL_STORAGE_OSS }, { "http", EL_STORAGE_HTTP } };
    struct world *w = *state;
    char arg[64];

    for (size_t i = 0; i < EL_COUNT(levels); i++) {
        (void)snprintf(arg, sizeof(arg), "--general.log_level=%s", levels[i].word);
        add_arg(w, arg);
        assert_loads(w);
        assert_int_equal(w->conf->general_log_level, levels[i].value);
        forget(w);
    }
    for (size_t i = 0; i < EL_COUNT(types); i++) {
        (void)snprintf(arg, sizeof(arg), "--storage.type=%s", types[i].word);
        add_arg(w, arg);
        assert_loads(w);
        assert_int_equal(w->conf->storage_type, types[i].value);
        forget(w);
    }
}

/* ---- where a value comes from ---- */

static void without_anything_each_key_has_its_default(void **state)
{
    struct world *w = *state;

    add_env(w, "PATH=/bin");
    add_env(w, "ELIO=no key of ours");
    assert_loads(w);
    assert_string_equal(w->conf->general_bind_address, "127.0.0.1");
    assert_string_equal(w->conf->general_node_id, "");
    assert_int_equal(w->conf->general_log_level, EL_INFO);
    assert_int_equal(w->conf->proxy_listen_port, 8080);
    assert_true(w->conf->cache_eviction_threshold == 0.8);
    assert_true(w->conf->cache_huge_pages);
    assert_false(w->conf->storage_insecure_tls);
    assert_null(w->asked.file);
    assert_false(w->asked.help || w->asked.version || w->asked.check || w->asked.print ||
                 w->asked.print_markdown);
}

static void the_command_line_wins_over_the_environment_and_that_over_the_file(void **state)
{
    struct world *w = *state;

    use_file(w, "[proxy]\nlisten_port = 1\nthreads = 2\ntls_port = 3\n");
    add_env(w, "ELIOP2P_PROXY_LISTEN_PORT=11");
    add_env(w, "ELIOP2P_PROXY_THREADS=12");
    add_arg(w, "--proxy.listen_port=21");
    assert_loads(w);
    assert_int_equal(w->conf->proxy_listen_port, 21);
    assert_int_equal(w->conf->proxy_threads, 12);
    assert_int_equal(w->conf->proxy_tls_port, 3);
    assert_int_equal(w->conf->admin_listen_port, 8082);
    assert_string_equal(w->asked.file, w->file);
}

static void of_two_equal_options_the_last_wins(void **state)
{
    struct world *w = *state;

    add_arg(w, "--proxy.threads=3");
    add_arg(w, "--proxy.threads=4");
    assert_loads(w);
    assert_int_equal(w->conf->proxy_threads, 4);
}

static void the_file_is_named_by_the_variable_unless_the_command_line_names_one(void **state)
{
    struct world *w = *state;
    char entry[64];

    write_file(w, EL_STR("[proxy]\nthreads = 5\n"));
    (void)snprintf(entry, sizeof(entry), "ELIOP2P_CONFIG=%s", w->file);
    add_env(w, entry);
    assert_loads(w);
    assert_int_equal(w->conf->proxy_threads, 5);
    assert_string_equal(w->asked.file, w->file);
    forget(w);

    add_env(w, "ELIOP2P_CONFIG=/does/not/exist");
    use_file(w, "[proxy]\nthreads = 6\n");
    assert_loads(w);
    assert_int_equal(w->conf->proxy_threads, 6);
}

static void each_key_is_set_by_its_option_its_variable_and_its_short_name(void **state)
{
    struct world *w = *state;
    char text[160], name[80];

    for (size_t i = 0; i < EL_COUNT(table); i++) {
        (void)snprintf(text, sizeof(text), "--%s.%s=\n", table[i].section, table[i].name);
        (void)snprintf(name, sizeof(name), table[i].is_secret ? "%s.%s" : "%s.%s = \"?\"",
                       table[i].section, table[i].name);
        assert_arg_refused(w, text, name);

        variable_of(i, name);
        (void)snprintf(text, sizeof(text), "%s=\n", name);
        assert_env_refused(w, text, name);
        if (table[i].alias != NULL) {
            (void)snprintf(text, sizeof(text), "%s=\n", table[i].alias);
            assert_env_refused(w, text, table[i].alias);
        }
    }
}

static void short_names_are_names(void **state)
{
    struct world *w = *state;

    add_env(w, "ELIOP2P_NODE_ID=rack7");
    add_env(w, "ELIOP2P_LOG_LEVEL=debug");
    add_env(w, "ELIOP2P_BIND_ADDRESS=0.0.0.0");
    add_env(w, "ELIOP2P_PROXY_PORT=0");
    add_env(w, "ELIOP2P_CACHE_MEMORY_SIZE=64");
    assert_loads(w);
    assert_string_equal(w->conf->general_node_id, "rack7");
    assert_int_equal(w->conf->general_log_level, EL_DEBUG);
    assert_string_equal(w->conf->general_bind_address, "0.0.0.0");
    assert_int_equal(w->conf->proxy_listen_port, 0);
    assert_int_equal(w->conf->cache_memory_cache_size_mb, 64);
}

static void two_variables_of_one_key_contradict_each_other(void **state)
{
    struct world *w = *state;

    add_env(w, "ELIOP2P_PROXY_PORT=1");
    add_env(w, "ELIOP2P_PROXY_LISTEN_PORT=2");
    assert_refused(w, "environment variable ELIOP2P_PROXY_LISTEN_PORT: another variable sets "
                      "proxy.listen_port already");
}

/* ---- what a value may be ---- */

static void a_bad_value_is_named_with_its_key_its_place_and_what_is_allowed(void **state)
{
    struct world *w = *state;

    assert_arg_refused(w, "--proxy.listen_port=65536",
                       "command line: proxy.listen_port = \"65536\": allowed is 0 to 65535");
    assert_env_refused(w, "ELIOP2P_LOG_LEVEL=loud",
                       "environment variable ELIOP2P_LOG_LEVEL: general.log_level = \"loud\": "
                       "allowed is error, warn, info, debug");
    assert_file_refused(w, "# first line\n[cache]\n\nchunk_size_mb = 8\n",
                        ":4: cache.chunk_size_mb = \"8\": allowed is 16 only");
    assert_file_refused(w, "[cache]\neviction_target = high\n",
                        ":2: cache.eviction_target = \"high\": allowed is 0 to 0.99");
    assert_env_refused(w, "ELIOP2P_STORAGE_HTTP2=maybe",
                       "storage.http2 = \"maybe\": allowed is true, false");
}

static void numbers_are_decimal_digits_within_their_range(void **state)
{
    static const char *const bad[] = {
        "",   "-1",  "+5",  " 5", "5 ",      "0x5",
        "5k", "5.0", "1e3", "99", "3600001", "18446744073709551616"
    };
    struct world *w = *state;
    char arg[80];

    for (size_t i = 0; i < EL_COUNT(bad); i++) {
        (void)snprintf(arg, sizeof(arg), "--proxy.head_timeout_ms=%s", bad[i]);
        assert_arg_refused(w, arg, "allowed is 100 to 3600000");
    }
    add_arg(w, "--proxy.head_timeout_ms=100");
    add_arg(w, "--proxy.idle_timeout_ms=3600000");
    add_arg(w, "--proxy.max_body_bytes=9223372036854775807");
    assert_loads(w);
    assert_int_equal(w->conf->proxy_head_timeout_ms, 100);
    assert_int_equal(w->conf->proxy_idle_timeout_ms, 3600000);
    assert_true(w->conf->proxy_max_body_bytes == INT64_MAX);
}

static void fractions_are_read_to_the_end_and_kept_within_their_range(void **state)
{
    static const char *const bad[] = { "",    ".",     " 1",   "1 ",       "0.5x", "nan",
                                       "inf", "1e999", "-0.1", "100.0001", "0,5" };
    struct world *w = *state;
    char arg[80];

    for (size_t i = 0; i < EL_COUNT(bad); i++) {
        (void)snprintf(arg, sizeof(arg), "--cache.weight_heat=%s", bad[i]);
        assert_arg_refused(w, arg, "allowed is 0 to 100");
    }
    add_arg(w, "--cache.weight_heat=.25");
    add_arg(w, "--cache.weight_time=1e2");
    add_arg(w, "--cache.weight_replicas=0");
    assert_loads(w);
    assert_true(w->conf->cache_weight_heat == 0.25);
    assert_true(w->conf->cache_weight_time == 100.0);
    assert_true(w->conf->cache_weight_replicas == 0.0);
}

static void truth_has_four_spellings_and_so_has_its_contrary(void **state)
{
    static const char *const spellings[] = { "true",  "yes", "on",  "1", "TRUE", "On",
                                             "false", "no",  "off", "0", "No",   "FALSE" };
    struct world *w = *state;
    char arg[80];

    for (size_t i = 0; i < EL_COUNT(spellings); i++) {
        (void)snprintf(arg, sizeof(arg), "--proxy.http2=%s", spellings[i]);
        add_arg(w, arg);
        assert_loads(w);
        assert_int_equal(w->conf->proxy_http2, i < EL_COUNT(spellings) / 2);
        forget(w);
    }
    assert_arg_refused(w, "--proxy.http2=", "allowed is true, false");
    assert_arg_refused(w, "--proxy.http2=2", "allowed is true, false");
    assert_arg_refused(w, "--proxy.http2=yess", "allowed is true, false");
}

static void a_part_of_a_word_is_no_word(void **state)
{
    struct world *w = *state;

    assert_arg_refused(w, "--general.log_level=", "allowed is error, warn, info, debug");
    assert_arg_refused(w, "--general.log_level=inf", "allowed is error, warn, info, debug");
    assert_arg_refused(w, "--general.log_level=error|warn", "allowed is error, warn, info, debug");
}

static void text_with_control_bytes_is_refused_and_not_repeated(void **state)
{
    struct world *w = *state;

    assert_env_refused(w, "ELIOP2P_NODE_ID=a\r\nX: \x1b[2Jb",
                       "general.node_id = \"a??X: ?[2Jb\": allowed is printable text");
    add_env(w, "ELIOP2P_NODE_ID=b\xc3\xa4r = \"x\"");
    assert_loads(w);
    assert_string_equal(w->conf->general_node_id, "b\xc3\xa4r = \"x\"");
}

static void of_a_long_bad_value_the_beginning_is_shown(void **state)
{
    struct world *w = *state;
    char arg[1024];
    size_t n = (size_t)snprintf(arg, sizeof(arg), "--proxy.threads=");

    memset(arg + n, '9', sizeof(arg) - n);
    arg[sizeof(arg) - 1] = '\0';
    assert_arg_refused(w, arg, "999...\": allowed is 0 to 256");
}

static void eviction_stops_below_where_it_starts(void **state)
{
    struct world *w = *state;

    add_arg(w, "--cache.eviction_threshold=0.5");
    add_arg(w, "--cache.eviction_target=0.5");
    assert_refused(w, "cache.eviction_target = 0.5 has to be below cache.eviction_threshold = 0.5");
    add_arg(w, "--cache.eviction_threshold=0.5");
    add_arg(w, "--cache.eviction_target=0.49");
    assert_loads(w);
}

static void certificate_and_key_come_together(void **state)
{
    struct world *w = *state;

    assert_arg_refused(w, "--proxy.tls_cert=c.pem", "proxy.tls_cert and proxy.tls_key");
    assert_arg_refused(w, "--proxy.tls_key=k.pem", "proxy.tls_cert and proxy.tls_key");
    add_arg(w, "--proxy.tls_cert=c.pem");
    add_env(w, "ELIOP2P_PROXY_TLS_KEY=k.pem");
    assert_loads(w);
}

/* ---- the command line ---- */

static void what_is_no_option_is_refused(void **state)
{
    static const char *const bad[] = { "",
                                       "-",
                                       "--",
                                       "--.=",
                                       "get",
                                       "-h",
                                       "--proxy=1",
                                       "--proxy.thread=1",
                                       "--.=1",
                                       "--proxy.=1",
                                       "--x.y.z=1",
                                       "--help=1",
                                       "---proxy.threads=1" };
    struct world *w = *state;

    for (size_t i = 0; i < EL_COUNT(bad); i++)
        assert_arg_refused(w, bad[i], "see --help");
    assert_arg_refused(w, "--cache.size=1", "\"--cache.size\" is no option");
}

static void a_value_in_an_argument_of_its_own_is_refused(void **state)
{
    struct world *w = *state;

    add_arg(w, "--proxy.threads");
    add_arg(w, "4");
    assert_refused(w, "\"--proxy.threads\" wants its value behind a =");
    add_arg(w, "--config");
    add_arg(w, "elionode.conf");
    assert_refused(w, "\"--config\" wants its value behind a =");
}

static void an_empty_value_is_a_value(void **state)
{
    struct world *w = *state;

    add_arg(w, "--general.bind_address=");
    add_arg(w, "--general.node_id=a=b");
    assert_loads(w);
    assert_string_equal(w->conf->general_bind_address, "");
    assert_string_equal(w->conf->general_node_id, "a=b");
}

static void switches_are_reported(void **state)
{
    struct world *w = *state;

    add_arg(w, "--check-config");
    add_arg(w, "--print-config");
    add_arg(w, "--proxy.threads=7");
    assert_loads(w);
    assert_true(w->asked.check && w->asked.print);
    assert_false(w->asked.help || w->asked.version || w->asked.print_markdown);
    assert_int_equal(w->conf->proxy_threads, 7);
}

static void help_is_given_even_when_the_rest_is_wrong(void **state)
{
    static const char *const switches[] = { "--help", "--version", "--print-config-markdown" };
    struct world *w = *state;

    for (size_t i = 0; i < EL_COUNT(switches); i++) {
        add_arg(w, "--config=/does/not/exist");
        add_arg(w, switches[i]);
        add_env(w, "ELIOP2P_TYPO=1");
        assert_loads(w);
        assert_int_equal(w->asked.help, i == 0);
        assert_int_equal(w->asked.version, i == 1);
        assert_int_equal(w->asked.print_markdown, i == 2);
        forget(w);
    }
}

/* ---- the environment ---- */

static void a_variable_of_ours_that_names_no_key_is_refused(void **state)
{
    struct world *w = *state;

    assert_env_refused(w, "ELIOP2P_PROXY_THREAD=1",
                       "environment variable ELIOP2P_PROXY_THREAD: there is no such key");
    assert_env_refused(w, "ELIOP2P_=1", "environment variable ELIOP2P_: there is no such key");
    assert_env_refused(w, "ELIOP2P_proxy_threads=1", "there is no such key");
    assert_env_refused(w, "ELIOP2P_CONFIGS=1", "there is no such key");
}

/* ---- the file ---- */

static void comments_blanks_and_the_ends_of_lines_do_not_matter(void **state)
{
    struct world *w = *state;

    use_file(w, "\xef\xbb\xbf[proxy]\r\n; a comment\r\n  # another\r\n\r\n"
                "threads=3\r\n  tls_port   =  4  ; why\r\n\tlisten_port = 5\r\n"
                " [admin]\nbind_address =\nlisten_port = 6");
    assert_loads(w);
    assert_int_equal(w->conf->proxy_threads, 3);
    assert_int_equal(w->conf->proxy_tls_port, 4);
    assert_int_equal(w->conf->proxy_listen_port, 5);
    assert_int_equal(w->conf->admin_listen_port, 6);
    assert_string_equal(w->conf->admin_bind_address, "");
}

static void an_unknown_key_is_named_with_its_line(void **state)
{
    struct world *w = *state;

    assert_file_refused(w, "[proxy]\nthreads = 1\nthread = 2\n",
                        ":3: there is no key proxy.thread");
    assert_file_refused(w, "[cahce]\nfreshness_s = 1\n", ":2: there is no key cahce.freshness_s");
    assert_file_refused(w, "threads = 1\n", ":1: threads stands before the first [section]");
}

static void a_key_that_a_file_sets_twice_is_refused(void **state)
{
    struct world *w = *state;

    assert_file_refused(w, "[proxy]\nthreads = 1\n[cache]\n[proxy]\nthreads = 1\n",
                        ":5: proxy.threads is set again");
}

static void a_line_that_is_neither_section_nor_pair_is_refused(void **state)
{
    struct world *w = *state;

    assert_file_refused(w, "[proxy]\nthreads\n", ":2: neither [section] nor key = value");
    assert_file_refused(w, "[proxy]\nthreads = 1\n[cache\n", ":3: neither [section] nor");
}

static void of_several_mistakes_the_first_is_reported(void **state)
{
    struct world *w = *state;

    assert_file_refused(w, "[proxy]\nthreads = x\ntls_port = 1\nnonsense\ntls_port = y\n",
                        ":2: proxy.threads = \"x\"");
    assert_file_refused(w, "[proxy]\nnonsense\nthreads = x\n", ":2: neither [section] nor");
    assert_file_refused(w, "[proxy\nthreads = 1\n", ":1: neither [section] nor");
}

static void a_list_goes_on_in_indented_lines_after_a_comma(void **state)
{
    struct world *w = *state;

    use_file(w, "[proxy]\n"
                "allow_hosts = a.example,\n"
                "    b.example,   ; the second\n"
                "\n"
                "    # the third\n"
                "    http://c.example:80=,\n"
                "\t*.d.example\n"
                "    deny_hosts = e.example,\n"
                "threads = 2\n");
    assert_loads(w);
    assert_string_equal(w->conf->proxy_allow_hosts,
                        "a.example,b.example,http://c.example:80=,*.d.example");
    assert_string_equal(w->conf->proxy_deny_hosts, "e.example,");
    assert_int_equal(w->conf->proxy_threads, 2);
}

static void an_indented_line_changes_no_value_that_is_complete(void **state)
{
    struct world *w = *state;

    assert_file_refused(w, "[proxy]\ndeny_hosts = a.example\n    b.example\n",
                        ":3: neither [section] nor key = value");
    assert_file_refused(w, "[proxy]\ndeny_hosts = a,\n    b\n    c\n",
                        ":4: neither [section] nor key = value");
    assert_file_refused(w, "[proxy]\ndeny_hosts = a,\n[cache]\n    b\n",
                        ":4: neither [section] nor key = value");
}

static void a_line_that_is_too_long_is_refused_not_cut(void **state)
{
    struct world *w = *state;
    struct el_buf text = { 0 };

    el_buf_addf(&text, "[proxy]\ndeny_hosts = ");
    for (int i = 0; i < 300; i++)
        el_buf_add_byte(&text, 'a');
    assert_file_refused(w, text.p, ":2: the line is too long");
    el_buf_add_str(&text, EL_STR("\nthreads = 1\n"));
    assert_file_refused(w, text.p, ":2: the line is too long");
    el_buf_deinit(&text);
}

static void a_long_comment_is_a_comment(void **state)
{
    struct world *w = *state;
    struct el_buf text = { 0 };

    el_buf_addf(&text, "[proxy]\n  # ");
    for (int i = 0; i < 100; i++)
        el_buf_add_str(&text, EL_STR("threads = 9, "));
    el_buf_add_str(&text, EL_STR("\nthreads = bad\n"));
    assert_file_refused(w, text.p, ":3: proxy.threads = \"bad\"");
    el_buf_deinit(&text);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    struct world *w = *state;
    char option[64];

    write_file(w, EL_STR("[proxy]\nthreads\0 = 1\ntls_port = 1\n"));
    (void)snprintf(option, sizeof(option), "--config=%s", w->file);
    add_arg(w, option);
    assert_refused(w, ":2: ");
    assert_file_refused(w, "[general]\nnode_id = a\x01z\n", ":2: general.node_id = \"a?z\"");
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    struct world *w = *state;

    assert_arg_refused(w, "--config=/does/not/exist", "\"/does/not/exist\": No such file");
    assert_arg_refused(w, "--config=/tmp", "\"/tmp\": Is a directory");
    assert_arg_refused(w, "--config=", "\"\": No such file");
    assert_env_refused(w, "ELIOP2P_CONFIG=/does/not/exist", "\"/does/not/exist\": No such file");
}

/* ---- what is printed ---- */

static void what_is_printed_reads_back_as_the_same(void **state)
{
    struct world *w = *state;
    struct el_buf hosts = { 0 };
    char *first, *second;

    el_buf_add_str(&hosts, EL_STR("--proxy.allow_hosts="));
    for (int i = 0; i < 100; i++)
        el_buf_addf(&hosts, "%shost-%d.example", i == 0 ? "" : ",", i);
    add_arg(w, hosts.p);
    add_arg(w, "--proxy.deny_hosts=a.example,b.example,");
    add_arg(w, "--cache.weight_heat=0.12345678901234567");
    add_arg(w, "--cache.weight_time=0.1");
    add_arg(w, "--general.log_level=debug");
    add_arg(w, "--proxy.http2=yes");
    assert_loads(w);
    first = printed(w->conf);
    forget(w);

    use_file(w, first);
    assert_loads(w);
    second = printed(w->conf);
    assert_string_equal(w->conf->proxy_allow_hosts, hosts.p + sizeof("--proxy.allow_hosts=") - 1);
    assert_string_equal(w->conf->proxy_deny_hosts, "a.example,b.example,");
    assert_true(w->conf->cache_weight_heat == 0.12345678901234567);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "\nweight_time = 0.1\n"));
    assert_non_null(strstr(first, "\nlog_level = debug\n"));
    assert_non_null(strstr(first, "\nhttp2 = true\n"));
    free(first);
    free(second);
    el_buf_deinit(&hosts);
}

static void every_key_is_printed_under_its_section(void **state)
{
    struct world *w = *state;
    char *text, *at, line[80];

    assert_loads(w);
    text = at = printed(w->conf);
    assert_memory_equal(text, "[general]\nnode_id =\nlog_level = info\n", 36);
    for (size_t i = 0; i < EL_COUNT(table); i++) {
        if (i > 0 && strcmp(table[i].section, table[i - 1].section) != 0) {
            (void)snprintf(line, sizeof(line), "\n\n[%s]\n", table[i].section);
            at = strstr(at, line);
            assert_non_null(at);
        }
        (void)snprintf(line, sizeof(line), "\n%s =", table[i].name);
        at = strstr(at, line);
        assert_non_null(at);
    }
    free(text);
}

static void help_names_every_key_within_100_columns(void **state)
{
    char *text = written_by(el_conf_help_of);
    struct el_str rest = el_str_of(text), line;
    char part[80];

    (void)state;
    assert_memory_equal(text, "usage: elionode [--section.key=VALUE ...]", 41);
    for (size_t i = 0; i < EL_COUNT(table); i++) {
        (void)snprintf(part, sizeof(part), "  --%s.%s=", table[i].section, table[i].name);
        assert_non_null(strstr(text, part));
        variable_of(i, part);
        assert_non_null(strstr(text, part));
        if (table[i].alias != NULL)
            assert_non_null(strstr(text, table[i].alias));
    }
    while (el_str_split(&rest, '\n', &line))
        assert_true(line.n <= 100);
    free(text);
}

static void the_tables_have_a_row_for_every_key(void **state)
{
    char *text = written_by(el_conf_markdown_of), *at = text;
    char part[80];

    (void)state;
    for (size_t i = 0; i < EL_COUNT(table); i++) {
        if (i == 0 || strcmp(table[i].section, table[i - 1].section) != 0) {
            (void)snprintf(part, sizeof(part), "### %s\n\n| key | default | allowed |",
                           table[i].section);
            at = strstr(at, part);
            assert_non_null(at);
        }
        (void)snprintf(part, sizeof(part), "\n| `%s.%s` | ", table[i].section, table[i].name);
        at = strstr(at, part);
        assert_non_null(at);
    }
    assert_non_null(strstr(text, "\n| `proxy.listen_port` | `8080` | 0 to 65535 | "
                                 "`ELIOP2P_PROXY_LISTEN_PORT`, `ELIOP2P_PROXY_PORT` | restart | "
                                 "proxy and gateway port; 0: any free one |\n"));
    assert_non_null(strstr(text, "\n| `proxy.tls_key` | empty | printable text | "
                                 "`ELIOP2P_PROXY_TLS_KEY` | reload | "));
    free(text);
}

/* ---- reload ---- */

static struct el_buf told;

static void on_fixed(void *arg, const char *key)
{
    (void)arg;
    el_buf_addf(&told, "%s ", key);
}

/* ---- secrets ---- */

static void a_secret_comes_from_file_and_environment_and_is_not_shown(void **state)
{
    struct world *w = *state;
    struct el_buf printed = { 0 };
    FILE *out;

    use_file(w, "[storage]\nsecret_key = from-the-file\naccess_key = AKID\n");
    add_env(w, "ELIOP2P_STORAGE_SECRET_KEY=from-the-environment");
    assert_loads(w);
    assert_true(
        el_str_eq(el_secret_get(&w->conf->storage_secret_key), EL_STR("from-the-environment")));
    assert_true(el_str_eq(el_secret_get(&w->conf->storage_access_key), EL_STR("AKID")));
    assert_int_equal(el_secret_get(&w->conf->storage_session_token).n, 0);
    out = open_memstream(&printed.p, &printed.n);
    assert_non_null(out);
    el_conf_print(w->conf, out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(printed.p, "secret_key = ***\nsession_token =\n"));
    assert_null(strstr(printed.p, "from-the"));
    free(printed.p);
}

static void a_secret_is_refused_on_the_command_line_and_is_not_repeated(void **state)
{
    struct world *w = *state;

    add_arg(w, "--storage.secret_key=hunter2");
    assert_int_equal(load(w), EL_ECONF);
    assert_says(w, "storage.secret_key");
    assert_says(w, "environment");
    assert_null(strstr(w->err.text, "hunter2"));
    forget(w);
    add_env(w, "ELIOP2P_STORAGE_SECRET_KEY=hunter2\x07");
    assert_int_equal(load(w), EL_ECONF);
    assert_says(w, "STORAGE_SECRET_KEY");
    assert_null(strstr(w->err.text, "hunter2"));
}

static void a_reload_takes_what_may_change_and_names_the_rest(void **state)
{
    struct world *w = *state, *fresh;
    void *other;

    assert_int_equal(set_up(&other), 0);
    fresh = other;
    assert_loads(w);
    add_arg(fresh, "--general.log_level=debug");
    add_arg(fresh, "--general.node_id=other");
    add_arg(fresh, "--cache.freshness_s=77");
    add_arg(fresh, "--cache.eviction_target=0.25");
    add_arg(fresh, "--proxy.listen_port=81");
    add_arg(fresh, "--proxy.connect_ports=443,8443");
    add_arg(fresh, "--proxy.http2=on");
    add_arg(fresh, "--storage.type=http");
    assert_loads(fresh);

    el_conf_reload(w->conf, fresh->conf, on_fixed, NULL);
    (void)tear_down(&other);
    assert_string_equal(told.p, "general.node_id cache.eviction_target proxy.listen_port "
                                "proxy.http2 storage.type ");
    assert_int_equal(w->conf->general_log_level, EL_DEBUG);
    assert_int_equal(w->conf->cache_freshness_s, 77);
    assert_string_equal(w->conf->proxy_connect_ports, "443,8443");
    assert_string_equal(w->conf->general_node_id, "");
    assert_int_equal(w->conf->proxy_listen_port, 8080);
    assert_false(w->conf->proxy_http2);
    assert_int_equal(w->conf->storage_type, EL_STORAGE_S3);
    el_buf_deinit(&told);
}

static void a_reload_without_a_change_tells_nothing(void **state)
{
    struct world *w = *state;

    assert_loads(w);
    el_conf_reload(w->conf, w->conf, on_fixed, NULL);
    assert_int_equal(told.n, 0);
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_variable_sets_two_keys),
        cmocka_unit_test(the_keys_of_a_section_stand_together),
        WORLD_TEST(words_stand_in_the_order_of_their_constants),
        WORLD_TEST(without_anything_each_key_has_its_default),
        WORLD_TEST(the_command_line_wins_over_the_environment_and_that_over_the_file),
        WORLD_TEST(of_two_equal_options_the_last_wins),
        WORLD_TEST(the_file_is_named_by_the_variable_unless_the_command_line_names_one),
        WORLD_TEST(each_key_is_set_by_its_option_its_variable_and_its_short_name),
        WORLD_TEST(short_names_are_names),
        WORLD_TEST(two_variables_of_one_key_contradict_each_other),
        WORLD_TEST(a_bad_value_is_named_with_its_key_its_place_and_what_is_allowed),
        WORLD_TEST(numbers_are_decimal_digits_within_their_range),
        WORLD_TEST(fractions_are_read_to_the_end_and_kept_within_their_range),
        WORLD_TEST(truth_has_four_spellings_and_so_has_its_contrary),
        WORLD_TEST(a_part_of_a_word_is_no_word),
        WORLD_TEST(text_with_control_bytes_is_refused_and_not_repeated),
        WORLD_TEST(of_a_long_bad_value_the_beginning_is_shown),
        WORLD_TEST(eviction_stops_below_where_it_starts),
        WORLD_TEST(certificate_and_key_come_together),
        WORLD_TEST(what_is_no_option_is_refused),
        WORLD_TEST(a_value_in_an_argument_of_its_own_is_refused),
        WORLD_TEST(an_empty_value_is_a_value),
        WORLD_TEST(switches_are_reported),
        WORLD_TEST(help_is_given_even_when_the_rest_is_wrong),
        WORLD_TEST(a_variable_of_ours_that_names_no_key_is_refused),
        WORLD_TEST(comments_blanks_and_the_ends_of_lines_do_not_matter),
        WORLD_TEST(an_unknown_key_is_named_with_its_line),
        WORLD_TEST(a_key_that_a_file_sets_twice_is_refused),
        WORLD_TEST(a_line_that_is_neither_section_nor_pair_is_refused),
        WORLD_TEST(of_several_mistakes_the_first_is_reported),
        WORLD_TEST(a_list_goes_on_in_indented_lines_after_a_comma),
        WORLD_TEST(an_indented_line_changes_no_value_that_is_complete),
        WORLD_TEST(a_line_that_is_too_long_is_refused_not_cut),
        WORLD_TEST(a_long_comment_is_a_comment),
        WORLD_TEST(bytes_that_are_no_text_are_refused),
        WORLD_TEST(a_file_that_cannot_be_read_is_an_error),
        WORLD_TEST(what_is_printed_reads_back_as_the_same),
        WORLD_TEST(every_key_is_printed_under_its_section),
        cmocka_unit_test(help_names_every_key_within_100_columns),
        cmocka_unit_test(the_tables_have_a_row_for_every_key),
        WORLD_TEST(a_secret_comes_from_file_and_environment_and_is_not_shown),
        WORLD_TEST(a_secret_is_refused_on_the_command_line_and_is_not_repeated),
        WORLD_TEST(a_reload_takes_what_may_change_and_names_the_rest),
        WORLD_TEST(a_reload_without_a_change_tells_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
