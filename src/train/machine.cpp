// SPDX-License-Identifier: Apache-2.0
#include "train/machine.h"

#include "core/error.h"
#include "core/isa.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <vector>

namespace ringmaster::train {
namespace {

// The number behind "Key:" in a file of /proc that is written in KiB, in bytes; 0 if it is not there.
int64_t proc_kib(const char* path, const std::string& key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key + ":")) return std::strtoll(line.c_str() + key.size() + 1, nullptr, 10) * 1024;
  }
  return 0;
}

std::optional<int64_t> number_in(const std::string& path) {
  std::ifstream in(path);
  int64_t value = 0;
  if (in >> value && value >= 0) return value;
  return std::nullopt;  // absent, or "max"
}

// The least limit from a control group up to the root of its hierarchy.
int64_t group_limit(const std::string& mount, std::string group, const char* file) {
  constexpr int64_t unlimited = int64_t{1} << 60;  // v1 says "no limit" by a number near 2^63
  int64_t least = 0;
  for (;;) {
    const auto limit = number_in(mount + group + "/" + file);
    if (limit && *limit < unlimited && (least == 0 || *limit < least)) least = *limit;
    if (group.empty()) return least;
    group.erase(group.rfind('/'));
  }
}

int64_t cgroup_limit() {
  std::ifstream in("/proc/self/cgroup");
  int64_t least = 0;
  for (std::string line; std::getline(in, line);) {  // hierarchy:controllers:path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string group = line.substr(second + 1);
    if (group == "/" || !group.starts_with('/')) group.clear();
    int64_t limit = 0;
    if (controllers == ",,") limit = group_limit("/sys/fs/cgroup", group, "memory.max");
    if (controllers.find(",memory,") != std::string::npos) {
      limit = group_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
    }
    if (limit > 0 && (least == 0 || limit < least)) least = limit;
  }
  return least;
}

}  // namespace

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t begin = line.find_first_not_of(" \t", line.find(':') + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::string isa() { return std::string(name(usable_isa())); }

std::string host_name() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return host.data();
}

int allowed_cores() {
  for (size_t cores = 1024; cores <= (size_t{1} << 20); cores *= 2) {  // the kernel refuses a mask that is too small
    const size_t bytes = CPU_ALLOC_SIZE(cores);
    std::vector<std::byte> mask(bytes);
    auto* set = reinterpret_cast<cpu_set_t*>(mask.data());
    if (::sched_getaffinity(0, bytes, set) == 0) return std::max(1, CPU_COUNT_S(bytes, set));
  }
  return 1;
}

int threads_per_rank(int64_t configured, int node_ranks) {
  return configured > 0 ? static_cast<int>(configured) : std::max(1, allowed_cores() / node_ranks);
}

MemoryLimit memory_limit(int node_ranks) {
  MemoryLimit limit;
  const auto take = [&](int64_t bytes, const char* source, bool per_process) {
    const int64_t share = per_process ? bytes : bytes / node_ranks;
    if (bytes > 0 && (limit.bytes == 0 || share < limit.bytes)) limit = {share, source, per_process};
  };
  take(proc_kib("/proc/meminfo", "MemTotal"), "ram", false);
  take(cgroup_limit(), "cgroup", false);
  // Of address space and of writable memory some is taken that never becomes resident, and more will be (stacks, the heap): what
  // is left now is what a process of so many resident bytes needs, within some MiB.
  const auto take_left = [&](auto resource, const char* used) {
    rlimit space{};
    if (::getrlimit(resource, &space) != 0 || space.rlim_cur == RLIM_INFINITY) return;
    const auto limit_bytes = static_cast<int64_t>(std::min<rlim_t>(space.rlim_cur, int64_t{1} << 62));
    const int64_t left = limit_bytes - proc_kib("/proc/self/status", used);
    take(std::max<int64_t>(1, left), "rlimit", true);
  };
  take_left(RLIMIT_AS, "VmSize");
  take_left(RLIMIT_DATA, "VmData");
  return limit;
}

int64_t peak_resident_bytes() { return proc_kib("/proc/self/status", "VmHWM"); }
int64_t peak_resident_bytes(int pid) { return proc_kib(fmt::format("/proc/{}/status", pid).c_str(), "VmHWM"); }
int64_t proportional_resident_bytes() { return proc_kib("/proc/self/smaps_rollup", "Pss"); }

int64_t page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

bool utf8_locale() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string text(value);
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text.find("utf-8") != std::string::npos || text.find("utf8") != std::string::npos;
  }
  return false;
}

}  // namespace ringmaster::train
