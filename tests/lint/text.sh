#!/bin/bash
# SPDX-License-Identifier: MIT
# text.sh [ROOT] : what every file of ours looks like: licence line, no tabs, no trailing blanks, no // comments, no
# path of somebody's machine, nothing left to do.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
root=$PWD

list() {
    if [ -e .git ]; then
        git ls-files -co --exclude-standard
    else
        find . -path ./build -prune -o -type f -printf '%P\n'
    fi
}

bad=0
complain() { # TITLE LINES
    [ -n "$2" ] || return 0
    printf '%s:\n%s\n' "$1" "$2" >&2
    bad=1
}

find_in() { # PATTERN FILE... : no match is no failure, an unreadable file is
    local rc=0
    grep -HnIE -e "$@" || rc=$?
    [ $rc -le 1 ]
}

mapfile -t all < <(list | while read -r f; do [ ! -f "$f" ] || printf '%s\n' "$f"; done)
mapfile -t code < <(printf '%s\n' "${all[@]}" | grep -E '\.([ch]|py|sh)$|^\.ci/')
mapfile -t c < <(printf '%s\n' "${code[@]}" | grep -E '\.[ch]$')
mapfile -t text < <(printf '%s\n' "${all[@]}" |
    grep -E '\.([ch]|py|sh|md|json|yaml|txt|conf|ini)$|^\.ci/|CMakeLists\.txt$|Makefile$')
mapfile -t indented < <(printf '%s\n' "${text[@]}" | grep -vE '(^|/)Makefile$')
[ ${#code[@]} -gt 0 ] || { echo "$root: no source file was found" >&2 && exit 1; }

without_licence() {
    local f
    for f in "${code[@]}"; do
        head -n 2 "$f" | grep -q 'SPDX-License-Identifier: MIT' || echo "$f"
    done
}

without_newline() {
    local f
    for f in "${text[@]}"; do
        [ ! -s "$f" ] || [ -z "$(tail -c 1 "$f")" ] || echo "$f"
    done
}

# Words are split so that this file does not find itself.
complain "no SPDX line at the top" "$(without_licence)"
complain "no newline at the end of the file" "$(without_newline)"
complain "tabs" "$(find_in $'\t' "${indented[@]}")"
complain "blanks at the end of a line" "$(find_in '[[:blank:]]+$' "${text[@]}")"
complain "carriage returns" "$(find_in $'\r' "${text[@]}")"
complain "// comments" "$(find_in '(^|[[:space:]])//' "${c[@]}" /dev/null)"
complain "left to do" "$(find_in '\b(TO''DO|FIX''ME)\b' "${text[@]}")"
complain "a path of one machine" "$(find_in '(^|[^[:alnum:]_.])(/ro''ot|/ho''me|/wo''rk)/' "${text[@]}")"
exit $bad
