# SPDX-License-Identifier: MIT
"""One object to all nodes of a cluster at once: how soon the last one has it, and what the origin gave for that.

Each way of doing it runs on the same network (cluster_net.py) from cold. The bound is F/B: a link of B
bits a second cannot bring F bits sooner, and 4.6 % of what it carries are headers.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import cluster_net
import servers
import tables

HERE = pathlib.Path(__file__).parent
SECONDS = 400        # for a case that should take a tenth of that
PROXY, ADMIN, PEERS, ORIGIN = 8080, 8082, 9000, 80
PIECE_KIB = 128      # of torrents: the best of a sweep
STAGGER_S = 1.0
READY_MIB = 256      # cache.memory_ready_mb, as it is unless told otherwise
SLOWER = 10

ORIGIN_CONF = """
daemon off; pid {dir}/pid; error_log {dir}/error.log warn; worker_processes 1; user root;
events {{ worker_connections 4096; }}
http {{
  default_type application/octet-stream;
  log_format sent '$body_bytes_sent'; access_log {dir}/sent.log sent;
  sendfile on; tcp_nopush off; keepalive_timeout 1h;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{
    listen {address}:{port}; root {dir}/files;
    location / {{ add_header Cache-Control max-age=86400; }}
  }}
}}
"""


@dataclasses.dataclass(frozen=True)
class Shape:
    nodes: int
    mbit: int
    mib: int

    def bound(self):
        return self.mib * servers.MIB * 8 / (self.mbit * 1e6)


SHAPES = (Shape(8, 200, 256), Shape(16, 100, 128))


class Program:
    """A process in a namespace; its processor time is known while it runs and afterwards."""

    def __init__(self, host, *command, log=None):
        with open(log or os.devnull, "ab") as err:
            self.process = subprocess.Popen(host.inside(*command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=err, text=True, preexec_fn=servers.end_with_parent)
        self.usage, self.name = None, pathlib.Path(str(command[0])).name
        self.mutex = threading.Lock()

    def line(self):
        return self.process.stdout.readline().strip()

    def wait_line(self, wanted):
        if self.line() != wanted:
            raise servers.BenchError(f"{self.name} ended before it was {wanted}")

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def wait(self):
        """The exit code; any number of threads may wait."""
        with self.mutex:
            if self.usage is None:
                _, status, self.usage = os.wait4(self.process.pid, 0)
                self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode

    def cpu_seconds(self):
        if self.usage is not None:
            return self.usage.ru_utime + self.usage.ru_stime
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / servers.TICKS

    def end(self, which=signal.SIGTERM):
        # Closed first: some end by that. A pid is ours until somebody has waited for it.
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if self.usage is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, which)  # send_signal() would wait for it as well
        self.wait()
        self.process.stdout.close()


class Origin:
    """nginx with two objects: /big, of the size that the shape says, and /small."""

    def __init__(self, directory, shape):
        self.directory, self.digests = directory, {}
        (directory / "files").mkdir(parents=True)
        for name, size in (("big", shape.mib * servers.MIB), ("small", 4096)):
            self.digests[name] = servers.write_random_file(directory / "files" / name, size)
        self.log = directory / "sent.log"

    def start(self, host):
        conf = self.directory / "nginx.conf"
        conf.write_text(ORIGIN_CONF.format(dir=self.directory, address=host.address, port=ORIGIN))
        self.log.write_text("")
        program = Program(host, servers.find_nginx(), "-p", self.directory, "-e", self.directory / "error.log",
                          "-c", conf)
        wait_for(lambda: (self.directory / "pid").exists(), "nginx does not start")
        return program

    def bodies(self):
        """Bytes of each request's answer."""
        time.sleep(0.2)  # one is logged after its last byte was heard
        return [int(n) for n in self.log.read_text().split()]

    def url(self, host, name):
        return f"http://{host.address}:{ORIGIN}/{name}"


def wait_for(what, why, seconds=20):
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise servers.BenchError(why)
        time.sleep(0.02)


# ---- the ways ----

