/* SPDX-License-Identifier: MIT */
/*
 * cli: see cli.h. Most commands are one call whose answer is one list; a table says which, and how
 * it looks. The others have a function of their own.
 */
#include "controlplane/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "common/cli.h"
#include "controlplane/backup.h"
#include "controlplane/cli_table.h"

#define MAX_WORDS 256
#define TOP_S     2

#define SERVER "http://127.0.0.1:8081"
#define TOKEN  "ELIOCP_TOKEN"

static const struct el_cli_program program = {
    .name = "eliocp",
    .server = "the control plane",
    .doubt = "is that a control plane?",
    .address = SERVER,
    .address_option = "--server=",
    .token_variable = TOKEN,
    .text_key = "text",
    .connect_s = 5,
    .answer_s = 60, /* longer than the service waits for an event */
    .max_answer_bytes = (size_t)256 * EL_MIB,
};

struct cli {
    struct el_cli_conf conf;
    struct el_cli *api;
    const char *words[MAX_WORDS]; /* behind the verb, without options */
    size_t n;
    bool is_json, follows;
    const char *state, *zone, *role, *max_unavailable, *data_dir;
};

/* ---- options ---- */

static bool take_value(const char *word, const char *name, const char **ret)
{
    size_t n = strlen(name);

    if (strncmp(word, name, n) != 0)
        return false;
    *ret = word + n;
    return true;
}

static bool take_option(struct cli *c, const char *word)
{
    if (strcmp(word, "--json") == 0)
        c->is_json = true;
    else if (strcmp(word, "--table") == 0)
        c->is_json = false;
    else if (strcmp(word, "-f") == 0)
        c->follows = true;
    else
        return el_cli_option(&c->conf, word) || take_value(word, "--state=", &c->state) ||
               take_value(word, "--zone=", &c->zone) || take_value(word, "--role=", &c->role) ||
               take_value(word, "--data-dir=", &c->data_dir) ||
               take_value(word, "--max-unavailable=", &c->max_unavailable);
    return true;
}

static int usage(const struct cli *c, const char *text)
{
    (void)el_cli_complain(&c->conf, "usage: eliocp %s", text);
    return EL_CLI_USAGE;
}

/* ---- output ---- */

/* Takes root. */
static int print_json(json_t *root)
{
    if (root == NULL)
        return EL_CLI_OK;
    if (json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0)
        (void)fputc('\n', stdout);
    json_decref(root);
    return EL_CLI_OK;
}

/* `take_body` may be NULL. */
static int call(struct cli *c, const char *method, const char *path, json_t *take_body,
                json_t **ret_root)
{
    struct el_buf body = { 0 };
    struct el_cli_call call = { .method = method, .path = path };
    int rc;

    if (take_body != NULL)
        el_json_write(&body, take_body);
    call.body = el_buf_str(&body);
    rc = el_cli_ask(c->api, &call, ret_root);
    el_buf_deinit(&body);
    return rc;
}

/* %XX for what a path may not have; free() it. */
static char *escape(const char *text)
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

static int get(struct cli *c, const char *path, json_t **ret_root)
{
    return call(c, "GET", path, NULL, ret_root);
}

/* ---- commands that are one list ---- */

struct listing {
    const char *verb, *path, *list; /* the key of the list in the answer */
    const struct cp_column *columns;
    size_t n;
    const char *what;
};

