/* SPDX-License-Identifier: MIT */
/*
 * cli_node: the sub commands that ask the node API: a word of the command line becomes one request,
 * its answer a few lines for people (cli_print.c), or stays the JSON that it is.
 */
#include "proxy/cli_own.h"

#include <stdarg.h>

#include <curl/curl.h>

#include "common/file.h"

#define DEFAULT_ADMIN    "127.0.0.1:8082"
#define TOKEN_VARIABLE   "ELIOP2P_ADMIN_TOKEN"
#define MAX_TOKEN_FILE   65536
#define CONNECT_S        10L
#define ANSWER_S         90L /* longer than the node keeps an answer back */
#define MAX_ANSWER_BYTES ((size_t)64 * EL_MIB)

struct command {
    const char *verb, *path;
    bool is_post, wants_url, takes_prefix;
    void (*print)(const json_t *root, FILE *out);
    const char *synopsis, *what;
};

static const struct command commands[] = {
    { "status", "/api/v1/status", false, false, false, proxy_cli_print_status, "status",
      "what the node is doing, and how full its tiers are" },
    { "stat", "/api/v1/cache/stat", false, true, false, proxy_cli_print_stat, "stat URL",
      "what is cached of URL: how much, where, how hot" },
    { "purge", "/api/v1/cache/purge", true, true, true, proxy_cli_print_purge,
      "purge URL | purge --prefix=URL", "forget URL, or all that begins so" },
    { "pin", "/api/v1/cache/pin", true, true, false, proxy_cli_print_pin, "pin URL",
      "keep what is cached of URL" },
    { "unpin", "/api/v1/cache/unpin", true, true, false, proxy_cli_print_pin, "unpin URL",
      "no longer" },
};

/* One request and its answer. */
struct ask {
    const struct command *command;
    const char *url, *prefix, *admin, *token_file;
    bool is_json;

    CURL *curl;
    char curl_error[CURL_ERROR_SIZE];
    struct curl_slist *fields; /* of the request */
    struct el_buf answer;
    long status;
};

static int complain(const struct ask *a, const char *fmt, ...) EL_PRINTF(2, 3);

static int complain(const struct ask *a, const char *fmt, ...)
{
    va_list args;

    (void)fprintf(stderr, "elionode %s: ", a->command->verb);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return PROXY_CLI_FAILED;
}

/* ---- the token ---- */

/* "Authorization: Bearer TOKEN"; a token is one word. */
static int add_token(struct ask *a, struct el_str token)
{
    struct el_buf line = { 0 };

    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] <= ' ' || token.p[i] > '~') {
            (void)complain(a, "the token is not one word of plain characters");
            return PROXY_CLI_USAGE;
        }
    }
    el_buf_addf(&line, "Authorization: Bearer %.*s", EL_STR_ARG(token));
    a->fields = curl_slist_append(a->fields, line.p);
    EL_ASSERT(a->fields != NULL);
    el_buf_deinit(&line);
    return PROXY_CLI_OK;
}

/* Its first line. */
static int add_token_of_file(struct ask *a)
{
    struct el_buf text = { 0 };
    struct el_error err = { 0 };
    struct el_str all, line;
    int rc = PROXY_CLI_USAGE;

    if (el_file_read("--token-file", a->token_file, MAX_TOKEN_FILE, &text, NULL, &err) != EL_OK) {
        (void)complain(a, "%s", err.text);
    } else {
        all = el_buf_str(&text);
        line = el_str_first(all, el_str_find(all, '\n'));
        rc = add_token(a, el_str_trim(el_str_first(line, el_str_find(line, '\r'))));
    }
    el_buf_deinit(&text);
    return rc;
}

static int find_token(struct ask *a)
{
    const char *token = getenv(TOKEN_VARIABLE);

    if (a->token_file != NULL)
        return add_token_of_file(a);
    return token != NULL && token[0] != '\0' ? add_token(a, el_str_of(token)) : PROXY_CLI_OK;
}

/* ---- the request ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct ask *a = (struct ask *)arg;
    size_t n = size * count;

    if (n > MAX_ANSWER_BYTES - a->answer.n)
        return 0;
    el_buf_add(&a->answer, bytes, n);
    return n;
}

/* http://admin/path?url=..., owned. */
static char *address_of(struct ask *a)
{
    const char *value = a->prefix != NULL ? a->prefix : a->url;
    struct el_buf b = { 0 };
    char *escaped;

    el_buf_addf(&b, "http://%s%s", a->admin, a->command->path);
    if (value != NULL) {
        escaped = curl_easy_escape(a->curl, value, 0);
        EL_ASSERT(escaped != NULL);
        el_buf_addf(&b, "?%s=%s", a->prefix != NULL ? "prefix" : "url", escaped);
        curl_free(escaped);
    }
    return el_buf_take(&b);
}

static void set_options(struct ask *a)
{
    CURL *c = a->curl;

    (void)curl_easy_setopt(c, CURLOPT_PROXY, ""); /* the environment's is the node itself */
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "elionode/" ELIO_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT, ANSWER_S);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, a->fields);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, a->curl_error);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
    if (a->command->is_post) {
        (void)curl_easy_setopt(c, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, 0L);
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, "");
    }
}

static int explain(struct ask *a, CURLcode code)
{
    const char *why = a->curl_error[0] != '\0' ? a->curl_error : curl_easy_strerror(code);

    if (code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST)
        return complain(a, "the node at %s gives no answer: %s", a->admin, why);
    (void)complain(a, "cannot reach the node at %s: %s: is it running?", a->admin, why);
    return PROXY_CLI_NO_NODE;
}

