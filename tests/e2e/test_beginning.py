# SPDX-License-Identifier: MIT
"""
The first question about an object of which nothing is known, as a node of a cluster puts it: for the
beginning, although the client wants the whole. Whatever the origin makes of that, the client gets what
it would have got without us.
"""
import os
import time

import pytest

import wire
from checks import is_exact, is_part
from content import MIB
from rgw import signed
from tier import wait_for

FIRST = 16 * MIB
BEGINNING = f"bytes=0-{FIRST - 1}"
SIZE = 40 * MIB + 7


@pytest.fixture
def node(start):
    return start(program=os.environ["ELIO_BEGINNING"], storage__retry_backoff_ms=10, storage__breaker_failures=0)


def asked(origin, path):
    """(Range, If-Match, status) of each question."""
    return [(s.get("Range"), s.get("If-Match"), s.status) for s in origin.requests(path)]


# ---- what can be shared ----

def test_the_beginning_is_asked_for_first_and_the_rest_of_that_very_version(origin, node):
    content = origin.add("/a", size=SIZE) and origin.content("/a")
    r = node.get(origin.url + "/a")
    is_exact(r, content)
    assert r.get("Content-Length") == str(SIZE) and r.get("Content-Range") is None
    first, *rest = asked(origin, "/a")
    assert first == (BEGINNING, None, 206)
    assert rest and all(match == content.etag and status == 206 for _, match, status in rest)
    assert rest[0][0].startswith(f"bytes={FIRST}-")
    assert origin.body_sent("/a") == SIZE
    is_exact(node.get(origin.url + "/a"), content)
    assert origin.body_sent("/a") == SIZE


@pytest.mark.parametrize("size", [1, 4096, MIB, FIRST - 1, FIRST])
def test_an_object_that_is_all_beginning_takes_one_request(origin, node, size):
    origin.add("/a", size=size)
    for _ in range(2):
        r = node.get(origin.url + "/a")
        is_exact(r, origin.content("/a"))
        assert r.get("Content-Range") is None and r.get("ETag") == origin.content("/a").etag
    assert asked(origin, "/a") == [(BEGINNING, None, 206)]


def test_an_object_of_one_byte_more_takes_two(origin, node):
    origin.add("/a", size=FIRST + 1)
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert [s for _, _, s in asked(origin, "/a")] == [206, 206] and origin.body_sent("/a") == FIRST + 1


def test_an_object_that_changes_after_its_beginning_breaks_off_and_is_whole_the_next_time(origin, node):
    k = origin.add("/a", size=SIZE, bump_after=FIRST)
    old = origin.content("/a")
    r = node.get(origin.url + "/a")
    assert r.status == 200 and not r.complete and old.differs_at(0, r.body) is None
    assert k.version == 2
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))


def test_those_who_wait_for_the_first_question_share_its_answer(origin, node):
    origin.add("/a", size=SIZE, delay_head=0.2, times=1)
    with wire.Connection(node.port) as one, wire.Connection(node.port) as two:
        for c in (one, two):
            c.send_request("GET", origin.url + "/a")
        for c in (one, two):
            is_exact(c.read_response(), origin.content("/a"))
    assert origin.body_sent("/a") == SIZE


# ---- what cannot ----

def test_an_origin_without_ranges_is_asked_once(origin, node):
    origin.add("/a", size=SIZE, ranges=False)
    for _ in range(2):
        is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert asked(origin, "/a") == [(BEGINNING, None, 200)]


def test_an_empty_object_is_asked_for_again_in_the_clients_words_and_then_known(origin, node):
    origin.add("/a", size=0)
    for _ in range(2):
        is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert asked(origin, "/a") == [(BEGINNING, None, 416), (None, None, 200)]


def test_what_is_known_to_be_empty_is_confirmed_without_a_range(origin, node):
    origin.add("/a", size=0, cache_control="no-cache")
    for _ in range(2):
        is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert asked(origin, "/a")[2:] == [(None, None, 304)]


@pytest.mark.parametrize("knobs", [
    {"etag": "", "last_modified": ""},
    {"etag": 'W/"weak"'},
    {"cache_control": "no-store"},
    {"cache_control": "private"},
], ids=["no validator", "weak validator", "no-store", "private"])
def test_what_may_not_be_put_together_from_parts_is_asked_for_again_as_a_whole(origin, node, knobs):
    origin.add("/a", size=SIZE, **knobs)
    r = node.get(origin.url + "/a")
    is_exact(r, origin.content("/a"))
    assert r.get("Content-Range") is None
    assert asked(origin, "/a") == [(BEGINNING, None, 206), (None, None, 200)]


