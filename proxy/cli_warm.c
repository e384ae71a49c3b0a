/* SPDX-License-Identifier: MIT */
/*
 * cli_warm: `elionode warm` gives the node lists of URLs to fetch and watches until they are there.
 * The node does the work: when this program is interrupted it goes on.
 */
#include "proxy/cli_own.h"

#include <inttypes.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "common/file.h"
#include "proxy/warm_list.h"

#define MAX_LIST_BYTES   (64 * EL_MIB)
#define MAX_BATCH_BYTES  ((size_t)512 * 1024) /* of URLs in one call, which may have 1 MiB */
#define MAX_HEADER_BYTES 65536
#define POLL_FIRST_MS    20 /* doubles */
#define POLL_LAST_MS     500

static volatile sig_atomic_t is_interrupted;

struct warm {
    struct el_cli_conf conf;
    struct el_cli *api;
    const char *header_file;
    uint64_t concurrency; /* 0: the node's choice */
    bool is_json, leaves;
    json_t *urls;    /* all of them */
    json_t *headers; /* NULL: none */
    size_t sent;     /* of the URLs */

    char *id; /* of the operation that runs; owned */
    bool has_failed, has_progress;
};

static int usage_error(const struct warm *w, const char *what, const char *detail)
{
    (void)el_cli_complain(&w->conf, "%s%s (see elionode warm --help)", what, detail);
    return EL_CLI_USAGE;
}

/* ---- what is to be fetched ---- */

static int add_url(struct warm *w, struct el_str url)
{
    json_t *string = json_stringn(url.p, url.n);

    if (string == NULL)
        return el_cli_complain(&w->conf, "a URL is not UTF-8");
    EL_ASSERT(json_array_append_new(w->urls, string) == 0);
    return EL_CLI_OK;
}

/* One in a line; empty lines and those that begin with '#' say nothing. */
static int add_lines(struct warm *w, struct el_str text)
{
    struct el_str line;
    int rc = EL_CLI_OK;

    while (rc == EL_CLI_OK && el_str_split(&text, '\n', &line)) {
        line = el_str_trim(el_str_first(line, el_str_find(line, '\r')));
        if (line.n > 0 && line.p[0] != '#')
            rc = add_url(w, line);
    }
    return rc;
}

static int add_file(struct warm *w)
{
    struct el_buf text = { 0 };
    struct el_error err = { 0 };
    int rc;

    if (el_file_read("the list", "/dev/stdin", MAX_LIST_BYTES, &text, NULL, &err) != EL_OK)
        rc = el_cli_complain(&w->conf, "%s", err.text);
    else
        rc = add_lines(w, el_buf_str(&text));
    el_buf_deinit(&text);
    return rc;
}

/* "Name: value" in each line. */
static int add_headers(struct warm *w)
{
    struct el_buf text = { 0 };
    struct el_error err = { 0 };
    struct el_str rest, line;
    int rc = EL_CLI_OK;

    if (w->header_file == NULL)
        return EL_CLI_OK;
    w->headers = el_json_new();
    if (el_file_read("--header-file", w->header_file, MAX_HEADER_BYTES, &text, NULL, &err) != EL_OK)
        rc = el_cli_complain(&w->conf, "%s", err.text);
    rest = el_buf_str(&text);
    while (rc == EL_CLI_OK && el_str_split(&rest, '\n', &line)) {
        size_t colon = el_str_find(line, ':');
        char name[128];

        line = el_str_first(line, el_str_find(line, '\r'));
        if (line.n == 0)
            continue;
        if (colon >= line.n || colon >= sizeof(name))
            rc = el_cli_complain(&w->conf, "a line of %s is not NAME: VALUE", w->header_file);
        (void)snprintf(name, sizeof(name), "%.*s", (int)el_min_size(colon, sizeof(name) - 1),
                       line.p);
        el_json_add_str(w->headers, name, el_str_trim(el_str_from(line, colon + 1)));
    }
    el_buf_deinit(&text);
    return rc;
}

/* ---- one list ---- */