class Way:
    """begin(i) starts node i; wait(i) returns when it has the object, whether it has."""

    cases = ("cold",)

    def __init__(self, run):
        self.run, self.net, self.programs, self.by_node, self.clients = run, run.net, [], {}, {}

    def add(self, host, *command, node=None, log=None):
        p = Program(host, *command, log=log)
        self.programs.append(p)
        self.by_node.setdefault(node, []).append(p)
        return p

    def prepare(self):
        """All that is not counted: what is up before anybody wants the object."""

    def kill(self, node):
        for p in self.by_node[node]:
            p.end(signal.SIGKILL)

    def settle(self):
        """What programs do for themselves before anybody wants the object has been done."""

    def bodies(self):
        return self.run.origin.bodies()

    def cpu_seconds(self):
        return sum(p.cpu_seconds() for node, ps in self.by_node.items() if node is not None for p in ps)

    def stop(self):
        for p in self.programs:
            p.end()


# Into a file that is there, and keeps its memory.
INTO = 'out=$1; shift; exec "$@" 1<>"$out"'


class Direct(Way):
    """Each node asks the origin by itself."""

    label = "every node from the origin (curl)"
    cases = ("cold", "small")
    options = ()

    def begin(self, i):
        self.clients[i] = self.add(self.net.nodes[i], "sh", "-c", INTO, "sh", self.run.out(i), "curl", "-s", "-S", "-f",
                                   "--noproxy", "" if self.options else "*", *self.options, self.run.url, node=i,
                                   log=self.run.directory / "curl.log")

    def wait(self, i):
        return self.clients[i].wait() == 0


class Relay(Way):
    label = "a relay chain in a fixed order"

    def prepare(self):
        self.chain = []
        for i, host in enumerate(self.net.nodes):
            before = f"{self.net.nodes[i - 1].address}:{PEERS}" if i > 0 else self.run.url
            self.chain.append(self.add(host, sys.executable, HERE / "relay.py", self.run.out(i), PEERS,
                                       int(i + 1 < len(self.net.nodes)), before, node=i,
                                       log=self.run.directory / "relay.log"))
        for p in self.chain:
            p.wait_line("ready")

    def begin(self, i):
        self.chain[i].go()

    def wait(self, i):
        return self.chain[i].wait() == 0


class Torrent(Way):
    """The origin is the first to have it, and a peer like the others."""

    label = f"libtorrent, pieces of {PIECE_KIB} KiB"
    cases = ("cold", "staggered", "slow", "killed")

    def prepare(self):
        python = python_with("libtorrent")
        program, files = HERE / "torrent.py", self.run.origin.directory / "files"
        torrent = self.run.directory / "torrent"
        subprocess.run([python, program, "make", files / self.run.name, torrent, str(PIECE_KIB)], check=True)
        hosts = [self.net.origin, *self.net.nodes]
        log = self.run.directory / "torrent.log"
        self.peers = []
        for i, host in enumerate(hosts):
            where = files if i == 0 else self.run.out(i - 1).parent
            self.peers.append(self.add(host, python, program, "get" if i > 0 else "seed", torrent, where,
                                       host.address, *(h.address for h in hosts if h is not host),
                                       node=i - 1 if i > 0 else None, log=log))
        for p in self.peers:
            p.wait_line("ready")
        self.peers[0].go()
        self.peers[0].wait_line("done")

    def bodies(self):
        return []

    def begin(self, i):
        self.peers[i + 1].go()

    def wait(self, i):
        return self.peers[i + 1].line() == "done"


def python_with(module):
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0:
            return python
    raise servers.BenchError(f"python3-{module} is not installed")


