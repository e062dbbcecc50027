// SPDX-License-Identifier: Apache-2.0
#include "ir/builder.h"

#include "core/error.h"

namespace ringmaster::ir {

Builder& Tensor::builder() const {
  CHECK(builder_ != nullptr, "use of a tensor that was never computed");
  return *builder_;
}

const Type& Tensor::type() const { return builder().graph().type(id_); }

std::vector<Tensor> Builder::emit(const OpDef& op, std::span<const Tensor> inputs, Attrs attrs) {
  std::vector<ValueId> ids;
  ids.reserve(inputs.size());
  for (const Tensor& t : inputs) {
    CHECK(&t.builder() == this, "{} mixes tensors of two programs", op.name);
    ids.push_back(t.id());
  }
  const NodeId id = graph_->add_node(region_, op, std::move(ids), std::move(attrs), scope_, at_);
  if (at_ >= 0) ++at_;
  std::vector<Tensor> out;
  for (const ValueId v : graph_->node(id).outputs) out.emplace_back(this, v);
  return out;
}

Tensor Builder::emit1(const OpDef& op, std::initializer_list<Tensor> inputs, Attrs attrs) {
  return emit(op, std::span(inputs.begin(), inputs.size()), std::move(attrs)).front();
}

int64_t Builder::next_call(const std::string& scope) {
  for (auto& [name, count] : calls_)
    if (name == scope) return count++;
  calls_.emplace_back(scope, 1);
  return 0;
}

}  // namespace ringmaster::ir
