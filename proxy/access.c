/* SPDX-License-Identifier: MIT */
/* access: see access.h. Tokens are kept as digests, whichever way the file has them. */
#include "proxy/access.h"

#include <openssl/crypto.h>

#include "common/sha256.h"
#include "proxy/credentials.h"

#define MAX_TOKENS      1000
#define MIN_TOKEN_BYTES 16

struct token {
    struct el_digest digest;
    enum proxy_role role;
};

struct proxy_tokens {
    size_t n;
    struct token v[MAX_TOKENS];
};

/* ---- the file ---- */

static bool parse_role(struct el_str word, enum proxy_role *ret)
{
    if (el_str_eq(word, EL_STR("reader")))
        *ret = PROXY_ROLE_READER;
    else if (el_str_eq(word, EL_STR("operator")))
        *ret = PROXY_ROLE_OPERATOR;
    else
        return false;
    return true;
}

static size_t end_of_word(struct el_str line)
{
    return el_min_size(el_str_find(line, ' '), el_str_find(line, '\t'));
}

/* NULL: it is well; otherwise what is wrong with it, in words that show nothing of it. */
static const char *parse_token(struct el_str word, struct el_digest *ret)
{
    struct el_str mark = EL_STR("sha256:");

    if (el_str_starts(word, mark))
        return el_digest_parse(el_str_from(word, mark.n), ret)
                   ? NULL
                   : "has no 64 hexadecimal digits behind sha256:";
    if (word.n < MIN_TOKEN_BYTES)
        return "has a token of fewer than 16 characters";
    if (word.n > PROXY_CREDENTIALS_BYTES || !proxy_credentials_is_token68(word))
        return "has a token with other characters than letters, digits, -._~+/ and = at the end";
    el_sha256_of(word.p, word.n, ret);
    return NULL;
}

static const char *parse_line(struct proxy_tokens *t, struct el_str line)
{
    size_t end = end_of_word(line);
    struct token token;
    const char *why;

    if (!parse_role(el_str_trim(el_str_from(line, end)), &token.role))
        return "is not TOKEN reader or TOKEN operator";
    why = parse_token(el_str_first(line, end), &token.digest);
    if (why == NULL && t->n == MAX_TOKENS)
        why = "is one too many";
    if (why == NULL)
        t->v[t->n++] = token;
    return why;
}

static enum el_err parse_lines(struct proxy_tokens *t, const char *file, struct el_str text,
                               struct el_error *err)
{
    struct el_str line;

    for (unsigned number = 1; el_str_split(&text, '\n', &line); number++) {
        const char *why;

        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        line = el_str_trim(line);
        if (line.n == 0 || line.p[0] == '#')
            continue;
        why = parse_line(t, line);
        if (why != NULL)
            return el_fail(err, EL_ECONF, 0, "admin.tokens_file %s: line %u %s", file, number, why);
    }
    if (t->n == 0)
        return el_fail(err, EL_ECONF, 0, "admin.tokens_file %s holds no token", file);
    return EL_OK;
}

enum el_err proxy_tokens_parse(const char *file, struct el_str text,
                               struct proxy_tokens **ret_tokens, struct el_error *err)
{
    struct proxy_tokens *t = el_new(struct proxy_tokens);
    enum el_err rc = parse_lines(t, file, text, err);

    if (rc == EL_OK)
        *ret_tokens = t;
    else
        proxy_tokens_free(t);
    return rc;
}

void proxy_tokens_free(struct proxy_tokens *t)
{
    if (t == NULL)
        return;
    OPENSSL_cleanse(t, sizeof(*t));
    free(t);
}

/* ---- judging ---- */

/* Every one is compared, whichever it is; of one that stands there twice the greater role counts.
 */
static enum proxy_role role_of(const struct proxy_tokens *t, struct el_str token)
{
    enum proxy_role role = PROXY_ROLE_NONE;
    struct el_digest digest;

    el_sha256_of(token.p, token.n, &digest);
    for (size_t i = 0; i < t->n; i++) {
        if (CRYPTO_memcmp(t->v[i].digest.b, digest.b, sizeof(digest.b)) == 0 && t->v[i].role > role)
            role = t->v[i].role;
    }
    OPENSSL_cleanse(&digest, sizeof(digest));
    return role;
}

static const char *judge_token(const struct proxy_access_ask *ask, int *ret_status)
{
    struct el_str value, token;
    enum proxy_role role;

    *ret_status = 401;
    if (!el_fieldv_get(ask->fields, EL_STR("Authorization"), &value))
        return "a token is wanted, in Authorization: Bearer";
    if (el_fieldv_count(ask->fields, EL_STR("Authorization")) > 1 ||
        !proxy_credentials_of(EL_PROXY_AUTH_BEARER, value, &token))
        return "Authorization is not one bearer token";
    role = role_of(ask->tokens, token);
    if (role == PROXY_ROLE_NONE)
        return "the token is not known";
    *ret_status = 403;
    return role >= ask->need ? NULL : "the token is a reader's: this wants an operator's";
}

bool proxy_access_is_of_a_page(struct el_fieldv fields)
{
    return el_fieldv_has(fields, EL_STR("Origin")) ||
           el_fieldv_has(fields, EL_STR("Sec-Fetch-Site"));
}

const char *proxy_access_judge(const struct proxy_access_ask *ask, int *ret_status)
{
    if (ask->need == PROXY_ROLE_NONE)
        return NULL;
    if (ask->tokens != NULL)
        return judge_token(ask, ret_status);
    *ret_status = 403;
    if (ask->need == PROXY_ROLE_READER)
        return NULL;
    if (!ask->is_local)
        return "without admin.tokens_file only this machine itself may change anything";
    return proxy_access_is_of_a_page(ask->fields) ? "a web page may not change anything" : NULL;
}
