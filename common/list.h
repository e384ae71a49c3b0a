/* SPDX-License-Identifier: MIT */
/*
 * list: an intrusive doubly linked ring. A head and a member have the same type; a member that is
 * in no list points to itself, so that removing it again is harmless.
 */
#pragma once

#include <stdbool.h>

#include "common/base.h"

struct el_list {
    struct el_list *next, *prev;
};

#define EL_LIST_INIT(name) \
    {                      \
        &(name), &(name)   \
    }

/* The member being visited may be removed; no other may. `it` and `tmp` are struct el_list
 * pointers. */
#define EL_LIST_EACH(it, tmp, head) \
    for ((it) = (head)->next, (tmp) = (it)->next; (it) != (head); (it) = (tmp), (tmp) = (it)->next)

static inline void el_list_init(struct el_list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool el_list_empty(const struct el_list *l)
{
    return l->next == l;
}

static inline void el_list_insert_before(struct el_list *pos, struct el_list *m)
{
    m->prev = pos->prev;
    m->next = pos;
    pos->prev->next = m;
    pos->prev = m;
}

static inline void el_list_append(struct el_list *head, struct el_list *m)
{
    el_list_insert_before(head, m);
}

static inline void el_list_prepend(struct el_list *head, struct el_list *m)
{
    el_list_insert_before(head->next, m);
}

static inline void el_list_remove(struct el_list *m)
{
    m->prev->next = m->next;
    m->next->prev = m->prev;
    el_list_init(m);
}

/* The first member, removed; NULL when empty. */
static inline struct el_list *el_list_pop(struct el_list *head)
{
    struct el_list *m = head->next;

    if (m == head)
        return NULL;
    el_list_remove(m);
    return m;
}

/* Makes `to` (uninitialised is fine) hold what `from` held; `from` is empty afterwards. */
static inline void el_list_move(struct el_list *to, struct el_list *from)
{
    el_list_init(to);
    if (el_list_empty(from))
        return;
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = to;
    to->prev->next = to;
    el_list_init(from);
}
