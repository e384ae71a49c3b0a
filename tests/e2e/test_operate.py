# SPDX-License-Identifier: MIT
"""
What operators do to a running node, by its API and by the commands of elionode: look, forget, keep.
"""
import hashlib
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.parse

import pytest

import wire
from content import MIB
from node import ELIONODE, SANITIZED
from tier import committed, store, wait_for

BIG, SHORT = 5 * MIB + 3, 4000


def call(node, method, path, fields=(), body=b"", **query):
    """Status and JSON of one call of the node API."""
    if query:
        path += "?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)
    with wire.Connection(node.admin_port) as c:
        c.send_request(method, path, fields, body if method == "POST" else None, host="node")
        r = c.read_response(method)
    assert r.get("Content-Type") == ("application/json" if r.status < 300 else "application/problem+json"), r
    return r.status, json.loads(r.body)


def cli(node, *words, env=None, wants=0):
    """Standard output of a command, or, where it has to fail, standard error."""
    words = [ELIONODE, words[0], f"--admin=127.0.0.1:{node.admin_port}", *words[1:]]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60 * wire.SLOW, env=env)
    assert done.returncode == wants, done
    assert wants or not done.stderr, done
    return done.stderr if wants else done.stdout


def lines(text):
    """The lines of a table: the first word, and what stands behind it."""
    return {k: v.strip() for k, _, v in (l.partition(" ") for l in text.splitlines()) if k}


def stat(node, url):
    status, answer = call(node, "GET", "/api/v1/cache/stat", url=url)
    return answer["variants"] if status == 200 else status


# ---- looking ----

def test_stat_tells_where_an_object_is(tier, origin):
    node = tier.start()
    path = f"/bytes/{BIG}/o"
    assert stat(node, origin.url + path) == 404
    tier.keep(node, path)
    wait_for(lambda: stat(node, origin.url + path)[0]["disk_blocks"] == 6)
    v = stat(node, origin.url + path)[0]
    assert (v["status"], v["length"], v["blocks"], v["cached_blocks"], v["memory_blocks"]) == (200, BIG, 6, 6, 6)
    assert v["etag"] and v["public"] and v["fresh"] and not v["pinned"] and not v["filling"]
    node.stop()
    node = tier.start()
    v = stat(node, origin.url + path)[0]
    assert (v["cached_blocks"], v["memory_blocks"], v["disk_blocks"]) == (6, 0, 6)


def test_stat_knows_the_object_by_every_name_that_clients_use(start, origin):
    node = start(storage__endpoint=origin.url)
    node.get(f"/bytes/{SHORT}/o", host="127.0.0.1")
    signed = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=c&X-Amz-Signature=s"
    for name in ("/bytes/4000/o", origin.url + "/bytes/4000/o", origin.url + "/bytes/4000/o" + signed):
        assert stat(node, name)[0]["length"] == SHORT
        assert lines(cli(node, "stat", name))["url"] == origin.url + "/bytes/4000/o"
    assert stat(node, "/bytes/4000/other") == 404


def test_the_commands_show_tables_and_json(tier, origin):
    node = tier.start()
    url = origin.url + f"/bytes/{BIG}/o"
    tier.keep(node, f"/bytes/{BIG}/o")
    table = lines(cli(node, "stat", url))
    assert table["length"] == f"5.0 MiB ({BIG} bytes)"
    assert table["cached"].startswith("6 of 6 blocks (100 %)")
    assert json.loads(cli(node, "stat", url, "--json"))["variants"][0]["length"] == BIG
    table = lines(cli(node, "status"))
    assert table["node"].startswith("node-under-test, version ") and ", ready, " in table["node"]
    assert " of 64.0 MiB (" in table["memory"]
    assert table["disk"].startswith(f"{tier.dir} normal (")
    assert json.loads(cli(node, "status", "--json"))["node_id"] == "node-under-test"


