/* SPDX-License-Identifier: MIT */
/* notice: see notice.h. */
#include "proxy/notice.h"

bool proxy_notice_due(struct proxy_notices *n, struct el_str subject, uint64_t now_ms)
{
    uint64_t *quiet_until_ms = &n->quiet_until_ms[el_str_hash(subject) % PROXY_NOTICES];

    if (now_ms < *quiet_until_ms)
        return false;
    *quiet_until_ms = now_ms + PROXY_NOTICE_MS;
    return true;
}
