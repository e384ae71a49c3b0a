/* SPDX-License-Identifier: MIT */
/*
 * call: questions to trackers, and those that others put to this one. The tracker for a key is
 * whoever rendezvous hashing says; when that is this node nothing goes over a link. One that does
 * not answer in time is passed over for its backups: about a group the next one is soon asked as
 * well, and whichever knows something answers (silence.h); about a URL each has its time, since an
 * answer may have to wait for another node's.
 */
#include "common/log.h"
#include "p2p/engine.h"
#include "p2p/silence.h"
#include "p2p/tracker_wire.h"

#define CALL_MAGIC 0x43414c4cu
/* After that a tracker is asked whether it is there; and so often is it looked whether it says
 * anything. */
#define SILENCE_MS P2P_LATE_MS
#define UNHEARD    (P2P_SILENT_MS / SILENCE_MS) /* looks, and nothing has come on its link */

struct p2p_call {
    uint32_t magic;
    struct el_list link;
    uint32_t sequence;
    uint64_t node;               /* who was asked last; in the end, who answered */
    uint64_t waits[DISC_OWNERS]; /* who may answer, in the order in which they were asked */
    size_t n_waits;
    uint64_t due_ms, end_ms, ms; /* something is to be done; they have had their time; how much */
    unsigned first, attempt;
    bool has_asked, asks_late; /* nobody but those that were late before was left */
    uint64_t heard_bytes;      /* on the link of `node' */
    unsigned unheard;          /* looks in a row at which there was no more */
    uint64_t stands_in;        /* it only listens as yet, and is asked again; 0: none */
    uint64_t stood_ms;         /* when that was first so; 0: never */
    uint8_t key[DISC_KEY_BYTES];
    uint64_t owners[DISC_OWNERS]; /* of the key as it began */
    size_t n_owners;
    uint32_t type;
    struct el_buf body;
    p2p_on_answer *on_answer;
    void *arg;
    /* From this node's own tracker, or from nobody: told at the next tick, never from inside. */
    bool is_over;
    enum el_err code;
    struct el_buf answer;
};

/* ---- silence ---- */

static void expect(struct p2p *p, uint64_t node, uint32_t ms)
{
    struct p2p_remote *r = p2p_node_remote(p2p_node_find(p, node));

    if (r != NULL)
        p2p_link_expects(r->link, ms);
}

/*
 * Owners that keep silent are asked whether they live, the backups too, so that they are found out
 * all at once where many have gone together. A link that broke ends its calls.
 */
static void expect_owners(struct p2p *p, const struct p2p_call *c)
{
    for (size_t i = 0; i < c->n_owners; i++)
        expect(p, c->owners[i], SILENCE_MS);
}

static bool is_owner(const struct p2p_call *c, uint64_t node)
{
    for (size_t i = 0; i < c->n_owners; i++) {
        if (c->owners[i] == node)
            return true;
    }
    return false;
}

static bool is_expected(struct p2p *p, uint64_t node)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->calls) {
        if (is_owner(EL_ENTRY(it, struct p2p_call, link), node))
            return true;
    }
    return p2p_node_owes_ms(p, node) != 0;
}

/* Of this call. */
static void expect_no_more(struct p2p *p, const struct p2p_call *c)
{
    for (size_t i = 0; i < c->n_owners; i++) {
        if (!is_expected(p, c->owners[i]))
            expect(p, c->owners[i], 0);
    }
}

/* ---- life ---- */

static void end(struct p2p *p, struct p2p_call *c, struct el_str answer, enum el_err code)
{
    el_list_remove(&c->link);
    expect_no_more(p, c);
    if (code != EL_OK)
        el_counter_add(p->count.calls_failed, 1);
    c->on_answer(p, c->arg, c->node, answer, code);
    el_buf_deinit(&c->body);
    el_buf_deinit(&c->answer);
    c->magic = 0;
    free(c);
}

static void end_soon(struct p2p_call *c, enum el_err code)
{
    c->is_over = true;
    c->code = code;
    c->due_ms = 0;
}

/* ---- whom an answer may come from ---- */

