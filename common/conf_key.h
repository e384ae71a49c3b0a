/* SPDX-License-Identifier: MIT */
/*
 * conf_key: one key of the configuration, described: where its value lies, what it may be, and how
 * text becomes a value and back. Private to conf.c and conf_policy.c, which have the tables.
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"

enum el_conf_type {
    EL_KEY_STR,
    EL_KEY_SECRET,
    EL_KEY_INT,
    EL_KEY_REAL,
    EL_KEY_BOOL,
    EL_KEY_ENUM,
};

struct el_conf_key {
    const char *section, *name, *alias, *help;
    enum el_conf_type type;
    size_t offset; /* in the struct that is handed in as `c` below */
    bool reloads;
    const char *str_default;        /* STR */
    uint64_t int_default, min, max; /* INT; BOOL and ENUM use the default */
    double real_default, real_min, real_max;
    const char *words; /* ENUM: "a|b|c" */
};

void el_conf_key_set_default(void *c, const struct el_conf_key *k);
/* EL_ECONF names `where`, the key, the value unless it is a secret, and what is allowed; nothing is
 * set then. */
enum el_err el_conf_key_set(void *c, const struct el_conf_key *k, struct el_str v,
                            const char *where, struct el_error *err);
bool el_conf_key_is_same(const void *a, const void *b, const struct el_conf_key *k);
void el_conf_key_copy(void *to, const void *from, const struct el_conf_key *k);
void el_conf_key_deinit(void *c, const struct el_conf_key *k);

/* Of a secret only whether it is set. */
void el_conf_key_add_value(struct el_buf *out, const void *c, const struct el_conf_key *k);
void el_conf_key_add_allowed(struct el_buf *out, const struct el_conf_key *k);
/* What somebody wrote, quoted for an error: bounded, and nothing a terminal would act on. */
void el_conf_key_add_shown(struct el_buf *out, struct el_str v);
