/* SPDX-License-Identifier: MIT */
/* The hash table: what was added is found, also among others of the same hash. */
#include "tests/lib/test.h"

#include "p2p/table.h"

#define MEMBERS 1000u

struct member {
    struct p2p_table_entry entry;
    unsigned number;
};

static unsigned count(const struct p2p_table *t, uint64_t hash)
{
    unsigned n = 0;

    for (struct p2p_table_entry *e = p2p_table_find(t, hash); e != NULL; e = p2p_table_again(e)) {
        assert_int_equal(e->hash, hash);
        n++;
    }
    return n;
}

static void members_are_found_until_they_are_removed(void **state)
{
    struct member *v = el_alloc(MEMBERS * sizeof(struct member));
    struct p2p_table t = { 0 };

    (void)state;
    assert_int_equal(count(&t, 0), 0);
    for (unsigned i = 0; i < MEMBERS; i++)
        p2p_table_add(&t, &v[i].entry, i / 2 * 64); /* two of each, and many in each chain */
    assert_int_equal(t.n, MEMBERS);
    for (unsigned i = 0; i < MEMBERS; i++) {
        assert_int_equal(count(&t, i / 2 * 64), i % 2 == 0 ? 2 : 1);
        p2p_table_remove(&t, &v[i].entry);
    }
    assert_int_equal(t.n, 0);
    assert_int_equal(count(&t, 0), 0);
    p2p_table_deinit(&t);
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found_until_they_are_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
