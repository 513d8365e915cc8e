#!/bin/sh
# SPDX-License-Identifier: MIT
# run_example.sh NAME PROGRAM PICTURE FOLDER: run an example of the build tree with the shipped prior and look at what
# it wrote and how it refuses.
set -eu
name=$1 program=$2 picture=$3
out=$(mktemp -d "$4/example.XXXXXX")
trap 'rm -rf "$out"' EXIT
model=$PJD_SOURCE_ROOT/models/photo

fail() { echo "$name: $*" >&2; exit 1; }

case $name in
restore)
    "$program" "$model" "$picture" "$out/large.png"
    ;;
own_operator)
    "$program" "$model" "$picture" "$out/blurred.png" "$out/large.png" >"$out/log"
    cat "$out/log"
    # the adjoint is exact to rounding, and the restored picture is nearer to the clean one than the blurred
    awk '/^adjoint/ { a = $4 <= 1e-5 } /^blurred/ { b = $5 - $2 >= 1 } END { exit !(a && b) }' "$out/log" ||
        fail "expected an exact adjoint and a gain of 1 dB"
    ;;
own_prior)
    "$program" "$picture" "$out/holes.png" "$out/large.png" >"$out/log"
    cat "$out/log"
    # Sparse blocks know more of a picture than that it is smooth.
    awk '/^filled/ { ok = $8 - $3 >= 0.5 } END { exit !ok }' "$out/log" || fail "expected a gain of 0.5 dB"
    ;;
esac
[ -s "$out/large.png" ] || fail "wrote nothing"

rc=0
"$program" >/dev/null 2>&1 || rc=$?
[ "$rc" = 2 ] || fail "exit $rc without arguments, 2 expected"
rc=0
set -- "$out/nowhere" "$picture" "$out/a.png" "$out/b.png"
[ "$name" != own_prior ] || set -- "$out/nowhere" "$out/a.png" "$out/b.png"
"$program" "$@" >/dev/null 2>"$out/err" || rc=$?
[ "$rc" != 0 ] && [ "$(wc -l <"$out/err")" = 1 ] || fail "expected one line of error text for a file that is not there"
