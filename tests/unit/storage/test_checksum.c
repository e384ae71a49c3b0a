/* SPDX-License-Identifier: MIT */
#include "storage/checksum.h"

#include "tests/lib/fields.h"
#include "tests/lib/test.h"

/* Of "abc", reckoned by other programs. */
#define CRC32     "NSRBwg=="
#define CRC32C    "Nks/tw=="
#define SHA1      "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="
#define SHA256    "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
#define MD5       "kAFQmDzST7DWlj99KOF/cg=="
#define MD5_HEX   "\"900150983cd24fb0d6963f7d28e17f72\""
#define CRC64_OSS "3231342946509354535" /* 2cd8e8519132ae27 */

static struct store_checksum *checksum_of(struct el_fieldv fields, uint64_t length,
                                          enum store_verify verify)
{
    const struct store_checksum_object o = {
        .url = EL_STR("http://h/b/k"), .fields = fields, .is_object_store = true, .length = length
    };

    return store_checksum_new(&o, verify);
}

/* The field that counts, NULL: none does. */
static const char *choice(struct el_fieldv fields, uint64_t length, enum store_verify verify)
{
    struct store_checksum *c = checksum_of(fields, length, verify);
    const char *field = c != NULL ? c->field : NULL;

    store_checksum_free(c);
    return field;
}

static const char *choice_of(struct el_fieldv fields)
{
    return choice(fields, 3, STORE_VERIFY_CHEAP);
}

static void assert_right(struct el_fieldv fields)
{
    struct store_checksum *c = checksum_of(fields, 3, STORE_VERIFY_CHEAP);

    assert_non_null(c);
    assert_true(store_checksum_admits(c, "ab", 2));
    store_checksum_update(c, "ab", 2);
    assert_true(store_checksum_admits(c, "c", 1));
    assert_false(store_checksum_admits(c, "d", 1));
    assert_true(store_checksum_holds(c)); /* the end has not come */
    store_checksum_update(c, "c", 1);
    assert_true(store_checksum_holds(c));
    store_checksum_free(c);
}

static void each_kind_tells_right_bytes_from_wrong_ones(void **state)
{
    (void)state;
    assert_right(FIELDS(FIELD("x-amz-checksum-crc32", CRC32)));
    assert_right(FIELDS(FIELD("x-amz-checksum-crc32c", CRC32C)));
    assert_right(FIELDS(FIELD("x-amz-checksum-sha1", SHA1)));
    assert_right(FIELDS(FIELD("x-amz-checksum-sha256", SHA256)));
    assert_right(FIELDS(FIELD("x-amz-checksum-sha256", SHA256),
                        FIELD("x-amz-checksum-type", "FULL_OBJECT")));
    assert_right(FIELDS(FIELD("x-oss-hash-crc64ecma", CRC64_OSS)));
    assert_right(FIELDS(FIELD("Content-MD5", MD5)));
    assert_right(FIELDS(FIELD("Repr-Digest", "sha-256=:" SHA256 ":")));
    assert_right(FIELDS(FIELD("Content-Digest", "unixsum=1, sha-256=:" SHA256 ":;a=1")));
    assert_right(FIELDS(FIELD("ETag", MD5_HEX)));
}

static void the_cheapest_counts(void **state)
{
    (void)state;
    assert_string_equal(choice_of(FIELDS(FIELD("ETag", MD5_HEX), FIELD("Content-MD5", MD5),
                                         FIELD("x-amz-checksum-sha256", SHA256),
                                         FIELD("x-amz-checksum-crc32", CRC32))),
                        "x-amz-checksum-crc32");
    assert_string_equal(
        choice_of(FIELDS(FIELD("ETag", MD5_HEX), FIELD("x-amz-checksum-sha1", SHA1))),
        "x-amz-checksum-sha1");
}

static void what_is_not_of_the_whole_or_not_readable_does_not_count(void **state)
{
    (void)state;
    assert_null(choice_of(FIELDS(FIELD("x-amz-checksum-crc32", "NSRBwg==-2"))));
    assert_null(choice_of(
        FIELDS(FIELD("x-amz-checksum-crc32", CRC32), FIELD("x-amz-checksum-type", "COMPOSITE"))));
    assert_null(choice_of(
        FIELDS(FIELD("x-amz-checksum-crc32", CRC32), FIELD("x-amz-checksum-crc32", CRC32))));
    assert_null(choice_of(FIELDS(FIELD("x-amz-checksum-crc32", "NSRBwg="))));
    assert_null(choice_of(FIELDS(FIELD("x-amz-checksum-crc32", "NSRBw==="))));
    assert_null(choice_of(FIELDS(FIELD("x-amz-checksum-crc32", "NSR wg=="))));
    assert_null(choice_of(FIELDS(FIELD("x-amz-checksum-sha256", CRC32))));
    assert_null(choice_of(FIELDS(FIELD("Content-MD5", ""))));
    assert_null(choice_of(FIELDS(FIELD("x-oss-hash-crc64ecma", "-1"))));
    assert_null(choice_of(FIELDS(FIELD("x-oss-hash-crc64ecma", "18446744073709551616"))));
    assert_null(choice_of(FIELDS(FIELD("Repr-Digest", "sha-256=" SHA256))));
    assert_null(choice_of(FIELDS(FIELD("Repr-Digest", "sha-256=:"))));
    assert_null(choice_of(FIELDS(FIELD("Repr-Digest", "sha-256=::"))));
    assert_null(choice_of(NO_FIELDS));
}

