/* SPDX-License-Identifier: MIT */
/*
 * nodes: see nodes.h. Records:
 *
 *   node/ID   what the node said when it registered, draining, relay   hard
 *   beat/ID   what it said last                                         soft, once a second at most
 *
 * Liveness is not written down: each eliocp derives it from when it last heard of the node, either
 * itself or through the record of another; a node that is read at the start is alive at that
 * moment.
 */
#include <math.h>

#include "controlplane/state_in.h"

#define NODE_FORMAT 2 /* 1: without a proof */
#define BEAT_FORMAT 4 /* 3: without links; 2: nor what it prefetches; 1: nor what it runs */
#define MISSED      3 /* beats, after which a node is suspect */

bool cp_name_is_valid(struct el_str name)
{
    if (name.n == 0 || name.n > CP_ID_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '.' && c != '_' && c != ':' && c != '-')
            return false;
    }
    return true;
}

struct cp_member *cp_member_get(const struct cp_state *s, struct el_str node_id)
{
    struct cp_entry *e = cp_table_get(&s->nodes, node_id);

    return e == NULL ? NULL : EL_ENTRY(e, struct cp_member, entry);
}

struct cp_member *cp_member_of(const struct cp_state *s, uint16_t number)
{
    return number < s->numbers ? s->by_number[number] : NULL;
}

struct cp_member *cp_member_next(const struct cp_state *s, uint32_t *cursor)
{
    while (*cursor < s->numbers) {
        struct cp_member *m = s->by_number[(*cursor)++];

        if (m != NULL)
            return m;
    }
    return NULL;
}

enum el_err cp_member_find(const struct cp_state *s, struct el_str node_id, struct cp_member **ret,
                           struct el_error *err)
{
    struct cp_member *m = cp_member_get(s, node_id);

    if (m == NULL) {
        (void)el_fail(err, EL_ENOTFOUND, 0, "node_id: no such node; it has to register");
        return EL_ENOTFOUND;
    }
    *ret = m;
    return EL_OK;
}

const struct cp_node *cp_node_get(const struct cp_state *s, struct el_str node_id)
{
    struct cp_member *m = cp_member_get(s, node_id);

    return m == NULL ? NULL : &m->node;
}

const struct cp_node *cp_node_next(const struct cp_state *s, uint32_t *cursor)
{
    struct cp_member *m = cp_member_next(s, cursor);

    return m == NULL ? NULL : &m->node;
}

size_t cp_node_count(const struct cp_state *s)
{
    return s->nodes.n;
}

bool cp_node_is_alive(const struct cp_node *n)
{
    return n->life == CP_ACTIVE || n->life == CP_JOINING;
}

const char *cp_node_status(const struct cp_node *n)
{
    static const char *const names[] = { "joining", "active", "suspect", "dead" };

    return n->is_draining && cp_node_is_alive(n) ? "draining" : names[n->life];
}

static const char *const disks[] = { "normal", "degraded", "down", "none" };

const char *cp_disk_name(enum cp_disk disk)
{
    return disks[disk];
}

bool cp_disk_parse(struct el_str name, enum cp_disk *ret_disk)
{
    for (unsigned i = 0; i < EL_COUNT(disks); i++) {
        if (el_str_eq(name, el_str_of(disks[i]))) {
            *ret_disk = (enum cp_disk)i;
            return true;
        }
    }
    return false;
}

bool cp_member_gives(const struct cp_member *m)
{
    return cp_node_is_alive(&m->node) && m->node.card.serves && m->node.card.address[0] != '\0';
}

double cp_member_fullness(const struct cp_member *m)
{
    const struct cp_node *n = &m->node;
    bool has_disk = n->card.disk_capacity_mb > 0 && n->beat.disk != CP_DISK_NONE;
    double capacity = (double)(has_disk ? n->card.disk_capacity_mb : n->card.memory_capacity_mb);
    double used = has_disk ? n->beat.disk_used_mb : n->beat.memory_used_mb;

    return capacity <= 0 ? 1 : used / capacity;
}

bool cp_member_takes(const struct cp_state *s, const struct cp_member *m)
{
    return m->node.life == CP_ACTIVE && !m->node.is_draining && m->node.beat.is_online &&
           m->node.beat.disk != CP_DISK_DOWN && m->node.beat.disk != CP_DISK_DEGRADED &&
           cp_member_fullness(m) * 100 < s->conf.node_disk_full_pct;
}

