/* SPDX-License-Identifier: MIT */
/* cli: see cli.h. */
#include "common/cli.h"

#include <stdarg.h>

#include <curl/curl.h>

#include "common/file.h"

#define ASIDE_S        2L
#define MAX_TOKEN_FILE 65536

struct el_cli {
    const struct el_cli_conf *conf;
    const char *address;
    CURL *curl;
    char curl_error[CURL_ERROR_SIZE];
    struct curl_slist *fields;  /* of each request */
    struct curl_slist has_body; /* of one with a body: this one, and then all of these */
    struct el_buf answer;
    long status;
};

bool el_cli_option(struct el_cli_conf *conf, const char *word)
{
    const struct {
        const char *name;
        const char **value;
    } options[] = {
        { conf->program->address_option, &conf->address },
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

/* ---- what people read ---- */

int el_cli_complain(const struct el_cli_conf *conf, const char *fmt, ...)
{
    va_list args;

    (void)fprintf(stderr, "%s %s: ", conf->program->name, conf->verb);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return EL_CLI_FAILED;
}

int el_cli_flush(const struct el_cli_conf *conf)
{
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        return el_cli_complain(conf, "cannot write to standard output");
    return EL_CLI_OK;
}

void el_cli_print_text(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        (void)fputc(c < ' ' || c == 0x7f ? '?' : c, out);
    }
}

/* ---- the token ---- */

/* "Authorization: Bearer TOKEN"; a token is one word. */
static int add_token(struct el_cli *cli, struct el_str token)
{
    struct el_buf line = { 0 };

    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] <= ' ' || token.p[i] > '~') {
            (void)el_cli_complain(cli->conf, "the token is not one word of plain characters");
            return EL_CLI_USAGE;
        }
    }
    el_buf_addf(&line, "Authorization: Bearer %.*s", EL_STR_ARG(token));
    EL_ASSERT(el_cli_add_field(cli, line.p));
    el_buf_deinit(&line);
    return EL_CLI_OK;
}

/* Its first line. */
static int add_token_of_file(struct el_cli *cli)
{
    struct el_buf text = { 0 };
    struct el_error err = { 0 };
    struct el_str all, line;
    int rc = EL_CLI_USAGE;

    if (el_file_read("--token-file", cli->conf->token_file, MAX_TOKEN_FILE, &text, NULL, &err) !=
        EL_OK) {
        (void)el_cli_complain(cli->conf, "%s", err.text);
    } else {
        all = el_buf_str(&text);
        line = el_str_first(all, el_str_find(all, '\n'));
        rc = add_token(cli, el_str_trim(el_str_first(line, el_str_find(line, '\r'))));
    }
    el_buf_deinit(&text);
    return rc;
}

static int find_token(struct el_cli *cli)
{
    const char *token = getenv(cli->conf->program->token_variable);

    if (cli->conf->token_file != NULL)
        return add_token_of_file(cli);
    return token != NULL && token[0] != '\0' ? add_token(cli, el_str_of(token)) : EL_CLI_OK;
}

/* ---- life ---- */

int el_cli_new(const struct el_cli_conf *conf, struct el_cli **ret_cli)
{
    struct el_cli *cli = el_new(struct el_cli);
    int rc;

    EL_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    cli->conf = conf;
    cli->address = conf->address != NULL ? conf->address : conf->program->address;
    cli->has_body.data = (char *)(uintptr_t) "Content-Type: application/json";
    cli->curl = curl_easy_init();
    EL_ASSERT(cli->curl != NULL);
    rc = find_token(cli);
    if (rc == EL_CLI_OK)
        *ret_cli = cli;
    else
        el_cli_free(cli);
    return rc;
}

void el_cli_free(struct el_cli *cli)
{
    if (cli == NULL)
        return;
    el_buf_deinit(&cli->answer);
    curl_slist_free_all(cli->fields);
    curl_easy_cleanup(cli->curl);
    curl_global_cleanup();
    free(cli);
}

bool el_cli_add_field(struct el_cli *cli, const char *line)
{
    if (strpbrk(line, "\r\n") != NULL)
        return false;
    cli->fields = curl_slist_append(cli->fields, line);
    EL_ASSERT(cli->fields != NULL);
    return true;
}

