# SPDX-License-Identifier: MIT
"""Links between nodes beside iperf3: one reads from five over loopback, one after the other."""

import json
import os
import subprocess

import disk
from servers import BenchError, end_with_parent, free_port

SENDERS = 5
# Reader's threads and how the bytes go: of elio_links.
WAYS = {"plain, sendfile": ["-f"], "plain, sendmsg": [], "TLS": ["-x"],
        "plain, sendfile, 2 threads": ["-f", "-t", "2"], "TLS, 2 threads": ["-x", "-t", "2"]}
RECEIVES = ("epoll", "uring", "multishot")


def run_iperf(seconds):
    port = str(free_port())
    server = subprocess.Popen(["iperf3", "-s", "-1", "--forceflush", "-B", "127.0.0.1", "-p", port], stdout=subprocess.PIPE,
                              preexec_fn=end_with_parent)
    try:
        server.stdout.readline()  # it listens
        out, sender_cpu, _ = disk.run(["iperf3", "-c", "127.0.0.1", "-p", port, "-P", SENDERS, "-t", seconds, "-J"])
        server.stdout.read()
        _, status, usage = os.wait4(server.pid, 0)
        server.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if server.returncode is None:
            server.kill()
            server.wait()
        server.stdout.close()
    done = json.loads(out)["end"]["sum_received"]
    if server.returncode != 0 or done["bytes"] == 0:
        raise BenchError("iperf3 moved nothing")
    return {"bytes": done["bytes"], "seconds": done["seconds"], "reader_cpu": usage.ru_utime + usage.ru_stime,
            "senders_cpu": sender_cpu}


def run_ours(program, arguments):
    return json.loads(disk.run([program, *arguments])[0])


def measure(find, options):
    """Rounds of SHA-256 alone, {way: {server: [result, ...]}}, {(way, hashes): [result, ...]}."""
    seconds = 1 if options.quick else 3
    hashes, rows, receives = [], {}, {}
    for _ in range(options.rounds):
        hashes.append(run_ours(find("elio_disk"), ["hash"]))
        for way, arguments in WAYS.items():
            row = rows.setdefault(way, {"links": [], "iperf3": []})
            row["links"].append(run_ours(find("elio_links"), ["-n", SENDERS, "-s", seconds, *arguments]))
            row["iperf3"].append(run_iperf(seconds))
        for way in RECEIVES:
            for hashed in ([], ["-h"]):
                receives.setdefault((way, bool(hashed)), []).append(run_ours(find("elio_receive"), [way, *hashed]))
    return hashes, rows, receives
