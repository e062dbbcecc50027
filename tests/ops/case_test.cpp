// SPDX-License-Identifier: Apache-2.0
#include "tests/ops/case.h"

#include <gtest/gtest-spi.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numbers>
#include <numeric>
#include <ostream>

#include "core/error.h"
#include "core/philox.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

constexpr int64_t guard = 256;  // bytes before and after a buffer

// A 64-byte aligned buffer between two guard zones, all painted.
class Buffer {
 public:
  Buffer(int64_t bytes, unsigned char paint)
      : bytes_(bytes), paint_(paint), memory_(static_cast<size_t>(bytes + 2 * guard + 64), static_cast<char>(paint)) {}

  char* data() {
    void* at = memory_.data() + guard;
    size_t space = static_cast<size_t>(bytes_ + guard + 64);
    return static_cast<char*>(std::align(64, static_cast<size_t>(std::max<int64_t>(1, bytes_)), at, space));
  }
  std::vector<char> bytes() { return {data(), data() + bytes_}; }
  bool guards_intact() {
    const auto painted = [&](char c) { return c == static_cast<char>(paint_); };
    const char* end = memory_.data() + memory_.size();
    return std::all_of(static_cast<const char*>(memory_.data()), static_cast<const char*>(data()), painted) &&
           std::all_of(static_cast<const char*>(data()) + bytes_, end, painted);
  }

 private:
  int64_t bytes_;
  unsigned char paint_;
  std::vector<char> memory_;
};

double round_to(DType dtype, double x) {
  switch (dtype) {
    case DType::f32: return static_cast<float>(x);
    case DType::bf16: return to_float(to_bf16(static_cast<float>(x)));
    case DType::f16: return to_float(to_f16(static_cast<float>(x)));
    case DType::f64: return x;
    default: return std::trunc(x);
  }
}

template <typename T> T convert(double x) { return static_cast<T>(x); }
template <> bf16 convert<bf16>(double x) { return to_bf16(static_cast<float>(x)); }
template <> f16 convert<f16>(double x) { return to_f16(static_cast<float>(x)); }
double widen(bf16 x) { return to_float(x); }
double widen(f16 x) { return to_float(x); }
template <typename T> double widen(T x) { return static_cast<double>(x); }

template <typename F> decltype(auto) with_dtype(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f32: return f(float{});
    case DType::bf16: return f(bf16{});
    case DType::f16: return f(f16{});
    case DType::f64: return f(double{});
    case DType::i32: return f(int32_t{});
    case DType::i64: return f(int64_t{});
    case DType::u8: return f(uint8_t{});
    case DType::u16: break;
  }
  return f(uint16_t{});
}

}  // namespace

std::string Case::name() const {
  const auto floating = [](const ir::Type& t) { return is_float(t.dtype); };
  const auto out = outputs();
  const auto first_in = std::find_if(sample.in.begin(), sample.in.end(), floating);
  const DType dtype = first_in != sample.in.end() ? first_in->dtype : out.empty() ? DType::f32 : out.front().dtype;
  return fmt::format("{}_{}_{}", op->name, index, ringmaster::name(dtype));
}

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.op->name;
  for (const ir::Type& t : c.sample.in) *out << " " << str(t);
  for (const auto& [key, value] : c.sample.attrs.items()) *out << " " << key << "=" << ir::str(value);
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const ir::OpDef* op : all()) {
    if (op->traits.role != ir::Role::compute || op->samples == nullptr) continue;
    const std::vector<ir::Sample> samples = op->samples();
    for (size_t i = 0; i < samples.size(); ++i) cases.push_back({op, i, samples[i]});
  }
  return cases;
}

ir::RunContext test_context() { return {.seed = 17, .step = 3, .phase = 1, .first_sample = 40}; }

std::vector<double> draw(const ir::Fill& fill, int64_t count, const std::string& name, uint64_t index) {
  const RandomStream stream({.seed = 1, .stream = stable_hash(name)});
  std::vector<double> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) {
    const PhiloxCounter words = stream.words(index, i);
    const double u = (words[0] + 0.5) * 0x1p-32, v = words[1] * 0x1p-32;
    switch (fill.kind) {
      case ir::Fill::normal: out[i] = std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v); break;
      case ir::Fill::uniform: out[i] = fill.low + (fill.high - fill.low) * u; break;
      case ir::Fill::positive: out[i] = 0.1 + u; break;
      case ir::Fill::ids: out[i] = std::floor(fill.high * u); break;
      case ir::Fill::distinct: out[i] = u; break;
    }
  }
  if (fill.kind == ir::Fill::distinct) {  // ranks of the draws, spread evenly
    std::vector<size_t> order(out.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return out[a] < out[b]; });
    for (size_t rank = 0; rank < order.size(); ++rank)
      out[order[rank]] = 0.02 * (static_cast<double>(rank) - static_cast<double>(order.size()) / 2);
  }
  return out;
}

std::vector<ir::RefTensor> draw_inputs(const Case& c) {
  std::vector<ir::RefTensor> in;
  for (size_t i = 0; i < c.sample.in.size(); ++i) {
    const ir::Type& type = c.sample.in[i];
    const ir::Fill fill = i < c.sample.fill.size() ? c.sample.fill[i] : ir::Fill{};
    in.push_back({type, draw(fill, type.shape.elements(), c.op->name + std::to_string(c.index), i)});
    for (double& x : in.back().data) x = round_to(type.dtype, x);
  }
  return in;
}

