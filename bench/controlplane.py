# SPDX-License-Identifier: MIT
"""The control plane beside redis-server: beats and questions for locations, and how much memory what they ask takes.

redis-server does the nearest equivalent: a beat is HSET of the same figures and PEXPIRE; what a node has, and who has a
chunk, are sets; a question for eight chunks is eight SMEMBERS in one write. It writes nothing to disk; nor does a beat to
the control plane's, which gathers them.
"""

import http.client
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time

import disk
from servers import BenchError, end_with_parent, free_port

OBJECT_CHUNKS = 64  # 1 GiB of an object
COPIES = 3
PER_NODE = 32000
FIELDS = {"online": True, "memory_used_mb": 3912.5, "disk_used_mb": 88123.25, "cache_hit_rate": 0.8125, "total_chunks": PER_NODE,
          "active_connections": 57, "upload_speed_mbps": 812.5, "download_speed_mbps": 120.75, "timestamp": 1789000000000}


def chunk(number, index):
    return f"{number:032x}-{index:08x}"


class Cluster:
    """nodes x 32,000 chunks; each object, of 64 chunks, is on three nodes."""

    def __init__(self, nodes):
        self.nodes, self.copies = nodes, min(COPIES, nodes)
        self.objects = nodes * PER_NODE // OBJECT_CHUNKS // self.copies
        self.of_node = {n: [] for n in range(nodes)}
        for o in range(self.objects):
            for c in range(self.copies):
                self.of_node[(o + c * (nodes // self.copies)) % nodes].append(o)

    def chunks(self, node):
        return [chunk(o, i) for o in self.of_node[node] for i in range(OBJECT_CHUNKS)]

    def some(self, rng, n):
        """A range of an object, or of several."""
        found = []
        while len(found) < n:
            o = rng.randrange(self.objects)
            first = rng.randrange(OBJECT_CHUNKS)
            found += [chunk(o, i) for i in range(first, OBJECT_CHUNKS)]
        return found[:n]


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


class Server:
    def __init__(self, command, port, is_ready):
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        preexec_fn=end_with_parent)
        self.port = port
        began = time.monotonic()
        while not is_ready(port):
            if self.process.poll() is not None or time.monotonic() - began > 120:
                raise BenchError(f"{command[0]} did not start:\n{self.process.stdout.read1().decode()}")
            time.sleep(0.002)
        self.start_s = time.monotonic() - began

    def stop(self):
        self.process.terminate()
        self.process.communicate()


def answers_http(port):
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        c.request("GET", "/readyz")
        return c.getresponse().status == 200
    except OSError:
        return False


def answers_redis(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(b"PING\r\n")
            return s.recv(16) == b"+PONG\r\n"
    except OSError:
        return False


# ---- ours ----

def http_question(method, path, body):
    data = json.dumps(body, separators=(",", ":")).encode()
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


class Plane:
    name, protocol = "eliocp", "http"

    def __init__(self, program, directory):
        self.program, self.directory = program, directory
        self.start()

    def start(self):
        port = free_port()
        # Nodes of the benchmark beat only while it measures.
        self.server = Server([self.program, f"--port={port}", "--bind=127.0.0.1", f"--data-dir={self.directory}", "--log-level=warn",
                              "--liveness.dead_ms=3000000", "--liveness.forget_ms=3600000", "--replication.enable=false"], port, answers_http)

    def fill(self, cluster):
        c = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        for n in range(cluster.nodes):
            card = {"node_id": f"node-{n}", "address": f"10.0.{n // 250}.{n % 250}", "p2p_port": 9000, "http_port": 8082, "zone": f"z{n % 4}"}
            chunks = cluster.chunks(n)
            for method, path, body in (("POST", "/api/v1/nodes", card), ("PUT", f"/api/v1/nodes/node-{n}/chunks", {"chunk_ids": chunks, "epoch": 1}),
                                       ("PUT", f"/api/v1/nodes/node-{n}/heartbeat", FIELDS)):
                c.request(method, path, json.dumps(body))
                r = c.getresponse()
                if r.status not in (201, 204):
                    raise BenchError(f"{method} {path}: {r.status} {r.read()[:200]}")
                r.read()

    def restart(self):
        """Seconds until it serves again, with everything."""
        self.server.stop()
        self.start()
        return self.server.start_s

    def beat(self, node):
        return http_question("PUT", f"/api/v1/nodes/node-{node}/heartbeat", FIELDS), 1

    def locate(self, chunks):
        return http_question("POST", "/api/v1/chunks/locations", {"chunk_ids": chunks}), 1


# ---- the yardstick ----

def redis_command(*words):
    words = [str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Redis:
    name, protocol = "redis-server", "redis"

    def __init__(self, directory):
        port = free_port()
        self.server = Server(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory,
                              "--daemonize", "no"], port, answers_redis)

    def fill(self, cluster):
        with socket.create_connection(("127.0.0.1", self.server.port)) as s:
            rd = s.makefile("rb")
            for n in range(cluster.nodes):
                commands = [redis_command("SADD", f"has:{n}", *cluster.chunks(n))]
                commands += [redis_command("SADD", f"c:{c}", f"node-{n}") for c in cluster.chunks(n)]
                s.sendall(b"".join(commands))
                for _ in commands:
                    if not rd.readline().startswith(b":"):
                        raise BenchError("redis-server refused a set")

    def beat(self, node):
        fields = [x for pair in FIELDS.items() for x in pair]
        return redis_command("HSET", f"node:{node}", *fields) + redis_command("PEXPIRE", f"node:{node}", 90000), 2

    def locate(self, chunks):
        return b"".join(redis_command("SMEMBERS", f"c:{c}") for c in chunks), len(chunks)


# ---- measuring ----

def questions(server, cluster, kinds, rng):
    """kinds: {class: function that gives (bytes, replies)}, in turn."""
    for _ in range(2000):
        for number, make in kinds.items():
            data, replies = make()
            yield b"%d %d %d\n" % (len(data), replies, number) + data


def ask(program, server, cluster, connections, seconds, kinds, directory):
    path = directory / "questions"
    with path.open("wb") as f:
        f.writelines(questions(server, cluster, kinds, random.Random(7)))
    out = disk.run([program, server.protocol, server.server.port, connections, seconds, path])[0]
    result = json.loads(out)
    if result["failed"] > 0:
        raise BenchError(f"{server.name}: {result['failed']} answers were errors")
    return result


def measure_one(server, program, cluster, options, directory):
    rng = random.Random(3)
    seconds = 2 if options.quick else 5
    mix = {0: lambda: server.beat(rng.randrange(cluster.nodes)), 1: lambda: server.locate(cluster.some(rng, 8))}
    many = {0: lambda: server.locate(cluster.some(rng, 1000))}
    return {"mix": ask(program, server, cluster, 16, seconds, mix, directory),
            "thousand": ask(program, server, cluster, 1, seconds / 2, many, directory)}


def measure(find, options):
    """{server: {"mix": [result, ...], "thousand": [...], "rss": bytes, ...}}, and of bigger clusters [(nodes, ...)]."""
    program, eliocp = find("elio_ask"), pathlib.Path(options.elionode).resolve().parent.parent / "controlplane" / "eliocp"
    if not os.access(eliocp, os.X_OK):
        raise BenchError(f"{eliocp} is missing: build the target eliocp")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="elio-bench-"))
    cluster, servers, rows = Cluster(100), [], {}
    try:
        servers = [Plane(eliocp, directory / "plane"), Redis(directory)]
        for s in servers:
            rows[s.name] = {"idle": resident(s.server.process.pid), "start_s": s.server.start_s, "mix": [], "thousand": []}
            s.fill(cluster)
            rows[s.name]["rss"] = resident(s.server.process.pid)
        for _ in range(options.rounds):
            for s in servers:
                for what, result in measure_one(s, program, cluster, options, directory).items():
                    rows[s.name][what].append(result)
        rows["eliocp"]["restart_s"] = servers[0].restart()
        rows["eliocp"]["store"] = sum(f.stat().st_size for f in (directory / "plane").rglob("*") if f.is_file())
    finally:
        for s in servers:
            s.server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return rows, [] if options.quick else [big(eliocp)]


def big(eliocp):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="elio-bench-"))
    plane = None
    try:
        cluster = Cluster(1000)
        plane = Plane(eliocp, directory)
        plane.fill(cluster)
        rss = resident(plane.server.process.pid)
        return {"nodes": 1000, "rss": rss, "restart_s": plane.restart(), "rss_after": resident(plane.server.process.pid),
                "store": sum(f.stat().st_size for f in directory.rglob("*") if f.is_file())}
    finally:
        if plane is not None:
            plane.server.stop()
        shutil.rmtree(directory, ignore_errors=True)
