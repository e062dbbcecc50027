// SPDX-License-Identifier: Apache-2.0
// dnnl_primitive: a oneDNN primitive prepared for one thread, and how tasks are dealt to threads. Private to dnnl*.cpp; why one
// thread stands in dnnl.h.
#pragma once
#include "backend/cpu/parallel.h"
#include "core/call_memory.h"
#include "core/dtype.h"
#include "core/error.h"

#include <omp.h>
#include <dnnl.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace ringmaster::backend {

using dnnl::memory;
inline constexpr int64_t alignment = 64;

inline int64_t aligned(int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

const dnnl::engine& cpu();

// oneDNN asks OpenMP for its number of threads, when a primitive is prepared and when it runs.
class OneThread {
 public:
  OneThread() : saved_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(saved_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int saved_;
};

inline memory::data_type data_type(DType dtype) {
  return dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

struct Arg {
  int id;
  memory::desc desc;
};

// A primitive prepared for one thread, with memory objects for each slot (thread) that may run it.
class Prepared {
 public:
  template <typename Pd>
  Prepared(const Pd& pd, const dnnl::primitive& primitive, std::vector<Arg> args, int slots)
      : primitive_(primitive), scratch_bytes_(aligned(static_cast<int64_t>(pd.scratchpad_desc().get_size()))) {
    args.push_back({DNNL_ARG_SCRATCHPAD, pd.scratchpad_desc()});
    for (int slot = 0; slot < slots; ++slot) {
      Slot s{dnnl::stream(cpu()), {}, {}};
      for (const Arg& arg : args) {
        s.memories.emplace_back(arg.desc, cpu(), nullptr);
        s.args.push_back({arg.id, s.memories.back().get()});
      }
      slots_.push_back(std::move(s));
    }
  }

  int64_t scratch_bytes() const { return scratch_bytes_; }

  // data: one pointer an argument. Runs on the calling thread; false if oneDNN refused.
  bool run(int slot, std::span<void* const> data, void* scratch) {
    const Slot& s = slots_[static_cast<size_t>(slot)];
    for (size_t i = 0; i < data.size(); ++i)
      if (dnnl_memory_set_data_handle(s.args[i].memory, data[i]) != dnnl_success) return false;
    if (dnnl_memory_set_data_handle(s.args.back().memory, scratch) != dnnl_success) return false;
    const auto execute = [&] {
      return dnnl_primitive_execute(primitive_.get(), s.stream.get(), static_cast<int>(s.args.size()), s.args.data()) ==
             dnnl_success;
    };
    if (!*has_run_) {  // until one execution has ended, any of them may make kernels, and those stay
      const bool ok = execute();
      *has_run_ = true;
      return ok;
    }
    const CallMemory memory;
    return execute();
  }

 private:
  struct Slot {
    dnnl::stream stream;
    std::vector<memory> memories;
    std::vector<dnnl_exec_arg_t> args;  // of `memories`
  };
  dnnl::primitive primitive_;
  int64_t scratch_bytes_;
  std::vector<Slot> slots_;
  std::unique_ptr<std::atomic<bool>> has_run_ = std::make_unique<std::atomic<bool>>(false);  // on any slot
};

inline dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

// c = a b (+ bias), or c += a b; two dims each, f32 sums. Nothing if oneDNN computes this dtype only by its reference loops.
struct Product {
  DType dtype;  // of a and b
  memory::desc a, b, c;
  std::optional<memory::desc> bias = {};
  bool accumulate = false;
};
std::optional<Prepared> prepare(const Product& product, int slots);  // data: a, b, c (, bias)

// Deals tasks 0..n-1 to the threads; body(task, slot) returns whether it succeeded.
template <typename Body> void for_tasks(int64_t n, int threads, const char* what, const Body& body) {
  if (n == 0) return;
  std::atomic<bool> ok = true;
  parallel_tasks(threads, n, [&](int64_t task, int slot) {
    const OneThread one;
    if (!body(task, slot)) ok = false;
  });
  CHECK(ok, "oneDNN {} failed", what);
}

// n elements of a 16-bit dtype to f32 and back
void widen(const void* from, DType dtype, float* to, int64_t n);
void narrow(const float* from, DType dtype, void* to, int64_t n);

inline char* offset(void* p, int64_t bytes) { return static_cast<char*>(p) + bytes; }
// oneDNN takes inputs as void*
inline char* offset(const void* p, int64_t bytes) { return offset(const_cast<void*>(p), bytes); }

// How a dim is cut: pieces of `size`, the last one perhaps shorter.
struct Cut {
  int64_t total, size;
  int64_t pieces() const { return ceil_div(total, size); }
  int64_t begin(int64_t i) const { return i * size; }
  int64_t length(int64_t i) const { return std::min(size, total - begin(i)); }
  bool is_tail(int64_t i) const { return length(i) != size; }
};

}  // namespace ringmaster::backend
