# SPDX-License-Identifier: MIT
"""wire: an HTTP/1.1 client that sends exactly what it is told and says exactly what came back.

Unlike the usual libraries it does not follow, decode, retry or normalise, and a body that was cut short
is a fact to look at (Response.complete), not an exception.
"""
import contextlib
import os
import socket
import time

from hushed import hush_request

SLOW = float(os.environ.get("ELIO_SLOW", "1"))
TIMEOUT = 30 * SLOW


class Response:
    def __init__(self, status, fields):
        self.status = status
        self.fields = fields
        self.interim = []      # (status, fields) of the 1xx before it
        self.body = b""
        self.received = 0
        self.complete = False  # the framing says that this was all of it
        self.first_byte_s = None

    def get(self, name, default=None):
        return next((v for n, v in self.fields if n.lower() == name.lower()), default)

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    @property
    def x_cache(self):
        return self.get("X-Cache")

    def __repr__(self):
        return f"<{self.status} complete={self.complete} received={self.received} {self.fields}>"


class Connection:
    """Lasts for any number of requests; `with` closes it."""

    def __init__(self, port, host="127.0.0.1", timeout=None):
        self.sock = socket.create_connection((host, port), timeout or TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rd = self.sock.makefile("rb", 1 << 18)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.rd.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def send_request(self, method, target, fields=(), body=None, host=None):
        hush_request(target, fields)
        lines = [f"{method} {target} HTTP/1.1"]
        if not any(n.lower() == "host" for n, _ in fields):
            lines.append(f"Host: {host or authority(target)}")
        lines += [f"{n}: {v}" for n, v in fields]
        if body is not None and not any(n.lower() in ("content-length", "transfer-encoding") for n, _ in fields):
            lines.append(f"Content-Length: {len(body)}")
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b""))

    def read_head(self):
        """Status line and fields; None when the connection was closed instead."""
        start = self.rd.readline(65536)
        if not start:
            return None
        assert start.startswith(b"HTTP/1."), start
        fields = []
        while (line := self.rd.readline(65536)) != b"\r\n":
            if not line:
                return None
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name, value.strip()))
        return Response(int(start.split()[1]), fields)

    def read_response(self, method="GET", sink=None, rate=0):
        """The final response with its body, kept in .body unless a sink(offset, data) takes it."""
        began, interim = time.monotonic(), []
        while True:
            r = self.read_head()
            if r is None:
                return None
            if r.status >= 200:
                break
            interim.append((r.status, r.fields))
            if r.status == 101:
                break
        r.interim = interim
        r.first_byte_s = time.monotonic() - began
        kept = [] if sink is None else None
        with contextlib.suppress(ConnectionError):
            self._read_body(r, method, kept, sink, rate)
        if kept is not None:
            r.body = b"".join(kept)
        return r

    def _read_body(self, r, method, kept, sink, rate):
        began = time.monotonic()

        def take(n):
            while n:
                data = self.rd.read1(min(n, 1 << 18 if not rate else 65536))
                if not data:
                    return False
                if kept is not None:
                    kept.append(data)
                else:
                    sink(r.received, data)
                r.received += len(data)
                n -= len(data)
                if rate:
                    time.sleep(max(0, began + r.received / rate - time.monotonic()))
            return True

        if method == "HEAD" or r.status in (204, 304):
            r.complete = True
        elif (r.get("Transfer-Encoding") or "").lower() == "chunked":
            r.complete = self._read_chunks(take)
        elif r.get("Content-Length") is not None:
            r.complete = take(int(r.get("Content-Length")))
        else:
            take(1 << 62)
            r.complete = True

    def _read_chunks(self, take):
        while True:
            line = self.rd.readline()
            if not line.endswith(b"\r\n"):
                return False
            n = int(line.split(b";")[0], 16)
            if n == 0:
                break
            if not take(n) or self.rd.readline() != b"\r\n":
                return False
        while (line := self.rd.readline()) != b"\r\n":
            if not line:
                return False
        return True

    def request(self, method, target, fields=(), body=None, host=None, **kw):
        self.send_request(method, target, fields, body, host)
        return self.read_response(method, **kw)

    def is_closed_by_peer(self, within=5):
        self.sock.settimeout(within * SLOW)
        try:
            return self.rd.read1(1) == b""
        except ConnectionError:
            return True
        except (TimeoutError, socket.timeout):
            return False


def authority(target):
    return target.partition("//")[2].partition("/")[0] if "//" in target else "127.0.0.1"


def fetch(port, target, fields=(), method="GET", at="127.0.0.1", **kw):
    """One request on a connection of its own."""
    with Connection(port, at) as c:
        return c.request(method, target, fields, **kw)
