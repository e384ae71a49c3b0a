# SPDX-License-Identifier: MIT
"""What the document of the API says of each call, held against the service from outside: every path is there,
everything else is refused with a message, and a refusal changes nothing."""
import json
import random
import re
import socket

import pytest

from apidoc import DOCUMENT, Document
from plane import DOC, chunk, running
from wire import TIMEOUT

NAMES = {"node_id": "n-1", "group_id": "g", "command_id": "0" * 16, "operation_id": "999", "object": "0" * 32, "zone": "z",
         "role": "reader", "name": "nobody", "file": "dashboard.css"}
OPERATIONS = Document().operations
WITH_BODY = [o for o in OPERATIONS if "requestBody" in o.item]


def target_of(operation):
    return re.sub(r"\{([^}]*)\}", lambda m: NAMES[m[1]], operation.path)


def label(operation):
    return operation.name


@pytest.fixture(scope="module")
def plane():
    with running() as p:
        p.register("n-1", zone="z", available_chunks=[chunk(1)])
        p.register("n-2", zone="z")
        p.post("/api/v1/groups", {"group_id": "g", "node_id": "n-1"})
        p.put("/api/v1/policies", {"prefix": "http://a/"})
        yield p


def state_of(p):
    """All that a refused call must not have changed."""
    seen = {path: p.get(path).json for path in ("/api/v1/groups", "/api/v1/policies", "/api/v1/config", "/api/v1/tokens",
                                                "/api/v1/relays", "/api/v1/operations")}
    nodes = p.get("/api/v1/nodes")["nodes"]
    seen["nodes"] = sorted((n["node_id"], n["address"], n["zone"], n["total_chunks"], n["digest"], n["memory_used_mb"]) for n in nodes)
    return seen


def wrong_values(schema):
    """Of other types than the document says, and beyond its limits."""
    schema = DOC.deref(schema)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    values = {"string": "text", "integer": 7, "number": 7.5, "boolean": True, "array": [1], "object": {"a": 1}}
    fits = {"integer": ("integer", "number")}
    for kind, value in values.items():
        if kind not in kinds and not any(k in kinds for k in fits.get(kind, ())):
            yield value
    if "maximum" in schema:
        yield schema["maximum"] + 1
    if "minimum" in schema:
        yield schema["minimum"] - 1
    if "maxItems" in schema:
        yield ["x"] * (schema["maxItems"] + 1)
    if "enum" in schema:
        yield "none of these"
    if "integer" in kinds or "number" in kinds:
        yield 10**30
    if "array" in kinds:
        yield [None]
        yield [{"a": [1]}]
    if "string" in kinds:
        yield "\x00\x1b"
        yield "x" * 100000


def valid_body(operation):
    """The needed keys, so that what is wrong is the only thing that is."""
    known = {"node_id": "n-1", "address": "10.0.0.1", "p2p_port": 1, "http_port": 1, "chunk_ids": [chunk(1)], "status": "done", "prefix": "http://b/",
             "settings": {}, "urls": ["http://h/a"], "group_id": "new", "object": "0" * 31 + "1", "name": "x", "role": "node", "node_ids": ["n-1"], "chunk_id": chunk(1),
             "action": "evict", "target_node_id": "n-1"}
    return {k: known[k] for k in DOC.body_schema(operation).get("required", [])}


@pytest.mark.parametrize("operation", WITH_BODY, ids=label)
def test_a_body_that_is_none_is_refused(plane, operation):
    before = state_of(plane)
    deep = b'{"node_id":' + b"[" * 5000 + b"]" * 5000 + b"}"
    for body in (b"", b"garbage", b"[]", b"5", b"null", b'"text"', b"{", b'{"a":1', b'{"a":1,"a":2}', b'{"a":1}garbage', b"\xff\xfe{}", deep,
                 b'{"a":' * 5000, b"[" + b"1," * 400000 + b"1]", b'{"a":"\x01"}'):
        r = plane.call(operation.method, target_of(operation), body)
        assert r.status == 400 and r["text"] and r["code"] == 2008, (body[:40], r)
    assert state_of(plane) == before


@pytest.mark.parametrize("operation", WITH_BODY, ids=label)
def test_a_value_of_another_type_or_beyond_its_limit_is_refused_and_named(plane, operation):
    before = state_of(plane)
    for key, schema in DOC.body_schema(operation)["properties"].items():
        for value in wrong_values(schema):
            r = plane.call(operation.method, target_of(operation), {**valid_body(operation), key: value})
            assert 400 <= r.status < 500 and r["text"], (key, str(value)[:60], r)
            if r.status == 400 and r["code"] == 1001:
                # A report has two forms, and a key of the other one is the first thing that is wrong.
                assert r["field"].split("[")[0].split(".")[0] in (key, "chunk_ids", "epoch", "digest", "page", "pages"), (key, value, r)
    assert state_of(plane) == before


@pytest.mark.parametrize("operation", WITH_BODY, ids=label)
def test_a_key_that_is_needed_and_missing_is_named(plane, operation):
    whole = valid_body(operation)
    for key in whole:
        r = plane.call(operation.method, target_of(operation), {k: v for k, v in whole.items() if k != key})
        assert r.status == 400 and r["field"] == key, (key, r)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if "{" in o.path], ids=label)
