# SPDX-License-Identifier: MIT
"""origin: a programmable HTTP/1.1 origin that counts what it is asked and what it sends.

Objects exist on demand: GET /bytes/SIZE/NAME?knob=value,... has SIZE bytes of content.Content. In the
same process a test shapes an object with origin.add(path, Knobs(...)) and reads origin.seen; as a
program (python3 origin.py --port N) the query sets the knobs and GET /_stats tells the counts.
"""
import argparse
import dataclasses
import gzip
import hashlib
import json
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

from content import Content

LAST_MODIFIED = "Tue, 01 Sep 2026 10:00:00 GMT"


@dataclasses.dataclass
class Knobs:
    """One object: its representation, then the faults. A fault hits the first `times` GETs (0: all)."""

    size: int = 0
    version: int = 1
    body: bytes = None             # instead of generated content
    etag: str = "auto"             # "auto", "" (none) or the value itself
    last_modified: str = LAST_MODIFIED
    cache_control: str = "max-age=3600"
    content_type: str = "application/octet-stream"
    fields: list = dataclasses.field(default_factory=list)
    status: int = 200
    framing: str = "length"        # length, chunked, close
    gzip: bool = False             # by Accept-Encoding, with Vary
    ranges: bool = True            # False: Range is ignored
    if_match: bool = True          # False: If-Match is ignored
    authorized: tuple = None       # Authorization values that may read it; None: anybody
    rate: int = 0                  # bytes per second
    write: int = 1 << 20           # bytes per send

    times: int = 0
    delay_head: float = 0          # seconds before the head
    hang_head: bool = False        # no head at all
    hang_at: int = -1              # body byte after which nothing comes
    reset_at: int = -1             # body byte after which the connection is reset
    truncate_at: int = -1          # body byte after which the connection is closed in peace
    extra_length: int = 0          # Content-Length says so many bytes more (or, negative, fewer)
    shift_range: int = 0           # Content-Range and body of a 206 begin so many bytes too late
    bump_after_304: bool = False   # a new version as soon as it has said that the old one is good
    always_304_after: bool = False  # and then it says 304 whatever it is asked, without If-Match
    bump_after: int = -1           # body byte after which the object has a new version
    fail_status: int = 0           # this status instead
    fail_fields: list = dataclasses.field(default_factory=list)
    interim: list = dataclasses.field(default_factory=list)  # (status, [(name, value)]) before the head
    done_fields: list = dataclasses.field(default_factory=list)  # of the answer to PUT, POST, DELETE
    refuse_upload: int = 0         # final status before anything of the body is read


@dataclasses.dataclass
class Seen:
    """One request, as it came and as it was answered."""

    method: str
    target: str
    path: str
    fields: list
    status: int = 0
    body_sent: int = 0
    body_got: int = 0
    body_sha256: str = ""
    finished: bool = False
    came: float = dataclasses.field(default_factory=time.monotonic)
    ended: float = 0.0  # 0: it did not, or not by its answer's end

    def get(self, name, default=None):
        return next((v for n, v in self.fields if n.lower() == name.lower()), default)


class Gone(Exception):
    """The connection is over, by the fault that was asked for or by the peer."""


