/* SPDX-License-Identifier: MIT */
/*
 * An input is a message. What is accepted is written again as the same, and
 * a member to whom it is given survives it with what it knew of itself.
 */
#include "discovery/members.h"
#include "tests/fuzz/fuzz.h"

static void put_updates(struct el_buf *out, struct el_bytes rest)
{
    struct disc_update u;

    while (disc_update_next(&rest, &u))
        disc_update_put(out, &u);
}

static void put_lists(struct el_buf *out, struct el_bytes rest)
{
    struct el_bytes entries;
    struct disc_update u;
    uint16_t bucket;

    while (disc_list_next(&rest, &bucket, &entries)) {
        disc_list_put(out, bucket, (uint16_t)(entries.rest.n / DISC_ENTRY_BYTES));
        while (disc_entry_next(&entries, &u))
            disc_entry_put(out, &u);
    }
}

static void put_numbers(struct el_buf *out, struct el_bytes rest)
{
    uint64_t v;

    while (disc_hash_next(&rest, &v))
        el_bytes_add_u64(out, v);
}

static void put_sync(struct el_buf *out, const struct disc_message *m)
{
    switch (m->sync) {
    case DISC_SYNC_DIGEST:
        disc_digest_put(out, m->incarnation, m->sum_bits);
        put_numbers(out, m->rest);
        break;
    case DISC_SYNC_LISTS:
        disc_lists_put(out, m->sum_bits);
        put_lists(out, m->rest);
        break;
    case DISC_SYNC_CARDS:
        disc_cards_put(out);
        put_updates(out, m->rest);
        break;
    case DISC_SYNC_WANT:
        disc_want_put(out);
        put_numbers(out, m->rest);
        break;
    }
}

static void put(struct el_buf *out, const struct disc_message *m)
{
    if (m->type == DISC_NODE_JOIN)
        disc_join_put(out, m->flags, m->incarnation, &m->fields);
    else if (m->type == DISC_NODE_LEAVE)
        disc_leave_put(out, m->incarnation);
    else if (m->type == DISC_STATE_SYNC)
        put_sync(out, m);
    else if (m->type == DISC_PROBE)
        disc_probe_put(out, m->sequence, m->incarnation);
    else if (m->type == DISC_PROBE_ASK)
        disc_probe_ask_put(out, m->sequence, m->incarnation, m->target);
    else if (m->type == DISC_PROBE_ACK)
        disc_probe_ack_put(out, m->sequence, m->incarnation, m->flags);
    else
        disc_rumours_put(out, m->incarnation);
    if (m->type >= DISC_PROBE)
        put_updates(out, m->rest);
}

static void check_chunks(struct el_str bytes)
{
    struct disc_chunks v[DISC_MAX_CHUNKS];
    struct el_buf again = { 0 };
    enum disc_type type;
    size_t n;

    if (disc_chunks_decode(bytes, &type, v, &n, NULL) != EL_OK)
        return;
    disc_chunks_put(&again, type, v, n);
    CLAIM(el_str_eq(el_buf_str(&again), bytes));
    el_buf_deinit(&again);
}

static void give(struct el_str bytes)
{
    struct disc_cards *cards = disc_cards_new();
    struct disc_members_conf conf = {
        .self = { .id = EL_STR("a"), .host = EL_STR("a"), .p2p_port = 1 },
        .start_ms = 1,
        .cards = cards
    };
    struct disc_members *m;
    struct disc_member self;
    struct disc_out *o;

    el_rng_seed(&conf.rng, 1);
    m = disc_members_new(&conf);
    for (uint64_t now = 0; now < 3; now++)
        (void)disc_members_give(m, now, disc_id_hash(EL_STR("b")), bytes, NULL);
    disc_members_tick(m, 30000);
    CLAIM(disc_members_find(m, disc_id_hash(EL_STR("a")), &self) && self.state == DISC_ALIVE);
    while ((o = disc_members_next_out(m)) != NULL) {
        struct disc_message msg;

        CLAIM(disc_message_decode(el_buf_str(&o->body), &msg, NULL) == EL_OK);
        disc_out_free(o);
    }
    disc_members_free(m);
    disc_cards_free(cards);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str bytes = { (const char *)data, n };
    struct el_buf again = { 0 };
    struct disc_message m;

    if (disc_message_decode(bytes, &m, NULL) == EL_OK) {
        put(&again, &m);
        CLAIM(el_str_eq(el_buf_str(&again), bytes));
        el_buf_deinit(&again);
        give(bytes);
    }
    check_chunks(bytes);
    return 0;
}
