/* SPDX-License-Identifier: MIT */
/* warm_list: see warm_list.h. */
#include "proxy/warm_list.h"

#include <openssl/crypto.h>

#include "common/http_head.h"

#define MAX_URL_BYTES 16384
#define MAX_HEADERS   50

/* ---- urls ---- */

/* As in a request line: visible, or beyond ASCII. What it names is the route's to judge. */
static bool is_target(struct el_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c == 0x7f || c == '#')
            return false;
    }
    return s.n > 0 && s.n <= MAX_URL_BYTES;
}

static struct el_str text_of(const json_t *string)
{
    return (struct el_str){ json_string_value(string), json_string_length(string) };
}

static enum el_err take_urls(const json_t *urls, struct proxy_warm_list *l, struct el_error *err)
{
    size_t n = json_array_size(urls);

    if (!json_is_array(urls) || n == 0 || n > PROXY_WARM_MAX_URLS)
        return el_fail(err, EL_EBADREQ, 0, "\"urls\" has to be a list of 1 to %d URLs",
                       PROXY_WARM_MAX_URLS);
    for (size_t i = 0; i < n; i++) {
        const json_t *url = json_array_get(urls, i);

        if (!json_is_string(url) || !is_target(text_of(url)))
            return el_fail(err, EL_EBADREQ, 0, "number %zu of \"urls\" is no URL", i + 1);
    }
    l->urls = json_incref((json_t *)(uintptr_t)urls);
    return EL_OK;
}

/* ---- headers ---- */

/* What frames the message, selects a part of the object, or concerns one connection only. */
static bool is_ours(struct el_str name)
{
    static const char *const ours[] = {
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "Range",
        "Expect",
        "Proxy-Authorization",
        "Te",
        "Trailer",
        "Upgrade",
        "Via",
        "Content-Encoding",
        "Content-Type",
    };

    for (size_t i = 0; i < EL_COUNT(ours); i++) {
        if (el_str_ieq(name, el_str_of(ours[i])))
            return true;
    }
    return el_str_istarts(name, EL_STR("If-"));
}

static enum el_err take_header(const char *key, const json_t *value, struct proxy_warm_list *l,
                               struct el_error *err)
{
    struct el_str name = el_str_of(key);

    if (!el_http_is_token(name))
        return el_fail(err, EL_EBADREQ, 0, "\"headers\" has a name that is none");
    if (is_ours(name))
        return el_fail(err, EL_EBADREQ, 0, "the header %.40s cannot be given", key);
    if (!json_is_string(value) || !el_http_is_value(text_of(value)))
        return el_fail(err, EL_EBADREQ, 0, "the value of the header %.40s is none", key);
    el_fields_add(&l->fields, name, el_str_trim(text_of(value)));
    return EL_OK;
}

static enum el_err take_headers(json_t *headers, struct proxy_warm_list *l, struct el_error *err)
{
    enum el_err rc = EL_OK;
    const char *key;
    json_t *value;

    if (headers == NULL)
        return EL_OK;
    if (!json_is_object(headers) || json_object_size(headers) > MAX_HEADERS)
        return el_fail(err, EL_EBADREQ, 0, "\"headers\" has to be an object of at most %d",
                       MAX_HEADERS);
    json_object_foreach(headers, key, value)
    {
        if (rc == EL_OK)
            rc = take_header(key, value, l, err);
    }
    return rc;
}

/* ---- all of it ---- */

static enum el_err take_concurrency(const json_t *n, struct proxy_warm_list *l,
                                    struct el_error *err)
{
    l->concurrency = PROXY_WARM_CONCURRENCY;
    if (n == NULL)
        return EL_OK;
    if (!json_is_integer(n) || json_integer_value(n) < 1 ||
        json_integer_value(n) > PROXY_WARM_MAX_CONCURRENCY)
        return el_fail(err, EL_EBADREQ, 0, "\"concurrency\" has to be 1 to %d",
                       PROXY_WARM_MAX_CONCURRENCY);
    l->concurrency = (unsigned)json_integer_value(n);
    return EL_OK;
}

static enum el_err check_keys(json_t *root, struct el_error *err)
{
    enum el_err rc = EL_OK;
    const char *key;
    json_t *value;

    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "urls") != 0 && strcmp(key, "headers") != 0 &&
            strcmp(key, "concurrency") != 0)
            rc = el_fail(err, EL_EBADREQ, 0,
                         "only \"urls\", \"headers\" and \"concurrency\" may be given");
    }
    return rc;
}

enum el_err proxy_warm_list_parse(struct el_str body, struct proxy_warm_list *ret_list,
                                  struct el_error *err)
{
    struct proxy_warm_list l = { 0 };
    json_t *root = json_loadb(body.n > 0 ? body.p : "", body.n, JSON_REJECT_DUPLICATES, NULL);
    enum el_err rc = EL_OK;

    if (!json_is_object(root))
        rc = el_fail(err, EL_EBADREQ, 0, "the body has to be a JSON object with \"urls\"");
    if (rc == EL_OK)
        rc = check_keys(root, err);
    if (rc == EL_OK)
        rc = take_concurrency(json_object_get(root, "concurrency"), &l, err);
    if (rc == EL_OK)
        rc = take_urls(json_object_get(root, "urls"), &l, err);
    if (rc == EL_OK)
        rc = take_headers(json_object_get(root, "headers"), &l, err);
    json_decref(root);
    if (rc == EL_OK)
        *ret_list = l;
    else
        proxy_warm_list_deinit(&l);
    return rc;
}

void proxy_warm_list_deinit(struct proxy_warm_list *l)
{
    for (size_t i = 0; i < l->fields.n; i++)
        OPENSSL_cleanse((char *)(uintptr_t)l->fields.v[i].value.p, l->fields.v[i].value.n);
    el_fields_deinit(&l->fields);
    json_decref(l->urls);
    l->urls = NULL;
}

size_t proxy_warm_list_count(const struct proxy_warm_list *l)
{
    return json_array_size(l->urls);
}

struct el_str proxy_warm_list_url(const struct proxy_warm_list *l, size_t i)
{
    return text_of(json_array_get(l->urls, i));
}
