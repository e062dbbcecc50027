// SPDX-License-Identifier: Apache-2.0
// arena: the one allocation of a rank, in huge pages where the system grants them. Everything that programs store lies in it at offsets fixed by the plan. It is painted
// with a pseudo-random pattern before step 1; the highest line that no longer shows the paint is the measured peak.
#pragma once
#include <cstddef>
#include <cstdint>

namespace ringmaster::exec {

class Arena {
 public:
  // Throws Error (memory) if the machine does not grant it.
  explicit Arena(int64_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

  void paint();                   // every page is touched here, so that no step faults
  int64_t touched_bytes() const;  // end of the highest 64-byte line that differs from the paint

 private:
  std::byte *memory_ = nullptr, *data_ = nullptr;  // what is mapped, and the arena in it
  int64_t mapped_ = 0, bytes_ = 0;
};

}  // namespace ringmaster::exec
