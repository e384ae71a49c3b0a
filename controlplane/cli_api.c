/* SPDX-License-Identifier: MIT */
#include "controlplane/cli_api.h"

#include <stdarg.h>

#include <curl/curl.h>

#include "common/file.h"

#define CONNECT_S        5L
#define ANSWER_S         60L /* longer than the service waits for an event */
#define MAX_ANSWER_BYTES ((size_t)256 * EL_MIB)
#define MAX_TOKEN_FILE   65536

struct cp_cli_api {
    const struct cp_cli_api_conf *conf;
    const char *server;
    CURL *curl;
    char curl_error[CURL_ERROR_SIZE];
    struct curl_slist *fields; /* of each request */
    struct el_buf answer;
    long status;
};

int cp_cli_complain(const char *verb, const char *fmt, ...)
{
    va_list args;

    (void)fprintf(stderr, "eliocp %s: ", verb);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return CP_CLI_FAILED;
}

void cp_cli_print_text(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        (void)fputc(c < ' ' || c == 0x7f ? '?' : c, out);
    }
}

bool cp_cli_api_option(struct cp_cli_api_conf *conf, const char *word)
{
    const struct {
        const char *name;
        const char **value;
    } options[] = {
        { "--server=", &conf->server },
        { "--token-file=", &conf->token_file },
        { "--ca-file=", &conf->ca_file },
    };

    for (size_t i = 0; i < EL_COUNT(options); i++) {
        size_t n = strlen(options[i].name);

        if (strncmp(word, options[i].name, n) == 0 && word[n] != '\0') {
            *options[i].value = word + n;
            return true;
        }
    }
    return false;
}

/* ---- the token ---- */

/* A token is one word. */
static int add_token(struct cp_cli_api *api, struct el_str token)
{
    struct el_buf line = { 0 };

    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] <= ' ' || token.p[i] > '~') {
            (void)cp_cli_complain(api->conf->verb, "the token is not one word of plain characters");
            return CP_CLI_USAGE;
        }
    }
    el_buf_addf(&line, "Authorization: Bearer %.*s", EL_STR_ARG(token));
    api->fields = curl_slist_append(api->fields, line.p);
    EL_ASSERT(api->fields != NULL);
    el_buf_deinit(&line);
    return CP_CLI_OK;
}

/* Its first line. */
static int add_token_of_file(struct cp_cli_api *api)
{
    struct el_buf text = { 0 };
    struct el_error err = { 0 };
    struct el_str all, line;
    int rc = CP_CLI_USAGE;

    if (el_file_read("--token-file", api->conf->token_file, MAX_TOKEN_FILE, &text, NULL, &err) !=
        EL_OK) {
        (void)cp_cli_complain(api->conf->verb, "%s", err.text);
    } else {
        all = el_buf_str(&text);
        line = el_str_first(all, el_str_find(all, '\n'));
        rc = add_token(api, el_str_trim(el_str_first(line, el_str_find(line, '\r'))));
    }
    el_buf_deinit(&text);
    return rc;
}

static int find_token(struct cp_cli_api *api)
{
    const char *token = getenv(CP_CLI_TOKEN);

    if (api->conf->token_file != NULL)
        return add_token_of_file(api);
    return token != NULL && token[0] != '\0' ? add_token(api, el_str_of(token)) : CP_CLI_OK;
}

/* ---- life ---- */

int cp_cli_api_new(const struct cp_cli_api_conf *conf, struct cp_cli_api **ret_api)
{
    struct cp_cli_api *api = el_new(struct cp_cli_api);
    int rc;

    EL_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    api->conf = conf;
    api->server = conf->server != NULL ? conf->server : CP_CLI_SERVER;
    api->curl = curl_easy_init();
    EL_ASSERT(api->curl != NULL);
    api->fields = curl_slist_append(NULL, "Content-Type: application/json");
    EL_ASSERT(api->fields != NULL);
    rc = find_token(api);
    if (rc == CP_CLI_OK)
        *ret_api = api;
    else
        cp_cli_api_free(api);
    return rc;
}

