#!/bin/bash
# SPDX-License-Identifier: MIT
# pure.sh BUILD_DIR [LIBRARY/FILE...] : the objects that decide call nothing that acts: no clock, socket, file,
# thread, randomness or log. What they need of these is handed in as a value.
set -euo pipefail
build=${1:?build directory}
shift
[ $# -gt 0 ] || set -- common/address common/bytes common/chunk_id common/prefix common/trace common/url cache/policy cache/l2_map cache/l2_health cache/l2_record \
    p2p/wire p2p/wire_reader p2p/payload p2p/manifest p2p/proof p2p/vouch_set p2p/regard p2p/company p2p/silence p2p/bandwidth \
    p2p/table p2p/track p2p/tracker p2p/tracker_group p2p/tracker_lease p2p/tracker_doubt p2p/tracker_locate p2p/tracker_name \
    p2p/tracker_pace p2p/tracker_record p2p/tracker_wire \
    p2p/swarm p2p/swarm_peers p2p/swarm_blocks p2p/swarm_ask p2p/swarm_stream p2p/swarm_runs p2p/swarm_locate p2p/swarm_unleased p2p/named p2p/upload \
    discovery/card discovery/cp_api discovery/cp_core discovery/cp_holders discovery/cp_orders discovery/endpoint discovery/report \
    discovery/gossip_wire discovery/hear discovery/members discovery/probe discovery/rendezvous \
    discovery/roster discovery/rumours discovery/suspect discovery/sync \
    cache/l2_region cache/sketch storage/checksum storage/governor proxy/fresh proxy/range proxy/multi proxy/vary proxy/route proxy/guard \
    proxy/changes proxy/http1_parse proxy/credentials proxy/date proxy/directives proxy/headers_out proxy/notice \
    proxy/query proxy/s3 proxy/s3_delete proxy/status \
    proxy/access proxy/warm_list proxy/grant proxy/policies proxy/rules proxy/signature proxy/leaf storage/address storage/oss storage/sign \
    storage/sigv4 proxy/keys proxy/verify controlplane/access controlplane/ask controlplane/timeline \
    controlplane/alerts controlplane/commands controlplane/config controlplane/events controlplane/groups controlplane/history controlplane/holders \
    controlplane/index controlplane/locate controlplane/map controlplane/names controlplane/nodes controlplane/operations \
    controlplane/operations_record controlplane/replay controlplane/prefetch controlplane/reach controlplane/drain controlplane/place controlplane/policies controlplane/record controlplane/redis_reply controlplane/report controlplane/set \
    controlplane/state controlplane/table controlplane/tokens

acts='^(time|clock|clock_.*|gettimeofday|localtime.*|mktime|nanosleep|u?sleep|socket|connect|bind|listen|accept4?'
acts+='|send.*|recv.*|p?read(v|64|v2)?|p?write(v|64|v2)?|open(at|64|dir)?|close|fopen(64)?|fread|fwrite|fclose|f?printf'
acts+='|puts|poll|ppoll|select|epoll_.*|eventfd|pipe2?|fork|exec.*|system|popen|getaddrinfo|gethostby.*|getenv'
acts+='|pthread_.*|rand(om)?(_r)?|getrandom|getentropy|arc4random.*|curl_.*|h2o_.*|SSL_.*'
acts+='|el_log.*|el_metrics.*|el_clock.*|el_rng_seed.*|el_msgq.*)$'

bad=0
for unit; do
    object=$build/${unit%/*}/CMakeFiles/${unit%/*}.dir/${unit#*/}.c.o
    if [ ! -e "$object" ]; then
        echo "$unit: no such object in $build" >&2
        bad=1
        continue
    fi
    while read -r name; do
        echo "$unit.c calls $name: a pure file is given such things by its caller" >&2
        bad=1
    done < <(nm -u "$object" | awk '{ sub(/@.*/, "", $2); print $2 }' | grep -E "$acts" || true)
done
exit $bad
