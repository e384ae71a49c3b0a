/* SPDX-License-Identifier: MIT */
/*
 * conf: the table of conf_list.h turned into code. Each key has one descriptor; a value reaches it
 * as text from one of three places, weakest first (file, environment, command line), so the last
 * one to set a key wins. Every text is checked by the same function, which also knows how to say
 * what would have been allowed.
 */
#include "common/conf.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>

#include "common/buf.h"

#define ENV_PREFIX "ELIOP2P_"
#define WIDTH      100

enum type { STR, INT, REAL, BOOL, ENUM };

struct key {
    const char *section, *name, *alias, *help;
    enum type type;
    size_t offset; /* in struct el_conf */
    bool reloads;
    const char *str_default;        /* STR */
    uint64_t int_default, min, max; /* INT; BOOL and ENUM use the default */
    double real_default, real_min, real_max;
    const char *words; /* ENUM: "a|b|c" */
};

#define AT(s, n) .section = #s, .name = #n, .offset = offsetof(struct el_conf, s##_##n)

static const struct key keys[] = {
#define EL_CONF_STR(s, n, d, r, a, h) \
    { AT(s, n), .type = STR, .str_default = (d), .reloads = (r), .alias = (a), .help = (h) },
#define EL_CONF_INT(s, n, d, lo, hi, r, a, h)                       \
    { AT(s, n),    .type = INT,    .int_default = (d), .min = (lo), \
      .max = (hi), .reloads = (r), .alias = (a),       .help = (h) },
#define EL_CONF_REAL(s, n, d, lo, hi, r, a, h)                                 \
    { AT(s, n),         .type = REAL,   .real_default = (d), .real_min = (lo), \
      .real_max = (hi), .reloads = (r), .alias = (a),        .help = (h) },
#define EL_CONF_BOOL(s, n, d, r, a, h) \
    { AT(s, n), .type = BOOL, .int_default = (d), .reloads = (r), .alias = (a), .help = (h) },
#define EL_CONF_ENUM(s, n, d, w, r, a, h)                             \
    { AT(s, n),       .type = ENUM, .int_default = (d), .words = (w), \
      .reloads = (r), .alias = (a), .help = (h) },
#include "common/conf_list.h"
#undef EL_CONF_STR
#undef EL_CONF_INT
#undef EL_CONF_REAL
#undef EL_CONF_BOOL
#undef EL_CONF_ENUM
};

/* ---- where a key's value lies ---- */

static void *place(const struct el_conf *c, const struct key *k)
{
    return (char *)(uintptr_t)c + k->offset;
}

static char **str_at(const struct el_conf *c, const struct key *k)
{
    return place(c, k);
}

static uint64_t *int_at(const struct el_conf *c, const struct key *k)
{
    return place(c, k);
}

static double *real_at(const struct el_conf *c, const struct key *k)
{
    return place(c, k);
}

static bool *bool_at(const struct el_conf *c, const struct key *k)
{
    return place(c, k);
}

static unsigned *enum_at(const struct el_conf *c, const struct key *k)
{
    return place(c, k);
}

static void set_str(struct el_conf *c, const struct key *k, struct el_str v)
{
    char *copy = el_strndup(v.p, v.n);

    free(*str_at(c, k));
    *str_at(c, k) = copy;
}

static void set_default(struct el_conf *c, const struct key *k)
{
    switch (k->type) {
    case STR:
        set_str(c, k, el_str_of(k->str_default));
        return;
    case INT:
        *int_at(c, k) = k->int_default;
        return;
    case REAL:
        *real_at(c, k) = k->real_default;
        return;
    case BOOL:
        *bool_at(c, k) = k->int_default != 0;
        return;
    case ENUM:
        *enum_at(c, k) = (unsigned)k->int_default;
        return;
    }
}

/* ---- text of a value, and of what is allowed ---- */

static struct el_str word_at(const struct key *k, unsigned index)
{
    struct el_str rest = el_str_of(k->words), word = { NULL, 0 };

