# SPDX-License-Identifier: MIT
"""Results as Markdown. A ratio is taken within each round; shown are median and (lowest-highest)."""

import statistics


def spread(values, form="{:.2f}"):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{form.format(middle)} ({form.format(low)}-{form.format(high)})"


def ratio(row, value, a="node", b="nginx"):
    pairs = [(value(x), value(y)) for x, y in zip(row[a], row[b])]
    if any(y == 0 for _, y in pairs):
        return "-"
    return spread([x / y for x, y in pairs])


def both(row, value, form="{:,.0f}", names=("node", "nginx")):
    return " / ".join(form.format(statistics.median(map(value, row[name]))) for name in names)


def table(head, lines):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for line in lines:
        yield "| " + " | ".join(line) + " |"
    yield ""


def rate(r):
    return r["requests"] / r["seconds"]


def gigabytes_per_second(r):
    return r["bytes"] / r["seconds"] / 1e9


def cpu_us_per_request(r):
    return r["server_cpu"] / r["requests"] * 1e6


def cpu_per_gigabyte(r):
    return r["server_cpu"] / r["bytes"] * 1e9


def own_cpu_per_gigabyte(r):
    return r["cpu_seconds"] / r["bytes"] * 1e9


def seconds(r):
    return r["seconds"]


def latency(percentile):
    return lambda r: r["latency_us"][percentile]


def first_byte_ms(r):
    return r["first_byte_us"]["p50"] / 1e3


def small(rows):
    yield "### Warm, small objects: node / nginx"
    yield ""
    head = ["", "requests/s", "ratio", "p50 us", "p99 us", "p99 ratio", "CPU us/request", "ratio"]
    lines = []
    for (mode, case), row in rows.items():
        lines.append([f"{case}, {mode}", both(row, rate), ratio(row, rate),
                      both(row, latency("p50")), both(row, latency("p99")),
                      ratio(row, latency("p99")), both(row, cpu_us_per_request, "{:.1f}"),
                      ratio(row, cpu_us_per_request)])
    yield from table(head, lines)


def authorised(rows):
    yield "### Warm, 1 KiB, 64 connections: what it costs to know who may read"
    yield ""
    head = ["", "requests/s", "ratio to public", "p50 us", "p99 us", "p50 added, us", "CPU us/request",
            "asked the origin, of 100"]
    for mode, row in rows.items():
        yield from table([f"{head[0]}{mode}", *head[1:]], [authorised_line(row, name) for name in row])


def authorised_line(row, name):
    added = [x["latency_us"]["p50"] - y["latency_us"]["p50"] for x, y in zip(row[name], row["public"])]
    asked = [100 * r["asked"] / r["requests"] for r in row[name]]
    return [name, both(row, rate, names=(name,)), ratio(row, rate, name, "public"),
            both(row, latency("p50"), names=(name,)), both(row, latency("p99"), names=(name,)),
            spread(added, "{:.0f}"), both(row, cpu_us_per_request, "{:.1f}", (name,)),
            f"{statistics.median(asked):.1f}"]


def large(rows):
    yield "### Warm, large objects: node / nginx"
    yield ""
    head = ["", "GB/s", "ratio", "CPU s/GB", "ratio"]
    lines = []
    for (mode, case), row in rows.items():
        lines.append([f"{case}, {mode}", both(row, gigabytes_per_second, "{:.2f}"),
                      ratio(row, gigabytes_per_second), both(row, cpu_per_gigabyte, "{:.3f}"),
                      ratio(row, cpu_per_gigabyte)])
    yield from table(head, lines)


def origin_name(rate_limit):
    return "unshaped origin" if rate_limit is None else f"origin at {rate_limit // 1_000_000} MB/s"


def cold(rows):
    yield "### Cold, 1 GiB, one client: direct / node / nginx"
    yield ""
    names = ("direct", "node", "nginx")
    head = ["", "seconds", "node : direct", "nginx : direct", "node : nginx",
            "CPU s/GB, node / nginx"]
    lines = [[origin_name(limit), both(row, seconds, "{:.2f}", names),
              ratio(row, seconds, "node", "direct"), ratio(row, seconds, "nginx", "direct"),
              ratio(row, seconds), both(row, cpu_per_gigabyte, "{:.2f}")] for limit, row in rows.items()]
    yield from table(head, lines)