static const struct cp_column command_columns[] = {
    { "COMMAND", "command_id", CP_CELL_TEXT },    { "ACTION", "action", CP_CELL_TEXT },
    { "STATE", "state", CP_CELL_TEXT },           { "TARGET", "target_node_id", CP_CELL_TEXT },
    { "SOURCE", "source_node_id", CP_CELL_TEXT }, { "PRIORITY", "priority", CP_CELL_NUMBER },
    { "CHUNK", "chunk_id", CP_CELL_TEXT },
};
static const struct cp_column operation_columns[] = {
    { "OPERATION", "operation_id", CP_CELL_TEXT },
    { "KIND", "kind", CP_CELL_TEXT },
    { "STATE", "state", CP_CELL_TEXT },
    { "DONE", "done", CP_CELL_NUMBER },
    { "TOTAL", "total", CP_CELL_NUMBER },
    { "FAILED", "failed", CP_CELL_NUMBER },
    { "CREATED", "created_at", CP_CELL_TEXT },
    { "MESSAGE", "message", CP_CELL_TEXT },
};
static const struct cp_column alert_columns[] = {
    { "ALERT", "alert", CP_CELL_TEXT },
    { "SUBJECT", "subject", CP_CELL_TEXT },
    { "SINCE", "since", CP_CELL_TEXT },
    { "TEXT", "text", CP_CELL_TEXT },
};
static const struct cp_column group_columns[] = {
    { "GROUP", "group_id", CP_CELL_TEXT },
    { "NAME", "name", CP_CELL_TEXT },
    { "PREFIX", "prefix", CP_CELL_TEXT },
    { "CREATED", "created_at", CP_CELL_TEXT },
};
static const struct cp_column zone_columns[] = {
    { "ZONE", "zone", CP_CELL_TEXT },
    { "NODES", "nodes", CP_CELL_NUMBER },
    { "ALIVE", "alive", CP_CELL_NUMBER },
    { "RELAYS", "relays", CP_CELL_NUMBER },
    { "FROM PEERS", "peer_bytes", CP_CELL_BYTES },
    { "FROM ORIGIN", "origin_bytes", CP_CELL_BYTES },
};
static const struct cp_column edge_columns[] = {
    { "FROM", "from", CP_CELL_TEXT },
    { "ZONE", "from_zone", CP_CELL_TEXT },
    { "TO", "to", CP_CELL_TEXT },
    { "ZONE", "to_zone", CP_CELL_TEXT },
    { "VIA", "via", CP_CELL_TEXT },
    { "BLOCKS", "blocks", CP_CELL_NUMBER },
    { "A SECOND", "rate_bytes_s", CP_CELL_BYTES },
};
static const struct cp_column object_columns[] = {
    { "OBJECT", "object", CP_CELL_TEXT },   { "HEAT", "heat", CP_CELL_NUMBER },
    { "CHUNKS", "chunks", CP_CELL_NUMBER }, { "COPIES", "locations", CP_CELL_NUMBER },
    { "NAME", "name", CP_CELL_TEXT },
};
static const struct cp_column audit_columns[] = {
    { "AT", "at", CP_CELL_TEXT },
    { "WHO", "who", CP_CELL_TEXT },
    { "WHAT", "what", CP_CELL_TEXT },
    { "TEXT", "text", CP_CELL_TEXT },
};
static const struct cp_column policy_columns[] = {
    { "PREFIX", "prefix", CP_CELL_TEXT },
    { "MIN", "min_copies", CP_CELL_NUMBER },
    { "MAX", "max_copies", CP_CELL_NUMBER },
};

static const struct listing listings[] = {
    { "commands", "/api/v1/commands", "commands", command_columns, EL_COUNT(command_columns),
      "what nodes were told to do" },
    { "operations", "/api/v1/operations", "operations", operation_columns,
      EL_COUNT(operation_columns),
      "snapshots, replays, prefetches, drains, backups, and how far they are" },
    { "alerts", "/api/v1/alerts", "alerts", alert_columns, EL_COUNT(alert_columns),
      "what somebody should look at" },
    { "groups", "/api/v1/groups", "groups", group_columns, EL_COUNT(group_columns),
      "groups of nodes" },
    { "zones", "/api/v1/zones", "zones", zone_columns, EL_COUNT(zone_columns),
      "zones and what they took from where" },
    { "edges", "/api/v1/edges", "edges", edge_columns, EL_COUNT(edge_columns),
      "which nodes take blocks from which" },
    { "objects", "/api/v1/objects/hottest", "objects", object_columns, EL_COUNT(object_columns),
      "the hottest objects" },
    { "policies", "/api/v1/policies", "policies", policy_columns, EL_COUNT(policy_columns),
      "policies by prefix" },
    { "audit", "/api/v1/audit", "entries", audit_columns, EL_COUNT(audit_columns),
      "who changed what" },
};

