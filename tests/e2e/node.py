# SPDX-License-Identifier: MIT
"""node: an elionode of its own for a test: free ports, its log, its memory, a clean end."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import hushed
import wire

ELIONODE = os.environ.get("ELIONODE", "")
SANITIZED = bool(os.environ.get("ELIO_SANITIZED"))
REPORTS = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|assertion failed|Assertion")


class Node:
    """
    Node(cache__memory_cache_size_mb=64): every option is --section.key=value; `__` stands for the dot.
    `launch` is a command that runs the node: it becomes it. `program` is another one than $ELIONODE.
    """

    def __init__(self, *args, wait=True, launch=(), program=ELIONODE, **options):
        assert program, "the environment variable ELIONODE must name the program"
        options = {"proxy__listen_port": 0, "admin__listen_port": 0, "proxy__threads": 2,
                   "cache__memory_cache_size_mb": 256, "cache__disk_cache_size_mb": 0, "general__node_id": "node-under-test", **options}
        self.access_log = pathlib.Path(options["proxy__access_log"]) if "proxy__access_log" in options else None
        argv = [f"--{k.replace('__', '.')}={v}" for k, v in options.items()]
        self.log_path = pathlib.Path(tempfile.mkstemp(prefix="elionode-", suffix=".log")[1])
        self.port = self.admin_port = self.tls_port = 0
        self.admin_host = options.get("admin__bind_address", "127.0.0.1")
        self.ready_s = None
        self.wanted_code = 0
        self.began = time.monotonic()
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen([*launch, program, *argv, *args], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        if wait:
            self._wait_ready()

    def _wait_ready(self):
        deadline = time.monotonic() + 10 * wire.SLOW
        while time.monotonic() < deadline:
            line = next((l for l in self.log().splitlines() if "node.ready" in l), None)
            if line:
                self.ready_s = time.monotonic() - self.began
                ports = {k: int(v) for k, v in re.findall(r'"?(\w+_port)"?[=:]"?(\d+)', line)}
                self.port, self.admin_port = ports["proxy_port"], ports["admin_port"]
                self.tls_port = ports.get("tls_port", 0)
                return
            if self.process.poll() is not None:
                raise AssertionError(f"elionode ended with {self.process.returncode}:\n{self.log()}")
            time.sleep(0.01)
        self.kill()
        raise AssertionError(f"elionode was not ready in time:\n{self.log()}")

    # ---- requests ----

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def connect(self):
        return wire.Connection(self.port)

    def get(self, target, fields=(), **kw):
        return wire.fetch(self.port, target, fields, **kw)

    def admin(self, path):
        return wire.fetch(self.admin_port, path, at=self.admin_host)

    def status(self):
        return json.loads(self.admin("/api/v1/status").body)

    def status_of_peers(self):
        """All whom it knows, the dead and itself too."""
        return json.loads(self.admin("/api/v1/peers").body)["peers"]

    def metrics(self):
        """name{labels} -> value"""
        lines = self.admin("/metrics").body.decode().splitlines()
        return {k: float(v) for k, _, v in (l.rpartition(" ") for l in lines if l and l[0] != "#")}

    # ---- what the kernel says ----

    def log(self):
        return self.log_path.read_text(errors="replace")

    def _proc_kib(self, field):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", text).group(1))

    def rss(self):
        return self._proc_kib("VmRSS") * 1024

    def peak_rss(self):
        return self._proc_kib("VmHWM") * 1024

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def holds(self, connection):
        """Whether some process still owns the node's end of the connection (what the kernel sends on does not count)."""
        mine, theirs = connection.sock.getsockname()[1], connection.sock.getpeername()[1]
        for row in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            cells = row.split()
            if cells[1].endswith(f":{theirs:04X}") and cells[2].endswith(f":{mine:04X}"):
                return cells[9] != "0"
        return False

    # ---- the end ----

    def signal(self, which):
        self.process.send_signal(which)

    def wait(self, timeout=20):
        return self.process.wait(timeout * wire.SLOW)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def crash(self):
        """SIGKILL, which is what stop() then expects to have ended it."""
        self.wanted_code = -signal.SIGKILL
        self.kill()

    def _shown(self):
        """All that it shows of itself, to be looked through for secrets."""
        text = pathlib.Path(f"/proc/{self.pid}/cmdline").read_text(errors="replace")
        for path in ("/metrics", "/api/v1/status"):
            with contextlib.suppress(OSError):
                r = self.admin(path)
                text += f"{r.fields} {r.body.decode()}" if r else ""
        if self.access_log and self.access_log.exists():
            text += self.access_log.read_text(errors="replace")
        return text

    def stop(self):
        """SIGTERM; it must end by itself, with 0 and without a complaint of a sanitizer. Once is enough."""
        if not self.log_path.exists():
            return
        shown = self._shown() if self.process.poll() is None else ""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            code = "killed: it did not end after SIGTERM"
        log = self.log()
        self.log_path.unlink()
        complaint = REPORTS.search(log)
        assert code == self.wanted_code and not complaint, f"elionode ended with {code}:\n{log[-20000:]}"
        told = hushed.told(shown + log)
        assert not told, f"elionode told {told}:\n{(shown + log)[-20000:]}"
