/* SPDX-License-Identifier: MIT */
/*
 * tokens: see tokens.h. Records, hard:
 *
 *   token/HEX   role, name, created, expires; HEX is the SHA-256 of the token
 */
#include "common/sha256.h"
#include "controlplane/state_in.h"

#define TOKEN_FORMAT 1
#define TOKENS_MAX   200000u
#define GRACE_MS     60000 /* for which a node's token before the last is good */

struct token {
    struct cp_token token; /* first: views are tokens */
    struct cp_entry entry, by_name;
    uint64_t load;
};

static const char *const roles[] = { "node", "reader", "operator" };

const char *cp_role_name(enum cp_role r)
{
    return roles[r];
}

bool cp_role_parse(struct el_str name, enum cp_role *ret_role)
{
    for (unsigned i = 0; i < EL_COUNT(roles); i++) {
        if (el_str_eq(name, el_str_of(roles[i]))) {
            *ret_role = (enum cp_role)i;
            return true;
        }
    }
    return false;
}

static struct el_str hash_key(const uint8_t hash[CP_HASH_BYTES])
{
    return (struct el_str){ (const char *)hash, CP_HASH_BYTES };
}

static struct el_str key_of(struct cp_key *k, const struct cp_token *t)
{
    char hex[2 * CP_HASH_BYTES + 1];

    el_hex(t->hash, sizeof(t->hash), hex);
    return cp_key_of(k, "token", (struct el_str){ hex, sizeof(hex) - 1 });
}

static void encode(struct el_buf *b, const struct cp_token *t)
{
    el_bytes_add_u8(b, TOKEN_FORMAT);
    el_bytes_add_u8(b, (uint8_t)t->role);
    cp_add_text(b, el_str_of(t->name));
    el_bytes_add_u64(b, (uint64_t)t->created_wall_ms);
    el_bytes_add_u64(b, (uint64_t)t->expires_wall_ms);
}

static void emit_token(struct cp_state *s, const struct token *t)
{
    struct el_buf b = { 0 };
    struct cp_key k;

    encode(&b, &t->token);
    cp_emit(s, CP_HARD, key_of(&k, &t->token), &b);
}

static struct token *get_token(const struct cp_state *s, const uint8_t hash[CP_HASH_BYTES])
{
    struct cp_entry *e = cp_table_get(&s->tokens, hash_key(hash));

    return e == NULL ? NULL : EL_ENTRY(e, struct token, entry);
}

static struct token *put_token(struct cp_state *s, const struct cp_token *token)
{
    struct token *t = get_token(s, token->hash);

    if (t == NULL) {
        t = el_new(struct token);
        memcpy(t->token.hash, token->hash, sizeof(t->token.hash));
        t->entry.key = hash_key(t->token.hash);
        cp_table_put(&s->tokens, &t->entry);
    } else {
        cp_table_remove(&s->tokens_by_name, &t->by_name);
    }
    t->token = *token;
    t->load = s->load;
    t->by_name.key = el_str_of(t->token.name);
    cp_table_put(&s->tokens_by_name, &t->by_name);
    return t;
}

static void drop_token(struct cp_state *s, struct token *t)
{
    cp_table_remove(&s->tokens_by_name, &t->by_name);
    cp_table_remove(&s->tokens, &t->entry);
    free(t);
}

static struct token *first_named(const struct cp_state *s, struct el_str name)
{
    struct cp_entry *e = cp_table_get(&s->tokens_by_name, name);

    return e == NULL ? NULL : EL_ENTRY(e, struct token, by_name);
}

static struct token *next_named(const struct token *t)
{
    struct cp_entry *e = cp_table_same(&t->by_name);

    return e == NULL ? NULL : EL_ENTRY(e, struct token, by_name);
}

static void remove_token(struct cp_state *s, struct token *t)
{
    struct cp_key k;

    cp_emit_removal(s, CP_HARD, key_of(&k, &t->token));
    drop_token(s, t);
}

/* The one before lives for a minute more; those before it go. */
static void shorten(struct cp_state *s, const struct cp_token *new)
{
    int64_t until = s->wall_ms + GRACE_MS;

    for (struct token *t = first_named(s, el_str_of(new->name)), *next; t != NULL; t = next) {
        next = next_named(t);
        if (t->token.role != CP_ROLE_NODE || memcmp(t->token.hash, new->hash, CP_HASH_BYTES) == 0)
            continue;
        if (t->token.expires_wall_ms != 0 && t->token.expires_wall_ms <= until) {
            remove_token(s, t);
            continue;
        }
        t->token.expires_wall_ms = until;
        emit_token(s, t);
    }
}

static bool is_taken(const struct cp_state *s, const struct cp_token *token)
{
    for (struct token *t = first_named(s, el_str_of(token->name)); t != NULL; t = next_named(t)) {
        if (t->token.role != CP_ROLE_NODE)
            return true;
    }
    return false;
}

enum el_err cp_token_add(struct cp_state *s, const struct cp_token *token, struct el_error *err)
{
    bool is_nodes = token->role == CP_ROLE_NODE;

    if ((token->name[0] != '\0' || !is_nodes) && !cp_name_is_valid(el_str_of(token->name)))
        return el_fail(err, EL_EINVAL, 0, "name: letters, digits, '.', '_', ':', '-'");
    if (!is_nodes && is_taken(s, token))
        return el_fail(err, EL_ECONFLICT, 0, "name: there is a token of this name");
    if (s->tokens.n >= TOKENS_MAX)
        return el_fail(err, EL_EFULL, 0, "name: %u tokens are there already", TOKENS_MAX);
    if (is_nodes && token->name[0] != '\0')
        shorten(s, token);
    emit_token(s, put_token(s, token));
    return EL_OK;
}

