# SPDX-License-Identifier: MIT
"""What a warm hit costs by the rule that lets it be served, beside nginx, which asks nobody who he is.

The objects are private because the requests that brought them were signed; the origin, an nginx, gives
them to anybody, and answers conditions with 304.
"""

import datetime
import hashlib
import hmac

import cases
from servers import SIZES, Load

KEY, SECRET = "BENCHKEY000000000001", "benchSecret0000000000000000000000000001"
KIND, CONNECTIONS = "1k", 64
NO_BODY = hashlib.sha256(b"").hexdigest()

# What is measured, and the node's options for it. nginx is the yardstick.
WAYS = {
    "public": [],
    "the same request (rule request)": ["--auth.grant_ttl_s=3600"],
    "a key that the node knows (rule key)": ["--auth.grant_ttl_s=3600"],
    "the origin asked (rule origin)": ["--auth.grant_ttl_s=0"],
}


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(host, path, when):
    """The fields of a GET signed with AWS signature version 4, as S3 has it."""
    date = when.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{date[:8]}/us-east-1/s3/aws4_request"
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = f"GET\n{path}\n\nhost:{host}\nx-amz-content-sha256:{NO_BODY}\nx-amz-date:{date}\n\n{names}\n{NO_BODY}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = ("AWS4" + SECRET).encode()
    for part in scope.split("/"):
        key = mac(key, part)
    signature = mac(key, f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}").hex()
    return (f"X-Amz-Date: {date}\tX-Amz-Content-SHA256: {NO_BODY}\tAuthorization: AWS4-HMAC-SHA256 "
            f"Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}")


def write_fields(bench, cache, when):
    """A file with the fields for each object, signed at that moment."""
    path = cache.directory / f"fields-{when.timestamp()}"
    host = f"127.0.0.1:{cache.origin_port}"
    path.write_text("".join(signed(host, f"/{KIND}/{i}", when) + "\n" for i in range(cases.WARM_OBJECTS)))
    return str(path)


def load_of(fields, **how):
    return Load(f"/{KIND}/{{}}", SIZES[KIND], objects=cases.WARM_OBJECTS, fields=fields, **how)


def warm(bench, cache, fields):
    bench.load(cache, load_of(fields, requests=cases.WARM_OBJECTS))
    if not fields:  # an anonymous look would make the copy public
        cache.check_bytes(f"/{KIND}/0", bench.origin.digests[KIND])


def measure(bench, cache, fields, core):
    before, cpu = bench.origin.requests_and_bytes()[0], cache.cpu_seconds()
    result = bench.load(cache, load_of(fields, connections=CONNECTIONS, seconds=bench.options.seconds), core)
    result["server_cpu"] = cache.cpu_seconds() - cpu
    result["asked"] = bench.origin.requests_and_bytes()[0] - before
    return result


def options_of(bench, way, directory):
    options = list(WAYS[way])
    if "rule key" in way:
        keys = directory / "keys"
        keys.write_text(f"[bench]\naccess_key = {KEY}\nsecret_key = {SECRET}\n")
        keys.chmod(0o600)
        options.append(f"--auth.keys_file={keys}")
    return options


def one(bench, way, threads, server_core, client_core):
    """A fresh server, warmed and measured."""
    now = datetime.datetime.now(datetime.timezone.utc)
    who = "nginx" if way == "nginx" else "node"
    options = [] if who == "nginx" else options_of(bench, way, bench.caches.directory)
    with bench.caches.start(who, threads, server_core, options) as cache:
        fields = "" if way in ("nginx", "public") else write_fields(bench, cache, now)
        warm(bench, cache, fields)
        if "rule key" in way:  # of another second: the node has not seen these requests
            fields = write_fields(bench, cache, now - datetime.timedelta(seconds=1))
        return measure(bench, cache, fields, client_core)


def hits(bench):
    """{mode: {way: [result, ...]}}"""
    rows = {}
    for mode in bench.modes():
        cores = (0, 1) if mode == cases.PINNED else (None, None)
        row = rows.setdefault(mode, {way: [] for way in (*WAYS, "nginx")})
        for _ in range(bench.options.rounds):
            for way, results in row.items():
                results.append(one(bench, way, 1 if mode == cases.PINNED else 2, *cores))
    return rows
