# SPDX-License-Identifier: MIT
"""Who may use the proxy: Proxy-Authorization, beside the origin's Authorization, which is left alone."""
import base64
import hashlib
import select
import signal
import subprocess
import time

import pytest

import wire
from checks import is_exact, is_our_error
from node import ELIONODE
from test_tls import options, pair  # noqa: F401 (a fixture)

PASSWORD, TOKEN, GUESS = "open sesame", "tok-3f9a.Zk_1", "wrong-guess"
SIZE = 100_001
PATH = f"/bytes/{SIZE}/obj"


def hashed(password):
    return subprocess.run(["openssl", "passwd", "-6", password], check=True, capture_output=True, text=True).stdout.strip()


def slow_hash():
    """A bcrypt hash that takes 200 ms or more to verify, and that no password has."""
    return "$2y$12$" + "Zq7TnA.p1oV/8sKcW3dLhe" + "A" * 31


def basic(name, password):
    return ("Proxy-Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode())


def bearer(token):
    return ("Proxy-Authorization", f"Bearer {token}")


RIGHT = {"basic": basic("alice", PASSWORD), "bearer": bearer(TOKEN)}
WRONG = {"basic": [basic("alice", GUESS), basic("bob", PASSWORD), bearer(TOKEN), ("Proxy-Authorization", "Basic")],
         "bearer": [bearer(GUESS), basic("ci", TOKEN), ("Proxy-Authorization", f"Bearer {TOKEN} {TOKEN}")]}
CHALLENGE = {"basic": 'Basic realm="eliop2p", charset="UTF-8"', "bearer": 'Bearer realm="eliop2p"'}


@pytest.fixture
def users(tmp_path):
    """users(scheme) writes the file and gives the options for it."""
    lines = {"basic": f"# who may\nalice:{hashed(PASSWORD)}\n",
             "bearer": f"ci:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n"}

    def write(scheme, text=None):
        path = tmp_path / f"{scheme}.users"
        path.write_text(lines[scheme] if text is None else text)
        return {"proxy__auth": scheme, "proxy__auth_file": path}

    return write


def is_challenge(r, scheme):
    is_our_error(r, 407)
    assert r.get("Proxy-Authenticate") == CHALLENGE[scheme], r


def eventually(claim, why):
    deadline = time.monotonic() + 10 * wire.SLOW
    while not claim():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_request_without_valid_credentials_reaches_nobody(start, origin, users, scheme):
    node = start(**users(scheme))
    with node.connect() as c:
        is_challenge(c.request("GET", origin.url + PATH), scheme)
        for field in WRONG[scheme]:
            for _ in range(2):
                is_challenge(c.request("GET", origin.url + PATH, [field]), scheme)
        is_challenge(c.request("PUT", origin.url + PATH, [WRONG[scheme][0]], body=b"x" * 5000), scheme)
        assert origin.requests() == []
        for x_cache in ("MISS", "HIT"):
            r = c.request("GET", origin.url + PATH, [RIGHT[scheme]])
            is_exact(r, origin.content(PATH))
            assert r.x_cache == x_cache
        is_challenge(c.request("GET", origin.url + PATH), scheme)
    wrong = 2 * len(WRONG[scheme]) + 1
    assert node.metrics()['eliop2p_proxy_auth_refused_total{reason="wrong"}'] == wrong
    assert node.metrics()['eliop2p_proxy_auth_refused_total{reason="missing"}'] == 2
    assert 1 <= node.log().count("proxy.auth_failed") < wrong


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
@pytest.mark.parametrize("way", ["forward", "gateway"])
def test_the_origin_gets_its_authorization_and_not_ours(start, origin, users, scheme, way):
    node = start(storage__endpoint=origin.url, **users(scheme))
    target = PATH if way == "gateway" else origin.url + PATH
    own = ("Authorization", "Bearer for-the-origin")
    is_challenge(node.get(target, [own]), scheme)
    is_challenge(node.get(target, [own, WRONG[scheme][0]]), scheme)
    for fields in ([own, RIGHT[scheme]], [own, RIGHT[scheme], ("Connection", "Proxy-Authorization")]):
        is_exact(node.get(target, fields), origin.content(PATH))
    assert len(origin.requests()) == 2
    for seen in origin.requests():
        assert seen.get("Authorization") == own[1]
        assert not [n for n, _ in seen.fields if n.lower().startswith("proxy-")]


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_tunnel_wants_credentials_as_well(start, origin, users, scheme):
    node = start(proxy__connect_ports=origin.port, **users(scheme))
    target = f"127.0.0.1:{origin.port}"
    with node.connect() as c:
        is_challenge(c.request("CONNECT", target, host=target), scheme)
        is_challenge(c.request("CONNECT", target, [WRONG[scheme][0]], host=target), scheme)
        c.send_request("CONNECT", target, [RIGHT[scheme]], host=target)
        assert c.read_head().status == 200
        is_exact(c.request("GET", PATH), origin.content(PATH))


def test_curl_and_http_2_send_them(start, origin, users, pair, tmp_path):  # noqa: F811
    node = start(storage__endpoint=origin.url, **users("basic"), **options(pair, proxy__http2="true"))
    body = tmp_path / "body"

    def curl(*argv):
        r = subprocess.run(["curl", "-sS", "--noproxy", "", "-o", body, "-w", "%{http_version} %{http_code}", *argv],
                           capture_output=True, text=True, timeout=60 * wire.SLOW)
        return r.stdout

    assert curl("-x", node.url, origin.url + PATH) == "1.1 407"
    for extra in ([], ["--proxy-anyauth"]):
        assert curl("-x", node.url, "--proxy-user", f"alice:{PASSWORD}", *extra, origin.url + PATH) == "1.1 200"
        assert body.read_bytes() == origin.content(PATH).bytes()
    own = f"https://localhost:{node.tls_port}{PATH}"
    assert curl("--cacert", pair[0], own) == "2 407"
    assert curl("--cacert", pair[0], "-H", ": ".join(RIGHT["basic"]), own) == "2 200"
    assert body.read_bytes() == origin.content(PATH).bytes()


def test_the_file_is_read_again_at_sighup_and_a_bad_one_changes_nothing(start, origin, users):
    node = start(**users("basic"))
    alice, bob = RIGHT["basic"], basic("bob", "new")

    def status_of(field):
        return node.get(origin.url + PATH, [field]).status

    def reload(text):
        before = node.log().count("conf.reload")
        users("basic", text)
        node.signal(signal.SIGHUP)
        eventually(lambda: node.log().count("conf.reload") > before, node.log)

    assert (status_of(alice), status_of(bob)) == (200, 407)
    reload(f"bob:{hashed('new')}\n")
    assert (status_of(alice), status_of(bob)) == (407, 200)
    reload("bob:in-the-clear\n")
    assert (status_of(alice), status_of(bob)) == (407, 200)
    assert "in-the-clear" not in node.log() and "line 1" in node.log()


def test_guesses_are_verified_one_at_a_time_and_hold_nobody_up(start, origin, users):
    text = f"alice:{hashed(PASSWORD)}\nslow:{slow_hash()}\n"
    node = start(proxy__threads=1, **users("basic", text))
    alice = RIGHT["basic"]
    is_exact(node.get(origin.url + PATH, [alice]), origin.content(PATH))
    guesses = [node.connect() for _ in range(20)]
    for i, c in enumerate(guesses):
        c.send_request("GET", origin.url + PATH, [basic("slow", f"{GUESS}{i}")])
    began = time.monotonic()
    for _ in range(20):
        is_exact(node.get(origin.url + PATH, [alice]), origin.content(PATH))
    took = time.monotonic() - began
    waiting = len(guesses) - len(select.select([c.sock for c in guesses], [], [], 0)[0])
    assert waiting > 0, f"20 verifications were over before 20 hits were, after {took:.3f} s"
    print(f"\n20 hits in {took * 1e3:.1f} ms while {waiting} of 20 guesses wait")
    for c in guesses[::2]:
        c.close()  # whoever leaves is not waited for
    for c in guesses[1::2]:
        is_challenge(c.read_response(), "basic")
        c.close()


def test_a_node_stops_while_credentials_wait_to_be_verified(start, origin, users):
    node = start(proxy__drain_timeout_ms=0, **users("basic", f"slow:{slow_hash()}\n"))
    guesses = [node.connect() for _ in range(30)]
    for i, c in enumerate(guesses):
        c.send_request("GET", origin.url + PATH, [basic("slow", f"{GUESS}{i}")])
    r = guesses[0].read_response()
    is_challenge(r, "basic")
    node.stop()
    for c in guesses:
        c.close()


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_credentials_are_shown_nowhere(start, origin, users, tmp_path, scheme):
    log = tmp_path / "access.log"
    node = start("--general.log_level=debug", storage__endpoint=origin.url, proxy__access_log=log,
                 proxy__connect_ports=origin.port, **users(scheme))
    for field in [RIGHT[scheme], *WRONG[scheme]]:
        for target in (PATH, origin.url + PATH, "http://127.0.0.1:1/"):
            node.get(target, [field])
    shown = node.log() + node.admin("/metrics").body.decode() + node.admin("/api/v1/status").body.decode()
    eventually(lambda: log.exists() and log.read_text().count("\n") >= 3, log.exists)
    shown += log.read_text()
    line = open(f"/proc/{node.pid}/cmdline").read()
    for secret in (PASSWORD, TOKEN, GUESS, RIGHT[scheme][1].split()[1]):
        assert secret not in shown and secret not in line


@pytest.mark.parametrize("scheme,text,says", [
    ("basic", None, "cannot"), ("basic", "", "names nobody"), ("basic", "alice:secret", "line 1"),
    ("basic", "a:$1$x$secret", "line 1"), ("bearer", "ci:secret", "line 1")])
def test_a_wrong_file_is_found_by_check_config(tmp_path, scheme, text, says):
    path = tmp_path / "users"
    if text is not None:
        path.write_text(text)
    r = subprocess.run([ELIONODE, "--check-config", f"--proxy.auth={scheme}", f"--proxy.auth_file={path}"],
                       capture_output=True, text=True, timeout=20 * wire.SLOW)
    assert r.returncode == 2 and str(path) in r.stderr and "secret" not in r.stderr
    assert text is None or says in r.stderr
