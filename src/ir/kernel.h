// SPDX-License-Identifier: Apache-2.0
// kernel: a prepared computation on raw buffers. Prepared once at plan time, run many times; a run allocates nothing and
// gives the same bits for every thread count.
#pragma once
#include <cstdint>
#include <memory>
#include <utility>

namespace ringmaster::ir {

// The runtime scalars of a program that kernels may depend on; the executor owns it and updates it before each grain.
struct RunContext {
  uint64_t seed = 0;
  int64_t step = 0;  // 0-based index of the update under way
  uint32_t phase = 0;
  uint32_t repeat = 0;
  int64_t grain = 0;  // global index within the step, 0..num_grains-1
  int64_t num_grains = 1;
  int64_t first_sample = 0;  // global index, over the whole run, of the grain's first sample
  bool first_grain = true;   // the first grain that this rank runs in this region: accumulators start here
};

struct KernelArgs {
  const void* const* in;
  void* const* out;
  void* scratch;  // scratch_bytes(), 64-byte aligned, contents undefined
  const RunContext& context;

  template <typename T> const T* input(int i) const { return static_cast<const T*>(in[i]); }
  template <typename T> T* output(int i) const { return static_cast<T*>(out[i]); }
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const KernelArgs& args) = 0;
  virtual int64_t scratch_bytes() const { return 0; }
};

// A kernel from a callable (const KernelArgs&).
template <typename Run> std::unique_ptr<Kernel> make_kernel(Run run, int64_t scratch_bytes = 0) {
  struct Lambda final : Kernel {
    Run body;
    int64_t bytes;
    Lambda(Run b, int64_t n) : body(std::move(b)), bytes(n) {}
    void run(const KernelArgs& args) override { body(args); }
    int64_t scratch_bytes() const override { return bytes; }
  };
  return std::make_unique<Lambda>(std::move(run), scratch_bytes);
}

}  // namespace ringmaster::ir
