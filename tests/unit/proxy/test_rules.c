/* SPDX-License-Identifier: MIT */
/*
 * The complete truth table. Each line is one combination of what is known, written out by hand from
 * the rules in proxy/rules.h; '.' stands for both values.
 */
#include "proxy/rules.h"

#include "tests/lib/test.h"

struct line {
    enum el_auth auth;
    const char *facts; /* fresh, public, request's grant, signature right, key's grant */
    enum proxy_rule rule;
};

static const struct line table[] = {
    { EL_AUTH_DENY, ".....", PROXY_RULE_DENY },

    { EL_AUTH_ORIGIN, "0....", PROXY_RULE_ORIGIN },  { EL_AUTH_ORIGIN, "11...", PROXY_RULE_PUBLIC },
    { EL_AUTH_ORIGIN, "101..", PROXY_RULE_REQUEST }, { EL_AUTH_ORIGIN, "10000", PROXY_RULE_ORIGIN },
    { EL_AUTH_ORIGIN, "10001", PROXY_RULE_ORIGIN }, /* the key's name is no secret */
    { EL_AUTH_ORIGIN, "10010", PROXY_RULE_ORIGIN }, /* who he is says not what he may read */
    { EL_AUTH_ORIGIN, "10011", PROXY_RULE_KEY },

    { EL_AUTH_TRUST, "0....", PROXY_RULE_ORIGIN },   { EL_AUTH_TRUST, "11...", PROXY_RULE_PUBLIC },
    { EL_AUTH_TRUST, "10...", PROXY_RULE_TRUST },
};

static bool fits(const struct line *l, enum el_auth auth, unsigned bits)
{
    if (l->auth != auth)
        return false;
    for (unsigned i = 0; i < 5; i++) {
        char value = (bits >> i) & 1 ? '1' : '0';

        if (l->facts[i] != '.' && l->facts[i] != value)
            return false;
    }
    return true;
}

static struct proxy_rule_facts facts_of(enum el_auth auth, unsigned bits)
{
    return (struct proxy_rule_facts){
        .auth = auth,
        .is_fresh = bits & 1,
        .is_public = bits & 2,
        .request_has_grant = bits & 4,
        .signature_is_right = bits & 8,
        .key_has_grant = bits & 16,
    };
}

static void every_combination_is_decided_as_the_table_says(void **state)
{
    (void)state;
    for (enum el_auth auth = EL_AUTH_ORIGIN; auth <= EL_AUTH_DENY; auth++) {
        for (unsigned bits = 0; bits < 32; bits++) {
            const struct proxy_rule_facts facts = facts_of(auth, bits);
            unsigned lines = 0;

            for (size_t i = 0; i < EL_COUNT(table); i++) {
                if (!fits(&table[i], auth, bits))
                    continue;
                lines++;
                assert_int_equal(proxy_rule_decide(&facts), table[i].rule);
            }
            assert_int_equal(lines, 1); /* the table is complete, and says nothing twice */
        }
    }
}

static void a_caller_without_any_right_is_never_served_a_private_object(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 32; bits++) {
        struct proxy_rule_facts facts = facts_of(EL_AUTH_ORIGIN, bits);

        facts.is_public = facts.request_has_grant = facts.signature_is_right = false;
        assert_int_equal(proxy_rule_decide(&facts), PROXY_RULE_ORIGIN);
    }
}

static void every_rule_has_a_name_and_a_reason(void **state)
{
    (void)state;
    for (enum proxy_rule rule = PROXY_RULE_NONE; rule < PROXY_RULES; rule++) {
        assert_true(strlen(proxy_rule_name(rule)) > 2);
        assert_true(strlen(proxy_rule_reason(rule)) > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_is_decided_as_the_table_says),
        cmocka_unit_test(a_caller_without_any_right_is_never_served_a_private_object),
        cmocka_unit_test(every_rule_has_a_name_and_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
