/* SPDX-License-Identifier: MIT */
/* The node API over HTTP; cache, storage, p2p and proxy are stood in for by the functions it asks.
 */
#include "proxy/nodeapi.h"

#include <jansson.h>
#include <semaphore.h>

#include "common/log.h"
#include "proxy/fresh.h"
#include "proxy/nodeapi_routes.h"
#include "tests/lib/raw_http.h"

void cache_stats_get(struct cache *c, struct cache_stats *ret)
{
    (void)c;
    *ret = (struct cache_stats){
        .memory_limit_bytes = 1000,
        .memory_used_bytes = 400,
        .memory_ready_bytes = 50,
        .hot_chunks = 3,
        .objects = 5,
    };
}

void cache_disk_stats_get(struct cache *c, struct cache_disk_stats *ret)
{
    (void)c;
    *ret = (struct cache_disk_stats){ .n = 1 };
    ret->stores[0] = (struct cache_store_stats){ .dir = "/d", .state = "normal", .io = "threads" };
}

void store_stats_get(struct storage *s, struct store_stats *ret)
{
    (void)s;
    *ret = (struct store_stats){ .exchanges = 7, .bytes_in = 70 };
    ret->bytes_by_reason[STORE_REFILL] = 30;
}

uint16_t proxy_port(const struct proxy *p)
{
    (void)p;
    return 8080;
}

uint16_t proxy_tls_port(const struct proxy *p)
{
    (void)p;
    return 0;
}

void proxy_tiers_get(const struct proxy *p, struct proxy_tier_sums *ret)
{
    (void)p;
    *ret =
        (struct proxy_tier_sums){ .requests[PROXY_TIER_DISK] = 4, .bytes[PROXY_TIER_ORIGIN] = 900 };
}

size_t p2p_cluster_size(struct p2p *p)
{
    (void)p;
    return 1;
}

uint64_t p2p_lost_ms(struct p2p *p)
{
    (void)p;
    return 0;
}

void p2p_moved(struct p2p *p, uint64_t *ret_in, uint64_t *ret_out)
{
    (void)p;
    *ret_in = *ret_out = 0;
}

void p2p_status(struct p2p *p, json_t *status)
{
    (void)p;
    (void)status;
}

void p2p_seeds(struct p2p *p, struct el_buf *out)
{
    (void)p;
    (void)out;
}

bool p2p_takes_links(struct p2p *p, bool is_local)
{
    (void)p;
    return is_local;
}

void p2p_take_link(struct p2p *p, int fd)
{
    (void)p;
    (void)close(fd);
}

bool proxy_served_get(struct proxy *p, struct el_str client, struct proxy_served_by *ret)
{
    (void)p;
    *ret = (struct proxy_served_by){ .share.bytes[PROXY_TIER_DISK] = 5,
                                     .share.bytes[PROXY_TIER_ORIGIN] = 7 };
    return el_str_eq(client, EL_STR("192.0.2.1:4711"));
}

void p2p_peers_that_gave(struct p2p *p, const uint8_t version[16], json_t *list)
{
    (void)p;
    (void)version;
    (void)list;
}

void p2p_tell_objects(struct p2p *p, struct disc_cp_beat *beat)
{
    (void)p;
    beat->n_hottest = beat->n_downloads = 0;
}

void p2p_tell_links(struct p2p *p, struct disc_cp_beat *beat)
{
    (void)p;
    beat->n_links = 0;
}

/* It asks all of the proxy. */
void proxy_explain_get(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    (void)arg;
    (void)in;
    el_http_reply_json(out, 200, el_json_new());
}

uint64_t proxy_busy(struct proxy *p)
{
    (void)p;
    return 2;
}

void proxy_info_get(struct proxy *p, struct proxy_info *ret)
{
    (void)p;
    *ret = (struct proxy_info){ .auth = "basic",
                                .intercepts = true,
                                .intercepted = 7,
                                .intercept = { .hosts = "*.test", .ca = "CN = c", .made = 3 } };
}

