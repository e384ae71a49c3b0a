/* SPDX-License-Identifier: MIT */
/* oss: see oss.h. What is signed comes first, then signing, then verifying; version 1 before
 * version 4 in each. */
#include "storage/oss.h"

#define DATE           "x-oss-date"
#define CONTENT_SHA256 "x-oss-content-sha256"
#define TOKEN          "x-oss-security-token"
#define PREFIX         "x-oss-"
#define UNSIGNED       "UNSIGNED-PAYLOAD" /* the only payload that OSS takes */

#define V1_SCHEME "OSS "
/* The base64 of 20 bytes. */
#define V1_MAC_BYTES 28

static const struct store_sign_dialect dialect = {
    .algorithm = "OSS4-HMAC-SHA256",
    .key_prefix = "aliyun_v4",
    .terminator = "aliyun_v4_request",
};

/* ---- what version 1 signs ---- */

/* The parameters that it covers, beside every one that begins with "x-oss-". */
static const char *const subresources[] = {
    "accessMonitor",
    "acl",
    "append",
    "asyncFetch",
    "bucketInfo",
    "callback",
    "callback-var",
    "cname",
    "comp",
    "continuation-token",
    "cors",
    "delete",
    "encryption",
    "endTime",
    "httpsConfig",
    "img",
    "inventory",
    "inventoryId",
    "lifecycle",
    "live",
    "location",
    "logging",
    "metaQuery",
    "objectMeta",
    "partNumber",
    "policy",
    "position",
    "publicAccessBlock",
    "qos",
    "qosInfo",
    "redundancyTransition",
    "referer",
    "regionList",
    "replication",
    "replicationLocation",
    "replicationProgress",
    "requestPayment",
    "resourceGroup",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "security-token",
    "sequential",
    "startTime",
    "stat",
    "status",
    "style",
    "styleName",
    "symlink",
    "tagging",
    "transferAcceleration",
    "udf",
    "udfApplication",
    "udfApplicationLog",
    "udfId",
    "udfImage",
    "udfImageDesc",
    "udfName",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "vod",
    "website",
    "withHashContext",
    "worm",
    "wormExtend",
    "wormId",
};

static bool is_subresource(struct el_str parameter)
{
    struct el_str name = el_str_first(parameter, el_str_find(parameter, '='));

    for (size_t i = 0; i < EL_COUNT(subresources); i++) {
        if (el_str_eq(name, el_str_of(subresources[i])))
            return true;
    }
    return el_str_starts(name, EL_STR(PREFIX));
}

/* The parameters that are signed, as they stand in the query. */
static void select_subresources(struct el_str query, struct el_buf *out)
{
    struct el_str part;

    while (el_str_split(&query, '&', &part)) {
        if (!is_subresource(part))
            continue;
        if (out->n > 0)
            el_buf_add_byte(out, '&');
        el_buf_add_str(out, part);
    }
}

/* "/bucket/key?acl&versionId=3", all of it decoded. */
static enum el_err add_resource(const struct store_sign_request *req, struct el_buf *out,
                                struct el_error *err)
{
    struct el_buf chosen = { 0 }, sorted = { 0 };
    enum el_err rc;

    if (req->bucket.n > 0) {
        el_buf_add_byte(out, '/');
        el_buf_add_str(out, req->bucket);
    }
    store_sign_add_decoded(out, store_sign_path(req->target));
    select_subresources(store_sign_query(req->target), &chosen);
    rc = store_sign_add_query(&sorted, el_buf_str(&chosen), NULL, true, err);
    if (rc == EL_OK && sorted.n > 0) {
        el_buf_add_byte(out, '?');
        store_sign_add_decoded(out, el_buf_str(&sorted));
    }
    el_buf_deinit(&chosen);
    el_buf_deinit(&sorted);
    return rc;
}

static void add_value_line(const struct store_sign_request *req, const char *name,
                           struct el_buf *out)
{
    struct el_str value = { NULL, 0 };

