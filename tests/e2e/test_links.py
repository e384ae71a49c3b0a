# SPDX-License-Identifier: MIT
"""How nodes may be linked: by certificates instead of a secret, by one side only, or not at all."""
import contextlib
import json
import subprocess

import pytest

from checks import is_exact
from cluster import HOST, Cluster, peers
from content import MIB
from node import ELIONODE
from pki import Authority
from tier import wait_for

SIZE = 40 * MIB + 7


@pytest.fixture
def cluster(origin):
    """cluster(3, **options)"""
    with contextlib.ExitStack() as all_of_them:
        yield lambda n, **options: all_of_them.enter_context(Cluster(n, origin, **options))


def refused(node, why):
    return node.metrics()[f'eliop2p_p2p_refused_total{{why="{why}"}}']


def taken(node):
    return node.metrics()["eliop2p_p2p_bytes_in_total"]


def given(node):
    return node.metrics()["eliop2p_p2p_bytes_out_total"]


# ---- certificates ----

@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "cluster")


def certified(ca, name, trusts=None):
    cert, key = ca.server(name, usage="serverAuth,clientAuth")
    return {"p2p__tls_cert": cert, "p2p__tls_key": key, "p2p__tls_ca": (trusts or ca).cert}


def test_nodes_with_certificates_of_one_ca_are_a_cluster(origin, cluster, ca):
    c = cluster(3, secret=False, wait=False, **certified(ca, "all"))
    for i in range(3):
        c.stop(i)
        c.start(i, wait=False, **certified(ca, f"node-{i}"))
    c.wait_until_known()
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    origin.forget()
    for i in (1, 2):
        is_exact(c.get(i, "/a"), origin.content("/a"))
    assert origin.requests("/a") == []
    assert all(n.status()["p2p"]["tls"] for n in c.nodes)


def test_who_has_a_certificate_of_another_ca_is_refused_logged_and_counted(origin, cluster, ca, tmp_path):
    c = cluster(2, secret=False, **certified(ca, "members"))
    stranger = Authority(tmp_path, "stranger")
    other = cluster(1, secret=False, wait=False, discovery__seeds=f"{HOST}:{c.p2p_ports[0]}",
                    **certified(stranger, "spy", trusts=ca))
    wait_for(lambda: refused(c.nodes[0], "tls") > 0)
    assert "p2p.refused" in c.nodes[0].log()
    assert peers(other.nodes[0]) == []
    assert len(peers(c.nodes[0])) == 1
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    is_exact(other.get(0, "/a"), origin.content("/a"))
    assert taken(other.nodes[0]) == 0


def test_a_node_does_not_talk_to_one_whose_ca_it_does_not_trust(origin, cluster, ca, tmp_path):
    c = cluster(1, secret=False, wait=False, **certified(ca, "member"))
    stranger = Authority(tmp_path, "stranger")
    other = cluster(1, secret=False, wait=False, discovery__seeds=f"{HOST}:{c.p2p_ports[0]}",
                    **certified(ca, "doubtful", trusts=stranger))
    wait_for(lambda: refused(other.nodes[0], "tls") > 0)
    assert peers(other.nodes[0]) == [] == peers(c.nodes[0])


def test_who_knows_a_secret_is_no_member_of_a_cluster_with_certificates(origin, cluster, ca):
    c = cluster(1, secret=False, wait=False, **certified(ca, "member"))
    other = cluster(1, wait=False, discovery__seeds=f"{HOST}:{c.p2p_ports[0]}")
    wait_for(lambda: refused(c.nodes[0], "tls") > 0)
    assert peers(other.nodes[0]) == [] == peers(c.nodes[0])


