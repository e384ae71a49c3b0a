# SPDX-License-Identifier: MIT
"""The dashboard of a real eliocp in a real browser: three nodes and an origin behind it. What it shows is the API's."""
import contextlib
import json
import os
import pathlib
import shutil
import threading
import urllib.parse

import pytest

from browser import Browser
from checks import is_exact
from cluster import Cluster, free_ports
from content import MIB
from hushed import hush
from origin import Origin
from plane import Plane, chunk
from tier import wait_for

SIZE = 40 * MIB + 7  # three chunks
FAST = {"liveness__heartbeat_ms": 500, "liveness__dead_ms": 3000, "liveness__forget_ms": 600000, "replication__enable": "false"}
PATIENT = {**FAST, "liveness__heartbeat_ms": 60000, "liveness__dead_ms": 200000}  # for nodes that nobody is behind
OPERATOR, READER, NODE = "operator-token-1234567", "reader-token-123456789", "node-token-12345678901"
HOSTILE = "<img src=x onerror=window.hacked=1>"
NO_SOCKETS = """window.WebSocket = class {
  constructor() { setTimeout(() => this.onclose && this.onclose(), 0); }
  send() {}
  close() {}
};"""
PICTURES = os.environ.get("ELIO_PICTURES")  # a directory in which to keep what the pages looked like


@pytest.fixture(scope="module")
def browser():
    with Browser() as b:
        yield b


@pytest.fixture(scope="module")
def cluster():
    """plane, origin, nodes: three of them, each of which has read something."""
    plane = Plane(service__port=free_ports(1)[0], **FAST)
    origin = Origin()
    nodes = Cluster(3, origin, control_plane__endpoint=f"127.0.0.1:{plane.port}", discovery__seeds="", general__zone="rack-1")
    try:
        for path in ("/models/llama/a.safetensors", "/datasets/b.tar"):
            origin.add(path, size=SIZE)
            for _ in range(3):
                for r in nodes.get_all(path):
                    is_exact(r, origin.content(path))
        plane.origin, plane.nodes = origin, nodes
        yield plane
    finally:
        with contextlib.ExitStack() as last:
            last.callback(origin.close)
            last.callback(plane.stop)
            nodes.close()


@pytest.fixture
def page(browser, cluster):
    p = browser.open(cluster.url)
    p.wait("document.querySelector('#feed').dataset.state == 'live' && document.querySelectorAll('#nodes tbody tr').length >= 3")
    yield p
    assert_peaceful(p, cluster)
    p.close()


def assert_peaceful(page, plane):
    """It asked nobody but this service, and nothing went wrong in it."""
    hosts = {urllib.parse.urlsplit(u).netloc for u in page.urls if not u.startswith("about:")}
    assert hosts == {f"127.0.0.1:{plane.port}"}, hosts
    assert not page.complaints and not page.dialogs, (page.complaints, page.dialogs)


def value(name):
    return f"document.getElementById({json.dumps(name)}).dataset.value"


def keep_picture(page, path, name):
    page.screenshot(path / name)
    assert (path / name).stat().st_size > 20000
    if PICTURES:
        shutil.copy(path / name, pathlib.Path(PICTURES) / name)


# ---- what it shows ----

def test_figures_are_those_of_the_api(page, cluster):
    served = 2 * 9 * SIZE
    m = cluster.wait_for(lambda: (m := cluster.get("/api/v1/metrics").json)["metrics"]["storage"]["origin_bytes_saved"] +
                         m["metrics"]["storage"]["origin_bytes"] == served and m, "all that was served")
    s = m["metrics"]["storage"]
    assert s["origin_bytes"] == 2 * SIZE
    wanted = {"sum-served": served, "sum-origin": s["origin_bytes"], "sum-saved": s["origin_bytes_saved"], "chunks": m["total_chunks"],
              "nodes-active": 3, "nodes-total": 3, "alerts-count": 0}
    for name, number in wanted.items():
        page.wait(f"{value(name)} == {number}")
    assert abs(float(page.run(value("saved-ratio"))) - s["origin_bytes_saved"] / served) < 1e-9
    assert page.text("#saved-ratio") == f"{100 * s['origin_bytes_saved'] / served:.1f} %"
    copies = [c["chunks"] for c in cluster.get("/api/v1/chunks/copies")["copies"]]
    page.wait(f"{value('chart-copies')} == {json.dumps(json.dumps(copies, separators=(',', ':')))}")
    for n in cluster.get("/api/v1/nodes")["nodes"]:
        row = page.text(f"#nodes tr[data-node='{n['node_id']}']")
        assert n["name"] in row and "rack-1" in row and "active" in row, row


