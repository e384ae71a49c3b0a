/* SPDX-License-Identifier: MIT */
/* prefix: see prefix.h. */
#include "common/prefix.h"

#include "common/url.h"

/* ---- paths ---- */

void el_prefix_add_decoded(struct el_buf *out, struct el_str s)
{
    el_buf_reserve(out, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        bool has_two = s.p[i] == '%' && i + 2 < s.n;
        int high = has_two ? el_hex_digit(s.p[i + 1]) : -1;
        int low = has_two ? el_hex_digit(s.p[i + 2]) : -1;

        if (high >= 0 && low >= 0) {
            el_buf_add_byte(out, (char)(high * 16 + low));
            i += 2;
        } else {
            el_buf_add_byte(out, s.p[i]);
        }
    }
}

void el_prefix_split(struct el_str url, struct el_str *ret_origin, struct el_str *ret_path)
{
    size_t authority = el_str_find(url, ':') + 3;
    size_t slash = authority + el_str_find(el_str_from(url, authority), '/');
    struct el_str path = el_str_from(url, slash);

    *ret_origin = el_str_first(url, slash);
    *ret_path = el_str_first(path, el_str_find(path, '?'));
}

bool el_prefix_is_dots(struct el_str segment)
{
    return el_str_eq(segment, EL_STR(".")) || el_str_eq(segment, EL_STR(".."));
}

bool el_prefix_is_ambiguous(struct el_str path)
{
    struct el_str rest = el_str_from(path, 1), segment;

    while (el_str_split(&rest, '/', &segment)) {
        if (el_prefix_is_dots(segment) || (segment.n == 0 && rest.n > 0))
            return true;
    }
    return false;
}

/* ---- a prefix ---- */

enum el_err el_prefix_parse(const char *text, struct el_prefix *ret, struct el_error *err)
{
    struct el_prefix p = { .path = { 0 } };
    struct el_str origin, path;
    struct el_buf key = { 0 };
    struct el_url url;
    enum el_err rc = el_url_parse(el_str_of(text), &url, err);

    if (rc != EL_OK)
        return rc;
    el_url_write_key(&key, url.is_https, url.host, url.port, url.target);
    el_prefix_split(el_buf_str(&key), &origin, &path);
    el_buf_add_str(&p.origin, origin);
    el_prefix_add_decoded(&p.path, path);
    el_buf_deinit(&key);
    while (p.path.n > 0 && p.path.p[p.path.n - 1] == '/')
        p.path.n--;
    if (p.path.n > 0 && el_prefix_is_ambiguous(el_buf_str(&p.path))) {
        el_prefix_deinit(&p);
        return el_fail(err, EL_ECONF, 0, "policy %s: a segment of the prefix is empty, . or ..",
                       text);
    }
    *ret = p;
    return EL_OK;
}

void el_prefix_deinit(struct el_prefix *p)
{
    el_buf_deinit(&p->origin);
    el_buf_deinit(&p->path);
}

bool el_prefix_is_same(const struct el_prefix *a, const struct el_prefix *b)
{
    return el_str_eq(el_buf_str(&a->origin), el_buf_str(&b->origin)) &&
           el_str_eq(el_buf_str(&a->path), el_buf_str(&b->path));
}

bool el_prefix_fits(const struct el_prefix *p, struct el_str origin, struct el_str path)
{
    struct el_str prefix = el_buf_str(&p->path);

    return el_str_eq(el_buf_str(&p->origin), origin) && el_str_starts(path, prefix) &&
           (path.n == prefix.n || path.p[prefix.n] == '/');
}
