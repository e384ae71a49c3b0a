/* SPDX-License-Identifier: MIT */
/*
 * p2p: see p2p.h. The engine's thread: it waits for messages (from the cache, from links) and for
 * the time that one of the cores has named, lets the cores decide, and does what they want done.
 */
#include "p2p/p2p.h"

#include <poll.h>
#include <stdio.h>

#include "common/log.h"
#include "p2p/engine.h"
#include "p2p/lead.h"

#define NET_THREADS 2u
#define LOOK_MS     200u
#define STATUS_MS   1000u
#define GOOD_BYE_MS 200u
#define MAX_WAIT_MS 1000u

/* ---- the thread ---- */

void p2p_pump(struct p2p *p)
{
    p2p_peers_pump(p);
    p2p_fetch_pump(p);
    p2p_give_pump(p);
    p2p_peers_pump(p); /* who could not be reached */
}

static uint64_t due_ms(const struct p2p *p)
{
    uint64_t due = el_min_u64(disc_members_due_ms(p->members), p->seeds_due_ms);

    due = el_min_u64(due, p2p_swarm_due_ms(p->swarm));
    due = el_min_u64(due, p2p_upload_due_ms(p->upload));
    due = el_min_u64(due, p2p_tracker_due(p->tracker));
    due = el_min_u64(due, p2p_call_due_ms(p));
    due = el_min_u64(due, p2p_orders_due_ms(p));
    if (!el_list_empty(&p->announces))
        due = el_min_u64(due, p->announce_due_ms);
    if ((p2p_has_company(p) || p->cp != NULL) && !p->is_walking)
        due = el_min_u64(due, p->walk_due_ms);
    if (!el_list_empty(&p->streams))
        due = el_min_u64(due, p->lead_due_ms);
    return el_min_u64(due, p->look_due_ms);
}

static void tick(struct p2p *p)
{
    uint64_t now = p2p_now(p);

    p2p_peers_tick(p);
    if (now >= p2p_swarm_due_ms(p->swarm))
        p2p_swarm_tick(p->swarm, now);
    if (now >= p2p_tracker_due(p->tracker))
        p2p_tracker_tick(p->tracker, now);
    p2p_call_tick(p);
    p2p_find_tick(p);
    p2p_announce_tick(p);
    p2p_orders_tick(p);
    if (now >= p->lead_due_ms) {
        p->lead_due_ms = now + P2P_LEAD_LOOK_MS;
        p2p_fetch_tick_leads(p);
    }
    if (now >= p->look_due_ms) {
        p->look_due_ms = now + LOOK_MS;
        p2p_vouch_tick(p->vouch, now);
        p2p_fetch_tick(p);
    }
    if (now >= p->status_due_ms) {
        p->status_due_ms = now + STATUS_MS;
        p2p_status_make(p);
        p2p_progress_look(p);
    }
    p2p_pump(p);
}

static void wait_for_work(struct p2p *p)
{
    uint64_t now = p2p_now(p), due = due_ms(p);
    uint64_t ms = due <= now ? 0 : el_min_u64(due - now, MAX_WAIT_MS);
    struct pollfd fd = { .fd = el_msgq_fd(p->queue), .events = POLLIN };

    (void)poll(&fd, 1, (int)ms); /* whatever it says, there is a look at the queue */
    el_msgq_dispatch(p->queue);
}

/* What others still wait for here is ended, then the links are. */
static void stop_step(struct p2p *p)
{
    if (p->stop_due_ms == 0 || p->net_is_closing)
        return;
    p2p_fetch_stop(p);
    if (p2p_now(p) < p->stop_due_ms || !p2p_fetch_is_idle(p))
        return;
    p->net_is_closing = true;
    p2p_net_close(p->net);
}

static void *run(void *arg)
{
    struct p2p *p = arg;

    (void)pthread_setname_np(pthread_self(), "peers"); /* cosmetic */
    while (!p->net_is_closed) {
        wait_for_work(p);
        tick(p);
        stop_step(p);
    }
    el_msgq_dispatch(p->queue); /* fills that came at the last moment */
    EL_ASSERT(p2p_give_is_idle(p));
    return NULL;
}

