/* SPDX-License-Identifier: MIT */
/*
 * commands: see commands.h. Records, hard: command/TARGET/ID. That a command was given out is not
 * written down: after a restart, and by another eliocp, it is given once more.
 *
 *   waiting --poll--> given --ack--> done | failed
 *      |  ^-- retry ----'  |
 *      '-------------------'--> expired (ttl) | withdrawn (cancelled, its node left, last copy)
 *
 * Evictions are given out only once they are approved: the one eliocp that has the duty looks
 * whether another copy stays, evictions that are approved and not over counted as gone.
 */
#include "controlplane/state_in.h"

#define COMMAND_FORMAT  1
#define COMMANDS_MAX    10000u
#define OVER_MS         600000 /* for which those that are over are kept */
#define CHUNK_KEY_BYTES (EL_CHUNK_ID_OBJECT_BYTES + 4)

struct order {
    struct cp_command command; /* first: views are commands */
    struct cp_entry entry;     /* by id */
    struct cp_entry moving;    /* by chunk, while it is not over */
    uint8_t chunk_key[CHUNK_KEY_BYTES];
    struct el_list of_member; /* its target's, while it is not over, most urgent first */
    struct el_list all;       /* newest first */
    uint64_t serial;          /* grows: for cursors */
    uint64_t given_ms, expires_ms, over_ms; /* mono */
    bool is_approved;
    uint64_t load;
};

static const char *const actions[] = { "replicate", "evict", "migrate" };
static const char *const states[] = {
    "waiting", "given", "done", "failed", "expired", "withdrawn"
};

const char *cp_action_name(enum cp_action a)
{
    return actions[a];
}

bool cp_action_parse(struct el_str name, enum cp_action *ret_action)
{
    for (unsigned i = 0; i < EL_COUNT(actions); i++) {
        if (el_str_eq(name, el_str_of(actions[i]))) {
            *ret_action = (enum cp_action)i;
            return true;
        }
    }
    return false;
}

const char *cp_command_state_name(enum cp_command_state st)
{
    return states[st];
}

static bool is_over(const struct order *o)
{
    return o->command.state > CP_GIVEN;
}

/* ---- what is written down ---- */

static struct el_str key_of(struct cp_key *k, const struct order *o)
{
    return cp_key_of2(k, "command", el_str_of(o->command.target_node_id), o->entry.key);
}

static void encode(struct el_buf *b, const struct order *o)
{
    const struct cp_command *c = &o->command;

    el_bytes_add_u8(b, COMMAND_FORMAT);
    el_buf_add(b, c->chunk.object, sizeof(c->chunk.object));
    el_bytes_add_u32(b, c->chunk.index);
    el_bytes_add_u8(b, (uint8_t)c->action);
    el_bytes_add_u8(b, (uint8_t)(c->state == CP_GIVEN ? CP_WAITING : c->state));
    cp_add_text(b, el_str_of(c->source_node_id));
    el_bytes_add_u32(b, c->priority);
    el_bytes_add_u64(b, (uint64_t)c->created_wall_ms);
    el_bytes_add_u64(b, (uint64_t)c->expires_wall_ms);
    el_bytes_add_u64(b, c->operation);
    el_bytes_add_u8(b, o->is_approved);
    cp_add_text(b, el_str_of(c->text));
}

static void emit_order(struct cp_state *s, const struct order *o)
{
    struct el_buf b = { 0 };
    struct cp_key k;

    encode(&b, o);
    cp_emit(s, CP_HARD, key_of(&k, o), &b);
}

/* ---- its places ---- */

static void chunk_key(const struct el_chunk_id *id, uint8_t ret[CHUNK_KEY_BYTES])
{
    memcpy(ret, id->object, sizeof(id->object));
    for (unsigned i = 0; i < 4; i++)
        ret[EL_CHUNK_ID_OBJECT_BYTES + i] = (uint8_t)(id->index >> (24 - 8 * i));
}

