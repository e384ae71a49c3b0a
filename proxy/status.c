/* SPDX-License-Identifier: MIT */
/* status: see status.h. */
#include "proxy/status.h"

#include <inttypes.h>

#include "cache/cache.h"

const char *proxy_xcache_name(enum proxy_xcache x)
{
    static const char *const names[PROXY_XCACHES] = { "HIT", "P2P", "MISS" };

    return names[x];
}

enum proxy_xcache proxy_xcache_foreseen(unsigned from)
{
    bool is_p2p = (from & CACHE_FROM_PEER) != 0 && (from & CACHE_FROM_ORIGIN) == 0;

    return is_p2p ? PROXY_XCACHE_P2P : PROXY_XCACHE_MISS;
}

enum proxy_xcache proxy_xcache_final(const struct proxy_tier_share *s, enum proxy_xcache said)
{
    if (s->bytes[PROXY_TIER_ORIGIN] > 0)
        return PROXY_XCACHE_MISS;
    return s->bytes[PROXY_TIER_PEER] > 0 ? PROXY_XCACHE_P2P : said;
}

/* The node's name as a string of a structured field (RFC 8941): visible ASCII, no quotes. */
static void add_name(struct el_buf *out, struct el_str node_id)
{
    el_buf_add_byte(out, '"');
    for (size_t i = 0; i < node_id.n; i++) {
        char c = node_id.p[i];

        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
            el_buf_add_byte(out, c);
    }
    el_buf_add_byte(out, '"');
}

void proxy_status_write(struct el_buf *out, struct el_str node_id, enum proxy_xcache x,
                        const struct proxy_status_line *line)
{
    el_buf_add_str(out, EL_STR("X-Cache: "));
    el_buf_add_str(out, el_str_of(proxy_xcache_name(x)));
    el_buf_add_str(out, EL_STR("\r\nCache-Status: "));
    add_name(out, node_id);
    if (line->is_hit) {
        el_buf_add_str(out, EL_STR("; hit"));
    } else {
        el_buf_addf(out, "; fwd=%s", line->fwd);
        if (line->fwd_status != 0)
            el_buf_addf(out, "; fwd-status=%d", line->fwd_status);
        if (line->is_stored)
            el_buf_add_str(out, EL_STR("; stored"));
        if (line->is_collapsed)
            el_buf_add_str(out, EL_STR("; collapsed"));
        if (line->detail != NULL)
            el_buf_addf(out, "; detail=%s", line->detail);
    }
    if (line->has_ttl) {
        el_buf_add_str(out, line->ttl_s < 0 ? EL_STR("; ttl=-") : EL_STR("; ttl="));
        el_buf_add_u64(out, (uint64_t)(line->ttl_s < 0 ? -line->ttl_s : line->ttl_s));
    }
    el_buf_add_str(out, EL_STR("\r\n"));
}

static const char *hint(enum el_err code)
{
    switch (code) {
    case EL_ECONNECT:
    case EL_ERESOLVE:
        return "Check the host and port of the URL, and that this node reaches it.";
    case EL_ETIMEOUT:
        return "The origin is slow or hangs; try again, or raise storage.stall_timeout_ms.";
    case EL_ETLS:
        return "Check the origin's certificate, and storage.ca_file.";
    case EL_ENOORIGIN:
        return "Use this address as HTTP_PROXY, or set storage.endpoint.";
    case EL_EFORBIDDEN:
        return "See proxy.allow_hosts, proxy.deny_hosts and proxy.connect_ports.";
    case EL_ECHANGED:
        return "Ask again for the new version.";
    case EL_EPROXYAUTH:
        return "Give the client a name and password, or a token, for its proxy.";
    case EL_EBREAKER:
    case EL_EOVERLOAD:
    case EL_EBUSY:
        return "Try again in a few seconds.";
    case EL_OK:
    case EL_EINVAL:
    case EL_ECONF:
    case EL_ENOMEM:
    case EL_ESYS:
    case EL_ECANCELED:
    case EL_ESHUTDOWN:
    case EL_EPROTO:
    case EL_ETRUNCATED:
    case EL_ERESET:
    case EL_EBADREQ:
    case EL_ETOOLARGE:
    case EL_ELOOP:
    case EL_EUNSUPPORTED:
    case EL_EBODYTOOLARGE:
    case EL_EMISDIRECTED:
    case EL_ENOTCACHED:
    case EL_EDISK:
    case EL_EFULL:
    case EL_EVERSION:
    case EL_ECLUSTER:
    case EL_EPEER:
    case EL_ESIGNATURE:
    case EL_EHASH:
    case EL_EORIGIN:
    case EL_ENOTFOUND:
    case EL_ECONFLICT:
    case EL_ENOTDURABLE:
        break;
    }
    return NULL;
}

static void add_json(struct el_buf *out, struct el_str s)
{
    el_buf_add_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\')
            el_buf_addf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            el_buf_addf(out, "\\u%04x", c);
        else
            el_buf_add_byte(out, (char)c);
    }
    el_buf_add_byte(out, '"');
}

void proxy_problem(struct el_buf *out, int status, enum el_err code, struct el_str detail)
{
    const char *advice = hint(code);

    el_buf_addf(out, "{\"type\":\"about:blank\",\"status\":%d,\"title\":", status);
    add_json(out, el_str_of(el_err_text(code)));
    el_buf_add_str(out, EL_STR(",\"detail\":"));
    add_json(out, detail);
    if (advice != NULL) {
        el_buf_add_str(out, EL_STR(",\"try\":"));
        add_json(out, el_str_of(advice));
    }
    el_buf_addf(out, ",\"code\":%d}\n", (int)code);
}