    (void)el_fieldv_get(req->fields, el_str_of(name), &value);
    el_buf_add_str(out, el_str_trim(value));
    el_buf_add_byte(out, '\n');
}

static enum el_err add_fields(const struct store_sign_request *req,
                              const struct store_sign_names *names, struct el_buf *out,
                              struct el_error *err)
{
    for (size_t i = 0; i < names->n; i++) {
        if (!store_sign_add_field(out, req, names->v[i], false))
            return el_fail(err, EL_EBADREQ, 0, "a signed field is not in the request");
    }
    return EL_OK;
}

static enum el_err too_many(struct el_error *err)
{
    return el_fail(err, EL_ETOOLARGE, 0, "more than %d fields to be signed", STORE_SIGN_MAX_NAMES);
}

static enum el_err write_v1(const struct store_sign_request *req, struct el_str date,
                            struct el_buf *out, struct el_error *err)
{
    struct store_sign_names names = { .n = 0 };
    enum el_err rc;

    if (!store_sign_names_collect(&names, req->fields, PREFIX))
        return too_many(err);
    el_buf_add_str(out, req->method);
    el_buf_add_byte(out, '\n');
    add_value_line(req, "Content-MD5", out);
    add_value_line(req, "Content-Type", out);
    el_buf_add_str(out, date);
    el_buf_add_byte(out, '\n');
    rc = add_fields(req, &names, out, err);
    return rc == EL_OK ? add_resource(req, out, err) : rc;
}

/* Appends the base64 of the MAC. */
static enum el_err compute_v1(const struct store_sign_request *req, struct el_str secret,
                              struct el_str date, struct el_buf *ret_mac, struct el_error *err)
{
    struct el_buf text = { 0 };
    uint8_t mac[EL_SHA1_BYTES];
    enum el_err rc = write_v1(req, date, &text, err);

    if (rc == EL_OK) {
        el_hmac_sha1(secret.p, secret.n, el_buf_str(&text), mac);
        store_sign_add_base64(ret_mac, mac, sizeof(mac));
        explicit_bzero(mac, sizeof(mac));
    }
    el_buf_deinit(&text);
    return rc;
}

/* ---- what version 4 signs ---- */

/* Whether it is signed without being named. */
static bool is_always_signed(struct el_str name)
{
    return el_str_ieq(name, EL_STR("Content-Type")) || el_str_ieq(name, EL_STR("Content-MD5")) ||
           el_str_istarts(name, EL_STR(PREFIX));
}

static bool collect_signed(const struct store_sign_request *req,
                           const struct store_sign_names *additional,
                           struct store_sign_names *names)
{
    *names = *additional;
    for (size_t i = 0; i < req->fields.n; i++) {
        struct el_str name = req->fields.v[i].name;

        if (is_always_signed(name) && !store_sign_names_add(names, name))
            return false;
    }
    return true;
}

static enum el_err write_v4(const struct store_sign_request *req,
                            const struct store_sign_names *additional, struct el_buf *out,
                            struct el_error *err)
{
    struct store_sign_names names;
    enum el_err rc;

    if (!collect_signed(req, additional, &names))
        return too_many(err);
    el_buf_add_str(out, req->method);
    el_buf_add_byte(out, '\n');
    if (req->bucket.n > 0) {
        el_buf_add_byte(out, '/');
        store_sign_add_encoded(out, req->bucket, false);
    }
    store_sign_add_recoded(out, store_sign_path(req->target), true);
    el_buf_add_byte(out, '\n');
    rc = store_sign_add_query(out, store_sign_query(req->target), "x-oss-signature", true, err);
    if (rc != EL_OK)
        return rc;
    el_buf_add_byte(out, '\n');
    rc = add_fields(req, &names, out, err);
    if (rc != EL_OK)
        return rc;
    el_buf_add_byte(out, '\n');
    store_sign_names_write(additional, out);
    el_buf_add_byte(out, '\n');
    el_buf_add_str(out, EL_STR(UNSIGNED));
    return EL_OK;
}

