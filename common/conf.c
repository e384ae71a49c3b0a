/* SPDX-License-Identifier: MIT */
/*
 * conf: the table of conf_list.h turned into code. Each key has one descriptor; a value reaches it
 * as text from one of four places, weakest first (file, what was pushed, environment, command
 * line), so the last one to set a key wins. Every text is checked by the same function, which also
 * knows how to say what would have been allowed.
 */
#include "common/conf.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>

#include "common/buf.h"
#include "common/conf_key.h"
#include "common/conf_policy.h"

#define WIDTH 100
/* The parser of the file takes lines of 198 bytes; a longer value is written over several. */
#define FILE_WIDTH 190

/* clang-format off */
#define KEY(s, n, t, r, a, h, ...)                                                       \
    { .section = #s, .name = #n, .offset = offsetof(struct el_conf, s##_##n), .type = t, \
      .reloads = (r), .alias = (a), .help = (h), __VA_ARGS__ },

static const struct el_conf_key keys[] = {
#define EL_CONF_STR(s, n, d, r, a, h)          KEY(s, n, EL_KEY_STR, r, a, h, .str_default = (d))
#define EL_CONF_SECRET(s, n, r, a, h)          KEY(s, n, EL_KEY_SECRET, r, a, h, .str_default = "")
#define EL_CONF_INT(s, n, d, lo, hi, r, a, h)  KEY(s, n, EL_KEY_INT, r, a, h, .int_default = (d), .min = (lo), .max = (hi))
#define EL_CONF_REAL(s, n, d, lo, hi, r, a, h) KEY(s, n, EL_KEY_REAL, r, a, h, .real_default = (d), .real_min = (lo), .real_max = (hi))
#define EL_CONF_BOOL(s, n, d, r, a, h)         KEY(s, n, EL_KEY_BOOL, r, a, h, .int_default = (d))
#define EL_CONF_ENUM(s, n, d, w, r, a, h)      KEY(s, n, EL_KEY_ENUM, r, a, h, .int_default = (d), .words = (w))
#include "common/conf_list.h"
#include "common/conf_cp_list.h"
#undef EL_CONF_STR
#undef EL_CONF_SECRET
#undef EL_CONF_INT
#undef EL_CONF_REAL
#undef EL_CONF_BOOL
#undef EL_CONF_ENUM
};
/* clang-format on */

enum {
    NODE_KEYS = 0
#define EL_CONF_STR(...)    +1
#define EL_CONF_SECRET(...) +1
#define EL_CONF_INT(...)    +1
#define EL_CONF_REAL(...)   +1
#define EL_CONF_BOOL(...)   +1
#define EL_CONF_ENUM(...)   +1
#include "common/conf_list.h"
#undef EL_CONF_STR
#undef EL_CONF_SECRET
#undef EL_CONF_INT
#undef EL_CONF_REAL
#undef EL_CONF_BOOL
#undef EL_CONF_ENUM
};

/* Its keys are those from first to before end. */
static const struct program {
    const char *name, *env_prefix;
    const char *usage;
    const char *own_env; /* begins with the prefix too, and is no key but a secret of the client */
    size_t first, end;
    bool has_policies;
    bool has_short_options; /* ELIOCP_DATA_DIR is --data-dir as well */
} programs[] = {
    [EL_CONF_ELIONODE] = {
        .name = "elionode",
        .env_prefix = "ELIOP2P_",
        .usage = "usage: elionode [--section.key=VALUE ...] [--config=FILE]\n"
                 "       elionode get URL [-o FILE]   fetch through the running node; see elionode get --help\n",
        .own_env = "ADMIN_TOKEN",
        .end = NODE_KEYS,
        .has_policies = true,
    },
    [EL_CONF_ELIOCP] = {
        .name = "eliocp",
        .env_prefix = "ELIOCP_",
        .usage = "usage: eliocp [--section.key=VALUE ...] [--config=FILE]\n"
                 "       eliocp status|nodes|...      ask the running service; see eliocp help\n",
        .own_env = "TOKEN",
        .first = NODE_KEYS,
        .end = EL_COUNT(keys),
        .has_short_options = true,
    },
};

