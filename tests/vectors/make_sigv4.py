#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
make_sigv4.py > sigv4.h : what botocore (Debian's python3-botocore) signs at a fixed clock.

The oracle is an implementation that is not ours; the requests are our own choice. S3's rules: the
path is signed as it is, and the hash of the body is a field.
"""
import datetime
import sys
from urllib.parse import urlsplit

import botocore
import botocore.auth
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2024, 5, 6, 7, 8, 9)
KEY, SECRET = "AKIDEXAMPLE0000001", "wJalr/XUtnFEMI+K7MDENG/bPxRfiCYEXAMPLE"
TOKEN = "FwoGZXIvYXdzEXAMPLE//token+with/slashes=="
HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
HOST = "examplebucket.s3.eu-west-1.amazonaws.com"
DEFAULT = ("content-type", "content-md5", "host")

# name, method, target, fields, options
HEADER = [
    ("plain", "GET", "/a/b.txt", {}, {}),
    ("root", "GET", "/", {}, {}),
    ("range", "GET", "/a/b.txt", {"Range": "bytes=0-1048575"}, {}),
    ("conditional", "GET", "/a/b.txt", {"If-None-Match": '"9b2cf535f27731c974343645a3985328"'}, {}),
    ("head", "HEAD", "/a/b.txt", {}, {}),
    ("delete", "DELETE", "/a/b.txt", {}, {}),
    ("no normalisation", "GET", "/a//b/./c/../d", {}, {}),
    ("escapes", "GET", "/sp%20ace/%E4%B8%AD%E6%96%87%2B%26%3Dx~_-.bin", {}, {}),
    ("version", "GET", "/k?versionId=3%2FL4kqtJlcpXroDTDmJ", {}, {}),
    ("bare name", "GET", "/?lifecycle", {}, {}),
    ("names that are prefixes", "GET", "/?a=2&a-b=1&a=1&A=3&a.b=0&a1=9", {}, {}),
    ("list", "GET", "/?list-type=2&prefix=a%2Fb%20c&delimiter=%2F&max-keys=2", {}, {}),
    ("response", "GET", "/k?response-content-disposition=attachment%3B%20filename%3D%22x%20y%22", {}, {}),
    ("unsigned payload", "PUT", "/k", {"Content-MD5": "XUFAKrxLKna5cZ2REBfFkg=="}, {"body": b"hello", "streams": True}),
    ("hashed payload", "PUT", "/k", {"Content-Type": "text/plain"}, {"body": b"hello"}),
    ("md5", "PUT", "/k", {"Content-MD5": "XUFAKrxLKna5cZ2REBfFkg=="}, {"body": b"hello"}),
    ("blanks in values", "PUT", "/k", {"x-amz-meta-note": "  a   b \t c  ", "X-Amz-ACL": "private"}, {}),
    ("copy", "PUT", "/k", {"x-amz-copy-source": "/other/k%20ey", "x-amz-metadata-directive": "COPY"}, {}),
    ("session", "GET", "/a/b.txt", {}, {"token": TOKEN}),
    ("region", "GET", "/a/b.txt", {}, {"region": "cn-north-1"}),
    ("port", "GET", "/bucket/k", {}, {"host": "127.0.0.1:9000"}),
]
QUERY = [
    ("plain", "GET", "/a/b.txt", {}, {"expires": 3600}),
    ("a week", "GET", "/a/b.txt", {}, {"expires": 604800}),
    ("put", "PUT", "/a/b.txt", {}, {"expires": 60}),
    ("escapes", "GET", "/sp%20ace/%E4%B8%AD%E6%96%87%2B%26%3Dx~_-.bin", {}, {"expires": 1}),
    ("query", "GET", "/k?versionId=a%2Fb&response-content-type=text%2Fplain", {}, {"expires": 900}),
    ("session", "GET", "/a/b.txt", {}, {"expires": 900, "token": TOKEN}),
    ("signed fields", "PUT", "/k", {"Content-Type": "text/plain", "x-amz-acl": "private"}, {"expires": 900}),
]


class Clock(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return NOW


def c(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'


def names(request, signed):
    return ";".join(n for n in signed.split(";") if n not in DEFAULT and not n.startswith("x-amz-"))


def emit(name, method, target, fields, opt, signed, extra):
    print("    {")
    print(f"        .name = {c(name)},")
    print(f"        .method = {c(method)},")
    print(f"        .target = {c(target)},")
    print(f"        .host = {c(opt.get('host', HOST))},")
    print(f"        .token = {c(opt.get('token', ''))},")
    print(f"        .region = {c(opt.get('region', 'eu-west-1'))},")
    print(f"        .also = {c(signed)},")
    for i, (k, v) in enumerate(fields.items()):
        print(f"        .fields[{i}] = {{ {c(k)}, {c(v)} }},")
    for k, v in extra.items():
        print(f"        .{k} = {v if isinstance(v, int) else c(v)},")
    print("    },")


def make(method, target, fields, opt):
    url = f"https://{opt.get('host', HOST)}{target}"
    return AWSRequest(method, url, headers=dict(fields), data=opt.get("body", b""))


def header(name, method, target, fields, opt):
    request = make(method, target, fields, opt)
    credentials = Credentials(KEY, SECRET, opt.get("token"))
    # What is streamed over https with a Content-MD5 is not hashed beforehand.
    request.context["has_streaming_input"] = opt.get("streams", False)
    S3SigV4Auth(credentials, "s3", opt.get("region", "eu-west-1")).add_auth(request)
    signed = request.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0]
    emit(name, method, target, fields, opt, names(request, signed), {
        "payload": request.headers["X-Amz-Content-SHA256"], "authorization": request.headers["Authorization"]})


def query(name, method, target, fields, opt):
    request = make(method, target, fields, opt)
    credentials = Credentials(KEY, SECRET, opt.get("token"))
    S3SigV4QueryAuth(credentials, "s3", opt.get("region", "eu-west-1"), expires=opt["expires"]).add_auth(request)
    parts = urlsplit(request.url)
    signed = parts.query.split("SignedHeaders=")[1].split("&")[0].replace("%3B", ";")
    also = ";".join(n for n in signed.split(";") if n != "host")
    emit(name, method, target, fields, opt, also, {
        "expires_s": opt["expires"], "signed_target": f"{parts.path}?{parts.query}"})


def table(title, rows, one):
    print(f"static const struct sigv4_vector {title}[] = {{")
    for row in rows:
        one(*row)
    print("};")


def main():
    botocore.auth.datetime.datetime = Clock
    print(f"""/* SPDX-License-Identifier: MIT */
/* Made by make_sigv4.py with botocore {botocore.__version__} at {NOW.isoformat()}Z: not to be edited. */
#pragma once

#include <stdint.h>

/* clang-format off */
#define SIGV4_KEY_ID {c(KEY)}
#define SIGV4_SECRET {c(SECRET)}
#define SIGV4_NOW    {int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp())}

struct sigv4_vector {{
    const char *name, *method, *target, *host, *token, *region, *also;
    struct {{
        const char *name, *value;
    }} fields[4];
    const char *payload, *authorization; /* of a signed header */
    int64_t expires_s;                   /* of a presigned URL */
    const char *signed_target;
}};
""")
    table("sigv4_headers", HEADER, header)
    print()
    table("sigv4_queries", QUERY, query)
    print("/* clang-format on */")


if __name__ == "__main__":
    sys.exit(main())
