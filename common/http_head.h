/* SPDX-License-Identifier: MIT */
/*
 * http_head: the head of a response, gathered line by line as the message layer delivers it. It
 * joins folded lines, bounds what comes from outside, and refuses a framing that two readers could
 * understand differently.
 *
 * No I/O, no clock. Thread: one.
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"
#include "common/fields.h"

#define EL_HTTP_HEAD_MAX_FIELDS 200
#define EL_HTTP_HEAD_MAX_BYTES  (256 * EL_KIB)

struct el_http_head {
    int status;              /* 0 until the status line has come */
    struct el_fields fields; /* complete when the empty line has come */
    size_t bytes;            /* of the block so far */
    struct el_buf line;      /* the last field line, which the next one may continue */
};

void el_http_head_init(struct el_http_head *h);
void el_http_head_deinit(struct el_http_head *h);
/* Ready for the next block: the final head after a 1xx. */
void el_http_head_clear(struct el_http_head *h);

/*
 * One line with its line end. *ret_complete is set when it was the empty line that ends the block;
 * a Content-Length that a Transfer-Encoding overrides is gone from the fields then.
 */
enum el_err el_http_head_line(struct el_http_head *h, struct el_str line, bool *ret_complete,
                              struct el_error *err);

/* Whether all bytes may stand in a field name or method (RFC 9110 section 5.6.2), at least one. */
bool el_http_is_token(struct el_str s);
/* Whether a field value holds no byte that could end it early. */
bool el_http_is_value(struct el_str s);
