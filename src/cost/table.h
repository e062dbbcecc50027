// SPDX-License-Identifier: Apache-2.0
// table: how long an instruction takes. Measured ones are known by what they must have in common to take the same time (op, attributes,
// types, threads: ir::kernel_key); the others are estimated by a roofline: the longer of their products at the machine's peak and their
// bytes at its bandwidth.
#pragma once
#include <cstdint>
#include <map>
#include <string>

namespace ringmaster::cost {

struct Work {
  std::string key;
  int64_t flops = 0;    // in matrix products
  bool narrow = false;  // of 16-bit operands
  int64_t bytes = 0;    // read and written
};

// What estimates are made of; the defaults are two cores with AVX512-BF16. FLOP/s, bytes/s.
struct Rates {
  double gemm_f32 = 230e9, gemm_16 = 460e9;
  double bytes = 45e9;
};

class Table {
 public:
  void set(const std::string& key, double seconds) { measured_[key] = seconds; }
  double seconds(const Work& work) const;  // of one run

 private:
  double estimate(const Work& work) const;

  Rates rates_;
  std::map<std::string, double> measured_;
};

}  // namespace ringmaster::cost
