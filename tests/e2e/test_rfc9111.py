# SPDX-License-Identifier: MIT
"""
What a shared cache does beside fresh hits: stale answers and who may have them, HEAD, errors, ages and
dates, parts, invalidation. docs/http.md names the test for each behaviour.
"""
import time

import pytest

import wire
from checks import is_exact, is_our_error, is_part
from content import MIB

STALE = "max-age=0"  # with a validator: stored, and stale from the first moment on


def until(claim, seconds=5):
    deadline = time.monotonic() + seconds * wire.SLOW
    while not claim():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def asked(origin, path, times):
    until(lambda: sum(s.finished for s in origin.requests(path)) >= times)
    assert len(origin.requests(path)) == times


def cache_status(r):
    return r.get("Cache-Status")


# ---- stale-while-revalidate ----

def test_a_stale_answer_is_served_while_the_origin_is_asked_about_it(origin, node):
    k = origin.add("/a", size=100, cache_control=f"{STALE}, stale-while-revalidate=60")
    old = origin.content("/a")
    is_exact(node.get(origin.url + "/a"), old)
    k.version, k.cache_control = 2, "max-age=60"
    r = node.get(origin.url + "/a")
    is_exact(r, old)
    assert r.get("Age") is not None and "; hit; ttl=-" in cache_status(r) or "; hit; ttl=0" in cache_status(r)
    until(lambda: node.get(origin.url + "/a").get("ETag") == origin.content("/a").etag)
    asked(origin, "/a", 2)
    assert origin.requests("/a")[1].get("If-None-Match") == old.etag
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))


def test_one_question_at_a_time_is_asked_in_the_background_and_it_outlives_its_client(origin, node):
    k = origin.add("/a", size=100, cache_control=f"{STALE}, stale-while-revalidate=60")
    node.get(origin.url + "/a")
    k.delay_head, k.cache_control = 0.3, "max-age=60"
    for _ in range(5):  # each on a connection of its own, closed at once
        is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    asked(origin, "/a", 2)
    until(lambda: "ttl=-" not in cache_status(node.get(origin.url + "/a")))
    asked(origin, "/a", 2)


def test_a_question_of_our_own_carries_no_range_and_no_condition_of_the_client(origin, node):
    origin.add("/a", size=100, cache_control=f"{STALE}, stale-while-revalidate=60", fields=[("Vary", "X-Kind")])
    node.get(origin.url + "/a", [("X-Kind", "1")])
    r = node.get(origin.url + "/a", [("X-Kind", "1"), ("Range", "bytes=3-5"), ("If-Range", '"other"')])
    is_exact(r, origin.content("/a"))
    asked(origin, "/a", 2)
    seen = origin.requests("/a")[1]
    assert seen.method == "GET" and seen.get("X-Kind") == "1"
    assert seen.get("Range") is None and seen.get("If-Range") is None


def test_a_client_that_wants_nothing_stored_does_not_keep_a_copy_from_being_put_right(origin, node):
    k = origin.add("/a", size=100, cache_control=f"{STALE}, stale-while-revalidate=60")
    node.get(origin.url + "/a")
    k.version, k.cache_control = 2, "max-age=60"
    node.get(origin.url + "/a", [("Cache-Control", "no-store")])
    until(lambda: node.get(origin.url + "/a").get("ETag") == origin.content("/a").etag)
    asked(origin, "/a", 2)


def test_what_is_here_in_part_only_is_asked_about_first(origin, node):
    k = origin.add("/a", size=4 << 20, cache_control=f"{STALE}, stale-while-revalidate=60")
    node.get(origin.url + "/a", [("Range", "bytes=0-99")])
    k.version = 2
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))


def test_those_who_waited_in_vain_share_what_one_of_them_is_told(origin, node):
    size, n = 8 << 20, 8
    origin.add("/a", size=size, rate=size, write=1 << 16, times=1, delay_head=0.4, fail_status=404)
    waiting = [node.connect() for _ in range(1 + n)]
    for c in waiting:
        c.send_request("GET", origin.url + "/a")
        until(lambda: origin.requests("/a"))
    assert waiting[0].read_response().status == 404
    for c in waiting[1:]:
        is_exact(c.read_response(), origin.content("/a"))
        c.close()
    assert len(origin.requests("/a")) == 1 + n
    assert origin.body_sent("/a") < 3 * size  # what one had on its way when it heard of the other


