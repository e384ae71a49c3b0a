/* SPDX-License-Identifier: MIT */
/*
 * elio_swim [--seed N] [--seeds N] [--only STAGE] [--check] [--verbose] NODES... : the membership
 * at several sizes, as a table, in virtual time. Each row is one cluster that goes through all
 * stages, or through cold and the one named: everybody starts at once (cold), rests (quiet), one
 * more joins (join), one dies (crash), one leaves (leave), messages are lost (loss), some are slow
 * (slow), some start again (restart), and it is cut in two for a minute in which one dies (cut).
 * With --check a broken promise is a failure: nobody who is well is taken for dead, all agree in
 * the end, a cut is healed within 10 s and brings no dead back.
 */
#include <getopt.h>
#include <inttypes.h>

#include "discovery/rendezvous.h"
#include "tests/sim/gossip_net.h"

#define MINUTE_MS 60000u

struct row {
    double cold_s, join_s, first_s, dead_s, left_s, restart_s, cut_s, heal_s;
    double messages, bytes, loss_bytes; /* of a node, a second */
    uint64_t loss_suspected, loss_died, slow_suspected, slow_died, slow_died_slow, largest;
    double record_bytes; /* of a member */
    size_t ghosts;
    bool is_right;
};

static double seconds_since(const struct gossip_net *s, uint64_t at_ms)
{
    return (double)(s->now_ms - at_ms) / 1000;
}

/* The time until `done`, which is given limit_ms; beyond, the row is wrong. */
static double until(struct gossip_net *s, struct row *r, uint64_t limit_ms,
                    bool (*done)(struct gossip_net *))
{
    uint64_t at_ms = s->now_ms;

    if (!net_run(s, at_ms + limit_ms, done))
        r->is_right = false;
    return seconds_since(s, at_ms);
}

static void rest(struct gossip_net *s, uint64_t ms)
{
    (void)net_run(s, s->now_ms + ms, NULL);
}

static size_t the_one; /* that joins, dies or leaves */

static bool one_is_held_dead(struct gossip_net *s)
{
    return net_believe(s, the_one, true) == 0;
}

static bool one_is_held_dead_by_some(struct gossip_net *s)
{
    return net_believe(s, the_one, false) > 0;
}

/* ---- what it goes through ---- */

static void cold(struct gossip_net *s, struct row *r)
{
    for (size_t i = 0; i + 1 < s->n; i++)
        net_start(s, i);
    r->cold_s = until(s, r, 2 * MINUTE_MS, net_agrees);
}

static void memory(const struct gossip_net *s, struct row *r)
{
    struct disc_members_stats stats;
    struct disc_member one;
    size_t at = 0;

    disc_members_stats(s->node[0].m, &stats);
    EL_ASSERT(disc_members_each(s->node[0].m, &at, &one));
    r->record_bytes = (double)stats.bytes / (double)s->n_up + (double)disc_card_bytes(one.card);
}

static void quiet(struct gossip_net *s, struct row *r)
{
    uint64_t sent, bytes, at_ms;

    rest(s, MINUTE_MS); /* rumours die out */
    sent = s->sent;
    bytes = s->sent_bytes;
    at_ms = s->now_ms;
    rest(s, MINUTE_MS / 2);
    r->messages = (double)(s->sent - sent) / (double)s->n_up / seconds_since(s, at_ms);
    r->bytes = (double)(s->sent_bytes - bytes) / (double)s->n_up / seconds_since(s, at_ms);
    memory(s, r);
}

static void join(struct gossip_net *s, struct row *r)
{
    net_start(s, s->n - 1);
    r->join_s = until(s, r, MINUTE_MS, net_agrees);
}

static void crash(struct gossip_net *s, struct row *r)
{
    uint64_t at_ms = s->now_ms;

    the_one = s->n - 1;
    net_crash(s, the_one);
    r->first_s = until(s, r, 2 * MINUTE_MS, one_is_held_dead_by_some);
    (void)until(s, r, MINUTE_MS, one_is_held_dead);
    r->dead_s = seconds_since(s, at_ms);
}

static void leave(struct gossip_net *s, struct row *r)
{
    the_one = s->n - 2;
    net_leave(s, the_one);
    r->left_s = until(s, r, MINUTE_MS, net_agrees);
}