static void link_to_member(struct cp_member *m, struct order *o)
{
    struct el_list *at = m->commands.prev;

    while (at != &m->commands &&
           EL_ENTRY(at, struct order, of_member)->command.priority < o->command.priority)
        at = at->prev;
    el_list_insert_before(at->next, &o->of_member);
    m->commands_n++;
}

static void begin(struct cp_state *s, struct order *o)
{
    struct cp_member *m = cp_member_get(s, el_str_of(o->command.target_node_id));

    chunk_key(&o->command.chunk, o->chunk_key);
    o->moving.key = (struct el_str){ (const char *)o->chunk_key, sizeof(o->chunk_key) };
    cp_table_put(&s->moving, &o->moving);
    s->commands_waiting++;
    if (m != NULL)
        link_to_member(m, o);
}

static void leave_member(struct cp_state *s, struct order *o)
{
    struct cp_member *m = cp_member_get(s, el_str_of(o->command.target_node_id));

    if (m != NULL && !el_list_empty(&o->of_member))
        m->commands_n--;
    el_list_remove(&o->of_member);
}

/* Into one of the states that are over. */
static void end(struct cp_state *s, struct order *o, enum cp_command_state state)
{
    cp_table_remove(&s->moving, &o->moving);
    s->commands_waiting--;
    leave_member(s, o);
    o->command.state = state;
    o->over_ms = s->mono_ms;
    s->count.commands_done += state == CP_DONE;
    s->count.commands_failed += state == CP_FAILED;
    s->count.commands_expired += state == CP_EXPIRED;
}

static struct order *put_order(struct cp_state *s, const char *id)
{
    struct order *o = el_new(struct order);

    memcpy(o->command.command_id, id, strlen(id));
    o->entry.key = el_str_of(o->command.command_id);
    o->serial = ++s->command_serial;
    o->load = s->load;
    el_list_init(&o->of_member);
    el_list_init(&o->all);
    el_list_prepend(&s->commands_new, &o->all);
    cp_table_put(&s->commands, &o->entry);
    return o;
}

static void drop_order(struct cp_state *s, struct order *o)
{
    if (!is_over(o))
        end(s, o, CP_WITHDRAWN);
    el_list_remove(&o->all);
    cp_table_remove(&s->commands, &o->entry);
    free(o);
}

static void over(struct cp_state *s, struct order *o, enum cp_command_state state, const char *why)
{
    end(s, o, state);
    cp_copy_text(o->command.text, CP_TEXT_MAX, el_str_of(why));
    emit_order(s, o);
}

/* ---- issuing ---- */

bool cp_command_has_room(const struct cp_state *s)
{
    return s->commands_waiting < COMMANDS_MAX;
}

const struct cp_command *cp_command_issue(struct cp_state *s, const struct cp_wish *w)
{
    char id[CP_COMMAND_ID_CHARS + 1];
    struct order *o;
    struct cp_command *c;

    (void)snprintf(id, sizeof(id), "%016llx", (unsigned long long)el_rng_u64(&s->rng));
    o = put_order(s, id);
    c = &o->command;
    c->chunk = w->chunk;
    c->action = w->action;
    c->priority = w->priority;
    c->operation = w->operation;
    c->created_wall_ms = s->wall_ms;
    c->expires_wall_ms = s->wall_ms + s->conf.command_ttl_ms;
    o->expires_ms = s->mono_ms + s->conf.command_ttl_ms;
    if (w->source != NULL)
        memcpy(c->source_node_id, w->source->node.card.node_id, sizeof(c->source_node_id));
    memcpy(c->target_node_id, w->target->node.card.node_id, sizeof(c->target_node_id));
    begin(s, o);
    s->count.commands_issued++;
    emit_order(s, o);
    cp_event_add(s, CP_EV_COMMANDS, w->target->entry.key, w->target->commands_n, EL_STR(""));
    return c;
}