def first_byte(rows):
    yield "### First byte on a miss, median in ms: direct / node / nginx"
    yield ""
    head = ["", "ms", "node - direct", "nginx - direct"]
    lines = []
    for kind, row in rows.items():
        later = [spread([first_byte_ms(x) - first_byte_ms(y)
                         for x, y in zip(row[name], row["direct"])])
                 for name in ("node", "nginx")]
        lines.append([{"4k": "4 KiB", "32m": "32 MiB"}[kind],
                      both(row, first_byte_ms, "{:.2f}", ("direct", "node", "nginx")), *later])
    yield from table(head, lines)


def collapse(rows):
    yield "### Cold, 1 GiB, 16 clients at once: node / nginx"
    yield ""
    head = ["", "seconds", "ratio", "median first byte, ms", "origin sent, times the object",
            "CPU s/GB delivered"]
    lines = [[origin_name(limit), both(row, seconds, "{:.2f}"), ratio(row, seconds),
              both(row, first_byte_ms, "{:.1f}"), both(row, lambda r: r["origin_ratio"], "{:.2f}"),
              both(row, cpu_per_gigabyte, "{:.2f}")] for limit, row in rows.items()]
    yield from table(head, lines)


def tier(hashes, rows):
    yield "### SSD tier: node / fio"
    yield ""
    names = ("node", "fio")
    head = ["", "fio: jobs x depth", "GB/s", "ratio", "node : SHA-256 on one core", "CPU s/GB", "RSS max, MiB"]
    lines = []
    for (case, io), row in rows.items():
        compared = {"node": row["node"], "hash": hashes}
        lines.append([f"{case.name}, {io}", f"{case.streams} x {case.depth}",
                      both(row, gigabytes_per_second, "{:.2f}", names),
                      ratio(row, gigabytes_per_second, "node", "fio"),
                      ratio(compared, gigabytes_per_second, "node", "hash"),
                      both(row, own_cpu_per_gigabyte, "{:.2f}", names),
                      both(row, lambda r: r["rss_max"] / (1 << 20), names=names)])
    yield from table(head, lines)
    yield f"SHA-256 alone, one core, blocks of 1 MiB: {spread(list(map(gigabytes_per_second, hashes)))} GB/s."
    yield ""


def reader_cpu_per_gigabyte(r):
    return r["reader_cpu"] / r["bytes"] * 1e9


def senders_cpu_per_gigabyte(r):
    return r["senders_cpu"] / r["bytes"] * 1e9


def links(hashes, rows, receives):
    yield "### Links: one node reads from five / iperf3 -P 5"
    yield ""
    names = ("links", "iperf3")
    head = ["", "GB/s", "ratio", "reader, CPU s/GB", "senders, CPU s/GB"]
    lines = [[way, both(row, gigabytes_per_second, "{:.2f}", names),
              ratio(row, gigabytes_per_second, *names),
              both(row, reader_cpu_per_gigabyte, "{:.2f}", names),
              both(row, senders_cpu_per_gigabyte, "{:.2f}", names)] for way, row in rows.items()]
    yield from table(head, lines)
    alone = spread(list(map(own_cpu_per_gigabyte, hashes)))
    yield f"SHA-256 alone, blocks of 1 MiB: {alone} CPU s/GB."
    yield ""
    yield "### Receiving from five sockets with nothing around it: CPU s/GB"
    yield ""
    ways = dict.fromkeys(way for way, _ in receives)
    yield from table(["", "bytes alone", "hashed"],
                     [[way, *(spread([own_cpu_per_gigabyte(r) for r in receives[way, hashed]])
                              for hashed in (False, True))] for way in ways])


def all_cpu_per_gigabyte(r):
    return (r["reader_cpu"] + r["senders_cpu"]) / r["bytes"] * 1e9


def warm(rows):
    yield "### One node reads 1 GiB that five have in memory / iperf3 -P 5"
    yield ""
    names = ("nodes", "iperf3")
    head = ["links", "GB/s", "ratio", "reader, CPU s/GB", "the five, CPU s/GB", "together", "first byte, ms", "from peers",
            "origin sent"]
    lines = [[way, both(row, gigabytes_per_second, "{:.2f}", names), ratio(row, gigabytes_per_second, *names),
              both(row, reader_cpu_per_gigabyte, "{:.2f}", names), both(row, senders_cpu_per_gigabyte, "{:.2f}", names),
              both(row, all_cpu_per_gigabyte, "{:.2f}", names), spread(list(map(first_byte_ms, row["nodes"])), "{:.0f}"),
              both(row, lambda r: r["peers_gave"] / r["bytes"], "{:.2f}x", ("nodes",)),
              both(row, lambda r: r["egress"], "{:.2f}x", ("nodes",))] for way, row in rows.items()]
    yield from table(head, lines)
    yield f"GB/s of each round: {'; '.join(way + ' ' + ', '.join(f'{gigabytes_per_second(r):.2f}' for r in row['nodes']) for way, row in rows.items())}."
    yield ""


