/* SPDX-License-Identifier: MIT */
/*
 * oss: signatures of Alibaba Cloud OSS, version 1 (HMAC-SHA1) and version 4 (HMAC-SHA256), in the
 * header and in the query ("presigned"). Both cover the bucket and the key, whatever Host they are
 * sent to, and neither covers Range or conditions unless version 4 names them.
 *
 *     store_oss_parse()                        what a request says of its signature
 *     look up the secret                       by claim.key_id
 *     store_oss_verify_v1() with the secret, or
 *     store_oss_verify_v4() with the key that store_oss_derive() makes of it once a day
 *
 * Version 1 signs decoded text, in which some requests look like others: "/k%3Facl" like "/k?acl".
 * Whoever verifies refuses the former, and the origin can still be asked.
 *
 * Pure: the time is handed in.
 */
#pragma once

#include "storage/sign.h"

/* ---- to sign ---- */

struct store_oss_signer {
    bool is_v4;
    struct el_str key_id, secret;
    struct el_str token;  /* of a session; empty: none */
    struct el_str region; /* version 4: "cn-hangzhou" */
    /*
     * Version 4: beside Content-Type, Content-MD5 and x-oss-*, which are signed where they are,
     * these too: "host;range".
     */
    struct el_str also;
    int64_t now_s;
};

/*
 * Adds x-oss-date, x-oss-security-token (with a session), x-oss-content-sha256 (version 4) and
 * Authorization to the fields, in place of those that were there, and of a Date. `bucket` is the
 * one that Host names; empty when the path begins with it. After a failure the fields are not to be
 * sent.
 */
enum el_err store_oss_sign(const struct store_oss_signer *by, struct el_str method,
                           struct el_str bucket, struct el_str target, struct el_fields *fields,
                           struct el_error *err);
/*
 * Appends the target with its signature to `ret_target`. Of the request's fields Content-Type,
 * Content-MD5 and x-oss-* are signed: whoever uses the URL has to send the same. EL_EINVAL when it
 * is signed already, and for expires_s outside of 1 to STORE_SIGN_MAX_EXPIRES_S.
 */
enum el_err store_oss_presign(const struct store_oss_signer *by,
                              const struct store_sign_request *req, int64_t expires_s,
                              struct el_buf *ret_target, struct el_error *err);

/* ---- to verify ---- */

struct store_oss_claim {
    bool is_v4, is_query;
    char key_id[STORE_SIGN_KEY_ID_BYTES];
    struct store_sign_scope scope; /* version 4 */
    int64_t time_s;                /* when it was signed; 0: a URL of version 1 does not say */
    int64_t expires_s;             /* the last second in which it is good */
    char names[1024];              /* version 4: of the additional fields that are signed */
    /* Version 4: the MAC. Version 1: its base64, 28 bytes. */
    uint8_t signature[EL_SHA256_BYTES];
};

/*
 * EL_EUNSUPPORTED: there is no signature of this kind. EL_EBADREQ, EL_ETOOLARGE: there is one that
 * is malformed, or two, or one whose request can be read in more than one way. Says nothing yet
 * about who signed.
 */
enum el_err store_oss_parse(const struct store_sign_request *req, struct store_oss_claim *ret_claim,
                            struct el_error *err);
/* The key of that day, region and service. */
enum el_err store_oss_derive(struct el_str secret, const struct store_sign_scope *scope,
                             struct store_sign_key *ret_key, struct el_error *err);
/*
 * EL_EFORBIDDEN: it is not yet or no longer good, or this secret (this key) did not make it.
 * EL_EBADREQ, EL_ETOOLARGE: what it says it signs is not there, or is too much. Both compare in
 * constant time.
 */
enum el_err store_oss_verify_v1(const struct store_sign_request *req,
                                const struct store_oss_claim *claim, struct el_str secret,
                                int64_t now_s, struct el_error *err);
enum el_err store_oss_verify_v4(const struct store_sign_request *req,
                                const struct store_oss_claim *claim,
                                const struct store_sign_key *key, int64_t now_s,
                                struct el_error *err);
