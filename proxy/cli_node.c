/* SPDX-License-Identifier: MIT */
/*
 * cli_node: the sub commands that are one call of the node API: a word of the command line becomes
 * a request, its answer a few lines for people (cli_print.c), or stays the JSON that it is.
 */
#include "proxy/cli_own.h"

/* WANTS_REQUEST: a URL, and fields that a client would send. */
enum wants { WANTS_NOTHING, WANTS_URL, WANTS_URL_OR_PREFIX, WANTS_REQUEST, WANTS_ID };

#define MAX_FIELDS 64

struct command {
    const char *verb, *method, *path; /* the id belongs to the end of the path */
    enum wants wants;
    void (*print)(const json_t *root, FILE *out);
    const char *synopsis, *what;
};

#define CACHE      "/api/v1/cache/"
#define OPERATIONS "/api/v1/operations/"

static const struct command commands[] = {
    { "status", "GET", "/api/v1/status", WANTS_NOTHING, proxy_cli_print_status, "status",
      "what the node is doing, and how full its tiers are" },
    { "peers", "GET", "/api/v1/peers", WANTS_NOTHING, proxy_cli_print_peers, "peers",
      "which other nodes are there, and what they gave" },
    { "stat", "GET", CACHE "stat", WANTS_URL, proxy_cli_print_stat, "stat URL",
      "what is cached of URL: how much, where, how hot" },
    { "explain", "GET", "/api/v1/explain", WANTS_REQUEST, proxy_cli_print_explain,
      "explain URL [-H 'Name: value']...", "what the node would do with a request, and why" },
    { "purge", "POST", CACHE "purge", WANTS_URL_OR_PREFIX, proxy_cli_print_purge,
      "purge URL | purge --prefix=URL", "forget URL, or all that begins so" },
    { "pin", "POST", CACHE "pin", WANTS_URL, proxy_cli_print_pin, "pin URL",
      "keep what is cached of URL" },
    { "unpin", "POST", CACHE "unpin", WANTS_URL, proxy_cli_print_pin, "unpin URL", "no longer" },
    { "operation", "GET", OPERATIONS, WANTS_ID, proxy_cli_print_operation, "operation ID",
      "how far a warm-up is" },
    { "cancel", "DELETE", OPERATIONS, WANTS_ID, proxy_cli_print_operation, "cancel ID", "end it" },
};

const struct el_cli_program proxy_cli_program = {
    .name = "elionode",
    .server = "the node",
    .doubt = "is that the port of the node API?",
    .address = PROXY_CLI_ADMIN,
    .address_option = "--admin=",
    .token_variable = PROXY_CLI_TOKEN,
    .text_key = "detail", /* of problem+json (RFC 9457) */
    .connect_s = 10,
    .answer_s = 90, /* longer than the node keeps an answer back */
    .max_answer_bytes = (size_t)64 * EL_MIB,
};

struct ask {
    const struct command *command;
    struct el_cli_conf api;
    const char *word, *prefix; /* the URL or the id; or else the prefix */
    bool is_json;
    const char *fields[MAX_FIELDS]; /* "Name: value" */
    size_t n_fields;
};

static int add_fields(struct ask *a, struct el_cli *api)
{
    int rc = EL_CLI_OK;

    for (size_t i = 0; rc == EL_CLI_OK && i < a->n_fields; i++) {
        struct el_buf line = { 0 };

        el_buf_addf(&line, "Explain-Field: %s", a->fields[i]);
        if (!el_cli_add_field(api, line.p))
            rc = el_cli_complain(&a->api, "a field is one line");
        el_buf_deinit(&line);
    }
    return rc;
}

static int call(struct ask *a, struct el_cli *api, json_t **ret_root)
{
    bool has_id = a->command->wants == WANTS_ID;
    struct el_buf path = { 0 };
    struct el_cli_call c = { .method = a->command->method };
    int rc;

    el_buf_addf(&path, "%s%s", a->command->path, has_id ? a->word : "");
    c.path = path.p;
    if (a->prefix != NULL)
        c.name = "prefix";
    else if (a->word != NULL && !has_id)
        c.name = "url";
    c.value = a->prefix != NULL ? a->prefix : a->word;
    rc = el_cli_ask(api, &c, ret_root);
    el_buf_deinit(&path);
    return rc;
}

