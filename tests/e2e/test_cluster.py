# SPDX-License-Identifier: MIT
"""What nodes that know of each other do for their clients, and what the origin notices of it."""
import contextlib
import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import wire
from checks import is_exact, is_part, is_truth
from cluster import Cluster, peers
from content import MIB
from tier import wait_for

SIZE = 40 * MIB + 7
FIRST = 4 * MIB


@pytest.fixture
def cluster(origin):
    """cluster(3, **options)"""
    them = []

    def make(n, **options):
        them.append(Cluster(n, origin, **options))
        return them[-1]

    yield make
    for c in them:
        c.close()


def read_until_it_breaks(c, i, path):
    with contextlib.suppress(OSError):
        c.get(i, path)


# ---- the origin is asked once ----

def test_what_all_want_at_once_is_read_from_the_origin_once(origin, cluster):
    c = cluster(4)
    origin.add("/a", size=SIZE)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    c.assert_read_once("/a", SIZE)


def test_what_is_read_slowly_is_passed_on_while_it_is_read(origin, cluster):
    c = cluster(3)
    origin.add("/a", size=SIZE, rate=8 * MIB, write=64 * 1024)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    c.assert_read_once("/a", SIZE)
    assert sum(n.status()["p2p"]["blocks_streamed"] for n in c.nodes) >= 10


@pytest.mark.parametrize("size", [1, 4096, MIB])
def test_a_short_object_that_all_want_at_once_is_one_request(origin, cluster, size):
    c = cluster(4)
    origin.add("/a", size=size)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    assert len(origin.requests("/a")) == 1


def test_who_comes_later_gets_it_from_the_others(origin, cluster):
    c = cluster(3)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    origin.forget()
    is_exact(c.get(1, "/a"), origin.content("/a"))
    assert origin.requests("/a") == []
    assert c.nodes[1].metrics()['eliop2p_tier_bytes_total{tier="peer"}'] == SIZE


def test_a_part_of_it_too(origin, cluster):
    c = cluster(2)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    origin.forget()
    is_part(c.get(1, "/a", [("Range", f"bytes={17 * MIB + 5}-{19 * MIB}")]), origin.content("/a"), 17 * MIB + 5,
            19 * MIB + 1)
    assert origin.requests("/a") == []


def test_the_end_of_an_object_that_nobody_has_read_yet_is_not_passed_on_as_a_whole_block(origin, cluster):
    c = cluster(2)
    origin.add("/a", size=3 * MIB)
    is_part(c.get(0, "/a", [("Range", "bytes=-5")]), origin.content("/a"), 3 * MIB - 5, 3 * MIB)
    is_exact(c.get(1, "/a"), origin.content("/a"))
    is_exact(c.get(0, "/a"), origin.content("/a"))
    for n in c.nodes:
        assert "p2p.distrusted" not in n.log()


def test_an_empty_object_is_for_all_as_well(origin, cluster):
    c = cluster(2)
    origin.add("/a", size=0)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))


def heard(node):
    return node.metrics()["eliop2p_p2p_heard_chunks_total"]


def written(node):
    return node.status()["cache"]["disk"]["stores"][0]["written_blocks"]


def test_a_node_that_has_started_again_gives_what_it_has_on_disk(origin, cluster):
    c = cluster(2)
    for i in range(2):
        c.stop(i)
    disk = {"cache__disk_cache_size_mb": 256, "cache__disk_cache_path": c.dir / "disk", "cache__disk_commit_ms": 50}
    c.start(0, wait=False, **disk)
    c.start(1)
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    wait_for(lambda: c.nodes[0].status()["cache"]["disk"]["stores"][0]["written_blocks"] >= 41)
    c.stop(0)
    before = heard(c.nodes[1])
    c.start(0, **disk)
    wait_for(lambda: heard(c.nodes[0]) + heard(c.nodes[1]) >= before + 3)
    origin.forget()
    is_exact(c.get(1, "/a"), origin.content("/a"))
    assert origin.body_sent("/a") <= FIRST  # nobody may know of the version any more