/* env_prefix, section and name in upper case. */
static void add_env(struct el_buf *out, const struct el_conf_key *k)
{
    size_t from = out->n;
    enum el_conf_program owner = k - keys < NODE_KEYS ? EL_CONF_ELIONODE : EL_CONF_ELIOCP;

    el_buf_addf(out, "%s%s_%s", programs[owner].env_prefix, k->section, k->name);
    for (size_t i = from; i < out->n; i++)
        out->p[i] = (char)toupper((unsigned char)out->p[i]);
}

static const struct el_conf_key *find(const struct program *p, struct el_str section,
                                      struct el_str name)
{
    for (size_t i = p->first; i < p->end; i++) {
        if (el_str_eq(section, el_str_of(keys[i].section)) &&
            el_str_eq(name, el_str_of(keys[i].name)))
            return &keys[i];
    }
    return NULL;
}

/* ---- the file ---- */

/*
 * inih reads lines through next_line() and hands pairs to on_pair(). It has two habits that would
 * change values without a word: a line longer than its buffer falls apart, and an indented line
 * replaces the value before it. So long lines are refused, and an indented line goes on with a
 * value only when that value ends with a comma; otherwise the indent is taken off.
 */
struct reading {
    FILE *file;
    const char *path;
    struct el_conf *conf;
    bool seen[EL_COUNT(keys)];
    const struct el_conf_key *open; /* its value ends with a comma */
    bool continues;                 /* this line goes on with the value of `open` */
    bool is_in_policy;
    int line;
    enum el_err rc; /* of the first bad line, which ends the reading */
    struct el_error *err;
};

static enum el_err refuse_line(struct reading *r, int line, const char *why)
{
    return el_fail(r->err, EL_ECONF, 0, "%s:%d: %s", r->path, line, why);
}

static void skip_line(FILE *file)
{
    int c;

    do
        c = fgetc(file);
    while (c != '\n' && c != EOF);
}

/* False when the line is longer than the buffer; of a comment the beginning is enough. */
static bool is_whole(struct reading *r, const char *text, const char *start)
{
    size_t n = strlen(text);

    if ((n > 0 && text[n - 1] == '\n') || feof(r->file))
        return true;
    if (*start != '#' && *start != ';')
        return false;
    skip_line(r->file);
    return true;
}

/* Settles what the indent of a line with something on it means. */
static void read_indent(struct reading *r, char *text, const char *start)
{
    r->continues = r->open != NULL && start > text;
    if (r->continues)
        return;
    r->open = NULL;
    memmove(text, start, strlen(start) + 1);
}

/* What stands in the brackets of a section's line, without a comment behind them. */
static struct el_str section_of(struct el_str line)
{
    size_t end;

