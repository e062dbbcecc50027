// SPDX-License-Identifier: Apache-2.0
// arena: the one allocation of a rank, in huge pages where the system grants them. Everything that programs store lies in it at offsets
// fixed by the plan. It is painted with a pseudo-random pattern before step 1; the highest line that no longer shows the paint is
// the measured peak. Where ranks of a node share memory, [0, shared) is one memory for all of them and [shared, shared + exchange)
// this rank's own that the others read: Fabric::share maps both in the place of what is granted here.
#pragma once
#include <cstddef>
#include <cstdint>

namespace ringmaster::exec {

struct ArenaShares {
  int64_t shared_bytes = 0, exchange_bytes = 0;  // whole pages
};

class Arena {
 public:
  // Throws Error (memory) if the machine does not grant it.
  explicit Arena(int64_t bytes, const ArenaShares& shares = {});
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  int64_t shared_bytes() const { return shares_.shared_bytes; }
  int64_t exchange_bytes() const { return shares_.exchange_bytes; }

  void paint();                   // every page of this rank's own is touched here, so that no step faults
  int64_t touched_bytes() const;  // end of the highest 64-byte line that differs from the paint

 private:
  std::byte *memory_ = nullptr, *data_ = nullptr;  // what is mapped, and the arena in it
  int64_t mapped_ = 0, bytes_ = 0;
  ArenaShares shares_;
};

}  // namespace ringmaster::exec