static int run_listing(struct cli *c, const struct listing *l)
{
    json_t *root = NULL;
    int rc = get(c, l->path, &root);

    if (rc != EL_CLI_OK)
        return rc;
    if (c->is_json)
        return print_json(root);
    cp_cli_table(json_object_get(root, l->list), l->columns, l->n, stdout);
    json_decref(root);
    return EL_CLI_OK;
}

/* ---- nodes ---- */

static const struct cp_column node_columns[] = {
    { "NODE", "node_id", CP_CELL_TEXT },          { "NAME", "name", CP_CELL_TEXT },
    { "STATE", "state", CP_CELL_TEXT },           { "ZONE", "zone", CP_CELL_TEXT },
    { "ADDRESS", "address", CP_CELL_TEXT },       { "HEALTH", "health", CP_CELL_NUMBER },
    { "CHUNKS", "total_chunks", CP_CELL_NUMBER }, { "MEMORY", "memory_used_mb", CP_CELL_MIB },
    { "DISK", "disk_used_mb", CP_CELL_MIB },      { "HITS", "cache_hit_rate", CP_CELL_PERCENT },
    { "LAST SEEN", "last_seen", CP_CELL_TEXT },
};

static int compare_nodes(const void *a, const void *b)
{
    return strcmp(cp_cli_text(*(json_t *const *)a, "node_id"),
                  cp_cli_text(*(json_t *const *)b, "node_id"));
}

/* By name; a new reference. */
static json_t *sorted(const json_t *list)
{
    size_t n = json_array_size(list);
    const json_t **v = el_try_alloc((n + 1) * sizeof(const json_t *));
    json_t *ret = json_array();

    EL_ASSERT(v != NULL && ret != NULL);
    for (size_t i = 0; i < n; i++)
        v[i] = json_array_get(list, i);
    qsort(v, n, sizeof(*v), compare_nodes);
    for (size_t i = 0; i < n; i++)
        EL_ASSERT(json_array_append(ret, (json_t *)(uintptr_t)v[i]) == 0);
    free(v);
    return ret;
}

static int run_nodes(struct cli *c)
{
    struct el_buf path = { 0 };
    json_t *root = NULL, *list;
    int rc;

    el_buf_add_str(&path, EL_STR("/api/v1/nodes?"));
    if (c->state != NULL) {
        char *escaped = escape(c->state);

        el_buf_addf(&path, "state=%s&", escaped);
        free(escaped);
    }
    if (c->zone != NULL) {
        char *escaped = escape(c->zone);

        el_buf_addf(&path, "zone=%s&", escaped);
        free(escaped);
    }
    rc = get(c, path.p, &root);
    el_buf_deinit(&path);
    if (rc != EL_CLI_OK || c->is_json)
        return rc != EL_CLI_OK ? rc : print_json(root);
    list = sorted(json_object_get(root, "nodes"));
    cp_cli_table(list, node_columns, EL_COUNT(node_columns), stdout);
    json_decref(list);
    json_decref(root);
    return EL_CLI_OK;
}

/* METHOD /api/v1/WHAT/ID[SUFFIX], and what it says. */
static int call_on(struct cli *c, const char *method, const char *what, const char *id,
                   const char *suffix)
{
    struct el_buf path = { 0 };
    json_t *root = NULL;
    char *escaped = escape(id);
    int rc;

    el_buf_addf(&path, "/api/v1/%s/%s%s", what, escaped, suffix);
    rc = call(c, method, path.p, NULL, &root);
    free(escaped);
    el_buf_deinit(&path);
    return rc == EL_CLI_OK ? print_json(root) : rc;
}

static int run_node(struct cli *c)
{
    if (c->n != 1)
        return usage(c, "node NODE");
    return call_on(c, "GET", "nodes", c->words[0], "");
}

/* ---- status ---- */

static void print_bytes(const char *what, const json_t *root, const char *path)
{
    char text[16];

    cp_cli_format_bytes(cp_cli_number(root, path), text);
    (void)printf("  %-9s%10s\n", what, text);
}

