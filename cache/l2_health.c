/* SPDX-License-Identifier: MIT */
/* l2_health: see l2_health.h. */
#include "cache/l2_health.h"

#include <errno.h>

/* From, to. The way back from DOWN is always through DEGRADED, if only for an instant. */
static const bool allowed[L2_DOWN + 1][L2_DOWN + 1] = {
    [L2_OK] = { [L2_DEGRADED] = true, [L2_DOWN] = true },
    [L2_DEGRADED] = { [L2_OK] = true, [L2_DOWN] = true },
    [L2_DOWN] = { [L2_DEGRADED] = true },
};

void l2_health_init(struct l2_health *h, const struct l2_health_conf *conf, uint64_t now_ms)
{
    EL_ASSERT(conf->degrade_after >= 1 && conf->down_after >= 1 && conf->recover_after >= 1);
    *h = (struct l2_health){ .conf = *conf, .state = L2_OK, .changed_ms = now_ms };
}

/* What went well goes on counting from DOWN to DEGRADED; what went badly counts in each anew. */
static void move(struct l2_health *h, enum l2_state to, uint64_t now_ms)
{
    EL_ASSERT(allowed[h->state][to]);
    if (h->state == L2_OK)
        h->probed_ms = now_ms; /* the disk is left alone for once before the first probe */
    h->bad_in_row = 0;
    h->state = to;
    h->changed_ms = now_ms;
}

static void recover(struct l2_health *h, uint64_t now_ms)
{
    h->bad_in_row = 0;
    if (h->state == L2_OK)
        return;
    h->good_in_row++;
    if (h->state == L2_DOWN)
        move(h, L2_DEGRADED, now_ms);
    if (h->good_in_row >= h->conf.recover_after)
        move(h, L2_OK, now_ms);
}

/* `counts`: towards the next worse state. */
static void worsen(struct l2_health *h, bool counts, uint64_t now_ms)
{
    h->good_in_row = 0;
    if (!counts || h->state == L2_DOWN)
        return;
    h->bad_in_row++;
    if (h->state == L2_OK && h->bad_in_row >= h->conf.degrade_after)
        move(h, L2_DEGRADED, now_ms);
    else if (h->state == L2_DEGRADED && h->bad_in_row >= h->conf.down_after)
        move(h, L2_DOWN, now_ms);
}

static void fall(struct l2_health *h, uint64_t now_ms)
{
    h->good_in_row = 0;
    if (h->state != L2_DOWN)
        move(h, L2_DOWN, now_ms);
}

bool l2_health_note(struct l2_health *h, enum l2_outcome outcome, uint64_t now_ms)
{
    enum l2_state before = h->state;

    switch (outcome) {
    case L2_GOOD:
        h->good++;
        recover(h, now_ms);
        break;
    case L2_LATE:
        h->late++;
        worsen(h, h->state == L2_OK, now_ms);
        break;
    case L2_FAILED:
        h->failed++;
        worsen(h, true, now_ms);
        break;
    case L2_NO_ROOM:
        h->no_room++;
        h->no_room_until_ms = now_ms + h->conf.no_room_ms;
        break;
    case L2_FATAL:
        h->fatal++;
        fall(h, now_ms);
        break;
    }
    return h->state != before;
}

enum l2_outcome l2_outcome_of(int sys)
{
    switch (sys) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* a limit on the length of files */
        return L2_NO_ROOM;
    case EROFS:
    case EBADF:
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ESTALE:
        return L2_FATAL;
    default:
        return L2_FAILED;
    }
}

bool l2_health_may_read(const struct l2_health *h)
{
    return h->state == L2_OK;
}

bool l2_health_may_write(const struct l2_health *h, uint64_t now_ms)
{
    return h->state == L2_OK && now_ms >= h->no_room_until_ms;
}

uint64_t l2_health_probe_ms(const struct l2_health *h)
{
    return h->state == L2_OK ? UINT64_MAX : h->probed_ms + h->conf.probe_every_ms;
}

void l2_health_probed(struct l2_health *h, uint64_t now_ms)
{
    h->probed_ms = now_ms;
}

const char *l2_state_name(enum l2_state s)
{
    static const char *const names[] = {
        [L2_OK] = "normal",
        [L2_DEGRADED] = "degraded",
        [L2_DOWN] = "down",
    };

    return names[s];
}
