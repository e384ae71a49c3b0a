/* SPDX-License-Identifier: MIT */
/*
 * directives: see directives.h. Cache-Control is a list whose members are read one by one, however
 * odd they are. CDN-Cache-Control is a dictionary of structured fields (RFC 8941): there a single
 * mistake makes the field void, so it is checked from end to end as it is read.
 */
#include "proxy/directives.h"

static struct el_str unquoted(struct el_str v)
{
    if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
        return (struct el_str){ v.p + 1, v.n - 2 };
    return v;
}

void proxy_directive_split(struct el_str member, struct el_str *ret_name, struct el_str *ret_value)
{
    size_t eq = el_str_find(member, '=');

    *ret_name = el_str_first(member, eq);
    *ret_value = unquoted(el_str_from(member, eq + 1));
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool proxy_delta_parse(struct el_str text, int64_t *ret_s)
{
    int64_t s = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (!is_digit(text.p[i]))
            return false;
        s = s * 10 + (text.p[i] - '0');
        s = s < PROXY_DELTA_MAX ? s : PROXY_DELTA_MAX;
    }
    if (text.n == 0)
        return false;
    *ret_s = s;
    return true;
}

static void take_smallest(int64_t *have, struct el_str value)
{
    int64_t s = 0;

    /* Unreadable: already over (RFC 9111 section 4.2.1). */
    (void)proxy_delta_parse(value, &s);
    if (*have == PROXY_NOT_SAID || s < *have)
        *have = s;
}

static bool set_flag(struct proxy_directives *d, struct el_str name)
{
    const struct {
        struct el_str name;
        bool *flag;
    } flags[] = {
        { EL_STR("no-store"), &d->no_store },
        { EL_STR("no-cache"), &d->no_cache },
        { EL_STR("private"), &d->is_private },
        { EL_STR("public"), &d->is_public },
        { EL_STR("must-revalidate"), &d->must_revalidate },
        { EL_STR("proxy-revalidate"), &d->must_revalidate },
        { EL_STR("must-understand"), &d->must_understand },
    };

    for (size_t i = 0; i < EL_COUNT(flags); i++) {
        if (el_str_ieq(name, flags[i].name)) {
            *flags[i].flag = true;
            return true;
        }
    }
    return false;
}

/* The lifetime that goes by this name; NULL when none does. */
static int64_t *lifetime(struct proxy_directives *d, struct el_str name)
{
    if (el_str_ieq(name, EL_STR("max-age")))
        return &d->max_age_s;
    if (el_str_ieq(name, EL_STR("s-maxage")))
        return &d->s_maxage_s;
    if (el_str_ieq(name, EL_STR("stale-while-revalidate")))
        return &d->stale_while_revalidate_s;
    if (el_str_ieq(name, EL_STR("stale-if-error")))
        return &d->stale_if_error_s;
    return NULL;
}

static const struct proxy_directives nothing_said = {
    .max_age_s = PROXY_NOT_SAID,
    .s_maxage_s = PROXY_NOT_SAID,
    .stale_while_revalidate_s = PROXY_NOT_SAID,
    .stale_if_error_s = PROXY_NOT_SAID,
};

/* ---- Cache-Control ---- */

static void read_list(struct el_fieldv response, struct proxy_directives *d)
{
    struct el_list_cursor c = { 0 };
    struct el_str member, name, value;
    int64_t *seconds;

    while (el_fieldv_member(response, EL_STR("Cache-Control"), &c, &member)) {
        proxy_directive_split(member, &name, &value);
        if (set_flag(d, name))
            continue;
        seconds = lifetime(d, name);
        if (seconds != NULL)
            take_smallest(seconds, value);
    }
}

/* ---- CDN-Cache-Control: structured fields, RFC 8941 section 4.2 ---- */

enum item_kind { ITEM_BOOLEAN, ITEM_INTEGER, ITEM_OTHER };

struct item {
    enum item_kind kind;
    bool is_true;       /* ITEM_BOOLEAN */
    struct el_str text; /* ITEM_INTEGER: its digits, with the sign */
};

struct parser {
    struct el_str rest;
    bool is_bad; /* from the first mistake on */
};

static bool at(const struct parser *p, char c)
{
    return !p->is_bad && p->rest.n > 0 && p->rest.p[0] == c;
}

static bool take(struct parser *p, char c)
{
    if (!at(p, c))
        return false;
    p->rest = el_str_from(p->rest, 1);
    return true;
}

static void take_spaces(struct parser *p, bool with_tabs)
{
    while (take(p, ' ') || (with_tabs && take(p, '\t')))
        ;
}

/* The longest run of bytes that the set allows. */
static struct el_str take_run(struct parser *p, bool (*is_in_set)(char))
{
    size_t n = 0;
    struct el_str run;

