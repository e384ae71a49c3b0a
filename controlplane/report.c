/* SPDX-License-Identifier: MIT */
/*
 * report: chunks as nodes report them, taken in or refused (chunks.h). A report is first turned
 * into sets of numbers, pinned, of what it adds and what it takes away; these give the digest that
 * there would be, and only when that is right do they change the index. Unpinning them undoes the
 * rest.
 */
#include "controlplane/state_in.h"

/* What a report would change. */
struct change {
    struct cp_set add, remove; /* add is pinned */
};

static void unpin_all(struct cp_index *ix, struct cp_set *set)
{
    uint64_t mask;

    for (uint64_t base = 0; cp_set_next(set, &base, &mask); base += CP_SPAN) {
        for (; mask != 0; mask &= mask - 1)
            cp_index_unpin(ix, (uint32_t)base + (uint32_t)__builtin_ctzll(mask));
    }
    cp_set_deinit(set);
}

static void end_paging(struct cp_state *s, struct cp_member *m)
{
    unpin_all(&s->index, &m->paging.chunks);
    m->paging = (struct cp_paging){ 0 };
}

/* The number, pinned once in `set`. */
static bool pin_into(struct cp_index *ix, struct cp_set *set, const struct el_chunk_id *id)
{
    uint32_t number;

    if (!cp_index_pin(ix, id, &number))
        return false;
    if (!cp_set_add(set, number))
        cp_index_unpin(ix, number);
    return true;
}

static bool pin_ids(struct cp_index *ix, struct cp_set *set, const struct el_chunk_id *ids,
                    size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!pin_into(ix, set, &ids[i]))
            return false;
    }
    return true;
}

static uint64_t digest_of(const struct cp_index *ix, const struct cp_set *set)
{
    uint64_t sum = 0, mask;

    for (uint64_t base = 0; cp_set_next(set, &base, &mask); base += CP_SPAN) {
        for (; mask != 0; mask &= mask - 1)
            sum += cp_index_digest(ix, (uint32_t)base + (uint32_t)__builtin_ctzll(mask));
    }
    return sum;
}

/* What is in a and not in b, into ret. */
static void subtract(const struct cp_set *a, const struct cp_set *b, struct cp_set *ret)
{
    uint64_t mask;

    for (uint64_t base = 0; cp_set_next(a, &base, &mask); base += CP_SPAN) {
        for (; mask != 0; mask &= mask - 1) {
            uint32_t number = (uint32_t)base + (uint32_t)__builtin_ctzll(mask);

            if (!cp_set_has(b, number))
                (void)cp_set_add(ret, number);
        }
    }
}

static void mark_dirty(struct cp_state *s, struct cp_member *m, uint32_t number)
{
    m->dirty_parts |= 1u << (number >> CP_PART_SHIFT);
    if (s->is_loading)
        m->met_parts |= 1u << (number >> CP_PART_SHIFT);
    if (el_list_empty(&m->dirty))
        el_list_append(&s->dirty, &m->dirty);
}

static uint64_t add_all(struct cp_state *s, struct cp_member *m, const struct cp_set *set)
{
    uint64_t mask, n = 0;

    for (uint64_t base = 0; cp_set_next(set, &base, &mask); base += CP_SPAN) {
        for (; mask != 0; mask &= mask - 1) {
            uint32_t number = (uint32_t)base + (uint32_t)__builtin_ctzll(mask);

            if (!cp_index_add(&s->index, &m->chunks, m->node.number, number))
                continue;
            m->node.digest += cp_index_digest(&s->index, number);
            s->digest += cp_index_digest(&s->index, number);
            mark_dirty(s, m, number);
            n++;
        }
    }
    return n;
}

