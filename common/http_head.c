/* SPDX-License-Identifier: MIT */
/*
 * http_head: see the header. A line is kept until the next one has come, because that one may
 * continue it (obs-fold, RFC 9112 section 5.2); only then does it become a field.
 */
#include "common/http_head.h"

void el_http_head_init(struct el_http_head *h)
{
    *h = (struct el_http_head){ 0 };
    el_fields_init(&h->fields);
    el_buf_init(&h->line);
}

void el_http_head_deinit(struct el_http_head *h)
{
    el_fields_deinit(&h->fields);
    el_buf_deinit(&h->line);
}

void el_http_head_clear(struct el_http_head *h)
{
    el_http_head_deinit(h);
    el_http_head_init(h);
}

bool el_http_is_token(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

        if (!is_alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return s.n > 0;
}

bool el_http_is_value(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
            return false;
    return true;
}

static enum el_err add_pending(struct el_http_head *h, struct el_error *err)
{
    struct el_str line = el_buf_str(&h->line);
    size_t colon = el_str_find(line, ':');
    struct el_str name = el_str_first(line, colon);
    struct el_str value = el_str_trim(el_str_from(line, colon + 1));

    if (line.n == 0)
        return EL_OK;
    if (colon == line.n || !el_http_is_token(name) || !el_http_is_value(value))
        return el_fail(err, EL_EPROTO, 0, "malformed field in the response");
    if (h->fields.n == EL_HTTP_HEAD_MAX_FIELDS)
        return el_fail(err, EL_EPROTO, 0, "more than %d fields in the response",
                       EL_HTTP_HEAD_MAX_FIELDS);
    el_fields_add(&h->fields, name, value);
    el_buf_clear(&h->line);
    return EL_OK;
}

/* Two lengths that differ are how responses are split: RFC 9112 section 6.3. */
static enum el_err check_lengths(struct el_fieldv f, struct el_error *err)
{
    struct el_str first = { NULL, 0 };
    uint64_t length;

    for (size_t i = 0; i < f.n; i++) {
        if (!el_str_ieq(f.v[i].name, EL_STR("Content-Length")))
            continue;
        if (!el_str_u64(f.v[i].value, INT64_MAX, &length))
            return el_fail(err, EL_EPROTO, 0, "invalid Content-Length in the response");
        if (first.p != NULL && !el_str_eq(first, f.v[i].value))
            return el_fail(err, EL_EPROTO, 0, "two different Content-Length in the response");
        first = f.v[i].value;
    }
    return EL_OK;
}

static enum el_err check_framing(struct el_http_head *h, struct el_error *err)
{
    struct el_fieldv f = el_fields_view(&h->fields);
    struct el_list_cursor at = { 0 };
    struct el_str coding;

    while (el_fieldv_member(f, EL_STR("Transfer-Encoding"), &at, &coding))
        if (!el_str_ieq(coding, EL_STR("chunked")) && !el_str_ieq(coding, EL_STR("identity")))
            return el_fail(err, EL_EPROTO, 0, "a transfer coding that was not asked for");
    if (el_fieldv_has(f, EL_STR("Transfer-Encoding"))) {
        el_fields_remove(&h->fields, EL_STR("Content-Length"));
        return EL_OK;
    }
    return check_lengths(f, err);
}

static enum el_err take_status(struct el_http_head *h, struct el_str line, struct el_error *err)
{
    struct el_str rest = line, version, code;
    uint64_t status;

    if (!el_str_starts(line, EL_STR("HTTP/")) || !el_str_split(&rest, ' ', &version) ||
        !el_str_split(&rest, ' ', &code) || code.n != 3 || !el_str_u64(code, 999, &status) ||
        status < 100)
        return el_fail(err, EL_EPROTO, 0, "malformed status line");
    h->status = (int)status;
    return EL_OK;
}

static struct el_str without_line_end(struct el_str line)
{
    if (line.n > 0 && line.p[line.n - 1] == '\n')
        line.n--;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

enum el_err el_http_head_line(struct el_http_head *h, struct el_str line, bool *ret_complete,
                              struct el_error *err)
{
    enum el_err rc;

    *ret_complete = false;
    h->bytes += line.n;
    if (h->bytes > EL_HTTP_HEAD_MAX_BYTES)
        return el_fail(err, EL_EPROTO, 0, "the response's head is too large");
    line = without_line_end(line);
    if (h->status == 0)
        return take_status(h, line, err);
    if (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t') && h->line.n > 0) {
        el_buf_add_byte(&h->line, ' ');
        el_buf_add_str(&h->line, el_str_trim(line));
        return EL_OK;
    }
    rc = add_pending(h, err);
    if (rc != EL_OK)
        return rc;
    if (line.n > 0) {
        el_buf_add_str(&h->line, line);
        return EL_OK;
    }
    *ret_complete = true;
    return h->status < 200 ? EL_OK : check_framing(h, err);
}
