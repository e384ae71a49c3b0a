/* SPDX-License-Identifier: MIT */
/*
 * pushed: configuration and policies that the control plane has pushed. What the node runs of them
 * is kept in its state directory, so that it starts with it whether or not somebody answers then.
 *
 *   client of the control plane --offer--> (a mutex) --take--> main thread: loads, applies, keeps
 *
 * Thread: main, but for proxy_pushed_offer().
 */
#pragma once

#include <pthread.h>

#include "common/buf.h"
#include "discovery/discovery.h"

struct proxy_pushed {
    char *path[DISC_CP_PARTS];         /* owned */
    struct el_buf kept[DISC_CP_PARTS]; /* lines, as el_conf_load_pushed() takes them */
    struct disc_cp_ran ran;

    pthread_mutex_t mtx;
    /* Under mtx. */
    struct disc_cp_settings offered[DISC_CP_PARTS]; /* version 0: nothing new */
};

/* Reads what was kept. What is wrong with a file is logged, and there is none then. */
void proxy_pushed_init(struct proxy_pushed *p, const char *state_dir);
void proxy_pushed_deinit(struct proxy_pushed *p); /* nobody offers any more */

/* For disc_cp_conf.settings: wakes the main thread as SIGHUP does. */
void proxy_pushed_offer(void *arg, const struct disc_cp_settings *settings);
/* What was offered, to be given back with el_buf_deinit(&ret->lines). False: nothing new. */
bool proxy_pushed_take(struct proxy_pushed *p, struct disc_cp_settings *ret);
/* Whether the node runs these very settings under that number. */
bool proxy_pushed_runs(const struct proxy_pushed *p, const struct disc_cp_settings *settings);
/* All that is kept, with `fresh` in place of its part; NULL: of none. */
void proxy_pushed_lines(const struct proxy_pushed *p, const struct disc_cp_settings *fresh,
                        struct el_buf *ret);
/* It is applied: from now on these are what the node runs. */
void proxy_pushed_keep(struct proxy_pushed *p, const struct disc_cp_settings *settings);
#define PROXY_PUSHED_KEPT 0u /* the version that was kept */
/* What became of a version of the part; "": it is run. */
void proxy_pushed_note(struct proxy_pushed *p, enum disc_cp_part part, uint64_t version,
                       const char *error);

/* For el_conf_reload(): that key waits for the next start. arg: a disc_cp_ran. */
void proxy_pushed_wait_for(void *arg, const char *key);