static uint64_t remove_all(struct cp_state *s, struct cp_member *m, const struct cp_set *set)
{
    uint64_t mask, n = 0;

    for (uint64_t base = 0; cp_set_next(set, &base, &mask); base += CP_SPAN) {
        for (; mask != 0; mask &= mask - 1) {
            uint32_t number = (uint32_t)base + (uint32_t)__builtin_ctzll(mask);
            uint64_t digest;

            if (!cp_set_has(&m->chunks, number))
                continue;
            digest = cp_index_digest(&s->index, number);
            m->node.digest -= digest;
            s->digest -= digest;
            (void)cp_index_remove(&s->index, &m->chunks, m->node.number, number);
            mark_dirty(s, m, number);
            n++;
        }
    }
    return n;
}

static void apply_change(struct cp_state *s, struct cp_member *m, const struct change *c)
{
    uint64_t n = add_all(s, m, &c->add) + remove_all(s, m, &c->remove);

    m->node.chunks = m->chunks.n;
    s->epoch += n > 0;
}

static void taken(struct cp_state *s, struct cp_member *m, uint64_t epoch)
{
    m->node.report_epoch = epoch;
    m->is_report_dirty = true;
    if (el_list_empty(&m->dirty))
        el_list_append(&s->dirty, &m->dirty);
    s->count.total_chunk_reports++;
}

/* `fresh` (pinned) in place of `known`, which is all that the member has, or has of a part. */
static void replace_known(struct cp_state *s, struct cp_member *m, const struct cp_set *known,
                          const struct cp_set *fresh)
{
    struct change c = { .add =
                            *fresh }; /* borrowed, unless there is something to compare it with */

    if (known->n == 0) {
        apply_change(s, m, &c);
        return;
    }
    c.add = (struct cp_set){ 0 };
    subtract(fresh, known, &c.add);
    subtract(known, fresh, &c.remove);
    apply_change(s, m, &c);
    cp_set_deinit(&c.add);
    cp_set_deinit(&c.remove);
}

/* `fresh` (pinned) in place of all that was known; freed. */
static void replace(struct cp_state *s, struct cp_member *m, struct cp_set *fresh, uint64_t epoch)
{
    replace_known(s, m, &m->chunks, fresh);
    taken(s, m, epoch);
    unpin_all(&s->index, fresh);
}

static enum el_err no_numbers(struct el_error *err)
{
    return el_fail(err, EL_EFULL, 0, "chunk_ids: no more chunks can be known");
}

static enum el_err take_full(struct cp_state *s, struct cp_member *m, const struct cp_report *r,
                             bool *ret_wants_full, struct el_error *err)
{
    struct cp_set fresh = { 0 };

    if (!pin_ids(&s->index, &fresh, r->has, r->has_n)) {
        unpin_all(&s->index, &fresh);
        return no_numbers(err);
    }
    *ret_wants_full = r->has_digest && digest_of(&s->index, &fresh) != r->digest;
    if (*ret_wants_full) {
        unpin_all(&s->index, &fresh);
        return EL_OK;
    }
    end_paging(s, m);
    replace(s, m, &fresh, r->epoch);
    return EL_OK;
}

static enum el_err take_page(struct cp_state *s, struct cp_member *m, const struct cp_report *r,
                             bool *ret_wants_full, struct el_error *err)
{
    struct cp_paging *p = &m->paging;
    struct cp_set fresh;

    if (r->page == 0) {
        end_paging(s, m);
        *p = (struct cp_paging){ .epoch = r->epoch, .pages = r->pages };
    }
    *ret_wants_full = p->pages != r->pages || p->epoch != r->epoch || p->next != r->page;
    if (*ret_wants_full)
        return EL_OK;
    if (!pin_ids(&s->index, &p->chunks, r->has, r->has_n)) {
        end_paging(s, m);
        return no_numbers(err);
    }
    p->next++;
    p->touched_ms = s->mono_ms;
    if (p->next < p->pages)
        return EL_OK;
    *ret_wants_full = r->has_digest && digest_of(&s->index, &p->chunks) != r->digest;
    if (*ret_wants_full) {
        end_paging(s, m);
        return EL_OK;
    }
    fresh = p->chunks;
    *p = (struct cp_paging){ 0 };
    replace(s, m, &fresh, r->epoch);
    return EL_OK;
}