/* ---- what operators ask: answered at once, but by message, as the cache does ---- */

static char asked[128]; /* the last question, written down */

static void note(const char *what, struct el_str key)
{
    (void)snprintf(asked, sizeof(asked), "%s %.*s", what, EL_STR_ARG(key));
}

static struct cache_meta meta = { .status = 200, .lifetime_ms = 60000 };

int64_t proxy_fresh_age_ms(const struct cache_meta *m, int64_t now_ms)
{
    (void)m;
    (void)now_ms;
    return 7000;
}

void cache_stat(struct cache *c, struct el_str url, struct cache_stat *st)
{
    (void)c;
    note("stat", url);
    meta.etag = EL_STR("\"e\"");
    st->n = el_str_eq(url, EL_STR("key:http://o/none")) ? 0 : 1;
    st->v[0] = (struct cache_variant){
        .meta = &meta,
        .length = 5000000,
        .blocks = 5,
        .memory_blocks = 2,
        .disk_blocks = 3,
        .cached_blocks = 4,
        .heat = "warm",
        .per_hour = 12.5,
        .is_pinned = true,
    };
    el_msgq_post(st->queue, &st->msg);
}

void cache_stat_deinit(struct cache_stat *st)
{
    st->n = 0;
}

void cache_purge_url(struct cache *c, struct el_str url, struct cache_purge *p)
{
    (void)c;
    note(asked[0] == 'd' ? "distrusted, purged" : "purged", url);
    p->objects = 2;
    el_msgq_post(p->queue, &p->msg);
}

static sem_t long_purge; /* lasts until it is posted */

void cache_purge_prefix(struct cache *c, struct el_str prefix, struct cache_purge *p)
{
    (void)c;
    if (el_str_eq(prefix, EL_STR("key:http://o/long")))
        assert_int_equal(sem_wait(&long_purge), 0);
    note(asked[0] == 'd' ? "distrusted, purged all of" : "purged all of", prefix);
    p->objects = 7;
    if (el_str_eq(prefix, EL_STR("key:http://o/broken")))
        el_fail(&p->err, EL_EDISK, 0, "a disk does not answer");
    el_msgq_post(p->queue, &p->msg);
}

void cache_pin(struct cache *c, struct el_str url, bool is_pinned, struct cache_pin *p)
{
    (void)c;
    note(is_pinned ? "pin" : "unpin", url);
    p->objects = 1;
    if (el_str_eq(url, EL_STR("key:http://o/none")))
        el_fail(&p->err, EL_ENOTCACHED, 0, "nothing of this URL is cached");
    if (el_str_eq(url, EL_STR("key:http://o/huge")))
        el_fail(&p->err, EL_EFULL, 0, "too much is pinned");
    if (el_str_eq(url, EL_STR("key:http://o/weak")))
        el_fail(&p->err, EL_EUNSUPPORTED, 0, "only in memory");
    el_msgq_post(p->queue, &p->msg);
}

enum el_err proxy_url_key(const struct proxy *p, struct el_str target, struct el_buf *out,
                          struct el_error *err)
{
    (void)p;
    if (!el_str_starts(target, EL_STR("http://")))
        return el_fail(err, EL_ENOORIGIN, 0, "there is no gateway");
    el_buf_addf(out, "key:%.*s", EL_STR_ARG(target));
    return EL_OK;
}

void proxy_distrust_asked(struct proxy *p, struct el_str key, bool is_prefix)
{
    (void)p;
    note(is_prefix ? "distrust all" : "distrust", key);
}

/* ---- what is fetched into the cache ---- */

struct proxy_warm *proxy_warm_of(struct proxy *p)
{
    return (struct proxy_warm *)(void *)p;
}