def kept(node):
    return node.metrics()["eliop2p_p2p_kept_chunks"]


def test_hashes_are_kept_as_long_as_what_they_are_of(origin, cluster):
    c = cluster(2)
    c.stop(0)
    disk = {"cache__disk_cache_size_mb": 256, "cache__disk_cache_path": c.dir / "disk", "cache__disk_commit_ms": 50}
    c.start(0, **disk)
    for path in ("/a", "/b"):
        origin.add(path, size=SIZE)
        is_exact(c.get(0, path), origin.content(path))
    wait_for(lambda: kept(c.nodes[0]) == 6)
    purged = wire.fetch(c.nodes[0].admin_port, f"/api/v1/cache/purge?url={origin.url}/b", method="POST", body=b"")
    assert purged.status == 200
    wait_for(lambda: kept(c.nodes[0]) == 3)
    wait_for(lambda: written(c.nodes[0]) >= 41)
    c.stop(0)
    c.start(0, **disk)
    wait_for(lambda: kept(c.nodes[0]) == 3)
    c.stop(0)
    shutil.rmtree(c.dir / "disk")  # nobody tells the node
    c.start(0, **disk)
    wait_for(lambda: kept(c.nodes[0]) == 0, 30)


def test_a_node_killed_within_a_chunk_goes_on_at_the_last_whole_block(origin, cluster):
    c = cluster(2)
    c.stop(0)
    disk = {"cache__disk_cache_size_mb": 256, "cache__disk_cache_path": c.dir / "disk", "cache__disk_commit_ms": 10}
    c.start(0, **disk)
    origin.add("/a", size=16 * MIB, rate=8 * MIB)
    reader = threading.Thread(target=read_until_it_breaks, args=(c, 0, "/a"))
    reader.start()
    wait_for(lambda: written(c.nodes[0]) >= 6)
    time.sleep(0.1)  # longer than what was written waits for its commit
    c.crash(0)
    reader.join()
    c.start(0, **disk)
    origin.forget()
    is_exact(c.get(0, "/a"), origin.content("/a"))
    assert origin.body_sent("/a") <= 10 * MIB


# ---- nodes that go ----

@pytest.mark.parametrize("victim", range(3))
def test_a_node_that_is_killed_takes_nothing_with_it(origin, cluster, victim):
    c = cluster(3)
    k = origin.add("/a", size=SIZE, rate=40 * MIB)
    others = [i for i in range(3) if i != victim]
    doomed = threading.Thread(target=lambda: c.get(victim, "/a"))
    doomed.start()
    answers = []
    rest = threading.Thread(target=lambda: answers.extend(c.get_all("/a", nodes=others)))
    rest.start()
    wait_for(lambda: origin.body_sent("/a") > 4 * MIB)
    c.crash(victim)
    k.rate = 0
    rest.join()
    doomed.join()
    for r in answers:
        is_exact(r, origin.content("/a"))
    assert len(answers) == 2


def announced(node):
    return node.metrics()["eliop2p_p2p_announced_chunks_total"]


def test_what_one_has_read_who_is_gone_for_good_is_given_to_those_who_never_met_it(origin, cluster):
    origin.add("/a", size=40 * MIB)
    c = cluster(3)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    is_exact(c.get(1, "/a"), origin.content("/a"))
    c.crash(0)
    c.crash(2)
    wait_for(lambda: sum(p["state"] == "dead" for p in c.nodes[1].status_of_peers()) == 2, 30)
    shutil.rmtree(c.dir / "state-2")
    told = announced(c.nodes[1])
    c.start(2, wait=False)
    wait_for(lambda: len(peers(c.nodes[2])) == 1 and announced(c.nodes[1]) >= told + 3, 30)
    origin.forget()
    is_exact(c.get(2, "/a"), origin.content("/a"))
    assert origin.body_sent("/a") <= FIRST  # who knows the URL now may never have heard of it


