/* SPDX-License-Identifier: MIT */
/* sigv4: see sigv4.h. One canonical request serves all four: signing and verifying, in the header
 * and in the query. */
#include "storage/sigv4.h"

#define DATE           "x-amz-date"
#define CONTENT_SHA256 "x-amz-content-sha256"
#define TOKEN          "x-amz-security-token"
#define PREFIX         "x-amz-"
#define UNSIGNED       "UNSIGNED-PAYLOAD"

static const struct store_sign_dialect dialect = {
    .algorithm = "AWS4-HMAC-SHA256",
    .key_prefix = "AWS4",
    .terminator = "aws4_request",
};

/* ---- the payload ---- */

static const struct {
    const char *value;
    enum store_sigv4_payload payload;
} payloads[] = {
    { UNSIGNED, STORE_SIGV4_UNSIGNED },
    { "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", STORE_SIGV4_CHUNKS },
    { "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", STORE_SIGV4_CHUNKS_TRAILER },
    { "STREAMING-UNSIGNED-PAYLOAD-TRAILER", STORE_SIGV4_TRAILER },
};

bool store_sigv4_payload_parse(struct el_str value, enum store_sigv4_payload *ret_payload)
{
    uint8_t hash[EL_SHA256_BYTES];

    for (size_t i = 0; i < EL_COUNT(payloads); i++) {
        if (el_str_eq(value, el_str_of(payloads[i].value))) {
            *ret_payload = payloads[i].payload;
            return true;
        }
    }
    if (!store_sign_unhex(value, hash, sizeof(hash)))
        return false;
    *ret_payload = STORE_SIGV4_HASH;
    return true;
}

bool store_sigv4_payload_is_streaming(enum store_sigv4_payload payload)
{
    return payload == STORE_SIGV4_CHUNKS || payload == STORE_SIGV4_CHUNKS_TRAILER ||
           payload == STORE_SIGV4_TRAILER;
}

/* ---- the canonical request ---- */

static enum el_err add_fields(const struct store_sign_request *req,
                              const struct store_sign_names *names, struct el_buf *out,
                              struct el_error *err)
{
    for (size_t i = 0; i < names->n; i++) {
        if (!store_sign_add_field(out, req, names->v[i], true))
            return el_fail(err, EL_EBADREQ, 0, "a signed field is not in the request");
    }
    return EL_OK;
}

static enum el_err write_canonical(const struct store_sign_request *req,
                                   const struct store_sign_names *names, struct el_str payload,
                                   struct el_buf *out, struct el_error *err)
{
    enum el_err rc;

    el_buf_add_str(out, req->method);
    el_buf_add_byte(out, '\n');
    store_sign_add_recoded(out, store_sign_path(req->target), true);
    el_buf_add_byte(out, '\n');
    rc = store_sign_add_query(out, store_sign_query(req->target), "X-Amz-Signature", false, err);
    if (rc != EL_OK)
        return rc;
    el_buf_add_byte(out, '\n');
    rc = add_fields(req, names, out, err);
    if (rc != EL_OK)
        return rc;
    el_buf_add_byte(out, '\n');
    store_sign_names_write(names, out);
    el_buf_add_byte(out, '\n');
    el_buf_add_str(out, payload);
    return EL_OK;
}

static enum el_err compute(const struct store_sign_request *req,
                           const struct store_sign_names *names, struct el_str payload,
                           const struct store_sign_key *key, int64_t time_s,
                           uint8_t ret_mac[EL_SHA256_BYTES], struct el_error *err)
{
    struct el_buf canonical = { 0 };
    enum el_err rc = write_canonical(req, names, payload, &canonical, err);

    if (rc == EL_OK)
        store_sign_v4(&dialect, key, time_s, el_buf_str(&canonical), ret_mac);
    el_buf_deinit(&canonical);
    return rc;
}

/* ---- to sign ---- */

enum el_err store_sigv4_derive(struct el_str secret, const struct store_sign_scope *scope,
                               struct store_sign_key *ret_key, struct el_error *err)
{
    return store_sign_key_derive(&dialect, secret, scope, ret_key, err);
}

static struct el_str payload_of(const struct store_sigv4_signer *by)
{
    return by->payload.n > 0 ? by->payload : EL_STR(UNSIGNED);
}

