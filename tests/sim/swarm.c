/* SPDX-License-Identifier: MIT */
/*
 * elio_swarm: how fast, and how often from the origin, nodes get an object; and that nothing
 * breaks.
 *
 *   elio_swarm                      the table of docs/peers.md: of six seeds the mean of each
 * figure, and the longest time elio_swarm --check              the same, and exit code 1 if a
 * figure is worse than it was elio_swarm --faults FIRST N     N runs full of faults, from that seed
 * on; a seed that breaks a promise is printed elio_swarm --scale NODES MIB MBIT [exact | MOST] one
 * cold run of many nodes, with coarse flows or exact ones: a line of the table in docs/peers.md:
 * nodes, links, object; last and mean time / bound; egress; short frames and questions per node and
 * second; KB per node; what the run took. Exit code 1 if the last takes more than MOST times the
 * bound, or the origin is asked for more than 1.02 objects. On stderr: how far it is
 */
#include "tests/sim/world.h"

#include <sys/resource.h>

#define MBIT   125000.0
#define SECOND UINT64_C(1000000)
/* That a shaped link holds when it is full: what bench/run --only swarm has at each end. */
#define QUEUE_US 20000u
#define NEVER    UINT64_MAX
#define TIMEOUT  (36000 * SECOND)
/* Of each scene of the table: one alone may be better or worse by luck. */
#define SEEDS 6u
/* What the origin may send where nothing fails, in objects. */
#define MOST_EGRESS 1.02

struct scene {
    const char *name;
    size_t nodes;
    uint64_t blocks;
    double mbit;
    void (*change)(struct sim_conf *c);
    double most; /* last finisher / bound, and a little more than it is */
};

static void init_conf(struct sim_conf *c, size_t nodes, uint64_t blocks, double mbit)
{
    *c = (struct sim_conf){ .nodes = nodes,
                            .blocks = blocks,
                            .origin = mbit * MBIT,
                            .latency_us = 500,
                            .overtake = true,
                            .seed = 1,
                            .member_us = 3 * SECOND,
                            .end_us = TIMEOUT };
    c->node = el_alloc(nodes * sizeof(struct sim_node_conf));
    for (size_t i = 0; i < nodes; i++)
        c->node[i] = (struct sim_node_conf){
            .up = mbit * MBIT, .down = mbit * MBIT, .kill_us = NEVER, .start_us = i * 100
        };
}

static void stagger(struct sim_conf *c)
{
    for (size_t i = 0; i < c->nodes; i++)
        c->node[i].start_us = i * SECOND / 2;
}

static void slow_one(struct sim_conf *c)
{
    c->node[c->nodes - 1].up /= 10;
    c->node[c->nodes - 1].down /= 10;
    c->node[c->nodes - 1].is_slow = true;
}

static void uneven(struct sim_conf *c)
{
    c->is_uneven = true;
    for (size_t i = 0; i < c->nodes; i++)
        c->node[i].start_us = i * 40000;
}

/* An origin that gives a hundredth of that. */
static void slow_origin(struct sim_conf *c)
{
    for (size_t i = 0; i < c->nodes; i++) {
        c->node[i].up *= 100;
        c->node[i].down *= 100;
    }
}

static void slow_uneven(struct sim_conf *c)
{
    slow_origin(c);
    uneven(c);
}

/* A third of them get nothing from the origin, and do not know it. */
static void hanging(struct sim_conf *c)
{
    for (size_t i = 0; i < c->nodes; i += 3)
        c->node[i].hangs = true;
}

static void pausing(struct sim_conf *c)
{
    c->pause_us = 5 * SECOND;
    c->resume_us = 9 * SECOND;
}

static void pausing_for_long(struct sim_conf *c)
{
    c->pause_us = 5 * SECOND;
    c->resume_us = 30 * SECOND;
}

static void kill_one(struct sim_conf *c)
{
    c->node[c->nodes / 2].kill_us = 6 * SECOND;
}

