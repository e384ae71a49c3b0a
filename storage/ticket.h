/* SPDX-License-Identifier: MIT */
/*
 * ticket: storage's side of a cache_ticket: where and with which fields the origin is asked for
 * more of an object. Immutable after store_ticket_new().
 */
#pragma once

#include "storage/storage.h"

struct store_ticket {
    uint32_t magic;
    struct cache_ticket base;
    struct el_buf scheme, host, target;
    uint16_t port;
    bool as_node;
    struct el_buf bucket;
    struct el_fields fields;
    struct el_buf range_value; /* exact: sent as it is; empty: no Range is sent */
};

struct store_ticket *store_ticket_of(struct cache_ticket *t);
