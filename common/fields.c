/* SPDX-License-Identifier: MIT */
/* fields: HTTP header fields, owned or borrowed, and the walk over list-valued ones. */
#include "common/fields.h"

void el_fields_init(struct el_fields *f)
{
    *f = (struct el_fields){ 0 };
}

/* The bytes of a field are one allocation, which its name points to. */
static void free_field(struct el_field *f)
{
    free((void *)(uintptr_t)f->name.p);
}

void el_fields_deinit(struct el_fields *f)
{
    for (size_t i = 0; i < f->n; i++)
        free_field(&f->v[i]);
    free(f->v);
    el_fields_init(f);
}

void el_fields_add(struct el_fields *f, struct el_str name, struct el_str value)
{
    char *bytes = el_alloc(name.n + value.n + 1);

    if (f->n == f->cap) {
        f->cap = f->cap == 0 ? 16 : f->cap * 2;
        f->v = realloc(f->v, f->cap * sizeof(f->v[0]));
        EL_ASSERT(f->v != NULL);
    }
    if (name.n > 0)
        memcpy(bytes, name.p, name.n);
    if (value.n > 0)
        memcpy(bytes + name.n, value.p, value.n);
    f->v[f->n++] = (struct el_field){ { bytes, name.n }, { bytes + name.n, value.n } };
}

size_t el_fields_remove(struct el_fields *f, struct el_str name)
{
    size_t kept = 0, n = f->n;

    /* Those to remove gather at the end and go last: `name` may lie in one of them. */
    for (size_t i = 0; i < n; i++) {
        struct el_field field = f->v[i];

        if (el_str_ieq(field.name, name))
            continue;
        f->v[i] = f->v[kept];
        f->v[kept++] = field;
    }
    for (size_t i = kept; i < n; i++)
        free_field(&f->v[i]);
    f->n = kept;
    return n - kept;
}

struct el_fieldv el_fields_view(const struct el_fields *f)
{
    return (struct el_fieldv){ f->v, f->n };
}

bool el_fieldv_get(struct el_fieldv f, struct el_str name, struct el_str *ret_value)
{
    for (size_t i = 0; i < f.n; i++) {
        if (el_str_ieq(f.v[i].name, name)) {
            *ret_value = f.v[i].value;
            return true;
        }
    }
    return false;
}

size_t el_fieldv_count(struct el_fieldv f, struct el_str name)
{
    size_t n = 0;

    for (size_t i = 0; i < f.n; i++)
        n += el_str_ieq(f.v[i].name, name);
    return n;
}

bool el_fieldv_has(struct el_fieldv f, struct el_str name)
{
    struct el_str value;

    return el_fieldv_get(f, name, &value);
}

/* The end of the member that starts at `from`: a comma outside quotes, or the end of the value. */
static size_t member_end(struct el_str v, size_t from)
{
    bool quoted = false;
    size_t i;

    for (i = from; i < v.n; i++) {
        if (quoted && v.p[i] == '\\')
            i++;
        else if (v.p[i] == '"')
            quoted = !quoted;
        else if (!quoted && v.p[i] == ',')
            break;
    }
    return el_min_size(i, v.n);
}

bool el_fieldv_member(struct el_fieldv f, struct el_str name, struct el_list_cursor *c,
                      struct el_str *ret_member)
{
    for (; c->field < f.n; c->field++, c->offset = 0) {
        struct el_str v = f.v[c->field].value;

        if (!el_str_ieq(f.v[c->field].name, name))
            continue;
        while (c->offset < v.n) {
            size_t end = member_end(v, c->offset);
            struct el_str m = { v.p + c->offset, end - c->offset };

            c->offset = end + 1;
            m = el_str_trim(m);
            if (m.n > 0) {
                *ret_member = m;
                return true;
            }
        }
    }
    return false;
}

bool el_fieldv_has_token(struct el_fieldv f, struct el_str name, struct el_str token)
{
    struct el_list_cursor c = { 0 };
    struct el_str member;

    while (el_fieldv_member(f, name, &c, &member)) {
        if (el_str_ieq(member, token))
            return true;
    }
    return false;
}