static struct order *first_moving(const struct cp_state *s, const struct el_chunk_id *id)
{
    uint8_t key[CHUNK_KEY_BYTES];
    struct cp_entry *e;

    chunk_key(id, key);
    e = cp_table_get(&s->moving, (struct el_str){ (const char *)key, sizeof(key) });
    return e == NULL ? NULL : EL_ENTRY(e, struct order, moving);
}

static struct order *next_moving(const struct order *o)
{
    struct cp_entry *e = cp_table_same(&o->moving);

    return e == NULL ? NULL : EL_ENTRY(e, struct order, moving);
}

unsigned cp_command_moving(const struct cp_state *s, const struct el_chunk_id *id,
                           const struct cp_member *target, bool *ret_is_for_target)
{
    unsigned n = 0;

    *ret_is_for_target = false;
    for (const struct order *o = first_moving(s, id); o != NULL; o = next_moving(o)) {
        n++;
        if (target != NULL && el_str_eq(target->entry.key, el_str_of(o->command.target_node_id)))
            *ret_is_for_target = true;
    }
    return n;
}

/* An eviction that is approved, of this chunk on this node. */
static bool is_leaving(const struct cp_state *s, const struct el_chunk_id *id,
                       const struct cp_member *m)
{
    for (const struct order *o = first_moving(s, id); o != NULL; o = next_moving(o)) {
        if (o->command.action == CP_EVICT && o->is_approved &&
            el_str_eq(m->entry.key, el_str_of(o->command.target_node_id)))
            return true;
    }
    return false;
}

/* Somebody else has it, gives it, and is not told to drop it. */
static bool is_elsewhere(const struct cp_state *s, const struct el_chunk_id *id,
                         struct el_str node_id)
{
    uint32_t number, node = 0;

    if (!cp_index_find(&s->index, id, &number))
        return false;
    for (; cp_holders_next(cp_index_holders(&s->index, number), &node); node++) {
        const struct cp_member *m = cp_member_of(s, (uint16_t)node);

        if (m != NULL && cp_member_gives(m) && !el_str_eq(m->entry.key, node_id) &&
            !is_leaving(s, id, m))
            return true;
    }
    return false;
}

enum el_err cp_command_order(struct cp_state *s, const struct cp_order *order,
                             const struct cp_command **ret_command, struct el_error *err)
{
    struct cp_wish w = { .chunk = order->chunk,
                         .action = order->action,
                         .priority = order->priority > 100 ? 100 : order->priority };
    enum el_err rc;

    w.target = cp_member_get(s, order->target_node_id);
    if (w.target == NULL)
        return el_fail(err, EL_ENOTFOUND, 0, "target_node_id: no such node");
    w.source = cp_member_get(s, order->source_node_id);
    if (w.source == NULL && order->source_node_id.n > 0)
        return el_fail(err, EL_ENOTFOUND, 0, "source_node_id: no such node");
    if (w.action == CP_MIGRATE && (w.source == NULL || w.source == w.target))
        return el_fail(err, EL_EINVAL, 0, "source_node_id: migrate is from one node to another");
    if (!cp_command_has_room(s))
        return el_fail(err, EL_EOVERLOAD, 0, "%u commands wait already", COMMANDS_MAX);
    rc = w.action == CP_EVICT && !is_elsewhere(s, &w.chunk, w.target->entry.key)
             ? el_fail(err, EL_ECONFLICT, 0, "target_node_id: nobody else has the chunk")
             : EL_OK;
    if (rc == EL_OK)
        *ret_command = cp_command_issue(s, &w);
    return rc;
}

/* ---- giving out ---- */

static bool is_due(const struct cp_state *s, const struct order *o)
{
    if (o->command.action == CP_EVICT && !o->is_approved)
        return false;
    return o->command.state == CP_WAITING || s->mono_ms - o->given_ms >= s->conf.command_retry_ms;
}