static void print_status(const json_t *status, const json_t *metrics)
{
    char text[16];

    (void)printf("cluster      ");
    el_cli_print_text(cp_cli_text(status, "cluster_id"), stdout);
    (void)printf(", %.0f nodes, %.0f active\n", cp_cli_number(metrics, "total_nodes"),
                 cp_cli_number(metrics, "active_nodes"));
    (void)printf("service      version %s, up %.0f s, store %s%s, %.0f alerts%s\n",
                 cp_cli_text(status, "version"), cp_cli_number(status, "uptime_seconds"),
                 cp_cli_text(status, "store.kind"),
                 json_is_true(cp_cli_at(status, "store.up")) ? "" : " DOWN",
                 cp_cli_number(status, "alerts"),
                 json_is_true(cp_cli_at(status, "open")) ? ", OPEN: there are no tokens" : "");
    cp_cli_format_bytes(cp_cli_number(status, "rss_bytes"), text);
    (void)printf("             %.0f requests, %s resident\n", cp_cli_number(status, "requests"),
                 text);
    (void)printf("chunks       %.0f, in %.0f places, %.0f with too few copies\n",
                 cp_cli_number(metrics, "total_chunks"),
                 cp_cli_number(metrics, "metrics.p2p.locations"),
                 cp_cli_number(metrics, "metrics.p2p.low_chunks"));
    (void)printf("commands     %.0f issued, %.0f done, %.0f failed, %.0f expired\n",
                 cp_cli_number(metrics, "commands_issued"),
                 cp_cli_number(metrics, "metrics.control_plane.commands_done"),
                 cp_cli_number(metrics, "metrics.control_plane.commands_failed"),
                 cp_cli_number(metrics, "metrics.control_plane.commands_expired"));
    (void)printf("nodes gave\n");
    print_bytes("memory", metrics, "metrics.cache.memory_bytes");
    print_bytes("disk", metrics, "metrics.cache.disk_bytes");
    print_bytes("peers", metrics, "metrics.p2p.peer_bytes");
    print_bytes("origin", metrics, "metrics.storage.origin_bytes");
}

static int run_status(struct cli *c)
{
    json_t *status = NULL, *metrics = NULL, *both;
    int rc = get(c, "/api/v1/status", &status);

    if (rc == EL_CLI_OK)
        rc = get(c, "/api/v1/metrics", &metrics);
    if (rc == EL_CLI_OK && c->is_json) {
        both = el_json_new();
        EL_ASSERT(json_object_set(both, "status", status) == 0);
        EL_ASSERT(json_object_set(both, "metrics", metrics) == 0);
        rc = print_json(both);
    } else if (rc == EL_CLI_OK) {
        print_status(status, metrics);
    }
    json_decref(status);
    json_decref(metrics);
    return rc;
}

static int run_top(struct cli *c)
{
    const struct timespec pause = { .tv_sec = TOP_S };
    int rc;

    if (c->is_json)
        return run_nodes(c);
    do {
        (void)fputs("\033[H\033[2J", stdout);
        rc = run_status(c);
        (void)fputc('\n', stdout);
        if (rc == EL_CLI_OK)
            rc = run_nodes(c);
        (void)fflush(stdout);
    } while (rc == EL_CLI_OK && nanosleep(&pause, NULL) == 0);
    return rc;
}

/* ---- what takes a while ---- */

static int run_snapshot(struct cli *c)
{
    json_t *body = el_json_new(), *root = NULL;
    int rc;

    if (c->n > 0)
        el_json_add_str(body, "entity_id", el_str_of(c->words[0]));
    rc = call(c, "POST", "/api/v1/operations/snapshot", body, &root);
    return rc == EL_CLI_OK ? print_json(root) : rc;
}

#define PREFETCH_USAGE "prefetch all|NODE|GROUP|ZONE URL..."

static int run_replay(struct cli *c)
{
    json_t *body, *root = NULL;
    int rc;

    if (c->n < 1 || c->n > 2)
        return usage(c, "replay SNAPSHOT [NODE|GROUP|ZONE]");
    body = el_json_new();
    el_json_add_str(body, "snapshot_id", el_str_of(c->words[0]));
    if (c->n == 2)
        el_json_add_str(body, "targets", el_str_of(c->words[1]));
    rc = call(c, "POST", "/api/v1/operations/replay", body, &root);
    return rc == EL_CLI_OK ? print_json(root) : rc;
}