static enum el_err prepare(const struct store_sigv4_signer *by, struct store_sign_key *ret_key,
                           struct el_error *err)
{
    enum store_sigv4_payload payload;
    struct store_sign_scope scope;
    enum el_err rc;

    if (!store_sign_is_key_id(by->key_id))
        return el_fail(err, EL_EINVAL, 0, "the id of the access key is empty, too long, or no id");
    if (!store_sigv4_payload_parse(payload_of(by), &payload))
        return el_fail(err, EL_EINVAL, 0, "the payload is neither a hash nor a name of a kind");
    rc = store_sign_scope_make(by->now_s, by->region, by->service, &scope, err);
    return rc == EL_OK ? store_sigv4_derive(by->secret, &scope, ret_key, err) : rc;
}

static void stamp(const struct store_sigv4_signer *by, struct el_fields *fields)
{
    static const char *const stale[] = { DATE, CONTENT_SHA256, TOKEN, "Authorization" };
    char time[STORE_SIGN_TIME_BYTES];

    for (size_t i = 0; i < EL_COUNT(stale); i++)
        (void)el_fields_remove(fields, el_str_of(stale[i]));
    store_sign_time_write(by->now_s, time);
    el_fields_add(fields, EL_STR(DATE), el_str_of(time));
    el_fields_add(fields, EL_STR(CONTENT_SHA256), payload_of(by));
    if (by->token.n > 0)
        el_fields_add(fields, EL_STR(TOKEN), by->token);
}

static enum el_err too_many(struct el_error *err)
{
    return el_fail(err, EL_ETOOLARGE, 0, "more than %d fields to be signed", STORE_SIGN_MAX_NAMES);
}

/* Host and those that are asked for, by names that live as long as by->also. */
static enum el_err choose_asked(const struct store_sigv4_signer *by, struct store_sign_names *names,
                                struct el_error *err)
{
    struct el_str rest = by->also, name;

    names->n = 0;
    (void)store_sign_names_add(names, EL_STR("host"));
    while (by->also.n > 0 && el_str_split(&rest, ';', &name)) {
        if (!store_sign_names_add(names, name))
            return too_many(err);
    }
    return EL_OK;
}

static enum el_err choose(const struct store_sigv4_signer *by, struct el_fieldv fields,
                          struct store_sign_names *names, struct el_error *err)
{
    enum el_err rc = choose_asked(by, names, err);

    if (rc != EL_OK)
        return rc;
    if (!store_sign_names_collect(names, fields, PREFIX) ||
        (el_fieldv_has(fields, EL_STR("Content-Type")) &&
         !store_sign_names_add(names, EL_STR("content-type"))) ||
        (el_fieldv_has(fields, EL_STR("Content-MD5")) &&
         !store_sign_names_add(names, EL_STR("content-md5"))))
        return too_many(err);
    return EL_OK;
}

static void add_authorization(const struct store_sigv4_signer *by, const struct store_sign_key *key,
                              const struct store_sign_names *names,
                              const uint8_t mac[EL_SHA256_BYTES], struct el_fields *fields)
{
    char hex[2 * EL_SHA256_BYTES + 1];
    struct el_buf value = { 0 };

    el_hex(mac, EL_SHA256_BYTES, hex);
    el_buf_addf(&value, "%s Credential=", dialect.algorithm);
    store_sign_add_credential(&value, &dialect, by->key_id, &key->scope);
    el_buf_add_str(&value, EL_STR(", SignedHeaders="));
    store_sign_names_write(names, &value);
    el_buf_addf(&value, ", Signature=%s", hex);
    el_fields_add(fields, EL_STR("Authorization"), el_buf_str(&value));
    el_buf_deinit(&value);
}

static enum el_err sign_stamped(const struct store_sigv4_signer *by,
                                const struct store_sign_request *req,
                                const struct store_sign_key *key, struct el_fields *fields,
                                struct el_error *err)
{
    struct store_sign_names names;
    uint8_t mac[EL_SHA256_BYTES];
    enum el_err rc = store_sign_check(req, err);

    if (rc == EL_OK)
        rc = choose(by, req->fields, &names, err);
    if (rc == EL_OK)
        rc = compute(req, &names, payload_of(by), key, by->now_s, mac, err);
    if (rc == EL_OK)
        add_authorization(by, key, &names, mac, fields);
    return rc;
}

