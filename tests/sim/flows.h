/* SPDX-License-Identifier: MIT */
/*
 * flows: bytes that move between ports of given capacity, in virtual time. Each flow gets the
 * max-min fair share of TCP: what its sender's port can give it and its receiver's port can take,
 * whichever is less, and what it leaves goes to the others. Shares are recomputed around a flow
 * that starts or ends, ring by ring while they change by more than half a percent. Coarse ones cost
 * half as much: they follow changes of more than 5 %, up to 16 ports around.
 */
#pragma once

#include "common/base.h"

struct flows;
struct flow;

struct flows *flows_new(size_t ports, bool is_coarse);
void flows_free(struct flows *f);
/* Flows get between half and twice their share, each pair of ports its own, for some seconds. */
void flows_set_uneven(struct flows *f);
/* Bytes per second. */
void flows_set_port(struct flows *f, size_t port, double capacity);

/* `cap`: bytes per second that this flow never exceeds, 0: none. `arg` is the caller's. */
struct flow *flows_start(struct flows *f, uint64_t now_us, size_t from, size_t to, uint64_t bytes,
                         double cap, void *arg);
/* It ends early; the rest is not sent. */
void flows_cancel(struct flows *f, uint64_t now_us, struct flow *flow);
/* When the next flow is through; UINT64_MAX: none. */
uint64_t flows_due_us(const struct flows *f);
/* The flow that is due, ended and freed; returns its arg. */
void *flows_finish(struct flows *f, uint64_t now_us);
/* What is left of it, and how fast it goes. */
double flow_left(const struct flow *flow, uint64_t now_us);
double flow_rate(const struct flow *flow);
void flows_set_cap(struct flows *f, uint64_t now_us, struct flow *flow, double cap);
/* Its flows leave nothing of it: a queue stands before it. */
bool flows_is_full(const struct flows *f, size_t port);
/* Bytes that a port has sent (or received). */
double flows_moved(const struct flows *f, size_t port);