static void on_stop(struct el_msg *m)
{
    struct p2p *p = EL_ENTRY(m, struct p2p, stop);

    p->stop_due_ms = p2p_now(p) + GOOD_BYE_MS;
    p2p_orders_stop(p);
    p2p_second_stop(p);
    p2p_find_stop(p);
    p2p_call_stop(p);
    p2p_peers_leave(p);
}

/* ---- parts ---- */

static void count(struct p2p *p)
{
    static const char help[] =
        "bytes that this node was to read from the origin for all, by reason";
    struct el_metrics *m = p->metrics;

    p->count.blocks_in = el_metrics_counter(m, "eliop2p_p2p_blocks_in_total",
                                            "blocks taken from peers and found right", NULL);
    p->count.bytes_in = el_metrics_counter(m, "eliop2p_p2p_bytes_in_total", "bytes of these", NULL);
    p->count.blocks_out =
        el_metrics_counter(m, "eliop2p_p2p_blocks_out_total", "blocks given to peers", NULL);
    p->count.bytes_out =
        el_metrics_counter(m, "eliop2p_p2p_bytes_out_total", "bytes of these", NULL);
    p->count.bad = el_metrics_counter(m, "eliop2p_p2p_blame_total",
                                      "peers that sent what their manifest denies", NULL);
    p->count.dropped = el_metrics_counter(m, "eliop2p_p2p_blocks_dropped_total",
                                          "blocks that came and could not be used", NULL);
    for (unsigned i = 0; i < EL_COUNT(p->count.reasons); i++) {
        char label[64];

        (void)snprintf(label, sizeof(label), "reason=\"%s\"", p2p_reason_name((enum p2p_reason)i));
        p->count.reasons[i] = el_metrics_counter(m, "eliop2p_p2p_origin_bytes_total", help, label);
    }
    p->count.finds_known = el_metrics_counter(m, "eliop2p_p2p_finds_known_total",
                                              "URLs of which the cluster knew a version", NULL);
    p->count.finds_asked =
        el_metrics_counter(m, "eliop2p_p2p_finds_asked_total",
                           "URLs that this node asked the origin about for all", NULL);
    p->count.announced = el_metrics_counter(m, "eliop2p_p2p_announced_chunks_total",
                                            "whole chunks that trackers were told of", NULL);
    p->count.heard = el_metrics_counter(m, "eliop2p_p2p_heard_chunks_total",
                                        "the same, that this node was told of as a tracker", NULL);
    for (unsigned i = 0; i < EL_COUNT(p->count.orders); i++) {
        static const char *const labels[] = { [DISC_CP_DONE] = "result=\"done\"",
                                              [DISC_CP_FAILED] = "result=\"failed\"",
                                              [DISC_CP_LATER] = "result=\"later\"" };

        p->count.orders[i] =
            el_metrics_counter(m, "eliop2p_control_plane_commands_total",
                               "commands of the control plane, by what became of them", labels[i]);
    }
    p->count.calls =
        el_metrics_counter(m, "eliop2p_p2p_tracker_questions_total", "questions to trackers", NULL);
    p->count.calls_failed = el_metrics_counter(m, "eliop2p_p2p_tracker_silence_total",
                                               "of these, that nobody answered", NULL);
    p->count.tracker_gave_up = el_metrics_counter(
        m, "eliop2p_p2p_tracker_given_up_total",
        "what this node knew for others and had no room for in p2p.tracker_memory_mb", NULL);
    p->count.second_asked = el_metrics_counter(
        m, "eliop2p_p2p_second_chunks_total",
        "chunks that the control plane was asked about in place of trackers", NULL);
    p->count.second_known = el_metrics_counter(m, "eliop2p_p2p_second_known_total",
                                               "of these, that it named a living node for", NULL);
    p->count.unwell =
        el_metrics_gauge(m, "eliop2p_p2p_unwell_peers",
                         "living members with a health below 50 in /api/v1/peers", NULL);
}

