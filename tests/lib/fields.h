/* SPDX-License-Identifier: MIT */
/* fields: header fields of a message, written down where a test needs them; live as long as the
 * block. */
#pragma once

#include "common/fields.h"

#define FIELD(name, value)          \
    {                               \
        EL_STR(name), EL_STR(value) \
    }
#define FIELDS(...)                                                \
    ((struct el_fieldv){ (const struct el_field[]){ __VA_ARGS__ }, \
                         EL_COUNT(((const struct el_field[]){ __VA_ARGS__ })) })
#define NO_FIELDS ((struct el_fieldv){ NULL, 0 })

/* One field whose value is not a literal. */
#define ONE_FIELD(name, text) FIELDS({ EL_STR(name), el_str_of(text) })
