/* SPDX-License-Identifier: MIT */
/*
 * gossip_wire: see gossip_wire.h. A message is walked once, all of it, before anything is believed;
 * the readers walk it again and cannot fail.
 */
#include "discovery/gossip_wire.h"

#define STATE_BITS 0x03u
#define WITH_CARD  0x10u

/* ---- pieces ---- */

static void put_name(struct el_buf *out, struct el_str s)
{
    el_bytes_add_u8(out, (uint8_t)s.n);
    el_buf_add_str(out, s);
}

static void put_card(struct el_buf *out, const struct disc_fields *f)
{
    put_name(out, f->id);
    put_name(out, f->name);
    put_name(out, f->host);
    put_name(out, f->zone);
    el_bytes_add_u16(out, f->p2p_port);
    el_bytes_add_u16(out, f->http_port);
    el_bytes_add_u8(out, f->flags);
}

static struct el_str take_name(struct el_bytes *in)
{
    size_t n = el_bytes_u8(in);

    return el_bytes_str(in, n);
}

static void take_card(struct el_bytes *in, struct disc_fields *f)
{
    f->id = take_name(in);
    f->name = take_name(in);
    f->host = take_name(in);
    f->zone = take_name(in);
    f->p2p_port = el_bytes_u16(in);
    f->http_port = el_bytes_u16(in);
    f->flags = el_bytes_u8(in);
}

void disc_update_put(struct el_buf *out, const struct disc_update *u)
{
    el_bytes_add_u8(out, (uint8_t)(u->state | (u->has_fields ? WITH_CARD : 0u)));
    if (!u->has_fields)
        el_bytes_add_u64(out, u->hash);
    el_bytes_add_u64(out, u->incarnation);
    if (u->has_fields)
        put_card(out, &u->fields);
    if (u->state == DISC_SUSPECT)
        el_bytes_add_u64(out, u->accuser);
}

/* False when the tag is not one; everything else that is missing makes the cursor bad. */
static bool take_update(struct el_bytes *in, struct disc_update *u)
{
    uint8_t tag = el_bytes_u8(in);

    *u = (struct disc_update){ .state = tag & STATE_BITS, .has_fields = (tag & WITH_CARD) != 0 };
    if ((tag & ~(STATE_BITS | WITH_CARD)) != 0)
        return false;
    if (!u->has_fields)
        u->hash = el_bytes_u64(in);
    u->incarnation = el_bytes_u64(in);
    if (u->has_fields)
        take_card(in, &u->fields);
    if (u->state == DISC_SUSPECT)
        u->accuser = el_bytes_u64(in);
    return true;
}

bool disc_update_next(struct el_bytes *rest, struct disc_update *ret)
{
    if (rest->rest.n == 0 || !take_update(rest, ret) || rest->is_bad)
        return false;
    if (ret->has_fields)
        ret->hash = disc_id_hash(ret->fields.id);
    return true;
}

void disc_list_put(struct el_buf *out, uint16_t bucket, uint16_t count)
{
    el_bytes_add_u16(out, bucket);
    el_bytes_add_u16(out, count);
}

bool disc_list_next(struct el_bytes *rest, uint16_t *ret_bucket, struct el_bytes *ret_entries)
{
    size_t count;

    if (rest->rest.n == 0)
        return false;
    *ret_bucket = el_bytes_u16(rest);
    count = el_bytes_u16(rest);
    *ret_entries = el_bytes_of(el_bytes_str(rest, count * DISC_ENTRY_BYTES));
    return !rest->is_bad;
}

void disc_entry_put(struct el_buf *out, const struct disc_update *u)
{
    el_bytes_add_u64(out, u->hash);
    el_bytes_add_u64(out, u->incarnation);
    el_bytes_add_u8(out, (uint8_t)u->state);
}

bool disc_entry_next(struct el_bytes *rest, struct disc_update *ret)
{
    *ret = (struct disc_update){ 0 };
    if (rest->rest.n == 0)
        return false;
    ret->hash = el_bytes_u64(rest);
    ret->incarnation = el_bytes_u64(rest);
    ret->state = el_bytes_u8(rest) & STATE_BITS;
    return !rest->is_bad;
}

bool disc_hash_next(struct el_bytes *rest, uint64_t *ret)
{
    if (rest->rest.n == 0)
        return false;
    *ret = el_bytes_u64(rest);
    return !rest->is_bad;
}

/* ---- heads ---- */

static void put_type(struct el_buf *out, enum disc_type type)
{
    el_bytes_add_u8(out, (uint8_t)type);
}

/* What all messages about probes begin with. */
static void put_probe(struct el_buf *out, enum disc_type type, uint32_t sequence,
                      uint64_t incarnation)
{
    put_type(out, type);
    el_bytes_add_u32(out, sequence);
    el_bytes_add_u64(out, incarnation);
}

static void put_sync(struct el_buf *out, enum disc_sync kind)
{
    put_type(out, DISC_STATE_SYNC);
    el_bytes_add_u8(out, (uint8_t)kind);
}

