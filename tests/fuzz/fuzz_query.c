/* SPDX-License-Identifier: MIT */
/* An input is the query of a call of the node API. */
#include "proxy/query.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const names[] = { "url", "prefix" };
    struct el_str query = { (const char *)data, n };
    struct el_buf value = { 0 };
    size_t which = 2;

    if (proxy_query_one(query, names, 2, &which, &value, NULL) == EL_OK)
        CLAIM(which < 2 && value.n > 0 && value.n < n && el_str_find(query, '&') == n);
    else
        CLAIM(which == 2 || value.n < n);
    el_buf_deinit(&value);
    return 0;
}
