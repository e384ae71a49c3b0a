/* SPDX-License-Identifier: MIT */
#include "proxy/http1_parse.h"

#include <limits.h>

#include "common/http_client.h"

/* No sender uses extensions or trailers of such length; beyond it, they are an attack. */
#define MAX_EXT_BYTES     256
#define MAX_TRAILER_BYTES 8192

/* ---- classes of bytes (RFC 9110 section 5.6.2, RFC 3986 section 3.2.2) ---- */

enum {
    TCHAR = 1,  /* of tokens: methods and field names */
    VCHAR = 2,  /* of field values: HTAB, SP, visible, and obs-text */
    TARGET = 4, /* of request targets: visible and obs-text */
    HOST = 8,   /* of a registered name or IPv4 address; %XX is checked apart */
    HEX = 16,
};

#define TOKEN (TCHAR | VCHAR | TARGET)
#define BOTH  (TOKEN | HOST)
#define OTHER (VCHAR | TARGET)

static const uint8_t classes[256] = {
    ['\t'] = VCHAR,       [' '] = VCHAR,         ['!'] = BOTH,
    ['"'] = OTHER,        ['#'] = TOKEN,         ['$'] = BOTH,
    ['%'] = TOKEN,        ['&'] = BOTH,          ['\''] = BOTH,
    ['('] = OTHER | HOST, [')'] = OTHER | HOST,  ['*'] = BOTH,
    ['+'] = BOTH,         [','] = OTHER,         ['-'] = BOTH,
    ['.'] = BOTH,         ['/'] = OTHER,         ['0' ... '9'] = BOTH | HEX,
    [':'] = OTHER,        [';'] = OTHER | HOST,  ['<'] = OTHER,
    ['='] = OTHER | HOST, ['>' ... '@'] = OTHER, ['A' ... 'F'] = BOTH | HEX,
    ['G' ... 'Z'] = BOTH, ['[' ... ']'] = OTHER, ['^'] = TOKEN,
    ['_'] = BOTH,         ['`'] = TOKEN,         ['a' ... 'f'] = BOTH | HEX,
    ['g' ... 'z'] = BOTH, ['{'] = OTHER,         ['|'] = TOKEN,
    ['}'] = OTHER,        ['~'] = BOTH,          [0x80 ... 0xff] = OTHER,
};

static bool is(char c, unsigned class)
{
    return (classes[(unsigned char)c] & class) != 0;
}

static bool all_are(struct el_str s, unsigned class)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is(s.p[i], class))
            return false;
    return true;
}

/* ---- head ---- */

ssize_t proxy_http1_head_end(const char *bytes, size_t n, size_t *scanned)
{
    const char *end = bytes + n, *line = bytes + *scanned, *lf;

    while (line < end && (lf = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        if (lf == line || lf[-1] != '\r')
            return -1;
        line = lf + 1;
        if (lf - 1 == bytes + *scanned)
            return line - bytes;
        *scanned = (size_t)(line - bytes);
    }
    return 0;
}

static bool refuse(struct proxy_http1_refusal *ret, int status, enum el_err code,
                   const char *detail)
{
    *ret = (struct proxy_http1_refusal){ status, code, detail };
    return false;
}

static bool bad(struct proxy_http1_refusal *ret, const char *detail)
{
    return refuse(ret, 400, EL_EBADREQ, detail);
}

/* The line up to its CRLF, which is there; *rest is what follows. */
static struct el_str cut_line(struct el_str *rest)
{
    struct el_str line = el_str_first(*rest, el_str_find(*rest, '\n'));

    *rest = el_str_from(*rest, line.n + 1);
    return el_str_first(line, line.n - 1);
}

static bool parse_version(struct el_str v, struct proxy_head *h, struct proxy_http1_refusal *ret)
{
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[6] != '.' || v.p[5] < '0' || v.p[5] > '9' ||
        v.p[7] < '0' || v.p[7] > '9')
        return bad(ret, "the request line does not end with a version of HTTP");
    if (v.p[5] != '1')
        return refuse(ret, 505, EL_EUNSUPPORTED, "this listener speaks HTTP/1 only");
    /* A higher minor version is answered as the highest known one (RFC 9110 section 2.5). */
    h->minor_version = v.p[7] == '0' ? 0 : 1;
    return true;
}

