/* SPDX-License-Identifier: MIT */
/* A Proof is good for one node, one link and one direction. */
#include "tests/lib/test.h"

#include "p2p/proof.h"

static const uint8_t secret[EL_KEY_BYTES] = { 7 };
static const struct p2p_proof_ends signers = { { { 1 } }, { { 2 } }, { 3 } };

static struct el_digest fingerprint_of(const struct p2p_proof *p)
{
    struct el_digest d;

    el_key_fingerprint(p->key, &d);
    return d;
}

static struct p2p_proof made(void)
{
    struct el_key *key = el_key_new(secret);
    struct p2p_proof p;

    p2p_proof_make(key, &signers, &p);
    el_key_free(key);
    return p;
}

static enum el_err seen_by(struct p2p_proof_ends ends, const struct p2p_proof *p)
{
    struct el_digest d = fingerprint_of(p);

    return p2p_proof_check(p, &d, &ends, NULL);
}

static struct p2p_proof_ends other_end(void)
{
    struct p2p_proof_ends ends = signers;

    ends.mine = signers.others;
    ends.others = signers.mine;
    return ends;
}

static void the_other_end_finds_a_proof_right(void **state)
{
    struct p2p_proof p = made();

    (void)state;
    assert_int_equal(seen_by(other_end(), &p), EL_OK);
}

static void a_proof_that_comes_back_is_not_the_others(void **state)
{
    struct p2p_proof p = made();

    (void)state;
    assert_int_equal(seen_by(signers, &p), EL_ESIGNATURE);
}

static void a_proof_is_of_no_use_on_another_link(void **state)
{
    struct p2p_proof p = made();
    struct p2p_proof_ends ends = other_end();

    (void)state;
    ends.mine.b[31] ^= 1;
    assert_int_equal(seen_by(ends, &p), EL_ESIGNATURE);
    ends = other_end();
    ends.others.b[0] ^= 1;
    assert_int_equal(seen_by(ends, &p), EL_ESIGNATURE);
    ends = other_end();
    ends.binding[31] ^= 1;
    assert_int_equal(seen_by(ends, &p), EL_ESIGNATURE);
}

static void a_key_that_is_not_that_of_the_hello_proves_nothing(void **state)
{
    struct p2p_proof p = made();
    struct p2p_proof_ends ends = other_end();
    struct el_digest d = fingerprint_of(&p);

    (void)state;
    d.b[0] ^= 1;
    assert_int_equal(p2p_proof_check(&p, &d, &ends, NULL), EL_ESIGNATURE);
}

static void a_changed_signature_proves_nothing(void **state)
{
    struct p2p_proof p = made();

    (void)state;
    for (size_t i = 0; i < EL_SIGNATURE_BYTES; i++) {
        p.signature[i] ^= 1;
        assert_int_equal(seen_by(other_end(), &p), EL_ESIGNATURE);
        p.signature[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_other_end_finds_a_proof_right),
        cmocka_unit_test(a_proof_that_comes_back_is_not_the_others),
        cmocka_unit_test(a_proof_is_of_no_use_on_another_link),
        cmocka_unit_test(a_key_that_is_not_that_of_the_hello_proves_nothing),
        cmocka_unit_test(a_changed_signature_proves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
