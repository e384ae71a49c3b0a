/* SPDX-License-Identifier: MIT */
/*
 * index: the two directions of "which node has which chunk", in numbers.
 *
 *   version (object version, 16 bytes) --> spans of 64 chunks --> slot of a chunk --> holders
 * (nodes) node ----------------------------> set of chunk numbers
 *
 * Numbers are given to spans as they are first seen, and again when nobody has anything of one:
 *
 *   31    27 26                     6 5      0
 *   [ part ][ span of that part      ][ chunk ]      part: the first 5 bits of the version
 *
 * so that a node's chunks of one part are neighbours in its set, and can be written down together.
 * A chunk that is everywhere costs a bit for each node in both directions; one that is in few
 * places, 2 bytes for each in both. Beside that each known chunk has a slot of 16 bytes.
 *
 * Thread: its owner's. Private to the state.
 */
#pragma once

#include "common/chunk_id.h"
#include "controlplane/holders.h"
#include "controlplane/set.h"
#include "controlplane/table.h"

#define CP_PARTS      32u
#define CP_PART_SHIFT 27u
#define CP_SPAN       64u /* chunks */
#define CP_BINS       16u /* of copies */

struct cp_slot {
    struct cp_holders holders;
    uint64_t digest; /* el_chunk_id_digest(); 0: not computed yet */
};

struct cp_span {
    struct cp_version *version;
    struct cp_slot *slot;
    uint32_t number;    /* of its first chunk */
    uint32_t index;     /* its chunks are 64 * index and so on */
    uint32_t locations; /* of all its chunks */
    uint32_t pins;      /* numbers that somebody keeps without a location */
    uint32_t heat_s;    /* when heat was right, in seconds */
    float heat;         /* how often the whole of it was asked for, of late */
    uint8_t slots;      /* 1..64: those up to the highest that was seen */
};

struct cp_version {
    struct cp_entry entry;
    uint8_t object[EL_CHUNK_ID_OBJECT_BYTES];
    struct cp_span **span; /* by index */
    size_t n, cap;

    uint64_t locations;
};

struct cp_part {
    struct cp_span **span; /* by number; NULL: spare */
    size_t n, cap;
    uint32_t *spare; /* numbers to be given again */
    size_t spares, spares_cap;
};

struct cp_index {
    struct cp_table versions;
    struct cp_part part[CP_PARTS];
    struct cp_span *last; /* that was pinned: reports name neighbours; NULL: it is gone */
    uint64_t chunks, locations;
    uint64_t copies[CP_BINS]; /* chunks with 1, 2, ... copies; the last: or more */
    uint64_t slots, spans;    /* memory */
    uint64_t holder_bytes;
};

void cp_index_deinit(struct cp_index *ix);

/* False: nobody has ever had it. */
bool cp_index_find(const struct cp_index *ix, const struct el_chunk_id *id, uint32_t *ret_number);
/*
 * The number of a chunk, given to it if it has none, pinned: it stays its number until it is
 * unpinned, and after that while somebody has it. False: there are no numbers left.
 */
bool cp_index_pin(struct cp_index *ix, const struct el_chunk_id *id, uint32_t *ret_number);
void cp_index_unpin(struct cp_index *ix, uint32_t number);

/* The node's set and the chunk's holders at once. `number` is pinned or somebody's. True: it
 * changes. */
bool cp_index_add(struct cp_index *ix, struct cp_set *set, uint16_t node, uint32_t number);
bool cp_index_remove(struct cp_index *ix, struct cp_set *set, uint16_t node, uint32_t number);

/* Of a number that is pinned or somebody's. */
struct cp_span *cp_index_span(const struct cp_index *ix, uint32_t number);
const struct cp_holders *cp_index_holders(const struct cp_index *ix, uint32_t number);
uint64_t cp_index_digest(const struct cp_index *ix, uint32_t number);
void cp_index_id(const struct cp_index *ix, uint32_t number, struct el_chunk_id *ret);

struct cp_version *cp_index_version(const struct cp_index *ix,
                                    const uint8_t object[EL_CHUNK_ID_OBJECT_BYTES]);
/* Memory of versions, spans, slots and holders; sets are their nodes'. */
size_t cp_index_bytes(const struct cp_index *ix);
