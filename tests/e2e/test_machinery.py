# SPDX-License-Identifier: MIT
"""The measuring instruments themselves, without a node: what the origin says and counts must be true."""
import hashlib
import ssl
import time

import pytest

import wire
from content import MIB, Content
from origin import Knobs, LAST_MODIFIED, Origin, make_pair


def ask(origin, path, fields=(), method="GET", **kw):
    return wire.fetch(origin.port, path, fields, method, **kw)


def test_content_is_the_same_however_it_is_cut():
    c = Content("/a", 3 * MIB + 17)
    whole = c.bytes()
    assert len(whole) == c.size
    assert c.bytes(MIB - 5, 2 * MIB + 5) == whole[MIB - 5:2 * MIB + 5]
    assert hashlib.sha256(whole).hexdigest() == c.sha256()
    assert c.differs_at(MIB - 5, whole[MIB - 5:2 * MIB]) is None


def test_content_from_elsewhere_is_noticed():
    c = Content("/a", 3 * MIB)
    whole = c.bytes()
    assert c.differs_at(0, whole[MIB:2 * MIB]) == 0
    assert c.differs_at(MIB, whole[:MIB]) == MIB
    assert c.differs_at(2 * MIB, Content("/a", 3 * MIB, version=2).bytes(2 * MIB)) == 2 * MIB
    assert c.differs_at(2 * MIB, whole[2 * MIB:] + b"x") == 3 * MIB
    assert c.differs_at(0, Content("/b", 4096).bytes()) == 0


def test_origin_serves_ranges_and_conditions(origin):
    path = f"/bytes/{2 * MIB}/x"
    c = origin.content(path)
    r = ask(origin, path)
    assert (r.status, r.complete, c.differs_at(0, r.body)) == (200, True, None)
    etag = r.get("ETag")
    r = ask(origin, path, [("Range", "bytes=1048570-1048585")])
    assert (r.status, r.body) == (206, c.bytes(1048570, 1048586))
    assert r.get("Content-Range") == f"bytes 1048570-1048585/{2 * MIB}"
    assert ask(origin, path, [("Range", "bytes=-3")]).body == c.bytes(2 * MIB - 3)
    assert ask(origin, path, [("Range", f"bytes={2 * MIB}-")]).status == 416
    assert ask(origin, path, [("If-None-Match", etag)]).status == 304
    assert ask(origin, path, [("If-Modified-Since", LAST_MODIFIED)]).status == 304
    assert ask(origin, path, [("If-Match", '"other"')]).status == 412
    assert ask(origin, path, [("Range", "bytes=0-0"), ("If-Range", '"other"')]).status == 200
    assert ask(origin, path, method="HEAD").get("Content-Length") == str(2 * MIB)
    assert origin.body_sent(path) == 4 * MIB + 16 + 3


def test_origin_keeps_connections_and_counts_uploads(origin):
    with wire.Connection(origin.port) as c:
        r = c.request("PUT", "/up", body=b"hello")
        assert r.body.decode() == f"5 {hashlib.sha256(b'hello').hexdigest()}"
        c.send(b"PUT /up2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        assert c.read_response().body.startswith(b"5 ")
        assert c.request("GET", "/up").body == b"hello"
    assert origin.connections == 1
    assert [s.method for s in origin.seen] == ["PUT", "PUT", "GET"]


@pytest.mark.parametrize("fault, complete, received", [
    (dict(truncate_at=1000), False, 1000),
    (dict(reset_at=1000), False, 1000),
    (dict(extra_length=5), False, 4096),
    (dict(extra_length=-5), True, 4091),
    (dict(framing="chunked"), True, 4096),
    (dict(framing="chunked", truncate_at=1000), False, 1000),
    (dict(framing="close"), True, 4096),
])
def test_origin_breaks_where_it_is_told_to(origin, fault, complete, received):
    origin.add("/f", size=4096, **fault)
    r = ask(origin, "/f")
    assert (r.complete, r.received) == (complete, received)
    assert origin.content("/f").differs_at(0, r.body) is None


def test_origin_fault_can_hit_only_the_first_request(origin):
    origin.add("/f", size=4096, fail_status=503, fail_fields=[("Retry-After", "1")], times=1)
    r = ask(origin, "/f")
    assert (r.status, r.get("Retry-After")) == (503, "1")
    assert ask(origin, "/f").status == 200


def test_origin_changes_under_the_reader(origin):
    origin.add("/f", size=8192, write=4096, bump_after=4096)
    before, first = origin.content("/f"), ask(origin, "/f")
    after, second = origin.content("/f"), ask(origin, "/f")
    assert before.differs_at(0, first.body) is None
    assert after.differs_at(0, second.body) is None
    assert first.get("ETag") != second.get("ETag")


def test_origin_packs_only_for_those_who_ask(origin):
    origin.add("/z", Knobs(body=b"a" * 5000, gzip=True))
    plain, packed = ask(origin, "/z"), ask(origin, "/z", [("Accept-Encoding", "gzip")])
    assert plain.body == b"a" * 5000 and plain.get("Content-Encoding") is None
    assert packed.get("Content-Encoding") == "gzip" and len(packed.body) < 500
    assert plain.get("ETag") != packed.get("ETag")


def test_origin_sends_at_the_rate_it_is_told(origin):
    origin.add("/slow", size=200_000, rate=400_000, write=10_000)
    began = time.monotonic()
    assert ask(origin, "/slow").complete
    assert time.monotonic() - began >= 0.4


def test_origin_speaks_tls(tmp_path):
    pair = make_pair(tmp_path, "x")
    o = Origin(tls=pair)
    context = ssl.create_default_context(cafile=pair[0])
    with context.wrap_socket(wire.Connection(o.port).sock, server_hostname="localhost") as s:
        s.sendall(b"GET /bytes/10/t HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    assert answer.endswith(o.content("/bytes/10/t").bytes())
    o.close()