def ask_for_kinds(origin, node, kinds):
    """The connections, each with a request under way. The first of them leads."""
    waiting = [node.connect() for _ in kinds]
    for c, kind in zip(waiting, kinds):
        c.send_request("GET", origin.url + "/a", [("X-Kind", str(kind))])
        until(lambda: origin.requests("/a"))
    return waiting


def test_each_variant_is_asked_for_once(origin, node):
    origin.add("/a", size=100, fields=[("Vary", "X-Kind")], delay_head=0.3)
    for c in ask_for_kinds(origin, node, [1, 1, 1, 2, 2, 2]):
        is_exact(c.read_response(), origin.content("/a"))
        c.close()
    asked(origin, "/a", 2)


def test_many_variants_are_not_asked_for_one_after_the_other(origin, node):
    k = origin.add("/a", size=100, fields=[("Vary", "X-Kind")], delay_head=0.3)
    waiting = ask_for_kinds(origin, node, range(6))
    until(lambda: len(origin.requests("/a")) == 2)
    time.sleep(0.1)  # that one is on its way to an answer
    k.hang_head = True
    until(lambda: len(origin.requests("/a")) == 6)
    for c in waiting:
        c.close()


def test_who_wants_the_origins_word_is_not_served_stale(origin, node):
    k = origin.add("/a", size=100, cache_control=f"{STALE}, stale-while-revalidate=60")
    node.get(origin.url + "/a")
    k.version = 2
    for fields in ([("Cache-Control", "no-cache")], [("Authorization", "Basic eA==")]):
        is_exact(node.get(origin.url + "/a", fields), origin.content("/a"))


# ---- the origin fails ----

def test_an_origin_out_of_reach_is_stood_in_for_by_what_is_stale(origin, node):
    origin.add("/a", size=100, cache_control=STALE)
    node.get(origin.url + "/a")
    origin.close()
    r = node.get(origin.url + "/a")
    is_exact(r, origin.content("/a"))
    assert "; fwd=stale" in cache_status(r) and r.get("Age") is not None
    is_part(node.get(origin.url + "/a", [("Range", "bytes=10-19")]), origin.content("/a"), 10, 20)
    assert node.get(origin.url + "/a", [("If-None-Match", origin.content("/a").etag)]).status == 304
    is_our_error(node.get(origin.url + "/a", [("Cache-Control", "no-cache")]), 502)


def test_it_stands_in_while_the_origin_is_left_alone_too(origin, start):
    node = start(storage__retries=0, storage__breaker_failures=2, storage__breaker_open_ms=60000)
    origin.add("/a", size=100, cache_control=STALE)
    node.get(origin.url + "/a")
    origin.close()
    for _ in range(6):
        is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert "origin.breaker_open" in node.log()


def test_the_operator_may_have_errors_instead(origin, start):
    node = start(cache__stale_if_error_s=0, storage__retries=0)
    origin.add("/a", size=100, cache_control=STALE)
    origin.add("/b", size=100, cache_control=f"{STALE}, stale-if-error=60")
    node.get(origin.url + "/a")
    node.get(origin.url + "/b")
    origin.close()
    time.sleep(0.01)  # stale by more than nothing
    is_our_error(node.get(origin.url + "/a"), 502)
    is_exact(node.get(origin.url + "/b"), origin.content("/b"))


@pytest.mark.parametrize("control", ["must-revalidate", "proxy-revalidate", "s-maxage=0", "no-cache"])
def test_what_must_be_confirmed_is_an_error_when_nobody_can_be_asked(origin, node, control):
    origin.add("/a", size=100, cache_control=f"{STALE}, stale-if-error=60, {control}")
    node.get(origin.url + "/a")
    origin.close()
    is_our_error(node.get(origin.url + "/a"), 504 if control != "no-cache" else 502)


def test_an_error_of_the_origin_is_hidden_only_where_it_allows_that(origin, node):
    a = origin.add("/a", size=100, cache_control=f"{STALE}, stale-if-error=60")
    b = origin.add("/b", size=100, cache_control=STALE)
    for path, k in (("/a", a), ("/b", b)):
        node.get(origin.url + path)
        k.fail_status = 503
    r = node.get(origin.url + "/a")
    is_exact(r, origin.content("/a"))
    assert "fwd=stale; fwd-status=503" in cache_status(r)
    assert node.get(origin.url + "/b").status == 503
    r = node.get(origin.url + "/b", [("Cache-Control", "stale-if-error=60")])
    is_exact(r, origin.content("/b"))
    a.fail_status = 404
    assert node.get(origin.url + "/a").status == 404


