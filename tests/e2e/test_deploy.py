# SPDX-License-Identifier: MIT
"""What lies under deploy/ fits the programs: their options, ports, paths, metrics and shared libraries."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from node import ELIONODE, SANITIZED
from plane import ELIOCP, running
from wire import SLOW, fetch

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"
PROGRAMS = {"elionode": ELIONODE, "eliocp": ELIOCP}


def text(name):
    return (DEPLOY / name).read_text()


def run(*argv, **kw):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60 * SLOW, check=False, **kw)


# ---- systemd ----

@pytest.mark.parametrize("name", PROGRAMS)
def test_a_unit_starts_the_program_with_a_configuration_that_it_takes(name, tmp_path):
    unit = text(f"systemd/{name}.service")
    assert f"ExecStart=/usr/local/bin/{name} --config=/etc/eliop2p/{name}.ini\n" in unit
    config = tmp_path / f"{name}.ini"
    config.write_text(text(f"systemd/{name}.ini").replace(f"/run/credentials/{name}.service", str(tmp_path)))
    (tmp_path / "secret").write_text("0123456789abcdef\n")
    (tmp_path / "tokens").write_text("0123456789abcdef operator\n")
    r = run(PROGRAMS[name], f"--config={config}", "--check-config")
    assert r.returncode == 0, r.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_unit_gives_the_program_its_default_directories(name):
    unit, printed = text(f"systemd/{name}.service"), run(PROGRAMS[name], "--print-config").stdout
    for key, setting, top in (("state_dir|data_dir", "StateDirectory", "/var/lib"), ("disk_cache_path", "CacheDirectory", "/var/cache")):
        default = re.search(rf"^(?:{key}) = (.+)$", printed, re.M)
        given = re.search(rf"^{setting}=(.+)$", unit, re.M)
        assert (default is None) == (given is None)
        assert default is None or default[1] == f"{top}/{given[1]}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_secrets_that_are_roots_are_handed_to_the_user_of_a_unit(name):
    given = dict(re.findall(r"^LoadCredential=(\S+):(/etc/eliop2p/\S+)$", text(f"systemd/{name}.service"), re.M))
    named = re.findall(r"^\w+_file = (.+)$", text(f"systemd/{name}.ini"), re.M)
    assert named == [f"/run/credentials/{name}.service/{credential}" for credential in given] and named


@pytest.mark.parametrize("name", PROGRAMS)
def test_systemd_understands_a_unit(name, tmp_path):
    """Where there is no systemd, its keys are at least pairs in the sections that it has."""
    unit = text(f"systemd/{name}.service")
    if shutil.which("systemd-analyze"):
        copy = tmp_path / f"{name}.service"
        copy.write_text(unit.replace(f"/usr/local/bin/{name}", PROGRAMS[name]))
        r = run("systemd-analyze", "verify", "--man=no", copy)
        assert name not in r.stderr, r.stderr
    for line in unit.splitlines():
        assert re.fullmatch(r"|#.*|\[(Unit|Service|Install)\]|[A-Z]\w+=.+", line), line


# ---- containers ----

def stages():
    """Name -> lines of each stage of the Dockerfile."""
    return dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", text("Dockerfile"), re.M | re.S))


def test_what_was_built_here_is_no_part_of_an_image():
    assert "build" in (DEPLOY.parent / ".dockerignore").read_text().split()


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_image_has_the_libraries_of_its_program_and_no_others(name):
    needed = re.findall(r"NEEDED +(\S+)", run("objdump", "-p", PROGRAMS[name]).stdout)
    where = run("gcc", "-print-multiarch").stdout.strip()
    owners = {line.partition(":")[0] for library in needed for line in run("dpkg", "-S", f"/*/{where}/{library}").stdout.splitlines()}
    installed = set(re.search(r"--no-install-recommends (.*?) &&", stages()[name], re.S)[1].replace("\\", "").split())
    installed.discard("ca-certificates")
    if SANITIZED:  # what instrumented code needs beside it is not what is shipped
        assert installed <= owners
    else:
        assert owners - {"libc6"} == installed


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_image_opens_the_default_ports_and_keeps_the_default_directories(name):
    stage, printed = stages()[name], run(PROGRAMS[name], "--print-config").stdout
    ports = re.findall(r"^(?:listen_port|port) = (\d+)$", printed, re.M)
    assert sorted(re.search(r"EXPOSE (.*)", stage)[1].split()) == sorted(ports)
    for path in json.loads(re.search(r"VOLUME (.*)", stage)[1]):
        assert f" = {path}\n" in printed


def test_the_programs_are_installed_stripped(tmp_path):
    build = pathlib.Path(ELIONODE).parents[1]
    assert run("cmake", "--install", build, "--strip", "--prefix", tmp_path).returncode == 0
    for name, program in PROGRAMS.items():
        installed = tmp_path / "bin" / name
        assert run(installed, "--version").stdout == run(program, "--version").stdout
        assert ".debug_info" not in run("objdump", "-h", installed).stdout


# ---- Kubernetes ----

def pods():
    for doc in yaml.safe_load_all(text("kubernetes/eliop2p.yaml")):
        if doc["kind"] in ("DaemonSet", "StatefulSet"):
            yield doc["spec"]["template"]["spec"]


def containers():
    for pod in pods():
        yield from pod["containers"]


def test_variables_that_kubernetes_makes_of_services_do_not_reach_the_programs():
    assert run(ELIOCP, "--check-config", env={"ELIOCP_PORT": "tcp://10.0.0.1:8081"}).returncode == 2
    assert all(pod["enableServiceLinks"] is False for pod in pods()) and len(list(pods())) == 2


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_manifest_gives_options_that_the_program_takes(name, tmp_path):
    secret = next(d for d in yaml.safe_load_all(text("kubernetes/eliop2p.yaml")) if d["kind"] == "Secret")
    for key, value in secret["stringData"].items():
        (tmp_path / key).write_text(value)
    container = next(c for c in containers() if c["name"] == name)
    args = [a.replace("/etc/eliop2p", str(tmp_path)).replace("$(POD_IP)", "10.0.0.1") for a in container["args"]]
    r = run(PROGRAMS[name], *args, "--check-config")
    assert r.returncode == 0, r.stderr


def test_the_probes_of_a_manifest_are_answered_on_the_default_ports(node):
    with running() as plane:
        at = {"elionode": node.admin_port, "eliocp": plane.port}
        for c in containers():
            printed = run(PROGRAMS[c["name"]], "--print-config").stdout
            ports = {p["name"]: p["containerPort"] for p in c["ports"]}
            assert all(re.search(rf"port = {n}$", printed, re.M) for n in ports.values())
            for probe in ("readinessProbe", "livenessProbe"):
                get = c[probe]["httpGet"]
                assert ports[get["port"]] in (8081, 8082)
                assert fetch(at[c["name"]], get["path"]).status == 200


# ---- Grafana ----

def test_every_metric_of_the_dashboard_exists(start, tmp_path):
    board = json.loads(text("grafana/eliop2p.json"))
    node = start(p2p__enable="true", p2p__listen_port=0, discovery__seeds="127.0.0.1:1", control_plane__endpoint="127.0.0.1:1",
                 general__state_dir=tmp_path / "state", cache__disk_cache_size_mb=64, cache__disk_cache_path=tmp_path / "cache")
    with running() as plane:
        plane.get("/health")
        printed = node.admin("/metrics").body.decode() + plane.get("/metrics").body.decode()
    series = set(re.findall(r"^(\w+?)(?:\{| )", printed, re.M))
    labels = set(re.findall(r"[{,](\w+)=", printed)) | {"instance"}
    for panel in board["panels"]:
        for target in panel["targets"]:
            used = set(re.findall(r"\b(?:eliop2p|eliocp)_\w+", target["expr"]))
            assert used and used <= series, (panel["title"], used - series)
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) | set(re.findall(r"by \((\w+)\)", target["expr"]))
            assert shown <= labels, (panel["title"], shown - labels)