static enum el_err compute_v4(const struct store_sign_request *req,
                              const struct store_sign_names *additional,
                              const struct store_sign_key *key, int64_t time_s,
                              uint8_t ret_mac[EL_SHA256_BYTES], struct el_error *err)
{
    struct el_buf canonical = { 0 };
    enum el_err rc = write_v4(req, additional, &canonical, err);

    if (rc == EL_OK)
        store_sign_v4(&dialect, key, time_s, el_buf_str(&canonical), ret_mac);
    el_buf_deinit(&canonical);
    return rc;
}

/* ---- to sign ---- */

enum el_err store_oss_derive(struct el_str secret, const struct store_sign_scope *scope,
                             struct store_sign_key *ret_key, struct el_error *err)
{
    return store_sign_key_derive(&dialect, secret, scope, ret_key, err);
}

static enum el_err check_signer(const struct store_oss_signer *by, struct el_error *err)
{
    /* Version 1 writes it in front of a colon. */
    if (!store_sign_is_key_id(by->key_id) || el_str_find(by->key_id, ':') < by->key_id.n)
        return el_fail(err, EL_EINVAL, 0, "the id of the access key is empty, too long, or no id");
    if (by->secret.n == 0 || by->secret.n > STORE_SIGN_MAX_SECRET)
        return el_fail(err, EL_EINVAL, 0, "the secret of the access key is empty or too long");
    return EL_OK;
}

static enum el_err prepare_v4(const struct store_oss_signer *by, struct store_sign_key *ret_key,
                              struct store_sign_names *ret_additional, struct el_error *err)
{
    struct el_str rest = by->also, name;
    struct store_sign_scope scope;
    enum el_err rc = store_sign_scope_make(by->now_s, by->region, EL_STR("oss"), &scope, err);

    ret_additional->n = 0;
    while (by->also.n > 0 && el_str_split(&rest, ';', &name)) {
        if (!is_always_signed(name) && !store_sign_names_add(ret_additional, name))
            return too_many(err);
    }
    return rc == EL_OK ? store_oss_derive(by->secret, &scope, ret_key, err) : rc;
}

static void stamp(const struct store_oss_signer *by, struct el_fields *fields)
{
    static const char *const stale[] = { "Date", DATE, CONTENT_SHA256, TOKEN, "Authorization" };
    char time[STORE_SIGN_TIME_BYTES], date[STORE_SIGN_HTTP_DATE_BYTES];

    for (size_t i = 0; i < EL_COUNT(stale); i++)
        (void)el_fields_remove(fields, el_str_of(stale[i]));
    store_sign_time_write(by->now_s, time);
    store_sign_http_date_write(by->now_s, date);
    el_fields_add(fields, EL_STR(DATE), el_str_of(by->is_v4 ? time : date));
    if (by->is_v4)
        el_fields_add(fields, EL_STR(CONTENT_SHA256), EL_STR(UNSIGNED));
    if (by->token.n > 0)
        el_fields_add(fields, EL_STR(TOKEN), by->token);
}

static enum el_err authorize_v1(const struct store_oss_signer *by,
                                const struct store_sign_request *req, struct el_buf *value,
                                struct el_error *err)
{
    char date[STORE_SIGN_HTTP_DATE_BYTES];

    store_sign_http_date_write(by->now_s, date);
    el_buf_add_str(value, EL_STR(V1_SCHEME));
    el_buf_add_str(value, by->key_id);
    el_buf_add_byte(value, ':');
    return compute_v1(req, by->secret, el_str_of(date), value, err);
}

static enum el_err authorize_v4(const struct store_oss_signer *by,
                                const struct store_sign_request *req, struct el_buf *value,
                                struct el_error *err)
{
    char hex[2 * EL_SHA256_BYTES + 1];
    uint8_t mac[EL_SHA256_BYTES];
    struct store_sign_names additional;
    struct store_sign_key key;
    enum el_err rc = prepare_v4(by, &key, &additional, err);

