/* SPDX-License-Identifier: MIT */
/*
 * cp_orders: commands of the control plane, from their coming to the ack of their outcome.
 *
 *   NEW --ask()--> ASKED --located()--> READY --next_command()--> RUNNING --outcome()--> OVER
 *    ^                |                                              |                     | say()
 *    +---- unsaid() --+                          LATER: forgotten <--+      unsaid() <-- SAYING
 *                                                                                           |
 * heard() TOLD
 *
 * What is over is remembered for a while: it may be given again before the ack was heard.
 */
#include "discovery/cp_core_in.h"

#define MAX_ORDERS    512u
#define MAX_QUESTIONS 64u
#define MAX_LAG       2u /* behind that what it knows of this node is too old to act on */

enum phase { NEW, ASKED, READY, RUNNING, OVER, SAYING, TOLD };

struct order {
    struct el_list link;
    enum phase phase;
    struct disc_cp_command command;
    enum disc_cp_outcome outcome;
    char message[200];
};

static struct order *order_of(struct el_list *l)
{
    return EL_ENTRY(l, struct order, link);
}

static struct order *find(struct disc_cp_core *c, const char *id)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &c->orders) {
        if (strcmp(order_of(it)->command.id, id) == 0)
            return order_of(it);
    }
    return NULL;
}

static struct order *first_in(const struct disc_cp_core *c, enum phase phase)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &c->orders) {
        if (order_of(it)->phase == phase)
            return order_of(it);
    }
    return NULL;
}

static void forget(struct disc_cp_core *c, struct order *o)
{
    el_list_remove(&o->link);
    c->n_orders--;
    free(o);
}

/* ---- they come ---- */

static bool is_ours(const struct disc_cp_core *c, const struct disc_cp_command *command)
{
    return command->target[0] == '\0' || strcmp(command->target, c->conf.self->node_id) == 0;
}

static bool make_room(struct disc_cp_core *c)
{
    struct order *told = c->n_orders < MAX_ORDERS ? NULL : first_in(c, TOLD);

    if (told != NULL)
        forget(c, told);
    return c->n_orders < MAX_ORDERS;
}

void disc_cp_orders_take(struct disc_cp_core *c, const struct disc_cp_commands *commands)
{
    for (size_t i = 0; i < commands->n; i++) {
        struct order *o = find(c, commands->v[i].id);

        if (o != NULL && o->phase == TOLD)
            o->phase = OVER; /* its ack was not heard */
        if (o != NULL || !is_ours(c, &commands->v[i]) || !make_room(c))
            continue;
        o = el_new(struct order);
        o->command = commands->v[i];
        o->command.n_peers = 0;
        el_list_append(&c->orders, &o->link);
        c->n_orders++;
    }
}

void disc_cp_orders_deinit(struct disc_cp_core *c)
{
    while (!el_list_empty(&c->orders))
        forget(c, order_of(c->orders.next));
}

/* ---- where their chunks are ---- */

bool disc_cp_orders_want(const struct disc_cp_core *c, enum disc_cp_kind kind)
{
    return first_in(c, kind == DISC_CP_LOCATE ? NEW : OVER) != NULL;
}

void disc_cp_orders_ask(struct disc_cp_core *c, struct el_buf *body)
{
    struct el_chunk_id chunks[MAX_QUESTIONS];
    struct order *o;
    size_t n = 0;

    while (n < MAX_QUESTIONS && (o = first_in(c, NEW)) != NULL) {
        o->phase = ASKED;
        chunks[n++] = o->command.chunk;
    }
    disc_cp_put_question(body, chunks, n, c->conf.self->zone);
}

static void add_peer(void *arg, const struct el_chunk_id *chunk, struct el_str node_id)
{
    struct disc_cp_core *c = arg;
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &c->orders) {
        struct disc_cp_command *command = &order_of(it)->command;

        if (order_of(it)->phase != ASKED || command->n_peers >= DISC_CP_MAX_PEERS ||
            !el_chunk_id_eq(&command->chunk, chunk))
            continue;
        memcpy(command->peers[command->n_peers], node_id.p, node_id.n);
        command->peers[command->n_peers++][node_id.n] = '\0';
    }
}

bool disc_cp_orders_located(struct disc_cp_core *c, struct el_str body, struct el_error *err)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &c->orders) {
        if (order_of(it)->phase == ASKED)
            order_of(it)->command.n_peers = 0;
    }
    if (disc_cp_locations(body, MAX_QUESTIONS, add_peer, c, err) != EL_OK)
        return false;
    EL_LIST_EACH (it, tmp, &c->orders) {
        if (order_of(it)->phase == ASKED)
            order_of(it)->phase = READY;
    }
    return true;
}

void disc_cp_orders_unsaid(struct disc_cp_core *c, enum disc_cp_kind kind)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &c->orders) {
        struct order *o = order_of(it);

        if (kind == DISC_CP_LOCATE && o->phase == ASKED)
            o->phase = NEW;
        if (kind == DISC_CP_ACK && o->phase == SAYING)
            o->phase = OVER;
    }
}

/* ---- they are carried out ---- */

const struct disc_cp_command *disc_cp_core_next_command(struct disc_cp_core *c)
{
    struct order *o = first_in(c, READY);

    if (o == NULL || c->state != DISC_CP_CONNECTED || disc_report_lag(c->report) > MAX_LAG)
        return NULL;
    o->phase = RUNNING;
    return &o->command;
}

void disc_cp_core_outcome(struct disc_cp_core *c, const char *command_id, enum disc_cp_outcome what,
                          const char *message)
{
    struct order *o = find(c, command_id);

    if (o == NULL || o->phase != RUNNING)
        return;
    if (what == DISC_CP_LATER) {
        forget(c, o);
        return;
    }
    o->phase = OVER;
    o->outcome = what;
    (void)snprintf(o->message, sizeof(o->message), "%s", message);
}

void disc_cp_orders_say(struct disc_cp_core *c, struct disc_cp_call *call)
{
    struct order *o = first_in(c, OVER);

    EL_ASSERT(o != NULL);
    o->phase = SAYING;
    el_buf_addf(&call->target, "/api/v1/nodes/%s/commands/%s/ack", c->conf.self->node_id,
                o->command.id);
    disc_cp_put_ack(&call->body, o->outcome == DISC_CP_DONE, o->message);
}

void disc_cp_orders_heard(struct disc_cp_core *c)
{
    struct order *o = first_in(c, SAYING);

    if (o != NULL)
        o->phase = TOLD;
}
