# SPDX-License-Identifier: MIT
"""
Origins that fail, lie or change. Whatever they do, the client gets right bytes or an error it can see,
and nothing incomplete or wrong is ever served from the cache afterwards.
"""
import gzip
import threading
import time

import pytest

import wire
from checks import is_exact, is_our_error, is_part, is_truth
from content import MIB, Content
from origin import Knobs, Origin, make_pair

SIZE = 3 * MIB + 1234
HALF = SIZE // 2
VALIDATORS = {"strong": {}, "none": {"etag": "", "last_modified": ""}, "weak": {"etag": 'W/"w"', "last_modified": ""}}


@pytest.fixture
def node(start):
    return start(storage__retry_backoff_ms=10, storage__breaker_failures=0, storage__stall_timeout_ms=int(1000 * wire.SLOW),
                 storage__connect_timeout_ms=int(2000 * wire.SLOW))


def afterwards(node, origin, path):
    """The fault is over: everybody gets exactly what the origin has now."""
    k = origin.objects[path]
    origin.objects[path] = Knobs(size=k.size, version=k.version, body=k.body, etag=k.etag,
                                 last_modified=k.last_modified, framing=k.framing, cache_control=k.cache_control)
    for _ in range(2):
        is_exact(node.get(origin.url + path), origin.content(path))
    at = k.size // 2
    r = node.get(origin.url + path, [("Range", f"bytes={at}-{at + 99}")])
    if r.status == 206:
        is_part(r, origin.content(path), at, at + 100)
    else:
        is_exact(r, origin.content(path))


# ---- bodies that break ----

BREAKS = {
    "reset": dict(reset_at=HALF),
    "reset at the first byte": dict(reset_at=0),
    "closed": dict(truncate_at=HALF),
    "closed at the first byte": dict(truncate_at=0),
    "closed one byte early": dict(truncate_at=SIZE - 1),
    "length too long": dict(extra_length=100),
    "chunks cut": dict(framing="chunked", truncate_at=HALF),
    "chunks without the last": dict(framing="chunked", truncate_at=SIZE),
    "reset without a length": dict(framing="close", reset_at=HALF),
    "hangs": dict(hang_at=HALF),
    "no head": dict(hang_head=True),
}


@pytest.mark.parametrize("validators", VALIDATORS)
@pytest.mark.parametrize("what", BREAKS)
def test_an_origin_that_always_breaks_is_an_error_and_is_not_cached(node, origin, what, validators):
    origin.add("/f", size=SIZE, **VALIDATORS[validators], **BREAKS[what])
    began = time.monotonic()
    r = node.get(origin.url + "/f")
    given = is_truth(r, origin.content("/f"))
    # With a strong validator the rest may have come with later requests, byte by byte the same object.
    assert given is None or validators == "strong", f"complete, though the origin never was: {r}"
    assert time.monotonic() - began < 60 * wire.SLOW
    origin.release()
    afterwards(node, origin, "/f")


@pytest.mark.parametrize("validators", VALIDATORS)
@pytest.mark.parametrize("what", BREAKS)
def test_an_origin_that_breaks_once_costs_no_client_a_wrong_byte(node, origin, what, validators):
    origin.add("/f", size=SIZE, times=1, **VALIDATORS[validators], **BREAKS[what])
    is_truth(node.get(origin.url + "/f"), origin.content("/f"))
    origin.release()
    afterwards(node, origin, "/f")


@pytest.mark.parametrize("what", ["reset", "closed", "closed one byte early", "hangs"])
def test_with_a_strong_validator_a_broken_body_is_taken_up_again(node, origin, what):
    origin.add("/f", size=SIZE, times=1, **BREAKS[what])
    is_exact(node.get(origin.url + "/f"), origin.content("/f"))
    assert origin.body_sent("/f") <= SIZE + 2 * MIB
    origin.release()


def test_more_bytes_than_promised_do_not_become_the_next_answer(node, origin):
    origin.add("/f", size=SIZE, extra_length=-100)
    r = node.get(origin.url + "/f")
    if r is not None and r.status < 500:
        assert r.body == origin.content("/f").bytes(0, r.received) and r.received <= SIZE - 100
    for i in range(3):
        is_exact(node.get(f"{origin.url}/bytes/5000/n{i}"), origin.content(f"/bytes/5000/n{i}"))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_second_answer_nobody_asked_for_is_given_to_nobody(start, tmp_path, scheme):
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nCache-Control: max-age=99\r\n\r\nforged"
    origin = Origin(tls=make_pair(tmp_path, "origin") if scheme == "https" else None)
    node = start(storage__endpoint=f"{scheme}://localhost:{origin.port}", storage__insecure_tls="true")
    for i in range(5):
        path = f"/b/f{i}"
        origin.add(path, body=b"a" * 1000 + forged, extra_length=-len(forged), write=1000)
        node.get(path)
        while origin.body_sent(path) < 1000 + len(forged):
            time.sleep(0.001)
        is_exact(node.get(f"/b/bytes/5000/n{i}"), origin.content(f"/b/bytes/5000/n{i}"))
    origin.close()


