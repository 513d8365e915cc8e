#!/bin/sh
# SPDX-License-Identifier: MIT
# test_install.sh BUILD CC...: install BUILD into a temporary folder; there compile the examples through pkg-config
# against the shared and the static libraries, run them with the installed prior, and let the installed command restore
# a picture without being told where its prior is.
set -eu
build=$1
shift
[ "${PJD_SANITIZED:-0}" = 0 ] || { echo "skipped: a sanitizer build is not installed"; exit 77; }

# Not below the build folder: the installed command must not find the build tree's prior by going up.
dir=$(mktemp -d "${TMPDIR:-/tmp}/projdiff-install.XXXXXX")
trap 'rm -rf "$dir"' EXIT
fail() { echo "install: $*" >&2; exit 1; }

meson install -C "$build" --no-rebuild --quiet --destdir "$dir/dest" >"$dir/log" 2>&1 || { cat "$dir/log"; fail "meson install failed"; }
command=$(find "$dir/dest" -type f -path '*/bin/projdiff')
[ -x "$command" ] || fail "no command was installed"
prefix=${command%/bin/projdiff}
pc=$(dirname "$(find "$dir/dest" -name projdiff.pc)")
libdir=$(dirname "$pc")
# The folder stands for the prefix that was configured.
sed -i "s|^prefix=.*|prefix=$prefix|" "$pc"/*.pc
export PKG_CONFIG_PATH="$pc"
unset PROJDIFF_MODELS

version=$(sed -n "s/^ *version: '\([0-9.]*\)',.*/\1/p" "$PJD_SOURCE_ROOT/meson.build" | head -n 1)
[ "$(pkg-config --modversion projdiff)" = "$version" ] || fail "projdiff.pc: expected version $version"
[ "$(pkg-config --modversion projdiff-io)" = "$version" ] || fail "projdiff-io.pc: expected version $version"
models=$(pkg-config --variable=modelsdir projdiff)
[ -f "$models/photo/config.json" ] || fail "no prior in the modelsdir of projdiff.pc, \"$models\""

# An embedder of the solver alone links no picture library.
case $(pkg-config --static --libs projdiff) in
*vips*) fail "projdiff.pc asks for libvips" ;;
esac

export LD_LIBRARY_PATH="$libdir"
picture=$PJD_SOURCE_ROOT/tests/lib/small.ppm
for example in restore own_operator own_prior; do
    "$@" "$PJD_SOURCE_ROOT/examples/$example.c" -o "$dir/$example" -Wall -Wextra -Werror \
        $(pkg-config --cflags --libs projdiff-io projdiff) -lm || fail "$example does not compile through pkg-config"
done
"$dir/restore" "$models/photo" "$picture" "$dir/shared.png" || fail "the installed example does not run"
"$dir/own_operator" "$models/photo" "$picture" "$dir/blurred.png" "$dir/restored.png" || fail "own_operator does not run"
"$dir/own_prior" "$picture" "$dir/holes.png" "$dir/filled.png" || fail "own_prior does not run"

# The static libraries: a folder without the shared ones, so that the linker has no choice.
mkdir "$dir/static"
cp "$libdir"/*.a "$dir/static"
"$@" "$PJD_SOURCE_ROOT/examples/restore.c" -o "$dir/restore-static" -L"$dir/static" \
    $(pkg-config --static --cflags --libs projdiff-io projdiff | sed "s|-L$libdir||g") ||
    fail "the example does not link statically"
(
    unset LD_LIBRARY_PATH
    "$dir/restore-static" "$models/photo" "$picture" "$dir/static.png"
) || fail "the statically linked example does not run"
cmp "$dir/shared.png" "$dir/static.png" || fail "shared and static libraries give different pictures"

# The command.
cd "$dir"
"$command" --version | grep -q "$version" || fail "projdiff --version does not say $version"
"$command" restore superres:factor=2 -i "$picture" -o found.png -q || fail "the installed command did not find its prior"
[ -s found.png ] || fail "the installed command wrote nothing"
rm -r "$models"
rc=0
"$command" restore superres:factor=2 -i "$picture" -o lost.png -q 2>err || rc=$?
[ "$rc" != 0 ] && [ ! -e lost.png ] && [ -s err ] || fail "the installed command found a prior elsewhere"