class Alone(Direct):
    """A node beside each client, and none knows of another."""

    label = "elionode, each by itself"
    cases = ("cold", "small")
    options = ("-x", f"http://127.0.0.1:{PROXY}")
    ready_mib = READY_MIB

    def prepare(self):
        self.logs = []
        for i, host in enumerate(self.net.nodes):
            log = self.run.directory / f"node-{i}.log"
            self.logs.append(log)
            self.add(host, self.run.elionode, f"--general.node_id=node-{i}", "--cache.disk_cache_size_mb=0",
                     "--cache.memory_cache_size_mb=4096", *self.options_of(i),
                     node=i, log=log)
        for log in self.logs:
            wait_for(lambda log=log: "node.ready" in log.read_text(), f"a node does not start: {log.read_text()}")

    def settle(self):
        for i in range(len(self.net.nodes)):
            wait_for(lambda i=i: self.has_memory(i), f"node {i} does not get its memory ready", 60)
        self.idle = sum(p.cpu_seconds() for p in self.programs)

    def has_memory(self, i):
        return self.api(i, "/api/v1/status")["cache"]["memory"]["ready_bytes"] >= self.ready_mib * servers.MIB

    def options_of(self, i):
        return []

    def cpu_seconds(self):
        return super().cpu_seconds() - self.idle

    def api(self, i, path):
        done = subprocess.run(self.net.nodes[i].inside("curl", "-s", "-f", "--noproxy", "*",
                                                       f"http://127.0.0.1:{ADMIN}{path}"),
                              capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else {}


class Cluster(Alone):
    """The same, and they know of each other."""

    label = "elionode, a cluster"
    cases = ("cold", "staggered", "slow", "killed", "tracker", "small")

    def options_of(self, i):
        seeds = ",".join(f"{h.address}:{PEERS}" for h in self.net.nodes[:3])
        return ["--p2p.enable=true", f"--p2p.listen_port={PEERS}", f"--p2p.cluster_secret_file={self.secret}",
                f"--discovery.seeds={seeds}", "--general.bind_address=0.0.0.0",
                f"--general.state_dir={self.run.directory / f'state-{i}'}"]

    def prepare(self):
        self.secret = self.run.directory / "secret"  # once: a node may be reading it while the next one starts
        self.secret.write_text("a secret of this run only, longer than any dictionary\n")
        self.secret.chmod(0o600)
        super().prepare()
        for i in range(len(self.net.nodes)):
            wait_for(lambda i=i: self.knows_all(i), f"node {i} does not find the others", 60)

    def knows_all(self, i):
        peers = self.api(i, "/api/v1/status").get("peers", [])
        return sum(p["state"] == "active" and not p["self"] for p in peers) == len(self.net.nodes) - 1

    def tracker(self):
        """The node that the others ask who has what of the object."""
        def takers(i):
            return self.api(i, "/api/v1/status")["p2p"]["tracker"]["takers"]
        return max(range(len(self.net.nodes)), key=takers)

    @classmethod
    def is_known_to(cls, elionode):
        text = subprocess.run([elionode, "--help"], capture_output=True, text=True).stdout
        return "--p2p.enable" in text


# ---- the cases ----

@dataclasses.dataclass
class Result:
    way: str
    bound: float          # seconds
    last: float           # of those who are not held back or killed
    median: float
    slow: float           # of the one with a slow link, 0: none
    egress: float         # bytes of the origin's link, times the object
    body: float           # bytes of answers, times the object; 0: it speaks no HTTP
    requests: int
    cpu: float


class Run:
    """One case in one way, on a network of its own."""

    others = 0  # hosts beside the nodes

    def __init__(self, directory, origin, shape, elionode, way, case):
        self.directory, self.origin, self.shape, self.elionode = directory, origin, shape, elionode
        self.way, self.case = way, case
        self.name = "small" if case == "small" else "big"
        directory.mkdir()

    def out(self, i):
        path = self.directory / f"out-{i}"
        path.mkdir(exist_ok=True)
        return path / self.name

    def size(self):
        return (self.origin.directory / "files" / self.name).stat().st_size

    def make_room(self):
        """What nodes write to has its memory before: to get that from the machine can take as long as a link."""
        for i in range(self.shape.nodes):
            self.out(i).write_bytes(bytes(self.size()))

    def measure(self):
        try:
            with cluster_net.Net(self.shape.nodes, self.shape.mbit, others=self.others) as self.net:
                if self.case == "slow":
                    self.net.nodes[-1].set_speed(self.shape.mbit / SLOWER)
                self.url = self.origin.url(self.net.origin, self.name)
                server = self.origin.start(self.net.origin)
                try:
                    return self.drive()
                finally:
                    server.end()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def drive(self):
        way = self.way(self)
        try:
            way.prepare()
            self.make_room()
            way.settle()
            sent = self.net.origin.sent_bytes()
            times = self.go(way)
            result = self.judge(way, times, self.net.origin.sent_bytes() - sent)
        finally:
            way.stop()
        return result

    def go(self, way):
        """Seconds from the beginning until each had it; None: it was killed."""
        times, threads, began = {}, [], time.monotonic()

        def watch(i):
            if way.wait(i):
                times[i] = time.monotonic() - began

        victim = None
        for i in range(self.shape.nodes):
            if self.case == "staggered":
                time.sleep(max(0, began + i * STAGGER_S - time.monotonic()))
            way.begin(i)
            threads.append(threading.Thread(target=watch, args=(i,), daemon=True))
            threads[-1].start()
        if self.case in ("killed", "tracker"):
            time.sleep(max(0, began + self.shape.bound() / 2 - time.monotonic()))
            victim = way.tracker() if self.case == "tracker" else self.shape.nodes // 2
            way.kill(victim)
        for i, t in enumerate(threads):
            t.join(max(0, began + SECONDS - time.monotonic()))
            if i != victim and i not in times:
                raise servers.BenchError(f"{way.label}, {self.case}: node {i} did not get the object")
        times.pop(victim, None)
        for i in times:
            self.check(i)
        return times

    def check(self, i):
        with open(self.out(i), "rb") as f:
            if hashlib.file_digest(f, "sha256").hexdigest() != self.origin.digests[self.name]:
                raise servers.BenchError(f"{self.way.label}, {self.case}: wrong bytes at node {i}")

    def judge(self, way, times, sent):
        size = self.size()
        slow = times.pop(self.shape.nodes - 1) if self.case == "slow" else 0
        bound = self.shape.bound() if self.name == "big" else 0
        if self.case == "staggered":
            bound += STAGGER_S * (self.shape.nodes - 1)
        bodies = way.bodies()
        return Result(way.label, bound, max(times.values()), statistics.median(times.values()), slow, sent / size,
                      sum(bodies) / size, len(bodies), way.cpu_seconds())


CASES = {
    "cold": "all at once",
    "staggered": f"one more each {STAGGER_S:g} s",
    "slow": f"one node with 1/{SLOWER} of the speed",
    "killed": "one node killed at half time",
    "tracker": "the object's tracker killed at half time",
    "small": "all at once",
}


def ways(elionode, wanted):
    """Those that can be had here, and are wanted."""
    all_ways = {"direct": Direct, "relay": Relay, "torrent": Torrent, "alone": Alone, "cluster": Cluster}
    if elionode is None:
        all_ways = {name: w for name, w in all_ways.items() if not issubclass(w, Alone)}
    elif not Cluster.is_known_to(elionode):
        all_ways = {name: w for name, w in all_ways.items() if not issubclass(w, Cluster)}
    return [w for name, w in all_ways.items() if not wanted or name in wanted]


def one(directory, origin, shape, elionode, way, case):
    run = Run(directory / "run", origin, shape, elionode, way, case)
    try:
        return run.measure()
    except (servers.BenchError, subprocess.CalledProcessError, OSError) as e:
        return str(e)


def measure(shape, elionode, wanted_ways=(), wanted_cases=()):
    """(case, [result or text]) as they come."""
    shm = pathlib.Path("/dev/shm")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="elio-swarm-", dir=shm if shm.is_dir() else None))
    try:
        origin = Origin(directory / "origin", shape)
        for case in CASES:
            if not wanted_cases or case in wanted_cases:
                them = [w for w in ways(elionode, wanted_ways) if case in w.cases]
                if them:
                    yield case, [one(directory, origin, shape, elionode, w, case) for w in them]
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def text_of(shape, results):
    for case, rows in results:
        yield (f"{shape.nodes} nodes, links of {shape.mbit} Mbit/s, "
               f"{'4 KiB' if case == 'small' else f'{shape.mib} MiB'}: {CASES[case]}")
        yield ""
        yield from table_of(case, [r for r in rows if isinstance(r, Result)])
        for r in rows:
            if not isinstance(r, Result):
                yield f"Remark: {r}"


def table_of(case, rows):
    ours = "last, ms" if case == "small" else "last / bound"
    head = ["way", ours, "median node, s", "origin sent", "of the object", "requests", "CPU s"]
    if case == "slow":
        head.insert(3, "the slow one, s")
    lines = []
    for r in rows:
        line = [r.way, f"{r.last * 1e3:.0f}" if case == "small" else f"{r.last / r.bound:.3f}", f"{r.median:.2f}",
                f"{r.egress:.3f}x", f"{r.body:.3f}x" if r.requests else "-", str(r.requests or "-"), f"{r.cpu:.1f}"]
        if case == "slow":
            line.insert(3, f"{r.slow:.1f}")
        lines.append(line)
    return tables.table(head, lines)


def need_root():
    if os.geteuid() != 0:
        raise servers.BenchError("a network of namespaces needs root")


def run(elionode, shapes=SHAPES, wanted_ways=(), wanted_cases=()):
    """Lines of Markdown."""
    need_root()
    for shape in shapes:
        yield from text_of(shape, measure(shape, elionode, wanted_ways, wanted_cases))
