/* SPDX-License-Identifier: MIT */
/*
 * orders: commands of the control plane, carried out as far as they do no harm.
 *
 *   replicate: --> [is its object known here?] --no--> the record of one that has it --+
 *                            | yes                                                    |
 *                            +--> read the chunk, from peers alone <------------------+
 *   evict:     --> [does another living node say that it has all of it?] --yes--> it leaves
 *
 * migrate is to replicate: once that is acknowledged its source is told to evict.
 *
 * 1. The origin is never asked: a command is nobody's request, and costs no egress.
 * 2. What is read comes as all that peers give: believed by the signature of a member. An object
 *    of which another version is known here is not touched.
 * 3. Evicted is what another node has said to have a moment ago, whatever the control plane knows.
 *
 * Commands come from the client's thread by a message; the rest is the engine's.
 */
#include "common/log.h"
#include "p2p/engine.h"

#define MAX_RUNNING 4u
#define ANSWER_MS   3000u  /* of a node that was asked something */
#define READ_MS     60000u /* for the chunk */

enum step { WAITING, LOADING, ASKING, READING, LEAVING };

struct order {
    struct el_list link;
    struct p2p *p;
    struct disc_cp_command command;
    enum step step;
    uint64_t due_ms;
    uint64_t asked; /* the node that is asked now */
    size_t n_asked; /* of the candidates */
    struct cache_waiter waiter;
    struct cache_reader reader;
    struct cache_ticket *ticket; /* for the chunk's bytes; referenced */
    struct cache_drop drop;
};

/* ---- tickets ---- */

static void ticket_free(struct cache_ticket *t)
{
    free(t);
}

bool p2p_is_of_order(const struct cache_ticket *t)
{
    return t != NULL && t->free == ticket_free;
}

static struct cache_ticket *ticket_new(uint64_t first, uint64_t end)
{
    struct cache_ticket *t = el_new(struct cache_ticket);

    t->free = ticket_free;
    t->exact = true; /* nobody but its own reader waits for its fill */
    t->first = first;
    t->end = end;
    atomic_init(&t->refs, 1);
    return t;
}

/* ---- the end ---- */

static const char *action_name(enum disc_cp_action a)
{
    static const char *const names[] = {
        [DISC_CP_REPLICATE] = "replicate", [DISC_CP_EVICT] = "evict", [DISC_CP_MIGRATE] = "migrate"
    };

    return names[a];
}

static void order_free(struct order *o)
{
    cache_reader_close(&o->reader);
    if (o->step == LOADING)
        cache_flight_leave(o->p->cache, &o->waiter);
    cache_ticket_unref(o->ticket);
    el_list_remove(&o->link);
    free(o);
}

static void tell(struct order *o, enum disc_cp_outcome what, const char *message)
{
    static const char *const outcomes[] = {
        [DISC_CP_DONE] = "done", [DISC_CP_FAILED] = "failed", [DISC_CP_LATER] = "later"
    };
    char chunk[EL_CHUNK_ID_CHARS + 1];

    el_chunk_id_text(&o->command.chunk, chunk);
    el_log(what == DISC_CP_FAILED ? EL_WARN : EL_INFO, EV_CP_COMMAND,
           "id=%s action=%s chunk=%s result=%s reason=%s", o->command.id,
           action_name(o->command.action), chunk, outcomes[what], EL_LOG_Q(el_str_of(message)));
    disc_cp_outcome(o->p->cp, o->command.id, what, message);
}

static void end(struct order *o, enum disc_cp_outcome what, const char *message)
{
    el_counter_add(o->p->count.orders[what], 1);
    tell(o, what, message);
    order_free(o);
}

/* ---- whom to ask ---- */

static bool is_self(const struct p2p *p, const char *node_id)
{
    return strcmp(node_id, p->identity.id) == 0;
}

static bool evicts(const struct order *o)
{
    return o->command.action == DISC_CP_EVICT;
}

