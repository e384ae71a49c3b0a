# SPDX-License-Identifier: MIT
"""Tunnels to listed hosts that end at the node: certificates of the operator's CA, and the cache behind them."""
import contextlib
import re
import socket
import ssl
import subprocess
import time

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.client import Config

import wire
from checks import is_exact, is_our_error, is_part
from content import MIB, Content
from node import ELIONODE
from origin import Origin
from pki import Authority
from rgw import NAME, OWNER
from tier import wait_for
from tls_front import TlsFront

SIZE = 5 * MIB + 3
PATH = f"/bucket/bytes/{SIZE}/obj"


@pytest.fixture(scope="module")
def cas(tmp_path_factory):
    """The operator's, which clients trust, and the origin's, which the node trusts."""
    directory = tmp_path_factory.mktemp("pki")
    return Authority(directory, "operator"), Authority(directory, "world")


@pytest.fixture(scope="module")
def server(cas):
    return cas[1].server("origin", f"DNS:localhost,DNS:b.localhost,DNS:{NAME},IP:127.0.0.1")


@pytest.fixture
def secure(server):
    o = Origin(tls=server)
    yield o
    o.close()


@pytest.fixture
def launch(start, cas, secure):
    """launch(**more): a node that intercepts localhost and trusts the origin's CA."""
    own, world = cas

    def make(**more):
        options = {"proxy__intercept_hosts": "localhost, *.localhost, 127.0.0.1", "proxy__intercept_ca_cert": own.cert,
                   "proxy__intercept_ca_key": own.key, "proxy__connect_ports": secure.port,
                   "storage__ca_file": world.cert, "storage__retry_backoff_ms": 10, "storage__breaker_failures": 0}
        return start(**{**options, **more})

    return make


class Inside(wire.Connection):
    """What a client has after CONNECT and its handshake; `trusts` is a CA, sni what it asks for."""

    def __init__(self, node, trusts, port, host="localhost", sni="", early=b""):
        super().__init__(node.port)
        self.authority = f"{host}:{port}"
        self.send(f"CONNECT {self.authority} HTTP/1.1\r\nHost: {self.authority}\r\n\r\n".encode() + early)
        self.established = self.read_head()
        assert self.established.status == 200
        ctx = ssl.create_default_context(cafile=trusts)
        ctx.set_alpn_protocols(["h2", "http/1.1"])
        ctx.check_hostname = sni == ""
        self.plain, self.sock = self.sock, ctx.wrap_socket(self.sock, server_hostname=host if sni == "" else sni)
        self.rd = self.sock.makefile("rb", 1 << 18)

    def get(self, path, fields=(), method="GET", body=None, host=None, **kw):
        return self.request(method, path, fields, body, host or self.authority, **kw)

    def certificate(self):
        return self.sock.getpeercert()


def metric(node, name):
    return node.metrics()[name]


def test_what_is_asked_inside_is_cached_like_any_other(launch, cas, secure):
    node = launch()
    with Inside(node, cas[0].cert, secure.port) as c:
        assert c.sock.selected_alpn_protocol() == "http/1.1"
        for x_cache in ("MISS", "HIT", "HIT"):
            r = c.get(PATH)
            is_exact(r, secure.content(PATH))
            assert r.x_cache == x_cache and "node-under-test" in r.get("Via")
        is_part(c.get(PATH, [("Range", "bytes=1000-2000999")]), secure.content(PATH), 1000, 2001000)
        assert c.get(PATH, method="HEAD").get("Content-Length") == str(SIZE)
        assert c.get(f"https://localhost:{secure.port}{PATH}").x_cache == "HIT"
    with Inside(node, cas[0].cert, secure.port) as c:
        assert c.get(PATH).x_cache == "HIT"
    # The same object, whichever way it is asked for.
    assert node.get(f"https://localhost:{secure.port}{PATH}").x_cache == "HIT"
    assert secure.body_sent() == SIZE
    assert metric(node, "eliop2p_intercepted_tunnels_total") == 2