static void lose(struct gossip_net *s, struct row *r)
{
    uint64_t suspected = s->suspected, died = s->died, bytes = s->sent_bytes, at_ms = s->now_ms;

    s->loss_permille = 20;
    rest(s, 2 * MINUTE_MS);
    s->loss_permille = 0;
    r->loss_suspected = s->suspected - suspected;
    r->loss_died = s->died - died;
    r->loss_bytes = (double)(s->sent_bytes - bytes) / (double)s->n_up / seconds_since(s, at_ms);
    (void)until(s, r, MINUTE_MS, net_agrees);
}

/* One in twenty, at most 50, answers up to three seconds late, and hears as late. */
static void slow_down(struct gossip_net *s, struct row *r)
{
    uint64_t suspected = s->suspected, died = s->died, died_slow = s->died_slow;
    size_t n_slow = el_min_size(s->n / 20 + 1, 50);

    for (size_t i = 0; i < n_slow; i++)
        s->node[s->n / 2 + i].slow_ms = 3000;
    rest(s, 2 * MINUTE_MS);
    for (size_t i = 0; i < n_slow; i++)
        s->node[s->n / 2 + i].slow_ms = 0;
    r->slow_suspected = s->suspected - suspected;
    r->slow_died = s->died - died;
    r->slow_died_slow = s->died_slow - died_slow;
    (void)until(s, r, MINUTE_MS, net_agrees);
}

static void restart(struct gossip_net *s, struct row *r)
{
    size_t n_again = s->n / 20 + 1;

    for (size_t i = 0; i < n_again; i++)
        net_crash(s, s->n / 4 + i);
    rest(s, 2000); /* before anybody took it for dead */
    for (size_t i = 0; i < n_again; i++)
        net_start(s, s->n / 4 + i);
    r->restart_s = until(s, r, MINUTE_MS, net_agrees);
}

static bool halves_agree(struct gossip_net *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->node[i].m != NULL && disc_members_live(s->node[i].m) != s->n_up / 2 &&
            disc_members_live(s->node[i].m) != s->n_up - s->n_up / 2)
            return false;
    return true;
}

/* In two for a minute, in which one dies. */
static void cut(struct gossip_net *s, struct row *r)
{
    uint64_t at_ms = s->now_ms;
    size_t up = 0;

    for (size_t i = 0; i < s->n; i++)
        if (s->node[i].m != NULL)
            s->node[i].side = up++ < s->n_up / 2;
    r->cut_s = until(s, r, MINUTE_MS, halves_agree);
    the_one = s->n / 2;
    net_crash(s, the_one);
    (void)net_run(s, el_max_u64(at_ms + MINUTE_MS, s->now_ms + 20000), NULL);
    for (size_t i = 0; i < s->n; i++)
        s->node[i].side = 0;
    r->heal_s = until(s, r, MINUTE_MS, net_agrees);
    rest(s, MINUTE_MS / 2);
    r->ghosts = net_believe(s, the_one, true);
    if (r->ghosts > 0 || !net_agrees(s))
        r->is_right = false;
}

static double cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const struct stage {
    const char *name;
    void (*go)(struct gossip_net *s, struct row *r);
} stages[] = {
    { "cold", cold },      { "quiet", quiet },     { "join", join },
    { "crash", crash },    { "leave", leave },     { "loss", lose },
    { "slow", slow_down }, { "restart", restart }, { "cut", cut },
};

struct options {
    uint64_t seed, seeds;
    const char *only; /* NULL: all stages */
    bool is_checked, is_verbose;
};

static bool is_wanted(const struct stage *stage, const struct options *o)
{
    return o->only == NULL || stage == &stages[0] || strcmp(stage->name, o->only) == 0;
}

static void go_through(size_t n, uint64_t seed, const struct options *o, struct row *r)
{
    struct gossip_net s;

    *r = (struct row){ .is_right = true };
    net_init(&s, n, seed);
    for (size_t i = 0; i < EL_COUNT(stages); i++) {
        if (!is_wanted(&stages[i], o))
            continue;
        if (o->is_verbose)
            fprintf(stderr, "%zu nodes, %.1f s, %.1f MB sent, %.1f s of processor: %s\n", n,
                    (double)s.now_ms / 1000, (double)s.sent_bytes / 1e6, cpu_s(), stages[i].name);
        stages[i].go(&s, r);
    }
    r->largest = s.largest;
    net_deinit(&s);
}

/* ---- the table ---- */

