/* SPDX-License-Identifier: MIT */
/*
 * fuzz: what the targets share. An input is a text of lines, so that its corpus can be read and
 * written by hand:
 *
 *     first line LF second line LF ... LF      what a target takes as it likes
 *     Name: value LF Name: value LF ...        header fields
 */
#pragma once

#include "common/fields.h"

/* Called by libFuzzer, or by replay.c. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A target claims something about what it calls; a false claim is a finding. */
#define CLAIM(claim) EL_ASSERT(claim)

/* The next line of the input, empty at its end. */
static inline struct el_str fuzz_line(struct el_str *rest)
{
    struct el_str line = { NULL, 0 };

    (void)el_str_split(rest, '\n', &line);
    return line;
}

#define FUZZ_MAX_FIELDS 64

/* The rest of the input as fields, as a parser hands them on: names not empty, values trimmed. */
static inline struct el_fieldv fuzz_fields(struct el_str rest, struct el_field v[FUZZ_MAX_FIELDS])
{
    struct el_str line;
    size_t n = 0;

    while (n < FUZZ_MAX_FIELDS && el_str_split(&rest, '\n', &line)) {
        size_t colon = el_str_find(line, ':');

        if (colon == 0 || colon == line.n)
            continue;
        v[n].name = el_str_first(line, colon);
        v[n++].value = el_str_trim(el_str_from(line, colon + 1));
    }
    return (struct el_fieldv){ v, n };
}
