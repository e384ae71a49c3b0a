/* SPDX-License-Identifier: MIT */
/* address: see address.h. */
#include "storage/address.h"

#define GLOBAL_ENDPOINT "s3.amazonaws.com"

static bool is_label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* As object stores have them: 3 to 63 of a-z, 0-9, "-" and ".", none of these two at an end. */
static bool is_host_part(struct el_str bucket)
{
    for (size_t i = 0; i < bucket.n; i++) {
        bool is_end = i == 0 || i + 1 == bucket.n;

        if (!is_label_byte(bucket.p[i]) && bucket.p[i] != '.')
            return false;
        if (is_end && (bucket.p[i] == '-' || bucket.p[i] == '.'))
            return false;
        if (i > 0 && bucket.p[i] == '.' && bucket.p[i - 1] == '.')
            return false;
    }
    return bucket.n >= 3 && bucket.n <= 63;
}

/* "/bucket/key" or "/bucket?acl": the first part of the path. */
static struct el_str first_part(struct el_str target)
{
    struct el_str path = el_str_first(target, el_str_find(target, '?'));

    path = el_str_from(path, 1);
    return el_str_first(path, el_str_find(path, '/'));
}

struct el_str store_address_bucket(struct el_str bucket, struct el_str target)
{
    return bucket.n > 0 ? bucket : first_part(target);
}

static void write_path(struct el_str endpoint, struct el_str bucket, struct el_str target,
                       struct el_buf *host, struct el_buf *out)
{
    el_buf_add_str(host, endpoint);
    if (bucket.n > 0) {
        el_buf_add_byte(out, '/');
        el_buf_add_str(out, bucket);
    }
    el_buf_add_str(out, target);
}

void store_address_write(bool is_virtual, struct el_str endpoint, struct el_str bucket,
                         struct el_str target, struct el_buf *host, struct el_buf *out_target,
                         struct el_str *ret_bucket)
{
    struct el_str named = store_address_bucket(bucket, target), rest = target;

    *ret_bucket = (struct el_str){ NULL, 0 };
    if (!is_virtual || !is_host_part(named)) {
        write_path(endpoint, bucket, target, host, out_target);
        return;
    }
    if (bucket.n == 0)
        rest = el_str_from(target, 1 + named.n);
    el_buf_add_str(host, named);
    el_buf_add_byte(host, '.');
    el_buf_add_str(host, endpoint);
    if (rest.n == 0 || rest.p[0] != '/')
        el_buf_add_byte(out_target, '/');
    el_buf_add_str(out_target, rest);
    *ret_bucket = named;
}

bool store_address_is_region(struct el_str region)
{
    for (size_t i = 0; i < region.n; i++) {
        if (!is_label_byte(region.p[i]))
            return false;
    }
    return region.n > 0 && region.n <= 63;
}

/* Where `part` stands in the host, behind "." or "-" and in front of "."; host.n: nowhere. */
static size_t find_part(struct el_str host, struct el_str part)
{
    for (size_t i = 1; part.n > 0 && i + part.n < host.n; i++) {
        bool begins = host.p[i - 1] == '.' || host.p[i - 1] == '-';

        if (begins && host.p[i + part.n] == '.' && el_str_starts(el_str_from(host, i), part))
            return i;
    }
    return host.n;
}

void store_address_move(struct el_str endpoint, struct el_str own, struct el_str region,
                        struct el_buf *out)
{
    size_t at = find_part(endpoint, own);

    if (el_str_ieq(endpoint, EL_STR(GLOBAL_ENDPOINT))) {
        el_buf_addf(out, "s3.%.*s.amazonaws.com", EL_STR_ARG(region));
        return;
    }
    el_buf_add_str(out, el_str_first(endpoint, at));
    if (at == endpoint.n)
        return;
    el_buf_add_str(out, region);
    el_buf_add_str(out, el_str_from(endpoint, at + own.n));
}
