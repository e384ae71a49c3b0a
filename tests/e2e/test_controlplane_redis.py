# SPDX-License-Identifier: MIT
"""Several control planes on one Redis: each knows what the others were told, and any of them may die."""
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from concurrent import futures

import pytest

from pki import Authority
from plane import ELIOCP, WebSocket, chunk, running
from ports import free_ports
from wire import SLOW


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.sendall(b"PING\r\n")
            return s.recv(16).startswith(b"+PONG")
    except OSError:
        return False


@pytest.fixture
def redis(tmp_path):
    """The option that names a redis-server of its own."""
    port = free_ports(1)[0]
    server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                               "--dir", str(tmp_path)], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20 * SLOW
        while not answers(port):
            assert server.poll() is None and time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)
        yield {"service__store": f"redis://127.0.0.1:{port}"}
    finally:
        server.kill()
        server.wait()


def process_of(redis):
    port = redis["service__store"].rpartition(":")[2]
    told = subprocess.run(["redis-cli", "-p", port, "info", "server"], capture_output=True, text=True, check=True).stdout
    return int(told.partition("process_id:")[2].split()[0])


def test_what_one_was_told_the_other_knows_and_goes_on_with(redis):
    with running(**redis) as b:
        with running(**redis) as a:
            with WebSocket(b) as ws:
                ws.hello()
                token = a.register("n-1", zone="z", available_chunks=[chunk(1)])["token"]
                assert ws.until("node_up")["node_id"] == "n-1"
            b.wait_for(lambda: b.locate(chunk(1))["locations"][0]["total"] == 1, "the other knows where the chunk is")
            a.post("/api/v1/groups", {"group_id": "g", "node_id": "n-1"})
            a.put("/api/v1/config", {"settings": {"cache.freshness_s": 1}})
            operator = a.post("/api/v1/tokens", {"role": "operator", "name": "ops"})["token"]
            b.token = operator
            b.wait_for(lambda: b.get("/api/v1/nodes", token=False).status == 401, "the other wants a token as well")
            assert b.get("/api/v1/groups/g")["nodes"] == ["n-1"] and b.get("/api/v1/config")["settings"] == {"cache.freshness_s": 1}
            assert b.get("/api/v1/status")["store"]["kind"] == "redis"
            a.crash()
        assert b.beat("n-1", token=token).status == 204
        assert b.register("n-2").status == 201
        b.wait_for(lambda: b.get("/api/v1/status")["has_duty"], "the duty passes on", 60)


def test_what_was_acknowledged_is_known_to_who_comes_after_a_crash(redis):
    acknowledged = []
    with running(**redis) as p:
        stop = threading.Event()

        def register(worker):
            connection = p.connect()
            try:
                for i in range(100000):
                    name = f"k-{worker}-{i}"
                    body = {"node_id": name, "address": "10.0.0.1", "p2p_port": 1, "http_port": 1}
                    if p.call("POST", "/api/v1/nodes", body, connection=connection, checks=False).status == 201:
                        acknowledged.append(name)
                    if len(acknowledged) > 300:
                        stop.set()
            except OSError:
                pass  # it was killed

        workers = [threading.Thread(target=register, args=(w,)) for w in range(8)]
        for w in workers:
            w.start()
        assert stop.wait(60 * SLOW)
        p.crash()
        for w in workers:
            w.join()
    with running(**redis) as p:
        known = {n["node_id"] for n in p.get("/api/v1/nodes")["nodes"]}
        missing = [n for n in acknowledged if n not in known]
        assert not missing, f"{len(missing)} of {len(acknowledged)} are gone: {missing[:5]}"


def test_a_change_that_redis_does_not_confirm_is_not_acknowledged(redis):
    """The server is stopped, not ended: it accepts and says nothing."""
    with running(**redis) as p:
        p.register("before")
        pid = process_of(redis)
        os.kill(pid, signal.SIGSTOP)
        try:
            assert p.beat("before").status == 204
            refused = p.register("during")
            assert refused.status == 503 and refused["code"] == 6003, refused
            p.wait_for(lambda: p.get("/readyz").status == 503, "it says that it is not ready")
        finally:
            os.kill(pid, signal.SIGCONT)
        p.wait_for(lambda: p.get("/readyz").status == 200, "it is ready again", 60)
        assert p.register("during").status == 201


def test_what_waits_for_a_store_that_is_away_is_bounded(redis):
    """Whatever the length of an outage: from some amount on changes are refused, before they are made."""
    urls = [f"http://h/{i:05}-" + "x" * 380 for i in range(10000)]  # a list of 4 MB
    with running(**redis) as p:
        token = p.register("before")["token"]
        pid = process_of(redis)
        os.kill(pid, signal.SIGSTOP)
        try:
            with futures.ThreadPoolExecutor(16) as pool:
                answers = list(pool.map(lambda _: p.post("/api/v1/operations/prefetch", {"urls": urls}, checks=False), range(48)))
            assert {(a.status, a["code"]) for a in answers} == {(503, 6003)}
            refused = [a for a in answers if "nothing was changed" in a["text"]]
            made = len(p.get("/api/v1/operations")["operations"])
            assert 30 <= made == len(answers) - len(refused) < 48
            assert p.beat("before", token=token).status == 204
            assert p.locate(chunk(1)).status == 200
            assert "nothing was changed" in p.register("during")["text"]
            assert p.get("/api/v1/nodes/during").status == 404
        finally:
            os.kill(pid, signal.SIGCONT)
        p.wait_for(lambda: p.register("during").status == 201, "changes are taken again", 60)
    with running(**redis) as p:
        assert len(p.get("/api/v1/operations")["operations"]) == made


