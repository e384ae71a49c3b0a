/* SPDX-License-Identifier: MIT */
/*
 * A tracker and nodes that read, copy from each other, fail, hang, die, come back and lose answers,
 * while trackers are replaced: by chance, from a seed. After each question everything that the
 * tracker counts is counted anew, and no block is in two live leases; in the end all who live
 * have everything.
 */
#include "tests/lib/tracker.h"

#include "p2p/tracker_group.h"

#define NODES   12u
#define STEP_MS 50u
#define SEEDS   60u

struct run {
    struct p2p_lease lease;
    unsigned done;
    uint64_t next;          /* when the next block is there */
    uint64_t stalled_until; /* nothing comes before */
    bool is_over, ok;
};

struct node {
    uint64_t id;
    bool is_alive, is_located;
    uint64_t back_at, gone_at; /* comes back; the membership has noticed: 0: it has, or need not */
    unsigned block_ms;
    struct p2p_blockset have;
    struct run runs[P2P_MAX_RUNS];
    unsigned n_runs;
    uint64_t ask_at;
};

struct model {
    struct tracker k;
    struct el_rng rng;
    uint32_t blocks;
    bool has_faults;
    bool new_trackers; /* every now and then, and no other fault */
    bool is_noticed;   /* by all at once */
    struct node nodes[NODES];
    unsigned n;
    unsigned read; /* blocks, from the origin */
    uint64_t slow; /* runs that earlier trackers found too slow */
};

static bool chance(struct model *m, unsigned in)
{
    return el_rng_below(&m->rng, in) == 0;
}

/* ---- what must always hold ---- */

static void count_runs(const struct p2p_flight *f)
{
    struct p2p_blockset leased = { 0 };
    const struct el_list *it;
    unsigned out = 0;

    for (it = f->runs.next; it != &f->runs; it = it->next) {
        const struct p2p_run *r = EL_ENTRY(it, struct p2p_run, link);

        assert_true(r->count >= 1 && r->first % 16 + r->count <= 16);
        if (r->is_lost)
            continue;
        out++;
        assert_true(r->done < r->count);
        for (unsigned b = r->first + r->done; b < r->first + r->count; b++) {
            assert_false(p2p_blockset_has(&leased, b)); /* two leases */
            p2p_blockset_add(&leased, b);
        }
    }
    assert_int_equal(out, f->out);
    assert_memory_equal(&leased, &f->leased, sizeof(leased));
}

static void count_holder(const struct p2p_tgroup *g, const struct p2p_holder *h,
                         unsigned had[P2P_GROUP_BLOCKS])
{
    struct p2p_blockset s;

    p2p_chunks_blocks(h->chunks, g->blocks, &s);
    for (unsigned b = 0; b < P2P_GROUP_BLOCKS; b++)
        had[b] +=
            p2p_blockset_has(&s, b) || (h->taking != NULL && p2p_blockset_has(&h->taking->have, b));
}

static void count_all(const struct p2p_tgroup *g)
{
    unsigned had[P2P_GROUP_BLOCKS] = { 0 }, takers = 0, wanting = 0, idle = 0;

    for (uint32_t i = 0; i < g->n; i++) {
        const struct p2p_holder *h = &g->v[i];

        assert_true(i == 0 || g->v[i - 1].node < h->node);
        count_holder(g, h, had);
        idle += h->taking == NULL;
        takers += h->taking != NULL && !h->taking->has_left;
        wanting += h->taking != NULL && !p2p_blockset_is_empty(&h->taking->want);
    }
    assert_int_equal(idle, g->idle);
    assert_int_equal(takers, g->flight->takers);
    assert_int_equal(wanting, g->flight->wanting);
    for (unsigned b = 0; b < P2P_GROUP_BLOCKS; b++) {
        assert_int_equal(had[b], g->flight->had[b]);
        assert_int_equal(had[b] > 0, p2p_blockset_has(&g->flight->known, b));
    }
}

static void check(struct model *m)
{
    struct p2p_group name = tracker_group(0);
    struct p2p_tgroup *g = p2p_tgroup_find(m->k.t, &name);

    if (g == NULL || g->flight == NULL)
        return;
    count_runs(g->flight);
    count_all(g);
    assert_in_range(g->flight->pace.limit, P2P_PACE_LEAST, P2P_PACE_MOST);
    assert_true(g->n <= NODES);
}

/* ---- nodes ---- */

static uint64_t block_time(struct model *m, const struct node *v)
{
    return v->block_ms / 2 + el_rng_below(&m->rng, v->block_ms);
}

static uint8_t others_of(const struct model *m, const struct node *v)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->n; i++)
        n += &m->nodes[i] != v && m->nodes[i].is_alive;
    return (uint8_t)n;
}