def test_one_failed_question_is_enough_for_all_who_wait(origin, node):
    k = origin.add("/a", size=100, cache_control=f"{STALE}, stale-if-error=60")
    node.get(origin.url + "/a")
    k.delay_head, k.fail_status = 0.5, 503
    waiting = [node.connect() for _ in range(8)]
    for c in waiting:
        c.send_request("GET", origin.url + "/a")
    for c in waiting:
        is_exact(c.read_response(), origin.content("/a"))
        c.close()
    asked(origin, "/a", 2)


def test_a_private_copy_never_stands_in(origin, node):
    origin.add("/a", size=100, cache_control="max-age=60, stale-if-error=60, stale-while-revalidate=60",
               authorized=("Basic eA==",))
    mine = [("Authorization", "Basic eA==")]
    is_exact(node.get(origin.url + "/a", mine), origin.content("/a"))
    origin.close()
    is_our_error(node.get(origin.url + "/a", mine), 502)
    is_our_error(node.get(origin.url + "/a"), 502)


def test_what_a_request_may_have_changed_does_not_stand_in(origin, node):
    k = origin.add("/a", size=100, cache_control=f"{STALE}, stale-if-error=60")
    node.get(origin.url + "/a")
    k.fail_status = 500
    assert node.get(origin.url + "/a", method="POST", body=b"x").status == 500
    assert node.get(origin.url + "/a").status == 500
    origin.close()
    is_our_error(node.get(origin.url + "/a"), 502)


def test_what_is_here_in_part_only_does_not_stand_in(origin, node):
    size = 4 << 20
    origin.add("/a", size=size, cache_control=STALE)
    is_part(node.get(origin.url + "/a", [("Range", "bytes=0-99")]), origin.content("/a"), 0, 100)
    origin.close()
    is_our_error(node.get(origin.url + "/a"), 502)
    is_part(node.get(origin.url + "/a", [("Range", "bytes=0-99")]), origin.content("/a"), 0, 100)


def test_a_leader_that_left_brings_the_origins_word_home(origin, node):
    k = origin.add("/a", size=100, cache_control=STALE, fields=[("Vary", "X-Kind")])
    kind = [("X-Kind", "1")]
    node.get(origin.url + "/a", kind)
    here = [*kind, ("Cache-Control", "only-if-cached, max-stale")]
    for version in (1, 2):  # a 304, then a new version
        origin.forget()
        k.version, k.delay_head, k.fields = version, 0.3, [("Vary", "X-Kind"), ("X-Round", str(version))]
        with node.connect() as c:
            c.send_request("GET", origin.url + "/a", kind)
            until(lambda: origin.requests("/a"))
        until(lambda: node.get(origin.url + "/a", here).get("X-Round") == str(version))
        is_exact(node.get(origin.url + "/a", here), origin.content("/a"))
    asked(origin, "/a", 1)


# ---- HEAD ----

def test_a_head_freshens_what_is_stored(origin, node):
    k = origin.add("/a", size=100, cache_control=STALE)
    node.get(origin.url + "/a")
    k.cache_control, k.fields = "max-age=60", [("X-New", "1")]
    r = node.get(origin.url + "/a", method="HEAD")
    assert r.status == 200 and r.get("Content-Length") == "100"
    r = node.get(origin.url + "/a")
    is_exact(r, origin.content("/a"))
    assert r.get("X-New") == "1" and r.get("Cache-Control") == "max-age=60"
    assert [s.method for s in origin.requests("/a")] == ["GET", "HEAD"]
    assert node.get(origin.url + "/a", method="HEAD").get("Age") is not None
    asked(origin, "/a", 2)


@pytest.mark.parametrize("change", [{"version": 2}, {"size": 101, "etag": '"same"'}, {"fail_status": 404}])
def test_a_head_that_differs_ends_what_is_stored(origin, node, change):
    k = origin.add("/a", size=100, cache_control="max-age=60", etag=change.get("etag", "auto"))
    node.get(origin.url + "/a")
    for name, value in change.items():
        setattr(k, name, value)
    node.get(origin.url + "/a", [("Cache-Control", "no-cache")], method="HEAD")
    k.fail_status = 0
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert [s.method for s in origin.requests("/a")] == ["GET", "HEAD", "GET"]
    assert origin.requests("/a")[2].get("If-None-Match") is None


