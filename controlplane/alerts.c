/* SPDX-License-Identifier: MIT */
/* alerts: see alerts.h. Each second all rules are looked at; what is not seen again is cleared. */
#include "controlplane/state_in.h"

#define ALERTS_MAX    10000u
#define LOW_MS        60000u /* chunks have too few copies for so long */
#define EGRESS_MIN_MB 1024u  /* given in all, below which the share says nothing */

static const char *const names[] = { "node_down",     "low_replicas", "disk",
                                     "origin_errors", "unreachable",  "egress" };

const char *cp_alert_name(enum cp_alert_kind k)
{
    return names[k];
}

static struct el_str key_of(enum cp_alert_kind kind, const char *subject, char ret[CP_ID_MAX + 4])
{
    int n = snprintf(ret, CP_ID_MAX + 4, "%c/%s", 'a' + (int)kind, subject);

    return (struct el_str){ ret, (size_t)n };
}

static struct cp_alert_in *get_alert(const struct cp_state *s, enum cp_alert_kind kind,
                                     const char *subject)
{
    char key[CP_ID_MAX + 4];
    struct cp_entry *e = cp_table_get(&s->alerts_by_key, key_of(kind, subject, key));

    return e == NULL ? NULL : EL_ENTRY(e, struct cp_alert_in, entry);
}

static struct cp_alert_in *put_alert(struct cp_state *s, enum cp_alert_kind kind,
                                     const char *subject)
{
    struct cp_alert_in *a = el_new(struct cp_alert_in);

    s->alert = (struct cp_alert_in **)cp_array_reserve(s->alert, s->alerts, &s->alerts_cap,
                                                       sizeof(struct cp_alert_in *));
    a->at = s->alerts++;
    s->alert[a->at] = a;
    a->alert.kind = kind;
    a->alert.since_wall_ms = s->wall_ms;
    cp_copy_text(a->alert.subject, CP_ID_MAX, el_str_of(subject));
    a->entry.key = key_of(kind, a->alert.subject, a->key);
    cp_table_put(&s->alerts_by_key, &a->entry);
    return a;
}

static void drop_alert(struct cp_state *s, struct cp_alert_in *a)
{
    struct cp_alert_in *last = s->alert[--s->alerts];

    s->alert[a->at] = last;
    last->at = a->at;
    cp_table_remove(&s->alerts_by_key, &a->entry);
    free(a);
}

void cp_alerts_deinit(struct cp_state *s)
{
    while (s->alerts > 0)
        drop_alert(s, s->alert[s->alerts - 1]);
    cp_table_deinit(&s->alerts_by_key);
    free(s->alert);
}

static void tell(struct cp_state *s, const char *what, const struct cp_alert *a)
{
    char text[CP_TEXT_MAX + 1];
    int n = snprintf(text, sizeof(text), "%s %s: %s", what, names[a->kind], a->text);

    cp_event_add(s, CP_EV_ALERT, el_str_of(a->subject), 0,
                 (struct el_str){ text, el_min_size((size_t)n, CP_TEXT_MAX) });
}

/* It is so: raised if it was not. */
static void raise_alert(struct cp_state *s, enum cp_alert_kind kind, const char *subject,
                        const char *text)
{
    struct cp_alert_in *a = get_alert(s, kind, subject);

    if (a == NULL && s->alerts < ALERTS_MAX) {
        a = put_alert(s, kind, subject);
        cp_copy_text(a->alert.text, CP_TEXT_MAX, el_str_of(text));
        tell(s, "raised", &a->alert);
    }
    if (a == NULL)
        return;
    a->is_seen = true;
    cp_copy_text(a->alert.text, CP_TEXT_MAX, el_str_of(text));
}

static void look_at_node(struct cp_state *s, const struct cp_member *m)
{
    const struct cp_node *n = &m->node;
    const char *id = n->card.node_id;

    if (n->life == CP_DEAD) {
        raise_alert(s, CP_ALERT_NODE_DOWN, id, "it has not been heard of");
        return;
    }
    if (n->beat.disk == CP_DISK_DEGRADED || n->beat.disk == CP_DISK_DOWN)
        raise_alert(s, CP_ALERT_DISK, id, cp_disk_name(n->beat.disk));
    if (n->beat.is_origin_failing)
        raise_alert(s, CP_ALERT_ORIGIN_ERRORS, id, "its origin fails");
    else if (m->is_erring)
        raise_alert(s, CP_ALERT_ORIGIN_ERRORS, id, "requests to its origin fail");
    if (n->reach.is_lost && cp_node_is_alive(n))
        raise_alert(s, CP_ALERT_UNREACHABLE, id, "it beats, but its API does not answer from here");
}

static void look_at_copies(struct cp_state *s)
{
    uint64_t since = s->placing.low_since_ms;
    char text[CP_TEXT_MAX + 1];

    if (since == 0 || s->mono_ms - since < LOW_MS)
        return;
    (void)snprintf(text, sizeof(text), "%llu chunks have too few copies",
                   (unsigned long long)s->placing.low_last);
    raise_alert(s, CP_ALERT_LOW_REPLICAS, "", text);
}

static void look_at_egress(struct cp_state *s)
{
    uint64_t origin = 0, all = 0;
    uint32_t cursor = 0;
    const struct cp_node *n;
    char text[CP_TEXT_MAX + 1];

    while ((n = cp_node_next(s, &cursor)) != NULL) {
        origin += n->beat.bytes_origin;
        all +=
            n->beat.bytes_origin + n->beat.bytes_peer + n->beat.bytes_memory + n->beat.bytes_disk;
    }
    if (all / EL_MIB < EGRESS_MIN_MB || origin < all / 100 * s->conf.alert_egress_pct)
        return;
    (void)snprintf(text, sizeof(text), "%llu %% of what nodes gave came from origins",
                   (unsigned long long)(origin / (all / 100)));
    raise_alert(s, CP_ALERT_EGRESS, "", text);
}

static void clear_unseen(struct cp_state *s)
{
    for (size_t i = s->alerts; i > 0; i--) {
        struct cp_alert_in *a = s->alert[i - 1];

        if (!a->is_seen) {
            tell(s, "cleared", &a->alert);
            drop_alert(s, a);
        } else {
            a->is_seen = false;
        }
    }
}

void cp_alerts_tick(struct cp_state *s)
{
    uint32_t cursor = 0;
    const struct cp_member *m;

    while ((m = cp_member_next(s, &cursor)) != NULL)
        look_at_node(s, m);
    look_at_copies(s);
    look_at_egress(s);
    clear_unseen(s);
}

const struct cp_alert *cp_alert_next(const struct cp_state *s, uint32_t *cursor)
{
    return *cursor < s->alerts ? &s->alert[(*cursor)++]->alert : NULL;
}

size_t cp_alert_count(const struct cp_state *s)
{
    return s->alerts;
}
