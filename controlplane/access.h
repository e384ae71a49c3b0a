/* SPDX-License-Identifier: MIT */
/*
 * access: who may ask the service for what.
 *
 * Tokens are those of access.tokens_file, a line each, "TOKEN ROLE", and those that the state
 * keeps (tokens.h). TOKEN is 16 characters or more (RFC 6750: letters, digits, -._~+/ and = at the
 * end), or sha256: and the SHA-256 of it in hexadecimal. ROLE is reader, operator, or node: one
 * with which any node registers. As long as there is none but those that nodes were given, the
 * service is open: whoever reaches it may do everything, but web pages of other hosts may not.
 *
 * Pure. What a file lists is immutable once read.
 */
#pragma once

#include "common/err.h"
#include "common/fields.h"
#include "controlplane/tokens.h"

enum cp_access_need {
    CP_NEED_NOTHING,
    CP_NEED_NODE,     /* any role, and in a path or body a node only itself */
    CP_NEED_OWN_NODE, /* the node that the path names, or an operator */
    CP_NEED_READER,
    CP_NEED_OPERATOR,
};

/*
 * Beside a need: also taken while the store has more to write than may wait for it, since it leaves
 * nothing that has to be durable, or no more than once for each thing that there is.
 */
#define CP_ALWAYS 0x100u

struct cp_who {
    bool is_open;                /* there are no tokens: everything */
    bool is_known;               /* a token says who; otherwise nothing below counts */
    bool is_listed;              /* in the file of tokens, which stays as it was read */
    uint8_t hash[CP_HASH_BYTES]; /* of the token */
    enum cp_role role;
    char name[CP_ID_MAX + 1]; /* of a node its id, empty: any node; of others for the audit log */
};

struct cp_file_tokens;

/* EL_ECONF names the file and the line, and never shows what stands there. */
enum el_err cp_file_tokens_parse(const char *file, struct el_str text,
                                 struct cp_file_tokens **ret_tokens, struct el_error *err);
void cp_file_tokens_free(struct cp_file_tokens *t); /* NULL is fine */
size_t cp_file_tokens_count(const struct cp_file_tokens *t);

/* Whether there is any token but those that belong to one node. t may be NULL. */
bool cp_access_is_closed(const struct cp_file_tokens *t, const struct cp_state *s);

/* The token of "Authorization: Bearer TOKEN"; false: there is none such. */
bool cp_access_bearer(struct el_fieldv fields, struct el_str *ret_token);

/* Who has this token; false: nobody. */
bool cp_access_find(const struct cp_file_tokens *t, const struct cp_state *s, struct el_str token,
                    struct cp_who *ret_who);

/* Whether somebody who was let in some time ago would still be; is_closed as of now. */
bool cp_access_is_still(const struct cp_who *who, const struct cp_state *s, bool is_closed);

/* Whether a web page of another host asks: browsers say where a request comes from. `allowed` is
 * service.cors_origins. */
bool cp_access_is_foreign_page(struct el_fieldv fields, const char *allowed);
/* It comes from the very host and port that it asks. Worth nothing where there are no tokens:
 * whoever owns a name can have it point here. */
bool cp_access_is_own_page(struct el_fieldv fields, struct el_str host);
/* The Origin of a page that may read answers; empty: none. */
struct el_str cp_access_cors(struct el_fieldv fields, const char *allowed);

/* Whether `who` may; node_id is the one that the path names, NULL: none. */
bool cp_access_may(const struct cp_who *who, enum cp_access_need need, const char *node_id);
/* Whether `who` may speak for that node. */
bool cp_access_is_for(const struct cp_who *who, const char *node_id);