static int run(struct ask *a)
{
    struct el_cli *api = NULL;
    json_t *root = NULL;
    int rc = el_cli_new(&a->api, &api);

    if (rc == EL_CLI_OK)
        rc = add_fields(a, api);
    if (rc == EL_CLI_OK)
        rc = call(a, api, &root);
    if (rc == EL_CLI_OK && a->is_json)
        (void)fwrite(el_cli_answer(api).p, 1, el_cli_answer(api).n, stdout);
    else if (rc == EL_CLI_OK)
        a->command->print(root, stdout);
    if (rc == EL_CLI_OK)
        rc = el_cli_flush(&a->api);
    json_decref(root);
    el_cli_free(api);
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

void proxy_cli_node_usage(FILE *out)
{
    (void)fprintf(
        out, "  --admin=HOST:PORT  the node API (default " PROXY_CLI_ADMIN ")\n"
             "  --token-file=FILE  holds the token that admin.tokens_file of the node asks for;\n"
             "                     without it the environment's " PROXY_CLI_TOKEN "\n"
             "  --json             the answer as it is\n");
}

static void print_usage(const struct command *c)
{
    (void)printf("usage: elionode %s [--admin=HOST:PORT] [--token-file=FILE] [--json]\n"
                 "\n"
                 "Asks a running node: %s.\n"
                 "\n",
                 c->synopsis, c->what);
    proxy_cli_node_usage(stdout);
    if (c->wants == WANTS_REQUEST)
        (void)printf("  -H 'Name: value'   a field that the client would send\n");
    if (c->wants != WANTS_NOTHING && c->wants != WANTS_ID)
        (void)printf("\nURL is what a client asks for; a path of the gateway (/bucket/key) too.\n");
    (void)printf("\nExit codes: 0 done, 1 failed, 2 usage, 3 the node cannot be reached.\n");
}

static int usage_error(const struct ask *a, const char *what, const char *detail)
{
    (void)el_cli_complain(&a->api, "%s%s (see elionode %s --help)", what, detail, a->command->verb);
    return EL_CLI_USAGE;
}

/* It becomes a part of the path as it is. */
static bool is_id(const char *word)
{
    return word[0] != '\0' && word[strspn(word, "0123456789abcdef")] == '\0';
}

/* -1: go on; otherwise the exit code. */
static int parse_word(struct ask *a, const char *word)
{
    bool takes_prefix = a->command->wants == WANTS_URL_OR_PREFIX;

    if (el_cli_option(&a->api, word))
        return -1;
    if (strcmp(word, "--json") == 0)
        a->is_json = true;
    else if (takes_prefix && strncmp(word, "--prefix=", 9) == 0 && word[9] != '\0')
        a->prefix = word + 9;
    else if (word[0] == '-')
        return usage_error(a, "unknown option ", word);
    else if (a->command->wants == WANTS_NOTHING || a->word != NULL)
        return usage_error(a, "one argument too many: ", word);
    else if (a->command->wants == WANTS_ID && !is_id(word))
        return usage_error(a, "this is no id: ", word);
    else
        a->word = word;
    return -1;
}

/* -1: go on; otherwise the exit code. `line` is what follows -H, NULL at the end. */
static int parse_field(struct ask *a, const char *line)
{
    if (line == NULL)
        return usage_error(a, "-H wants 'Name: value'", "");
    if (a->n_fields == MAX_FIELDS)
        return usage_error(a, "too many fields", "");
    a->fields[a->n_fields++] = line;
    return -1;
}

/* -1: go on; otherwise the exit code. */
static int parse(struct ask *a, int argc, char *const argv[])
{
    int rc = -1;

    for (int i = 2; i < argc && rc < 0; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_usage(a->command);
            return EL_CLI_OK;
        }
        if (a->command->wants == WANTS_REQUEST && strcmp(argv[i], "-H") == 0) {
            i++;
            rc = parse_field(a, i < argc ? argv[i] : NULL);
        } else {
            rc = parse_word(a, argv[i]);
        }
    }
    if (rc >= 0)
        return rc;
    if (a->word != NULL && a->prefix != NULL)
        return usage_error(a, "a URL or a prefix, not both", "");
    if (a->command->wants != WANTS_NOTHING && a->word == NULL && a->prefix == NULL)
        return usage_error(a, a->command->wants == WANTS_ID ? "which id?" : "which URL?", "");
    return -1;
}

bool proxy_cli_node_has(const char *word)
{
    return find_command(word) != NULL;
}

int proxy_cli_node_run(int argc, char *const argv[])
{
    struct ask a = { .command = find_command(argv[1]), .api.program = &proxy_cli_program };
    int rc;

    EL_ASSERT(a.command != NULL);
    a.api.verb = a.command->verb;
    rc = parse(&a, argc, argv);
    return rc >= 0 ? rc : run(&a);
}

void proxy_cli_node_help(FILE *out)
{
    for (size_t i = 0; i < EL_COUNT(commands); i++)
        (void)fprintf(out, "  elionode %-30s %s\n", commands[i].synopsis, commands[i].what);
}
