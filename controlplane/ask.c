/* SPDX-License-Identifier: MIT */
#include "controlplane/ask.h"

#include <math.h>
#include <stdarg.h>

/* ---- faults ---- */

void cp_ask_init(struct cp_ask *a, const json_t *obj)
{
    *a = (struct cp_ask){ .obj = obj };
}

void cp_ask_down(struct cp_ask *up, struct cp_ask *a, const char *list, size_t i, const json_t *obj)
{
    *a = (struct cp_ask){ .obj = obj, .code = up->code };
    (void)snprintf(a->at, sizeof(a->at), "%.20s%.20s[%zu].", up->at, list, i);
    if (json_is_object(obj))
        return;
    a->at[strlen(a->at) - 1] = '\0';
    cp_ask_fault(a, EL_EINVAL, "", "is no object");
}

void cp_ask_up(struct cp_ask *up, const struct cp_ask *a)
{
    if (up->code != EL_OK || a->code == EL_OK)
        return;
    up->code = a->code;
    up->why = a->why;
    memcpy(up->field, a->field, sizeof(up->field));
}

void cp_ask_fault(struct cp_ask *a, enum el_err code, const char *field, const char *fmt, ...)
{
    char text[160];
    va_list args;

    if (a->code != EL_OK)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    (void)snprintf(a->field, sizeof(a->field), "%.54s%.40s", a->at, field);
    a->code = el_fail(&a->why, code, 0, "%s%s%s", a->field, a->field[0] != '\0' ? " " : "", text);
}

/* NULL: there is nothing to read, or something was wrong already. */
static const json_t *get(struct cp_ask *a, const char *key, enum cp_need need)
{
    const json_t *v = a->code == EL_OK ? json_object_get(a->obj, key) : NULL;

    if (v != NULL && !json_is_null(v))
        return v;
    if (need == CP_NEEDED)
        cp_ask_fault(a, EL_EINVAL, key, "is missing");
    return NULL;
}

/* ---- values ---- */

static bool has_control(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c < 0x20 || c == 0x7f)
            return true;
    }
    return false;
}

void cp_ask_str(struct cp_ask *a, const char *key, enum cp_need need, struct el_str *ret)
{
    const json_t *v = get(a, key, need);
    struct el_str s;

    if (v == NULL)
        return;
    if (!json_is_string(v)) {
        cp_ask_fault(a, EL_EINVAL, key, "is no string");
        return;
    }
    s = (struct el_str){ json_string_value(v), json_string_length(v) };
    if (has_control(s))
        cp_ask_fault(a, EL_EINVAL, key, "has control characters in it");
    else
        *ret = s;
}

void cp_ask_text(struct cp_ask *a, const char *key, enum cp_need need, char *ret, size_t size)
{
    struct el_str s = { NULL, 0 };

    cp_ask_str(a, key, need, &s);
    if (s.p == NULL)
        return;
    if (s.n >= size)
        cp_ask_fault(a, EL_EINVAL, key, "is longer than %zu bytes", size - 1);
    else if (s.n == 0 && need == CP_NEEDED)
        cp_ask_fault(a, EL_EINVAL, key, "is empty");
    else
        (void)snprintf(ret, size, "%.*s", EL_STR_ARG(s));
}

void cp_ask_u64(struct cp_ask *a, const char *key, enum cp_need need, uint64_t max, uint64_t *ret)
{
    const json_t *v = get(a, key, need);

    if (v == NULL)
        return;
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        cp_ask_fault(a, EL_EINVAL, key, "is no integer from 0 on");
    else if ((uint64_t)json_integer_value(v) > max)
        cp_ask_fault(a, EL_EINVAL, key, "is more than %llu", (unsigned long long)max);
    else
        *ret = (uint64_t)json_integer_value(v);
}

void cp_ask_real(struct cp_ask *a, const char *key, enum cp_need need, double *ret)
{
    const json_t *v = get(a, key, need);

    if (v == NULL)
        return;
    if (!json_is_number(v) || !(json_number_value(v) >= 0) || !isfinite(json_number_value(v)))
        cp_ask_fault(a, EL_EINVAL, key, "is no number from 0 on");
    else
        *ret = json_number_value(v);
}

