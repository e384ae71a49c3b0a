/* SPDX-License-Identifier: MIT */
/*
 * access: who may ask the node API for what.
 *
 * With tokens (admin.tokens_file), a line each, "TOKEN ROLE":
 *
 *   TOKEN   16 characters or more (RFC 6750: letters, digits, -._~+/ and = at the end), or sha256:
 *           and the SHA-256 of it in hexadecimal, so that the file gives nothing away
 *   ROLE    reader: looks; operator: looks and changes
 *
 * Empty lines and those that begin with '#' say nothing. Without tokens whoever reaches the port
 * looks, and who comes from this machine itself, and is no web page, changes.
 *
 * Pure. What a file lists is immutable once read.
 */
#pragma once

#include "common/err.h"
#include "common/fields.h"

enum proxy_role { PROXY_ROLE_NONE, PROXY_ROLE_READER, PROXY_ROLE_OPERATOR };

struct proxy_tokens;

/* EL_ECONF names the file and the line, and never shows what stands there. */
enum el_err proxy_tokens_parse(const char *file, struct el_str text,
                               struct proxy_tokens **ret_tokens, struct el_error *err);
void proxy_tokens_free(struct proxy_tokens *t); /* NULL is fine; wiped */

struct proxy_access_ask {
    enum proxy_role need;
    const struct proxy_tokens *tokens; /* NULL: there are none */
    struct el_fieldv fields;
    bool is_local; /* the peer is this machine */
};

/* A page in a browser on this machine reaches loopback too: browsers say where a POST comes from.
 */
bool proxy_access_is_of_a_page(struct el_fieldv fields);

/* NULL: granted. Otherwise why not, and *ret_status: 401 or 403. */
const char *proxy_access_judge(const struct proxy_access_ask *ask, int *ret_status);