/* 0: none, or one that is not known to live. */
static uint64_t living(struct p2p *p, const char *node_id)
{
    uint64_t hash =
        node_id[0] != '\0' && !is_self(p, node_id) ? disc_id_hash(el_str_of(node_id)) : 0;
    struct disc_member m;

    return hash != 0 && disc_members_find(p->members, hash, &m) && m.state == DISC_ALIVE &&
                   strcmp(disc_card_id(m.card), node_id) == 0
               ? hash
               : 0;
}

/* Its source first, then those who have the chunk as the control plane knows. 0: no more. */
static uint64_t next_candidate(struct order *o)
{
    const struct disc_cp_command *c = &o->command;
    uint64_t hash = 0;

    while (hash == 0 && o->n_asked <= c->n_peers) {
        const char *id = o->n_asked == 0 ? c->source : c->peers[o->n_asked - 1];

        hash = living(o->p, id);
        o->n_asked++;
    }
    return hash;
}

static void send_request(struct order *o, uint64_t node, uint32_t flags)
{
    const struct p2p_request request = { .flags = flags };
    struct el_buf frames;

    el_buf_init(&frames);
    p2p_request_add(&frames, p2p_node_version(o->p, node), &o->command.chunk, 0, &request);
    if (!p2p_node_send(o->p, node, &frames))
        o->due_ms = p2p_now(o->p); /* the next one then */
}

static void ask_next(struct order *o)
{
    o->step = ASKING;
    o->asked = next_candidate(o);
    o->due_ms = p2p_now(o->p) + ANSWER_MS;
    if (o->asked != 0)
        send_request(o, o->asked, evicts(o) ? P2P_WANT_HAVE : P2P_WANT_RECORD);
    else if (evicts(o))
        end(o, DISC_CP_FAILED, "no other living node has all of it");
    else
        end(o, DISC_CP_FAILED, "no living node has it");
}

/* ---- replicate ---- */

static struct cache_object *find_object(struct order *o)
{
    struct cache_object_id id;

    memcpy(id.v, o->command.chunk.object, sizeof(id.v));
    return cache_find_version(o->p->cache, &id);
}

static void read_on(struct order *o)
{
    struct cache_span span;

    for (;;) {
        switch (cache_reader_next(&o->reader, SIZE_MAX, &span)) {
        case CACHE_READ_DATA:
            cache_reader_advance(&o->reader, span.n);
            break;
        case CACHE_READ_WAIT:
            return;
        case CACHE_READ_END:
            end(o, DISC_CP_DONE, "");
            return;
        case CACHE_READ_ERROR:
            end(o, DISC_CP_FAILED, o->reader.err.text);
            return;
        }
    }
}

static void on_bytes(struct el_msg *m)
{
    struct order *o = EL_ENTRY(m, struct order, reader.msg);
    struct p2p *p = o->p;

    read_on(o);
    p2p_pump(p);
}

static void read_chunk(struct order *o, struct cache_object *object)
{
    uint64_t first = (uint64_t)o->command.chunk.index * CACHE_CHUNK_BYTES;
    uint64_t length = cache_object_length(object);

    if (first >= length || !p2p_is_shareable(object)) {
        end(o, DISC_CP_FAILED, "the object has no such chunk");
        return;
    }
    o->ticket = ticket_new(first, el_min_u64(first + CACHE_CHUNK_BYTES, length));
    o->step = READING;
    o->due_ms = p2p_now(o->p) + READ_MS;
    o->reader.queue = o->p->queue;
    el_msg_init(&o->reader.msg, on_bytes);
    cache_reader_open(&o->reader, object, o->ticket, o->ticket->first, o->ticket->end);
    read_on(o);
}

static void replicate_known(struct order *o)
{
    struct cache_object *object = find_object(o);

    if (object != NULL)
        read_chunk(o, object);
    else
        ask_next(o);
    cache_object_unref(object);
}

static void on_loaded(struct el_msg *m)
{
    struct order *o = EL_ENTRY(m, struct order, waiter.msg);
    struct p2p *p = o->p;

    o->step = WAITING;
    replicate_known(o);
    p2p_pump(p);
}

