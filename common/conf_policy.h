/* SPDX-License-Identifier: MIT */
/*
 * conf_policy: the [policy PREFIX] sections of the configuration file (struct el_conf_policy in
 * conf.h). Private to conf.c.
 */
#pragma once

#include "common/conf.h"
#include "common/conf_key.h"

#define EL_CONF_MAX_POLICIES 1000

/* EL_ECONF: it is no URL without a query. */
enum el_err el_conf_policy_check_prefix(struct el_str prefix, const char *where,
                                        struct el_error *err);
/* A new section; the keys that follow are its. EL_ECONF: the prefix is no URL, or is there twice in
 * the file or in what was pushed. */
enum el_err el_conf_policy_begin(struct el_conf *c, struct el_str prefix, bool is_pushed,
                                 const char *where, struct el_error *err);
/* Into the section that was begun last. Who may do what is not pushed. */
enum el_err el_conf_policy_set(struct el_conf *c, struct el_str name, struct el_str value,
                               const char *where, struct el_error *err);
/* What each section alone does not show. EL_ECONF: two of the file, or two that were pushed, are
 * about the same in other words; a prefix is ambiguous; keys exclude each other. */
enum el_err el_conf_policy_check(const struct el_conf *c, struct el_error *err);
/* `c` gets copies in place of its own. */
void el_conf_policy_copy_all(struct el_conf *c, const struct el_conf *from);
void el_conf_policy_free_all(struct el_conf *c);
void el_conf_policy_print_all(const struct el_conf *c, FILE *out);
/* The keys; NULL behind the last. */
const struct el_conf_key *el_conf_policy_key(size_t i);
