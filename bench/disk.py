# SPDX-License-Identifier: MIT
"""The SSD tier beside fio: the same directory, size and block length, one after the other."""

import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from servers import GIB, MIB, BenchError, end_with_parent

BACKENDS = ("io_uring", "threads")


@dataclasses.dataclass(frozen=True)
class Case:
    """What both do. The depth is that of the tier: fio has as many blocks on their way at a time."""

    name: str
    action: str   # of elio_disk, and fio's --rw
    streams: int  # objects, and fio's jobs
    depth: int    # of each job


# The tier reads 4 blocks ahead for each fill, and writes at most 64 at a time.
CASES = (Case("1 write", "write", 1, 64), Case("1 read", "read", 1, 4),
         Case("8 writes", "write", 8, 8), Case("8 reads", "read", 8, 4))


def run(command):
    """Its output; CPU seconds and the most memory of the process."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=end_with_parent)
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    if process.returncode != 0:
        raise BenchError(f"{' '.join(process.args)}:\n{err}{out}")
    return out, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def run_fio(directory, case, size):
    out, cpu, memory = run([
        "fio", f"--name={case.streams}", f"--directory={directory}", f"--rw={case.action}", "--direct=1", "--bs=1m",
        "--ioengine=io_uring", f"--iodepth={case.depth}", f"--numjobs={case.streams}",
        f"--size={size // case.streams}", "--end_fsync=1", "--thread", "--group_reporting", "--output-format=json"])
    done = json.loads(out)["jobs"][0][case.action]
    return {"bytes": done["io_bytes"], "seconds": max(done["runtime"], 1) / 1e3, "cpu_seconds": cpu,
            "rss_max": memory}


@functools.cache
def fio_start_cpu(directory):
    """CPU seconds that fio takes to start and to end."""
    case = Case("", "write", 1, 1)
    taken = run_fio(directory, case, MIB)["cpu_seconds"]
    remove_files(directory, case)
    return taken


def remove_files(directory, case):
    for path in directory.glob(f"{case.streams}.*.*"):
        path.unlink()


def measure_fio(directory, case, size):
    start = fio_start_cpu(directory)
    if case.action == "write":
        remove_files(directory, case)
    result = run_fio(directory, case, size)
    result["cpu_seconds"] = max(result["cpu_seconds"] - start, 0)
    return result


def measure_node(program, directory, case, size, io):
    store = directory / f"node-{case.streams}"
    if case.action == "write":
        shutil.rmtree(store, ignore_errors=True)
    return json.loads(run([program, case.action, "-d", store, "-b", size // MIB, "-n", case.streams, "-i", io])[0])


def tier(program, options):
    """Rounds of SHA-256 alone, and {(case, backend): {server: [result, ...]}}."""
    size = 2 * GIB if options.quick else 4 * GIB
    rows, hashes = {}, []
    directory = pathlib.Path(tempfile.mkdtemp(prefix="elio-bench-disk-", dir=options.disk_path))
    try:
        for _ in range(options.rounds):
            hashes.append(json.loads(run([program, "hash"])[0]))
            for io in BACKENDS:
                for case in CASES:
                    row = rows.setdefault((case, io), {"node": [], "fio": []})
                    row["node"].append(measure_node(program, directory, case, size, io))
                    row["fio"].append(measure_fio(directory, case, size))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return hashes, rows
