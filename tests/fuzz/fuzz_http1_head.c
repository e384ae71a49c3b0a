/* SPDX-License-Identifier: MIT */
/* A request head: found and parsed like the connection does, and every slice inside the input. */
#include "common/http_client.h"
#include "proxy/http1_parse.h"

#define MAX_FIELDS 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct el_str input;

static void check_slice(struct el_str s)
{
    EL_ASSERT(s.n == 0 || (s.p >= input.p && s.p + s.n <= input.p + input.n));
    for (size_t i = 0; i < s.n; i++)
        EL_ASSERT(s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0');
}

static void check_head(const struct proxy_head *h)
{
    check_slice(h->method);
    check_slice(h->target);
    check_slice(h->host);
    EL_ASSERT(h->method.n > 0 && h->target.n > 0);
    EL_ASSERT(h->body_length >= EL_HTTP_BODY_NONE);
    for (size_t i = 0; i < h->fields.n; i++) {
        check_slice(h->fields.v[i].name);
        check_slice(h->fields.v[i].value);
        EL_ASSERT(h->fields.v[i].name.n > 0);
    }
    /* What makes a message ambiguous never gets through. */
    EL_ASSERT(el_fieldv_count(h->fields, EL_STR("Content-Length")) +
                  el_fieldv_count(h->fields, EL_STR("Transfer-Encoding")) <=
              1);
    EL_ASSERT(el_fieldv_count(h->fields, EL_STR("Host")) <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_field fields[MAX_FIELDS];
    struct proxy_http1_head head;
    struct proxy_http1_refusal why = { 0 };
    size_t scanned = 0;
    ssize_t end = proxy_http1_head_end((const char *)data, n / 2, &scanned);

    if (end == 0)
        end = proxy_http1_head_end((const char *)data, n, &scanned);
    if (end <= 0)
        return 0;
    EL_ASSERT((size_t)end <= n);
    input = (struct el_str){ (const char *)data, (size_t)end };
    if (proxy_http1_head_parse(input, fields, MAX_FIELDS, &head, &why))
        check_head(&head.head);
    else
        EL_ASSERT(why.status >= 400 && why.status < 600 && why.detail != NULL);
    return 0;
}
