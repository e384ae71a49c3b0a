# SPDX-License-Identifier: MIT
"""What a node does on a good day: proxy, gateway, cache headers, ranges, conditions, life and death."""
import hashlib
import json
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import wire
from checks import is_exact, is_our_error, is_part
from content import MIB
from node import ELIONODE, Node
from origin import LAST_MODIFIED, Origin
from tier import wait_for


# ---- hits and misses ----

@pytest.mark.parametrize("size", [0, 1, 4096, MIB - 1, MIB, MIB + 1, 17 * MIB + 3])
def test_second_get_is_a_hit_with_the_same_bytes(node, origin, size):
    path = f"/bytes/{size}/obj"
    first, second = (node.get(origin.url + path) for _ in range(2))
    is_exact(first, origin.content(path))
    is_exact(second, origin.content(path))
    assert (first.x_cache, second.x_cache) == ("MISS", "HIT")
    assert len(origin.requests(path)) == 1 and origin.body_sent(path) == size


def test_a_hit_says_that_it_is_one(node, origin):
    path = "/bytes/1000/obj"
    miss, hit = (node.get(origin.url + path) for _ in range(2))
    assert "hit" in hit.get("Cache-Status") and "fwd=" in miss.get("Cache-Status")
    assert int(hit.get("Age")) >= 0
    assert hit.get("Via") and miss.get("Via")
    for name in ("ETag", "Last-Modified", "Cache-Control", "Content-Type", "Date"):
        assert hit.all(name) == miss.all(name) and len(hit.all(name)) == 1


def test_age_of_an_upstream_cache_is_counted(node, origin):
    origin.add("/aged", size=10, cache_control="max-age=1000", fields=[("Age", "500")])
    node.get(origin.url + "/aged")
    hit = node.get(origin.url + "/aged")
    assert hit.x_cache == "HIT" and 500 <= int(hit.get("Age")) < 600


def test_different_queries_are_different_objects(node, origin):
    a, b = (node.get(f"{origin.url}/bytes/100/q?v={v}") for v in (1, 2))
    assert (a.x_cache, b.x_cache) == ("MISS", "MISS")
    assert len(origin.seen) == 2


def test_the_request_reaches_the_origin_as_it_was(node, origin):
    target = "/bytes/10/a%2fb%2F/./c//d;p=1?x=%7e&y="
    node.get(origin.url + target, [("X-Odd", "a,  b"), ("x-amz-date", "20260901T000000Z")])
    seen = origin.seen[0]
    assert seen.target == target
    assert seen.get("Host") == f"127.0.0.1:{origin.port}"
    assert seen.get("X-Odd") == "a,  b" and seen.get("x-amz-date") == "20260901T000000Z"


def test_hop_by_hop_fields_stay_on_their_hop(node, origin):
    origin.add("/hop", size=10, fields=[("Connection", "X-Mine"), ("X-Mine", "1"), ("X-Yours", "2")])
    r = node.get(origin.url + "/hop", [("Connection", "X-Secret, keep-alive"), ("X-Secret", "1"),
                                       ("Proxy-Connection", "keep-alive"), ("TE", "trailers")])
    assert r.get("X-Mine") is None and r.get("X-Yours") == "2"
    for name in ("X-Secret", "Proxy-Connection", "TE"):
        assert origin.seen[0].get(name) is None


# ---- HEAD, ranges, conditions ----

def test_head_has_the_length_and_no_body(node, origin):
    path = "/bytes/5000/h"
    for _ in range(2):
        r = node.get(origin.url + path, method="HEAD")
        assert (r.status, r.get("Content-Length"), r.received) == (200, "5000", 0)
    is_exact(node.get(origin.url + path), origin.content(path))
    origin.forget()
    r = node.get(origin.url + path, method="HEAD")
    assert r.get("Content-Length") == "5000" and not origin.seen


RANGES = [("bytes=0-0", 0, 1), ("bytes=100-1048676", 100, MIB + 101), ("bytes=-5", -5, None),
          ("bytes=5000000-", 5000000, None), ("bytes=5242000-99999999", 5242000, None)]


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("spec, first, end", RANGES)
def test_a_range_is_exact_cold_and_warm(node, origin, spec, first, end, warm):
    size = 5 * MIB + 77
    path = f"/bytes/{size}/r"
    if warm:
        is_exact(node.get(origin.url + path), origin.content(path))
        origin.forget()
    for _ in range(2):
        r = node.get(origin.url + path, [("Range", spec)])
        is_part(r, origin.content(path), first % size, end or size)
    assert r.x_cache == "HIT"
    assert not warm or not origin.seen