static bool waits_for(const struct p2p_call *c, uint64_t node)
{
    for (size_t i = 0; i < c->n_waits; i++) {
        if (c->waits[i] == node)
            return true;
    }
    return false;
}

static void wait_for(struct p2p_call *c, uint64_t node)
{
    c->node = node;
    if (!waits_for(c, node) && c->n_waits < DISC_OWNERS)
        c->waits[c->n_waits++] = node;
}

static void wait_no_more(struct p2p_call *c, uint64_t node)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_waits; i++) {
        if (c->waits[i] != node)
            c->waits[n++] = c->waits[i];
    }
    c->n_waits = n;
    if (c->stands_in == node)
        c->stands_in = 0;
}

static struct p2p_call *find(struct p2p *p, uint64_t node, uint32_t sequence)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->calls) {
        struct p2p_call *c = EL_ENTRY(it, struct p2p_call, link);

        if (c->sequence == sequence && waits_for(c, node) && !c->is_over)
            return c;
    }
    return NULL;
}

/* ---- the tracker's side ---- */

/* Whoever comes before this node. */
static void find_passed_over(struct p2p *p, const uint8_t key[DISC_KEY_BYTES],
                             struct p2p_in_place *ret)
{
    uint64_t owners[DISC_OWNERS];
    size_t n = p2p_owners(p, key, owners);

    *ret = (struct p2p_in_place){ 0 };
    for (size_t i = 0; i < n && owners[i] != p->self && ret->n < EL_COUNT(ret->nodes); i++) {
        ret->nodes[ret->n++] = owners[i];
        ret->may_answer =
            ret->may_answer || !(p2p_is_shunned(p, owners[i]) ||
                                 p2p_silence_is_gone(p2p_node_owes_ms(p, owners[i]), p2p_now(p)));
    }
}

static enum el_err locate(struct p2p *p, uint64_t from, struct el_str body, struct el_buf *ret,
                          struct el_error *err)
{
    struct p2p_locate l;
    struct p2p_located located;
    struct p2p_in_place in_place;
    uint8_t key[DISC_KEY_BYTES];
    enum el_err rc = p2p_locate_decode(body, &l, err);

    if (rc != EL_OK)
        return rc;
    p2p_group_key(&l.group, key);
    find_passed_over(p, key, &in_place);
    if (p2p_tracker_locate(p->tracker, p2p_now(p), from, in_place.n > 0 ? &in_place : NULL, &l,
                           &located) != EL_OK)
        return EL_EFULL;
    p2p_located_put(ret, l.blocks, &located);
    return EL_OK;
}

/* EL_EBUSY: the answer comes later. */
static enum el_err find_url(struct p2p *p, uint64_t from, uint32_t sequence, struct el_str body,
                            struct el_buf *ret, struct el_error *err)
{
    struct p2p_found found;
    struct el_str url;
    uint64_t max_age_ms;
    enum el_err rc = p2p_find_decode(body, &url, &max_age_ms, err);

    if (rc != EL_OK)
        return rc;
    p2p_tracker_find(p->tracker, p2p_now(p), from, url, max_age_ms, sequence, &found);
    if (found.kind == P2P_FOUND_WAIT)
        return EL_EBUSY;
    p2p_found_put(ret, &found);
    return EL_OK;
}

static enum el_err answer(struct p2p *p, uint64_t from, uint32_t type, uint32_t sequence,
                          struct el_str body, struct el_buf *ret, struct el_error *err)
{
    switch (type) {
    case P2P_LOCATE:
        return locate(p, from, body, ret, err);
    case P2P_FIND:
        return find_url(p, from, sequence, body, ret, err);
    default:
        return el_fail(err, EL_EPROTO, 0, "a question of type %u", type);
    }
}

/* Who knows of a URL that has changed is told. */
static void spread(struct p2p *p, const struct p2p_told *told, struct el_str body)
{
    struct disc_member m;
    size_t at = 0;

    if (!told->everybody) {
        for (size_t i = 0; i < told->n; i++)
            p2p_call_say(p, told->nodes[i], P2P_FORGOTTEN, body);
        return;
    }
    while (disc_members_each(p->members, &at, &m)) {
        if (m.state <= DISC_SUSPECT)
            p2p_call_say(p, m.card->hash, P2P_FORGOTTEN, body);
    }
}