static int run_prefetch(struct cli *c)
{
    json_t *body, *list, *root = NULL;
    int rc;

    if (c->n < 2)
        return usage(c, PREFETCH_USAGE);
    body = el_json_new();
    el_json_add_str(body, "targets", el_str_of(c->words[0]));
    list = el_json_child_list(body, "urls");
    for (size_t i = 1; i < c->n; i++) {
        json_t *url = json_string(c->words[i]);

        if (url == NULL) {
            json_decref(body);
            return usage(c, PREFETCH_USAGE);
        }
        EL_ASSERT(json_array_append_new(list, url) == 0);
    }
    rc = call(c, "POST", "/api/v1/operations/prefetch", body, &root);
    return rc == EL_CLI_OK ? print_json(root) : rc;
}

static int run_drain(struct cli *c)
{
    json_t *body, *list, *root = NULL;
    uint64_t max;
    int rc;

    if (c->n == 0)
        return usage(c, "drain NODE... [--max-unavailable=N]");
    body = el_json_new();
    list = el_json_child_list(body, "node_ids");
    for (size_t i = 0; i < c->n; i++) {
        json_t *id = json_string(c->words[i]);

        if (id == NULL) {
            json_decref(body);
            return usage(c, "drain NODE...: a node's id is plain text");
        }
        EL_ASSERT(json_array_append_new(list, id) == 0);
    }
    if (c->max_unavailable != NULL) {
        if (!el_str_u64(el_str_of(c->max_unavailable), 1000, &max)) {
            json_decref(body);
            return usage(c, "drain NODE... [--max-unavailable=N]");
        }
        el_json_add_u64(body, "max_unavailable", max);
    }
    rc = call(c, "POST", "/api/v1/operations/drain", body, &root);
    return rc == EL_CLI_OK ? print_json(root) : rc;
}

static int run_undrain(struct cli *c)
{
    if (c->n != 1)
        return usage(c, "undrain NODE");
    return call_on(c, "POST", "nodes", c->words[0], "/undrain");
}

static int run_cancel(struct cli *c)
{
    if (c->n != 1)
        return usage(c, "cancel OPERATION");
    return call_on(c, "POST", "operations", c->words[0], "/cancel");
}

static int run_backup(struct cli *c)
{
    json_t *root = NULL;
    int rc = call(c, "POST", "/api/v1/operations/backup", NULL, &root);

    return rc == EL_CLI_OK ? print_json(root) : rc;
}

/* ---- restore: no service runs then ---- */

static int run_restore(struct cli *c)
{
    char path[CP_BACKUP_PATH_MAX];
    struct el_error err = { 0 };

    if (c->n != 1)
        return usage(c, "restore FILE [--data-dir=DIR]");
    if (cp_backup_restore(c->words[0], c->data_dir != NULL ? c->data_dir : "/var/lib/eliocp", path,
                          &err) != EL_OK)
        return el_cli_complain(&c->conf, "%s", err.text);
    (void)printf("restored to %s; start the service now\n", path);
    return EL_CLI_OK;
}

/* ---- tokens ---- */

static const struct cp_column token_columns[] = {
    { "ROLE", "role", CP_CELL_TEXT },
    { "NAME", "name", CP_CELL_TEXT },
    { "CREATED", "created_at", CP_CELL_TEXT },
    { "EXPIRES", "expires_at", CP_CELL_TEXT },
};

static int create_token(struct cli *c)
{
    json_t *body = el_json_new(), *root = NULL;
    int rc;

    el_json_add_str(body, "role", el_str_of(c->role != NULL ? c->role : "reader"));
    if (c->n > 1)
        el_json_add_str(body, "name", el_str_of(c->words[1]));
    rc = call(c, "POST", "/api/v1/tokens", body, &root);
    if (rc != EL_CLI_OK || c->is_json)
        return rc != EL_CLI_OK ? rc : print_json(root);
    (void)printf("%s\n", cp_cli_text(root, "token"));
    (void)fprintf(stderr, "This is the only time that it is shown.\n");
    json_decref(root);
    return EL_CLI_OK;
}

