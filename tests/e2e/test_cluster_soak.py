# SPDX-License-Identifier: MIT
"""
Mixed load on a cluster while objects change, are purged and evicted, the origin fails, and nodes are killed, lose their
disk, stand still and come back: what a client gets is one version, whole and exact, no older than its freshness allows;
or it is visibly cut off, and for a reason.
"""
import collections
import json
import os
import random
import shutil
import signal
import threading
import time
import traceback

import pytest
import wire
from cluster import Cluster
from content import MIB, Content
from node import SANITIZED
from tier import wait_for

SECONDS = float(os.environ.get("ELIO_SOAK_SECONDS", "20")) * min(wire.SLOW, 2)
NODES, CLIENTS, NAMES = 4, 6, 30
MEMORY_MB, DISK_MB = 64, 512
SIZES = [1, 4096, 70_000, MIB, 3 * MIB + 7, 20 * MIB, 40 * MIB]
FRESH_S = 1
LIFETIMES = {"no-cache": 0, f"max-age={FRESH_S}": FRESH_S, "max-age=3600": None}
# A request may get the answer to a question that another one has asked, and a thread here may wait for its turn.
SLACK_S = 3 * wire.SLOW
SIGNED = ("Authorization", "AWS4-HMAC-SHA256 Credential=K/20260901/r/s3/aws4_request, SignedHeaders=host;range;x-amz-date, "
                           "Signature=00")


class Library:
    """The objects of the origin; which version of each was there when."""

    def __init__(self, origin, rng):
        self.origin, self.rng, self.lock = origin, rng, threading.Lock()
        self.rules, self.spans = {}, {}  # path -> Cache-Control; path -> [[version, from, to]]
        for i in range(NAMES):
            path, size = f"/o/{i}", SIZES[i % len(SIZES)]
            self.rules[path] = list(LIFETIMES)[i % len(LIFETIMES)]
            self.spans[path] = [[1, 0, float("inf")]]
            origin.add(path, size=size, cache_control=self.rules[path], ranges=i % 11 != 10,
                       framing="chunked" if i % 5 == 4 else "length")

    def change(self):
        path = self.rng.choice(list(self.rules))
        with self.lock:
            k = self.origin.objects[path]
            self.spans[path].append([k.version + 1, time.monotonic(), float("inf")])
            k.version += 1
            self.spans[path][-2][2] = time.monotonic()
        return path

    def version_of(self, path, etag):
        size = self.origin.objects[path].size
        return next((v for v, _, _ in self.spans[path] if Content(path, size, v).etag == etag), None)

    def was_there(self, path, version, since, until):
        with self.lock:
            _, first, last = self.spans[path][version - 1]
        return first <= until and last >= since

    def is_past(self, path, etag):
        """What is cached in part of a version that is gone cannot be completed."""
        with self.lock:
            return self.version_of(path, etag) != len(self.spans[path])


