/* SPDX-License-Identifier: MIT */
#include "tests/sim/flows.h"

#include "common/rng.h"

#define TOLERANCE 0.005
#define MAX_ROUND 256u /* ports that are looked at again after one change */
/* The same of coarse ones. */
#define COARSE_TOLERANCE 0.05
#define COARSE_ROUND     16u
#define LUCK_US          UINT64_C(3000000)

/* A flow, and the port at its other end: where there are many, looking at each flow takes long. */
struct end {
    struct flow *flow;
    uint32_t other;
    float weight;
    bool has_cap;
};

struct port {
    double capacity;
    struct end *v;
    size_t n, size;
    double moved;
    bool is_queued;
};

struct flow {
    size_t from, to;       /* ports */
    size_t at_from, at_to; /* places in their lists */
    size_t at_heap;
    double left, rate, cap, weight;
    uint64_t since; /* when `left` was so much */
    double ends;    /* us */
    void *arg;
};

/* Of the heap: when a flow ends; looking at the flow itself takes longer. */
struct due {
    double ends;
    struct flow *flow;
};

struct flows {
    double tolerance;
    bool is_uneven;
    size_t max_round;
    struct port *ports;
    double *level; /* of each port: what a flow of weight 1 that wants more gets */
    size_t n_ports;
    struct due *heap;
    size_t n, size;
    size_t queue[MAX_ROUND];
    size_t queue_first, queue_n, seen;
};

struct flows *flows_new(size_t ports, bool is_coarse)
{
    struct flows *f = el_new(struct flows);

    f->tolerance = is_coarse ? COARSE_TOLERANCE : TOLERANCE;
    f->max_round = is_coarse ? COARSE_ROUND : MAX_ROUND;
    f->ports = el_alloc(ports * sizeof(struct port));
    f->level = el_alloc(ports * sizeof(double));
    f->n_ports = ports;
    return f;
}

void flows_free(struct flows *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->heap[i].flow);
    for (size_t i = 0; i < f->n_ports; i++)
        free(f->ports[i].v);
    free(f->ports);
    free(f->level);
    free(f->heap);
    free(f);
}

void flows_set_uneven(struct flows *f)
{
    f->is_uneven = true;
}

void flows_set_port(struct flows *f, size_t port, double capacity)
{
    f->ports[port].capacity = capacity;
    f->level[port] = capacity;
}

/* ---- the heap of ends ---- */

static void put(struct flows *f, size_t at, struct due x)
{
    f->heap[at] = x;
    x.flow->at_heap = at;
}

