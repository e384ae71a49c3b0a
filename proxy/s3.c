/* SPDX-License-Identifier: MIT */
/* s3: see s3.h. */
#include "proxy/s3.h"

/* What of a bucket decides who may read its objects stands apart from the rest of its settings. */
enum change { CHANGES_NOTHING, CHANGES_KEY, CHANGES_KEYS, CHANGES_ACCESS };

struct subresource {
    const char *name;
    enum proxy_s3_kind kind; /* of a GET */
    enum change change;      /* by a PUT, POST or DELETE */
};

/* The first that is found decides: what several parameters say together stands first. */
static const struct subresource subresources[] = {
    { "uploadId", PROXY_S3_ABOUT, CHANGES_NOTHING }, /* POST completes the upload: see below */
    { "uploads", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "delete", PROXY_S3_ABOUT, CHANGES_KEYS },
    { "select", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "partNumber", PROXY_S3_PART, CHANGES_KEY },
    /* of an object */
    { "acl", PROXY_S3_ABOUT, CHANGES_ACCESS },
    { "attributes", PROXY_S3_ABOUT, CHANGES_KEY },
    { "legal-hold", PROXY_S3_ABOUT, CHANGES_KEY },
    { "objectMeta", PROXY_S3_ABOUT, CHANGES_KEY },
    { "restore", PROXY_S3_ABOUT, CHANGES_KEY },
    { "retention", PROXY_S3_ABOUT, CHANGES_KEY },
    { "symlink", PROXY_S3_ABOUT, CHANGES_KEY },
    { "tagging", PROXY_S3_ABOUT, CHANGES_KEY }, /* policies look at tags */
    { "torrent", PROXY_S3_ABOUT, CHANGES_KEY },
    /* of a bucket: who may read */
    { "ownershipControls", PROXY_S3_ABOUT, CHANGES_ACCESS },
    { "policy", PROXY_S3_ABOUT, CHANGES_ACCESS },
    { "publicAccessBlock", PROXY_S3_ABOUT, CHANGES_ACCESS },
    { "referer", PROXY_S3_ABOUT, CHANGES_ACCESS },
    /* of a bucket: the rest */
    { "accelerate", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "analytics", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "bucketInfo", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "cors", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "encryption", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "intelligent-tiering", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "inventory", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "lifecycle", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "location", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "logging", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "metadataConfiguration", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "metadataTable", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "metrics", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "notification", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "object-lock", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "policyStatus", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "replication", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "requestPayment", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "session", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "stat", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "versioning", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "website", PROXY_S3_ABOUT, CHANGES_NOTHING },
    { "worm", PROXY_S3_ABOUT, CHANGES_NOTHING },
    /* listings */
    { "continuation-token", PROXY_S3_ABOUT, CHANGES_KEY },
    { "delimiter", PROXY_S3_ABOUT, CHANGES_KEY },
    { "key-marker", PROXY_S3_ABOUT, CHANGES_KEY },
    { "list-type", PROXY_S3_ABOUT, CHANGES_KEY },
    { "marker", PROXY_S3_ABOUT, CHANGES_KEY },
    { "max-keys", PROXY_S3_ABOUT, CHANGES_KEY },
    { "prefix", PROXY_S3_ABOUT, CHANGES_KEY },
    { "start-after", PROXY_S3_ABOUT, CHANGES_KEY },
    { "versions", PROXY_S3_ABOUT, CHANGES_KEY },
};

/* ---- queries ---- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte at *i, unescaped; moves *i behind it. */
static char unescape(struct el_str s, size_t *i)
{
    char c = s.p[*i];
    int high, low;

    if (c == '%' && *i + 2 < s.n) {
        high = hex_of(s.p[*i + 1]);
        low = hex_of(s.p[*i + 2]);
        if (high >= 0 && low >= 0) {
            *i += 3;
            return (char)(high * 16 + low);
        }
    }
    *i += 1;
    return c;
}

/* A server looks at names unescaped, so that "%61cl" is "acl". */
static bool is_named(struct el_str parameter, struct el_str name)
{
    size_t i = 0, k = 0;

    parameter = el_str_first(parameter, el_str_find(parameter, '='));
    while (i < parameter.n && k < name.n) {
        if (unescape(parameter, &i) != name.p[k++])
            return false;
    }
    return i == parameter.n && k == name.n;
}

static bool has(struct el_str query, struct el_str name)
{
    struct el_str parameter;

    while (el_str_split(&query, '&', &parameter)) {
        if (is_named(parameter, name))
            return true;
    }
    return false;
}

struct el_str proxy_s3_parameter(struct el_str query, struct el_str name)
{
    struct el_str parameter;

    while (el_str_split(&query, '&', &parameter)) {
        if (is_named(parameter, name))
            return el_str_from(parameter, el_str_find(parameter, '=') + 1);
    }
    return (struct el_str){ NULL, 0 };
}

static const struct subresource *find(struct el_str query)
{
    for (size_t i = 0; query.n > 0 && i < EL_COUNT(subresources); i++) {
        if (has(query, el_str_of(subresources[i].name)))
            return &subresources[i];
    }
    return NULL;
}