const struct cp_token *cp_token_find(const struct cp_state *s, const uint8_t hash[CP_HASH_BYTES])
{
    const struct token *t = get_token(s, hash);

    if (t == NULL || (t->token.expires_wall_ms != 0 && t->token.expires_wall_ms <= s->wall_ms))
        return NULL;
    return &t->token;
}

/* Returns how many there were. */
static size_t remove_named(struct cp_state *s, enum cp_role role, struct el_str name)
{
    size_t n = 0;

    for (struct token *t = first_named(s, name), *next; t != NULL; t = next) {
        next = next_named(t);
        if (t->token.role != role)
            continue;
        remove_token(s, t);
        n++;
    }
    return n;
}

enum el_err cp_token_revoke(struct cp_state *s, enum cp_role role, struct el_str name,
                            struct el_error *err)
{
    if (remove_named(s, role, name) == 0)
        return el_fail(err, EL_ENOTFOUND, 0, "name: no such token");
    return EL_OK;
}

void cp_token_drop_of(struct cp_state *s, struct el_str node_id)
{
    (void)remove_named(s, CP_ROLE_NODE, node_id);
}

/* The cursor is a bucket, and how many of it have been given. */
#define PLACE_BITS 8u

const struct cp_token *cp_token_next(const struct cp_state *s, uint32_t *cursor)
{
    for (;;) {
        uint32_t bucket = *cursor >> PLACE_BITS, place = *cursor % (1u << PLACE_BITS);
        struct cp_entry *e;

        if (bucket >= s->tokens.buckets)
            return NULL;
        e = s->tokens.bucket[bucket];
        for (uint32_t i = 0; i < place && e != NULL; i++)
            e = e->next;
        if (e != NULL) {
            (*cursor)++;
            return &EL_ENTRY(e, struct token, entry)->token;
        }
        *cursor = (bucket + 1) << PLACE_BITS;
    }
}

size_t cp_token_count(const struct cp_state *s)
{
    return s->tokens.n;
}

#define BUCKETS_PER_TICK 1024u
#define EXPIRED_MS       60000 /* after which it is removed */

/* Those that have expired go; some of the table each time. */
void cp_tokens_tick(struct cp_state *s)
{
    size_t n = el_min_size(s->tokens.buckets, BUCKETS_PER_TICK);

    for (; n > 0; n--) {
        size_t at = s->tokens_cursor++ & (s->tokens.buckets - 1);

        for (struct cp_entry *e = s->tokens.bucket[at], *next; e != NULL; e = next) {
            struct token *t = EL_ENTRY(e, struct token, entry);

            next = e->next;
            if (t->token.expires_wall_ms != 0 && t->token.expires_wall_ms + EXPIRED_MS < s->wall_ms)
                remove_token(s, t);
        }
    }
}

static void drop_if(struct cp_state *s,
                    bool (*is_going)(const struct cp_state *, const struct token *))
{
    for (size_t i = 0; i < s->tokens.buckets; i++) {
        for (struct cp_entry *e = s->tokens.bucket[i], *next; e != NULL; e = next) {
            struct token *t = EL_ENTRY(e, struct token, entry);

            next = e->next;
            if (is_going(s, t))
                drop_token(s, t);
        }
    }
}

static bool every(const struct cp_state *s, const struct token *t)
{
    (void)s;
    (void)t;
    return true;
}

void cp_tokens_deinit(struct cp_state *s)
{
    drop_if(s, every);
    cp_table_deinit(&s->tokens);
    cp_table_deinit(&s->tokens_by_name);
}

static bool is_unmet(const struct cp_state *s, const struct token *t)
{
    return t->load != s->load;
}

static void sweep_tokens(struct cp_state *s)
{
    drop_if(s, is_unmet);
}

static bool decode(struct el_str value, struct cp_token *t)
{
    struct el_bytes b = el_bytes_of(value);
    uint8_t format = el_bytes_u8(&b), role = el_bytes_u8(&b);

    cp_get_chars(&b, t->name, CP_ID_MAX);
    t->created_wall_ms = (int64_t)el_bytes_u64(&b);
    t->expires_wall_ms = (int64_t)el_bytes_u64(&b);
    if (!el_bytes_is_end(&b) || format != TOKEN_FORMAT || role > CP_ROLE_OPERATOR)
        return false;
    t->role = (enum cp_role)role;
    return true;
}

static enum el_err apply_token(struct cp_state *s, struct el_str name, struct el_str value,
                               bool is_removal, struct el_error *err)
{
    struct cp_token token = { 0 };
    struct el_digest hash;
    struct token *t;

    if (!el_digest_parse(name, &hash))
        return cp_bad_record(err, "token");
    memcpy(token.hash, hash.b, sizeof(token.hash));
    t = get_token(s, token.hash);
    if (is_removal) {
        if (t != NULL)
            drop_token(s, t);
        return EL_OK;
    }
    if (!decode(value, &token) || (t == NULL && s->tokens.n >= TOKENS_MAX))
        return cp_bad_record(err, "token");
    (void)put_token(s, &token);
    return EL_OK;
}

static void dump_tokens(const struct cp_state *s, cp_keep *keep, void *arg)
{
    uint32_t cursor = 0;
    const struct cp_token *t;

    while ((t = cp_token_next(s, &cursor)) != NULL) {
        struct el_buf b = { 0 };
        struct cp_key k;

        encode(&b, t);
        keep(arg, key_of(&k, t), el_buf_str(&b));
        el_buf_deinit(&b);
    }
}

const struct cp_kind cp_kind_token = { "token", apply_token, sweep_tokens, dump_tokens };