/* ---- what is written down ---- */

static void encode_card(struct el_buf *b, const struct cp_card *c)
{
    cp_add_text(b, el_str_of(c->address));
    el_bytes_add_u16(b, c->p2p_port);
    el_bytes_add_u16(b, c->http_port);
    el_bytes_add_u64(b, c->memory_capacity_mb);
    el_bytes_add_u64(b, c->disk_capacity_mb);
    cp_add_text(b, el_str_of(c->name));
    cp_add_text(b, el_str_of(c->zone));
    cp_add_text(b, el_str_of(c->region));
    cp_add_text(b, el_str_of(c->version));
    el_bytes_add_u8(b, c->is_anchor);
    el_bytes_add_u8(b, c->serves);
    cp_add_text(b, c->labels);
    el_bytes_add_u8(b, c->has_proof);
    el_buf_add(b, c->proof.b, sizeof(c->proof.b));
}

static void encode_node(struct el_buf *b, const struct cp_node *n)
{
    el_bytes_add_u8(b, NODE_FORMAT);
    encode_card(b, &n->card);
    el_bytes_add_u8(b, n->is_draining);
    el_bytes_add_u8(b, n->is_relay);
    el_bytes_add_u64(b, (uint64_t)n->registered_wall_ms);
}

static void emit_node(struct cp_state *s, const struct cp_member *m)
{
    struct el_buf b = { 0 };
    struct cp_key k;

    encode_node(&b, &m->node);
    cp_emit(s, CP_HARD, cp_key_of(&k, "node", m->entry.key), &b);
}

/* Labels are borrowed from the record. */
static void decode_card(struct el_bytes *b, uint8_t format, struct cp_card *c)
{
    cp_get_chars(b, c->address, CP_HOST_MAX);
    c->p2p_port = el_bytes_u16(b);
    c->http_port = el_bytes_u16(b);
    c->memory_capacity_mb = el_bytes_u64(b);
    c->disk_capacity_mb = el_bytes_u64(b);
    cp_get_chars(b, c->name, CP_ID_MAX);
    cp_get_chars(b, c->zone, CP_ID_MAX);
    cp_get_chars(b, c->region, CP_ID_MAX);
    cp_get_chars(b, c->version, CP_ID_MAX);
    c->is_anchor = el_bytes_u8(b) != 0;
    c->serves = el_bytes_u8(b) != 0;
    c->labels = cp_get_text(b, CP_LABELS_MAX);
    if (format == 1)
        return;
    c->has_proof = el_bytes_u8(b) != 0;
    el_bytes_copy(b, c->proof.b, sizeof(c->proof.b));
}

static void encode_beat(struct el_buf *b, const struct cp_beat *v)
{
    el_bytes_add_u8(b, BEAT_FORMAT);
    el_bytes_add_u8(b, v->is_online);
    el_bytes_add_u8(b, v->is_ready);
    el_bytes_add_u8(b, (uint8_t)v->disk);
    el_bytes_add_u8(b, v->is_origin_failing);
    cp_add_double(b, v->memory_used_mb);
    cp_add_double(b, v->disk_used_mb);
    cp_add_double(b, v->cache_hit_rate);
    cp_add_double(b, v->upload_speed_mbps);
    cp_add_double(b, v->download_speed_mbps);
    el_bytes_add_u64(b, v->total_chunks);
    el_bytes_add_u64(b, v->active_connections);
    el_bytes_add_u64(b, v->bytes_memory);
    el_bytes_add_u64(b, v->bytes_disk);
    el_bytes_add_u64(b, v->bytes_peer);
    el_bytes_add_u64(b, v->bytes_origin);
    el_bytes_add_u64(b, v->origin_errors);
    cp_add_text(b, v->downloads);
    cp_add_text(b, v->runs);
    el_bytes_add_u64(b, v->prefetch);
    el_bytes_add_u64(b, v->prefetch_done);
    el_bytes_add_u64(b, v->prefetch_failed);
    el_bytes_add_u8(b, v->prefetch_is_over);
    cp_add_text(b, v->links);
}