static json_t *next_batch(struct warm *w)
{
    json_t *body = el_json_new(), *urls = el_json_child_list(body, "urls");
    size_t n = json_array_size(w->urls), bytes = 0;

    for (size_t i = 0; w->sent < n && i < PROXY_WARM_MAX_URLS; i++) {
        json_t *url = json_array_get(w->urls, w->sent);

        bytes += json_string_length(url) + 8;
        if (i > 0 && bytes > MAX_BATCH_BYTES)
            break;
        EL_ASSERT(json_array_append(urls, url) == 0);
        w->sent++;
    }
    if (w->headers != NULL)
        EL_ASSERT(json_object_set(body, "headers", w->headers) == 0);
    if (w->concurrency > 0)
        el_json_add_u64(body, "concurrency", w->concurrency);
    return body;
}

static int start_batch(struct warm *w, json_t **ret_root)
{
    struct el_buf body = { 0 };
    struct el_cli_call call = { .method = "POST", .path = "/api/v1/cache/warm" };
    const char *id;
    int rc;

    el_json_write(&body, next_batch(w));
    call.body = el_buf_str(&body);
    rc = el_cli_ask(w->api, &call, ret_root);
    el_buf_deinit(&body);
    if (rc != EL_CLI_OK)
        return rc;
    id = json_string_value(json_object_get(*ret_root, "id"));
    if (id == NULL)
        return el_cli_complain(&w->conf, "the node's answer has no id");
    free(w->id);
    w->id = el_strndup(id, strlen(id));
    return EL_CLI_OK;
}

static void draw(const struct warm *w, const json_t *root)
{
    char bytes[16];

    if (!w->has_progress)
        return;
    proxy_cli_format_bytes((double)json_integer_value(json_object_get(root, "bytes")), bytes);
    (void)fprintf(stderr, "\r\x1b[K%" PRId64 " of %" PRId64 ", %s",
                  (int64_t)json_integer_value(json_object_get(root, "finished")),
                  (int64_t)json_integer_value(json_object_get(root, "total")), bytes);
}

static void pause_ms(long ms)
{
    const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    (void)nanosleep(&t, NULL); /* a signal ends it early, which is what it is for */
}

static int interrupted(const struct warm *w)
{
    return el_cli_complain(&w->conf,
                           "interrupted; the node goes on: elionode operation %s, elionode "
                           "cancel %s",
                           w->id, w->id);
}

/* Until it is over. */
static int watch(struct warm *w, json_t **ret_root)
{
    struct el_buf path = { 0 };
    struct el_cli_call call = { .method = "GET" };
    long ms = POLL_FIRST_MS;
    int rc;

    el_buf_addf(&path, "/api/v1/operations/%s", w->id);
    call.path = path.p;
    for (;;) {
        const char *state;

        json_decref(*ret_root);
        *ret_root = NULL;
        rc = el_cli_ask(w->api, &call, ret_root);
        state = json_string_value(json_object_get(*ret_root, "state"));
        if (rc == EL_CLI_OK)
            draw(w, *ret_root);
        if (rc != EL_CLI_OK || state == NULL || strcmp(state, "running") != 0)
            break;
        pause_ms(ms);
        ms = ms * 2 > POLL_LAST_MS ? POLL_LAST_MS : ms * 2;
        if (is_interrupted) {
            rc = interrupted(w);
            break;
        }
    }
    if (w->has_progress)
        (void)fputs("\r\x1b[K", stderr);
    el_buf_deinit(&path);
    return rc;
}

static void report(struct warm *w, const json_t *root)
{
    struct el_str answer = el_cli_answer(w->api);
    const char *state = json_string_value(json_object_get(root, "state"));

    if (w->is_json)
        (void)fwrite(answer.p, 1, answer.n, stdout);
    else if (w->leaves)
        (void)printf("%s\n", w->id);
    else
        proxy_cli_print_operation(root, stdout);
    w->has_failed |= !w->leaves && (state == NULL || strcmp(state, "done") != 0 ||
                                    json_integer_value(json_object_get(root, "failed")) > 0);
}

