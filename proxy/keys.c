/* SPDX-License-Identifier: MIT */
/* keys: see keys.h. Sorted by access key once they are read. */
#include "proxy/keys.h"

#include "common/log.h"
#include "storage/sign.h"

#define MAX_KEYS 10000

struct key {
    char *section, *id; /* owned */
    struct el_secret secret;
};

struct proxy_keys {
    struct key *v;
    size_t n, cap;
};

static struct key *add_key(struct proxy_keys *k)
{
    if (k->n == k->cap) {
        size_t cap = k->cap == 0 ? 16 : k->cap * 2;
        struct key *v = el_alloc(cap * sizeof(*v));

        if (k->n > 0)
            memcpy(v, k->v, k->n * sizeof(*v));
        free(k->v);
        k->v = v;
        k->cap = cap;
    }
    return &k->v[k->n++];
}

/* ---- lines: NULL when it is well, else what is wrong with it ---- */

/* What the section that ends here lacks. */
static const char *check_last(const struct proxy_keys *k)
{
    const struct key *last = k->n > 0 ? &k->v[k->n - 1] : NULL;

    if (last == NULL)
        return NULL;
    if (last->id == NULL)
        return "ends a section without access_key";
    return last->secret.n == 0 ? "ends a section without secret_key" : NULL;
}

static const char *begin_section(struct proxy_keys *k, struct el_str line)
{
    struct el_str name;
    const char *why = check_last(k);

    if (why != NULL)
        return why;
    if (line.n < 3 || line.p[line.n - 1] != ']')
        return "is not [name]";
    name = el_str_trim(el_str_from(el_str_first(line, line.n - 1), 1));
    for (size_t i = 0; i < k->n; i++) {
        if (el_str_eq(el_str_of(k->v[i].section), name))
            return "has a name that stands further up";
    }
    if (k->n == MAX_KEYS)
        return "is one too many";
    *add_key(k) = (struct key){ .section = el_strndup(name.p, name.n) };
    return NULL;
}

static const char *set_id(struct proxy_keys *k, struct el_str value)
{
    struct key *last = &k->v[k->n - 1];

    if (last->id != NULL)
        return "sets the access key again";
    if (!store_sign_is_key_id(value))
        return "has no access key";
    for (size_t i = 0; i + 1 < k->n; i++) {
        if (el_str_eq(el_str_of(k->v[i].id), value))
            return "has an access key that stands further up";
    }
    last->id = el_strndup(value.p, value.n);
    return NULL;
}

static const char *set_secret(struct proxy_keys *k, struct el_str value)
{
    struct key *last = &k->v[k->n - 1];

    if (last->secret.n > 0)
        return "sets the secret again";
    if (value.n == 0 || value.n > STORE_SIGN_MAX_SECRET)
        return "has no secret, or one that is too long";
    el_secret_set(&last->secret, value);
    return NULL;
}

static const char *set_pair(struct proxy_keys *k, struct el_str line)
{
    size_t eq = el_str_find(line, '=');
    struct el_str name = el_str_trim(el_str_first(line, eq));
    struct el_str value = el_str_trim(el_str_from(line, eq + 1));

    if (eq == line.n)
        return "is neither [name] nor key = value";
    if (k->n == 0)
        return "stands before the first [name]";
    if (el_str_eq(name, EL_STR("access_key")) || el_str_eq(name, EL_STR("aws_access_key_id")))
        return set_id(k, value);
    if (el_str_eq(name, EL_STR("secret_key")) || el_str_eq(name, EL_STR("aws_secret_access_key")))
        return set_secret(k, value);
    return "sets something that is neither access_key nor secret_key";
}

/* ---- the file ---- */

static enum el_err parse_lines(struct proxy_keys *k, const char *file, struct el_str text,
                               struct el_error *err)
{
    struct el_str line;
    const char *why = NULL;
    unsigned number = 1;

    for (; why == NULL && el_str_split(&text, '\n', &line); number++) {
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        line = el_str_trim(line);
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
            continue;
        if (memchr(line.p, '\0', line.n) != NULL)
            why = "holds a byte 0";
        else
            why = line.p[0] == '[' ? begin_section(k, line) : set_pair(k, line);
    }
    if (why == NULL)
        why = check_last(k);
    if (why != NULL)
        return el_fail(err, EL_ECONF, 0, "auth.keys_file %s: line %u %s", file, number - 1, why);
    return EL_OK;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct key *)a)->id, ((const struct key *)b)->id);
}

enum el_err proxy_keys_parse(const char *file, struct el_str text, struct proxy_keys **ret_keys,
                             struct el_error *err)
{
    struct proxy_keys *k = el_new(struct proxy_keys);
    enum el_err rc = parse_lines(k, file, text, err);

    if (rc != EL_OK) {
        proxy_keys_free(k);
        return rc;
    }
    if (k->n > 0)
        qsort(k->v, k->n, sizeof(*k->v), by_id);
    *ret_keys = k;
    return EL_OK;
}

void proxy_keys_free(struct proxy_keys *k)
{
    if (k == NULL)
        return;
    for (size_t i = 0; i < k->n; i++) {
        free(k->v[i].section);
        free(k->v[i].id);
        el_secret_deinit(&k->v[i].secret);
    }
    free(k->v);
    free(k);
}

size_t proxy_keys_count(const struct proxy_keys *k)
{
    return k->n;
}

static int compare(const void *wanted, const void *entry)
{
    const struct el_str *id = wanted;
    struct el_str other = el_str_of(((const struct key *)entry)->id);
    int order = memcmp(id->p, other.p, el_min_size(id->n, other.n));

    return order != 0 ? order : id->n < other.n ? -1 : id->n > other.n;
}

bool proxy_keys_find(const struct proxy_keys *k, struct el_str access_key,
                     struct el_str *ret_secret)
{
    const struct key *found = NULL;

    if (k->n > 0 && access_key.n > 0)
        found = bsearch(&access_key, k->v, k->n, sizeof(*k->v), compare);
    if (found == NULL)
        return false;
    *ret_secret = el_secret_get(&found->secret);
    return true;
}
