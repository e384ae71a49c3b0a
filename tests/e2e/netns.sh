#!/bin/bash
# SPDX-License-Identifier: MIT
# netns.sh COMMAND... : runs it in a network, mount and process namespace of its own, where loopback also has the
# metadata address, to which the name metadata.test leads, and 192.0.2.7, as if the machine was on a local
# network. Nothing in it can reach another machine, and nothing that it has started outlives it, also when it is
# killed.
set -euo pipefail

if [ "${1:?command}" != --inside ]; then
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(--map-root-user)
    exec unshare "${as_root[@]}" --net --mount --pid --fork --kill-child --mount-proc "$0" --inside "$@"
fi
shift
ip link set lo up
ip address add 169.254.169.254/32 dev lo
ip address add 192.0.2.7/32 dev lo
hosts=$(mktemp)
trap 'rm -f "$hosts"' EXIT
printf '127.0.0.1 localhost\n169.254.169.254 metadata.test\n' > "$hosts"
mount --bind "$hosts" /etc/hosts
"$@"