def test_bytes_by_source_are_summed_over_the_time_range(page, cluster):
    def told():
        points = cluster.get("/api/v1/timeline")["points"]
        sums = {k: sum(p[k] for p in points) for k in ("memory", "disk", "peer", "origin")}
        return sums if sums["memory"] + sums["peer"] + sums["origin"] == 2 * 9 * SIZE else None

    sums = cluster.wait_for(told, "a timeline of all that was served")
    assert sums["origin"] == 2 * SIZE
    for source, number in sums.items():
        page.wait(f"(document.querySelector('#legend [data-source={source}]') || {{dataset: {{}}}}).dataset.value == {number}")
    assert page.text("#legend [data-source=memory]").startswith("Memory")
    page.click("[data-range='3600']")
    page.wait("document.querySelector('[data-range=\"3600\"]').getAttribute('aria-pressed') == 'true'")


def test_hot_objects_have_names_and_their_holders(page, cluster):
    name = f"{cluster.origin.url}/models/llama/a.safetensors"
    row = cluster.wait_for(lambda: next((r for r in cluster.get("/api/v1/chunks/map")["rows"] if r["name"] == name and r["heat"] > 0 and
                                         r["held"] == [3, 3, 3]), None), "a hot object with its holders")
    shown = f"document.querySelector('#map tr[data-object=\"{row['object']}\"]')"
    page.wait(f"{shown} && {shown}.dataset.held == '3,3,3'")
    assert "models/llama/a.safetensors" in page.text(f"#map tr[data-object='{row['object']}']")
    page.click("[data-by=prefix]")
    prefix = f"{cluster.origin.url}/models/llama/"
    page.wait(f"[...document.querySelectorAll('#map tbody tr')].some((r) => r.dataset.object == {json.dumps(prefix)})")
    assert page.text("#h-objects") == "Hottest prefixes"


def test_downloads_are_shown_while_they_run(page, cluster):
    size, path = 48 * MIB, "/datasets/slow.tar"
    cluster.origin.add(path, size=size, rate=2 * MIB)
    readers = [threading.Thread(target=cluster.nodes.get, args=(i, path)) for i in range(3)]
    for r in readers:
        r.start()
    try:
        page.wait("document.querySelectorAll('.lane').length >= 2", 60)
        lane = page.run("(({dataset: d}) => ({done: +d.done, total: +d.total}))(document.querySelector('.lane'))")
        assert lane["total"] == size and 0 <= lane["done"] <= size
        assert path.strip("/") in page.text("#swarms")
        page.wait("[...document.querySelectorAll('.lane .ratio')].some((r) => r.innerText.endsWith('\\u00d7'))", 60)
        running = cluster.get("/api/v1/swarms")["downloads"]
        assert all(d["name"].endswith(path) for d in running) and any(d["bound_ms"] > 0 for d in running), running
    finally:
        for r in readers:
            r.join()
    page.wait("document.querySelector('#swarms').innerText.startsWith('No node fetches')", 60)


def test_operations_and_their_progress_are_shown(page, cluster):
    made = cluster.post("/api/v1/operations/snapshot", {"entity_id": "all"})
    page.wait(f"!!document.querySelector('[data-operation=\"{made['operation_id']}\"]')")
    assert "snapshot" in page.text(f"[data-operation='{made['operation_id']}']")
    page.wait(f"[...document.querySelectorAll('#events li')].some((e) => e.dataset.type == 'operation')")


def test_a_node_is_looked_at_by_keyboard(page, cluster):
    stops = []
    for _ in range(14):
        page.press("Tab")
        stops.append(page.run("(document.activeElement.innerText || document.activeElement.id || '').trim()"))
    assert stops[0] == "Skip to content" and {"Auto", "Light", "Dark", "5 min"} <= set(stops), stops
    node = cluster.get("/api/v1/nodes")["nodes"][0]
    page.run(f"document.querySelector('#nodes tr[data-node=\"{node['node_id']}\"] button').focus()")
    page.press("Enter")
    page.wait("document.querySelector('#node-dialog').open")
    assert page.text("#node-title") == node["name"] and node["node_id"] in page.text("#node-facts")
    page.press("Escape")
    page.wait("!document.querySelector('#node-dialog').open")


# ---- how it looks ----