enum el_err cp_command_poll(struct cp_state *s, struct el_str node_id,
                            const struct cp_command **ret, size_t max, size_t *ret_n,
                            struct el_error *err)
{
    struct cp_member *m = NULL;
    enum el_err rc = cp_member_find(s, node_id, &m, err);
    struct el_list *it, *tmp;
    size_t n = 0;

    if (rc != EL_OK)
        return rc;
    max = el_min_size(max, CP_POLL_MAX);
    EL_LIST_EACH (it, tmp, &m->commands) {
        struct order *o = EL_ENTRY(it, struct order, of_member);

        if (n == max)
            break;
        if (!is_due(s, o))
            continue;
        if (o->command.action == CP_EVICT && !is_elsewhere(s, &o->command.chunk, m->entry.key)) {
            over(s, o, CP_WITHDRAWN, "it would have been the last copy");
            continue;
        }
        o->command.state = CP_GIVEN;
        o->command.given++;
        o->given_ms = s->mono_ms;
        ret[n++] = &o->command;
    }
    *ret_n = n;
    return EL_OK;
}

static struct order *get_order(const struct cp_state *s, struct el_str id)
{
    struct cp_entry *e = cp_table_get(&s->commands, id);

    return e == NULL ? NULL : EL_ENTRY(e, struct order, entry);
}

static enum el_err find_order(const struct cp_state *s, struct el_str id, struct order **ret,
                              struct el_error *err)
{
    *ret = get_order(s, id);
    if (*ret == NULL) {
        (void)el_fail(err, EL_ENOTFOUND, 0, "command_id: no such command");
        return EL_ENOTFOUND;
    }
    return EL_OK;
}

static void tell_moved(struct cp_state *s, const struct order *o)
{
    char text[CP_TEXT_MAX + 1], id[EL_CHUNK_ID_CHARS + 1];
    int n;

    el_chunk_id_text(&o->command.chunk, id);
    n = snprintf(text, sizeof(text), "%s %s", actions[o->command.action], id);
    cp_event_add(s, CP_EV_CHUNK_MOVED, el_str_of(o->command.target_node_id), 0,
                 (struct el_str){ text, (size_t)n });
}

/* The other half of a migration. */
static void evict_source(struct cp_state *s, const struct order *o)
{
    struct cp_wish w = { .chunk = o->command.chunk,
                         .action = CP_EVICT,
                         .priority = o->command.priority,
                         .target = cp_member_get(s, el_str_of(o->command.source_node_id)) };

    if (w.target != NULL)
        (void)cp_command_issue(s, &w);
}

enum el_err cp_command_ack(struct cp_state *s, struct el_str node_id, struct el_str command_id,
                           bool is_done, struct el_str text, struct el_error *err)
{
    struct order *o = NULL;
    char why[CP_TEXT_MAX + 1];
    enum el_err rc = find_order(s, command_id, &o, err);

    if (rc != EL_OK)
        return rc;
    if (!el_str_eq(node_id, el_str_of(o->command.target_node_id)))
        return el_fail(err, EL_EFORBIDDEN, 0, "command_id: a command for another node");
    if (is_over(o))
        return EL_OK;
    cp_copy_text(why, CP_TEXT_MAX, text);
    over(s, o, is_done ? CP_DONE : CP_FAILED, why);
    if (is_done)
        tell_moved(s, o);
    if (is_done && o->command.action == CP_MIGRATE)
        evict_source(s, o);
    return EL_OK;
}

enum el_err cp_command_cancel(struct cp_state *s, struct el_str command_id, struct el_error *err)
{
    struct order *o = NULL;
    enum el_err rc = find_order(s, command_id, &o, err);

    if (rc != EL_OK)
        return rc;
    if (is_over(o))
        return el_fail(err, EL_ECONFLICT, 0, "command_id: it is over");
    over(s, o, CP_WITHDRAWN, "cancelled");
    return EL_OK;
}

const struct cp_command *cp_command_get(const struct cp_state *s, struct el_str command_id)
{
    const struct order *o = get_order(s, command_id);

    return o == NULL ? NULL : &o->command;
}