def test_one_that_is_left_alone_serves_as_ever(origin, cluster):
    c = cluster(3)
    origin.add("/a", size=SIZE)
    c.crash(0)
    c.crash(1)
    is_exact(c.get(2, "/a"), origin.content("/a"))


def test_who_was_killed_is_known_again_when_it_is_back_and_is_the_same(origin, cluster):
    c = cluster(3)
    before = {p["node_id"] for p in peers(c.nodes[0])}
    c.crash(1)
    c.start(1)
    assert {p["node_id"] for p in peers(c.nodes[0])} == before


def test_the_seeds_are_needed_by_nobody_who_is_in(origin, cluster):
    c = cluster(4)
    c.crash(0)
    c.crash(1)
    c.wait_until_known()
    origin.add("/a", size=SIZE)
    for r in c.get_all("/a", nodes=[2, 3]):
        is_exact(r, origin.content("/a"))


# ---- fewer others than are wanted ----

def asks_others(c, nodes):
    return {c.nodes[i].status()["p2p"]["asks_others"] for i in nodes}


def test_as_long_as_fewer_live_than_are_wanted_each_asks_the_origin(origin, cluster):
    c = cluster(3, discovery__min_peers=2)
    wait_for(lambda: asks_others(c, range(3)) == {True})
    c.stop(2)
    wait_for(lambda: asks_others(c, range(2)) == {False})
    origin.add("/a", size=SIZE)
    before = c.nodes[1].metrics()
    for i in range(2):
        is_exact(c.get(i, "/a"), origin.content("/a"))
        assert origin.body_sent("/a") == (i + 1) * SIZE
    after = c.nodes[1].metrics()
    for name in ("finds_known_total", "finds_asked_total", "bytes_in_total"):
        assert after[f"eliop2p_p2p_{name}"] == before[f"eliop2p_p2p_{name}"]
    sources = json.loads(c.nodes[1].admin(f"/api/v1/explain?url={origin.url}/bytes/1/b").body)["sources"]
    assert [s["source"] for s in sources] == ["origin"]

    c.start(2)
    wait_for(lambda: asks_others(c, range(3)) == {True})
    origin.add("/c", size=SIZE)
    is_exact(c.get(0, "/c"), origin.content("/c"))
    origin.forget()
    is_exact(c.get(1, "/c"), origin.content("/c"))
    assert origin.requests("/c") == []
    assert [line for line in c.nodes[1].log().splitlines() if " p2p.company asks=0 members=2 min_peers=2" in line]


def test_who_asks_nobody_gives_to_those_who_do(origin, cluster):
    c = cluster(2)
    c.stop(0)
    c.start(0, discovery__min_peers=2)
    wait_for(lambda: (asks_others(c, [0]), asks_others(c, [1])) == ({False}, {True}))
    origin.add("/a", size=SIZE)
    is_exact(c.get(0, "/a"), origin.content("/a"))
    wait_for(lambda: heard(c.nodes[0]) + heard(c.nodes[1]) >= 3)  # before that others would read beside it
    origin.forget()
    is_exact(c.get(1, "/a"), origin.content("/a"))
    assert origin.requests("/a") == []


# ---- whose bytes, and of which version ----

def test_what_the_origin_gave_to_one_is_not_given_to_a_stranger(origin, cluster):
    c = cluster(2)
    origin.add("/a", size=SIZE, authorized=("Bearer mine",))
    mine = [("Authorization", "Bearer mine")]
    is_exact(c.get(0, "/a", mine), origin.content("/a"))
    assert c.get(1, "/a").status == 403
    assert c.get(1, "/a", [("Authorization", "Bearer yours")]).status == 403
    is_exact(c.get(1, "/a", mine), origin.content("/a"))