/* Of group 0 (world_sources.c). */
static void kill_tracker(struct sim_conf *c)
{
    c->node[0].kill_us = 5 * SECOND;
}

static void one_liar(struct sim_conf *c)
{
    c->node[1].manner = SIM_LIAR;
}

static void one_mute(struct sim_conf *c)
{
    c->node[1].manner = SIM_MUTE;
}

static void one_drip(struct sim_conf *c)
{
    c->node[1].manner = SIM_DRIP;
}

/* Besides those who take: it says that it has all of it. */
static void seed_that(struct sim_conf *c, enum sim_manner manner)
{
    c->node[c->nodes - 1].manner = manner;
    c->node[c->nodes - 1].is_seed = true;
}

static void honest_seed(struct sim_conf *c)
{
    seed_that(c, SIM_HONEST);
}

static void lying_seed(struct sim_conf *c)
{
    seed_that(c, SIM_LIAR);
}

static void mute_seed(struct sim_conf *c)
{
    seed_that(c, SIM_MUTE);
}

static void dripping_seed(struct sim_conf *c)
{
    seed_that(c, SIM_DRIP);
}

/* And the others ask it who has what. */
static void silent_tracker(struct sim_conf *c)
{
    seed_that(c, SIM_SILENT);
    c->first_tracker = c->nodes - 1;
}

static const struct scene scenes[] = {
    { "8 x 200 Mbit/s, 256 MiB", 8, 256, 200, NULL, 1.06 },
    { "  starts half a second apart", 8, 256, 200, stagger, 1.42 },
    { "  one at a tenth (the others)", 8, 256, 200, slow_one, 1.07 },
    { "  some connections get more", 8, 256, 200, uneven, 1.12 },
    { "  one killed at half time", 8, 256, 200, kill_one, 1.07 },
    { "  the tracker killed", 8, 256, 200, kill_tracker, 1.07 },
    { "  three whose origin hangs", 8, 256, 200, hanging, 1.30 },
    { "  the origin pauses for 4 s", 8, 256, 200, pausing, 1.45 },
    { "  for 25 s", 8, 256, 200, pausing_for_long, 3.5 },
    { "  one liar", 8, 256, 200, one_liar, 1.25 },
    { "  one that never answers", 8, 256, 200, one_mute, 1.40 },
    { "  one that drips", 8, 256, 200, one_drip, 1.45 },
    { "6 x 200 Mbit/s, one has all", 6, 256, 200, honest_seed, 1.20 },
    { "  and lies", 6, 256, 200, lying_seed, 1.25 },
    { "  and never answers", 6, 256, 200, mute_seed, 1.25 },
    { "  and drips", 6, 256, 200, dripping_seed, 1.35 },
    { "  and is a silent tracker", 6, 256, 200, silent_tracker, 1.20 },
    { "16 x 50 Mbit/s, 32 MiB", 16, 32, 50, NULL, 1.95 },
    { "  some connections get more", 16, 32, 50, uneven, 1.90 },
    { "16 x 50 Mbit/s, 256 MiB", 16, 256, 50, NULL, 1.08 },
    { "  some connections get more", 16, 256, 50, uneven, 1.15 },
    { "16 x 25 Mbit/s, 128 MiB", 16, 128, 25, NULL, 1.12 },
    { "  some connections get more", 16, 128, 25, uneven, 1.20 },
    { "16 x 12 Mbit/s, 128 MiB", 16, 128, 12, NULL, 1.15 },
    { "4 x 2 Mbit/s, 64 MiB", 4, 64, 2, NULL, 1.30 },
    { "16, origin 10 Mbit/s, 64 MiB", 16, 64, 10, slow_origin, 1.05 },
    { "  some connections get more", 16, 64, 10, slow_uneven, 1.05 },
    { "50, origin 10 Mbit/s, 64 MiB", 50, 64, 10, slow_origin, 1.05 },
    { "50, origin 10 Mbit/s, 256 MiB", 50, 256, 10, slow_origin, 1.05 },
    { "4, origin 2 Mbit/s, 64 MiB", 4, 64, 2, slow_origin, 1.05 },
    { "16 x 100 Mbit/s, 128 MiB", 16, 128, 100, NULL, 1.08 },
    { "  starts half a second apart", 16, 128, 100, stagger, 1.80 },
    { "  one at a tenth (the others)", 16, 128, 100, slow_one, 1.12 },
    { "  some connections get more", 16, 128, 100, uneven, 1.25 },
    { "  one killed at half time", 16, 128, 100, kill_one, 1.12 },
    { "  the tracker killed", 16, 128, 100, kill_tracker, 1.13 },
};