static bool decode_beat(struct el_str value, struct cp_beat *v)
{
    struct el_bytes b = el_bytes_of(value);
    uint8_t format = el_bytes_u8(&b), disk;

    v->is_online = el_bytes_u8(&b) != 0;
    v->is_ready = el_bytes_u8(&b) != 0;
    disk = el_bytes_u8(&b);
    v->disk = disk > CP_DISK_NONE ? CP_DISK_NORMAL : (enum cp_disk)disk;
    v->is_origin_failing = el_bytes_u8(&b) != 0;
    v->memory_used_mb = cp_get_double(&b);
    v->disk_used_mb = cp_get_double(&b);
    v->cache_hit_rate = cp_get_double(&b);
    v->upload_speed_mbps = cp_get_double(&b);
    v->download_speed_mbps = cp_get_double(&b);
    v->total_chunks = el_bytes_u64(&b);
    v->active_connections = el_bytes_u64(&b);
    v->bytes_memory = el_bytes_u64(&b);
    v->bytes_disk = el_bytes_u64(&b);
    v->bytes_peer = el_bytes_u64(&b);
    v->bytes_origin = el_bytes_u64(&b);
    v->origin_errors = el_bytes_u64(&b);
    v->downloads = cp_get_text(&b, CP_DOWNLOADS_MAX);
    v->runs = format == 1 ? (struct el_str){ "", 0 } : cp_get_text(&b, CP_RUNS_MAX);
    if (format > 2) {
        v->prefetch = el_bytes_u64(&b);
        v->prefetch_done = el_bytes_u64(&b);
        v->prefetch_failed = el_bytes_u64(&b);
        v->prefetch_is_over = el_bytes_u8(&b) != 0;
    }
    v->links = format > 3 ? cp_get_text(&b, CP_LINKS_MAX) : (struct el_str){ "", 0 };
    return el_bytes_is_end(&b) && format >= 1 && format <= BEAT_FORMAT;
}

/* ---- life ---- */

static struct el_str own_text(struct el_str text)
{
    if (text.n == 0)
        return (struct el_str){ "", 0 };
    return (struct el_str){ el_strndup(text.p, text.n), text.n };
}

static void free_text(struct el_str *text)
{
    if (text->n > 0)
        free((void *)(uintptr_t)text->p);
    *text = (struct el_str){ "", 0 };
}

static void see(struct cp_state *s, struct cp_member *m)
{
    m->node.seen_ms = s->mono_ms;
    m->node.seen_wall_ms = s->wall_ms;
}

/* 100 less what is not well with it. */
static uint8_t health_of(const struct cp_node *n)
{
    int health = 100;

    if (n->life == CP_DEAD)
        return 0;
    health -= n->life == CP_SUSPECT ? 60 : 0;
    health -= n->beat.disk == CP_DISK_DOWN ? 40 : n->beat.disk == CP_DISK_DEGRADED ? 20 : 0;
    health -= n->beat.is_origin_failing ? 20 : 0;
    health -= n->life == CP_ACTIVE && !n->beat.is_ready ? 20 : 0;
    health -= llabs(n->clock_skew_ms) > 5000 ? 10 : 0;
    health -= n->reach.is_lost ? 30 : 0;
    return (uint8_t)(health < 1 ? 1 : health);
}

void cp_member_rate(struct cp_member *m)
{
    m->node.health = health_of(&m->node);
}

static void tell_state(struct cp_state *s, struct cp_member *m)
{
    cp_member_rate(m);
    cp_event_add(s, CP_EV_NODE_STATE, m->entry.key, 0, el_str_of(cp_node_status(&m->node)));
}

static void set_life(struct cp_state *s, struct cp_member *m, enum cp_life life)
{
    enum cp_life was = m->node.life;

    if (was == life)
        return;
    m->node.life = life;
    s->epoch++;
    if (life == CP_DEAD)
        cp_event_add(s, CP_EV_NODE_DOWN, m->entry.key, 0, EL_STR("dead"));
    else if (life == CP_ACTIVE && was == CP_DEAD)
        cp_event_add(s, CP_EV_NODE_UP, m->entry.key, 0, EL_STR("back"));
    tell_state(s, m);
}

/* The lowest number that nobody has. */
static bool take_number(struct cp_state *s, uint16_t *ret)
{
    size_t i = s->numbers;

    if (s->nodes.n < s->numbers) {
        for (i = 0; s->by_number[i] != NULL; i++)
            continue;
    } else if (s->numbers == CP_NODES_MAX) {
        return false;
    } else {
        s->by_number = (struct cp_member **)cp_array_reserve(
            s->by_number, s->numbers, &s->numbers_cap, sizeof(struct cp_member *));
        s->numbers++;
    }
    *ret = (uint16_t)i;
    return true;
}