@pytest.mark.parametrize("knobs", [{"cache_control": "no-store"}, {"cache_control": "private"}, {"etag": 'W/"weak"'},
                                   {"etag": "", "last_modified": ""}], ids=str)
def test_what_may_not_be_shared_is_right_for_each(origin, cluster, knobs):
    c = cluster(2)
    k = origin.add("/a", size=SIZE, **knobs)
    for i in range(2):
        is_exact(c.get(i, "/a"), origin.content("/a"))
        k.version += 1


def test_a_stale_copy_is_not_what_others_are_given(origin, cluster):
    c = cluster(2)
    k = origin.add("/a", size=SIZE, cache_control="max-age=0")
    is_exact(c.get(0, "/a"), origin.content("/a"))
    k.version = 2
    is_exact(c.get(1, "/a"), origin.content("/a"))
    is_exact(c.get(0, "/a"), origin.content("/a"))


def stale_in_all(origin, cluster, size=MIB, more=""):
    """A cluster whose nodes all have /a, which was fresh until now."""
    c = cluster(3)
    k = origin.add("/a", size=size, cache_control="max-age=3" + more)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    time.sleep(3.1)
    origin.forget()
    return c, k


def asked_others(c):
    """How often trackers were asked about a URL."""
    return sum(n.metrics()[f"eliop2p_p2p_finds_{how}_total"] for n in c.nodes for how in ("known", "asked"))


def test_a_stale_copy_is_confirmed_once_for_all(origin, cluster):
    c, _ = stale_in_all(origin, cluster)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    assert [s.status for s in origin.requests("/a")] == [304]
    is_exact(c.get(1, "/a"), origin.content("/a"))
    assert len(origin.requests("/a")) == 1


def test_who_comes_after_one_has_asked_need_not_ask(origin, cluster):
    c, _ = stale_in_all(origin, cluster)
    for i in range(3):
        is_exact(c.get(i, "/a"), origin.content("/a"))
    assert [s.status for s in origin.requests("/a")] == [304]


def test_what_is_stale_and_for_some_only_is_asked_about_by_each(origin, cluster):
    c = cluster(2)
    mine = [("Authorization", "Basic bWU6bWU=")]
    origin.add("/a", size=MIB, authorized=("Basic bWU6bWU=",), cache_control="max-age=2")
    for i in range(2):
        is_exact(c.get(i, "/a", mine), origin.content("/a"))
    time.sleep(2.1)
    origin.forget()
    before = asked_others(c)
    for i in range(2):
        is_exact(c.get(i, "/a", mine), origin.content("/a"))
        assert c.get(i, "/a").status in (401, 403)
    assert sum(s.status in (200, 304) for s in origin.requests("/a")) == 2
    assert asked_others(c) == before


@pytest.mark.parametrize("knobs", [{"size": 0}, {"size": MIB, "fields": [("Vary", "Cookie")]}], ids=str)
def test_what_is_stale_and_cannot_be_shared_is_asked_about_by_each(origin, cluster, knobs):
    c = cluster(3)
    origin.add("/a", cache_control="max-age=3", **knobs)
    for i in range(3):
        is_exact(c.get(i, "/a"), origin.content("/a"))
    time.sleep(3.1)
    origin.forget()
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    assert [s.status for s in origin.requests("/a")] == [304, 304, 304]


def test_what_is_stale_and_has_changed_is_new_for_all_and_read_once(origin, cluster):
    c, k = stale_in_all(origin, cluster, SIZE)
    k.version = 2
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    c.assert_read_once("/a", SIZE)


def are_fresh(c, content):
    answers = [c.get(i, "/a") for i in range(3)]
    return all("ttl=-" not in r.get("Cache-Status") and r.body == content.bytes() for r in answers)


