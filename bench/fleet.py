# SPDX-License-Identifier: MIT
"""Ten thousand nodes on one eliocp, each with a connection, a token and a beat of its own (bench/fleet.c)."""

import json
import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile

from controlplane import Server, answers_http, resident
from servers import BenchError, free_port

INTERVAL_MS = 10000  # liveness.heartbeat_ms


def start(eliocp, directory, join):
    tokens = directory / "tokens"
    tokens.write_text(f"{join} node\n{secrets.token_hex(16)} operator\n")
    tokens.chmod(0o600)
    port = free_port()
    # Commands would be for nodes that carry them out: decisions are off.
    return Server([eliocp, f"--port={port}", "--bind=127.0.0.1", f"--data-dir={directory / 'plane'}", "--log-level=warn",
                   f"--access.tokens_file={tokens}", f"--liveness.heartbeat_ms={INTERVAL_MS}", "--replication.enable=false"], port, answers_http)


def measure(find, options):
    """What elio_fleet prints, and the memory of an eliocp that nobody has asked yet."""
    program, eliocp = find("elio_fleet"), pathlib.Path(options.elionode).resolve().parent.parent / "controlplane" / "eliocp"
    if not os.access(eliocp, os.X_OK):
        raise BenchError(f"{eliocp} is missing: build the target eliocp")
    nodes, seconds = options.fleet
    directory = pathlib.Path(tempfile.mkdtemp(prefix="elio-bench-"))
    join, server = secrets.token_hex(32), None
    try:
        server = start(eliocp, directory, join)
        idle = resident(server.process.pid)
        out = subprocess.run([str(program), str(server.port), str(nodes), str(seconds), str(INTERVAL_MS), str(server.process.pid), join],
                             stdout=subprocess.PIPE, check=True).stdout
        return {**json.loads(out), "idle": idle, "store": sum(f.stat().st_size for f in (directory / "plane").rglob("*") if f.is_file())}
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)
