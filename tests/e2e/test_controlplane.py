# SPDX-License-Identifier: MIT
"""The control plane as nodes and operators call it. Every answer is held against docs/api.yaml (plane.py)."""
import concurrent.futures
import contextlib
import http.server
import hashlib
import hmac
import json
import pathlib
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time

import pytest

from hushed import hush
from pki import Authority
from plane import ELIOCP, Plane, WebSocket, chunk, cli, digest, running
from wire import SLOW, TIMEOUT

FAST = {"liveness__heartbeat_ms": 300, "liveness__dead_ms": 3000, "liveness__forget_ms": 5000}  # the service looks once a second


@pytest.fixture(scope="module")
def shared():
    with running() as p:
        yield p


@pytest.fixture
def plane():
    with running() as p:
        yield p


# ---- nodes ----

def test_a_node_registers_beats_and_is_listed(shared):
    a = shared.register("reg-1", zone="z1", labels={"rack": "r1"})
    assert a.status == 201 and a["success"] and a["node_id"] == "reg-1" and len(a["token"]) == 64
    beat = shared.beat("reg-1", memory_used_mb=12.5, cache_hit_rate=0.75, active_connections=3, timestamp=1000, total_chunks=0,
                       bytes={"memory": 10, "origin": 5}, upload_speed_mbps=1, download_speed_mbps=2, disk_used_mb=1)
    assert beat.status == 204 and beat.body == b"" and beat.fields["x-elio-state"] == "active"
    node = shared.get("/api/v1/nodes/reg-1").json
    assert (node["state"], node["zone"], node["memory_used_mb"], node["labels"]) == ("active", "z1", 12.5, {"rack": "r1"})
    assert node["bytes"]["memory"] == 10 and node["clock_skew_ms"] < 0
    listed = shared.get("/api/v1/nodes?zone=z1").json
    assert [n["node_id"] for n in listed["nodes"]] == ["reg-1"] and listed["total"] >= 1
    assert shared.get("/api/v1/nodes?zone=elsewhere")["nodes"] == []


def test_who_is_not_registered_is_told_so(shared):
    for answer in (shared.beat("nobody"), shared.report("nobody", chunk_ids=[]), shared.get("/api/v1/nodes/nobody"),
                   shared.get("/api/v1/nodes/nobody/commands"), shared.get("/api/v1/nodes/nobody/hydration"),
                   shared.delete("/api/v1/nodes/nobody"), shared.call("PATCH", "/api/v1/nodes/nobody", {"zone": "z"})):
        assert answer.status == 404 and answer["code"] == 6001, answer


def test_a_node_changes_what_it_said_and_leaves(shared):
    shared.register("chg-1", zone="a", available_chunks=[chunk(77)])
    changed = shared.call("PATCH", "/api/v1/nodes/chg-1", {"zone": "b", "http_port": 1}).json
    assert (changed["zone"], changed["http_port"], changed["p2p_port"], changed["total_chunks"]) == ("b", 1, 9000, 1)
    assert shared.delete("/api/v1/nodes/chg-1").status == 204
    assert shared.get("/api/v1/nodes/chg-1").status == 404
    assert shared.locate(chunk(77))["locations"][0]["peers"] == []


def test_another_clusters_node_is_refused(shared):
    before = shared.get("/health")["epoch"]
    a = shared.register("foreign", cluster_id="elsewhere")
    assert a.status == 403 and a["field"] == "cluster_id"
    assert shared.get("/health")["epoch"] == before
    assert shared.register("own", cluster_id="default").status == 201


def test_silence_makes_a_node_suspect_then_dead_then_forgotten():
    with running(**FAST) as p:
        p.register("quiet", available_chunks=[chunk(1)])
        p.register("loud")
        p.beat("quiet")

        def is_forgotten():
            p.beat("loud")
            return p.get("/api/v1/nodes/quiet").status == 404

        p.wait_for(is_forgotten, "the silent node is forgotten")
        told = [e["text"] if e["type"] == "node_state" else e["type"] for e in p.events() if e.get("node_id") == "quiet"]
        assert [t for t in told if t in ("node_up", "suspect", "node_down")][:3] == ["node_up", "suspect", "node_down"], told
        assert p.beat("loud").fields["x-elio-state"] == "active"
        assert p.locate(chunk(1))["locations"][0]["total"] == 0
        assert ("node_down", "loud") not in [(e["type"], e.get("node_id")) for e in p.events()]
        assert p.beat("quiet").status == 404 and p.register("quiet").status == 201


# ---- chunks ----

def test_reports_are_full_in_pages_or_deltas_and_a_digest_guards_them(shared):
    node, ids = "rep-1", [chunk(100, i) for i in range(10)]
    shared.register(node)
    full = shared.report(node, chunk_ids=ids[:4], epoch=1)
    assert full.status == 204 and full.fields["x-elio-digest"] == digest(ids[:4]) and full.fields["x-elio-chunk-epoch"] == "1"
    delta = shared.report(node, base_epoch=1, epoch=2, added=ids[4:6], removed=ids[:1], digest=digest(ids[1:6]))
    assert delta.status == 204 and delta.fields["x-elio-digest"] == digest(ids[1:6])
    for wrong in ({"base_epoch": 1, "epoch": 3, "added": ids[6:7], "digest": digest(ids[1:7])},
                  {"base_epoch": 2, "epoch": 3, "added": ids[6:7], "digest": digest(ids)}):
        refused = shared.report(node, **wrong)
        assert refused.status == 409 and refused["want"] == "full" and refused["epoch"] == 2, refused
        assert shared.get(f"/api/v1/nodes/{node}/chunks")["digest"] == digest(ids[1:6])
    for page in range(2):
        assert shared.report(node, chunk_ids=ids[page * 5:page * 5 + 5], epoch=4, page=page, pages=2).status == 204
    held = shared.get(f"/api/v1/nodes/{node}/chunks").json
    assert sorted(held["chunk_ids"]) == ids and held["epoch"] == 4 and held["digest"] == digest(ids)
    assert "x-elio-report" not in shared.beat(node, epoch=4, digest=digest(ids)).fields
    assert shared.beat(node, epoch=5, digest=digest(ids[:1])).fields["x-elio-report"] == "full"


def test_locations_come_in_the_order_of_the_question_and_own_zone_first(shared):
    a, b, nowhere = chunk(200), chunk(201), chunk(202)
    for i, zone in enumerate(("east", "west", "east")):
        shared.register(f"loc-{i}", zone=zone, available_chunks=[a] if i else [a, b], address=f"10.1.0.{i}", p2p_port=9000 + i)
        shared.beat(f"loc-{i}")
    found = shared.locate(b, nowhere, a, zone="west")["locations"]
    assert [f["chunk_id"] for f in found] == [b, nowhere, a]
    assert found[0]["peer_ids"] == ["loc-0"] and found[1]["peers"] == [] and found[2]["peer_ids"][0] == "loc-1"
    peer = found[0]["peers"][0]
    assert (peer["node_id"], peer["address"], peer["p2p_port"], peer["http_port"]) == ("loc-0", "10.1.0.0", 9000, 8082)
    assert sorted(found[2]["peer_ids"]) == ["loc-0", "loc-1", "loc-2"] and found[2]["total"] == 3
    assert "loc-1" not in shared.locate(a, node_id="loc-1")["locations"][0]["peer_ids"]
    assert len(shared.locate(a, max_peers=1)["locations"][0]["peers"]) == 1


