/* SPDX-License-Identifier: MIT */
/*
 * conf_push: configuration that a control plane pushes to nodes: as JSON on the wire, an object
 * {"section.key": text, number, true or false}; as lines section.key=VALUE for
 * el_conf_load_pushed() and in the node's state directory. Policies are a list of objects with
 * "prefix" and "settings" {"key": ...}; as lines, [policy PREFIX] and key=VALUE. Pure.
 */
#pragma once

#include "common/conf.h"
#include "common/json.h"

#define EL_PUSHED_MAX 65536u /* bytes of either form */

/* EL_ECONF: a value is of another kind, or could not be a line. */
enum el_err el_conf_push_lines(const json_t *settings, struct el_buf *ret_lines,
                               struct el_error *err);
/* The policies that have settings; what else they say is not for nodes. */
enum el_err el_conf_push_policies(const json_t *policies, struct el_buf *ret_lines,
                                  struct el_error *err);
/* Whether a policy with settings can have that prefix. EL_ECONF says why not. */
enum el_err el_conf_push_check_prefix(const char *text, struct el_error *err);
/* Whether nodes of this version could take it, with defaults for all else. EL_ECONF says why not.
 */
enum el_err el_conf_push_check(struct el_str lines, struct el_error *err);