static struct cp_member *put_member(struct cp_state *s, struct el_str node_id)
{
    struct cp_member *m;
    uint16_t number;

    if (!take_number(s, &number))
        return NULL;
    m = el_new(struct cp_member);
    memcpy(m->node.card.node_id, node_id.p, node_id.n);
    m->entry.key = (struct el_str){ m->node.card.node_id, node_id.n };
    m->node.card.labels = (struct el_str){ "", 0 };
    m->node.beat.downloads = (struct el_str){ "", 0 };
    m->node.beat.runs = (struct el_str){ "", 0 };
    m->node.beat.links = (struct el_str){ "", 0 };
    m->node.number = number;
    m->node.life = CP_JOINING;
    m->load = s->load; /* one that comes while records are read need not be among them */
    el_list_init(&m->dirty);
    el_list_init(&m->commands);
    s->by_number[number] = m;
    cp_table_put(&s->nodes, &m->entry);
    see(s, m);
    return m;
}

static void free_member(struct cp_member *m)
{
    free_text(&m->node.card.labels);
    free_text(&m->node.beat.downloads);
    free_text(&m->node.beat.runs);
    free_text(&m->node.beat.links);
    cp_set_deinit(&m->chunks);
    cp_set_deinit(&m->paging.chunks);
    free(m);
}

/* From everywhere but the store. */
static void drop_member(struct cp_state *s, struct cp_member *m, const char *why)
{
    cp_event_add(s, CP_EV_NODE_DOWN, m->entry.key, 0, el_str_of(why));
    cp_chunks_drop(s, m);
    cp_commands_drop_node(s, m);
    el_list_remove(&m->dirty);
    s->by_number[m->node.number] = NULL;
    cp_table_remove(&s->nodes, &m->entry);
    s->epoch++;
    free_member(m);
}

static void remove_member(struct cp_state *s, struct cp_member *m, const char *why)
{
    struct cp_key k;

    cp_commands_withdraw_node(s, m);
    cp_chunks_forget(s, m);
    cp_groups_drop_node(s, m->entry.key);
    cp_token_drop_of(s, m->entry.key);
    cp_emit_removal(s, CP_SOFT, cp_key_of(&k, "beat", m->entry.key));
    cp_emit_removal(s, CP_HARD, cp_key_of(&k, "node", m->entry.key));
    drop_member(s, m, why);
}

void cp_nodes_deinit(struct cp_state *s)
{
    for (size_t i = 0; i < s->numbers; i++) {
        if (s->by_number[i] != NULL)
            free_member(s->by_number[i]);
    }
    free(s->by_number);
    cp_table_deinit(&s->nodes);
}

/* ---- registration ---- */

static bool is_host(const char *host)
{
    for (const char *c = host; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || strchr("/?#@\"\\", *c) != NULL)
            return false;
    }
    return host[0] != '\0';
}

static bool is_label(const char *text)
{
    return cp_is_printable(el_str_of(text));
}

static enum el_err check_card(const struct cp_card *c, struct el_error *err)
{
    if (!cp_name_is_valid(el_str_of(c->node_id)))
        return el_fail(err, EL_EINVAL, 0, "node_id: 1 to %u letters, digits, '.', '_', ':', '-'",
                       CP_ID_MAX);
    if (!is_host(c->address))
        return el_fail(err, EL_EINVAL, 0, "address: not a host or address");
    if (!is_label(c->name))
        return el_fail(err, EL_EINVAL, 0, "name: printable ASCII only");
    if (!is_label(c->version))
        return el_fail(err, EL_EINVAL, 0, "version: printable ASCII only");
    if (c->zone[0] != '\0' && !cp_name_is_valid(el_str_of(c->zone)))
        return el_fail(err, EL_EINVAL, 0, "zone: letters, digits, '.', '_', ':', '-'");
    if (c->region[0] != '\0' && !cp_name_is_valid(el_str_of(c->region)))
        return el_fail(err, EL_EINVAL, 0, "region: letters, digits, '.', '_', ':', '-'");
    if (c->labels.n > CP_LABELS_MAX)
        return el_fail(err, EL_EINVAL, 0, "labels: longer than %u bytes", CP_LABELS_MAX);
    return EL_OK;
}

/* All but the id. */
static void set_card(struct cp_member *m, const struct cp_card *card)
{
    struct el_str labels = own_text(card->labels);
    char node_id[CP_ID_MAX + 1];

    memcpy(node_id, m->node.card.node_id, sizeof(node_id));
    free_text(&m->node.card.labels);
    m->node.card = *card;
    m->node.card.labels = labels;
    memcpy(m->node.card.node_id, node_id, sizeof(node_id));
}

