// SPDX-License-Identifier: Apache-2.0
// permutation: a keyed random permutation of [0, n) in O(1) memory, seekable: the order of samples in an epoch.
// A balanced Feistel network over the next power of four, Philox as its round function, with cycle walking down to n
// (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). No rank enters.
#pragma once
#include <cstdint>

namespace ringmaster::data {

struct PermutationKey {
  uint64_t seed = 0;
  uint64_t epoch = 0;
};

class Permutation {
 public:
  // 1 <= n <= 2^62
  Permutation(uint64_t n, PermutationKey key);

  uint64_t size() const { return n_; }
  uint64_t permute(uint64_t i) const;  // i < n
  uint64_t inverse(uint64_t p) const;  // inverse(permute(i)) == i

 private:
  uint64_t round(uint64_t half, uint32_t number) const;
  uint64_t encrypt(uint64_t x) const;
  uint64_t decrypt(uint64_t x) const;

  uint64_t n_;
  int half_bits_;
  uint64_t half_mask_;
  uint32_t key_[2];
};

}  // namespace ringmaster::data