    if (rc != EL_OK)
        return rc;
    rc = compute_v4(req, &additional, &key, by->now_s, mac, err);
    if (rc == EL_OK) {
        el_hex(mac, sizeof(mac), hex);
        el_buf_addf(value, "%s Credential=", dialect.algorithm);
        store_sign_add_credential(value, &dialect, by->key_id, &key.scope);
        if (additional.n > 0)
            el_buf_add_str(value, EL_STR(",AdditionalHeaders="));
        store_sign_names_write(&additional, value);
        el_buf_addf(value, ",Signature=%s", hex);
    }
    explicit_bzero(&key, sizeof(key));
    return rc;
}

enum el_err store_oss_sign(const struct store_oss_signer *by, struct el_str method,
                           struct el_str bucket, struct el_str target, struct el_fields *fields,
                           struct el_error *err)
{
    struct store_sign_request req = { .method = method, .target = target, .bucket = bucket };
    struct el_buf value = { 0 };
    enum el_err rc = check_signer(by, err);

    if (rc != EL_OK)
        return rc;
    stamp(by, fields);
    req.fields = el_fields_view(fields);
    rc = store_sign_check(&req, err);
    if (rc == EL_OK)
        rc = by->is_v4 ? authorize_v4(by, &req, &value, err) : authorize_v1(by, &req, &value, err);
    if (rc == EL_OK)
        el_fields_add(fields, EL_STR("Authorization"), el_buf_str(&value));
    el_buf_deinit(&value);
    return rc;
}

/* ---- to presign ---- */

static const char *const v1_query_names[] = {
    "OSSAccessKeyId",
    "Expires",
    "Signature",
    "security-token",
};
static const char *const v4_query_names[] = {
    "x-oss-signature-version", "x-oss-credential",         "x-oss-date",           "x-oss-expires",
    "x-oss-signature",         "x-oss-additional-headers", "x-oss-security-token",
};

static bool is_signed_already(struct el_str query)
{
    for (size_t i = 0; i < EL_COUNT(v1_query_names); i++) {
        if (store_sign_has_parameter(query, v1_query_names[i]))
            return true;
    }
    for (size_t i = 0; i < EL_COUNT(v4_query_names); i++) {
        if (store_sign_has_parameter(query, v4_query_names[i]))
            return true;
    }
    return false;
}

static enum el_err presign_v1(const struct store_oss_signer *by,
                              const struct store_sign_request *req, int64_t expires_s,
                              struct el_buf *target, struct el_error *err)
{
    struct store_sign_request presigned = *req;
    struct el_buf mac = { 0 };
    char until[24];
    enum el_err rc;

    (void)snprintf(until, sizeof(until), "%lld", (long long)by->now_s + (long long)expires_s);
    store_sign_add_parameter(target, "OSSAccessKeyId", by->key_id);
    store_sign_add_parameter(target, "Expires", el_str_of(until));
    if (by->token.n > 0)
        store_sign_add_parameter(target, "security-token", by->token);
    presigned.target = el_buf_str(target);
    rc = store_sign_check(&presigned, err);
    if (rc == EL_OK)
        rc = compute_v1(&presigned, by->secret, el_str_of(until), &mac, err);
    if (rc == EL_OK)
        store_sign_add_parameter(target, "Signature", el_buf_str(&mac));
    el_buf_deinit(&mac);
    return rc;
}

static void write_unsigned_v4(const struct store_oss_signer *by, const struct store_sign_key *key,
                              const struct store_sign_names *additional, int64_t expires_s,
                              struct el_buf *target)
{
    char time[STORE_SIGN_TIME_BYTES], seconds[24];
    struct el_buf value = { 0 };