@pytest.mark.parametrize("has_changed", [False, True], ids=["the same", "another version"])
def test_what_is_served_stale_meanwhile_is_asked_about_once_for_all(origin, cluster, has_changed):
    c, k = stale_in_all(origin, cluster, SIZE, ", stale-while-revalidate=60")
    old = origin.content("/a")
    k.version, k.cache_control = 2 if has_changed else 1, "max-age=60"
    for r in c.get_all("/a"):
        is_exact(r, old)
    wait_for(lambda: are_fresh(c, origin.content("/a")))
    if has_changed:
        c.assert_read_once("/a", SIZE)
    else:
        assert [s.status for s in origin.requests("/a")] == [304]


def test_what_is_asked_about_in_the_background_has_time(origin, cluster):
    c, k = stale_in_all(origin, cluster, MIB, ", stale-while-revalidate=60")
    k.delay_head, k.cache_control = 1.2, "max-age=60"
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    wait_for(lambda: are_fresh(c, origin.content("/a")))
    assert len(origin.requests("/a")) < 3


def test_who_wants_the_origins_word_gets_it(origin, cluster):
    c, _ = stale_in_all(origin, cluster)
    for i in range(3):
        is_exact(c.get(i, "/a", [("Cache-Control", "no-cache")]), origin.content("/a"))
    assert [s.status for s in origin.requests("/a")] == [304, 304, 304]


def test_what_one_node_writes_the_others_do_not_serve_as_it_was(origin, cluster):
    c = cluster(3)
    origin.add("/a", size=SIZE)
    for r in c.get_all("/a"):
        is_exact(r, origin.content("/a"))
    assert c.get(0, "/a", method="DELETE").status == 204
    wait_for(lambda: all(c.get(i, "/a").status == 404 for i in range(3)))


def test_what_is_purged_while_it_is_read_is_whole_for_that_reader_and_for_the_next(origin, cluster):
    c = cluster(2)
    origin.add("/a", size=SIZE)
    content, node = origin.content("/a"), c.nodes[0]
    with node.connect() as before:
        before.send_request("GET", origin.url + "/a")
        first = before.read_head()
        got = before.rd.read(2 * MIB)
        purged = wire.fetch(node.admin_port, f"/api/v1/cache/purge?url={origin.url}/a", method="POST", body=b"")
        assert purged.status == 200 and first.status == 200
        is_exact(c.get(0, "/a"), content)
        is_exact(c.get(1, "/a"), content)
        got += before.rd.read(SIZE - len(got))
    assert len(got) == SIZE and content.differs_at(0, got) is None
    for n in c.nodes:
        wait_for(lambda n=n: n.status()["p2p"]["downloads"] == 0, 10)


def test_who_still_reads_what_was_purged_takes_nothing_from_what_is_in_its_place(origin, cluster):
    c = cluster(2, cache__memory_cache_size_mb=32)
    origin.add("/a", size=SIZE)
    content, node = origin.content("/a"), c.nodes[0]
    with node.connect() as before:
        before.send_request("GET", origin.url + "/a")
        before.read_head()
        got = before.rd.read(MIB)
        assert wire.fetch(node.admin_port, f"/api/v1/cache/purge?url={origin.url}/a", method="POST", body=b"").status == 200
        part = ("Range", f"bytes=0-{MIB - 1}")
        for i in range(2):
            is_part(c.get(i, "/a", [part]), content, 0, MIB)
        origin.forget()
        while len(got) < SIZE:
            got += before.rd.read(min(4 * MIB, SIZE - len(got)))
            assert c.get(1, "/a", [part]).x_cache.startswith("HIT")
    assert content.differs_at(0, got) is None
    assert len([s for s in origin.requests("/a") if s.get("Range", "").startswith("bytes=0-")]) == 0


