/* SPDX-License-Identifier: MIT */
/* An input is the body of a call of /api/v1/cache/warm. */
#include "proxy/warm_list.h"

#include "common/http_head.h"
#include "tests/fuzz/fuzz.h"

static void check_url(struct el_str url)
{
    CLAIM(url.n > 0 && url.n <= 16384);
    for (size_t i = 0; i < url.n; i++)
        CLAIM((unsigned char)url.p[i] > ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct proxy_warm_list l;

    if (proxy_warm_list_parse((struct el_str){ (const char *)data, n }, &l, NULL) != EL_OK)
        return 0;
    CLAIM(proxy_warm_list_count(&l) >= 1 && proxy_warm_list_count(&l) <= PROXY_WARM_MAX_URLS);
    CLAIM(l.concurrency >= 1 && l.concurrency <= PROXY_WARM_MAX_CONCURRENCY);
    for (size_t i = 0; i < proxy_warm_list_count(&l); i++)
        check_url(proxy_warm_list_url(&l, i));
    for (size_t i = 0; i < l.fields.n; i++)
        CLAIM(el_http_is_token(l.fields.v[i].name) && el_http_is_value(l.fields.v[i].value));
    proxy_warm_list_deinit(&l);
    return 0;
}
