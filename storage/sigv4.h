/* SPDX-License-Identifier: MIT */
/*
 * sigv4: AWS Signature Version 4 as S3 has it: the path is encoded once and never normalised, and
 * the body's hash is a field of the request. Requests are signed in their header or in their query
 * ("presigned"), and both are verified.
 *
 *     store_sigv4_parse()   what a request says of its signature: key, scope, time
 *     look up the key       by claim.key_id; derived once a day: store_sigv4_derive()
 *     store_sigv4_verify()  whether it says so rightly, and now
 *
 * Verifying is stricter than S3 is: whatever leaves a doubt about what was signed is refused, and
 * the origin can still be asked.
 *
 * Pure: the time is handed in.
 */
#pragma once

#include "storage/sign.h"

/* What x-amz-content-sha256 says about the body. */
enum store_sigv4_payload {
    STORE_SIGV4_HASH,     /* it is the body's SHA-256 */
    STORE_SIGV4_UNSIGNED, /* UNSIGNED-PAYLOAD */
    /*
     * The body is in aws-chunked coding, its chunks or its trailer signed or checked by whoever
     * decodes it: it passes through as it is.
     */
    STORE_SIGV4_CHUNKS,         /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD */
    STORE_SIGV4_CHUNKS_TRAILER, /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER */
    STORE_SIGV4_TRAILER,        /* STREAMING-UNSIGNED-PAYLOAD-TRAILER */
};

/* False when it is none of these. */
bool store_sigv4_payload_parse(struct el_str value, enum store_sigv4_payload *ret_payload);
bool store_sigv4_payload_is_streaming(enum store_sigv4_payload payload);

/* ---- to sign ---- */

struct store_sigv4_signer {
    struct el_str key_id, secret;
    struct el_str token; /* of a session; empty: none */
    struct el_str region, service;
    struct el_str payload; /* the value of x-amz-content-sha256; empty: UNSIGNED-PAYLOAD */
    /*
     * Beside Host, Content-Type, Content-MD5 and x-amz-*, which are signed where they are, these
     * too: "date;range". When presigning only Host and these.
     */
    struct el_str also;
    int64_t now_s;
};

/*
 * Adds x-amz-date, x-amz-content-sha256, x-amz-security-token (with a session) and Authorization to
 * the fields, in place of those that were there. The fields hold the Host. After a failure they are
 * not to be sent.
 */
enum el_err store_sigv4_sign(const struct store_sigv4_signer *by, struct el_str method,
                             struct el_str target, struct el_fields *fields, struct el_error *err);
/*
 * Appends the target with its signature to `ret_target`. The query stays as it is in front of it;
 * EL_EINVAL when it is signed already. EL_EINVAL also for expires_s outside of 1 to
 * STORE_SIGN_MAX_EXPIRES_S.
 */
enum el_err store_sigv4_presign(const struct store_sigv4_signer *by,
                                const struct store_sign_request *req, int64_t expires_s,
                                struct el_buf *ret_target, struct el_error *err);

/* ---- to verify ---- */

struct store_sigv4_claim {
    bool is_query;
    char key_id[STORE_SIGN_KEY_ID_BYTES];
    struct store_sign_scope scope;
    int64_t time_s;    /* when it was signed */
    int64_t expires_s; /* the last second in which it is good */
    char names[1024];  /* of the signed fields: "host;range" */
    uint8_t signature[EL_SHA256_BYTES];
    enum store_sigv4_payload payload;
    struct el_str payload_value; /* a slice of the request, or a constant */
};

/*
 * EL_EUNSUPPORTED: there is no signature of this kind. EL_EBADREQ, EL_ETOOLARGE: there is one that
 * is malformed, or two, or one that leaves fields uncovered that it must cover. Says nothing yet
 * about who signed.
 */
enum el_err store_sigv4_parse(const struct store_sign_request *req,
                              struct store_sigv4_claim *ret_claim, struct el_error *err);
/* The key of that day, region and service. */
enum el_err store_sigv4_derive(struct el_str secret, const struct store_sign_scope *scope,
                               struct store_sign_key *ret_key, struct el_error *err);
/*
 * EL_EFORBIDDEN: it is not yet or no longer good, the key is of another scope, or it did not make
 * this signature. EL_EBADREQ, EL_ETOOLARGE: what it says it signs is not there, or is too much.
 * Compares in constant time.
 *
 * A body is not looked at: with STORE_SIGV4_HASH its hash is still to be compared.
 */
enum el_err store_sigv4_verify(const struct store_sign_request *req,
                               const struct store_sigv4_claim *claim,
                               const struct store_sign_key *key, int64_t now_s,
                               struct el_error *err);
