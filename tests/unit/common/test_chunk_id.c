/* SPDX-License-Identifier: MIT */
#include "common/chunk_id.h"

#include "tests/lib/test.h"

#define TEXT "000102030405060708090a0b0c0d0eff-00abcdef"

static const struct el_chunk_id id = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255 },
                                       0xabcdef };

static void a_name_is_written_and_read(void **state)
{
    char text[EL_CHUNK_ID_CHARS + 1];
    struct el_chunk_id back;

    (void)state;
    el_chunk_id_text(&id, text);
    assert_string_equal(text, TEXT);
    assert_true(el_chunk_id_parse(el_str_of(text), &back));
    assert_true(el_chunk_id_eq(&id, &back));
}

static void names_differ_by_object_and_by_index(void **state)
{
    struct el_chunk_id other = id;

    (void)state;
    other.index++;
    assert_false(el_chunk_id_eq(&id, &other));
    other = id;
    other.object[15]--;
    assert_false(el_chunk_id_eq(&id, &other));
}

/* Each place in turn holds what may not stand there. */
static void what_is_not_a_name_to_the_letter_is_refused(void **state)
{
    static const char bad[] = "/:@AFG`gz-\xff";
    struct el_chunk_id back = { .index = 7 };
    char text[] = TEXT "0";

    (void)state;
    for (size_t i = 0; i < EL_CHUNK_ID_CHARS; i++) {
        for (size_t b = 0; b < sizeof(bad); b++) {
            char was = text[i];

            text[i] = bad[b];
            if (text[i] != was)
                assert_false(el_chunk_id_parse((struct el_str){ text, EL_CHUNK_ID_CHARS }, &back));
            text[i] = was;
        }
    }
    text[32] = '0';
    assert_false(el_chunk_id_parse((struct el_str){ text, EL_CHUNK_ID_CHARS }, &back));
    text[32] = '-';
    for (size_t n = 0; n <= EL_CHUNK_ID_CHARS + 1; n++)
        assert_int_equal(el_chunk_id_parse((struct el_str){ text, n }, &back),
                         n == EL_CHUNK_ID_CHARS);
    assert_false(el_chunk_id_parse((struct el_str){ NULL, 0 }, &back));
}

/* printf %s TEXT | sha256sum */
static void the_number_of_a_chunk_is_that_of_its_text(void **state)
{
    struct el_chunk_id other = id;

    (void)state;
    other.index++;
    assert_true(el_chunk_id_digest(&id) == 0xeedbdefc8b8ee2fb);
    assert_false(el_chunk_id_digest(&other) == 0xeedbdefc8b8ee2fb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_written_and_read),
        cmocka_unit_test(names_differ_by_object_and_by_index),
        cmocka_unit_test(what_is_not_a_name_to_the_letter_is_refused),
        cmocka_unit_test(the_number_of_a_chunk_is_that_of_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
