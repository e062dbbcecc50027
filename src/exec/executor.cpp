// SPDX-License-Identifier: Apache-2.0
#include "exec/executor.h"

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "core/call_memory.h"
#include "core/error.h"

namespace ringmaster::exec {

using ir::Role;

struct Executor::Instruction {
  // A batch input's address moves from grain to grain.
  struct Moving {
    size_t operand;
    std::byte* base;
    int64_t stride;
  };
  const ir::Node* node = nullptr;
  std::shared_ptr<ir::Kernel> kernel;  // or:
  std::unique_ptr<Exchange> exchange;  // or a copy of `copy_bytes` from in[0] to out[0]
  int64_t copy_bytes = 0;
  std::vector<const void*> in;
  std::vector<void*> out;
  std::vector<Moving> moving;
  std::span<std::byte> scratch;
  int64_t flops = 0, bytes = 0;
  double seconds = 0;
  int64_t runs = 0;
};

Executor::Executor(ir::Graph graph, Prepared prepared, ir::Placement placement, const ir::StateLayout& states,
                   Arena& arena, Fabric& fabric, const Options& options)
    : graph_(std::move(graph)), placement_(std::move(placement)), arena_(arena), fabric_(fabric), options_(options) {
  CHECK(placement_.peak_bytes <= arena.bytes(), "the arena is smaller than the plan");
  bind(prepared, states);
  exchanged_ = exec::exchanged(graph_, fabric_.team());
  if (heap_calls < 0) return;  // nobody would ask for it
#pragma omp parallel num_threads(options_.threads)
  CallMemory::prepare();  // a thread may get its first task of a kind many steps from now
}

Executor::~Executor() = default;

std::byte* Executor::at(ir::ValueId v) const {
  const ir::Place& place = placement_.values[static_cast<size_t>(v)];
  CHECK(place.offset >= 0, "%{} has no place", v);
  return arena_.data() + place.offset;
}

void Executor::bind(const Prepared& prepared, const ir::StateLayout& states) {
  for (const ir::Region& region : graph_.regions()) {
    regions_.emplace_back();
    const bool skip = region.kind == ir::RegionKind::for_grain && options_.deal.count == 0;
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& node = graph_.node(id);
      const Role role = node.op->traits.role;
      if (role == Role::input) inputs_[node.attrs.text("name")] = node.outputs[0];
      if (role == Role::output) outputs_[node.attrs.text("name")] = node.inputs[0];
      if (role == Role::scalar) scalar_types_[node.attrs.text("name")] = graph_.type(node.outputs[0]).dtype;
      if (!skip) add_instruction(id, prepared, states);
    }
  }
}

void Executor::add_instruction(ir::NodeId id, const Prepared& prepared, const ir::StateLayout& states) {
  const ir::Node& node = graph_.node(id);
  const Role role = node.op->traits.role;
  if (ir::is_leaf(role) || role == Role::output) return;
  Instruction made;
  made.node = &node;
  for (const ir::ValueId v : node.inputs) {
    const ir::Place& place = placement_.values[static_cast<size_t>(v)];
    if (place.grain_stride > 0) made.moving.push_back({made.in.size(), at(v), place.grain_stride});
    made.in.push_back(at(v));
    made.bytes += graph_.type(v).bytes();
  }
  for (const ir::ValueId v : node.outputs) {
    made.out.push_back(at(v));
    made.bytes += graph_.type(v).bytes();
  }
  if (role == Role::state_write) {
    const int64_t begin =
        std::max<int64_t>(0, node.attrs.integer("begin")) * size_of(graph_.type(node.inputs[0]).dtype);
    std::byte* home = arena_.data() + states.offset.at(node.attrs.text("name")) + begin;
    if (made.in[0] == home) return;  // written in place
    made.out.push_back(home);
    made.copy_bytes = graph_.type(node.inputs[0]).bytes();
  } else if (role == Role::collective) {
    const int64_t bucket = node.inputs.empty() ? 0 : placement_.values[static_cast<size_t>(node.inputs.front())].offset;
    made.exchange =
        std::make_unique<Exchange>(graph_, node, fabric_, arena_.data() + bucket, bucket,
                                   std::span(arena_.data() + placement_.communication,
                                             static_cast<size_t>(prepared.scratch_bytes[static_cast<size_t>(id)])));
  } else {
    if (node.op->view != nullptr) {
      const auto in = graph_.input_types(node), out = graph_.output_types(node);
      size_t views = 0;
      for (size_t i = 0; i < out.size(); ++i)
        views += node.op->view({node.attrs, in, out}, static_cast<int>(i)).has_value() ? 1 : 0;
      CHECK(views == 0 || views == out.size(), "{}: some outputs are views and some are not", node.op->name);
      if (views > 0) return;
    }
    made.kernel = prepared.kernels[static_cast<size_t>(id)];
    CHECK(made.kernel != nullptr, "{} at {} has no kernel", node.op->name, node.scope);
  }
  made.flops = prepared.gemm_flops[static_cast<size_t>(id)];
  if (role != Role::collective)
    made.scratch = {arena_.data() + placement_.workspace,
                    static_cast<size_t>(prepared.scratch_bytes[static_cast<size_t>(id)])};
  regions_.back().push_back(std::move(made));
}

