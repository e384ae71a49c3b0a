/* SPDX-License-Identifier: MIT */
#include "discovery/cp_api.h"

#include "common/json.h"
#include "tests/lib/test.h"

static json_t *beat_of(const struct disc_cp_beat *b)
{
    const struct el_json_limits limits = { .depth = 8, .values = 1000 };
    const struct disc_cp_ran ran = { .version = 0 };
    const struct disc_cp_beat_of of = { .node_id = "n", .ran = &ran };
    struct el_buf text = { 0 };
    json_t *root;

    disc_cp_put_beat(&text, &of, b);
    assert_int_equal(el_json_parse(el_buf_str(&text), &limits, &root, NULL), EL_OK);
    el_buf_deinit(&text);
    return root;
}

static void assert_number(const json_t *o, const char *key, json_int_t wanted)
{
    assert_int_equal(json_integer_value(json_object_get(o, key)), wanted);
}

static void a_beat_tells_what_is_hot_and_what_is_downloaded(void **state)
{
    static struct disc_cp_beat b = { .disk_state = "none", .n_hottest = 1, .n_downloads = 1 };
    const json_t *hot, *download;
    json_t *root;

    (void)state;
    b.hottest[0] = (struct disc_cp_hot){ { 0xab }, "http://o/a", 5, 2.5 };
    b.downloads[0] = (struct disc_cp_download){ .object = { 0xcd },
                                                .total_bytes = 9,
                                                .done_bytes = 7,
                                                .had_bytes = 1,
                                                .elapsed_ms = 30,
                                                .rate_bytes_s = 4,
                                                .bound_ms = 20 };
    root = beat_of(&b);
    hot = json_array_get(json_object_get(root, "hottest"), 0);
    assert_string_equal(json_string_value(json_object_get(hot, "object")),
                        "ab000000000000000000000000000000");
    assert_string_equal(json_string_value(json_object_get(hot, "name")), "http://o/a");
    assert_number(hot, "bytes", 5);
    assert_true(json_real_value(json_object_get(hot, "accesses_per_hour")) > 2);
    download = json_array_get(json_object_get(root, "downloads"), 0);
    assert_string_equal(json_string_value(json_object_get(download, "object")),
                        "cd000000000000000000000000000000");
    assert_null(json_object_get(download, "name"));
    assert_number(download, "total_bytes", 9);
    assert_number(download, "done_bytes", 7);
    assert_number(download, "had_bytes", 1);
    assert_number(download, "elapsed_ms", 30);
    assert_number(download, "rate_bytes_s", 4);
    assert_number(download, "bound_ms", 20);
    json_decref(root);
}

static void a_beat_tells_from_whom_blocks_are_taken(void **state)
{
    static struct disc_cp_beat b = { .disk_state = "none", .n_links = 2 };
    const json_t *link;
    json_t *root;

    (void)state;
    b.links[0] = (struct disc_cp_link){ "n2", false, 7, 1000 };
    b.links[1] = (struct disc_cp_link){ "n3", true, 0, 0 };
    root = beat_of(&b);
    link = json_array_get(json_object_get(root, "links"), 0);
    assert_string_equal(json_string_value(json_object_get(link, "node_id")), "n2");
    assert_string_equal(json_string_value(json_object_get(link, "via")), "p2p");
    assert_number(link, "blocks", 7);
    assert_number(link, "rate_bytes_s", 1000);
    link = json_array_get(json_object_get(root, "links"), 1);
    assert_string_equal(json_string_value(json_object_get(link, "node_id")), "n3");
    assert_string_equal(json_string_value(json_object_get(link, "via")), "http");
    assert_number(link, "blocks", 0);
    json_decref(root);
}

static void a_beat_of_nothing_says_so(void **state)
{
    static const struct disc_cp_beat b = { .disk_state = "none" };
    json_t *root;

    (void)state;
    root = beat_of(&b);
    assert_int_equal(json_array_size(json_object_get(root, "hottest")), 0);
    assert_int_equal(json_array_size(json_object_get(root, "downloads")), 0);
    assert_int_equal(json_array_size(json_object_get(root, "links")), 0);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_beat_tells_what_is_hot_and_what_is_downloaded),
        cmocka_unit_test(a_beat_tells_from_whom_blocks_are_taken),
        cmocka_unit_test(a_beat_of_nothing_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
