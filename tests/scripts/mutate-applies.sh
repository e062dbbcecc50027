# SPDX-License-Identifier: Apache-2.0
# mutate-applies: every fault of tests/mutate.d still stands where it says, so that tests/mutate does not rot between its runs.
set -euo pipefail
tests/mutate --list >/dev/null
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r src launcher tests "$work"

# expect TEXT: the copy's list fails and says TEXT
expect() {
  local text
  if text=$("$work/tests/mutate" --list 2>&1 >/dev/null); then echo "a fault that does not apply is not an error" && exit 1; fi
  [[ $text == *"$1"* ]] || { printf 'expected %s in:\n%s\n' "$1" "$text" && exit 1; }
}

mkdir "$work/tests/none" && mv "$work"/tests/mutate.d/*.txt "$work/tests/none"
cat >"$work/tests/mutate.d/one.txt" <<'FAULTS'
one.gone
  the text is not there
  file src/nn/schedule.cpp
  test nn_test Schedule.*
- no such line
+ another

one.twice
  the text stands there more than once
  file src/nn/schedule.cpp
  test nn_test Schedule.*
- step
+ steps
FAULTS
expect "one.gone in tests/mutate.d/one.txt: its old text stands in src/nn/schedule.cpp 0 times"
expect "one.twice"