def test_what_a_dashboard_shows_is_there(shared):
    object_id = f"{300:032x}"
    shared.register("dash-1", zone="dz", available_chunks=[chunk(300, i) for i in range(3)])
    shared.beat("dash-1", hottest=[{"object": object_id, "accesses_per_hour": 50, "bytes": 1 << 30}],
                downloads=[{"object": object_id, "done_bytes": 5, "total_bytes": 10, "bound_ms": 7, "elapsed_ms": 9, "had_bytes": 1,
                            "rate_bytes_s": 3, "name": "http://s3/b/first-name.bin"}])
    assert shared.post("/api/v1/objects", {"object": object_id, "name": "http://s3/b/model.bin", "bytes": 1 << 30}).status == 204
    known = shared.get(f"/api/v1/objects/{object_id}").json
    assert known["name"] == "http://s3/b/model.bin" and known["chunks"] == 3 and known["locations"] == 3
    assert object_id in [o["object"] for o in shared.get("/api/v1/objects/hottest?limit=50")["objects"]]
    download = next(d for d in shared.get("/api/v1/swarms")["downloads"] if d["node_id"] == "dash-1")
    assert (download["done_bytes"], download["total_bytes"], download["bound_ms"]) == (5, 10, 7)
    assert (download["had_bytes"], download["rate_bytes_s"], download["name"]) == (1, 3, "http://s3/b/model.bin")
    assert sum(c["chunks"] for c in shared.get("/api/v1/chunks/copies")["copies"]) >= 3
    assert "dz" in [z["zone"] for z in shared.get("/api/v1/zones")["zones"]]
    for by, name in (("object", "http://s3/b/model.bin"), ("prefix", "http://s3/b/")):
        drawn = shared.get(f"/api/v1/chunks/map?by={by}").json
        row = next(r for r in drawn["rows"] if r["name"] == name)
        held = dict(zip([n["node_id"] for n in drawn["nodes"]], row["held"]))
        assert held.pop("dash-1") == 3 == row["looked"] and not any(held.values()) and row["bytes"] == 1 << 30, drawn
    assert next(r for r in shared.get("/api/v1/chunks/map?by=prefix&depth=0")["rows"] if r["name"] == "http://s3/b/")["objects"] == 1
    assert shared.get("/api/v1/chunks/map?by=zone").status == 400 and shared.get("/api/v1/chunks/map?limit=101").status == 400
    for path in ("/", "/health", "/health/nodes", "/health/origin", "/readyz", "/api/v1/status", "/api/v1/cluster/status",
                 "/api/v1/metrics", "/api/v1/timeline", "/api/v1/alerts", "/api/v1/logs", "/api/v1/peers/seeds", "/api/v1/webhooks"):
        assert shared.get(path).status == 200, path
    assert shared.get("/api/v1/objects/00").status == 404
    text = shared.get("/metrics").body.decode()
    assert 'eliocp_requests_total{method="PUT",path="/api/v1/nodes/{}/heartbeat"}' in text and "eliocp_locations " in text


def test_edges_are_what_nodes_told_of_their_links(shared):
    shared.register("edge-1", zone="ez1")
    shared.register("edge-2", zone="ez2")
    shared.beat("edge-1")
    links = [{"node_id": "edge-1", "via": "http", "blocks": 7, "rate_bytes_s": 1000}, {"node_id": "edge-0"}]
    assert shared.beat("edge-2", links=links).status == 204

    def edges():
        return [e for e in shared.get("/api/v1/edges")["edges"] if e["to"].startswith("edge-")]

    assert edges() == [
        {"from": "edge-1", "from_zone": "ez1", "to": "edge-2", "to_zone": "ez2", "via": "http", "blocks": 7, "rate_bytes_s": 1000},
        {"from": "edge-0", "from_zone": "", "to": "edge-2", "to_zone": "ez2", "via": "p2p", "blocks": 0, "rate_bytes_s": 0}]
    for wrong, field in (([{"node_id": "edge 1"}], "links[0].node_id"), ([{"via": "p2p"}], "links[0].node_id"),
                         ([{"node_id": "a", "via": "udp"}], "links[0].via"), ([{"node_id": "a", "blocks": -1}], "links[0].blocks"),
                         ([{"node_id": '"' * 128}] * 16, "links[0].node_id"), ([{"node_id": "a"}] * 17, "links")):
        r = shared.beat("edge-2", links=wrong)
        assert (r.status, r.json["field"]) == (400, field), r.json
    assert len(edges()) == 2
    # The most that a node may say of them.
    most = [{"node_id": f"{i:0>128}", "via": "http", "blocks": 2 ** 63 - 1, "rate_bytes_s": 2 ** 63 - 1} for i in range(16)]
    assert shared.beat("edge-2", links=most).status == 204 and len(edges()) == 16
    assert shared.beat("edge-2", online=False, links=links).status == 204
    assert edges() == []  # who leaves takes from nobody


def test_a_beat_says_what_objects_are_called(shared):
    named, unnamed = f"{301:032x}", f"{302:032x}"
    shared.register("name-1", available_chunks=[chunk(301), chunk(302)])
    assert shared.beat("name-1", hottest=[{"object": named, "name": "http://s3/b/a", "bytes": 9},
                                          {"object": unnamed, "name": "http://s3/b/a?secret=1"}]).status == 204
    assert shared.get(f"/api/v1/objects/{named}")["name"] == "http://s3/b/a" and shared.get(f"/api/v1/objects/{named}")["bytes"] == 9
    assert shared.get(f"/api/v1/objects/{unnamed}")["name"] == ""


def test_who_downloads_is_asked_to_beat_more_often(shared):
    shared.register("quick-1")
    assert shared.beat("quick-1").fields["x-elio-interval-ms"] == "10000"
    downloads = [{"object": f"{303:032x}", "total_bytes": 10}]
    assert shared.beat("quick-1", downloads=downloads).fields["x-elio-interval-ms"] == "2000"
    assert shared.beat("quick-1").fields["x-elio-interval-ms"] == "10000"


def test_a_node_has_a_history_of_its_beats(shared):
    shared.register("hist-1")
    path, served = "/api/v1/nodes/hist-1/timeline", {"memory": 0, "disk": 0, "peer": 0, "origin": 0}

    def beat_until(told, **more):
        shared.beat("hist-1", bytes={**served, **more})
        points = shared.get(path)["points"]
        return points if told(points) else None

    shared.wait_for(lambda: beat_until(len), "a point of its history")
    served = {"memory": 11, "disk": 2, "peer": 3, "origin": 5}
    points = shared.wait_for(lambda: beat_until(lambda points: sum(p["memory"] for p in points)), "what it served")
    assert {k: sum(p[k] for p in points) for k in served} == served
    assert all(p["ms"] >= 2000 for p in points) and shared.get("/api/v1/nodes/nobody/timeline").status == 404


def test_the_page_is_given_to_browsers_with_a_policy_and_an_etag(shared):
    assert shared.get("/").fields["content-type"] == "application/json"
    page = shared.get("/", fields={"Accept": "text/html,*/*;q=0.8"})
    files = sorted(set(re.findall(rb'"(/dashboard/[a-z.]+)"', page.body)))
    assert len(files) == 5, files
    for path in ("/", *(f.decode() for f in files)):
        r = shared.get(path, fields={"Accept": "text/html"})
        assert r.status == 200 and r.body and "'unsafe" not in r.fields["content-security-policy"], r
        assert "default-src 'none'; script-src 'self';" in r.fields["content-security-policy"]
        assert r.fields["x-content-type-options"] == "nosniff" and r.fields["cache-control"] == "no-cache"
        again = shared.get(path, fields={"Accept": "text/html", "If-None-Match": r.fields["etag"]})
        assert again.status == 304 and again.body == b"" and again.fields["etag"] == r.fields["etag"]
        assert "content-length" not in again.fields
        assert shared.get(path, fields={"Accept": "text/html", "If-None-Match": '"other"'}).status == 200
    kinds = {f: shared.get(f.decode()).fields["content-type"].split(";")[0] for f in files}
    assert sorted(kinds.values()) == ["image/svg+xml", "text/css", "text/javascript", "text/javascript", "text/javascript"]
    assert shared.get("/dashboard/nothing.js").status == 404
    assert not re.search(rb"https?://|<script>|style=|onclick", page.body)


def test_metrics_count_what_happened(plane):
    plane.register("m-1", available_chunks=[chunk(1), chunk(2)])
    plane.beat("m-1", bytes={"memory": 3, "disk": 2, "peer": 1, "origin": 4})
    plane.locate(chunk(1))
    m = plane.get("/api/v1/metrics").json
    assert (m["total_nodes"], m["active_nodes"], m["total_chunks"], m["total_heartbeats"]) == (1, 1, 2, 1)
    assert m["total_chunk_reports"] == 1 and m["total_queries"] == 1
    assert m["metrics"]["storage"]["origin_bytes"] == 4 and m["metrics"]["storage"]["origin_bytes_saved"] == 6
    assert m["metrics"]["control_plane"]["requests_handled"] >= 3


