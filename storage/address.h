/* SPDX-License-Identifier: MIT */
/*
 * address: how a bucket is named to an object store, whose requests the node signs itself: in the
 * path ("/bucket/key") or in the host ("bucket.endpoint"); and the host of another region.
 *
 * Pure.
 */
#pragma once

#include "common/buf.h"

/*
 * What is asked for as `bucket` and `target` ("/key"), or with the bucket in front of the target
 * ("/bucket/key", `bucket` empty), in the one way or the other. A bucket whose name is no part of a
 * host name stays in the path, whatever is wanted. *ret_bucket: the one that is in the host, a
 * slice of an argument; empty: it is in the path. Host and target are appended.
 */
void store_address_write(bool is_virtual, struct el_str endpoint, struct el_str bucket,
                         struct el_str target, struct el_buf *host, struct el_buf *out_target,
                         struct el_str *ret_bucket);
/* The bucket that is meant; empty: none ("/"). */
struct el_str store_address_bucket(struct el_str bucket, struct el_str target);

/* "eu-west-1": letters, digits, hyphens. */
bool store_address_is_region(struct el_str region);
/*
 * The endpoint for another region, appended: its name in the place of `own` where the endpoint has
 * that ("s3.us-east-1.amazonaws.com"), or in the endpoint of all of AWS; otherwise the endpoint as
 * it is.
 */
void store_address_move(struct el_str endpoint, struct el_str own, struct el_str region,
                        struct el_buf *out);