/* Of several seeds: the mean of each, and the last of all. */
struct figures {
    double last, most, mean, all, egress, hedges, no_tracker, twice, frames, locates;
};

static void add(struct figures *f, const struct sim_result *r, double bound, unsigned seeds)
{
    double last = r->last_s / bound;

    f->last += last / seeds;
    f->most = last > f->most ? last : f->most;
    f->mean += r->mean_s / bound / seeds;
    f->all += r->first_start_to_last_s / bound / seeds;
    f->egress += r->egress / seeds;
    f->hedges += r->hedge_blocks / seeds;
    f->no_tracker += r->no_tracker_blocks / seeds;
    f->twice += (double)r->twice / seeds;
    f->frames += (double)r->short_frames / seeds;
    f->locates += (double)r->locates / seeds;
}

/*
 * All give what they have, and as fast as the others, and the origin never stands still for so long
 * that somebody else has to try: then it is asked once.
 */
static bool are_sound(const struct sim_conf *c)
{
    if (c->resume_us - c->pause_us >= P2P_LEASE_TTL_MS * 1000)
        return false;
    for (size_t i = 0; i < c->nodes; i++)
        if (c->node[i].manner != SIM_HONEST || c->node[i].is_slow)
            return false;
    return true;
}

static bool play(const struct scene *s, unsigned seeds, bool check)
{
    double bound = (double)s->blocks * (double)P2P_MAX_BLOCK / (s->mbit * MBIT);
    struct figures f = { 0 };
    bool fine = true, is_sound = false;

    for (unsigned seed = 1; seed <= seeds; seed++) {
        struct sim_conf c;
        struct sim_result r;

        init_conf(&c, s->nodes, s->blocks, s->mbit);
        c.queue_us = QUEUE_US;
        c.seed = seed;
        if (s->change != NULL)
            s->change(&c);
        r = sim_run(&c);
        is_sound = are_sound(&c);
        add(&f, &r, bound, seeds);
        fine = fine && r.all_done && r.broken == 0;
        free(c.node);
    }
    printf("%-32s %6.3f %6.3f %6.3f %6.3f  %6.3f  %5.1f %5.1f %5.1f %7.0f %6.0f\n", s->name, f.last,
           f.most, f.mean, f.all, f.egress, f.hedges, f.no_tracker, f.twice, f.frames, f.locates);
    fine = fine && f.all <= s->most && (!is_sound || f.egress <= MOST_EGRESS);
    if (!fine)
        printf("  ^ worse than it was, or not done\n");
    return fine || !check;
}

static bool table(unsigned seeds, bool check)
{
    bool fine = true;

    printf(
        "times / bound F/B                  last   most   mean    all  egress  hedge nolea twice  "
        "frames locate\n");
    for (size_t i = 0; i < EL_COUNT(scenes); i++)
        fine = play(&scenes[i], seeds, check) && fine;
    return fine;
}

/* ---- faults ---- */

static bool fails_now(void *arg, uint64_t now_us, size_t node)
{
    uint64_t *window = arg;

    (void)node;
    return now_us >= window[0] && now_us < window[1];
}