static uint64_t seed(struct p2p *p)
{
    return el_rng_u64(&p->rng);
}

/* One that is dead or has left is known to those only who met it before. */
static bool lives(void *arg, const uint8_t *key)
{
    const struct p2p *p = arg;
    struct disc_member member;
    struct el_digest fingerprint;

    el_key_fingerprint(key, &fingerprint);
    return disc_members_find(p->members, p2p_hash_of(&fingerprint), &member) &&
           member.state <= DISC_SUSPECT;
}

static void new_cores(struct p2p *p, const struct p2p_conf *conf)
{
    struct p2p_swarm_conf swarm = { .self = p->self, .k = conf->k, .max_peers = conf->max_peers };
    struct p2p_upload_conf upload = { 0 };
    struct p2p_tracker_conf tracker = { .memory = conf->tracker_bytes,
                                        .is_member = p2p_is_member,
                                        .arg = p };

    el_rng_seed(&swarm.rng, seed(p));
    el_rng_seed(&upload.rng, seed(p));
    el_rng_seed(&tracker.rng, seed(p));
    p->swarm = p2p_swarm_new(&swarm, p2p_now(p));
    p->upload = p2p_upload_new(&upload);
    p->tracker = p2p_tracker_new(&tracker, p2p_now(p));
    p->vouch = p2p_vouch_new(&(struct p2p_vouch_conf){ .key = p->identity.key,
                                                       .max_chunks = conf->max_chunks,
                                                       .is_known = lives,
                                                       .arg = p,
                                                       .metrics = p->metrics });
}

static void say_hello(struct p2p *p, struct p2p_hello *h)
{
    *h = (struct p2p_hello){
        .http_port = p->is_outbound_only ? 0 : p->http_port,
        .name = el_str_of(p->name),
        .cluster = el_str_of(p->cluster),
        .zone = el_str_of(p->zone),
    };
}

static const char *or_null(const char *path)
{
    return path[0] != '\0' ? path : NULL;
}

static enum el_err start_net(struct p2p *p, const struct p2p_conf *conf, struct el_error *err)
{
    struct p2p_net_conf net = {
        .threads = NET_THREADS,
        .bind_address = conf->is_outbound_only ? NULL : conf->bind_address,
        .port = conf->port,
        .key = p->identity.key,
        .secret = conf->secret,
        .cert_file = or_null(conf->tls_cert),
        .key_file = or_null(conf->tls_key),
        .ca_file = or_null(conf->tls_ca),
        .rates = { conf->upload_bps, conf->download_bps },
        .queue = p->queue,
        .metrics = p->metrics,
        .ops = &p2p_net_ops_of_engine,
        .arg = p,
    };
    enum el_err rc;

    say_hello(p, &net.hello);
    rc = p2p_net_new(&net, &p->net, err);
    if (rc == EL_OK)
        p->port = p2p_net_port(p->net);
    return rc;
}

static enum el_err set_name(const char *what, const char *name, char ret[P2P_MAX_NAME + 1],
                            struct el_error *err)
{
    for (const char *c = name; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f)
            return el_fail(err, EL_ECONF, 0, "%s has to be printable ASCII without blanks", what);
    }
    if (strlen(name) > P2P_MAX_NAME)
        return el_fail(err, EL_ECONF, 0, "%s is longer than %u", what, P2P_MAX_NAME);
    (void)snprintf(ret, P2P_MAX_NAME + 1, "%s", name);
    return EL_OK;
}

static enum el_err take_names(struct p2p *p, const struct p2p_conf *conf, struct el_error *err)
{
    enum el_err rc = set_name("general.node_id", conf->name, p->name, err);

    if (rc == EL_OK)
        rc = set_name("general.cluster", conf->cluster, p->cluster, err);
    if (rc == EL_OK)
        rc = set_name("general.zone", conf->zone, p->zone, err);
    return rc;
}

