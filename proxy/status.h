/* SPDX-License-Identifier: MIT */
/*
 * status: how an answer says where it came from (X-Cache, and Cache-Status of RFC 9211), and what
 * our own errors look like (RFC 9457). Pure.
 */
#pragma once

#include "common/buf.h"
#include "common/err.h"
#include "proxy/tiers.h"

enum proxy_xcache {
    PROXY_XCACHE_HIT,  /* all of it was in the cache */
    PROXY_XCACHE_P2P,  /* some from a peer, nothing from the origin */
    PROXY_XCACHE_MISS, /* some from the origin */
    PROXY_XCACHES
};

const char *proxy_xcache_name(enum proxy_xcache x);
/*
 * Of bytes that are not all here, by what is known when the head leaves: who gave the first of
 * them, and who is bringing others (enum cache_origin_flags). Nobody in sight: the origin may have
 * to.
 */
enum proxy_xcache proxy_xcache_foreseen(unsigned from);
/* What it was in the end; `said` in the head, which holds where no byte tells otherwise. */
enum proxy_xcache proxy_xcache_final(const struct proxy_tier_share *s, enum proxy_xcache said);

struct proxy_status_line {
    bool is_hit;     /* served without asking; otherwise fwd and fwd_status say what was asked */
    const char *fwd; /* a token of RFC 9211 section 2.2 */
    int fwd_status;  /* 0: the origin has not answered, or another request asked */
    bool is_stored, is_collapsed;
    const char *detail; /* a token of our own; NULL: none */
    bool has_ttl;
    int64_t ttl_s; /* may be negative */
};

/* "X-Cache: HIT\r\nCache-Status: node; hit; ttl=9\r\n" */
void proxy_status_write(struct el_buf *out, struct el_str node_id, enum proxy_xcache x,
                        const struct proxy_status_line *line);

/* The body of our own answer, application/problem+json: what failed, and what to try. */
void proxy_problem(struct el_buf *out, int status, enum el_err code, struct el_str detail);