static bool is_same_card(const struct cp_card *a, const struct cp_card *b)
{
    struct el_buf x = { 0 }, y = { 0 };
    bool is_same;

    encode_card(&x, a);
    encode_card(&y, b);
    is_same = el_str_eq(el_buf_str(&x), el_buf_str(&y));
    el_buf_deinit(&x);
    el_buf_deinit(&y);
    return is_same;
}

static bool is_same_place(const struct cp_card *a, const struct cp_card *b)
{
    return a->http_port == b->http_port && a->serves == b->serves &&
           strcmp(a->address, b->address) == 0;
}

/* A node that was there: what is new of it. */
static void renew(struct cp_state *s, struct cp_member *m, const struct cp_card *said)
{
    struct cp_card card = *said;

    if (!card.has_proof) { /* it has shown otherwise that it is the same node */
        card.has_proof = m->node.card.has_proof;
        card.proof = m->node.card.proof;
    }
    if (!is_same_card(&m->node.card, &card)) {
        if (!is_same_place(&m->node.card, &card))
            cp_reach_moved(m);
        set_card(m, &card);
        cp_event_add(s, CP_EV_NODE_CHANGED, m->entry.key, 0, EL_STR(""));
    }
    if (!cp_node_is_alive(&m->node))
        set_life(s, m, CP_ACTIVE);
}

enum el_err cp_node_check_proof(const struct cp_state *s, const struct cp_card *card,
                                struct el_error *err)
{
    const struct cp_member *m = cp_member_get(s, el_str_of(card->node_id));
    const struct cp_card *known = m == NULL ? NULL : &m->node.card;

    if (known == NULL || !known->has_proof ||
        (card->has_proof && el_mac_is_same(&card->proof, &known->proof, sizeof(card->proof))))
        return EL_OK;
    return el_fail(err, EL_ECONFLICT, 0, "node_id: another node has it, or had it until just now");
}

enum el_err cp_node_register(struct cp_state *s, const struct cp_card *card,
                             const struct cp_node **ret_node, struct el_error *err)
{
    struct cp_member *m = cp_member_get(s, el_str_of(card->node_id));
    enum el_err rc = check_card(card, err);

    if (rc != EL_OK)
        return rc;
    if (m == NULL) {
        m = put_member(s, el_str_of(card->node_id));
        if (m == NULL)
            return el_fail(err, EL_EFULL, 0, "node_id: %u nodes are there already", CP_NODES_MAX);
        set_card(m, card);
        m->node.registered_wall_ms = s->wall_ms;
        cp_member_rate(m);
        cp_event_add(s, CP_EV_NODE_UP, m->entry.key, 0, EL_STR("registered"));
    } else {
        renew(s, m, card);
    }
    see(s, m);
    s->epoch++;
    m->load = s->load;
    emit_node(s, m);
    *ret_node = &m->node;
    return EL_OK;
}

/* ---- beats ---- */

static double sane(double v)
{
    return isfinite(v) && v > 0 ? v : 0;
}

static void set_beat(struct cp_member *m, const struct cp_beat *beat)
{
    struct el_str downloads = own_text(el_str_first(beat->downloads, CP_DOWNLOADS_MAX));
    struct el_str runs = own_text(el_str_first(beat->runs, CP_RUNS_MAX));
    struct el_str links = own_text(el_str_first(beat->links, CP_LINKS_MAX));
    struct cp_beat *b = &m->node.beat;

    m->has_beat = true;
    free_text(&b->downloads);
    free_text(&b->runs);
    free_text(&b->links);
    *b = *beat;
    b->downloads = downloads;
    b->runs = runs;
    b->links = links;
    b->hottest = NULL;
    b->hottest_n = 0;
    b->memory_used_mb = sane(b->memory_used_mb);
    b->disk_used_mb = sane(b->disk_used_mb);
    b->cache_hit_rate = sane(b->cache_hit_rate);
    b->upload_speed_mbps = sane(b->upload_speed_mbps);
    b->download_speed_mbps = sane(b->download_speed_mbps);
}