class Reader(threading.Thread):
    def __init__(self, cluster, library, nemesis, seed, stop):
        super().__init__(daemon=True)
        self.cluster, self.library, self.nemesis, self.stop = cluster, library, nemesis, stop
        self.rng, self.count, self.failure = random.Random(seed), collections.Counter(), None
        self.seen = {}  # path -> ETag
        self.start()

    def run(self):
        try:
            while not self.stop.is_set():
                self.visit(self.rng.randrange(NODES))
        except Exception:  # reported by the test, with the seed
            self.failure = traceback.format_exc()
            self.stop.set()

    def visit(self, i):
        node, since = self.cluster.nodes[i], time.monotonic()
        try:
            with node.connect() as c:
                for _ in range(self.rng.randrange(1, 12)):
                    if self.stop.is_set() or not self.read(c, i, since):
                        return
        except ConnectionError:
            self.count["no connection"] += 1
            assert node.process.poll() is not None or self.nemesis.was_at(i, since - SLACK_S), node.log()[-5000:]
            self.stop.wait(0.05)

    def read(self, c, i, since):
        """False: the connection, which is there since then, is of no more use."""
        path = self.rng.choice(list(self.library.rules))
        size, began = self.library.origin.objects[path].size, time.monotonic()
        first, last, fields, method = 0, size - 1, [], "HEAD" if self.rng.random() < 0.1 else "GET"
        if method == "GET" and self.rng.random() < 0.4:
            first = self.rng.randrange(size)
            last = min(size - 1, first + self.rng.randrange(self.rng.choice([1, 3, 20]) * MIB))
            fields = [("Range", f"bytes={first}-{last}")]
            fields += [SIGNED] if self.rng.random() < 0.3 else []
        if self.rng.random() < 0.2 and path in self.seen:
            fields.append(("If-None-Match", self.seen[path]))
        c.send_request(method, self.library.origin.url + path, fields)
        if self.rng.random() < 0.05:
            return False  # and leaves
        try:
            r = c.read_response(method, rate=self.rng.choice([0, 0, 0, 8 * MIB]))
        except TimeoutError as e:
            raise AssertionError(f"no answer: {path} {fields} {self.state()}") from e
        if r is None or not r.complete:
            why = self.nemesis.was_at(i, since) or self.nemesis.had_trouble(path, began)
            assert why or (r is not None and self.library.is_past(path, r.get("ETag"))), (path, fields, r, time.monotonic() - since, self.nemesis.raids, self.cluster.nodes[i].log()[-3000:])
            self.count["cut off"] += 1
            return False
        if r.status in (502, 503, 504) and self.nemesis.had_trouble(path, began):
            self.count["no answer of the origin"] += 1
            return r.get("Connection") != "close"
        assert r.status < 400, (path, fields, r, r.body, self.cluster.nodes[i].log()[-3000:])
        self.judge(path, r, first, last, fields, began, method)
        return True

    def state(self):
        return "\n".join(f"{n.status()}\n{n.log()[-5000:]}" for n in self.cluster.alive())

    def judge(self, path, r, first, last, fields, began, method):
        version = self.library.version_of(path, r.get("ETag"))
        assert version, (path, r)
        if r.status == 304:
            assert ("If-None-Match", r.get("ETag")) in fields, (path, fields, r)
        else:
            content = Content(path, self.library.origin.objects[path].size, version)
            if r.status == 200 and not self.library.origin.objects[path].ranges:
                first, last = 0, content.size - 1
            length = last - first + 1
            is_part = r.status == 206 or (self.library.origin.objects[path].ranges and fields and fields[0][0] == "Range")
            assert r.status == (206 if is_part else 200), (path, fields, r)
            assert int(r.get("Content-Length", length)) == length and content.differs_at(first, r.body) is None, (path, fields, r)
            assert r.received == (length if method == "GET" else 0), (path, fields, r)
        self.seen[path] = r.get("ETag")
        lifetime = LIFETIMES[self.library.rules[path]]
        if lifetime is not None:
            since = began - lifetime - SLACK_S
            assert self.library.was_there(path, version, since, time.monotonic()), (path, r, version, self.library.spans[path])
        self.count["304" if r.status == 304 else (r.x_cache or "none").split()[0]] += 1
        self.count["MiB"] += r.received / MIB


