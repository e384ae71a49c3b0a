/* SPDX-License-Identifier: MIT */
/* An input is a method, a target, a Host, and the fields of a request, one a line. */
#include "storage/sigv4.h"
#include "tests/fuzz/fuzz.h"

#define NOW 1714979289

/* A signature that the input brings along is read, and is not one of a secret it cannot know. */
static void check_claim(const struct store_sign_request *req)
{
    struct store_sigv4_claim claim;
    struct store_sign_key key;
    struct el_error err;

    if (store_sigv4_parse(req, &claim, &err) != EL_OK)
        return;
    CLAIM(store_sign_is_key_id(el_str_of(claim.key_id)) && claim.expires_s > claim.time_s);
    CLAIM(store_sigv4_derive(EL_STR("no such secret"), &claim.scope, &key, &err) == EL_OK);
    CLAIM(store_sigv4_verify(req, &claim, &key, claim.time_s, &err) != EL_OK);
}

/* What we sign, we accept, unless the request leaves a doubt about what was signed. */
static void check_presigned(const struct store_sign_request *req,
                            const struct store_sigv4_signer *by)
{
    struct store_sign_request presigned = *req;
    struct store_sigv4_claim claim;
    struct store_sign_key key;
    struct el_buf target = { 0 };
    struct el_error err;

    if (store_sigv4_presign(by, req, 60, &target, &err) == EL_OK) {
        presigned.target = el_buf_str(&target);
        if (store_sigv4_parse(&presigned, &claim, &err) == EL_OK) {
            CLAIM(store_sigv4_derive(by->secret, &claim.scope, &key, &err) == EL_OK);
            CLAIM(store_sigv4_verify(&presigned, &claim, &key, NOW, &err) == EL_OK);
        }
    }
    el_buf_deinit(&target);
}

static void check_signed(const struct store_sign_request *req, const struct store_sigv4_signer *by)
{
    struct store_sign_request sent = *req;
    struct store_sigv4_claim claim;
    struct el_fields fields = { 0 };
    struct store_sign_key key;
    struct el_error err;

    for (size_t i = 0; i < req->fields.n; i++)
        el_fields_add(&fields, req->fields.v[i].name, req->fields.v[i].value);
    if (!el_fieldv_has(req->fields, EL_STR("Host")))
        el_fields_add(&fields, EL_STR("Host"), req->host);
    if (store_sigv4_sign(by, req->method, req->target, &fields, &err) == EL_OK) {
        sent.fields = el_fields_view(&fields);
        CLAIM(el_fieldv_count(sent.fields, EL_STR("Authorization")) == 1);
        if (store_sigv4_parse(&sent, &claim, &err) == EL_OK) {
            CLAIM(!claim.is_query);
            CLAIM(store_sigv4_derive(by->secret, &claim.scope, &key, &err) == EL_OK);
            CLAIM(store_sigv4_verify(&sent, &claim, &key, NOW, &err) == EL_OK);
        }
    }
    el_fields_deinit(&fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct store_sigv4_signer by = {
        .key_id = { "AKID", 4 },
        .secret = { "secret", 6 },
        .region = { "r", 1 },
        .service = { "s3", 2 },
        .now_s = NOW,
    };
    struct el_str rest = { (const char *)data, n };
    struct el_field v[FUZZ_MAX_FIELDS];
    struct store_sign_request req = { .bucket = { NULL, 0 } };

    req.method = fuzz_line(&rest);
    req.target = fuzz_line(&rest);
    req.host = fuzz_line(&rest);
    req.fields = fuzz_fields(rest, v);
    check_claim(&req);
    check_presigned(&req, &by);
    check_signed(&req, &by);
    return 0;
}