# ---- errors ----

def test_an_error_with_a_lifetime_is_served_again_for_a_bounded_time(origin, start):
    node = start(cache__error_freshness_s=1)
    origin.add("/a", fail_status=500, fail_fields=[("Cache-Control", "max-age=600")])
    assert node.get(origin.url + "/a").status == node.get(origin.url + "/a").status == 500
    asked(origin, "/a", 1)
    until(lambda: len(origin.requests("/a")) > 1 or not node.get(origin.url + "/a"))
    off = start(cache__error_freshness_s=0)
    origin.forget()
    assert off.get(origin.url + "/a").status == off.get(origin.url + "/a").status == 500
    asked(origin, "/a", 2)


def test_an_error_with_a_lifetime_does_not_take_the_place_of_what_is_stored(origin, node):
    k = origin.add("/a", size=100, cache_control=STALE)
    node.get(origin.url + "/a")
    k.fail_status, k.fail_fields = 500, [("Cache-Control", "max-age=600")]
    assert node.get(origin.url + "/a").status == 500
    k.fail_status = 0
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))
    assert origin.requests("/a")[2].status == 304


def test_a_missing_object_is_asked_about_again_unless_the_operator_says_otherwise(origin, node, start):
    for n, times in ((node, 2), (start(cache__negative_freshness_s=60), 1)):
        origin.forget()
        assert n.get(origin.url + "/none").status == n.get(origin.url + "/none").status == 404
        asked(origin, "/none", times)


def test_only_if_cached_never_asks(origin, node):
    wish = [("Cache-Control", "only-if-cached")]
    is_our_error(node.get(origin.url + "/bytes/10/a", wish), 504)
    asked(origin, "/bytes/10/a", 0)
    node.get(origin.url + "/bytes/10/a")
    assert node.get(origin.url + "/bytes/10/a", wish).status == 200


# ---- Age and Date ----

def test_the_age_that_another_cache_gave_goes_on(origin, node):
    origin.add("/a", size=10, fields=[("Age", "30")])
    assert int(node.get(origin.url + "/a").get("Age")) in (30, 31)
    assert int(node.get(origin.url + "/a").get("Age")) >= 30
    assert node.get(origin.url + "/bytes/10/b").get("Age") is None


def test_an_answer_without_date_keeps_that_of_its_arrival(origin, node):
    origin.add("/a", fail_status=200, fail_fields=[("Cache-Control", "max-age=60")])
    first = node.get(origin.url + "/a").get("Date")
    assert first is not None
    time.sleep(1.1)  # a Date counts seconds
    assert node.get(origin.url + "/a").get("Date") == first
    asked(origin, "/a", 1)


# ---- parts ----

def test_a_part_that_does_not_fit_reaches_the_client_as_it_came(origin, node):
    origin.add("/a", size=10, shift_range=1)
    r = node.get(origin.url + "/a", [("Range", "bytes=-5")])
    assert r.status == 206 and r.get("Content-Range") == "bytes 6-9/10"
    assert r.body == origin.content("/a").bytes(6, 10)
    node.get(origin.url + "/a", [("Range", "bytes=-5")])
    asked(origin, "/a", 2)


@pytest.mark.parametrize("knobs", [
    {"cache_control": "no-store"},
    {"etag": 'W/"2"'},
    {"etag": "", "last_modified": ""},
    {"fields": [("Vary", "*")]},
    {"fields": [("Set-Cookie", "a=b")]},
], ids=["no-store", "weak", "no validator", "Vary", "Set-Cookie"])
@pytest.mark.parametrize("first", [10, 2000], ids=["within", "beyond the end"])
def test_who_resumes_another_version_gets_the_whole_of_what_is_not_stored(origin, node, knobs, first):
    origin.add("/a", size=1000, **knobs)
    r = node.get(origin.url + "/a", [("Range", f"bytes={first}-"), ("If-Range", '"1"')])
    is_exact(r, origin.content("/a"))
    assert origin.requests("/a")[-1].get("If-Range") == '"1"'


def test_who_resumes_the_very_version_gets_the_rest_in_one_question(origin, node):
    content = origin.add("/a", size=1000, cache_control="no-store") and origin.content("/a")
    is_part(node.get(origin.url + "/a", [("Range", "bytes=10-"), ("If-Range", content.etag)]), content, 10, 1000)
    asked(origin, "/a", 1)