static void init(struct p2p *p, const struct p2p_conf *conf)
{
    p->conf = *conf;
    p->is_tls = conf->secret.n > 0 || conf->tls_cert[0] != '\0';
    p->is_loopback =
        strncmp(conf->bind_address, "127.", 4) == 0 || strcmp(conf->bind_address, "::1") == 0;
    p->origin = conf->origin;
    p->clock = conf->clock;
    p->metrics = conf->metrics;
    p->cp = conf->control_plane;
    p->source.ops = &p2p_source_ops;
    p->listener.ops = &p2p_listener_ops;
    p->finder.ops = &p2p_finder_ops;
    el_rng_seed_random(&p->rng);
    el_list_init(&p->attempts);
    el_list_init(&p->calls);
    el_list_init(&p->streams);
    el_msg_init(&p->stop, on_stop);
    el_buf_init(&p->peers_json);
    el_buf_init(&p->seeds_json);
    el_buf_init(&p->p2p_json);
    p->gave = p2p_gave_new();
    EL_ASSERT(pthread_mutex_init(&p->feeds_mtx, NULL) == 0);
    EL_ASSERT(pthread_mutex_init(&p->status_mtx, NULL) == 0);
    p2p_find_init(p);
    p2p_orders_init(p);
    p2p_second_init(p);
    count(p);
}

enum el_err p2p_new(const struct p2p_conf *conf, struct p2p **ret_p, struct el_error *err)
{
    struct p2p *p = el_new(struct p2p);
    const struct disc_sources sources = { .mode = el_str_of(conf->mode),
                                          .seeds = el_str_of(conf->seeds),
                                          .file = el_str_of(conf->file),
                                          .control_plane = conf->control_plane };
    enum el_err rc;

    init(p, conf);
    rc = el_msgq_new(&p->queue, err);
    if (rc == EL_OK)
        rc = take_names(p, conf, err);
    if (rc == EL_OK)
        rc = p2p_identity_load(conf->state_dir, &p->identity, err);
    if (rc == EL_OK)
        rc = disc_providers_of(&sources, &p->providers, err);
    if (rc != EL_OK) {
        p2p_free(p);
        return rc;
    }
    p->self = disc_id_hash(el_str_of(p->identity.id));
    *ret_p = p;
    return EL_OK;
}

struct cache_source *p2p_source(struct p2p *p)
{
    return &p->source;
}

struct cache_listener *p2p_listener(struct p2p *p)
{
    return &p->listener;
}

struct cache_finder *p2p_finder(struct p2p *p)
{
    return &p->finder;
}

/* After the cores: commands may come at once. */
static enum el_err start_control_plane(struct p2p *p, void *measure_arg, struct el_error *err)
{
    const struct disc_cp_node node = {
        .node_id = p->identity.id,
        .address = p->host,
        .proof = p->proof,
        .p2p_port = p->port,
        .http_port = p->http_port,
        .serves = !p->is_outbound_only,
        .measure = p->conf.measure,
        .measure_arg = measure_arg,
        .command = p2p_orders_take,
        .command_arg = p,
        .prefetch = p->conf.prefetch,
        .prefetch_arg = measure_arg,
        .holders = p2p_second_take,
        .holders_arg = p,
    };

    if (p->cp == NULL)
        return EL_OK;
    p2p_identity_prove(&p->identity, p->cluster, p->proof);
    return disc_cp_run(p->cp, &node, err);
}

static enum el_err start_thread(struct p2p *p, struct el_error *err)
{
    int failed;

    atomic_store(&p->is_running, true);
    failed = pthread_create(&p->thread, NULL, run, p);
    if (failed != 0) {
        atomic_store(&p->is_running, false);
        return el_fail(err, EL_ESYS, failed, "a thread for the peers");
    }
    p->has_thread = true;
    return EL_OK;
}

enum el_err p2p_run(struct p2p *p, struct cache *cache, void *measure_arg, uint16_t http_port,
                    struct el_error *err)
{
    enum el_err rc;

