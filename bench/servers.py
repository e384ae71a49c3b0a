# SPDX-License-Identifier: MIT
"""The programs that bench/run starts: origin, node, nginx as yardstick, and the load generator.

Every process is started by start(), dies with the benchmark and is ended by its process id.
"""

import ctypes
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

MIB = 1 << 20
GIB = 1 << 30
TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1

# Objects are named /KIND/ANYTHING; all objects of a kind have the same bytes.
SIZES = {"1k": 1024, "4k": 4096, "64k": 65536, "32m": 32 * MIB, "1g": GIB}


class BenchError(Exception):
    """The benchmark cannot go on; the text says why."""


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def family(pid):
    """The process and its children, as nginx's workers are."""
    pids = [pid]
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[1]) == pid:
            pids.append(int(stat.parent.name))
    return pids


class Server:
    """A running server; cpu_seconds() counts all its processes and threads."""

    def __init__(self, name, command, port, core=None, log=None):
        self.name, self.port = name, port
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            preexec_fn=end_with_parent)
        try:
            self.wait_until_it_listens()
        except BaseException:
            self.stop()
            raise

    def wait_until_it_listens(self):
        deadline = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        text = pathlib.Path(self.log).read_text(errors="replace")[-2000:]
        raise BenchError(f"{self.name} does not listen on port {self.port}:\n{text}")

    def cpu_seconds(self):
        ticks = 0
        for pid in family(self.process.pid):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


ORIGIN_CONF = """
daemon off; pid {dir}/pid; error_log {dir}/error.log warn; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  default_type application/octet-stream;
  log_format sent '$body_bytes_sent';
  access_log {dir}/sent.log sent;
  sendfile on; tcp_nopush off; keepalive_requests 100000000; keepalive_timeout 1h;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {dir}/files;
    location / {{
      rewrite ^/(\\w+)/ /$1 break;
      add_header Cache-Control max-age=86400;
    }}
  }}
}}
"""

NGINX_CONF = """
daemon off; pid {dir}/pid; error_log {dir}/error.log warn; worker_processes {workers};
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on; tcp_nopush off; keepalive_requests 100000000; keepalive_timeout 1h;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  proxy_cache_path {dir}/cache levels=1:2 keys_zone=bench:64m max_size=16g inactive=1d
                   use_temp_path=off;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      slice 16m;
      proxy_cache bench;
      proxy_cache_key $uri$slice_range;
      proxy_cache_valid 200 206 1d;
      proxy_cache_lock on; proxy_cache_lock_age 1h; proxy_cache_lock_timeout 1h;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Range $slice_range;
      proxy_pass http://origin;
    }}
  }}
}}
"""


def find_nginx():
    path = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise BenchError("nginx is not installed (Debian: nginx-light)")
    return path


def start_nginx(name, directory, conf, port, core=None):
    path = directory / "nginx.conf"
    path.write_text(conf)
    os.chmod(directory, 0o755)  # root's workers run as another user
    command = [find_nginx(), "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(path)]
    if os.geteuid() == 0:
        command += ["-g", "user root;"]  # the temporary directory is root's
    return Server(name, command, port, core, directory / "error.log")


class Origin:
    """An nginx with static files; counts the bytes of body it has sent."""

    def __init__(self, directory):
        directory.mkdir()
        (directory / "files").mkdir()
        self.directory, self.port, self.digests = directory, free_port(), {}
        for kind, size in SIZES.items():
            self.digests[kind] = write_random_file(directory / "files" / kind, size)
        self.server = start_nginx("origin", directory,
                                  ORIGIN_CONF.format(dir=directory, port=self.port), self.port)

    def stop(self):
        self.server.stop()

    def requests_and_bytes(self):
        time.sleep(0.2)  # a request is logged after its last byte was heard
        lines = (self.directory / "sent.log").read_text().split()
        return len(lines), sum(map(int, lines))

    def target(self, path):
        return path


def write_random_file(path, size):
    digest = hashlib.sha256()
    with open(path, "wb") as f:
        while size > 0:
            piece = os.urandom(min(size, 4 * MIB))
            digest.update(piece)
            f.write(piece)
            size -= len(piece)
    return digest.hexdigest()


class Caches:
    """Starts caches in front of one origin, each time empty."""

    def __init__(self, directory, origin, elionode, via):
        self.directory, self.origin, self.elionode, self.via = directory, origin, elionode, via
        self.started = 0

    def new_directory(self):
        self.started += 1
        path = self.directory / f"cache-{self.started}"
        path.mkdir()
        return path

    def start(self, who, threads, core=None, options=()):
        """`options`: more of the node's."""
        directory, port = self.new_directory(), free_port()
        if who == "node" and self.elionode is not None:
            server = self.start_node(directory, port, threads, core, options)
        else:
            conf = NGINX_CONF.format(dir=directory, port=port, origin=self.origin.port,
                                     workers=threads)
            server = start_nginx(who, directory, conf, port, core)
        return Cache(self, server, directory, who == "node" and self.elionode is not None)

    def start_node(self, directory, port, threads, core, options):
        command = [self.elionode, f"--proxy.listen_port={port}",
                   f"--admin.listen_port={free_port()}", f"--proxy.threads={threads}",
                   "--general.bind_address=127.0.0.1", "--general.log_level=warn",
                   "--cache.memory_cache_size_mb=6144", "--cache.disk_cache_size_mb=0", *options]
        if self.via == "gateway":
            command += ["--storage.type=http",
                        f"--storage.endpoint=http://127.0.0.1:{self.origin.port}"]
        return Server("node", command, port, core, directory / "log")


class Cache:
    """A running cache, reached in its own way."""

    def __init__(self, caches, server, directory, is_node):
        self.server, self.directory, self.port = server, directory, server.port
        self.is_forward = is_node and caches.via == "proxy"
        self.origin_port = caches.origin.port

    def target(self, path):
        return f"http://127.0.0.1:{self.origin_port}{path}" if self.is_forward else path

    def cpu_seconds(self):
        return self.server.cpu_seconds()

    def check_bytes(self, path, digest):
        """The object through this cache has to have the origin's bytes."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if self.is_forward:
            request = urllib.request.Request(self.target(path))
            request.set_proxy(f"127.0.0.1:{self.port}", "http")
        found = hashlib.sha256()
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            while piece := answer.read(4 * MIB):
                found.update(piece)
        if found.hexdigest() != digest:
            raise BenchError(f"{self.server.name} sends wrong bytes for {path}")

    def stop(self):
        self.server.stop()
        shutil.rmtree(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


@dataclasses.dataclass
class Load:
    """One run of the load generator."""

    path: str                # {} is the number of the object
    length: int              # of one answer
    connections: int = 1
    seconds: int = 0
    requests: int = 0
    objects: int = 1
    object_size: int = 0     # not 0: ranges of -length-
    fields: str = ""         # a file: fields of the request for each object

    def command(self, server, program):
        options = {"-a": f"127.0.0.1:{server.port}", "-u": server.target(self.path),
                   "-H": f"127.0.0.1:{getattr(server, 'origin_port', server.port)}",
                   "-l": self.length, "-c": self.connections, "-t": self.seconds,
                   "-n": self.requests, "-k": self.objects, "-s": self.object_size}
        if self.fields:
            options["-F"] = self.fields
        return [str(program), *(str(word) for option in options.items() for word in option)]

    def run(self, server, program, core=None, reads=False):
        command = self.command(server, program) + (["-R"] if reads else [])
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=end_with_parent)
        if done.returncode != 0:
            raise BenchError(f"{' '.join(command)}:\n{done.stderr}")
        return json.loads(done.stdout)
