/* SPDX-License-Identifier: MIT */
/*
 * program: what elionode and eliocp are as processes: configuration, what the command line asks for
 * besides running, log, signals, descriptors, exit codes. What they do stands in run().
 *
 * Thread: the main one.
 */
#pragma once

#include <signal.h>

#include "common/clock.h"
#include "common/conf.h"

enum el_exit { EL_EXIT_DONE = 0, EL_EXIT_RUNTIME = 1, EL_EXIT_CONF = 2 };

struct el_program {
    /* Set by the program. */
    const char *name, *about; /* "eliocp", "the control plane of ..." */
    enum el_conf_program keys;
    void (*help)(FILE *out); /* the lines of --help about sub commands */
    /* What the keys alone cannot say, for --check-config; run() has to look itself. */
    enum el_err (*check)(struct el_program *p, struct el_error *err);
    int (*run)(struct el_program *p); /* an enum el_exit */

    /* Set before check() and run(). */
    int argc;
    char *const *argv;
    struct el_conf *conf;
    struct el_clock *clock;
    uint64_t started_ns;
    /* In run(): these signals are blocked in every thread; el_program_wait() takes them. */
    sigset_t signals;
};

/* Everything from the first to the last line of main(). */
int el_program_main(struct el_program *p, int argc, char *const argv[]);

/* The configuration as it is now, with what was pushed (el_conf_load_pushed(); empty: nothing); the
 * caller frees it. */
enum el_err el_program_load(const struct el_program *p, struct el_str pushed,
                            struct el_conf **ret_conf, struct el_error *err);
/* Level and format as they are in p->conf. */
void el_program_setup_log(const struct el_program *p);

#define EL_PROGRAM_FOREVER (-1L)
/* The next of SIGTERM, SIGINT and SIGHUP within ms; 0 when none came. Thread: any. */
int el_program_wait(const struct el_program *p, long ms);
