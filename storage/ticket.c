/* SPDX-License-Identifier: MIT */
/* ticket: see the header. */
#include "storage/ticket.h"

#define TICKET_MAGIC 0x53544b54u

struct store_ticket *store_ticket_of(struct cache_ticket *t)
{
    struct store_ticket *st = EL_ENTRY(t, struct store_ticket, base);

    return EL_CAST(st, struct store_ticket, TICKET_MAGIC);
}

static void free_ticket(struct cache_ticket *t)
{
    struct store_ticket *st = store_ticket_of(t);

    el_buf_deinit(&st->scheme);
    el_buf_deinit(&st->host);
    el_buf_deinit(&st->target);
    el_buf_deinit(&st->bucket);
    el_buf_deinit(&st->range_value);
    el_fields_deinit(&st->fields);
    free(st);
}

struct cache_ticket *store_ticket_new(const struct store_target *t, struct el_fieldv fields,
                                      bool exact, uint64_t first, uint64_t end,
                                      struct el_str range_value)
{
    struct store_ticket *st = el_new(struct store_ticket);

    st->magic = TICKET_MAGIC;
    st->base.free = free_ticket;
    atomic_init(&st->base.refs, 1);
    st->base.exact = exact;
    st->base.first = first;
    st->base.end = end;
    el_buf_add_str(&st->scheme, t->scheme);
    el_buf_add_str(&st->host, t->host);
    el_buf_add_str(&st->target, t->target);
    el_buf_add_str(&st->bucket, t->bucket);
    st->port = t->port;
    st->as_node = t->as_node;
    el_buf_add_str(&st->range_value, range_value);
    for (size_t i = 0; i < fields.n; i++)
        el_fields_add(&st->fields, fields.v[i].name, fields.v[i].value);
    return &st->base;
}
