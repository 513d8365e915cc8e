#!/bin/sh
# SPDX-License-Identifier: MIT
# run_experiment.sh KIND PROJDIFF FOLDER: an experiment of ./quickstart on 32x32 pixels (its box: all but a border); it must end
# with a score and a sheet. Only compressed sensing must be good at this size.
set -eu
out=$(mktemp -d "$3/experiment.XXXXXX")
trap 'rm -rf "$out"' EXIT
side=32
[ "$1" != box ] || side=40
PJD_SIDE=$side PJD_RESTARTS=1 "$PJD_SOURCE_ROOT/tools/demo_experiment" "$1" "$2" "$out" >"$out/log" 2>&1 || {
    cat "$out/log" >&2
    exit 1
}
cat "$out/log"
[ -s "$out/sheet.png" ] || { echo "$1: no sheet" >&2; exit 1; }
least=1
[ "$1" != cs ] || least=14
awk -v least=$least '/PSNR against/ { ok = $5 >= least } END { exit !ok }' "$out/log" || {
    echo "$1: expected a PSNR of at least $least dB" >&2
    exit 1
}
