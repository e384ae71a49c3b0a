#!/bin/bash
# SPDX-License-Identifier: MIT
# requirements.sh BUILD_DIR [ROOT] : docs/requirements.md has each id once, in order; every row names the test that proves it, or
# says why it is not here; and all that it names exists: files, tests in them, tests of ctest.
#
#   | A1 | what | `FILE`... | `test_basic.py::NAME`, `discovery/test_members::NAME`, `sim/swarm`, `bench/control.c`, or "not here: WHY" |
set -euo pipefail
build=${1:?build directory}
root=${2:-$(dirname "$0")/../..}
document=$root/docs/requirements.md
[ -e "$document" ] || { echo "$document does not exist" >&2 && exit 1; }

wanted=$(for group in A:28 B:60 C:75 D:77 E:70; do seq -f "${group%:*}%g" "${group#*:}"; done)
ctests=$(find "$build" -name CTestTestfile.cmake -exec sed -n -E 's/.*add_test\(\[=*\[([^]]*)\].*/\1/p' {} +)
[ -n "$ctests" ] || { echo "$build has no tests" >&2 && exit 1; }

bad=0
complain() { # ID WHAT
    echo "$document: $1: $2" >&2
    bad=1
}

has_word() { # FILE NAME
    [ -f "$1" ] && grep -qw -e "$2" "$1"
}

is_test() { # REFERENCE
    local file=${1%%::*} name=${1##*::}
    case $1 in
        test_*.py::*) has_word "$root/tests/e2e/$file" "$name" ;;
        */test_*::*) has_word "$root/tests/unit/$file.c" "$name" ;;
        bench/*) [ -f "$root/$1" ] ;;
        *) grep -qxF -e "$1" <<< "$ctests" ;;
    esac
}

# "file ID NAME" and "test ID NAME" of what stands between backticks; "row ID -" and "proof ID -" of what is wrong in itself.
references() {
    awk -F'|' '
        function names(kind, id, text,    part, n, i) {
            n = split(text, part, "`")
            for (i = 2; i <= n; i += 2)
                print kind, id, part[i]
            return n > 1
        }
        {
            id = $2
            gsub(/ /, "", id)
            if (NF != 6 || $3 ~ /^ *$/)
                print "row", id, "-"
            names("file", id, $4)
            if (!names("test", id, $5) && $5 !~ /^ (not here|untested): ./)
                print "proof", id, "-"
        }'
}

rows=$(grep -E '^\| [A-E][0-9]+ \|' "$document" || true)
got=$(awk '{ print $2 }' <<< "$rows")
if [ "$got" != "$wanted" ]; then
    echo "$document: ids are missing (<), too many (>) or out of order:" >&2
    diff <(echo "$wanted") <(echo "$got") | grep '^[<>]' >&2 || true
    bad=1
fi

declare -A seen
while read -r kind id name; do
    [ -z "${seen[$kind $name]:-}" ] || continue
    case $kind in
        row) complain "$id" "a row has four columns, and says what is asked for" ;;
        proof) complain "$id" "neither a test nor a reason" ;;
        file) # has a slash; what has none is an option, a call or a name
            [[ $name != */* || $name == /* || $name == *' '* ]] || [ -e "$root/$name" ] || complain "$id" "no such file: $name"
            ;;
        test) is_test "$name" || complain "$id" "no such test: $name" ;;
    esac
    [ "$name" = - ] || seen[$kind $name]=1
done < <(references <<< "$rows")
exit $bad
