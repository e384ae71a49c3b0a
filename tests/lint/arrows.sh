#!/bin/bash
# SPDX-License-Identifier: MIT
# arrows.sh [ROOT] : who may include whom. Each library sees those below it, of them only the public headers, and
# of itself everything; libraries from outside are spoken to in one or two files.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"

declare -A may=(
    [common]="common"
    [cache]="common cache"
    [discovery]="common discovery"
    [storage]="common cache storage"
    [p2p]="common cache discovery p2p"
    [proxy]="common cache discovery storage p2p proxy"
    [controlplane]="common discovery controlplane"
)
# Besides <library>/<library>.h and everything in common/.
interfaces=" cache/source.h discovery/transport.h discovery/member.h discovery/tracker.h discovery/cp_api.h"
# Plain functions that whoever stands above may call.
interfaces+=" storage/sign.h storage/sigv4.h storage/oss.h storage/keys.h storage/signer.h "
declare -A home=(
    [curl/curl.h]='^(common/(http_client|cli)|proxy/cli)\.c$'
    [jansson.h]='^common/json\.[ch]$'
    [ini.h]='^common/conf\.c$'
    [liburing.h]='^common/ring\.c$'
    [lmdb.h]='^common/mdb_map\.[ch]$'
    [sqlite3.h]='^controlplane/store_sqlite\.c$'
    [hiredis/hiredis.h]='^controlplane/redis(_link)?\.[ch]$'
    [openssl/hmac.h]='^common/sha256\.c$'
    [h2o.h]='^(common/http_server\.[ch]|proxy/.*)$'
)

# Headers of common that have a library of their own, and who is linked with it.
declare -A linked=(
    [common/mdb_map.h]='^(common/mdb_map|cache/l2_index|p2p/vouch_store)\.c$'
)

bad=0
complain() {
    echo "$1: $2" >&2
    bad=1
}

check_ours() { # FILE LIBRARY INCLUDED
    local owner=${3%%/*}
    case "$3" in
    */*) ;;
    *) complain "$1" "\"$3\" is not relative to the root" && return ;;
    esac
    [[ " ${may[$2]} " == *" $owner "* ]] || { complain "$1" "$2 must not include $3" && return; }
    [ "$owner" = common ] || [ "$owner" = "$2" ] || [ "$3" = "$owner/$owner.h" ] ||
        [[ $interfaces == *" $3 "* ]] || complain "$1" "$3 is internal to $owner"
    [[ -z ${linked[$3]:-} || $1 =~ ${linked[$3]} ]] || complain "$1" "$3 is for ${linked[$3]}"
}

seen=0
for library in "${!may[@]}"; do
    for file in "$library"/*.[ch]; do
        [ -e "$file" ] || continue
        seen=$((seen + 1))
        while read -r included; do
            check_ours "$file" "$library" "$included"
        done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]+)".*/\1/p' "$file")
        while read -r included; do
            [[ -z ${home[$included]:-} || $file =~ ${home[$included]} ]] ||
                complain "$file" "<$included> is spoken elsewhere: ${home[$included]}"
        done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*<([^>]+)>.*/\1/p' "$file")
    done
done
[ "$seen" -gt 0 ] || complain "$PWD" "no source file was found"
exit $bad