enum el_err proxy_warm_start(struct proxy_warm *w, struct proxy_warm_list *take_list,
                             char ret_id[PROXY_WARM_ID_BYTES], struct el_error *err)
{
    bool is_refused = el_str_eq(proxy_warm_list_url(take_list, 0), EL_STR("http://o/busy"));

    (void)w;
    note("warm", proxy_warm_list_url(take_list, 0));
    proxy_warm_list_deinit(take_list);
    (void)snprintf(ret_id, PROXY_WARM_ID_BYTES, "00000000000000a1");
    return is_refused ? el_fail(err, EL_EBUSY, 0, "too many") : EL_OK;
}

json_t *proxy_warm_show(struct proxy_warm *w, struct el_str id)
{
    json_t *root = el_str_eq(id, EL_STR("a1")) ? el_json_new() : NULL;

    (void)w;
    if (root != NULL)
        el_json_add_str(root, "id", id);
    return root;
}

void proxy_warm_list_all(struct proxy_warm *w, json_t *list)
{
    (void)w;
    el_json_add_str(el_json_append_child(list), "id", EL_STR("a1"));
}

bool proxy_warm_progress(struct proxy_warm *w, struct el_str id, struct proxy_warm_progress *ret)
{
    (void)w;
    (void)id;
    (void)ret;
    return false;
}

bool proxy_warm_cancel(struct proxy_warm *w, struct el_str id)
{
    (void)w;
    note("cancel", id);
    return el_str_eq(id, EL_STR("a1"));
}

struct fixture {
    struct el_metrics *metrics;
    struct proxy_nodeapi *api;
    int proxy; /* its address is all that is used */
};

static int set_up(void **state)
{
    struct fixture *f = el_new(struct fixture);
    struct proxy_nodeapi_conf conf = { .bind_address = "127.0.0.1",
                                       .node_id = "n-1",
                                       .clock = el_clock_system() };

    f->metrics = conf.metrics = el_metrics_new();
    *state = f;
    return proxy_nodeapi_start(&conf, &f->api, NULL) == EL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    proxy_nodeapi_stop(f->api);
    el_metrics_free(f->metrics);
    free(f);
    return 0;
}

static char *get(struct fixture *f, const char *path)
{
    return raw_get(proxy_nodeapi_port(f->api), path);
}

static json_t *get_json(struct fixture *f, const char *path)
{
    char *answer = get(f, path);
    const char *body = strstr(answer, "\r\n\r\n");
    json_t *root;

    assert_non_null(body);
    root = json_loads(body + 4, 0, NULL);
    assert_non_null(root);
    free(answer);
    return root;
}

static json_int_t number(json_t *root, const char *first, const char *second)
{
    json_t *n = json_object_get(json_object_get(root, first), second);

    assert_true(json_is_integer(n));
    return json_integer_value(n);
}

static void health_says_ok_and_the_version(void **state)
{
    json_t *root = get_json((struct fixture *)*state, "/health");

    assert_string_equal(json_string_value(json_object_get(root, "status")), "ok");
    assert_string_equal(json_string_value(json_object_get(root, "version")), ELIO_VERSION);
    json_decref(root);
}

static void readiness_is_503_until_it_is_set_and_again_afterwards(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    const bool told[] = { false, true, false };

    for (size_t i = 0; i < EL_COUNT(told); i++) {
        char *answer;

        proxy_nodeapi_set_ready(f->api, told[i]);
        answer = get(f, "/readyz");
        assert_memory_equal(answer, told[i] ? "HTTP/1.1 200" : "HTTP/1.1 503", 12);
        free(answer);
    }
}

static void metrics_are_prometheus_text_with_the_process_in_it(void **state)
{
    char *answer = get((struct fixture *)*state, "/metrics");

    assert_non_null(strstr(answer, "content-type: text/plain; version=0.0.4"));
    assert_non_null(strstr(answer, "eliop2p_build_info{version=\"" ELIO_VERSION "\"} 1\n"));
    assert_non_null(strstr(answer, "# TYPE process_open_fds gauge\n"));
    assert_non_null(strstr(answer, "eliop2p_cache_chunks{heat=\"hot\"} 3\n"));
    free(answer);
}

