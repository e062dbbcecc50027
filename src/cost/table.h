// SPDX-License-Identifier: Apache-2.0
// table: how long an instruction takes. Measured ones are known by what they must have in common to take the same time (op, attributes,
// types: ir::kernel_key; a table is of one number of threads). One of other shapes is taken to be as fast, for its products or its
// bytes, as its op was where it was measured. Else a roofline: the longer of the products at a machine's peak and the bytes at its
// bandwidth.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace ringmaster::cost {

struct Work {
  std::string key;      // begins with the op's name
  int64_t flops = 0;    // in matrix products
  bool narrow = false;  // of bf16
  int64_t bytes = 0;    // read and written
};

// What estimates are made of; the defaults are two cores with AVX512-BF16. FLOP/s, bytes/s.
struct Rates {
  double gemm_f32 = 230e9, gemm_16 = 460e9;
  double bytes = 45e9;
};

class Table {
 public:
  void set(const Work& work, double seconds);  // of one run
  void merge(const Table& newer);
  double seconds(const Work& work) const;  // of one run
  // Whether it was measured, or its op in shapes that are not far smaller.
  bool has(const Work& work) const;
  size_t size() const { return measured_.size(); }

  // A line each; from_text gives an empty table where the text is not one of to_text, whole.
  std::string to_text() const;
  static Table from_text(std::string_view text);

 private:
  struct Measured {
    Work work;
    double seconds = 0;
  };
  struct Sum {
    double flops = 0, bytes = 0, seconds = 0;
    int64_t most_flops = 0, most_bytes = 0;
  };
  const Sum* like(const Work& work) const;  // what tells of it; null: nothing
  void sum_up();
  double estimate(const Work& work) const;

  Rates rates_;
  std::map<std::string, Measured> measured_;  // by key
  std::map<std::string, Sum> of_op_;          // all that was measured of an op and a width of its products
};

}  // namespace ringmaster::cost
