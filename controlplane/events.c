/* SPDX-License-Identifier: MIT */
/* events: what has happened, and who has changed what; see events.h. */
#include "controlplane/state_in.h"

bool cp_is_printable(struct el_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < 0x20 || text.p[i] > 0x7e)
            return false;
    }
    return true;
}

void cp_copy_text(char *ret, size_t max, struct el_str text)
{
    size_t n = el_min_size(text.n, max);

    for (size_t i = 0; i < n; i++)
        ret[i] = text.p[i] < 0x20 || text.p[i] > 0x7e ? '?' : text.p[i];
    ret[n] = '\0';
}

void cp_event_add(struct cp_state *s, enum cp_event_kind kind, struct el_str subject,
                  uint64_t count, struct el_str text)
{
    struct cp_event *e = &s->event[s->events % s->conf.events];

    if (s->is_loading && s->load == 1)
        return; /* the past of others, before anybody listens */
    *e = (struct cp_event){
        .seq = ++s->events, .kind = kind, .wall_ms = s->wall_ms, .count = count
    };
    cp_copy_text(e->subject, CP_ID_MAX, subject);
    cp_copy_text(e->text, CP_TEXT_MAX, text);
}

uint64_t cp_events_stream(const struct cp_state *s)
{
    return s->stream;
}

uint64_t cp_events_newest(const struct cp_state *s)
{
    return s->events;
}

uint64_t cp_events_oldest(const struct cp_state *s)
{
    if (s->events == 0)
        return 0;
    return s->events > s->conf.events ? s->events - s->conf.events + 1 : 1;
}

const struct cp_event *cp_events_after(const struct cp_state *s, uint64_t seq, bool *ret_has_gap)
{
    uint64_t oldest = cp_events_oldest(s);
    bool has_gap = seq > s->events || (oldest > 0 && seq + 1 < oldest);

    if (ret_has_gap != NULL)
        *ret_has_gap = has_gap;
    if (has_gap)
        seq = oldest == 0 ? 0 : oldest - 1;
    return seq == s->events ? NULL : &s->event[seq % s->conf.events];
}

const char *cp_event_name(enum cp_event_kind k)
{
    static const char *const names[] = {
#define CP_EVENT_NAME(symbol, name) [symbol] = name,
        CP_EVENTS(CP_EVENT_NAME)
#undef CP_EVENT_NAME
    };

    return names[k];
}

/* ---- the audit log ---- */

#define AUDIT_FORMAT  1
#define AUDIT_LATE_MS 600000 /* a record of another eliocp comes no later */

/*
 * The key has the number and who wrote it: two that write at the same time may count alike, and
 * both entries stay. Where an entry leaves the ring its record goes.
 */
static struct el_str audit_key(struct cp_key *k, const struct cp_audit_in *a)
{
    char name[48];
    int n = snprintf(name, sizeof(name), "%016llx-%08x", (unsigned long long)a->written_as,
                     (unsigned)a->stream);

    return cp_key_of(k, "audit", (struct el_str){ name, (size_t)n });
}

static void encode_audit(struct el_buf *b, const struct cp_audit_in *in)
{
    const struct cp_audit *a = &in->audit;

    el_bytes_add_u8(b, AUDIT_FORMAT);
    el_bytes_add_u64(b, in->written_as);
    el_bytes_add_u32(b, in->stream);
    el_bytes_add_u64(b, (uint64_t)a->wall_ms);
    el_bytes_add_u16(b, (uint16_t)a->status);
    cp_add_text(b, el_str_of(a->who));
    cp_add_text(b, el_str_of(a->what));
    cp_add_text(b, el_str_of(a->text));
}

/* A place for one more; what was there leaves. */
static struct cp_audit_in *next_audit(struct cp_state *s, bool is_ours)
{
    struct cp_audit_in *in = &s->audit[s->audits % s->conf.audit];
    struct cp_key k;

    if (in->audit.number != 0 && is_ours)
        cp_emit_removal(s, CP_SOFT, audit_key(&k, in));
    *in = (struct cp_audit_in){ .audit.number = ++s->audits };
    return in;
}