    store_sign_time_write(by->now_s, time);
    (void)snprintf(seconds, sizeof(seconds), "%lld", (long long)expires_s); /* of six digits */
    store_sign_add_credential(&value, &dialect, by->key_id, &key->scope);
    store_sign_add_parameter(target, "x-oss-signature-version", el_str_of(dialect.algorithm));
    store_sign_add_parameter(target, "x-oss-credential", el_buf_str(&value));
    store_sign_add_parameter(target, "x-oss-date", el_str_of(time));
    store_sign_add_parameter(target, "x-oss-expires", el_str_of(seconds));
    if (additional->n > 0) {
        el_buf_clear(&value);
        store_sign_names_write(additional, &value);
        store_sign_add_parameter(target, "x-oss-additional-headers", el_buf_str(&value));
    }
    if (by->token.n > 0)
        store_sign_add_parameter(target, "x-oss-security-token", by->token);
    el_buf_deinit(&value);
}

static enum el_err presign_v4(const struct store_oss_signer *by,
                              const struct store_sign_request *req, int64_t expires_s,
                              struct el_buf *target, struct el_error *err)
{
    struct store_sign_request presigned = *req;
    struct store_sign_names additional;
    char hex[2 * EL_SHA256_BYTES + 1];
    uint8_t mac[EL_SHA256_BYTES];
    struct store_sign_key key;
    enum el_err rc = prepare_v4(by, &key, &additional, err);

    if (rc != EL_OK)
        return rc;
    write_unsigned_v4(by, &key, &additional, expires_s, target);
    presigned.target = el_buf_str(target);
    rc = store_sign_check(&presigned, err);
    if (rc == EL_OK)
        rc = compute_v4(&presigned, &additional, &key, by->now_s, mac, err);
    if (rc == EL_OK) {
        el_hex(mac, sizeof(mac), hex);
        store_sign_add_parameter(target, "x-oss-signature", el_str_of(hex));
    }
    explicit_bzero(&key, sizeof(key));
    return rc;
}

enum el_err store_oss_presign(const struct store_oss_signer *by,
                              const struct store_sign_request *req, int64_t expires_s,
                              struct el_buf *ret_target, struct el_error *err)
{
    struct el_buf target = { 0 };
    enum el_err rc = store_sign_check(req, err);

    if (rc == EL_OK)
        rc = check_signer(by, err);
    if (rc != EL_OK)
        return rc;
    if (expires_s < 1 || expires_s > STORE_SIGN_MAX_EXPIRES_S)
        return el_fail(err, EL_EINVAL, 0, "a presigned URL is good for 1 to %d seconds",
                       STORE_SIGN_MAX_EXPIRES_S);
    if (is_signed_already(store_sign_query(req->target)))
        return el_fail(err, EL_EINVAL, 0, "the URL is signed already");
    el_buf_add_str(&target, req->target);
    rc = by->is_v4 ? presign_v4(by, req, expires_s, &target, err)
                   : presign_v1(by, req, expires_s, &target, err);
    if (rc == EL_OK)
        el_buf_add_str(ret_target, el_buf_str(&target));
    el_buf_deinit(&target);
    return rc;
}

/* ---- what a request says ---- */

static enum el_err refuse(struct el_error *err, const char *what)
{
    return el_fail(err, EL_EBADREQ, 0, "%s", what);
}

/* As it was signed; *ret_date is the text. */
static enum el_err find_date(const struct store_sign_request *req, struct el_str *ret_date,
                             struct el_error *err)
{
    struct el_str own = { NULL, 0 }, date = { NULL, 0 };

    (void)el_fieldv_get(req->fields, EL_STR(DATE), &own);
    (void)el_fieldv_get(req->fields, EL_STR("Date"), &date);
    if (own.p == NULL && date.p == NULL)
        return refuse(err, "there is no " DATE " and no Date");
    if (own.p != NULL && date.p != NULL && !el_str_eq(own, date))
        return refuse(err, "Date and " DATE " are different");
    *ret_date = own.p != NULL ? own : date;
    return EL_OK;
}

static enum el_err fill_v1_header(const struct store_sign_request *req, struct el_str value,
                                  struct store_oss_claim *claim, struct el_error *err)
{
    struct el_str id, mac, date = EL_STR("");

