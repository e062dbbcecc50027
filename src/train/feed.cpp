// SPDX-License-Identifier: Apache-2.0
#include "train/feed.h"

#include "core/error.h"

#include <set>

namespace ringmaster::train {
namespace {

constexpr std::string_view weight_prefix = "weight.";  // models::Weight::scalar()

const ir::Type& input_type(const ir::Graph& graph, const std::string& name) {
  for (const ir::Region& region : graph.regions()) {
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& node = graph.node(id);
      if (node.op->traits.role == ir::Role::input && node.attrs.text("name") == name)
        return graph.type(node.outputs[0]);
    }
  }
  check_failed("input exists", __FILE__, __LINE__, fmt::format("the program {} has no input {}", graph.name(), name));
}

template <typename Samples>
void feed_rows(exec::Executor& program, const Samples& samples, int64_t first_sample, int64_t grain_size) {
  for (int64_t g = 0; g < program.local_grains(); ++g)
    samples.fill(first_sample + (program.first_grain() + g) * grain_size, grain_size, batch_memory(program, g));
}

}  // namespace

data::BatchMemory batch_memory(exec::Executor& program, int64_t local_grain) {
  return data::BatchMemory([&program, local_grain](std::string_view name) -> void* {
    return program.has_input(name) ? program.input(name, local_grain) : nullptr;
  });
}

void feed_samples(exec::Executor& program, const data::TrainingSamples& samples, int64_t first_sample,
                  int64_t grain_size) {
  feed_rows(program, samples, first_sample, grain_size);
}

void feed_samples(exec::Executor& program, const data::ValidationSamples& samples, int64_t first_sample,
                  int64_t grain_size) {
  feed_rows(program, samples, first_sample, grain_size);
}

std::vector<std::string> weight_inputs(const ir::Graph& graph) {
  std::set<std::string> names;
  for (const ir::Region& region : graph.regions()) {
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& node = graph.node(id);
      if (node.op->traits.role != ir::Role::scalar) continue;
      const std::string name = node.attrs.text("name");
      if (name.starts_with(weight_prefix)) names.insert(name.substr(weight_prefix.size()));
    }
  }
  return {names.begin(), names.end()};
}

int64_t count_entries(exec::Executor& program, const std::string& input) {
  const ir::Type& type = input_type(program.graph(), input);
  CHECK(type.dtype == DType::f32, "the weight {} is {}", input, ir::str(type));
  int64_t count = 0;
  for (int64_t g = 0; g < program.local_grains(); ++g) {
    const auto* values = static_cast<const float*>(program.input(input, g));
    for (int64_t i = 0; i < type.shape.elements(); ++i) count += values[i] != 0.0F ? 1 : 0;
  }
  return count;
}

}  // namespace ringmaster::train
