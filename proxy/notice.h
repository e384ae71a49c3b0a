/* SPDX-License-Identifier: MIT */
/*
 * notice: which of many events that are alike get a line of the log. What clients and origins cause
 * must not fill the disk: a subject gets one line a second, and all subjects together at most
 * PROXY_NOTICES. Pure. Thread: one.
 */
#pragma once

#include "common/str.h"

#define PROXY_NOTICES   64
#define PROXY_NOTICE_MS 1000

struct proxy_notices {
    uint64_t quiet_until_ms[PROXY_NOTICES]; /* by hash of the subject: two may share one */
};

/* True: this one is said, and the next of the subject a second later at the earliest. */
bool proxy_notice_due(struct proxy_notices *n, struct el_str subject, uint64_t now_ms);