static enum el_err forget(struct p2p *p, uint64_t from, struct el_str body, struct el_error *err)
{
    struct p2p_told told;
    struct el_str url;
    enum el_err rc = p2p_forget_decode(body, &url, err);

    if (rc != EL_OK)
        return rc;
    p2p_tracker_forget(p->tracker, p2p_now(p), from, url, &told);
    spread(p, &told, body);
    return EL_OK;
}

static enum el_err forgotten(struct p2p *p, struct el_str body, struct el_error *err)
{
    struct el_str url;
    enum el_err rc = p2p_forget_decode(body, &url, err);

    if (rc != EL_OK)
        return rc;
    p->is_echo = true;
    (void)cache_invalidate(p->cache, url);
    p->is_echo = false;
    return EL_OK;
}

static enum el_err record(struct p2p *p, uint64_t from, struct el_str body, struct el_error *err)
{
    struct p2p_record r;
    struct el_error refused;
    enum el_err rc = p2p_record_decode(body, &r, err);

    if (rc == EL_OK && p2p_orders_record(p, from, &r))
        return EL_OK;
    if (rc == EL_OK &&
        p2p_tracker_record(p->tracker, p2p_now(p), from, r.bytes, r.age_ms, &refused) != EL_OK)
        el_log_error(EL_DEBUG, EV_RECORD_REFUSED, &refused);
    return rc;
}

static enum el_err release(struct p2p *p, uint64_t from, struct el_str body, struct el_error *err)
{
    enum p2p_release why;
    struct el_str url;
    enum el_err rc = p2p_release_decode(body, &url, &why, err);

    if (rc == EL_OK)
        p2p_tracker_release(p->tracker, p2p_now(p), from, url, why);
    return rc;
}

static enum el_err heed(struct p2p *p, uint64_t from, uint32_t type, struct el_str body,
                        struct el_error *err)
{
    switch (type) {
    case P2P_RECORD:
        return record(p, from, body, err);
    case P2P_RELEASE:
        return release(p, from, body, err);
    case P2P_FORGET:
        return forget(p, from, body, err);
    case P2P_FORGOTTEN:
        return forgotten(p, body, err);
    default:
        return el_fail(err, EL_EPROTO, 0, "a statement of type %u", type);
    }
}

/* ---- asking ---- */

static void add_envelope(struct p2p *p, uint64_t node, uint32_t type, uint32_t sequence,
                         enum p2p_role role, struct el_str body, struct el_buf *ret)
{
    const struct p2p_envelope e = { .role = role, .body = body };

    el_buf_init(ret);
    p2p_envelope_add(ret, p2p_node_version(p, node), type, sequence, &e);
}

static bool is_of_group(const struct p2p_call *c)
{
    return c->type == P2P_LOCATE;
}

/* It only listens, in place of one that may yet answer. */
static bool has_to_wait(struct p2p *p, struct p2p_call *c, uint64_t node, struct el_str answer)
{
    struct p2p_locate l;
    struct p2p_located located;
    struct el_error err;

    if (!is_of_group(c) || c->waits[0] == node ||
        p2p_locate_decode(el_buf_str(&c->body), &l, &err) != EL_OK ||
        p2p_located_decode(answer, l.blocks, &located, &err) != EL_OK ||
        p2p_silence_counts(&l, &located))
        return false;
    if (c->stood_ms == 0)
        c->stood_ms = p2p_now(p);
    return p2p_now(p) - c->stood_ms < P2P_LISTENS_MS;
}

static void ask_stand_in_again(struct p2p *p, struct p2p_call *c, uint64_t node)
{
    c->stands_in = node;
    c->due_ms = p2p_now(p) + P2P_LATE_MS;
}

