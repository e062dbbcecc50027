// SPDX-License-Identifier: Apache-2.0
// module: parameters and the tree they hang in. A module is a plain struct whose constructor declares parameters under a Scope and
// whose operator() builds nodes. The path of a scope is the module's name in errors, plans and, with the parameter's own
// name, in checkpoints: "transformer.h.3.attn.c_attn" + ".weight".
#pragma once
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "ir/builder.h"

namespace ringmaster::nn {

using ir::Tensor;

// How a parameter starts: value = mean + std * N(0, 1). Normals are functions of (seed, name, element) alone.
struct Init {
  double mean = 0.0;
  double std = 0.0;
  static Init zeros() { return {}; }
  static Init ones() { return {.mean = 1.0}; }
  static Init normal(double std) { return {.std = std}; }
};

struct Parameter {
  std::string name;
  Shape shape;
  Init init;
  // the current value, as a node of the builder's current region
  Tensor read(ir::Builder& builder) const;
};
// Fills elements [begin, begin + out.size()) of one parameter; the same bits on every machine, any thread count and any pieces.
// `begin` is even.
void initialise(const Parameter& parameter, uint64_t seed, int64_t begin, std::span<float> out);

// A named group of parameters that one optimizer updates.
class Network {
 public:
  explicit Network(std::string name) : name_(std::move(name)) {}
  const std::string& name() const { return name_; }
  const std::deque<Parameter>& parameters() const {
    return parameters_;
  }  // in order of declaration; addresses are stable
  int64_t num_elements() const;
  const Parameter* declare(std::string name, const Shape& shape, const Init& init);

 private:
  std::string name_;
  std::deque<Parameter> parameters_;
};

// A place in a network's module tree.
class Scope {
 public:
  Scope(Network& network, std::string path) : network_(&network), path_(std::move(path)) {}
  Scope operator/(const std::string& child) const { return {*network_, path_.empty() ? child : path_ + "." + child}; }
  Scope operator/(int64_t index) const { return *this / std::to_string(index); }
  Scope root() const { return {*network_, ""}; }
  const std::string& path() const { return path_; }
  const Parameter* parameter(const std::string& name, const Shape& shape, const Init& init) const {
    return network_->declare((*this / name).path(), shape, init);
  }

 private:
  Network* network_;
  std::string path_;
};

}  // namespace ringmaster::nn