static bool parse_request_line(struct el_str line, struct proxy_head *h,
                               struct proxy_http1_refusal *ret)
{
    size_t sp = el_str_find(line, ' ');

    h->method = el_str_first(line, sp);
    if (sp == 0 || sp == line.n || !all_are(h->method, TCHAR))
        return bad(ret, "the method is not a token");
    line = el_str_from(line, sp + 1);
    sp = el_str_find(line, ' ');
    h->target = el_str_first(line, sp);
    if (sp == 0 || sp == line.n || !all_are(h->target, TARGET))
        return bad(ret, "the request target is malformed");
    return parse_version(el_str_from(line, sp + 1), h, ret);
}

static bool parse_field(struct el_str line, struct el_field *f, struct proxy_http1_refusal *ret)
{
    size_t colon = 0;

    if (is(line.p[0], VCHAR) && !is(line.p[0], TARGET))
        return bad(ret, "a field is folded over several lines");
    while (colon < line.n && is(line.p[colon], TCHAR))
        colon++;
    if (colon == 0 || colon == line.n || line.p[colon] != ':')
        return bad(ret, "a field name is malformed");
    f->name = el_str_first(line, colon);
    f->value = el_str_trim(el_str_from(line, colon + 1));
    if (!all_are(f->value, VCHAR))
        return bad(ret, "a field value holds a control character");
    return true;
}

/* ---- what the fields say about the message ---- */

struct framing {
    unsigned hosts, lengths, codings;
    bool has_close, has_keep_alive;
    uint64_t length;
    bool is_chunked; /* the one coding is `chunked` */
};

static bool is_port(struct el_str s)
{
    uint64_t port;

    return s.n == 0 || el_str_u64(s, UINT16_MAX, &port);
}

/* What follows the "]" or the name: nothing, or ":" and a port. */
static bool is_port_part(struct el_str s)
{
    return s.n == 0 || (s.p[0] == ':' && is_port(el_str_from(s, 1)));
}

static bool is_ip_literal(struct el_str s)
{
    size_t end = el_str_find(s, ']');

    if (end == s.n || end < 3)
        return false;
    for (size_t i = 1; i < end; i++)
        if (!is(s.p[i], HEX) && s.p[i] != ':' && s.p[i] != '.')
            return false;
    return is_port_part(el_str_from(s, end + 1));
}

/* uri-host [ ":" port ]. An empty one is what a client sends for a target without authority. */
static bool is_host(struct el_str s)
{
    size_t i = 0;

    if (s.n > 0 && s.p[0] == '[')
        return is_ip_literal(s);
    while (i < s.n && s.p[i] != ':') {
        bool is_escape = s.p[i] == '%' && s.n - i > 2 && is(s.p[i + 1], HEX) && is(s.p[i + 2], HEX);

        if (!is_escape && !is(s.p[i], HOST))
            return false;
        i += is_escape ? 3 : 1;
    }
    return (i > 0 || s.n == 0) && is_port_part(el_str_from(s, i));
}

static void note_connection(struct el_str members, struct framing *fr)
{
    struct el_str member;

    while (el_str_split(&members, ',', &member)) {
        member = el_str_trim(member);
        if (el_str_ieq(member, EL_STR("close")))
            fr->has_close = true;
        else if (el_str_ieq(member, EL_STR("keep-alive")))
            fr->has_keep_alive = true;
    }
}

/* Of the fields that matter here no two names have the same length. */
static bool note_field(const struct el_field *f, struct proxy_head *h, struct framing *fr,
                       struct proxy_http1_refusal *ret)
{
    if (f->name.n == 4 && el_str_ieq(f->name, EL_STR("Host"))) {
        fr->hosts++;
        h->host = f->value;
        if (!is_host(f->value))
            return bad(ret, "the Host field is malformed");
    } else if (f->name.n == 14 && el_str_ieq(f->name, EL_STR("Content-Length"))) {
        fr->lengths++;
        if (!el_str_u64(f->value, INT64_MAX, &fr->length))
            return bad(ret, "the Content-Length field is malformed");
    } else if (f->name.n == 17 && el_str_ieq(f->name, EL_STR("Transfer-Encoding"))) {
        fr->codings++;
        fr->is_chunked = el_str_ieq(f->value, EL_STR("chunked"));
    } else if (f->name.n == 10 && el_str_ieq(f->name, EL_STR("Connection"))) {
        note_connection(f->value, fr);
    } else if (f->name.n == 6 && el_str_ieq(f->name, EL_STR("Expect")) && h->minor_version > 0) {
        if (!el_str_ieq(f->value, EL_STR("100-continue")))
            return refuse(ret, 417, EL_EBADREQ, "only 100-continue can be expected");
        h->expects_continue = true;
    }
    return true;
}

