# SPDX-License-Identifier: MIT
"""TLS on both sides: the node's own listener, HTTP/2 on it, and origins behind https."""
import hashlib
import signal
import ssl
import subprocess
import time

import pytest

import wire
from checks import is_exact, is_our_error, is_part
from content import MIB, Content
from origin import Origin, make_pair
from pki import Authority
from tls_front import TlsFront

SIZE = 5 * MIB + 3
PATH = f"/bucket/bytes/{SIZE}/obj"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("tls"), "one")


def options(pair, **more):
    return {"proxy__tls_cert": pair[0], "proxy__tls_key": pair[1], "proxy__tls_port": 0, **more}


def curl(*argv, tmp_path):
    """(HTTP version, status, X-Cache, SHA-256 of the body)"""
    head, body = tmp_path / "head", tmp_path / "body"
    r = subprocess.run(["curl", "-sS", "--noproxy", "", "-D", head, "-o", body, "-w", "%{http_version} %{http_code}",
                        *map(str, argv)], capture_output=True, text=True, timeout=60 * wire.SLOW)
    assert r.returncode == 0, r.stderr
    version, status = r.stdout.split()
    fields = dict(l.lower().split(": ", 1) for l in head.read_text().splitlines() if ": " in l)
    return version, int(status), fields.get("x-cache", "").upper(), hashlib.sha256(body.read_bytes()).hexdigest()


@pytest.mark.parametrize("http2", [False, True])
def test_the_gateway_is_reached_over_tls(start, origin, pair, tmp_path, http2):
    node = start(**options(pair, storage__endpoint=origin.url, proxy__http2=str(http2).lower()))
    want = origin.content(PATH).sha256()
    for x_cache in ("MISS", "HIT"):
        got = curl("--cacert", pair[0], f"https://localhost:{node.tls_port}{PATH}", tmp_path=tmp_path)
        assert got == ("2" if http2 else "1.1", 200, x_cache, want)
    assert origin.body_sent() == SIZE


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_what_only_passes_through_is_exact(start, origin, pair, tmp_path, http2, framing):
    node = start(**options(pair, storage__endpoint=origin.url, proxy__http2=str(http2).lower()))
    for size in (0, 1, 300_000):
        origin.add(f"/bucket/{size}", size=size, framing=framing, cache_control="no-store")
        got = curl("--cacert", pair[0], f"https://localhost:{node.tls_port}/bucket/{size}", tmp_path=tmp_path)
        assert got == ("2" if http2 else "1.1", 200, "MISS", origin.content(f"/bucket/{size}").sha256())