static void status_has_the_figures_of_every_part(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    json_t *root, *tiers;

    proxy_nodeapi_set_proxy(f->api, (struct proxy *)(void *)&f->proxy);
    root = get_json(f, "/api/v1/status");
    assert_string_equal(json_string_value(json_object_get(root, "node_id")), "n-1");
    assert_string_equal(json_string_value(json_object_get(root, "mode")), "standalone");
    assert_true(json_is_false(json_object_get(root, "ready")));
    assert_int_equal(number(root, "proxy", "port"), 8080);
    assert_int_equal(number(root, "proxy", "busy"), 2);
    tiers = json_object_get(json_object_get(root, "proxy"), "tiers");
    assert_int_equal(number(tiers, "disk", "requests"), 4);
    assert_int_equal(number(tiers, "origin", "bytes"), 900);
    assert_int_equal(number(tiers, "memory", "requests"), 0);
    assert_int_equal(number(json_object_get(root, "proxy"), "intercept", "tunnels"), 7);
    assert_int_equal(number(json_object_get(root, "cache"), "memory", "used_bytes"), 400);
    assert_int_equal(number(json_object_get(root, "cache"), "memory", "ready_bytes"), 50);
    assert_int_equal(number(json_object_get(root, "cache"), "heat", "hot"), 3);
    assert_int_equal(number(root, "cache", "objects"), 5);
    assert_int_equal(number(root, "origin", "exchanges"), 7);
    assert_int_equal(number(root, "control_plane", "cluster_size"), 1);
    assert_int_equal(number(root, "control_plane", "peers_known"), 0);
    assert_int_equal(number(json_object_get(root, "origin"), "bytes_by_reason", "refill"), 30);
    assert_true(number(root, "process", "rss_bytes") > 0);
    assert_true(number(root, "process", "fds") > 3);
    json_decref(root);
}

static void status_lists_recent_events(void **state)
{
    json_t *root, *events;

    el_log(EL_INFO, EV_NODE_START, "version=%s", "1");
    root = get_json((struct fixture *)*state, "/api/v1/status");
    events = json_object_get(root, "events");
    assert_true(json_array_size(events) >= 1);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(events, json_array_size(events) - 1), "event")),
                        "node.start");
    json_decref(root);
}

static void a_node_without_others_has_nobody_by_whom_to_join(void **state)
{
    json_t *root = get_json((struct fixture *)*state, "/api/v1/peers/seeds");

    assert_true(json_is_array(root));
    assert_int_equal(json_array_size(root), 0);
    json_decref(root);
}

static void a_node_without_others_hands_no_connection_over(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    char *answer = get(f, "/api/v1/p2p");

    assert_memory_equal(answer, "HTTP/1.1 404", 12);
    free(answer);
}

static void status_copes_without_a_proxy(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    json_t *root;

    proxy_nodeapi_set_proxy(f->api, NULL);
    root = get_json(f, "/api/v1/status");
    assert_int_equal(json_object_size(json_object_get(root, "proxy")), 0);
    json_decref(root);
}

/* ---- the cache ---- */

/* `answer` is all of it; free() it. */
static char *post(struct fixture *f, const char *target)
{
    char request[512];

    asked[0] = '\0';
    (void)snprintf(request, sizeof(request),
                   "POST %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
                   "Content-Length: 0\r\n\r\n",
                   target);
    return raw_exchange(proxy_nodeapi_port(f->api), request);
}

static void assert_answer(char *answer, int status, const char *part)
{
    char begin[16];

    (void)snprintf(begin, sizeof(begin), "HTTP/1.1 %d", status);
    if (strncmp(answer, begin, strlen(begin)) != 0 || strstr(answer, part) == NULL)
        fail_msg("not %d with %s: %s", status, part, answer);
    free(answer);
}