@pytest.mark.parametrize("missing", ["p2p__tls_key", "p2p__tls_ca"])
def test_a_certificate_without_the_rest_is_no_configuration(ca, tmp_path, missing):
    options = {"general__state_dir": tmp_path / "state", "proxy__listen_port": 0, "admin__listen_port": 0,
               "p2p__listen_port": 0, "cache__disk_cache_size_mb": 0, **certified(ca, "half"), missing: ""}
    r = subprocess.run([ELIONODE, *(f"--{k.replace('__', '.')}={v}" for k, v in options.items())],
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 2
    assert "certificates" in r.stderr


# ---- outbound only ----

def outbound_only(cluster, n=3, which=2, **options):
    c = cluster(n, wait=False, **options)
    c.stop(which)
    c.start(which, wait=False, p2p__outbound_only="true")
    c.wait_until_known()
    return c


def test_a_node_that_nobody_can_connect_to_takes_from_the_others(origin, cluster):
    c = outbound_only(cluster)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    origin.forget()
    is_exact(c.get(2, "/a"), origin.content("/a"))
    assert origin.requests("/a") == []
    assert taken(c.nodes[2]) == SIZE


def test_and_gives_to_them(origin, cluster):
    c = outbound_only(cluster)
    origin.add("/a", size=SIZE)
    is_exact(c.get(2, "/a"), origin.content("/a"))
    wait_for(lambda: sum(n.metrics()["eliop2p_p2p_heard_chunks_total"] for n in c.nodes[:2]) >= 3)
    origin.forget()
    is_exact(c.get(0, "/a"), origin.content("/a"))
    assert origin.requests("/a") == []
    assert given(c.nodes[2]) >= SIZE


def test_all_of_them_at_once_read_it_about_once(origin, cluster):
    c = outbound_only(cluster)
    origin.add("/a", size=SIZE, rate=80 * MIB)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    assert origin.body_sent("/a") < 1.5 * SIZE
    assert given(c.nodes[2]) > 0


def test_others_know_it_as_one_that_cannot_be_reached(cluster):
    c = outbound_only(cluster)
    it = next(p for p in peers(c.nodes[0]) if p["p2p_port"] == 0)
    assert it["http_port"] == 0
    seeds = json.loads(c.nodes[0].admin("/api/v1/peers/seeds").body)
    assert {s["p2p_port"] for s in seeds} == set(c.p2p_ports[:2])
    assert c.nodes[2].status()["p2p"]["port"] == 0


# ---- none at all ----

def test_a_node_with_p2p_off_is_a_cache_as_ever(origin, cluster):
    c = cluster(2)
    c.stop(1)
    c.start(1, wait=False, p2p__enable="false")
    alone = c.nodes[1]
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    origin.forget()
    is_exact(c.get(1, "/a"), origin.content("/a"))
    assert origin.body_sent("/a") == SIZE  # from the origin: it takes from nobody
    origin.forget()
    is_exact(c.get(1, "/a"), origin.content("/a"))
    assert origin.requests("/a") == []
    assert alone.status()["mode"] == "standalone"
    assert json.loads(alone.admin("/api/v1/peers").body) == {"peers": []}
    assert not any(k.startswith("eliop2p_p2p_") for k in alone.metrics())
    assert "p2p.start" not in alone.log()
    wait_for(lambda: peers(c.nodes[0]) == [])


# ---- what `elionode get` says of them ----

def run_get(c, i, path, tmp_path, *more, admin=None):
    node = c.nodes[i]
    return subprocess.run([ELIONODE, "get", c.origin.url + path, "-o", tmp_path / "file", f"--proxy={HOST}:{node.port}",
                           f"--admin={HOST}:{admin or node.admin_port}", *more],
                          capture_output=True, text=True, timeout=60)


def test_get_says_who_gave_how_much(origin, cluster, tmp_path):
    c = cluster(3)
    origin.add("/a", size=SIZE)
    first = run_get(c, 0, "/a", tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stderr.splitlines()[-1] == "  from origin 40.0 MiB"
    is_exact(c.get(1, "/a"), origin.content("/a"))
    report = json.loads(run_get(c, 2, "/a", tmp_path, "--json").stdout)
    assert report["sources"]["bytes"] == {"memory": 0, "disk": 0, "peer": SIZE, "origin": 0}
    peers_of_it = {p["name"]: p["bytes"] for p in report["sources"]["peers"]}
    assert sum(peers_of_it.values()) == SIZE
    assert peers_of_it.keys() <= {"node-0", "node-1"}
    again = run_get(c, 2, "/a", tmp_path)
    assert again.stderr.splitlines()[-1] == "  from memory 40.0 MiB"


def test_get_names_the_peers(origin, cluster, tmp_path):
    c = cluster(2)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    assert run_get(c, 1, "/a", tmp_path).stderr.splitlines()[-1] == "  from peers 40.0 MiB (node-0 40.0 MiB)"


def test_get_works_when_the_node_does_not_say(origin, cluster, tmp_path):
    c = cluster(1, wait=False)
    origin.add("/a", size=SIZE)
    r = run_get(c, 0, "/a", tmp_path, "--json", admin=1)
    assert r.returncode == 0 and r.stderr == ""
    assert json.loads(r.stdout)["sources"] is None


def test_other_clients_are_not_remembered(origin, cluster):
    c = cluster(1, wait=False)
    origin.add("/a", size=4096)
    with c.nodes[0].connect() as connection:
        client = "%s:%d" % connection.sock.getsockname()
        is_exact(connection.request("GET", origin.url + "/a"), origin.content("/a"))
        assert c.nodes[0].admin(f"/api/v1/served?client={client}").status == 404
