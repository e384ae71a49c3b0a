/* SPDX-License-Identifier: MIT */
/* trace: see trace.h. */
#include "common/trace.h"

#include <stdio.h>
#include <string.h>

#define VERSION_CHARS 2u
#define PARENT_CHARS  16u
#define FLAGS_CHARS   2u

/* n hexadecimal digits, in lower case as they have to be, and then what ends them. False: others,
 * or, unless they may be, all of them zeros. */
static bool take_hex(struct el_str *rest, size_t n, bool may_be_zero, struct el_str *ret)
{
    bool is_zero = true;

    if (rest->n < n || (rest->n > n && rest->p[n] != '-'))
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = rest->p[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        is_zero = is_zero && c == '0';
    }
    *ret = el_str_first(*rest, n);
    *rest = el_str_from(*rest, el_min_size(n + 1, rest->n));
    return may_be_zero || !is_zero;
}

/* The lowest bit of the flags. */
static bool is_recorded(struct el_str flags)
{
    return strchr("13579bdf", flags.p[FLAGS_CHARS - 1]) != NULL;
}

bool el_trace_parse(struct el_str field, struct el_trace *ret)
{
    struct el_str rest = field, version, id, parent, flags;

    if (!take_hex(&rest, VERSION_CHARS, true, &version) ||
        !take_hex(&rest, EL_TRACE_ID_CHARS, false, &id) ||
        !take_hex(&rest, PARENT_CHARS, false, &parent) ||
        !take_hex(&rest, FLAGS_CHARS, true, &flags))
        return false;
    /* Later versions may go on behind the flags; this one may not, and ff is none. */
    if (el_str_eq(version, EL_STR("ff")) ||
        (el_str_eq(version, EL_STR("00")) && field.n != EL_TRACE_PARENT_CHARS))
        return false;
    *ret = (struct el_trace){ .id = id, .parent = parent, .is_recorded = is_recorded(flags) };
    return true;
}

struct el_str el_trace_id(struct el_str field)
{
    struct el_trace trace = { .id = { "", 0 } };

    (void)el_trace_parse(field, &trace);
    return trace.id;
}

void el_trace_begin(struct el_rng *rng, char ret[EL_TRACE_PARENT_CHARS + 1])
{
    uint64_t high = el_rng_u64(rng), low = el_rng_u64(rng) | 1, parent = el_rng_u64(rng) | 1;

    (void)snprintf(ret, EL_TRACE_PARENT_CHARS + 1, "00-%016llx%016llx-%016llx-00",
                   (unsigned long long)high, (unsigned long long)low, (unsigned long long)parent);
}
