# SPDX-License-Identifier: Apache-2.0
# cli: what tests/scripts share. A script counts what is wrong by `fail` and ends with `[ $failures = 0 ]`; $work is gone afterwards.
program=$RINGMASTER_BUILD/bin/ringmaster
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
  printf 'FAILED %s\n' "$1" >&2
  failures=$((failures + 1))
}

# what stands in $work; of folders only the name, as a file that was begun and taken back touches them
standing() { find "$work" -type d -printf '%p\n' -o -printf '%p %s %T@\n' | sort; }

# refused PATTERN ARGUMENT...: exit code 2, the pattern on stderr, nothing on stdout, no file made, changed or deleted
refused() {
  local pattern=$1 before code=0
  shift
  before=$(standing)
  "$program" "$@" >"$work.out" 2>"$work.err" || code=$?
  [ $code = 2 ] || fail "$*: exit code $code, expected 2"
  [ -s "$work.out" ] && fail "$*: stdout is not empty"
  grep -Eq "$pattern" "$work.err" || fail "$*: expected \"$pattern\" in: $(cat "$work.err")"
  [ "$(standing)" = "$before" ] || fail "$*: changed something"
  rm -f "$work.out" "$work.err"
}
