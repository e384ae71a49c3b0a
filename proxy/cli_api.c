/* SPDX-License-Identifier: MIT */
/* cli_api: see cli_api.h. */
#include "proxy/cli_api.h"

#include <stdarg.h>

#include <curl/curl.h>

#include "common/file.h"
#include "proxy/cli_own.h"

#define CONNECT_S        10L
#define ASIDE_S          2L
#define ANSWER_S         90L /* longer than the node keeps an answer back */
#define MAX_ANSWER_BYTES ((size_t)64 * EL_MIB)
#define MAX_TOKEN_FILE   65536

struct proxy_cli_api {
    const struct proxy_cli_api_conf *conf;
    const char *admin;
    CURL *curl;
    char curl_error[CURL_ERROR_SIZE];
    struct curl_slist *fields; /* of each request */
    struct el_buf answer;
    long status;
};

int proxy_cli_complain(const char *verb, const char *fmt, ...)
{
    va_list args;

    (void)fprintf(stderr, "elionode %s: ", verb);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return PROXY_CLI_FAILED;
}

int proxy_cli_flush(const char *verb)
{
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        return proxy_cli_complain(verb, "cannot write to standard output");
    return PROXY_CLI_OK;
}

bool proxy_cli_api_option(struct proxy_cli_api_conf *conf, const char *word)
{
    if (strncmp(word, "--admin=", 8) == 0 && word[8] != '\0')
        conf->admin = word + 8;
    else if (strncmp(word, "--token-file=", 13) == 0 && word[13] != '\0')
        conf->token_file = word + 13;
    else
        return false;
    return true;
}

/* ---- the token ---- */

/* "Authorization: Bearer TOKEN"; a token is one word. */
static int add_token(struct proxy_cli_api *api, struct el_str token)
{
    struct el_buf line = { 0 };

    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] <= ' ' || token.p[i] > '~') {
            (void)proxy_cli_complain(api->conf->verb,
                                     "the token is not one word of plain characters");
            return PROXY_CLI_USAGE;
        }
    }
    el_buf_addf(&line, "Authorization: Bearer %.*s", EL_STR_ARG(token));
    api->fields = curl_slist_append(api->fields, line.p);
    EL_ASSERT(api->fields != NULL);
    el_buf_deinit(&line);
    return PROXY_CLI_OK;
}

/* Its first line. */
static int add_token_of_file(struct proxy_cli_api *api)
{
    struct el_buf text = { 0 };
    struct el_error err = { 0 };
    struct el_str all, line;
    int rc = PROXY_CLI_USAGE;

    if (el_file_read("--token-file", api->conf->token_file, MAX_TOKEN_FILE, &text, NULL, &err) !=
        EL_OK) {
        (void)proxy_cli_complain(api->conf->verb, "%s", err.text);
    } else {
        all = el_buf_str(&text);
        line = el_str_first(all, el_str_find(all, '\n'));
        rc = add_token(api, el_str_trim(el_str_first(line, el_str_find(line, '\r'))));
    }
    el_buf_deinit(&text);
    return rc;
}

static int find_token(struct proxy_cli_api *api)
{
    const char *token = getenv(PROXY_CLI_TOKEN);

    if (api->conf->token_file != NULL)
        return add_token_of_file(api);
    return token != NULL && token[0] != '\0' ? add_token(api, el_str_of(token)) : PROXY_CLI_OK;
}

/* ---- life ---- */

int proxy_cli_api_new(const struct proxy_cli_api_conf *conf, struct proxy_cli_api **ret_api)
{
    struct proxy_cli_api *api = el_new(struct proxy_cli_api);
    int rc;

    EL_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    api->conf = conf;
    api->admin = conf->admin != NULL ? conf->admin : PROXY_CLI_ADMIN;
    api->curl = curl_easy_init();
    EL_ASSERT(api->curl != NULL);
    rc = find_token(api);
    if (rc == PROXY_CLI_OK)
        *ret_api = api;
    else
        proxy_cli_api_free(api);
    return rc;
}

void proxy_cli_api_free(struct proxy_cli_api *api)
{
    if (api == NULL)
        return;
    el_buf_deinit(&api->answer);
    curl_slist_free_all(api->fields);
    curl_easy_cleanup(api->curl);
    curl_global_cleanup();
    free(api);
}

