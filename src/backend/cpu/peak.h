// SPDX-License-Identifier: Apache-2.0
// peak: what this machine reaches, measured. One matrix product alone in each way that may be the fastest, and a stream over memory:
// what instructions and whole steps are held against. Everything here allocates, blocks and opens its own parallel regions.
#pragma once
#include "backend/cpu/dnnl.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace ringmaster::backend {

struct BestOptions {
  double to_beat =
      std::numeric_limits<double>::infinity();  // where the first run takes twice as long, it stays the only one
  std::function<void()> before = {};            // each run, not timed
};
// The shortest of several runs of `body`, seconds: at least two behind one of warm-up, and as many as 50 ms take.
double best_seconds(const std::function<void()>& body, const BestOptions& options = {});

// 64-byte aligned memory of its own, of floats in [-0.5, 0.5) where it is data.
class PeakBuffer {
 public:
  explicit PeakBuffer(int64_t bytes);
  PeakBuffer(int64_t elements, DType dtype);  // f32, bf16 or f16
  char* data() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(char* p) const;
  };
  std::unique_ptr<char[], Free> memory_;
};

// c = a b on operands of its own. spec.bias is left aside: the roofline is of products.
class GemmAlone {
 public:
  GemmAlone(const MatmulSpec& spec, int threads);
  ~GemmAlone();
  // "oneDNN", "oneDNN, packed b" (one primitive for all threads; b packed beforehand as it likes best), "tasks" (our Matmul)
  const std::vector<std::string>& ways() const;
  void run(size_t way);
  struct Best {
    double seconds = 0;
    size_t way = 0;
  };
  Best best();
  std::vector<float> result() const;  // c as the last run left it
  const PeakBuffer& a() const;
  const PeakBuffer& b() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// FLOP/s of the best way on the best of a few large shapes, with that shape; f32 or bf16.
struct GemmPeak {
  double flops_per_second = 0;
  int64_t m = 0, n = 0, k = 0;
  std::string way;
};
GemmPeak gemm_peak(DType dtype, int threads);

// Bytes a second of a[i] = b[i] + s * c[i] over arrays that no cache holds, as STREAM (McCalpin 1995) counts: two reads, one write.
double triad_bytes_per_second(int threads);

}  // namespace ringmaster::backend