def test_uploads_go_through_and_make_what_is_cached_invalid(launch, cas, secure):
    node = launch()
    path = "/bucket/up"
    new = Content("/new", 3_000_001).bytes()
    with Inside(node, cas[0].cert, secure.port) as c:
        secure.add(path, body=b"old" * 1000)
        assert [c.get(path).x_cache for _ in range(2)] == ["MISS", "HIT"]
        assert c.get(path, method="PUT", body=new).status == 200
        assert secure.requests(path, "PUT")[0].body_got == len(new)
        assert c.get(path).x_cache == "MISS"
        assert c.get(path, method="DELETE").status == 204
        assert c.get(path).status == 404


def test_the_origin_is_sent_what_the_client_signed(launch, cas, secure):
    node = launch()
    with Inside(node, cas[0].cert, secure.port) as c:
        c.get(PATH + "?a=%2f", [("Authorization", "AWS4-HMAC-SHA256 x"), ("Proxy-Authorization", "Basic eDp4")])
    seen = secure.seen[0]
    assert seen.target == PATH + "?a=%2f" and seen.get("Host") == f"localhost:{secure.port}"
    assert seen.get("Authorization") == "AWS4-HMAC-SHA256 x" and seen.get("Proxy-Authorization") is None


@pytest.mark.parametrize("host", ["localhost", "b.localhost", "127.0.0.1", "LocalHost"])
def test_the_certificate_names_exactly_the_host_of_the_tunnel(launch, cas, secure, host):
    node = launch()
    with Inside(node, cas[0].cert, secure.port, host) as c:
        cert = c.certificate()
        is_exact(c.get(PATH), secure.content(PATH))
    kind = "IP Address" if host[0].isdigit() else "DNS"
    assert cert["subjectAltName"] == ((kind, host.lower()),)
    life = ssl.cert_time_to_seconds(cert["notAfter"]) - time.time()
    assert 6.9 * 86400 < life <= 7 * 86400
    with Inside(node, cas[0].cert, secure.port, host) as c:
        assert c.certificate()["serialNumber"] == cert["serialNumber"]
    assert node.status()["proxy"]["intercept"]["certificates_made"] == 1