void disc_join_put(struct el_buf *out, uint8_t flags, uint64_t incarnation,
                   const struct disc_fields *f)
{
    put_type(out, DISC_NODE_JOIN);
    el_bytes_add_u8(out, flags);
    el_bytes_add_u64(out, incarnation);
    put_card(out, f);
}

void disc_leave_put(struct el_buf *out, uint64_t incarnation)
{
    put_type(out, DISC_NODE_LEAVE);
    el_bytes_add_u64(out, incarnation);
}

void disc_probe_put(struct el_buf *out, uint32_t sequence, uint64_t incarnation)
{
    put_probe(out, DISC_PROBE, sequence, incarnation);
}

void disc_probe_ask_put(struct el_buf *out, uint32_t sequence, uint64_t incarnation,
                        uint64_t target)
{
    put_probe(out, DISC_PROBE_ASK, sequence, incarnation);
    el_bytes_add_u64(out, target);
}

void disc_probe_ack_put(struct el_buf *out, uint32_t sequence, uint64_t incarnation, uint8_t flags)
{
    put_probe(out, DISC_PROBE_ACK, sequence, incarnation);
    el_bytes_add_u8(out, flags);
}

void disc_rumours_put(struct el_buf *out, uint64_t incarnation)
{
    put_type(out, DISC_RUMOURS);
    el_bytes_add_u64(out, incarnation);
}

void disc_digest_put(struct el_buf *out, uint64_t incarnation, uint8_t sum_bits)
{
    put_sync(out, DISC_SYNC_DIGEST);
    el_bytes_add_u64(out, incarnation);
    el_bytes_add_u8(out, sum_bits);
}

void disc_lists_put(struct el_buf *out, uint8_t sum_bits)
{
    put_sync(out, DISC_SYNC_LISTS);
    el_bytes_add_u8(out, sum_bits);
}

void disc_cards_put(struct el_buf *out)
{
    put_sync(out, DISC_SYNC_CARDS);
}

void disc_want_put(struct el_buf *out)
{
    put_sync(out, DISC_SYNC_WANT);
}

/* ---- what is believed ---- */

static enum el_err check_updates(struct el_bytes rest, struct el_error *err)
{
    struct disc_update u;

    while (!rest.is_bad && rest.rest.n > 0) {
        if (!take_update(&rest, &u))
            return el_fail(err, EL_EPROTO, 0, "an update of an unknown kind");
        if (!rest.is_bad && u.has_fields && disc_fields_check(&u.fields, err) != EL_OK)
            return EL_EPROTO;
    }
    return rest.is_bad ? el_fail(err, EL_EPROTO, 0, "an update is cut short") : EL_OK;
}

static bool are_entries(struct el_str s)
{
    for (size_t i = DISC_ENTRY_BYTES - 1; i < s.n; i += DISC_ENTRY_BYTES)
        if ((uint8_t)s.p[i] > DISC_LEFT || (uint8_t)s.p[i] == DISC_SUSPECT)
            return false;
    return true;
}

/* Buckets ascend, so that none comes twice. */
static enum el_err check_lists(struct el_bytes rest, uint8_t sum_bits, struct el_error *err)
{
    struct el_bytes entries;
    uint16_t bucket;
    long last = -1;

    while (disc_list_next(&rest, &bucket, &entries)) {
        if (bucket <= last || bucket >> sum_bits != 0 || !are_entries(entries.rest))
            return el_fail(err, EL_EPROTO, 0, "a list of members that cannot be");
        last = bucket;
    }
    return rest.is_bad ? el_fail(err, EL_EPROTO, 0, "a list of members is cut short") : EL_OK;
}

static enum el_err check_sums(struct disc_message *m, struct el_error *err)
{
    if (m->sum_bits > DISC_MAX_SUM_BITS)
        return el_fail(err, EL_EPROTO, 0, "too many buckets");
    if (m->sync == DISC_SYNC_LISTS)
        return check_lists(m->rest, m->sum_bits, err);
    if (m->rest.rest.n != (size_t)8 << m->sum_bits)
        return el_fail(err, EL_EPROTO, 0, "sums and buckets do not agree");
    return EL_OK;
}

static enum el_err decode_sync(struct disc_message *m, struct el_error *err)
{
    uint8_t kind = el_bytes_u8(&m->rest);

    if (m->rest.is_bad || kind > DISC_SYNC_WANT)
        return el_fail(err, EL_EPROTO, 0, "a StateSync of an unknown kind");
    m->sync = kind;
    if (m->sync == DISC_SYNC_CARDS)
        return check_updates(m->rest, err);
    if (m->sync == DISC_SYNC_WANT)
        return m->rest.rest.n % 8 == 0 ? EL_OK : el_fail(err, EL_EPROTO, 0, "half a hash");
    if (m->sync == DISC_SYNC_DIGEST)
        m->incarnation = el_bytes_u64(&m->rest);
    m->sum_bits = el_bytes_u8(&m->rest);
    return m->rest.is_bad ? el_fail(err, EL_EPROTO, 0, "StateSync is cut short")
                          : check_sums(m, err);
}