# ---- commands and decisions ----

def test_a_command_is_given_until_it_is_acknowledged(shared):
    c = chunk(400)
    shared.register("cmd-1", available_chunks=[c])
    shared.register("cmd-2")
    made = shared.post("/api/v1/commands", {"chunk_id": c, "action": "replicate", "source_node_id": "cmd-1", "target_node_id": "cmd-2",
                                            "priority": 90})
    assert made.status == 201 and made["state"] == "waiting"
    assert shared.beat("cmd-2").fields["x-elio-commands"] == "1"
    given = shared.get("/api/v1/nodes/cmd-2/commands")["commands"]
    assert [g["command_id"] for g in given] == [made["command_id"]] and given[0]["chunk_id"] == c and given[0]["action"] == "replicate"
    ack = f"/api/v1/nodes/cmd-2/commands/{made['command_id']}/ack"
    assert shared.post(f"/api/v1/nodes/cmd-1/commands/{made['command_id']}/ack", {"status": "done"}).status == 403
    assert shared.post(ack, {"status": "done"}).status == 204 and shared.post(ack, {"status": "done"}).status == 204
    assert shared.get("/api/v1/nodes/cmd-2/commands")["commands"] == []
    listed = next(x for x in shared.get("/api/v1/commands")["commands"] if x["command_id"] == made["command_id"])
    assert listed["state"] == "done"
    assert shared.delete(f"/api/v1/commands/{made['command_id']}").status == 409
    assert shared.post(ack.replace(made["command_id"], "0" * 16), {"status": "done"}).status == 404


def test_the_last_copy_is_never_evicted(shared):
    c = chunk(410)
    shared.register("last-1", available_chunks=[c])
    refused = shared.post("/api/v1/commands", {"chunk_id": c, "action": "evict", "target_node_id": "last-1"})
    assert refused.status == 409


def test_a_chunk_with_one_copy_is_told_to_be_copied(plane):
    for n in ("one", "two"):
        plane.register(n)
        plane.beat(n)
    plane.report("one", chunk_ids=[chunk(1)], epoch=1)
    command = plane.wait_for(lambda: plane.get("/api/v1/nodes/two/commands")["commands"], "a decision to copy")[0]
    assert (command["action"], command["chunk_id"], command["source_node_id"]) == ("replicate", chunk(1), "one")
    assert plane.get("/api/v1/metrics")["replication_decisions"] >= 1
    assert any(e["type"] == "commands_available" and e["node_id"] == "two" for e in plane.events())


# ---- operators ----

def test_groups_are_made_joined_left_and_deleted(shared):
    shared.register("grp-1")
    made = shared.post("/api/v1/groups", {"group_id": "job", "name": "A job", "node_id": "grp-1", "prefix": "http://s3/b/"})
    assert made.status == 201 and made["nodes"] == ["grp-1"]
    assert shared.post("/api/v1/groups", {"group_id": "job"}).status == 409
    shared.register("grp-2")
    assert shared.post("/api/v1/groups/job/nodes", {"node_id": "grp-2"}).status == 204
    assert shared.post("/api/v1/groups/job/nodes", {"node_id": "nobody"}).status == 404
    assert [n["node_id"] for n in shared.get("/api/v1/groups/job/nodes")["nodes"]] == ["grp-1", "grp-2"]
    assert shared.get("/api/v1/groups/job/nodes/grp-2").status == 200
    assert {n["node_id"] for n in shared.get("/api/v1/nodes?group=job")["nodes"]} == {"grp-1", "grp-2"}
    assert shared.get("/api/v1/nodes/grp-2")["groups"] == ["job"]
    assert shared.delete("/api/v1/groups/job/nodes/grp-2").status == 204
    assert shared.get("/api/v1/groups/job/nodes/grp-2").status == 404
    assert "job" in [g["group_id"] for g in shared.get("/api/v1/groups")["groups"]]
    assert shared.delete("/api/v1/groups/job").status == 204 and shared.get("/api/v1/groups/job").status == 404
    assert shared.get("/api/v1/groups/job/nodes").status == 404 and shared.delete("/api/v1/groups/job").status == 404


def test_relays_are_listed_by_zone_and_are_seeds(shared):
    shared.register("rel-1", zone="rz")
    assert shared.post("/api/v1/relays", {"node_id": "rel-1"}).status == 201
    assert [r["node_id"] for r in shared.get("/api/v1/relays/rz")["relays"]] == ["rel-1"]
    assert "rel-1" in [r["node_id"] for r in shared.get("/api/v1/relays")["relays"]]
    seed = next(s for s in shared.get("/api/v1/peers/seeds?zone=rz").json if s["node_id"] == "rel-1")
    assert seed["is_anchor"] and seed["http_address"] == "10.0.0.1:8082"
    assert shared.delete("/api/v1/relays/elsewhere/rel-1").status == 404
    assert shared.delete("/api/v1/relays/rz/rel-1").status == 204 and shared.get("/api/v1/relays/rz")["relays"] == []


def test_beyond_a_thousand_nodes_a_hydration_names_some_of_them():
    with running() as p:
        def register(worker):
            connection = p.connect()
            for i in range(worker, 1010, 8):
                body = {"node_id": f"m-{i}", "address": "10.0.0.1", "p2p_port": 1, "http_port": 1}
                assert p.call("POST", "/api/v1/nodes", body, connection=connection, checks=False).status == 201
            connection.close()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(register, range(8)))
        told = [p.get("/api/v1/nodes/m-7/hydration").json for _ in range(3)]
        for hydration in told:
            names = {m["node_id"] for m in hydration["members"]}
            assert len(hydration["members"]) == len(names) == 256 and "m-7" not in names
            assert hydration["members_total"] == 1010
        assert any(t["members"] != told[0]["members"] for t in told), "all would begin with the same ones"


def test_policies_and_configuration_are_versioned_and_reach_nodes(shared):
    shared.register("pol-1")
    before = shared.get("/api/v1/policies")["version"]
    put = shared.put("/api/v1/policies", {"prefix": "http://s3/b/", "min_copies": 3, "settings": {"ttl": 60, "bypass": False}})
    assert put.status == 200 and put["version"] > before
    assert shared.put("/api/v1/policies", {"prefix": "p", "min_copies": 4, "max_copies": 3}).status == 400
    config = shared.get("/api/v1/config")["version"]
    pushed = shared.put("/api/v1/config", {"settings": {"p2p.upload_limit_mbps": 100}, "if_version": config})
    assert pushed.status == 200 and pushed["version"] == config + 1
    assert shared.put("/api/v1/config", {"settings": {}, "if_version": config}).status == 409
    beat = shared.beat("pol-1")
    assert beat.fields["x-elio-config"] == str(config + 1) and beat.fields["x-elio-policies"] == str(put["version"])
    hydration = shared.get("/api/v1/nodes/pol-1/hydration").json
    assert hydration["config"]["settings"] == {"p2p.upload_limit_mbps": 100} and hydration["report"] == "full"
    policy = next(p for p in hydration["policies"] if p["prefix"] == "http://s3/b/")
    assert policy["settings"] == {"ttl": 60, "bypass": False} and policy["min_copies"] == 3
    assert "pol-1" not in [m["node_id"] for m in hydration["members"]]
    assert shared.delete("/api/v1/policies?prefix=http%3A%2F%2Fs3%2Fb%2F").status == 204
    assert shared.delete("/api/v1/policies?prefix=none").status == 404 and shared.delete("/api/v1/policies").status == 400


@pytest.mark.parametrize("settings, why", [
    ({"cache.freshness": 1}, "there is no key"), ({"cache.freshness_s": -1}, "cache.freshness_s"), ({"cache.freshness_s": "soon"}, "soon"),
    ({"proxy.listen_port": 80}, "from afar"), ({"auth.mode": "trust"}, "from afar"), ({"general.node_id": "x"}, "from afar"),
    ({"storage.secret_key": "x"}, "from afar"), ({"proxy.deny_hosts": ""}, "from afar"), ({"cache.eviction_target": 0.9}, "has to be below"),
    ({"cache.freshness_s": "1\nproxy.listen_port=80"}, "one line"), ({"general.log_level=debug\nx.y": 1}, "no key")])
