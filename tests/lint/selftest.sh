#!/bin/bash
# SPDX-License-Identifier: MIT
# selftest.sh : plants one offence of each kind and expects the lint to find it, and nothing in a clean tree.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

expect() { # pass|fail DESCRIPTION COMMAND...
    local wanted=$1 what=$2 got=pass
    shift 2
    "$@" > "$dir/said" 2>&1 || got=fail
    [ "$got" = "$wanted" ] && return
    echo "$what: expected $wanted, got $got" >&2
    cat "$dir/said" >&2
    exit 1
}

spdx='/* SPDX-License-Identifier: MIT */'
tree() { # FILE LINE... : a tree with one file
    rm -rf "$dir/tree"
    mkdir -p "$dir/tree/$(dirname "$1")"
    local file=$dir/tree/$1
    shift
    printf '%s\n' "$spdx" "$@" > "$file"
}

includes() { # pass|fail FILE INCLUDED
    tree "$2" "#include $3"
    expect "$1" "$2 includes $3" "$here/arrows.sh" "$dir/tree"
}
includes pass cache/x.c '"common/err.h"'
includes pass cache/x.c '"cache/fill.h"'
includes pass storage/x.c '"cache/source.h"'
includes pass proxy/elionode.c '"storage/storage.h"'
includes pass common/http_client.c '<curl/curl.h>'
includes pass cache/l2_index.c '"common/mdb_map.h"'
includes fail common/x.c '"cache/cache.h"'
includes fail cache/x.h '"storage/storage.h"'
includes fail cache/x.c '"proxy/proxy.h"'
includes fail storage/x.c '"proxy/server.h"'
includes fail storage/x.c '"cache/fill.h"'
includes fail discovery/x.c '"p2p/p2p.h"'
includes fail controlplane/x.c '"cache/cache.h"'
includes fail cache/x.c '"fill.h"'
includes fail storage/x.c '<curl/curl.h>'
includes fail cache/l2_index.c '<lmdb.h>'
includes fail common/x.c '"common/mdb_map.h"'
includes fail controlplane/x.c '"common/mdb_map.h"'
expect fail "an empty tree" "$here/arrows.sh" "$(mktemp -d -p "$dir")"

texts() { # pass|fail LINE
    tree common/x.c "$2"
    expect "$1" "text: $2" "$here/text.sh" "$dir/tree"
}
texts pass 'int el_x; /* see http://example.test/ */'
texts fail $'\tint el_x;'
texts fail 'int el_x; '
texts fail 'int el_x; // why'
texts fail '/* TO''DO */'
texts fail '/* /ho''me/somebody/x */'
printf 'int el_x;\n' > "$dir/tree/common/x.c"
expect fail "no licence line" "$here/text.sh" "$dir/tree"

compiled() { # LIBRARY FILE SOURCE : an object and an archive where a build has them
    local objects=$dir/build/$1/CMakeFiles/$1.dir
    rm -rf "$dir/build"
    mkdir -p "$objects"
    printf '%s\n' "$3" | cc -x c -c -o "$objects/$2.c.o" -
    ar rcs "$dir/build/$1/lib$1.a" "$objects/$2.c.o"
}
compiled cache policy 'int cache_policy_x(int t); int cache_policy_x(int t) { return t; }'
expect pass "a pure file" "$here/pure.sh" "$dir/build" cache/policy
expect pass "a prefixed symbol" "$here/symbols.sh" "$dir/build"
expect fail "a missing object" "$here/pure.sh" "$dir/build" cache/nothing
compiled cache policy 'long time(long *); long cache_x(void); long cache_x(void) { return time(0); }'
expect fail "a call of time()" "$here/pure.sh" "$dir/build" cache/policy
compiled cache policy 'int proxy_x; static int hidden; int *cache_y(void); int *cache_y(void) { return &hidden; }'
expect fail "a foreign prefix" "$here/symbols.sh" "$dir/build"
compiled cache policy 'int cache_z;'
ar rcs "$dir/build/cache/libmore.a" "$dir/build/cache/CMakeFiles/cache.dir/policy.c.o"
expect pass "a second library of a folder" "$here/symbols.sh" "$dir/build"
printf 'int proxy_z;\n' | cc -x c -c -o "$dir/more.o" -
ar rcs "$dir/build/cache/libmore.a" "$dir/more.o"
expect fail "a foreign prefix in a second library of a folder" "$here/symbols.sh" "$dir/build"
expect fail "no archive" "$here/symbols.sh" "$dir/nowhere"

printf '#!/bin/sh\nprintf "a\\nb\\n"\n' > "$dir/program"
chmod +x "$dir/program"
printf 'x\na\nb\ny\n' > "$dir/document"
expect pass "a document that holds the tables" "$here/docs.sh" "$dir/program" "$dir/document"
printf 'x\nb\na\ny\n' > "$dir/document"
expect fail "a document that does not" "$here/docs.sh" "$dir/program" "$dir/document"
checklist() { # pass|fail SED... : a document with all ids, changed
    local wanted=$1 group
    shift
    rm -rf "$dir/tree"
    mkdir -p "$dir/tree/docs" "$dir/tree/tests/e2e"
    printf 'def test_that_it_is_so():\n' > "$dir/tree/tests/e2e/test_it.py"
    printf 'add_test([=[sim/it]=] "x")\n' > "$dir/tree/CTestTestfile.cmake"
    for group in A:28 B:60 C:75 D:77 E:70; do
        seq -f "| ${group%:*}%g | what | \`docs/requirements.md\` | \`test_it.py::test_that_it_is_so\` \`sim/it\` |" "${group#*:}"
    done | sed "$@" > "$dir/tree/docs/requirements.md"
    expect "$wanted" "requirements: $*" "$here/requirements.sh" "$dir/tree" "$dir/tree"
}
checklist pass -e ''
checklist pass -e '/^| C8 /s/`test.*/not here: why |/'
checklist fail -e '/^| C8 /d'
checklist fail -e '/^| C8 /p'
checklist fail -e '/^| C8 /s/C8/C80/'
checklist fail -e '/^| C8 /s/`test.*/not here: |/'
checklist fail -e '/^| C8 /s/`test.*/surely |/'
checklist fail -e '/^| C8 /s/that_it_is_so/that_it_is/'
checklist fail -e '/^| C8 /s/test_it.py/test_not.py/'
checklist fail -e '/^| C8 /s|sim/it|sim/not|'
checklist fail -e '/^| C8 /s|docs/req|docs/no|'
checklist fail -e '/^| C8 /s/what//'
echo "every planted offence was found"