/* To its place, after `ends' has changed. */
static void sift(struct flows *f, size_t at, struct flow *flow)
{
    struct due x = { flow->ends, flow };

    while (at > 0 && x.ends < f->heap[(at - 1) / 2].ends) {
        put(f, at, f->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = at * 2 + 1;

        if (child + 1 < f->n && f->heap[child + 1].ends < f->heap[child].ends)
            child++;
        if (child >= f->n || f->heap[child].ends >= x.ends)
            break;
        put(f, at, f->heap[child]);
        at = child;
    }
    put(f, at, x);
}

static void heap_add(struct flows *f, struct flow *x)
{
    if (f->n == f->size) {
        f->size = f->size == 0 ? 64 : f->size * 2;
        f->heap = realloc(f->heap, f->size * sizeof(struct due));
        EL_ASSERT(f->heap != NULL);
    }
    f->n++;
    sift(f, f->n - 1, x);
}

static void heap_remove(struct flows *f, struct flow *x)
{
    struct flow *last = f->heap[--f->n].flow;

    if (last != x)
        sift(f, x->at_heap, last);
}

/* ---- ports ---- */

static void port_add(struct port *p, struct flow *x, size_t other, size_t *ret_at)
{
    if (p->n == p->size) {
        p->size = p->size == 0 ? 8 : p->size * 2;
        p->v = realloc(p->v, p->size * sizeof(struct end));
        EL_ASSERT(p->v != NULL);
    }
    *ret_at = p->n;
    p->v[p->n++] = (struct end){ x, (uint32_t)other, (float)x->weight, x->cap > 0 };
}

static void port_remove(struct flows *f, size_t port, size_t at)
{
    struct port *p = &f->ports[port];
    struct end last = p->v[--p->n];

    p->v[at] = last;
    *(last.flow->from == port ? &last.flow->at_from : &last.flow->at_to) = at;
}

/* What the flow could have if this port had no limit. */
static double limit_of(const struct flows *f, const struct end *e)
{
    double other = f->level[e->other] * (double)e->weight;

    return e->has_cap && e->flow->cap < other ? e->flow->cap : other;
}

static double weights_at(const struct port *p)
{
    double sum = 0;

    for (size_t i = 0; i < p->n; i++)
        sum += (double)p->v[i].weight;
    return sum;
}

/* The level at which those that are not limited elsewhere share what the others leave. */
static double level_of(const struct flows *f, size_t port)
{
    const struct port *p = &f->ports[port];
    double level = p->n == 0 ? p->capacity : p->capacity / weights_at(p), most = 0, sum = 0;

    for (;;) {
        double weights = 0;

        sum = most = 0;
        for (size_t i = 0; i < p->n; i++) {
            double limit = limit_of(f, &p->v[i]), weight = (double)p->v[i].weight;

            if (limit > level * weight) {
                weights += weight;
                continue;
            }
            sum += limit;
            most = limit > most * weight ? limit / weight : most;
        }
        if (weights == 0)
            return most + p->capacity - sum; /* no bottleneck here */
        if ((p->capacity - sum) / weights <= level * 1.0001)
            return level;
        level = (p->capacity - sum) / weights;
    }
}

static bool differs(const struct flows *f, double a, double b)
{
    return a > b * (1 + f->tolerance) || b > a * (1 + f->tolerance);
}

static void advance(struct flows *f, struct flow *x, uint64_t now)
{
    double moved = x->rate * (double)(now - x->since) / 1e6;

    moved = moved > x->left ? x->left : moved;
    x->left -= moved;
    x->since = now;
    f->ports[x->from].moved += moved;
    f->ports[x->to].moved += moved;
}

static void set_rate(struct flows *f, struct flow *x, uint64_t now)
{
    double a = f->level[x->from], b = f->level[x->to], rate = x->weight * (a < b ? a : b);

    rate = x->cap > 0 && x->cap < rate ? x->cap : rate;
    if (!differs(f, rate, x->rate))
        return;
    advance(f, x, now);
    x->rate = rate;
    x->ends = (double)now + x->left / rate * 1e6;
    sift(f, x->at_heap, x);
}

static void look_again(struct flows *f, size_t port)
{
    if (f->ports[port].is_queued || f->seen >= f->max_round)
        return;
    f->seen++;
    f->ports[port].is_queued = true;
    f->queue[(f->queue_first + f->queue_n++) % MAX_ROUND] = port;
}

static void settle(struct flows *f, uint64_t now)
{
    while (f->queue_n > 0) {
        size_t port = f->queue[f->queue_first];
        struct port *p = &f->ports[port];
        double level = level_of(f, port);
        bool changed = differs(f, level, f->level[port]);

        f->queue_first = (f->queue_first + 1) % MAX_ROUND;
        f->queue_n--;
        p->is_queued = false;
        if (!changed)
            continue;
        f->level[port] = level;
        for (size_t i = 0; i < p->n; i++) {
            look_again(f, p->v[i].other);
            set_rate(f, p->v[i].flow, now);
        }
    }
    f->seen = 0;
}

static void changed_at(struct flows *f, size_t from, size_t to, uint64_t now)
{
    look_again(f, from);
    look_again(f, to);
    settle(f, now);
}

/* Between half and twice an even share, for as long as the same link has luck. */
static double weight_of(const struct flows *f, uint64_t now_us, size_t from, size_t to)
{
    struct el_rng rng;

    if (!f->is_uneven)
        return 1;
    el_rng_seed(&rng, (uint64_t)from << 40 ^ (uint64_t)to << 20 ^ now_us / LUCK_US);
    return (double)(el_rng_below(&rng, 16) + 5) / 10;
}

struct flow *flows_start(struct flows *f, uint64_t now_us, size_t from, size_t to, uint64_t bytes,
                         double cap, void *arg)
{
    struct flow *x = el_new(struct flow);

    x->from = from;
    x->to = to;
    x->left = (double)bytes;
    x->cap = cap;
    x->weight = weight_of(f, now_us, from, to);
    x->since = now_us;
    x->ends = 1e18;
    x->arg = arg;
    port_add(&f->ports[from], x, to, &x->at_from);
    port_add(&f->ports[to], x, from, &x->at_to);
    heap_add(f, x);
    changed_at(f, from, to, now_us);
    set_rate(f, x, now_us);
    return x;
}

void flows_cancel(struct flows *f, uint64_t now_us, struct flow *x)
{
    size_t from = x->from, to = x->to;

    advance(f, x, now_us);
    port_remove(f, from, x->at_from);
    port_remove(f, to, x->at_to);
    heap_remove(f, x);
    free(x);
    changed_at(f, from, to, now_us);
}

uint64_t flows_due_us(const struct flows *f)
{
    return f->n == 0 || f->heap[0].ends >= 1e18 ? UINT64_MAX : (uint64_t)f->heap[0].ends + 1;
}

void *flows_finish(struct flows *f, uint64_t now_us)
{
    void *arg = f->heap[0].flow->arg;

    flows_cancel(f, now_us, f->heap[0].flow);
    return arg;
}

double flow_left(const struct flow *x, uint64_t now_us)
{
    double left = x->left - x->rate * (double)(now_us - x->since) / 1e6;

    return left > 0 ? left : 0;
}

double flow_rate(const struct flow *x)
{
    return x->rate;
}

void flows_set_cap(struct flows *f, uint64_t now_us, struct flow *x, double cap)
{
    bool is_same = cap > 0 ? x->cap > 0 && !differs(f, cap, x->cap) : x->cap <= 0;

    if (is_same)
        return;
    x->cap = cap;
    f->ports[x->from].v[x->at_from].has_cap = f->ports[x->to].v[x->at_to].has_cap = cap > 0;
    changed_at(f, x->from, x->to, now_us);
    set_rate(f, x, now_us);
}

bool flows_is_full(const struct flows *f, size_t port)
{
    const struct port *p = &f->ports[port];
    double sum = 0;

    for (size_t i = 0; i < p->n; i++)
        sum += p->v[i].flow->rate;
    return sum > 0.95 * p->capacity;
}

double flows_moved(const struct flows *f, size_t port)
{
    return f->ports[port].moved;
}