@pytest.mark.parametrize("knobs", [
    {"etag": "", "last_modified": ""},
    {"etag": 'W/"weak"'},
    {"cache_control": "no-store"},
], ids=["no validator", "weak validator", "no-store"])
def test_when_it_is_short_it_takes_one_request_all_the_same(origin, node, knobs):
    origin.add("/a", size=4096, **knobs)
    r = node.get(origin.url + "/a")
    is_exact(r, origin.content("/a"))
    assert r.get("Content-Range") is None and r.get("Content-Length") == "4096"
    assert asked(origin, "/a") == [(BEGINNING, None, 206)]


def test_whoever_is_told_that_an_answer_is_not_for_all_asks_once_for_himself(origin, node):
    origin.add("/a", size=SIZE, cache_control="no-store")
    for _ in range(3):
        is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert asked(origin, "/a") == [(BEGINNING, None, 206)] + [(None, None, 200)] * 3


@pytest.mark.parametrize("status", [301, 401, 403, 404, 410, 429, 500, 503])
def test_what_has_nothing_to_do_with_a_range_is_the_answer(origin, node, status):
    origin.add("/a", size=SIZE, fail_status=status, fail_fields=[("Location", "/b")] if status == 301 else [])
    r = node.get(origin.url + "/a")
    assert r.status == status and r.body == b"origin says no\n"
    assert asked(origin, "/a") == [(BEGINNING, None, status)]


@pytest.mark.parametrize("status", [400, 406, 416, 501])
def test_what_may_be_about_the_range_is_asked_again_without_one(origin, node, status):
    origin.add("/a", size=SIZE, fail_status=status, times=1)
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert asked(origin, "/a") == [(BEGINNING, None, status), (None, None, 200)]


def test_an_error_that_stays_without_the_range_is_the_answer(origin, node):
    origin.add("/a", size=SIZE, fail_status=400)
    r = node.get(origin.url + "/a")
    assert r.status == 400 and r.body == b"origin says no\n"
    assert asked(origin, "/a") == [(BEGINNING, None, 400), (None, None, 400)]


def test_a_part_from_another_place_is_asked_for_again_as_a_whole(origin, node):
    origin.add("/a", size=SIZE, shift_range=100, times=1)
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert asked(origin, "/a") == [(BEGINNING, None, 206), (None, None, 200)]


def test_an_origin_that_answers_everybody_with_the_same_part_does_so_to_our_clients_too(origin, node):
    origin.add("/a", fail_status=206, fail_fields=[("Content-Range", "bytes 0-14/100"), ("ETag", '"a"')])
    r = node.get(origin.url + "/a")
    assert (r.status, r.body, r.get("Content-Range")) == (206, b"origin says no\n", "bytes 0-14/100")
    assert [s.get("Range") for s in origin.requests("/a")] == [BEGINNING, None]


def test_a_beginning_that_breaks_off_is_taken_up_at_the_byte(origin, node):
    origin.add("/a", size=SIZE, reset_at=3 * MIB + 5, times=1)
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert asked(origin, "/a")[1][0].startswith(f"bytes={3 * MIB + 5}-")


def test_each_coding_is_put_together_from_its_own_parts(origin, node):
    origin.add("/a", size=2 * SIZE, gzip=True)  # what repeats is packed into less, but not into 16 MiB
    packed = node.get(origin.url + "/a", [("Accept-Encoding", "gzip")])
    direct = wire.fetch(origin.port, "/a", [("Accept-Encoding", "gzip")])
    assert packed.status == 200 and packed.complete and packed.get("Content-Encoding") == "gzip"
    assert packed.body == direct.body and len(packed.body) > FIRST
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert [s.status for s in origin.requests("/a") if s.get("Range") == BEGINNING] == [206, 206]


# ---- when nothing is added ----

@pytest.mark.parametrize("fields", [
    [("Range", "bytes=0-99")],
    [("Range", "lines=1-2")],
    [("If-Range", '"x"')],
    [("If-None-Match", '"x"')],
    [("If-Modified-Since", "Tue, 01 Sep 2020 10:00:00 GMT")],
    [("If-Match", "*")],
    [("Authorization", "SharedKey account:c2lnbmF0dXJl")],
    [("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260901/us-east-1/s3/aws4_request, "
                       "SignedHeaders=host;range;x-amz-date, Signature=00")],
], ids=lambda f: f[0][0] + " " + f[0][1][:9])
def test_a_client_with_wishes_of_its_own_is_not_given_that_range(origin, node, fields):
    origin.add("/a", size=SIZE)
    r = node.get(origin.url + "/a", fields)
    assert r.status in (200, 206) and r.complete
    assert BEGINNING not in [s.get("Range") for s in origin.requests("/a")]


def test_a_part_that_a_client_wants_is_widened_as_ever(origin, node):
    origin.add("/a", size=SIZE)
    is_part(node.get(origin.url + "/a", [("Range", f"bytes={2 * MIB + 1}-{2 * MIB + 9}")]), origin.content("/a"),
            2 * MIB + 1, 2 * MIB + 10)
    assert asked(origin, "/a") == [(f"bytes={2 * MIB}-{3 * MIB - 1}", None, 206)]