static void question_of(struct model *m, struct node *v, struct p2p_locate *l)
{
    unsigned reading = 0;

    *l = question(m->blocks);
    l->again = v->is_located;
    l->others = others_of(m, v);
    for (unsigned b = p2p_blockset_next(&v->have, 0); b < P2P_GROUP_BLOCKS;
         b = p2p_blockset_next(&v->have, b + 1))
        question_has(l, b, 1);
    for (unsigned i = 0; i < v->n_runs; i++) {
        struct run *r = &v->runs[i];

        if (!r->is_over)
            question_run(l, &r->lease, r->done, true);
        else
            l->ended[l->n_ended++] =
                (struct p2p_lease_end){ r->lease.id,      r->lease.first, r->lease.count,
                                        (uint8_t)r->done, r->ok,          false };
        reading += !r->is_over;
    }
    l->leases = reading < 2 ? (uint8_t)(2 - reading) : 0;
}

static void drop_over(struct node *v)
{
    unsigned n = 0;

    for (unsigned i = 0; i < v->n_runs; i++) {
        if (!v->runs[i].is_over)
            v->runs[n++] = v->runs[i];
    }
    v->n_runs = n;
}

static void end_run(struct model *m, struct node *v, struct run *r, bool ok)
{
    r->is_over = true;
    r->ok = ok;
    v->ask_at = m->k.now;
}

static void obey_cut(struct model *m, struct node *v, const struct p2p_lease_cut *c)
{
    for (unsigned i = 0; i < v->n_runs; i++) {
        struct run *r = &v->runs[i];

        if (r->lease.id != c->id || r->is_over)
            continue;
        r->lease.count = c->count > r->done ? c->count : (uint8_t)r->done;
        if (r->lease.count == 0)
            *r = v->runs[--v->n_runs];
        else if (r->done == r->lease.count)
            end_run(m, v, r, true);
        return;
    }
    fail_msg("a run is cut that was not spoken of");
}

static void take_answer(struct model *m, struct node *v, const struct p2p_located *a)
{
    drop_over(v);
    v->is_located = true;
    v->ask_at = m->k.now + a->again_ms;
    for (size_t i = 0; i < a->n_cuts; i++)
        obey_cut(m, v, &a->cuts[i]);
    for (size_t i = 0; i < a->n_leases; i++) {
        assert_true(v->n_runs < P2P_MAX_RUNS);
        v->runs[v->n_runs++] =
            (struct run){ .lease = a->leases[i], .next = m->k.now + block_time(m, v) };
    }
}

static void ask_tracker(struct model *m, struct node *v)
{
    struct p2p_locate l;

    question_of(m, v, &l);
    ask(&m->k, v->id, &l);
    assert_true(p2p_located_is_fine(&m->k.located, m->blocks));
    check(m);
    if (m->has_faults && chance(m, 20))
        v->ask_at = m->k.now + 1000; /* the answer was lost */
    else
        take_answer(m, v, &m->k.located);
}

static void read_on(struct model *m, struct node *v, struct run *r)
{
    if (r->is_over || m->k.now < r->next || m->k.now < r->stalled_until)
        return;
    p2p_blockset_add(&v->have, r->lease.first + r->done);
    m->read++;
    r->next = m->k.now + block_time(m, v);
    if (++r->done == r->lease.count)
        end_run(m, v, r, true);
    else if (m->has_faults && chance(m, 60))
        end_run(m, v, r, false);
    else if (m->has_faults && chance(m, 60))
        r->stalled_until = m->k.now + 15000 + el_rng_below(&m->rng, 15000);
}

/* What it has and the other one lacks, and is not reading. */
static void lacking(const struct node *has, const struct node *lacks, struct p2p_blockset *ret)
{
    for (size_t i = 0; i < EL_COUNT(ret->w); i++)
        ret->w[i] = has->have.w[i] & ~lacks->have.w[i];
    for (unsigned i = 0; i < lacks->n_runs; i++) {
        const struct run *r = &lacks->runs[i];

        for (unsigned b = 0; !r->is_over && b < r->lease.count; b++)
            p2p_blockset_remove(ret, r->lease.first + b);
    }
}

static void copy(struct model *m, struct node *v)
{
    const struct node *other = &m->nodes[el_rng_below(&m->rng, m->n)];
    struct p2p_blockset s;
    unsigned b;

    if (!other->is_alive)
        return;
    lacking(other, v, &s);
    b = p2p_blockset_next(&s, (unsigned)el_rng_below(&m->rng, m->blocks));
    if (b == P2P_GROUP_BLOCKS)
        b = p2p_blockset_next(&s, 0);
    if (b < P2P_GROUP_BLOCKS)
        p2p_blockset_add(&v->have, b);
}

static void die(struct model *m, struct node *v)
{
    v->is_alive = false;
    v->gone_at = m->k.now + 1000 + el_rng_below(&m->rng, 5000);
    v->back_at = m->k.now + 500 + el_rng_below(&m->rng, 20000);
    v->n_runs = 0;
    v->is_located = false;
}

static void notice(struct model *m, struct node *v)
{
    if (v->gone_at != 0 && m->k.now >= v->gone_at) {
        if (!v->is_alive)
            p2p_tracker_node_gone(m->k.t, m->k.now, v->id);
        v->gone_at = 0;
        check(m);
    }
    if (!v->is_alive && m->k.now >= v->back_at) {
        v->is_alive = true;
        v->ask_at = m->k.now;
    }
}

