# SPDX-License-Identifier: Apache-2.0
# style-finds: every check of tests/style finds the fault that it is there for, planted in a copy of the tree.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r .clang-format src launcher tests docs bench "$work"

# finds CHECK PLACE: the check fails and names the place
finds() {
  local text
  if text=$(python3 "$work/tests/style/check.py" "$1"); then echo "$1 does not see the fault in $2" && exit 1; fi
  [[ $text == *"$2"* ]] || { printf '%s fails without naming %s:\n%s\n' "$1" "$2" "$text" && exit 1; }
}

# plant FILE: a well-formed file with the lines of standard input
plant() { { printf '// SPDX-License-Identifier: Apache-2.0\n// planted: a fault\n' && cat; } >"$work/$1"; }

echo '#include "train/loop.h"' | plant src/core/planted.cpp
finds includes src/core/planted.cpp
echo '#include "core/no_such_file.h"' | plant src/core/planted.cpp
finds includes src/core/planted.cpp
seq 700 | sed 's,^,// ,' | plant src/core/planted.cpp
finds sizes src/core/planted.cpp
echo 'int   planted( ) ;' | plant src/core/planted.cpp
finds format src/core/planted.cpp:3
echo '// TO''DO' | plant src/core/planted.cpp
finds words src/core/planted.cpp:3
for file in planted planted2 planted3; do echo '#include <yaml-cpp/yaml.h>' | plant src/core/$file.cpp; done
finds slow_headers yaml-cpp
echo 'int planted();' >"$work/src/core/planted.cpp"
finds headers src/core/planted.cpp:1
rm "$work"/src/core/planted*

sed -i 's/^ringmaster_folder(ir USES core)/ringmaster_folder(ir USES core config)/' "$work/src/CMakeLists.txt"
finds includes "src/ir may include"
echo 'ringmaster_folder(ghost USES core)' >>"$work/src/CMakeLists.txt"
finds includes "there is no folder src/ghost"