def test_a_small_cold_range_does_not_fetch_the_object(node, origin):
    path = f"/bytes/{512 * MIB}/big"
    at = 300 * MIB + 5
    r = node.get(origin.url + path, [("Range", f"bytes={at}-{at + 99}")])
    is_part(r, origin.content(path), at, at + 100)
    assert origin.body_sent(path) <= 16 * MIB


def test_overlapping_ranges_complete_the_object(node, origin):
    size = 7 * MIB + 9
    path = f"/bytes/{size}/o"
    c = origin.content(path)
    for first in range(0, size, 1500000):
        end = min(first + 2000000, size)
        is_part(node.get(origin.url + path, [("Range", f"bytes={first}-{end - 1}")]), c, first, end)
    r = node.get(origin.url + path)
    is_exact(r, c)
    assert r.x_cache == "HIT"
    assert origin.body_sent(path) <= size + 8 * MIB


def test_a_range_of_a_known_object_is_not_asked_for_beyond_its_end(node, origin):
    k = origin.add("/known", size=MIB + 1000, cache_control="no-cache")
    is_part(node.get(origin.url + "/known", [("Range", "bytes=0-99")]), origin.content("/known"), 0, 100)
    k.version += 1  # so that the question is not only a confirmation
    r = node.get(origin.url + "/known", [("Range", f"bytes={MIB + 10}-{MIB + 5000}")])
    is_part(r, origin.content("/known"), MIB + 10, MIB + 1000)
    assert origin.seen[-1].get("Range") == f"bytes={MIB}-{MIB + 999}"


def test_an_object_that_has_grown_gives_a_right_part_of_what_was_asked(node, origin):
    k = origin.add("/grown", size=MIB + 1000, cache_control="no-cache")
    node.get(origin.url + "/grown", [("Range", "bytes=0-99")])
    k.version, k.size, k.cache_control = 2, 4 * MIB, "no-store"
    r = node.get(origin.url + "/grown", [("Range", f"bytes={MIB + 10}-{MIB + 5000}")])
    is_part(r, origin.content("/grown"), MIB + 10, MIB + 1000)
    k.version, k.cache_control = 3, "no-cache"
    node.get(origin.url + "/grown", [("Range", "bytes=0-99")])
    k.version, k.size = 4, 8 * MIB
    r = node.get(origin.url + "/grown", [("Range", f"bytes={4 * MIB - 10}-{4 * MIB + 9}")])
    is_part(r, origin.content("/grown"), 4 * MIB - 10, 4 * MIB + 10)


@pytest.mark.parametrize("warm", [False, True])
def test_a_range_beyond_the_end_is_416_with_the_length(node, origin, warm):
    path = "/bytes/1000/u"
    if warm:
        node.get(origin.url + path)
    r = node.get(origin.url + path, [("Range", "bytes=1000-")])
    assert (r.status, r.get("Content-Range")) == (416, "bytes */1000")


def test_several_ranges_come_as_multipart_or_whole(node, origin):
    path = f"/bytes/{2 * MIB}/m"
    c = origin.content(path)
    node.get(origin.url + path)
    r = node.get(origin.url + path, [("Range", "bytes=0-9,1048570-1048590")])
    if r.status == 200:
        is_exact(r, c)
        return
    assert r.status == 206 and r.complete
    assert r.get("Content-Type").startswith("multipart/byteranges; boundary=")
    assert c.bytes(0, 10) in r.body and c.bytes(1048570, 1048591) in r.body


@pytest.mark.parametrize("spec", ["items=0-1", "bytes=5-1", "bytes=a-b", "bytes=", "bytes=1-2-3"])
def test_a_range_that_means_nothing_is_ignored(node, origin, spec):
    path = "/bytes/1000/n"
    node.get(origin.url + path)
    r = node.get(origin.url + path, [("Range", spec)])
    assert r.status in (200, 416)
    if r.status == 200:
        is_exact(r, origin.content(path))


