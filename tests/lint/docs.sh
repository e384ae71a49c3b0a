#!/bin/bash
# SPDX-License-Identifier: MIT
# docs.sh ELIONODE [DOCUMENT] : docs/configuration.md holds the tables that the program prints about itself.
set -euo pipefail
elionode=${1:?path of elionode}
document=${2:-$(dirname "$0")/../../docs/configuration.md}

tables=$("$elionode" --print-config-markdown)
[ -n "$tables" ] || { echo "$elionode prints no tables" >&2 && exit 1; }
[ -e "$document" ] || { echo "$document does not exist" >&2 && exit 1; }
if [[ $(< "$document") != *"$tables"* ]]; then
    echo "$document is not what the program says of itself; these lines of it are missing (or out of order):" >&2
    grep -vxFf "$document" <<< "$tables" >&2 || true
    exit 1
fi