void* Executor::input(std::string_view name, int64_t grain) {
  const auto it = inputs_.find(name);
  CHECK(it != inputs_.end(), "the program {} has no input {}", graph_.name(), name);
  CHECK(grain >= 0 && grain < options_.deal.count, "grain {} of {} local ones", grain, options_.deal.count);
  return at(it->second) + grain * placement_.values[static_cast<size_t>(it->second)].grain_stride;
}

void Executor::set_scalar(std::string_view name, double value) {
  const auto it = scalar_types_.find(name);
  if (it == scalar_types_.end()) return;
  void* place = arena_.data() + placement_.scalars.at(std::string(name));
  if (it->second == DType::f32) {
    const auto x = static_cast<float>(value);
    std::memcpy(place, &x, sizeof x);
  } else if (it->second == DType::i32) {
    const auto x = static_cast<int32_t>(value);
    std::memcpy(place, &x, sizeof x);
  } else {
    CHECK(false, "runtime scalar {} is {}", name, ringmaster::name(it->second));
  }
}

void Executor::run(const ir::RunContext& context, int64_t grain_size) {
  omp_set_num_threads(options_.threads);
  stats_ = {};
  const auto start = std::chrono::steady_clock::now();
  for (size_t r = 0; r < regions_.size(); ++r) {
    if (before_update_ && r + 1 == regions_.size()) before_update_();
    run_region(r, context, grain_size);
  }
  const std::chrono::duration<double> total = std::chrono::steady_clock::now() - start;
  stats_.compute_seconds = total.count() - stats_.comm_seconds;
  current_ = nullptr;
  has_run_ = true;
}

void Executor::run_region(size_t region, ir::RunContext context, int64_t grain_size) {
  auto& body = regions_[region];
  context.num_grains = options_.num_grains;
  if (graph_.regions()[region].kind == ir::RegionKind::step) {
    for (Instruction& instruction : body) execute(instruction, context);
    return;
  }
  const int64_t first_sample = context.first_sample;
  for (int64_t g = 0; g < options_.deal.count; ++g) {
    context.grain = options_.deal.first + g;
    context.first_sample = first_sample + context.grain * grain_size;
    context.first_grain = g == 0;
    for (Instruction& instruction : body) {
      for (const auto& move : instruction.moving) instruction.in[move.operand] = move.base + g * move.stride;
      execute(instruction, context);
    }
  }
  if (options_.deal.count == 0) {  // nothing to add: what would have left the grains is zero
    for (const ir::NodeId id : graph_.regions()[region].nodes) {
      const ir::Node& node = graph_.node(id);
      if (!ir::is_grain_exit(node.op->traits.role)) continue;
      for (const ir::ValueId v : node.outputs) std::memset(at(v), 0, static_cast<size_t>(graph_.type(v).bytes()));
    }
  }
}

void Executor::execute(Instruction& instruction, const ir::RunContext& context) {
  current_ = instruction.node;
  if (observer_ && instruction.kernel != nullptr) {
    observer_(
        {*instruction.node, *instruction.kernel, instruction.in, instruction.out, instruction.scratch.data(), context});
  }
  const auto start = options_.profile ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
  if (instruction.kernel != nullptr) {
    instruction.kernel->run({instruction.in.data(), instruction.out.data(), instruction.scratch.data(), context});
    stats_.gemm_flops += instruction.flops;
  } else if (instruction.exchange != nullptr) {
    const auto begin = std::chrono::steady_clock::now();
    instruction.exchange->run();
    stats_.comm_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  } else {
    std::memcpy(instruction.out[0], instruction.in[0], static_cast<size_t>(instruction.copy_bytes));
  }
  if (options_.profile) {
    instruction.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ++instruction.runs;
  }
}

const ir::Type& Executor::output_type(std::string_view name, const std::byte*& place) const {
  const auto it = outputs_.find(name);
  CHECK(it != outputs_.end(), "the program {} has no output {}", graph_.name(), name);
  place = at(it->second);
  return graph_.type(it->second);
}

std::span<const float> Executor::output(std::string_view name) const {
  const std::byte* place = nullptr;
  const ir::Type& type = output_type(name, place);
  CHECK(type.dtype == DType::f32, "output {} is {}", name, ir::str(type));
  return {reinterpret_cast<const float*>(place), static_cast<size_t>(type.shape.elements())};
}

double Executor::output_scalar(std::string_view name) const {
  const std::byte* place = nullptr;
  const ir::Type& type = output_type(name, place);
  CHECK(type.shape.elements() == 1, "output {} is {}", name, ir::str(type));
  return type.dtype == DType::i32 ? *reinterpret_cast<const int32_t*>(place)
                                  : static_cast<double>(*reinterpret_cast<const float*>(place));
}

std::vector<ProfileRow> Executor::profile() const {
  std::vector<ProfileRow> rows;
  for (const auto& region : regions_)
    for (const Instruction& i : region) rows.push_back({i.node, i.seconds, i.runs, i.flops, i.bytes});
  return rows;
}

void Executor::reset_profile() {
  for (auto& region : regions_) {
    for (Instruction& i : region) {
      i.seconds = 0;
      i.runs = 0;
    }
  }
}

}  // namespace ringmaster::exec