def test_an_origin_that_never_answers_is_a_timeout(node, origin):
    origin.add("/f", size=10, hang_head=True)
    began = time.monotonic()
    is_our_error(node.get(origin.url + "/f"), 502, 504)
    assert time.monotonic() - began < 20 * wire.SLOW
    origin.release()


# ---- framing that is odd but right ----

@pytest.mark.parametrize("knobs", [
    dict(framing="chunked"), dict(framing="close"), dict(framing="chunked", write=1000), dict(ranges=False),
    dict(etag=""), dict(last_modified=""), dict(etag="", last_modified=""), dict(etag='W/"w"'), dict(etag='"unquoted'),
    dict(etag="", last_modified="", framing="close"), dict(fields=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]),
    dict(interim=[(102, []), (103, [("Link", "</x>")])]), dict(delay_head=0.3), dict(rate=8 * MIB, write=65536),
], ids=str)
def test_unusual_answers_are_exact(node, origin, knobs):
    origin.add("/o", size=SIZE, **knobs)
    for _ in range(3):
        r = node.get(origin.url + "/o")
        is_exact(r, origin.content("/o"))
    assert r.all("Set-Cookie") == [v for n, v in knobs.get("fields", []) if n == "Set-Cookie"]
    r = node.get(origin.url + "/o", [("Range", "bytes=1000000-2000000")])
    if r.status == 206:
        is_part(r, origin.content("/o"), 1000000, 2000001)
    else:
        is_exact(r, origin.content("/o"))


@pytest.mark.parametrize("knobs", [dict(ranges=False), dict(framing="chunked", ranges=False)], ids=str)
def test_a_range_of_an_origin_that_ignores_ranges_is_right_in_one_way_or_the_other(node, origin, knobs):
    origin.add("/ir", size=SIZE, **knobs)
    for _ in range(3):
        r = node.get(origin.url + "/ir", [("Range", "bytes=2000000-2000999")])
        if r.status == 206:
            assert r.body == origin.content("/ir").bytes(2000000, 2001000)
        else:
            is_exact(r, origin.content("/ir"))
    afterwards(node, origin, "/ir")


@pytest.mark.parametrize("shift", [1, 4096, MIB])
def test_a_part_that_is_not_the_one_asked_for_is_not_believed(node, origin, shift):
    origin.add("/s", size=8 * MIB, shift_range=shift)
    r = node.get(origin.url + "/s", [("Range", "bytes=3145728-5242879")])
    is_truth(r, origin.content("/s"))
    afterwards(node, origin, "/s")


# ---- objects that change ----

@pytest.mark.parametrize("if_match", [True, False])
@pytest.mark.parametrize("same_size", [True, False])
def test_parts_of_two_versions_are_never_mixed(node, origin, if_match, same_size):
    k = origin.add("/v", size=16 * MIB, if_match=if_match)
    old = origin.content("/v")
    is_part(node.get(origin.url + "/v", [("Range", "bytes=0-2097151")]), old, 0, 2 * MIB)
    k.version, k.size = 2, 16 * MIB if same_size else 15 * MIB + 5
    new = origin.content("/v")
    r = node.get(origin.url + "/v", [("Range", "bytes=8388608-9437183")])
    given = is_truth(r, old, new)
    if given:
        assert given is new and r.get("ETag") == new.etag, "the origin has only the new version"
    for _ in range(2):
        given = is_truth(node.get(origin.url + "/v"), old, new)
    assert given is new, "the new version has to come through in the end"


@pytest.mark.parametrize("strike", ["reset_at", "truncate_at", "hang_at"])
@pytest.mark.parametrize("if_match", [True, False])
def test_an_object_that_changes_while_it_is_read_is_aborted_not_mixed(node, origin, if_match, strike):
    at = 5 * MIB
    origin.add("/m", size=16 * MIB, bump_after=at, times=1, if_match=if_match, write=MIB, **{strike: at})
    old = origin.content("/m")
    r = node.get(origin.url + "/m")
    new = origin.content("/m")
    assert old.etag != new.etag
    given = is_truth(r, old, new)
    assert given is None or given is new
    origin.release()
    afterwards(node, origin, "/m")


