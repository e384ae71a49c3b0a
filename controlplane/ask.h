/* SPDX-License-Identifier: MIT */
/*
 * ask: what a request says, read with types and limits. The first thing that is wrong is kept, with
 * the key at fault ("chunk_ids[3]"), and everything after it is left alone: a handler reads all it
 * wants and looks once, at the end, whether it was well.
 *
 * A key that is absent or null leaves its place as it was, unless it is needed. Keys that nobody
 * asks for are ignored. Pure. Thread: one.
 */
#pragma once

#include "common/chunk_id.h"
#include "common/err.h"
#include "common/json.h"

#define CP_ASK_FIELD_MAX 96

struct cp_ask {
    const json_t *obj;            /* borrowed */
    char at[CP_ASK_FIELD_MAX];    /* what stands before the keys of obj: "hottest[2]." */
    enum el_err code;             /* EL_OK: nothing was wrong so far */
    char field[CP_ASK_FIELD_MAX]; /* at fault; empty: the whole */
    struct el_error why;          /* the text */
};

enum cp_need { CP_OPTIONAL, CP_NEEDED };

void cp_ask_init(struct cp_ask *a, const json_t *obj);
/* Of an element of a list; what was wrong goes back with cp_ask_up(). */
void cp_ask_down(struct cp_ask *up, struct cp_ask *a, const char *list, size_t i,
                 const json_t *obj);
void cp_ask_up(struct cp_ask *up, const struct cp_ask *a);

/* Puts the fault in, unless there is one. */
void cp_ask_fault(struct cp_ask *a, enum el_err code, const char *field, const char *fmt, ...)
    EL_PRINTF(4, 5);

/* Text without control characters, at most size - 1 bytes. */
void cp_ask_text(struct cp_ask *a, const char *key, enum cp_need need, char *ret, size_t size);
/* The same where it lies, of any length; borrowed from obj. */
void cp_ask_str(struct cp_ask *a, const char *key, enum cp_need need, struct el_str *ret);
void cp_ask_u64(struct cp_ask *a, const char *key, enum cp_need need, uint64_t max, uint64_t *ret);
/* A number that is not negative. */
void cp_ask_real(struct cp_ask *a, const char *key, enum cp_need need, double *ret);
void cp_ask_bool(struct cp_ask *a, const char *key, enum cp_need need, bool *ret);
/* 16 hexadecimal digits. */
void cp_ask_digest(struct cp_ask *a, const char *key, bool *ret_is_there, uint64_t *ret);
/* "2026-11-21T05:04:03.123Z", the fraction may be absent; or an integer of milliseconds. */
void cp_ask_time(struct cp_ask *a, const char *key, enum cp_need need, int64_t *ret_wall_ms);
/* An array of at most max; NULL when it is absent. */
const json_t *cp_ask_list(struct cp_ask *a, const char *key, enum cp_need need, size_t max);
/* An object; NULL when it is absent. */
const json_t *cp_ask_obj(struct cp_ask *a, const char *key, enum cp_need need);
enum cp_flat { CP_FLAT_TEXT, CP_FLAT_ANY }; /* of the values: text, or numbers and bools as well */
/* An object without others in it, as JSON text of at most max bytes: free() it; NULL: absent. */
char *cp_ask_flat(struct cp_ask *a, const char *key, enum cp_need need, enum cp_flat values,
                  size_t max);
/* free() it; NULL with *ret_n = 0 when it is absent or wrong. */
struct el_chunk_id *cp_ask_chunks(struct cp_ask *a, const char *key, enum cp_need need, size_t max,
                                  size_t *ret_n);

/* 32 hexadecimal digits, lower case: the first part of an object's chunks' ids. */
bool cp_object_parse(struct el_str s, uint8_t ret[EL_CHUNK_ID_OBJECT_BYTES]);

/* Such an object is needed. False: a fault. */
bool cp_ask_object(struct cp_ask *a, const char *key, uint8_t ret[EL_CHUNK_ID_OBJECT_BYTES]);
/* "node_id", where the path says it already. */
void cp_ask_own_id(struct cp_ask *a, const char *node_id);

/* A parameter of the query, decoded into ret; false: it is not there. */
bool cp_query_text(struct el_str query, const char *key, char *ret, size_t size);
/* As JSON's integers; "query" names the fault. */
void cp_query_u64(struct cp_ask *a, struct el_str query, const char *key, uint64_t min,
                  uint64_t max, uint64_t *ret);
/* %XX undone. False: it is broken, holds a NUL, or is longer than size - 1. */
bool cp_percent_decode(struct el_str s, char *ret, size_t size);