/* The cursor is the serial of the last one given. */
const struct cp_command *cp_command_next(const struct cp_state *s, uint64_t *cursor)
{
    for (struct el_list *it = s->commands_new.next; it != &s->commands_new; it = it->next) {
        const struct order *o = EL_ENTRY(it, struct order, all);

        if (*cursor == 0 || o->serial < *cursor) {
            *cursor = o->serial;
            return &o->command;
        }
    }
    return NULL;
}

/* How many of an operation are not over. */
uint32_t cp_command_pending(const struct cp_state *s, uint64_t operation)
{
    uint32_t n = 0;

    for (struct el_list *it = s->commands_new.next; it != &s->commands_new; it = it->next) {
        const struct order *o = EL_ENTRY(it, struct order, all);

        n += !is_over(o) && o->command.operation == operation;
    }
    return n;
}

/* ---- what ends commands ---- */

/* Calls act() for each, oldest first; it may drop the one it is given. */
static void each(struct cp_state *s, void (*act)(struct cp_state *, struct order *, uint64_t arg),
                 uint64_t arg)
{
    for (struct el_list *it = s->commands_new.prev, *prev; it != &s->commands_new; it = prev) {
        prev = it->prev;
        act(s, EL_ENTRY(it, struct order, all), arg);
    }
}

void cp_commands_drop_node(struct cp_state *s, struct cp_member *m)
{
    while (!el_list_empty(&m->commands))
        end(s, EL_ENTRY(m->commands.next, struct order, of_member), CP_WITHDRAWN);
}

void cp_commands_withdraw_node(struct cp_state *s, struct cp_member *m)
{
    while (!el_list_empty(&m->commands))
        over(s, EL_ENTRY(m->commands.next, struct order, of_member), CP_WITHDRAWN,
             "the node is gone");
}

static void withdraw_of(struct cp_state *s, struct order *o, uint64_t operation)
{
    if (!is_over(o) && o->command.operation == operation)
        over(s, o, CP_WITHDRAWN, "its operation was cancelled");
}

void cp_commands_withdraw(struct cp_state *s, uint64_t operation)
{
    each(s, withdraw_of, operation);
}

static void approve(struct cp_state *s, struct order *o)
{
    if (is_elsewhere(s, &o->command.chunk, el_str_of(o->command.target_node_id))) {
        o->is_approved = true;
        emit_order(s, o);
    } else {
        over(s, o, CP_WITHDRAWN, "it would have been the last copy");
    }
}

static void tick_one(struct cp_state *s, struct order *o, uint64_t has_duty)
{
    struct cp_key k;

    if (is_over(o)) {
        if (has_duty && s->mono_ms - o->over_ms > OVER_MS) {
            cp_emit_removal(s, CP_SOFT, key_of(&k, o));
            drop_order(s, o);
        }
        return;
    }
    if (has_duty && s->mono_ms >= o->expires_ms)
        over(s, o, CP_EXPIRED, "nobody has acknowledged it");
    else if (has_duty && o->command.action == CP_EVICT && !o->is_approved)
        approve(s, o);
}

void cp_commands_tick(struct cp_state *s, bool has_duty)
{
    each(s, tick_one, has_duty);
}

static void drop_each(struct cp_state *s, struct order *o, uint64_t arg)
{
    (void)arg;
    drop_order(s, o);
}

void cp_commands_deinit(struct cp_state *s)
{
    each(s, drop_each, 0);
    cp_table_deinit(&s->commands);
    cp_table_deinit(&s->moving);
}

/* ---- records ---- */