std::vector<ir::RefTensor> run_reference(const Case& c, const std::vector<ir::RefTensor>& in) {
  const std::vector<ir::Type> types = c.outputs();
  std::vector<ir::RefTensor> out;
  for (const ir::Type& t : types) out.push_back({t, std::vector<double>(static_cast<size_t>(t.shape.elements()))});
  c.op->reference({c.attrs(), c.sample.in, types}, in, out, test_context());
  return out;
}

std::vector<char> encode(const ir::RefTensor& tensor) {
  return with_dtype(tensor.type.dtype, [&]<typename T>(T) {
    std::vector<char> bytes(tensor.data.size() * sizeof(T));
    for (size_t i = 0; i < tensor.data.size(); ++i) {
      const T x = convert<T>(tensor.data[i]);
      std::memcpy(bytes.data() + i * sizeof(T), &x, sizeof(T));
    }
    return bytes;
  });
}

ir::RefTensor decode(const ir::Type& type, const std::vector<char>& bytes) {
  return with_dtype(type.dtype, [&]<typename T>(T) {
    ir::RefTensor tensor{type, std::vector<double>(bytes.size() / sizeof(T))};
    for (size_t i = 0; i < tensor.data.size(); ++i) {
      T x;
      std::memcpy(&x, bytes.data() + i * sizeof(T), sizeof(T));
      tensor.data[i] = widen(x);
    }
    return tensor;
  });
}

std::vector<std::vector<char>> run_kernel(const Case& c, const std::vector<ir::RefTensor>& in, const KernelRun& how) {
  const ir::Attrs attrs = c.attrs();
  const std::vector<ir::Type> types = c.outputs();
  const auto kernel = c.op->cpu({attrs, c.sample.in, types}, how.threads);
  std::vector<Buffer> ins, outs;
  std::vector<const void*> in_pointers;
  std::vector<void*> out_pointers;
  for (const ir::RefTensor& t : in) {
    const std::vector<char> bytes = encode(t);
    Buffer& buffer = ins.emplace_back(t.type.bytes(), how.paint);
    std::copy(bytes.begin(), bytes.end(), buffer.data());
  }
  for (const ir::Type& t : types) outs.emplace_back(t.bytes(), how.paint);
  std::vector<bool> shared(ins.size());
  for (Buffer& buffer : ins) in_pointers.push_back(buffer.data());
  for (size_t i = 0; i < outs.size(); ++i) {
    const bool share = how.in_place && i < ins.size() && in[i].type == types[i];
    if (share) shared[i] = true;
    out_pointers.push_back(share ? ins[i].data() : outs[i].data());
  }
  Buffer scratch(kernel->scratch_bytes(), how.paint);
  const ir::RunContext context = test_context();
  kernel->run({in_pointers.data(), out_pointers.data(), scratch.data(), context});

  EXPECT_TRUE(scratch.guards_intact()) << "wrote beyond its scratch";
  std::vector<std::vector<char>> result;
  for (size_t i = 0; i < outs.size(); ++i) {
    EXPECT_TRUE(outs[i].guards_intact()) << "wrote beyond output " << i;
    result.push_back(i < ins.size() && shared[i] ? ins[i].bytes() : outs[i].bytes());
  }
  for (size_t i = 0; i < ins.size(); ++i) {
    EXPECT_TRUE(ins[i].guards_intact()) << "wrote beyond input " << i;
    if (!shared[i]) { EXPECT_EQ(ins[i].bytes(), encode(in[i])) << "changed input " << i; }
  }
  return result;
}

// ---- the judge is judged: a kernel that writes one element too many, or into its input, is caught
namespace {

template <auto Run> ir::OpDef toy() {
  return {
      .name = "toy",
      .doc = "",
      .min_inputs = 1,
      .max_inputs = 1,
      .infer = [](const ir::OpView& v) { return std::vector<ir::Type>{v.in[0]}; },
      .cpu = [](const ir::OpView&, int) { return ir::make_kernel([](const ir::KernelArgs& args) { Run(args); }, 4); }};
}

void run_toy(const ir::OpDef& op) {
  const Case c{&op, 0, {.in = {{DType::f32, {3}}}}};
  run_kernel(c, draw_inputs(c), {});
}

TEST(Case, CatchesAWriteBeyondTheOutput) {
  const auto op = toy<[](const ir::KernelArgs& args) { args.output<float>(0)[3] = 1; }>();
  EXPECT_NONFATAL_FAILURE(run_toy(op), "wrote beyond output 0");
}

TEST(Case, CatchesAWriteBeforeTheInput) {
  const auto op = toy<[](const ir::KernelArgs& args) { const_cast<float*>(args.input<float>(0))[-1] = 1; }>();
  EXPECT_NONFATAL_FAILURE(run_toy(op), "wrote beyond input 0");
}

TEST(Case, CatchesAChangedInput) {
  const auto op = toy<[](const ir::KernelArgs& args) { const_cast<float*>(args.input<float>(0))[2] += 1; }>();
  EXPECT_NONFATAL_FAILURE(run_toy(op), "changed input 0");
}

TEST(Case, CatchesAWriteBeyondTheScratch) {
  const auto op = toy<[](const ir::KernelArgs& args) { static_cast<float*>(args.scratch)[1] = 1; }>();
  EXPECT_NONFATAL_FAILURE(run_toy(op), "wrote beyond its scratch");
}

}  // namespace

}  // namespace ringmaster::ops