def test_light_dark_narrow_and_wide(browser, cluster, tmp_path):
    page = browser.open(cluster.url, dark=True)
    page.wait("document.querySelector('#feed').dataset.state == 'live' && document.querySelectorAll('#map tbody tr').length > 1")
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((n, c) => n + +c, 0)"
    assert page.run(brightness) < 100
    keep_picture(page, tmp_path, "dark.png")
    page.click("[data-theme-choice=light]")
    assert page.run(brightness) > 650
    keep_picture(page, tmp_path, "light.png")
    page.call("Page.reload")
    page.wait("document.readyState == 'complete' && document.documentElement.dataset.theme == 'light'")
    assert page.run(brightness) > 650
    page.click("[data-theme-choice=auto]")
    assert page.run(brightness) < 100
    for width in (360, 768, 1024, 1440, 2560):
        page.size(width, 900)
        page.wait(f"innerWidth == {width} && document.documentElement.scrollWidth <= innerWidth")
    page.size(390, 844, 2)
    keep_picture(page, tmp_path, "narrow.png")
    page.size(2560, 1440)
    keep_picture(page, tmp_path, "wide.png")
    assert_peaceful(page, cluster)
    page.close()


# ---- what goes wrong ----

def test_names_from_outside_are_text(browser):
    with_hostile = Plane(service__port=free_ports(1)[0], **PATIENT)
    try:
        object_id = f"{7:032x}"
        r = with_hostile.register("evil", name=HOSTILE, zone=HOSTILE, region=HOSTILE, version=HOSTILE, labels={HOSTILE: HOSTILE},
                                  available_chunks=[chunk(7)])
        if r.status == 400:  # zones are names; what is left may be anything that is printed
            r = with_hostile.register("evil", name=HOSTILE, version=HOSTILE, labels={HOSTILE: HOSTILE}, available_chunks=[chunk(7)])
        assert r.status == 201, r
        with_hostile.beat("evil", downloads=[{"object": object_id, "name": HOSTILE, "total_bytes": 10, "done_bytes": 1}])
        with_hostile.post("/api/v1/objects", {"object": object_id, "name": HOSTILE})
        with_hostile.post("/api/v1/groups", {"group_id": "g", "name": HOSTILE, "prefix": HOSTILE, "node_id": "evil"})
        page = browser.open(with_hostile.url)
        page.wait(f"document.querySelector('#nodes').innerText.includes({json.dumps(HOSTILE)})")
        page.wait(f"document.querySelector('#swarms').innerText.includes({json.dumps(HOSTILE)})")
        page.wait(f"document.querySelector('#map').innerText.includes({json.dumps(HOSTILE)})")
        page.click("#nodes tbody button")
        page.wait(f"document.querySelector('#node-facts').innerText.includes({json.dumps(HOSTILE)})")
        page.run("new Promise((done) => setTimeout(done, 0))")
        assert page.run("window.hacked") is None and page.run("document.querySelectorAll('img').length") == 1
        assert_peaceful(page, with_hostile)
        page.close()
    finally:
        with_hostile.stop()


def test_a_token_is_asked_for_and_kept_in_the_tab(browser, tmp_path):
    for token in (OPERATOR, READER, NODE):
        hush(token)
    (tmp_path / "tokens").write_text(f"{OPERATOR} operator\n{READER} reader\n{NODE} node\n")
    plane = Plane(service__port=free_ports(1)[0], access__tokens_file=tmp_path / "tokens", **FAST)
    try:
        page = browser.open(plane.url)
        board = "!document.querySelector('#board').hidden"
        for token, told in (("not-a-token-at-all", "not known"), (NODE, "role has to be reader or operator")):
            page.wait("!document.querySelector('#sign-in').hidden && document.activeElement.id == 'token'")
            assert not page.run(board)
            page.write(token)
            page.press("Enter")
            page.wait(f"document.querySelector('#sign-in-error').innerText.includes({json.dumps(told)})")
        page.wait("document.activeElement.id == 'token'")
        page.write(READER)
        page.click("#sign-in button")
        page.wait(board + " && document.querySelector('#feed').dataset.state == 'live'")
        plane.register("n-1", token=NODE)
        page.wait("[...document.querySelectorAll('#events li')].some((e) => e.dataset.type == 'node_up')")
        page.call("Page.reload")
        page.wait("document.readyState == 'complete' && " + board)
        assert READER not in page.run("document.documentElement.outerHTML") and READER not in "".join(page.urls)
        page.click("#sign-out")
        page.wait("!document.querySelector('#sign-in').hidden && sessionStorage.length == 0")
        page.close()
    finally:
        plane.stop()


