/* SPDX-License-Identifier: MIT */
/*
 * eliocp: the control plane. The main thread owns its life and nothing else: it reads the
 * configuration, starts the service, waits for signals, and takes it down again. With a word that
 * is no option it is a client of a running one (cli.h).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/log.h"
#include "controlplane/cli.h"
#include "controlplane/service.h"

extern char **environ;

enum exit_code { EXIT_DONE = 0, EXIT_RUNTIME = 1, EXIT_CONF = 2 };

struct program {
    int argc;
    char *const *argv;
    struct el_conf *conf;
    struct el_clock *clock;
    uint64_t started_ns;
    sigset_t signals; /* blocked in every thread; taken by sigwaitinfo here */
};

/* ---- set-up of the process ---- */

static void setup_log(const struct el_conf *conf)
{
    const struct el_log_conf log = {
        .level = (enum el_log_level)conf->service_log_level, /* same order: conf_cp_list.h */
        .is_json = conf->service_log_format == 1,
        .fd = STDERR_FILENO,
    };

    el_log_setup(&log);
}

/* Before any thread starts, so that all inherit the mask. */
static void setup_signals(struct program *p)
{
    EL_ASSERT(sigemptyset(&p->signals) == 0);
    (void)sigaddset(&p->signals, SIGTERM);
    (void)sigaddset(&p->signals, SIGINT);
    (void)sigaddset(&p->signals, SIGHUP);
    EL_ASSERT(sigprocmask(SIG_BLOCK, &p->signals, NULL) == 0);
    EL_ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

/* One descriptor for each node is soon more than the usual soft limit of 1024. */
static void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- life ---- */

static void on_fixed(const char *key)
{
    el_log(EL_WARN, EV_CONF_IGNORED, "key=%s", key);
}

static enum el_err load(struct program *p, struct el_conf **ret_conf, struct el_conf_args *args,
                        struct el_error *err)
{
    return el_conf_load_of(EL_CONF_ELIOCP, p->argc, p->argv, environ, ret_conf, args, err);
}

static void reload(struct program *p)
{
    struct el_conf *fresh = NULL;
    struct el_conf_args args = { 0 };
    struct el_error err = { 0 };

    if (load(p, &fresh, &args, &err) == EL_OK) {
        el_conf_reload(p->conf, fresh, on_fixed);
        setup_log(p->conf);
        el_log(EL_INFO, EV_CONF_RELOAD, "result=ok");
    } else {
        el_log_error(EL_ERROR, EV_CONF_RELOAD, &err);
    }
    el_conf_args_deinit(&args);
    el_conf_free(fresh);
}

static void serve(struct program *p)
{
    for (;;) {
        int sig = sigwaitinfo(&p->signals, NULL);

        if (sig == SIGHUP)
            reload(p);
        else if (sig == SIGTERM || sig == SIGINT)
            return;
    }
}

static int run(struct program *p)
{
    struct cp_service *service;
    struct el_error err = { 0 };
    enum el_err rc;

    setup_signals(p);
    setup_log(p->conf);
    raise_fd_limit();
    rc = cp_service_start(p->conf, p->clock, &service, &err);
    if (rc != EL_OK) {
        el_log_error(EL_ERROR, EV_CP_FAIL, &err);
        return rc == EL_ECONF ? EXIT_CONF : EXIT_RUNTIME;
    }
    el_log(EL_INFO, EV_CP_START,
           "version=%s pid=%d address=%s port=%u cluster=%s store=%s ready_ms=%u", ELIO_VERSION,
           (int)getpid(), cp_service_address(service), cp_service_port(service),
           p->conf->service_cluster_id, EL_LOG_Q(el_str_of(p->conf->service_store)),
           (unsigned)((el_clock_mono_ns(p->clock) - p->started_ns) / 1000000));
    serve(p);
    el_log(EL_INFO, EV_CP_DRAIN, "timeout_ms=%llu",
           (unsigned long long)p->conf->service_drain_timeout_ms);
    cp_service_drain(service);
    cp_service_stop(service);
    el_log(EL_INFO, EV_CP_STOP, "result=ok");
    return EXIT_DONE;
}

/* ---- the command line ---- */

static void print_help(void)
{
    (void)printf("eliocp: the control plane of a cluster of elionodes\n\n");
    el_conf_help_of(EL_CONF_ELIOCP, stdout);
    (void)printf("\n");
    cp_cli_help(stdout);
}

/* True: an answer was printed and there is nothing to run. */
static bool answer(const struct el_conf_args *args, const struct el_conf *conf)
{
    if (args->help)
        print_help();
    else if (args->version)
        (void)printf("eliocp %s\n", ELIO_VERSION);
    else if (args->print_markdown)
        el_conf_markdown_of(EL_CONF_ELIOCP, stdout);
    else if (args->print)
        el_conf_print(conf, stdout);
    else if (args->check)
        (void)printf("the configuration is valid\n");
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct program p = { .argc = argc, .argv = argv, .clock = el_clock_system() };
    struct el_conf_args args = { 0 };
    struct el_error err = { 0 };
    int rc = EXIT_DONE;

    if (argc > 1 && argv[1][0] != '-')
        return cp_cli_run(argc, argv);
    p.started_ns = el_clock_mono_ns(p.clock);
    if (load(&p, &p.conf, &args, &err) != EL_OK) {
        (void)fprintf(stderr, "eliocp: %s\n", err.text);
        return EXIT_CONF;
    }
    if (args.check && cp_service_check(p.conf, &err) != EL_OK) {
        (void)fprintf(stderr, "eliocp: %s\n", err.text);
        rc = EXIT_CONF;
    } else if (!answer(&args, p.conf)) {
        rc = run(&p);
    }
    el_conf_args_deinit(&args);
    el_conf_free(p.conf);
    return rc;
}
