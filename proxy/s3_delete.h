/* SPDX-License-Identifier: MIT */
/*
 * s3_delete: which objects the body of DeleteObjects names.
 *
 *   <Delete><Object><Key>a</Key><VersionId>v</VersionId></Object>...<Quiet>true</Quiet></Delete>
 *
 * Only what is understood to its last byte counts; of anything else (another document, a coding, a
 * document type) it is said that it is not understood, and the caller has to think of all objects.
 * Pure.
 */
#pragma once

#include "common/buf.h"

/* As many as S3 allows; more are not understood. */
#define PROXY_S3_DELETE_MAX 1000

/* version is empty when there is none. Borrowed for the call. */
typedef void proxy_s3_on_deleted(void *arg, struct el_str key, struct el_str version);

/* False: not understood; some of the objects may have been told all the same. */
bool proxy_s3_delete_parse(struct el_str body, proxy_s3_on_deleted *each, void *arg);
