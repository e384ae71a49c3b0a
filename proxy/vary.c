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

bool proxy_vary_set(struct cache_meta *meta, struct el_fieldv response, struct el_fieldv request)
{
    struct el_buf names = { 0 };
    struct el_list_cursor c = { 0 };
    struct el_str member;
    size_t n;

    while (el_fieldv_member(response, EL_STR("Vary"), &c, &member)) {
        if (el_str_eq(member, EL_STR("*"))) {
            el_buf_deinit(&names);
            return false;
        }
        /* Each once: the values are never longer than the request that they are from. */
        if (is_among(el_buf_str(&names), member))
            continue;
        if (names.n > 0)
            el_buf_add_byte(&names, ',');
        add_lower(&names, member);
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

bool proxy_vary_matches(const struct cache_meta *meta, struct el_fieldv request)
{
    struct el_buf values = { 0 };
    bool matches;

    if (meta->vary.n == 0)
        return true;
    add_values(&values, meta->vary, request);
    matches = el_str_eq(el_buf_str(&values),
                        el_str_from(el_buf_str(&meta->vary_bytes), meta->vary.n + 1));
    el_buf_deinit(&values);
    return matches;
}
