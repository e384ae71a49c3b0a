/* SPDX-License-Identifier: MIT */
/* An input is one URL. */
#include "common/url.h"
#include "tests/fuzz/fuzz.h"

static void write_key(const struct el_url *url, struct el_buf *out)
{
    el_url_write_key(out, url->is_https, url->host, url->port, url->target);
}

/* A key is a URL, and its own key; nothing of a signature is left in it. */
static void check_key(const struct el_url *url)
{
    struct el_buf key = { 0 }, again = { 0 };
    struct el_url parsed = { 0 };

    write_key(url, &key);
    CLAIM(el_url_parse(el_buf_str(&key), &parsed, NULL) == EL_OK);
    CLAIM(parsed.port == url->port && parsed.is_https == url->is_https);
    CLAIM(el_str_ieq(parsed.host, url->host));
    write_key(&parsed, &again);
    CLAIM(el_str_eq(el_buf_str(&key), el_buf_str(&again)));
    CLAIM(!el_url_is_presigned(el_str_from(parsed.target, el_str_find(parsed.target, '?') + 1)));
    el_buf_deinit(&key);
    el_buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str text = { (const char *)data, n };
    struct el_url url = { 0 };
    struct el_error err;

    if (el_url_parse(text, &url, &err) == EL_OK) {
        CLAIM(url.host.n > 0 && url.port > 0 && url.target.n > 0 && url.target.p[0] == '/');
        check_key(&url);
    }
    if (el_url_parse_authority(text, 0, &url, &err) == EL_OK)
        CLAIM(url.host.n > 0 && url.port > 0);
    return 0;
}