enum el_err store_sigv4_sign(const struct store_sigv4_signer *by, struct el_str method,
                             struct el_str target, struct el_fields *fields, struct el_error *err)
{
    struct store_sign_request req;
    struct store_sign_key key;
    enum el_err rc = prepare(by, &key, err);

    if (rc != EL_OK)
        return rc;
    stamp(by, fields);
    req = (struct store_sign_request){
        .method = method,
        .target = target,
        .fields = el_fields_view(fields),
    };
    rc = sign_stamped(by, &req, &key, fields, err);
    explicit_bzero(&key, sizeof(key));
    return rc;
}

/* ---- to presign ---- */

/* The target with everything but the signature. */
static void write_unsigned(const struct store_sigv4_signer *by,
                           const struct store_sign_request *req, const struct store_sign_key *key,
                           const struct store_sign_names *names, int64_t expires_s,
                           struct el_buf *out)
{
    char time[STORE_SIGN_TIME_BYTES], seconds[24];
    struct el_buf value = { 0 };

    store_sign_time_write(by->now_s, time);
    (void)snprintf(seconds, sizeof(seconds), "%lld", (long long)expires_s); /* of seven digits */
    el_buf_add_str(out, req->target);
    store_sign_add_parameter(out, "X-Amz-Algorithm", el_str_of(dialect.algorithm));
    store_sign_add_credential(&value, &dialect, by->key_id, &key->scope);
    store_sign_add_parameter(out, "X-Amz-Credential", el_buf_str(&value));
    store_sign_add_parameter(out, "X-Amz-Date", el_str_of(time));
    store_sign_add_parameter(out, "X-Amz-Expires", el_str_of(seconds));
    el_buf_clear(&value);
    store_sign_names_write(names, &value);
    store_sign_add_parameter(out, "X-Amz-SignedHeaders", el_buf_str(&value));
    if (by->payload.n > 0)
        store_sign_add_parameter(out, "X-Amz-Content-Sha256", by->payload);
    if (by->token.n > 0)
        store_sign_add_parameter(out, "X-Amz-Security-Token", by->token);
    el_buf_deinit(&value);
}

static const char *const query_names[] = {
    "X-Amz-Algorithm",     "X-Amz-Credential", "X-Amz-Date",           "X-Amz-Expires",
    "X-Amz-SignedHeaders", "X-Amz-Signature",  "X-Amz-Security-Token",
};

static bool is_signed_already(struct el_str query)
{
    for (size_t i = 0; i < EL_COUNT(query_names); i++) {
        if (store_sign_has_parameter(query, query_names[i]))
            return true;
    }
    return false;
}

static enum el_err presign_with(const struct store_sigv4_signer *by,
                                const struct store_sign_request *req,
                                const struct store_sign_key *key, int64_t expires_s,
                                struct el_buf *out, struct el_error *err)
{
    struct store_sign_request presigned = *req;
    struct store_sign_names names;
    uint8_t mac[EL_SHA256_BYTES];
    char hex[2 * EL_SHA256_BYTES + 1];
    enum el_err rc = choose_asked(by, &names, err);

    if (rc != EL_OK)
        return rc;
    write_unsigned(by, req, key, &names, expires_s, out);
    presigned.target = el_buf_str(out);
    rc = store_sign_check(&presigned, err);
    if (rc == EL_OK)
        rc = compute(&presigned, &names, payload_of(by), key, by->now_s, mac, err);
    if (rc != EL_OK)
        return rc;
    el_hex(mac, sizeof(mac), hex);
    store_sign_add_parameter(out, "X-Amz-Signature", el_str_of(hex));
    return EL_OK;
}

enum el_err store_sigv4_presign(const struct store_sigv4_signer *by,
                                const struct store_sign_request *req, int64_t expires_s,
                                struct el_buf *ret_target, struct el_error *err)
{
    struct el_buf target = { 0 };
    struct store_sign_key key;
    enum el_err rc = store_sign_check(req, err);

    if (rc != EL_OK)
        return rc;
    if (expires_s < 1 || expires_s > STORE_SIGN_MAX_EXPIRES_S)
        return el_fail(err, EL_EINVAL, 0, "a presigned URL is good for 1 to %d seconds",
                       STORE_SIGN_MAX_EXPIRES_S);
    if (is_signed_already(store_sign_query(req->target)))
        return el_fail(err, EL_EINVAL, 0, "the URL is signed already");
    rc = prepare(by, &key, err);
    if (rc != EL_OK)
        return rc;
    rc = presign_with(by, req, &key, expires_s, &target, err);
    if (rc == EL_OK)
        el_buf_add_str(ret_target, el_buf_str(&target));
    el_buf_deinit(&target);
    explicit_bzero(&key, sizeof(key));
    return rc;
}

