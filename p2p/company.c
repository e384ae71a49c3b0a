/* SPDX-License-Identifier: MIT */
/* company: see company.h. */
#include "p2p/company.h"

bool p2p_company_counts(size_t live, size_t min_others, bool has_plane)
{
    return live > 1 && (has_plane || live - 1 >= min_others);
}
