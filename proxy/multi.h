/* SPDX-License-Identifier: MIT */
/*
 * multi: the answer to a request for several ranges, multipart/byteranges (RFC 9110 section 14.6):
 *
 *   CRLF --boundary CRLF fields CRLF bytes, for each part
 *   CRLF --boundary-- CRLF
 *
 * It makes the text; the bytes between come from a cache reader for each part (deliver.c). Pure.
 */
#pragma once

#include "common/buf.h"
#include "proxy/range.h"

#define PROXY_MULTI_BOUNDARY 32 /* characters */

struct proxy_multi {
    struct proxy_parts parts;
    uint64_t total;             /* bytes of the whole object */
    struct el_buf content_type; /* of the object; empty: not known */
    char boundary[PROXY_MULTI_BOUNDARY + 1];
    size_t next;        /* the part that comes next */
    bool is_closed;     /* the closing text was made */
    struct el_buf text; /* to be sent before any more bytes; */
    size_t text_sent;   /* so much of it was */
};

struct proxy_multi *proxy_multi_new(const struct proxy_parts *parts, uint64_t total,
                                    struct el_str content_type, const char *boundary);
void proxy_multi_free(struct proxy_multi *m); /* NULL is fine */
/* The object's fields as they stand in the head of such an answer: of Content-Type our own. */
void proxy_multi_write_fields(const struct proxy_multi *m, struct el_fieldv object,
                              struct el_buf *out);
/* Of the whole body. */
uint64_t proxy_multi_length(const struct proxy_multi *m);
/*
 * The next part, and in m->text what stands before it. False: there is none, and m->text is what
 * stands behind the last.
 */
bool proxy_multi_next(struct proxy_multi *m, uint64_t *ret_first, uint64_t *ret_end);
