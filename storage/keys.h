/* SPDX-License-Identifier: MIT */
/*
 * keys: an access key that requests are signed with, and where it is read from: a file like AWS's
 * ~/.aws/credentials, with profiles.
 *
 *     [default]
 *     aws_access_key_id = AKIDEXAMPLE
 *     aws_secret_access_key = ...
 *     aws_session_token = ...             (of a session only)
 */
#pragma once

#include "common/err.h"
#include "common/log.h"

struct store_keys {
    struct el_secret id, secret, token; /* token: empty when there is none */
};

void store_keys_deinit(struct store_keys *keys);

/*
 * The keys of a profile in the text of such a file. EL_ECONF names path and line, or what is
 * missing, and nothing of what the file holds. Lines that say other things are passed over. Pure.
 */
enum el_err store_keys_parse(struct el_str text, const char *path, struct el_str profile,
                             struct store_keys *ret_keys, struct el_error *err);
/* The same of a file; `what` says in an error what named it. */
enum el_err store_keys_read(const char *what, const char *path, struct el_str profile,
                            struct store_keys *ret_keys, struct el_error *err);
