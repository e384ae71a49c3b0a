# SPDX-License-Identifier: MIT
"""Mixed load for a while: exact bytes throughout, and neither memory nor descriptors grow."""
import os
import random
import threading
import time

import wire
from content import MIB
from node import SANITIZED

SECONDS = float(os.environ.get("ELIO_SOAK_SECONDS", "20"))
MEMORY_MB = 128
SIZES = [0, 1, 4096, 65536, 300_000, MIB, 3 * MIB + 7, 24 * MIB]


class Mix(threading.Thread):
    """One client that does a bit of everything, with its own seed."""

    def __init__(self, node, origin, seed, stop):
        super().__init__(daemon=True)
        self.node, self.origin, self.rng, self.stop = node, origin, random.Random(seed), stop
        self.done, self.failure = 0, None
        self.start()

    def run(self):
        try:
            while not self.stop.is_set():
                with self.node.connect() as c:
                    for _ in range(self.rng.randrange(1, 20)):
                        if self.stop.is_set() or not self.step(c):
                            break
                        self.done += 1
        except Exception as e:  # reported by the test, with the seed
            self.failure = repr(e)

    def step(self, c):
        size = self.rng.choice(SIZES)
        path = f"/bytes/{size}/n{self.rng.randrange(40)}"
        verb = self.rng.choice(["get"] * 6 + ["range"] * 3 + ["put", "head", "miss", "leave"])
        return getattr(self, verb)(c, path, size)

    def get(self, c, path, size, fields=()):
        r = c.request("GET", self.origin.url + path, fields)
        assert r is not None and r.complete and r.status == 200 and r.received == size, (path, r)
        assert self.origin.content(path).differs_at(0, r.body) is None, path
        return True

    def range(self, c, path, size):
        if size == 0:
            return True
        first = self.rng.randrange(size)
        last = min(size - 1, first + self.rng.randrange(2 * MIB))
        r = c.request("GET", self.origin.url + path, [("Range", f"bytes={first}-{last}")])
        assert r is not None and r.complete and r.status == 206, (path, r)
        assert r.body == self.origin.content(path).bytes(first, last + 1), path
        return True

    def head(self, c, path, size):
        r = c.request("HEAD", self.origin.url + path)
        assert r.get("Content-Length") == str(size), (path, r)
        return True

    def put(self, c, path, size):
        r = c.request("PUT", self.origin.url + "/sink", body=b"u" * self.rng.choice([0, 100, 200_000]))
        assert r is not None and r.status == 200, r
        return True

    def miss(self, c, path, size):
        r = c.request("GET", f"{self.origin.url}/absent/{self.rng.random()}")
        assert r.status == 404 and r.complete, r
        return True

    def leave(self, c, path, size):
        c.send_request("GET", self.origin.url + path)
        return False


def test_mixed_load_leaves_memory_and_descriptors_flat(start, origin):
    node = start(cache__memory_cache_size_mb=MEMORY_MB)
    stop = threading.Event()
    clients = [Mix(node, origin, seed, stop) for seed in range(8)]
    began, samples = time.monotonic(), []
    while time.monotonic() - began < SECONDS * min(wire.SLOW, 2):
        time.sleep(SECONDS / 20)
        samples.append((node.rss(), node.fds()))
        origin.forget()
        assert node.process.poll() is None, node.log()[-5000:]
    stop.set()
    for seed, c in enumerate(clients):
        c.join(60 * wire.SLOW)
        assert c.failure is None, f"client {seed}: {c.failure}"
    half = len(samples) // 2
    early, late = (max(s[0] for s in part) for part in (samples[half // 2:half], samples[half:]))
    print(f"\n{sum(c.done for c in clients)} requests in {time.monotonic() - began:.0f} s, RSS {early // MIB} -> "
          f"{late // MIB} MiB, descriptors {samples[half][1]} -> {samples[-1][1]}")
    assert SANITIZED or late <= early + 16 * MIB
    assert SANITIZED or late <= (MEMORY_MB + 64) * MIB
    assert max(s[1] for s in samples) < 400
