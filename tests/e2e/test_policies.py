# SPDX-License-Identifier: MIT
"""What the operator says of parts of an origin: sections [policy PREFIX], and the grants that they bound."""
import json
import signal
import subprocess
import threading
import time

import pytest

import wire
from content import MIB
from node import ELIONODE
from rgw import OWNER, signed

SIZE = 200_000


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "node.conf"

    def write(text):
        path.write_text(text)
        return f"--config={path}"

    return write


def private(origin, path, **knobs):
    """(url, fields) of an object that one signed request may read: that one, again and again."""
    url = f"http://127.0.0.1:{origin.port}{path}"
    fields = signed("GET", url)
    origin.add(path, size=SIZE, authorized=(dict(fields)["Authorization"],), **knobs)
    return url, fields


def public(origin, path, **knobs):
    origin.add(path, **{"size": SIZE, **knobs})
    return f"http://127.0.0.1:{origin.port}{path}"


def decisions(node):
    name = "eliop2p_auth_decisions_total{rule="
    return {k[len(name) + 1:-2]: int(v) for k, v in node.metrics().items() if k.startswith(name) and v}


def await_decisions(node, wanted):
    """A request is counted when it ends, which may be after its last byte has come."""
    deadline = time.monotonic() + 10 * wire.SLOW
    while decisions(node) != wanted:
        assert time.monotonic() < deadline, (decisions(node), wanted)
        time.sleep(0.01)


def reload(node):
    before = node.log().count("conf.reload")
    node.signal(signal.SIGHUP)
    deadline = time.monotonic() + 10 * wire.SLOW
    while node.log().count("conf.reload") == before:
        assert time.monotonic() < deadline, "no reload"
        time.sleep(0.01)


def test_the_same_request_is_asked_about_once_while_its_grant_lasts(origin, start):
    node = start()
    url, fields = private(origin, "/b/k")
    for _ in range(5):
        r = node.get(url, fields)
        assert r.status == 200 and r.body == origin.content("/b/k").bytes()
    assert len(origin.requests("/b/k")) == 1
    await_decisions(node, {"origin": 1, "request": 4})


def test_nobody_else_is_served_by_it(origin, start):
    node = start()
    url, fields = private(origin, "/b/k")
    assert node.get(url, fields).status == 200
    signature = dict(fields)["Authorization"]
    others = [
        [],
        signed("GET", url, (OWNER[0], "wrong")),
        [(n, v if n != "Authorization" else v[:-1] + "10"[v[-1] == "1"]) for n, v in fields],
        [("Authorization", "Bearer " + signature)],
    ]
    for other in others:
        r = node.get(url, other)
        assert r.status == 403 and r.received < 1000, other
    assert node.get(url, fields, method="HEAD").status == 200
    assert len(origin.requests("/b/k", "HEAD")) == 1  # a signature for GET is none for HEAD


def test_a_refusal_takes_the_grant_back(origin, start):
    node = start()
    url, fields = private(origin, "/b/k")
    assert node.get(url, fields).status == 200
    origin.objects["/b/k"].authorized = ("nobody",)
    assert node.get(url, fields).status == 200  # within the grant
    assert node.get(url, [*fields, ("Cache-Control", "no-cache")]).status == 403  # it asks
    assert node.get(url, fields).status == 403


def test_without_grants_each_request_is_asked_about(origin, start):
    node = start(auth__grant_ttl_s=0)
    url, fields = private(origin, "/b/k")
    for _ in range(3):
        assert node.get(url, fields).status == 200
    assert [s.status for s in origin.requests("/b/k")] == [200, 304, 304]


def test_what_carries_no_known_signature_is_asked_about_each_time(origin, start):
    node = start()
    url = public(origin, "/b/k", authorized=("Bearer t",))
    for _ in range(3):
        assert node.get(url, [("Authorization", "Bearer t")]).status == 200
    assert [s.status for s in origin.requests("/b/k")] == [200, 304, 304]


