/* SPDX-License-Identifier: MIT */
/* An input is the body of a DeleteObjects. */
#include "proxy/s3.h"
#include "proxy/s3_delete.h"
#include "tests/fuzz/fuzz.h"

/* Named again in a document of our own, the key is the same. */
static void check_again(void *arg, struct el_str key, struct el_str version)
{
    (void)version;
    CLAIM(key.n > 0);
    if (arg != NULL)
        CLAIM(el_str_eq(key, *(const struct el_str *)arg));
}

static void check_key(void *arg, struct el_str key, struct el_str version)
{
    struct el_buf body = { 0 }, escaped = { 0 }, plain = { 0 };

    (void)arg;
    check_again(NULL, key, version);
    el_buf_add_str(&body, EL_STR("<Delete><Object><Key>"));
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] == '&' || key.p[i] == '<')
            el_buf_addf(&body, "&#%d;", key.p[i]);
        else if (key.p[i] == '\r')
            el_buf_add_str(&body, EL_STR("&#13;"));
        else
            el_buf_add_byte(&body, key.p[i]);
    }
    el_buf_add_str(&body, EL_STR("</Key></Object></Delete>"));
    CLAIM(proxy_s3_delete_parse(el_buf_str(&body), check_again, &key));
    proxy_s3_write_key(&escaped, key);
    proxy_s3_unescape(&plain, el_buf_str(&escaped));
    CLAIM(el_str_eq(el_buf_str(&plain), key));
    el_buf_deinit(&body);
    el_buf_deinit(&escaped);
    el_buf_deinit(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    (void)proxy_s3_delete_parse((struct el_str){ (const char *)data, n }, check_key, NULL);
    return 0;
}
