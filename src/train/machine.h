// SPDX-License-Identifier: Apache-2.0
// machine: what this process can know of where it runs. Everything here is asked of the kernel or the processor each time.
#pragma once
#include <cstdint>
#include <string>

namespace ringmaster::train {

std::string cpu_name();  // "AMD EPYC 9B45", "" if the kernel does not say
std::string isa();       // what kernels may use (core/isa.h): avx2 | avx512 | avx512_bf16 | amx; "" below avx2
std::string host_name();
int allowed_cores();  // of this process's affinity mask
// launch.threads_per_rank, 0 meaning max(1, allowed cores / ranks of the node)
int threads_per_rank(int64_t configured, int node_ranks);

// What a rank holds beside its arena: the program, its libraries, what was compiled, and with other ranks MPI. Measured over all
// configurations: 58 to 66 MiB alone, 70 to 76 with MPI. Pages of data files are not in it: the kernel takes them back where it is short.
constexpr int64_t beside_the_arena(int ranks) { return int64_t{ranks > 1 ? 76 : 64} << 20; }
constexpr int64_t process_bytes(int64_t arena_bytes, int ranks) { return arena_bytes + beside_the_arena(ranks); }

// What the machine grants the whole process of a rank.
struct MemoryLimit {
  int64_t bytes = 0;         // 0: none known
  std::string source;        // ram | cgroup | rlimit
  bool per_process = false;  // rlimit; the others are shared by the ranks of the node
};
MemoryLimit memory_limit(int node_ranks);  // the smallest for one rank when `node_ranks` of them share the node

// Of this process, bytes; 0 if the kernel does not say.
int64_t peak_resident_bytes();          // VmHWM
int64_t peak_resident_bytes(int pid);   // of another process: 0 once it has ended
int64_t proportional_resident_bytes();  // PSS
int64_t page_faults();                  // minor and major so far

bool utf8_locale();  // by LC_ALL, LC_CTYPE, LANG

}  // namespace ringmaster::train