    value = el_str_from(value, strlen(V1_SCHEME));
    id = el_str_first(value, el_str_find(value, ':'));
    mac = el_str_from(value, id.n + 1);
    if (!store_sign_is_key_id(id) || mac.n != V1_MAC_BYTES)
        return refuse(err, "Authorization is not the id of a key, a colon, and a signature");
    memcpy(claim->key_id, id.p, id.n);
    memcpy(claim->signature, mac.p, mac.n);
    if (find_date(req, &date, err) != EL_OK)
        return EL_EBADREQ;
    if (!store_sign_http_date_read(date, &claim->time_s))
        return refuse(err, "the date is not like Fri, 24 May 2013 00:00:00 GMT");
    claim->expires_s = claim->time_s + STORE_SIGN_SKEW_S;
    return EL_OK;
}

static enum el_err fill_v1_query(const struct store_sign_request *req,
                                 struct store_oss_claim *claim, struct el_error *err)
{
    struct el_str query = store_sign_query(req->target), v[3];
    char mac[V1_MAC_BYTES + 1];
    uint64_t until;

    for (size_t i = 0; i < EL_COUNT(v); i++) {
        if (!store_sign_parameter(query, v1_query_names[i], &v[i]))
            return refuse(err, "the query does not have each parameter of a signature once");
    }
    claim->is_query = true;
    if (!store_sign_decode(v[0], claim->key_id, sizeof(claim->key_id)) ||
        !store_sign_is_key_id(el_str_of(claim->key_id)))
        return refuse(err, "OSSAccessKeyId is not the id of a key");
    if (!el_str_u64(v[1], INT32_MAX, &until))
        return refuse(err, "Expires is not a time in seconds since 1970");
    if (!store_sign_decode(v[2], mac, sizeof(mac)) || strlen(mac) != V1_MAC_BYTES)
        return refuse(err, "the signature is not 28 characters of base64");
    memcpy(claim->signature, mac, V1_MAC_BYTES);
    claim->expires_s = (int64_t)until;
    return EL_OK;
}

static enum el_err fill_v4(struct store_oss_claim *claim, struct el_str credential,
                           struct el_str date, struct el_str signature, struct el_error *err)
{
    claim->is_v4 = true;
    if (!store_sign_credential_parse(&dialect, credential, claim->key_id, &claim->scope))
        return refuse(err, "the credential is not id/date/region/oss/aliyun_v4_request");
    if (!store_sign_time_read(date, &claim->time_s))
        return refuse(err, "the date of the signature is not like 20130524T000000Z");
    if (!el_str_eq(el_str_first(date, 8), el_str_of(claim->scope.date)))
        return refuse(err, "the signature and its credential are of different days");
    if (!store_sign_unhex(signature, claim->signature, sizeof(claim->signature)))
        return refuse(err, "the signature is not 64 lower-case hex digits");
    return EL_OK;
}

static enum el_err fill_v4_header(const struct store_sign_request *req, struct el_str value,
                                  struct store_oss_claim *claim, struct el_error *err)
{
    static const char *const names[] = { "Credential", "AdditionalHeaders", "Signature" };
    struct el_str v[EL_COUNT(names)], date = EL_STR(""), payload;

    if (!store_sign_authorization_parse(&dialect, value, names, EL_COUNT(names), v) ||
        v[0].p == NULL || v[2].p == NULL)
        return refuse(err, "Authorization is not Credential, AdditionalHeaders and Signature");
    if (v[1].n >= sizeof(claim->names))
        return refuse(err, "the names of the signed fields are too long");
    if (v[1].n > 0)
        memcpy(claim->names, v[1].p, v[1].n);
    if (!el_fieldv_get(req->fields, EL_STR(CONTENT_SHA256), &payload) ||
        !el_str_eq(payload, EL_STR(UNSIGNED)))
        return refuse(err, CONTENT_SHA256 " is not " UNSIGNED);
    if (find_date(req, &date, err) != EL_OK || fill_v4(claim, v[0], date, v[2], err) != EL_OK)
        return EL_EBADREQ;
    claim->expires_s = claim->time_s + STORE_SIGN_SKEW_S;
    return EL_OK;
}

