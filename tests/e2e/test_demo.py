# SPDX-License-Identifier: MIT
"""What `make run` shows: all of it works, and when it ends nothing of it is left."""
import contextlib
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time
import urllib.request

import pytest

from node import ELIONODE
from plane import ELIOCP
from tier import wait_for
from wire import SLOW

DEMO = pathlib.Path(__file__).with_name("demo.sh")


def of_session(session):
    """Command lines of what runs in it."""
    them = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            if entry.name.isdigit() and int(stat[3]) == session and stat[0] != "Z":
                them.append((entry / "cmdline").read_bytes().decode(errors="replace"))
    return them


class Demo:
    """It has a session and a directory for temporary files of its own."""

    def __init__(self, tmp_path, *programs, **streams):
        self.dir = tmp_path
        self.process = subprocess.Popen([DEMO, *programs], env={**os.environ, "TMPDIR": str(tmp_path), "PORT": "1"},
                                        start_new_session=True, **streams)

    def assert_nothing_is_left(self):
        assert of_session(self.process.pid) == []
        assert list(self.dir.iterdir()) == []


def test_without_a_terminal_it_shows_its_work_and_ends(tmp_path):
    demo = Demo(tmp_path, ELIONODE, ELIOCP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = demo.process.communicate(timeout=240 * SLOW)[0]
    assert demo.process.returncode == 0, said
    gets = re.findall(r"node-(\d): 64\.0 MiB in .*, (\w+)\n +from (.*)", said)
    assert [(node, how) for node, how, _ in gets[3:6]] == [("1", "HIT"), ("2", "HIT"), ("3", "HIT")]
    assert gets[0] == ("1", "MISS", "origin 64.0 MiB") and len(gets) == 9
    assert re.search(r"the origin sent it 1\.[0-4]\d times, for six readers", said)
    assert re.search(r"dashboard at http://127\.0\.0\.1:\d+/", said)
    assert len(re.findall(r"^[0-9a-f]{64}  node-\d  active +rack-\d", said, re.M)) == 3
    demo.assert_nothing_is_left()


@pytest.mark.parametrize("broken", ["node", "plane"])
def test_it_fails_when_a_program_does_not_work(tmp_path, broken):
    programs = ["/bin/false" if broken == "node" else ELIONODE, "/bin/false" if broken == "plane" else ELIOCP]
    demo = Demo(tmp_path, *programs, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = demo.process.communicate(timeout=240 * SLOW)[0]
    assert demo.process.returncode == 1 and "the demo failed" in said
    demo.assert_nothing_is_left()


def on_a_terminal(tmp_path):
    """Its pid, and the other end of its terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(DEMO, [DEMO, ELIONODE, ELIOCP], {**os.environ, "TMPDIR": str(tmp_path)})
    return pid, terminal


def read_until(terminal, words):
    """All that it shows until then. A terminal whose other end is closed is an error, and the end too."""
    shown, deadline = "", time.monotonic() + 120 * SLOW
    while words not in shown:
        assert select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0], shown
        shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


def test_on_a_terminal_it_stays_until_ctrl_c(tmp_path):
    pid, terminal = on_a_terminal(tmp_path)
    try:
        shown = read_until(terminal, "Ctrl-C")
        plane = re.search(r"dashboard +(http://\S+)/", shown)[1]
        # Somebody reads something new all the time.
        wait_for(lambda: json.load(urllib.request.urlopen(f"{plane}/api/v1/metrics"))["total_chunks"] > 8, 60)
        os.write(terminal, b"\x03")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert of_session(pid) == [] and list(tmp_path.iterdir()) == []
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
        os.close(terminal)