/* Errors since the last whole minute began. */
static void watch_errors(struct cp_state *s, struct cp_member *m)
{
    uint64_t errors = m->node.beat.origin_errors;

    if (errors < m->errors_seen)
        m->errors_seen = 0; /* the node began anew */
    if (m->errors_ms == 0)
        m->errors_seen = errors;
    if (errors - m->errors_seen >= s->conf.alert_origin_errors)
        m->is_erring = true;
    if (m->errors_ms != 0 && s->mono_ms - m->errors_ms < 60000)
        return;
    m->is_erring = m->errors_ms != 0 && errors - m->errors_seen >= s->conf.alert_origin_errors;
    m->errors_seen = errors;
    m->errors_ms = el_max_u64(1, s->mono_ms);
}

/* An hour's accesses, as far as they fell into this beat, which took so long. */
static void heat_by(struct cp_state *s, const struct cp_beat *beat, uint64_t ms)
{
    double share = (double)el_min_u64(ms, s->conf.beat_ms) / 3600000;

    for (size_t i = 0; i < beat->hottest_n && i < CP_HOTTEST_MAX; i++) {
        const struct cp_hot *hot = &beat->hottest[i];
        struct cp_version *v = cp_index_version(&s->index, hot->object);

        for (size_t k = 0; v != NULL && k < v->n; k++)
            cp_heat_add(s, v->span[k], sane(hot->accesses_per_hour) * share);
    }
}

static bool wants_full(const struct cp_member *m, const struct cp_beat *beat)
{
    return beat->has_report &&
           (beat->report_epoch != m->node.report_epoch || beat->report_digest != m->node.digest);
}

/* Downloads are looked at while they run; where many do, what there is has to do. */
static uint32_t next_beat_ms(const struct cp_state *s, const struct cp_beat *beat)
{
    if (beat->downloads.n == 0 || cp_node_count(s) > CP_QUICK_BEATS_NODES)
        return s->conf.beat_ms;
    return (uint32_t)el_min_u64(s->conf.beat_ms, CP_QUICK_BEAT_MS);
}

static void answer_beat(const struct cp_state *s, const struct cp_member *m,
                        const struct cp_beat *beat, struct cp_beat_answer *ret)
{
    *ret = (struct cp_beat_answer){
        .is_full_report_wanted = wants_full(m, beat),
        .commands = m->commands_n,
        .config_version = cp_config_version(s),
        .policy_version = s->policy_version,
        .prefetch = cp_prefetch_for(s, m),
        .report_epoch = m->node.report_epoch,
        .report_digest = m->node.digest,
        .beat_ms = next_beat_ms(s, beat),
        .node = &m->node,
    };
}

static void beat_life(struct cp_state *s, struct cp_member *m)
{
    set_life(s, m, m->node.beat.is_online ? CP_ACTIVE : CP_SUSPECT);
    cp_member_rate(m);
}

enum el_err cp_node_beat(struct cp_state *s, struct el_str node_id, const struct cp_beat *beat,
                         struct cp_beat_answer *ret_answer, struct el_error *err)
{
    struct cp_member *m = NULL;
    enum el_err rc = cp_member_find(s, node_id, &m, err);
    uint64_t ms;

    if (rc != EL_OK)
        return rc;
    ms = s->mono_ms - m->node.seen_ms;
    set_beat(m, beat);
    m->node.clock_skew_ms = beat->timestamp_ms == 0 ? 0 : beat->timestamp_ms - s->wall_ms;
    see(s, m);
    beat_life(s, m);
    watch_errors(s, m);
    heat_by(s, beat, ms);
    m->is_beat_dirty = true;
    s->count.total_heartbeats++;
    answer_beat(s, m, beat, ret_answer);
    return EL_OK;
}

/* ---- what operators want ---- */

enum el_err cp_node_remove(struct cp_state *s, struct el_str node_id, struct el_error *err)
{
    struct cp_member *m = NULL;
    enum el_err rc = cp_member_find(s, node_id, &m, err);

    if (rc == EL_OK)
        remove_member(s, m, "left");
    return rc;
}

enum el_err cp_node_drain(struct cp_state *s, struct el_str node_id, bool is_draining,
                          struct el_error *err)
{
    struct cp_member *m = NULL;
    enum el_err rc = cp_member_find(s, node_id, &m, err);

    if (rc != EL_OK || m->node.is_draining == is_draining)
        return rc;
    m->node.is_draining = is_draining;
    s->epoch++;
    tell_state(s, m);
    emit_node(s, m);
    return EL_OK;
}