static void ask_self(struct p2p *p, struct p2p_call *c)
{
    struct el_error err;
    enum el_err rc;

    el_buf_clear(&c->answer);
    rc = answer(p, p->self, c->type, c->sequence, el_buf_str(&c->body), &c->answer, &err);
    if (rc == EL_OK && has_to_wait(p, c, p->self, el_buf_str(&c->answer)))
        ask_stand_in_again(p, c, p->self);
    else if (rc != EL_EBUSY)
        end_soon(c, rc);
}

static bool is_late(struct p2p *p, uint64_t node)
{
    return p2p_silence_is_late(p2p_node_owes_ms(p, node), p2p_now(p));
}

/* Until it answers; or is asked once more after all that time. */
static void note_asked(struct p2p *p, uint64_t node, uint64_t since_ms)
{
    struct p2p_node *n = p2p_node_find(p, node);

    if (n != NULL && (n->owes_ms == 0 || p2p_now(p) - n->owes_ms >= P2P_PARDON_MS))
        n->owes_ms = since_ms;
}

/* It may still owe another answer. */
static bool owes_another(struct p2p *p, uint64_t node)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &p->calls) {
        struct p2p_call *c = EL_ENTRY(it, struct p2p_call, link);

        if (is_of_group(c) && !c->is_over && waits_for(c, node) && c->stands_in != node)
            return true;
    }
    return false;
}

/* After that call is dealt with. */
static void note_answered(struct p2p *p, uint64_t node)
{
    struct p2p_node *n = p2p_node_find(p, node);

    if (n == NULL || n->owes_ms == 0)
        return;
    n->owes_ms = owes_another(p, node) ? p2p_now(p) : 0;
    if (!is_expected(p, node))
        expect(p, node, 0);
}

static uint64_t bytes_from(struct p2p *p, uint64_t node)
{
    struct p2p_remote *r = p2p_node_remote(p2p_node_find(p, node));
    struct p2p_link_stats stats = { 0 };

    if (r != NULL)
        p2p_link_stats(r->link, &stats);
    return stats.in_bytes;
}

/* It was asked whether it is there, and says nothing at all. */
static bool is_mute(struct p2p *p, struct p2p_call *c)
{
    uint64_t bytes = bytes_from(p, c->node);

    c->unheard = bytes > 0 && bytes == c->heard_bytes ? c->unheard + 1 : 0;
    c->heard_bytes = bytes;
    return c->unheard >= UNHEARD;
}

/* False: it cannot be reached. */
static bool ask(struct p2p *p, struct p2p_call *c, uint64_t node)
{
    struct el_buf frames;

    c->due_ms = p2p_now(p) + P2P_LATE_MS;
    c->unheard = 0;
    c->heard_bytes = bytes_from(p, node);
    if (node != p->self) {
        add_envelope(p, node, c->type, c->sequence, P2P_QUESTION, el_buf_str(&c->body), &frames);
        if (!p2p_node_send(p, node, &frames))
            return false;
        if (is_of_group(c))
            note_asked(p, node, p2p_now(p));
        expect_owners(p, c);
    }
    wait_for(c, node);
    c->has_asked = true;
    c->stands_in = 0;
    if (node == p->self)
        ask_self(p, c);
    return true;
}

/* Those that have been asked have some time left; else there are some that were late before. */
static void ask_nobody_else(struct p2p *p, struct p2p_call *c)
{
    if (c->n_waits > 0) {
        c->due_ms = c->end_ms;
    } else if (is_of_group(c) && !c->has_asked && !c->asks_late) {
        c->asks_late = true;
        c->attempt = c->first;
        c->due_ms = p2p_now(p);
    } else {
        end_soon(c, EL_ETIMEOUT);
    }
}

/* The next who may know. */
static void ask_next(struct p2p *p, struct p2p_call *c)
{
    uint64_t node;

    while ((node = p2p_owner(p, c->key, c->attempt++)) != 0) {
        if (p2p_is_shunned(p, node) || (is_of_group(c) && !c->asks_late && is_late(p, node)))
            continue;
        if (ask(p, c, node)) {
            c->end_ms = p2p_now(p) + c->ms;
            return;
        }
    }
    ask_nobody_else(p, c);
}