def test_what_is_lost_is_said_and_comes_back_by_itself(browser, tmp_path):
    port = free_ports(1)[0]
    plane = Plane(service__port=port, directory=tmp_path / "a", **FAST)
    page = browser.open(plane.url)
    try:
        page.wait("document.querySelector('#feed').dataset.state == 'live'")
        page.run("window.mark = 'the same page'")
        plane.crash()
        page.wait("!document.querySelector('#lost').hidden && document.querySelector('#health').dataset.state == 'lost'")
        assert "does not answer since" in page.text("#lost")
        plane.stop()
        plane = Plane(service__port=port, directory=tmp_path / "b", **FAST)
        plane.register("newcomer")
        page.wait("document.querySelector('#lost').hidden && document.querySelector('#nodes').innerText.includes('newcomer')", 40)
        page.wait("document.querySelector('#feed').dataset.state == 'live'", 40)
        plane.register("second")
        page.wait("[...document.querySelectorAll('#events li')].some((e) => e.innerText.includes('second'))")
        assert page.run("window.mark") == "the same page"
    finally:
        page.close()
        plane.stop()


def test_without_websockets_events_come_by_polling(browser):
    plane = Plane(service__port=free_ports(1)[0], **FAST)
    try:
        page = browser.open(plane.url, first=NO_SOCKETS)
        page.wait("document.querySelector('#feed').dataset.state == 'polling' || document.querySelector('#feed').dataset.state == 'wait'")
        plane.register("polled")
        page.wait("[...document.querySelectorAll('#events li')].some((e) => e.innerText.includes('polled'))")
        page.wait("document.querySelector('#feed').dataset.state == 'polling'")
        assert_peaceful(page, plane)
        page.close()
    finally:
        plane.stop()


def test_a_thousand_nodes_are_paged_filtered_and_sorted(browser):
    plane = Plane(service__port=free_ports(1)[0], **PATIENT)
    try:
        connection = plane.connect()
        for i in range(1000):
            fields = dict(zone=f"z{i % 4}", name=f"node-{i:04}", available_chunks=[chunk(1)])
            assert plane.call("POST", "/api/v1/nodes", {"node_id": f"id-{i}", "address": "10.0.0.1", "p2p_port": 1, "http_port": 1, **fields},
                              connection=connection, checks=False).status == 201
        connection.close()
        page = browser.open(plane.url)
        page.wait("document.querySelector('#nodes-total').innerText == '1,000'")
        assert page.run("document.querySelectorAll('#nodes tbody tr').length") == 50 and page.text("#page-text") == "page 1 of 20"
        page.click("#page-on")
        assert "node-0050" in page.text("#nodes tbody tr")
        page.click("#nodes th[data-sort=name] button")
        page.click("#page-back")
        page.wait("document.querySelector('#nodes tbody tr').innerText.includes('node-0999')")
        assert page.run("document.querySelector('#nodes th[data-sort=name]').getAttribute('aria-sort')") == "descending"
        page.run("document.querySelector('#nodes-filter').focus()")
        page.write("node-012")
        page.wait("document.querySelectorAll('#nodes tbody tr').length == 10")
        assert page.text("#nodes-hint") == "10 of 1,000"
        page.run("const s = document.querySelector('#nodes-zone'); s.value = 'z1'; s.dispatchEvent(new Event('input'))")
        page.wait("document.querySelectorAll('#nodes tbody tr').length == 3")
        page.wait("document.querySelector('#map tbody tr[data-held]').dataset.held.split(',').length == 1000")
        assert_peaceful(page, plane)
        page.close()
    finally:
        plane.stop()


# The last one: a node of the cluster ends.
def test_a_killed_node_is_seen_without_a_reload(page, cluster):
    node = next(n for n in cluster.get("/api/v1/nodes")["nodes"] if n["name"] == "node-2")
    page.run("window.mark = 'the same page'")
    cluster.nodes.crash(2)
    row = f"document.querySelector('#nodes tr[data-node=\"{node['node_id']}\"]')"
    page.wait(f"{row}.dataset.state == 'suspect' || {row}.dataset.state == 'dead'", 40)
    page.wait(f"{row}.dataset.state == 'dead'", 40)
    page.wait(f"{value('nodes-active')} == 2 && {value('nodes-total')} == 3")
    page.wait("document.querySelector('#health').dataset.state == 'degraded'")
    page.wait(f"[...document.querySelectorAll('#events li')].some((e) => e.dataset.type == 'node_down' && e.innerText.includes('node-2'))")
    page.wait(f"{value('alerts-count')} >= 1 && document.querySelector('#alerts').innerText.includes('node-2')")
    assert page.run("window.mark") == "the same page"
    wait_for(lambda: all(len([p for p in n.status()["peers"] if p["state"] == "active" and not p["self"]]) == 1
                         for n in cluster.nodes.alive()), 60)