static enum el_err fill_v4_query(const struct store_sign_request *req,
                                 struct store_oss_claim *claim, struct el_error *err)
{
    struct el_str query = store_sign_query(req->target), v[5] = { 0 }, names;
    char credential[256];
    uint64_t expires_s;

    for (size_t i = 0; i < EL_COUNT(v); i++) {
        if (!store_sign_parameter(query, v4_query_names[i], &v[i]))
            return refuse(err, "the query does not have each parameter of a signature once");
    }
    claim->is_query = true;
    if (!el_str_eq(v[0], el_str_of(dialect.algorithm)))
        return refuse(err, "x-oss-signature-version is not OSS4-HMAC-SHA256");
    if (store_sign_has_parameter(query, "x-oss-additional-headers") &&
        (!store_sign_parameter(query, "x-oss-additional-headers", &names) ||
         !store_sign_decode(names, claim->names, sizeof(claim->names))))
        return refuse(err, "x-oss-additional-headers is there twice, or too long");
    if (!store_sign_decode(v[1], credential, sizeof(credential)))
        return refuse(err, "the credential is too long");
    if (!el_str_u64(v[3], STORE_SIGN_MAX_EXPIRES_S, &expires_s) || expires_s == 0)
        return refuse(err, "x-oss-expires is not a number of seconds within a week");
    if (fill_v4(claim, el_str_of(credential), v[2], v[4], err) != EL_OK)
        return EL_EBADREQ;
    claim->expires_s = claim->time_s + (int64_t)expires_s;
    return EL_OK;
}

static bool names_of(const struct store_oss_claim *claim, struct store_sign_names *ret_names)
{
    ret_names->n = 0;
    return claim->names[0] == '\0' || store_sign_names_parse(ret_names, el_str_of(claim->names));
}

/* Fields that are read by their first value are there once at most. */
static bool is_repeated(struct el_fieldv fields)
{
    static const char *const once[] = { "Date", DATE, CONTENT_SHA256, "Content-MD5",
                                        "Content-Type" };

    for (size_t i = 0; i < EL_COUNT(once); i++) {
        if (el_fieldv_count(fields, el_str_of(once[i])) > 1)
            return true;
    }
    return false;
}

/* Version 1 joins decoded text, so that a byte that was escaped may pass for a border. */
static bool looks_like_another(struct el_str target)
{
    struct el_str query = store_sign_query(target), part;

    if (store_sign_hides(store_sign_path(target), '?'))
        return true;
    while (el_str_split(&query, '&', &part)) {
        if (store_sign_hides(part, '&'))
            return true;
    }
    return false;
}

static enum el_err check_claim(const struct store_sign_request *req,
                               const struct store_oss_claim *claim, struct el_error *err)
{
    struct store_sign_names names;

    if (store_sign_has_plus(req->target))
        return refuse(err, "a + in the URL has more than one meaning");
    if (is_repeated(req->fields))
        return refuse(err, "a field that is signed is there twice");
    if (!claim->is_v4 && looks_like_another(req->target))
        return refuse(err, "what is signed could be the text of another request as well");
    if (!names_of(claim, &names))
        return refuse(err, "the names of the signed fields are not in lower case and in order");
    return EL_OK;
}

static enum el_err fill(const struct store_sign_request *req, struct store_oss_claim *claim,
                        struct el_error *err)
{
    size_t n = el_fieldv_count(req->fields, EL_STR("Authorization"));
    struct el_str query = store_sign_query(req->target), value = { NULL, 0 };
    bool v1_query = store_sign_has_parameter(query, "OSSAccessKeyId");
    bool v4_query = store_sign_has_parameter(query, "x-oss-signature"), v1, v4;

