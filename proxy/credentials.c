/* SPDX-License-Identifier: MIT */
/* credentials: see credentials.h. */
#include "proxy/credentials.h"

#include <crypt.h>

#include <openssl/crypto.h>

#include "common/buf.h"
#include "common/sha256.h"

#define MAX_ENTRIES 10000

/* One line. Of basic the hash, of bearer the digest; the name and the hash end with a NUL. */
struct entry {
    char *name, *hash;
    struct el_digest digest;
};

struct proxy_credentials {
    enum el_proxy_auth scheme;
    struct entry *v;
    size_t n, cap;
};

/* ---- the file ---- */

/* DES and MD5 are found by trying: what takes no time to verify takes none to guess. */
static bool is_sound_hash(const char *hash)
{
    return hash[0] == '$' && crypt_checksalt(hash) == CRYPT_SALT_OK;
}

static struct entry *add_entry(struct proxy_credentials *c)
{
    if (c->n == c->cap) {
        size_t cap = c->cap == 0 ? 16 : c->cap * 2;
        struct entry *v = el_alloc(cap * sizeof(*v));

        if (c->n > 0)
            memcpy(v, c->v, c->n * sizeof(*v));
        free(c->v);
        c->v = v;
        c->cap = cap;
    }
    return &c->v[c->n++];
}

/* NULL: it is well; otherwise what is wrong with the line, in words that show nothing of it. */
static const char *parse_line(struct proxy_credentials *c, struct el_str line)
{
    size_t colon = el_str_find(line, ':');
    struct el_str name = el_str_first(line, colon), rest = el_str_from(line, colon + 1);
    struct entry *e;

    if (name.n == 0 || rest.n == 0)
        return "is not NAME:HASH";
    if (memchr(line.p, '\0', line.n) != NULL)
        return "holds a byte 0";
    if (c->n == MAX_ENTRIES)
        return "is one too many";
    e = add_entry(c);
    e->name = el_strndup(name.p, name.n);
    if (c->scheme == EL_PROXY_AUTH_BEARER)
        return el_digest_parse(rest, &e->digest)
                   ? NULL
                   : "has no SHA-256 in 64 hexadecimal digits behind ':'";
    e->hash = el_strndup(rest.p, rest.n);
    return is_sound_hash(e->hash) ? NULL
                                  : "has no bcrypt, SHA-512 or yescrypt hash behind ':' (make one "
                                    "with htpasswd -B or openssl passwd -6)";
}

static const struct entry *find(const struct proxy_credentials *c, struct el_str name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (el_str_eq(el_str_of(c->v[i].name), name))
            return &c->v[i];
    }
    return NULL;
}

static bool is_twice(const struct proxy_credentials *c)
{
    const struct entry *last = &c->v[c->n - 1];

    return find(c, el_str_of(last->name)) != last;
}

static enum el_err parse_lines(struct proxy_credentials *c, const char *file, struct el_str text,
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
        why = parse_line(c, line);
        if (why == NULL && is_twice(c))
            why = "has a name that stands further up";
        if (why != NULL)
            return el_fail(err, EL_ECONF, 0, "proxy.auth_file %s: line %u %s", file, number, why);
    }
    if (c->n == 0)
        return el_fail(err, EL_ECONF, 0, "proxy.auth_file %s names nobody", file);
    return EL_OK;
}

enum el_err proxy_credentials_parse(enum el_proxy_auth scheme, const char *file, struct el_str text,
                                    struct proxy_credentials **ret_credentials,
                                    struct el_error *err)
{
    struct proxy_credentials *c = el_new(struct proxy_credentials);
    enum el_err rc;

    EL_ASSERT(scheme != EL_PROXY_AUTH_NONE);
    c->scheme = scheme;
    rc = parse_lines(c, file, text, err);
    if (rc != EL_OK) {
        proxy_credentials_free(c);
        return rc;
    }
    *ret_credentials = c;
    return EL_OK;
}

void proxy_credentials_free(struct proxy_credentials *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n; i++) {
        free(c->v[i].name);
        free(c->v[i].hash);
    }
    free(c->v);
    free(c);
}