void cp_ask_bool(struct cp_ask *a, const char *key, enum cp_need need, bool *ret)
{
    const json_t *v = get(a, key, need);

    if (v == NULL)
        return;
    if (!json_is_boolean(v))
        cp_ask_fault(a, EL_EINVAL, key, "is neither true nor false");
    else
        *ret = json_is_true(v);
}

static bool parse_hex64(struct el_str s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n != 16)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        int digit = el_hex_digit(s.p[i]);

        if (digit < 0)
            return false;
        v = v << 4 | (uint64_t)digit;
    }
    *ret = v;
    return true;
}

void cp_ask_digest(struct cp_ask *a, const char *key, bool *ret_is_there, uint64_t *ret)
{
    struct el_str s = { NULL, 0 };

    cp_ask_str(a, key, CP_OPTIONAL, &s);
    if (s.p == NULL)
        return;
    if (parse_hex64(s, ret))
        *ret_is_there = true;
    else
        cp_ask_fault(a, EL_EINVAL, key, "is not 16 hexadecimal digits");
}

/* ---- times ---- */

/* Exactly n digits, and what stands behind them. */
static bool digits(struct el_str *s, size_t n, char behind, int *ret)
{
    uint64_t v;

    if (s->n < n + 1 || s->p[n] != behind || !el_str_u64(el_str_first(*s, n), 9999, &v))
        return false;
    *ret = (int)v;
    *s = el_str_from(*s, n + 1);
    return true;
}

