# SPDX-License-Identifier: Apache-2.0
# setup: what launcher/quickstart, tests/run and .ci/run share: finding and installing packages, and building. Sourced, from
# the root of the checkout. It needs bash and what a bare Debian has: no git, no python, awk may be mawk.

export PATH  # in an empty environment bash has one of its own, which cmake needs to find its modules
prefix_deps=

# fail TEXT [LINE...]: the error on stderr, each further line indented, exit 2
fail() {
  printf '%s: error: %s\n' "${0##*/}" "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit 2
}

# headline LABEL TEXT: one finished stage
headline() { printf '%-10s %s\n' "$1" "$2"; }

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# logged LABEL LOG COMMAND...: runs the command into the log; a terminal sees the count that ninja prints. A failure shows
# the end of the log and where the rest is.
logged() {
  local label=$1 log=$2
  shift 2
  mkdir -p "$(dirname "$log")"
  if "$@" 2>&1 </dev/null | tee "$log" | progress "$label"; then return; fi
  printf '%s: %s failed; the end of its output:\n\n' "${0##*/}" "$label" >&2
  tail -n 30 "$log" >&2
  printf '\n  all of it: %s\n' "$log" >&2
  return 1
}

progress() {
  local line
  while IFS= read -r line; do
    [ -t 1 ] && [[ $line =~ ^\[([0-9]+/[0-9]+)\] ]] && printf '\r%-10s %s' "$1" "${BASH_REMATCH[1]}"
  done
  [ -t 1 ] && printf '\r\033[K'
  return 0
}

# packages GROUP...: their names in launcher/packages.txt
packages() {
  awk -v groups=" $* " '!/^#/ && NF && index(groups, " " $1 " ") {print $2}' launcher/packages.txt
}

missing_packages() {
  local name
  for name in $(packages "$@"); do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s\n' "$name"
  done
}

# need_packages GROUP...: installs what is missing, or says how. With --prefix-deps nothing is installed: CMake finds out.
need_packages() {
  [ -z "$prefix_deps" ] || return 0
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || fail "this system has no apt, so nothing can be installed" \
    "give a prefix that holds the libraries (a module, Spack, conda): launcher/quickstart --prefix-deps DIR" \
    "what is needed, by its Debian names: $(packages "$@" | tr '\n' ' ')"
  local missing count began=$SECONDS
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  count=$(set -- $missing && echo $#)
  [ "$(id -u)" = 0 ] || fail "$count packages are missing, and only root can install them" \
    "missing:  $missing" \
    "install:  sudo apt-get install -y --no-install-recommends $missing" \
    "or give a prefix that holds them (a module, Spack, conda): launcher/quickstart --prefix-deps DIR"
  logged packages build/logs/packages.log install $missing || exit 1
  headline packages "$count installed ($(clock $((SECONDS - began))))"
}

install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update && apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
}

# use_prefix DIR: --prefix-deps
use_prefix() {
  [ -d "$1" ] || fail "--prefix-deps $1 is not a folder" "give the prefix that holds include/ and lib/ of the libraries"
  prefix_deps=$(cd "$1" && pwd)
  export PATH="$prefix_deps/bin:$PATH"
  export PKG_CONFIG_PATH="$prefix_deps/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
  local tool
  for tool in cmake ninja; do
    command -v "$tool" >/dev/null || fail "$tool is neither in $prefix_deps/bin nor in PATH" "load or install $tool 3.25 or newer"
  done
}

# jobs: as many compilers as cores, but no more than one a 1.5 GiB of free memory
jobs() {
  local by_memory
  by_memory=$(awk '/^MemAvailable/ {print int($2 / 1572864)}' /proc/meminfo)
  [ "$by_memory" -ge 1 ] || by_memory=1
  nproc | awk -v m="$by_memory" '{print $1 < m ? $1 : m}'
}

cached() { sed -n "s/^$1:[A-Z]*=//p" "$2/CMakeCache.txt" 2>/dev/null; }

# build PRESET ON|OFF [TARGET...]: configures and builds build/PRESET, with or without the tests
build() {
  local folder=build/$1 preset=$1 tests=$2 fresh= began=$SECONDS
  shift 2
  # A cache that describes another checkout or other libraries can not be mended, only made anew.
  if [ -f "$folder/CMakeCache.txt" ]; then
    [ "$(cached CMAKE_HOME_DIRECTORY "$folder")" = "$PWD" ] && [ "$(cached CMAKE_PREFIX_PATH "$folder")" = "$prefix_deps" ] || fresh=--fresh
  fi
  logged configure "$folder/configure.log" \
    cmake $fresh --preset "$preset" -DRINGMASTER_TESTS="$tests" -DCMAKE_PREFIX_PATH="$prefix_deps" || return 1
  logged build "$folder/build.log" cmake --build "$folder" -j "$(jobs)" ${1:+--target "$@"} || return 1
  headline build "$folder ($(clock $((SECONDS - began))))"
}