    for (unsigned i = 0; i <= index; i++) {
        if (!el_str_split(&rest, '|', &word))
            return (struct el_str){ NULL, 0 };
    }
    return word;
}

static void add_value(struct el_buf *out, const struct el_conf *c, const struct key *k)
{
    switch (k->type) {
    case STR:
        el_buf_add_str(out, el_str_of(*str_at(c, k)));
        return;
    case INT:
        el_buf_add_u64(out, *int_at(c, k));
        return;
    case REAL:
        el_buf_addf(out, "%g", *real_at(c, k));
        return;
    case BOOL:
        el_buf_add_str(out, *bool_at(c, k) ? EL_STR("true") : EL_STR("false"));
        return;
    case ENUM:
        el_buf_add_str(out, word_at(k, *enum_at(c, k)));
        return;
    }
}

static void add_allowed(struct el_buf *out, const struct key *k)
{
    struct el_str rest, word;
    const char *before = "";

    switch (k->type) {
    case STR:
        el_buf_add_str(out, EL_STR("text"));
        return;
    case INT:
        if (k->min == k->max)
            el_buf_addf(out, "%" PRIu64 " only", k->min);
        else
            el_buf_addf(out, "%" PRIu64 " to %" PRIu64, k->min, k->max);
        return;
    case REAL:
        el_buf_addf(out, "%g to %g", k->real_min, k->real_max);
        return;
    case BOOL:
        el_buf_add_str(out, EL_STR("true, false"));
        return;
    case ENUM:
        rest = el_str_of(k->words);
        while (el_str_split(&rest, '|', &word)) {
            el_buf_addf(out, "%s%.*s", before, EL_STR_ARG(word));
            before = ", ";
        }
        return;
    }
}

/* ENV_PREFIX, section and name in upper case. */
static void add_env(struct el_buf *out, const struct key *k)
{
    size_t from = out->n;

    el_buf_addf(out, ENV_PREFIX "%s_%s", k->section, k->name);
    for (size_t i = from; i < out->n; i++)
        out->p[i] = (char)toupper((unsigned char)out->p[i]);
}

/* ---- setting a key from text ---- */

static bool parse_real(struct el_str v, const struct key *k, double *ret)
{
    char text[64], *end;
    double d;

    if (v.n == 0 || v.n >= sizeof(text) || isspace((unsigned char)v.p[0]))
        return false;
    memcpy(text, v.p, v.n);
    text[v.n] = '\0';
    errno = 0;
    d = strtod(text, &end);
    if (errno != 0 || *end != '\0' || !(d >= k->real_min && d <= k->real_max))
        return false;
    *ret = d;
    return true;
}

static bool parse_bool(struct el_str v, bool *ret)
{
    static const char *const yes[] = { "true", "yes", "on", "1" };
    static const char *const no[] = { "false", "no", "off", "0" };

    for (size_t i = 0; i < EL_COUNT(yes); i++) {
        bool is_yes = el_str_ieq(v, el_str_of(yes[i]));

        if (is_yes || el_str_ieq(v, el_str_of(no[i]))) {
            *ret = is_yes;
            return true;
        }
    }
    return false;
}