def test_many_with_one_signature_are_one_question_when_the_copy_is_old(origin, start):
    node = start(proxy__threads=2)
    url, fields = private(origin, "/b/k", cache_control="max-age=0")
    assert node.get(url, fields).status == 200
    origin.objects["/b/k"].delay_head = 0.5
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(node.get(url, fields))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [r.status for r in answers] == [200] * 8 and all(r.received == SIZE for r in answers)
    assert len(origin.requests("/b/k")) == 2


def test_deny_answers_by_itself(origin, start, conf):
    node = start(conf(f"[policy http://127.0.0.1:{origin.port}/b/secret]\nauth = deny\n"))
    url = public(origin, "/b/secret/k")
    for target in (url, url.replace("secret", "%73ecret"), url.replace("/b/", "//b/x/..//")):
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            r = node.get(target, method=method)
            assert r.status == 403 and (method == "HEAD" or b"policy" in r.body)
    assert origin.requests() == []
    assert node.get(public(origin, "/b/secrets")).status == 200
    await_decisions(node, {"deny": 12, "origin": 1})


def test_deny_closes_what_is_cached_already(origin, start, conf):
    node = start(conf(""))
    url = public(origin, "/b/k")
    assert node.get(url).status == 200
    conf("[auth]\nmode = deny\n")
    reload(node)
    assert node.get(url).status == 403
    conf("")
    reload(node)
    assert node.get(url).x_cache == "HIT"


def test_trust_serves_a_private_copy_to_anybody_and_is_warned_about(origin, start, conf):
    base = f"http://127.0.0.1:{origin.port}"
    node = start(conf(f"[policy {base}/b/open]\nauth = trust\n"))
    assert "auth.trust" in node.log() and "/b/open" in node.log()
    url, fields = private(origin, "/b/open/k")
    assert node.get(url).status == 403
    assert node.get(url, fields).status == 200
    assert node.get(url).body == origin.content("/b/open/k").bytes()
    await_decisions(node, {"origin": 2, "trust": 1})
    url, fields = private(origin, "/b/closed/k")
    assert node.get(url, fields).status == 200
    assert node.get(url).status == 403


def test_bypass_keeps_nothing(origin, start, conf):
    node = start(conf(f"[policy http://127.0.0.1:{origin.port}/b]\nbypass = yes\n"))
    url = public(origin, "/b/k")
    for _ in range(2):
        r = node.get(url)
        assert r.body == origin.content("/b/k").bytes() and r.x_cache == "MISS"
    assert [s.status for s in origin.requests("/b/k")] == [200, 200]
    await_decisions(node, {"none": 2})


def test_what_is_longer_than_a_policy_allows_passes_through(origin, start, conf):
    node = start(conf(f"[policy http://127.0.0.1:{origin.port}/b]\nmax_object_mb = 3\n"))
    allowed, longer = public(origin, "/b/allowed", size=3 * MIB), public(origin, "/b/longer", size=3 * MIB + 1)
    assert [node.get(allowed).x_cache for _ in range(2)] == ["MISS", "HIT"]
    for _ in range(3):
        r = node.get(longer)
        assert r.body == origin.content("/b/longer").bytes() and r.x_cache == "MISS" and "fwd=bypass" in r.get("Cache-Status")
        r = node.get(longer, [("Range", "bytes=1000000-2000000")])
        assert r.status == 206 and r.body == origin.content("/b/longer").bytes(1000000, 2000001)
    # Of the first answer only its beginning was asked for at first; then it is known to be for one client at a time.
    assert [s.status for s in origin.requests("/b/longer")].count(200) == 3
    assert len(origin.requests("/b/longer")) <= 8
    outside = public(origin, "/c/longer", size=3 * MIB + 1)
    assert [node.get(outside).x_cache for _ in range(2)] == ["MISS", "HIT"]


