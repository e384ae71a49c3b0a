/* SPDX-License-Identifier: MIT */
/* accesslog: see accesslog.h. */
#include "proxy/accesslog.h"

#include "common/clock.h"
#include "common/url.h"

static void put_line(struct el_buf *out, const void *entry)
{
    const struct proxy_access_entry *e = entry;
    char iso[25];

    el_clock_iso(e->wall_ms, iso);
    el_buf_add_str(out, el_str_of(iso));
    el_buf_addf(out, " client=%s method=", e->client);
    el_buf_add_visible(out, el_str_first(e->method, 32));
    el_buf_add_str(out, EL_STR(" url="));
    el_url_write_shown(out, e->url);
    el_buf_addf(out, " status=%d bytes=", e->status);
    el_buf_add_u64(out, e->bytes);
    el_buf_addf(out, " cache=%s total_ms=", e->x_cache != NULL ? e->x_cache : "-");
    el_buf_add_u64(out, e->total_ms);
    el_buf_add_str(out, EL_STR(" ttfb_ms="));
    el_buf_add_u64(out, e->ttfb_ms);
    if (e->peer_bytes > 0) {
        el_buf_add_str(out, EL_STR(" peer_bytes="));
        el_buf_add_u64(out, e->peer_bytes);
    }
    if (e->is_tunnel) {
        el_buf_add_str(out, EL_STR(" bytes_in="));
        el_buf_add_u64(out, e->bytes_in);
    }
    if (e->trace.n > 0) {
        el_buf_add_str(out, EL_STR(" trace="));
        el_buf_add_str(out, e->trace);
    }
    el_buf_add_byte(out, '\n');
}

enum el_err proxy_accesslog_open(const char *path, unsigned threads, struct el_metrics *metrics,
                                 struct proxy_linelog **ret_log, struct el_error *err)
{
    const struct proxy_linelog_conf conf = {
        .path = path,
        .name = "access log",
        .thread_name = "accesslog",
        .threads = threads,
        .lost = el_metrics_counter(metrics, "eliop2p_access_log_lost_lines_total",
                                   "Lines of the access log that could not be written.", NULL),
    };

    return proxy_linelog_open(&conf, ret_log, err);
}

void proxy_accesslog_write(struct proxy_linelog *log, unsigned thread_index,
                           const struct proxy_access_entry *e)
{
    proxy_linelog_write(log, thread_index, put_line, e);
}
