/* SPDX-License-Identifier: MIT */
/* control: a state with a time of its own, for tests of the control plane. */
#pragma once

#include "controlplane/chunks.h"

#define CONTROL_SEED 7

static inline struct cp_state *control_state(void)
{
    struct cp_state_conf conf;
    struct el_rng rng;
    struct cp_state *s;

    cp_state_conf_default(&conf);
    conf.is_placing = false;
    el_rng_seed(&rng, CONTROL_SEED);
    s = cp_state_new(&conf, &rng);
    cp_state_now(s, 1000, 1700000000000);
    return s;
}

static inline void control_register(struct cp_state *s, const char *id, const char *zone)
{
    struct cp_card card = { .p2p_port = 9000,
                            .http_port = 8082,
                            .serves = true,
                            .disk_capacity_mb = 1000,
                            .memory_capacity_mb = 100 };
    const struct cp_node *node;

    (void)snprintf(card.node_id, sizeof(card.node_id), "%s", id);
    (void)snprintf(card.zone, sizeof(card.zone), "%s", zone);
    (void)snprintf(card.address, sizeof(card.address), "192.0.2.1");
    EL_ASSERT(cp_node_register(s, &card, &node, NULL) == EL_OK);
}

static inline void control_beat(struct cp_state *s, const char *id)
{
    struct cp_beat beat = { .is_online = true, .is_ready = true };
    struct cp_beat_answer answer;

    EL_ASSERT(cp_node_beat(s, el_str_of(id), &beat, &answer, NULL) == EL_OK);
}

/* One of a few objects whose first bytes differ. */
static inline struct el_chunk_id control_chunk(unsigned object, uint32_t index)
{
    struct el_chunk_id id = { .index = index };

    id.object[0] = (uint8_t)(object * 37);
    id.object[1] = (uint8_t)object;
    id.object[2] = (uint8_t)(object >> 8);
    id.object[3] = (uint8_t)(object >> 16);
    return id;
}

static inline void control_report(struct cp_state *s, const char *id, const struct el_chunk_id *ids,
                                  size_t n)
{
    struct cp_report r = { .kind = CP_REPORT_FULL, .epoch = 1, .has = ids, .has_n = n };
    bool wants_full;

    EL_ASSERT(cp_chunks_report(s, el_str_of(id), &r, &wants_full, NULL) == EL_OK && !wants_full);
}

/* All records into another state, as if it started with them. Those that were waiting are freed. */
static inline void control_keep(void *arg, struct el_str key, struct el_str value)
{
    EL_ASSERT(cp_state_apply((struct cp_state *)arg, key, value, false, NULL) == EL_OK);
}

static inline struct cp_state *control_copy(struct cp_state *s)
{
    struct cp_state *copy = control_state();

    cp_state_load_begin(copy);
    cp_state_dump(s, control_keep, copy);
    cp_state_load_end(copy);
    return copy;
}

/* What is on its way out, taken in by another. */
static inline void control_pass_on(struct cp_state *from, struct cp_state *to)
{
    struct cp_record *all = cp_state_take(from);

    for (const struct cp_record *r = all; r != NULL; r = r->next)
        EL_ASSERT(cp_state_apply(to, cp_record_key(r), cp_record_value(r), r->is_removal, NULL) ==
                  EL_OK);
    cp_record_free(all);
}
