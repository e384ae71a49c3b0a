#!/bin/bash
# SPDX-License-Identifier: MIT
# rgw.sh start DIR HTTP_PORT MON_PORT OSD_PORT_MIN OSD_PORT_MAX | stop DIR | watch DIR PID
#
# The smallest Ceph that speaks S3: one monitor, one OSD that keeps its data in memory and one RADOS
# gateway, all on 127.0.0.1, all state under DIR, no systemd and no cephx. Two users: `owner` and
# `stranger`, who owns nothing. Their keys come from OWNER_KEY, OWNER_SECRET, STRANGER_KEY,
# STRANGER_SECRET; HOSTNAMES are the names below which a Host is BUCKET.NAME. They end with the process
# that said start, if that is killed before it says stop.
set -euo pipefail

daemons=(radosgw ceph-osd ceph-mon) # in the order in which they stop

write_conf() {
    cat > "$dir/ceph.conf" <<CONF
[global]
fsid = $fsid
mon_host = v2:127.0.0.1:$mon_port
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_msgr1 = false
ms_bind_port_min = $osd_min
ms_bind_port_max = $osd_max
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
# The gateway insists on 'secure' by itself, which needs keys that 'none' does not have: it would wait forever.
ms_mon_client_mode = crc
run_dir = $dir
admin_socket =
log_file = $dir/\$name.log
crash_dir = $dir
log_to_syslog = false
mon_cluster_log_file = $dir/cluster.log
debug_none = 0/0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
# Every pool that is made waits for a change of the maps: a second by default.
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
[mon]
mon_data = $dir/mon
mon_data_avail_crit = 1
mon_data_avail_warn = 1
mon_osd_min_in_ratio = 0
[osd]
osd_data = $dir/osd
osd_objectstore = memstore
memstore_device_bytes = 8589934592
osd_max_object_name_len = 2048
osd_max_object_namespace_len = 256
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 2
[client.rgw]
rgw_data = $dir/rgw
rgw_frontends = beast endpoint=127.0.0.1:$http_port tcp_nodelay=1
rgw_thread_pool_size = 64
rgw_run_sync_thread = false
# Sessions: GetSessionToken, and requests with its tokens.
rgw_s3_auth_use_sts = true
rgw_sts_key = sixteenbyteslong
rgw_enable_usage_log = false
rgw_dynamic_resharding = false
# Deleted data leaves memory within seconds, not hours.
rgw_gc_obj_min_wait = 2
rgw_gc_processor_period = 2
rgw_num_control_oids = 1
rgw_gc_max_objs = 1
rgw_lc_max_objs = 1
rgw_objexp_hints_num_shards = 1
rgw_data_log_num_shards = 1
rgw_md_log_max_shards = 1
rgw_override_bucket_index_max_shards = 1
CONF
}

background() { # NAME COMMAND...
    local name=$1
    shift
    caller_lives
    setsid "$@" > "$dir/$name.out" 2>&1 < /dev/null &
    echo $! > "$dir/$name.pid"
}

caller_lives() {
    kill -0 "$PPID" 2> /dev/null && return
    stop
    exit 1
}

admin() {
    radosgw-admin -c "$dir/ceph.conf" -n client.rgw "$@" 2>> "$dir/setup.out"
}

start() {
    mkdir -p "$dir"/{mon,osd,rgw}
    fsid=$(cat /proc/sys/kernel/random/uuid)
    write_conf
    export CEPH_CONF="$dir/ceph.conf" CEPH_ARGS=
    setsid "$0" watch "$dir" "$PPID" > /dev/null 2>&1 < /dev/null &
    local conf=(-c "$dir/ceph.conf") osd_uuid
    osd_uuid=$(cat /proc/sys/kernel/random/uuid)

    monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$mon_port]" "$dir/monmap" >> "$dir/setup.out"
    ceph-mon "${conf[@]}" -i a --mkfs --monmap "$dir/monmap" 2>> "$dir/setup.out"
    background ceph-mon ceph-mon "${conf[@]}" -i a -f --public-addr 127.0.0.1
    timeout 60 ceph "${conf[@]}" --connect-timeout 50 osd new "$osd_uuid" 0 >> "$dir/setup.out" 2>&1
    ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$osd_uuid" >> "$dir/setup.out" 2>&1
    background ceph-osd ceph-osd "${conf[@]}" -i 0 -f

    # Users and host names are there before the gateway looks.
    admin user create --uid=owner --display-name=Owner \
        --access-key="$OWNER_KEY" --secret-key="$OWNER_SECRET" --caps='user-policy=*' > /dev/null
    admin user create --uid=stranger --display-name=Stranger \
        --access-key="$STRANGER_KEY" --secret-key="$STRANGER_SECRET" > /dev/null
    admin zonegroup get --rgw-zonegroup=default |
        /usr/bin/python3 -c 'import json, sys
zone = json.load(sys.stdin)
zone["hostnames"] = sys.argv[1].split()
json.dump(zone, sys.stdout)' "$HOSTNAMES" |
        admin zonegroup set --rgw-zonegroup=default > /dev/null
    background radosgw radosgw "${conf[@]}" -n client.rgw -f
    wait_for_gateway
    caller_lives
}

wait_for_gateway() {
    for _ in $(seq 1200); do
        curl -s -o /dev/null --noproxy '*' "http://127.0.0.1:$http_port/" && return
        kill -0 "$(cat "$dir/radosgw.pid")" 2> /dev/null || break
        sleep 0.05
    done
    echo "the gateway did not start; its words are in $dir" >&2
    stop
    exit 1
}

stop() {
    local name pid
    for name in "${daemons[@]}"; do
        pid=$(cat "$dir/$name.pid" 2> /dev/null) || continue
        rm -f "$dir/$name.pid"
        # The number may have been given to somebody else in the meantime.
        [ "$(cat "/proc/$pid/comm" 2> /dev/null)" = "$name" ] || continue
        # Nothing is worth writing: all of it is in memory, and a polite end takes five seconds.
        kill -9 "$pid"
    done
}

verb=${1:?start or stop}
dir=$(mkdir -p "${2:?directory}" && cd "$2" && pwd)
case $verb in
start)
    http_port=${3:?} mon_port=${4:?} osd_min=${5:?} osd_max=${6:?}
    start
    ;;
stop) stop ;;
watch)
    tail --pid="${3:?}" -f /dev/null
    stop
    ;;
*)
    echo "start, stop or watch, not $verb" >&2
    exit 2
    ;;
esac