static bool decode(struct el_str value, struct cp_command *c, bool *ret_is_approved)
{
    struct el_bytes b = el_bytes_of(value);
    uint8_t format = el_bytes_u8(&b), action, state;

    el_bytes_copy(&b, c->chunk.object, sizeof(c->chunk.object));
    c->chunk.index = el_bytes_u32(&b);
    action = el_bytes_u8(&b);
    state = el_bytes_u8(&b);
    cp_get_chars(&b, c->source_node_id, CP_ID_MAX);
    c->priority = el_bytes_u32(&b);
    c->created_wall_ms = (int64_t)el_bytes_u64(&b);
    c->expires_wall_ms = (int64_t)el_bytes_u64(&b);
    c->operation = el_bytes_u64(&b);
    *ret_is_approved = el_bytes_u8(&b) != 0;
    cp_get_chars(&b, c->text, CP_TEXT_MAX);
    if (!el_bytes_is_end(&b) || format != COMMAND_FORMAT || action > CP_MIGRATE ||
        state > CP_WITHDRAWN)
        return false;
    c->action = (enum cp_action)action;
    c->state = (enum cp_command_state)state;
    return true;
}

/* What another says of a command: it is new, approved, or over. */
static void take_in(struct cp_state *s, struct order *o, const struct cp_command *c, bool is_new)
{
    bool was_over = !is_new && is_over(o);
    enum cp_command_state state = c->state;

    if (is_new) {
        char id[CP_COMMAND_ID_CHARS + 1];

        memcpy(id, o->command.command_id, sizeof(id));
        o->command = *c;
        memcpy(o->command.command_id, id, sizeof(id));
        o->command.state = CP_WAITING;
        o->expires_ms = s->mono_ms + s->conf.command_ttl_ms;
        begin(s, o);
    }
    memcpy(o->command.text, c->text, sizeof(c->text));
    if (was_over || state <= CP_GIVEN)
        return;
    end(s, o, state);
    if (state == CP_DONE)
        tell_moved(s, o);
}

static bool parse_name(struct el_str name, struct el_str *ret_target, struct el_str *ret_id)
{
    return el_str_split(&name, '/', ret_target) && el_str_split(&name, '/', ret_id) &&
           cp_name_is_valid(*ret_target) && cp_name_is_valid(*ret_id) &&
           ret_id->n == CP_COMMAND_ID_CHARS;
}

static enum el_err apply_command(struct cp_state *s, struct el_str name, struct el_str value,
                                 bool is_removal, struct el_error *err)
{
    struct cp_command c = { 0 };
    struct el_str target, id;
    bool is_approved, is_new;
    struct order *o;

    if (!parse_name(name, &target, &id))
        return cp_bad_record(err, "command");
    o = get_order(s, id);
    if (is_removal) {
        if (o != NULL)
            drop_order(s, o);
        return EL_OK;
    }
    if (!decode(value, &c, &is_approved))
        return cp_bad_record(err, "command");
    memcpy(c.target_node_id, target.p, target.n);
    is_new = o == NULL;
    if (is_new) {
        char text[CP_COMMAND_ID_CHARS + 1] = { 0 };

        memcpy(text, id.p, id.n);
        o = put_order(s, text);
    } else if (!el_str_eq(target, el_str_of(o->command.target_node_id))) {
        return cp_bad_record(err, "command");
    }
    o->load = s->load;
    o->is_approved = is_approved;
    take_in(s, o, &c, is_new);
    return EL_OK;
}

static void drop_unmet(struct cp_state *s, struct order *o, uint64_t load)
{
    if (o->load != load)
        drop_order(s, o);
}

static void sweep_commands(struct cp_state *s)
{
    each(s, drop_unmet, s->load);
}

static void dump_commands(const struct cp_state *s, cp_keep *keep, void *arg)
{
    for (struct el_list *it = s->commands_new.prev; it != &s->commands_new; it = it->prev) {
        const struct order *o = EL_ENTRY(it, struct order, all);
        struct el_buf b = { 0 };
        struct cp_key k;

        encode(&b, o);
        keep(arg, key_of(&k, o), el_buf_str(&b));
        el_buf_deinit(&b);
    }
}

const struct cp_kind cp_kind_command = { "command", apply_command, sweep_commands, dump_commands };
