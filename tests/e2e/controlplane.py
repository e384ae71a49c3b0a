# SPDX-License-Identifier: MIT
"""controlplane: a small double of eliocp: what docs/api.yaml asks of it as far as nodes call it, strictly, and faults.

    with ControlPlane() as cp:
        node = start(control_plane__endpoint=cp.endpoint)
        cp.mode = "hang"; cp.kill(); cp.start()   # started again it knows nothing
"""
import hashlib
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
CHUNK = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8}")
MODES = ("well", "hang", "garbage", "wrong", "huge", "other", "fails", "takes no reports")


def digest(chunks):
    total = sum(int.from_bytes(hashlib.sha256(c.encode()).digest()[:8], "big") for c in chunks)
    return f"{total % 2**64:016x}"


class State:
    """What it knows; gone when it is started again."""

    def __init__(self):
        self.nodes, self.tokens, self.chunks, self.epochs, self.pages, self.beats = {}, {}, {}, {}, {}, {}
        self.commands, self.acks = {}, {}
        self.epoch = 1
        self.began = time.monotonic()


class ControlPlane:
    def __init__(self, cluster_id="here", interval_ms=300):
        self.cluster_id, self.interval_ms = cluster_id, interval_ms
        self.mode = "well"
        self.calls = []        # (method, path) of all, in order
        self.violations = []   # of the contract, by nodes
        self.lock = threading.RLock()
        self.server = None
        self.connections = set()
        with socket.create_server((HOST, 0)) as s:
            self.port = s.getsockname()[1]
        self.state = State()

    @property
    def endpoint(self):
        return f"{HOST}:{self.port}"

    # ---- life ----

    def start(self):
        self.state = State()
        self.server = Server((HOST, self.port), Handler)
        self.server.owner = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def kill(self):
        """As a process that is killed: connections break, and nobody listens."""
        if self.server is None:
            return
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        with self.lock:
            for c in list(self.connections):
                try:
                    c.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.mode = "well"
        self.kill()
        assert not self.violations, self.violations

    # ---- for tests ----

    def chunks_of(self, node):
        """By its name."""
        with self.lock:
            return next((set(self.state.chunks.get(i, ())) for i, n in self.state.nodes.items() if n["name"] == node), set())

    def id_of(self, name):
        with self.lock:
            return next((i for i, n in self.state.nodes.items() if n["name"] == name), None)

    def order(self, action, chunk, target, source=""):
        with self.lock:
            command = {"command_id": f"c{len(self.state.commands) + len(self.state.acks)}-{action}", "chunk_id": chunk,
                       "action": action, "source_node_id": source, "target_node_id": target, "priority": 1,
                       "created_at": "2026-11-21T00:00:00.000Z", "expires_at": "2036-11-21T00:00:00.000Z"}
            self.state.commands[command["command_id"]] = command
            return command["command_id"]

    def asked(self, pattern):
        with self.lock:
            return sum(bool(re.fullmatch(pattern, f"{m} {p}")) for m, p in self.calls)

    # ---- answers: (status, object, fields) ----

    def answer(self, method, path, body, token):
        with self.lock:
            self.calls.append((method, path))
            s = self.state
            if path == "/health":
                return 200, {"status": "ok", "version": "0", "cluster_id": self.shown_cluster(), "epoch": s.epoch,
                             "uptime_seconds": int(time.monotonic() - s.began), "timestamp": "2026-11-21T00:00:00.000Z"}, {}
            if (method, path) == ("POST", "/api/v1/nodes"):
                return self.register(body)
            if (method, path) == ("GET", "/api/v1/nodes"):
                return 200, {"nodes": [self.peer(i) for i in s.nodes], "total": len(s.nodes), "active": len(s.nodes)}, {}
            if (method, path) == ("POST", "/api/v1/chunks/locations"):
                return 200, {"locations": [self.location(c) for c in body["chunk_ids"]]}, {}
            m = re.fullmatch(r"/api/v1/nodes/([^/]+)/(.*)", path)
            if not m:
                return self.violation(404, f"{method} {path}")
            if m[1] not in s.nodes:
                return 404, {"code": 6001, "text": "no such node", "field": None, "request_id": "1"}, {}
            if not token:
                return self.violation(401, f"no token for {path}")
            if token != s.tokens[m[1]]:  # one that ended meanwhile, if two registrations crossed
                return 401, {"code": 6003, "text": "another token", "field": None, "request_id": "1"}, {}
            return self.of_node(method, m[1], m[2], body)

    def shown_cluster(self):
        return "elsewhere" if self.mode == "other" else self.cluster_id

    def violation(self, status, what):
        self.violations.append(what)
        return status, {"code": 1, "text": what, "field": None, "request_id": "1"}, {}

    def register(self, body):
        s = self.state
        s.nodes[body["node_id"]] = body
        s.tokens[body["node_id"]] = f"token-{len(self.calls)}"
        s.epoch += 1
        return 201, {"success": True, "node_id": body["node_id"], "message": "", "token": s.tokens[body["node_id"]],
                     "cluster_id": self.shown_cluster(), "heartbeat_interval_ms": self.interval_ms, "epoch": s.epoch,
                     "config_version": 0, "policy_version": 0}, {}

    def peer(self, node_id):
        n = self.state.nodes[node_id]
        return {"node_id": node_id, "address": n["address"], "p2p_port": n["p2p_port"], "http_port": n["http_port"],
                "zone": n.get("zone", ""), "state": "active", "is_anchor": False, "serves": True}

    def location(self, chunk):
        ids = [i for i, chunks in self.state.chunks.items() if chunk in chunks]
        return {"chunk_id": chunk, "peer_ids": ids, "peers": [self.peer(i) for i in ids]}

    def of_node(self, method, node_id, what, body):
        s = self.state
        if (method, what) == ("GET", "hydration"):
            return 200, {"cluster_id": self.shown_cluster(), "epoch": s.epoch, "heartbeat_interval_ms": self.interval_ms,
                         "members": [self.peer(i) for i in s.nodes if i != node_id], "policies": [], "policy_version": 0,
                         "config": {"version": 0, "settings": {}, "changed_at": None}, "commands": self.commands_of(node_id),
                         "groups": [], "report": "none" if s.epochs.get(node_id) else "full"}, {}
        if (method, what) == ("PUT", "heartbeat"):
            return self.beat(node_id, body)
        if (method, what) == ("PUT", "chunks"):
            return self.report(node_id, body)
        if (method, what) == ("GET", "commands"):
            return 200, {"commands": self.commands_of(node_id)}, {}
        m = re.fullmatch(r"commands/([^/]+)/ack", what)
        if method == "POST" and m:
            self.heed(s.commands.pop(m[1], None), body["status"])
            s.acks[m[1]] = (body["status"], body.get("message", ""))
            return 204, None, {}
        return self.violation(404, f"{method} {what}")

    def heed(self, command, status):
        """What was moved has to leave where it was."""
        if command and command["action"] == "migrate" and status == "done":
            self.order("evict", command["chunk_id"], command["source_node_id"])

    def commands_of(self, node_id):
        return [c for c in self.state.commands.values() if node_id == c["target_node_id"]]

    def beat(self, node_id, body):
        s = self.state
        s.beats[node_id] = body
        fields = {"X-Elio-Epoch": s.epoch, "X-Elio-Commands": len(self.commands_of(node_id)),
                  "X-Elio-Interval-Ms": self.interval_ms}
        held = (s.epochs.get(node_id, 0), digest(s.chunks.get(node_id, ())))
        if "epoch" in body and (body["epoch"], body["digest"]) != held:
            fields["X-Elio-Report"] = "full"
        return 204, None, fields

    def report(self, node_id, body):
        s = self.state
        ids = [*body.get("chunk_ids", ()), *body.get("added", ()), *body.get("removed", ())]
        if self.mode == "takes no reports":
            return 409, {"code": 6002, "text": "not now", "field": None, "request_id": "1", "want": "full", "epoch": 0}, {}
        if not all(CHUNK.fullmatch(c) for c in ids):
            return self.violation(400, "a chunk id")
        if "chunk_ids" in body:
            held = self.page(node_id, body)
        else:
            held = (s.chunks.get(node_id, set()) | set(body["added"])) - set(body["removed"])
            if body["base_epoch"] != s.epochs.get(node_id, 0) or not body["base_epoch"] or digest(held) != body["digest"]:
                return 409, {"code": 6002, "text": "another set is held", "field": None, "request_id": "1", "want": "full",
                             "epoch": s.epochs.get(node_id, 0)}, {}
        if held is not None:
            if body["epoch"] <= s.epochs.get(node_id, 0):
                return self.violation(409, "an epoch that does not grow")
            s.chunks[node_id], s.epochs[node_id] = held, body["epoch"]
        return 204, None, {}

    def page(self, node_id, body):
        """The whole set with its last page, else None."""
        pages = self.state.pages.setdefault(node_id, {})
        if body["page"] == 0:
            pages.clear()
        pages[body["page"]] = body["chunk_ids"]
        if body["page"] + 1 < body["pages"]:
            return None
        if sorted(pages) != list(range(body["pages"])):
            self.violations.append("pages out of order")
        return {c for p in pages.values() for c in p}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        with self.server.owner.lock:
            self.server.owner.connections.add(self.connection)

    def finish(self):
        with self.server.owner.lock:
            self.server.owner.connections.discard(self.connection)
        try:
            super().finish()
        except OSError:
            pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass

    def log_message(self, *args):
        pass

    def serve(self):
        owner, n = self.server.owner, int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(n)) if n else None
        mode = owner.mode
        if mode == "hang":
            while owner.mode == "hang" and owner.server is self.server:
                time.sleep(0.02)
            self.close_connection = True
            return
        if mode in ("garbage", "wrong", "huge"):
            text = {"garbage": b"\x00<html>[[[[", "wrong": b'{"success":1,"nodes":{},"epoch":"x","members":[1]}',
                    "huge": b'{"a":"' + b"x" * (9 << 20)}[mode]
            self.reply(200, text, {})
            return
        if mode == "fails" and self.path != "/health":
            self.reply(500, b"{}", {})
            return
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        status, answer, fields = owner.answer(self.command, self.path, body, token)
        self.reply(status, b"" if answer is None else json.dumps(answer).encode(), fields)

    do_GET = do_POST = do_PUT = serve

    def reply(self, status, text, fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", len(text))
        self.end_headers()
        self.wfile.write(text)