static void who_gave_the_bytes_of_a_request_is_known_by_the_address_of_its_client(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    json_t *root = get_json(f, "/api/v1/served?client=192.0.2.1:4711");

    assert_int_equal(number(root, "bytes", "memory"), 0);
    assert_int_equal(number(root, "bytes", "disk"), 5);
    assert_int_equal(number(root, "bytes", "origin"), 7);
    assert_int_equal(json_array_size(json_object_get(root, "peers")), 0);
    json_decref(root);
    assert_answer(get(f, "/api/v1/served?client=192.0.2.1:4712"), 404, "no request of that client");
    assert_answer(get(f, "/api/v1/served"), 400, "");
}

static int set_up_proxy(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    proxy_nodeapi_set_proxy(f->api, (struct proxy *)(void *)&f->proxy);
    return 0;
}

static void stat_tells_what_is_cached_under_the_key_of_the_url(void **state)
{
    json_t *root = get_json((struct fixture *)*state, "/api/v1/cache/stat?url=http%3A%2F%2Fo%2Fk");
    json_t *v = json_array_get(json_object_get(root, "variants"), 0);

    assert_string_equal(asked, "stat key:http://o/k");
    assert_string_equal(json_string_value(json_object_get(root, "url")), "key:http://o/k");
    assert_int_equal(json_integer_value(json_object_get(v, "status")), 200);
    assert_int_equal(json_integer_value(json_object_get(v, "length")), 5000000);
    assert_string_equal(json_string_value(json_object_get(v, "etag")), "\"e\"");
    assert_true(json_is_null(json_object_get(v, "last_modified")));
    assert_int_equal(json_integer_value(json_object_get(v, "cached_blocks")), 4);
    assert_int_equal(json_integer_value(json_object_get(v, "memory_blocks")), 2);
    assert_int_equal(json_integer_value(json_object_get(v, "disk_blocks")), 3);
    assert_string_equal(json_string_value(json_object_get(v, "heat")), "warm");
    assert_true(json_is_true(json_object_get(v, "pinned")));
    assert_int_equal(json_integer_value(json_object_get(v, "age_s")), 7);
    assert_true(json_is_true(json_object_get(v, "fresh")));
    json_decref(root);
}

static void what_is_not_cached_is_404(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    assert_answer(get(f, "/api/v1/cache/stat?url=http://o/none"), 404, "nothing of this URL");
    assert_answer(post(f, "/api/v1/cache/pin?url=http://o/none"), 404, "nothing of this URL");
}

/* Otherwise a fetch that is under way would bring it back. */
static void a_purge_distrusts_what_was_asked_for_and_then_forgets(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    assert_answer(post(f, "/api/v1/cache/purge?url=http://o/k"), 200,
                  "{\"url\":\"key:http://o/k\",\"objects\":2}");
    assert_string_equal(asked, "distrusted, purged key:http://o/k");
    assert_answer(post(f, "/api/v1/cache/purge?prefix=http://o/d/"), 200,
                  "{\"prefix\":\"key:http://o/d/\",\"objects\":7}");
    assert_string_equal(asked, "distrusted, purged all of key:http://o/d/");
}

static void a_disk_that_could_not_be_purged_is_an_error(void **state)
{
    assert_answer(post((struct fixture *)*state, "/api/v1/cache/purge?prefix=http://o/broken"), 500,
                  "a disk does not answer");
}

static void others_are_answered_while_a_purge_takes_long(void **state)
{
    static const char request[] =
        "POST /api/v1/cache/purge?prefix=http://o/long HTTP/1.1\r\nHost: test\r\n"
        "Connection: close\r\nContent-Length: 0\r\n\r\n";
    struct fixture *f = (struct fixture *)*state;
    int fd = raw_connect(proxy_nodeapi_port(f->api));

    assert_int_equal(sem_init(&long_purge, 0, 0), 0);
    raw_send(fd, request, sizeof(request) - 1);
    assert_answer(get(f, "/health"), 200, "ok");
    assert_answer(get(f, "/api/v1/cache/stat?url=http://o/k"), 200, "variants");
    assert_int_equal(sem_post(&long_purge), 0);
    assert_answer(raw_read_all(fd), 200, "\"objects\":7");
    assert_int_equal(sem_destroy(&long_purge), 0);
}

