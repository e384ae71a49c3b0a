/* SPDX-License-Identifier: MIT */
/* conf_key: see conf_key.h. A value is checked by the same function wherever its text comes from.
 */
#include "common/conf_key.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

#include "common/log.h"

#define SHOWN_MAX 64

/* ---- where a key's value lies ---- */

static void *place(const void *c, const struct el_conf_key *k)
{
    return (char *)(uintptr_t)c + k->offset;
}

static char **str_at(const void *c, const struct el_conf_key *k)
{
    return place(c, k);
}

static struct el_secret *secret_at(const void *c, const struct el_conf_key *k)
{
    return place(c, k);
}

static uint64_t *int_at(const void *c, const struct el_conf_key *k)
{
    return place(c, k);
}

static double *real_at(const void *c, const struct el_conf_key *k)
{
    return place(c, k);
}

static bool *bool_at(const void *c, const struct el_conf_key *k)
{
    return place(c, k);
}

static unsigned *enum_at(const void *c, const struct el_conf_key *k)
{
    return place(c, k);
}

static void set_str(void *c, const struct el_conf_key *k, struct el_str v)
{
    char *copy = el_strndup(v.p, v.n);

    free(*str_at(c, k));
    *str_at(c, k) = copy;
}

void el_conf_key_set_default(void *c, const struct el_conf_key *k)
{
    switch (k->type) {
    case EL_KEY_STR:
        set_str(c, k, el_str_of(k->str_default));
        return;
    case EL_KEY_SECRET:
        el_secret_deinit(secret_at(c, k));
        return;
    case EL_KEY_INT:
        *int_at(c, k) = k->int_default;
        return;
    case EL_KEY_REAL:
        *real_at(c, k) = k->real_default;
        return;
    case EL_KEY_BOOL:
        *bool_at(c, k) = k->int_default != 0;
        return;
    case EL_KEY_ENUM:
        *enum_at(c, k) = (unsigned)k->int_default;
        return;
    }
}

/* ---- text of a value, and of what is allowed ---- */

static struct el_str word_at(const struct el_conf_key *k, unsigned index)
{
    struct el_str rest = el_str_of(k->words), word = { NULL, 0 };

    for (unsigned i = 0; i <= index; i++) {
        if (!el_str_split(&rest, '|', &word))
            return (struct el_str){ NULL, 0 };
    }
    return word;
}

/* The shortest decimal that reads back as the same number. */
static void add_real(struct el_buf *out, double v)
{
    char text[32];
    int digits = 6;

    do
        (void)snprintf(text, sizeof(text), "%.*g", digits++, v);
    while (digits <= 17 && strtod(text, NULL) != v);
    el_buf_add_str(out, el_str_of(text));
}

void el_conf_key_add_value(struct el_buf *out, const void *c, const struct el_conf_key *k)
{
    switch (k->type) {
    case EL_KEY_STR:
        el_buf_add_str(out, el_str_of(*str_at(c, k)));
        return;
    case EL_KEY_SECRET:
        if (el_secret_get(secret_at(c, k)).n > 0)
            el_buf_add_str(out, EL_STR("***"));
        return;
    case EL_KEY_INT:
        el_buf_add_u64(out, *int_at(c, k));
        return;
    case EL_KEY_REAL:
        add_real(out, *real_at(c, k));
        return;
    case EL_KEY_BOOL:
        el_buf_add_str(out, *bool_at(c, k) ? EL_STR("true") : EL_STR("false"));
        return;
    case EL_KEY_ENUM:
        el_buf_add_str(out, word_at(k, *enum_at(c, k)));
        return;
    }
}

void el_conf_key_add_allowed(struct el_buf *out, const struct el_conf_key *k)
{
    struct el_str rest, word;
    const char *before = "";

    switch (k->type) {
    case EL_KEY_STR:
        el_buf_add_str(out, EL_STR("printable text"));
        return;
    case EL_KEY_SECRET:
        el_buf_add_str(out, EL_STR("printable text, in file or environment only"));
        return;
    case EL_KEY_INT:
        if (k->min == k->max)
            el_buf_addf(out, "%" PRIu64 " only", k->min);
        else
            el_buf_addf(out, "%" PRIu64 " to %" PRIu64, k->min, k->max);
        return;
    case EL_KEY_REAL:
        el_buf_addf(out, "%g to %g", k->real_min, k->real_max);
        return;
    case EL_KEY_BOOL:
        el_buf_add_str(out, EL_STR("true, false"));
        return;
    case EL_KEY_ENUM:
        rest = el_str_of(k->words);
        while (el_str_split(&rest, '|', &word)) {
            el_buf_addf(out, "%s%.*s", before, EL_STR_ARG(word));
            before = ", ";
        }
        return;
    }
}

/* ---- setting a key from text ---- */

static bool parse_real(struct el_str v, const struct el_conf_key *k, double *ret)
{
    char text[64], *end;
    double d;

    if (v.n == 0 || v.n >= sizeof(text) || isspace((unsigned char)v.p[0]))
        return false;
    memcpy(text, v.p, v.n);
    text[v.n] = '\0';
    errno = 0;
    d = strtod(text, &end);
    if (errno != 0 || *end != '\0' || !(d >= k->real_min && d <= k->real_max))
        return false;
    *ret = d;
    return true;
}