    p->cache = cache;
    p->http_port = http_port;
    p->is_outbound_only = p->conf.is_outbound_only;
    rc = start_net(p, &p->conf, err);
    if (rc == EL_OK) {
        new_cores(p, &p->conf);
        rc = p2p_vouch_keep(p->vouch, p->conf.state_dir, p->conf.max_manifest_bytes, err);
    }
    if (rc == EL_OK)
        rc = p2p_peers_start(p, &p->conf, err);
    if (rc == EL_OK)
        rc = start_thread(p, err);
    if (rc == EL_OK)
        rc = start_control_plane(p, measure_arg, err);
    if (rc != EL_OK)
        return rc;
    el_log(EL_INFO, EV_P2P_START, "id=%s port=%u address=%s tls=%d", p->identity.id, p->port,
           p->host, p->is_tls);
    return EL_OK;
}

/* ---- the end ---- */

/* Without a thread the queue is run here: links have to be told good-bye all the same. */
static void close_here(struct p2p *p)
{
    p->net_is_closing = true;
    p2p_net_close(p->net);
    while (!p->net_is_closed) {
        struct pollfd fd = { .fd = el_msgq_fd(p->queue), .events = POLLIN };

        (void)poll(&fd, 1, (int)MAX_WAIT_MS);
        el_msgq_dispatch(p->queue);
    }
}

void p2p_stop(struct p2p *p)
{
    disc_cp_stop(p->cp);
    EL_ASSERT(pthread_mutex_lock(&p->feeds_mtx) == 0);
    atomic_store(&p->is_running, false);
    atomic_store(&p->is_stopping, true);
    EL_ASSERT(pthread_mutex_unlock(&p->feeds_mtx) == 0);
    if (p->has_thread) {
        el_msgq_post(p->queue, &p->stop);
        EL_ASSERT(pthread_join(p->thread, NULL) == 0);
        p->has_thread = false;
    } else if (p->net != NULL) {
        close_here(p);
    }
    p2p_net_free(p->net);
    p->net = NULL;
}

void p2p_free(struct p2p *p)
{
    if (p == NULL)
        return;
    EL_ASSERT(!p->has_thread && p->net == NULL);
    p2p_peers_free(p);
    p2p_swarm_free(p->swarm);
    p2p_upload_free(p->upload);
    p2p_tracker_free(p->tracker);
    p2p_vouch_free(p->vouch);
    p2p_gave_free(p->gave);
    p2p_find_deinit(p);
    p2p_announce_deinit(p);
    explicit_bzero(p->proof, sizeof(p->proof));
    p2p_identity_deinit(&p->identity);
    el_msgq_free(p->queue);
    p2p_second_deinit(p);
    p2p_orders_deinit(p); /* their messages may have been in it */
    el_buf_deinit(&p->peers_json);
    el_buf_deinit(&p->seeds_json);
    el_buf_deinit(&p->p2p_json);
    EL_ASSERT(pthread_mutex_destroy(&p->feeds_mtx) == 0);
    free(p->downloads);
    EL_ASSERT(pthread_mutex_destroy(&p->status_mtx) == 0);
    free(p);
}

/* ---- from outside ---- */

uint16_t p2p_port(const struct p2p *p)
{
    return p->port;
}

void p2p_peers_that_gave(struct p2p *p, const uint8_t version[16], json_t *list)
{
    p2p_gave_list(p->gave, version, list);
}

/* Plain links are for those who could come by the port as well. */
bool p2p_takes_links(struct p2p *p, bool is_local)
{
    return atomic_load(&p->is_running) && !p->is_outbound_only &&
           (p->is_tls || is_local || !p->is_loopback);
}

void p2p_take_link(struct p2p *p, int fd)
{
    p2p_net_take(p->net, fd);
}

void p2p_set_rates(struct p2p *p, uint64_t upload_bps, uint64_t download_bps)
{
    const struct p2p_rates rates = { upload_bps, download_bps };

    p2p_net_rates(p->net, &rates);
}

size_t p2p_cluster_size(struct p2p *p)
{
    return atomic_load(&p->n_live);
}

bool p2p_asks_others(struct p2p *p)
{
    return atomic_load(&p->asks_others);
}

uint64_t p2p_lost_ms(struct p2p *p)
{
    return atomic_load(&p->lost_ms);
}
