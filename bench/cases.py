# SPDX-License-Identifier: MIT
"""What is measured. Each function returns rows for tables.py: one list of rounds for each server."""

import contextlib
import os
import subprocess

from servers import GIB, MIB, SIZES, Load

SHAPED_RATE = 200_000_000  # bytes/s of the shaped origin
WARM_OBJECTS = 256         # of each small size
RANGE = 16 * MIB

PINNED, UNPINNED = "pinned", "unpinned"

SMALL = {"1 KiB, 64 connections": ("1k", 64), "64 KiB, 64 connections": ("64k", 64)}
LARGE = {"1 GiB, 1 stream": (1, GIB, 0), "1 GiB, 8 streams": (8, GIB, 0),
         "16 MiB ranges, 8 streams": (8, RANGE, GIB)}


class Bench:
    """What all cases share: the programs, the options, and remarks for the reader."""

    def __init__(self, origin, caches, load_program, options, is_isolated):
        self.origin, self.caches, self.load_program = origin, caches, load_program
        self.options, self.is_isolated = options, is_isolated
        self.remarks = []

    def remark(self, text):
        if text not in self.remarks:
            self.remarks.append(text)

    def modes(self):
        if os.cpu_count() < 2:
            self.remark("One processor only: the pinned mode is left out.")
            return [UNPINNED]
        return [PINNED, UNPINNED]

    def load(self, server, load, core=None):
        return load.run(server, self.load_program, core, self.options.read)


def warm(bench, cache):
    """Brings all objects of the warm cases into a cache and checks their bytes."""
    for kind in ("1k", "64k"):
        bench.load(cache, Load(f"/{kind}/{{}}", SIZES[kind], requests=WARM_OBJECTS,
                               objects=WARM_OBJECTS))
        cache.check_bytes(f"/{kind}/0", bench.origin.digests[kind])
    bench.load(cache, Load("/1g/warm", GIB, requests=1))
    cache.check_bytes("/1g/warm", bench.origin.digests["1g"])


def measure_warm(bench, cache, load, core):
    before, cpu = bench.origin.requests_and_bytes()[0], cache.cpu_seconds()
    result = bench.load(cache, load, core)
    result["server_cpu"] = cache.cpu_seconds() - cpu
    if bench.origin.requests_and_bytes()[0] != before:
        bench.remark(f"{cache.server.name} asked the origin during a warm run ({load.path}).")
    return result


def warm_load(case, seconds):
    if case in SMALL:
        kind, connections = SMALL[case]
        return Load(f"/{kind}/{{}}", SIZES[kind], connections, seconds, objects=WARM_OBJECTS)
    connections, length, object_size = LARGE[case]
    return Load("/1g/warm", length, connections, seconds, object_size=object_size)


def warm_cases(bench, cases):
    """{(mode, case): {server: [result, ...]}}"""
    rows = {}
    for mode in bench.modes():
        server_core, client_core = (0, 1) if mode == PINNED else (None, None)
        threads = 1 if mode == PINNED else 2
        with bench.caches.start("node", threads, server_core) as node, \
             bench.caches.start("nginx", threads, server_core) as nginx:
            servers = {"node": node, "nginx": nginx}
            for server in servers.values():
                warm(bench, server)
            for _ in range(bench.options.rounds):
                for case in cases:
                    row = rows.setdefault((mode, case), {name: [] for name in servers})
                    for name, server in servers.items():
                        row[name].append(measure_warm(
                            bench, server, warm_load(case, bench.options.seconds), client_core))
    return rows


@contextlib.contextmanager
def shaped_origin(bench, rate):
    """While it lasts, all that the origin sends, on all connections together, passes at -rate-."""
    if rate is None:
        yield
        return
    tc = ["tc", "qdisc", "add", "dev", "lo", "root", "handle", "1:", "htb", "default", "0"]
    subprocess.run(tc, check=True)
    try:
        subprocess.run(["tc", "class", "add", "dev", "lo", "parent", "1:", "classid", "1:1", "htb",
                        "rate", f"{rate * 8}bit", "burst", "512k", "cburst", "512k",
                        "quantum", "65536"], check=True)
        subprocess.run(["tc", "filter", "add", "dev", "lo", "parent", "1:", "protocol", "ip", "u32",
                        "match", "ip", "sport", str(bench.origin.port), "0xffff",
                        "flowid", "1:1"], check=True)
        yield
    finally:
        subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)


def rates(bench):
    if bench.is_isolated:
        return [None, SHAPED_RATE]
    bench.remark("Without a network namespace the origin cannot be shaped: left out.")
    return [None]


@contextlib.contextmanager
def fresh(bench, name):
    """The server to ask: the origin itself, or an empty cache before it."""
    if name == "direct":
        yield bench.origin
        return
    with bench.caches.start(name, 2) as cache:
        yield cache


def measure_cold(bench, name, load):
    with fresh(bench, name) as server:
        sent, cpu = bench.origin.requests_and_bytes()[1], 0.0
        if name != "direct":
            cpu = server.cpu_seconds()
        result = bench.load(server, load)
        result["origin_ratio"] = (bench.origin.requests_and_bytes()[1] - sent) / load.length
        if name != "direct":
            result["server_cpu"] = server.cpu_seconds() - cpu  # with what it did after the answer
        return result


def cold_rounds(bench, names, load, rate):
    row = {name: [] for name in names}
    with shaped_origin(bench, rate):
        for _ in range(bench.options.rounds):
            for name in names:
                row[name].append(measure_cold(bench, name, load))
    return row


def cold_fills(bench):
    """{rate: {server: [result, ...]}}: one client reads 1 GiB that nobody has."""
    load = Load("/1g/cold", GIB, requests=1)
    return {rate: cold_rounds(bench, ("direct", "node", "nginx"), load, rate)
            for rate in rates(bench)}


def collapses(bench):
    """{rate: {server: [result, ...]}}: 16 clients at once read 1 GiB that nobody has."""
    load = Load("/1g/together", GIB, connections=16, requests=16)
    return {rate: cold_rounds(bench, ("node", "nginx"), load, rate) for rate in rates(bench)}


def first_bytes(bench):
    """{kind: {server: [result, ...]}}: each request is for an object that the cache lacks."""
    rounds = bench.options.rounds
    counts = {"4k": max(100, 300 // rounds), "32m": -(-100 // rounds)}
    rows = {}
    for kind, count in counts.items():
        load = Load(f"/{kind}/{{}}", SIZES[kind], requests=count, objects=count)
        rows[kind] = cold_rounds(bench, ("direct", "node", "nginx"), load, None)
    return rows