def test_another_server_name_than_that_of_the_tunnel_is_refused(launch, cas, secure):
    node = launch()
    for sni in ("other.localhost", "example.com"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            Inside(node, cas[0].cert, secure.port, sni=sni)
    with Inside(node, cas[0].cert, secure.port, sni=None) as c:  # none at all
        is_exact(c.get(PATH), secure.content(PATH))
    assert metric(node, "eliop2p_intercept_handshake_failures_total") == 2


def test_another_host_than_that_of_the_tunnel_is_refused(launch, cas, secure):
    node = launch()
    port = secure.port
    with Inside(node, cas[0].cert, port) as c:
        for host in ("localhost", f"other.localhost:{port}", f"localhost:{port + 1}", "example.com"):
            is_our_error(c.get(PATH, host=host), 421)
        for url in (f"https://other.localhost:{port}{PATH}", f"http://localhost:{port}{PATH}", f"https://localhost{PATH}"):
            is_our_error(c.get(url), 421)
        is_our_error(c.get(f"localhost:{port}", method="CONNECT"), 400)
        is_exact(c.get(PATH), secure.content(PATH))
    assert len(secure.requests()) == 1


def test_a_client_that_does_not_trust_the_ca_gets_nothing(launch, cas, secure):
    node = launch()
    with pytest.raises(ssl.SSLCertVerificationError):
        Inside(node, cas[1].cert, secure.port)
    assert secure.requests() == []


@pytest.mark.parametrize("fault", ["unknown CA", "another name"])
def test_an_origin_that_cannot_prove_its_name_is_refused(launch, cas, tmp_path, fault):
    if fault == "unknown CA":
        pair = Authority(tmp_path, "unknown").server("stranger")
    else:
        pair = cas[1].server("elsewhere", "DNS:elsewhere.example")
    with contextlib.closing(Origin(tls=pair)) as wrong:
        node = launch(proxy__connect_ports=wrong.port)
        with Inside(node, cas[0].cert, wrong.port) as c:
            r = c.get(PATH)
            is_our_error(r, 502)
            assert b"certificate" in r.body and b"storage.ca_file" in r.body, r.body
        assert wrong.requests() == []


def test_hosts_that_are_not_listed_stay_opaque(launch, cas, secure):
    node = launch(proxy__intercept_hosts="*.example, 10.0.0.0/8")
    for _ in range(2):
        with Inside(node, cas[1].cert, secure.port) as c:
            is_exact(c.get(PATH), secure.content(PATH))
            assert c.get(PATH).x_cache is None
    assert len(secure.requests()) == 4
    assert metric(node, "eliop2p_intercepted_tunnels_total") == 0
    assert node.status()["proxy"]["intercept"]["tunnels"] == 0


def test_an_opaque_tunnel_still_half_closes(launch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        node = launch(proxy__intercept_hosts="*.example", proxy__connect_ports=port)
        with node.connect() as c:
            c.send(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: h\r\n\r\n".encode() + b"question")
            peer, _ = listener.accept()
            with peer:
                assert c.read_head().status == 200
                c.sock.shutdown(socket.SHUT_WR)
                assert b"".join(iter(lambda: peer.recv(4096), b"")) == b"question"
                peer.sendall(b"answer")
            assert c.rd.read() == b"answer"


def test_ports_and_hosts_that_connect_may_not_reach_are_refused_before(launch, secure):
    node = launch(proxy__connect_ports="443", proxy__deny_hosts="a.localhost")
    with node.connect() as c:
        is_our_error(c.request("CONNECT", f"localhost:{secure.port}", host="h"), 403)
        is_our_error(c.request("CONNECT", "a.localhost:443", host="h"), 403)


def client_hello(trusts, name):
    """The first bytes of a client, and the TLS object that goes on with them."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context(cafile=trusts).wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return tls, incoming, outgoing


@pytest.mark.parametrize("pieces", [1, 400])
def test_a_client_that_does_not_wait_for_the_200_is_understood(launch, cas, secure, pieces):
    node = launch()
    tls, incoming, outgoing = client_hello(cas[0].cert, "localhost")
    authority = f"localhost:{secure.port}"
    data = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode() + outgoing.read()
    with node.connect() as c:
        step = -(-len(data) // pieces)
        for at in range(0, len(data), step):
            c.send(data[at:at + step])
        assert c.read_head().status == 200
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(c.rd.read1(65536))
        path = "/bytes/3/x"
        tls.write(f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode())
        c.send(outgoing.read())
        got = b""
        while secure.content(path).bytes() not in got:
            incoming.write(c.rd.read1(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                got += tls.read(65536)
        assert got.startswith(b"HTTP/1.1 200 ")


def test_a_client_that_hangs_in_the_handshake_is_dropped(launch, secure):
    node = launch(proxy__head_timeout_ms=300)
    for early in (b"", b"\x16\x03\x01"):
        with node.connect() as c:
            c.send(f"CONNECT localhost:{secure.port} HTTP/1.1\r\nHost: h\r\n\r\n".encode() + early)
            assert c.read_head().status == 200
            assert c.is_closed_by_peer()
    with node.connect() as c:  # and what is no TLS at all
        c.send(f"CONNECT localhost:{secure.port} HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode())
        assert c.read_head().status == 200
        assert c.is_closed_by_peer()
    deadline = time.monotonic() + wire.TIMEOUT  # what was refused may still be saying goodbye
    while metric(node, "eliop2p_client_connections") != 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_intercepted_tunnel_is_one_connection_of_the_limit(launch, cas, secure):
    node = launch(proxy__max_connections=3)
    inside = [Inside(node, cas[0].cert, secure.port) for _ in range(3)]
    assert metric(node, "eliop2p_client_connections") == 3
    with node.connect() as waits:
        waits.send_request("GET", "http://localhost:1/", host="localhost:1")
        waits.sock.settimeout(0.3)
        with pytest.raises((TimeoutError, socket.timeout)):
            waits.sock.recv(1)
        waits.sock.settimeout(wire.TIMEOUT)
        inside[0].close()
        is_exact(inside[1].get(PATH), secure.content(PATH))
        deadline = time.monotonic() + wire.TIMEOUT
        while not (head := waits.sock.recv(12)):
            assert time.monotonic() < deadline
        assert head == b"HTTP/1.1 502"
    for c in inside[1:]:
        c.close()


def test_a_node_stops_with_tunnels_open_and_drains_running_ones(launch, cas, secure):
    node = launch(proxy__drain_timeout_ms=20000)
    secure.add("/slow", size=MIB, rate=MIB)
    idle, busy = (Inside(node, cas[0].cert, secure.port) for _ in range(2))
    is_exact(idle.get(PATH), secure.content(PATH))
    busy.send_request("GET", "/slow", host=busy.authority)
    r = busy.read_head()
    node.signal(15)
    assert idle.is_closed_by_peer()
    r.body = busy.rd.read(MIB)
    assert r.body == secure.content("/slow").bytes()
    node.stop()


def test_a_large_object_arrives_exactly_while_clients_come_and_go(launch, cas, secure):
    node = launch()
    path = f"/bytes/{64 * MIB + 11}/large"
    with Inside(node, cas[0].cert, secure.port) as c:
        c.send_request("GET", path, host=c.authority)  # else what is under way when nobody is left is read twice
        for gone in range(8):
            with Inside(node, cas[0].cert, secure.port) as other:
                other.send_request("GET", path, host=other.authority)
                other.rd.read(1000 * (gone + 1))
                other.plain.close()
        is_exact(c.read_response(), secure.content(path))
    assert secure.body_sent(path) == 64 * MIB + 11


def test_it_is_loud_about_it(launch, cas, secure, tmp_path):
    log = tmp_path / "access.log"
    node = launch(proxy__access_log=log)
    line = next(l for l in node.log().splitlines() if "proxy.intercepts" in l)
    assert " WARN " in line and "*.localhost" in line and "CN = operator" in line
    with Inside(node, cas[0].cert, secure.port) as c:
        c.get(PATH + "?X-Amz-Signature=secret")
    assert "proxy.intercept_key_readable" not in node.log()
    said = node.status()["proxy"]["intercept"]
    assert said["hosts"] == "localhost, *.localhost, 127.0.0.1" and said["ca"] == "CN = operator"
    assert said["tunnels"] == said["certificates_made"] == said["certificates_kept"] == 1
    assert re.match(r"20\d\d-\d\d-\d\dT", said["ca_expires_at"])
    deadline = time.monotonic() + 10 * wire.SLOW
    while not log.exists() or log.read_text().count("\n") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    connect, get = log.read_text().splitlines()[:2]
    assert f"method=CONNECT url=localhost:{secure.port} status=200" in connect
    assert f"method=GET url=https://localhost:{secure.port}{PATH}?X-Amz-Signature=*** status=200" in get


def test_a_key_of_the_ca_that_others_may_read_is_mentioned(launch, cas, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(cas[0].key.read_bytes())
    key.chmod(0o644)
    node = launch(proxy__intercept_ca_key=key)
    assert any("proxy.intercept_key_readable" in l and str(key) in l for l in node.log().splitlines())


def check_config(**options):
    argv = [f"--{k.replace('__', '.')}={v}" for k, v in options.items()]
    r = subprocess.run([ELIONODE, "--check-config", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=20 * wire.SLOW)
    assert r.returncode in (0, 2)
    return r.stderr if r.returncode else ""


def test_a_bad_ca_is_found_by_check_config(cas, tmp_path):
    own, other = cas
    cert, key = own.server("no-ca")
    good = {"proxy__intercept_hosts": "*.example", "proxy__intercept_ca_cert": own.cert,
            "proxy__intercept_ca_key": own.key}
    assert check_config(**good) == ""
    assert check_config(proxy__intercept_ca_cert=tmp_path / "unused") == ""
    for change, says in [
            ({"proxy__intercept_ca_key": other.key}, "is not the key of proxy.intercept_ca_cert"),
            ({"proxy__intercept_ca_cert": cert, "proxy__intercept_ca_key": key}, "is not a CA's"),
            ({"proxy__intercept_ca_key": ""}, "proxy.intercept_ca_key"),
            ({"proxy__intercept_ca_cert": tmp_path / "none"}, "proxy.intercept_ca_cert"),
            ({"proxy__intercept_ca_cert": own.key}, "proxy.intercept_ca_cert"),
            ({"proxy__intercept_hosts": "a b"}, "proxy.intercept_hosts"),
            ({"storage__insecure_tls": "true"}, "storage.insecure_tls")]:
        assert says in check_config(**{**good, **change}), change


def test_clients_are_asked_who_they_are_at_connect_and_not_inside(launch, cas, secure, tmp_path):
    users = tmp_path / "users"
    users.write_text("ci:" + "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n")  # of "test"
    node = launch(proxy__auth="bearer", proxy__auth_file=users)
    authority = f"localhost:{secure.port}"
    with node.connect() as c:
        is_our_error(c.request("CONNECT", authority, host=authority), 407)
        c.send_request("CONNECT", authority, [("Proxy-Authorization", "Bearer test")], host=authority)
        assert c.read_head().status == 200
        ctx = ssl.create_default_context(cafile=cas[0].cert)
        c.sock = ctx.wrap_socket(c.sock, server_hostname="localhost")
        c.rd = c.sock.makefile("rb", 1 << 18)
        is_exact(c.request("GET", PATH, host=authority), secure.content(PATH))


def test_curl_goes_through(launch, cas, secure, tmp_path):
    node = launch()
    for i in range(3):
        out = tmp_path / "out"
        r = subprocess.run(["curl", "-sS", "--noproxy", "", "-x", node.url, "--cacert", cas[0].cert, "-o", out, "-w",
                            "%{http_code} %header{x-cache}", f"https://localhost:{secure.port}{PATH}"],
                           capture_output=True, text=True, timeout=60 * wire.SLOW)
        assert r.stdout.startswith("200"), r.stderr
        assert out.read_bytes() == secure.content(PATH).bytes()
    assert secure.body_sent() == SIZE


def test_clients_that_leave_while_their_certificate_is_made_are_not_waited_for(launch, cas, secure, tmp_path):
    """With a CA whose key takes long to sign."""
    slow = Authority(tmp_path, "slow", key_kind="4096")
    node = launch(proxy__intercept_ca_cert=slow.cert, proxy__intercept_ca_key=slow.key, proxy__threads=1)
    for i in range(100):
        with node.connect() as c:
            c.send(f"CONNECT h{i}.localhost:{secure.port} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    with Inside(node, slow.cert, secure.port) as c:
        is_exact(c.get(PATH), secure.content(PATH))
    for i in range(100, 200):
        with node.connect() as c:
            c.send(f"CONNECT h{i}.localhost:{secure.port} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    node.stop()  # with some of them waiting


def test_a_client_of_the_tls_listener_gets_an_ordinary_tunnel(launch, cas, secure, tmp_path):
    own, world = cas
    cert, key = world.server("node")
    node = launch(proxy__tls_cert=cert, proxy__tls_key=key, proxy__tls_port=0)
    out = tmp_path / "out"
    r = subprocess.run(["curl", "-sS", "--noproxy", "", "-x", f"https://localhost:{node.tls_port}", "--proxy-cacert", world.cert,
                        "--cacert", world.cert, "-o", out, "-w", "%{http_code}", f"https://localhost:{secure.port}{PATH}"],
                       capture_output=True, text=True, timeout=60 * wire.SLOW)
    assert r.stdout == "200", r.stderr
    assert out.read_bytes() == secure.content(PATH).bytes()
    assert metric(node, "eliop2p_intercepted_tunnels_total") == 0


def test_hundreds_of_hosts_have_their_certificates(launch, cas, secure):
    """More of them than are kept at a time."""
    node = launch()
    for i in range(300):
        host = f"h{i}.localhost"
        with Inside(node, cas[0].cert, secure.port, host) as c:
            assert c.certificate()["subjectAltName"] == (("DNS", host),)
    said = node.status()["proxy"]["intercept"]
    assert (said["certificates_made"], said["certificates_kept"]) == (300, 256)
    with Inside(node, cas[0].cert, secure.port, "h299.localhost"), Inside(node, cas[0].cert, secure.port, "h0.localhost"):
        pass
    assert node.status()["proxy"]["intercept"]["certificates_made"] == 301


def test_boto3_through_https_proxy_reads_a_private_object_once(launch, cas, server, rgw, tmp_path):
    """RGW behind TLS; every read is authorised by RGW, its bytes are read once."""
    with contextlib.closing(TlsFront(tmp_path, server, url=f"http://127.0.0.1:{rgw.port}")) as front:
        node = launch(proxy__connect_ports=front.port)
        s3 = boto3.client("s3", endpoint_url=f"https://{NAME}:{front.port}", aws_access_key_id=OWNER[0],
                          aws_secret_access_key=OWNER[1], region_name="us-east-1", verify=str(cas[0].cert),
                          config=Config(proxies={"https": node.url}, s3={"addressing_style": "path"},
                                        retries={"max_attempts": 1}))
        data = Content("/sealed", 21 * MIB + 5).bytes()
        s3.create_bucket(Bucket="sealed")
        (tmp_path / "up").write_bytes(data)
        parts = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=4)
        s3.upload_file(str(tmp_path / "up"), "sealed", "key", Config=parts)
        for x_cache in ("MISS", "HIT", "HIT"):
            r = s3.get_object(Bucket="sealed", Key="key")
            assert r["Body"].read() == data
            assert r["ResponseMetadata"]["HTTPHeaders"]["x-cache"] == x_cache
        s3.download_file("sealed", "key", str(tmp_path / "down"), Config=parts)
        assert (tmp_path / "down").read_bytes() == data
        part = s3.get_object(Bucket="sealed", Key="key", Range="bytes=5000000-9999999")
        assert part["Body"].read() == data[5000000:10000000]
        gets = [row for row in front.served() if row[1] == "GET" and row[4].startswith("/sealed/key")]
        assert sum(row[3] for row in gets) == len(data)
        assert {row[2] for row in gets} <= {200, 304}
        stranger = boto3.client("s3", endpoint_url=f"https://{NAME}:{front.port}", aws_access_key_id=OWNER[0],
                                aws_secret_access_key="x" * 40, region_name="us-east-1", verify=str(cas[0].cert),
                                config=Config(proxies={"https": node.url}, s3={"addressing_style": "path"},
                                              retries={"max_attempts": 1}))
        with pytest.raises(stranger.exceptions.ClientError) as refusal:
            stranger.get_object(Bucket="sealed", Key="key")
        assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        wait_for(lambda: front.served()[-1][2] == 403, why="it is the origin that refuses")
        s3.delete_object(Bucket="sealed", Key="key")
        with pytest.raises(s3.exceptions.NoSuchKey):
            s3.get_object(Bucket="sealed", Key="key")
