// SPDX-License-Identifier: Apache-2.0
#include "train/bench_ops.h"

#include "backend/cpu/peak.h"
#include "core/philox.h"
#include "ops/ops.h"

#include <omp.h>

#include <cstring>
#include <map>
#include <optional>

namespace ringmaster::train {
namespace {

using backend::PeakBuffer;

// Copies of an instruction's operands. What shares its place in the arena shares it here.
class Operands {
 public:
  Operands(const std::vector<ir::Type>& in, const std::vector<ir::Type>& out, const exec::Instant& at) {
    for (size_t i = 0; i < in.size(); ++i) {
      char* to = place(at.in[i], in[i].bytes());
      in_.push_back(to);
      inputs_.push_back({to, static_cast<const char*>(at.in[i]), in[i].bytes()});
    }
    restore();
    for (size_t i = 0; i < out.size(); ++i) {
      in_place_ = in_place_ || places_.contains({at.out[i], out[i].bytes()});
      out_.push_back(place(at.out[i], out[i].bytes()));
    }
  }

  double best_seconds(const exec::Instant& at) {
    backend::BestOptions options;
    if (in_place_) options.before = [this] { restore(); };
    return backend::best_seconds([&] { at.kernel.run({in_.data(), out_.data(), at.scratch, at.context}); }, options);
  }

 private:
  struct Input {
    char* to;
    const char* from;
    int64_t bytes;
  };
  char* place(const void* address, int64_t bytes) {
    auto& buffer = places_[{address, bytes}];
    if (!buffer) buffer.emplace(bytes);
    return buffer->data();
  }
  void restore() {
    for (const Input& input : inputs_) std::memcpy(input.to, input.from, static_cast<size_t>(input.bytes));
  }

  std::map<std::pair<const void*, int64_t>, std::optional<PeakBuffer>> places_;
  std::vector<Input> inputs_;
  std::vector<const void*> in_;
  std::vector<void*> out_;
  bool in_place_ = false;
};

int64_t operand_bytes(const std::vector<ir::Type>& in, const std::vector<ir::Type>& out) {
  int64_t bytes = 0;
  for (const auto* types : {&in, &out})
    for (const ir::Type& type : *types) bytes += type.bytes();
  return bytes;
}

// What the conformance suite's fills mean, drawn coarsely: times do not depend on the values.
PeakBuffer filled(const ir::Type& type, const ir::Fill& fill) {
  const int64_t n = type.shape.elements();
  if (is_float(type.dtype) && type.dtype != DType::f64) {
    PeakBuffer buffer(n, type.dtype);
    if (type.dtype != DType::f32 || fill.kind == ir::Fill::normal || fill.kind == ir::Fill::distinct) return buffer;
    auto* const x = reinterpret_cast<float*>(buffer.data());  // in [-0.5, 0.5)
    const bool uniform = fill.kind == ir::Fill::uniform;
    const auto middle = static_cast<float>(uniform ? (fill.low + fill.high) / 2 : 1.0);
    const auto width = static_cast<float>(uniform ? fill.high - fill.low : 1.0);
    for (int64_t i = 0; i < n; ++i) x[i] = middle + width * x[i];
    return buffer;
  }
  PeakBuffer buffer(type.bytes());
  std::memset(buffer.data(), 0, static_cast<size_t>(type.bytes()));
  if (type.dtype != DType::i32) return buffer;
  auto* const x = reinterpret_cast<int32_t*>(buffer.data());
  for (int64_t i = 0; i < n; ++i) {
    const auto ids =
        static_cast<uint64_t>(fill.kind == ir::Fill::ids ? fill.high : 2);  // else counts and flags: 0 and 1
    x[i] = static_cast<int32_t>(mix(7, static_cast<uint64_t>(i)) % ids);
  }
  return buffer;
}

double sample_seconds(const ir::OpDef& op, const ir::Sample& sample, const ir::OpView& view, int threads) {
  std::vector<PeakBuffer> buffers;
  std::vector<const void*> in;
  std::vector<void*> out;
  for (size_t i = 0; i < sample.in.size(); ++i) {
    buffers.push_back(filled(sample.in[i], i < sample.fill.size() ? sample.fill[i] : ir::Fill{}));
    in.push_back(buffers.back().data());
  }
  for (const ir::Type& type : view.out) out.push_back(buffers.emplace_back(type.bytes()).data());
  const std::unique_ptr<ir::Kernel> kernel = op.cpu(view, threads);
  const PeakBuffer scratch(kernel->scratch_bytes());
  const ir::RunContext context;
  return backend::best_seconds([&] { kernel->run({in.data(), out.data(), scratch.data(), context}); });
}

}  // namespace

std::vector<InstructionRow> time_alone(BenchStep& bench, const Wanted& wanted) {
  std::vector<InstructionRow> rows;
  std::map<std::string, double> timed;  // by key
  std::map<const ir::Node*, size_t> seen;
  std::map<const ir::Node*, const ir::Graph*> graphs;
  for (const auto& executor : bench.session().executors())
    for (const exec::ProfileRow& row : executor->profile()) graphs[row.node] = &executor->graph();
  bench.observe([&](const exec::Instant& at) {
    const auto [place, is_new] = seen.try_emplace(&at.node, rows.size());
    if (is_new) {
      const ir::Graph& graph = *graphs.at(&at.node);
      InstructionRow row = row_of(graph, at.node);
      const auto in = graph.input_types(at.node), out = graph.output_types(at.node);
      if (wanted(row) && !timed.contains(row.key)) timed[row.key] = Operands(in, out, at).best_seconds(at);
      row.flops = ir::gemm_flops(*at.node.op, {at.node.attrs, in, out});
      row.bytes = operand_bytes(in, out);
      rows.push_back(std::move(row));
    }
    ++rows[place->second].runs;
  });
  std::erase_if(rows, [&](const InstructionRow& row) { return !timed.contains(row.key) || !wanted(row); });
  for (InstructionRow& row : rows) {
    row.seconds = timed.at(row.key) * static_cast<double>(row.runs);
    row.flops *= row.runs;
    row.bytes *= row.runs;
  }
  return fold(rows);
}

std::vector<InstructionRow> time_samples(int threads, const Wanted& wanted) {
  omp_set_num_threads(threads);
  std::vector<InstructionRow> rows;
  for (const ir::OpDef* op : ops::all()) {
    if (op->cpu == nullptr || op->samples == nullptr) continue;
    for (const ir::Sample& sample : op->samples()) {
      if (!sample.shipped) continue;
      const ir::Attrs attrs = ir::complete(*op, sample.attrs);
      const std::vector<ir::Type> out = op->infer({attrs, sample.in, {}});
      const ir::OpView view{attrs, sample.in, out};
      InstructionRow row{
          .op = op->name, .runs = 1, .flops = ir::gemm_flops(*op, view), .bytes = operand_bytes(sample.in, out)};
      for (const ir::Type& type : sample.in) row.detail += (row.detail.empty() ? "" : " ") + ir::str(type);
      if (op->gemms != nullptr) row.gemms = op->gemms(view);
      if (!wanted(row)) continue;
      row.seconds = sample_seconds(*op, sample, view, threads);
      rows.push_back(std::move(row));
    }
  }
  rank_by_time(rows);
  return rows;
}

}  // namespace ringmaster::train
