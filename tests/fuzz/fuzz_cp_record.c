/* SPDX-License-Identifier: MIT */
/*
 * An input is a series of records as a store may hold them: a byte that is odd for a removal, the
 * lengths of key and value (a byte, two bytes), key, value. Whatever they are, what the state then
 * writes down is taken in by another, which writes down the same.
 */
#include "common/bytes.h"
#include "controlplane/events.h"
#include "controlplane/nodes.h"
#include "tests/fuzz/fuzz.h"

static struct cp_state *new_state(void)
{
    struct cp_state_conf conf;
    struct el_rng rng;
    struct cp_state *s;

    cp_state_conf_default(&conf);
    conf.audit = 16;
    conf.events = 16;
    el_rng_seed(&rng, 1);
    s = cp_state_new(&conf, &rng);
    cp_state_now(s, 1000, 1700000000000);
    return s;
}

static void feed(struct cp_state *s, struct el_str input)
{
    struct el_bytes b = el_bytes_of(input);

    while (b.rest.n > 0 && !b.is_bad) {
        bool is_removal = el_bytes_u8(&b) % 2 == 1;
        size_t key_n = el_bytes_u8(&b), value_n = el_bytes_u16(&b);
        struct el_str key = el_bytes_str(&b, el_min_size(key_n, b.rest.n));
        struct el_str value = el_bytes_str(&b, el_min_size(value_n, b.rest.n));

        (void)cp_state_apply(s, key, value, is_removal, NULL);
    }
}

static void copy(void *arg, struct el_str key, struct el_str value)
{
    CLAIM(cp_state_apply((struct cp_state *)arg, key, value, false, NULL) == EL_OK);
}

static void live_on(struct cp_state *s)
{
    for (unsigned i = 1; i < 4; i++) {
        cp_state_now(s, 1000 + i * 40000, 1700000000000 + i * 40000);
        cp_state_tick(s, true);
    }
    cp_record_free(cp_state_take(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct cp_state *s = new_state(), *other = new_state();

    feed(s, (struct el_str){ (const char *)data, n });
    CLAIM(cp_state_take(s) == NULL); /* taking in gives nothing out */
    cp_state_load_begin(other);
    cp_state_dump(s, copy, other);
    cp_state_load_end(other);
    CLAIM(cp_node_count(s) == cp_node_count(other));
    CLAIM(cp_state_digest(s) == cp_state_digest(other));
    live_on(s);
    live_on(other);
    cp_state_free(s);
    cp_state_free(other);
    return 0;
}
