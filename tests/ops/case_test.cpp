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

constexpr size_t guard = 256;      // bytes before and after a buffer
constexpr int64_t period = 65537;  // of drawn values: the large shipped shapes need not be drawn in full

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

std::vector<Case> cases_where(const std::function<bool(const Case&)>& fits) {
  std::vector<Case> cases = all_cases();
  std::erase_if(cases, [&](const Case& c) { return !fits(c); });
  return cases;
}

ir::RunContext test_context() { return {.seed = 17, .step = 3, .phase = 1, .first_sample = 40}; }

std::vector<double> draw(const ir::Fill& fill, int64_t count, const std::string& name, uint64_t index) {
  const RandomStream stream({.seed = 1, .stream = stable_hash(name)});
  std::vector<double> out(static_cast<size_t>(std::min(count, period)));
  for (size_t i = 0; i < out.size(); ++i) {
    const PhiloxCounter words = stream.words(index, i);
    const double u = (words[0] + 0.5) * 0x1p-32, v = words[1] * 0x1p-32;
    switch (fill.kind) {
      case ir::Fill::normal: out[i] = std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v); break;
      case ir::Fill::uniform: out[i] = fill.low + (fill.high - fill.low) * u; break;
      case ir::Fill::positive: out[i] = 0.1 + u; break;
      case ir::Fill::ids: {
        const double low = std::max(fill.low, 0.0);
        out[i] = std::floor(low + (fill.high - low) * u);
        break;
      }
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
  out.resize(static_cast<size_t>(count));
  for (size_t i = static_cast<size_t>(period); i < out.size(); ++i) out[i] = out[i - static_cast<size_t>(period)];
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

Buffer::Buffer(int64_t bytes)
    : memory_(static_cast<size_t>(bytes) + 2 * guard + 64), begin_(guard), bytes_(static_cast<size_t>(bytes)) {
  begin_ += (64 - reinterpret_cast<uintptr_t>(memory_.data() + guard) % 64) % 64;
}

void Buffer::paint(unsigned char colour) {
  colour_ = static_cast<char>(colour);
  std::fill(memory_.begin(), memory_.end(), colour_);
}

bool Buffer::guards_intact() const {
  const auto painted = [this](char c) { return c == colour_; };
  const auto begin = memory_.begin() + static_cast<std::ptrdiff_t>(begin_);
  return std::all_of(memory_.begin(), begin, painted) &&
         std::all_of(begin + static_cast<std::ptrdiff_t>(bytes_), memory_.end(), painted);
}

TestBed::TestBed(Case c, const std::vector<ir::RefTensor>& in)
    : case_(std::move(c)), attrs_(case_.attrs()), out_types_(case_.outputs()) {
  for (const ir::RefTensor& t : in) {
    given_.push_back(encode(t));
    in_.emplace_back(t.type.bytes());
  }
  for (const ir::Type& t : out_types_) out_.emplace_back(t.bytes());
}

std::vector<std::span<const char>> TestBed::run(const KernelRun& how) {
  const auto kernel = case_.op->cpu({attrs_, case_.sample.in, out_types_}, how.threads);
  Buffer scratch(kernel->scratch_bytes());
  scratch.paint(how.paint);
  std::vector<const void*> ins;
  for (size_t i = 0; i < in_.size(); ++i) {
    in_[i].paint(how.paint);
    std::copy(given_[i].begin(), given_[i].end(), in_[i].data());
    ins.push_back(in_[i].data());
  }
  std::vector<void*> outs;
  std::vector<std::span<const char>> result;
  std::vector<bool> shared(std::max(in_.size(), out_.size()));
  for (size_t i = 0; i < out_.size(); ++i) {
    out_[i].paint(how.paint);
    shared[i] = how.in_place && i < in_.size() && case_.sample.in[i] == out_types_[i];
    Buffer& place = shared[i] ? in_[i] : out_[i];
    outs.push_back(place.data());
    result.push_back(place.bytes());
  }
  const ir::RunContext context = test_context();
  kernel->run({ins.data(), outs.data(), scratch.data(), context});

  EXPECT_TRUE(scratch.guards_intact()) << "wrote beyond its scratch";
  for (size_t i = 0; i < out_.size(); ++i) EXPECT_TRUE(out_[i].guards_intact()) << "wrote beyond output " << i;
  for (size_t i = 0; i < in_.size(); ++i) {
    EXPECT_TRUE(in_[i].guards_intact()) << "wrote beyond input " << i;
    EXPECT_TRUE(shared[i] || std::ranges::equal(in_[i].bytes(), given_[i])) << "changed input " << i;
  }
  return result;
}

std::vector<std::vector<char>> run_kernel(const Case& c, const std::vector<ir::RefTensor>& in, const KernelRun& how) {
  TestBed bed(c, in);
  std::vector<std::vector<char>> out;
  for (const auto bytes : bed.run(how)) out.emplace_back(bytes.begin(), bytes.end());
  return out;
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