/* What of a delta is lost and not there again. */
static void find_lost(const struct cp_state *s, const struct cp_member *m,
                      const struct cp_report *r, struct change *c)
{
    for (size_t i = 0; i < r->lost_n; i++) {
        uint32_t number;

        if (cp_index_find(&s->index, &r->lost[i], &number) && cp_set_has(&m->chunks, number) &&
            !cp_set_has(&c->add, number))
            (void)cp_set_add(&c->remove, number);
    }
}

/* The digest with the change: what is added may be there already. */
static uint64_t digest_with(const struct cp_state *s, const struct cp_member *m,
                            const struct change *c)
{
    struct cp_set new = { 0 };
    uint64_t digest;

    subtract(&c->add, &m->chunks, &new);
    digest = m->node.digest + digest_of(&s->index, &new) - digest_of(&s->index, &c->remove);
    cp_set_deinit(&new);
    return digest;
}

static enum el_err take_delta(struct cp_state *s, struct cp_member *m, const struct cp_report *r,
                              bool *ret_wants_full, struct el_error *err)
{
    struct change c = { 0 };
    enum el_err rc = EL_OK;

    if (r->epoch == m->node.report_epoch && r->digest == m->node.digest)
        return EL_OK; /* the last one again: its answer was lost */
    *ret_wants_full = m->node.report_epoch == 0 || r->base_epoch != m->node.report_epoch;
    if (*ret_wants_full)
        return EL_OK;
    if (pin_ids(&s->index, &c.add, r->has, r->has_n)) {
        find_lost(s, m, r, &c);
        *ret_wants_full = digest_with(s, m, &c) != r->digest;
        if (!*ret_wants_full) {
            apply_change(s, m, &c);
            taken(s, m, r->epoch);
        }
    } else {
        rc = no_numbers(err);
    }
    unpin_all(&s->index, &c.add);
    cp_set_deinit(&c.remove);
    return rc;
}

static enum el_err check_report(const struct cp_report *r, struct el_error *err)
{
    if (r->has_n > CP_REPORT_MAX)
        return el_fail(err, EL_EINVAL, 0, "chunk_ids: more than %u", CP_REPORT_MAX);
    if (r->lost_n > CP_REPORT_MAX)
        return el_fail(err, EL_EINVAL, 0, "removed: more than %u", CP_REPORT_MAX);
    if (r->kind != CP_REPORT_DELTA && r->lost_n > 0)
        return el_fail(err, EL_EINVAL, 0, "removed: only in a delta");
    if (r->kind != CP_REPORT_FULL && r->epoch == 0)
        return el_fail(err, EL_EINVAL, 0, "epoch: a page or a delta has one");
    if (r->kind == CP_REPORT_DELTA && !r->has_digest)
        return el_fail(err, EL_EINVAL, 0, "digest: a delta has one");
    if (r->kind == CP_REPORT_PAGE && (r->page >= r->pages || r->pages > CP_PAGES_MAX))
        return el_fail(err, EL_EINVAL, 0, "page: beyond the last of at most %u", CP_PAGES_MAX);
    return EL_OK;
}

enum el_err cp_chunks_report(struct cp_state *s, struct el_str node_id, const struct cp_report *r,
                             bool *ret_wants_full, struct el_error *err)
{
    struct cp_member *m = NULL;
    bool wants_full = false;
    enum el_err rc = check_report(r, err);

    if (rc == EL_OK)
        rc = cp_member_find(s, node_id, &m, err);
    if (rc != EL_OK)
        return rc;
    if (r->kind == CP_REPORT_FULL)
        rc = take_full(s, m, r, &wants_full, err);
    else if (r->kind == CP_REPORT_PAGE)
        rc = take_page(s, m, r, &wants_full, err);
    else
        rc = take_delta(s, m, r, &wants_full, err);
    if (rc != EL_OK)
        return rc;
    s->count.full_reports_asked += wants_full;
    *ret_wants_full = wants_full;
    return EL_OK;
}