enum el_err cp_node_relay(struct cp_state *s, struct el_str node_id, bool is_relay,
                          struct el_error *err)
{
    struct cp_member *m = NULL;
    enum el_err rc = cp_member_find(s, node_id, &m, err);

    if (rc != EL_OK || m->node.is_relay == is_relay)
        return rc;
    m->node.is_relay = is_relay;
    s->epoch++;
    cp_event_add(s, CP_EV_NODE_CHANGED, m->entry.key, 0, EL_STR("relay"));
    emit_node(s, m);
    return EL_OK;
}

/* ---- time ---- */

static void age(struct cp_state *s, struct cp_member *m)
{
    uint64_t silent_ms = s->mono_ms - m->node.seen_ms;

    if (silent_ms >= s->conf.dead_ms)
        set_life(s, m, CP_DEAD);
    else if (silent_ms > (uint64_t)MISSED * s->conf.beat_ms)
        set_life(s, m, CP_SUSPECT);
}

static void write_beat(struct cp_state *s, struct cp_member *m)
{
    struct el_buf b = { 0 };
    struct cp_key k;

    m->is_beat_dirty = false;
    encode_beat(&b, &m->node.beat);
    cp_emit(s, CP_SOFT, cp_key_of(&k, "beat", m->entry.key), &b);
}

void cp_nodes_tick(struct cp_state *s, bool has_duty)
{
    uint32_t cursor = 0;
    struct cp_member *m;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        age(s, m);
        if (has_duty && s->mono_ms - m->node.seen_ms >= s->conf.forget_ms)
            remove_member(s, m, "forgotten");
    }
}

void cp_nodes_write(struct cp_state *s)
{
    uint32_t cursor = 0;
    struct cp_member *m;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        if (m->is_beat_dirty)
            write_beat(s, m);
    }
}

/* ---- records ---- */

/* Members that records speak of before their own has come are made, and go if it does not come. */
static enum el_err apply_node(struct cp_state *s, struct el_str name, struct el_str value,
                              bool is_removal, struct el_error *err)
{
    struct cp_member *m = cp_member_get(s, name);
    struct el_bytes b = el_bytes_of(value);
    struct cp_card card = { 0 };
    uint8_t format = el_bytes_u8(&b);
    bool is_draining, is_relay, was_draining;
    int64_t registered_ms;

    if (is_removal) {
        if (m != NULL)
            drop_member(s, m, "left");
        return EL_OK;
    }
    if (!cp_name_is_valid(name) || format == 0 || format > NODE_FORMAT)
        return cp_bad_record(err, "node");
    decode_card(&b, format, &card);
    memcpy(card.node_id, name.p, name.n);
    is_draining = el_bytes_u8(&b) != 0;
    is_relay = el_bytes_u8(&b) != 0;
    registered_ms = (int64_t)el_bytes_u64(&b);
    if (!el_bytes_is_end(&b) || check_card(&card, NULL) != EL_OK)
        return cp_bad_record(err, "node");
    if (m == NULL) {
        m = put_member(s, name);
        if (m == NULL)
            return el_fail(err, EL_EFULL, 0, "%u nodes are there already", CP_NODES_MAX);
        set_card(m, &card);
        cp_member_rate(m);
        cp_event_add(s, CP_EV_NODE_UP, m->entry.key, 0, EL_STR("registered"));
    } else {
        renew(s, m, &card);
    }
    was_draining = m->node.is_draining;
    m->node.is_draining = is_draining;
    m->node.is_relay = is_relay;
    m->node.registered_wall_ms = registered_ms;
    m->load = s->load;
    if (was_draining != is_draining)
        tell_state(s, m);
    see(s, m);
    s->epoch++;
    return EL_OK;
}

static void sweep_nodes(struct cp_state *s)
{
    uint32_t cursor = 0;
    struct cp_member *m;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        if (m->load != s->load)
            drop_member(s, m, "left");
        else
            see(s, m);
    }
}

static void dump_nodes(const struct cp_state *s, cp_keep *keep, void *arg)
{
    uint32_t cursor = 0;
    struct cp_member *m;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        struct el_buf b = { 0 };
        struct cp_key k;

        encode_node(&b, &m->node);
        keep(arg, cp_key_of(&k, "node", m->entry.key), el_buf_str(&b));
        el_buf_deinit(&b);
    }
}

const struct cp_kind cp_kind_node = { "node", apply_node, sweep_nodes, dump_nodes };