/* RFC 9112 sections 3.2 and 6. What it lets a server repair is refused: nobody sends it in good
 * faith. */
static bool judge(const struct framing *fr, struct proxy_head *h, struct proxy_http1_refusal *ret)
{
    if (fr->hosts > 1)
        return bad(ret, "there is more than one Host field");
    if (fr->hosts == 0 && h->minor_version > 0)
        return bad(ret, "there is no Host field");
    if (fr->lengths > 1)
        return bad(ret, "there is more than one Content-Length field");
    if (fr->codings > 0 && fr->lengths > 0)
        return bad(ret, "there are both Content-Length and Transfer-Encoding");
    if (fr->codings > 0 && h->minor_version == 0)
        return bad(ret, "HTTP/1.0 has no Transfer-Encoding");
    if (fr->codings > 1)
        return bad(ret, "there is more than one Transfer-Encoding field");
    if (fr->codings == 1 && !fr->is_chunked)
        return refuse(ret, 501, EL_EUNSUPPORTED, "chunked is the only transfer coding known");
    if (fr->codings == 1)
        h->body_length = EL_HTTP_BODY_CHUNKED;
    else
        h->body_length = fr->lengths == 1 ? (int64_t)fr->length : EL_HTTP_BODY_NONE;
    if (el_str_eq(h->method, EL_STR("CONNECT")) && h->body_length != EL_HTTP_BODY_NONE &&
        h->body_length != 0)
        return bad(ret, "CONNECT has no body");
    if (h->body_length == EL_HTTP_BODY_NONE || h->body_length == 0)
        h->expects_continue = false;
    return true;
}

bool proxy_http1_head_parse(struct el_str bytes, struct el_field *room, size_t max_fields,
                            struct proxy_http1_head *ret_head,
                            struct proxy_http1_refusal *ret_refusal)
{
    struct proxy_head *h = &ret_head->head;
    struct framing fr = { 0 };
    struct el_str line;

    *ret_head = (struct proxy_http1_head){ .head.fields.v = room };
    if (!parse_request_line(cut_line(&bytes), h, ret_refusal))
        return false;
    while ((line = cut_line(&bytes)).n > 0) {
        if (h->fields.n == max_fields)
            return refuse(ret_refusal, 431, EL_ETOOLARGE, "there are too many fields");
        if (!parse_field(line, &room[h->fields.n], ret_refusal) ||
            !note_field(&room[h->fields.n], h, &fr, ret_refusal))
            return false;
        h->fields.n++;
    }
    ret_head->keep_alive = !fr.has_close && (h->minor_version > 0 || fr.has_keep_alive);
    return judge(&fr, h, ret_refusal);
}

/* ---- chunked ---- */

void proxy_chunked_init(struct proxy_chunked *d)
{
    memset(d, 0, sizeof(*d));
    d->state = PROXY_CHUNKED_SIZE;
}

bool proxy_chunked_is_done(const struct proxy_chunked *d)
{
    return d->state == PROXY_CHUNKED_DONE;
}

void proxy_chunked_take(struct proxy_chunked *d, size_t n)
{
    EL_ASSERT(n == 0 || (d->state == PROXY_CHUNKED_DATA && n <= d->left));
    d->left -= n;
    if (d->state == PROXY_CHUNKED_DATA && d->left == 0)
        d->state = PROXY_CHUNKED_DATA_CR;
}

static unsigned hex_value(char c)
{
    if (c <= '9')
        return (unsigned)(c - '0');
    return (unsigned)((c | 0x20) - 'a') + 10;
}