static void an_etag_counts_only_where_it_is_an_md5(void **state)
{
    struct store_checksum_object elsewhere = { .url = EL_STR("http://h/k"),
                                               .fields = FIELDS(FIELD("ETag", MD5_HEX)),
                                               .length = 3 };

    (void)state;
    assert_null(store_checksum_new(&elsewhere, STORE_VERIFY_ALL));
    assert_non_null(
        choice_of(FIELDS(FIELD("ETag", MD5_HEX), FIELD("x-rgw-object-type", "Normal"))));
    assert_non_null(
        choice_of(FIELDS(FIELD("ETag", MD5_HEX), FIELD("x-amz-server-side-encryption", "AES256"))));
    assert_null(choice_of(FIELDS(FIELD("ETag", "\"900150983cd24fb0d6963f7d28e17f72-1\""))));
    assert_null(choice_of(FIELDS(FIELD("ETag", "W/" MD5_HEX))));
    assert_null(choice_of(FIELDS(FIELD("ETag", "\"900150983cd24fb0d6963f7d28e17f7\""))));
    assert_null(choice_of(FIELDS(FIELD("ETag", "\""))));
    assert_null(choice_of(FIELDS(FIELD("ETag", MD5_HEX), FIELD("x-oss-request-id", "1"))));
    assert_null(
        choice_of(FIELDS(FIELD("ETag", MD5_HEX), FIELD("x-rgw-object-type", "Appendable"))));
    assert_null(choice_of(
        FIELDS(FIELD("ETag", MD5_HEX), FIELD("x-amz-server-side-encryption", "aws:kms"))));
    assert_null(
        choice_of(FIELDS(FIELD("ETag", MD5_HEX),
                         FIELD("x-amz-server-side-encryption-customer-algorithm", "AES256"))));
    assert_null(
        choice_of(FIELDS(FIELD("ETag", MD5_HEX), FIELD("x-amz-storage-class", "EXPRESS_ONEZONE"))));
}

static void of_long_objects_only_cheap_ones_count_unless_all_are_wanted(void **state)
{
    const struct el_fieldv md5 = FIELDS(FIELD("Content-MD5", MD5)),
                           crc = FIELDS(FIELD("x-amz-checksum-crc32c", CRC32C));

    (void)state;
    assert_non_null(choice(md5, STORE_CHECKSUM_SHORT_BYTES, STORE_VERIFY_CHEAP));
    assert_null(choice(md5, STORE_CHECKSUM_SHORT_BYTES + 1, STORE_VERIFY_CHEAP));
    assert_null(choice(md5, UINT64_MAX, STORE_VERIFY_CHEAP));
    assert_non_null(choice(md5, UINT64_MAX, STORE_VERIFY_ALL));
    assert_non_null(choice(crc, UINT64_MAX, STORE_VERIFY_CHEAP));
    assert_null(choice(crc, 3, STORE_VERIFY_NONE));
}

static void what_a_store_makes_of_an_object_has_no_checksum(void **state)
{
    static const char *const urls[] = { "http://h/k?x-oss-process=style/a",
                                        "http://h/k?versionId=1&x-oss-process=style/a" };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(urls); i++) {
        struct store_checksum_object o = { .url = el_str_of(urls[i]),
                                           .fields = FIELDS(FIELD("Content-MD5", MD5)),
                                           .is_object_store = true,
                                           .length = 3 };

        assert_null(store_checksum_new(&o, STORE_VERIFY_ALL));
    }
}

static void what_is_packed_on_the_way_has_no_checksum(void **state)
{
    const struct el_fieldv packed =
        FIELDS(FIELD("x-oss-hash-crc64ecma", CRC64_OSS), FIELD("Content-Encoding", "gzip"));

    (void)state;
    assert_null(choice(packed, UINT64_MAX, STORE_VERIFY_ALL));
    assert_non_null(choice(packed, 3, STORE_VERIFY_CHEAP)); /* it was stored like that */
}

static void without_a_length_the_end_decides(void **state)
{
    struct store_checksum *c =
        checksum_of(FIELDS(FIELD("x-amz-checksum-crc32", CRC32)), UINT64_MAX, STORE_VERIFY_CHEAP);
    struct el_buf text = { 0 };

    (void)state;
    assert_true(store_checksum_admits(c, "abd", 3));
    store_checksum_update(c, "ab", 2);
    assert_false(store_checksum_holds(c));
    store_checksum_describe(c, "d", 1, &text);
    assert_string_equal(text.p,
                        "x-amz-checksum-crc32 of the object says 352441c2, its bytes say ab40d461");
    store_checksum_update(c, "c", 1);
    assert_true(store_checksum_holds(c));
    el_buf_deinit(&text);
    store_checksum_free(c);
}

static void what_only_object_stores_promise_counts_only_there(void **state)
{
    struct store_checksum_object o = { .url = EL_STR("http://h/k"), .length = 3 };

    (void)state;
    o.fields = FIELDS(FIELD("Content-MD5", MD5), FIELD("ETag", MD5_HEX));
    assert_null(store_checksum_new(&o, STORE_VERIFY_ALL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_tells_right_bytes_from_wrong_ones),
        cmocka_unit_test(the_cheapest_counts),
        cmocka_unit_test(what_is_not_of_the_whole_or_not_readable_does_not_count),
        cmocka_unit_test(an_etag_counts_only_where_it_is_an_md5),
        cmocka_unit_test(of_long_objects_only_cheap_ones_count_unless_all_are_wanted),
        cmocka_unit_test(what_a_store_makes_of_an_object_has_no_checksum),
        cmocka_unit_test(what_is_packed_on_the_way_has_no_checksum),
        cmocka_unit_test(without_a_length_the_end_decides),
        cmocka_unit_test(what_only_object_stores_promise_counts_only_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