def control(rows, bigger):
    ours, theirs = rows["eliocp"], rows["redis-server"]
    pair = ("eliocp", "redis-server")

    def of(what, value, form="{:,.0f}"):
        row = {name: rows[name][what] for name in pair}
        return [both(row, value, form, pair), ratio(row, value, *pair)]

    yield "## The control plane, beside redis-server"
    yield ""
    yield from table(["100 nodes of 32,000 chunks, each on three", "eliocp / redis-server", "ratio"], [
        ["beats and questions for 8 chunks, half and half, 16 connections: requests/s", *of("mix", rate)],
        ["beat, p99 ms", *of("mix", lambda r: r["classes"]["0"]["p99_us"] / 1e3, "{:.2f}")],
        ["question for 8 chunks, p99 ms", *of("mix", lambda r: r["classes"]["1"]["p99_us"] / 1e3, "{:.2f}")],
        ["question for 1,000 chunks, p50 ms", *of("thousand", lambda r: r["classes"]["0"]["p50_us"] / 1e3, "{:.2f}")],
        ["question for 1,000 chunks, p99 ms", *of("thousand", lambda r: r["classes"]["0"]["p99_us"] / 1e3, "{:.2f}")],
        ["resident memory, MiB", f"{ours['rss'] / 1048576:.0f} / {theirs['rss'] / 1048576:.0f}", f"{ours['rss'] / theirs['rss']:.2f}"],
        ["empty, MiB", f"{ours['idle'] / 1048576:.0f} / {theirs['idle'] / 1048576:.0f}", f"{ours['idle'] / theirs['idle']:.2f}"],
        ["start, empty, ms", f"{ours['start_s'] * 1e3:.0f} / {theirs['start_s'] * 1e3:.0f}", "-"],
        ["restart with all of it, s", f"{ours['restart_s']:.2f} / -", "-"],
        ["its store, MiB", f"{ours['store'] / 1048576:.0f} / -", "-"],
    ])
    for b in bigger:
        yield (f"{b['nodes']:,} nodes of 32,000 chunks: {b['rss'] / 1048576:.0f} MiB resident, restart in {b['restart_s']:.1f} s "
               f"({b['rss_after'] / 1048576:.0f} MiB then), the store {b['store'] / 1048576:.0f} MiB.")
        yield ""


def fleet(r):
    kinds = {"register": "registrations", "full_report": "full reports", "beat": "beats", "delta": "reports of changes",
             "locate": "questions for 8 chunks"}
    rss = [kb / 1024 for kb in r["rss_kb"]]
    yield f"## {r['nodes']:,} nodes on one control plane, for {r['seconds']:,} s"
    yield ""
    yield from table(["", "answered", "not answered", "refused", "p50 ms", "p99 ms", "longest ms"], [
        [text, f"{k['answered']:,}", f"{k['unanswered']:,}", f"{k['refused']:,}", f"{k['p50_ms']:.2f}", f"{k['p99_ms']:.2f}", f"{k['max_ms']:.0f}"]
        for text, k in ((text, r["kinds"][kind]) for kind, text in kinds.items())])
    yield (f"Resident memory, MiB: {r['idle'] / 1048576:.1f} before, after each minute {', '.join(f'{m:.1f}' for m in rss)}. "
           f"Processor: {r['cpu_s']:.1f} s, {100 * r['cpu_s'] / r['seconds']:.1f} % of one. Connections made again: {r['reconnects']:,}. "
           f"The store: {r['store'] / 1048576:.1f} MiB.")
    yield ""


def failover(r):
    yield "## Two control planes on one Redis, and one of them killed"
    yield ""
    yield (f"{len(r['times'])} times; from the kill to a beat of the node that the other has heard: median {r['median'] * 1e3:.0f} ms, "
           f"longest {r['longest'] * 1e3:.0f} ms. The node beats every 500 ms.")
    yield ""