void p2p_call_ask(struct p2p *p, const uint8_t key[DISC_KEY_BYTES], unsigned attempt, uint32_t type,
                  struct el_buf *body, uint64_t ms, p2p_on_answer *on_answer, void *arg)
{
    struct p2p_call *c = el_new(struct p2p_call);

    c->magic = CALL_MAGIC;
    c->sequence = ++p->next_call;
    c->ms = ms;
    c->first = c->attempt = attempt;
    c->type = type;
    memcpy(c->key, key, DISC_KEY_BYTES);
    c->n_owners = p2p_owners(p, key, c->owners);
    c->body = *body;
    el_buf_init(body);
    el_buf_init(&c->answer);
    c->on_answer = on_answer;
    c->arg = arg;
    el_list_append(&p->calls, &c->link);
    el_counter_add(p->count.calls, 1);
    ask_next(p, c);
}

void p2p_call_say(struct p2p *p, uint64_t node, uint32_t type, struct el_str body)
{
    struct el_buf frames;
    struct el_error err;

    if (node == p->self) {
        EL_ASSERT(heed(p, node, type, body, &err) == EL_OK); /* we made it */
        return;
    }
    add_envelope(p, node, type, 0, P2P_STATEMENT, body, &frames);
    (void)p2p_node_send(p, node, &frames); /* who cannot be reached need not know */
}

void p2p_call_tell(struct p2p *p, const uint8_t key[DISC_KEY_BYTES], uint32_t type,
                   struct el_buf *body)
{
    for (unsigned attempt = 0; attempt < DISC_OWNERS; attempt++) {
        uint64_t node = p2p_owner(p, key, attempt);

        if (node != 0)
            p2p_call_say(p, node, type, el_buf_str(body));
    }
    el_buf_deinit(body);
}

/* ---- what comes ---- */

static void answer_to(struct p2p *p, uint64_t node, uint32_t type, uint32_t sequence,
                      struct el_str body)
{
    struct el_buf frames;

    add_envelope(p, node, type, sequence, P2P_ANSWER, body, &frames);
    (void)p2p_node_send(p, node, &frames); /* it asks another one if this does not arrive */
}

static enum el_err on_question(struct p2p_remote *r, const struct p2p_frame *f,
                               const struct p2p_envelope *e, struct el_error *err)
{
    struct p2p_remote *to = p2p_node_remote(r->node);
    struct el_buf body, frames;
    const struct p2p_refusal no_room = { .code = EL_EFULL };
    enum el_err rc;

    el_buf_init(&body);
    el_buf_init(&frames);
    rc = answer(r->p, r->node->hash, f->type, f->sequence, e->body, &body, err);
    if (rc == EL_OK) {
        const struct p2p_envelope back = { .role = P2P_ANSWER, .body = el_buf_str(&body) };

        p2p_envelope_add(&frames, p2p_remote_version(to), f->type, f->sequence, &back);
    } else if (rc == EL_EFULL) {
        p2p_error_add(&frames, p2p_remote_version(to), NULL, f->sequence, &no_room);
    }
    p2p_remote_send(to, &frames);
    el_buf_deinit(&frames);
    el_buf_deinit(&body);
    return rc == EL_EFULL || rc == EL_EBUSY ? EL_OK : rc;
}

static void take_answer(struct p2p *p, struct p2p_call *c, uint64_t node, struct el_str body)
{
    if (has_to_wait(p, c, node, body)) {
        ask_stand_in_again(p, c, node);
        return;
    }
    c->node = node;
    end(p, c, body, EL_OK);
}

void p2p_call_frame(struct p2p_remote *r, const struct p2p_frame *f)
{
    struct p2p *p = r->p;
    struct p2p_envelope e;
    struct p2p_call *c;
    struct el_error err;
    enum el_err rc = p2p_envelope_decode(f, &e, &err);

    if (rc == EL_OK && e.role == P2P_QUESTION) {
        rc = on_question(r, f, &e, &err);
    } else if (rc == EL_OK && e.role == P2P_STATEMENT) {
        rc = heed(p, r->node->hash, f->type, e.body, &err);
    } else if (rc == EL_OK) {
        uint64_t node = r->node->hash;

        c = find(p, node, f->sequence); /* NULL: it came too late */
        if (c != NULL && c->type == f->type)
            take_answer(p, c, node, e.body);
        note_answered(p, node);
    }
    if (rc != EL_OK) {
        el_log_error(EL_WARN, EV_PEER_MALFORMED, &err);
        p2p_link_close(r->link, &err);
    }
}