def test_readers_of_an_object_that_changes_each_see_one_version(node, origin):
    k = origin.add("/c", size=4 * MIB, cache_control="max-age=0", write=65536, rate=20 * MIB)
    versions, wrong, stop = [origin.content("/c")], [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                is_truth(node.get(origin.url + "/c"), *versions)
            except AssertionError as e:
                wrong.append(str(e))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(2, 10):
        versions.append(Content("/c", k.size, i))
        k.version = i
        time.sleep(0.3)
    stop.set()
    for t in threads:
        t.join()
    assert not wrong, wrong[0]
    is_exact(node.get(origin.url + "/c"), origin.content("/c"))


# ---- variants ----

@pytest.mark.parametrize("first", ["gzip", "identity"])
def test_packed_and_plain_are_never_confused(node, origin, first):
    plain = b"elio" * 50_000
    origin.add("/z", Knobs(body=plain, gzip=True))
    order = [first, "gzip", "identity", None, "gzip", "identity"]
    for coding in order:
        r = node.get(origin.url + "/z", [("Accept-Encoding", coding)] if coding else [])
        assert r.status == 200 and r.complete
        if r.get("Content-Encoding") == "gzip":
            assert coding == "gzip" and gzip.decompress(r.body) == plain
        else:
            assert r.body == plain
    assert len(origin.seen) <= 4


def test_vary_star_is_never_reused(node, origin):
    origin.add("/v", size=100, fields=[("Vary", "*")])
    for _ in range(2):
        assert node.get(origin.url + "/v").x_cache == "MISS"
    assert [s.status for s in origin.seen] == [200, 200]


def test_an_answer_to_credentials_is_not_given_to_others(node, origin):
    origin.add("/mine", size=SIZE, authorized=("me",))
    mine = [("Authorization", "me")]
    for _ in range(2):
        is_exact(node.get(origin.url + "/mine", mine), origin.content("/mine"))
    for fields in ([], [("Authorization", "you")], [("Authorization", "me too")]):
        r = node.get(origin.url + "/mine", fields)
        assert r.status == 403 and b"AccessDenied" in r.body and r.received < 100
    is_exact(node.get(origin.url + "/mine", mine), origin.content("/mine"))


# ---- statuses ----

@pytest.mark.parametrize("status, fields", [
    (404, []), (403, []), (410, []), (500, []), (503, [("Retry-After", "7")]), (429, [("Retry-After", "7")]),
    (301, [("Location", "http://elsewhere.test/")]), (307, [("Location", "/bytes/10/other")]),
])
def test_statuses_reach_the_client_unchanged(node, origin, status, fields):
    origin.add("/s", size=10, fail_status=status, fail_fields=fields, times=0)
    r = node.get(origin.url + "/s")
    assert (r.status, r.body, r.complete) == (status, b"origin says no\n", True)
    for name, value in fields:
        assert r.get(name) == value
    origin.objects["/s"].fail_status = 0
    if status >= 500 or status in (403, 429):
        is_exact(node.get(origin.url + "/s"), origin.content("/s"))


def test_errors_to_a_revalidation_do_not_destroy_what_is_cached(node, origin):
    k = origin.add("/r", size=SIZE, cache_control="no-cache")
    is_exact(node.get(origin.url + "/r"), origin.content("/r"))
    for status in (500, 503, 403):
        k.fail_status = status
        assert node.get(origin.url + "/r").status in (200, status)
    k.fail_status = 0
    origin.forget()
    is_exact(node.get(origin.url + "/r"), origin.content("/r"))


def test_what_is_evicted_while_the_origin_confirms_it_is_read_anew(start, origin):
    """Of unknown length: only all of it is good, so nothing of it can be read again by itself."""
    node = start(cache__memory_cache_size_mb=32)
    k = origin.add("/a", size=70_000, framing="chunked", cache_control="no-cache")
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    k.delay_head = 1
    with node.connect() as c:
        c.send_request("GET", origin.url + "/a")
        time.sleep(0.3)
        for i in range(4):
            node.get(origin.url + f"/bytes/{16 * MIB}/{i}")
        is_exact(c.read_response(), origin.content("/a"))
    assert 304 in [s.status for s in origin.requests("/a")]


def test_a_deleted_object_is_gone_for_the_next_who_asks(node, origin):
    k = origin.add("/d", size=1000, cache_control="no-cache")
    node.get(origin.url + "/d")
    k.fail_status = 404
    assert node.get(origin.url + "/d").status == 404


def test_fresh_objects_survive_their_origin(node, origin):
    is_exact(node.get(origin.url + f"/bytes/{SIZE}/x"), origin.content(f"/bytes/{SIZE}/x"))
    origin.close()
    r = node.get(origin.url + f"/bytes/{SIZE}/x")
    is_exact(r, origin.content(f"/bytes/{SIZE}/x"))
    assert r.x_cache == "HIT"


def test_a_breaker_spares_a_dead_origin_and_closes_again(start, origin):
    node = start(storage__breaker_failures=3, storage__breaker_open_ms=int(1000 * wire.SLOW), storage__retries=0)
    origin.close()
    for i in range(3):
        is_our_error(node.get(f"{origin.url}/bytes/10/b{i}"), 502)
    is_our_error(node.get(origin.url + "/bytes/10/b"), 503)
    assert "origin.breaker_open" in node.log()
    back = Origin(port=origin.port)
    deadline = time.monotonic() + 20 * wire.SLOW
    while (r := node.get(origin.url + "/bytes/10/b")).status != 200:
        is_our_error(r, 503)
        assert time.monotonic() < deadline, "the circuit never closes"
        time.sleep(0.05)
    is_exact(r, back.content("/bytes/10/b"))
    back.close()
