#!/bin/bash
# SPDX-License-Identifier: MIT
# demo.sh ELIONODE ELIOCP : a control plane, three nodes that know each other by it, and an origin, on this machine alone. An
# object is read on all three: the origin sends it once. On a terminal all of it then stays until Ctrl-C, with readers that
# give the dashboard something to show; anywhere else it ends, with 0 if it went as it should.
set -euo pipefail

elionode=$(realpath "${1:?path of elionode}")
eliocp=$(realpath "${2:?path of eliocp}")
here=$(cd "$(dirname "$0")" && pwd)
mib=$((1024 * 1024))
size=$((64 * mib))
shards=6
checkpoints=100
# shellcheck disable=SC2086 # names of variables
unset ${!ELIO@} PORT http_proxy HTTP_PROXY no_proxy NO_PROXY all_proxy ALL_PROXY
dir=$(mktemp -d)
declare -a started node_pid proxy admin

cleanup() {
    local pid
    trap '' INT TERM HUP
    for pid in "${started[@]}"; do
        kill "$pid" 2> /dev/null || true
    done
    for pid in "${started[@]}"; do
        wait "$pid" 2> /dev/null || true
    done
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT

fail() {
    echo "the demo failed: $1" >&2
    tail -n 30 "$dir"/*.log >&2
    exit 1
}

until_true() { # WHAT COMMAND...: prints what it printed when it was; what was started last has to live on
    local what=$1
    shift
    for _ in $(seq 300); do
        "$@" && return
        kill -0 "${started[-1]}" 2> /dev/null || fail "no $what: it ended"
        sleep 0.1
    done
    fail "no $what in 30 s"
}

line_of() { # FILE PATTERN
    grep -s -m 1 -E "$2" "$dir/$1.log"
}

port_of() { # NAME LINE
    sed -E "s/.*$1[=:]\"?([0-9]+).*/\1/" <<< "$2"
}

# With the usual port taken, any free one does.
listen() { # ADDRESS PORT
    if (exec 3<> "/dev/tcp/$1/$2") 2> /dev/null; then echo 0; else echo "$2"; fi
}

run() { # NAME COMMAND...
    local name=$1
    shift
    "$@" > "$dir/$name.log" 2>&1 9>&- &
    started+=($!)
}

# ---- what runs ----

start_origin() {
    local ready i objects
    mkfifo "$dir/hold" # it ends when its standard input does, that is with this script
    exec 9<> "$dir/hold"
    objects=(--object "/models/llama-8b.safetensors=$size" --object "/datasets/laion.parquet=$size,$size")
    for i in $(seq $shards); do objects+=(--object "/datasets/imagenet/shard-$i.tar=$((8 * mib))"); done
    for i in $(seq $checkpoints); do objects+=(--object "/checkpoints/step-${i}000.pt=$((32 * mib)),$((16 * mib))"); done
    /usr/bin/python3 "$here/origin.py" "${objects[@]}" < "$dir/hold" > "$dir/origin.log" 2>&1 9>&- &
    started+=($!)
    ready=$(until_true origin line_of origin '^ready')
    origin=http://127.0.0.1:${ready#ready }
}

start_plane() {
    local ready
    run eliocp "$eliocp" --port="$(listen 127.0.0.1 8081)" --cluster-id=demo --data-dir="$dir/plane" \
        --liveness.heartbeat_ms=1000
    ready=$(until_true "control plane" line_of eliocp 'cp\.start')
    plane=http://127.0.0.1:$(port_of port "$ready")
}

start_node() { # N: each at an address of its own, so that all have the usual ports
    local ready at=127.0.0.$1
    run "node-$1" "$elionode" --general.node_id="node-$1" --general.zone="rack-$1" --general.cluster=demo \
        --general.bind_address="$at" --general.state_dir="$dir/state-$1" --control_plane.endpoint="${plane#*//}" \
        --p2p.cluster_secret_file="$dir/secret" --p2p.listen_port="$(listen "$at" 9000)" \
        --proxy.listen_port="$(listen "$at" 8080)" --admin.listen_port="$(listen "$at" 8082)" \
        --cache.memory_cache_size_mb=256 --cache.disk_cache_size_mb=512 --cache.disk_cache_path="$dir/cache-$1"
    ready=$(until_true "node $1" line_of "node-$1" 'node\.ready')
    node_pid[$1]=${started[-1]}
    proxy[$1]=$at:$(port_of proxy_port "$ready")
    admin[$1]=$at:$(port_of admin_port "$ready")
}

all_are_known() {
    local i
    for i in 1 2 3; do
        [ "$(curl -sf "http://${admin[$i]}/api/v1/peers" | grep -o '"state":"active"' | wc -l)" = 3 ] || return
    done
}

# ---- what it shows ----

sent_by_origin() {
    curl -s "$origin/_stats" | sed -E 's/.*"body_sent": ([0-9]+).*/\1/'
}

read_on() { # N URL: what elionode says of it
    "$elionode" get "$2" -o "$dir/node-$1" --proxy="${proxy[$1]}" --admin="${admin[$1]}" 2> "$dir/said-$1" ||
        fail "node $1 did not give $2: $(< "$dir/said-$1")"
    sed "s|^$dir/|    |; s|^  from|            from|" "$dir/said-$1"
}

is_said() { # N X-CACHE
    head -n 1 "$dir/said-$1" | grep -q ", $2\$" || fail "node $1: no $2, but $(< "$dir/said-$1")"
}

are_the_same() {
    [ "$(sha256sum "$dir"/node-[123] | cut -c1-64 | sort -u | wc -l)" = 1 ] || fail "they got different bytes"
}

egress() { # BYTES OF ONE COPY: how many copies the origin has sent since `before`
    awk -v n="$(($(sent_by_origin) - before))" -v size="$1" 'BEGIN { printf "%.2f", n / size }'
}

one_after_the_other() {
    local i url=$origin/models/llama-8b.safetensors
    before=0
    echo "the same object of 64 MiB on one node after the other:"
    for i in 1 2 3; do read_on "$i" "$url"; done
    is_said 1 MISS
    are_the_same
    echo "and again:"
    for i in 1 2 3; do
        read_on "$i" "$url"
        is_said "$i" HIT
    done
    are_the_same
    # On a busy machine a peer may be so slow that a part is read twice.
    [ "$(sent_by_origin)" -lt $((size * 3 / 2)) ] || fail "the origin sent $(sent_by_origin) bytes of $size"
    echo "    the origin sent it $(egress $size) times, for six readers"
}

all_at_once() {
    local i pids=() url=$origin/datasets/laion.parquet
    before=$(sent_by_origin)
    echo "another one, on all three at the same time:"
    for i in 1 2 3; do
        read_on "$i" "$url" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || exit 1; done
    are_the_same
    echo "    the origin sent it $(egress $size) times, for three readers"
}

# As its nodes see it, their last beats included.
plane_knows() {
    [ "$("$eliocp" nodes --server="$plane" --json | grep -o '"total_chunks": *8' | wc -l)" = 3 ]
}

# Whoever watches may well kill a node: that ends nothing.
reader() { # N PATH
    curl -s --proxy "${proxy[$1]}" -o /dev/null "$origin/$2" || true
}

# What is read again and again, and twice a minute something new that everybody wants.
keep_reading() {
    local n=0 i pids
    while :; do
        if [ $((n % 30)) = 0 ]; then
            pids=()
            for i in 1 2 3; do
                reader "$i" "checkpoints/step-$((n / 30 % checkpoints + 1))000.pt" &
                pids+=($!)
            done
            wait "${pids[@]}"
        fi
        reader $((RANDOM % 3 + 1)) "datasets/imagenet/shard-$((RANDOM % shards + 1)).tar"
        n=$((n + 1))
        sleep 1
    done
}

(umask 077 && head -c 32 /dev/urandom | base64 > "$dir/secret")
start_origin
start_plane
for i in 1 2 3; do start_node $i; done
until_true "cluster" all_are_known
echo "origin         $origin"
echo "control plane  $plane"
for i in 1 2 3; do echo "node-$i         proxy http://${proxy[$i]}, node API http://${admin[$i]}"; done
echo
one_after_the_other
all_at_once
echo
until_true "report of all chunks" plane_knows
"$eliocp" nodes --server="$plane" --table
echo
if ! [ -t 0 ] || ! [ -t 1 ]; then
    echo "demo passed: the origin was asked once (on a terminal all of this stays up, with the dashboard at $plane/)"
    exit 0
fi
cat << END
dashboard      $plane/
read something http_proxy=http://${proxy[1]} curl -sD- -o /dev/null $origin/models/llama-8b.safetensors
ask            $eliocp status --server=$plane
watch one die  kill -9 ${node_pid[3]}
to end it      Ctrl-C
END
trap 'exit 0' INT
keep_reading