/* ---- what a request says ---- */

static enum el_err refuse(struct el_error *err, const char *what)
{
    return el_fail(err, EL_EBADREQ, 0, "%s", what);
}

static enum el_err fill_common(struct store_sigv4_claim *claim, struct el_str credential,
                               struct el_str date, struct el_str signature, struct el_error *err)
{
    if (!store_sign_credential_parse(&dialect, credential, claim->key_id, &claim->scope))
        return refuse(err, "the credential is not id/date/region/service/aws4_request");
    if (!store_sign_time_read(date, &claim->time_s))
        return refuse(err, "the date of the signature is not like 20130524T000000Z");
    if (!el_str_eq(el_str_first(date, 8), el_str_of(claim->scope.date)))
        return refuse(err, "the signature and its credential are of different days");
    if (!store_sign_unhex(signature, claim->signature, sizeof(claim->signature)))
        return refuse(err, "the signature is not 64 lower-case hex digits");
    return EL_OK;
}

static enum el_err fill_from_header(const struct store_sign_request *req,
                                    struct el_str authorization, struct store_sigv4_claim *claim,
                                    struct el_error *err)
{
    static const char *const names[] = { "Credential", "SignedHeaders", "Signature" };
    struct el_str v[EL_COUNT(names)], date;

    if (!store_sign_authorization_parse(&dialect, authorization, names, EL_COUNT(names), v) ||
        v[0].p == NULL || v[1].p == NULL || v[2].p == NULL)
        return refuse(err, "Authorization is not Credential, SignedHeaders and Signature");
    if (el_fieldv_count(req->fields, EL_STR(DATE)) != 1 ||
        el_fieldv_count(req->fields, EL_STR(CONTENT_SHA256)) != 1)
        return refuse(err, "there is not one " DATE " and one " CONTENT_SHA256);
    if (v[1].n >= sizeof(claim->names))
        return refuse(err, "the names of the signed fields are too long");
    memcpy(claim->names, v[1].p, v[1].n);
    claim->names[v[1].n] = '\0';
    (void)el_fieldv_get(req->fields, EL_STR(DATE), &date);
    (void)el_fieldv_get(req->fields, EL_STR(CONTENT_SHA256), &claim->payload_value);
    if (fill_common(claim, v[0], date, v[2], err) != EL_OK)
        return EL_EBADREQ;
    claim->expires_s = claim->time_s + STORE_SIGN_SKEW_S;
    return EL_OK;
}

/* In a query the payload need not be named. */
static enum el_err find_query_payload(const struct store_sign_request *req,
                                      struct store_sigv4_claim *claim, struct el_error *err)
{
    struct el_str query = store_sign_query(req->target);
    size_t in_fields = el_fieldv_count(req->fields, EL_STR(CONTENT_SHA256));
    bool in_query = store_sign_has_parameter(query, "X-Amz-Content-Sha256");

    claim->payload_value = EL_STR(UNSIGNED);
    if (in_fields + in_query > 1)
        return refuse(err, "the hash of the body is given more than once");
    if (in_fields == 1)
        (void)el_fieldv_get(req->fields, EL_STR(CONTENT_SHA256), &claim->payload_value);
    if (in_query && !store_sign_parameter(query, "X-Amz-Content-Sha256", &claim->payload_value))
        return refuse(err, "the hash of the body is given more than once");
    return EL_OK;
}

static enum el_err fill_from_query(const struct store_sign_request *req,
                                   struct store_sigv4_claim *claim, struct el_error *err)
{
    struct el_str query = store_sign_query(req->target), v[6];
    char credential[256];
    uint64_t expires_s;