void cp_chunks_drop(struct cp_state *s, struct cp_member *m)
{
    uint64_t mask;

    end_paging(s, m);
    s->digest -= m->node.digest;
    m->node.digest = 0;
    for (uint64_t base = 0; cp_set_next(&m->chunks, &base, &mask);) {
        for (; mask != 0; mask &= mask - 1)
            (void)cp_index_remove(&s->index, &m->chunks, m->node.number,
                                  (uint32_t)base + (uint32_t)__builtin_ctzll(mask));
    }
    m->node.chunks = 0;
}

/* ---- records ---- */
/*
 *   chunks/ID/PP   of part PP (hexadecimal) all that the node has: for each version its 16 bytes,
 *                  how many spans, and for each of these its index and which of its 64 chunks
 *   report/ID      the epoch of the last report
 *
 * Both soft. A node's dirty parts are written together, some seconds apart when they are large: a
 * node whose parts take 64 KiB is written once a second, one of 640 KiB every ten seconds.
 */

#define CHUNKS_FORMAT   1
#define REPORT_FORMAT   1
#define BYTES_PER_MS    64           /* of one node */
#define BYTES_PER_TICK  (8 * EL_MIB) /* of all; at least one node */
#define PAGING_GIVEN_UP 120000       /* ms without the next page */

static struct el_str part_key(struct cp_key *k, struct el_str node_id, uint32_t part)
{
    char text[3];

    (void)snprintf(text, sizeof(text), "%02x", (unsigned)part & 0xff);
    return cp_key_of2(k, "chunks", node_id, (struct el_str){ text, 2 });
}

/* Versions of a part, in no order: those whose spans stand together are written together. */
static void encode_part(const struct cp_state *s, const struct cp_member *m, uint32_t part,
                        struct el_buf *b)
{
    uint64_t base = (uint64_t)part << CP_PART_SHIFT, end = (uint64_t)(part + 1) << CP_PART_SHIFT;
    const struct cp_version *version = NULL;
    uint64_t mask;

    el_bytes_add_u8(b, CHUNKS_FORMAT);
    for (; cp_set_next(&m->chunks, &base, &mask) && base < end; base += CP_SPAN) {
        const struct cp_span *sp = cp_index_span(&s->index, (uint32_t)base);

        el_bytes_add_u8(b, sp->version != version);
        if (sp->version != version)
            el_buf_add(b, sp->version->object, sizeof(sp->version->object));
        version = sp->version;
        el_bytes_add_u32(b, sp->index);
        el_bytes_add_u64(b, mask);
    }
}

static bool has_part(const struct cp_member *m, uint32_t part)
{
    uint64_t base = (uint64_t)part << CP_PART_SHIFT, mask;

    return cp_set_next(&m->chunks, &base, &mask) && base >> CP_PART_SHIFT == part;
}

static size_t write_part(struct cp_state *s, struct cp_member *m, uint32_t part)
{
    struct el_buf b = { 0 };
    struct cp_key k;
    size_t bytes;

    if (!has_part(m, part)) {
        if ((m->written_parts >> part & 1) != 0)
            cp_emit_removal(s, CP_SOFT, part_key(&k, m->entry.key, part));
        m->written_parts &= ~(1u << part);
        return 0;
    }
    encode_part(s, m, part, &b);
    bytes = b.n;
    if (bytes > CP_VALUE_MAX) { /* more than 600,000 objects of one part on one node: told again
                                   after a restart */
        el_buf_deinit(&b);
        return 0;
    }
    cp_emit(s, CP_SOFT, part_key(&k, m->entry.key, part), &b);
    m->written_parts |= 1u << part;
    return bytes;
}

static void encode_report(const struct cp_member *m, struct el_buf *b)
{
    el_bytes_add_u8(b, REPORT_FORMAT);
    el_bytes_add_u64(b, m->node.report_epoch);
}