class Origin:
    def __init__(self, port=0, host="127.0.0.1", suffix="", trust_query=False, tls=None):
        self.objects = {}
        self.seen = []
        self.suffix = suffix            # Host BUCKET.suffix/key is the object /BUCKET/key
        self.trust_query = trust_query  # knobs in the query
        self.tls = tls                  # (certificate, key): files; https instead of http
        self.connections = 0
        self._lock = threading.Lock()
        self._let_go = threading.Event()  # ends the hanging ones
        self._open = set()
        self._listener = socket.create_server((host, port), backlog=512)
        self.host, self.port = self._listener.getsockname()[:2]
        self.url = f"http{'s' if tls else ''}://{self.host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- for tests ----

    def add(self, path, knobs=None, **kw):
        self.objects[path] = knobs or Knobs(**kw)
        return self.objects[path]

    def content(self, path):
        k = self._knobs(path)
        return Content(path, k.size, k.version)

    def requests(self, path=None, method=None):
        with self._lock:
            return [s for s in self.seen if path in (None, s.path) and method in (None, s.method)]

    def body_sent(self, path=None):
        return sum(s.body_sent for s in self.requests(path))

    def forget(self):
        with self._lock:
            self.seen.clear()

    def release(self):
        """Lets everything that hangs go on to its end: a closed connection."""
        self._let_go.set()

    def close(self):
        """Stops listening and drops every connection; a second call is harmless."""
        self.release()
        # shutdown() first: close() alone would not wake the thread in accept().
        for s in [self._listener, *self._open]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._listener.close()

    # ---- the server ----

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _encrypt(self, sock):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.tls)
        return context.wrap_socket(sock, server_side=True)

    def _serve(self, sock):
        try:
            sock = self._encrypt(sock) if self.tls else sock
        except OSError:
            return sock.close()
        self._open.add(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rd = sock.makefile("rb", 1 << 18)
        try:
            while self._one(sock, rd):
                pass
        except (OSError, Gone, ValueError):
            pass
        finally:
            self._open.discard(sock)
            rd.close()
            sock.close()

    def _knobs(self, path):
        bare, _, query = path.partition("?")
        known = self.objects.get(path) or self.objects.get(bare)
        if known:
            return known
        m = re.match(r"/(?:[^/?]+/)?bytes/(\d+)(?:/|$)", bare)
        if not m:
            return None
        k = Knobs(size=int(m.group(1)))
        if self.trust_query:
            for name, value in urllib.parse.parse_qsl(query):
                kind = type(getattr(k, name, None))
                if kind in (int, float, str):
                    setattr(k, name, kind(value))
        return k

    def _one(self, sock, rd):
        """One request and its answer; False when the connection is to be closed."""
        start = rd.readline(65536)
        if not start:
            return False
        method, target, proto = start.decode("latin-1").split()
        fields = []
        while (line := rd.readline(65536)) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name, value.strip()))
        path = self._path(target, fields)
        seen = Seen(method, target, path, fields)
        with self._lock:
            self.seen.append(seen)
        if path == "/_stats":
            return self._stats(sock)
        k = self._knobs(path)
        if not self._take_body(sock, rd, seen, k):
            return False
        keep = self._answer(sock, seen, k)
        seen.finished, seen.ended = True, time.monotonic()
        return keep and proto == "HTTP/1.1" and (seen.get("Connection") or "").lower() != "close"

    def _path(self, target, fields):
        if target.startswith("http://"):
            target = "/" + target[7:].partition("/")[2]
        host = next((v for n, v in fields if n.lower() == "host"), "").partition(":")[0]
        if self.suffix and host.endswith("." + self.suffix):
            return "/" + host[:-len(self.suffix) - 1] + target
        return target

    def _stats(self, sock):
        with self._lock:
            rows = [s for s in self.seen if s.path != "/_stats"]
            answer = {"requests": len(rows), "body_sent": sum(s.body_sent for s in rows),
                      "statuses": [s.status for s in rows][-1000:]}
        text = json.dumps(answer).encode()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        return True

    def _take_body(self, sock, rd, seen, k):
        expects = (seen.get("Expect") or "").lower() == "100-continue"
        if k and k.refuse_upload:
            seen.status = k.refuse_upload
            sock.sendall(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                         % k.refuse_upload)
            sock.shutdown(socket.SHUT_WR)
            for _ in iter(lambda: rd.read1(1 << 18), b""):  # a close with unread bytes would be a reset
                pass
            return False
        if expects:
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        digest, kept = hashlib.sha256(), bytearray()
        for data in self._body(rd, seen):
            seen.body_got += len(data)
            digest.update(data)
            if seen.body_got <= 1 << 20:
                kept += data
        seen.body_sha256 = digest.hexdigest()
        if seen.method == "PUT":
            small = bytes(kept) if seen.body_got <= 1 << 20 else None
            old = self.objects.get(seen.path)
            new = dataclasses.replace(old) if old else Knobs()
            new.version = (old.version if old else 0) + 1
            new.size, new.body = seen.body_got, small
            self.objects[seen.path] = new
        return True

    def _body(self, rd, seen):
        if (seen.get("Transfer-Encoding") or "").lower() == "chunked":
            while n := int(rd.readline().split(b";")[0], 16):
                yield from self._exactly(rd, n)
                rd.readline()
            while rd.readline() not in (b"\r\n", b""):
                pass
        else:
            yield from self._exactly(rd, int(seen.get("Content-Length") or 0))

    @staticmethod
    def _exactly(rd, n):
        while n:
            data = rd.read1(min(n, 1 << 18))
            if not data:
                raise Gone
            n -= len(data)
            yield data

    # ---- answers ----

    def _answer(self, sock, seen, k):
        if seen.method in ("PUT", "POST", "DELETE", "PATCH"):
            return self._done(sock, seen, k)
        if k is None:
            return self._plain(sock, seen, 404, b"no such object", [])
        if k.authorized is not None and seen.get("Authorization") not in k.authorized:
            return self._plain(sock, seen, 403, b"<Error><Code>AccessDenied</Code></Error>", [])
        hit = self._is_faulty(seen, k)
        if hit and k.hang_head:
            self._let_go.wait(600)
            raise Gone
        if hit and k.delay_head:
            time.sleep(k.delay_head)
        if hit and k.fail_status:
            return self._plain(sock, seen, k.fail_status, b"origin says no\n", k.fail_fields)
        for status, fields in k.interim:
            sock.sendall(self._head(status, fields))
        return self._object(sock, seen, k, hit)

    def _is_faulty(self, seen, k):
        if not k.times:
            return True
        with self._lock:
            return sum(s.path == seen.path and s.method == "GET" for s in self.seen) <= k.times

    def _done(self, sock, seen, k):
        if k and k.fail_status:
            return self._plain(sock, seen, k.fail_status, b"origin says no\n", k.fail_fields)
        if seen.method == "DELETE":
            self.objects.pop(seen.path, None)
            return self._plain(sock, seen, 204, b"", k.done_fields if k else [])
        return self._plain(sock, seen, 200, f"{seen.body_got} {seen.body_sha256}".encode(), k.done_fields if k else [])

    def _plain(self, sock, seen, status, body, fields):
        head = [*fields, ("Content-Type", "text/plain")]
        if status != 204:
            head.append(("Content-Length", str(len(body))))
        seen.status = status
        seen.body_sent += 0 if seen.method == "HEAD" else len(body)
        sock.sendall(self._head(status, head) + (b"" if seen.method == "HEAD" else body))
        return True

    @staticmethod
    def _head(status, fields):
        lines = [f"HTTP/1.1 {status} Status"] + [f"{n}: {v}" for n, v in fields]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _object(self, sock, seen, k, hit):
        content = Content(seen.path, k.size, k.version)
        body = k.body
        fields = [("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
                  ("Content-Type", k.content_type), *k.fields]
        if k.gzip:
            fields.append(("Vary", "Accept-Encoding"))
        packed = k.gzip and "gzip" in (seen.get("Accept-Encoding") or "")
        if packed:
            body = gzip.compress(k.body if k.body is not None else content.bytes(), 1, mtime=0)
            fields.append(("Content-Encoding", "gzip"))
        etag = content.etag if k.etag == "auto" else k.etag
        if packed and etag:
            etag = etag[:-1] + '-gz"'
        if k.body is not None and k.etag == "auto" and not packed:
            etag = '"' + hashlib.sha256(k.body).hexdigest()[:40] + '"'
        fields += [(n, v) for n, v in (("ETag", etag), ("Last-Modified", k.last_modified),
                                       ("Cache-Control", k.cache_control)) if v]
        total = len(body) if body is not None else k.size
        status, first, end = self._select(seen, k, etag, total)
        seen.status = status
        if status in (304, 412, 416):
            return self._bodyless(sock, k, status, fields, total)
        if status == 206:
            first = min(first + (k.shift_range if hit else 0), end)
            fields.append(("Content-Range", f"bytes {first}-{end - 1}/{total}"))
        elif k.ranges:
            fields.append(("Accept-Ranges", "bytes"))
        return self._stream(sock, seen, k, hit, status, fields, (content, body, first, end))

    def _bodyless(self, sock, k, status, fields, total):
        if status == 416:
            fields = [("Content-Range", f"bytes */{total}")]
        if status != 304:
            fields = [*fields, ("Content-Length", "0")]
        elif k.bump_after_304:
            k.version += 1
        sock.sendall(self._head(status, fields))
        return True

    @staticmethod
    def _select(seen, k, etag, total):
        """Status and byte range, by the conditions and the Range of the request."""
        match, none_match = seen.get("If-Match"), seen.get("If-None-Match")
        if match and k.if_match and match != "*" and etag not in match:
            return 412, 0, 0
        if k.always_304_after and k.version > 1:
            return 304, 0, 0
        if none_match is not None:
            if etag and (etag in none_match or none_match == "*"):
                return 304, 0, 0
        elif k.last_modified and seen.get("If-Modified-Since") == k.last_modified:
            return 304, 0, 0
        asked, if_range = seen.get("Range"), seen.get("If-Range")
        if asked is None or not k.ranges or k.status != 200 or if_range not in (None, etag, k.last_modified):
            return k.status, 0, total
        m = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
        if not m or m.group(0) == "bytes=-":
            return k.status, 0, total
        if not m.group(1):
            first, end = max(0, total - int(m.group(2))), total
        else:
            first, end = int(m.group(1)), min(total, int(m.group(2) or total) + 1)
        return (206, first, end) if first < end else (416, 0, 0)

    def _stream(self, sock, seen, k, hit, status, fields, what):
        content, body, first, end = what
        n = end - first
        if status == 204:
            pass
        elif k.framing == "length":
            fields.append(("Content-Length", str(n + (k.extra_length if hit else 0))))
        elif k.framing == "chunked":
            fields.append(("Transfer-Encoding", "chunked"))
        if k.framing == "close":
            fields.append(("Connection", "close"))
        sock.sendall(self._head(status, fields))
        if seen.method == "HEAD" or status == 204:
            return k.framing != "close"
        views = [memoryview(body)[first:end]] if body is not None else content.pieces(first, end)
        started = time.monotonic()
        for view in views:
            for at in range(0, len(view), k.write):
                self._send(sock, seen, k, hit, view[at:at + k.write], started)
        if k.framing == "chunked":
            sock.sendall(b"0\r\n\r\n")
        return k.framing != "close" and not (hit and k.extra_length)

    def _send(self, sock, seen, k, hit, view, started):
        """Sends a piece of the body, up to the byte at which a fault strikes."""
        strikes = [n for n in (k.reset_at, k.truncate_at, k.hang_at) if hit and n >= 0]
        room = min(strikes, default=sys.maxsize) - seen.body_sent
        self._write(sock, seen, k, view[:max(room, 0)])
        if hit and 0 <= k.bump_after <= seen.body_sent:
            k.bump_after, k.version = -1, k.version + 1
        if room <= len(view):
            self._strike(sock, seen, k)
        if k.rate:
            time.sleep(max(0, started + seen.body_sent / k.rate - time.monotonic()))

    @staticmethod
    def _write(sock, seen, k, view):
        if len(view) == 0:
            return
        if k.framing == "chunked":
            sock.sendall(b"%x\r\n" % len(view))
        # Counted first: whoever has read the bytes finds them counted.
        seen.body_sent += len(view)
        while len(view) > 0:
            try:
                view = view[sock.send(view):]
            except OSError:
                seen.body_sent -= len(view)
                raise
        if k.framing == "chunked":
            sock.sendall(b"\r\n")

    def _strike(self, sock, seen, k):
        if seen.body_sent == k.hang_at:
            self._let_go.wait(600)
        if seen.body_sent == k.reset_at:
            # Let the bytes arrive before the reset discards what the peer has not read.
            time.sleep(0.05)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone


def make_pair(directory, name):
    """A certificate that signs itself, for localhost."""
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


def main():
    p = argparse.ArgumentParser(description="programmable origin for tests and the demo")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--object", action="append", default=[], metavar="PATH=SIZE[,RATE]", help="RATE: bytes a second")
    args = p.parse_args()
    o = Origin(port=args.port, trust_query=True)
    for path, _, figures in (one.partition("=") for one in args.object):
        size, _, rate = figures.partition(",")
        o.add(path, size=int(size), rate=int(rate or 0))
    print(f"ready {o.port}", flush=True)
    sys.stdin.read()  # until whoever started it goes away


if __name__ == "__main__":
    main()