static bool parse_iso(struct el_str s, int64_t *ret_ms)
{
    struct tm tm = { 0 };
    int year, month, ms = 0;
    time_t at;

    if (!digits(&s, 4, '-', &year) || !digits(&s, 2, '-', &month) ||
        !digits(&s, 2, 'T', &tm.tm_mday) || !digits(&s, 2, ':', &tm.tm_hour) ||
        !digits(&s, 2, ':', &tm.tm_min))
        return false;
    if (!(digits(&s, 2, '.', &tm.tm_sec) ? digits(&s, 3, 'Z', &ms)
                                         : digits(&s, 2, 'Z', &tm.tm_sec)) ||
        s.n != 0 || year < 1970 || month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    at = timegm(&tm);
    *ret_ms = (int64_t)at * 1000 + ms;
    return at >= 0;
}

void cp_ask_time(struct cp_ask *a, const char *key, enum cp_need need, int64_t *ret_wall_ms)
{
    const json_t *v = get(a, key, need);

    if (v == NULL)
        return;
    if (json_is_integer(v) && json_integer_value(v) >= 0)
        *ret_wall_ms = json_integer_value(v);
    else if (!json_is_string(v) ||
             !parse_iso((struct el_str){ json_string_value(v), json_string_length(v) },
                        ret_wall_ms))
        cp_ask_fault(a, EL_EINVAL, key,
                     "is neither a time, as in 2026-11-21T05:04:03Z, nor milliseconds since 1970");
}

/* ---- lists and objects ---- */

const json_t *cp_ask_list(struct cp_ask *a, const char *key, enum cp_need need, size_t max)
{
    const json_t *v = get(a, key, need);

    if (v == NULL)
        return NULL;
    if (!json_is_array(v))
        cp_ask_fault(a, EL_EINVAL, key, "is no array");
    else if (json_array_size(v) > max)
        cp_ask_fault(a, EL_EINVAL, key, "has more than %zu elements", max);
    else
        return v;
    return NULL;
}

const json_t *cp_ask_obj(struct cp_ask *a, const char *key, enum cp_need need)
{
    const json_t *v = get(a, key, need);

    if (v != NULL && !json_is_object(v)) {
        cp_ask_fault(a, EL_EINVAL, key, "is no object");
        return NULL;
    }
    return v;
}

struct el_chunk_id *cp_ask_chunks(struct cp_ask *a, const char *key, enum cp_need need, size_t max,
                                  size_t *ret_n)
{
    const json_t *list = cp_ask_list(a, key, need, max);
    size_t n = json_array_size(list);
    struct el_chunk_id *ids;

    *ret_n = 0;
    if (n == 0)
        return NULL;
    ids = el_try_alloc(n * sizeof(*ids));
    if (ids == NULL) {
        cp_ask_fault(a, EL_ENOMEM, key, "is too long for the memory there is");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        char field[CP_ASK_FIELD_MAX];

        if (json_is_string(v) &&
            el_chunk_id_parse((struct el_str){ json_string_value(v), json_string_length(v) },
                              &ids[i]))
            continue;
        (void)snprintf(field, sizeof(field), "%.20s[%zu]", key, i);
        cp_ask_fault(a, EL_EINVAL, field, "is no chunk id");
        free(ids);
        return NULL;
    }
    *ret_n = n;
    return ids;
}

bool cp_object_parse(struct el_str s, uint8_t ret[EL_CHUNK_ID_OBJECT_BYTES])
{
    char text[EL_CHUNK_ID_CHARS + 1];
    struct el_chunk_id id;

    if (s.n != (size_t)2 * EL_CHUNK_ID_OBJECT_BYTES)
        return false;
    (void)snprintf(text, sizeof(text), "%.*s-00000000", EL_STR_ARG(s));
    if (!el_chunk_id_parse(el_str_of(text), &id))
        return false;
    memcpy(ret, id.object, EL_CHUNK_ID_OBJECT_BYTES);
    return true;
}

bool cp_ask_object(struct cp_ask *a, const char *key, uint8_t ret[EL_CHUNK_ID_OBJECT_BYTES])
{
    struct el_str s = { NULL, 0 };

    cp_ask_str(a, key, CP_NEEDED, &s);
    if (a->code != EL_OK)
        return false;
    if (cp_object_parse(s, ret))
        return true;
    cp_ask_fault(a, EL_EINVAL, key, "is not 32 hexadecimal digits");
    return false;
}

void cp_ask_own_id(struct cp_ask *a, const char *node_id)
{
    struct el_str s = { NULL, 0 };

    cp_ask_str(a, "node_id", CP_OPTIONAL, &s);
    if (s.p != NULL && !el_str_eq(s, el_str_of(node_id)))
        cp_ask_fault(a, EL_EINVAL, "node_id", "is not the one of the path");
}

char *cp_ask_flat(struct cp_ask *a, const char *key, enum cp_need need, enum cp_flat values,
                  size_t max)
{
    json_t *obj = (json_t *)(uintptr_t)cp_ask_obj(a, key, need);
    const char *name;
    json_t *value;
    char *text;

    if (obj == NULL)
        return NULL;
    json_object_foreach(obj, name, value)
    {
        if (values == CP_FLAT_TEXT && !json_is_string(value))
            cp_ask_fault(a, EL_EINVAL, key, "has a value that is no string");
        else if (json_is_object(value) || json_is_array(value) || json_is_null(value))
            cp_ask_fault(a, EL_EINVAL, key,
                         "has a value that is neither text, number nor true or false");
    }
    text = json_dumps(obj, JSON_COMPACT);
    EL_ASSERT(text != NULL);
    if (strlen(text) > max)
        cp_ask_fault(a, EL_EINVAL, key, "are longer than %zu bytes", max);
    return text;
}

/* ---- the query ---- */

bool cp_percent_decode(struct el_str s, char *ret, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '%') {
            int high = s.n - i > 2 ? el_hex_digit(s.p[i + 1]) : -1;
            int low = s.n - i > 2 ? el_hex_digit(s.p[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || n + 1 >= size)
            return false;
        ret[n++] = c;
    }
    ret[n] = '\0';
    return true;
}

bool cp_query_text(struct el_str query, const char *key, char *ret, size_t size)
{
    struct el_str pair;

    while (el_str_split(&query, '&', &pair)) {
        size_t eq = el_str_find(pair, '=');

        if (el_str_eq(el_str_first(pair, eq), el_str_of(key)))
            return cp_percent_decode(el_str_from(pair, eq + 1), ret, size);
    }
    return false;
}

void cp_query_u64(struct cp_ask *a, struct el_str query, const char *key, uint64_t min,
                  uint64_t max, uint64_t *ret)
{
    char text[24];
    uint64_t v;

    if (!cp_query_text(query, key, text, sizeof(text)))
        return;
    if (!el_str_u64(el_str_of(text), max, &v) || v < min)
        cp_ask_fault(a, EL_EINVAL, key, "is no number from %llu to %llu", (unsigned long long)min,
                     (unsigned long long)max);
    else
        *ret = v;
}
