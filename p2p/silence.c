/* SPDX-License-Identifier: MIT */
/* silence: see silence.h. */
#include "p2p/silence.h"

static bool has_lasted(uint64_t owes_ms, uint64_t now, uint64_t ms)
{
    return owes_ms != 0 && now >= owes_ms + ms && now < owes_ms + P2P_PARDON_MS;
}

bool p2p_silence_is_late(uint64_t owes_ms, uint64_t now)
{
    return has_lasted(owes_ms, now, P2P_LATE_MS);
}

bool p2p_silence_is_gone(uint64_t owes_ms, uint64_t now)
{
    return has_lasted(owes_ms, now, P2P_SILENT_MS);
}

bool p2p_silence_counts(const struct p2p_locate *question, const struct p2p_located *answer)
{
    return question->leases == 0 || answer->taking > 0 || answer->n_leases > 0;
}
