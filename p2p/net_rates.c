/* SPDX-License-Identifier: MIT */
/*
 * net_rates: the two buckets that all links of a node share (bandwidth.h), under a lock that is not
 * taken where there is no limit.
 */
#include "common/clock.h"
#include "p2p/link.h"

#define WORTH (16 * EL_KIB) /* a turn: less is not waited for */

static uint64_t now_ns(void)
{
    return el_clock_mono_ns(el_clock_system());
}

static size_t take(struct p2p_net *net, struct p2p_bucket *b, size_t bytes)
{
    size_t n;

    EL_ASSERT(pthread_mutex_lock(&net->rates_mtx) == 0);
    n = (size_t)p2p_bucket_take(b, now_ns(), bytes);
    EL_ASSERT(pthread_mutex_unlock(&net->rates_mtx) == 0);
    return n;
}

static void give_back(struct p2p_net *net, struct p2p_bucket *b, size_t bytes)
{
    if (bytes == 0)
        return;
    EL_ASSERT(pthread_mutex_lock(&net->rates_mtx) == 0);
    p2p_bucket_give_back(b, bytes);
    EL_ASSERT(pthread_mutex_unlock(&net->rates_mtx) == 0);
}

size_t p2p_rates_take_in(struct p2p_net *net, size_t bytes, size_t unlimited)
{
    return atomic_load_explicit(&net->is_limited_in, memory_order_relaxed)
               ? take(net, &net->in, bytes)
               : unlimited;
}

size_t p2p_rates_take_out(struct p2p_net *net, size_t bytes)
{
    return atomic_load_explicit(&net->is_limited_out, memory_order_relaxed)
               ? take(net, &net->out, bytes)
               : bytes;
}

void p2p_rates_give_back_in(struct p2p_net *net, size_t bytes)
{
    if (atomic_load_explicit(&net->is_limited_in, memory_order_relaxed))
        give_back(net, &net->in, bytes);
}

void p2p_rates_give_back_out(struct p2p_net *net, size_t bytes)
{
    if (atomic_load_explicit(&net->is_limited_out, memory_order_relaxed))
        give_back(net, &net->out, bytes);
}

void p2p_rates_spend_out(struct p2p_net *net, size_t bytes)
{
    if (bytes == 0 || !atomic_load_explicit(&net->is_limited_out, memory_order_relaxed))
        return;
    EL_ASSERT(pthread_mutex_lock(&net->rates_mtx) == 0);
    p2p_bucket_spend(&net->out, now_ns(), bytes);
    EL_ASSERT(pthread_mutex_unlock(&net->rates_mtx) == 0);
}

uint64_t p2p_rates_wait_ms(struct p2p_net *net, bool in, bool out)
{
    uint64_t wait = UINT64_MAX, now = now_ns();

    EL_ASSERT(pthread_mutex_lock(&net->rates_mtx) == 0);
    if (in)
        wait = p2p_bucket_wait_ns(&net->in, now, WORTH);
    if (out)
        wait = el_min_u64(wait, p2p_bucket_wait_ns(&net->out, now, WORTH));
    EL_ASSERT(pthread_mutex_unlock(&net->rates_mtx) == 0);
    return (wait + 999999) / 1000000;
}

void p2p_net_rates(struct p2p_net *net, const struct p2p_rates *rates)
{
    uint64_t now = now_ns();

    EL_ASSERT(pthread_mutex_lock(&net->rates_mtx) == 0);
    p2p_bucket_set(&net->in, rates->download_bps, now);
    p2p_bucket_set(&net->out, rates->upload_bps, now);
    atomic_store_explicit(&net->is_limited_in, rates->download_bps != 0, memory_order_relaxed);
    atomic_store_explicit(&net->is_limited_out, rates->upload_bps != 0, memory_order_relaxed);
    EL_ASSERT(pthread_mutex_unlock(&net->rates_mtx) == 0);
    for (unsigned i = 0; i < net->n_threads; i++)
        el_msgq_post(net->threads[i].queue, &net->threads[i].rates_changed);
}