    for (size_t i = 0; i < EL_COUNT(v); i++) {
        if (!store_sign_parameter(query, query_names[i], &v[i]))
            return refuse(err, "the query does not have each parameter of a signature once");
    }
    if (!el_str_eq(v[0], el_str_of(dialect.algorithm)))
        return refuse(err, "the algorithm is not AWS4-HMAC-SHA256");
    if (!store_sign_decode(v[1], credential, sizeof(credential)) ||
        !store_sign_decode(v[4], claim->names, sizeof(claim->names)))
        return refuse(err, "the credential or the names of the signed fields are too long");
    if (!el_str_u64(v[3], STORE_SIGN_MAX_EXPIRES_S, &expires_s) || expires_s == 0)
        return refuse(err, "X-Amz-Expires is not a number of seconds within a week");
    if (fill_common(claim, el_str_of(credential), v[2], v[5], err) != EL_OK)
        return EL_EBADREQ;
    claim->is_query = true;
    claim->expires_s = claim->time_s + (int64_t)expires_s;
    return find_query_payload(req, claim, err);
}

/* S3 wants Host and every x-amz-* covered. */
static enum el_err check_names(const struct store_sign_request *req,
                               const struct store_sigv4_claim *claim, struct el_error *err)
{
    struct store_sign_names names;

    if (!store_sign_names_parse(&names, el_str_of(claim->names)))
        return refuse(err, "the names of the signed fields are not in lower case and in order");
    if (!store_sign_names_has(&names, EL_STR("host")))
        return refuse(err, "the signature does not cover Host");
    for (size_t i = 0; i < req->fields.n; i++) {
        struct el_str name = req->fields.v[i].name;

        if (el_str_istarts(name, EL_STR(PREFIX)) && !store_sign_names_has(&names, name))
            return refuse(err, "the signature does not cover every " PREFIX "* field");
    }
    return EL_OK;
}

static bool is_ours(struct el_str authorization)
{
    return el_str_starts(authorization, el_str_of(dialect.algorithm));
}

static enum el_err fill(const struct store_sign_request *req, struct store_sigv4_claim *claim,
                        struct el_error *err)
{
    size_t n = el_fieldv_count(req->fields, EL_STR("Authorization"));
    struct el_str authorization = { NULL, 0 };
    bool in_query = store_sign_has_parameter(store_sign_query(req->target), "X-Amz-Signature");

    (void)el_fieldv_get(req->fields, EL_STR("Authorization"), &authorization);
    if (!in_query && !is_ours(authorization))
        return el_fail(err, EL_EUNSUPPORTED, 0, "there is no signature of version 4");
    if (n + in_query > 1)
        return refuse(err, "there is more than one proof of who asks");
    return in_query ? fill_from_query(req, claim, err)
                    : fill_from_header(req, authorization, claim, err);
}

enum el_err store_sigv4_parse(const struct store_sign_request *req,
                              struct store_sigv4_claim *ret_claim, struct el_error *err)
{
    struct store_sigv4_claim claim = { .is_query = false };
    enum el_err rc = store_sign_check(req, err);

    if (rc == EL_OK)
        rc = fill(req, &claim, err);
    if (rc == EL_OK && store_sign_has_plus(req->target))
        rc = refuse(err, "a + in the URL has more than one meaning");
    if (rc == EL_OK && !store_sigv4_payload_parse(claim.payload_value, &claim.payload))
        rc = refuse(err, "the payload is neither a hash nor a name of a kind");
    if (rc == EL_OK)
        rc = check_names(req, &claim, err);
    if (rc == EL_OK)
        *ret_claim = claim;
    return rc;
}

/* ---- whether it is right ---- */

enum el_err store_sigv4_verify(const struct store_sign_request *req,
                               const struct store_sigv4_claim *claim,
                               const struct store_sign_key *key, int64_t now_s,
                               struct el_error *err)
{
    struct store_sign_names names;
    uint8_t mac[EL_SHA256_BYTES];
    enum el_err rc = store_sign_check_time(claim->time_s, claim->expires_s, now_s, err);

    if (rc != EL_OK)
        return rc;
    if (!store_sign_scope_is_same(&claim->scope, &key->scope))
        return el_fail(err, EL_EFORBIDDEN, 0, "the key is of another day, region or service");
    EL_ASSERT(store_sign_names_parse(&names, el_str_of(claim->names)));
    rc = compute(req, &names, claim->payload_value, key, claim->time_s, mac, err);
    if (rc == EL_OK && !el_mac_is_same(mac, claim->signature, sizeof(mac)))
        rc = el_fail(err, EL_EFORBIDDEN, 0, "the signature does not match");
    explicit_bzero(mac, sizeof(mac));
    return rc;
}
