/* SPDX-License-Identifier: MIT */
/* s3_delete: see s3_delete.h. A reader of tags and text, and a state for each depth. */
#include "proxy/s3_delete.h"

enum token { OPEN, EMPTY, CLOSE, TEXT, END, BAD };

struct reader {
    struct el_str rest;
    struct el_str name; /* of a tag, without its prefix */
    struct el_str text; /* as written, or the content of a CDATA section */
    bool is_literal;    /* the latter */
};

/* Cuts what stands before `mark` off the rest, and the mark. False: it is not there. */
static bool cut(struct el_str *rest, struct el_str mark, struct el_str *ret_before)
{
    for (size_t i = 0; i + mark.n <= rest->n; i++) {
        if (!el_str_starts(el_str_from(*rest, i), mark))
            continue;
        *ret_before = el_str_first(*rest, i);
        *rest = el_str_from(*rest, i + mark.n);
        return true;
    }
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* "s3:Key xmlns='...'" -> "Key" */
static struct el_str local_name(struct el_str tag)
{
    size_t n = 0, colon;

    while (n < tag.n && !is_space(tag.p[n]))
        n++;
    tag = el_str_first(tag, n);
    colon = el_str_find(tag, ':');
    return colon < tag.n ? el_str_from(tag, colon + 1) : tag;
}

/* Behind '<'. An attribute may hold a '>' only where it is quoted, which nobody writes: then the
 * rest does not fit and the whole is not understood. */
static enum token read_tag(struct reader *r)
{
    bool is_close = el_str_starts(r->rest, EL_STR("/")), is_empty;
    struct el_str tag;

    if (!cut(&r->rest, EL_STR(">"), &tag))
        return BAD;
    is_empty = !is_close && tag.n > 0 && tag.p[tag.n - 1] == '/';
    if (is_empty)
        tag = el_str_first(tag, tag.n - 1);
    r->name = local_name(is_close ? el_str_from(tag, 1) : tag);
    if (r->name.n == 0)
        return BAD;
    return is_close ? CLOSE : is_empty ? EMPTY : OPEN;
}

/* "<?xml ... ?>": another encoding would have to be translated. */
static bool is_readable(struct el_str instruction)
{
    return memmem(instruction.p, instruction.n, "encoding", 8) == NULL ||
           memmem(instruction.p, instruction.n, "UTF-8", 5) != NULL ||
           memmem(instruction.p, instruction.n, "utf-8", 5) != NULL;
}

static enum token next(struct reader *r)
{
    struct el_str skipped;

    r->is_literal = false;
    while (r->rest.n > 0 && r->rest.p[0] == '<') {
        r->rest = el_str_from(r->rest, 1);
        if (el_str_starts(r->rest, EL_STR("![CDATA["))) {
            r->rest = el_str_from(r->rest, 8);
            r->is_literal = true;
            return cut(&r->rest, EL_STR("]]>"), &r->text) ? TEXT : BAD;
        }
        if (el_str_starts(r->rest, EL_STR("?"))) {
            if (!cut(&r->rest, EL_STR("?>"), &skipped) || !is_readable(skipped))
                return BAD;
        } else if (el_str_starts(r->rest, EL_STR("!--"))) {
            if (!cut(&r->rest, EL_STR("-->"), &skipped))
                return BAD;
        } else if (el_str_starts(r->rest, EL_STR("!"))) {
            return BAD; /* a document type could define what an entity stands for */
        } else {
            return read_tag(r);
        }
    }
    if (r->rest.n == 0)
        return END;
    r->text = el_str_first(r->rest, el_str_find(r->rest, '<'));
    r->rest = el_str_from(r->rest, r->text.n);
    return TEXT;
}

/* ---- text ---- */

static void add_utf8(struct el_buf *out, unsigned c)
{
    if (c < 0x80) {
        el_buf_add_byte(out, (char)c);
    } else if (c < 0x800) {
        el_buf_add_byte(out, (char)(0xc0 | c >> 6));
        el_buf_add_byte(out, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        el_buf_add_byte(out, (char)(0xe0 | c >> 12));
        el_buf_add_byte(out, (char)(0x80 | (c >> 6 & 0x3f)));
        el_buf_add_byte(out, (char)(0x80 | (c & 0x3f)));
    } else {
        el_buf_add_byte(out, (char)(0xf0 | c >> 18));
        el_buf_add_byte(out, (char)(0x80 | (c >> 12 & 0x3f)));
        el_buf_add_byte(out, (char)(0x80 | (c >> 6 & 0x3f)));
        el_buf_add_byte(out, (char)(0x80 | (c & 0x3f)));
    }
}

static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a' + 10);
    return c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10) : 16;
}