def test_what_nodes_would_refuse_is_not_pushed(shared, settings, why):
    before = shared.get("/api/v1/config")["version"]
    refused = shared.put("/api/v1/config", {"settings": settings})
    assert refused.status == 400 and why in refused["text"] and shared.get("/api/v1/config")["version"] == before


@pytest.mark.parametrize("prefix, settings, why", [
    ("http://s3/b", {"auth": "trust"}, "from afar"), ("http://s3/b", {"grant_ttl": 1}, "from afar"), ("http://s3/b", {"pin": True}, "no key"),
    ("http://s3/b", {"ttl": -1}, "ttl"), ("b/", {"ttl": 1}, "no URL"), ("http://s3/b?x", {"ttl": 1}, "no query"),
    ("http://s3/b", {"ttl": "1\nbypass=yes"}, "one line"), ("http://s3/b", {"ttl": 1, "immutable": True}, "exclude each other"),
    ("http://s3/b/../c", {"ttl": 1}, "a segment")])
def test_settings_of_a_policy_that_nodes_would_refuse_are_refused(shared, prefix, settings, why):
    before = shared.get("/api/v1/policies")["version"]
    refused = shared.put("/api/v1/policies", {"prefix": prefix, "settings": settings})
    assert refused.status == 400 and why in refused["text"], refused
    assert refused["field"] == ("settings" if prefix == "http://s3/b" else "prefix"), refused
    assert shared.get("/api/v1/policies")["version"] == before


def test_a_policy_is_not_said_again_in_other_words(plane):
    assert plane.put("/api/v1/policies", {"prefix": "http://s3/b", "settings": {"ttl": 1}}).status == 200
    for other in ("http://s3/b/", "http://s3:80/b", "http://s3/%62", "HTTP://S3/b"):
        refused = plane.put("/api/v1/policies", {"prefix": other, "settings": {"ttl": 2}})
        assert refused.status == 400 and "about the same" in refused["text"], other
    assert plane.put("/api/v1/policies", {"prefix": "http://s3/b", "settings": {"ttl": 2}}).status == 200


def test_what_a_node_runs_is_shown_however_much_it_has_to_say(shared):
    shared.register("talker")
    told = {"version": 2**63 - 1, "error": '"' * 255, "pending": [f"cache.{n:058}" for n in range(48)], "policy_version": 2**63 - 1, "policy_error": "\\" * 255}
    assert shared.beat("talker", config=told).status == 204
    assert shared.get("/api/v1/nodes/talker")["config"] == told


def test_versions_before_are_kept_and_pushed_again(plane):
    for seconds in range(1, 24):
        plane.put("/api/v1/config", {"settings": {"cache.freshness_s": seconds}})
    kept = plane.get("/api/v1/config/versions")["versions"]
    assert [v["version"] for v in kept] == list(range(23, 3, -1))
    back = plane.put("/api/v1/config", {"settings_of": 7})
    assert back["version"] == 24 and back["settings"] == {"cache.freshness_s": 7}
    assert plane.put("/api/v1/config", {"settings_of": 2}).status == 404 and plane.put("/api/v1/config", {}).status == 400


def test_a_snapshot_is_kept_and_replayed(plane):
    for n in ("one", "two"):
        plane.register(n)
        plane.beat(n)
    plane.report("one", chunk_ids=[chunk(1), chunk(2)], epoch=1)
    snapshot = plane.post("/api/v1/operations/snapshot")
    assert snapshot.status == 201 and snapshot["status"] == "created"
    assert plane.get(f"/api/v1/operations/{snapshot['operation_id']}")["total"] == 2
    replay = plane.post("/api/v1/operations/replay", {"snapshot_id": snapshot["snapshot_id"], "targets": "two"})
    assert replay.status == 202 and replay["status"] == "replay_initiated"
    path = f"/api/v1/operations/{replay['operation_id']}"
    assert plane.delete(path).status == 409

    def done():
        for c in plane.get("/api/v1/nodes/two/commands")["commands"]:
            assert plane.post(f"/api/v1/nodes/two/commands/{c['command_id']}/ack", {"status": "done"}).status == 204
        held = plane.get(path).json
        return held if held["state"] != "running" else None

    plane.report("two", chunk_ids=[chunk(1), chunk(2)], epoch=1)
    ended = plane.wait_for(done, "the replay is done")
    assert ended["state"] == "done" and plane.delete(path).status == 204 and plane.get(path).status == 404
    assert plane.post("/api/v1/operations/replay", {"snapshot_id": "999999"}).status == 404
    assert plane.post("/api/v1/operations/replay", {"as_of": "1999-01-01T00:00:00Z"}).status == 404
    assert plane.post("/api/v1/operations/replay", {"targets": "nobody"}).status == 404


def test_drain_copies_away_what_only_it_has_and_can_be_cancelled(plane):
    for n in ("one", "two"):
        plane.register(n)
        plane.beat(n)
    plane.report("one", chunk_ids=[chunk(1)], epoch=1)
    drained = plane.post("/api/v1/operations/drain", {"node_ids": ["one"], "max_unavailable": 1})
    assert drained.status == 202 and drained["nodes"] == [{"node_id": "one", "done": False}]
    plane.wait_for(lambda: plane.get("/api/v1/nodes/one")["state"] == "draining", "it drains")
    assert plane.post(f"/api/v1/operations/{drained['operation_id']}/cancel").status == 204
    assert plane.post(f"/api/v1/operations/{drained['operation_id']}/cancel").status == 409
    plane.wait_for(lambda: plane.get("/api/v1/nodes/one")["state"] == "active", "it does not any more")
    assert plane.post("/api/v1/nodes/one/drain").status == 202
    plane.wait_for(lambda: plane.beat("one").fields["x-elio-state"] == "draining", "the node is told so")
    assert plane.post("/api/v1/nodes/one/undrain")["state"] == "active"
    assert plane.post("/api/v1/nodes/nobody/drain").status == 404 and plane.post("/api/v1/nodes/nobody/undrain").status == 404
    assert plane.post("/api/v1/operations/drain", {"node_ids": ["nobody"]}).status == 404


def test_a_backup_is_a_file_that_can_be_put_back(plane, tmp_path):
    plane.register("kept", available_chunks=[chunk(1)])
    made = plane.post("/api/v1/operations/backup")
    assert made.status == 202
    path = f"/api/v1/operations/{made['operation_id']}"
    ended = plane.wait_for(lambda: next((o for o in [plane.get(path).json] if o["state"] != "running"), None), "the backup")
    assert ended["state"] == "done", ended
    with contextlib.closing(sqlite3.connect(ended["message"])) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    restored = subprocess.run([ELIOCP, "restore", ended["message"], f"--data-dir={tmp_path}"], capture_output=True, text=True, check=False)
    assert restored.returncode == 0, restored.stderr
    again = subprocess.run([ELIOCP, "restore", ended["message"], f"--data-dir={tmp_path}"], capture_output=True, text=True, check=False)
    assert again.returncode == 1 and "move away" in again.stderr
    with running(directory=tmp_path) as p:
        assert p.get("/api/v1/nodes/kept").status == 200


def restore(backup, directory):
    return subprocess.run([ELIOCP, "restore", str(backup), f"--data-dir={directory}"], capture_output=True, text=True, check=False)


