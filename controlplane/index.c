/* SPDX-License-Identifier: MIT */
/* index: see index.h. */
#include "controlplane/index.h"

#define SPANS_OF_A_PART (1u << (CP_PART_SHIFT - 6))

static uint32_t part_of(const uint8_t *object)
{
    return object[0] >> 3;
}

static struct cp_part *part_of_number(const struct cp_index *ix, uint32_t number)
{
    return (struct cp_part *)&ix->part[number >> CP_PART_SHIFT];
}

static uint32_t span_of_number(uint32_t number)
{
    return (number & ((1u << CP_PART_SHIFT) - 1)) / CP_SPAN;
}

struct cp_version *cp_index_version(const struct cp_index *ix,
                                    const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES])
{
    struct el_str key = { (const char *)object, EL_CHUNK_ID_OBJECT_BYTES };
    struct cp_entry *e = cp_table_get(&ix->versions, key);

    return e == NULL ? NULL : EL_ENTRY(e, struct cp_version, entry);
}

/* The first span of a version whose index is not below. */
static size_t find_span(const struct cp_version *v, uint32_t index)
{
    size_t lo = 0, hi = v->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (v->span[mid]->index < index)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct cp_span *get_span(const struct cp_version *v, uint32_t index)
{
    size_t at = find_span(v, index);

    return at < v->n && v->span[at]->index == index ? v->span[at] : NULL;
}

static bool is_last(const struct cp_index *ix, const struct el_chunk_id *id)
{
    return ix->last != NULL && ix->last->index == id->index / CP_SPAN &&
           memcmp(ix->last->version->object, id->object, sizeof(id->object)) == 0;
}

bool cp_index_find(const struct cp_index *ix, const struct el_chunk_id *id, uint32_t *ret_number)
{
    const struct cp_span *sp = ix->last;

    if (!is_last(ix, id)) {
        const struct cp_version *v = cp_index_version(ix, id->object);

        sp = v == NULL ? NULL : get_span(v, id->index / CP_SPAN);
    }
    if (sp == NULL || id->index % CP_SPAN >= sp->slots)
        return false;
    *ret_number = sp->number + id->index % CP_SPAN;
    return true;
}

static struct cp_version *put_version(struct cp_index *ix, const uint8_t *object)
{
    struct cp_version *v = el_new(struct cp_version);

    memcpy(v->object, object, sizeof(v->object));
    v->entry.key = (struct el_str){ (const char *)v->object, sizeof(v->object) };
    cp_table_put(&ix->versions, &v->entry);
    return v;
}

static void drop_version(struct cp_index *ix, struct cp_version *v)
{
    cp_table_remove(&ix->versions, &v->entry);
    free(v->span);
    free(v);
}

static bool take_number(struct cp_part *p, uint32_t *ret)
{
    if (p->spares > 0) {
        *ret = p->spare[--p->spares];
        return true;
    }
    if (p->n == SPANS_OF_A_PART)
        return false;
    p->span = (struct cp_span **)cp_array_reserve(p->span, p->n, &p->cap, sizeof(struct cp_span *));
    *ret = (uint32_t)p->n++;
    return true;
}

static struct cp_span *put_span(struct cp_index *ix, struct cp_version *v, uint32_t index)
{
    struct cp_part *p = &ix->part[part_of(v->object)];
    size_t at = find_span(v, index);
    struct cp_span *sp;
    uint32_t number;

    if (!take_number(p, &number))
        return NULL;
    sp = el_new(struct cp_span);
    *sp = (struct cp_span){ .version = v,
                            .index = index,
                            .number = part_of(v->object) << CP_PART_SHIFT | number * CP_SPAN };
    p->span[number] = sp;
    v->span = (struct cp_span **)cp_array_reserve(v->span, v->n, &v->cap, sizeof(struct cp_span *));
    memmove(v->span + at + 1, v->span + at, (v->n - at) * sizeof(struct cp_span *));
    v->span[at] = sp;
    v->n++;
    ix->spans++;
    return sp;
}

/* Nobody has anything of it, and nobody keeps a number. */
static void drop_span(struct cp_index *ix, struct cp_span *sp)
{
    struct cp_part *p = part_of_number(ix, sp->number);
    struct cp_version *v = sp->version;
    size_t at = find_span(v, sp->index);

    if (ix->last == sp)
        ix->last = NULL;
    p->span[span_of_number(sp->number)] = NULL;
    p->spare = (uint32_t *)cp_array_reserve(p->spare, p->spares, &p->spares_cap, sizeof(*p->spare));
    p->spare[p->spares++] = span_of_number(sp->number);
    v->n--;
    memmove(v->span + at, v->span + at + 1, (v->n - at) * sizeof(struct cp_span *));
    ix->slots -= sp->slots;
    ix->spans--;
    free(sp->slot);
    free(sp);
    if (v->n == 0)
        drop_version(ix, v);
}

static void see_slot(struct cp_index *ix, struct cp_span *sp, uint32_t i)
{
    uint32_t slots = sp->slots == 0 ? i + 1 : sp->slots;

    if (i < sp->slots)
        return;
    while (slots <= i)
        slots = 2 * slots;
    if (slots > CP_SPAN)
        slots = CP_SPAN;
    sp->slot = (struct cp_slot *)reallocarray(sp->slot, slots, sizeof(*sp->slot));
    EL_ASSERT(sp->slot != NULL);
    memset(sp->slot + sp->slots, 0, (slots - sp->slots) * sizeof(*sp->slot));
    ix->slots += slots - sp->slots;
    sp->slots = (uint8_t)slots;
}

/* The span of a chunk, made if there is none; NULL: there are no numbers left. */
static struct cp_span *take_span(struct cp_index *ix, const struct el_chunk_id *id)
{
    struct cp_version *v = cp_index_version(ix, id->object);
    struct cp_span *sp;

    if (v == NULL)
        v = put_version(ix, id->object);
    sp = get_span(v, id->index / CP_SPAN);
    if (sp == NULL)
        sp = put_span(ix, v, id->index / CP_SPAN);
    if (sp == NULL && v->n == 0)
        drop_version(ix, v);
    return sp;
}

bool cp_index_pin(struct cp_index *ix, const struct el_chunk_id *id, uint32_t *ret_number)
{
    struct cp_span *sp = is_last(ix, id) ? ix->last : take_span(ix, id);

    if (sp == NULL)
        return false;
    see_slot(ix, sp, id->index % CP_SPAN);
    sp->pins++;
    ix->last = sp;
    *ret_number = sp->number + id->index % CP_SPAN;
    return true;
}

struct cp_span *cp_index_span(const struct cp_index *ix, uint32_t number)
{
    return part_of_number(ix, number)->span[span_of_number(number)];
}

static void drop_if_empty(struct cp_index *ix, struct cp_span *sp)
{
    if (sp->locations == 0 && sp->pins == 0)
        drop_span(ix, sp);
}

void cp_index_unpin(struct cp_index *ix, uint32_t number)
{
    struct cp_span *sp = cp_index_span(ix, number);

    EL_ASSERT(sp->pins > 0);
    sp->pins--;
    drop_if_empty(ix, sp);
}

/* One chunk more (or less) with so many copies. */
static void count_copies(struct cp_index *ix, size_t copies, int by)
{
    if (copies > 0)
        ix->copies[el_min_size(copies, CP_BINS) - 1] += (uint64_t)by;
}

static void count_change(struct cp_index *ix, struct cp_span *sp, size_t before, size_t after)
{
    count_copies(ix, before, -1);
    count_copies(ix, after, 1);
    ix->chunks += (uint64_t)(after > 0) - (uint64_t)(before > 0);
    ix->locations += after - before;
    sp->version->locations += after - before;
    sp->locations += (uint32_t)(after - before);
}

bool cp_index_add(struct cp_index *ix, struct cp_set *set, uint16_t node, uint32_t number)
{
    struct cp_span *sp = cp_index_span(ix, number);
    struct cp_holders *h = &sp->slot[number % CP_SPAN].holders;
    size_t n = cp_holders_count(h), bytes = cp_holders_bytes(h);

    if (!cp_set_add(set, number))
        return false;
    EL_ASSERT(cp_holders_add(h, node));
    ix->holder_bytes += cp_holders_bytes(h) - bytes;
    count_change(ix, sp, n, n + 1);
    return true;
}

bool cp_index_remove(struct cp_index *ix, struct cp_set *set, uint16_t node, uint32_t number)
{
    struct cp_span *sp;
    struct cp_holders *h;
    size_t n, bytes;

    if (!cp_set_remove(set, number))
        return false;
    sp = cp_index_span(ix, number);
    h = &sp->slot[number % CP_SPAN].holders;
    n = cp_holders_count(h);
    bytes = cp_holders_bytes(h);
    EL_ASSERT(cp_holders_remove(h, node));
    ix->holder_bytes += cp_holders_bytes(h) - bytes;
    count_change(ix, sp, n, n - 1);
    drop_if_empty(ix, sp);
    return true;
}

const struct cp_holders *cp_index_holders(const struct cp_index *ix, uint32_t number)
{
    return &cp_index_span(ix, number)->slot[number % CP_SPAN].holders;
}

void cp_index_id(const struct cp_index *ix, uint32_t number, struct el_chunk_id *ret)
{
    const struct cp_span *sp = cp_index_span(ix, number);

    memcpy(ret->object, sp->version->object, sizeof(ret->object));
    ret->index = sp->index * CP_SPAN + number % CP_SPAN;
}

uint64_t cp_index_digest(const struct cp_index *ix, uint32_t number)
{
    struct cp_slot *slot = &cp_index_span(ix, number)->slot[number % CP_SPAN];
    struct el_chunk_id id;

    if (slot->digest == 0) {
        cp_index_id(ix, number, &id);
        slot->digest = el_chunk_id_digest(&id);
    }
    return slot->digest;
}

static void free_span(struct cp_span *sp)
{
    for (unsigned i = 0; i < sp->slots; i++)
        cp_holders_deinit(&sp->slot[i].holders);
    free(sp->slot);
    free(sp);
}

static void free_version(struct cp_version *v)
{
    for (size_t i = 0; i < v->n; i++)
        free_span(v->span[i]);
    free(v->span);
    free(v);
}

void cp_index_deinit(struct cp_index *ix)
{
    for (size_t b = 0; b < ix->versions.buckets; b++) {
        for (struct cp_entry *e = ix->versions.bucket[b], *next; e != NULL; e = next) {
            next = e->next;
            free_version(EL_ENTRY(e, struct cp_version, entry));
        }
    }
    cp_table_deinit(&ix->versions);
    for (unsigned p = 0; p < CP_PARTS; p++) {
        free(ix->part[p].span);
        free(ix->part[p].spare);
    }
    *ix = (struct cp_index){ 0 };
}

size_t cp_index_bytes(const struct cp_index *ix)
{
    size_t bytes = cp_table_bytes(&ix->versions) + ix->versions.n * sizeof(struct cp_version) +
                   ix->spans * (sizeof(struct cp_span) + sizeof(struct cp_span *)) +
                   ix->slots * sizeof(struct cp_slot) + ix->holder_bytes;

    for (unsigned p = 0; p < CP_PARTS; p++)
        bytes += ix->part[p].cap * sizeof(struct cp_span *) +
                 ix->part[p].spares_cap * sizeof(*ix->part[p].spare);
    return bytes;
}