def test_if_range_decides_between_part_and_whole(node, origin):
    path = "/bytes/5000/ir"
    c = origin.content(path)
    node.get(origin.url + path)
    for validator, is_current in ((c.etag, True), ('"other"', False), (f"W/{c.etag}", False)):
        r = node.get(origin.url + path, [("Range", "bytes=10-19"), ("If-Range", validator)])
        if is_current:
            is_part(r, c, 10, 20)
        else:
            is_exact(r, c)
    assert len(origin.seen) == 1


@pytest.mark.parametrize("fields, status", [
    ([("If-None-Match", "ETAG")], 304),
    ([("If-None-Match", '"x", W/ETAG')], 304),
    ([("If-None-Match", "*")], 304),
    ([("If-None-Match", '"x"')], 200),
    ([("If-Modified-Since", LAST_MODIFIED)], 304),
    ([("If-Modified-Since", "Tue, 01 Sep 2020 10:00:00 GMT")], 200),
    ([("If-None-Match", '"x"'), ("If-Modified-Since", LAST_MODIFIED)], 200),
])
def test_conditions_are_answered_from_the_cache(node, origin, fields, status):
    path = "/bytes/5000/c"
    c = origin.content(path)
    node.get(origin.url + path)
    r = node.get(origin.url + path, [(n, v.replace("ETAG", c.etag)) for n, v in fields])
    assert r.status == status and r.get("ETag") == c.etag
    assert r.received == (0 if status == 304 else 5000)
    assert len(origin.seen) == 1


# ---- freshness ----

def test_a_stale_object_is_confirmed_not_fetched(node, origin):
    origin.add("/stale", size=2 * MIB, cache_control="max-age=100", fields=[("Age", "200")])
    for _ in range(3):
        is_exact(node.get(origin.url + "/stale"), origin.content("/stale"))
    assert [s.status for s in origin.seen] == [200, 304, 304]


def test_a_stale_object_that_changed_is_fetched_again(node, origin):
    k = origin.add("/changed", size=100_000, cache_control="no-cache")
    is_exact(node.get(origin.url + "/changed"), origin.content("/changed"))
    k.version += 1
    is_exact(node.get(origin.url + "/changed"), origin.content("/changed"))


@pytest.mark.parametrize("control", ["no-store", "private"])
def test_what_must_not_be_stored_is_asked_for_each_time(node, origin, control):
    origin.add("/p", size=1000, cache_control=control)
    for _ in range(2):
        r = node.get(origin.url + "/p")
        is_exact(r, origin.content("/p"))
        assert r.x_cache == "MISS"
    assert [s.status for s in origin.seen] == [200, 200]


def test_only_if_cached_never_asks_the_origin(node, origin):
    r = node.get(origin.url + "/bytes/10/oic", [("Cache-Control", "only-if-cached")])
    assert r.status == 504 and not origin.seen
    node.get(origin.url + "/bytes/10/oic")
    assert node.get(origin.url + "/bytes/10/oic", [("Cache-Control", "only-if-cached")]).x_cache == "HIT"


def test_no_cache_in_the_request_asks_the_origin(node, origin):
    path = "/bytes/1000/nc"
    node.get(origin.url + path)
    is_exact(node.get(origin.url + path, [("Cache-Control", "no-cache")]), origin.content(path))
    assert len(origin.seen) == 2


def test_an_object_of_an_object_store_is_fresh_for_a_while(start, origin):
    origin.add("/bucket/key", size=1000, cache_control="", last_modified="",
               fields=[("x-amz-request-id", "tx1")])
    lazy, eager = start(cache__freshness_s=1000), start(cache__freshness_s=0)
    for n in (lazy, eager):
        origin.forget()
        for _ in range(3):
            is_exact(n.get(origin.url + "/bucket/key"), origin.content("/bucket/key"))
        assert [s.status for s in origin.seen] == ([200] if n is lazy else [200, 304, 304])


# ---- other methods ----

@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_other_methods_pass_and_invalidate(node, origin, method):
    origin.add("/w", size=1000)
    node.get(origin.url + "/w")
    assert node.get(origin.url + "/w").x_cache == "HIT"
    body = b"new" * 1000
    r = node.get(origin.url + "/w", method=method, body=body)
    assert r.status in (200, 204)
    assert origin.requests("/w", method)[0].body_got == len(body)
    assert node.get(origin.url + "/w").x_cache != "HIT"


