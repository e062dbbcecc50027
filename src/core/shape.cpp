// SPDX-License-Identifier: Apache-2.0
#include "core/shape.h"

#include <algorithm>

#include "core/error.h"

namespace ringmaster {

Shape::Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) {
  for (const int64_t d : dims) push_back(d);
}

void Shape::push_back(int64_t dim) {
  CHECK(rank_ < max_rank, "a tensor has at most {} dims", max_rank);
  dims_[static_cast<size_t>(rank_++)] = dim;
}

int64_t Shape::elements() const {
  int64_t n = 1;
  for (const int64_t d : dims()) n *= d;
  return n;
}

std::vector<int64_t> Shape::strides() const {
  std::vector<int64_t> strides(static_cast<size_t>(rank_), 1);
  for (int i = rank_ - 2; i >= 0; --i)
    strides[static_cast<size_t>(i)] = strides[static_cast<size_t>(i) + 1] * dim(i + 1);
  return strides;
}

std::string str(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape.dims(), ",")); }

Shape broadcast(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const int64_t da = ia < 0 ? 1 : a[ia], db = ib < 0 ? 1 : b[ib];
    if (da != db && da != 1 && db != 1) {
      throw Error({.kind = ErrorKind::config,
                   .message = fmt::format("{} and {} do not broadcast: dim {} is {} in one and {} in the other", str(a),
                                          str(b), i - rank, da, db)});
    }
    out.push_back(da == 1 ? db : da);
  }
  return out;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.rank() > to.rank()) return false;
  for (int i = 1; i <= from.rank(); ++i)
    if (from.dim(-i) != to.dim(-i) && from.dim(-i) != 1) return false;
  return true;
}

}  // namespace ringmaster