void cp_cli_api_free(struct cp_cli_api *api)
{
    if (api == NULL)
        return;
    el_buf_deinit(&api->answer);
    curl_slist_free_all(api->fields);
    curl_easy_cleanup(api->curl);
    curl_global_cleanup();
    free(api);
}

char *cp_cli_escape(const char *text)
{
    struct el_buf out = { 0 };

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            strchr("-._~:", c) != NULL)
            el_buf_add_byte(&out, (char)c);
        else
            el_buf_addf(&out, "%%%02X", c);
    }
    return el_buf_take(&out);
}

/* ---- a call ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct cp_cli_api *api = (struct cp_cli_api *)arg;
    size_t n = size * count;

    if (n > MAX_ANSWER_BYTES - api->answer.n)
        return 0;
    el_buf_add(&api->answer, bytes, n);
    return n;
}

static void set_options(struct cp_cli_api *api, const char *method, struct el_str body)
{
    CURL *c = api->curl;

    curl_easy_reset(c); /* it keeps the connection */
    (void)curl_easy_setopt(c, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "eliocp/" ELIO_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT, ANSWER_S);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, api->fields);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, api->curl_error);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, api);
    if (api->conf->ca_file != NULL)
        (void)curl_easy_setopt(c, CURLOPT_CAINFO, api->conf->ca_file);
    if (strcmp(method, "GET") == 0)
        return;
    (void)curl_easy_setopt(c, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)body.n);
    (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.n > 0 ? body.p : "");
    (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
}

static int explain(struct cp_cli_api *api, CURLcode code)
{
    const char *why = api->curl_error[0] != '\0' ? api->curl_error : curl_easy_strerror(code);

    if (code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST)
        return cp_cli_complain(api->conf->verb, "the control plane at %s gives no answer: %s",
                               api->server, why);
    (void)cp_cli_complain(api->conf->verb,
                          "cannot reach the control plane at %s: %s: is it running?", api->server,
                          why);
    return CP_CLI_NO_SERVER;
}

static int request(struct cp_cli_api *api, const char *method, const char *path, struct el_str body)
{
    struct el_buf url = { 0 };
    CURLcode code;

    el_buf_addf(&url, "%s%s%s", strstr(api->server, "://") == NULL ? "http://" : "", api->server,
                path);
    el_buf_clear(&api->answer);
    set_options(api, method, body);
    (void)curl_easy_setopt(api->curl, CURLOPT_URL, url.p);
    code = curl_easy_perform(api->curl);
    el_buf_deinit(&url);
    if (code != CURLE_OK)
        return explain(api, code);
    (void)curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &api->status);
    return CP_CLI_OK;
}

static int show_error(struct cp_cli_api *api, const json_t *root)
{
    const char *text = json_string_value(json_object_get(root, "text"));

    (void)fprintf(stderr, "eliocp %s: ", api->conf->verb);
    if (text != NULL)
        cp_cli_print_text(text, stderr);
    else
        (void)fprintf(stderr, "the answer of %s is %ld: is that a control plane?", api->server,
                      api->status);
    (void)fputs(api->status == 401 ? " (" CP_CLI_TOKEN " or --token-file=FILE)\n" : "\n", stderr);
    return CP_CLI_FAILED;
}

int cp_cli_api_call(struct cp_cli_api *api, const char *method, const char *path, json_t *take_body,
                    json_t **ret_root)
{
    struct el_buf body = { 0 };
    json_t *root = NULL;
    int rc;

    if (take_body != NULL)
        el_json_write(&body, take_body);
    rc = request(api, method, path, el_buf_str(&body));
    el_buf_deinit(&body);
    if (rc != CP_CLI_OK)
        return rc;
    if (api->answer.n > 0)
        root = json_loadb(api->answer.p, api->answer.n, 0, NULL);
    if (api->status >= 200 && api->status < 300 && (root != NULL || api->answer.n == 0)) {
        *ret_root = root;
        return CP_CLI_OK;
    }
    rc = show_error(api, root);
    json_decref(root);
    return rc;
}
