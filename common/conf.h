/* SPDX-License-Identifier: MIT */
/*
 * conf: every key of elionode once, in conf_list.h, and of eliocp, in conf_cp_list.h: section,
 * name, type, default, range, help. From these tables come the struct below, parsing, --help,
 * --print-config and docs/configuration.md.
 *
 * Precedence: command line, then environment, then file, then default. Each key section.name has
 * the option --section.name=VALUE and the variable ELIOP2P_SECTION_NAME (of eliocp:
 * ELIOCP_SECTION_NAME); the documented short names
 * (a third spelling in the table) stay valid. Unknown keys and bad values are errors that say the
 * key, the value, what is allowed, and the line of the file or the variable; so is a key that a
 * file or the environment sets twice. Secrets come from file and environment only, since others can
 * read a command line, and are never shown.
 */
#pragma once

#include <stdio.h>

#include "common/err.h"
#include "common/log.h"

/* proxy.auth, storage.type and storage.addressing, in the order of their words; general.log_level
 * is an enum el_log_level. */
enum el_proxy_auth { EL_PROXY_AUTH_NONE, EL_PROXY_AUTH_BASIC, EL_PROXY_AUTH_BEARER };
enum el_storage_type { EL_STORAGE_S3, EL_STORAGE_OSS, EL_STORAGE_HTTP };
enum el_addressing { EL_ADDRESSING_AUTO, EL_ADDRESSING_PATH, EL_ADDRESSING_VIRTUAL };

/* auth.mode, and auth of a policy. */
enum el_auth { EL_AUTH_ORIGIN, EL_AUTH_TRUST, EL_AUTH_DENY };

/* grant of a policy. */
enum el_grant_reach { EL_GRANT_OBJECT, EL_GRANT_PREFIX };

/*
 * One [policy PREFIX] section of the file: what holds for the part of an origin whose URLs begin
 * with the prefix. The keys stand in conf_policy_list.h; one without has_<name> is not set.
 */
struct el_conf_policy {
    char *prefix;   /* owned; an http or https URL without query */
    bool is_pushed; /* by a control plane, about what no section of the file is about */
#define EL_CONF_INT(section, name, ...) \
    uint64_t name;                      \
    bool has_##name;
#define EL_CONF_BOOL(section, name, ...) bool name, has_##name;
#define EL_CONF_ENUM(section, name, ...)      \
    unsigned name; /* index into its words */ \
    bool has_##name;
#include "common/conf_policy_list.h"
#undef EL_CONF_INT
#undef EL_CONF_BOOL
#undef EL_CONF_ENUM
};

enum el_conf_program { EL_CONF_ELIONODE, EL_CONF_ELIOCP };

/* EL_CONF_<TYPE>(section, name, ...): see conf_list.h for the columns. What the program has no keys
 * for has its default. */
struct el_conf {
    enum el_conf_program program;
#define EL_CONF_STR(section, name, ...) \
    char *section##_##name; /* owned, never NULL, "" when unset */
#define EL_CONF_SECRET(section, name, ...) struct el_secret section##_##name;
#define EL_CONF_INT(section, name, ...)    uint64_t section##_##name;
#define EL_CONF_REAL(section, name, ...)   double section##_##name;
#define EL_CONF_BOOL(section, name, ...)   bool section##_##name;
#define EL_CONF_ENUM(section, name, ...)   unsigned section##_##name; /* index into its words */
#include "common/conf_cp_list.h"
#include "common/conf_list.h"
#undef EL_CONF_STR
#undef EL_CONF_SECRET
#undef EL_CONF_INT
#undef EL_CONF_REAL
#undef EL_CONF_BOOL
#undef EL_CONF_ENUM

    struct el_conf_policy *policies; /* owned; in the order of the file */
    size_t n_policies;
};

/* What the command line asks for besides keys. */
struct el_conf_args {
    char *file; /* --config=FILE, else ELIOP2P_CONFIG; owned; NULL: none */
    bool help, version, check, print, print_markdown;
};

/*
 * Reads file, environment and argv (argv[0] is skipped; arguments without leading "--" are an
 * error). `environ` style array in env. On success *ret_conf and *ret_args are the caller's. What
 * asks for no configuration (help, version, print_markdown) gets the defaults: somebody whose file
 * is wrong can still read the help.
 */
enum el_err el_conf_load(int argc, char *const argv[], char *const env[], struct el_conf **ret_conf,
                         struct el_conf_args *ret_args, struct el_error *err);
enum el_err el_conf_load_of(enum el_conf_program program, int argc, char *const argv[],
                            char *const env[], struct el_conf **ret_conf,
                            struct el_conf_args *ret_args, struct el_error *err);
/*
 * The same with what a control plane has pushed, lines section.key=VALUE (conf_push.h): it wins
 * over the file, and the environment and the command line over it. Lines [policy PREFIX] may
 * follow, each with lines key=VALUE: policies beside those of the file.
 */
enum el_err el_conf_load_pushed(enum el_conf_program program, int argc, char *const argv[],
                                char *const env[], struct el_str pushed, struct el_conf **ret_conf,
                                struct el_conf_args *ret_args, struct el_error *err);
void el_conf_free(struct el_conf *c); /* NULL is fine */
void el_conf_args_deinit(struct el_conf_args *a);

void el_conf_print(const struct el_conf *c, FILE *out); /* INI */
/* Every option with default and range; the tables of docs/configuration.md. */
void el_conf_help_of(enum el_conf_program program, FILE *out);
void el_conf_markdown_of(enum el_conf_program program, FILE *out);

/*
 * Copies what may change while running from `fresh` into `c`; calls changed_but_fixed for each key
 * that differs and needs a restart.
 */
void el_conf_reload(struct el_conf *c, const struct el_conf *fresh,
                    void (*changed_but_fixed)(void *arg, const char *key), void *arg);