@pytest.mark.parametrize("knobs", [{"cache_control": "no-store"}, {"etag": 'W/"a"'}], ids=["no-store", "weak"])
def test_a_range_beyond_the_end_of_what_is_not_stored_is_416_with_the_length(origin, node, knobs):
    origin.add("/a", size=50, **knobs)
    for first, last in ((100, 200), (50, "")):
        r = node.get(origin.url + "/a", [("Range", f"bytes={first}-{last}")])
        assert r.status == 416 and r.complete and r.body == b"" and r.all("Content-Range") == ["bytes */50"]


def test_what_changes_right_after_it_was_confirmed_is_asked_for_anew(origin, node):
    k = origin.add("/a", size=4 * MIB, cache_control="no-cache")
    is_part(node.get(origin.url + "/a", [("Range", "bytes=0-9")]), origin.content("/a"), 0, 10)
    k.bump_after_304 = True
    r = node.get(origin.url + "/a", [("Range", f"bytes={2 * MIB + 100}-")])
    assert k.version == 2
    is_part(r, origin.content("/a"), 2 * MIB + 100, 4 * MIB)
    assert [s.status for s in origin.requests("/a")] == [206, 304, 412, 206]


def test_an_origin_that_says_304_to_no_condition_harms_nobody(origin, node):
    k = origin.add("/a", size=4 * MIB, cache_control="no-cache")
    node.get(origin.url + "/a", [("Range", "bytes=0-9")])
    k.bump_after_304 = k.always_304_after = True
    r = node.get(origin.url + "/a", [("Range", f"bytes={2 * MIB}-")])
    assert r.status in (304, 502)
    assert node.admin("/health").status == 200


def test_a_part_that_does_not_say_of_how_much_reaches_the_client_as_it_came(origin, node):
    origin.add("/a", fail_status=206, fail_fields=[("Content-Range", "bytes 5-19/*")])
    r = node.get(origin.url + "/a", [("Range", "bytes=5-19")])
    assert (r.status, r.body, r.get("Content-Range")) == (206, b"origin says no\n", "bytes 5-19/*")


def test_a_part_that_stops_before_what_the_client_wants_is_asked_for_in_his_words(origin, node):
    origin.add("/a", size=100, cache_control="no-store", times=1, fail_status=206,
               fail_fields=[("Content-Range", "bytes 0-14/100"), ("Cache-Control", "no-store")])
    is_part(node.get(origin.url + "/a", [("Range", "bytes=50-59")]), origin.content("/a"), 50, 60)
    assert [s.get("Range") for s in origin.requests("/a")] == ["bytes=0-1048575", "bytes=50-59"]


def test_what_is_known_to_be_for_each_client_alone_is_asked_for_in_his_words(origin, node):
    origin.add("/a", size=100, cache_control="no-store")
    for _ in range(2):
        is_part(node.get(origin.url + "/a", [("Range", "bytes=50-59")]), origin.content("/a"), 50, 60)
    assert [s.get("Range") for s in origin.requests("/a")] == ["bytes=0-1048575", "bytes=50-59"]


def test_what_changed_before_a_byte_was_sent_is_answered_as_the_origin_would(origin, node):
    k = origin.add("/a", size=4 << 20)
    is_part(node.get(origin.url + "/a", [("Range", "bytes=0-99")]), origin.content("/a"), 0, 100)
    k.version = 2
    first = 2 << 20
    r = node.get(origin.url + "/a", [("Range", f"bytes={first}-{first + 99}")])
    is_part(r, origin.content("/a"), first, first + 100)
    is_exact(node.get(origin.url + "/a"), origin.content("/a"))


def test_what_is_gone_before_a_byte_was_sent_is_answered_as_the_origin_would(origin, node):
    origin.add("/a", size=4 << 20)
    node.get(origin.url + "/a", [("Range", "bytes=0-99")])
    del origin.objects["/a"]
    for _ in range(2):
        assert node.get(origin.url + "/a", [("Range", f"bytes={2 << 20}-")]).status == 404


