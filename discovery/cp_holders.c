/* SPDX-License-Identifier: MIT */
/*
 * cp_holders: questions of the node itself who has a chunk, as many of them in a call as wait.
 *
 *   WAITING --ask()--> ASKED --located()--> KNOWN --next_holders()--> gone
 *
 * Nobody waits for an answer: a question that no answer came to is forgotten, not put again.
 */
#include "discovery/cp_core_in.h"

enum phase { WAITING, ASKED, KNOWN };

struct question {
    struct el_list link;
    enum phase phase;
    struct disc_cp_holders holders;
};

static struct question *question_of(struct el_list *l)
{
    return EL_ENTRY(l, struct question, link);
}

static struct question *first_in(const struct disc_cp_core *c, enum phase phase)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &c->questions) {
        if (question_of(it)->phase == phase)
            return question_of(it);
    }
    return NULL;
}

static struct question *find(struct disc_cp_core *c, const struct el_chunk_id *chunk)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &c->questions) {
        if (el_chunk_id_eq(&question_of(it)->holders.chunk, chunk))
            return question_of(it);
    }
    return NULL;
}

static void forget(struct disc_cp_core *c, struct question *q)
{
    el_list_remove(&q->link);
    c->n_questions--;
    free(q);
}

bool disc_cp_core_ask_holders(struct disc_cp_core *c, const struct el_chunk_id *chunk)
{
    struct question *q;

    if (c->state != DISC_CP_CONNECTED || c->is_leaving)
        return false;
    if (find(c, chunk) != NULL)
        return true;
    if (c->n_questions >= DISC_CP_MAX_QUESTIONS)
        return false;
    q = el_new(struct question);
    q->holders.chunk = *chunk;
    el_list_append(&c->questions, &q->link);
    c->n_questions++;
    return true;
}

bool disc_cp_holders_want(const struct disc_cp_core *c)
{
    return first_in(c, WAITING) != NULL;
}

void disc_cp_holders_ask(struct disc_cp_core *c, struct el_buf *body)
{
    struct el_chunk_id chunks[DISC_CP_MAX_QUESTIONS];
    struct question *q;
    size_t n = 0;

    while ((q = first_in(c, WAITING)) != NULL) {
        q->phase = ASKED;
        chunks[n++] = q->holders.chunk;
    }
    disc_cp_put_question(body, chunks, n, c->conf.self->zone);
}

static void add_holder(void *arg, const struct el_chunk_id *chunk, struct el_str node_id)
{
    struct question *q = find(arg, chunk);

    if (q == NULL || q->phase != ASKED || q->holders.n >= DISC_CP_MAX_PEERS)
        return;
    memcpy(q->holders.node_ids[q->holders.n], node_id.p, node_id.n);
    q->holders.node_ids[q->holders.n++][node_id.n] = '\0';
}

bool disc_cp_holders_located(struct disc_cp_core *c, struct el_str body, struct el_error *err)
{
    struct el_list *it, *tmp;

    if (disc_cp_locations(body, DISC_CP_MAX_QUESTIONS, add_holder, c, err) != EL_OK)
        return false;
    EL_LIST_EACH (it, tmp, &c->questions) {
        if (question_of(it)->phase == ASKED)
            question_of(it)->phase = KNOWN;
    }
    return true;
}

void disc_cp_holders_unsaid(struct disc_cp_core *c)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &c->questions) {
        if (question_of(it)->phase != KNOWN)
            forget(c, question_of(it));
    }
}

bool disc_cp_core_next_holders(struct disc_cp_core *c, struct disc_cp_holders *ret)
{
    struct question *q = first_in(c, KNOWN);

    if (q == NULL)
        return false;
    *ret = q->holders;
    forget(c, q);
    return true;
}

void disc_cp_holders_deinit(struct disc_cp_core *c)
{
    while (!el_list_empty(&c->questions))
        forget(c, question_of(c->questions.next));
}
