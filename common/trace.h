/* SPDX-License-Identifier: MIT */
/*
 * trace: the field traceparent (W3C Trace Context, level 1):
 *
 *   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *   version, trace, the sender's part of it, flags
 *
 * Pure.
 */
#pragma once

#include "common/rng.h"
#include "common/str.h"

#define EL_TRACE_ID_CHARS     32u
#define EL_TRACE_PARENT_CHARS 55u

/* Slices of the field. */
struct el_trace {
    struct el_str id, parent; /* of the trace; of the part that has sent the field */
    bool is_recorded;         /* the sender records its part, and wants others to do so */
};

/* False: that is no traceparent, and *ret as it was. */
bool el_trace_parse(struct el_str field, struct el_trace *ret);
/* The id alone; empty: that is none. */
struct el_str el_trace_id(struct el_str field);
/* A trace that begins here, not asked to be recorded. */
void el_trace_begin(struct el_rng *rng, char ret[EL_TRACE_PARENT_CHARS + 1]);