static void replicate(struct order *o)
{
    struct cache_object *object = find_object(o);
    struct cache_object_id id;

    memcpy(id.v, o->command.chunk.object, sizeof(id.v));
    o->waiter.queue = o->p->queue;
    el_msg_init(&o->waiter.msg, on_loaded);
    o->due_ms = p2p_now(o->p) + READ_MS;
    if (object == NULL && cache_load_version(o->p->cache, &id, &o->waiter))
        o->step = LOADING;
    else
        replicate_known(o);
    cache_object_unref(object);
}

/* The name of a chunk says of which version it is: no other record will do. */
static bool is_of(const struct order *o, const struct p2p_manifest *m)
{
    struct cache_object_id id;

    cache_object_id_of(m->url, m->meta, m->length, &id);
    return memcmp(id.v, o->command.chunk.object, sizeof(id.v)) == 0;
}

static struct order *find_asking_for(struct p2p *p, uint64_t node, const struct p2p_manifest *m)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->orders) {
        struct order *o = EL_ENTRY(it, struct order, link);

        if (o->step == ASKING && !evicts(o) && o->asked == node && is_of(o, m))
            return o;
    }
    return NULL;
}

static void take_object(struct order *o, const struct p2p_manifest *m, uint64_t age_ms)
{
    struct cache_object *object = find_object(o);

    if (object == NULL)
        object = p2p_find_adopt(o->p, m, age_ms);
    if (object != NULL)
        read_chunk(o, object);
    else
        end(o, DISC_CP_FAILED, "another version of the object is known here");
    cache_object_unref(object);
}

bool p2p_orders_record(struct p2p *p, uint64_t node, const struct p2p_record *r)
{
    struct p2p_manifest m;
    struct el_error err;
    struct order *o;

    if (el_list_empty(&p->orders) || p2p_object_decode(r->bytes, &m, &err) != EL_OK)
        return false;
    o = find_asking_for(p, node, &m);
    if (o != NULL)
        take_object(o, &m, r->age_ms);
    p2p_manifest_deinit(&m);
    return o != NULL;
}

/* ---- evict ---- */

static void on_dropped(struct el_msg *m)
{
    struct order *o = EL_ENTRY(m, struct order, drop.msg);
    struct cache_object *object = find_object(o);
    uint64_t bits[1] = { 0 };

    if (object != NULL && o->drop.err.code == EL_OK)
        cache_object_map(object, (uint64_t)o->command.chunk.index * CACHE_CHUNK_BLOCKS,
                         CACHE_CHUNK_BLOCKS, bits);
    cache_object_unref(object);
    if (o->drop.err.code != EL_OK)
        end(o, DISC_CP_FAILED, o->drop.err.text);
    else if (bits[0] != 0)
        end(o, DISC_CP_LATER, "some of it is in use");
    else
        end(o, DISC_CP_DONE, "");
}

static void drop(struct order *o)
{
    struct cache_object_id id;

    memcpy(id.v, o->command.chunk.object, sizeof(id.v));
    o->step = LEAVING;
    o->due_ms = UINT64_MAX; /* its message comes for certain */
    o->drop.queue = o->p->queue;
    el_msg_init(&o->drop.msg, on_dropped);
    cache_drop_chunk(o->p->cache, &id, o->command.chunk.index, &o->drop);
}

static struct order *find_asking(struct p2p *p, uint64_t node, const struct el_chunk_id *chunk)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->orders) {
        struct order *o = EL_ENTRY(it, struct order, link);

        if (o->step == ASKING && o->asked == node && el_chunk_id_eq(&o->command.chunk, chunk))
            return o;
    }
    return NULL;
}

void p2p_orders_have(struct p2p *p, uint64_t node, const struct el_chunk_id *chunk,
                     const struct p2p_have *have)
{
    struct order *o = find_asking(p, node, chunk);

    if (o == NULL || !evicts(o))
        return;
    if (have->bitmap == ((uint32_t)1 << have->blocks) - 1)
        drop(o);
    else
        ask_next(o);
}

