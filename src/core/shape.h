// SPDX-License-Identifier: Apache-2.0
// shape: the dims of a dense row-major tensor; dims are logical, never shards. A scalar has rank 0 and one element.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace ringmaster {

class Shape {
 public:
  static constexpr int max_rank = 6;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t elements() const;
  // dim(-1) is the last dim
  int64_t dim(int i) const { return dims_[static_cast<size_t>(i < 0 ? i + rank_ : i)]; }
  int64_t operator[](int i) const { return dim(i); }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  void push_back(int64_t dim);
  void set(int i, int64_t dim) { dims_[static_cast<size_t>(i < 0 ? i + rank_ : i)] = dim; }
  // elements to skip to advance one step along each dim
  std::vector<int64_t> strides() const;
  bool operator==(const Shape&) const = default;

 private:
  int rank_ = 0;
  std::array<int64_t, max_rank> dims_{};  // unused entries stay 0 so that == works
};

std::string str(const Shape& shape);  // "[4,256,768]"; "[]" for a scalar

// The shape that a and b broadcast to (NumPy rules); throws Error (config) naming both shapes if they do not.
Shape broadcast(const Shape& a, const Shape& b);
bool broadcasts_to(const Shape& from, const Shape& to);

}  // namespace ringmaster
