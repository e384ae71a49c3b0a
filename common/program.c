/* SPDX-License-Identifier: MIT */
/* program: see program.h. */
#include "common/program.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

extern char **environ;

/* ---- the process ---- */

void el_program_setup_log(const struct el_program *p)
{
    const struct el_conf *c = p->conf;
    bool is_node = p->keys == EL_CONF_ELIONODE;
    const struct el_log_conf log = {
        /* same order of words as in conf_list.h and conf_cp_list.h */
        .level = (enum el_log_level)(is_node ? c->general_log_level : c->service_log_level),
        .is_json = (is_node ? c->general_log_format : c->service_log_format) == 1,
        .fd = STDERR_FILENO,
    };

    el_log_setup(&log);
}

/* Before any thread starts, so that all inherit the mask. */
static void setup_signals(struct el_program *p)
{
    EL_ASSERT(sigemptyset(&p->signals) == 0);
    (void)sigaddset(&p->signals, SIGTERM);
    (void)sigaddset(&p->signals, SIGINT);
    (void)sigaddset(&p->signals, SIGHUP);
    EL_ASSERT(sigprocmask(SIG_BLOCK, &p->signals, NULL) == 0);
    EL_ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

/* A descriptor or two for each connection are soon more than the usual soft limit of 1024. */
static void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int el_program_wait(const struct el_program *p, long ms)
{
    const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
    int sig = ms < 0 ? sigwaitinfo(&p->signals, NULL) : sigtimedwait(&p->signals, NULL, &pause);

    return sig > 0 ? sig : 0;
}

/* ---- the command line ---- */

enum el_err el_program_load(const struct el_program *p, struct el_str pushed,
                            struct el_conf **ret_conf, struct el_error *err)
{
    struct el_conf_args args = { 0 };
    enum el_err rc =
        el_conf_load_pushed(p->keys, p->argc, p->argv, environ, pushed, ret_conf, &args, err);

    el_conf_args_deinit(&args);
    return rc;
}

static void print_help(const struct el_program *p)
{
    (void)printf("%s: %s\n\n", p->name, p->about);
    el_conf_help_of(p->keys, stdout);
    (void)printf("\n");
    p->help(stdout);
}

/* True: an answer was printed and there is nothing to run. */
static bool answer(const struct el_program *p, const struct el_conf_args *args)
{
    if (args->help)
        print_help(p);
    else if (args->version)
        (void)printf("%s %s\n", p->name, ELIO_VERSION);
    else if (args->print_markdown)
        el_conf_markdown_of(p->keys, stdout);
    else if (args->print)
        el_conf_print(p->conf, stdout);
    else if (args->check)
        (void)printf("the configuration is valid\n");
    else
        return false;
    return true;
}

static int refuse(const struct el_program *p, const struct el_error *err)
{
    (void)fprintf(stderr, "%s: %s\n", p->name, err->text);
    return EL_EXIT_CONF;
}

static int run(struct el_program *p)
{
    setup_signals(p);
    el_program_setup_log(p);
    raise_fd_limit();
    return p->run(p);
}

int el_program_main(struct el_program *p, int argc, char *const argv[])
{
    struct el_conf_args args = { 0 };
    struct el_error err = { 0 };
    int rc = EL_EXIT_DONE;

    p->argc = argc;
    p->argv = argv;
    p->clock = el_clock_system();
    p->started_ns = el_clock_mono_ns(p->clock);
    if (el_conf_load_of(p->keys, argc, argv, environ, &p->conf, &args, &err) != EL_OK)
        return refuse(p, &err);
    if (args.check && p->check(p, &err) != EL_OK)
        rc = refuse(p, &err);
    else if (!answer(p, &args))
        rc = run(p);
    el_conf_args_deinit(&args);
    el_conf_free(p->conf);
    p->conf = NULL;
    return rc;
}
