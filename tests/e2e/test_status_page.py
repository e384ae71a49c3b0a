# SPDX-License-Identifier: MIT
"""The page at a node's own address, in a real browser: what it shows is so, and it says when it cannot know."""
import pytest

import hushed
from browser import Browser
from cluster import Cluster, peers
from content import MIB
from plane import running
from tier import wait_for

TOKEN = "a-reader-of-the-status-page"


@pytest.fixture(scope="module")
def browser():
    with Browser() as b:
        yield b


@pytest.fixture
def cluster(origin):
    with running(liveness__heartbeat_ms=500) as plane:
        with Cluster(2, origin, control_plane__endpoint=f"127.0.0.1:{plane.port}", discovery__seeds="", general__zone="rack-1") as c:
            c.plane = plane
            wait_for(lambda: c.nodes[0].status()["control_plane"]["connected"])
            yield c


def url(node):
    return f"http://127.0.0.1:{node.admin_port}/"


def test_it_shows_the_node_as_it_is_and_follows(browser, cluster, tmp_path):
    node = cluster.nodes[0]
    page = browser.open(url(node), dark=True)
    page.wait("document.getElementById('ready').textContent == 'ready'")
    assert page.text("#name") == "node-0" and page.text("#plane") == "connected"
    assert f"127.0.0.1:{cluster.plane.port}" in page.text("#plane-about")
    assert node.status()["control_plane"]["digest"] in page.text("#plane-figures")
    assert "node-1" in page.text("#peers") and "rack-1" in page.text("#peers")
    assert "node.ready" in page.text("#events")
    cluster.get(1, f"/bytes/{3 * MIB}/a")
    cluster.get(0, f"/bytes/{3 * MIB}/a")
    page.wait("document.getElementById('given').textContent == '3.0 MiB'")
    assert "100 % of it without the origin" in page.text("#given-about")
    page.wait("document.getElementById('cached').textContent == '1 objects'")
    cluster.plane.kill()
    cluster.plane.wanted_code = -9
    page.wait("document.getElementById('plane').textContent == 'gossip only'")
    assert "retrying" in page.text("#plane-about")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(11, 13, 17)"
    assert page.screenshot(tmp_path / "page.png").stat().st_size > 10000
    assert {u.split("/")[2] for u in page.urls if u.startswith("http")} == {f"127.0.0.1:{node.admin_port}"}
    assert page.complaints == []


def test_a_node_that_is_gone_is_missed_and_found_again(browser, cluster):
    node = cluster.nodes[0]
    page = browser.open(url(node))
    page.wait("document.getElementById('ready').textContent == 'ready'")
    port = node.admin_port
    cluster.crash(0)
    page.wait("document.getElementById('ready').textContent.endsWith('retrying')")
    assert "no answer since" in page.text("#ready")
    cluster.start(0, wait=False, admin__listen_port=port)
    page.wait("document.getElementById('ready').textContent == 'ready'")
    wait_for(lambda: len(peers(cluster.nodes[0])) == 1, 60)


def test_where_a_token_is_wanted_it_asks_for_one(browser, start, tmp_path):
    hushed.hush(TOKEN)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN} reader\n")
    tokens.chmod(0o600)
    node = start(admin__tokens_file=tokens)
    page = browser.open(url(node))
    page.wait("!document.getElementById('token').hidden")
    assert "under-test" not in page.text("#name")
    page.run("document.getElementById('token-value').focus()")
    page.write(TOKEN)
    page.click("#token button")
    page.wait("document.getElementById('name').textContent == 'node-under-test'")
    assert page.text("#plane") == "alone"


def test_what_a_node_is_called_is_text_and_nothing_else(browser, start):
    name = "<img src=x onerror=document.title=1>"
    page = browser.open(url(start(general__node_id=name)))
    page.wait(f"document.getElementById('name').textContent == {name!r}")
    assert page.run("document.images.length") == 0 and page.complaints == []
