/* SPDX-License-Identifier: MIT */
/* checksum: see checksum.h. */
#include "storage/checksum.h"

#include "common/sha256.h"

/* ---- texts of checksums ---- */

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Exactly n bytes, padded as RFC 4648 has it; anything else is not ours to guess. */
static bool read_base64(struct el_str s, uint8_t *out, size_t n)
{
    size_t digits = (n * 8 + 5) / 6;
    uint32_t bits = 0;
    unsigned held = 0;

    if (s.n != (n + 2) / 3 * 4)
        return false;
    for (size_t i = 0, at = 0; i < s.n; i++) {
        int digit = base64_digit(s.p[i]);

        if (i >= digits ? s.p[i] != '=' : digit < 0)
            return false;
        if (i >= digits)
            continue;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8 && at < n) {
            held -= 8;
            out[at++] = (uint8_t)(bits >> held);
        }
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hex(struct el_str s, uint8_t *out, size_t n)
{
    if (s.n != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(s.p[2 * i]), low = hex_digit(s.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

/* The value of a field that is there once. */
static bool only(struct el_fieldv fields, const char *name, struct el_str *ret)
{
    return el_fieldv_count(fields, el_str_of(name)) == 1 &&
           el_fieldv_get(fields, el_str_of(name), ret);
}

/* ---- who says what ---- */

typedef bool read_claim(const struct store_checksum_object *o, const char *field,
                        enum el_sum_kind kind, uint8_t *out);

/* A composite of the parts' checksums has "-N" behind it, which is no base64. */
static bool read_amz(const struct store_checksum_object *o, const char *field,
                     enum el_sum_kind kind, uint8_t *out)
{
    struct el_str value, type;

    if (only(o->fields, "x-amz-checksum-type", &type) && !el_str_ieq(type, EL_STR("FULL_OBJECT")))
        return false;
    return only(o->fields, field, &value) && read_base64(value, out, el_sum_bytes(kind));
}

static bool read_oss(const struct store_checksum_object *o, const char *field,
                     enum el_sum_kind kind, uint8_t *out)
{
    struct el_str value;
    uint64_t crc;

    if (!only(o->fields, field, &value) || !el_str_u64(value, UINT64_MAX, &crc))
        return false;
    for (size_t i = 0; i < el_sum_bytes(kind); i++)
        out[i] = (uint8_t)(crc >> (56 - 8 * i));
    return true;
}

/* "sha-256=:<base64>:" among the members of a dictionary (RFC 8941). */
static bool read_digest(const struct store_checksum_object *o, const char *field,
                        enum el_sum_kind kind, uint8_t *out)
{
    struct el_str key = kind == EL_SUM_SHA256 ? EL_STR("sha-256=:") : EL_STR("sha-512=:");
    struct el_str value, member;

    if (!only(o->fields, field, &value))
        return false;
    while (el_str_split(&value, ',', &member)) {
        member = el_str_trim(member);
        member = el_str_first(member, el_str_find(member, ';'));
        if (el_str_starts(member, key) && member.p[member.n - 1] == ':' && member.n > key.n)
            return read_base64(el_str_first(el_str_from(member, key.n), member.n - key.n - 1), out,
                               el_sum_bytes(kind));
    }
    return false;
}

/*
 * HTTP itself no longer knows Content-MD5: elsewhere than at an object store it may be what some
 * layer behind the origin once computed of other bytes, and its clients do not look at it.
 */
static bool read_md5(const struct store_checksum_object *o, const char *field,
                     enum el_sum_kind kind, uint8_t *out)
{
    struct el_str value;

    return o->is_object_store && only(o->fields, field, &value) &&
           read_base64(value, out, el_sum_bytes(kind));
}

static bool has_prefixed(struct el_fieldv fields, struct el_str prefix)
{
    for (size_t i = 0; i < fields.n; i++) {
        if (el_str_istarts(fields.v[i].name, prefix))
            return true;
    }
    return false;
}

/*
 * Whether the ETag of such an object is the MD5 of its bytes, when it looks like one: not of
 * encrypted ones whose key is somebody's own, not of directory buckets, not of what was appended
 * to, and OSS promises it for some objects only (but gives a CRC of all).
 */
static bool etag_is_md5(const struct store_checksum_object *o)
{
    struct el_str value;

    if (!o->is_object_store || has_prefixed(o->fields, EL_STR("x-oss-")) ||
        has_prefixed(o->fields, EL_STR("x-amz-server-side-encryption-customer-")))
        return false;
    if (el_fieldv_get(o->fields, EL_STR("x-amz-server-side-encryption"), &value) &&
        !el_str_eq(value, EL_STR("AES256")))
        return false;
    if (el_fieldv_get(o->fields, EL_STR("x-amz-storage-class"), &value) &&
        el_str_eq(value, EL_STR("EXPRESS_ONEZONE")))
        return false;
    return !el_fieldv_get(o->fields, EL_STR("x-rgw-object-type"), &value) ||
           el_str_eq(value, EL_STR("Normal"));
}

/* Of an upload in parts it ends in "-N". */
static bool read_etag(const struct store_checksum_object *o, const char *field,
                      enum el_sum_kind kind, uint8_t *out)
{
    struct el_str value;

    return etag_is_md5(o) && only(o->fields, field, &value) && value.n > 2 && value.p[0] == '"' &&
           value.p[value.n - 1] == '"' &&
           read_hex(el_str_first(el_str_from(value, 1), value.n - 2), out, el_sum_bytes(kind));
}

/* The cheapest first. */
static const struct claim {
    const char *field;
    enum el_sum_kind kind;
    read_claim *read;
} claims[] = {
    { "x-amz-checksum-crc64nvme", EL_SUM_CRC64_NVME, read_amz },
    { "x-oss-hash-crc64ecma", EL_SUM_CRC64_XZ, read_oss },
    { "x-amz-checksum-crc32c", EL_SUM_CRC32C, read_amz },
    { "x-amz-checksum-crc32", EL_SUM_CRC32, read_amz },
    { "x-amz-checksum-sha256", EL_SUM_SHA256, read_amz },
    { "Repr-Digest", EL_SUM_SHA256, read_digest },
    { "Content-Digest", EL_SUM_SHA256, read_digest },
    { "x-amz-checksum-sha1", EL_SUM_SHA1, read_amz },
    { "Repr-Digest", EL_SUM_SHA512, read_digest },
    { "Content-Digest", EL_SUM_SHA512, read_digest },
    { "Content-MD5", EL_SUM_MD5, read_md5 },
    { "ETag", EL_SUM_MD5, read_etag },
};

static bool is_worth_it(enum el_sum_kind kind, uint64_t length, enum store_verify verify)
{
    return verify == STORE_VERIFY_ALL || el_sum_is_crc(kind) ||
           length <= STORE_CHECKSUM_SHORT_BYTES;
}

/* What a store makes of an object on the way may come with the fields of the object. */
static bool is_processed(struct el_str url)
{
    struct el_str query = el_str_from(url, el_str_find(url, '?')), parameter;

    while (el_str_split(&query, '&', &parameter)) {
        if (el_str_starts(parameter, EL_STR("x-oss-process=")) ||
            el_str_starts(parameter, EL_STR("?x-oss-process=")))
            return true;
    }
    return false;
}

/* Nor does what is coded on the way have other ones: OSS packs like that. */
static bool is_packed(const struct store_checksum_object *o)
{
    return o->length == UINT64_MAX && el_fieldv_has(o->fields, EL_STR("Content-Encoding"));
}

struct store_checksum *store_checksum_new(const struct store_checksum_object *o,
                                          enum store_verify verify)
{
    struct store_checksum found = { .length = o->length };

    if (verify == STORE_VERIFY_NONE || is_processed(o->url) || is_packed(o))
        return NULL;
    for (size_t i = 0; i < EL_COUNT(claims) && found.sum == NULL; i++) {
        const struct claim *claim = &claims[i];

        if (!is_worth_it(claim->kind, o->length, verify) ||
            !claim->read(o, claim->field, claim->kind, found.said))
            continue;
        found.field = claim->field;
        found.kind = claim->kind;
        found.sum = el_sum_new(claim->kind);
    }
    if (found.sum == NULL)
        return NULL;
    return memcpy(el_new(struct store_checksum), &found, sizeof(found));
}

void store_checksum_free(struct store_checksum *c)
{
    if (c == NULL)
        return;
    el_sum_free(c->sum);
    free(c);
}

/* ---- the bytes ---- */

void store_checksum_update(struct store_checksum *c, const void *bytes, size_t n)
{
    el_sum_update(c->sum, bytes, n);
    c->at += n;
}

static bool is_as_said(const struct store_checksum *c, const void *bytes, size_t n)
{
    uint8_t came[EL_SUM_MAX_BYTES];

    el_sum_peek(c->sum, bytes, n, came);
    return memcmp(came, c->said, el_sum_bytes(c->kind)) == 0;
}

bool store_checksum_admits(const struct store_checksum *c, const void *bytes, size_t n)
{
    return c->length == UINT64_MAX || c->at + n < c->length || is_as_said(c, bytes, n);
}

bool store_checksum_holds(const struct store_checksum *c)
{
    return (c->length != UINT64_MAX && c->at < c->length) || is_as_said(c, "", 0);
}

void store_checksum_describe(const struct store_checksum *c, const void *bytes, size_t n,
                             struct el_buf *out)
{
    char said[2 * EL_SUM_MAX_BYTES + 1], came[2 * EL_SUM_MAX_BYTES + 1];
    uint8_t sum[EL_SUM_MAX_BYTES];

    el_sum_peek(c->sum, bytes, n, sum);
    el_hex(c->said, el_sum_bytes(c->kind), said);
    el_hex(sum, el_sum_bytes(c->kind), came);
    el_buf_addf(out, "%s of the object says %s, its bytes say %s", c->field, said, came);
}