void cp_audit_add(struct cp_state *s, struct el_str who, struct el_str what, struct el_str text,
                  int status)
{
    struct cp_audit_in *in = next_audit(s, true);
    struct el_buf b = { 0 };
    struct cp_key k;

    in->written_as = in->audit.number;
    in->stream = (uint32_t)s->stream;
    in->audit.wall_ms = s->wall_ms;
    in->audit.status = status;
    cp_copy_text(in->audit.who, CP_ID_MAX, who);
    cp_copy_text(in->audit.what, CP_ID_MAX, what);
    cp_copy_text(in->audit.text, CP_TEXT_MAX, text);
    encode_audit(&b, in);
    cp_emit(s, CP_HARD, audit_key(&k, in), &b);
}

static bool decode_audit(struct el_str value, struct cp_audit_in *in)
{
    struct el_bytes b = el_bytes_of(value);
    struct cp_audit *a = &in->audit;

    if (el_bytes_u8(&b) != AUDIT_FORMAT)
        return false;
    in->written_as = el_bytes_u64(&b);
    in->stream = el_bytes_u32(&b);
    a->wall_ms = (int64_t)el_bytes_u64(&b);
    a->status = el_bytes_u16(&b);
    cp_get_chars(&b, a->who, CP_ID_MAX);
    cp_get_chars(&b, a->what, CP_ID_MAX);
    cp_get_chars(&b, a->text, CP_TEXT_MAX);
    return el_bytes_is_end(&b) && in->written_as > 0 && in->written_as <= UINT64_MAX / 4;
}

/* The same entry is there already; otherwise the place that it should have. */
static bool has_audit(struct cp_state *s, const struct cp_audit_in *in)
{
    uint64_t kept = el_min_u64(s->audits, s->conf.audit);

    for (uint64_t i = 0; i < kept; i++) {
        const struct cp_audit_in *a = &s->audit[(s->audits - 1 - i) % s->conf.audit];

        if (a->written_as == in->written_as && a->stream == in->stream)
            return true;
        if (!s->is_loading && a->audit.wall_ms + AUDIT_LATE_MS < in->audit.wall_ms)
            return false;
    }
    return false;
}

static enum el_err apply_audit(struct cp_state *s, struct el_str name, struct el_str value,
                               bool is_removal, struct el_error *err)
{
    struct cp_audit_in in = { 0 }, *at;

    (void)name;
    if (is_removal)
        return EL_OK;
    if (!decode_audit(value, &in))
        return cp_bad_record(err, "audit");
    if (has_audit(s, &in))
        return EL_OK;
    at = next_audit(s, false);
    in.audit.number = at->audit.number;
    *at = in;
    return EL_OK;
}

static void dump_audit(const struct cp_state *s, cp_keep *keep, void *arg)
{
    for (uint32_t i = 0; i < s->conf.audit; i++) {
        const struct cp_audit_in *in = &s->audit[i];
        struct el_buf b = { 0 };
        struct cp_key k;

        if (in->audit.number == 0)
            continue;
        encode_audit(&b, in);
        keep(arg, audit_key(&k, in), el_buf_str(&b));
        el_buf_deinit(&b);
    }
}

static int by_time(const void *a, const void *b)
{
    const struct cp_audit_in *x = (const struct cp_audit_in *)a;
    const struct cp_audit_in *y = (const struct cp_audit_in *)b;

    if (x->audit.wall_ms != y->audit.wall_ms)
        return x->audit.wall_ms < y->audit.wall_ms ? -1 : 1;
    return (x->written_as > y->written_as) - (x->written_as < y->written_as);
}

/* Records are read in any order; afterwards they stand, and are numbered, by time. */
static void order_audit(struct cp_state *s)
{
    uint64_t kept = el_min_u64(s->audits, s->conf.audit);

    qsort(s->audit, kept, sizeof(*s->audit), by_time);
    for (uint64_t i = 0; i < kept; i++)
        s->audit[i].audit.number = i + 1;
    s->audits = kept;
}

const struct cp_kind cp_kind_audit = { "audit", apply_audit, order_audit, dump_audit };

/* The cursor is the number after which to go on, downwards. */
const struct cp_audit *cp_audit_next(const struct cp_state *s, uint64_t *cursor)
{
    uint64_t number = *cursor == 0 ? s->audits : *cursor - 1;
    uint64_t kept = el_min_u64(s->audits, s->conf.audit);

    if (number <= s->audits - kept)
        return NULL;
    *cursor = number;
    return &s->audit[(number - 1) % s->conf.audit].audit;
}
