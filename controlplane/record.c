/* SPDX-License-Identifier: MIT */
/*
 * record: what outlives the process, as keys and values (state.h), and taking them in again. Each
 * kind of record is described where its objects are; this file knows only the list of kinds.
 *
 * A key is "kind/name", a value big-endian numbers and texts (common/bytes.h) after a byte that
 * counts versions of the format. All records of a node have its id as the first part of their name:
 * stores keep the order of those, and read "node/" before the others at the start, since what is
 * said of a node that is not known is passed over.
 */
#include <math.h>

#include "controlplane/state_in.h"

static const struct cp_kind *const kinds[] = {
    &cp_kind_node,    &cp_kind_beat,  &cp_kind_chunks,    &cp_kind_report,   &cp_kind_object,
    &cp_kind_token,   &cp_kind_group, &cp_kind_member,    &cp_kind_policy,   &cp_kind_config,
    &cp_kind_command, &cp_kind_audit, &cp_kind_operation, &cp_kind_snapshot, &cp_kind_prefetch,
};

struct el_str cp_record_key(const struct cp_record *r)
{
    return (struct el_str){ r->bytes, r->key_n };
}

struct el_str cp_record_value(const struct cp_record *r)
{
    return (struct el_str){ r->bytes + r->key_n, r->value_n };
}

void cp_record_free(struct cp_record *r)
{
    while (r != NULL) {
        struct cp_record *next = r->next;

        free(r);
        r = next;
    }
}

static void emit(struct cp_state *s, bool is_hard, bool is_removal, struct el_str key,
                 struct el_str value)
{
    struct cp_record *r = (struct cp_record *)el_alloc(sizeof(struct cp_record) + key.n + value.n);

    EL_ASSERT(key.n <= CP_KEY_MAX && value.n <= CP_VALUE_MAX);
    r->key_n = (uint16_t)key.n;
    r->value_n = (uint32_t)value.n;
    r->is_hard = is_hard;
    r->is_removal = is_removal;
    memcpy(r->bytes, key.p, key.n);
    if (value.n > 0)
        memcpy(r->bytes + key.n, value.p, value.n);
    *s->out_tail = r;
    s->out_tail = &r->next;
    s->count.records++;
}

void cp_emit(struct cp_state *s, enum cp_hardness hardness, struct el_str key, struct el_buf *value)
{
    emit(s, hardness == CP_HARD, false, key, el_buf_str(value));
    el_buf_deinit(value);
}

void cp_emit_removal(struct cp_state *s, enum cp_hardness hardness, struct el_str key)
{
    emit(s, hardness == CP_HARD, true, key, (struct el_str){ NULL, 0 });
}

struct cp_record *cp_state_take(struct cp_state *s)
{
    struct cp_record *first = s->out;

    s->out = NULL;
    s->out_tail = &s->out;
    return first;
}

/* ---- keys ---- */

static void key_add(struct cp_key *k, struct el_str text)
{
    EL_ASSERT(k->n + text.n <= CP_KEY_MAX);
    memcpy(k->text + k->n, text.p, text.n);
    k->n += text.n;
}

struct el_str cp_key_of(struct cp_key *k, const char *kind, struct el_str name)
{
    k->n = 0;
    key_add(k, el_str_of(kind));
    key_add(k, EL_STR("/"));
    if (name.n > 0)
        key_add(k, name);
    return (struct el_str){ k->text, k->n };
}

struct el_str cp_key_of2(struct cp_key *k, const char *kind, struct el_str name, struct el_str rest)
{
    (void)cp_key_of(k, kind, name);
    key_add(k, EL_STR("/"));
    key_add(k, rest);
    return (struct el_str){ k->text, k->n };
}

/* ---- values ---- */

void cp_add_text(struct el_buf *b, struct el_str text)
{
    EL_ASSERT(text.n <= UINT16_MAX);
    el_bytes_add_u16(b, (uint16_t)text.n);
    el_buf_add_str(b, text);
}

