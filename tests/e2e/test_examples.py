# SPDX-License-Identifier: MIT
"""docs/examples.md is true: each command there, given to a control plane just started, is answered as it says."""
import json
import pathlib
import re
import subprocess

from plane import running
from wire import SLOW

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "examples.md"


def examples():
    """(command, what it prints) of each block."""
    for block in re.findall(r"^```console\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S):
        lines = block.removeprefix("$ ").splitlines()
        answer = next(i for i, line in enumerate(lines) if re.match(r"[{\[\d]", line))
        yield "\n".join(lines[:answer]), "\n".join(lines[answer:])


def shape(value):
    """Keys and types; values that an example has made itself stay."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shape(v) for v in value[:1]]
    if isinstance(value, str) and not re.search(r"\d{4}-\d\d-\d\dT|^[0-9a-f]{16,}(-[0-9a-f]{1,6})?$|^\d+\.\d+\.\d+$", value):
        return value
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def assert_has(answer, documented, command):
    """Of objects the documented keys; they may have come to have more."""
    if isinstance(documented, dict):
        assert isinstance(answer, dict) and documented.keys() <= answer.keys(), (command, documented.keys() - answer.keys())
        for key, value in documented.items():
            assert_has(answer[key], value, f"{command}: {key}")
    elif isinstance(documented, list):
        assert isinstance(answer, list) and len(answer) == len(documented), (command, answer)
        for one, value in zip(answer, documented):
            assert_has(one, value, command)
    else:
        assert answer == documented, command


def test_every_example_is_answered_as_it_stands_there():
    them = list(examples())
    assert len(them) >= 10
    with running(replication__enable="false") as plane:
        for command, printed in them:
            r = subprocess.run(["sh", "-c", command.replace("http://localhost:8081", plane.url)], capture_output=True, text=True,
                               timeout=30 * SLOW, check=False)
            assert r.returncode == 0, (command, r.stderr)
            if printed.startswith(("{", "[")):
                assert_has(shape(json.loads(r.stdout)), shape(json.loads(printed)), command)
            else:
                assert r.stdout.split() == printed.split(), command
