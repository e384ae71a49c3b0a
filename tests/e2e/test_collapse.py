# SPDX-License-Identifier: MIT
"""
Many clients, big objects, many objects: the origin is asked once, everybody gets exact bytes, and memory
stays what the configuration says. ELIO_SOAK=1 (make soak) uses the full sizes.
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

import wire
from content import MIB, Content
from node import SANITIZED

SOAK = bool(os.environ.get("ELIO_SOAK"))
SHARED = (1024 if SOAK else 128) * MIB
BIG = (20 * 1024 if SOAK else 2 * 1024) * MIB // (8 if SANITIZED else 1)
SMALL_OBJECTS = (100_000 if SOAK else 20_000) // (10 if SANITIZED else 1)
UPLOAD = (5 * 1024 if SOAK else 512) * MIB // (8 if SANITIZED else 1)
SLACK = 64 * MIB  # what a node may need beyond cache.memory_cache_size_mb


class Far:
    """The origin as a process of its own, so that its threads do not share our interpreter."""

    def __init__(self):
        here = pathlib.Path(__file__).parent
        self.process = subprocess.Popen([sys.executable, here / "origin.py"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def stats(self):
        return json.loads(wire.fetch(self.port, "/_stats").body)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)


@pytest.fixture
def far():
    f = Far()
    yield f
    f.stop()


class Reader(threading.Thread):
    """One client of one object, checking every byte as it comes."""

    def __init__(self, node, url, path, size, rate=0):
        super().__init__(daemon=True)
        self.node, self.target, self.content, self.rate = node, url + path, Content(path, size), rate
        self.received, self.wrong, self.answer, self.seconds, self.error = 0, None, None, 0, None
        self.start()

    def _take(self, offset, data):
        if self.wrong is None and self.content.differs_at(offset, data) is not None:
            self.wrong = offset
        self.received += len(data)

    def run(self):
        began = time.monotonic()
        try:
            self.answer = self.node.get(self.target, sink=self._take, rate=self.rate)
        except OSError as e:
            self.error = e
        self.seconds = time.monotonic() - began

    def check(self, timeout):
        self.join(timeout)
        assert not self.is_alive(), f"not done after {timeout} s: {self.received} bytes"
        assert self.error is None, self.error
        assert self.answer is not None and self.answer.complete and self.answer.status == 200, self.answer
        assert self.wrong is None, f"wrong bytes at {self.wrong}"
        assert self.received == self.content.size


def bounded(node, memory_mb):
    """Peak memory; asserted except under sanitizers, whose own memory counts."""
    peak = node.peak_rss()
    assert SANITIZED or peak <= memory_mb * MIB + SLACK, f"{peak // MIB} MiB with a cache of {memory_mb} MiB"
    return f"{peak // MIB} MiB of {memory_mb} + {SLACK // MIB}"


def test_sixteen_clients_on_a_cold_object_cost_the_origin_one(start, far):
    memory = SHARED // MIB * 2
    node = start(cache__memory_cache_size_mb=memory)
    path = f"/bytes/{SHARED}/shared"
    readers = [Reader(node, far.url, path, SHARED) for _ in range(16)]
    for r in readers:
        r.check(300 * wire.SLOW)
    sent = far.stats()
    print(f"\n16 clients x {SHARED // MIB} MiB: {max(r.seconds for r in readers):.2f} s, origin sent "
          f"{sent['body_sent'] / SHARED:.3f}x in {sent['requests']} requests, peak RSS {bounded(node, memory)}, "
          f"median first byte {sorted(r.answer.first_byte_s for r in readers)[8] * 1000:.1f} ms")
    assert sent["body_sent"] <= 1.01 * SHARED
    bounded(node, memory)


def test_a_slow_reader_holds_nobody_back(start, far):
    memory = 64
    node = start(cache__memory_cache_size_mb=memory, proxy__drain_timeout_ms=100)
    path = f"/bytes/{SHARED}/slow"
    slow = Reader(node, far.url, path, SHARED, rate=MIB)
    while slow.received == 0:
        assert slow.is_alive(), slow.error
        time.sleep(0.01)
    fast = [Reader(node, far.url, path, SHARED) for _ in range(15)]
    for r in fast:
        r.check(300 * wire.SLOW)
    seconds = max(r.seconds for r in fast)
    assert slow.is_alive(), "the slow one was not slow"
    assert seconds < SHARED / MIB / 4 * wire.SLOW, f"15 fast readers took {seconds:.1f} s beside a slow one"
    at = slow.received
    deadline = time.monotonic() + 30 * wire.SLOW
    while slow.received < at + 3 * MIB:
        assert slow.is_alive() and time.monotonic() < deadline, "the slow one no longer gets anything"
        time.sleep(0.05)
    assert slow.wrong is None
    print(f"\n15 fast readers: {seconds:.2f} s while one had {at / MIB:.1f} of {SHARED // MIB} MiB; "
          f"peak RSS {bounded(node, memory)}, origin sent {far.stats()['body_sent'] / SHARED:.2f}x")


def test_a_big_object_passes_through_a_small_memory(start, far):
    memory = 64
    node = start(cache__memory_cache_size_mb=memory)
    r = Reader(node, far.url, f"/bytes/{BIG}/big", BIG)
    r.check(1500 * wire.SLOW)
    print(f"\n{BIG // MIB} MiB in {r.seconds:.1f} s ({BIG / MIB / r.seconds:.0f} MiB/s), peak RSS {bounded(node, memory)}")
    assert far.stats()["body_sent"] <= 1.01 * BIG


def test_many_small_objects_are_all_kept(start, far):
    memory, clients = (1024 if SOAK else 256), 8
    node = start(cache__memory_cache_size_mb=memory, cache__memory_ready_mb=0)  # which would be in `before`
    before = node.rss()
    lost = []

    def read(which, wanted):
        with node.connect() as c:
            for i in range(which, SMALL_OBJECTS, clients):
                path = f"/bytes/4096/o{i}"
                r = c.request("GET", far.url + path)
                if r is None or r.x_cache != wanted or r.body != Content(path, 4096).bytes():
                    lost.append((i, r))
                    return

    for wanted in ("MISS", "HIT"):
        began = time.monotonic()
        threads = [threading.Thread(target=read, args=(i, wanted)) for i in range(clients)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not lost, lost[0]
        print(f"\n{SMALL_OBJECTS} objects of 4 KiB, {wanted}: {time.monotonic() - began:.1f} s", end="")
    print(f", {(node.rss() - before) / SMALL_OBJECTS:.0f} bytes of memory each, peak RSS {bounded(node, memory)}")
    assert far.stats()["requests"] == SMALL_OBJECTS


def test_a_big_upload_needs_no_memory(start, far):
    memory = 64
    node = start(cache__memory_cache_size_mb=memory, cache__memory_ready_mb=0)  # which would be in `before`
    content, digest = Content("/up", UPLOAD), hashlib.sha256()
    before, began = node.rss(), time.monotonic()
    with node.connect() as c:
        c.send_request("PUT", far.url + "/up", [("Content-Length", str(UPLOAD))])
        for view in content.pieces():
            digest.update(view)
            c.send(view)
        r = c.read_response()
    assert r.status == 200 and r.body.decode() == f"{UPLOAD} {digest.hexdigest()}"
    grown = node.peak_rss() - before
    print(f"\nPUT of {UPLOAD // MIB} MiB in {time.monotonic() - began:.1f} s, memory grew by {grown // MIB} MiB")
    assert SANITIZED or grown <= 32 * MIB