def test_immutable_is_not_asked_about_again(origin, start, conf):
    node = start(conf(f"[policy http://127.0.0.1:{origin.port}/b]\nimmutable = yes\n"))
    for path, knobs in (("/b/1", {"cache_control": "max-age=0"}), ("/b/2", {"cache_control": None})):
        url = public(origin, path, **knobs)
        assert [node.get(url).x_cache for _ in range(3)] == ["MISS", "HIT", "HIT"]
        assert len(origin.requests(path)) == 1
    # Being young enough is not being allowed.
    url, fields = private(origin, "/b/3", cache_control="max-age=0")
    assert node.get(url, fields).status == 200
    assert node.get(url).status == 403
    # And it is about objects only.
    url = public(origin, "/b/4", fail_status=404, fail_fields=[("Cache-Control", "max-age=0")])
    assert [node.get(url).status for _ in range(2)] == [404, 404]
    assert len(origin.requests("/b/4")) == 2


def test_ttl_takes_the_place_of_the_origins_lifetime(origin, start, conf):
    base = f"http://127.0.0.1:{origin.port}"
    node = start(conf(f"[policy {base}/long]\nttl = 1000\n[policy {base}/none]\nttl = 0\n"))
    for path, knobs, asked in (("/long/k", {"cache_control": "max-age=0"}, 1),
                               ("/none/k", {"cache_control": "max-age=1000"}, 3),
                               ("/long/no-store", {"cache_control": "no-store"}, 3)):
        url = public(origin, path, **knobs)
        for _ in range(3):
            assert node.get(url).status == 200
        assert len(origin.requests(path)) == asked, path


def test_a_ttl_that_is_changed_holds_for_what_is_cached(origin, start, conf):
    section = f"[policy http://127.0.0.1:{origin.port}/b]\nttl = "
    node = start(conf(section + "1000\n"))
    url = public(origin, "/b/k", cache_control="max-age=0")
    assert [node.get(url).x_cache for _ in range(2)] == ["MISS", "HIT"]
    conf(section + "0\n")
    reload(node)
    node.get(url)
    assert [s.status for s in origin.requests("/b/k")] == [200, 304]


def test_freshness_is_for_objects_of_stores_without_a_word_of_their_own(origin, start, conf):
    base = f"http://127.0.0.1:{origin.port}"
    node = start(conf(f"[policy {base}/b]\nfreshness = 0\n"), cache__freshness_s=1000)
    store = [("x-amz-request-id", "1")]
    for path, control, asked in (("/b/k", None, 2), ("/a/k", None, 1), ("/b/said", "max-age=9", 1)):
        url = public(origin, path, cache_control=control, fields=store)
        for _ in range(2):
            assert node.get(url).status == 200
        assert len(origin.requests(path)) == asked, path


def test_a_grant_ttl_of_a_policy_is_for_its_part(origin, start, conf):
    node = start(conf(f"[policy http://127.0.0.1:{origin.port}/b]\ngrant_ttl = 0\n"))
    for path, asked in (("/b/k", 2), ("/a/k", 1)):
        url, fields = private(origin, path)
        for _ in range(2):
            assert node.get(url, fields).status == 200
        assert len(origin.requests(path)) == asked


def test_a_copy_with_holes_is_no_way_around_a_refusal(origin, start):
    """The caller holds a grant, but bytes are missing: the origin is asked for them, and its no is the answer."""
    node = start()
    url, fields = private(origin, "/b/k")
    origin.objects["/b/k"].size = 4 << 20
    content = origin.content("/b/k")
    assert node.get(url, [*fields, ("Range", "bytes=0-99")]).body == content.bytes(0, 100)
    r = node.get(url, [*fields, ("Range", f"bytes={2 << 20}-{(2 << 20) + 99}")])
    assert r.status == 206 and r.body == content.bytes(2 << 20, (2 << 20) + 100)
    origin.objects["/b/k"].authorized = ("nobody",)
    r = node.get(url, [*fields, ("Range", f"bytes={3 << 20}-")])
    assert r.status == 403 and r.received < 1000
    assert node.get(url, [*fields, ("Range", "bytes=0-99")]).status == 403  # and the grant is gone


