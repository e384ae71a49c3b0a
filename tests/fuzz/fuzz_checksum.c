/* SPDX-License-Identifier: MIT */
/* An input is a body, and then fields of the answer that it came with. */
#include "storage/checksum.h"
#include "tests/fuzz/fuzz.h"

static void check(struct el_str body, struct el_fieldv fields, uint64_t length)
{
    const struct store_checksum_object o = {
        .url = EL_STR("http://h/k"), .fields = fields, .is_object_store = true, .length = length
    };
    struct store_checksum *c = store_checksum_new(&o, STORE_VERIFY_ALL);
    struct el_buf text = { 0 };
    bool admitted;

    if (c == NULL)
        return;
    admitted = store_checksum_admits(c, body.p, body.n);
    store_checksum_update(c, body.p, body.n);
    CLAIM(length == UINT64_MAX ? admitted : admitted == store_checksum_holds(c));
    store_checksum_describe(c, "", 0, &text);
    el_buf_deinit(&text);
    store_checksum_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str rest = { (const char *)data, n }, body = fuzz_line(&rest);
    struct el_field v[FUZZ_MAX_FIELDS];
    struct el_fieldv fields = fuzz_fields(rest, v);

    if (body.n == 0)
        return 0;
    check(body, fields, body.n);
    check(body, fields, UINT64_MAX);
    return 0;
}
