#!/bin/bash
# SPDX-License-Identifier: MIT
# symbols.sh BUILD_DIR : each archive exports only names that carry its folder's prefix.
set -euo pipefail
build=${1:?build directory}

declare -A prefix=(
    [common]='el_'
    [cache]='(cache|l2)_'
    [storage]='(store|storage)_'
    [proxy]='proxy_'
    [discovery]='disc_'
    [p2p]='p2p_'
    [controlplane]='cp_'
)

bad=0 seen=0
for library in "${!prefix[@]}"; do
    for archive in "$build/$library"/lib*.a; do
        [ -e "$archive" ] || continue
        seen=$((seen + 1))
        # A leading underscore is the compiler's or a sanitizer's.
        while read -r name; do
            echo "${archive##*/} exports $name: neither static nor ${prefix[$library]}" >&2
            bad=1
        done < <(nm -g --defined-only "$archive" 2> /dev/null | awk 'NF == 3 { print $3 }' | sort -u |
            grep -vE "^(_|${prefix[$library]})" || true)
    done
done
[ "$seen" -gt 0 ] || { echo "$build: no archive was found" >&2 && bad=1; }
exit $bad
