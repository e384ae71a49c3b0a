/* SPDX-License-Identifier: MIT */
/* company: whether others are asked for anything, or this node does as if it were alone. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Of `live` members this node is one. Of the others so many as min_others have to live, unless a
 * control plane answers: a few that were met by chance, or the small half of a cluster that was
 * cut, may know little, or what is out of date.
 */
bool p2p_company_counts(size_t live, size_t min_others, bool has_plane);