static void pin_and_unpin_say_what_is_so_now(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    assert_answer(post(f, "/api/v1/cache/pin?url=http://o/k"), 200,
                  "{\"url\":\"key:http://o/k\",\"pinned\":true,\"objects\":1}");
    assert_string_equal(asked, "pin key:http://o/k");
    assert_answer(post(f, "/api/v1/cache/unpin?url=http://o/k"), 200, "\"pinned\":false");
    assert_string_equal(asked, "unpin key:http://o/k");
    assert_answer(post(f, "/api/v1/cache/pin?url=http://o/huge"), 507, "too much is pinned");
    assert_answer(post(f, "/api/v1/cache/pin?url=http://o/weak"), 409, "only in memory");
}

static void a_question_that_is_not_understood_changes_nothing(void **state)
{
    struct fixture *f = (struct fixture *)*state;
    static const char *const wrong[] = {
        "/api/v1/cache/purge",
        "/api/v1/cache/purge?",
        "/api/v1/cache/purge?url=",
        "/api/v1/cache/purge?prefix=",
        "/api/v1/cache/purge?uri=http://o/k",
        "/api/v1/cache/purge?url=http://o/k?a&b", /* the URL's own & */
        "/api/v1/cache/purge?url=http://o/%zz",
        "/api/v1/cache/purge?url=/bucket/key", /* the gateway is not there */
        "/api/v1/cache/pin?prefix=http://o/",
    };

    for (size_t i = 0; i < EL_COUNT(wrong); i++) {
        assert_answer(post(f, wrong[i]), 400, "application/problem+json");
        assert_string_equal(asked, "");
    }
    assert_answer(get(f, "/api/v1/cache/purge?url=http://o/k"), 405, "allow: POST");
    assert_string_equal(asked, "");
}

static void without_a_proxy_nothing_is_looked_up(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    proxy_nodeapi_set_proxy(f->api, NULL);
    assert_answer(get(f, "/api/v1/cache/stat?url=http://o/k"), 503, "starting or stopping");
}

