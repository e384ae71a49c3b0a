/* SPDX-License-Identifier: MIT */
#include "storage/ring.h"

#include "tests/lib/test.h"

static void bytes_come_out_in_the_order_they_went_in(void **state)
{
    struct store_ring r = { 0 };
    uint64_t in = 0, out = 0;
    uint8_t room[7001];

    (void)state;
    store_ring_size(&r, 1);
    while (out < EL_MIB) {
        size_t n = 0;

        for (size_t i = 0; i < sizeof(room); i++)
            room[i] = (uint8_t)((in + i) % 251);
        in += store_ring_write(&r, room, sizeof(room));
        n = store_ring_read(&r, room, 5003);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(room[i], (out + i) % 251);
        out += n;
    }
    store_ring_deinit(&r);
}

static void a_full_ring_takes_no_more_and_an_empty_one_gives_nothing(void **state)
{
    struct store_ring r = { 0 };
    uint8_t *bytes = el_alloc(STORE_RING_BYTES + 1);
    const void *p;
    size_t n;

    (void)state;
    store_ring_peek(&r, &p, &n);
    assert_int_equal(n, 0);
    assert_null(r.mem); /* nothing was used yet */
    assert_int_equal(store_ring_room(&r), STORE_RING_BYTES);
    assert_int_equal(store_ring_write(&r, bytes, STORE_RING_BYTES + 1), STORE_RING_BYTES);
    assert_int_equal(store_ring_room(&r), 0);
    assert_int_equal(store_ring_write(&r, bytes, 1), 0);
    store_ring_consume(&r, 10);
    assert_int_equal(store_ring_write(&r, bytes, 20), 10);
    store_ring_deinit(&r);
    free(bytes);
}

static void a_short_body_gets_a_small_ring(void **state)
{
    struct store_ring r = { 0 };

    (void)state;
    store_ring_size(&r, 20000);
    assert_int_equal(store_ring_room(&r), 20000);
    store_ring_size(&r, 3);
    assert_int_equal(store_ring_room(&r), 16384);
    store_ring_size(&r, UINT64_MAX);
    assert_int_equal(store_ring_room(&r), STORE_RING_BYTES);
    store_ring_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_in_the_order_they_went_in),
        cmocka_unit_test(a_full_ring_takes_no_more_and_an_empty_one_gives_nothing),
        cmocka_unit_test(a_short_body_gets_a_small_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