void p2p_call_refused(struct p2p_remote *r, uint32_t sequence)
{
    uint64_t node = r->node->hash;
    struct p2p *p = r->p;
    struct p2p_call *c = find(p, node, sequence);

    if (c != NULL) {
        wait_no_more(c, node);
        ask_next(p, c);
    }
    note_answered(p, node);
}

void p2p_call_link_down(struct p2p *p, uint64_t node)
{
    struct p2p_node *n = p2p_node_find(p, node);
    struct el_list *it, *tmp;

    if (n != NULL)
        n->owes_ms = 0;
    EL_LIST_EACH (it, tmp, &p->calls) {
        struct p2p_call *c = EL_ENTRY(it, struct p2p_call, link);

        if (c->is_over || !waits_for(c, node))
            continue;
        wait_no_more(c, node);
        c->due_ms = 0; /* the next tick asks another */
    }
}

/* ---- time ---- */

static void late_answers(struct p2p *p)
{
    struct p2p_found found;
    uint64_t node, cookie;
    struct el_buf body;
    struct p2p_call *c;

    while (p2p_tracker_next_answer(p->tracker, p2p_now(p), &node, &cookie, &found)) {
        el_buf_init(&body);
        p2p_found_put(&body, &found);
        if (node == p->self) {
            c = find(p, node, (uint32_t)cookie);
            if (c != NULL) {
                c->answer = body;
                el_buf_init(&body);
                end_soon(c, EL_OK);
            }
        } else {
            answer_to(p, node, P2P_FIND, (uint32_t)cookie, el_buf_str(&body));
        }
        el_buf_deinit(&body);
    }
}

/*
 * About a group, as soon as it is late over a link that is there. About a URL its answer may have
 * to wait for another node's: then only when nothing comes from it at all.
 */
static bool is_passed_over(struct p2p *p, struct p2p_call *c)
{
    if (is_of_group(c))
        return is_late(p, c->node);
    if (!is_mute(p, c))
        return false;
    note_asked(p, c->node, p2p_now(p) - P2P_SILENT_MS);
    wait_no_more(c, c->node);
    return true;
}

/* They have had their time, or it is time for the next one, or once more for who stands in. */
static void look_at(struct p2p *p, struct p2p_call *c)
{
    uint64_t now = p2p_now(p);

    if (now >= c->end_ms)
        c->n_waits = 0;
    if (c->n_waits > 0 && c->stands_in != 0 && ask(p, c, c->stands_in))
        return;
    c->stands_in = 0;
    if (waits_for(c, c->node) && !is_passed_over(p, c))
        c->due_ms = el_min_u64(now + P2P_LATE_MS, c->end_ms);
    else
        ask_next(p, c);
}

void p2p_call_tick(struct p2p *p)
{
    uint64_t now = p2p_now(p);
    struct el_list *it, *tmp;

    late_answers(p);
    EL_LIST_EACH (it, tmp, &p->calls) {
        struct p2p_call *c = EL_ENTRY(it, struct p2p_call, link);

        if (now < c->due_ms)
            continue;
        if (!c->is_over)
            look_at(p, c);
        if (c->is_over)
            end(p, c, el_buf_str(&c->answer), c->code);
    }
}

uint64_t p2p_call_due_ms(const struct p2p *p)
{
    uint64_t due = UINT64_MAX;

    for (const struct el_list *it = p->calls.next; it != &p->calls; it = it->next)
        due = el_min_u64(due, EL_ENTRY(it, struct p2p_call, link)->due_ms);
    return due;
}

void p2p_call_stop(struct p2p *p)
{
    while (!el_list_empty(&p->calls))
        end(p, EL_ENTRY(p->calls.next, struct p2p_call, link), (struct el_str){ 0 }, EL_ESHUTDOWN);
}