static enum el_err decode_join(struct disc_message *m, struct el_error *err)
{
    m->flags = el_bytes_u8(&m->rest);
    m->incarnation = el_bytes_u64(&m->rest);
    take_card(&m->rest, &m->fields);
    if (!el_bytes_is_end(&m->rest) || (m->flags & ~DISC_JOIN_WANTS_REPLY) != 0)
        return el_fail(err, EL_EPROTO, 0, "NodeJoin is malformed");
    return disc_fields_check(&m->fields, err);
}

static enum el_err decode_leave(struct disc_message *m, struct el_error *err)
{
    m->incarnation = el_bytes_u64(&m->rest);
    return el_bytes_is_end(&m->rest) ? EL_OK : el_fail(err, EL_EPROTO, 0, "NodeLeave is malformed");
}

static enum el_err decode_probe(struct disc_message *m, struct el_error *err)
{
    if (m->type != DISC_RUMOURS)
        m->sequence = el_bytes_u32(&m->rest);
    m->incarnation = el_bytes_u64(&m->rest);
    if (m->type == DISC_PROBE_ASK)
        m->target = el_bytes_u64(&m->rest);
    if (m->type == DISC_PROBE_ACK)
        m->flags = el_bytes_u8(&m->rest);
    if (m->rest.is_bad || (m->flags & ~DISC_ACK_NEGATIVE) != 0)
        return el_fail(err, EL_EPROTO, 0, "a probe is malformed");
    return check_updates(m->rest, err);
}

enum el_err disc_message_decode(struct el_str body, struct disc_message *ret, struct el_error *err)
{
    struct disc_message m = { .rest = el_bytes_of(body) };
    uint8_t type = el_bytes_u8(&m.rest);
    enum el_err rc = EL_EPROTO;

    if (body.n > DISC_MAX_MESSAGE)
        return el_fail(err, EL_EPROTO, 0, "a message of %zu bytes", body.n);
    m.type = type; /* one that is none gets no further */
    if (type == DISC_NODE_JOIN)
        rc = decode_join(&m, err);
    else if (type == DISC_NODE_LEAVE)
        rc = decode_leave(&m, err);
    else if (type == DISC_STATE_SYNC)
        rc = decode_sync(&m, err);
    else if (type >= DISC_PROBE && type <= DISC_RUMOURS)
        rc = decode_probe(&m, err);
    else
        (void)el_fail(err, EL_EPROTO, 0, "type %u says nothing about members", type);
    if (rc == EL_OK)
        *ret = m;
    return rc;
}

/* ---- chunks ---- */

bool disc_is_of_chunks(struct el_str body)
{
    return body.n > 0 && (body.p[0] == DISC_CHUNK_ANNOUNCE || body.p[0] == DISC_CHUNK_REMOVE);
}

static int order(const struct disc_chunks *a, const struct disc_chunks *b)
{
    int by_version = memcmp(a->version, b->version, sizeof(a->version));

    if (by_version != 0)
        return by_version;
    return (a->group > b->group) - (a->group < b->group);
}

static int order_void(const void *a, const void *b)
{
    return order(a, b);
}

void disc_chunks_put(struct el_buf *out, enum disc_type type, struct disc_chunks *v, size_t n)
{
    EL_ASSERT(n > 0 && n <= DISC_MAX_CHUNKS);
    EL_ASSERT(type == DISC_CHUNK_ANNOUNCE || type == DISC_CHUNK_REMOVE);
    qsort(v, n, sizeof(*v), order_void);
    put_type(out, type);
    el_bytes_add_u16(out, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        EL_ASSERT(v[i].bitmap != 0 && (i == 0 || order(&v[i - 1], &v[i]) < 0));
        el_buf_add(out, v[i].version, sizeof(v[i].version));
        el_bytes_add_u32(out, v[i].group);
        el_bytes_add_u64(out, v[i].bitmap);
    }
}

enum el_err disc_chunks_decode(struct el_str body, enum disc_type *ret_type,
                               struct disc_chunks ret[DISC_MAX_CHUNKS], size_t *ret_n,
                               struct el_error *err)
{
    struct el_bytes in = el_bytes_of(body);
    uint8_t type = el_bytes_u8(&in);
    size_t n = el_bytes_u16(&in);

    if (!disc_is_of_chunks(body))
        return el_fail(err, EL_EPROTO, 0, "type %u says nothing about chunks", type);
    if (n == 0 || n > DISC_MAX_CHUNKS)
        return el_fail(err, EL_EPROTO, 0, "%zu chunk groups in a message", n);
    for (size_t i = 0; i < n && !in.is_bad; i++) {
        el_bytes_copy(&in, ret[i].version, sizeof(ret[i].version));
        ret[i].group = el_bytes_u32(&in);
        ret[i].bitmap = el_bytes_u64(&in);
        if (ret[i].bitmap == 0 || (i > 0 && order(&ret[i - 1], &ret[i]) >= 0))
            return el_fail(err, EL_EPROTO, 0, "chunk groups out of order or empty");
    }
    if (!el_bytes_is_end(&in))
        return el_fail(err, EL_EPROTO, 0, "chunk groups and their count do not agree");
    *ret_type = type;
    *ret_n = n;
    return EL_OK;
}
