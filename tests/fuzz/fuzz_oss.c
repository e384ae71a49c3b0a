/* SPDX-License-Identifier: MIT */
/* An input is a method, a target, a bucket, and the fields of a request, one a line. */
#include "storage/oss.h"
#include "tests/fuzz/fuzz.h"

#define NOW 1714979289

static enum el_err verify(const struct store_sign_request *req, const struct store_oss_claim *claim,
                          struct el_str secret, int64_t now_s)
{
    struct store_sign_key key;
    struct el_error err;

    if (!claim->is_v4)
        return store_oss_verify_v1(req, claim, secret, now_s, &err);
    CLAIM(store_oss_derive(secret, &claim->scope, &key, &err) == EL_OK);
    return store_oss_verify_v4(req, claim, &key, now_s, &err);
}

/* A signature that the input brings along is read, and is not one of a secret it cannot know. */
static void check_claim(const struct store_sign_request *req)
{
    struct store_oss_claim claim;
    struct el_error err;

    if (store_oss_parse(req, &claim, &err) != EL_OK)
        return;
    CLAIM(store_sign_is_key_id(el_str_of(claim.key_id)) && claim.expires_s >= claim.time_s);
    CLAIM(verify(req, &claim, EL_STR("no such secret"), claim.time_s) != EL_OK);
}

/* What we sign, we accept, unless the request leaves a doubt about what was signed. */
static void check_presigned(const struct store_sign_request *req, const struct store_oss_signer *by)
{
    struct store_sign_request presigned = *req;
    struct store_oss_claim claim;
    struct el_buf target = { 0 };
    struct el_error err;

    if (store_oss_presign(by, req, 60, &target, &err) == EL_OK) {
        presigned.target = el_buf_str(&target);
        if (store_oss_parse(&presigned, &claim, &err) == EL_OK)
            CLAIM(verify(&presigned, &claim, by->secret, NOW) == EL_OK);
    }
    el_buf_deinit(&target);
}

static void check_signed(const struct store_sign_request *req, const struct store_oss_signer *by)
{
    struct store_sign_request sent = *req;
    struct el_fields fields = { 0 };
    struct store_oss_claim claim;
    struct el_error err;

    for (size_t i = 0; i < req->fields.n; i++)
        el_fields_add(&fields, req->fields.v[i].name, req->fields.v[i].value);
    if (store_oss_sign(by, req->method, req->bucket, req->target, &fields, &err) == EL_OK) {
        sent.fields = el_fields_view(&fields);
        CLAIM(el_fieldv_count(sent.fields, EL_STR("Authorization")) == 1);
        if (store_oss_parse(&sent, &claim, &err) == EL_OK)
            CLAIM(verify(&sent, &claim, by->secret, NOW) == EL_OK);
    }
    el_fields_deinit(&fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct store_oss_signer by = {
        .key_id = EL_STR("id"),
        .secret = EL_STR("secret"),
        .region = EL_STR("r"),
        .now_s = NOW,
    };
    struct el_str rest = { (const char *)data, n };
    struct el_field v[FUZZ_MAX_FIELDS];
    struct store_sign_request req = { .host = { NULL, 0 } };

    req.method = fuzz_line(&rest);
    req.target = fuzz_line(&rest);
    req.bucket = fuzz_line(&rest);
    req.fields = fuzz_fields(rest, v);
    check_claim(&req);
    for (int v4 = 0; v4 < 2; v4++) {
        by.is_v4 = v4;
        check_presigned(&req, &by);
        check_signed(&req, &by);
    }
    return 0;
}