size_t proxy_credentials_count(const struct proxy_credentials *c)
{
    return c->n;
}

/* ---- the field ---- */

bool proxy_credentials_is_token68(struct el_str s)
{
    size_t i = 0;

    while (i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') ||
                       ((s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z') ||
                       (s.p[i] != '\0' && strchr("-._~+/", s.p[i]) != NULL)))
        i++;
    if (i == 0)
        return false;
    while (i < s.n && s.p[i] == '=')
        i++;
    return i == s.n;
}

bool proxy_credentials_of(enum el_proxy_auth scheme, struct el_str value,
                          struct el_str *ret_credentials)
{
    struct el_str wanted = scheme == EL_PROXY_AUTH_BASIC ? EL_STR("Basic") : EL_STR("Bearer");
    size_t space = el_str_find(value, ' ');
    struct el_str rest = el_str_trim(el_str_from(value, space));

    if (!el_str_ieq(el_str_first(value, space), wanted) || rest.n > PROXY_CREDENTIALS_BYTES ||
        !proxy_credentials_is_token68(rest))
        return false;
    *ret_credentials = rest;
    return true;
}

/* ---- whether they agree ---- */

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Into `room`, with a NUL behind it; false: no base64 (RFC 4648), or too long for it. */
static bool decode(struct el_str text, char *room, size_t room_bytes, size_t *ret_n)
{
    uint32_t bits = 0;
    size_t n = 0, digits = 0;

    for (; digits < text.n && text.p[digits] != '='; digits++) {
        int digit = base64_digit(text.p[digits]);

        if (digit < 0 || n + 1 >= room_bytes)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (digits % 4 != 0)
            room[n++] = (char)(bits >> (6 - 2 * (digits % 4)));
    }
    room[n] = '\0';
    *ret_n = n;
    return text.n % 4 == 0 && digits % 4 != 1 && text.n - digits <= 2;
}

/* Constant time in what differs; the length of a hash is no secret. */
static bool crypt_agrees(const char *password, const char *hash)
{
    struct crypt_data *data = el_new(struct crypt_data);
    const char *made = crypt_r(password, hash, data);
    size_t n = strlen(hash);
    bool agrees =
        made != NULL && made[0] != '*' && strlen(made) == n && CRYPTO_memcmp(made, hash, n) == 0;

    OPENSSL_cleanse(data, sizeof(*data));
    free(data);
    return agrees;
}

/* "name:password"; a password may hold colons. */
static bool match_decoded(const struct proxy_credentials *c, const char *text, size_t n)
{
    struct el_str all = { text, n };
    size_t colon = el_str_find(all, ':');
    const struct entry *e = find(c, el_str_first(all, colon));
    bool agrees;

    /* A NUL would end the password early for crypt(3): two of them would be one. */
    if (colon == n || memchr(text, '\0', n) != NULL || n - colon > CRYPT_MAX_PASSPHRASE_SIZE)
        return false;
    agrees = crypt_agrees(text + colon + 1, e != NULL ? e->hash : c->v[0].hash);
    return agrees && e != NULL;
}

static bool match_basic(const struct proxy_credentials *c, struct el_str credentials)
{
    char room[PROXY_CREDENTIALS_BYTES];
    size_t n;
    bool matches = decode(credentials, room, sizeof(room), &n) && match_decoded(c, room, n);

    OPENSSL_cleanse(room, sizeof(room));
    return matches;
}

/* Every digest is compared, whichever it is. */
static bool match_bearer(const struct proxy_credentials *c, struct el_str token)
{
    struct el_digest digest;
    bool matches = false;

    el_sha256_of(token.p, token.n, &digest);
    for (size_t i = 0; i < c->n; i++)
        matches |= CRYPTO_memcmp(c->v[i].digest.b, digest.b, sizeof(digest.b)) == 0;
    return matches;
}

bool proxy_credentials_match(const struct proxy_credentials *c, struct el_str credentials)
{
    if (credentials.n > PROXY_CREDENTIALS_BYTES)
        return false;
    return c->scheme == EL_PROXY_AUTH_BASIC ? match_basic(c, credentials)
                                            : match_bearer(c, credentials);
}
