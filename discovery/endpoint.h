/* SPDX-License-Identifier: MIT */
/*
 * endpoint: where a control plane may answer, and which of these places is asked. Pure.
 *
 * Each is probed every 5 s, always. One that failed is down at once, and is tried again after
 * 0.25 s, 0.5, 1 ... 5 s, a fifth more or less by chance; when it failed more than once, it has to
 * answer twice in a row before it counts again. The best of those that are up is asked, and stays
 * the best until it fails, or until another was clearly better three probes in a row: knows more
 * of the cluster, or answers in half the time.
 */
#pragma once

#include "common/err.h"
#include "common/rng.h"
#include "discovery/gossip_wire.h"

#define DISC_MAX_ENDPOINTS 16u
#define DISC_CONTROL_PORT  8081u
#define DISC_PROBE_MS      5000u
#define DISC_NO_ENDPOINT   SIZE_MAX

struct disc_endpoint {
    char host[DISC_MAX_HOST + 1]; /* without brackets */
    uint16_t port;
    bool is_tls;

    bool is_up;
    bool is_probing;       /* a probe is out */
    bool was_answered;     /* it has answered or failed since the start */
    unsigned failures;     /* since it last answered; of calls: since a call was answered */
    unsigned answers;      /* in a row */
    unsigned sick;         /* calls that failed although probes are answered */
    uint64_t probe_due_ms; /* when it is to be probed again */
    uint64_t latency_us;   /* decayed; 0: not known */
    uint64_t epoch;        /* of the membership that it knows */
    unsigned better;       /* probes in a row in which it was better than the best */
};

struct disc_endpoints {
    struct disc_endpoint v[DISC_MAX_ENDPOINTS];
    size_t n;
    size_t best; /* DISC_NO_ENDPOINT: none is up */
};

/*
 * HOST, HOST:PORT, [V6]:PORT, or one of these behind http:// or https://, separated by commas. The
 * first probes are due at once. EL_ECONF: one is none of these, or there are too many.
 */
enum el_err disc_endpoints_parse(struct el_str list, struct disc_endpoints *ret,
                                 struct el_error *err);
/* "host:port" */
void disc_endpoint_name(const struct disc_endpoint *e, struct el_buf *out);

/* One whose probe is due: the caller sends it. DISC_NO_ENDPOINT: none is. */
size_t disc_endpoints_next_probe(struct disc_endpoints *set, uint64_t now_ms);
uint64_t disc_endpoints_due_ms(const struct disc_endpoints *set);

/* ---- what became of it; each of these may change the best ---- */

void disc_endpoint_probed(struct disc_endpoints *set, size_t which, uint64_t now_ms,
                          struct el_rng *rng, uint64_t took_us, uint64_t epoch);
void disc_endpoint_probe_failed(struct disc_endpoints *set, size_t which, uint64_t now_ms,
                                struct el_rng *rng);
/* The same of another call than a probe. */
void disc_endpoint_answered(struct disc_endpoints *set, size_t which);
void disc_endpoint_failed(struct disc_endpoints *set, size_t which, uint64_t now_ms,
                          struct el_rng *rng);

/* Every one of them has failed, and none is up. */
bool disc_endpoints_are_down(const struct disc_endpoints *set);
