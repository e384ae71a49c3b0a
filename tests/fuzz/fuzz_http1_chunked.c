/* SPDX-License-Identifier: MIT */
/* A chunked body: cut anywhere (the first byte says where), it decodes to the same as in one piece.
 */
#include "proxy/http1_parse.h"

#define MAX_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct result {
    bool is_good, is_done;
    size_t used, body;
    char bytes[MAX_BYTES];
};

/* False: broken. Takes what can be taken of the bytes up to `have`. */
static bool take(struct proxy_chunked *d, const char *text, size_t have, struct result *r)
{
    size_t used, data;

    do {
        if (!proxy_chunked_next(d, text + r->used, have - r->used, &used, &data))
            return false;
        EL_ASSERT(used + data <= have - r->used);
        r->used += used;
        memcpy(r->bytes + r->body, text + r->used, data);
        proxy_chunked_take(d, data);
        r->used += data;
        r->body += data;
    } while (used + data > 0);
    EL_ASSERT(r->used == have || proxy_chunked_is_done(d));
    return true;
}

static void decode(const char *text, size_t n, size_t step, struct result *r)
{
    struct proxy_chunked d;

    proxy_chunked_init(&d);
    r->is_good = true;
    r->used = r->body = 0;
    for (size_t have = 0; have < n && r->is_good;) {
        have = el_min_size(n, have + step);
        r->is_good = take(&d, text, have, r);
    }
    r->is_done = proxy_chunked_is_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct result whole, pieces;

    if (n < 2 || n > MAX_BYTES)
        return 0;
    decode((const char *)data + 1, n - 1, n, &whole);
    decode((const char *)data + 1, n - 1, (size_t)data[0] % 16 + 1, &pieces);
    EL_ASSERT(whole.is_good == pieces.is_good && whole.is_done == pieces.is_done);
    EL_ASSERT(whole.body == pieces.body && memcmp(whole.bytes, pieces.bytes, whole.body) == 0);
    EL_ASSERT(!whole.is_good || whole.used == pieces.used);
    return 0;
}
