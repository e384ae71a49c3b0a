/* SPDX-License-Identifier: MIT */
/* vary: see vary.h for the layout. */
#include "proxy/vary.h"

static void add_lower(struct el_buf *out, struct el_str s)
{
    for (size_t i = 0; i < s.n; i++)
        el_buf_add_byte(out, s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i]);
}

static bool is_among(struct el_str names, struct el_str wanted)
{
    struct el_str name;

    while (el_str_split(&names, ',', &name)) {
        if (el_str_ieq(name, wanted))
            return true;
    }
    return false;
}

static void add_value(struct el_buf *out, struct el_fieldv request, struct el_str name)
{
    struct el_list_cursor c = { 0 };
    struct el_str member;
    char before = '=';

    if (el_str_eq(name, PROXY_VARY_HOST))
        name = EL_STR("Host");
    if (!el_fieldv_has(request, name)) {
        el_buf_add_str(out, EL_STR("-\n"));
        return;
    }
    while (el_fieldv_member(request, name, &c, &member)) {
        el_buf_add_byte(out, before);
        el_buf_add_str(out, member);
        before = ',';
    }
    if (before == '=')
        el_buf_add_byte(out, before);
    el_buf_add_byte(out, '\n');
}

static void add_values(struct el_buf *out, struct el_str names, struct el_fieldv request)
{
    struct el_str name;

    while (el_str_split(&names, ',', &name))
        add_value(out, request, name);
}

/* Each once: the values are never longer than the request that they are from. */
static void add_name(struct el_buf *names, struct el_str name)
{
    if (is_among(el_buf_str(names), name))
        return;
    if (names->n > 0)
        el_buf_add_byte(names, ',');
    add_lower(names, name);
}

/*
 * Packed by the origin for this client, most likely, even when it does not say so. What an object
 * store has packed lies there like that, for everybody.
 */
static bool is_packed(const struct cache_meta *meta, struct el_fieldv response)
{
    return !meta->from_object_store && el_fieldv_has(response, EL_STR("Content-Encoding"));
}

bool proxy_vary_set(struct cache_meta *meta, struct el_fieldv response, struct el_fieldv request,
                    bool by_host)
{
    struct el_buf names = { 0 };
    struct el_list_cursor c = { 0 };
    struct el_str member;
    size_t n;

    if (by_host)
        add_name(&names, PROXY_VARY_HOST);
    if (is_packed(meta, response))
        add_name(&names, EL_STR("accept-encoding"));
    while (el_fieldv_member(response, EL_STR("Vary"), &c, &member)) {
        if (el_str_eq(member, EL_STR("*"))) {
            el_buf_deinit(&names);
            return false;
        }
        add_name(&names, member);
    }
    n = names.n;
    if (n > 0) {
        el_buf_add_str(&meta->vary_bytes, el_buf_str(&names));
        el_buf_add_byte(&meta->vary_bytes, '\n');
        add_values(&meta->vary_bytes, el_buf_str(&names), request);
        meta->vary = (struct el_str){ meta->vary_bytes.p, n };
    }
    el_buf_deinit(&names);
    return true;
}

bool proxy_vary_matches(const struct cache_meta *meta, struct el_fieldv request, bool by_host)
{
    struct el_buf values = { 0 };
    bool matches;

    if (is_among(meta->vary, PROXY_VARY_HOST) != by_host)
        return false;
    if (meta->vary.n == 0)
        return true;
    add_values(&values, meta->vary, request);
    matches = el_str_eq(el_buf_str(&values),
                        el_str_from(el_buf_str(&meta->vary_bytes), meta->vary.n + 1));
    el_buf_deinit(&values);
    return matches;
}