def test_an_upload_is_streamed_in_both_framings(node, origin):
    want = hashlib.sha256(b"z" * (3 * MIB)).hexdigest()
    with node.connect() as c:
        assert want in c.request("PUT", origin.url + "/up", body=b"z" * (3 * MIB)).body.decode()
        c.send_request("PUT", origin.url + "/up2", [("Transfer-Encoding", "chunked")])
        for _ in range(3):
            c.send(b"100000\r\n" + b"z" * MIB + b"\r\n")
        c.send(b"0\r\n\r\n")
        assert want in c.read_response().body.decode()


def test_the_first_byte_of_an_upload_arrives_before_the_last_is_sent(node, origin):
    with node.connect() as c:
        c.send_request("PUT", origin.url + "/slow-up", [("Content-Length", str(2 * MIB))])
        c.send(b"a" * MIB)
        deadline = time.monotonic() + 10 * wire.SLOW
        while not (origin.seen and origin.seen[0].body_got):
            assert time.monotonic() < deadline, "nothing of the body arrived"
            time.sleep(0.01)
        c.send(b"a" * MIB)
        assert c.read_response().status == 200


def test_expect_is_answered_at_once(node, origin):
    with node.connect() as c:
        began = time.monotonic()
        c.send_request("PUT", origin.url + "/e", [("Expect", "100-continue"), ("Content-Length", "5")])
        assert c.read_head().status == 100
        assert time.monotonic() - began < 0.5 * wire.SLOW
        c.send(b"hello")
        assert c.read_response().status == 200


@pytest.mark.parametrize("size", [5, 300_000])
@pytest.mark.parametrize("expects", [True, False])
def test_an_upload_that_the_origin_refuses_gets_the_refusal(node, origin, expects, size):
    origin.add("/no", size=0, refuse_upload=403)
    with node.connect() as c:
        fields = [("Content-Length", str(size))] + [("Expect", "100-continue")] * expects
        c.send_request("PUT", origin.url + "/no", fields)
        r = c.read_head() if expects else None
        if r is None or r.status == 100:
            c.send(b"a" * size)
            r = c.read_response()
        assert r.status == 403


def test_early_hints_are_passed_on(node, origin):
    origin.add("/hints", size=10, interim=[(103, [("Link", "</a>")])])
    r = node.get(origin.url + "/hints")
    is_exact(r, origin.content("/hints"))
    assert [s for s, _ in r.interim] == [103]


# ---- CONNECT ----

