/* SPDX-License-Identifier: MIT */
/*
 * keys: access keys and their secrets, from a file like AWS's own:
 *
 *     [name]                      for the operator, each name once
 *     access_key = AKIA...        or aws_access_key_id
 *     secret_key = ...            or aws_secret_access_key
 *
 * Lines that are empty or begin with '#' or ';' say nothing. Immutable once read. Pure.
 */
#pragma once

#include "common/err.h"
#include "common/str.h"

struct proxy_keys;

/* EL_ECONF names the file and the line, and never shows what stands there. */
enum el_err proxy_keys_parse(const char *file, struct el_str text, struct proxy_keys **ret_keys,
                             struct el_error *err);
void proxy_keys_free(struct proxy_keys *k); /* wipes the secrets; NULL is fine */

size_t proxy_keys_count(const struct proxy_keys *k);
/* False when the key is not listed. The secret is borrowed as long as the keys. */
bool proxy_keys_find(const struct proxy_keys *k, struct el_str access_key,
                     struct el_str *ret_secret);