static int run_batch(struct warm *w)
{
    json_t *root = NULL;
    int rc = start_batch(w, &root);

    if (rc == EL_CLI_OK && !w->leaves)
        rc = watch(w, &root);
    if (rc == EL_CLI_OK)
        report(w, root);
    json_decref(root);
    return rc;
}

static int run(struct warm *w)
{
    int rc = add_headers(w);

    if (rc == EL_CLI_OK)
        rc = el_cli_new(&w->conf, &w->api);
    while (rc == EL_CLI_OK && w->sent < json_array_size(w->urls))
        rc = run_batch(w);
    if (rc == EL_CLI_OK)
        rc = el_cli_flush(&w->conf);
    return rc == EL_CLI_OK && w->has_failed ? EL_CLI_FAILED : rc;
}

/* ---- the command line ---- */

static void on_signal(int sig)
{
    (void)sig;
    is_interrupted = 1;
}

static void print_usage(void)
{
    (void)printf(
        "usage: elionode warm URL...|- [--header-file=FILE] [--concurrency=N] [--leave]\n"
        "                     [--admin=HOST:PORT] [--token-file=FILE] [--json]\n"
        "\n"
        "Has a running node fetch the URLs into its cache, and waits until they are there.\n"
        "- reads them from standard input, one in a line.\n"
        "\n"
        "  --header-file=FILE lines NAME: VALUE to send with each request\n"
        "  --concurrency=N    requests at a time (1 to %d, default %d)\n"
        "  --leave            prints the operation's id and does not wait\n",
        PROXY_WARM_MAX_CONCURRENCY, PROXY_WARM_CONCURRENCY);
    proxy_cli_node_usage(stdout);
    (void)printf(
        "\nExit codes: 0 all are there, 1 failed, 2 usage, 3 the node cannot be reached.\n");
}

/* -1: go on; otherwise the exit code. */
static int parse_word(struct warm *w, const char *word)
{
    if (el_cli_option(&w->conf, word))
        return -1;
    if (strcmp(word, "--json") == 0)
        w->is_json = true;
    else if (strcmp(word, "--leave") == 0)
        w->leaves = true;
    else if (strncmp(word, "--header-file=", 14) == 0 && word[14] != '\0')
        w->header_file = word + 14;
    else if (strncmp(word, "--concurrency=", 14) == 0)
        return el_str_u64(el_str_of(word + 14), PROXY_WARM_MAX_CONCURRENCY, &w->concurrency) &&
                       w->concurrency > 0
                   ? -1
                   : usage_error(w, "--concurrency wants a number: ", word);
    else if (strcmp(word, "-") == 0)
        return add_file(w) == EL_CLI_OK ? -1 : EL_CLI_FAILED;
    else if (word[0] == '-')
        return usage_error(w, "unknown option ", word);
    else
        return add_url(w, el_str_of(word)) == EL_CLI_OK ? -1 : EL_CLI_USAGE;
    return -1;
}

/* -1: go on; otherwise the exit code. */
static int parse(struct warm *w, int argc, char *const argv[])
{
    int rc = -1;

    for (int i = 2; i < argc && rc < 0; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_usage();
            return EL_CLI_OK;
        }
        rc = parse_word(w, argv[i]);
    }
    if (rc < 0 && json_array_size(w->urls) == 0)
        return usage_error(w, "which URLs?", "");
    return rc;
}

int proxy_cli_warm_run(int argc, char *const argv[])
{
    const struct sigaction action = { .sa_handler = on_signal };
    struct warm w = { .conf = { .program = &proxy_cli_program, .verb = "warm" },
                      .urls = json_array() };
    int rc;

    EL_ASSERT(w.urls != NULL);
    is_interrupted = 0;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    w.has_progress = isatty(STDERR_FILENO) == 1;
    rc = parse(&w, argc, argv);
    if (rc < 0)
        rc = run(&w);
    el_cli_free(w.api);
    json_decref(w.urls);
    json_decref(w.headers);
    free(w.id);
    return rc;
}
