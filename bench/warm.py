# SPDX-License-Identifier: MIT
"""One node reads an object that five others have in memory, over unshaped loopback, beside iperf3: bench/run --only warm.

Each measurement has a cluster of its own. A client reads the object through the sixth node, which has nothing, once;
its clock runs from the request to the last byte. iperf3 sends from five streams to one, and does nothing with the bytes.

Where the machine is a virtual one, memory that nobody used for some seconds may be the host's again, and to get it back
costs more than all else. So the same is measured twice: with memory that somebody has given back just before, and
with whatever memory the kernel finds.
"""

import contextlib
import json
import mmap
import pathlib
import shutil
import tempfile
import time
import urllib.request

import links
import servers
from servers import GIB, MIB, BenchError, free_port

WARM = 5
PATH, KIND = "/1g/warm", "1g"
OBJECT_AND_MORE = GIB + 384 * MIB
# Whether links are TLS, and whether the memory was in use just before.
WAYS = {"plain": (False, True), "TLS": (True, True), "plain, memory as found": (False, False), "TLS, memory as found": (True, False)}
QUIET_S, QUIET_CPU_S, PATIENCE_S = 0.5, 0.02, 30


class Node(servers.Server):
    """Of a cluster; asked as a forward proxy."""

    def __init__(self, directory, name, elionode, peers, seeds, secret):
        self.admin, port = free_port(), free_port()
        command = [elionode, f"--general.node_id={name}", f"--general.state_dir={directory / name}", "--general.log_level=warn",
                   "--general.bind_address=127.0.0.1", f"--proxy.listen_port={port}", f"--admin.listen_port={self.admin}",
                   "--cache.memory_cache_size_mb=2048", "--cache.disk_cache_size_mb=0", "--p2p.enable=true", f"--p2p.listen_port={peers}",
                   f"--discovery.seeds={seeds}"]
        if secret is not None:
            command.append(f"--p2p.cluster_secret_file={secret}")
        super().__init__(name, command, port, log=directory / f"{name}.log")

    def get(self, path):
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{self.admin}{path}") as answer:
            return answer.read().decode()

    def knows(self, n):
        return sum(p["state"] == "active" for p in json.loads(self.get("/api/v1/status"))["peers"]) == n

    def from_peers(self):
        """Bytes of blocks that peers gave."""
        return next(int(line.split()[-1]) for line in self.get("/metrics").splitlines() if line.startswith("eliop2p_p2p_bytes_in_total "))


class Cluster:
    """Five nodes that have the object, and one that has nothing."""

    via = "proxy"  # servers.Cache asks how

    def __init__(self, directory, origin, elionode, load, has_secret):
        self.directory, self.origin, self.elionode, self.load = directory, origin, elionode, load
        self.ports = [free_port() for _ in range(WARM + 1)]
        self.secret = self.write_secret() if has_secret else None
        self.nodes = []

    def write_secret(self):
        path = self.directory / "secret"
        path.write_text("a secret of this run only, longer than any dictionary\n")
        path.chmod(0o600)
        return path

    def start(self, n):
        """Until there are so many and all know each other."""
        seeds = ",".join(f"127.0.0.1:{p}" for p in self.ports[:2])
        while len(self.nodes) < n:
            i = len(self.nodes)
            self.nodes.append(Node(self.directory, f"node-{i}", self.elionode, self.ports[i], seeds, self.secret))
        wait_for(lambda: all(node.knows(n) for node in self.nodes), "the nodes do not find each other")

    def read(self, node, reads=False):
        cache = servers.Cache(self, node, self.directory, True)
        result = servers.Load(PATH, GIB, requests=1).run(cache, self.load, reads=reads)
        if result["errors"] != 0 or result["bytes"] != GIB:
            raise BenchError(f"{node.name} did not give the object")
        return result

    def check(self, node):
        servers.Cache(self, node, self.directory, True).check_bytes(PATH, self.origin.digests[KIND])

    def cpu_seconds(self):
        return [node.cpu_seconds() for node in self.nodes]

    def is_quiet(self):
        before = sum(self.cpu_seconds())
        time.sleep(QUIET_S)
        return sum(self.cpu_seconds()) - before <= QUIET_CPU_S

    def measure(self, is_touched, reads):
        self.start(WARM)
        for node in self.nodes:
            self.read(node)
        self.start(WARM + 1)
        wait_for(self.is_quiet, "the nodes do not come to rest")
        reader = self.nodes[-1]
        sent, cpu = self.origin.requests_and_bytes()[1], self.cpu_seconds()
        if is_touched:
            touch_memory()
        result = self.read(reader, reads)
        spent = [after - before for after, before in zip(self.cpu_seconds(), cpu)]
        result.update(reader_cpu=spent[-1], senders_cpu=sum(spent[:-1]), peers_gave=reader.from_peers(),
                      egress=(self.origin.requests_and_bytes()[1] - sent) / GIB)
        self.check(reader)
        return result

    def stop(self):
        for node in self.nodes:
            node.stop()


def touch_memory():
    """Uses as much as the object takes, and gives it back; in huge pages where they are to be had, as the reader will."""
    with mmap.mmap(-1, OBJECT_AND_MORE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for offset in range(0, OBJECT_AND_MORE, mmap.PAGESIZE):
            memory[offset] = 1


def wait_for(what, why):
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > deadline:
            raise BenchError(why)
        time.sleep(0.02)


class Bench:
    def __init__(self, directory, find, options):
        self.directory, self.options = directory, options
        self.elionode, self.load = str(pathlib.Path(options.elionode).resolve()), find("elio_load")
        self.origin = servers.Origin(directory / "origin")

    def measure(self, has_tls, is_touched):
        directory = self.directory / "nodes"
        directory.mkdir()
        cluster = Cluster(directory, self.origin, self.elionode, self.load, has_tls)
        try:
            return cluster.measure(is_touched, self.options.read)
        finally:
            cluster.stop()
            shutil.rmtree(directory)


def measure(find, options):
    """{way: {"nodes" or "iperf3": [result, ...]}}"""
    shm = pathlib.Path("/dev/shm")
    seconds = 1 if options.quick else 3
    rows = {way: {"nodes": [], "iperf3": []} for way in WAYS}
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(tempfile.mkdtemp(prefix="elio-warm-", dir=shm if shm.is_dir() else None))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        bench = Bench(directory, find, options)
        stack.callback(bench.origin.stop)
        for _ in range(options.rounds):
            for way, row in rows.items():
                row["nodes"].append(bench.measure(*WAYS[way]))
                row["iperf3"].append(links.run_iperf(seconds))
    return rows
