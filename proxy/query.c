/* SPDX-License-Identifier: MIT */
/* query: see query.h. */
#include "proxy/query.h"

/* The byte of the escape at s[at]; -1 when it is none. */
static int escape_at(struct el_str s, size_t at)
{
    int high, low;

    if (s.n - at < 3)
        return -1;
    high = el_hex_digit(s.p[at + 1]);
    low = el_hex_digit(s.p[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static enum el_err decode(struct el_str s, struct el_buf *out, struct el_error *err)
{
    for (size_t i = 0; i < s.n; i++) {
        int byte = s.p[i] == '%' ? escape_at(s, i) : s.p[i];

        if (s.p[i] == '%' && byte < 0)
            return el_fail(err, EL_EBADREQ, 0, "the query has a %% that escapes nothing");
        if (s.p[i] == '%')
            i += 2;
        el_buf_add_byte(out, (char)byte);
    }
    return EL_OK;
}

static bool find_name(struct el_str name, const char *const *names, size_t n, size_t *ret_which)
{
    for (size_t i = 0; i < n; i++) {
        if (el_str_eq(name, el_str_of(names[i]))) {
            *ret_which = i;
            return true;
        }
    }
    return false;
}

enum el_err proxy_query_one(struct el_str query, const char *const *names, size_t n,
                            size_t *ret_which, struct el_buf *value, struct el_error *err)
{
    size_t equals = el_str_find(query, '='), which;

    EL_ASSERT(n > 0);
    if (el_str_find(query, '&') < query.n)
        return el_fail(err, EL_EBADREQ, 0,
                       "one parameter is wanted; write %%26 for a & that belongs to the URL");
    if (!find_name(el_str_first(query, equals), names, n, &which) || equals + 1 >= query.n)
        return el_fail(err, EL_EBADREQ, 0, "%s=... is wanted in the query%s%s%s", names[0],
                       n > 1 ? ", or " : "", n > 1 ? names[1] : "", n > 1 ? "=..." : "");
    *ret_which = which;
    return decode(el_str_from(query, equals + 1), value, err);
}
