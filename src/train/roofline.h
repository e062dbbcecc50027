// SPDX-License-Identifier: Apache-2.0
// roofline: a step held against what this machine reaches: each of its matrix products against the best time of that product alone,
// each instruction against the machine's matrix peak and memory stream (Williams, Waterman and Patterson 2009).
#pragma once
#include "ir/op.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ringmaster::train {

// What a node computes, as tables show it: instructions of several layers are one where all but the layer's number is equal.
struct InstructionRow {
  std::string op, scope;
  std::string key;              // op, attributes and types
  std::string detail;           // "1024 x 768 x 50304" (m, k, n) of a product, else the type of what it makes
  int64_t runs = 0;             // a step
  double seconds = 0;           // a step
  int64_t flops = 0;            // of matrix products, a step
  int64_t bytes = 0;            // read and written, a step
  double share = 0;             // of the time in all instructions
  std::vector<ir::Gemm> gemms;  // of one run
  double gemm_seconds = 0;      // a step: its products alone (BestGemm); 0: not measured
};

// Instructions that differ by no more than the numbers in their scopes ("h.3.mlp") become one, with "*" in place of these;
// slowest first.
std::vector<InstructionRow> fold(const std::vector<InstructionRow>& rows);
// Fills in `share` and sorts, slowest first.
void rank_by_time(std::vector<InstructionRow>& rows);

struct Peaks {
  double f32 = 0, bf16 = 0;                                                     // FLOP/s of matrix products
  double triad = 0;                                                             // bytes/s
  double gemm(DType dtype) const { return dtype == DType::bf16 ? bf16 : f32; }  // f16 is computed in f32
};
Peaks measure_peaks(int threads);  // seconds; blocks

double of_gemm_peak(const InstructionRow& row, const Peaks& peaks);  // 0..1 or so; 0 without products
double of_triad(const InstructionRow& row, const Peaks& peaks);

// Share of the instructions' time in those whose bytes take longer at the triad's rate than their products at the peak.
double memory_bound_share(const std::vector<InstructionRow>& rows, const Peaks& peaks);

// The products of a step, each once, with how often it runs; a fraction where the op leaves a part of a product out.
std::map<ir::Gemm, double> step_gemms(const std::vector<InstructionRow>& rows);

// Seconds that the products would take, were each as fast as `best` says (seconds of one).
double roofline_seconds(const std::map<ir::Gemm, double>& gemms, const std::function<double(const ir::Gemm&)>& best);

// The best time of a product alone on these threads: all ways are tried the first time, the fastest one from then on.
class BestGemm {
 public:
  explicit BestGemm(int threads) : threads_(threads) {}
  double seconds(const ir::Gemm& gemm);  // blocks

 private:
  int threads_;
  std::map<ir::Gemm, size_t> way_;
};

}  // namespace ringmaster::train