static size_t write_member(struct cp_state *s, struct cp_member *m)
{
    struct el_buf b = { 0 };
    struct cp_key k;
    size_t bytes = 0;

    for (uint32_t part = 0; part < CP_PARTS; part++) {
        if ((m->dirty_parts >> part & 1) != 0)
            bytes += write_part(s, m, part);
    }
    m->dirty_parts = 0;
    if (m->is_report_dirty) {
        encode_report(m, &b);
        cp_emit(s, CP_SOFT, cp_key_of(&k, "report", m->entry.key), &b);
        m->is_report_dirty = false;
    }
    m->written_ms = s->mono_ms;
    m->written_bytes = bytes;
    return bytes;
}

void cp_chunks_write(struct cp_state *s)
{
    struct el_list *it, *tmp;
    size_t bytes = 0;

    EL_LIST_EACH (it, tmp, &s->dirty) {
        struct cp_member *m = EL_ENTRY(it, struct cp_member, dirty);

        if (bytes >= BYTES_PER_TICK)
            break;
        if (m->written_ms + m->written_bytes / BYTES_PER_MS > s->mono_ms)
            continue;
        el_list_remove(&m->dirty);
        bytes += write_member(s, m);
    }
}

void cp_chunks_tick(struct cp_state *s)
{
    for (size_t i = 0; i < s->numbers; i++) {
        struct cp_member *m = s->by_number[i];

        if (m != NULL && m->paging.pages > 0 && s->mono_ms - m->paging.touched_ms > PAGING_GIVEN_UP)
            end_paging(s, m);
    }
}

void cp_chunks_flush(struct cp_state *s)
{
    while (!el_list_empty(&s->dirty)) {
        struct cp_member *m = EL_ENTRY(el_list_pop(&s->dirty), struct cp_member, dirty);

        (void)write_member(s, m);
    }
}

void cp_chunks_forget(struct cp_state *s, struct cp_member *m)
{
    struct cp_key k;

    for (uint32_t part = 0; part < CP_PARTS; part++) {
        if ((m->written_parts >> part & 1) != 0)
            cp_emit_removal(s, CP_SOFT, part_key(&k, m->entry.key, part));
    }
    cp_emit_removal(s, CP_SOFT, cp_key_of(&k, "report", m->entry.key));
}

/* Spans into a set, pinned. */
static bool decode_part(struct cp_state *s, uint32_t part, struct el_str value, struct cp_set *set)
{
    struct el_bytes b = el_bytes_of(value);
    struct el_chunk_id id = { { 0 }, 0 };
    bool has_version = false;

    if (el_bytes_u8(&b) != CHUNKS_FORMAT)
        return false;
    while (b.rest.n > 0 && !b.is_bad) {
        uint32_t index;
        uint64_t mask;

        if (el_bytes_u8(&b) != 0) {
            el_bytes_copy(&b, id.object, sizeof(id.object));
            has_version = true;
        }
        index = el_bytes_u32(&b);
        mask = el_bytes_u64(&b);
        if (b.is_bad || !has_version || id.object[0] >> 3 != part || index > UINT32_MAX / CP_SPAN)
            return false;
        for (; mask != 0; mask &= mask - 1) {
            id.index = index * CP_SPAN + (uint32_t)__builtin_ctzll(mask);
            if (!pin_into(&s->index, set, &id))
                return false;
        }
    }
    return !b.is_bad;
}

/* The part of the set that lies in a part. */
static void copy_part(const struct cp_set *set, uint32_t part, struct cp_set *ret)
{
    uint64_t base = (uint64_t)part << CP_PART_SHIFT, end = (uint64_t)(part + 1) << CP_PART_SHIFT;
    uint64_t mask;

    for (; cp_set_next(set, &base, &mask) && base < end; base += CP_SPAN) {
        for (; mask != 0; mask &= mask - 1)
            (void)cp_set_add(ret, (uint32_t)base + (uint32_t)__builtin_ctzll(mask));
    }
}

static void replace_part(struct cp_state *s, struct cp_member *m, uint32_t part,
                         const struct cp_set *fresh)
{
    struct cp_set known = { 0 };
    uint32_t dirty = m->dirty_parts; /* what is taken in need not be written */

    copy_part(&m->chunks, part, &known);
    replace_known(s, m, &known, fresh);
    m->dirty_parts = dirty;
    cp_set_deinit(&known);
}

