#!/bin/bash
# SPDX-License-Identifier: MIT
# demo.sh ELIONODE : a node in front of an origin; the same object twice through HTTP_PROXY. The first time the
# origin sends it, the second time nothing. On a terminal the node then stays until Ctrl-C.
set -euo pipefail

elionode=${1:?path of elionode}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
size=$((64 * 1024 * 1024))

cleanup() {
    local pid
    for pid in ${node:-} ${origin:-}; do
        kill "$pid" 2> /dev/null || continue
        wait "$pid" || true
    done
    rm -rf "$dir"
}
trap cleanup EXIT

wait_for() { # FILE PATTERN: prints the first line that matches
    for _ in $(seq 200); do
        grep -s -m 1 -E "$2" "$1" && return
        sleep 0.05
    done
    echo "no '$2' in 10 s:" >&2
    cat "$1" >&2
    exit 1
}

port_of() { # NAME LINE
    sed -E "s/.*$1[=:]\"?([0-9]+).*/\1/" <<< "$2"
}

# With 8080 or 8082 taken, any free port does.
listen() {
    local port=$1
    if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then echo 0; else echo "$port"; fi
}

origin_stats() {
    curl -s --noproxy '*' "http://127.0.0.1:$origin_port/_stats"
}

body_sent() {
    origin_stats | sed -E 's/.*"body_sent": ([0-9]+).*/\1/'
}

# The origin ends when its standard input does, that is with this script.
mkfifo "$dir/hold"
/usr/bin/python3 "$here/origin.py" < "$dir/hold" > "$dir/origin.log" 2>&1 &
origin=$!
exec 9> "$dir/hold"
origin_port=$(wait_for "$dir/origin.log" '^ready' | cut -d' ' -f2)
"$elionode" --proxy.listen_port="$(listen 8080)" --admin.listen_port="$(listen 8082)" \
    --cache.memory_cache_size_mb=512 --cache.disk_cache_size_mb=256 --cache.disk_cache_path="$dir/cache" > "$dir/node.log" 2>&1 9>&- &
node=$!
ready=$(wait_for "$dir/node.log" 'node\.ready')
proxy="http://127.0.0.1:$(port_of proxy_port "$ready")"
url="http://127.0.0.1:$origin_port/bytes/$size/model.bin"

echo "elionode: proxy $proxy, node API http://127.0.0.1:$(port_of admin_port "$ready")"
echo "origin:   $url"
before=0
declare -A sum cache sent
for round in first second; do
    http_proxy=$proxy curl -sS -f --noproxy '' -D "$dir/head" -o "$dir/$round" "$url"
    sum[$round]=$(sha256sum < "$dir/$round" | cut -c1-64)
    cache[$round]=$(tr -d '\r' < "$dir/head" | sed -n 's/^[Xx]-[Cc]ache: //p')
    now=$(body_sent)
    sent[$round]=$((now - before))
    before=$now
    printf '%-6s GET: X-Cache %-4s  sha256 %s  origin sent %d bytes\n' \
        "$round" "${cache[$round]}" "${sum[$round]:0:16}..." "${sent[$round]}"
done

if [ "${cache[first]} ${cache[second]}" != "MISS HIT" ] || [ "${sum[first]}" != "${sum[second]}" ] ||
    [ "${sent[first]}" != "$size" ] || [ "${sent[second]}" != 0 ]; then
    echo "the demo failed; the node said:" >&2
    cat "$dir/node.log" >&2
    exit 1
fi
echo "demo passed: the origin was asked once"

if [ -t 0 ]; then
    echo "The node keeps running; try: http_proxy=$proxy curl -sD- -o /dev/null $url    (Ctrl-C ends it)"
    trap 'exit 0' INT
    wait "$node"
fi