def test_an_object_that_changes_while_all_read_it_is_never_mixed(origin, cluster):
    c = cluster(3)
    origin.add("/a", size=SIZE, bump_after=3 * MIB)
    old = origin.content("/a")
    answers = c.get_all("/a")
    assert origin.content("/a").etag != old.etag
    for r in answers:
        is_truth(r, old, origin.content("/a"))
    is_exact(c.get(0, "/a"), origin.content("/a"))


# ---- others ----

def test_a_node_of_another_cluster_is_nobody(origin, cluster):
    one = cluster(1)
    other = cluster(1, discovery__seeds=f"127.0.0.1:{one.p2p_ports[0]}", general__cluster="another", secret=False)
    wait_for(lambda: "p2p.refused" in other.nodes[0].log() + one.nodes[0].log(), 30)
    assert peers(one.nodes[0]) == [] == peers(other.nodes[0])
    origin.add("/a", size=SIZE)
    is_exact(other.get(0, "/a"), origin.content("/a"))


def test_readers_far_apart_do_not_wait_for_each_other(origin, cluster):
    c = cluster(2)
    origin.add("/a", size=8 << 30)
    content, first = origin.content("/a"), 7 << 30
    with c.nodes[0].connect() as slow:
        slow.send_request("GET", origin.url + "/a")
        assert slow.rd.read(1) == b"H"  # and nothing more
        part = ("Range", f"bytes={first}-{first + 3 * MIB - 1}")
        is_part(c.get(0, "/a", [part]), content, first, first + 3 * MIB)
        is_part(c.get(1, "/a", [part]), content, first, first + 3 * MIB)
    assert origin.body_sent("/a") < 1 << 30


# ---- ranges that a signature covers ----

SIGNED = ("Authorization", "AWS4-HMAC-SHA256 Credential=K/20260901/r/s3/aws4_request, SignedHeaders=host;range;x-amz-date, "
                           "Signature=00")


def signed_part(c, i, path, first, end, **kw):
    return c.get(i, path, [SIGNED, ("Range", f"bytes={first}-{end - 1}")], **kw)


def test_a_signed_range_of_which_a_part_is_here_is_read(origin, cluster):
    c = cluster(2)
    origin.add("/a", size=SIZE)
    is_part(signed_part(c, 0, "/a", 0, MIB), origin.content("/a"), 0, MIB)
    is_part(signed_part(c, 0, "/a", 0, 8 * MIB), origin.content("/a"), 0, 8 * MIB)


@pytest.mark.parametrize("first, end", [(2 * MIB - 5, 4 * MIB + 9), (2 * MIB, 4 * MIB + 9), (2 * MIB - 5, 4 * MIB)])
def test_a_signed_range_that_ends_within_blocks_is_read_to_its_ends_whatever_others_have(origin, cluster, first, end):
    c = cluster(2)
    origin.add("/a", size=SIZE)
    is_part(signed_part(c, 0, "/a", 2 * MIB, 4 * MIB), origin.content("/a"), 2 * MIB, 4 * MIB)
    is_part(signed_part(c, 1, "/a", first, end), origin.content("/a"), first, end)
    is_part(signed_part(c, 0, "/a", first, end), origin.content("/a"), first, end)


def test_a_signed_range_does_not_wait_for_the_client_of_another_one(origin, cluster):
    c = cluster(2)
    origin.add("/a", size=SIZE)
    with c.nodes[0].connect() as slow:
        slow.send_request("GET", origin.url + "/a", [SIGNED, ("Range", f"bytes={16 * MIB}-{24 * MIB - 1}")])
        assert slow.rd.read(1) == b"H"  # and nothing more
        is_part(signed_part(c, 0, "/a", 32 * MIB, 40 * MIB), origin.content("/a"), 32 * MIB, 40 * MIB)