class SlowToScan:
    """In front of a redis-server: each HSCAN waits; counts what goes through."""

    def __init__(self, port, wait):
        self.to, self.wait = port, wait
        self.scans = self.reads = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            threading.Thread(target=self.forward, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.forward, args=(server, client, False), daemon=True).start()

    def forward(self, a, b, are_questions):
        try:
            while data := a.recv(65536):
                if are_questions and b"HSCAN" in data:
                    self.scans += 1
                    time.sleep(self.wait)
                self.reads += are_questions and b"XREAD" in data
                b.sendall(data)
        except OSError:
            pass
        finally:
            a.close()
            b.close()


def test_a_load_that_takes_long_is_not_followed_by_another(redis):
    """5 s without a look at the changes are a reason to read everything again; reading everything is none."""
    slow = SlowToScan(int(redis["service__store"].rpartition(":")[2]), 0.2)
    with running(service__store=f"redis://127.0.0.1:{slow.port}") as p:
        before = slow.reads
        p.wait_for(lambda: slow.reads > before + 32 or slow.scans > 32, "it looks at the changes", 60)
        assert slow.scans == 32
        assert p.get("/readyz").status == 200


# ---- in TLS ----

def tls_answers(port, ca, pair):
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(*pair)
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 1), server_hostname="127.0.0.1") as s:
            s.sendall(b"PING\r\n")
            return s.recv(16).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


@pytest.fixture
def tls_redis(tmp_path):
    """(options of an eliocp, its authority): a redis-server that speaks TLS only, to those who have a certificate."""
    ca = Authority(tmp_path, "ca")
    cert, key = ca.server("redis", usage="serverAuth,clientAuth")
    port = free_ports(1)[0]
    server = subprocess.Popen(["redis-server", "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "127.0.0.2", "--save", "", "--appendonly", "no",
                               "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca.cert, "--requirepass", "opensesame",
                               "--dir", tmp_path], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    (tmp_path / "password").write_text("opensesame\n")
    try:
        deadline = time.monotonic() + 20 * SLOW
        while not tls_answers(port, ca.cert, (cert, key)):
            assert server.poll() is None and time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)
        yield {"service__store": f"rediss://127.0.0.1:{port}", "service__redis_ca_file": ca.cert, "service__redis_tls_cert": cert,
               "service__redis_tls_key": key, "service__redis_password_file": tmp_path / "password"}, ca
    finally:
        server.kill()
        server.wait()


def test_links_to_redis_can_be_tls(tls_redis):
    options, _ = tls_redis
    with running(**options) as b:
        with running(**options) as a:
            many = [chunk(i) for i in range(3000)]  # more than a TLS record holds
            token = a.register("n-1", available_chunks=many)["token"]
            b.wait_for(lambda: b.locate(many[-1])["locations"][0]["total"] == 1, "the other knows where the chunk is")
            a.crash()
        assert b.beat("n-1", token=token).status == 204 and b.register("n-2").status == 201
    with running(**options) as c:
        assert {n["node_id"] for n in c.get("/api/v1/nodes")["nodes"]} == {"n-1", "n-2"}
        assert c.locate(many[0])["locations"][0]["total"] == 1


def test_a_redis_that_is_not_the_right_one_is_not_spoken_to(tls_redis, tmp_path):
    options, ca = tls_redis
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    wrong = {"another authority": ({"service__redis_ca_file": other.cert}, "certificate"),
             "another name": ({"service__store": options["service__store"].replace("127.0.0.1", "127.0.0.2")}, "ip address mismatch"),
             "no certificate of ours": ({"service__redis_tls_cert": "", "service__redis_tls_key": ""}, "redis 127.0.0.1"),
             "plain": ({"service__store": options["service__store"].replace("rediss", "redis")}, "redis"),
             "no such file": ({"service__redis_ca_file": tmp_path / "nothing"}, "service.redis_ca_file")}
    for what, (change, why) in wrong.items():
        argv = [f"--{k.replace('__', '.')}={v}" for k, v in {**options, "service__port": 0, "service__data_dir": tmp_path, **change}.items()]
        r = subprocess.run([ELIOCP, *argv], capture_output=True, text=True, timeout=30 * SLOW, check=False)
        assert r.returncode in (1, 2) and why in r.stderr.lower() and "opensesame" not in r.stderr, (what, r.stderr)
