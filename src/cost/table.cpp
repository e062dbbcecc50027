// SPDX-License-Identifier: Apache-2.0
#include "cost/table.h"

#include <algorithm>

namespace ringmaster::cost {

double Table::seconds(const Work& work) const {
  const auto found = measured_.find(work.key);
  return found == measured_.end() ? estimate(work) : found->second;
}

double Table::estimate(const Work& work) const {
  const double products = static_cast<double>(work.flops) / (work.narrow ? rates_.gemm_16 : rates_.gemm_f32);
  return std::max(products, static_cast<double>(work.bytes) / rates_.bytes);
}

}  // namespace ringmaster::cost