static bool parse_enum(struct el_str v, const struct key *k, unsigned *ret)
{
    struct el_str word;

    for (unsigned i = 0; (word = word_at(k, i)).n > 0; i++) {
        if (el_str_ieq(word, v)) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool parse(struct el_conf *c, const struct key *k, struct el_str v)
{
    uint64_t n;

    switch (k->type) {
    case STR:
        set_str(c, k, v);
        return true;
    case INT:
        if (!el_str_u64(v, k->max, &n) || n < k->min)
            return false;
        *int_at(c, k) = n;
        return true;
    case REAL:
        return parse_real(v, k, real_at(c, k));
    case BOOL:
        return parse_bool(v, bool_at(c, k));
    case ENUM:
        return parse_enum(v, k, enum_at(c, k));
    }
    return false;
}

static enum el_err set(struct el_conf *c, const struct key *k, struct el_str v, const char *where,
                       struct el_error *err)
{
    struct el_buf allowed = { 0 };
    enum el_err rc;

    if (parse(c, k, v))
        return EL_OK;
    add_allowed(&allowed, k);
    rc = el_fail(err, EL_ECONF, 0, "%s: %s.%s = \"%.*s\": allowed is %s", where, k->section,
                 k->name, EL_STR_ARG(v), allowed.p);
    el_buf_deinit(&allowed);
    return rc;
}

static const struct key *find(struct el_str section, struct el_str name)
{
    for (size_t i = 0; i < EL_COUNT(keys); i++) {
        if (el_str_eq(section, el_str_of(keys[i].section)) &&
            el_str_eq(name, el_str_of(keys[i].name)))
            return &keys[i];
    }
    return NULL;
}

/* ---- the file ---- */

struct reading {
    struct el_conf *conf;
    const char *path;
    struct el_error *err;
    enum el_err rc;
    int line;
};

static int on_line(void *user, const char *section, const char *name, const char *value, int line)
{
    struct reading *r = user;
    const struct key *k = find(el_str_of(section), el_str_of(name));
    struct el_buf where = { 0 };

    el_buf_addf(&where, "%s:%d", r->path, line);
    if (k == NULL)
        r->rc = el_fail(r->err, EL_ECONF, 0, "%s: there is no key %s.%s", where.p, section, name);
    else
        r->rc = set(r->conf, k, el_str_of(value), where.p, r->err);
    el_buf_deinit(&where);
    return r->rc == EL_OK;
}

/* The parser's own way to pass the line number to the handler is a compile time choice: count here.
 */
struct lines {
    FILE *file;
    struct reading *reading;
};

static char *next_line(char *text, int size, void *stream)
{
    struct lines *l = stream;

    l->reading->line++;
    return fgets(text, size, l->file);
}

static int on_pair(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;

    return on_line(r, section, name, value == NULL ? "" : value, r->line);
}

static enum el_err read_file(struct el_conf *c, const char *path, struct el_error *err)
{
    struct reading r = { .conf = c, .path = path, .err = err };
    struct lines lines = { .file = fopen(path, "re"), .reading = &r };
    int bad;

    if (lines.file == NULL)
        return el_fail(err, EL_ECONF, errno, "open %s", path);
    bad = ini_parse_stream(next_line, &lines, on_pair, &r);
    (void)fclose(lines.file);
    if (r.rc == EL_OK && bad != 0)
        r.rc = el_fail(err, EL_ECONF, 0, "%s:%d: neither [section] nor key = value", path, bad);
    return r.rc;
}

/* ---- the environment ---- */

static bool is_env_of(const struct key *k, struct el_str name)
{
    struct el_buf env = { 0 };
    bool is_it;

    add_env(&env, k);
    is_it = el_str_eq(el_buf_str(&env), name) ||
            (k->alias != NULL && el_str_eq(el_str_of(k->alias), name));
    el_buf_deinit(&env);
    return is_it;
}

static enum el_err set_from_env(struct el_conf *c, struct el_str name, struct el_str value,
                                struct el_error *err)
{
    struct el_buf where = { 0 };
    enum el_err rc = EL_OK;
    size_t i = 0;

    while (i < EL_COUNT(keys) && !is_env_of(&keys[i], name))
        i++;
    el_buf_addf(&where, "environment variable %.*s", EL_STR_ARG(name));
    if (i == EL_COUNT(keys))
        rc = el_fail(err, EL_ECONF, 0, "%s: there is no such key", where.p);
    else
        rc = set(c, &keys[i], value, where.p, err);
    el_buf_deinit(&where);
    return rc;
}

static enum el_err read_env(struct el_conf *c, char *const env[], struct el_error *err)
{
    enum el_err rc = EL_OK;

    for (size_t i = 0; rc == EL_OK && env[i] != NULL; i++) {
        struct el_str entry = el_str_of(env[i]);
        size_t eq = el_str_find(entry, '=');
        struct el_str name = el_str_first(entry, eq);

        if (el_str_starts(name, EL_STR(ENV_PREFIX)) &&
            !el_str_eq(name, EL_STR(ENV_PREFIX "CONFIG")))
            rc = set_from_env(c, name, el_str_from(entry, eq + 1), err);
    }
    return rc;
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

    for (size_t i = 0; i < EL_COUNT(switches); i++) {
        if (el_str_eq(arg, el_str_of(switches[i].name))) {
            *switches[i].flag = true;
            return true;
        }
    }
    if (!el_str_starts(arg, EL_STR("--config=")))
        return false;
    free(a->file);
    a->file = el_strndup(arg.p + 9, arg.n - 9);
    return true;
}

static enum el_err set_from_arg(struct el_conf *c, struct el_str arg, struct el_error *err)
{
    size_t eq = el_str_find(arg, '='), dot = el_str_find(arg, '.');
    const struct key *k = NULL;

    if (!el_str_starts(arg, EL_STR("--")))
        return el_fail(err, EL_ECONF, 0, "command line: \"%.*s\" is not an option; see --help",
                       EL_STR_ARG(arg));
    if (dot < eq)
        k = find(el_str_first(el_str_from(arg, 2), dot - 2),
                 el_str_from(el_str_first(arg, eq), dot + 1));
    if (k == NULL)
        return el_fail(err, EL_ECONF, 0, "command line: there is no option %.*s; see --help",
                       EL_STR_ARG(el_str_first(arg, eq)));
    if (eq == arg.n)
        return el_fail(err, EL_ECONF, 0, "command line: %.*s wants a value: %.*s=VALUE",
                       EL_STR_ARG(arg), EL_STR_ARG(arg));
    return set(c, k, el_str_from(arg, eq + 1), "command line", err);
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

static const char *file_from_env(char *const env[])
{
    for (size_t i = 0; env[i] != NULL; i++) {
        if (strncmp(env[i], ENV_PREFIX "CONFIG=", sizeof(ENV_PREFIX "CONFIG=") - 1) == 0)
            return env[i] + sizeof(ENV_PREFIX "CONFIG=") - 1;
    }
    return NULL;
}

static enum el_err read_all(struct el_conf *c, int argc, char *const argv[], char *const env[],
                            struct el_conf_args *args, struct el_error *err)
{
    const char *file = file_from_env(env);
    enum el_err rc = EL_OK;

    for (int i = 1; i < argc; i++)
        (void)take_switch(args, el_str_of(argv[i]));
    if (args->file == NULL && file != NULL)
        args->file = el_strndup(file, strlen(file));
    if (args->file != NULL)
        rc = read_file(c, args->file, err);
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
    struct el_conf *c = el_new(struct el_conf);
    struct el_conf_args args = { 0 };
    enum el_err rc;

    for (size_t i = 0; i < EL_COUNT(keys); i++)
        set_default(c, &keys[i]);
    rc = read_all(c, argc, argv, env, &args, err);
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
        if (keys[i].type == STR)
            free(*str_at(c, &keys[i]));
    }
    free(c);
}

void el_conf_args_deinit(struct el_conf_args *a)
{
    free(a->file);
    *a = (struct el_conf_args){ 0 };
}

static bool is_same(const struct el_conf *a, const struct el_conf *b, const struct key *k)
{
    struct el_buf x = { 0 }, y = { 0 };
    bool same;

    add_value(&x, a, k);
    add_value(&y, b, k);
    same = el_str_eq(el_buf_str(&x), el_buf_str(&y));
    el_buf_deinit(&x);
    el_buf_deinit(&y);
    return same;
}

void el_conf_reload(struct el_conf *c, const struct el_conf *fresh,
                    void (*changed_but_fixed)(const char *key))
{
    for (size_t i = 0; i < EL_COUNT(keys); i++) {
        const struct key *k = &keys[i];
        struct el_buf text = { 0 };

        if (is_same(c, fresh, k))
            continue;
        if (k->reloads) {
            add_value(&text, fresh, k);
            EL_ASSERT(parse(c, k, el_buf_str(&text)));
        } else {
            el_buf_addf(&text, "%s.%s", k->section, k->name);
            changed_but_fixed(text.p);
        }
        el_buf_deinit(&text);
    }
}

/* ---- for people ---- */

static bool begins_section(size_t i)
{
    return i == 0 || strcmp(keys[i].section, keys[i - 1].section) != 0;
}

void el_conf_print(const struct el_conf *c, FILE *out)
{
    for (size_t i = 0; i < EL_COUNT(keys); i++) {
        struct el_buf value = { 0 };

        add_value(&value, c, &keys[i]);
        if (begins_section(i))
            (void)fprintf(out, "%s[%s]\n", i == 0 ? "" : "\n", keys[i].section);
        (void)fprintf(out, "%s = %s\n", keys[i].name, value.n > 0 ? value.p : "");
        el_buf_deinit(&value);
    }
}

static void add_default(struct el_buf *out, const struct key *k)
{
    struct el_conf c = { 0 };

    set_default(&c, k);
    add_value(out, &c, k);
    if (k->type == STR)
        free(*str_at(&c, k));
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

static void help_key(FILE *out, const struct key *k)
{
    struct el_buf line = { 0 };

    (void)fprintf(out, "  --%s.%s=VALUE\n", k->section, k->name);
    print_wrapped(out, el_str_of(k->help), 6);
    el_buf_add_str(&line, EL_STR("default \""));
    add_default(&line, k);
    el_buf_add_str(&line, EL_STR("\"; allowed: "));
    add_allowed(&line, k);
    el_buf_add_str(&line, EL_STR("; environment: "));
    add_env(&line, k);
    if (k->alias != NULL)
        el_buf_addf(&line, " or %s", k->alias);
    print_wrapped(out, el_buf_str(&line), 6);
    el_buf_deinit(&line);
}

void el_conf_help(FILE *out)
{
    (void)fputs(
        "usage: elionode [--section.key=VALUE ...] [--config=FILE]\n"
        "       elionode get URL [-o FILE]   fetch through the running node; see elionode get --help\n"
        "\n"
        "  --config=FILE             read FILE first (environment: " ENV_PREFIX "CONFIG)\n"
        "  --check-config            check the configuration and exit\n"
        "  --print-config            print the configuration in effect and exit\n"
        "  --print-config-markdown   print the tables of docs/configuration.md and exit\n"
        "  --version                 print the version and exit\n"
        "  --help                    print this and exit\n"
        "\n"
        "The command line wins over the environment, the environment over the file.\n",
        out);
    for (size_t i = 0; i < EL_COUNT(keys); i++) {
        if (begins_section(i))
            (void)fprintf(out, "\n%s:\n", keys[i].section);
        help_key(out, &keys[i]);
    }
}

static void markdown_row(FILE *out, const struct key *k)
{
    struct el_buf row = { 0 };

    el_buf_addf(&row, "| `%s.%s` | `", k->section, k->name);
    add_default(&row, k);
    el_buf_add_str(&row, EL_STR("` | "));
    add_allowed(&row, k);
    el_buf_addf(&row, " | %s | %s%s%s%s |\n", k->reloads ? "reload" : "restart", k->help,
                k->alias != NULL ? " (also `" : "", k->alias != NULL ? k->alias : "",
                k->alias != NULL ? "`)" : "");
    (void)fputs(row.p, out);
    el_buf_deinit(&row);
}

void el_conf_markdown(FILE *out)
{
    for (size_t i = 0; i < EL_COUNT(keys); i++) {
        if (begins_section(i))
            (void)fprintf(out,
                          "%s### %s\n\n| key | default | allowed | applied by | meaning |\n"
                          "|---|---|---|---|---|\n",
                          i == 0 ? "" : "\n", keys[i].section);
        markdown_row(out, &keys[i]);
    }
}
