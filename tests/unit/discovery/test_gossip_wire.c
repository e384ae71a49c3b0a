/* SPDX-License-Identifier: MIT */
/* What members say to each other, byte by byte, and what is not listened to. */
#include "tests/lib/test.h"

#include "discovery/gossip_wire.h"

static const struct disc_fields fields = {
    .id = { "ab", 2 },
    .name = { "n 1", 3 },
    .host = { "h", 1 },
    .zone = { "z", 1 },
    .p2p_port = 9000,
    .http_port = 8082,
};

#define CARD_HEX \
    "026162"     \
    "036e2031"   \
    "0168"       \
    "017a"       \
    "2328"       \
    "1f92"       \
    "00"

static void expect_hex(struct el_buf *got, const char *hex)
{
    char *text = el_alloc(2 * got->n + 1);

    for (size_t i = 0; i < got->n; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", (unsigned)(uint8_t)got->p[i]);
    assert_string_equal(text, hex);
    free(text);
}

static enum el_err decode(const struct el_buf *b, struct disc_message *ret)
{
    return disc_message_decode(el_buf_str(b), ret, NULL);
}

/* Every shorter message of a kind that ends where it says is refused; so is a longer one. */
static void expect_exact(struct el_buf *b)
{
    struct disc_message m;

    assert_int_equal(decode(b, &m), EL_OK);
    for (size_t n = 0; n < b->n; n++)
        assert_int_equal(disc_message_decode((struct el_str){ b->p, n }, &m, NULL), EL_EPROTO);
    el_bytes_add_u8(b, 0);
    assert_int_equal(decode(b, &m), EL_EPROTO);
    el_buf_deinit(b);
}

static void a_join_is_the_documented_bytes(void **state)
{
    struct el_buf b = { 0 };
    struct disc_message m;

    (void)state;
    disc_join_put(&b, DISC_JOIN_WANTS_REPLY, 0x0102, &fields);
    expect_hex(&b, "01"
                   "01"
                   "0000000000000102" CARD_HEX);
    assert_int_equal(decode(&b, &m), EL_OK);
    assert_true(m.flags == DISC_JOIN_WANTS_REPLY && m.incarnation == 0x0102);
    assert_true(el_str_eq(m.fields.id, fields.id) && m.fields.http_port == 8082);
    expect_exact(&b);
}

static void a_leave_is_the_documented_bytes(void **state)
{
    struct el_buf b = { 0 };

    (void)state;
    disc_leave_put(&b, 7);
    expect_hex(&b, "02"
                   "0000000000000007");
    expect_exact(&b);
}

static void a_probe_carries_updates_of_every_kind(void **state)
{
    struct disc_update u = { .state = DISC_SUSPECT, .hash = 3, .incarnation = 4, .accuser = 5 };
    struct el_buf b = { 0 };
    struct disc_message m;

    (void)state;
    disc_probe_put(&b, 1, 2);
    disc_update_put(&b, &u);
    u = (struct disc_update){ .has_fields = true, .incarnation = 6, .fields = fields };
    disc_update_put(&b, &u);
    expect_hex(&b, "06"
                   "00000001"
                   "0000000000000002"
                   "01"
                   "0000000000000003"
                   "0000000000000004"
                   "0000000000000005"
                   "10"
                   "0000000000000006" CARD_HEX);
    assert_int_equal(decode(&b, &m), EL_OK);
    assert_true(disc_update_next(&m.rest, &u) && u.state == DISC_SUSPECT && u.accuser == 5);
    assert_true(disc_update_next(&m.rest, &u) && u.hash == disc_id_hash(fields.id));
    assert_false(disc_update_next(&m.rest, &u));
    el_buf_deinit(&b);
}

static void an_update_of_an_unknown_kind_spoils_its_message(void **state)
{
    struct disc_update u = { .hash = 3, .incarnation = 4 };
    struct el_buf b = { 0 };
    struct disc_message m;

    (void)state;
    disc_rumours_put(&b, 2);
    disc_update_put(&b, &u);
    assert_int_equal(decode(&b, &m), EL_OK);
    b.p[9] = 0x20;
    assert_int_equal(decode(&b, &m), EL_EPROTO);
    el_buf_deinit(&b);
}

static enum el_err join_with(struct disc_fields f)
{
    struct el_buf b = { 0 };
    struct disc_message m;
    enum el_err rc;

    disc_join_put(&b, 0, 1, &f);
    rc = decode(&b, &m);
    el_buf_deinit(&b);
    return rc;
}

static void a_card_that_cannot_be_is_refused(void **state)
{
    char longer[DISC_MAX_ID + 1];
    struct disc_fields f = fields;

    (void)state;
    memset(longer, 'x', sizeof(longer));
    assert_int_equal(join_with(f), EL_OK);
    f.id = (struct el_str){ longer, DISC_MAX_ID };
    assert_int_equal(join_with(f), EL_OK);
    f.id.n++;
    assert_int_equal(join_with(f), EL_EPROTO);
    f.id = EL_STR("a b");
    assert_int_equal(join_with(f), EL_EPROTO);
    f.id = EL_STR("");
    assert_int_equal(join_with(f), EL_EPROTO);
    f = fields;
    f.name = (struct el_str){ longer, DISC_MAX_NAME };
    assert_int_equal(join_with(f), EL_OK);
    f.name.n++;
    assert_int_equal(join_with(f), EL_EPROTO);
    f.name = EL_STR("\t");
    assert_int_equal(join_with(f), EL_EPROTO);
    f.name = EL_STR("");
    assert_int_equal(join_with(f), EL_OK);
    f = fields;
    f.p2p_port = 0;
    assert_int_equal(join_with(f), EL_EPROTO);
    f.flags = DISC_FLAG_OUTBOUND_ONLY;
    assert_int_equal(join_with(f), EL_OK);
    f.flags = 0x80;
    assert_int_equal(join_with(f), EL_EPROTO);
}

static void sums_must_be_as_many_as_buckets(void **state)
{
    struct el_buf b = { 0 };

    (void)state;
    disc_digest_put(&b, 9, 1);
    el_bytes_add_u64(&b, 1);
    el_bytes_add_u64(&b, 2);
    expect_hex(&b, "05"
                   "00"
                   "0000000000000009"
                   "01"
                   "0000000000000001"
                   "0000000000000002");
    expect_exact(&b);
}

static void lists_name_each_bucket_once_and_only_those_there_are(void **state)
{
    const struct disc_update u = { .hash = 1, .incarnation = 2, .state = DISC_DEAD };
    struct el_buf b = { 0 };
    struct disc_message m;

    (void)state;
    disc_lists_put(&b, 1);
    disc_list_put(&b, 1, 1);
    disc_entry_put(&b, &u);
    expect_hex(&b, "05"
                   "01"
                   "01"
                   "0001"
                   "0001"
                   "0000000000000001"
                   "0000000000000002"
                   "02");
    assert_int_equal(decode(&b, &m), EL_OK);
    disc_list_put(&b, 1, 0);
    assert_int_equal(decode(&b, &m), EL_EPROTO);
    b.p[b.n - 5] = DISC_SUSPECT; /* of the entry: suspicions are not listed */
    b.n -= 4;
    assert_int_equal(decode(&b, &m), EL_EPROTO);
    el_buf_clear(&b);
    disc_lists_put(&b, 1);
    disc_list_put(&b, 2, 0);
    assert_int_equal(decode(&b, &m), EL_EPROTO);
    el_buf_deinit(&b);
}

static void too_long_is_refused_before_it_is_read(void **state)
{
    struct el_buf b = { 0 };
    struct disc_message m;

    (void)state;
    disc_want_put(&b);
    while (b.n + 8 <= DISC_MAX_MESSAGE)
        el_bytes_add_u64(&b, 1);
    assert_int_equal(decode(&b, &m), EL_OK);
    el_bytes_add_u64(&b, 1);
    assert_int_equal(decode(&b, &m), EL_EPROTO);
    el_buf_deinit(&b);
}

static void chunk_groups_travel_sorted_and_once(void **state)
{
    struct disc_chunks v[3] = { { .version = { 2 }, .group = 0, .bitmap = 1 },
                                { .version = { 1 }, .group = 9, .bitmap = UINT64_MAX },
                                { .version = { 1 }, .group = 3, .bitmap = 2 } };
    static struct disc_chunks got[DISC_MAX_CHUNKS];
    struct el_buf b = { 0 };
    enum disc_type type;
    size_t n;

    (void)state;
    disc_chunks_put(&b, DISC_CHUNK_REMOVE, v, 3);
    assert_int_equal(b.n, 1 + 2 + 3 * 28);
    assert_true(disc_is_of_chunks(el_buf_str(&b)));
    assert_int_equal(disc_chunks_decode(el_buf_str(&b), &type, got, &n, NULL), EL_OK);
    assert_true(n == 3 && type == DISC_CHUNK_REMOVE);
    assert_true(got[0].group == 3 && got[1].bitmap == UINT64_MAX && got[2].version[0] == 2);
    for (size_t cut = 0; cut < b.n; cut++)
        assert_int_equal(disc_chunks_decode((struct el_str){ b.p, cut }, &type, got, &n, NULL),
                         EL_EPROTO);
    memcpy(b.p + 3 + 28, b.p + 3, 28); /* the same twice */
    assert_int_equal(disc_chunks_decode(el_buf_str(&b), &type, got, &n, NULL), EL_EPROTO);
    el_buf_deinit(&b);
}

static void the_largest_batch_of_chunks_fits_a_message(void **state)
{
    static struct disc_chunks v[DISC_MAX_CHUNKS];
    struct el_buf b = { 0 };

    (void)state;
    for (uint32_t i = 0; i < DISC_MAX_CHUNKS; i++)
        v[i] = (struct disc_chunks){ .group = i, .bitmap = 1 };
    disc_chunks_put(&b, DISC_CHUNK_ANNOUNCE, v, DISC_MAX_CHUNKS);
    assert_true(b.n <= DISC_MAX_MESSAGE);
    el_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_join_is_the_documented_bytes),
        cmocka_unit_test(a_leave_is_the_documented_bytes),
        cmocka_unit_test(a_probe_carries_updates_of_every_kind),
        cmocka_unit_test(an_update_of_an_unknown_kind_spoils_its_message),
        cmocka_unit_test(a_card_that_cannot_be_is_refused),
        cmocka_unit_test(sums_must_be_as_many_as_buckets),
        cmocka_unit_test(lists_name_each_bucket_once_and_only_those_there_are),
        cmocka_unit_test(too_long_is_refused_before_it_is_read),
        cmocka_unit_test(chunk_groups_travel_sorted_and_once),
        cmocka_unit_test(the_largest_batch_of_chunks_fits_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
