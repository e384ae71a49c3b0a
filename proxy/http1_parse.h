/* SPDX-License-Identifier: MIT */
/*
 * http1_parse: bytes of HTTP/1.1 requests to heads and bodies, as strictly as RFC 9112 allows.
 * Where a message could be read in two ways (request smuggling), it is refused, never interpreted.
 * Pure.
 *
 * A head is found first, line by line, so that a head that is still incomplete costs each byte
 * once; only then it is parsed. Names, values and target are slices of the given bytes.
 */
#pragma once

#include "proxy/stream.h"

/* Why a request is refused, for the answer on the wire. */
struct proxy_http1_refusal {
    int status;
    enum el_err code;
    const char *detail; /* static */
};

/*
 * Looks for the end of the head in the n bytes received so far. *scanned, 0 at first, is how far
 * earlier calls got (the start of a line). Returns the length of the head with its empty line, 0:
 * more bytes are needed, -1: a line ends with a bare LF.
 */
ssize_t proxy_http1_head_end(const char *bytes, size_t n, size_t *scanned);

struct proxy_http1_head {
    struct proxy_head head; /* head.fields.v is the array given */
    bool keep_alive;        /* what version and Connection say */
};

/*
 * Parses a whole head as found by proxy_http1_head_end(). Fields go to `room`, which has space for
 * `max_fields`. False: *ret_refusal says why; *ret_head is undefined then.
 */
bool proxy_http1_head_parse(struct el_str bytes, struct el_field *room, size_t max_fields,
                            struct proxy_http1_head *ret_head,
                            struct proxy_http1_refusal *ret_refusal);

/*
 * The chunked transfer coding of a request's body.
 *
 *      +-------- data and CRLF ----------+
 *      v                                 |
 *   [SIZE] -hex digits-> [EXT] -CRLF-> [DATA] -> [DATA_END]
 *      \\ -"0"..CRLF-> [TRAILER] -empty line-> [DONE]           anything else: [BROKEN]
 *
 * Extensions are skipped and trailers dropped (RFC 9112 section 7.1.2: they must not be merged
 * unless known), both of bounded length.
 */
enum proxy_chunked_state {
    PROXY_CHUNKED_SIZE,
    PROXY_CHUNKED_EXT,
    PROXY_CHUNKED_SIZE_LF,
    PROXY_CHUNKED_DATA,
    PROXY_CHUNKED_DATA_CR,
    PROXY_CHUNKED_DATA_LF,
    PROXY_CHUNKED_TRAILER,
    PROXY_CHUNKED_TRAILER_LF,
    PROXY_CHUNKED_DONE,
    PROXY_CHUNKED_BROKEN,
};

struct proxy_chunked {
    enum proxy_chunked_state state;
    uint64_t left;       /* SIZE, EXT: the size so far; DATA: bytes of this chunk not yet taken */
    unsigned digits;     /* SIZE */
    unsigned skipped;    /* bytes of extension in this line, or of all trailers */
    unsigned line_bytes; /* TRAILER */
    bool saw_semicolon;  /* EXT */
};

void proxy_chunked_init(struct proxy_chunked *d);
/*
 * Reads framing: *ret_used bytes of the n are done with, and the *ret_data that follow them are
 * body. The caller removes the former, and says with proxy_chunked_take() how many of the latter it
 * took. False: the coding is broken, for good.
 */
bool proxy_chunked_next(struct proxy_chunked *d, const char *bytes, size_t n, size_t *ret_used,
                        size_t *ret_data);
void proxy_chunked_take(struct proxy_chunked *d, size_t n);
bool proxy_chunked_is_done(const struct proxy_chunked *d);
