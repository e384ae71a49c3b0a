/* SPDX-License-Identifier: MIT */
/*
 * service: the control plane as others reach it, by HTTP. docs/api.yaml says what it answers. The
 * state and its store are plane.h's; here is the way to them: requests are read and judged, events
 * pushed, webhooks called.
 *
 * One thread serves (common/http_server.h). It holds the plane for microseconds at a time, and an
 * answer that has to outlive a crash leaves when the store has it. Another thread writes backups.
 */
#pragma once

#include "common/clock.h"
#include "common/conf.h"
#include "common/metrics.h"

struct cp_service;

/* What el_conf_load_of() cannot judge. EL_ECONF. */
enum el_err cp_service_check(const struct el_conf *conf, struct el_error *err);
/* The configuration is borrowed until it has stopped. Serves when it returns. */
enum el_err cp_service_start(const struct el_conf *conf, struct el_clock *clock,
                             struct cp_service **ret_service, struct el_error *err);
uint16_t cp_service_port(const struct cp_service *s);
/* Where it listens: without any token the loopback interface, whatever is configured. */
const char *cp_service_address(const struct cp_service *s);
/* /readyz says no from now on. */
void cp_service_drain(struct cp_service *s);
void cp_service_stop(struct cp_service *s); /* NULL is fine */
