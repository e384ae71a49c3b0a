# SPDX-License-Identifier: MIT
"""
A disk that stalls for seconds, with a FUSE filesystem as the disk: memory answers as before, the rest
comes from the origin, no request fails, and when the disk moves again it is used again.
"""
import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest

import wire
from cluster import Cluster, peers
from content import MIB
from ports import free_ports
from tier import store, wait_for

HERE = pathlib.Path(__file__).parent
IO = pytest.mark.parametrize("io", ["io_uring", "threads"])
SIZES = [20 * MIB, 5 * MIB + 3, 300_000, 4096]
STALL_S = 5
HOT = "/bytes/2000000/hot"
PATHS = [f"/bytes/{size}/p{i}" for i in range(4) for size in SIZES]


class Stall:
    """The tier's directory through a filesystem that hangs while on() is in effect."""

    def __init__(self, tier):
        self.file = tier.top / "stall"
        (tier.top / "backing").mkdir()
        tier.dir.mkdir()
        daemon = subprocess.Popen(["/usr/bin/python3", HERE / "stallfs.py", tier.top / "backing", tier.dir, self.file])
        tier.daemons.append(daemon)
        wait_for(lambda: os.path.ismount(tier.dir) or daemon.poll() is not None)
        assert daemon.poll() is None, "stallfs did not mount"
        tier.mounts.append(tier.dir)

    def on(self):
        self.file.touch()

    def off(self):
        self.file.unlink(missing_ok=True)


@pytest.fixture
def stall(tier):
    s = Stall(tier)
    yield s
    s.off()


class Reader(threading.Thread):
    """Reads an object again and again, and remembers how long each time took."""

    def __init__(self, tier, node, path):
        super().__init__(daemon=True)
        self.tier, self.node, self.path = tier, node, path
        self.times, self.failure, self.stopping = [], None, threading.Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                began = time.monotonic()
                self.tier.exact(self.node, self.path)
                self.times.append(time.monotonic() - began)
        except Exception as e:  # reported by the test
            self.failure = repr(e)

    def has_read(self, n):
        return len(self.times) >= n or self.failure

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(20 * wire.SLOW)
        assert self.failure is None, self.failure


def percentile(values, share):
    return sorted(values)[int(share * (len(values) - 1))]


def read_all(tier, node, seconds):
    """Reads everything again and again beside one object of memory; returns the times of both."""
    times, began = [], time.monotonic()
    with Reader(tier, node, HOT) as memory:
        while time.monotonic() - began < seconds or not memory.has_read(100):
            for p in PATHS:
                at = time.monotonic()
                tier.exact(node, p)
                times.append(time.monotonic() - at)
    return times, memory.times


def told(times):
    return f"median {percentile(times, 0.5) * 1000:.1f}, p99 {percentile(times, 0.99) * 1000:.1f} ms"


@IO
def test_a_disk_that_stalls_fails_no_request_and_holds_none_up(tier, origin, stall, io):
    node = tier.start(cache__disk_io=io, cache__disk_read_deadline_ms=300)
    tier.keep(node, *PATHS, HOT)
    rest, memory = read_all(tier, node, STALL_S)
    print(f"\n{io}, well: from memory {told(memory)}; the rest {told(rest)}")

    stall.on()
    origin.forget()
    rest, memory = read_all(tier, node, STALL_S)
    print(f"{io}, stalled: from memory {told(memory)}; the rest {told(rest)}, longest {max(rest) * 1000:.0f} ms")
    for i in range(20):
        tier.exact(node, f"/bytes/1000000/new{i}")
    assert node.metrics() and node.admin("/readyz").status == 200
    s = store(node)
    assert s["state"] != "normal" and s["late_reads"] > 0, s
    assert origin.body_sent() > 0
    stall.off()

    # Nobody has to ask for anything of it.
    wait_for(lambda: store(node)["state"] == "normal", 30, why=lambda: str(store(node)))
    written = store(node)["written_blocks"]
    tier.keep(node, "/bytes/5000000/after")
    assert store(node)["written_blocks"] > written


def test_nor_does_it_in_a_cluster(tier, origin, stall):
    with Cluster(1, origin) as others:
        company = {k: v for k, v in others.options.items() if k.startswith("p2p__")}
        node = tier.start(cache__disk_read_deadline_ms=300, p2p__listen_port=free_ports(1)[0],
                          discovery__seeds=f"127.0.0.1:{others.p2p_ports[0]}", **company)
        wait_for(lambda: len(peers(node)) == 1)
        tier.keep(node, *PATHS)
        stall.on()
        for _ in range(2):
            for path in PATHS:
                tier.exact(node, path)
        assert store(node)["late_reads"] > 0
        stall.off()


def test_a_node_whose_disk_stalls_still_ends_once_it_moves(tier, origin, stall):
    node = tier.start(cache__disk_read_deadline_ms=300)
    tier.keep(node, *PATHS)
    stall.on()
    for p in PATHS[:4]:
        tier.exact(node, p)
    node.signal(signal.SIGTERM)
    wait_for(lambda: "node.drain" in node.log(), why=node.log)
    stall.off()
    assert node.wait() == 0
    node = tier.start()
    for p in PATHS:
        tier.exact(node, p)
    assert store(node)["mismatches"] == 0


def test_a_node_whose_disk_hangs_does_not_wait_for_it_without_end(tier, origin, stall):
    node = tier.start(cache__disk_read_deadline_ms=300)
    tier.keep(node, *PATHS)
    stall.on()
    for p in PATHS[:4]:
        tier.exact(node, p)
    node.signal(signal.SIGTERM)
    wait_for(lambda: "node.drain" in node.log(), why=node.log)
    node.signal(signal.SIGTERM)  # or ten seconds
    node.wanted_code = 1
    wait_for(lambda: "node.stuck" in node.log(), why=node.log)
    stall.off()  # the kernel lets go of no process whose reads hang
    assert node.wait() == 1
    node = tier.start()
    for p in PATHS:
        tier.exact(node, p)
    assert store(node)["mismatches"] == 0


def test_a_start_on_a_disk_that_stalls_serves_at_once(tier, origin, stall):
    node = tier.start()
    tier.keep(node, *PATHS)
    node.stop()
    stall.on()
    node = tier.start(is_up=False, cache__disk_read_deadline_ms=300)
    for p in PATHS:
        tier.exact(node, p)
    stall.off()
    wait_for(lambda: store(node)["state"] == "normal", 30, why=lambda: str(store(node)))