class Nemesis(threading.Thread):
    """Changes objects, purges them, has the origin fail, and kills nodes, one at a time."""

    def __init__(self, cluster, library, rng, stop):
        super().__init__(daemon=True)
        self.cluster, self.library, self.rng, self.stop = cluster, library, rng, stop
        self.count, self.failure = collections.Counter(), None
        self.raids, self.troubles = [], []  # [node or path, from, to]

    def was_at(self, node, since):
        """Whether that node (None: any) was away at some time since."""
        return any(node in (None, who) and until + 1 >= since for who, _, until in list(self.raids))

    def had_trouble(self, path, since):
        """Whether the origin failed at some time since to give that; what was asked then may come later."""
        return any(path == what and until + SLACK_S >= since for what, _, until in list(self.troubles))

    def run(self):
        try:
            while not self.stop.wait(self.rng.uniform(0, 0.5)):
                getattr(self, self.rng.choice(["change"] * 8 + ["purge"] * 3 + ["raid", "trouble", "pin"] * 2 + ["freeze", "warm"]))()
        except Exception:
            self.failure = traceback.format_exc()
            self.stop.set()

    def change(self):
        self.library.change()
        self.count["changes"] += 1

    def order(self, what, body=b"", query=""):
        node = self.rng.choice(self.cluster.nodes)
        self.count[what] += 1
        return wire.fetch(node.admin_port, f"/api/v1/cache/{what}{query}", method="POST", body=body)

    def any_url(self):
        return self.library.origin.url + self.rng.choice(list(self.library.rules))

    def purge(self):
        r = self.order("purge", query=f"?url={self.any_url()}")
        assert r.status == 200, r

    def pin(self):
        """There may be nothing to pin, or no room for it."""
        r = self.order(self.rng.choice(["pin", "unpin"]), query=f"?url={self.any_url()}")
        assert r.status in (200, 404, 409, 507), r

    def warm(self):
        r = self.order("warm", body=json.dumps({"urls": [self.any_url() for _ in range(3)]}).encode())
        assert r.status in (200, 202), r

    def trouble(self):
        path = self.rng.choice(list(self.library.rules))
        k = self.library.origin.objects[path]
        name = self.rng.choice(["fail_status", "reset_at", "truncate_at", "delay_head"])
        value = {"fail_status": 503, "delay_head": 0.5}.get(name, self.rng.randrange(k.size))
        self.troubles.append([path, time.monotonic(), float("inf")])
        before = getattr(k, name)
        setattr(k, name, value)
        self.stop.wait(self.rng.uniform(0, 1))
        setattr(k, name, before)
        self.troubles[-1][2] = time.monotonic()
        self.count["troubles"] += 1

    def freeze(self):
        """To its clients it is slow; to the others' clients it shall be nothing."""
        node = self.rng.choice(self.cluster.nodes)
        node.signal(signal.SIGSTOP)
        self.stop.wait(self.rng.uniform(0, 2))
        node.signal(signal.SIGCONT)
        self.count["freezes"] += 1

    def raid(self):
        i = self.rng.randrange(NODES)
        raid = [i, time.monotonic(), float("inf")]
        self.raids.append(raid)
        kind = self.rng.choice(["crash", "crash", "stop", "loss"])
        self.cluster.stop(i) if kind == "stop" else self.cluster.crash(i)
        if kind == "loss":  # the disk with it
            shutil.rmtree(self.cluster.dir / f"disk-{i}", ignore_errors=True)
            shutil.rmtree(self.cluster.dir / f"state-{i}", ignore_errors=True)
        self.stop.wait(self.rng.uniform(0, 1.5))
        start(self.cluster, i)
        raid[2] = time.monotonic()
        self.count[kind] += 1


def start(cluster, i, wait=False):
    return cluster.start(i, wait=wait, cache__disk_cache_path=cluster.dir / f"disk-{i}")


def is_quiet(node):
    m = node.metrics()
    return m["eliop2p_origin_running"] == 0 and node.status()["p2p"]["downloads"] == 0


def test_clients_of_a_cluster_in_trouble_get_right_bytes_or_a_visible_end(origin):
    seed = int(os.environ.get("ELIO_SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
    print(f"\nELIO_SOAK_SEED={seed}")
    options = {"cache__memory_cache_size_mb": MEMORY_MB, "cache__disk_cache_size_mb": DISK_MB, "cache__disk_commit_ms": 50}
    library = Library(origin, random.Random(seed))
    with Cluster(NODES, origin, start=start, **options) as cluster:
        stop = threading.Event()
        nemesis = Nemesis(cluster, library, random.Random(seed + 1), stop)
        nemesis.start()
        readers = [Reader(cluster, library, nemesis, seed + 2 + i, stop) for i in range(CLIENTS)]
        stop.wait(SECONDS)
        stop.set()
        for t in [nemesis, *readers]:
            t.join(60 * wire.SLOW)
            assert not t.is_alive(), "it does not end"
        for t in [nemesis, *readers]:
            if t.failure is not None:
                pytest.fail(t.failure, pytrace=False)
        tell(nemesis, readers)
        all_is_well_again(cluster, library)


def tell(nemesis, readers):
    total = sum((r.count for r in readers), collections.Counter())
    print(f"{dict(nemesis.count)}\n" + ", ".join(f"{k} {v:.0f}" for k, v in sorted(total.items())))
    assert total["HIT"] > 0 and total["MISS"] > 0 and total["P2P"] > 0 and all(r.count for r in readers)


def all_is_well_again(cluster, library):
    cluster.wait_until_known()
    for path in library.rules:
        if library.rules[path] == "no-cache":
            now = library.origin.content(path)
            for r in cluster.get_all(path):
                assert r.status == 200 and r.complete and r.get("ETag") == now.etag, (path, r)
                assert now.differs_at(0, r.body) is None, path
    for node in cluster.nodes:
        wait_for(lambda node=node: is_quiet(node), 30, why=lambda node=node: f"{node.status()}")
        assert node.fds() < 300, node.fds()
        assert SANITIZED or node.rss() < (MEMORY_MB + 192) * MIB, node.rss() // MIB
