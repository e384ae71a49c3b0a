/* SPDX-License-Identifier: MIT */
#include "common/json.h"

#include <stdint.h>

json_t *el_json_new(void)
{
    json_t *obj = json_object();

    EL_ASSERT(obj != NULL);
    return obj;
}

/* The reference on value goes to obj. */
static void add(json_t *obj, const char *key, json_t *value)
{
    EL_ASSERT(value != NULL);
    EL_ASSERT(json_object_set_new(obj, key, value) == 0);
}

json_t *el_json_child(json_t *obj, const char *key)
{
    json_t *child = el_json_new();

    add(obj, key, child);
    return child;
}

json_t *el_json_child_list(json_t *obj, const char *key)
{
    json_t *list = json_array();

    EL_ASSERT(list != NULL);
    add(obj, key, list);
    return list;
}

json_t *el_json_append_child(json_t *list)
{
    json_t *child = el_json_new();

    EL_ASSERT(json_array_append_new(list, child) == 0);
    return child;
}

/* Bytes of the UTF-8 sequence at the start of s; 0 when there is none. */
static size_t sequence_at(struct el_str s)
{
    unsigned char first = (unsigned char)s.p[0];
    size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    json_t *probe;

    if (n <= 1 || n > s.n)
        return n > s.n ? 0 : n;
    /* jansson knows about overlong forms and surrogates. */
    probe = json_stringn(s.p, n);
    if (probe == NULL)
        return 0;
    json_decref(probe);
    return n;
}

static json_t *string_mended(struct el_str value)
{
    struct el_buf b = { 0 };
    json_t *ret;

    while (value.n > 0) {
        size_t n = sequence_at(value);

        if (n > 0)
            el_buf_add(&b, value.p, n);
        else
            el_buf_add_str(&b, EL_STR("\xef\xbf\xbd"));
        value = el_str_from(value, n > 0 ? n : 1);
    }
    ret = json_stringn_nocheck(b.p, b.n);
    el_buf_deinit(&b);
    return ret;
}

void el_json_add_str(json_t *obj, const char *key, struct el_str value)
{
    json_t *string = json_stringn(value.n > 0 ? value.p : "", value.n);

    add(obj, key, string != NULL ? string : string_mended(value));
}

void el_json_add_u64(json_t *obj, const char *key, uint64_t value)
{
    add(obj, key, json_integer((json_int_t)el_min_u64(value, INT64_MAX)));
}

void el_json_add_real(json_t *obj, const char *key, double value)
{
    add(obj, key, json_real(value));
}

void el_json_add_bool(json_t *obj, const char *key, bool value)
{
    add(obj, key, json_boolean(value));
}

void el_json_add_null(json_t *obj, const char *key)
{
    add(obj, key, json_null());
}

void el_json_add_text(json_t *obj, const char *key, struct el_str text)
{
    json_t *parsed = text.n > 0 ? json_loadb(text.p, text.n, JSON_ALLOW_NUL, NULL) : NULL;

    add(obj, key, parsed != NULL ? parsed : json_array());
}

static int on_dump(const char *bytes, size_t n, void *arg)
{
    struct el_buf *out = (struct el_buf *)arg;

    el_buf_add(out, bytes, n);
    return 0;
}

void el_json_write(struct el_buf *out, json_t *root)
{
    EL_ASSERT(json_dump_callback(root, on_dump, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0);
    el_buf_add_byte(out, '\n');
    json_decref(root);
}

/* ---- what comes from outside ---- */

/* Behind the closing quote, or the end of the text; `at` stands behind the opening one. */
static size_t skip_string(struct el_str text, size_t at)
{
    while (at < text.n && text.p[at] != '"')
        at += text.p[at] == '\\' ? 2 : 1;
    return at + 1;
}

/* Counts too much of what is no JSON, never too little of what is. */
static enum el_err count(struct el_str text, const struct el_json_limits *limits,
                         struct el_error *err)
{
    unsigned depth = 0;
    size_t values = 1, at = 0;

    while (at < text.n) {
        char c = text.p[at++];

        if (c == '"')
            at = skip_string(text, at);
        values += c == ',' || c == ':' || c == '[' || c == '{';
        depth += c == '[' || c == '{';
        if (depth > limits->depth)
            return el_fail(err, EL_EPROTO, 0, "JSON nested deeper than %u", limits->depth);
        if (values > limits->values)
            return el_fail(err, EL_EPROTO, 0, "JSON of more than %zu values", limits->values);
        depth -= (c == ']' || c == '}') && depth > 0;
    }
    return EL_OK;
}

enum el_err el_json_parse(struct el_str text, const struct el_json_limits *limits,
                          json_t **ret_root, struct el_error *err)
{
    enum el_err rc = count(text, limits, err);
    json_error_t why;
    json_t *root;

    if (rc != EL_OK)
        return rc;
    root = json_loadb(text.n > 0 ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        return el_fail(err, EL_EPROTO, 0, "no JSON: %s, at byte %d", why.text, why.position);
    *ret_root = root;
    return EL_OK;
}