static int run_token(struct cli *c)
{
    static const struct listing list = { "token",       "/api/v1/tokens",        "tokens",
                                         token_columns, EL_COUNT(token_columns), "" };
    const char *verb = c->n > 0 ? c->words[0] : "";
    struct el_buf what = { 0 };
    int rc;

    if (strcmp(verb, "list") == 0 && c->n == 1)
        return run_listing(c, &list);
    if (strcmp(verb, "create") == 0 && c->n <= 2)
        return create_token(c);
    if (strcmp(verb, "revoke") != 0 || c->n != 2 || c->role == NULL)
        return usage(c, "token list | token create [NAME] --role=operator|reader|node | "
                        "token revoke NAME --role=ROLE");
    el_buf_addf(&what, "tokens/%s", c->role);
    rc = call_on(c, "DELETE", what.p, c->words[1], "");
    el_buf_deinit(&what);
    return rc;
}

/* ---- configuration of nodes ---- */

#define CONFIG_USAGE "config [versions | push KEY=VALUE... | rollback VERSION]"

static const struct cp_column config_columns[] = {
    { "NODE", "node_id", CP_CELL_TEXT },
    { "NAME", "name", CP_CELL_TEXT },
    { "RUNS", "runs", CP_CELL_NUMBER },
    { "POLICIES", "policies", CP_CELL_NUMBER },
    { "AFTER ITS NEXT START", "pending", CP_CELL_TEXT },
    { "WHY NOT", "error", CP_CELL_TEXT },
};
static const struct cp_column version_columns[] = {
    { "VERSION", "version", CP_CELL_NUMBER },
    { "PUSHED", "changed_at", CP_CELL_TEXT },
    { "SETTINGS", "text", CP_CELL_TEXT },
};

/* What a line says of one node. */
static void add_running(json_t *list, const json_t *node)
{
    const json_t *config = json_object_get(node, "config");
    const json_t *pending = json_object_get(config, "pending");
    json_t *line = el_json_append_child(list);
    struct el_buf keys = { 0 };
    const char *error;

    for (size_t i = 0; i < json_array_size(pending); i++)
        el_buf_addf(&keys, "%s%s", i == 0 ? "" : " ",
                    json_string_value(json_array_get(pending, i)));
    el_json_add_str(line, "node_id", el_str_of(cp_cli_text(node, "node_id")));
    el_json_add_str(line, "name", el_str_of(cp_cli_text(node, "name")));
    el_json_add_u64(line, "runs", (uint64_t)json_integer_value(json_object_get(config, "version")));
    el_json_add_u64(line, "policies",
                    (uint64_t)json_integer_value(json_object_get(config, "policy_version")));
    el_json_add_str(line, "pending", el_buf_str(&keys));
    error = cp_cli_text(node, "config.error");
    el_json_add_str(line, "error",
                    el_str_of(*error != '\0' ? error : cp_cli_text(node, "config.policy_error")));
    el_buf_deinit(&keys);
}

static int list_running(struct cli *c)
{
    json_t *root = NULL, *lines = json_array();
    int rc = get(c, "/api/v1/nodes", &root);

    EL_ASSERT(lines != NULL);
    for (size_t i = 0; rc == EL_CLI_OK && i < json_array_size(json_object_get(root, "nodes")); i++)
        add_running(lines, json_array_get(json_object_get(root, "nodes"), i));
    json_decref(root);
    if (rc == EL_CLI_OK && c->is_json)
        return print_json(lines);
    if (rc == EL_CLI_OK)
        cp_cli_table(lines, config_columns, EL_COUNT(config_columns), stdout);
    json_decref(lines);
    return rc;
}

static int list_versions(struct cli *c)
{
    json_t *root = NULL, *list, *v;
    int rc = get(c, "/api/v1/config/versions", &root);
    size_t i;

    if (rc != EL_CLI_OK || c->is_json)
        return rc != EL_CLI_OK ? rc : print_json(root);
    list = json_object_get(root, "versions");
    json_array_foreach(list, i, v)
    {
        char *text = json_dumps(json_object_get(v, "settings"), 0);

        EL_ASSERT(text != NULL);
        el_json_add_str(v, "text", el_str_of(text));
        free(text);
    }
    cp_cli_table(list, version_columns, EL_COUNT(version_columns), stdout);
    json_decref(root);
    return EL_CLI_OK;
}

