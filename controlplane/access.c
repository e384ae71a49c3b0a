/* SPDX-License-Identifier: MIT */
#include "controlplane/access.h"

#include "common/sha256.h"

#define MIN_TOKEN_CHARS 16u

struct file_token {
    struct el_digest hash;
    enum cp_role role;
};

struct cp_file_tokens {
    struct file_token *v;
    size_t n;
};

/* ---- the file ---- */

static bool is_token68(struct el_str s)
{
    size_t n = 0;

    while (n < s.n && s.p[n] != '\0' &&
           strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/", s.p[n]))
        n++;
    while (n < s.n && s.p[n] == '=')
        n++;
    return s.n > 0 && n == s.n;
}

static bool parse_token(struct el_str s, struct el_digest *ret)
{
    const struct el_str hashed = EL_STR("sha256:");

    if (el_str_starts(s, hashed))
        return el_digest_parse(el_str_from(s, hashed.n), ret);
    if (s.n < MIN_TOKEN_CHARS || !is_token68(s))
        return false;
    el_sha256_of(s.p, s.n, ret);
    return true;
}

static bool parse_line(struct el_str line, struct file_token *ret)
{
    size_t blank = 0;

    while (blank < line.n && line.p[blank] != ' ' && line.p[blank] != '\t')
        blank++;
    return parse_token(el_str_first(line, blank), &ret->hash) &&
           cp_role_parse(el_str_trim(el_str_from(line, blank)), &ret->role);
}

static size_t count_lines(struct el_str text)
{
    size_t n = 1;

    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    return n;
}

enum el_err cp_file_tokens_parse(const char *file, struct el_str text,
                                 struct cp_file_tokens **ret_tokens, struct el_error *err)
{
    struct cp_file_tokens *t = el_new(struct cp_file_tokens);
    struct el_str line;

    t->v = el_try_alloc(count_lines(text) * sizeof(*t->v));
    if (t->v == NULL) {
        cp_file_tokens_free(t);
        return el_fail(err, EL_ENOMEM, 0, "access.tokens_file %s is too long", file);
    }
    for (int number = 1; el_str_split(&text, '\n', &line); number++) {
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        line = el_str_trim(line);
        if (line.n == 0 || line.p[0] == '#')
            continue;
        if (!parse_line(line, &t->v[t->n])) {
            cp_file_tokens_free(t);
            return el_fail(
                err, EL_ECONF, 0,
                "access.tokens_file %s:%d: not TOKEN ROLE, where TOKEN has %u or more of "
                "the characters of RFC 6750, or is sha256: and 64 hexadecimal digits, "
                "and ROLE is reader, operator or node",
                file, number, MIN_TOKEN_CHARS);
        }
        t->n++;
    }
    *ret_tokens = t;
    return EL_OK;
}

void cp_file_tokens_free(struct cp_file_tokens *t)
{
    if (t == NULL)
        return;
    free(t->v);
    free(t);
}

size_t cp_file_tokens_count(const struct cp_file_tokens *t)
{
    return t != NULL ? t->n : 0;
}

/* ---- who ---- */

static bool belongs_to_a_node(const struct cp_token *t)
{
    return t->role == CP_ROLE_NODE && t->name[0] != '\0';
}

bool cp_access_is_closed(const struct cp_file_tokens *t, const struct cp_state *s)
{
    const struct cp_token *token;
    uint32_t cursor = 0;

    if (cp_file_tokens_count(t) > 0)
        return true;
    while ((token = cp_token_next(s, &cursor)) != NULL) {
        if (!belongs_to_a_node(token))
            return true;
    }
    return false;
}

bool cp_access_bearer(struct el_fieldv fields, struct el_str *ret_token)
{
    const struct el_str scheme = EL_STR("Bearer ");
    struct el_str value;

    if (el_fieldv_count(fields, EL_STR("Authorization")) != 1 ||
        !el_fieldv_get(fields, EL_STR("Authorization"), &value) || !el_str_istarts(value, scheme))
        return false;
    *ret_token = el_str_trim(el_str_from(value, scheme.n));
    return is_token68(*ret_token);
}

/* Looks at all, so that the time says nothing. */
static const struct file_token *find_in_file(const struct cp_file_tokens *t,
                                             const struct el_digest *hash)
{
    const struct file_token *found = NULL;

    for (size_t i = 0; t != NULL && i < t->n; i++) {
        if (el_mac_is_same(t->v[i].hash.b, hash->b, sizeof(hash->b)))
            found = &t->v[i];
    }
    return found;
}

bool cp_access_find(const struct cp_file_tokens *t, const struct cp_state *s, struct el_str token,
                    struct cp_who *ret_who)
{
    const struct file_token *listed;
    const struct cp_token *kept;
    struct el_digest hash;

    el_sha256_of(token.p, token.n, &hash);
    listed = find_in_file(t, &hash);
    kept = cp_token_find(s, hash.b);
    if (listed != NULL) {
        *ret_who = (struct cp_who){ .is_known = true, .is_listed = true, .role = listed->role };
        if (listed->role != CP_ROLE_NODE)
            (void)snprintf(ret_who->name, sizeof(ret_who->name), "tokens_file");
        return true;
    }
    if (kept == NULL)
        return false;
    *ret_who = (struct cp_who){ .is_known = true, .role = kept->role };
    memcpy(ret_who->name, kept->name, sizeof(ret_who->name));
    memcpy(ret_who->hash, kept->hash, sizeof(ret_who->hash));
    return true;
}

bool cp_access_is_still(const struct cp_who *who, const struct cp_state *s, bool is_closed)
{
    if (!who->is_known)
        return who->is_open && !is_closed;
    return who->is_listed || cp_token_find(s, who->hash) != NULL;
}

/* ---- web pages ---- */

static bool is_listed(struct el_str origin, const char *list)
{
    struct el_str rest = el_str_of(list), part;

    while (rest.n > 0 && el_str_split(&rest, ',', &part)) {
        part = el_str_trim(part);
        if (el_str_eq(part, EL_STR("*")) || el_str_ieq(part, origin))
            return true;
    }
    return false;
}

/* "http://127.0.0.1:8081": a page that this machine itself has given. */
static bool is_of_this_machine(struct el_str origin)
{
    static const char *const hosts[] = { "127.0.0.1", "localhost", "[::1]" };
    size_t scheme = el_str_istarts(origin, EL_STR("http://"))    ? 7
                    : el_str_istarts(origin, EL_STR("https://")) ? 8
                                                                 : 0;
    struct el_str rest = el_str_from(origin, scheme);

    for (size_t i = 0; scheme > 0 && i < EL_COUNT(hosts); i++) {
        struct el_str host = el_str_of(hosts[i]);

        if (el_str_istarts(rest, host) && (rest.n == host.n || rest.p[host.n] == ':'))
            return true;
    }
    return false;
}

bool cp_access_is_own_page(struct el_fieldv fields, struct el_str host)
{
    struct el_str origin;
    size_t scheme;

    if (host.n == 0 || !el_fieldv_get(fields, EL_STR("Origin"), &origin))
        return false;
    scheme = el_str_istarts(origin, EL_STR("http://"))    ? 7
             : el_str_istarts(origin, EL_STR("https://")) ? 8
                                                          : 0;
    return scheme > 0 && el_str_ieq(el_str_from(origin, scheme), host);
}

bool cp_access_is_foreign_page(struct el_fieldv fields, const char *allowed)
{
    struct el_str origin, site;

    if (el_fieldv_get(fields, EL_STR("Origin"), &origin))
        return !is_of_this_machine(origin) && !is_listed(origin, allowed);
    return el_fieldv_get(fields, EL_STR("Sec-Fetch-Site"), &site) &&
           !el_str_eq(site, EL_STR("same-origin")) && !el_str_eq(site, EL_STR("none"));
}

struct el_str cp_access_cors(struct el_fieldv fields, const char *allowed)
{
    struct el_str origin;

    if (!el_fieldv_get(fields, EL_STR("Origin"), &origin) || !is_listed(origin, allowed))
        return (struct el_str){ NULL, 0 };
    return origin;
}

/* ---- what ---- */

bool cp_access_is_for(const struct cp_who *who, const char *node_id)
{
    if (who->is_open || (who->is_known && who->role == CP_ROLE_OPERATOR))
        return true;
    return who->is_known && who->role == CP_ROLE_NODE &&
           (who->name[0] == '\0' || strcmp(who->name, node_id) == 0);
}

bool cp_access_may(const struct cp_who *who, enum cp_access_need need, const char *node_id)
{
    if (who->is_open || need == CP_NEED_NOTHING)
        return true;
    if (!who->is_known)
        return false;
    switch (need) {
    case CP_NEED_NOTHING:
    case CP_NEED_NODE:
        return true;
    case CP_NEED_OWN_NODE:
        return who->role == CP_ROLE_OPERATOR ||
               (who->role == CP_ROLE_NODE && node_id != NULL && strcmp(who->name, node_id) == 0);
    case CP_NEED_READER:
        return who->role == CP_ROLE_OPERATOR || who->role == CP_ROLE_READER;
    case CP_NEED_OPERATOR:
        return who->role == CP_ROLE_OPERATOR;
    }
    return false;
}