def test_what_is_no_whole_backup_is_not_restored(plane, tmp_path):
    made = plane.post("/api/v1/operations/backup")
    path = f"/api/v1/operations/{made['operation_id']}"
    plane.wait_for(lambda: plane.get(path)["state"] == "done", "the backup")
    good = pathlib.Path(plane.get(path)["message"])
    pages = good.read_bytes()
    directory = tmp_path / "state"
    directory.mkdir()
    wrong = tmp_path / "wrong"
    for content in (b"", b"not a database" * 1000, pages[:len(pages) // 2]):
        wrong.write_bytes(content)
        refused = restore(wrong, directory)
        assert refused.returncode == 1 and str(wrong) in refused.stderr, refused
        assert not list(directory.iterdir())
    with contextlib.closing(sqlite3.connect(tmp_path / "other")) as db:
        db.execute("CREATE TABLE something(a)")
        db.commit()
    refused = restore(tmp_path / "other", directory)
    assert refused.returncode == 1 and "records" in refused.stderr, refused
    assert restore(tmp_path / "none", directory).returncode == 1
    assert not list(directory.iterdir())
    for left in ("-wal", "-shm", "-journal"):
        beside = directory / f"eliocp.db{left}"
        beside.write_bytes(b"of the state that was there")
        refused = restore(good, directory)
        assert refused.returncode == 1 and str(beside) in refused.stderr and "move away" in refused.stderr, refused
        assert list(directory.iterdir()) == [beside]
        beside.unlink()
    assert restore(good, directory).returncode == 0
    assert [f.name for f in directory.iterdir()] == ["eliocp.db"] and (directory / "eliocp.db").read_bytes() == pages


def test_backups_come_by_themselves_and_the_oldest_go():
    with running(service__backup_interval_s=1, service__backups_kept=2) as p:
        def written():
            return [o["message"] for o in p.get("/api/v1/operations")["operations"] if o["kind"] == "backup" and o["state"] == "done"]

        p.wait_for(lambda: len(written()) >= 4, "four backups", 60)
        newest = sorted(written())[-1]
        files = sorted(str(f) for f in (p.directory / "backups").iterdir())
        assert newest in files and len(files) <= 3, (files, newest)


def test_changes_are_written_down(shared):
    shared.register("aud-1")
    shared.post("/api/v1/relays", {"node_id": "aud-1"}, fields={"X-Request-Id": "my-id"})
    entry = next(e for e in shared.get("/api/v1/audit")["entries"] if e["what"] == "relay.add" and e["text"] == "aud-1")
    assert entry["status"] == 201 and entry["who"] == "anybody@127.0.0.1"


# ---- who may ----

def test_without_a_token_only_this_machine_is_served_and_the_first_token_is_an_operators():
    with running(service__bind_address="0.0.0.0") as p:
        assert p.address == "127.0.0.1" and "cp.open" in p.log() and p.get("/api/v1/status")["open"]
        assert p.post("/api/v1/tokens", {"role": "reader", "name": "eve"}).status == 409
        node = p.register("before")["token"]
        p.token = p.post("/api/v1/tokens", {"role": "operator", "name": "ops"})["token"]
        assert p.get("/api/v1/nodes", token=False).status == 401
        assert p.get("/api/v1/nodes").status == 200 and not p.get("/api/v1/status")["open"]
        assert p.beat("before", token=node).status == 204
        listed = p.get("/api/v1/tokens")["tokens"]
        assert {(t["role"], t["name"]) for t in listed} == {("operator", "ops"), ("node", "before")} and p.token not in str(listed)


def test_a_nodes_token_speaks_for_that_node_only(plane):
    plane.token = plane.post("/api/v1/tokens", {"role": "operator", "name": "ops"})["token"]
    join = plane.post("/api/v1/tokens", {"role": "node"})["token"]
    a, b = (plane.register(n, token=join)["token"] for n in ("a", "b"))
    assert plane.beat("a", token=a).status == 204 and plane.beat("b", token=a).status == 403
    assert plane.beat("a", token=join).status == 403
    assert plane.register("b", token=a).status == 403 and plane.delete("/api/v1/nodes/b", token=a).status == 403
    assert plane.post("/api/v1/auth/register", {"node_id": "b"}, token=a).status == 403
    assert plane.post("/api/v1/auth/register", {"node_id": "c"}, token=join).status == 201
    plane.post("/api/v1/groups", {"group_id": "g"})
    assert plane.post("/api/v1/groups/g/nodes", {"node_id": "a"}, token=a).status == 204
    assert plane.post("/api/v1/groups/g/nodes", {"node_id": "b"}, token=a).status == 403
    assert plane.delete("/api/v1/nodes/b").status == 204 and plane.beat("b", token=b).status == 401
    reader = plane.post("/api/v1/tokens", {"role": "reader", "name": "r"})["token"]
    assert plane.register("d", token=reader).status == 403
    assert plane.delete("/api/v1/tokens/node/*").status == 204 and plane.register("e", token=join).status == 401
    assert plane.delete("/api/v1/tokens/reader/r").status == 204 and plane.get("/api/v1/nodes", token=reader).status == 401
    assert plane.delete("/api/v1/tokens/reader/r").status == 404 and plane.delete("/api/v1/tokens/king/r").status == 404


def test_an_id_that_is_taken_is_its_nodes_whoever_may_join(plane, tmp_path):
    plane.token = plane.post("/api/v1/tokens", {"role": "operator", "name": "ops"})["token"]
    join = plane.post("/api/v1/tokens", {"role": "node"})["token"]
    mine, others = "this-is-what-only-this-node-can-say", "this-is-what-another-node-would-say"
    hush(mine)
    own = plane.register("a", token=join, proof=mine)["token"]
    for body in ({"proof": others}, {}):
        assert plane.register("a", token=join, **body).status == 409
        assert plane.post("/api/v1/auth/register", {"node_id": "a", **body}, token=join).status == 409
    assert plane.register("a", token=join, proof="short").status == 400
    assert mine not in str(plane.get("/api/v1/nodes/a").body) and plane.beat("a", token=own).status == 204
    assert plane.register("a", token=join, proof=mine).status == 201 and plane.register("a", token=own).status == 201
    assert plane.register("a", token=join, proof=others).status == 409
    assert plane.register("a", proof=others).status == 201 and plane.register("a", token=join, proof=mine).status == 409
    assert plane.delete("/api/v1/nodes/a").status == 204 and plane.register("a", token=join, proof=mine).status == 201


def test_a_token_of_a_file_opens_what_its_role_says(tmp_path):
    tokens = tmp_path / "tokens"
    secret = "operators-secret-0123456789"
    hush(secret)
    tokens.write_text(f"# who may\n\nreaders-token-0123456789 reader\nsha256:{hashlib.sha256(secret.encode()).hexdigest()} operator\n")
    with running(access__tokens_file=tokens) as p:
        assert p.get("/api/v1/nodes").status == 401 and p.get("/health").status == 200
        assert p.get("/api/v1/alerts", token="readers-token-0123456789").status == 200
        assert p.register("n", token="readers-token-0123456789").status == 403
        assert p.register("n", token=secret).status == 201
        assert p.get("/api/v1/nodes", token="not-a-token-at-all-000").status == 401
        assert p.call("GET", "/api/v1/nodes", fields={"Authorization": "Basic abc"}).status == 401
    tokens.write_text("short reader\n")
    r = subprocess.run([ELIOCP, f"--access.tokens_file={tokens}", f"--data-dir={tmp_path}"], capture_output=True, text=True, timeout=20, check=False)
    assert r.returncode == 2 and ":1:" in r.stderr and "short" not in r.stderr.replace("tokens", "")


def test_a_web_page_of_another_host_changes_nothing_and_reads_nothing(shared):
    page = {"Origin": "https://evil.example"}
    assert shared.post("/api/v1/groups", {"group_id": "evil"}, fields=page).status == 403
    assert shared.get("/api/v1/groups/evil").status == 404
    assert "access-control-allow-origin" not in shared.get("/api/v1/nodes", fields=page).fields
    assert shared.call("OPTIONS", "/api/v1/nodes", fields=page, checks=False).status == 405
    with WebSocket(shared, fields=["Origin: https://evil.example"]) as ws:
        assert ws.status == 403
    own = {"Origin": f"http://127.0.0.1:{shared.port}", "Sec-Fetch-Site": "same-origin"}
    assert shared.post("/api/v1/groups", {"group_id": "good"}, fields=own).status == 201


def test_a_page_that_is_allowed_may():
    with running(service__cors_origins="https://console.example") as p:
        page = {"Origin": "https://console.example"}
        preflight = p.call("OPTIONS", "/api/v1/groups", fields={**page, "Access-Control-Request-Method": "POST"}, checks=False)
        assert preflight.status == 204 and preflight.fields["access-control-allow-origin"] == "https://console.example"
        assert "PUT" in preflight.fields["access-control-allow-methods"]
        assert p.get("/api/v1/nodes", fields=page).fields["access-control-allow-origin"] == "https://console.example"
        assert p.post("/api/v1/groups", {"group_id": "g"}, fields=page).status == 201
        assert p.call("OPTIONS", "/api/v1/groups", fields={"Origin": "https://evil.example"}, checks=False).status == 405


def test_requests_have_ids(shared):
    assert shared.get("/health", fields={"X-Request-Id": "abc-1.2_3"}).fields["x-request-id"] == "abc-1.2_3"
    made = [shared.get("/health").fields["x-request-id"] for _ in range(2)]
    assert made[0] != made[1]
    assert shared.get("/health", fields={"X-Request-Id": "a b"}).fields["x-request-id"] != "a b"
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    assert shared.get("/health", fields={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}).fields["x-request-id"] == trace
    assert shared.get("/health", fields={"traceparent": f"00-{trace}"}).fields["x-request-id"] != trace
    refused = shared.get("/nowhere", fields={"X-Request-Id": "lost"})
    assert refused.status == 404 and refused["request_id"] == "lost" == refused.fields["x-request-id"]
    wrong = shared.call("DELETE", "/health", checks=False)
    assert wrong.status == 405 and wrong.fields["allow"] == "GET, HEAD" and wrong["code"] == 2008


# ---- events ----

def test_a_websocket_is_told_and_goes_on_where_it_was(plane):
    with WebSocket(plane) as ws:
        hello = ws.hello(after=0)
        assert (hello["type"], hello["cluster_id"], hello["resumed"]) == ("hello", "default", True)
        plane.register("w-1")
        up = ws.until("node_up", node_id="w-1")
        ws.send({"type": "ping"})
        assert ws.receive() == {"type": "pong"}
    plane.register("w-2")
    with WebSocket(plane) as ws:
        again = ws.hello(after=up["seq"], stream=hello["stream"])
        assert again["resumed"] and again["stream"] == hello["stream"]
        assert ws.until("node_up")["node_id"] == "w-2"
    with WebSocket(plane) as ws:
        assert ws.hello(after=10**9)["resumed"] is False
    with WebSocket(plane) as ws:
        assert ws.hello(after=1, stream="0" * 16)["resumed"] is False
        assert ws.until("node_up")["node_id"] == "w-1"
    with WebSocket(plane) as ws:
        assert ws.hello()["seq"] >= 2
        plane.register("w-3")
        assert ws.until("node_up")["node_id"] == "w-3"


def test_a_websocket_that_talks_nonsense_is_told_so_and_nothing_else_happens(plane):
    with WebSocket(plane) as ws:
        for nonsense in (b"", b"garbage", b"[]", b'{"type":5}', b'{"type":"register"}', b"[" * 1000, b'{"type":"hello","after":-1}'):
            ws.send(nonsense)
            assert ws.receive()["type"] == "error", nonsense
    with WebSocket(plane) as ws:
        ws.send(b'{"type":"hello","x":"' + b"y" * 100000 + b'"}')
        assert ws.receive() is None
    assert plane.get("/ws").status == 400 and plane.get("/health").status == 200


def test_a_websocket_wants_a_token_too(plane):
    plane.token = plane.post("/api/v1/tokens", {"role": "operator", "name": "ops"})["token"]
    with WebSocket(plane) as ws:
        assert ws.hello()["type"] == "error"
        assert ws.hello(token="wrong-token-0123456789")["type"] == "error"
        assert ws.hello(token=plane.token)["type"] == "hello"
    with WebSocket(plane, token=plane.token) as ws:
        assert ws.hello()["type"] == "hello"


def test_a_websocket_ends_with_the_token_that_it_began_with(plane):
    def rest(ws):
        """All until it is closed."""
        return [e for e in iter(ws.receive, None)]

    with WebSocket(plane) as without:
        assert without.hello()["type"] == "hello"
        plane.token = plane.post("/api/v1/tokens", {"role": "operator", "name": "ops"})["token"]
        reader = plane.post("/api/v1/tokens", {"role": "reader", "name": "wall"})["token"]
        rest(without)
    with WebSocket(plane, token=reader) as shown, WebSocket(plane) as said, WebSocket(plane, token=plane.token) as stays:
        assert shown.hello()["type"] == said.hello(token=reader)["type"] == stays.hello()["type"] == "hello"
        assert plane.delete("/api/v1/tokens/reader/wall").status == 204
        rest(shown)
        rest(said)
        plane.register("w-1")
        assert stays.until("node_up")["node_id"] == "w-1"


def test_polling_alone_suffices_and_can_wait(plane):
    first = plane.get("/api/v1/events").json
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(plane.get, f"/api/v1/events?after={first['next']}&wait_ms=20000")
        while plane.get("/api/v1/status")["requests"] < 2:
            pass
        plane.register("p-1")
        told = waiting.result(TIMEOUT)
    assert [e["node_id"] for e in told["events"] if e["type"] == "node_up"] == ["p-1"]
    assert plane.get(f"/api/v1/events?after={told['next']}&wait_ms=50")["events"] == []
    assert plane.get("/api/v1/events?after=99999")["gap"] is True
    assert plane.get("/api/v1/events?wait_ms=999999").status == 400 and plane.get("/api/v1/events?limit=0").status == 400
    assert len(plane.get("/api/v1/events?limit=1")["events"]) == 1


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what it is sent; the first call is answered with 500."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((dict(self.headers), body))
        self.send_response(500 if len(self.server.calls) == 1 else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_webhook_is_called_again_until_it_is_heard_and_is_signed():
    secret, path = "webhook-secret-0123456789", "hook-token-9876543210"
    hush(secret, path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.calls = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with running(webhooks__urls=f"http://127.0.0.1:{server.server_port}/{path}", webhooks__events="node_up",
                     env={"ELIOCP_WEBHOOKS_SECRET": secret}) as p:
            p.register("h-1")
            p.wait_for(lambda: p.get("/api/v1/webhooks")["webhooks"][0]["delivered"] == 1, "the webhook is delivered")
            assert p.post("/api/v1/webhooks/test")["queued"] == 1
            p.wait_for(lambda: len(server.calls) == 3, "the test is delivered")
            line = next(l for l in p.log().splitlines() if "cp.webhook" in l)
            assert "hook=1 " in line and f"port={server.server_port} " in line, line
    finally:
        server.shutdown()
        server.server_close()
    (first, body), (second, same), (_, test) = server.calls
    assert body == same and first["X-Elio-Delivery"] == second["X-Elio-Delivery"]
    assert first["X-Elio-Signature"] == "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    event = json.loads(body)
    assert (event["type"], event["node_id"], event["cluster_id"]) == ("node_up", "h-1", "default")
    assert json.loads(test)["type"] == "test"


def test_alerts_come_and_go():
    with running(**{**FAST, "liveness__forget_ms": 60000}) as p:
        p.register("sick")

        def alerts():
            return {a["alert"] for a in p.get("/api/v1/alerts")["alerts"]}

        def ails():
            return p.beat("sick", disk_state="down", origin_ok=False).status == 204

        p.wait_for(lambda: ails() and alerts() >= {"disk", "origin_errors"}, "alerts")
        assert ails() and p.get("/health/origin")["failing"] == ["sick"]
        p.wait_for(lambda: "node_down" in alerts(), "the node is dead")
        assert p.get("/health/nodes")["status"] == "degraded"
        p.wait_for(lambda: p.beat("sick").status == 204 and not alerts(), "it is back, and well")
        assert {"raised", "cleared"} <= {e["text"].split()[0] for e in p.events() if e["type"] == "alert"}


# ---- probes ----

PROBING = {"liveness__probe_ms": 300, "liveness__probe_failures": 2, "liveness__heartbeat_ms": 60000, "liveness__dead_ms": 200000}


class Probed(http.server.ThreadingHTTPServer):
    """What is asked where a node said that it is: answers as it is told to, and keeps what it was sent. On all of loopback."""
    daemon_threads, request_queue_size = True, 256

    def __init__(self, answer=(200, {})):
        super().__init__(("", 0), ProbedHandler)
        self.answer, self.calls, self.running, self.most, self.connections = answer, [], 0, 0, 0
        self.lock, self.gate = threading.Lock(), threading.Event()
        self.gate.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """Who asked has given up."""

    def __exit__(self, *_):
        self.gate.set()
        self.shutdown()
        self.server_close()


class ProbedHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_GET(self):
        s = self.server
        with s.lock:
            s.calls.append((self.requestline, dict(self.headers)))
            s.running += 1
            s.most = max(s.most, s.running)
        s.gate.wait(30)
        with s.lock:
            s.running -= 1
        status, fields = s.answer
        self.send_response(status)
        for name, value in {"Content-Length": "2", **fields}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def probe_of(p, node):
    return p.get(f"/api/v1/nodes/{node}")["probe"]


def has_alert(p, node):
    return ("unreachable", node) in {(a["alert"], a["subject"]) for a in p.get("/api/v1/alerts")["alerts"]}


def test_a_node_that_beats_and_does_not_answer_is_out_of_reach_and_not_dead():
    with Probed() as server, running(**PROBING) as p:
        p.register("n-1", address="127.0.0.1", http_port=server.server_port)
        p.beat("n-1", ready=True)
        well = p.wait_for(lambda: probe_of(p, "n-1"), "the node is asked")
        assert well["ok"] and well["reachable"] and well["failures"] == 0 and 0 <= well["ms"] < 5000 * SLOW
        p.wait_for(lambda: len(server.calls) >= 4, "it is asked again")
        assert server.connections == 1  # kept
        assert {line for line, _ in server.calls} == {"GET /health HTTP/1.1"}
        assert {name for _, fields in server.calls for name in fields} == {"Host", "User-Agent"}
        health = p.get("/api/v1/nodes/n-1")["health"]
        server.answer = (500, {})
        p.wait_for(lambda: not probe_of(p, "n-1")["reachable"], "it is out of reach")
        lost = p.get("/api/v1/nodes/n-1").json
        assert lost["state"] == "active" and lost["health"] == health - 30
        assert lost["probe"]["ok"] is False and lost["probe"]["ms"] is None and lost["probe"]["failures"] >= 2
        p.wait_for(lambda: has_alert(p, "n-1"), "an alert")
        assert p.get("/health/nodes")["unreachable"] == 1 and p.get("/health/nodes")["status"] == "degraded"
        assert "eliocp_unreachable_nodes 1" in p.get("/metrics").body.decode()
        assert "cp.reach state=lost node=n-1" in p.log()
        server.answer = (200, {})
        p.wait_for(lambda: probe_of(p, "n-1")["reachable"] and not has_alert(p, "n-1"), "it is back")
        assert p.get("/api/v1/nodes/n-1")["health"] == health and "cp.reach state=back node=n-1" in p.log()


def test_nobody_is_asked_unless_that_is_configured():
    with Probed() as server, running(liveness__heartbeat_ms=300) as p:
        p.register("n-1", address="127.0.0.1", http_port=server.server_port)
        for _ in range(20):
            p.beat("n-1")
            time.sleep(0.05)
        assert probe_of(p, "n-1") is None and server.connections == 0


def test_a_probe_goes_nowhere_else_than_to_the_node():
    """Not where a redirect points to, and not to where nobody offers a service to others."""
    with Probed() as elsewhere, Probed() as server, running(**PROBING) as p:
        server.answer = (302, {"Location": f"http://127.0.0.1:{elsewhere.server_port}/secret"})
        p.register("redirects", address="127.0.0.1", http_port=server.server_port)
        p.register("metadata", address="169.254.169.254", http_port=80)
        p.register("multicast", address="224.0.0.1", http_port=80)
        p.register("any", address="0.0.0.0", http_port=elsewhere.server_port)
        p.register("hidden", address="127.0.0.1", http_port=elsewhere.server_port, serves=False)
        for node in ("redirects", "metadata", "multicast", "any"):
            p.wait_for(lambda: (probe_of(p, node) or {"reachable": True})["reachable"] is False, f"{node} is out of reach", 40)
        assert elsewhere.connections == 0 and probe_of(p, "hidden") is None
        assert {line for line, _ in server.calls} == {"GET /health HTTP/1.1"}


def test_so_many_are_asked_at_a_time_and_each_for_five_seconds():
    with Probed() as server, running(**PROBING) as p:
        server.gate.clear()
        for i in range(100):
            p.register(f"n-{i}", address=f"127.0.1.{i + 1}", http_port=server.server_port)
        began = time.monotonic()
        p.wait_for(lambda: server.running == 64, "as many as may are being asked")
        most = [server.most]

        def is_one_given_up():
            most.append(server.most)
            return any(n["probe"] for n in p.get("/api/v1/nodes")["nodes"])

        p.wait_for(is_one_given_up, "the first is given up")
        assert 4 < time.monotonic() - began < 8 * SLOW
        assert max(most[:-1]) == 64  # before that; the server goes on with what was given up
        server.gate.set()
        p.wait_for(lambda: all((probe_of(p, f"n-{i}") or {"ok": False})["ok"] for i in range(100)), "all of them answer", 60)


# ---- life ----

def test_what_was_acknowledged_is_there_after_kill(tmp_path):
    acknowledged = []
    with running(directory=tmp_path) as p:
        stop = threading.Event()

        def register(worker):
            connection = p.connect()
            with contextlib.suppress(OSError, http.client.HTTPException):
                for i in range(100000):
                    name = f"k-{worker}-{i}"
                    body = {"node_id": name, "address": "10.0.0.1", "p2p_port": 1, "http_port": 1}
                    if p.call("POST", "/api/v1/nodes", body, connection=connection, checks=False).status == 201:
                        acknowledged.append(name)
                    if len(acknowledged) > 300:
                        stop.set()

        workers = [threading.Thread(target=register, args=(w,)) for w in range(8)]
        for w in workers:
            w.start()
        assert stop.wait(60 * SLOW)
        p.crash()
        for w in workers:
            w.join()
    with running(directory=tmp_path) as p:
        known = {n["node_id"] for n in p.get("/api/v1/nodes")["nodes"]}
        missing = [n for n in acknowledged if n not in known]
        assert not missing, f"{len(missing)} of {len(acknowledged)} are gone: {missing[:5]}"


def test_what_many_want_written_at_once_shares_commits_and_beats_wait_for_none(plane):
    def commits():
        return plane.get("/api/v1/status")["store"]["commits"]

    rounds, before = 20, commits()
    connections = [plane.connect() for _ in range(64)]
    for n in range(rounds):
        for i, c in enumerate(connections):
            c.request("POST", "/api/v1/nodes", json.dumps({"node_id": f"c-{n}-{i}", "address": "10.0.0.1", "p2p_port": 1, "http_port": 1}))
        for c in connections:
            r = c.getresponse()
            assert r.status == 201 and r.read()
    assert commits() - before < rounds * len(connections) / 2
    for c in connections:
        c.close()
    began, before = time.monotonic(), commits()
    for _ in range(500):
        assert plane.beat("c-0-0").status == 204
    assert commits() - before <= 2 * (time.monotonic() - began) + 3  # what beats change is written once a second


def test_tokens_groups_policies_and_operations_outlive_a_crash(tmp_path):
    with running(directory=tmp_path) as p:
        node = p.register("n-1", available_chunks=[chunk(5)])["token"]
        p.post("/api/v1/groups", {"group_id": "g", "node_id": "n-1"})
        p.put("/api/v1/policies", {"prefix": "http://a/", "min_copies": 3})
        p.put("/api/v1/config", {"settings": {"cache.freshness_s": 1}})
        snapshot = p.post("/api/v1/operations/snapshot")["snapshot_id"]
        operator = p.post("/api/v1/tokens", {"role": "operator", "name": "ops"})["token"]
        p.crash()
    with running(directory=tmp_path) as p:
        p.token = operator
        assert p.get("/api/v1/groups/g")["nodes"] == ["n-1"]
        assert p.get("/api/v1/policies")["policies"][0]["min_copies"] == 3
        assert p.get("/api/v1/config")["settings"] == {"cache.freshness_s": 1}
        assert p.get(f"/api/v1/operations/{snapshot}")["state"] == "done"
        assert p.beat("n-1", token=node).status == 204
        assert "token.create" in [e["what"] for e in p.get("/api/v1/audit")["entries"]]


def test_sigterm_answers_who_waits_and_ends_in_order(plane):
    after = plane.get("/api/v1/events")["next"]
    waiting = plane.connect()
    waiting.request("GET", f"/api/v1/events?after={after}&wait_ms=30000")
    with WebSocket(plane) as ws:
        ws.hello()  # is answered: what was sent before it has been read
        plane.process.send_signal(signal.SIGTERM)
        assert waiting.getresponse().status == 200
        assert ws.receive() is None
    waiting.close()
    assert plane.process.wait(20 * SLOW) == 0
    assert "cp.drain" in plane.log() and "cp.stop" in plane.log()


def test_thousands_of_connections_are_kept(plane):
    sockets = []
    try:
        for _ in range(2000):
            s = socket.create_connection(("127.0.0.1", plane.port), TIMEOUT)
            s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            sockets.append(s)
        for s in sockets:
            assert s.recv(4096).startswith(b"HTTP/1.1 200 ")
        for s in sockets[:5]:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 200 ")
    finally:
        for s in sockets:
            s.close()


def test_tls_is_spoken_when_there_is_a_certificate(tmp_path):
    ca = Authority(tmp_path, "ca")
    cert, key = ca.server("server")
    with running(service__tls_cert=cert, service__tls_key=key) as p:
        trusted = ssl.create_default_context(cafile=str(ca.cert))
        with socket.create_connection(("127.0.0.1", p.port), TIMEOUT) as raw, \
                trusted.wrap_socket(raw, server_hostname="localhost") as s:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert s.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
        r = subprocess.run([ELIOCP, "nodes", f"--server=https://localhost:{p.port}", f"--ca-file={ca.cert}"], capture_output=True,
                           text=True, timeout=TIMEOUT, check=False)
        assert r.returncode == 0, r.stderr
    r = subprocess.run([ELIOCP, f"--service.tls_cert={cert}", f"--service.tls_key={tmp_path}/none", f"--data-dir={tmp_path}/d"],
                       capture_output=True, text=True, timeout=20, check=False)
    assert r.returncode == 2 and "service.tls_key" in r.stderr


# ---- the command line ----

def test_the_command_line_says_what_there_is_and_what_is_wrong(tmp_path):
    def run(*words, env=None):
        return subprocess.run([ELIOCP, *words], capture_output=True, text=True, timeout=20, check=False, env=env)

    assert "--service.port=VALUE, --port=VALUE" in run("--help").stdout and "eliocp drain NODE" in run("--help").stdout
    assert run("--version").stdout.startswith("eliocp ")
    assert run("--check-config").returncode == 0
    assert "port = 1234" in run("--print-config", "--port=1234").stdout
    assert "port = 1235" in run("--print-config", env={"PORT": "1235"}).stdout
    assert "port = 1236" in run("--print-config", env={"PORT": "1235", "ELIOCP_PORT": "1236"}).stdout
    assert "port = 1237" in run("--print-config", "--port=1237", env={"ELIOCP_PORT": "1236"}).stdout
    config = tmp_path / "eliocp.ini"
    config.write_text("[service]\nport = 99999\n")
    for words in (["--port=no"], ["--nonsense"], ["--proxy.listen_port=1"], [f"--config={config}"], ["--service.cluster_id=a b", "--check-config"],
                  ["--replication.min_copies=9", "--check-config"], ["--webhooks.secret=x"]):
        r = run(*words)
        assert r.returncode == 2 and r.stderr, words
    assert f"{config}:2" in run(f"--config={config}").stderr
    assert run("nonsense").returncode == 2 and run("nodes", "--server=127.0.0.1:1").returncode == 3


def test_a_port_that_is_taken_is_a_clear_error(shared, tmp_path):
    r = subprocess.run([ELIOCP, f"--port={shared.port}", "--bind=127.0.0.1", f"--data-dir={tmp_path}"], capture_output=True, text=True,
                       timeout=20, check=False)
    assert r.returncode == 1 and "cp.fail" in r.stderr and "another process has it" in r.stderr


def test_the_client_shows_tables_or_json_and_tells_by_its_exit_code(plane):
    plane.register("cli-1", name="first", zone="z\x7f1".replace("\x7f", ""), available_chunks=[chunk(1)])
    plane.beat("cli-1")
    as_json = json.loads(cli(plane, "nodes").stdout)
    assert [n["node_id"] for n in as_json["nodes"]] == ["cli-1"]
    table = cli(plane, "nodes", "--table").stdout
    assert table.startswith("NODE ") and "cli-1  first  active" in table
    for verb in ("status", "commands", "operations", "alerts", "groups", "zones", "edges", "objects", "policies", "audit", "events"):
        for form in ("--table", "--json"):
            r = cli(plane, verb, form)
            assert r.returncode == 0, (verb, form, r.stderr)
    assert "cluster      default, 1 nodes" in cli(plane, "status", "--table").stdout
    assert json.loads(cli(plane, "node", "cli-1").stdout)["state"] == "active"
    r = cli(plane, "node", "nobody")
    assert r.returncode == 1 and "eliocp node: " in r.stderr
    snapshot = json.loads(cli(plane, "snapshot").stdout)
    assert snapshot["status"] == "created"
    assert json.loads(cli(plane, "replay", snapshot["snapshot_id"]).stdout)["status"] == "replay_initiated"
    assert json.loads(cli(plane, "drain", "cli-1", "--max-unavailable=1").stdout)["kind"] == "drain"
    assert json.loads(cli(plane, "undrain", "cli-1").stdout)["state"] == "active"
    assert json.loads(cli(plane, "backup").stdout)["kind"] == "backup"
    assert cli(plane, "drain").returncode == 2 and cli(plane, "token", "forge").returncode == 2
    events = [json.loads(l) for l in cli(plane, "events").stdout.splitlines()]
    assert "node_up" in [e["type"] for e in events]
    made = cli(plane, "token", "create", "ops", "--role=operator", "--table")
    token = made.stdout.strip()
    hush(token)
    assert made.returncode == 0 and len(token) == 64
    refused = cli(plane, "nodes")
    assert refused.returncode == 1 and "ELIOCP_TOKEN" in refused.stderr
    assert cli(plane, "nodes", token=token).returncode == 0
    assert "ops" in cli(plane, "token", "list", "--table", token=token).stdout
    assert cli(plane, "token", "create", "eve", "--role=reader", token=token).returncode == 0
    assert cli(plane, "token", "revoke", "eve", "--role=reader", token=token).returncode == 0


def test_a_configuration_on_the_command_line_is_pairs_of_text(plane):
    for words in ([], ["cache.freshness_s"], [b"\xff=1"], [b"cache.freshness_s=\xff"], ["cache.freshness_s=1", "cache.freshness_s=2"]):
        r = cli(plane, "config", "push", *words)
        assert r.returncode == 2 and "usage: " in r.stderr, words
    assert plane.get("/api/v1/config")["version"] == 0
    assert json.loads(cli(plane, "config", "push", "cache.freshness_s=1").stdout)["version"] == 1
    refused = cli(plane, "config", "push", "cache.freshness_s=no").stderr
    assert refused.startswith('eliocp config: settings cache.freshness_s = "no": allowed is ')


@contextlib.contextmanager
def following(plane):
    """Lines of those who follow the events."""
    process = subprocess.Popen([ELIOCP, "events", "-f", "--table", f"--server={plane.url}"], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_who_follows_events_waits_for_the_first_one(plane):
    def asked():
        found = re.search(r'^eliocp_requests_total\{method="GET",path="/api/v1/events"\} (\d+)$', plane.get("/metrics").body.decode(), re.M)
        return int(found[1]) if found else 0

    with following(plane) as lines:
        for _ in range(300):
            plane.get("/health")
        plane.register("f-1")
        assert "node_up" in lines.readline()
        assert asked() <= 1


def test_events_are_followed(plane):
    with following(plane) as lines:
        for name in ("f-1", "f-2"):
            plane.register(name)
            assert any(name in line and "node_up" in line for line in iter(lines.readline, "")), name