static enum el_err apply_beat(struct cp_state *s, struct el_str name, struct el_str value,
                              bool is_removal, struct el_error *err)
{
    struct cp_member *m = cp_member_get(s, name);
    struct cp_beat beat = { 0 };

    if (is_removal)
        return EL_OK;
    if (!decode_beat(value, &beat))
        return cp_bad_record(err, "beat");
    if (m == NULL)
        return EL_OK; /* its node is gone, or another beat will come */
    set_beat(m, &beat);
    see(s, m);
    beat_life(s, m);
    watch_errors(s, m);
    return EL_OK;
}

static void dump_beats(const struct cp_state *s, cp_keep *keep, void *arg)
{
    uint32_t cursor = 0;
    struct cp_member *m;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        struct el_buf b = { 0 };
        struct cp_key k;

        if (!m->has_beat)
            continue;
        encode_beat(&b, &m->node.beat);
        keep(arg, cp_key_of(&k, "beat", m->entry.key), el_buf_str(&b));
        el_buf_deinit(&b);
    }
}

const struct cp_kind cp_kind_beat = { "beat", apply_beat, NULL, dump_beats };

/* ---- where to begin ---- */

static int rank_of(const struct cp_node *n, struct el_str zone)
{
    bool is_near = zone.n > 0 && el_str_eq(zone, el_str_of(n->card.zone));
    bool is_good = n->card.is_anchor || n->is_relay;

    return (is_near ? 1000 : 0) + (is_good ? 500 : 0) + n->health;
}

/* Keeps the best `max`, best first. */
static size_t insert_ranked(const struct cp_node **ret, int *rank, size_t n, size_t max,
                            const struct cp_node *node, int r)
{
    size_t at = n;

    while (at > 0 && rank[at - 1] < r)
        at--;
    if (at == max)
        return n;
    n = n < max ? n + 1 : n;
    memmove(ret + at + 1, ret + at, (n - at - 1) * sizeof(*ret));
    memmove(rank + at + 1, rank + at, (n - at - 1) * sizeof(*rank));
    ret[at] = node;
    rank[at] = r;
    return n;
}

#define SEEDS_MAX 256u

size_t cp_node_seeds(const struct cp_state *s, struct el_str zone, const struct cp_node **ret,
                     size_t max)
{
    int rank[SEEDS_MAX];
    uint32_t cursor = 0;
    struct cp_member *m;
    size_t n = 0;

    max = el_min_size(max, SEEDS_MAX);
    while (max > 0 && (m = cp_member_next(s, &cursor)) != NULL) {
        if (cp_member_gives(m))
            n = insert_ranked(ret, rank, n, max, &m->node, rank_of(&m->node, zone));
    }
    return n;
}

size_t cp_node_sample(struct cp_state *s, const struct cp_node *but, const struct cp_node **ret,
                      size_t max)
{
    size_t start = s->numbers == 0 ? 0 : (size_t)el_rng_below(&s->rng, s->numbers), n = 0;

    for (size_t i = 0; i < s->numbers && n < max; i++) {
        const struct cp_member *m = s->by_number[(start + i) % s->numbers];

        if (m != NULL && &m->node != but && cp_member_gives(m))
            ret[n++] = &m->node;
    }
    return n;
}

static struct cp_zone *zone_of(struct cp_zone *zones, size_t *n, size_t max, const char *name)
{
    size_t at = 0;

    while (at < *n && strcmp(zones[at].name, name) < 0)
        at++;
    if (at < *n && strcmp(zones[at].name, name) == 0)
        return &zones[at];
    if (*n == max)
        return NULL;
    memmove(zones + at + 1, zones + at, (*n - at) * sizeof(*zones));
    zones[at] = (struct cp_zone){ 0 };
    memcpy(zones[at].name, name, strlen(name));
    (*n)++;
    return &zones[at];
}

size_t cp_zones(const struct cp_state *s, struct cp_zone *ret, size_t max)
{
    uint32_t cursor = 0;
    struct cp_member *m;
    size_t n = 0;

    while ((m = cp_member_next(s, &cursor)) != NULL) {
        struct cp_zone *z = zone_of(ret, &n, max, m->node.card.zone);

        if (z == NULL)
            continue;
        z->nodes++;
        z->alive += cp_node_is_alive(&m->node);
        z->relays += m->node.is_relay;
        z->bytes_peer += m->node.beat.bytes_peer;
        z->bytes_origin += m->node.beat.bytes_origin;
    }
    return n;
}