    (void)el_fieldv_get(req->fields, EL_STR("Authorization"), &value);
    v1 = el_str_starts(value, EL_STR(V1_SCHEME));
    v4 = el_str_starts(value, el_str_of(dialect.algorithm));
    if (!v1 && !v4 && !v1_query && !v4_query)
        return el_fail(err, EL_EUNSUPPORTED, 0, "there is no signature of OSS");
    if (n + v1_query + v4_query > 1)
        return refuse(err, "there is more than one proof of who asks");
    if (v1_query)
        return fill_v1_query(req, claim, err);
    if (v4_query)
        return fill_v4_query(req, claim, err);
    return v1 ? fill_v1_header(req, value, claim, err) : fill_v4_header(req, value, claim, err);
}

enum el_err store_oss_parse(const struct store_sign_request *req, struct store_oss_claim *ret_claim,
                            struct el_error *err)
{
    struct store_oss_claim claim = { .is_v4 = false };
    enum el_err rc = store_sign_check(req, err);

    if (rc == EL_OK)
        rc = fill(req, &claim, err);
    if (rc == EL_OK)
        rc = check_claim(req, &claim, err);
    if (rc == EL_OK)
        *ret_claim = claim;
    return rc;
}

/* ---- whether it is right ---- */

static enum el_err compare(const void *ours, const struct store_oss_claim *claim, size_t n,
                           struct el_error *err)
{
    if (el_mac_is_same(ours, claim->signature, n))
        return EL_OK;
    return el_fail(err, EL_EFORBIDDEN, 0, "the signature does not match");
}

/* What stands in the place of the date: the date as it was written, or the end of a URL. */
static struct el_str v1_date(const struct store_sign_request *req,
                             const struct store_oss_claim *claim)
{
    struct el_str text = { NULL, 0 };

    if (claim->is_query)
        EL_ASSERT(store_sign_parameter(store_sign_query(req->target), "Expires", &text));
    else
        EL_ASSERT(find_date(req, &text, NULL) == EL_OK);
    return text;
}

enum el_err store_oss_verify_v1(const struct store_sign_request *req,
                                const struct store_oss_claim *claim, struct el_str secret,
                                int64_t now_s, struct el_error *err)
{
    struct el_buf mac = { 0 };
    enum el_err rc;

    EL_ASSERT(!claim->is_v4);
    if (secret.n == 0 || secret.n > STORE_SIGN_MAX_SECRET)
        return el_fail(err, EL_EINVAL, 0, "the secret of the access key is empty or too long");
    rc = store_sign_check_time(claim->time_s, claim->expires_s, now_s, err);
    if (rc == EL_OK)
        rc = compute_v1(req, secret, v1_date(req, claim), &mac, err);
    if (rc == EL_OK) {
        EL_ASSERT(mac.n == V1_MAC_BYTES);
        rc = compare(mac.p, claim, V1_MAC_BYTES, err);
        explicit_bzero(mac.p, mac.n);
    }
    el_buf_deinit(&mac);
    return rc;
}

enum el_err store_oss_verify_v4(const struct store_sign_request *req,
                                const struct store_oss_claim *claim,
                                const struct store_sign_key *key, int64_t now_s,
                                struct el_error *err)
{
    struct store_sign_names additional;
    uint8_t mac[EL_SHA256_BYTES];
    enum el_err rc;

    EL_ASSERT(claim->is_v4);
    rc = store_sign_check_time(claim->time_s, claim->expires_s, now_s, err);
    if (rc != EL_OK)
        return rc;
    if (!store_sign_scope_is_same(&claim->scope, &key->scope))
        return el_fail(err, EL_EFORBIDDEN, 0, "the key is of another day, region or service");
    EL_ASSERT(names_of(claim, &additional));
    rc = compute_v4(req, &additional, key, claim->time_s, mac, err);
    if (rc == EL_OK)
        rc = compare(mac, claim, sizeof(mac), err);
    explicit_bzero(mac, sizeof(mac));
    return rc;
}