def test_connect_is_for_allowed_ports_only(node, origin):
    with node.connect() as c:
        c.send(f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1\r\nHost: 127.0.0.1:{origin.port}\r\n\r\n".encode())
        is_our_error(c.read_response(), 403)
    assert origin.connections == 0


def test_a_tunnel_carries_bytes_both_ways_and_half_closes(start):
    far = socket.create_server(("127.0.0.1", 0))

    def echo_backwards():
        s, _ = far.accept()
        got = b""
        while data := s.recv(65536):
            got += data
        s.sendall(got[::-1])
        s.close()

    threading.Thread(target=echo_backwards, daemon=True).start()
    port = far.getsockname()[1]
    node = start(proxy__connect_ports=port)
    with node.connect() as c:
        # No Host and HTTP/1.0, as several clients do it; the first bytes come with the head.
        c.send(f"CONNECT 127.0.0.1:{port} HTTP/1.0\r\n\r\nabc".encode())
        assert c.read_head().status == 200
        c.send(b"def" * 100_000)
        c.sock.shutdown(socket.SHUT_WR)
        assert c.rd.read() == (b"abc" + b"def" * 100_000)[::-1]
    far.close()


def test_a_tunnel_has_its_line_in_the_access_log_when_it_ends(start, tmp_path):
    far = socket.create_server(("127.0.0.1", 0))
    port = far.getsockname()[1]
    node = start(proxy__connect_ports=port, proxy__access_log=tmp_path / "access.log")
    with node.connect() as c:
        c.send(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: h\r\n\r\n".encode() + b"question")
        s, _ = far.accept()
        assert c.read_head().status == 200
        assert s.recv(8, socket.MSG_WAITALL) == b"question"
        s.sendall(b"answer")
        s.close()
        assert c.rd.read() == b"answer"
    far.close()
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    (line,) = (tmp_path / "access.log").read_text().splitlines()
    assert re.search(rf"method=CONNECT url=127.0.0.1:{port} status=200 bytes=6 cache=- total_ms=\d+ ttfb_ms=\d+ bytes_in=8$", line)


def test_a_trace_goes_on_to_the_origin_and_is_in_the_access_log(start, origin, tmp_path):
    node = start(proxy__access_log=tmp_path / "access.log")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for name, fields in (("traced", [("traceparent", trace)]), ("wrong", [("traceparent", "00-no-trace")]), ("without", [])):
        assert node.get(f"{origin.url}/bytes/1000/{name}", fields).status == 200
    assert origin.seen[0].get("traceparent") == trace
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    # The loops write their lines each for itself: those of three connections may stand in any order.
    traces = {}
    for line in (tmp_path / "access.log").read_text().splitlines():
        name = re.search(r"url=\S+/bytes/1000/(\w+)", line)[1]
        traces[name] = line.rpartition(" trace=")[2] if " trace=" in line else ""
    assert traces == {"traced": "4bf92f3577b34da6a3ce929d0e0e4736", "wrong": "", "without": ""}


def test_a_recorded_trace_has_a_span_of_each_request(start, origin, tmp_path):
    log, moved = tmp_path / "trace.jsonl", tmp_path / "moved.jsonl"
    node = start(proxy__trace_log=log)

    def get(name, flags, path="bytes/1000"):
        return node.get(f"{origin.url}/{path}/{name}?token=abc",
                        [("traceparent", f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}")])

    def attributes(of):
        return {a["key"]: next(iter(a["value"].values())) for a in of["attributes"]}

    def spans(file):
        for line in file.read_text().splitlines():
            [of_node] = json.loads(line)["resourceSpans"]
            assert attributes(of_node["resource"])["service.name"] == "elionode"
            [scope] = of_node["scopeSpans"]
            yield from scope["spans"]

    before = time.time_ns()
    assert get("first", "01").status == 200
    assert get("first", "01").status == 200
    assert get("unrecorded", "00").status == 200
    assert node.get(f"{origin.url}/bytes/1000/untraced").status == 200
    wait_for(lambda: len(list(spans(log))) == 2)
    log.rename(moved)
    node.signal(signal.SIGHUP)
    wait_for(log.exists)
    origin.close()
    assert get("gone", "01").status >= 500
    node.signal(signal.SIGTERM)
    assert node.wait() == 0

    # The loops write their lines each for itself.
    miss, hit = sorted(spans(moved), key=lambda s: s["startTimeUnixNano"])
    [failed] = spans(log)
    for s in (miss, hit, failed):
        assert (s["traceId"], s["parentSpanId"], s["name"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "GET")
        assert before - 10 ** 9 < int(s["startTimeUnixNano"]) <= int(s["endTimeUnixNano"]) < time.time_ns() + 10 ** 9
        assert attributes(s)["url.full"].endswith("?token=***")
    assert len({s["spanId"] for s in (miss, hit, failed)}) == 3
    assert attributes(miss)["eliop2p.cache"] == "MISS" and attributes(miss)["eliop2p.bytes.origin"] == "1000"
    assert attributes(hit)["eliop2p.cache"] == "HIT" and attributes(hit)["eliop2p.bytes.memory"] == "1000"
    assert int(miss["startTimeUnixNano"]) <= int(miss["events"][0]["timeUnixNano"]) <= int(miss["endTimeUnixNano"])
    assert failed["status"] == {"code": 2} and attributes(failed)["http.response.status_code"] == attributes(failed)["error.type"]


# ---- connections ----

def test_a_connection_serves_many_requests_and_pipelines(node, origin):
    with node.connect() as c:
        for i in range(5):
            is_exact(c.request("GET", f"{origin.url}/bytes/1000/k{i}"), origin.content(f"/bytes/1000/k{i}"))
        for i in range(5):
            c.send_request("GET", f"{origin.url}/bytes/1000/k{i}")
        for i in range(5):
            is_exact(c.read_response(), origin.content(f"/bytes/1000/k{i}"))
    assert len(origin.seen) == 5


def test_http_1_0_is_answered_and_closed(node, origin):
    with node.connect() as c:
        c.send(f"GET {origin.url}/bytes/1000/old HTTP/1.0\r\n\r\n".encode())
        is_exact(c.read_response(), origin.content("/bytes/1000/old"))
        assert c.is_closed_by_peer()


def test_a_client_that_leaves_does_not_disturb_the_next(node, origin):
    path = f"/bytes/{64 * MIB}/left"
    with node.connect() as c:
        c.send_request("GET", origin.url + path)
        c.read_head()
        c.rd.read(100_000)
    is_exact(node.get(origin.url + path), origin.content(path))


# ---- gateway ----

@pytest.fixture
def store():
    o = Origin(suffix="s3.test")
    yield o
    o.close()


def test_path_style_and_virtual_host_are_one_object(start, store):
    store.add("/bucket/dir/key", size=3 * MIB)
    node = start(storage__endpoint=store.url, storage__virtual_host_suffixes="s3.test")
    miss = node.get("/dir/key", host="bucket.s3.test")
    hit = node.get("/bucket/dir/key")
    for r in (miss, hit):
        is_exact(r, store.content("/bucket/dir/key"))
    assert (miss.x_cache, hit.x_cache) == ("MISS", "HIT")
    assert len(store.seen) == 1 and store.seen[0].get("Host") == "bucket.s3.test"


def test_the_gateway_passes_host_path_and_query_unchanged(start, store):
    node = start(storage__endpoint=store.url)
    node.get("/bucket/bytes/10/k%2Fx?versionId=3&x-id=GetObject", host=f"127.0.0.1:{node.port}")
    assert store.seen[0].target == "/bucket/bytes/10/k%2Fx?versionId=3&x-id=GetObject"
    assert store.seen[0].get("Host") == f"127.0.0.1:{node.port}"


def test_signing_parameters_do_not_make_a_new_object(start, store):
    for query in ("", "?X-Amz-Signature=aa&X-Amz-Date=1", "?X-Amz-Signature=bb&X-Amz-Date=2", "?x-id=GetObject"):
        store.add("/bucket/k" + query, body=b"k" * 1000, fields=[("x-amz-request-id", "1")])
    node = start(storage__endpoint=store.url, cache__freshness_s=1000)
    node.get("/bucket/k?X-Amz-Signature=aa&X-Amz-Date=1")
    node.get("/bucket/k?X-Amz-Signature=bb&X-Amz-Date=2")
    node.get("/bucket/k?x-id=GetObject")
    assert sum(s.body_sent for s in store.seen) == 1000


def test_without_an_endpoint_there_is_no_gateway(node):
    is_our_error(node.get("/bucket/key"), 404, 502)


# ---- errors, loops ----

def test_a_dead_origin_is_502_and_says_so(node, origin):
    origin.close()
    is_our_error(node.get(origin.url + "/bytes/10/dead"), 502)


def lines(node, tag):
    return [l for l in node.log().splitlines() if f" {tag} " in l]


def test_what_an_origin_could_not_give_is_logged_but_not_for_each_request(start, origin):
    node = start(proxy__threads=1, storage__retries=0, storage__breaker_failures=0)
    origin.add("/broken", size=10, reset_at=5, etag="", last_modified="")
    began = time.monotonic()
    node.get(origin.url + "/broken")
    origin.close()
    for i in range(20):
        is_our_error(node.get(f"{origin.url}/bytes/10/dead{i}?X-Amz-Signature=hidden"), 502)
    logged = lines(node, "origin.error")
    assert 1 <= len(logged) <= time.monotonic() - began + 1
    assert f'origin="127.0.0.1:{origin.port}"' in logged[0] and "hidden" not in node.log()


def test_a_refusal_is_logged_with_its_rule(start):
    by_name, by_address = start(proxy__deny_hosts="no.test"), start()
    is_our_error(by_name.get("http://no.test/x"), 403)
    (line,) = lines(by_name, "proxy.refused")
    assert 'origin="no.test:80"' in line and "proxy.deny_hosts" in line
    is_our_error(by_address.get("http://[::1/x"), 400)
    assert not lines(by_address, "proxy.refused")
    is_our_error(by_address.get(f"http://localhost:{by_address.admin_port}/x"), 403)
    (line,) = lines(by_address, "proxy.refused")
    assert f'origin="localhost:{by_address.admin_port}"' in line


def test_a_name_that_does_not_resolve_is_502(node):
    is_our_error(node.get("http://no-such-host.invalid/x"), 502)


def test_a_request_that_came_by_here_already_is_a_loop(node, origin):
    via = node.get(origin.url + "/bytes/10/v").get("Via")
    assert origin.seen[0].get("Via")
    is_our_error(node.get(origin.url + "/bytes/10/v2", [("Via", via)]), 508)
    # Also where nobody could answer it: this node has no gateway.
    is_our_error(node.get("/bytes/10/v2", [("Via", via)]), 508)
    assert len(origin.seen) == 1


def test_the_node_is_not_a_way_to_itself(node):
    for port in (node.port, node.admin_port):
        is_our_error(node.get(f"http://127.0.0.1:{port}/api/v1/status"), 403, 508)


def test_hosts_can_be_denied_and_allowed(start, origin):
    named = f"http://localhost:{origin.port}/bytes/10/h"
    denied, only = start(proxy__deny_hosts="localhost"), start(proxy__allow_hosts="127.0.0.0/8")
    is_our_error(denied.get(named), 403)
    assert denied.get(origin.url + "/bytes/10/h").status == 200
    assert only.get(origin.url + "/bytes/10/h").status == 200
    is_our_error(only.get("http://[::1]:9/x"), 403)


# ---- the node API ----

def test_the_node_tells_how_it_is(node, origin):
    for _ in range(2):
        node.get(origin.url + "/bytes/1000/s")
    assert node.admin("/health").status == 200
    assert node.admin("/readyz").status == 200
    status = node.status()
    assert status["node_id"] == "node-under-test" and status["ready"] is True
    assert status["cache"]["memory"]
    metrics = node.admin("/metrics")
    assert metrics.get("Content-Type").startswith("text/plain")
    asked = {k: v for k, v in node.metrics().items() if k.startswith("eliop2p_origin_bytes_total")}
    assert sum(asked.values()) == 1000, asked
    assert node.admin("/nothing-here").status == 404


# ---- life and death ----

def test_sighup_applies_a_new_configuration_to_a_running_node(start, origin, tmp_path):
    conf = tmp_path / "elionode.conf"
    conf.write_text("[proxy]\ndeny_hosts =\n")
    node = start(f"--config={conf}")
    origin.add("/long", size=3_000_000, rate=1_500_000, write=50_000)
    with node.connect() as c:
        c.send_request("GET", origin.url + "/long")
        assert c.read_head().status == 200
        conf.write_text("[proxy]\ndeny_hosts = 127.0.0.1\n")
        node.signal(signal.SIGHUP)
        deadline = time.monotonic() + 10 * wire.SLOW
        while node.get(origin.url + "/bytes/10/x").status != 403:
            assert time.monotonic() < deadline, node.log()
            time.sleep(0.02)
        assert c.rd.read(3_000_000) == origin.content("/long").bytes()
    conf.write_text("[proxy]\nno_such_key = 1\n")
    node.signal(signal.SIGHUP)
    deadline = time.monotonic() + 10 * wire.SLOW
    while "no_such_key" not in node.log():
        assert time.monotonic() < deadline, "a bad file is not reported"
        time.sleep(0.02)
    assert node.get(origin.url + "/bytes/10/x").status == 403, "a bad file changed something"


def test_sigterm_lets_a_running_download_finish(start, origin):
    node = start()
    origin.add("/long", size=2_000_000, rate=2_000_000, write=50_000)
    with node.connect() as c:
        c.send_request("GET", origin.url + "/long")
        head = c.read_head()
        node.signal(signal.SIGTERM)
        assert c.rd.read(2_000_000) == origin.content("/long").bytes()
    assert head.status == 200
    assert node.wait() == 0


def test_sigterm_does_not_wait_for_ever(start, origin):
    node = start(proxy__drain_timeout_ms=300)
    origin.add("/hang", size=1000, hang_at=10)
    with node.connect() as c:
        c.send_request("GET", origin.url + "/hang")
        c.read_head()
        began = time.monotonic()
        node.signal(signal.SIGTERM)
        assert node.wait() == 0
        assert time.monotonic() - began < 5 * wire.SLOW


def test_a_second_node_on_the_same_port_is_refused_with_the_reason(node):
    second = Node(wait=False, proxy__listen_port=node.port)
    assert second.wait() != 0
    assert str(node.port) in second.log() and "in use" in second.log()
    second.log_path.unlink()


@pytest.mark.parametrize("argument, named", [
    ("--no.such_key=1", "no.such_key"),
    ("--proxy.listen_port=70000", "proxy.listen_port"),
    ("--cache.memory_cache_size_mb=much", "cache.memory_cache_size_mb"),
    ("--p2p.k_selection=4", "p2p.k_selection"),
    ("--p2p.k_selection=11", "p2p.k_selection"),
    ("--config=/nonexistent/elionode.conf", "/nonexistent/elionode.conf"),
])
def test_a_wrong_option_is_named_and_nothing_starts(argument, named):
    r = subprocess.run([ELIONODE, argument], capture_output=True, text=True, timeout=20 * wire.SLOW)
    assert r.returncode != 0 and named in r.stderr + r.stdout


@pytest.mark.parametrize("key, value", [
    ("proxy.allow_hosts", "10.0.0.256"), ("proxy.deny_hosts", "a.test,http://b.test"), ("proxy.connect_ports", "443,x"),
    ("storage.endpoint", "ftp://s3.test"), ("storage.endpoint", "http://s3.test/path"), ("storage.bucket", "a/b"),
    ("storage.virtual_host_suffixes", "s3.test:80"), ("cache.disk_cache_path", ",".join(f"/nonexistent/d{i}" for i in range(17))),
])
def test_a_check_of_the_configuration_finds_what_a_start_would(key, value):
    started = ["--proxy.listen_port=0", "--admin.listen_port=0", "--cache.disk_cache_size_mb=0"]
    for argv in (["--check-config"], started):
        r = subprocess.run([ELIONODE, f"--{key}={value}", *argv], capture_output=True, text=True, timeout=20 * wire.SLOW)
        assert r.returncode == 2 and key in r.stderr and value.rpartition(",")[2] in r.stderr
    r = subprocess.run([ELIONODE, "--check-config"], capture_output=True, text=True, timeout=20 * wire.SLOW)
    assert r.returncode == 0 and "valid" in r.stdout


def test_the_program_explains_itself():
    for option, word in (("--help", "--proxy.listen_port"), ("--version", "0."), ("--print-config", "[proxy]")):
        r = subprocess.run([ELIONODE, option], capture_output=True, text=True, timeout=20 * wire.SLOW)
        assert r.returncode == 0 and word in r.stdout


def test_log_lines_are_json_when_asked(start, origin):
    node = start(general__log_format="json")
    node.get(origin.url + "/bytes/10/j")
    events = [json.loads(line)["event"] for line in node.log().splitlines()]
    assert {"cache.open", "node.ready"} <= set(events)


def test_get_downloads_through_the_node_and_says_what_it_got(node, origin, tmp_path):
    path = f"/bytes/{3 * MIB + 1}/tool"
    for x_cache in ("MISS", "HIT"):
        r = subprocess.run([ELIONODE, "get", origin.url + path, "-o", tmp_path / "file", f"--proxy=127.0.0.1:{node.port}",
                            "--json"], capture_output=True, text=True, timeout=60 * wire.SLOW)
        assert r.returncode == 0, r.stderr
        said = json.loads(r.stdout)
        assert said["sha256"] == origin.content(path).sha256() and x_cache in said.values()
        assert (tmp_path / "file").read_bytes() == origin.content(path).bytes()


def test_get_leaves_no_file_behind_when_it_fails(node, origin, tmp_path):
    origin.add("/cut", size=100_000, etag="", last_modified="", truncate_at=50_000)
    for url in (origin.url + "/cut", origin.url + "/absent"):
        r = subprocess.run([ELIONODE, "get", url, "-o", tmp_path / "file", f"--proxy=127.0.0.1:{node.port}", "--quiet"],
                           capture_output=True, text=True, timeout=60 * wire.SLOW)
        assert r.returncode == 1 and r.stderr
        assert list(tmp_path.iterdir()) == []