static enum proxy_chunked_state read_size(struct proxy_chunked *d, char c)
{
    if (is(c, HEX)) {
        if (d->left > (INT64_MAX >> 4) || ++d->digits > 16)
            return PROXY_CHUNKED_BROKEN;
        d->left = d->left << 4 | hex_value(c);
        return PROXY_CHUNKED_SIZE;
    }
    if (d->digits == 0)
        return PROXY_CHUNKED_BROKEN;
    d->skipped = 0;
    d->saw_semicolon = c == ';';
    if (c == '\r')
        return PROXY_CHUNKED_SIZE_LF;
    return c == ';' || c == ' ' || c == '\t' ? PROXY_CHUNKED_EXT : PROXY_CHUNKED_BROKEN;
}

/* White space is only allowed in front of a semicolon: "5 " CRLF is not a size. */
static enum proxy_chunked_state read_ext(struct proxy_chunked *d, char c)
{
    if (++d->skipped > MAX_EXT_BYTES)
        return PROXY_CHUNKED_BROKEN;
    if (c == ';')
        d->saw_semicolon = true;
    if (!d->saw_semicolon)
        return c == ' ' || c == '\t' ? PROXY_CHUNKED_EXT : PROXY_CHUNKED_BROKEN;
    if (c == '\r')
        return PROXY_CHUNKED_SIZE_LF;
    return is(c, VCHAR) ? PROXY_CHUNKED_EXT : PROXY_CHUNKED_BROKEN;
}

static enum proxy_chunked_state begin_chunk(struct proxy_chunked *d, char c)
{
    if (c != '\n')
        return PROXY_CHUNKED_BROKEN;
    d->digits = 0;
    d->skipped = 0;
    d->line_bytes = 0;
    return d->left > 0 ? PROXY_CHUNKED_DATA : PROXY_CHUNKED_TRAILER;
}

static enum proxy_chunked_state read_trailer(struct proxy_chunked *d, char c)
{
    if (++d->skipped > MAX_TRAILER_BYTES)
        return PROXY_CHUNKED_BROKEN;
    if (c == '\r')
        return PROXY_CHUNKED_TRAILER_LF;
    d->line_bytes++;
    return is(c, VCHAR) ? PROXY_CHUNKED_TRAILER : PROXY_CHUNKED_BROKEN;
}

static enum proxy_chunked_state end_trailer_line(struct proxy_chunked *d, char c)
{
    if (c != '\n')
        return PROXY_CHUNKED_BROKEN;
    if (d->line_bytes == 0)
        return PROXY_CHUNKED_DONE;
    d->line_bytes = 0;
    return PROXY_CHUNKED_TRAILER;
}

/* One byte of framing; the states in which bytes are data or ignored do not come here. */
static enum proxy_chunked_state step(struct proxy_chunked *d, char c)
{
    switch (d->state) {
    case PROXY_CHUNKED_SIZE:
        return read_size(d, c);
    case PROXY_CHUNKED_EXT:
        return read_ext(d, c);
    case PROXY_CHUNKED_SIZE_LF:
        return begin_chunk(d, c);
    case PROXY_CHUNKED_DATA_CR:
        return c == '\r' ? PROXY_CHUNKED_DATA_LF : PROXY_CHUNKED_BROKEN;
    case PROXY_CHUNKED_DATA_LF:
        return c == '\n' ? PROXY_CHUNKED_SIZE : PROXY_CHUNKED_BROKEN;
    case PROXY_CHUNKED_TRAILER:
        return read_trailer(d, c);
    case PROXY_CHUNKED_TRAILER_LF:
        return end_trailer_line(d, c);
    case PROXY_CHUNKED_DATA:
    case PROXY_CHUNKED_DONE:
    case PROXY_CHUNKED_BROKEN:
        break;
    }
    return PROXY_CHUNKED_BROKEN;
}

bool proxy_chunked_next(struct proxy_chunked *d, const char *bytes, size_t n, size_t *ret_used,
                        size_t *ret_data)
{
    size_t used = 0;

    while (used < n && d->state != PROXY_CHUNKED_DATA && d->state != PROXY_CHUNKED_DONE &&
           d->state != PROXY_CHUNKED_BROKEN)
        d->state = step(d, bytes[used++]);
    if (d->state == PROXY_CHUNKED_BROKEN)
        return false;
    *ret_used = used;
    *ret_data = d->state == PROXY_CHUNKED_DATA ? (size_t)el_min_u64(d->left, n - used) : 0;
    return true;
}
