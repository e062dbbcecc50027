# SPDX-License-Identifier: Apache-2.0
# package: what `cmake --install` installs names no path of the tree that it came from, and uninstalling leaves what was there
# before; docs/your-model.md, an outside project against the installed package, works as written.
set -euo pipefail
work=$(mktemp -d)
build=$RINGMASTER_BUILD
finish() {  # what the developer has installed from this build folder stays known to it
  for record in install_manifest.txt install_folders.txt; do
    rm -f "$build/$record"
    [ ! -f "$work/$record" ] || mv "$work/$record" "$build/"
  done
  rm -rf "$work"
}
trap finish EXIT
for record in install_manifest.txt install_folders.txt; do
  [ ! -f "$build/$record" ] || mv "$build/$record" "$work/"
done

fail() { printf '%s\n' "$1" >&2 && exit 1; }
listing() { (cd "$1" && find . | LC_ALL=C sort); }
prefix=$work/prefix

cmake --install "$build" --prefix "$prefix" >"$work/install.log" 2>&1 || fail "$(tail -n 5 "$work/install.log")"
for file in bin/ringmaster include/ringmaster/ringmaster.h lib/cmake/ringmaster/ringmasterConfig.cmake \
  lib/cmake/ringmaster/ringmasterConfigVersion.cmake lib/cmake/ringmaster/ringmasterTargets.cmake \
  share/ringmaster/configs/gpt-quickstart.yaml share/ringmaster/python/make_env; do
  [ -f "$prefix/$file" ] || fail "$file is not installed"
done
mv "$prefix" "$work/moved"  # it is relocatable
for path in "$PWD" "$build" "$prefix"; do
  found=$(grep -rlF -- "$path" "$work/moved" | head -n 3) || true
  [ -z "$found" ] || fail "$path stands in $found"
done
"$work/moved/bin/ringmaster" models | grep -q '^language_model ' || fail "the moved program does not know its models"
mv "$work/moved" "$prefix"
cmake --build "$build" --target uninstall >"$work/uninstall.log" 2>&1 || fail "$(cat "$work/uninstall.log")"
[ ! -e "$prefix" ] || fail "uninstalling left $(listing "$prefix" | head -n 5)"
status=0 && cmake --build "$build" --target uninstall >"$work/uninstall.log" 2>&1 || status=$?
[ "$status" != 0 ] && grep -q 'install first: cmake --install' "$work/uninstall.log" || fail "a second uninstall did not say that nothing is installed"

# folders and files of others, even in folders of ours, are as before
mkdir -p "$prefix/lib/cmake" "$prefix/share/doc" "$prefix/share/ringmaster"
echo mine >"$prefix/share/ringmaster/mine.yaml"
listing "$prefix" >"$work/before"
cmake --install "$build" --prefix "$prefix" >/dev/null
cmake --install "$build" --prefix "$prefix" >/dev/null
cmake --build "$build" --target uninstall >/dev/null
listing "$prefix" | diff "$work/before" - || fail "uninstalling did not leave what was there before"

python3 tests/docs/run_blocks.py docs/your-model.md
