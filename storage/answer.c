/* SPDX-License-Identifier: MIT */
/* answer: see the header. Pure core. */
#include "storage/answer.h"

bool store_content_range_parse(struct el_str value, uint64_t *ret_first, uint64_t *ret_end,
                               uint64_t *ret_total)
{
    uint64_t first, last, total = UINT64_MAX;
    struct el_str unit, range, from, rest = el_str_trim(value);

    if (!el_str_split(&rest, ' ', &unit) || !el_str_ieq(unit, EL_STR("bytes")) ||
        !el_str_split(&rest, '/', &range) || !el_str_split(&range, '-', &from))
        return false;
    if (!el_str_u64(from, INT64_MAX, &first) || !el_str_u64(range, INT64_MAX, &last))
        return false;
    if (!el_str_eq(rest, EL_STR("*")) && !el_str_u64(rest, INT64_MAX, &total))
        return false;
    if (last < first || last >= total)
        return false;
    *ret_first = first;
    *ret_end = last + 1;
    *ret_total = total;
    return true;
}

uint64_t store_retry_after_ms(struct el_fieldv fields, uint64_t max_ms)
{
    struct el_str value;
    uint64_t seconds;

    if (!el_fieldv_get(fields, EL_STR("Retry-After"), &value) ||
        !el_str_u64(value, UINT64_MAX / 1000, &seconds))
        return 0;
    return el_min_u64(seconds * 1000, max_ms);
}

static bool is_weak(struct el_str etag)
{
    return el_str_starts(etag, EL_STR("W/"));
}

enum match {
    MATCH_SAME,
    MATCH_OTHER,
    MATCH_UNKNOWN, /* the answer carries nothing to compare */
};

/* Strong comparison (RFC 9110 section 8.8.3.2); Last-Modified counts only where there is no ETag.
 */
static enum match match_version(const struct store_expect *expect, struct el_fieldv fields)
{
    struct el_str value;

    if (expect->etag.n > 0 && !is_weak(expect->etag)) {
        if (!el_fieldv_get(fields, EL_STR("ETag"), &value))
            return MATCH_UNKNOWN;
        return el_str_eq(value, expect->etag) ? MATCH_SAME : MATCH_OTHER;
    }
    if (expect->last_modified.n == 0 || !el_fieldv_get(fields, EL_STR("Last-Modified"), &value))
        return MATCH_UNKNOWN;
    return el_str_eq(value, expect->last_modified) ? MATCH_SAME : MATCH_OTHER;
}

/*
 * A coding applied on the way makes other bytes of the same version. Who does that does not know
 * how long they will be, and leaves parts as they are: without a length no coding is said to be the
 * same one.
 */
static bool is_coded_alike(const struct store_expect *expect, struct el_fieldv fields)
{
    struct el_str value;

    if (!el_fieldv_get(fields, EL_STR("Content-Encoding"), &value))
        return expect->length != UINT64_MAX || expect->content_encoding.n == 0;
    return el_str_ieq(value, expect->content_encoding);
}

static enum store_verdict changed(struct el_error *err, const char *why)
{
    el_fail(err, EL_ECHANGED, 0, "%s", why);
    return STORE_ANSWER_BAD;
}

static enum store_verdict judge_part(const struct store_expect *expect, struct el_fieldv fields,
                                     uint64_t *ret_skip, uint64_t *ret_body, struct el_error *err)
{
    uint64_t first, end, total;
    struct el_str value;
    enum match match = match_version(expect, fields);

    if (!el_fieldv_get(fields, EL_STR("Content-Range"), &value) ||
        !store_content_range_parse(value, &first, &end, &total) || first > expect->position ||
        end <= expect->position) {
        el_fail(err, EL_EPROTO, 0, "a 206 without the bytes that were asked for");
        return STORE_ANSWER_BAD;
    }
    if (match == MATCH_OTHER || !is_coded_alike(expect, fields))
        return changed(err, "the origin has another version");
    if (total != UINT64_MAX && expect->length != UINT64_MAX && total != expect->length)
        return changed(err, "the object has another length");
    if (match == MATCH_UNKNOWN && (total == UINT64_MAX || expect->length == UINT64_MAX))
        return changed(err, "a 206 that does not say of which version");
    *ret_skip = expect->position - first;
    *ret_body = end - first;
    return STORE_ANSWER_FITS;
}

/* The whole object: Range was ignored, or not sent. */
static enum store_verdict judge_whole(const struct store_expect *expect, struct el_fieldv fields,
                                      uint64_t *ret_skip, uint64_t *ret_body, struct el_error *err)
{
    uint64_t length = UINT64_MAX;
    struct el_str value;

    if (match_version(expect, fields) != MATCH_SAME || !is_coded_alike(expect, fields))
        return changed(err, "the origin has another version");
    if (el_fieldv_get(fields, EL_STR("Content-Length"), &value) &&
        !el_str_u64(value, INT64_MAX, &length)) {
        el_fail(err, EL_EPROTO, 0, "invalid Content-Length in the response");
        return STORE_ANSWER_BAD;
    }
    if (length != UINT64_MAX && expect->length != UINT64_MAX && length != expect->length)
        return changed(err, "the object has another length");
    *ret_skip = expect->position;
    *ret_body = length != UINT64_MAX ? length : expect->length;
    return STORE_ANSWER_FITS;
}

enum store_verdict store_answer_judge(const struct store_expect *expect, int status,
                                      struct el_fieldv fields, uint64_t *ret_skip,
                                      uint64_t *ret_body, struct el_error *err)
{
    switch (status) {
    case 206:
        return judge_part(expect, fields, ret_skip, ret_body, err);
    case 200:
        return judge_whole(expect, fields, ret_skip, ret_body, err);
    case 404:
    case 410:
    case 412:
    case 416:
        return changed(err, "the version that was being read is gone");
    case 401:
    case 403:
    case 407:
        el_fail(err, EL_EFORBIDDEN, 0, "the origin refused the rest with status %d", status);
        return STORE_ANSWER_BAD;
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        el_fail(err, EL_EORIGIN, 0, "the origin answered with status %d", status);
        return STORE_ANSWER_RETRY;
    default:
        el_fail(err, EL_EORIGIN, 0, "the origin answered with status %d", status);
        return STORE_ANSWER_BAD;
    }
}
