// SPDX-License-Identifier: Apache-2.0
// builder: define-by-run tracing. A Tensor is a handle to a value of the graph under construction; C++ loops, branches and
// calls around it run at trace time and leave only nodes behind.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace ringmaster::ir {

class Builder;

class Tensor {
 public:
  Tensor() = default;
  Tensor(Builder* builder, ValueId id) : builder_(builder), id_(id) {}
  bool valid() const { return builder_ != nullptr; }
  Builder& builder() const;
  ValueId id() const { return id_; }
  const Type& type() const;
  const Shape& shape() const { return type().shape; }
  DType dtype() const { return type().dtype; }
  int64_t dim(int i) const { return shape().dim(i); }

 private:
  Builder* builder_ = nullptr;
  ValueId id_ = none;
};

class Builder {
 public:
  explicit Builder(Graph& graph) : graph_(&graph) {}
  Graph& graph() { return *graph_; }

  // Nodes go to the end of this region, or before a position of it (used by passes).
  void enter_region(int region, int64_t at = -1) {
    region_ = region;
    at_ = at;
  }
  int region() const { return region_; }
  int64_t position() const { return at_; }

  void set_scope(std::string scope) { scope_ = std::move(scope); }
  const std::string& scope() const { return scope_; }

  std::vector<Tensor> emit(const OpDef& op, std::span<const Tensor> inputs, Attrs attrs = {});
  Tensor emit1(const OpDef& op, std::initializer_list<Tensor> inputs, Attrs attrs = {});  // first output

  // Whether the program under construction trains: dropout and its like act only then.
  void set_training(bool on) { training_ = on; }
  bool training() const { return training_; }

  // Whether a row of a product must have the same bits however many rows there are (matmul's attribute row_stable): a program
  // that sees one token then computes what a program that sees all of them does.
  void set_row_stable(bool on) { row_stable_ = on; }
  bool row_stable() const { return row_stable_; }

  // A number that names the next random call within the current scope: with the scope it is the random stream's identity.
  int64_t next_call(const std::string& scope);

 private:
  Graph* graph_;
  int region_ = 0;
  int64_t at_ = -1;
  bool training_ = false;
  bool row_stable_ = false;
  std::string scope_;
  std::vector<std::pair<std::string, int64_t>> calls_;
};

// Sets the builder's scope for a C++ block and restores it.
class ScopeGuard {
 public:
  ScopeGuard(Builder& builder, std::string scope) : builder_(builder), saved_(builder.scope()) {
    builder_.set_scope(std::move(scope));
  }
  ~ScopeGuard() { builder_.set_scope(saved_); }
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;

 private:
  Builder& builder_;
  std::string saved_;
};

}  // namespace ringmaster::ir
