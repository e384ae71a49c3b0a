/* SPDX-License-Identifier: MIT */
/*
 * names: what people call object versions, as nodes tell (cp_object_describe). Records, soft:
 *
 *   object/HEX   length, name
 *
 * A name may come before the first chunk of its version and is kept for a while without any.
 */
#include "common/sha256.h"
#include "controlplane/state_in.h"

#define OBJECT_FORMAT    1
#define NAMES_MAX        1000000u
#define IDLE_MS          600000u /* without a chunk, after which a name goes */
#define BUCKETS_PER_TICK 4096u

struct named {
    struct cp_entry entry;
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    uint64_t bytes;   /* 0: not told */
    uint64_t used_ms; /* when it had chunks */
    bool is_dirty;
    uint16_t n;
    char name[];
};

static struct named *get_named(const struct cp_state *s, const uint8_t *object)
{
    struct cp_entry *e =
        cp_table_get(&s->names, (struct el_str){ (const char *)object, EL_CHUNK_ID_OBJECT_BYTES });

    return e == NULL ? NULL : EL_ENTRY(e, struct named, entry);
}

struct el_str cp_name_of(const struct cp_state *s, const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES],
                         uint64_t *ret_bytes)
{
    const struct named *d = get_named(s, object);

    if (ret_bytes != NULL)
        *ret_bytes = d == NULL ? 0 : d->bytes;
    return d == NULL ? (struct el_str){ "", 0 } : (struct el_str){ d->name, d->n };
}

struct el_str cp_object_name(const struct cp_state *s,
                             const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES])
{
    return cp_name_of(s, object, NULL);
}

static void drop_named(struct cp_state *s, struct named *d)
{
    cp_table_remove(&s->names, &d->entry);
    free(d);
}

/* In place of the one there is. */
static void put_named(struct cp_state *s, const struct cp_object_name *o, bool is_dirty)
{
    struct named *was = get_named(s, o->object), *d;

    if (was != NULL && was->bytes == o->bytes &&
        el_str_eq(o->name, (struct el_str){ was->name, was->n }))
        return;
    if (was != NULL)
        drop_named(s, was);
    if (s->names.n == NAMES_MAX)
        return;
    d = (struct named *)el_alloc(sizeof(*d) + o->name.n);
    memcpy(d->object, o->object, sizeof(d->object));
    memcpy(d->name, o->name.p, o->name.n);
    d->n = (uint16_t)o->name.n;
    d->bytes = o->bytes;
    d->used_ms = s->mono_ms;
    d->is_dirty = is_dirty;
    d->entry.key = (struct el_str){ (const char *)d->object, sizeof(d->object) };
    cp_table_put(&s->names, &d->entry);
}

enum el_err cp_object_describe(struct cp_state *s, const struct cp_object_name *name,
                               struct el_error *err)
{
    if (name->name.n == 0 || name->name.n > CP_OBJECT_NAME_MAX || !cp_is_printable(name->name))
        return el_fail(err, EL_EINVAL, 0, "name: 1 to %u printable ASCII characters",
                       CP_OBJECT_NAME_MAX);
    if (el_str_find(name->name, '?') < name->name.n)
        return el_fail(err, EL_EINVAL, 0, "name: without query");
    put_named(s, name, true);
    return EL_OK;
}

static struct el_str key_of(struct cp_key *k, const struct named *d)
{
    char hex[2 * EL_CHUNK_ID_OBJECT_BYTES + 1];

    el_hex(d->object, sizeof(d->object), hex);
    return cp_key_of(k, "object", (struct el_str){ hex, sizeof(hex) - 1 });
}

static void encode(struct el_buf *b, const struct named *d)
{
    el_bytes_add_u8(b, OBJECT_FORMAT);
    el_bytes_add_u64(b, d->bytes);
    cp_add_text(b, (struct el_str){ d->name, d->n });
}

static void look_at(struct cp_state *s, struct named *d)
{
    struct el_buf b = { 0 };
    struct cp_key k;

    if (cp_index_version(&s->index, d->object) != NULL)
        d->used_ms = s->mono_ms;
    if (s->mono_ms - d->used_ms > IDLE_MS) {
        cp_emit_removal(s, CP_SOFT, key_of(&k, d));
        drop_named(s, d);
    } else if (d->is_dirty) {
        d->is_dirty = false;
        encode(&b, d);
        cp_emit(s, CP_SOFT, key_of(&k, d), &b);
    }
}

static void write_buckets(struct cp_state *s, size_t n)
{
    for (; n > 0; n--) {
        size_t at = s->names_cursor++ & (s->names.buckets - 1);

        for (struct cp_entry *e = s->names.bucket[at], *next; e != NULL; e = next) {
            next = e->next;
            look_at(s, EL_ENTRY(e, struct named, entry));
        }
    }
}

void cp_names_write(struct cp_state *s)
{
    write_buckets(s, el_min_size(s->names.buckets, BUCKETS_PER_TICK));
}

void cp_names_flush(struct cp_state *s)
{
    write_buckets(s, s->names.buckets);
}

void cp_names_deinit(struct cp_state *s)
{
    for (size_t i = 0; i < s->names.buckets; i++) {
        for (struct cp_entry *e = s->names.bucket[i], *next; e != NULL; e = next) {
            next = e->next;
            free(EL_ENTRY(e, struct named, entry));
        }
    }
    cp_table_deinit(&s->names);
}

static bool parse_object(struct el_str hex, uint8_t ret[EL_CHUNK_ID_OBJECT_BYTES])
{
    if (hex.n != 2 * EL_CHUNK_ID_OBJECT_BYTES)
        return false;
    for (size_t i = 0; i < EL_CHUNK_ID_OBJECT_BYTES; i++) {
        int high = el_hex_digit(hex.p[2 * i]), low = el_hex_digit(hex.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static enum el_err apply_object(struct cp_state *s, struct el_str name, struct el_str value,
                                bool is_removal, struct el_error *err)
{
    struct el_bytes b = el_bytes_of(value);
    struct cp_object_name o = { 0 };
    struct named *d;

    if (!parse_object(name, o.object))
        return cp_bad_record(err, "object");
    d = get_named(s, o.object);
    if (is_removal) {
        if (d != NULL)
            drop_named(s, d);
        return EL_OK;
    }
    if (el_bytes_u8(&b) != OBJECT_FORMAT)
        return cp_bad_record(err, "object");
    o.bytes = el_bytes_u64(&b);
    o.name = cp_get_text(&b, CP_OBJECT_NAME_MAX);
    if (!el_bytes_is_end(&b) || o.name.n == 0 || !cp_is_printable(o.name))
        return cp_bad_record(err, "object");
    put_named(s, &o, false);
    return EL_OK;
}

static void dump_objects(const struct cp_state *s, cp_keep *keep, void *arg)
{
    for (size_t i = 0; i < s->names.buckets; i++) {
        for (struct cp_entry *e = s->names.bucket[i]; e != NULL; e = e->next) {
            const struct named *d = EL_ENTRY(e, struct named, entry);
            struct el_buf b = { 0 };
            struct cp_key k;

            encode(&b, d);
            keep(arg, key_of(&k, d), el_buf_str(&b));
            el_buf_deinit(&b);
        }
    }
}

const struct cp_kind cp_kind_object = { "object", apply_object, NULL, dump_objects };