struct el_str cp_get_text(struct el_bytes *b, size_t max)
{
    size_t n = el_bytes_u16(b);

    if (n > max)
        b->is_bad = true;
    return b->is_bad ? (struct el_str){ "", 0 } : el_bytes_str(b, n);
}

void cp_get_chars(struct el_bytes *b, char *ret, size_t max)
{
    struct el_str text = cp_get_text(b, max);

    if (!cp_is_printable(text))
        b->is_bad = true;
    else if (text.n > 0)
        memcpy(ret, text.p, text.n);
    ret[b->is_bad ? 0 : text.n] = '\0';
}

void cp_add_double(struct el_buf *b, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    el_bytes_add_u64(b, bits);
}

double cp_get_double(struct el_bytes *b)
{
    uint64_t bits = el_bytes_u64(b);
    double v;

    memcpy(&v, &bits, sizeof(v));
    return isfinite(v) && v > 0 ? v : 0;
}

enum el_err cp_bad_record(struct el_error *err, const char *kind)
{
    return el_fail(err, EL_EPROTO, 0, "a record of the kind %s does not hold together", kind);
}

/* ---- taking in ---- */

static const struct cp_kind *kind_of(struct el_str *key)
{
    struct el_str kind;

    if (!el_str_split(key, '/', &kind))
        return NULL;
    for (size_t i = 0; i < EL_COUNT(kinds); i++) {
        if (el_str_eq(kind, el_str_of(kinds[i]->name)))
            return kinds[i];
    }
    return NULL;
}

/* "epoch/": the greatest that any eliocp has counted to, and the version of the policies. */
static enum el_err apply_epoch(struct cp_state *s, struct el_str value, struct el_error *err)
{
    struct el_bytes b = el_bytes_of(value);
    uint64_t epoch = el_bytes_u64(&b), policies = el_bytes_u64(&b);

    if (!el_bytes_is_end(&b) || epoch > INT64_MAX || policies > INT64_MAX)
        return cp_bad_record(err, "epoch");
    s->epoch = el_max_u64(s->epoch, epoch);
    s->policy_version = el_max_u64(s->policy_version, policies);
    return EL_OK;
}

enum el_err cp_state_apply(struct cp_state *s, struct el_str key, struct el_str value,
                           bool is_removal, struct el_error *err)
{
    const struct cp_kind *kind;

    if (key.n > CP_KEY_MAX || value.n > CP_VALUE_MAX)
        return el_fail(err, EL_EPROTO, 0, "a record is too long");
    if (el_str_eq(key, EL_STR("epoch/")))
        return is_removal ? EL_OK : apply_epoch(s, value, err);
    kind = kind_of(&key);
    if (kind == NULL)
        return el_fail(err, EL_EUNSUPPORTED, 0, "a record of a kind that is not known");
    return kind->apply(s, key, value, is_removal, err);
}

void cp_state_load_begin(struct cp_state *s)
{
    s->is_loading = true;
    s->load++;
}

/* What was counted and not written when a process ended is jumped over. */
#define EPOCH_JUMP 1000

void cp_state_load_end(struct cp_state *s)
{
    for (size_t i = 0; i < EL_COUNT(kinds); i++) {
        if (kinds[i]->sweep != NULL)
            kinds[i]->sweep(s);
    }
    if (s->epoch > 0)
        s->epoch += EPOCH_JUMP;
    s->is_loading = false;
}

void cp_state_dump(const struct cp_state *s,
                   void (*keep)(void *arg, struct el_str key, struct el_str value), void *arg)
{
    struct el_buf b = { 0 };

    el_bytes_add_u64(&b, s->epoch);
    el_bytes_add_u64(&b, s->policy_version);
    keep(arg, EL_STR("epoch/"), el_buf_str(&b));
    el_buf_deinit(&b);
    for (size_t i = 0; i < EL_COUNT(kinds); i++)
        kinds[i]->dump(s, keep, arg);
}