    for (size_t i = 1; i < line.n; i++) {
        if ((line.p[i] == ';' || line.p[i] == '#') &&
            (line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
            line.n = i;
    }
    for (end = line.n; end > 1 && line.p[end - 1] != ']';)
        end--;
    return end > 1 ? el_str_trim(el_str_from(el_str_first(line, end - 1), 1)) : EL_STR("");
}

/*
 * inih keeps 49 bytes of a section's name and ends it at the first "]", which an IPv6 address has:
 * a policy's prefix is read here, and inih sees "[policy]".
 */
static void read_section(struct reading *r, char *text, size_t size)
{
    const struct el_str word = EL_STR("policy");
    struct el_str name = section_of(el_str_of(text));
    struct el_buf where = { 0 };

    r->is_in_policy = el_str_starts(name, word) &&
                      (name.n == word.n || name.p[word.n] == ' ' || name.p[word.n] == '\t');
    if (!r->is_in_policy)
        return;
    el_buf_addf(&where, "%s:%d", r->path, r->line);
    r->rc = el_conf_policy_begin(r->conf, el_str_trim(el_str_from(name, word.n)), false, where.p,
                                 r->err);
    el_buf_deinit(&where);
    (void)snprintf(text, size, "[policy]\n");
}

static char *next_line(char *text, int size, void *stream)
{
    struct reading *r = stream;
    const char *start;

    if (r->rc != EL_OK || fgets(text, size, r->file) == NULL)
        return NULL;
    r->line++;
    start = text + strspn(text, " \t");
    if (!is_whole(r, text, start)) {
        r->rc = refuse_line(
            r, r->line,
            "the line is too long; break a list after a comma and indent the next line");
        return NULL;
    }
    if (strchr("#;\r\n", *start) == NULL)
        read_indent(r, text, start);
    if (*text == '[')
        read_section(r, text, (size_t)size);
    return r->rc == EL_OK ? text : NULL;
}

/* inih leaves a comment behind a value to us when the line is indented. */
static struct el_str without_comment(struct el_str value)
{
    for (size_t i = 1; i < value.n; i++) {
        if (value.p[i] == ';' && (value.p[i - 1] == ' ' || value.p[i - 1] == '\t'))
            return el_str_trim(el_str_first(value, i));
    }
    return value;
}

static enum el_err append(struct reading *r, const char *where, struct el_str more)
{
    struct el_buf all = { 0 };
    enum el_err rc;

    el_conf_key_add_value(&all, r->conf, r->open);
    el_buf_add_str(&all, more);
    rc = el_conf_key_set(r->conf, r->open, el_buf_str(&all), where, r->err);
    el_buf_deinit(&all);
    return rc;
}

static enum el_err set_from_line(struct reading *r, const char *where, const char *section,
                                 const char *name, struct el_str value)
{
    const struct el_conf_key *k =
        find(&programs[r->conf->program], el_str_of(section), el_str_of(name));

    if (r->is_in_policy)
        return el_conf_policy_set(r->conf, el_str_of(name), value, where, r->err);
    if (*section == '\0')
        return el_fail(r->err, EL_ECONF, 0, "%s: %s stands before the first [section]", where,
                       name);
    if (k == NULL)
        return el_fail(r->err, EL_ECONF, 0, "%s: there is no key %s.%s", where, section, name);
    if (r->seen[k - keys])
        return el_fail(r->err, EL_ECONF, 0, "%s: %s.%s is set again", where, section, name);
    r->seen[k - keys] = true;
    r->open = k->type == EL_KEY_STR ? k : NULL;
    return el_conf_key_set(r->conf, k, value, where, r->err);
}

static int on_pair(void *user, const char *section, const char *name, const char *text)
{
    struct reading *r = user;
    struct el_buf where = { 0 };
    struct el_str value = el_str_of(text);

    el_buf_addf(&where, "%s:%d", r->path, r->line);
    if (r->continues) {
        value = without_comment(value);
        r->rc = append(r, where.p, value);
    } else {
        r->rc = set_from_line(r, where.p, section, name, value);
    }
    if (value.n == 0 || value.p[value.n - 1] != ',')
        r->open = NULL;
    el_buf_deinit(&where);
    return r->rc == EL_OK;
}

static enum el_err read_file(struct el_conf *c, const char *path, struct el_error *err)
{
    struct reading r = { .file = fopen(path, "re"), .path = path, .conf = c, .err = err };
    int bad;

    if (r.file == NULL)
        return el_fail(err, EL_ECONF, errno, "open the configuration file \"%s\"", path);
    bad = ini_parse_stream(next_line, &r, on_pair, &r);
    if (ferror(r.file))
        r.rc = el_fail(err, EL_ECONF, errno, "read the configuration file \"%s\"", path);
    /* A line that inih could not read, unless on_pair() refused one first. */
    else if (bad > 0 && (r.rc == EL_OK || bad < r.line))
        r.rc = refuse_line(&r, bad, "neither [section] nor key = value");
    (void)fclose(r.file);
    return r.rc;
}

/* ---- what was pushed ---- */

/*
 * How a node works may be said from afar. Where it is reached, where it keeps what it has, what it
 * is called, and who may do what, is said where it runs.
 */
static bool may_push(const struct el_conf_key *k)
{
    static const char *const never[] = { "proxy.listen_port",    "proxy.tls_port",
                                         "proxy.auth",           "p2p.listen_port",
                                         "p2p.enable",           "storage.type",
                                         "storage.insecure_tls", "storage.addressing" };
    static const char *const sections[] = { "cache", "p2p", "proxy", "storage" };
    char name[64];
    bool is_open = el_str_starts(el_str_of(k->name), EL_STR("log_"));

    (void)snprintf(name, sizeof(name), "%s.%s", k->section, k->name);
    for (size_t i = 0; i < EL_COUNT(never); i++) {
        if (strcmp(name, never[i]) == 0)
            return false;
    }
    for (size_t i = 0; i < EL_COUNT(sections); i++)
        is_open = is_open || strcmp(k->section, sections[i]) == 0;
    return is_open && k->type != EL_KEY_STR && k->type != EL_KEY_SECRET;
}

static enum el_err set_pushed(struct el_conf *c, struct el_str line, struct el_error *err)
{
    size_t dot = el_str_find(line, '.'), eq = el_str_find(line, '=');
    struct el_str key = el_str_first(line, eq);
    const struct el_conf_key *k =
        dot < eq ? find(&programs[c->program], el_str_first(key, dot), el_str_from(key, dot + 1))
                 : NULL;
    struct el_buf shown = { 0 };
    enum el_err rc;

    el_conf_key_add_shown(&shown, key);
    if (k == NULL)
        rc = el_fail(err, EL_ECONF, 0, "settings: there is no key %s", shown.p);
    else if (!may_push(k))
        rc = el_fail(err, EL_ECONF, 0, "settings: %s is not set from afar", shown.p);
    else
        rc = el_conf_key_set(c, k, el_str_from(line, eq + 1), "settings", err);
    el_buf_deinit(&shown);
    return rc;
}

/* [policy PREFIX] */
static enum el_err begin_pushed_policy(struct el_conf *c, struct el_str line, struct el_error *err)
{
    const struct el_str word = EL_STR("[policy ");

    if (!el_str_starts(line, word) || line.p[line.n - 1] != ']')
        return el_fail(err, EL_ECONF, 0, "settings: a section is no policy");
    line = el_str_from(el_str_first(line, line.n - 1), word.n);
    return el_conf_policy_begin(c, line, true, "policies", err);
}

/* Of the policy that was begun last. */
static enum el_err set_pushed_policy(struct el_conf *c, struct el_str line, struct el_error *err)
{
    const char *prefix = c->policies[c->n_policies - 1].prefix;
    size_t eq = el_str_find(line, '=');
    struct el_buf where = { 0 };
    enum el_err rc;

    el_buf_addf(&where, "policy %s", prefix);
    rc = el_conf_policy_set(c, el_str_first(line, eq),
                            el_str_from(line, el_min_size(eq + 1, line.n)), where.p, err);
    el_buf_deinit(&where);
    return rc;
}

static enum el_err read_pushed(struct el_conf *c, struct el_str lines, struct el_error *err)
{
    bool is_in_policy = false;
    enum el_err rc = EL_OK;
    struct el_str line;

    while (rc == EL_OK && el_str_split(&lines, '\n', &line)) {
        if (line.n > 0 && line.p[0] == '[') {
            rc = begin_pushed_policy(c, line, err);
            is_in_policy = true;
        } else if (line.n > 0) {
            rc = is_in_policy ? set_pushed_policy(c, line, err) : set_pushed(c, line, err);
        }
    }
    return rc;
}

/* ---- the environment ---- */

static bool is_env_of(const struct el_conf_key *k, struct el_str name)
{
    struct el_buf env = { 0 };
    bool is_it;

    add_env(&env, k);
    is_it = el_str_eq(el_buf_str(&env), name) ||
            (k->alias != NULL && el_str_eq(el_str_of(k->alias), name));
    el_buf_deinit(&env);
    return is_it;
}

static const struct el_conf_key *find_env(const struct program *p, struct el_str name)
{
    for (size_t i = p->first; i < p->end; i++) {
        if (is_env_of(&keys[i], name))
            return &keys[i];
    }
    return NULL;
}

static enum el_err set_from_env(struct el_conf *c, bool *seen, struct el_str name,
                                struct el_str value, struct el_error *err)
{
    const struct el_conf_key *k = find_env(&programs[c->program], name);
    struct el_buf where = { 0 };
    enum el_err rc;

    el_buf_addf(&where, "environment variable %.*s", EL_STR_ARG(name));
    if (k == NULL)
        rc = el_fail(err, EL_ECONF, 0, "%s: there is no such key", where.p);
    else if (seen[k - keys])
        rc = el_fail(err, EL_ECONF, 0, "%s: another variable sets %s.%s already", where.p,
                     k->section, k->name);
    else
        rc = el_conf_key_set(c, k, value, where.p, err);
    if (k != NULL)
        seen[k - keys] = true;
    el_buf_deinit(&where);
    return rc;
}

/* PREFIX_WORD */
static bool is_own(const struct program *p, struct el_str name, const char *word)
{
    struct el_str prefix = el_str_of(p->env_prefix);

    return el_str_starts(name, prefix) && el_str_eq(el_str_from(name, prefix.n), el_str_of(word));
}

static enum el_err read_env(struct el_conf *c, char *const env[], struct el_error *err)
{
    const struct program *p = &programs[c->program];
    bool seen[EL_COUNT(keys)] = { false };
    enum el_err rc = EL_OK;

    for (size_t i = 0; rc == EL_OK && env[i] != NULL; i++) {
        struct el_str entry = el_str_of(env[i]);
        size_t eq = el_str_find(entry, '=');
        struct el_str name = el_str_first(entry, eq);

        if (el_str_starts(name, el_str_of(p->env_prefix)) && !is_own(p, name, "CONFIG") &&
            !is_own(p, name, p->own_env))
            rc = set_from_env(c, seen, name, el_str_from(entry, eq + 1), err);
    }
    return rc;
}

/* What platforms that run services set; weaker than our own variables. */
static enum el_err read_port_env(struct el_conf *c, char *const env[], struct el_error *err)
{
    const struct el_conf_key *k = find(&programs[c->program], EL_STR("service"), EL_STR("port"));
    const struct el_str prefix = EL_STR("PORT=");

    for (size_t i = 0; k != NULL && env[i] != NULL; i++) {
        struct el_str entry = el_str_of(env[i]);

        if (el_str_starts(entry, prefix))
            return el_conf_key_set(c, k, el_str_from(entry, prefix.n), "environment variable PORT",
                                   err);
    }
    return EL_OK;
}

/* ---- the command line ---- */

static bool take_switch(struct el_conf_args *a, struct el_str arg)
{
    const struct {
        const char *name;
        bool *flag;
    } switches[] = {
        { "--help", &a->help },
        { "--version", &a->version },
        { "--check-config", &a->check },
        { "--print-config", &a->print },
        { "--print-config-markdown", &a->print_markdown },
    };
    const struct el_str config = EL_STR("--config=");

    for (size_t i = 0; i < EL_COUNT(switches); i++) {
        if (el_str_eq(arg, el_str_of(switches[i].name))) {
            *switches[i].flag = true;
            return true;
        }
    }
    if (!el_str_starts(arg, config))
        return false;
    free(a->file);
    a->file = el_strndup(arg.p + config.n, arg.n - config.n);
    return true;
}

static enum el_err refuse_arg(struct el_str arg, const char *why, struct el_error *err)
{
    struct el_buf shown = { 0 };
    enum el_err rc;

    el_conf_key_add_shown(&shown, arg);
    rc = el_fail(err, EL_ECONF, 0, "command line: %s %s", shown.p, why);
    el_buf_deinit(&shown);
    return rc;
}

/* --data-dir, for ELIOCP_DATA_DIR */
static const struct el_conf_key *find_short(const struct program *p, struct el_str option)
{
    size_t prefix = strlen(p->env_prefix);

    for (size_t i = p->first; p->has_short_options && i < p->end; i++) {
        const char *alias = keys[i].alias != NULL ? keys[i].alias + prefix : "";
        size_t n = 0;

        while (n < option.n && alias[n] != '\0' &&
               option.p[n] == (alias[n] == '_' ? '-' : tolower((unsigned char)alias[n])))
            n++;
        if (n > 0 && n == option.n && alias[n] == '\0')
            return &keys[i];
    }
    return NULL;
}

static enum el_err set_from_arg(struct el_conf *c, struct el_str arg, struct el_error *err)
{
    const struct program *p = &programs[c->program];
    size_t eq = el_str_find(arg, '='), dot = el_str_find(arg, '.');
    const struct el_conf_key *k = NULL;

    if (!el_str_starts(arg, EL_STR("--")))
        return refuse_arg(arg, "is not an option; see --help", err);
    if (dot < eq)
        k = find(p, el_str_from(el_str_first(arg, dot), 2),
                 el_str_from(el_str_first(arg, eq), dot + 1));
    else
        k = find_short(p, el_str_from(el_str_first(arg, eq), 2));
    if (eq == arg.n && (k != NULL || el_str_eq(arg, EL_STR("--config"))))
        return refuse_arg(arg, "wants its value behind a =, as in --section.key=VALUE", err);
    if (k == NULL)
        return refuse_arg(el_str_first(arg, eq), "is no option of this program; see --help", err);
    if (k->type == EL_KEY_SECRET)
        return refuse_arg(el_str_first(arg, eq),
                          "is a secret: others can read a command line; set it in the file or in "
                          "the environment",
                          err);
    return el_conf_key_set(c, k, el_str_from(arg, eq + 1), "command line", err);
}

/* ---- all of it ---- */

static enum el_err check_together(const struct el_conf *c, struct el_error *err)
{
    if (c->cache_eviction_target >= c->cache_eviction_threshold)
        return el_fail(err, EL_ECONF, 0,
                       "cache.eviction_target = %g has to be below cache.eviction_threshold = %g",
                       c->cache_eviction_target, c->cache_eviction_threshold);
    if ((c->proxy_tls_cert[0] == '\0') != (c->proxy_tls_key[0] == '\0'))
        return el_fail(err, EL_ECONF, 0,
                       "proxy.tls_cert and proxy.tls_key are set together or not at all");
    return EL_OK;
}

/* NULL when it is not set. */
static const char *file_from_env(const struct program *p, char *const env[])
{
    for (size_t i = 0; env[i] != NULL; i++) {
        struct el_str entry = el_str_of(env[i]);
        size_t eq = el_str_find(entry, '=');

        if (eq < entry.n && is_own(p, el_str_first(entry, eq), "CONFIG"))
            return env[i] + eq + 1;
    }
    return NULL;
}

static enum el_err read_all(struct el_conf *c, int argc, char *const argv[], char *const env[],
                            struct el_str pushed, struct el_conf_args *args, struct el_error *err)
{
    const char *file = file_from_env(&programs[c->program], env);
    enum el_err rc = EL_OK;

    for (int i = 1; i < argc; i++)
        (void)take_switch(args, el_str_of(argv[i]));
    if (args->help || args->version || args->print_markdown)
        return EL_OK;
    if (args->file == NULL && file != NULL)
        args->file = el_strndup(file, strlen(file));
    if (args->file != NULL)
        rc = read_file(c, args->file, err);
    if (rc == EL_OK)
        rc = read_pushed(c, pushed, err);
    if (rc == EL_OK)
        rc = read_port_env(c, env, err);
    if (rc == EL_OK)
        rc = read_env(c, env, err);
    for (int i = 1; rc == EL_OK && i < argc; i++) {
        if (!take_switch(args, el_str_of(argv[i])))
            rc = set_from_arg(c, el_str_of(argv[i]), err);
    }
    return rc == EL_OK ? check_together(c, err) : rc;
}

enum el_err el_conf_load(int argc, char *const argv[], char *const env[], struct el_conf **ret_conf,
                         struct el_conf_args *ret_args, struct el_error *err)
{
    return el_conf_load_of(EL_CONF_ELIONODE, argc, argv, env, ret_conf, ret_args, err);
}

enum el_err el_conf_load_of(enum el_conf_program program, int argc, char *const argv[],
                            char *const env[], struct el_conf **ret_conf,
                            struct el_conf_args *ret_args, struct el_error *err)
{
    return el_conf_load_pushed(program, argc, argv, env, EL_STR(""), ret_conf, ret_args, err);
}

enum el_err el_conf_load_pushed(enum el_conf_program program, int argc, char *const argv[],
                                char *const env[], struct el_str pushed, struct el_conf **ret_conf,
                                struct el_conf_args *ret_args, struct el_error *err)
{
    struct el_conf *c = el_new(struct el_conf);
    struct el_conf_args args = { 0 };
    enum el_err rc;

    c->program = program;
    for (size_t i = 0; i < EL_COUNT(keys); i++)
        el_conf_key_set_default(c, &keys[i]);
    rc = read_all(c, argc, argv, env, pushed, &args, err);
    if (rc != EL_OK) {
        el_conf_args_deinit(&args);
        el_conf_free(c);
        return rc;
    }
    *ret_conf = c;
    *ret_args = args;
    return EL_OK;
}

void el_conf_free(struct el_conf *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < EL_COUNT(keys); i++) {
        el_conf_key_deinit(c, &keys[i]);
    }
    el_conf_policy_free_all(c);
    free(c);
}

void el_conf_args_deinit(struct el_conf_args *a)
{
    free(a->file);
    *a = (struct el_conf_args){ 0 };
}

void el_conf_reload(struct el_conf *c, const struct el_conf *fresh,
                    void (*changed_but_fixed)(void *arg, const char *key), void *arg)
{
    for (size_t i = 0; i < EL_COUNT(keys); i++) {
        const struct el_conf_key *k = &keys[i];
        struct el_buf name = { 0 };

        if (el_conf_key_is_same(c, fresh, k))
            continue;
        if (k->reloads) {
            el_conf_key_copy(c, fresh, k);
            continue;
        }
        el_buf_addf(&name, "%s.%s", k->section, k->name);
        changed_but_fixed(arg, name.p);
        el_buf_deinit(&name);
    }
    el_conf_policy_copy_all(c, fresh);
}

/* ---- for people ---- */

static bool begins_section(const struct program *p, size_t i)
{
    return i == p->first || strcmp(keys[i].section, keys[i - 1].section) != 0;
}

/* One line, or one per element of a list that is too long for one. */
static void print_pair(FILE *out, const struct el_conf_key *k, struct el_str value)
{
    bool is_long = strlen(k->name) + value.n > FILE_WIDTH;
    const char *before = " ";
    struct el_str part;

    (void)fprintf(out, "%s =", k->name);
    while (is_long && el_str_find(value, ',') < value.n && el_str_split(&value, ',', &part)) {
        (void)fprintf(out, "%s%.*s,", before, EL_STR_ARG(part));
        before = "\n    ";
    }
    (void)fprintf(out, "%s%.*s\n", value.n > 0 ? before : "", EL_STR_ARG(value));
}

void el_conf_print(const struct el_conf *c, FILE *out)
{
    const struct program *p = &programs[c->program];

    for (size_t i = p->first; i < p->end; i++) {
        struct el_buf value = { 0 };

        if (begins_section(p, i))
            (void)fprintf(out, "%s[%s]\n", i == p->first ? "" : "\n", keys[i].section);
        el_conf_key_add_value(&value, c, &keys[i]);
        print_pair(out, &keys[i], el_buf_str(&value));
        el_buf_deinit(&value);
    }
    el_conf_policy_print_all(c, out);
}

static void add_default(struct el_buf *out, const struct el_conf_key *k)
{
    struct el_conf c = { 0 };

    el_conf_key_set_default(&c, k);
    el_conf_key_add_value(out, &c, k);
    el_conf_key_deinit(&c, k);
}

/* Words of the text in lines of at most WIDTH columns, each indented. */
static void print_wrapped(FILE *out, struct el_str text, size_t indent)
{
    struct el_str word;
    size_t column = 0;

    while (el_str_split(&text, ' ', &word)) {
        if (column > 0 && column + 1 + word.n > WIDTH) {
            (void)fputc('\n', out);
            column = 0;
        }
        if (column == 0)
            column = (size_t)fprintf(out, "%*s", (int)indent, "");
        else
            column += (size_t)fprintf(out, " ");
        column += (size_t)fprintf(out, "%.*s", EL_STR_ARG(word));
    }
    (void)fputc('\n', out);
}

static void help_short(FILE *out, const struct program *p, const struct el_conf_key *k)
{
    if (!p->has_short_options || k->alias == NULL)
        return;
    (void)fputs(", --", out);
    for (const char *c = k->alias + strlen(p->env_prefix); *c != '\0'; c++)
        (void)fputc(*c == '_' ? '-' : tolower((unsigned char)*c), out);
    (void)fputs("=VALUE", out);
}

static void help_key(FILE *out, const struct program *p, const struct el_conf_key *k)
{
    struct el_buf line = { 0 };

    (void)fprintf(out, "  --%s.%s=VALUE", k->section, k->name);
    help_short(out, p, k);
    (void)fputc('\n', out);
    print_wrapped(out, el_str_of(k->help), 6);
    el_buf_add_str(&line, EL_STR("default \""));
    add_default(&line, k);
    el_buf_add_str(&line, EL_STR("\"; allowed: "));
    el_conf_key_add_allowed(&line, k);
    el_buf_add_str(&line, EL_STR("; environment: "));
    add_env(&line, k);
    if (k->alias != NULL)
        el_buf_addf(&line, " or %s", k->alias);
    print_wrapped(out, el_buf_str(&line), 6);
    el_buf_deinit(&line);
}

static void help_policies(FILE *out)
{
    const struct el_conf_key *k;

    (void)fputs("\nin sections [policy PREFIX] of the file; PREFIX is http://host/path:\n", out);
    for (size_t i = 0; (k = el_conf_policy_key(i)) != NULL; i++) {
        struct el_buf line = { 0 };

        (void)fprintf(out, "  %s = VALUE\n", k->name);
        print_wrapped(out, el_str_of(k->help), 6);
        el_buf_add_str(&line, EL_STR("allowed: "));
        el_conf_key_add_allowed(&line, k);
        print_wrapped(out, el_buf_str(&line), 6);
        el_buf_deinit(&line);
    }
}

void el_conf_help_of(enum el_conf_program program, FILE *out)
{
    const struct program *p = &programs[program];

    (void)fprintf(out,
                  "%s\n"
                  "  --config=FILE             read FILE first (environment: %sCONFIG)\n"
                  "  --check-config            check the configuration and exit\n"
                  "  --print-config            print the configuration in effect and exit\n"
                  "  --print-config-markdown   print the tables of docs/configuration.md and exit\n"
                  "  --version                 print the version and exit\n"
                  "  --help                    print this and exit\n"
                  "\n"
                  "The command line wins over the environment, the environment over %sthe file.\n",
                  p->usage, p->env_prefix,
                  program == EL_CONF_ELIONODE ? "what a control plane has\npushed, and that over "
                                              : "");
    for (size_t i = p->first; i < p->end; i++) {
        if (begins_section(p, i))
            (void)fprintf(out, "\n%s:\n", keys[i].section);
        help_key(out, p, &keys[i]);
    }
    if (p->has_policies)
        help_policies(out);
}

static void markdown_row(FILE *out, const struct el_conf_key *k)
{
    struct el_buf row = { 0 }, value = { 0 };

    add_default(&value, k);
    el_buf_addf(&row, "| `%s.%s` | ", k->section, k->name);
    if (value.n > 0)
        el_buf_addf(&row, "`%s`", value.p);
    else
        el_buf_add_str(&row, EL_STR("empty"));
    el_buf_add_str(&row, EL_STR(" | "));
    el_conf_key_add_allowed(&row, k);
    el_buf_add_str(&row, EL_STR(" | `"));
    add_env(&row, k);
    if (k->alias != NULL)
        el_buf_addf(&row, "`, `%s", k->alias);
    el_buf_addf(&row, "` | %s | %s |\n", k->reloads ? "reload" : "restart", k->help);
    (void)fputs(row.p, out);
    el_buf_deinit(&row);
    el_buf_deinit(&value);
}

static void markdown_policies(FILE *out)
{
    const struct el_conf_key *k;

    (void)fputs("\n### policy PREFIX\n\n| key | allowed | meaning |\n|---|---|---|\n", out);
    for (size_t i = 0; (k = el_conf_policy_key(i)) != NULL; i++) {
        struct el_buf allowed = { 0 };

        el_conf_key_add_allowed(&allowed, k);
        (void)fprintf(out, "| `%s` | %s | %s |\n", k->name, allowed.p, k->help);
        el_buf_deinit(&allowed);
    }
}

void el_conf_markdown_of(enum el_conf_program program, FILE *out)
{
    const struct program *p = &programs[program];

    for (size_t i = p->first; i < p->end; i++) {
        if (begins_section(p, i))
            (void)fprintf(out,
                          "%s### %s\n\n"
                          "| key | default | allowed | environment | applied by | meaning |\n"
                          "|---|---|---|---|---|---|\n",
                          i == p->first ? "" : "\n", keys[i].section);
        markdown_row(out, &keys[i]);
    }
    if (p->has_policies)
        markdown_policies(out);
}
