/* SPDX-License-Identifier: MIT */
/* multi: see multi.h. */
#include "proxy/multi.h"

#include <inttypes.h>

#include "proxy/headers_out.h"

struct proxy_multi *proxy_multi_new(const struct proxy_parts *parts, uint64_t total,
                                    struct el_str content_type, const char *boundary)
{
    struct proxy_multi *m = el_new(struct proxy_multi);

    EL_ASSERT(strlen(boundary) == PROXY_MULTI_BOUNDARY);
    m->parts = *parts;
    m->total = total;
    el_buf_add_str(&m->content_type, content_type);
    memcpy(m->boundary, boundary, sizeof(m->boundary));
    return m;
}

void proxy_multi_free(struct proxy_multi *m)
{
    if (m == NULL)
        return;
    el_buf_deinit(&m->content_type);
    el_buf_deinit(&m->text);
    free(m);
}

static void write_before(const struct proxy_multi *m, size_t part, struct el_buf *out)
{
    el_buf_addf(out, "\r\n--%s\r\n", m->boundary);
    if (m->content_type.n > 0) {
        el_buf_add_str(out, EL_STR("Content-Type: "));
        el_buf_add_str(out, el_buf_str(&m->content_type));
        el_buf_add_str(out, EL_STR("\r\n"));
    }
    el_buf_addf(out, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n\r\n",
                m->parts.v[part].first, m->parts.v[part].end - 1, m->total);
}

static void write_behind(const struct proxy_multi *m, struct el_buf *out)
{
    el_buf_addf(out, "\r\n--%s--\r\n", m->boundary);
}

void proxy_multi_write_fields(const struct proxy_multi *m, struct el_fieldv object,
                              struct el_buf *out)
{
    for (size_t i = 0; i < object.n; i++) {
        if (el_str_ieq(object.v[i].name, EL_STR("Content-Type")) ||
            proxy_headers_is_of_whole(object.v[i].name))
            continue;
        el_buf_add_str(out, object.v[i].name);
        el_buf_add_str(out, EL_STR(": "));
        el_buf_add_str(out, object.v[i].value);
        el_buf_add_str(out, EL_STR("\r\n"));
    }
    el_buf_addf(out, "Content-Type: multipart/byteranges; boundary=%s\r\n", m->boundary);
}

uint64_t proxy_multi_length(const struct proxy_multi *m)
{
    struct el_buf text = { 0 };
    uint64_t bytes = 0;

    for (size_t i = 0; i < m->parts.n; i++) {
        write_before(m, i, &text);
        bytes += m->parts.v[i].end - m->parts.v[i].first;
    }
    write_behind(m, &text);
    bytes += text.n;
    el_buf_deinit(&text);
    return bytes;
}

bool proxy_multi_next(struct proxy_multi *m, uint64_t *ret_first, uint64_t *ret_end)
{
    if (m->next == m->parts.n) {
        if (!m->is_closed) {
            m->text_sent = 0;
            el_buf_clear(&m->text);
            write_behind(m, &m->text);
        }
        m->is_closed = true;
        return false;
    }
    *ret_first = m->parts.v[m->next].first;
    *ret_end = m->parts.v[m->next].end;
    m->text_sent = 0;
    el_buf_clear(&m->text);
    write_before(m, m->next, &m->text);
    m->next++;
    return true;
}