/* `answer` is all of it; free() it. */
static char *send_body(struct fixture *f, const char *method, const char *path, const char *body)
{
    char request[1024];

    asked[0] = '\0';
    (void)snprintf(request, sizeof(request),
                   "%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   method, path, strlen(body), body);
    return raw_exchange(proxy_nodeapi_port(f->api), request);
}

static void a_warm_up_begins_and_is_asked_for_by_its_id(void **state)
{
    struct fixture *f = (struct fixture *)*state;

    assert_answer(send_body(f, "POST", "/api/v1/cache/warm", "{\"urls\":[\"http://o/k\",\"/l\"]}"),
                  202, "\"operation\":\"/api/v1/operations/00000000000000a1\",\"total\":2}");
    assert_string_equal(asked, "warm http://o/k");
    assert_answer(send_body(f, "POST", "/api/v1/cache/warm", "{\"urls\":[\"http://o/busy\"]}"), 503,
                  "too many");
    assert_answer(send_body(f, "POST", "/api/v1/cache/warm", "{}"), 400, "urls");
    assert_answer(get(f, "/api/v1/operations/a1"), 200, "{\"id\":\"a1\"}");
    assert_answer(get(f, "/api/v1/operations/a2"), 404, "no such operation");
    assert_answer(get(f, "/api/v1/operations"), 200, "{\"operations\":[{\"id\":\"a1\"}]}");
    assert_answer(send_body(f, "DELETE", "/api/v1/operations/a1", ""), 200, "{\"id\":\"a1\"}");
    assert_string_equal(asked, "cancel a1");
    assert_answer(send_body(f, "DELETE", "/api/v1/operations/a2", ""), 404, "no such operation");
    proxy_nodeapi_set_proxy(f->api, NULL);
    assert_answer(send_body(f, "POST", "/api/v1/cache/warm", "{\"urls\":[\"/k\"]}"), 503,
                  "starting or stopping");
    assert_answer(get(f, "/api/v1/operations/a1"), 404, "no such operation");
}

static void what_is_open_stays_open_and_the_rest_wants_its_role(void **state)
{
    static const char *const open[] = { "/health", "/readyz" };
    static const char *const looks[] = { "/metrics", "/api/v1/status",
                                         "/api/v1/cache/stat?url=http://o/k" };
    static const char *const changes[] = { "/api/v1/cache/purge?url=http://o/k",
                                           "/api/v1/cache/pin?url=http://o/k",
                                           "/api/v1/cache/unpin?url=http://o/k" };
    struct fixture *f = (struct fixture *)*state;
    struct proxy_tokens *tokens = NULL;

    assert_int_equal(proxy_tokens_parse("f", EL_STR("0123456789abcdef operator"), &tokens, NULL),
                     EL_OK);
    proxy_nodeapi_set_tokens(f->api, tokens);
    proxy_nodeapi_set_ready(f->api, true);
    for (size_t i = 0; i < EL_COUNT(open); i++)
        assert_answer(get(f, open[i]), 200, "");
    for (size_t i = 0; i < EL_COUNT(looks); i++)
        assert_answer(get(f, looks[i]), 401, "www-authenticate: Bearer realm=\"eliop2p\"\r\n");
    for (size_t i = 0; i < EL_COUNT(changes); i++) {
        assert_answer(post(f, changes[i]), 401, "a token is wanted");
        assert_string_equal(asked, "");
    }
    assert_answer(send_body(f, "POST", "/api/v1/cache/warm", "{}"), 401, "a token is wanted");
    assert_answer(send_body(f, "DELETE", "/api/v1/operations/a1", ""), 401, "a token is wanted");
    assert_answer(get(f, "/api/v1/operations/a1"), 401, "a token is wanted");
    assert_string_equal(asked, "");
    proxy_nodeapi_set_tokens(f->api, NULL);
    assert_answer(get(f, "/metrics"), 200, "eliop2p_admin_refused_total 9\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_says_ok_and_the_version),
        cmocka_unit_test(readiness_is_503_until_it_is_set_and_again_afterwards),
        cmocka_unit_test(metrics_are_prometheus_text_with_the_process_in_it),
        cmocka_unit_test(status_has_the_figures_of_every_part),
        cmocka_unit_test(status_lists_recent_events),
        cmocka_unit_test(a_node_without_others_has_nobody_by_whom_to_join),
        cmocka_unit_test_setup(
            who_gave_the_bytes_of_a_request_is_known_by_the_address_of_its_client, set_up_proxy),
        cmocka_unit_test(a_node_without_others_hands_no_connection_over),
        cmocka_unit_test(status_copes_without_a_proxy),
        cmocka_unit_test_setup(stat_tells_what_is_cached_under_the_key_of_the_url, set_up_proxy),
        cmocka_unit_test_setup(what_is_not_cached_is_404, set_up_proxy),
        cmocka_unit_test_setup(a_purge_distrusts_what_was_asked_for_and_then_forgets, set_up_proxy),
        cmocka_unit_test_setup(a_disk_that_could_not_be_purged_is_an_error, set_up_proxy),
        cmocka_unit_test_setup(others_are_answered_while_a_purge_takes_long, set_up_proxy),
        cmocka_unit_test_setup(pin_and_unpin_say_what_is_so_now, set_up_proxy),
        cmocka_unit_test_setup(a_question_that_is_not_understood_changes_nothing, set_up_proxy),
        cmocka_unit_test(without_a_proxy_nothing_is_looked_up),
        cmocka_unit_test_setup(a_warm_up_begins_and_is_asked_for_by_its_id, set_up_proxy),
        cmocka_unit_test_setup(what_is_open_stays_open_and_the_rest_wants_its_role, set_up_proxy),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