enum proxy_s3_kind proxy_s3_kind(struct el_str query)
{
    const struct subresource *sub = find(query);

    return sub != NULL ? sub->kind : PROXY_S3_OBJECT;
}

/* ---- effects ---- */

/* At most one name: a bucket's in path style, or nothing. (Or a key; then little lies below it.) */
static bool may_be_bucket(struct el_str path)
{
    struct el_str rest = el_str_from(path, 1);
    size_t slash = el_str_find(rest, '/');

    return slash + 1 >= rest.n;
}

enum proxy_s3_effect proxy_s3_effect(struct el_str method, struct el_str path, struct el_str query,
                                     bool is_form)
{
    const struct subresource *sub = find(query);
    bool is_post = el_str_eq(method, EL_STR("POST"));
    enum change change = sub != NULL ? sub->change : CHANGES_KEY;

    if (is_post && has(query, EL_STR("uploadId")))
        return PROXY_S3_KEY;
    if (is_post && sub == NULL && is_form && may_be_bucket(path))
        return PROXY_S3_ALL;
    switch (change) {
    case CHANGES_NOTHING:
        return PROXY_S3_NOTHING;
    case CHANGES_KEY:
        return PROXY_S3_KEY;
    case CHANGES_KEYS:
        return is_post ? PROXY_S3_KEYS : PROXY_S3_KEY;
    case CHANGES_ACCESS:
        return may_be_bucket(path) ? PROXY_S3_ALL : PROXY_S3_KEY;
    }
    return PROXY_S3_KEY;
}

/* ---- names of an object ---- */

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void write_byte(struct el_buf *out, char c)
{
    static const char digits[] = "0123456789ABCDEF";

    if (is_unreserved(c) || c == '/') {
        el_buf_add_byte(out, c);
        return;
    }
    el_buf_add_byte(out, '%');
    el_buf_add_byte(out, digits[(unsigned char)c >> 4]);
    el_buf_add_byte(out, digits[(unsigned char)c & 15]);
}

void proxy_s3_write_key(struct el_buf *out, struct el_str key)
{
    for (size_t i = 0; i < key.n; i++)
        write_byte(out, key.p[i]);
}

void proxy_s3_unescape(struct el_buf *out, struct el_str text)
{
    size_t i = 0;

    while (i < text.n)
        el_buf_add_byte(out, unescape(text, &i));
}

/* Where the host begins, and where the path does: at its '/'. False: this is no such URL. */
static bool split_url(struct el_str url, size_t *ret_host, size_t *ret_path)
{
    size_t host = el_str_find(url, ':') + 3, path;

    if (host > url.n)
        return false;
    path = host + el_str_find(el_str_from(url, host), '/');
    *ret_host = host;
    *ret_path = path;
    return path < url.n && path > host;
}

void proxy_s3_write_canonical(struct el_buf *out, struct el_str url)
{
    size_t host, i;

    if (!split_url(url, &host, &i)) {
        el_buf_add_str(out, url);
        return;
    }
    el_buf_add_str(out, el_str_first(url, i));
    while (i < url.n) {
        /* An escaped slash stays one: it does not divide. */
        bool is_slash = url.p[i] == '/';
        char c = unescape(url, &i);

        if (c == '/' && !is_slash)
            el_buf_add_str(out, EL_STR("%2F"));
        else
            write_byte(out, c);
    }
}

static bool is_label(struct el_str s)
{
    bool is = s.n > 0 && s.n <= 63;

    for (size_t i = 0; is && i < s.n; i++)
        is = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
             s.p[i] == '-' || s.p[i] == '.';
    return is && s.p[0] != '.' && s.p[s.n - 1] != '.';
}

bool proxy_s3_write_virtual_host(struct el_buf *out, struct el_str url)
{
    struct el_str rest, bucket;
    size_t host, path;

    if (!split_url(url, &host, &path))
        return false;
    rest = el_str_from(url, path + 1);
    bucket = el_str_first(rest, el_str_find(rest, '/'));
    if (bucket.n == rest.n || !is_label(bucket))
        return false;
    el_buf_add_str(out, el_str_first(url, host));
    el_buf_add_str(out, bucket);
    el_buf_add_byte(out, '.');
    el_buf_add_str(out, el_str_first(el_str_from(url, host), path - host));
    el_buf_add_str(out, el_str_from(rest, bucket.n));
    return true;
}

bool proxy_s3_write_path_style(struct el_buf *out, struct el_str url)
{
    struct el_str name, bucket;
    size_t host, path;

    if (!split_url(url, &host, &path))
        return false;
    name = el_str_first(el_str_from(url, host), path - host);
    bucket = el_str_first(name, el_str_find(name, '.'));
    if (bucket.n == name.n || !is_label(bucket))
        return false;
    el_buf_add_str(out, el_str_first(url, host));
    el_buf_add_str(out, el_str_from(name, bucket.n + 1));
    el_buf_add_byte(out, '/');
    el_buf_add_str(out, bucket);
    el_buf_add_str(out, el_str_from(url, path));
    return true;
}