static int request(struct ask *a)
{
    char *address = address_of(a);
    CURLcode code;

    set_options(a);
    (void)curl_easy_setopt(a->curl, CURLOPT_URL, address);
    code = curl_easy_perform(a->curl);
    free(address);
    if (code != CURLE_OK)
        return explain(a, code);
    (void)curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &a->status);
    return PROXY_CLI_OK;
}

/* ---- the answer ---- */

static int print_problem(struct ask *a, const json_t *root)
{
    const char *detail = json_string_value(json_object_get(root, "detail"));

    (void)fprintf(stderr, "elionode %s: ", a->command->verb);
    if (detail != NULL)
        proxy_cli_print_text(detail, stderr);
    else
        (void)fprintf(stderr, "the answer of %s is %ld: is that the port of the node API?",
                      a->admin, a->status);
    (void)fputs(a->status == 401 ? " (" TOKEN_VARIABLE " or --token-file=FILE)\n" : "\n", stderr);
    return PROXY_CLI_FAILED;
}

static int print_answer(struct ask *a)
{
    json_t *root = a->answer.n > 0 ? json_loadb(a->answer.p, a->answer.n, 0, NULL) : NULL;
    int rc = PROXY_CLI_OK;

    if (a->status != 200 || !json_is_object(root))
        rc = print_problem(a, root);
    else if (a->is_json)
        (void)fwrite(a->answer.p, 1, a->answer.n, stdout);
    else
        a->command->print(root, stdout);
    json_decref(root);
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        return complain(a, "cannot write to standard output");
    return rc;
}

static int run(struct ask *a)
{
    int rc;

    EL_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    a->curl = curl_easy_init();
    EL_ASSERT(a->curl != NULL);
    rc = find_token(a);
    if (rc == PROXY_CLI_OK)
        rc = request(a);
    if (rc == PROXY_CLI_OK)
        rc = print_answer(a);
    el_buf_deinit(&a->answer);
    curl_slist_free_all(a->fields);
    curl_easy_cleanup(a->curl);
    curl_global_cleanup();
    return rc;
}

/* ---- the command line ---- */

static const struct command *find_command(const char *word)
{
    for (size_t i = 0; word != NULL && i < EL_COUNT(commands); i++) {
        if (strcmp(word, commands[i].verb) == 0)
            return &commands[i];
    }
    return NULL;
}

static void print_usage(const struct command *c)
{
    (void)printf(
        "usage: elionode %s [--admin=HOST:PORT] [--token-file=FILE] [--json]\n"
        "\n"
        "Asks a running node: %s.\n"
        "\n"
        "  --admin=HOST:PORT  its node API (default " DEFAULT_ADMIN ")\n"
        "  --token-file=FILE  holds the token that admin.tokens_file of the node asks for;\n"
        "                     without it the environment's " TOKEN_VARIABLE "\n"
        "  --json             the answer as it is\n",
        c->synopsis, c->what);
    if (c->wants_url)
        (void)printf("\nURL is what a client asks for; a path of the gateway (/bucket/key) too.\n");
    (void)printf("\nExit codes: 0 done, 1 failed, 2 usage, 3 the node cannot be reached.\n");
}

static int usage_error(const struct ask *a, const char *what, const char *detail)
{
    (void)complain(a, "%s%s (see elionode %s --help)", what, detail, a->command->verb);
    return PROXY_CLI_USAGE;
}

/* -1: go on; otherwise the exit code. */
static int parse_word(struct ask *a, const char *word)
{
    if (strncmp(word, "--admin=", 8) == 0 && word[8] != '\0')
        a->admin = word + 8;
    else if (strncmp(word, "--token-file=", 13) == 0 && word[13] != '\0')
        a->token_file = word + 13;
    else if (strcmp(word, "--json") == 0)
        a->is_json = true;
    else if (a->command->takes_prefix && strncmp(word, "--prefix=", 9) == 0 && word[9] != '\0')
        a->prefix = word + 9;
    else if (word[0] == '-')
        return usage_error(a, "unknown option ", word);
    else if (!a->command->wants_url || a->url != NULL)
        return usage_error(a, "one argument too many: ", word);
    else
        a->url = word;
    return -1;
}

/* -1: go on; otherwise the exit code. */
static int parse(struct ask *a, int argc, char *const argv[])
{
    int rc = -1;

    for (int i = 2; i < argc && rc < 0; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_usage(a->command);
            return PROXY_CLI_OK;
        }
        rc = parse_word(a, argv[i]);
    }
    if (rc >= 0)
        return rc;
    if (a->url != NULL && a->prefix != NULL)
        return usage_error(a, "a URL or a prefix, not both", "");
    if (a->command->wants_url && a->url == NULL && a->prefix == NULL)
        return usage_error(a, "which URL?", "");
    return -1;
}

bool proxy_cli_node_has(const char *word)
{
    return find_command(word) != NULL;
}

int proxy_cli_node_run(int argc, char *const argv[])
{
    struct ask a = { .command = find_command(argv[1]), .admin = DEFAULT_ADMIN };
    int rc;

    EL_ASSERT(a.command != NULL);
    rc = parse(&a, argc, argv);
    return rc >= 0 ? rc : run(&a);
}

void proxy_cli_node_help(FILE *out)
{
    for (size_t i = 0; i < EL_COUNT(commands); i++)
        (void)fprintf(out, "  elionode %-30s %s\n", commands[i].synopsis, commands[i].what);
}