static void spoil_node(struct el_rng *rng, struct sim_node_conf *n)
{
    double factor = el_rng_below(rng, 4) == 0 ? 0.1 : 1;

    n->up *= factor;
    n->down *= factor;
    n->is_slow = factor < 1;
    n->start_us = el_rng_below(rng, 3) == 0 ? el_rng_below(rng, 10 * SECOND) : 0;
    if (el_rng_below(rng, 8) == 0)
        n->kill_us = n->start_us + el_rng_below(rng, 10 * SECOND) + 1;
    if (el_rng_below(rng, 5) == 0)
        n->manner = SIM_LIAR + el_rng_below(rng, 4);
    n->is_seed = n->manner != SIM_HONEST && el_rng_below(rng, 2) == 0;
    n->no_origin = n->manner == SIM_HONEST && el_rng_below(rng, 6) == 0;
    n->side = (unsigned)el_rng_below(rng, 2);
}

/* Whoever comes when the others are done hears of them by no other: it may ask the origin. */
static void silence_tracker(struct sim_conf *c, struct el_rng *rng)
{
    struct sim_node_conf *n;

    c->first_tracker = 1 + el_rng_below(rng, c->nodes - 1);
    n = &c->node[c->first_tracker];
    n->manner = SIM_SILENT;
    n->is_seed = el_rng_below(rng, 4) != 0;
    for (size_t i = 0; i < c->nodes; i++)
        c->node[i].no_origin = false;
}

/* Node 0 is honest, lives, and may ask the origin. */
static void spoil(struct sim_conf *c, uint64_t seed, uint64_t window[2])
{
    struct el_rng rng;

    el_rng_seed(&rng, seed * 7919 + 1);
    for (size_t i = 1; i < c->nodes; i++)
        spoil_node(&rng, &c->node[i]);
    c->latency_us = 100 + el_rng_below(&rng, 20000);
    if (el_rng_below(&rng, 3) == 0) {
        c->part_us = 1 + el_rng_below(&rng, 8 * SECOND);
        c->heal_us = c->part_us + el_rng_below(&rng, 20 * SECOND) + 1;
    }
    if (el_rng_below(&rng, 4) == 0) {
        c->deaf_us = el_rng_below(&rng, 8 * SECOND);
        c->hear_us = c->deaf_us + el_rng_below(&rng, 20 * SECOND);
    }
    if (el_rng_below(&rng, 4) == 0) {
        window[0] = el_rng_below(&rng, 6 * SECOND);
        window[1] = window[0] + el_rng_below(&rng, 5 * SECOND);
        c->origin_fails = fails_now;
        c->arg = window;
    }
    c->origin_connection = el_rng_below(&rng, 3) == 0 ? c->origin / 8 : 0;
    c->overtake = el_rng_below(&rng, 2) == 0;
    c->queue_us = el_rng_below(&rng, 2) == 0 ? 0 : el_rng_below(&rng, 30000);
    if (el_rng_below(&rng, 8) == 0)
        silence_tracker(c, &rng);
}

/* All at once and straight from the origin, as slow as the slowest; and what timeouts may add. Who
 * may not ask the origin has to wait for those who give. */
static uint64_t patience(const struct sim_conf *c)
{
    double bytes = (double)c->blocks * (double)P2P_MAX_BLOCK,
           slowest = c->origin / (double)c->nodes;
    uint64_t spare = 60 * SECOND;

    for (size_t i = 0; i < c->nodes; i++) {
        slowest = c->node[i].down < slowest ? c->node[i].down : slowest;
        spare = c->node[i].no_origin ? 300 * SECOND : spare;
    }
    if (c->origin_connection > 0 && c->origin_connection < slowest)
        slowest = c->origin_connection;
    return (uint64_t)(1.5 * bytes / slowest * 1e6) + spare;
}

static bool is_calm(const struct sim_conf *c)
{
    for (size_t i = 0; i < c->nodes; i++)
        if (c->node[i].kill_us != NEVER || c->node[i].manner != SIM_HONEST || c->node[i].is_slow)
            return false;
    return c->heal_us == 0 && c->hear_us == 0 && c->origin_fails == NULL;
}

