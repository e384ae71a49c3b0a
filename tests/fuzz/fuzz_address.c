/* SPDX-License-Identifier: MIT */
/* An input is a bucket, a target, and a region, one a line. */
#include "storage/address.h"
#include "tests/fuzz/fuzz.h"

#define ENDPOINT "s3.us-east-1.test"

/* Nothing that a client writes leads to a host that is not the endpoint or below it. */
static void check_host(struct el_str host, struct el_str bucket)
{
    CLAIM(host.n >= strlen(ENDPOINT));
    CLAIM(el_str_eq(el_str_from(host, host.n - strlen(ENDPOINT)), EL_STR(ENDPOINT)));
    CLAIM(host.n == strlen(ENDPOINT) + (bucket.n > 0 ? bucket.n + 1 : 0));
    for (size_t i = 0; i < host.n; i++)
        CLAIM((host.p[i] >= 'a' && host.p[i] <= 'z') || (host.p[i] >= '0' && host.p[i] <= '9') ||
              host.p[i] == '.' || host.p[i] == '-');
}

static void check_address(bool is_virtual, struct el_str bucket, struct el_str target)
{
    struct el_buf host = { 0 }, out = { 0 };
    struct el_str named;

    store_address_write(is_virtual, EL_STR(ENDPOINT), bucket, target, &host, &out, &named);
    check_host(el_buf_str(&host), named);
    CLAIM(out.n > 0 && out.p[0] == '/');
    CLAIM(named.n == 0 || el_str_eq(named, store_address_bucket(bucket, target)));
    el_buf_deinit(&host);
    el_buf_deinit(&out);
}

static void check_region(struct el_str region)
{
    struct el_buf out = { 0 };

    if (!store_address_is_region(region))
        return;
    store_address_move(EL_STR(ENDPOINT), EL_STR("us-east-1"), region, &out);
    CLAIM(out.n == strlen(ENDPOINT) - strlen("us-east-1") + region.n);
    CLAIM(el_str_eq(el_str_from(el_buf_str(&out), out.n - 5), EL_STR(".test")));
    el_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str rest = { (const char *)data, n }, bucket = fuzz_line(&rest), path;
    struct el_buf target = { 0 };

    path = fuzz_line(&rest);
    el_buf_add_byte(&target, '/');
    el_buf_add_str(&target, path);
    check_address(false, bucket, el_buf_str(&target));
    check_address(true, bucket, el_buf_str(&target));
    check_region(fuzz_line(&rest));
    el_buf_deinit(&target);
    return 0;
}
