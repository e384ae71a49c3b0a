/* SPDX-License-Identifier: MIT */
/* changes: see changes.h. */
#include "proxy/changes.h"

#include "common/buf.h"
#include "proxy/s3.h"

/* A url's own slot, and those of the two prefixes that may be its bucket's. */
#define SLOTS 3

static size_t slot_of(struct el_str name)
{
    return (size_t)(el_str_hash(name) % PROXY_CHANGES);
}

/* A prefix is also the name of what lies right there: a change of that is none of all below it. */
static size_t slot_of_prefix(struct el_str prefix)
{
    return slot_of(prefix) ^ (PROXY_CHANGES / 2 + 1);
}

/* The end of the path's first `depth` names: behind their '/'; the whole when there are fewer. */
static size_t prefix_end(struct el_str name, size_t depth)
{
    size_t end = el_min_size(el_str_find(name, ':') + 3, name.n);

    for (size_t i = 0; i < depth + 1 && end < name.n; i++)
        end = el_min_size(end + el_str_find(el_str_from(name, end), '/') + 1, name.n);
    return end;
}

static void find_slots(struct el_str url, size_t slots[SLOTS])
{
    struct el_str name = el_str_first(url, el_str_find(url, '?'));
    struct el_buf plain = { 0 };

    if (el_str_find(name, '%') < name.n) {
        proxy_s3_unescape(&plain, name);
        name = el_buf_str(&plain);
    }
    slots[0] = slot_of(name);
    slots[1] = slot_of_prefix(el_str_first(name, prefix_end(name, 0)));
    slots[2] = slot_of_prefix(el_str_first(name, prefix_end(name, 1)));
    el_buf_deinit(&plain);
}

static void note(struct proxy_changes *c, size_t slot, int64_t now_ms)
{
    int64_t last = atomic_load(&c->at_ms[slot]);

    while (last < now_ms && !atomic_compare_exchange_weak(&c->at_ms[slot], &last, now_ms)) {
    }
    atomic_fetch_add(&c->counts[slot], 1);
}

void proxy_changes_note(struct proxy_changes *c, struct el_str url, int64_t now_ms)
{
    size_t slots[SLOTS];

    find_slots(url, slots);
    note(c, slots[0], now_ms);
}

void proxy_changes_note_prefix(struct proxy_changes *c, struct el_str prefix, int64_t now_ms)
{
    note(c, slot_of_prefix(prefix), now_ms);
}

void proxy_changes_note_all(struct proxy_changes *c)
{
    atomic_fetch_add(&c->all, 1);
}

uint32_t proxy_changes_count(struct proxy_changes *c, struct el_str url)
{
    size_t slots[SLOTS];
    uint32_t sum = atomic_load(&c->all);

    find_slots(url, slots);
    for (size_t i = 0; i < SLOTS; i++)
        sum += atomic_load(&c->counts[slots[i]]);
    return sum;
}

int64_t proxy_changes_last_ms(struct proxy_changes *c, struct el_str url)
{
    size_t slots[SLOTS];
    int64_t last = 0;

    find_slots(url, slots);
    for (size_t i = 0; i < SLOTS; i++) {
        int64_t at = atomic_load(&c->at_ms[slots[i]]);

        last = at > last ? at : last;
    }
    return last;
}
