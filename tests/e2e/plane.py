# SPDX-License-Identifier: MIT
"""plane: an eliocp of its own for a test: a free port, its directory, its log, a clean end. Every answer is
held against docs/api.yaml."""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import hushed
from apidoc import Document
from node import REPORTS
from wire import SLOW, TIMEOUT

ELIOCP = os.environ.get("ELIOCP", "")
DOC = Document()


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body
        self.json = json.loads(body) if body and fields.get("content-type", "").startswith("application/json") else None

    def __getitem__(self, key):
        return self.json[key]

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:600]!r}>"


class Plane:
    """Plane(service__cluster_id="c"): every option is --section.key=value; `__` stands for the dot. `directory`
    is one that lasts longer than the process."""

    def __init__(self, *args, directory=None, wait=True, env=None, **options):
        assert ELIOCP, "the environment variable ELIOCP must name the program"
        self.own_directory = directory is None
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="eliocp-"))
        options = {"service__port": 0, "service__bind_address": "127.0.0.1", "service__data_dir": self.directory, **options}
        argv = [f"--{k.replace('__', '.')}={v}" for k, v in options.items()]
        self.log_path = pathlib.Path(tempfile.mkstemp(prefix="eliocp-", suffix=".log")[1])
        self.token = None
        self.wanted_code = 0
        self.port = 0
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen([ELIOCP, *argv, *args], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        self.pid = self.process.pid
        if wait:
            try:
                self._wait_ready()
            except BaseException:
                self._clean_up()
                raise

    def _clean_up(self):
        self.kill()
        self.log_path.unlink(missing_ok=True)
        if self.own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _wait_ready(self):
        deadline = time.monotonic() + 20 * SLOW
        while time.monotonic() < deadline:
            line = next((l for l in self.log().splitlines() if "cp.start" in l), None)
            if line:
                self.port = int(re.search(r'port"?[=:]"?(\d+)', line)[1])
                self.address = re.search(r'address"?[=:]"?([0-9a-f.:]+)', line)[1]
                return
            assert self.process.poll() is None, f"eliocp ended with {self.process.returncode}:\n{self.log()}"
            time.sleep(0.01)
        raise AssertionError(f"eliocp was not ready in time:\n{self.log()}")

    # ---- calls ----

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)

    def call(self, method, target, body=None, token=None, fields=None, connection=None, checks=True):
        """body: an object, or bytes as they are. token: False for none, None for the plane's own."""
        fields = dict(fields or {})
        token = self.token if token is None else token
        if token:
            hushed.hush(token)
            fields["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        own = connection is None
        connection = connection or self.connect()
        try:
            connection.request(method, target, body=data, headers=fields)
            r = connection.getresponse()
            answer = Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            if own:
                connection.close()
        if checks:
            assert "x-request-id" in answer.fields, answer
            DOC.check(method, target, answer.status, answer.json, answer.fields)
        return answer

    def get(self, target, **kw):
        return self.call("GET", target, **kw)

    def post(self, target, body=None, **kw):
        return self.call("POST", target, {} if body is None else body, **kw)

    def put(self, target, body, **kw):
        return self.call("PUT", target, body, **kw)

    def delete(self, target, **kw):
        return self.call("DELETE", target, **kw)

    def register(self, node_id, token=None, **more):
        card = {"node_id": node_id, "address": "10.0.0.1", "p2p_port": 9000, "http_port": 8082, "memory_capacity_mb": 4096,
                "disk_capacity_mb": 102400, "available_chunks": [], **more}
        return self.post("/api/v1/nodes", card, token=token)

    def beat(self, node_id, token=None, **more):
        return self.put(f"/api/v1/nodes/{node_id}/heartbeat", {"node_id": node_id, "online": True, **more}, token=token)

    def report(self, node_id, token=None, **report):
        return self.put(f"/api/v1/nodes/{node_id}/chunks", report, token=token)

    def locate(self, *chunks, **more):
        return self.post("/api/v1/chunks/locations", {"chunk_ids": list(chunks), **more})

    def events(self, after=0):
        return self.get(f"/api/v1/events?after={after}")["events"]

    def wait_for(self, condition, what, seconds=20):
        """Until condition() is true; returns what it gave."""
        deadline = time.monotonic() + seconds * SLOW
        while time.monotonic() < deadline:
            result = condition()
            if result:
                return result
            time.sleep(0.02)
        raise AssertionError(f"not in time: {what}\n{self.log()[-3000:]}")

    # ---- the end ----

    def log(self):
        return self.log_path.read_text(errors="replace")

    def rss(self):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def crash(self):
        """SIGKILL, which is what stop() then expects to have ended it."""
        self.wanted_code = -signal.SIGKILL
        self.kill()

    def stop(self):
        """SIGTERM; it must end by itself, with 0 and without a complaint of a sanitizer. Once is enough."""
        if not self.log_path.exists():
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20 * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            code = "killed: it did not end after SIGTERM"
        log = self.log()
        self._clean_up()
        assert code == self.wanted_code and not REPORTS.search(log), f"eliocp ended with {code}:\n{log[-20000:]}"
        told = hushed.told(log)
        assert not told, f"eliocp told {told}:\n{log[-20000:]}"


def cli(plane, *words, token=None, env=None, **kw):
    """eliocp as a client of the plane; what it printed, and its exit code."""
    env = {**os.environ, **({"ELIOCP_TOKEN": token} if token else {}), **(env or {})}
    return subprocess.run([ELIOCP, *words, f"--server={plane.url}"], capture_output=True, text=True, env=env,
                          timeout=60 * SLOW, check=False, **kw)


# ---- chunks ----

def chunk(object_number, index=0):
    return f"{object_number:032x}-{index:08x}"


def digest(chunks):
    """As docs/api.yaml defines it."""
    total = sum(int.from_bytes(hashlib.sha256(c.encode()).digest()[:8], "big") for c in chunks)
    return f"{total % 2**64:016x}"


# ---- WebSockets ----

class WebSocket:
    def __init__(self, plane, token=None, fields=()):
        self.sock = socket.create_connection(("127.0.0.1", plane.port), TIMEOUT)
        self.rd = self.sock.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET /ws HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *fields]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        self.status = int(self.rd.readline().split()[1])
        while self.rd.readline() not in (b"\r\n", b""):
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.rd.close()
        self.sock.close()

    def send(self, message, opcode=1):
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        mask = os.urandom(4)
        n = len(data)
        head = bytes([0x80 | opcode])
        head += bytes([0x80 | n]) if n < 126 else bytes([0x80 | 126]) + struct.pack(">H", n) if n < 65536 else \
            bytes([0x80 | 127]) + struct.pack(">Q", n)
        self.sock.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        """The next text as an object; None when it was closed."""
        while True:
            head = self.rd.read(2)
            if len(head) < 2:
                return None
            opcode, n = head[0] & 15, head[1] & 127
            if n == 126:
                n = struct.unpack(">H", self.rd.read(2))[0]
            elif n == 127:
                n = struct.unpack(">Q", self.rd.read(8))[0]
            data = self.rd.read(n)
            if opcode == 8:
                return None
            if opcode == 1:
                return json.loads(data)

    def hello(self, **more):
        self.send({"type": "hello", **more})
        return self.receive()

    def until(self, kind, **wanted):
        """The next event of that type; those before it are passed over."""
        while True:
            event = self.receive()
            assert event is not None, f"closed before {kind}"
            if event.get("type") == kind and all(event.get(k) == v for k, v in wanted.items()):
                return event


@contextlib.contextmanager
def running(*args, **options):
    p = Plane(*args, **options)
    try:
        yield p
    finally:
        p.stop()