static bool parse_bool(struct el_str v, bool *ret)
{
    static const char *const yes[] = { "true", "yes", "on", "1" };
    static const char *const no[] = { "false", "no", "off", "0" };

    for (size_t i = 0; i < EL_COUNT(yes); i++) {
        bool is_yes = el_str_ieq(v, el_str_of(yes[i]));

        if (is_yes || el_str_ieq(v, el_str_of(no[i]))) {
            *ret = is_yes;
            return true;
        }
    }
    return false;
}

static bool parse_enum(struct el_str v, const struct el_conf_key *k, unsigned *ret)
{
    struct el_str word;

    for (unsigned i = 0; (word = word_at(k, i)).n > 0; i++) {
        if (el_str_ieq(word, v)) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool is_text(struct el_str v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (iscntrl((unsigned char)v.p[i]))
            return false;
    }
    return true;
}

static bool parse_str(void *c, const struct el_conf_key *k, struct el_str v)
{
    if (is_text(v))
        set_str(c, k, v);
    return is_text(v);
}

static void set_secret(void *c, const struct el_conf_key *k, struct el_str v)
{
    if (v.n > 0)
        el_secret_set(secret_at(c, k), v);
    else
        el_secret_deinit(secret_at(c, k));
}

static bool parse_secret(void *c, const struct el_conf_key *k, struct el_str v)
{
    if (is_text(v))
        set_secret(c, k, v);
    return is_text(v);
}

static bool parse(void *c, const struct el_conf_key *k, struct el_str v)
{
    uint64_t n;

    switch (k->type) {
    case EL_KEY_STR:
        return parse_str(c, k, v);
    case EL_KEY_SECRET:
        return parse_secret(c, k, v);
    case EL_KEY_INT:
        if (!el_str_u64(v, k->max, &n) || n < k->min)
            return false;
        *int_at(c, k) = n;
        return true;
    case EL_KEY_REAL:
        return parse_real(v, k, real_at(c, k));
    case EL_KEY_BOOL:
        return parse_bool(v, bool_at(c, k));
    case EL_KEY_ENUM:
        return parse_enum(v, k, enum_at(c, k));
    }
    return false;
}

void el_conf_key_add_shown(struct el_buf *out, struct el_str v)
{
    struct el_str shown = el_str_first(v, SHOWN_MAX);

    el_buf_add_byte(out, '"');
    for (size_t i = 0; i < shown.n; i++)
        el_buf_add_byte(out, iscntrl((unsigned char)shown.p[i]) ? '?' : shown.p[i]);
    el_buf_add_str(out, v.n > shown.n ? EL_STR("...\"") : EL_STR("\""));
}

enum el_err el_conf_key_set(void *c, const struct el_conf_key *k, struct el_str v,
                            const char *where, struct el_error *err)
{
    struct el_buf why = { 0 };
    enum el_err rc;

    if (parse(c, k, v))
        return EL_OK;
    if (k->type == EL_KEY_SECRET)
        el_buf_add_str(&why, EL_STR("***"));
    else
        el_conf_key_add_shown(&why, v);
    el_buf_add_str(&why, EL_STR(": allowed is "));
    el_conf_key_add_allowed(&why, k);
    rc = el_fail(err, EL_ECONF, 0, "%s: %s.%s = %s", where, k->section, k->name, why.p);
    el_buf_deinit(&why);
    return rc;
}

bool el_conf_key_is_same(const void *a, const void *b, const struct el_conf_key *k)
{
    switch (k->type) {
    case EL_KEY_STR:
        return strcmp(*str_at(a, k), *str_at(b, k)) == 0;
    case EL_KEY_SECRET:
        return el_str_eq(el_secret_get(secret_at(a, k)), el_secret_get(secret_at(b, k)));
    case EL_KEY_INT:
        return *int_at(a, k) == *int_at(b, k);
    case EL_KEY_REAL:
        return *real_at(a, k) == *real_at(b, k);
    case EL_KEY_BOOL:
        return *bool_at(a, k) == *bool_at(b, k);
    case EL_KEY_ENUM:
        return *enum_at(a, k) == *enum_at(b, k);
    }
    return false;
}

void el_conf_key_copy(void *to, const void *from, const struct el_conf_key *k)
{
    switch (k->type) {
    case EL_KEY_STR:
        set_str(to, k, el_str_of(*str_at(from, k)));
        return;
    case EL_KEY_SECRET:
        set_secret(to, k, el_secret_get(secret_at(from, k)));
        return;
    case EL_KEY_INT:
        *int_at(to, k) = *int_at(from, k);
        return;
    case EL_KEY_REAL:
        *real_at(to, k) = *real_at(from, k);
        return;
    case EL_KEY_BOOL:
        *bool_at(to, k) = *bool_at(from, k);
        return;
    case EL_KEY_ENUM:
        *enum_at(to, k) = *enum_at(from, k);
        return;
    }
}

void el_conf_key_deinit(void *c, const struct el_conf_key *k)
{
    if (k->type == EL_KEY_SECRET)
        el_secret_deinit(secret_at(c, k));
    if (k->type != EL_KEY_STR)
        return;
    free(*str_at(c, k));
    *str_at(c, k) = NULL;
}
