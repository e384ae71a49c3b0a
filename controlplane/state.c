/* SPDX-License-Identifier: MIT */
/* state: its life, its time, and its figures (state.h). */
#include "controlplane/state_in.h"

void cp_state_conf_default(struct cp_state_conf *ret_conf)
{
    *ret_conf = (struct cp_state_conf){
        .beat_ms = 10000,
        .dead_ms = 90000,
        .forget_ms = 300000,
        .min_copies = 2,
        .max_copies = 5,
        .commands_per_tick = 64,
        .command_ttl_ms = 300000,
        .command_retry_ms = 30000,
        .events = 8192,
        .audit = 10000,
        .node_disk_full_pct = 90,
        .probe_failures = 3,
        .alert_origin_errors = 10,
        .alert_egress_pct = 50,
        .is_placing = true,
    };
}

struct cp_state *cp_state_new(const struct cp_state_conf *conf, const struct el_rng *rng)
{
    struct cp_state *s = el_new(struct cp_state);

    EL_ASSERT(conf->events > 0 && conf->audit > 0);
    s->conf = *conf;
    s->rng = *rng;
    s->stream = el_rng_u64(&s->rng) >> 1;
    s->out_tail = &s->out;
    s->event = (struct cp_event *)el_alloc(conf->events * sizeof(*s->event));
    s->audit = (struct cp_audit_in *)el_alloc(conf->audit * sizeof(*s->audit));
    el_list_init(&s->dirty);
    el_list_init(&s->commands_new);
    return s;
}

void cp_state_free(struct cp_state *s)
{
    if (s == NULL)
        return;
    cp_record_free(s->out);
    cp_commands_deinit(s);
    cp_operations_deinit(s);
    cp_groups_deinit(s);
    cp_tokens_deinit(s);
    cp_names_deinit(s);
    cp_nodes_deinit(s);
    cp_index_deinit(&s->index);
    free(s->event);
    free(s->audit);
    cp_alerts_deinit(s);
    free(s);
}

void cp_state_now(struct cp_state *s, uint64_t mono_ms, int64_t wall_ms)
{
    s->mono_ms = el_max_u64(s->mono_ms, mono_ms);
    s->wall_ms = wall_ms;
}

int64_t cp_state_wall_ms(const struct cp_state *s)
{
    return s->wall_ms;
}

static void write_epoch(struct cp_state *s)
{
    struct el_buf b = { 0 };

    if (s->epoch == s->epoch_written && s->policy_version == s->policy_version_written)
        return;
    s->epoch_written = s->epoch;
    s->policy_version_written = s->policy_version;
    el_bytes_add_u64(&b, s->epoch);
    el_bytes_add_u64(&b, s->policy_version);
    cp_emit(s, CP_SOFT, EL_STR("epoch/"), &b);
}

void cp_state_hold_back(struct cp_state *s, bool is_holding)
{
    s->is_holding = is_holding;
}

static void write_soft(struct cp_state *s)
{
    cp_nodes_write(s);
    cp_chunks_write(s);
    cp_names_write(s);
    cp_operations_write(s);
    write_epoch(s);
}

void cp_state_tick(struct cp_state *s, bool has_duty)
{
    cp_nodes_tick(s, has_duty);
    cp_commands_tick(s, has_duty);
    cp_tokens_tick(s);
    cp_place_prepare(s);
    cp_operations_tick(s, has_duty);
    if (has_duty && s->conf.is_placing)
        cp_place_tick(s);
    cp_alerts_tick(s);
    cp_chunks_tick(s);
    if (!s->is_holding)
        write_soft(s);
}

void cp_state_flush(struct cp_state *s)
{
    cp_nodes_write(s);
    cp_chunks_flush(s);
    cp_names_flush(s);
    cp_operations_write(s);
    write_epoch(s);
}

uint64_t cp_state_epoch(const struct cp_state *s)
{
    return s->epoch;
}

uint64_t cp_state_digest(const struct cp_state *s)
{
    return s->digest;
}

static void add_beat(struct cp_metrics *m, const struct cp_node *n, double *used_memory,
                     double *used_disk)
{
    const struct cp_beat *b = &n->beat;

    *used_memory += b->memory_used_mb;
    *used_disk += b->disk_used_mb;
    m->memory_capacity_mb += n->card.memory_capacity_mb;
    m->disk_capacity_mb += n->card.disk_capacity_mb;
    m->bytes_memory += b->bytes_memory;
    m->bytes_disk += b->bytes_disk;
    m->bytes_peer += b->bytes_peer;
    m->bytes_origin += b->bytes_origin;
    m->origin_errors += b->origin_errors;
    m->active_connections += b->active_connections;
    m->upload_mbps += b->upload_speed_mbps;
    m->download_mbps += b->download_speed_mbps;
    m->hit_rate += b->cache_hit_rate;
}

static size_t add_sets(const struct cp_state *s)
{
    size_t bytes = s->numbers_cap * sizeof(struct cp_member *) + cp_table_bytes(&s->nodes);

    for (size_t i = 0; i < s->numbers; i++) {
        if (s->by_number[i] != NULL)
            bytes += cp_set_bytes(&s->by_number[i]->chunks);
    }
    return bytes;
}

static void add_nodes(const struct cp_state *s, struct cp_metrics *m)
{
    double used_memory = 0, used_disk = 0;
    uint32_t cursor = 0;
    const struct cp_node *n;

    while ((n = cp_node_next(s, &cursor)) != NULL) {
        m->total_nodes++;
        m->suspect_nodes += n->life == CP_SUSPECT;
        m->dead_nodes += n->life == CP_DEAD;
        m->draining_nodes += n->is_draining;
        if (!cp_node_is_alive(n))
            continue;
        m->active_nodes++;
        m->lost_nodes += n->reach.is_lost;
        add_beat(m, n, &used_memory, &used_disk);
    }
    m->memory_used_mb = (uint64_t)used_memory;
    m->disk_used_mb = (uint64_t)used_disk;
    if (m->active_nodes > 0)
        m->hit_rate /= (double)m->active_nodes;
}

void cp_state_metrics(const struct cp_state *s, struct cp_metrics *ret_metrics)
{
    struct cp_metrics m = s->count;

    add_nodes(s, &m);
    m.total_chunks = s->index.chunks;
    m.locations = s->index.locations;
    m.index_bytes = cp_index_bytes(&s->index) + add_sets(s);
    m.low_chunks = s->placing.low_last;
    m.events = s->events;
    *ret_metrics = m;
}
