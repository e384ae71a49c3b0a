# SPDX-License-Identifier: MIT
"""Clients that break the rules: refused, bounded, and never a danger to the request that comes next."""
import time

import pytest

import wire
from checks import is_exact
from content import MIB


def raw(node, data):
    with node.connect() as c:
        c.send(data)
        r = c.read_response()
        return r, (r is None or c.is_closed_by_peer())


BROKEN = {
    "two lengths": b"POST %s/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunked": b"POST %s/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding last": b"POST %s/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, xyz\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST %s/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"POST %s/x HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
    "length with a sign": b"POST %s/x HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
    "length too large": b"POST %s/x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "space before the colon": b"GET %s/x HTTP/1.1\r\nHost: h\r\nX-A : b\r\n\r\n",
    "folded line": b"GET %s/x HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n",
    "two hosts": b"GET %s/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET %s/x HTTP/1.1\r\n\r\n",
    "nul in a value": b"GET %s/x HTTP/1.1\r\nHost: h\r\nX-A: a\0b\r\n\r\n",
    "bare carriage return": b"GET %s/x HTTP/1.1\r\nHost: h\r\nX-A: a\rb\r\n\r\n",
    "space in the target": b"GET %s/x y HTTP/1.1\r\nHost: h\r\n\r\n",
    "unknown version": b"GET %s/x HTTP/9.9\r\nHost: h\r\n\r\n",
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
    "broken url": b"GET http://[::1/x HTTP/1.1\r\nHost: h\r\n\r\n",
    "user in the url": b"GET http://u:p@127.0.0.1/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_malformed_request_is_refused_and_its_connection_closed(node, origin, what):
    text = BROKEN[what]
    r, closed = raw(node, text.replace(b"%s", origin.url.encode()))
    assert r is None or 400 <= r.status < 600
    # What is wrong only with the URL leaves no doubt about where the next request begins.
    assert closed or "url" in what, "bytes after a malformed request must not be read as a request"
    assert not origin.seen
    is_exact(node.get(origin.url + "/bytes/10/after"), origin.content("/bytes/10/after"))


@pytest.mark.parametrize("chunks", [b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcX0\r\n\r\n", b"-1\r\n\r\n",
                                    b"fffffffffffffffff\r\nabc"])
def test_a_broken_chunked_body_never_looks_complete_to_the_origin(node, origin, chunks):
    r, closed = raw(node, f"PUT {origin.url}/broken HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                    + chunks)
    assert (r is None or r.status >= 400) and closed
    assert not any(s.finished for s in origin.requests("/broken"))


def test_an_upload_cut_short_never_looks_complete_to_the_origin(node, origin):
    with node.connect() as c:
        c.send_request("PUT", origin.url + "/cut", [("Content-Length", "100000")])
        c.send(b"a" * 5000)
    is_exact(node.get(origin.url + "/bytes/10/after"), origin.content("/bytes/10/after"))
    assert not any(s.finished for s in origin.requests("/cut"))


def test_a_head_without_end_is_431(start, origin):
    node = start(proxy__max_head_bytes=4096)
    r, closed = raw(node, f"GET {origin.url}/x HTTP/1.1\r\nHost: h\r\nX-Long: ".encode() + b"a" * 8000 + b"\r\n\r\n")
    assert r.status == 431 and closed and not origin.seen


def test_a_body_over_the_limit_is_413(start, origin):
    node = start(proxy__max_body_bytes=1000)
    r, closed = raw(node, f"PUT {origin.url}/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n".encode())
    assert r.status == 413 and closed
    assert node.get(origin.url + "/ok", method="PUT", body=b"a" * 1000).status == 200


def test_a_head_that_drips_is_cut_off(start):
    node = start(proxy__head_timeout_ms=300)
    with node.connect() as c:
        began = time.monotonic()
        c.send(b"GET http://h/ HTTP/1.1\r\n")
        r = c.read_head()
        assert r is None or r.status == 408
        assert time.monotonic() - began < 5 * wire.SLOW


def test_an_idle_connection_is_closed(start, origin):
    node = start(proxy__idle_timeout_ms=200)
    with node.connect() as c:
        is_exact(c.request("GET", origin.url + "/bytes/10/i"), origin.content("/bytes/10/i"))
        assert c.is_closed_by_peer()


def test_a_client_that_takes_nothing_is_dropped(start, origin):
    node = start(proxy__body_timeout_ms=2000)
    with node.connect() as c:
        c.send_request("GET", f"{origin.url}/bytes/{256 * MIB}/stuck")
        assert c.read_head().status == 200 and node.holds(c)
        deadline = time.monotonic() + 20 * wire.SLOW
        while node.holds(c):
            assert time.monotonic() < deadline, "the connection is still there"
            time.sleep(0.05)


def test_connections_over_the_limit_wait_and_are_served_later(start, origin):
    node = start(proxy__max_connections=4)
    held = [node.connect() for _ in range(4)]
    for c in held:
        is_exact(c.request("GET", origin.url + "/bytes/10/l"), origin.content("/bytes/10/l"))
    with node.connect() as late:
        late.send_request("GET", origin.url + "/bytes/10/l")
        for c in held:
            c.close()
        is_exact(late.read_response(), origin.content("/bytes/10/l"))