def test_a_name_that_is_none_is_no_path(plane, operation):
    before = state_of(plane)
    for name in ("%00", "%zz", "..%2f..%2fetc", "x" * 5000, "%F0%9F%92%A9", "'%22;--", "*"):
        target = re.sub(r"\{[^}]*\}", name.replace("\\", ""), operation.path)
        r = plane.call(operation.method, target, None if "requestBody" not in operation.item else valid_body(operation))
        assert r.status in (200, 400, 404) and (r.status != 200 or r.json in ({"relays": []},)), (name, r)
    assert state_of(plane) == before


def test_a_body_that_is_too_long_is_refused_before_it_comes(plane):
    with socket.create_connection(("127.0.0.1", plane.port), TIMEOUT) as s:
        s.sendall(f"POST /api/v1/nodes HTTP/1.1\r\nHost: a\r\nContent-Length: {5 << 20}\r\n\r\n".encode())
        assert s.recv(4096).startswith(b"HTTP/1.1 413 ")
    assert plane.get("/health").status == 200


def test_random_bodies_change_nothing(plane):
    """Documents that are almost right: keys of the API with values of any kind, seeded."""
    rng = random.Random(11)
    keys = sorted({k for o in WITH_BODY for k in DOC.body_schema(o)["properties"]} - {"settings"})
    before = state_of(plane)

    def value(depth=0):
        kind = rng.randrange(8)
        if kind < 2 and depth < 3:
            return [value(depth + 1) for _ in range(rng.randrange(4))]
        if kind < 4 and depth < 3:
            return {rng.choice(keys): value(depth + 1) for _ in range(rng.randrange(4))}
        return rng.choice([None, True, -1, 0.5, 1 << 62, "", "\u0000", "x" * 300, "\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "ignore")])

    for _ in range(600):
        operation = rng.choice(WITH_BODY)
        body = {rng.choice(keys): value() for _ in range(rng.randrange(1, 6))}
        needed = DOC.body_schema(operation).get("required", [])
        if all(k in body for k in needed) and needed or not needed:
            continue
        r = plane.call(operation.method, target_of(operation), body)
        assert 400 <= r.status < 500, (operation.name, json.dumps(body), r)
    assert state_of(plane) == before


# ---- the document and the service's own table ----

def test_the_document_describes_every_route_of_the_service_and_who_may():
    table = (DOCUMENT.parents[1] / "controlplane" / "routes_list.h").read_text()
    routes = {(m, re.sub(r"\{[^}]*\}", "{}", path), who.lower().replace("_", "-"))
              for m, path, who in re.findall(r'^CP_ROUTE\("(\w+)",\s*"([^"]+)",\s*CP_NEED_(\w+)', table, re.MULTILINE)}
    described = {(o.method, re.sub(r"\{[^}]*\}", "{}", o.path), o.who) for o in OPERATIONS}
    assert routes == described


# ---- roles ----

MAY = {"nothing": {"none", "node", "own", "reader", "operator"}, "node": {"node", "own", "reader", "operator"}, "own-node": {"own", "operator"},
       "reader": {"reader", "operator"}, "operator": {"operator"}}


@pytest.fixture(scope="module")
def closed():
    with running() as p:
        own, other = (p.register(n)["token"] for n in ("n-1", "other"))
        p.token = p.post("/api/v1/tokens", {"role": "operator", "name": "ops"})["token"]
        reader = p.post("/api/v1/tokens", {"role": "reader", "name": "look"})["token"]
        p.tokens = {"none": False, "node": other, "own": own, "reader": reader, "operator": p.token}
        yield p


# These end tokens that the others use.
ENDS = {"DELETE /api/v1/nodes/{node_id}", "POST /api/v1/nodes", "POST /api/v1/auth/register"}


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.name not in ENDS], ids=label)
def test_each_call_is_open_to_its_roles_and_to_nobody_else(closed, operation):
    for who, token in closed.tokens.items():
        body = b"not JSON" if "requestBody" in operation.item else None
        r = closed.call(operation.method, target_of(operation), body, token=token)
        if who == "none" and operation.who != "nothing":
            assert r.status == 401 and r.fields["www-authenticate"] == "Bearer", (who, r)
        elif who in MAY[operation.who]:
            # Beyond the role the handlers look at the node that is meant.
            assert r.status not in (401, 403) or "/groups/" in operation.path, (who, r)
        else:
            assert r.status == 403 and r["text"], (who, r)


def test_every_call_of_the_document_is_answered_as_it_says():
    with running() as p:
        p.register("n-1", zone="z", available_chunks=[chunk(1)])
        p.post("/api/v1/groups", {"group_id": "g"})
        for operation in sorted(OPERATIONS, key=lambda o: (o.method == "DELETE", o.path.count("/"))):
            if operation.name == "POST /api/v1/tokens":
                continue  # the first one ends the openness that the others use
            body = valid_body(operation) if "requestBody" in operation.item else None
            r = p.call(operation.method, target_of(operation), body)
            assert str(r.status) in operation.item["responses"], (operation.name, r)
