/* SPDX-License-Identifier: MIT */
/*
 * eliocp: the control plane. The main thread owns its life and nothing else: it reads the
 * configuration, starts the service, waits for signals, and takes it down again. With a word that
 * is no option it is a client of a running one (cli.h).
 */
#include <unistd.h>

#include "common/log.h"
#include "common/program.h"
#include "controlplane/cli.h"
#include "controlplane/service.h"

static void on_fixed(void *arg, const char *key)
{
    (void)arg;
    el_log(EL_WARN, EV_CONF_IGNORED, "key=%s", key);
}

static void reload(struct el_program *p)
{
    struct el_conf *fresh = NULL;
    struct el_error err = { 0 };

    if (el_program_load(p, EL_STR(""), &fresh, &err) == EL_OK) {
        el_conf_reload(p->conf, fresh, on_fixed, NULL);
        el_program_setup_log(p);
        el_log(EL_INFO, EV_CONF_RELOAD, "result=ok");
    } else {
        el_log_error(EL_ERROR, EV_CONF_RELOAD, &err);
    }
    el_conf_free(fresh);
}

static void serve(struct el_program *p)
{
    for (;;) {
        int sig = el_program_wait(p, EL_PROGRAM_FOREVER);

        if (sig == SIGHUP)
            reload(p);
        else if (sig == SIGTERM || sig == SIGINT)
            return;
    }
}

static int run(struct el_program *p)
{
    struct cp_service *service;
    struct el_error err = { 0 };
    enum el_err rc;

    rc = cp_service_start(p->conf, p->clock, &service, &err);
    if (rc != EL_OK) {
        el_log_error(EL_ERROR, EV_CP_FAIL, &err);
        return rc == EL_ECONF ? EL_EXIT_CONF : EL_EXIT_RUNTIME;
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
    return EL_EXIT_DONE;
}

static enum el_err check(struct el_program *p, struct el_error *err)
{
    return cp_service_check(p->conf, err);
}

int main(int argc, char **argv)
{
    struct el_program program = {
        .name = "eliocp",
        .about = "the control plane of a cluster of elionodes",
        .keys = EL_CONF_ELIOCP,
        .help = cp_cli_help,
        .check = check,
        .run = run,
    };

    if (argc > 1 && argv[1][0] != '-')
        return cp_cli_run(argc, argv);
    return el_program_main(&program, argc, argv);
}
