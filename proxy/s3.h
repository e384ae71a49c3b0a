/* SPDX-License-Identifier: MIT */
/*
 * s3: what a request to an object store (S3, OSS and what speaks like them) is about, and what it
 * changes. One table of the sub-resources, beside rules that follow from the method:
 *
 *   GET /k, ?versionId=, ?response-*=, ?x-oss-process=   an object: cached, under a key of its own
 *   GET /k?partNumber=                                   a part: a 206 that answers no Range
 *   GET /k?acl, /b?list-type=2 ...                       about objects: not cached
 *   PUT, DELETE, POST /k?uploadId=, PUT with a source    change the object at the path
 *   PUT /k?partNumber=&uploadId=, POST /k?uploads        change nothing that anybody reads
 *   POST /b?delete                                       changes what its body names
 *   PUT /b?policy ...                                    change who may read what is in the bucket
 *
 * Pure.
 */
#pragma once

#include "common/buf.h"

enum proxy_s3_kind {
    PROXY_S3_OBJECT, /* an object, or one version of it */
    PROXY_S3_PART,   /* one part of it */
    PROXY_S3_ABOUT,  /* what is known of an object, an upload or a bucket; listings */
};
/* Of a GET or HEAD. What no sub-resource says otherwise of is an object. */
enum proxy_s3_kind proxy_s3_kind(struct el_str query);

enum proxy_s3_effect {
    PROXY_S3_NOTHING, /* nothing that can be read */
    PROXY_S3_KEY,     /* the object at the path; of a version, that version too */
    PROXY_S3_KEYS,    /* the objects that the body names */
    PROXY_S3_ALL,     /* any object below the path */
};
/*
 * Of a method that is not safe. `path` begins with '/'. is_form: the body is a form, in which a
 * browser names the key.
 */
enum proxy_s3_effect proxy_s3_effect(struct el_str method, struct el_str path, struct el_str query,
                                     bool is_form);

/* The value of a parameter whose name, unescaped, is `name`; empty when there is none. */
struct el_str proxy_s3_parameter(struct el_str query, struct el_str name);

/* The key as part of a path, escaped as signatures demand it: all but unreserved bytes and '/'. */
void proxy_s3_write_key(struct el_buf *out, struct el_str key);
/* The text without its escapes. */
void proxy_s3_unescape(struct el_buf *out, struct el_str text);
/* The URL with its path escaped like that, whatever was escaped in it. `url` has no query. */
void proxy_s3_write_canonical(struct el_buf *out, struct el_str url);
/*
 * The URL (without query) in the other style: "http://h/b/k" as "http://b.h/k" and back. Which of
 * the two a URL is written in cannot be told from it, so both are made; false: there is none.
 */
bool proxy_s3_write_virtual_host(struct el_buf *out, struct el_str url);
bool proxy_s3_write_path_style(struct el_buf *out, struct el_str url);