static void head(void)
{
    printf(
        "%6s %7s %6s %6s %6s %6s %7s %7s %7s | %6s %7s %7s | %9s %6s %9s %6s %6s | %7s %6s %5s\n",
        "nodes", "cold s", "join s", "1st s", "dead s", "left s", "again s", "split s", "heal s",
        "msg/s", "B/s", "lossB/s", "loss:susp", "died", "slow:susp", "died", "slow", "largest",
        "B/memb", "ghost");
}

static void print(size_t n, const struct row *r)
{
    printf("%6zu %7.1f %6.1f %6.1f %6.1f %6.1f %7.1f %7.1f %7.1f | %6.2f %7.0f %7.0f | %9" PRIu64
           " %6" PRIu64 " %9" PRIu64 " %6" PRIu64 " %6" PRIu64 " | %7" PRIu64 " %6.0f %5zu%s\n",
           n, r->cold_s, r->join_s, r->first_s, r->dead_s, r->left_s, r->restart_s, r->cut_s,
           r->heal_s, r->messages, r->bytes, r->loss_bytes, r->loss_suspected, r->loss_died,
           r->slow_suspected, r->slow_died, r->slow_died_slow, r->largest, r->record_bytes,
           r->ghosts, r->is_right ? "" : "  WRONG");
    (void)fflush(stdout);
}

static void time_rendezvous(size_t n)
{
    uint64_t *member = el_alloc(n * sizeof(*member));
    uint8_t key[DISC_KEY_BYTES] = { 0 };
    size_t owner[DISC_OWNERS], sum = 0;
    struct el_rng rng;
    double at;

    el_rng_seed(&rng, n);
    for (size_t i = 0; i < n; i++)
        member[i] = el_rng_u64(&rng);
    at = cpu_s();
    for (unsigned i = 0; i < 10000; i++) {
        memcpy(key, &i, sizeof(i));
        (void)disc_rendezvous(key, member, n, owner);
        sum += owner[0];
    }
    printf("rendezvous over %zu members: %.2f us a key (%zu)\n", n, (cpu_s() - at) * 1e6 / 10000,
           sum % 10);
    free(member);
}

/* What is promised of membership: docs/discovery.md. */
static bool is_good(const struct row *r)
{
    return r->is_right && r->loss_died == 0 && r->slow_died == 0 && r->heal_s <= 10 &&
           r->largest <= DISC_MAX_MESSAGE;
}

static void usage(void)
{
    fprintf(
        stderr,
        "usage: elio_swim [--seed N] [--seeds N] [--only STAGE] [--check] [--verbose] NODES...\n");
    exit(2);
}

static uint64_t number(const char *text, uint64_t max)
{
    uint64_t v;

    if (text == NULL || !el_str_u64(el_str_of(text), max, &v))
        usage();
    return v;
}

static const char *stage_name(const char *text)
{
    for (size_t i = 0; i < EL_COUNT(stages); i++)
        if (strcmp(stages[i].name, text) == 0)
            return text;
    usage();
    return NULL;
}

static struct options options_of(int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' }, { "seeds", required_argument, NULL, 'n' },
        { "only", required_argument, NULL, 'o' }, { "check", no_argument, NULL, 'c' },
        { "verbose", no_argument, NULL, 'v' },    { 0 },
    };
    struct options o = { .seed = 1, .seeds = 1 };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            o.seed = number(optarg, UINT64_MAX);
        else if (c == 'n')
            o.seeds = number(optarg, 1000000);
        else if (c == 'o')
            o.only = stage_name(optarg);
        else if (c == 'c')
            o.is_checked = true;
        else if (c == 'v')
            o.is_verbose = true;
        else
            usage();
    }
    return o;
}

/* True: every promise was kept. */
static bool try_size(size_t n, const struct options *o)
{
    bool is_all_good = true;

    for (uint64_t i = 0; i < o->seeds; i++) {
        struct row r;

        go_through(n, o->seed + i, o, &r);
        print(n, &r);
        if (!is_good(&r)) {
            printf("seed %" PRIu64 " breaks a promise\n", o->seed + i);
            is_all_good = false;
        }
    }
    return is_all_good;
}

int main(int argc, char **argv)
{
    struct options o = options_of(argc, argv);
    bool is_all_good = true;

    if (optind == argc)
        usage();
    head();
    for (; optind < argc; optind++) {
        size_t n = number(argv[optind], 20000);

        if (n < 8)
            usage();
        is_all_good = try_size(n, &o) && is_all_good;
        if (o.only == NULL)
            time_rendezvous(n);
    }
    return o.is_checked && !is_all_good ? 1 : 0;
}