/* "ID/PP" */
static bool parse_part(struct el_str name, struct el_str *ret_id, uint32_t *ret_part)
{
    struct el_str pp;
    int high, low;

    if (!el_str_split(&name, '/', ret_id) || !el_str_split(&name, '/', &pp) || pp.n != 2)
        return false;
    high = el_hex_digit(pp.p[0]);
    low = el_hex_digit(pp.p[1]);
    if (high < 0 || low < 0 || high * 16 + low >= (int)CP_PARTS)
        return false;
    *ret_part = (uint32_t)(high * 16 + low);
    return true;
}

static enum el_err apply_chunks(struct cp_state *s, struct el_str name, struct el_str value,
                                bool is_removal, struct el_error *err)
{
    struct cp_set fresh = { 0 };
    struct el_str id;
    struct cp_member *m;
    uint32_t part;
    bool is_good;

    if (!parse_part(name, &id, &part))
        return cp_bad_record(err, "chunks");
    m = cp_member_get(s, id);
    if (m == NULL)
        return EL_OK;
    if (s->is_loading && (m->dirty_parts >> part & 1) != 0)
        return EL_OK; /* what is known here is newer, and on its way */
    is_good = is_removal || decode_part(s, part, value, &fresh);
    if (is_good) {
        replace_part(s, m, part, &fresh);
        m->written_parts =
            is_removal ? m->written_parts & ~(1u << part) : m->written_parts | 1u << part;
        m->met_parts |= 1u << part;
    }
    unpin_all(&s->index, &fresh);
    return is_good ? EL_OK : cp_bad_record(err, "chunks");
}

/* Parts that the last load has not met. */
static void sweep_chunks(struct cp_state *s)
{
    uint32_t cursor = 0;
    struct cp_member *m;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        m->met_parts |= m->dirty_parts;
        for (uint32_t part = 0; part < CP_PARTS; part++) {
            struct cp_set none = { 0 };

            if ((m->met_parts >> part & 1) == 0 && has_part(m, part))
                replace_part(s, m, part, &none);
        }
        m->written_parts = m->met_parts;
        m->met_parts = 0;
    }
}

static void dump_chunks(const struct cp_state *s, cp_keep *keep, void *arg)
{
    uint32_t cursor = 0;
    struct cp_member *m;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        for (uint32_t part = 0; part < CP_PARTS; part++) {
            struct el_buf b = { 0 };
            struct cp_key k;

            if (!has_part(m, part))
                continue;
            encode_part(s, m, part, &b);
            keep(arg, part_key(&k, m->entry.key, part), el_buf_str(&b));
            el_buf_deinit(&b);
        }
    }
}

const struct cp_kind cp_kind_chunks = { "chunks", apply_chunks, sweep_chunks, dump_chunks };

static enum el_err apply_report(struct cp_state *s, struct el_str name, struct el_str value,
                                bool is_removal, struct el_error *err)
{
    struct cp_member *m = cp_member_get(s, name);
    struct el_bytes b = el_bytes_of(value);
    uint8_t format = el_bytes_u8(&b);
    uint64_t epoch = el_bytes_u64(&b);

    if (!is_removal && (format != REPORT_FORMAT || !el_bytes_is_end(&b)))
        return cp_bad_record(err, "report");
    if (m != NULL)
        m->node.report_epoch = is_removal ? 0 : epoch;
    return EL_OK;
}

static void dump_reports(const struct cp_state *s, cp_keep *keep, void *arg)
{
    uint32_t cursor = 0;
    struct cp_member *m;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        struct el_buf b = { 0 };
        struct cp_key k;

        encode_report(m, &b);
        keep(arg, cp_key_of(&k, "report", m->entry.key), el_buf_str(&b));
        el_buf_deinit(&b);
    }
}

const struct cp_kind cp_kind_report = { "report", apply_report, NULL, dump_reports };