/* ---- a call ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct el_cli *cli = (struct el_cli *)arg;
    size_t n = size * count;

    if (n > cli->conf->program->max_answer_bytes - cli->answer.n)
        return 0;
    el_buf_add(&cli->answer, bytes, n);
    return n;
}

/* http://address/path?name=value, owned. */
static char *url_of(struct el_cli *cli, const struct el_cli_call *call)
{
    bool is_url = strstr(cli->address, "://") != NULL;
    struct el_buf b = { 0 };
    char *escaped;

    el_buf_addf(&b, "%s%s%s", is_url ? "" : "http://", cli->address, call->path);
    if (call->name != NULL) {
        escaped = curl_easy_escape(cli->curl, call->value, 0);
        EL_ASSERT(escaped != NULL);
        el_buf_addf(&b, "?%s=%s", call->name, escaped);
        curl_free(escaped);
    }
    return el_buf_take(&b);
}

static void set_body(struct el_cli *cli, const struct el_cli_call *call)
{
    CURL *c = cli->curl;

    cli->has_body.next = cli->fields;
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, &cli->has_body);
    (void)curl_easy_setopt(c, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)call->body.n);
    (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, call->body.n > 0 ? call->body.p : "");
    (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method);
}

static void set_options(struct el_cli *cli, const struct el_cli_call *call)
{
    const struct el_cli_conf *conf = cli->conf;
    CURL *c = cli->curl;
    char agent[64];

    (void)snprintf(agent, sizeof(agent), "%s/%s", conf->program->name, ELIO_VERSION);
    curl_easy_reset(c);                           /* it keeps the connection */
    (void)curl_easy_setopt(c, CURLOPT_PROXY, ""); /* the environment's is the node itself */
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, agent);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT,
                           conf->is_aside ? ASIDE_S : (long)conf->program->connect_s);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT,
                           conf->is_aside ? ASIDE_S : (long)conf->program->answer_s);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, cli->fields);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, cli->curl_error);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, cli);
    if (conf->ca_file != NULL)
        (void)curl_easy_setopt(c, CURLOPT_CAINFO, conf->ca_file);
    if (strcmp(call->method, "GET") != 0)
        set_body(cli, call);
}

static int explain(struct el_cli *cli, CURLcode code)
{
    const char *why = cli->curl_error[0] != '\0' ? cli->curl_error : curl_easy_strerror(code);
    const char *server = cli->conf->program->server;

    if (cli->conf->is_aside)
        return EL_CLI_ABSENT;
    if (code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST)
        return el_cli_complain(cli->conf, "%s at %s gives no answer: %s", server, cli->address,
                               why);
    (void)el_cli_complain(cli->conf, "cannot reach %s at %s: %s: is it running?", server,
                          cli->address, why);
    return EL_CLI_ABSENT;
}

static int request(struct el_cli *cli, const struct el_cli_call *call)
{
    char *url = url_of(cli, call);
    CURLcode code;

    el_buf_clear(&cli->answer);
    set_options(cli, call);
    (void)curl_easy_setopt(cli->curl, CURLOPT_URL, url);
    code = curl_easy_perform(cli->curl);
    free(url);
    if (code != CURLE_OK)
        return explain(cli, code);
    (void)curl_easy_getinfo(cli->curl, CURLINFO_RESPONSE_CODE, &cli->status);
    return EL_CLI_OK;
}

static int show_error(struct el_cli *cli, const json_t *root)
{
    const struct el_cli_program *program = cli->conf->program;
    const char *text = json_string_value(json_object_get(root, program->text_key));

    if (cli->conf->is_aside)
        return EL_CLI_FAILED;
    (void)fprintf(stderr, "%s %s: ", program->name, cli->conf->verb);
    if (text != NULL)
        el_cli_print_text(text, stderr);
    else
        (void)fprintf(stderr, "the answer of %s is %ld: %s", cli->address, cli->status,
                      program->doubt);
    if (cli->status == 401)
        (void)fprintf(stderr, " (%s or --token-file=FILE)", program->token_variable);
    (void)fputc('\n', stderr);
    return EL_CLI_FAILED;
}

int el_cli_ask(struct el_cli *cli, const struct el_cli_call *call, json_t **ret_root)
{
    int rc = request(cli, call);
    json_t *root;

    if (rc != EL_CLI_OK)
        return rc;
    root = cli->answer.n > 0 ? json_loadb(cli->answer.p, cli->answer.n, 0, NULL) : NULL;
    if ((cli->status >= 200 && cli->status < 300 && json_is_object(root)) || cli->status == 204) {
        *ret_root = root;
        return EL_CLI_OK;
    }
    rc = show_error(cli, root);
    json_decref(root);
    return rc;
}

struct el_str el_cli_answer(const struct el_cli *cli)
{
    return el_buf_str(&cli->answer);
}