def test_a_head_is_a_head(origin, node):
    origin.add("/a", size=SIZE)
    assert node.get(origin.url + "/a", method="HEAD").get("Content-Length") == str(SIZE)
    assert asked(origin, "/a") == [(None, None, 200)]


# ---- what is known ----

def test_a_copy_is_confirmed_and_its_successor_begins_as_a_new_object(origin, node):
    k = origin.add("/a", size=SIZE, cache_control="no-cache")
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    origin.forget()
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert [s.status for s in origin.requests("/a")] == [304]
    k.version = 2
    origin.forget()
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert [s.status for s in origin.requests("/a")][0] == 206 and origin.body_sent("/a") == SIZE


def test_a_leader_that_leaves_does_not_take_the_beginning_with_it(origin, node):
    origin.add("/a", size=SIZE, delay_head=0.3, times=1)
    with wire.Connection(node.port) as follower:
        with wire.Connection(node.port) as leader:
            leader.send_request("GET", origin.url + "/a")
            wait_for(lambda: origin.requests("/a"))
            follower.send_request("GET", origin.url + "/a")
        is_exact(follower.read_response(), origin.content("/a"))


def test_a_leader_that_leaves_before_an_answer_of_no_use_leaves_the_others_to_themselves(origin, node):
    origin.add("/a", size=SIZE, etag='W/"weak"', delay_head=0.3, times=1)
    with wire.Connection(node.port) as follower:
        with wire.Connection(node.port) as leader:
            leader.send_request("GET", origin.url + "/a")
            wait_for(lambda: origin.requests("/a"))
            follower.send_request("GET", origin.url + "/a")
        is_exact(follower.read_response(), origin.content("/a"))


def test_what_may_not_be_stored_any_more_is_asked_for_once_each_time_a_stale_copy_is_served(origin, node):
    k = origin.add("/a", size=MIB, cache_control="max-age=1, stale-while-revalidate=60")
    old = origin.content("/a")
    is_exact(node.get(origin.url + "/a"), old)
    time.sleep(1.1)
    origin.forget()
    k.version, k.cache_control = 2, "no-store"
    served = 0
    while len(origin.requests("/a")) < 3:  # one that is served while it is asked about asks nothing
        is_exact(node.get(origin.url + "/a"), old)
        served += 1
        time.sleep(0.2)
    first, *rest = asked(origin, "/a")
    assert first == (BEGINNING, None, 206) and set(rest) == {(None, None, 200)} and 1 + len(rest) <= served


def test_without_memory_the_parts_stream_through(origin, start):
    node = start(program=os.environ["ELIO_BEGINNING"], cache__memory_cache_size_mb=0)
    origin.add("/a", size=SIZE)
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert asked(origin, "/a")[0] == (BEGINNING, None, 206)


# ---- a real store ----

BUCKET = "beginnings"


@pytest.mark.parametrize("size", [0, 1, 4096, FIRST, FIRST + 1, 2 * FIRST + 5])
@pytest.mark.parametrize("way", ["forward", "gateway"])
def test_a_real_store_gives_signed_requests_what_they_would_get_directly(rgw, start, size, way):
    s3 = rgw.client()
    if BUCKET not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)
    body = os.urandom(1 << 16) * (size >> 16) + os.urandom(size & 0xFFFF)
    key = f"{way}-{size}"
    s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    options = {"storage__endpoint": rgw.url} if way == "gateway" else {}
    node = start(program=os.environ["ELIO_BEGINNING"], storage__type="s3", cache__freshness_s=1000, **options)
    path = f"/{BUCKET}/{key}"
    url, target = (node.url + path, path) if way == "gateway" else (rgw.url + path, rgw.url + path)
    mark = rgw.mark()
    for _ in range(2):
        r = node.get(target, signed("GET", url))
        assert r.status == 200 and r.complete and r.body == body and r.get("Content-Range") is None
    served = rgw.served(mark, path)
    first = [(416, 200)] if size == 0 else [(206,)] if size <= FIRST else [(206, 206)]
    assert tuple(s for _, s, _ in served if s != 304) in first
    assert rgw.object_bytes_served(mark, path) == size


def test_a_real_store_refuses_whom_it_would_refuse_anyway(rgw, start):
    s3 = rgw.client()
    if BUCKET not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="closed", Body=b"x")
    node = start(program=os.environ["ELIO_BEGINNING"], storage__type="s3")
    for path, status in ((f"/{BUCKET}/closed", 403), (f"/{BUCKET}/nothing", 403)):
        mark = rgw.mark()
        assert node.get(rgw.url + path).status == status == wire.fetch(rgw.port, path).status
        assert [s for _, s, _ in rgw.served(mark, path)] == [status, status]
    path = f"/{BUCKET}/nothing"
    mark = rgw.mark()
    assert node.get(rgw.url + path, signed("GET", rgw.url + path)).status == 404
    assert [s for _, s, _ in rgw.served(mark, path)] == [404]
