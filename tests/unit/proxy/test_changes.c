/* SPDX-License-Identifier: MIT */
#include "proxy/changes.h"

#include "tests/lib/test.h"

static struct proxy_changes *changes;

static int set_up(void **state)
{
    (void)state;
    changes = el_new(struct proxy_changes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(changes);
    return 0;
}

static int64_t last(const char *url)
{
    return proxy_changes_last_ms(changes, el_str_of(url));
}

static uint32_t count(const char *url)
{
    return proxy_changes_count(changes, el_str_of(url));
}

static void what_never_changed_is_not_doubted(void **state)
{
    (void)state;
    assert_int_equal(last("http://h/b/k"), 0);
    assert_int_equal(count("http://h/b/k"), count("http://h/b/k?versionId=1"));
}

static void a_change_concerns_every_form_and_spelling_of_the_object(void **state)
{
    static const char *const same[] = { "http://h/b/k(1)", "http://h/b/k%281%29",
                                        "http://h/b/%6b(1)", "http://h/b/k(1)?versionId=null",
                                        "http://h/b/k%281)?a&b" };
    uint32_t before = count(same[0]);

    (void)state;
    proxy_changes_note(changes, EL_STR("http://h/b/k(1)?acl"), 1000);
    for (size_t i = 0; i < EL_COUNT(same); i++) {
        assert_int_equal(last(same[i]), 1000);
        assert_int_not_equal(count(same[i]), before);
    }
    assert_int_equal(last("http://h/b/k"), 0);
    assert_int_equal(last("http://h/b/"), 0);
    assert_int_equal(last("https://h/b/k(1)"), 0);
}

static void a_change_of_a_bucket_concerns_what_is_in_it(void **state)
{
    (void)state;
    proxy_changes_note_prefix(changes, EL_STR("http://h/b/"), 1000);
    assert_int_equal(last("http://h/b/k"), 1000);
    assert_int_equal(last("http://h/b/deep/er?x"), 1000);
    assert_int_equal(last("http://h/c/k"), 0);
    assert_int_equal(last("http://h/bb/k"), 0);
    proxy_changes_note_prefix(changes, EL_STR("http://v.h/"), 2000);
    assert_int_equal(last("http://v.h/k"), 2000);
    assert_int_equal(last("http://v.h/deep/k"), 2000);
    assert_int_equal(last("http://v.i/k"), 0);
}

static void a_change_of_what_lies_at_a_prefix_is_none_of_what_is_below_it(void **state)
{
    (void)state;
    proxy_changes_note(changes, EL_STR("http://h/"), 1000);
    proxy_changes_note(changes, EL_STR("http://h/b/"), 1000);
    assert_int_equal(last("http://h/"), 1000);
    assert_int_equal(last("http://h/?x"), 1000);
    assert_int_equal(last("http://h/k"), 0);
    assert_int_equal(last("http://h/b/k"), 0);
}

static void the_latest_change_counts(void **state)
{
    uint32_t before;

    (void)state;
    proxy_changes_note(changes, EL_STR("http://h/b/k"), 2000);
    before = count("http://h/b/k");
    proxy_changes_note(changes, EL_STR("http://h/b/k"), 1000);
    assert_int_equal(last("http://h/b/k"), 2000);
    assert_int_not_equal(count("http://h/b/k"), before);
}

static void all_that_is_on_its_way_can_be_distrusted_and_nothing_stored_is_doubted(void **state)
{
    uint32_t before = count("http://h/b/k");

    (void)state;
    proxy_changes_note_all(changes);
    assert_int_not_equal(count("http://h/b/k"), before);
    assert_int_equal(last("http://h/b/k"), 0);
}

static void short_urls_are_no_danger(void **state)
{
    static const char *const urls[] = { "",         ":",         "a",         "http://",
                                        "http://h", "http://h/", "http://h/%" };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(urls); i++) {
        proxy_changes_note(changes, el_str_of(urls[i]), 5);
        assert_int_equal(last(urls[i]), 5);
    }
}

#define test_of(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(what_never_changed_is_not_doubted),
        test_of(a_change_concerns_every_form_and_spelling_of_the_object),
        test_of(a_change_of_a_bucket_concerns_what_is_in_it),
        test_of(a_change_of_what_lies_at_a_prefix_is_none_of_what_is_below_it),
        test_of(the_latest_change_counts),
        test_of(all_that_is_on_its_way_can_be_distrusted_and_nothing_stored_is_doubted),
        test_of(short_urls_are_no_danger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