    while (n < p->rest.n && is_in_set(p->rest.p[n]))
        n++;
    run = el_str_first(p->rest, n);
    p->rest = el_str_from(p->rest, n);
    return run;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_key_byte(char c)
{
    return is_lower(c) || is_digit(c) || (c != '\0' && strchr("_-.*", c) != NULL);
}

static bool is_token_byte(char c)
{
    return is_alpha(c) || is_digit(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~:/", c) != NULL);
}

static bool is_base64_byte(char c)
{
    return is_alpha(c) || is_digit(c) || (c != '\0' && strchr("+/=", c) != NULL);
}

static struct el_str take_key(struct parser *p)
{
    p->is_bad |= p->rest.n == 0 || (!is_lower(p->rest.p[0]) && p->rest.p[0] != '*');
    return take_run(p, is_key_byte);
}

static void take_number(struct parser *p, struct item *ret)
{
    const char *start = p->rest.p;
    size_t whole, part = 0;
    bool is_decimal;

    (void)take(p, '-');
    whole = take_run(p, is_digit).n;
    is_decimal = take(p, '.');
    if (is_decimal)
        part = take_run(p, is_digit).n;
    p->is_bad |=
        whole == 0 || whole > (is_decimal ? 12 : 15) || (is_decimal && (part == 0 || part > 3));
    ret->kind = is_decimal ? ITEM_OTHER : ITEM_INTEGER;
    ret->text = (struct el_str){ start, (size_t)(p->rest.p - start) };
}

static void take_string(struct parser *p)
{
    (void)take(p, '"');
    while (!p->is_bad && !take(p, '"')) {
        if (take(p, '\\'))
            p->is_bad |= !at(p, '"') && !at(p, '\\');
        p->is_bad |= p->rest.n == 0 || p->rest.p[0] < 0x20 || p->rest.p[0] > 0x7e;
        p->rest = el_str_from(p->rest, 1);
    }
}

static void take_byte_sequence(struct parser *p)
{
    (void)take(p, ':');
    (void)take_run(p, is_base64_byte);
    p->is_bad |= !take(p, ':');
}

static void take_boolean(struct parser *p, struct item *ret)
{
    (void)take(p, '?');
    ret->kind = ITEM_BOOLEAN;
    ret->is_true = take(p, '1');
    p->is_bad |= !ret->is_true && !take(p, '0');
}

static void take_bare_item(struct parser *p, struct item *ret)
{
    char c = p->rest.n > 0 ? p->rest.p[0] : '\0';

    ret->kind = ITEM_OTHER;
    if (c == '-' || is_digit(c))
        take_number(p, ret);
    else if (c == '"')
        take_string(p);
    else if (c == ':')
        take_byte_sequence(p);
    else if (c == '?')
        take_boolean(p, ret);
    else if (c == '*' || is_alpha(c))
        (void)take_run(p, is_token_byte);
    else
        p->is_bad = true;
}

static void take_parameters(struct parser *p)
{
    struct item ignored;

    while (take(p, ';')) {
        take_spaces(p, false);
        (void)take_key(p);
        if (take(p, '='))
            take_bare_item(p, &ignored);
    }
}

static void take_inner_list(struct parser *p)
{
    struct item ignored;

    (void)take(p, '(');
    for (take_spaces(p, false); !p->is_bad && !take(p, ')'); take_spaces(p, false)) {
        take_bare_item(p, &ignored);
        take_parameters(p);
        p->is_bad |= !at(p, ' ') && !at(p, ')');
    }
}

/* "=value" with its parameters; a key that stands alone is true. */
static void take_member_value(struct parser *p, struct item *ret)
{
    *ret = (struct item){ .kind = ITEM_BOOLEAN, .is_true = true };
    if (take(p, '=')) {
        ret->kind = ITEM_OTHER;
        if (at(p, '('))
            take_inner_list(p);
        else
            take_bare_item(p, ret);
    }
    take_parameters(p);
}

/* What was said may be of the wrong type: then the field cannot be trusted at all. */
static bool apply(struct proxy_directives *d, struct el_str name, const struct item *value)
{
    int64_t *seconds = lifetime(d, name);

    if (seconds != NULL) {
        if (value->kind != ITEM_INTEGER)
            return false;
        /* Of one key the last counts (RFC 8941 section 4.2.2); below zero is over. */
        *seconds = 0;
        (void)proxy_delta_parse(value->text, seconds);
        return true;
    }
    if (value->kind != ITEM_BOOLEAN || value->is_true)
        (void)set_flag(d, name);
    return true;
}

/* The members of one line of the field; lines are joined as with a comma. */
static bool read_line(struct el_str line, struct proxy_directives *d, bool *is_empty)
{
    struct parser p = { .rest = el_str_trim(line) };
    struct item value;
    struct el_str name;

    while (!p.is_bad && p.rest.n > 0) {
        name = take_key(&p);
        take_member_value(&p, &value);
        if (p.is_bad || !apply(d, name, &value))
            return false;
        *is_empty = false;
        take_spaces(&p, true);
        if (p.rest.n == 0)
            return true;
        p.is_bad |= !take(&p, ',');
        take_spaces(&p, true);
        p.is_bad |= p.rest.n == 0; /* a comma at the end */
    }
    return !p.is_bad;
}

static bool read_targeted(struct el_fieldv response, struct proxy_directives *ret)
{
    struct proxy_directives d = nothing_said;
    bool is_empty = true;

    d.is_targeted = true;
    for (size_t i = 0; i < response.n; i++) {
        if (el_str_ieq(response.v[i].name, EL_STR("CDN-Cache-Control")) &&
            !read_line(response.v[i].value, &d, &is_empty))
            return false;
    }
    if (is_empty)
        return false;
    *ret = d;
    return true;
}

void proxy_directives_read(struct el_fieldv response, struct proxy_directives *ret)
{
    if (read_targeted(response, ret))
        return;
    *ret = nothing_said;
    read_list(response, ret);
}