/* False: it is no KEY=VALUE in UTF-8, or the key is there already. */
static bool add_setting(json_t *settings, struct el_str word)
{
    size_t eq = el_str_find(word, '='), before = json_object_size(settings);
    struct el_str text = el_str_from(word, eq + 1);
    char *key = el_strndup(word.p, eq);
    bool is_added = eq < word.n &&
                    json_object_set_new(settings, key, json_stringn(text.p, text.n)) == 0 &&
                    json_object_size(settings) > before;

    free(key);
    return is_added;
}

/* NULL: there are none, or one is none. */
static json_t *settings_of(const struct cli *c)
{
    json_t *settings = el_json_new();

    for (size_t i = 1; i < c->n; i++) {
        if (add_setting(settings, el_str_of(c->words[i])))
            continue;
        json_decref(settings);
        return NULL;
    }
    if (c->n > 1)
        return settings;
    json_decref(settings);
    return NULL;
}

static int run_config(struct cli *c)
{
    const char *verb = c->n > 0 ? c->words[0] : "";
    json_t *body, *settings, *root = NULL;
    uint64_t version;
    int rc;

    if (c->n == 0)
        return list_running(c);
    if (strcmp(verb, "versions") == 0 && c->n == 1)
        return list_versions(c);
    body = el_json_new();
    if (strcmp(verb, "push") == 0 && (settings = settings_of(c)) != NULL) {
        EL_ASSERT(json_object_set_new(body, "settings", settings) == 0);
    } else if (strcmp(verb, "rollback") == 0 && c->n == 2 &&
               el_str_u64(el_str_of(c->words[1]), INT64_MAX, &version) && version > 0) {
        el_json_add_u64(body, "settings_of", version);
    } else {
        json_decref(body);
        return usage(c, CONFIG_USAGE);
    }
    rc = call(c, "PUT", "/api/v1/config", body, &root);
    return rc == EL_CLI_OK ? print_json(root) : rc;
}

/* ---- events ---- */

static void print_event(const json_t *e)
{
    const char *node = cp_cli_text(e, "node_id");

    (void)printf("%s  %-18s  ", cp_cli_text(e, "at"), cp_cli_text(e, "type"));
    el_cli_print_text(node[0] != '-' || node[1] != '\0' ? node : cp_cli_text(e, "subject"), stdout);
    (void)fputs("  ", stdout);
    el_cli_print_text(cp_cli_text(e, "text"), stdout);
    (void)fputc('\n', stdout);
}

static void print_events(const struct cli *c, const json_t *root)
{
    const json_t *list = json_object_get(root, "events");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i);

        if (!c->is_json) {
            print_event(e);
            continue;
        }
        (void)json_dumpf(e, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
    }
    (void)fflush(stdout);
}

static int run_events(struct cli *c)
{
    json_int_t after = 0;
    char stream[20] = "";
    int rc;

    do {
        struct el_buf path = { 0 };
        json_t *root = NULL;

        el_buf_addf(&path, "/api/v1/events?after=%" JSON_INTEGER_FORMAT "&wait_ms=%d%s%s", after,
                    c->follows ? 25000 : 0, stream[0] != '\0' ? "&stream=" : "", stream);
        rc = get(c, path.p, &root);
        el_buf_deinit(&path);
        if (rc != EL_CLI_OK)
            return rc;
        print_events(c, root);
        after = json_integer_value(json_object_get(root, "next"));
        (void)snprintf(stream, sizeof(stream), "%.16s", cp_cli_text(root, "stream"));
        json_decref(root);
    } while (c->follows && ferror(stdout) == 0);
    return rc;
}

/* ---- which command ---- */

struct command {
    const char *verb;
    int (*run)(struct cli *c);
    const char *synopsis, *what;
    bool is_offline;
};