def test_a_content_range_that_says_nothing_is_not_sent_beside_one_that_does(origin, node):
    origin.add("/a", size=10, fields=[("Content-Range", "bytes 0-1/2")])
    assert node.get(origin.url + "/a").get("Content-Range") == "bytes 0-1/2"
    r = node.get(origin.url + "/a", [("Range", "bytes=3-5")])
    assert r.all("Content-Range") == ["bytes 3-5/10"]
    r = node.get(origin.url + "/a", [("Range", "bytes=30-50")])
    assert r.status == 416 and r.all("Content-Range") == ["bytes */10"]
    asked(origin, "/a", 1)


# ---- a body that is long in coming ----

@pytest.mark.parametrize("knobs", [
    {"cache_control": "no-store", "framing": "chunked"},
    {"cache_control": "no-store"},
    {"cache_control": "no-cache", "etag": "", "last_modified": "", "framing": "chunked"},
], ids=["chunked", "length", "no-cache"])
def test_the_head_does_not_wait_for_the_first_event(origin, node, knobs):
    origin.add("/a", size=100, hang_at=0, **knobs)
    with node.connect() as c:
        c.sock.settimeout(5 * wire.SLOW)
        c.send_request("GET", origin.url + "/a")
        r = c.read_head()
        assert r.status == 200 and r.get("Content-Type") == "application/octet-stream"


# ---- what is signed ----

@pytest.mark.parametrize("fields", [[], [("Range", "bytes=10-19")]], ids=["whole", "part"])
def test_nothing_is_added_where_the_signature_covers_it_by_position(origin, node, fields):
    origin.add("/a", size=100)
    for _ in range(2):
        r = node.get(origin.url + "/a", [("Authorization", "SharedKey account:c2lnbmF0dXJl"), *fields])
        assert r.complete and r.body == origin.content("/a").bytes(*((10, 20) if fields else (0, 100)))
    for s in origin.requests("/a"):
        assert s.get("Range") == (fields[0][1] if fields else None)
        assert s.get("If-None-Match") is None and s.get("If-Modified-Since") is None
    asked(origin, "/a", 2)


@pytest.mark.parametrize("query, fields", [
    ("", [("Authorization", "q-sign-algorithm=sha1&q-ak=a&q-header-list=host;range&q-url-param-list=&q-signature=00")]),
    ("?q-header-list=host%3Brange&q-signature=00", []),
    ("?X-Goog-SignedHeaders=host%3Brange&X-Goog-Signature=00", []),
], ids=["COS", "COS in the URL", "Google"])
def test_a_range_that_is_signed_goes_out_as_it_is(origin, node, query, fields):
    origin.add("/a", size=100)
    content = origin.content("/a" + query)
    is_part(node.get(origin.url + "/a" + query, [("Range", "bytes=10-19"), *fields]), content, 10, 20)
    assert [s.get("Range") for s in origin.requests("/a" + query)] == ["bytes=10-19"]


def test_a_range_of_a_store_of_its_own_kind_passes_through(origin, node):
    origin.add("/a", size=100)
    node.get(origin.url + "/a")
    r = node.get(origin.url + "/a", [("x-ms-range", "bytes=0-9")])
    assert r.x_cache != "HIT" and origin.requests("/a")[1].get("x-ms-range") == "bytes=0-9"


def test_a_body_of_nothing_is_none(origin, node):
    origin.add("/a", size=100)
    with node.connect() as c:
        for x_cache in ("MISS", "HIT"):
            r = c.request("GET", origin.url + "/a", [("Content-Length", "0")])
            is_exact(r, origin.content("/a"))
            assert r.x_cache == x_cache
    asked(origin, "/a", 1)


def test_a_body_of_nothing_that_is_signed_goes_on(origin, node):
    signature = ("AWS4-HMAC-SHA256 Credential=a/20260901/us-east-1/s3/aws4_request, "
                 "SignedHeaders=content-length;host, Signature=00")
    origin.add("/a", size=100)
    is_exact(node.get(origin.url + "/a", [("Content-Length", "0"), ("Authorization", signature)]), origin.content("/a"))
    assert origin.requests("/a")[0].get("Content-Length") == "0"


# ---- several ranges ----

def parts_of(r):
    """[(Content-Range, Content-Type, bytes)] of a multipart/byteranges answer."""
    assert r.status == 206 and r.complete and r.received == int(r.get("Content-Length"))
    kind, _, boundary = r.get("Content-Type").partition("; boundary=")
    assert kind == "multipart/byteranges" and r.get("Content-Range") is None
    pieces = r.body.split(b"\r\n--" + boundary.encode())
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    parts = []
    for piece in pieces[1:-1]:
        head, _, data = piece[2:].partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        parts.append((fields["Content-Range"], fields["Content-Type"], data))
    return parts