def test_no_secret_of_a_request_is_in_a_policys_log(origin, start, conf):
    node = start(conf(f"[policy http://127.0.0.1:{origin.port}/b]\nauth = deny\n"), general__log_level="debug")
    url, fields = private(origin, "/b/k")
    assert node.get(url, fields).status == 403
    deadline = time.monotonic() + 10 * wire.SLOW
    while "proxy.refused" not in node.log():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert dict(fields)["Authorization"].rpartition("=")[2] not in node.log()


def explain(node, url, fields=()):
    words = [word for n, v in fields for word in ("-H", f"{n}: {v}")]
    base = [ELIONODE, "explain", url, *words, f"--admin=127.0.0.1:{node.admin_port}"]
    shown = subprocess.run(base, capture_output=True, text=True, check=True).stdout
    answer = json.loads(subprocess.run([*base, "--json"], capture_output=True, text=True, check=True).stdout)
    assert f"{answer['rule']}: {answer['action']}" in shown and answer["why"] in shown
    return answer


def test_explain_says_what_will_happen_and_why(origin, start, conf):
    base = f"http://127.0.0.1:{origin.port}"
    node = start(conf(f"[policy {base}/no]\nauth = deny\n[policy {base}/past]\nbypass = yes\n"
                      f"[policy {base}/keep]\nimmutable = yes\n"))
    url, fields = private(origin, "/b/k")

    def told_and_done(url, fields=()):
        """What is told beforehand is what happens then."""
        told = explain(node, url, fields)
        before = decisions(node)
        seen = len(origin.requests())
        r = node.get(url, fields)
        await_decisions(node, {**before, told["rule"]: before.get(told["rule"], 0) + 1})
        assert (told["action"] in ("ask", "pass")) == (len(origin.requests()) > seen), told
        assert (told["action"] == "refuse") == (b"policy" in r.body)
        return told

    told = told_and_done(url, fields)
    assert (told["rule"], told["cached"]) == ("origin", None) and "nothing" in told["why"]
    assert told["signature"]["access_key"] == OWNER[0] and 0 < told["signature"]["ends_in_s"] <= 900
    told = told_and_done(url, fields)
    assert (told["rule"], told["action"], told["cached"]["public"]) == ("request", "serve", False)
    assert told["cached"]["memory_blocks"] == told["cached"]["blocks"] == 1
    assert "anonymous" in told_and_done(url)["why"]
    assert "accepted this very request" in told_and_done(url, signed("GET", url, (OWNER[0], "wrong")))["why"]

    assert told_and_done(public(origin, "/b/p", cache_control="max-age=0"))["rule"] == "origin"
    assert "not fresh" in told_and_done(base + "/b/p")["why"]
    for _ in range(2):
        told = told_and_done(public(origin, "/keep/k", cache_control="max-age=0"))
    assert told["rule"] == "public" and told["policy"]["prefix"] == base + "/keep"
    assert told_and_done(public(origin, "/past/k"))["rule"] == "none"
    told = told_and_done(public(origin, "/no/k"))
    assert (told["rule"], told["action"], told["policy"]["auth"]) == ("deny", "refuse", "deny")


def test_explain_changes_nothing(origin, start):
    node = start()
    url, fields = private(origin, "/b/k")
    for _ in range(3):
        assert explain(node, url, fields)["action"] == "ask"
    assert origin.requests() == [] and decisions(node) == {}


def test_explain_refuses_what_it_cannot_read(origin, start):
    node = start()
    for words in (["ftp://h/k"], ["http://h/k", "-H", "no colon"], []):
        done = subprocess.run([ELIONODE, "explain", *words, f"--admin=127.0.0.1:{node.admin_port}"],
                              capture_output=True, text=True, check=False)
        assert done.returncode in (1, 2) and done.stderr.startswith("elionode explain: "), words