static bool try_seed(uint64_t seed)
{
    uint64_t window[2];
    struct sim_conf c;
    struct sim_result r;
    bool fine;

    init_conf(&c, 3 + seed % 10, 20 + seed * 37 % 100, 100);
    c.seed = seed;
    spoil(&c, seed, window);
    c.end_us = patience(&c);
    r = sim_run(&c);
    fine = r.all_done && r.broken == 0;
    if (is_calm(&c) && (double)c.blocks * (r.egress - 1) > r.hedge_blocks + r.no_tracker_blocks)
        fine = false;
    if (!fine)
        printf("seed %llu: %s, egress %.2f, hedges %.0f, without tracker %.0f, again %llu\n",
               (unsigned long long)seed, r.all_done ? "a promise is broken" : "not done in time",
               r.egress, r.hedge_blocks, r.no_tracker_blocks, (unsigned long long)r.again);
    free(c.node);
    return fine;
}

static bool faults(uint64_t first, uint64_t n)
{
    uint64_t bad = 0;

    for (uint64_t seed = first; seed < first + n; seed++)
        bad += !try_seed(seed);
    printf("%llu seeds with faults, %llu of them bad\n", (unsigned long long)n,
           (unsigned long long)bad);
    return bad == 0;
}

/* ---- many nodes ---- */

/* The cluster is there; all nodes are asked for the object within 20 ms. */
static bool scale(size_t nodes, uint64_t mib, double mbit, const char *how)
{
    bool is_exact = strcmp(how, "exact") == 0;
    double most = is_exact || *how == 0 ? 1e9 : strtod(how, NULL);
    double bound = (double)mib * (double)P2P_MAX_BLOCK / (mbit * MBIT);
    struct sim_conf c;
    struct sim_result r;
    struct rusage use;

    init_conf(&c, nodes, mib, mbit);
    for (size_t i = 0; i < nodes; i++)
        c.node[i].start_us = 1 + i * 20000 / nodes;
    c.all_up = true;
    c.is_coarse = !is_exact;
    c.tell_us = (uint64_t)(bound * 1e6 / 50);
    r = sim_run(&c);
    (void)getrusage(RUSAGE_SELF, &use);
    printf(
        "| %zu | %g Gbit/s | %g GiB | %.3f | %.3f | %.4f | %.0f | %.2f | %.0f | %.0f s, %ld MB |\n",
        nodes, mbit / 1000, (double)mib / 1024, r.last_s / bound, r.mean_s / bound, r.egress,
        (double)r.short_frames / (double)nodes / r.last_s,
        (double)r.locates / (double)nodes / r.last_s, (double)use.ru_maxrss / (double)nodes,
        (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6, use.ru_maxrss / 1024);
    if (r.hedge_blocks + r.no_tracker_blocks + (double)r.again + (double)r.twice > 0)
        printf("  hedges %.0f, no tracker %.0f, leased again %llu, twice %llu\n", r.hedge_blocks,
               r.no_tracker_blocks, (unsigned long long)r.again, (unsigned long long)r.twice);
    free(c.node);
    return r.all_done && r.broken == 0 && r.last_s <= most * bound && r.egress <= MOST_EGRESS;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return !table(SEEDS, false);
    if (argc == 2 && strcmp(argv[1], "--check") == 0)
        return !table(SEEDS, true);
    if (argc == 4 && strcmp(argv[1], "--faults") == 0)
        return !faults(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    if ((argc == 5 || argc == 6) && strcmp(argv[1], "--scale") == 0)
        return !scale(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10),
                      strtod(argv[4], NULL), argc == 6 ? argv[5] : "");
    fprintf(stderr, "usage: elio_swarm [--check | --faults FIRST N | "
                    "--scale NODES MIB MBIT [exact | MOST]]\n");
    return 2;
}