bool proxy_cli_api_add_field(struct proxy_cli_api *api, const char *line)
{
    if (strpbrk(line, "\r\n") != NULL)
        return false;
    api->fields = curl_slist_append(api->fields, line);
    EL_ASSERT(api->fields != NULL);
    return true;
}

/* ---- a call ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct proxy_cli_api *api = (struct proxy_cli_api *)arg;
    size_t n = size * count;

    if (n > MAX_ANSWER_BYTES - api->answer.n)
        return 0;
    el_buf_add(&api->answer, bytes, n);
    return n;
}

/* http://admin/path?name=value, owned. */
static char *address_of(struct proxy_cli_api *api, const struct proxy_cli_call *call)
{
    struct el_buf b = { 0 };
    char *escaped;

    el_buf_addf(&b, "http://%s%s", api->admin, call->path);
    if (call->name != NULL) {
        escaped = curl_easy_escape(api->curl, call->value, 0);
        EL_ASSERT(escaped != NULL);
        el_buf_addf(&b, "?%s=%s", call->name, escaped);
        curl_free(escaped);
    }
    return el_buf_take(&b);
}

static void set_options(struct proxy_cli_api *api, const struct proxy_cli_call *call)
{
    CURL *c = api->curl;

    curl_easy_reset(c);                           /* it keeps the connection */
    (void)curl_easy_setopt(c, CURLOPT_PROXY, ""); /* the environment's is the node itself */
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "elionode/" ELIO_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, api->conf->is_aside ? ASIDE_S : CONNECT_S);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT, api->conf->is_aside ? ASIDE_S : ANSWER_S);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, api->fields);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, api->curl_error);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, api);
    if (strcmp(call->method, "GET") != 0) {
        (void)curl_easy_setopt(c, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)call->body.n);
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, call->body.n > 0 ? call->body.p : "");
        (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method);
    }
}

static int explain(struct proxy_cli_api *api, CURLcode code)
{
    const char *why = api->curl_error[0] != '\0' ? api->curl_error : curl_easy_strerror(code);

    if (api->conf->is_aside)
        return PROXY_CLI_NO_NODE;
    if (code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST)
        return proxy_cli_complain(api->conf->verb, "the node at %s gives no answer: %s", api->admin,
                                  why);
    (void)proxy_cli_complain(api->conf->verb, "cannot reach the node at %s: %s: is it running?",
                             api->admin, why);
    return PROXY_CLI_NO_NODE;
}

static int request(struct proxy_cli_api *api, const struct proxy_cli_call *call)
{
    char *address = address_of(api, call);
    CURLcode code;

    el_buf_clear(&api->answer);
    set_options(api, call);
    (void)curl_easy_setopt(api->curl, CURLOPT_URL, address);
    code = curl_easy_perform(api->curl);
    free(address);
    if (code != CURLE_OK)
        return explain(api, code);
    (void)curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &api->status);
    return PROXY_CLI_OK;
}

/* What problem+json says (RFC 9457). */
static int show_problem(struct proxy_cli_api *api, const json_t *root)
{
    const char *detail = json_string_value(json_object_get(root, "detail"));

    if (api->conf->is_aside)
        return PROXY_CLI_FAILED;
    (void)fprintf(stderr, "elionode %s: ", api->conf->verb);
    if (detail != NULL)
        proxy_cli_print_text(detail, stderr);
    else
        (void)fprintf(stderr, "the answer of %s is %ld: is that the port of the node API?",
                      api->admin, api->status);
    (void)fputs(api->status == 401 ? " (" PROXY_CLI_TOKEN " or --token-file=FILE)\n" : "\n",
                stderr);
    return PROXY_CLI_FAILED;
}

int proxy_cli_api_call(struct proxy_cli_api *api, const struct proxy_cli_call *call,
                       json_t **ret_root)
{
    int rc = request(api, call);
    json_t *root;

    if (rc != PROXY_CLI_OK)
        return rc;
    root = api->answer.n > 0 ? json_loadb(api->answer.p, api->answer.n, 0, NULL) : NULL;
    if (api->status >= 200 && api->status < 300 && json_is_object(root)) {
        *ret_root = root;
        return PROXY_CLI_OK;
    }
    rc = show_problem(api, root);
    json_decref(root);
    return rc;
}

struct el_str proxy_cli_api_answer(const struct proxy_cli_api *api)
{
    return el_buf_str(&api->answer);
}