def test_several_ranges_of_a_cached_object_come_as_parts(origin, node):
    size = (3 << 20) + 5
    origin.add("/a", size=size, content_type="text/x")
    content = origin.content("/a")
    is_exact(node.get(origin.url + "/a"), content)
    ranges = [(0, 10), (1 << 20, 2 << 20), (size - 7, size)]
    value = f"bytes=0-9, {1 << 20}-{(2 << 20) - 1}, -7"
    r = node.get(origin.url + "/a", [("Range", value)])
    assert parts_of(r) == [(f"bytes {a}-{b - 1}/{size}", "text/x", content.bytes(a, b)) for a, b in ranges]
    assert "; hit" in cache_status(r) and r.x_cache == "HIT"
    is_part(node.get(origin.url + "/a", [("Range", "bytes=0-9,5-19")]), content, 0, 20)
    r = node.get(origin.url + "/a", [("Range", "bytes=99999999-,99999999-")])
    assert r.status == 416 and r.get("Content-Range") == f"bytes */{size}"
    is_exact(node.get(origin.url + "/a", [("Range", "bytes=0-1,5000-5001"), ("If-Range", '"x"')]), content)
    many = ",".join(f"{i * 1000}-{i * 1000}" for i in range(100))
    is_exact(node.get(origin.url + "/a", [("Range", f"bytes={many}")]), content)
    asked(origin, "/a", 1)


def test_several_ranges_to_a_slow_reader_come_whole(origin, node):
    size = 24 << 20
    origin.add("/a", size=size)
    content = origin.content("/a")
    node.get(origin.url + "/a")
    with node.connect() as c:
        c.send_request("GET", origin.url + "/a", [("Range", f"bytes=0-{(8 << 20) - 1},{16 << 20}-")])
        r = c.read_response(rate=64 << 20)
    assert [data == content.bytes(a, b) for (_, _, data), (a, b) in
            zip(parts_of(r), [(0, 8 << 20), (16 << 20, size)])] == [True, True]


def test_several_ranges_of_what_is_not_cached_are_the_origins_business(origin, node):
    origin.add("/a", size=5000)
    r = node.get(origin.url + "/a", [("Range", "bytes=0-1,4000-4001")])
    is_exact(r, origin.content("/a"))  # it does not know several
    assert origin.requests("/a")[0].get("Range") == "bytes=0-1,4000-4001"


# ---- invalidation ----

@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("field", ["Location", "Content-Location"])
def test_what_an_answer_to_an_unsafe_request_names_is_asked_about_again(origin, node, method, field):
    origin.add("/dir/a", size=10, done_fields=[(field, "b")])
    node.get(origin.url + "/bytes/10/dir/b")
    origin.add("/dir/b", size=10)
    node.get(origin.url + "/dir/b")
    assert node.get(origin.url + "/dir/a", method=method, body=b"x").status in (200, 204)
    node.get(origin.url + "/dir/b")
    assert len(origin.requests("/dir/b")) == 2
    node.get(origin.url + "/bytes/10/dir/b")
    asked(origin, "/bytes/10/dir/b", 1)


def test_an_unsafe_request_to_the_root_says_nothing_of_what_is_below_it(origin, node):
    origin.add("/a", size=100)
    origin.add("/", size=10)
    node.get(origin.url + "/a")
    assert node.get(origin.url + "/", method="POST", body=b"Action=AssumeRole").status == 200
    assert node.get(origin.url + "/a").x_cache == "HIT"
    asked(origin, "/a", 1)


def test_a_refused_unsafe_request_invalidates_nothing(origin, node):
    origin.add("/b", size=10)
    origin.add("/a", fail_status=403, fail_fields=[("Location", "/b")])
    node.get(origin.url + "/b")
    assert node.get(origin.url + "/a", method="POST", body=b"x").status == 403
    node.get(origin.url + "/b")
    asked(origin, "/b", 1)


def test_an_answer_says_nothing_about_another_origin(origin, node):
    origin.add("/a", size=10, done_fields=[("Location", f"http://localhost:{origin.port}/b")])
    origin.add("/b", size=10)
    node.get(origin.url + "/b")
    node.get(origin.url + "/a", method="POST", body=b"x")
    node.get(origin.url + "/b")
    asked(origin, "/b", 1)