@pytest.mark.parametrize("http2", [False, True])
def test_the_head_does_not_wait_for_the_first_event(start, origin, pair, tmp_path, http2):
    node = start(**options(pair, storage__endpoint=origin.url, proxy__http2=str(http2).lower()))
    origin.add("/bucket/events", size=100, hang_at=0, framing="chunked", cache_control="no-store")
    head = tmp_path / "head"
    client = subprocess.Popen(["curl", "-sS", "--noproxy", "", "-N", "-D", head, "-o", tmp_path / "body", "--cacert", pair[0],
                               f"https://localhost:{node.tls_port}/bucket/events"], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10 * wire.SLOW
        while not (head.exists() and head.read_text().startswith(("HTTP/2 200", "HTTP/1.1 200"))):
            assert time.monotonic() < deadline, "no head came"
            time.sleep(0.05)
    finally:
        client.kill()
        client.wait()


def test_http_2_carries_uploads_and_many_streams(start, origin, pair, tmp_path):
    node = start(**options(pair, storage__endpoint=origin.url, proxy__http2="true"))
    base = f"https://localhost:{node.tls_port}/bucket"
    source = tmp_path / "source"
    source.write_bytes(origin.content("/bytes/3000000/up").bytes())
    assert curl("--cacert", pair[0], "-T", source, f"{base}/up", tmp_path=tmp_path)[:2] == ("2", 200)
    sent = origin.requests("/bucket/up", "PUT")[0]
    assert (sent.body_got, sent.body_sha256) == (3_000_000, hashlib.sha256(source.read_bytes()).hexdigest())
    r = subprocess.run(["curl", "-sS", "--http2", "--parallel", "--cacert", pair[0], "-w", "%{http_version} %{http_code}\n",
                        "-o", tmp_path / "many#1", f"{base}/bytes/300000/s[1-20]"],
                       capture_output=True, text=True, timeout=60 * wire.SLOW)
    assert r.stdout.splitlines() == ["2 200"] * 20, r.stderr
    for i in range(1, 21):
        assert (tmp_path / f"many{i}").read_bytes() == origin.content(f"/bucket/bytes/300000/s{i}").bytes()


def test_the_proxy_itself_is_reached_over_tls(start, origin, pair, tmp_path):
    node = start(**options(pair))
    url = f"{origin.url}/bytes/{SIZE}/obj"
    for x_cache in ("MISS", "HIT"):
        got = curl("-x", f"https://localhost:{node.tls_port}", "--proxy-cacert", pair[0], url, tmp_path=tmp_path)
        assert got == ("1.1", 200, x_cache, origin.content(f"/bytes/{SIZE}/obj").sha256())


def served_certificate(node):
    return ssl.get_server_certificate(("127.0.0.1", node.tls_port))


def test_a_renewed_certificate_is_taken_at_sighup(start, pair, tmp_path):
    cert, key = tmp_path / "now.pem", tmp_path / "now.key"
    other = make_pair(tmp_path, "two")

    def install(which):
        cert.write_bytes(which[0].read_bytes())
        key.write_bytes(which[1].read_bytes())

    install(pair)
    node = start(**options((cert, key)))
    before = served_certificate(node)
    install(other)
    node.signal(signal.SIGHUP)
    deadline = time.monotonic() + 10 * wire.SLOW
    while served_certificate(node) == before:
        assert time.monotonic() < deadline, node.log()
        time.sleep(0.05)
    cert.write_text("nonsense")
    node.signal(signal.SIGHUP)
    while node.log().count("conf.reload") + node.log().count("ERROR") + node.log().count("WARN") < 2:
        assert time.monotonic() < deadline, node.log()
        time.sleep(0.05)
    assert served_certificate(node) != before, "a bad file must leave the last good certificate in place"


@pytest.fixture
def secure(pair):
    o = Origin(tls=pair)
    yield o
    o.close()


@pytest.mark.parametrize("trust", ["nobody", "ca_file", "anybody"])
def test_an_https_origin_is_verified(start, secure, pair, trust):
    endpoint = f"https://localhost:{secure.port}"
    more = {"ca_file": {"storage__ca_file": pair[0]}, "anybody": {"storage__insecure_tls": "true"}}.get(trust, {})
    node = start(storage__endpoint=endpoint, storage__retry_backoff_ms=10, **more)
    for x_cache in ("MISS", "HIT"):
        r = node.get(PATH)
        if trust == "nobody":
            is_our_error(r, 502)
            continue
        assert r.status == 200 and r.x_cache == x_cache and r.body == secure.content(PATH).bytes()
    assert secure.body_sent() == (0 if trust == "nobody" else SIZE)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"), "world")


def test_parts_of_an_https_origin_come_from_the_cache(start, ca):
    secure = Origin(tls=ca.server("origin"))
    node = start(storage__endpoint=f"https://localhost:{secure.port}", storage__ca_file=ca.cert)
    content = secure.content(PATH)
    for first, last in ((0, 999), (MIB, 3 * MIB + 7), (500, 600), (SIZE - 10, SIZE - 1)):
        is_part(node.get(PATH, [("Range", f"bytes={first}-{last}")]), content, first, last + 1)
    is_exact(node.get(PATH), content)
    secure.forget()
    r = node.get(PATH, [("Range", f"bytes=7-{SIZE - 8}")])
    is_part(r, content, 7, SIZE - 7)
    assert r.x_cache == "HIT" and secure.requests() == []
    secure.close()


@pytest.mark.parametrize("alt_names,host,is_good", [
    ("DNS:localhost", "localhost", True), ("DNS:localhost", "127.0.0.1", False), ("IP:127.0.0.1", "127.0.0.1", True),
    ("DNS:elsewhere.example", "localhost", False)])
def test_the_certificate_of_an_origin_has_to_name_it(start, ca, alt_names, host, is_good):
    secure = Origin(tls=ca.server("named", alt_names))
    node = start(storage__endpoint=f"https://{host}:{secure.port}", storage__ca_file=ca.cert,
                 storage__retry_backoff_ms=10)
    r = node.get(PATH)
    if is_good:
        is_exact(r, secure.content(PATH))
    else:
        is_our_error(r, 502)
        assert b"certificate" in r.body and b"storage.ca_file" in r.body, r.body
        assert "certificate" in next(l for l in node.log().splitlines() if "origin.error" in l)
    assert bool(secure.requests()) == is_good
    secure.close()


@pytest.mark.parametrize("http2", [True, False])
def test_an_https_origin_is_spoken_to_in_http_2_where_it_can(start, ca, tmp_path, http2):
    content = Content("/obj", SIZE)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/obj").write_bytes(content.bytes())
    front = TlsFront(tmp_path, ca.server("front"), files=tmp_path / "files")
    node = start(storage__endpoint=f"https://localhost:{front.port}", storage__ca_file=ca.cert,
                 storage__http2=str(http2).lower())
    for x_cache in ("MISS", "HIT"):
        r = node.get("/obj")
        is_exact(r, content)
        assert r.x_cache == x_cache
    is_part(node.get("/obj", [("Range", "bytes=5-2000000")]), content, 5, 2000001)
    assert node.get("/none").status == 404
    front.close()
    protocol = "HTTP/2.0" if http2 else "HTTP/1.1"
    assert [row[:4] for row in front.served()][:1] == [(protocol, "GET", 200, SIZE)]
    assert {row[0] for row in front.served()} == {protocol} and len(front.served()) == 2