static const struct command commands[] = {
    { "status", run_status, "status", "the cluster at a glance", false },
    { "top", run_top, "top", "the same with the nodes, every two seconds", false },
    { "nodes", run_nodes, "nodes [--state=S] [--zone=Z]", "the nodes", false },
    { "node", run_node, "node NODE", "all that is known of one", false },
    { "snapshot", run_snapshot, "snapshot [NODE|GROUP|PREFIX]", "keep which chunks there are now",
      false },
    { "replay", run_replay, "replay SNAPSHOT [NODE|GROUP|ZONE]", "have nodes fetch them", false },
    { "prefetch", run_prefetch, PREFETCH_USAGE, "have nodes load them", false },
    { "drain", run_drain, "drain NODE... [--max-unavailable=N]",
      "copy away what only they have, and give them no more", false },
    { "undrain", run_undrain, "undrain NODE", "it takes part again", false },
    { "cancel", run_cancel, "cancel OPERATION", "end it", false },
    { "backup", run_backup, "backup", "copy the state to a file beside it", false },
    { "restore", run_restore, "restore FILE [--data-dir=DIR]",
      "put such a file in place, while no service runs", true },
    { "token", run_token, "token list | create [NAME] --role=ROLE | revoke NAME --role=ROLE",
      "who may use the service", false },
    { "config", run_config, CONFIG_USAGE,
      "what nodes run of the pushed configuration; push another, all of it; push one that was",
      false },
    { "events", run_events, "events [-f]", "what has happened; -f: and goes on happening", false },
};

static const struct listing *find_listing(const char *verb)
{
    for (size_t i = 0; i < EL_COUNT(listings); i++) {
        if (strcmp(listings[i].verb, verb) == 0)
            return &listings[i];
    }
    return NULL;
}

static const struct command *find_command(const char *verb)
{
    for (size_t i = 0; i < EL_COUNT(commands); i++) {
        if (strcmp(commands[i].verb, verb) == 0)
            return &commands[i];
    }
    return NULL;
}

void cp_cli_help(FILE *out)
{
    (void)fputs("commands, which ask a running service:\n", out);
    for (size_t i = 0; i < EL_COUNT(commands); i++)
        (void)fprintf(out, "  eliocp %s\n      %s\n", commands[i].synopsis, commands[i].what);
    for (size_t i = 0; i < EL_COUNT(listings); i++)
        (void)fprintf(out, "  eliocp %s\n      %s\n", listings[i].verb, listings[i].what);
    (void)fputs("\n  --server=URL         the service (default " SERVER ")\n"
                "  --token-file=FILE    its first line is the token (default: " TOKEN ")\n"
                "  --ca-file=FILE       PEM bundle to verify https with\n"
                "  --json, --table      default: a table on a terminal, JSON elsewhere\n"
                "\nexit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 no service\n",
                out);
}

static int parse(struct cli *c, int argc, char *const argv[])
{
    c->is_json = isatty(STDOUT_FILENO) == 0;
    for (int i = 2; i < argc; i++) {
        if (take_option(c, argv[i]))
            continue;
        if (argv[i][0] == '-' || c->n == MAX_WORDS) {
            (void)el_cli_complain(&c->conf, "%s is no option; see eliocp help", argv[i]);
            return EL_CLI_USAGE;
        }
        c->words[c->n++] = argv[i];
    }
    return EL_CLI_OK;
}

static int run(struct cli *c)
{
    const struct command *command = find_command(c->conf.verb);
    const struct listing *listing = find_listing(c->conf.verb);
    int rc = EL_CLI_OK;

    if (command == NULL || !command->is_offline)
        rc = el_cli_new(&c->conf, &c->api);
    if (rc == EL_CLI_OK)
        rc = command != NULL ? command->run(c) : run_listing(c, listing);
    el_cli_free(c->api);
    return el_cli_flush(&c->conf) == EL_CLI_OK ? rc : EL_CLI_FAILED;
}

int cp_cli_run(int argc, char *const argv[])
{
    struct cli c = { .conf = { .program = &program, .verb = argv[1] } };
    int rc;

    if (strcmp(argv[1], "help") == 0) {
        cp_cli_help(stdout);
        return EL_CLI_OK;
    }
    if (find_command(argv[1]) == NULL && find_listing(argv[1]) == NULL) {
        (void)fprintf(stderr, "eliocp: there is no command %s; see eliocp help\n", argv[1]);
        return EL_CLI_USAGE;
    }
    rc = parse(&c, argc, argv);
    return rc == EL_CLI_OK ? run(&c) : rc;
}