void p2p_orders_refused(struct p2p *p, uint64_t node, const struct el_chunk_id *chunk)
{
    struct order *o = find_asking(p, node, chunk);

    if (o != NULL)
        o->due_ms = p2p_now(p); /* the next one, at the next tick */
}

/* ---- from their coming on ---- */

static void begin(struct order *o)
{
    if (evicts(o))
        ask_next(o);
    else
        replicate(o);
}

static size_t running(const struct p2p *p)
{
    const struct el_list *it;
    size_t n = 0;

    for (it = p->orders.next; it != &p->orders; it = it->next)
        n += EL_ENTRY(it, struct order, link)->step != WAITING;
    return n;
}

/* The oldest that waits, when so few run. */
static void begin_some(struct p2p *p)
{
    struct el_list *it, *tmp;
    size_t n = running(p);

    EL_LIST_EACH (it, tmp, &p->orders) {
        struct order *o = EL_ENTRY(it, struct order, link);

        if (n < MAX_RUNNING && o->step == WAITING && o->due_ms == 0) {
            n++;
            begin(o);
        }
    }
}

static void on_ordered(struct el_msg *m)
{
    struct p2p *p = EL_ENTRY(m, struct p2p, ordered_msg);
    struct el_list some, *l;

    EL_ASSERT(pthread_mutex_lock(&p->heard_mtx) == 0);
    el_list_move(&some, &p->ordered);
    EL_ASSERT(pthread_mutex_unlock(&p->heard_mtx) == 0);
    while ((l = el_list_pop(&some)) != NULL)
        el_list_append(&p->orders, l);
    begin_some(p);
    p2p_pump(p);
}

void p2p_orders_take(void *arg, const struct disc_cp_command *command)
{
    struct p2p *p = arg;
    struct order *o = el_new(struct order);

    o->p = p;
    o->command = *command;
    el_list_init(&o->link);
    EL_ASSERT(pthread_mutex_lock(&p->heard_mtx) == 0);
    el_list_append(&p->ordered, &o->link);
    el_msgq_post(p->queue, &p->ordered_msg);
    EL_ASSERT(pthread_mutex_unlock(&p->heard_mtx) == 0);
}

/* ---- time ---- */

static void expire(struct order *o)
{
    switch (o->step) {
    case WAITING:
    case LEAVING:
        break;
    case ASKING:
        ask_next(o);
        break;
    case LOADING:
    case READING:
        end(o, DISC_CP_FAILED, "no peer gave it in time");
        break;
    }
}

void p2p_orders_tick(struct p2p *p)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->orders) {
        struct order *o = EL_ENTRY(it, struct order, link);

        if (o->step != WAITING && p2p_now(p) >= o->due_ms)
            expire(o);
    }
    begin_some(p);
}

uint64_t p2p_orders_due_ms(const struct p2p *p)
{
    uint64_t due = UINT64_MAX;
    const struct el_list *it;

    for (it = p->orders.next; it != &p->orders; it = it->next) {
        const struct order *o = EL_ENTRY(it, struct order, link);

        if (o->step != WAITING)
            due = el_min_u64(due, o->due_ms);
    }
    return due;
}

/* ---- life ---- */

void p2p_orders_init(struct p2p *p)
{
    el_list_init(&p->orders);
    el_list_init(&p->ordered);
    el_msg_init(&p->ordered_msg, on_ordered);
}

/* The control plane hears nothing more: it gives them again, or to others. */
void p2p_orders_stop(struct p2p *p)
{
    struct el_list *it, *tmp;

    el_msgq_cancel(p->queue, &p->ordered_msg);
    EL_LIST_EACH (it, tmp, &p->orders) {
        struct order *o = EL_ENTRY(it, struct order, link);

        if (o->step != LEAVING) /* the cache still has those */
            order_free(o);
    }
}

void p2p_orders_deinit(struct p2p *p)
{
    struct el_list *l;

    while ((l = el_list_pop(&p->orders)) != NULL || (l = el_list_pop(&p->ordered)) != NULL)
        order_free(EL_ENTRY(l, struct order, link));
}