/* "#38" or "#x26" */
static bool add_number(struct el_buf *out, struct el_str s)
{
    unsigned base = s.n > 1 && s.p[1] == 'x' ? 16 : 10, value = 0;
    size_t i = base == 16 ? 2 : 1;

    if (i >= s.n)
        return false;
    for (; i < s.n; i++) {
        unsigned digit = digit_of(s.p[i]);

        if (digit >= base || value > 0x10ffff)
            return false;
        value = value * base + digit;
    }
    if (value == 0 || value > 0x10ffff)
        return false;
    add_utf8(out, value);
    return true;
}

static bool add_entity(struct el_buf *out, struct el_str s)
{
    static const struct {
        const char *name;
        char byte;
    } entities[] = {
        { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' }
    };

    if (s.n > 0 && s.p[0] == '#')
        return add_number(out, s);
    for (size_t i = 0; i < EL_COUNT(entities); i++) {
        if (el_str_eq(s, el_str_of(entities[i].name))) {
            el_buf_add_byte(out, entities[i].byte);
            return true;
        }
    }
    return false;
}

/* Line ends as XML has them: one byte each. */
static void add_plain(struct el_buf *out, struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\r')
            el_buf_add_byte(out, s.p[i]);
        else if (i + 1 == s.n || s.p[i + 1] != '\n')
            el_buf_add_byte(out, '\n');
    }
}

static bool add_text(struct el_buf *out, const struct reader *r)
{
    struct el_str rest = r->text, before, entity;

    while (!r->is_literal && el_str_find(rest, '&') < rest.n) {
        if (!cut(&rest, EL_STR("&"), &before) || !cut(&rest, EL_STR(";"), &entity))
            return false;
        add_plain(out, before);
        if (!add_entity(out, entity))
            return false;
    }
    add_plain(out, rest);
    return true;
}

static bool is_blank(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_space(s.p[i]))
            return false;
    }
    return true;
}

/* ---- the document ---- */

/* What stands between the opening tag that was just read and its closing one: text alone. */
static bool read_content(struct reader *r, struct el_buf *out)
{
    struct el_str name = r->name;

    for (;;) {
        switch (next(r)) {
        case TEXT:
            if (!add_text(out, r))
                return false;
            break;
        case CLOSE:
            return el_str_eq(r->name, name);
        case OPEN:
        case EMPTY:
        case END:
        case BAD:
            return false;
        }
    }
}

struct object {
    struct el_buf key, version, other; /* other: an ETag, a size, a time; not of interest */
};

static struct el_buf *place_of(struct object *o, struct el_str name)
{
    if (el_str_eq(name, EL_STR("Key")))
        return &o->key;
    return el_str_eq(name, EL_STR("VersionId")) ? &o->version : &o->other;
}

/* The next tag inside an element that holds no text of its own. */
static enum token next_tag(struct reader *r)
{
    enum token t;

    while ((t = next(r)) == TEXT) {
        if (r->is_literal || !is_blank(r->text))
            return BAD;
    }
    return t;
}

/* Behind <Object>: up to its end. */
static bool read_object(struct reader *r, struct object *o)
{
    for (;;) {
        switch (next_tag(r)) {
        case OPEN:
            if (!read_content(r, place_of(o, r->name)))
                return false;
            break;
        case EMPTY:
            break;
        case CLOSE:
            return el_str_eq(r->name, EL_STR("Object")) && o->key.n > 0;
        case TEXT:
        case END:
        case BAD:
            return false;
        }
    }
}

/* An element of <Delete> that was just opened. */
static bool read_member(struct reader *r, struct object *o, proxy_s3_on_deleted *each, void *arg)
{
    el_buf_clear(&o->key);
    el_buf_clear(&o->version);
    el_buf_clear(&o->other);
    if (!el_str_eq(r->name, EL_STR("Object")))
        return read_content(r, &o->other);
    if (!read_object(r, o))
        return false;
    each(arg, el_buf_str(&o->key), el_buf_str(&o->version));
    return true;
}

/* Behind <Delete>: up to its end. */
static bool read_members(struct reader *r, struct object *o, proxy_s3_on_deleted *each, void *arg)
{
    for (size_t n = 0; n <= PROXY_S3_DELETE_MAX + 1; n++) {
        switch (next_tag(r)) {
        case OPEN:
            if (!read_member(r, o, each, arg))
                return false;
            break;
        case EMPTY:
            break;
        case CLOSE:
            return el_str_eq(r->name, EL_STR("Delete")) && next_tag(r) == END;
        case TEXT:
        case END:
        case BAD:
            return false;
        }
    }
    return false;
}

bool proxy_s3_delete_parse(struct el_str body, proxy_s3_on_deleted *each, void *arg)
{
    struct reader r = { .rest = body };
    struct object o = { 0 };
    bool is_understood;

    if (el_str_starts(r.rest, EL_STR("\xef\xbb\xbf")))
        r.rest = el_str_from(r.rest, 3);
    is_understood = next_tag(&r) == OPEN && el_str_eq(r.name, EL_STR("Delete")) &&
                    read_members(&r, &o, each, arg);
    el_buf_deinit(&o.key);
    el_buf_deinit(&o.version);
    el_buf_deinit(&o.other);
    return is_understood;
}
