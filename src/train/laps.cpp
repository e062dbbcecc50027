// SPDX-License-Identifier: Apache-2.0
#include "train/laps.h"

#include "train/summary.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

namespace ringmaster::train {
namespace {

constexpr double at_once = 0.05;  // seconds

}  // namespace

ProductAlone::ProductAlone(DType compute, int threads)
    : alone_({.m = 1024, .n = 1024, .k = 1024, .dtype = compute == DType::bf16 ? DType::bf16 : DType::f32}, threads) {}

double ProductAlone::seconds() {
  std::vector<double> times;
  for (double sum = 0; sum < at_once || times.size() < 3; sum += times.back()) {
    const auto start = std::chrono::steady_clock::now();
    alone_.run(0);
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return median(times);
}

Lap Laps::run() {
  if (before_ == 0) before_ = product_.seconds();
  const std::vector<double> steps = bench_.run(steps_);
  const double behind = product_.seconds();
  const double sum = std::accumulate(steps.begin(), steps.end(), 0.0);
  const Lap lap{.step = sum / static_cast<double>(steps_), .product = 0.5 * (before_ + behind), .steps = steps_};
  before_ = behind;
  steps_ = std::clamp(static_cast<int64_t>(std::ceil(at_once / lap.step)), int64_t{1}, int64_t{1000});
  return lap;
}

}  // namespace ringmaster::train
