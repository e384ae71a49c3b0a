/* SPDX-License-Identifier: MIT */
/*
 * elio_trace: hit ratios. Puts made-up traces through the node's own code for the SSD tier
 * (regions, sketch, scores) and through LRU, FIFO and Belady, and prints a Markdown table. No disk,
 * no clock, no randomness: the same options print the same table.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>

#include "bench/trace.h"

enum { OURS, LRU, FIFO, BELADY, POLICIES };

static bool (*const policies[POLICIES])(const struct trace *, struct outcome *) = {
    [OURS] = trace_ours,
    [LRU] = trace_lru,
    [FIFO] = trace_fifo,
    [BELADY] = trace_belady,
};

/* ---- options ---- */

#define MIN_REGIONS  64
#define MAX_REGIONS  (1u << 20)
#define MAX_ACCESSES 100000000

struct options {
    struct trace_shape shape;
    bool checks;
};

static const struct option names[] = {
    { "accesses", required_argument, NULL, 'n' }, { "regions", required_argument, NULL, 'r' },
    { "model", required_argument, NULL, 'm' },    { "shift", required_argument, NULL, 's' },
    { "check", no_argument, NULL, 'c' },          { NULL, 0, NULL, 0 },
};

static void usage(void)
{
    fputs("elio_trace [--regions N] [--accesses N] [--model N] [--shift N] [--check]\n"
          "  --regions   of the cache, 16 MiB each (2048)\n"
          "  --accesses  of each trace (1000000)\n"
          "  --model     one access in so many of the second trace is to the model (10)\n"
          "  --shift     accesses from one shift to the next in the third trace (10 a region)\n"
          "  --check     fails unless the node's policy is ahead of LRU on each trace\n",
          stderr);
}

static bool parse_number(const char *s, size_t min, size_t max, size_t *ret)
{
    char *end;
    unsigned long v;

    errno = 0;
    v = strtoul(s, &end, 10);
    if (errno != 0 || end == s || *end != '\0' || *s == '-' || v < min || v > max)
        return false;
    *ret = v;
    return true;
}

static bool parse_option(struct options *o, int c)
{
    size_t regions;

    switch (c) {
    case 'n':
        return parse_number(optarg, 1, MAX_ACCESSES, &o->shape.accesses);
    case 'r':
        if (!parse_number(optarg, MIN_REGIONS, MAX_REGIONS, &regions))
            return false;
        o->shape.regions = (uint32_t)regions;
        return true;
    case 'm':
        return parse_number(optarg, 1, MAX_ACCESSES, &o->shape.model_each);
    case 's':
        return parse_number(optarg, 1, MAX_ACCESSES, &o->shape.shift_each);
    case 'c':
        o->checks = true;
        return true;
    default:
        return false;
    }
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    int c;

    *o = (struct options){ .shape = {
                               .regions = 2048,
                               .accesses = 1000000,
                               .model_each = 10,
                           } };
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (!parse_option(o, c))
            return false;
    }
    if (o->shape.shift_each == 0)
        o->shape.shift_each = 10 * (size_t)o->shape.regions;
    return optind == argc;
}

/* ---- the table ---- */

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void print_head(const struct trace_shape *s)
{
    printf("Cache of %" PRIu32 " regions; %zu accesses a trace; model: 1 in %zu; a shift each %zu. "
           "Requests %% / bytes %%.\n\n",
           s->regions, s->accesses, s->model_each, s->shift_each);
    printf("| trace | node | LRU | FIFO | Belady | node : Belady | written, node : LRU |\n"
           "|---|---|---|---|---|---|---|\n");
}

static void print_row(const struct trace *t, const struct outcome o[POLICIES])
{
    printf("| %s |", t->name);
    for (size_t i = 0; i < POLICIES; i++)
        printf(" %.1f / %.1f |", share(o[i].hits, o[i].requests),
               share(o[i].hit_bytes, o[i].bytes));
    printf(" %.0f %% / %.0f %% | %.0f %% |\n", share(o[OURS].hits, o[BELADY].hits),
           share(o[OURS].hit_bytes, o[BELADY].hit_bytes),
           share(o[OURS].written_bytes, o[LRU].written_bytes));
}

static bool is_ahead(const struct outcome *a, const struct outcome *b)
{
    return a->hits > b->hits && a->hit_bytes > b->hit_bytes;
}

/* Nobody is ahead of who knows the future: otherwise it is the simulator that is wrong. */
static bool check(const struct trace *t, const struct outcome o[POLICIES])
{
    for (size_t i = 0; i < BELADY; i++) {
        if (is_ahead(&o[i], &o[BELADY])) {
            fprintf(stderr, "%s: ahead of Belady\n", t->name);
            return false;
        }
    }
    if (is_ahead(&o[OURS], &o[LRU]))
        return true;
    fprintf(stderr, "%s: not ahead of LRU\n", t->name);
    return false;
}

/* False: memory is out. */
static bool run_trace(unsigned which, const struct options *opt, bool *is_good)
{
    struct outcome o[POLICIES] = { 0 };
    struct trace t;
    bool is_run = true;

    if (!trace_make(which, &opt->shape, &t))
        return false;
    for (size_t i = 0; i < POLICIES && is_run; i++)
        is_run = policies[i](&t, &o[i]);
    if (is_run)
        print_row(&t, o);
    if (is_run && opt->checks && !check(&t, o))
        *is_good = false;
    trace_deinit(&t);
    return is_run;
}

int main(int argc, char **argv)
{
    struct options opt;
    bool is_good = true;

    if (!parse_options(argc, argv, &opt)) {
        usage();
        return 2;
    }
    print_head(&opt.shape);
    for (unsigned i = 0; i < TRACES; i++) {
        if (!run_trace(i, &opt, &is_good)) {
            fputs("elio_trace: out of memory\n", stderr);
            return 1;
        }
    }
    return is_good ? 0 : 1;
}