def test_a_signed_range_that_nobody_has_does_not_wait_for_one_that_others_bring(origin, cluster):
    c = cluster(2, p2p__upload_limit_mbps=24)  # a block in less than a tracker has to answer
    origin.add("/a", size=SIZE)
    is_part(signed_part(c, 0, "/a", 0, 8 * MIB), origin.content("/a"), 0, 8 * MIB)
    with ThreadPoolExecutor(1) as pool:
        brought = pool.submit(signed_part, c, 1, "/a", 0, 8 * MIB)
        wait_for(lambda: c.nodes[1].metrics()['eliop2p_p2p_bytes_total{direction="in"}'] > MIB / 4, 10)
        is_part(signed_part(c, 1, "/a", 16 * MIB, 24 * MIB), origin.content("/a"), 16 * MIB, 24 * MIB)
        assert not brought.done()
        assert c.nodes[1].metrics()['eliop2p_p2p_origin_bytes_total{reason="hedge"}'] == 0
        is_part(brought.result(), origin.content("/a"), 0, 8 * MIB)
    assert origin.body_sent("/a") == 16 * MIB


def test_signed_ranges_that_are_asked_for_at_once_are_each_read_once(origin, cluster):
    c = cluster(3)
    origin.add("/a", size=SIZE)
    parts = [(i, first * MIB, (first + 8) * MIB) for i in range(3) for first in range(0, 40, 8)]
    with ThreadPoolExecutor(len(parts)) as pool:
        for (_, first, end), r in zip(parts, pool.map(lambda p: signed_part(c, p[0], "/a", *p[1:]), parts)):
            is_part(r, origin.content("/a"), first, end)
    c.assert_read_once("/a", 40 * MIB)


def test_a_signed_range_is_read_once_by_who_has_far_less_than_others(origin, cluster):
    c = cluster(3)
    k = origin.add("/a", size=SIZE)
    for first in range(8 * MIB, 40 * MIB, 8 * MIB):
        for i in range(2):
            is_part(signed_part(c, i, "/a", first, first + 8 * MIB), origin.content("/a"), first, first + 8 * MIB)
    k.rate = 4 * MIB
    parts = [*((2, first * MIB) for first in range(0, 40, 8)), (0, 0), (1, 0)]
    with ThreadPoolExecutor(len(parts)) as pool:
        for (_, first), r in zip(parts, pool.map(lambda p: signed_part(c, p[0], "/a", p[1], p[1] + 8 * MIB), parts)):
            is_part(r, origin.content("/a"), first, first + 8 * MIB)
    c.assert_read_once("/a", 40 * MIB)


def test_who_reads_another_part_does_not_wait_for_those_who_have_more(origin, cluster):
    c = cluster(3)
    origin.add("/a", size=96 * MIB, rate=4 * MIB)

    def part(i, first, end):
        is_part(c.get(i, "/a", [("Range", f"bytes={first}-{end - 1}")]), origin.content("/a"), first, end)

    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(part, i, 32 * MIB, 96 * MIB) for i in range(2)]
        wait_for(lambda: origin.body_sent("/a") >= 16 * MIB, 30)
        part(2, 0, 4 * MIB)
        assert not any(f.done() for f in others)
        for f in others:
            f.result()


def test_who_is_refused_in_the_middle_does_not_stop_others(origin, cluster):
    c = cluster(2)
    k = origin.add("/a", size=SIZE, rate=16 * MIB, authorized={"Bearer a", "Bearer b"})
    with c.nodes[0].connect() as first:
        first.send_request("GET", origin.url + "/a", [("Authorization", "Bearer a")])
        assert first.rd.read(1) == b"H"
        k.authorized = {"Bearer b"}
        is_exact(c.get(0, "/a", [("Authorization", "Bearer b")]), origin.content("/a"))


# ---- names ----

def test_a_url_that_is_too_long_to_be_told_to_others_can_be_changed(origin, cluster):
    c = cluster(2)
    path = "/" + 9000 * "a"
    origin.add(path, size=4096)
    is_exact(c.get(0, path), origin.content(path))
    c.get(0, path, method="DELETE")
    assert c.nodes[0].process.poll() is None
