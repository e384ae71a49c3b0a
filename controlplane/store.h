/* SPDX-License-Identifier: MIT */
/*
 * store: where records (state.h) outlive a process. Two of them: SQLite in a file of this machine,
 * and Redis, one server or a Cluster, which any number of eliocp share.
 *
 * Records are written in the order in which they are put. Each put gets a position; a position is
 * durable when everything up to it is. A store that is away is tried again for as long as it takes,
 * nothing is dropped: only whoever waits for a position is told that it takes too long. How much
 * may wait is for whoever puts to say (cp_plane_is_full).
 *
 * Other writers. What another eliocp writes arrives at on_record(), each key's last value last;
 * what this one has itself written after that is not undone by it. After a time without the store
 * everything is read again, between on_load(true) and on_load(false).
 *
 * Duties. Of each name, at most one eliocp holds the lease at a time, by the store's clock; with
 * SQLite it is always this one, since the file is locked.
 *
 * Thread: calls from any; the store has threads of its own, on which the callbacks run, no lock
 * held.
 */
#pragma once

#include "controlplane/state.h"

struct cp_store;

struct cp_store_events {
    void *arg;
    /* A record of another writer, or one that is read. */
    void (*on_record)(void *arg, struct el_str key, struct el_str value, bool is_removal);
    /* true: all records follow; false: these were all. */
    void (*on_load)(void *arg, bool is_begin);
    /* Everything up to this position is durable. */
    void (*on_durable)(void *arg, uint64_t position);
    /* The store does not answer (err), or does again (NULL). Once for each change. */
    void (*on_trouble)(void *arg, const struct el_error *err);
};

struct cp_store_status {
    const char *kind; /* "sqlite", "redis", "redis-cluster" */
    bool is_up;
    uint64_t pending;       /* records put and not durable yet */
    uint64_t pending_bytes; /* of keys and values */
    uint64_t written;       /* records since the start */
    uint64_t commits;       /* transactions or round trips that took them */
    uint64_t bytes;         /* written since the start, keys and values */
    uint64_t loaded;        /* records read at the last load */
    uint64_t reconnects;
};

/*
 * Reads everything (on_load, on_record: on the calling thread) and then returns. EL_EDISK,
 * EL_ECONNECT: it cannot be had; EL_ECONFLICT: another process has the file.
 */
enum el_err cp_store_sqlite_open(const char *path, const struct cp_store_events *events,
                                 struct cp_store **ret_store, struct el_error *err);

/* Whether a file that nobody uses is a state, and whole: EL_EPROTO, EL_EVERSION, EL_EDISK. */
enum el_err cp_store_sqlite_check(const char *path, struct el_error *err);

struct cp_store_redis_conf {
    const char *servers;       /* host:port, comma separated; of a Cluster some of its nodes */
    const char *password_file; /* NULL: none */
    bool is_tls;
    const char *ca_file;            /* NULL: the system's */
    const char *tls_cert, *tls_key; /* for servers that want one of us; NULL: none */
    const char *prefix;             /* of all keys: the cluster's id */
    uint32_t deadline_ms;           /* of one exchange: 1000 */
    uint32_t wait_replicas;         /* a write is durable when so many replicas have it too: 0 */
};
/* Finds out by itself whether it is a Cluster. */
enum el_err cp_store_redis_open(const struct cp_store_redis_conf *conf,
                                const struct cp_store_events *events, struct cp_store **ret_store,
                                struct el_error *err);

/*
 * What was put is written, for as long as deadline_ms allows; then the threads end. NULL is fine.
 * No callback runs any more once it has returned.
 */
void cp_store_close(struct cp_store *st, uint32_t deadline_ms);

/* Takes the records (a chain); the position of the last. Never blocks for the store. NULL: nothing,
 * the last position. */
uint64_t cp_store_put(struct cp_store *st, struct cp_record *records);

/* Holds the lease of this name, as of the last renewal; the store renews it by itself. */
bool cp_store_has_duty(struct cp_store *st);

/* A copy of everything in one file, consistent, while it is used. SQLite only: EL_EUNSUPPORTED
 * otherwise. */
enum el_err cp_store_backup(struct cp_store *st, const char *path, struct el_error *err);

void cp_store_status(struct cp_store *st, struct cp_store_status *ret_status);
