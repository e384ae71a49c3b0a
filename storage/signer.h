/* SPDX-License-Identifier: MIT */
/*
 * signer: the node's own key, with which requests are signed that carry no credentials of their
 * own, each at the moment it is sent (job.c): a retry, or a fill taken up again, is signed anew.
 *
 * The key is given once, or comes from a file that a thread looks at again every second; a file
 * that has become unreadable changes nothing. What an object store says about the region of a
 * bucket is remembered.
 *
 * Thread: any; new and free are the owner's.
 */
#pragma once

#include "common/buf.h"
#include "common/clock.h"
#include "common/fields.h"
#include "storage/keys.h"

struct store_signer;

struct store_signer_conf {
    bool is_oss;
    bool is_virtual;      /* buckets are named in the host */
    struct el_str region; /* empty: us-east-1; of OSS: signatures of version 1 */
    /* Either these, which are copied, */
    struct el_str id, secret, token;
    /* or a file and a profile in it. */
    const char *file, *profile;
    struct el_clock *clock; /* borrowed until free */
};

/* EL_ECONF: the file, or the region, is not right. */
enum el_err store_signer_new(const struct store_signer_conf *conf, struct store_signer **ret_signer,
                             struct el_error *err);
void store_signer_free(struct store_signer *s); /* NULL is fine */
/* Starts the thread that looks at the file; without a file there is none. */
enum el_err store_signer_watch(struct store_signer *s, struct el_error *err);

/* What is asked for: see struct store_target. */
struct store_signer_request {
    struct el_str method, scheme, host, bucket, target;
    uint16_t port;
    struct el_fieldv fields; /* a Host among them is replaced */
};

/* As it is sent. The owner deinitialises it, and may hand it in again. */
struct store_signed {
    struct el_buf host, target;
    struct el_fields fields;
    struct el_buf region; /* that it was signed for */
};
void store_signed_deinit(struct store_signed *s);

/* EL_EBADREQ, EL_ETOOLARGE: it is nothing that can be signed. */
enum el_err store_signer_sign(struct store_signer *s, const struct store_signer_request *req,
                              struct store_signed *ret_signed, struct el_error *err);
/* What the thread does: reads the file if it is another than before. For tests, without a thread.
 */
void store_signer_look(struct store_signer *s);
/*
 * Whether an answer says that the bucket is in another region than the request was signed for.
 * Requests for this bucket are signed for that one, and go there, from now on.
 */
bool store_signer_learn(struct store_signer *s, const struct store_signer_request *req,
                        struct el_str signed_for, int status, struct el_fieldv answer);