def test_a_command_that_fails_says_why_and_how(start, origin):
    node = start()
    assert "nothing of this URL is cached" in cli(node, "stat", origin.url + "/o", wants=1)
    assert "nothing of this URL is cached" in cli(node, "pin", origin.url + "/o", wants=1)
    assert "set storage.endpoint" in cli(node, "purge", "/bucket/key", wants=1)
    assert "which URL?" in cli(node, "purge", wants=2)
    assert "not both" in cli(node, "purge", "http://h/k", "--prefix=http://h/", wants=2)
    assert "one argument too many" in cli(node, "status", "x", wants=2)
    shown = subprocess.run([ELIONODE, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(f"elionode {verb}" in shown for verb in ("status", "stat URL", "purge URL", "pin URL", "unpin URL"))
    node.stop()
    assert "is it running?" in cli(node, "status", wants=3)


def test_every_byte_is_counted_for_the_tier_that_gave_it(tier, origin):
    paths = [f"/bytes/{BIG}/{i}" for i in range(4)]
    node = tier.start()
    tier.keep(node, *paths)

    def gave():
        return {k: (v["requests"], v["bytes"]) for k, v in node.status()["proxy"]["tiers"].items()}

    assert gave() == {"memory": (0, 0), "disk": (0, 0), "peer": (0, 0), "origin": (8, 4 * BIG)}
    tier.exact(node, paths[0])
    # No body at all, and an answer of the origin's that is not cached.
    assert tier.get(node, paths[0], [("If-None-Match", stat(node, origin.url + paths[0])[0]["etag"])]).status == 304
    assert tier.get(node, "/none").status == 404
    assert gave()["memory"] == (2, BIG) and gave()["origin"][0] == 9
    node.stop()
    node = tier.start()
    for _ in range(2):
        tier.exact(node, paths[1])
    # Half of it was in memory by the time.
    assert tier.get(node, paths[2], [("Range", f"bytes=0-{MIB - 1}")]).status == 206
    tier.exact(node, paths[2])
    got = gave()
    assert got["disk"][1] + got["memory"][1] == 3 * BIG + MIB and got["origin"] == (0, 0)
    assert got["disk"][0] == 3 and got["memory"] == (1, got["memory"][1]) and got["disk"][1] <= 2 * BIG
    shown = [line.split() for line in cli(node, "status").splitlines()]
    assert ["disk", "3", "requests"] in [w[:3] for w in shown]
    metrics = node.metrics()
    assert metrics['eliop2p_tier_requests_total{tier="disk"}'] == 3
    assert metrics['eliop2p_tier_bytes_total{tier="memory"}'] == got["memory"][1]


def test_every_metric_is_documented_and_every_documented_one_is_there(tier, tmp_path):
    text = (pathlib.Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \|", text.partition("\n## Metrics\n")[2].partition("\n## ")[0], re.M)
    node = tier.start(proxy__access_log=tmp_path / "access.log", proxy__trace_log=tmp_path / "trace.log", p2p__enable="true",
                      p2p__listen_port=0, discovery__seeds="127.0.0.1:1",
                      control_plane__endpoint="127.0.0.1:1", general__state_dir=tmp_path / "state")
    printed = re.findall(r"^# TYPE (\w+)", node.admin("/metrics").body.decode(), re.M)
    assert sorted(documented) == sorted(printed)


def test_heat_is_shown_in_status_and_metrics(tier, origin):
    node = tier.start()
    path = f"/bytes/{SHORT}/o"
    tier.keep(node, path, f"/bytes/{SHORT}/once")
    for _ in range(150):
        tier.exact(node, path)
    assert stat(node, origin.url + path)[0]["heat"] == "hot"
    assert stat(node, f"{origin.url}/bytes/{SHORT}/once")[0]["heat"] == "cold"
    heat = node.status()["cache"]["heat"]
    assert heat == {"hot": 1, "warm": 0, "cold": 1}
    metrics = node.metrics()
    assert heat == {k: metrics[f'eliop2p_cache_chunks{{heat="{k}"}}'] for k in heat}
    assert lines(cli(node, "status"))["heat"] == "chunks: 1 hot, 0 warm, 1 cold"
    # Of the disk it is counted now and then, as it is written to.
    more = (tier.keep(node, f"/bytes/{SHORT}/{i}") for i in itertools.count())
    wait_for(lambda: next(more) or sum(v for k, v in node.metrics().items() if k.startswith("eliop2p_disk_regions")) == 1)


# ---- forgetting ----

def test_a_purged_object_is_asked_for_again(tier, origin):
    node = tier.start()
    path, other = f"/bytes/{BIG}/o", f"/bytes/{SHORT}/other"
    tier.keep(node, path, other)
    assert call(node, "POST", "/api/v1/cache/purge", url=origin.url + path) == (
        200, {"url": origin.url + path, "objects": 1})
    assert stat(node, origin.url + path) == 404
    assert stat(node, origin.url + other)[0]["cached_blocks"] == 1
    origin.forget()
    assert tier.exact(node, path).x_cache == "MISS"
    assert tier.exact(node, other).x_cache == "HIT"
    assert tier.asked() == [("GET", 200)]


def test_what_was_purged_is_not_back_after_a_restart(tier, origin):
    node = tier.start()
    paths = [f"/bytes/{SHORT}/{d}/{i}" for d in ("keep", "go") for i in range(20)]
    tier.keep(node, *paths)
    assert cli(node, "purge", f"--prefix={origin.url}/bytes/{SHORT}/go/") == (
        f"20 objects purged: {origin.url}/bytes/{SHORT}/go/*\n")
    for crash in (True, False):
        committed(node)
        node.crash() if crash else node.stop()
        node = tier.start()
        for p in paths:
            assert (stat(node, origin.url + p) == 404) == ("/go/" in p), p


@pytest.mark.parametrize("what", ["url", "prefix"])
def test_what_was_asked_for_before_the_purge_is_not_cached_after_it(start, origin, what):
    """The new version is at the origin when the purge is made; the old one was on its way."""
    node = start()
    knobs = origin.add("/o", size=SHORT, delay_head=0.5)
    with node.connect() as c:
        c.send_request("GET", origin.url + "/o")
        wait_for(lambda: origin.requests("/o"))
        assert call(node, "POST", "/api/v1/cache/purge", **{what: origin.url + "/o"})[0] == 200
        assert c.read_response().status == 200
    knobs.version, knobs.delay_head = 2, 0
    assert node.get(origin.url + "/o").x_cache == "MISS"
    assert len(origin.requests("/o")) == 2


# ---- keeping ----

def test_a_pinned_object_outlives_pressure_and_restarts(tier, origin):
    """The disk has room for about eight objects of this size; thirty are read after the pinned one."""
    node = tier.start(cache__disk_cache_size_mb=160, cache__memory_cache_size_mb=32)
    path, size = "/bytes/16777216/pinned", 16 * MIB
    tier.keep(node, path)
    assert call(node, "POST", "/api/v1/cache/pin", url=origin.url + path) == (
        200, {"url": origin.url + path, "pinned": True, "objects": 1})
    committed(node)
    for crash in (False, True):
        for i in range(15):
            tier.get(node, f"/bytes/{size}/pressure-{crash}-{i}")
        wait_for(lambda: stat(node, origin.url + path)[0]["disk_blocks"] == 16)
        assert stat(node, origin.url + path)[0]["pinned"]
        assert node.status()["cache"]["pinned"]["bytes"] == size
        node.crash() if crash else node.stop()
        node = tier.start(cache__disk_cache_size_mb=160, cache__memory_cache_size_mb=32)
        assert stat(node, origin.url + path)[0]["pinned"]
    origin.forget()
    tier.exact(node, path)
    assert origin.body_sent() == 0
    assert cli(node, "unpin", origin.url + path) == f"1 variant no longer pinned: {origin.url}{path}\n"
    assert not stat(node, origin.url + path)[0]["pinned"]
    assert node.status()["cache"]["pinned"]["objects"] == 0


def test_more_than_half_of_the_tier_cannot_be_pinned(tier, origin):
    node = tier.start(cache__disk_cache_size_mb=64)
    for i in range(3):
        path = f"/bytes/{16 * MIB}/{i}"
        tier.get(node, path)
        status, answer = call(node, "POST", "/api/v1/cache/pin", url=origin.url + path)
        assert status == (200 if i < 2 else 507), answer
    assert "may be" in answer["detail"]
    assert lines(cli(node, "status"))["pinned"].startswith("2 objects, 32.0 MiB of ")


def test_a_purge_ends_the_pin(tier, origin):
    node = tier.start()
    path = f"/bytes/{BIG}/o"
    tier.keep(node, path)
    cli(node, "pin", origin.url + path)
    assert node.status()["cache"]["pinned"] == {"objects": 1, "bytes": BIG, "limit_bytes": 256 * MIB}
    cli(node, "purge", origin.url + path)
    assert node.status()["cache"]["pinned"]["objects"] == 0
    tier.keep(node, path)
    assert not stat(node, origin.url + path)[0]["pinned"]


# ---- roles ----

READS, OPERATES, NEXT = "reader-3f9aZk1-0123", "operator-77Qx.~0123", "next-operator-0123456"


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def env(token):
    return {**os.environ, "ELIOP2P_ADMIN_TOKEN": token}


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"{READS} reader\nsha256:{hashlib.sha256(OPERATES.encode()).hexdigest()} operator\n")
    path.chmod(0o600)
    return path


def test_a_reader_looks_and_an_operator_changes(start, origin, tokens):
    node = start(admin__tokens_file=tokens)
    url = origin.url + f"/bytes/{SHORT}/o"
    node.get(url)
    purge, look = "/api/v1/cache/purge", "/api/v1/cache/stat"
    assert [node.admin(p).status for p in ("/health", "/readyz", "/metrics", "/api/v1/status")] == [200, 200, 401, 401]
    for token, looks, changes in ((None, 401, 401), ("guess-0123456789", 401, 401), (READS, 200, 403), (OPERATES, 200, 200)):
        fields = bearer(token) if token else []
        assert call(node, "GET", look, fields, url=url)[0] == looks
        assert call(node, "POST", purge, fields, url=url)[0] == changes
    # What the file holds of the operator's opens nothing.
    assert call(node, "GET", look, bearer(hashlib.sha256(OPERATES.encode()).hexdigest()), url=url)[0] == 401
    log = node.log()
    assert "admin.refused" in log and 'what=purge url="' in log
    assert not any(secret in log for secret in (READS, OPERATES, "guess-0123456789")), log


def test_the_commands_take_a_token_from_the_environment_or_a_file(start, origin, tokens, tmp_path):
    node = start(admin__tokens_file=tokens)
    url = origin.url + f"/bytes/{SHORT}/o"
    node.get(url)
    assert "a token is wanted" in (said := cli(node, "status", wants=1)) and "ELIOP2P_ADMIN_TOKEN" in said
    assert lines(cli(node, "status", env=env(READS)))["node"]
    assert "this wants an operator's" in cli(node, "purge", url, env=env(READS), wants=1)
    secret = tmp_path / "secret"
    secret.write_text(OPERATES + "\r\nsecond line\n")
    # The file is what was asked for, so it wins.
    assert cli(node, "purge", f"--token-file={secret}", url, env=env(READS)).startswith("1 object purged")
    assert "one word" in cli(node, "status", env=env("a b"), wants=2)
    assert "No such file" in cli(node, "status", "--token-file=/nowhere", wants=2)


def test_tokens_are_read_again_and_a_bad_file_changes_nothing(start, tokens):
    node = start(admin__tokens_file=tokens)

    def admits(*candidates):
        return [call(node, "GET", "/api/v1/cache/stat", bearer(t), url="http://o/k")[0] != 401 for t in candidates]

    def reload(text, said):
        tokens.write_text(text)
        node.signal(signal.SIGHUP)
        wait_for(lambda: said in node.log(), why=node.log)

    reload(f"{NEXT} operator\nx y\n", "line 2 is not TOKEN reader")
    assert admits(READS, OPERATES, NEXT) == [True, True, False]
    reload(f"{NEXT} operator\n", "result=ok")
    assert admits(READS, OPERATES, NEXT) == [False, False, True]
    assert "admin.tokens_readable" not in node.log()
    tokens.chmod(0o644)
    reload(f"{NEXT} operator\n", "admin.tokens_readable")
    assert "mode=644" in node.log() and NEXT not in node.log()


def test_a_file_that_cannot_be_used_stops_the_start(tokens):
    def check(**kw):
        options = [f"--{k.replace('__', '.')}={v}" for k, v in kw.items()]
        done = subprocess.run([ELIONODE, "--check-config", "--cache.disk_cache_size_mb=0", *options], capture_output=True, text=True,
                              timeout=60 * wire.SLOW, env=env("0123456789abcdef"))
        return done.returncode, done.stderr

    assert check(admin__tokens_file=tokens)[0] == 0
    assert check(admin__tokens_file="/nowhere") == (2, "elionode: open admin.tokens_file /nowhere: No such file or directory\n")
    tokens.write_text(f"{READS} root\n")
    code, said = check(admin__tokens_file=tokens)
    assert code == 2 and "line 1" in said and READS not in said


def test_without_tokens_others_may_look_but_not_change(start, origin):
    """The address that netns.sh gives is not loopback: what comes from it comes from elsewhere, for all the node knows."""
    node = start(admin__bind_address="0.0.0.0")
    url = urllib.parse.quote(origin.url + "/o", safe="")
    for host, changes in (("192.0.2.7", 403), ("127.0.0.1", 200)):
        for method, path, status in (("GET", "/api/v1/status", 200), ("POST", f"/api/v1/cache/purge?url={url}", changes)):
            with wire.Connection(node.admin_port, host) as c:
                c.send_request(method, path, [], b"" if method == "POST" else None, host="node")
                assert c.read_response(method).status == status, (host, path)
    assert call(node, "POST", "/api/v1/cache/purge", [("Origin", "http://evil.test")], url=origin.url)[0] == 403


# ---- warming ----

def warm(node, urls, **more):
    """Begins it: the path of the operation."""
    status, answer = call(node, "POST", "/api/v1/cache/warm", body=json.dumps({"urls": urls, **more}).encode())
    assert status == 202, answer
    assert answer["total"] == len(urls)
    return answer["operation"]


def ended(node, path):
    def over():
        o = call(node, "GET", path)[1]
        return o if o["state"] != "running" else None
    return wait_for(over, why=lambda: call(node, "GET", path))


def test_what_was_warmed_is_a_hit_for_everybody(tier, origin):
    node = tier.start(storage__endpoint=origin.url)
    paths = [f"/bytes/{BIG}/a", f"/bytes/{SHORT}/b", f"/bytes/{MIB}/c"]
    # One by its URL, one as the gateway's, one signed.
    names = [origin.url + paths[0], paths[1], origin.url + paths[2] + "?X-Amz-Signature=secret-0123"]
    o = ended(node, warm(node, names, concurrency=2))
    size = BIG + SHORT + MIB
    assert (o["state"], o["total"], o["finished"], o["failed"], o["bytes"]) == ("done", 3, 3, 0, size)
    assert [(r["url"], r["status"], r["from"]) for r in o["results"]] == [(origin.url + p, 200, "origin") for p in paths]
    assert "secret-0123" not in json.dumps(o) + node.log()
    assert "stored" in o["results"][0]["cache_status"]
    origin.forget()
    for p in paths[:2]:
        assert tier.exact(node, p).x_cache == "HIT"
    o = ended(node, warm(node, names[:2]))
    assert [r["from"] for r in o["results"]] == ["cache", "cache"]
    assert origin.requests() == []
    wait_for(lambda: stat(node, paths[0])[0]["disk_blocks"] == 6)


def test_each_url_that_cannot_be_fetched_says_why(start, origin):
    node = start(proxy__deny_hosts="denied.test", storage__retries=0, storage__breaker_failures=0)
    origin.add("/broken", size=BIG, truncate_at=MIB, ranges=False)  # or the rest could be asked for
    origin.add("/gone", fail_status=410)
    origin.add("/private", size=SHORT, authorized=("Bearer right",))
    urls = [origin.url + p for p in ("/broken", "/gone", "/private", f"/bytes/{SHORT}/good")]
    urls += ["http://denied.test/k", "/bucket/key", "ftp://h/k?secret=0123"]
    o = ended(node, warm(node, urls))
    assert (o["finished"], o["failed"]) == (7, 6)
    said = [(r["status"], r.get("error", "")) for r in o["results"]]
    assert [s for s, _ in said] == [200, 410, 403, 200, 403, 502, 400]
    for (_, error), part in zip(said, ("broke off after", "the answer is 410", "403", "", "denied", "set storage.endpoint", "only http://")):
        assert part in error, said
    assert "0123" not in json.dumps(o)
    # The same with what the origin wants; such a copy is not everybody's.
    o = ended(node, warm(node, [origin.url + "/private"], headers={"Authorization": "Bearer right"}))
    assert (o["failed"], o["bytes"]) == (0, SHORT)
    assert "Bearer right" not in node.log() + json.dumps(o)
    assert node.get(origin.url + "/private").status == 403


def test_it_goes_on_when_its_caller_has_left_and_ends_when_it_is_cancelled(start, origin):
    node = start()
    origin.add("/slow", size=BIG, rate=200_000, write=10_000)
    urls = [origin.url + "/slow"] + [origin.url + f"/bytes/{SHORT}/{i}" for i in range(200)]
    path = warm(node, urls, concurrency=2)
    o = wait_for(lambda: (o := call(node, "GET", path)[1])["finished"] == 200 and o["bytes"] > 200 * SHORT and o)
    assert o["state"] == "running"
    # The others are reported while the slow one is still on its way.
    assert sum(r["bytes"] for r in o["results"]) == 200 * SHORT
    assert [(x["id"], x["state"]) for x in call(node, "GET", "/api/v1/operations")[1]["operations"]] == [(o["id"], "running")]
    assert call(node, "DELETE", path)[0] == 200
    o = ended(node, path)
    assert (o["state"], o["failed"]) == ("cancelled", 1)
    assert "cancelled" in [r.get("error") for r in o["results"]]
    assert call(node, "DELETE", path)[1]["state"] == "cancelled"
    assert call(node, "GET", "/api/v1/operations/0123456789abcdef")[0] == 404
    assert node.status()["proxy"]["busy"] == 0


def test_no_more_than_asked_for_run_at_a_time(start, origin):
    node = start(proxy__threads=3)
    for i in range(12):
        origin.add(f"/held/{i}", size=SHORT, hang_head=True)
    path = warm(node, [origin.url + f"/held/{i}" for i in range(12)], concurrency=5)
    wait_for(lambda: len(origin.requests()) == 5)
    assert node.status()["proxy"]["busy"] == 5
    assert call(node, "GET", path)[1]["finished"] == 0
    more = [warm(node, [origin.url + f"/held/{i}"], concurrency=1) for i in range(3)]
    status, answer = call(node, "POST", "/api/v1/cache/warm", body=json.dumps({"urls": ["http://h/k"]}).encode())
    assert status == 503 and "4 such operations" in answer["detail"]
    for p in [path, *more]:
        call(node, "DELETE", p)
        ended(node, p)
    assert len(origin.requests()) <= 8


def test_a_node_that_stops_does_not_wait_for_what_it_fetches_for_itself(start, origin):
    node = start()
    origin.add("/slow", size=BIG, rate=10_000)
    path = warm(node, [origin.url + "/slow"] * 3 + [origin.url + f"/bytes/{SHORT}/{i}" for i in range(3)])
    wait_for(lambda: call(node, "GET", path)[1]["bytes"] > 0)
    node.stop()


def test_the_clients_of_the_proxy_have_to_name_themselves_and_the_node_need_not(start, origin, tmp_path):
    users = tmp_path / "users"
    users.write_text(f"ci:{hashlib.sha256(b'tok').hexdigest()}\n")
    node = start(proxy__auth="bearer", proxy__auth_file=users)
    assert ended(node, warm(node, [origin.url + "/bytes/1/o"]))["failed"] == 0
    assert node.get(origin.url + "/bytes/1/o").status == 407


def test_a_list_that_is_none_is_refused(start):
    node = start()
    wrong = [b"", b"[]", b"{", b'{"urls":[]}', b'{"urls":"http://h/k"}', b'{"urls":[1]}', b'{"urls":["http://h/k k"]}',
             b'{"urls":["http://h/k\\r\\nX: y"]}', b'{"urls":["http://h/k"],"url":1}', b'{"urls":["http://h/k"],"concurrency":0}',
             b'{"urls":["http://h/k"],"concurrency":33}', b'{"urls":["http://h/k"],"headers":[]}',
             b'{"urls":["http://h/k"],"headers":{"A b":"c"}}', b'{"urls":["http://h/k"],"headers":{"A":"b\\r\\nC: d"}}',
             b'{"urls":["http://h/k"],"headers":{"Range":"bytes=0-1"}}', b'{"urls":["http://h/k"],"headers":{"if-match":"x"}}',
             json.dumps({"urls": ["http://h/k"] * 10001}).encode()]
    for body in wrong:
        assert call(node, "POST", "/api/v1/cache/warm", body=body)[0] == 400, body
    assert call(node, "GET", "/api/v1/operations")[1] == {"operations": []}


def test_the_command_waits_reports_and_fails_with_what_failed(start, origin, tmp_path):
    node = start()
    origin.add("/private", size=SHORT, authorized=("Bearer right",))
    good = [origin.url + f"/bytes/{SHORT}/{i}" for i in range(3)]
    out = cli(node, "warm", *good)
    assert "3.9 KiB  origin  " + good[0] in out and " done: 3 of 3 URLs, 0 failed, 11.7 KiB in " in out
    command = [ELIONODE, "warm", "-", f"--admin=127.0.0.1:{node.admin_port}"]
    many = "# a list\n\n" + "".join(origin.url + f"/bytes/1/{i}\r\n" for i in range(10_500))
    done = subprocess.run([*command, "--concurrency=16", "--json"], input=many, capture_output=True, text=True, timeout=120 * wire.SLOW)
    assert done.returncode == 0, done.stderr
    assert sum(json.loads(line)["finished"] for line in done.stdout.splitlines()) == 10_500
    done = subprocess.run(command, input=origin.url + "/private\n" + good[0], capture_output=True, text=True, timeout=60 * wire.SLOW)
    assert done.returncode == 1 and f"failed  {origin.url}/private: the answer is 403" in done.stdout, done
    headers = tmp_path / "headers"
    headers.write_text("Authorization: Bearer right\n")
    assert " 0 failed" in cli(node, "warm", origin.url + "/private", f"--header-file={headers}")
    name = cli(node, "warm", "--leave", good[0]).strip()
    wait_for(lambda: " done: 1 of 1 URLs" in cli(node, "operation", name))
    assert " done: " in cli(node, "cancel", name)
    assert "no such operation" in cli(node, "operation", "0" * 16, wants=1)
    assert "which URLs?" in cli(node, "warm", wants=2)


def test_an_interrupted_command_leaves_the_node_at_work(start, origin):
    node = start()
    origin.add("/slow", size=SHORT, delay_head=1)
    process = subprocess.Popen([ELIONODE, "warm", f"--admin=127.0.0.1:{node.admin_port}", origin.url + "/slow"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: origin.requests("/slow"))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30 * wire.SLOW)
    assert process.returncode == 1 and "the node goes on: elionode operation " in said
    name = said.split("elionode operation ")[1].split(",")[0]
    assert ended(node, f"/api/v1/operations/{name}")["failed"] == 0
    assert node.get(origin.url + "/slow").x_cache == "HIT"


def test_a_large_purge_is_answered_and_delays_nobody(tier, origin):
    n = 2_000 if SANITIZED else 20_000
    node = tier.start()
    for first in range(0, n, 10_000):
        urls = [f"{origin.url}/bytes/500/go/{i}" for i in range(first, min(first + 10_000, n))]
        assert ended(node, warm(node, urls, concurrency=32))["failed"] == 0
    wait_for(lambda: store(node)["objects"] == n, why=lambda: store(node))
    keep = f"/bytes/{SHORT}/keep"
    tier.keep(node, keep)
    waits, over = [], threading.Event()

    def read():
        with node.connect() as c:
            while not over.is_set():
                began = time.monotonic()
                c.send_request("GET", origin.url + keep)
                assert c.read_response().x_cache == "HIT"
                waits.append(time.monotonic() - began)

    reader = threading.Thread(target=read)
    reader.start()
    wait_for(lambda: len(waits) > 100)
    before = len(waits)
    began = time.monotonic()
    assert call(node, "POST", "/api/v1/cache/purge", prefix=origin.url + "/bytes/500/go/") == (
        200, {"prefix": origin.url + "/bytes/500/go/", "objects": n})
    took = time.monotonic() - began
    over.set()
    reader.join()
    during = waits[before:]
    print(f"\n{n} objects purged in {took:.2f} s; {len(during)} requests meanwhile, the slowest took {max(during) * 1000:.1f} ms")
    assert took < 10 * wire.SLOW
    assert max(during) < 0.25 * wire.SLOW
    assert node.status()["cache"]["objects"] == 1
    wait_for(lambda: store(node)["objects"] == 1, why=lambda: store(node))