static void step_node(struct model *m, struct node *v)
{
    notice(m, v);
    if (!v->is_alive)
        return;
    for (unsigned i = 0; i < v->n_runs; i++)
        read_on(m, v, &v->runs[i]);
    if (chance(m, 3))
        copy(m, v);
    if (m->k.now >= v->ask_at)
        ask_tracker(m, v);
    if (m->has_faults && chance(m, 2000))
        die(m, v);
}

/* ---- the world ---- */

static void replace_tracker(struct model *m)
{
    struct p2p_tracker_conf conf = { 0 };

    m->slow += tracker_stats(&m->k).slow;
    p2p_tracker_free(m->k.t);
    el_rng_seed(&conf.rng, el_rng_u64(&m->rng));
    m->k.t = p2p_tracker_new(&conf, m->k.now);
    if (m->is_noticed)
        for (unsigned i = 0; i < m->n; i++)
            m->nodes[i].ask_at = m->k.now;
}

/* Who asks for the first time could not tell a new tracker that it is one. */
static bool are_all_located(const struct model *m)
{
    for (unsigned i = 0; i < m->n; i++) {
        if (!m->nodes[i].is_located)
            return false;
    }
    return true;
}

static void step(struct model *m)
{
    m->k.now += STEP_MS;
    p2p_tracker_tick(m->k.t, m->k.now);
    if ((m->has_faults && chance(m, 500)) ||
        (m->new_trackers && are_all_located(m) && chance(m, 100)))
        replace_tracker(m);
    for (unsigned i = 0; i < m->n; i++)
        step_node(m, &m->nodes[i]);
}

static bool is_done(const struct model *m)
{
    for (unsigned i = 0; i < m->n; i++) {
        if (!m->nodes[i].is_alive || p2p_blockset_count(&m->nodes[i].have) < m->blocks)
            return false;
    }
    return true;
}

static void init(struct model *m, uint64_t seed)
{
    *m = (struct model){ 0 };
    tracker_init(&m->k, NULL);
    el_rng_seed(&m->rng, seed);
    m->blocks = 1 + (uint32_t)el_rng_below(&m->rng, chance(m, 4) ? 1024 : 100);
    m->n = 1 + (unsigned)el_rng_below(&m->rng, NODES);
    for (unsigned i = 0; i < m->n; i++) {
        m->nodes[i] = (struct node){ .id = i + 1, .is_alive = true };
        m->nodes[i].block_ms = 20 + (unsigned)el_rng_below(&m->rng, chance(m, 5) ? 3000 : 200);
        m->nodes[i].ask_at = m->k.now + el_rng_below(&m->rng, 3000);
    }
}

static void all_say_farewell(struct model *m)
{
    for (unsigned i = 0; i < m->n; i++) {
        struct p2p_locate l = { .group = tracker_group(0), .blocks = m->blocks, .leaves = true };

        ask(&m->k, i + 1, &l);
    }
    m->k.now += 600000;
    for (unsigned i = 0; i < 100; i++, m->k.now += 1000)
        p2p_tracker_tick(m->k.t, m->k.now);
    assert_int_equal(tracker_stats(&m->k).groups, 0);
    assert_int_equal(tracker_stats(&m->k).holders, 0);
    assert_int_equal(tracker_stats(&m->k).takers, 0);
}

/* A block that a run far too slow was at may come twice. */
static void check_reads(const struct model *m, uint64_t seed)
{
    uint64_t twice = m->slow + tracker_stats(&m->k).slow;

    if (m->read < m->blocks || m->read > m->blocks + twice)
        fail_msg("seed %llu: %u blocks were read %u times", (unsigned long long)seed, m->blocks,
                 m->read);
}

static void run(uint64_t seed, bool has_faults, bool new_trackers)
{
    struct model *m = el_new(struct model);
    uint64_t end;

    init(m, seed);
    m->has_faults = has_faults;
    m->new_trackers = new_trackers;
    m->is_noticed = seed % 2 == 0;
    for (unsigned ms = 0; has_faults && ms < 60000; ms += STEP_MS)
        step(m);
    m->has_faults = false;
    for (end = m->k.now + 1200000; m->k.now < end && !is_done(m);)
        step(m);
    if (!is_done(m))
        fail_msg("seed %llu: somebody waits in vain", (unsigned long long)seed);
    if (!has_faults)
        check_reads(m, seed);
    all_say_farewell(m);
    tracker_deinit(&m->k);
    free(m);
}

static void where_nothing_fails_each_block_is_read_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed, false, false);
}

static void where_only_trackers_fail_each_block_is_read_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed, false, true);
}

static void whatever_fails_all_who_live_have_everything_in_the_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed, true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_nothing_fails_each_block_is_read_once),
        cmocka_unit_test(where_only_trackers_fail_each_block_is_read_once),
        cmocka_unit_test(whatever_fails_all_who_live_have_everything_in_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
