# SPDX-License-Identifier: MIT
"""apidoc: docs/api.yaml as a judge: which call it describes, and whether an answer is what it says."""
import pathlib
import re

import yaml

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "api.yaml"
METHODS = ("get", "put", "post", "patch", "delete")
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


class Operation:
    def __init__(self, method, path, item, shared):
        self.method, self.path, self.item = method.upper(), path, item
        self.who = item["x-who"]
        self.parameters = shared + item.get("parameters", [])
        self.pattern = re.compile("^" + re.sub(r"\\\{[^}]*\\\}", "[^/?]+", re.escape(path)) + r"(\?.*)?$")

    @property
    def name(self):
        return f"{self.method} {self.path}"


class Document:
    def __init__(self):
        self.root = yaml.safe_load(DOCUMENT.read_text())
        self.operations = [Operation(m, path, item[m], item.get("parameters", []))
                           for path, item in self.root["paths"].items() for m in METHODS if m in item]
        self.seen = set()  # (method, path, status) of every answer that was judged

    def deref(self, schema):
        while "$ref" in schema:
            node = self.root
            for part in schema["$ref"].removeprefix("#/").split("/"):
                node = node[part]
            schema = node
        return schema

    def find(self, method, target):
        """The one without parameters in its path wins, as in the service."""
        fits = [o for o in self.operations if o.method == method and o.pattern.match(target)]
        return min(fits, key=lambda o: o.path.count("{"), default=None)

    def body_schema(self, operation):
        body = operation.item.get("requestBody")
        return self.deref(body["content"]["application/json"]["schema"]) if body else None

    # ---- judging ----

    def _fits(self, value, kind):
        if kind == "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        if kind == "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        return isinstance(value, TYPES[kind])

    def judge(self, value, schema, where="body"):
        schema = self.deref(schema)
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        assert not kinds or any(self._fits(value, k) for k in kinds), f"{where} is {value!r}, not {kinds}"
        assert "enum" not in schema or value in schema["enum"], f"{where} is {value!r}, not one of {schema['enum']}"
        assert value is None or "minimum" not in schema or value >= schema["minimum"], f"{where} = {value}"
        if isinstance(value, dict):
            self._judge_object(value, schema, where)
        if isinstance(value, list) and "items" in schema:
            for i, item in enumerate(value):
                self.judge(item, schema["items"], f"{where}[{i}]")

    def _judge_object(self, value, schema, where):
        missing = [k for k in schema.get("required", []) if k not in value]
        assert not missing, f"{where} lacks {missing}: {value}"
        for key, inner in schema.get("properties", {}).items():
            if key in value:
                self.judge(value[key], inner, f"{where}.{key}")
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for key in value.keys() - schema.get("properties", {}).keys():
                self.judge(value[key], extra, f"{where}.{key}")

    def check(self, method, target, status, body, fields):
        """An answer to a call that the document knows has to be one that it describes."""
        operation = self.find(method, target)
        if operation is None:
            return
        self.seen.add((method, operation.path, status))
        responses = operation.item["responses"]
        if str(status) not in responses:
            # What any call may be answered with.
            assert status in (400, 401, 403, 404, 413, 503), f"{operation.name} gave {status}: {body!r}"
            self.judge(body, {"$ref": "#/components/schemas/Error"}, operation.name)
            return
        response = self.deref(responses[str(status)])
        for name in response.get("headers", {}):
            known = [f for f in fields if f.lower() == name.lower()]
            assert known or name == "X-Elio-Report", f"{operation.name} has no {name}"
        content = response.get("content", {})
        schema = content.get("application/json", {}).get("schema")
        kind = next((v for k, v in fields.items() if k.lower() == "content-type"), "").split(";")[0]
        if schema is not None and (kind == "application/json" or kind not in content):
            self.judge(body, schema, operation.name)
