#!/bin/bash
# SPDX-License-Identifier: MIT
# coverage.sh BUILD : after tests of a build with --coverage: how many lines of each library they have executed.
set -euo pipefail
build=$(realpath "${1:?build directory}")
root=$(cd "$(dirname "$0")/.." && pwd)

of_library() { # NAME: "executed total" of its .c files
    find "$build/$1" -name '*.gcda' -exec gcov -n {} + 2> /dev/null |
        awk -v ours="File '$root/$1/" '
            /^File / { is_ours = index($0, ours) == 1 && /\.c\047$/ }
            /^Lines executed:/ && is_ours {
                split($0, part, /[:% ]+/)
                executed += part[3] * part[5] / 100
                total += part[5]
                is_ours = 0
            }
            END { printf "%.0f %d\n", executed, total }'
}

percent() {
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", 100 * a / b }'
}

all=0
hit=0
for library in cache common controlplane discovery p2p proxy storage; do
    read -r executed total < <(of_library "$library")
    [ "$total" -gt 0 ] || { echo "no test has run code of $library in $build" >&2 && exit 1; }
    printf '%-14s %6d of %6d lines, %5.1f %%\n' "$library" "$executed" "$total" "$(percent "$executed" "$total")"
    all=$((all + total))
    hit=$((hit + executed))
done
printf '%-14s %6d of %6d lines, %5.1f %%\n' all "$hit" "$all" "$(percent "$hit" "$all")"
