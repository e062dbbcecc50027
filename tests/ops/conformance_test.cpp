// SPDX-License-Identifier: Apache-2.0
// The conformance suite: what every op promises, checked over all ops x samples x dtypes. An op brings samples and no test file.
// Gradients are in conformance_gradient_test.cpp.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>

#include "core/error.h"
#include "ops/ops.h"
#include "tests/ops/case.h"

namespace ringmaster::ops {
namespace {

// How far a kernel may be from its reference: f32 max|d| / max|ref|, 16-bit RMS(d) / RMS(ref).
constexpr double f32_limit = 1e-5, low_precision_limit = 1e-2;

// The ops that may be further away, and why. None needs to be.
struct Exception {
  const char* op;
  double f32_limit;
  const char* reason;
};
constexpr std::array<Exception, 0> exceptions{};

double limit_of(const Case& c, DType dtype) {
  if (dtype != DType::f32) return low_precision_limit;
  for (const Exception& e : exceptions)
    if (std::string(e.op) == c.op->name) return e.f32_limit;
  return f32_limit;
}

void expect_close(const Case& c, const ir::RefTensor& got, const ir::RefTensor& expected) {
  ASSERT_EQ(got.data.size(), expected.data.size());
  double largest = 0, worst = 0, error = 0, energy = 0;
  for (size_t i = 0; i < got.data.size(); ++i) {
    const double a = got.data[i], b = expected.data[i];
    if (!std::isfinite(b)) {
      EXPECT_TRUE(std::isnan(b) ? std::isnan(a) : a == b) << "element " << i << " is " << a << ", expected " << b;
      continue;
    }
    ASSERT_TRUE(std::isfinite(a)) << "element " << i << " is " << a << ", expected " << b;
    largest = std::max(largest, std::abs(b));
    worst = std::max(worst, std::abs(a - b));
    error += (a - b) * (a - b);
    energy += b * b;
  }
  if (!is_float(got.type.dtype)) {
    EXPECT_EQ(worst, 0) << "integers are exact";
  } else if (got.type.dtype == DType::f32 && std::all_of(c.sample.in.begin(), c.sample.in.end(), [](const ir::Type& t) {
               return t.dtype != DType::bf16 && t.dtype != DType::f16;
             })) {
    EXPECT_LE(worst, limit_of(c, DType::f32) * largest);
  } else {
    EXPECT_LE(std::sqrt(error), limit_of(c, DType::bf16) * std::sqrt(energy));
  }
}

// the others are too large for f64 loops
bool small(const Case& c) { return !c.sample.shipped; }

std::optional<int> identity_of(const Case& c) {
  const ir::Attrs attrs = c.attrs();
  const std::vector<ir::Type> types = c.outputs();
  return c.op->identity == nullptr ? std::nullopt : c.op->identity({attrs, c.sample.in, types});
}
bool is_identity(const Case& c) { return identity_of(c).has_value(); }

// Every run is painted in another colour: a byte that the kernel leaves alone, or takes from its scratch, differs.
void expect_same_bits(const Case& c) {
  TestBed bed(c, draw_inputs(c));
  std::vector<std::vector<char>> expected;
  for (const auto bytes : bed.run({.threads = 1, .paint = 0xA5})) expected.emplace_back(bytes.begin(), bytes.end());
  unsigned char paint = 0x10;
  for (const int threads : {1, 2, 3, 4, 8, 16, 64}) {
    const auto out = bed.run({.threads = threads, .paint = ++paint});
    for (size_t i = 0; i < out.size(); ++i)
      EXPECT_TRUE(std::ranges::equal(out[i], expected[i])) << threads << " threads, output " << i;
  }
}

class Conformance : public testing::TestWithParam<Case> {};           // all cases
class ConformanceReference : public testing::TestWithParam<Case> {};  // small ones
class ConformanceShipped : public testing::TestWithParam<Case> {};
class ConformanceInPlace : public testing::TestWithParam<Case> {};
class ConformanceView : public testing::TestWithParam<Case> {};
class ConformanceIdentity : public testing::TestWithParam<Case> {};

}  // namespace

TEST_P(ConformanceReference, KernelEqualsReference) {
  const Case& c = GetParam();
  const std::vector<ir::RefTensor> in = draw_inputs(c), expected = run_reference(c, in);
  const auto out = run_kernel(c, in, {});
  const std::vector<ir::Type> types = c.outputs();
  for (size_t i = 0; i < out.size(); ++i) {
    SCOPED_TRACE("output " + std::to_string(i));
    ASSERT_EQ(static_cast<int64_t>(expected[i].data.size()), types[i].shape.elements()) << "the reference resized it";
    expect_close(c, decode(types[i], out[i]), expected[i]);
  }
}

TEST_P(ConformanceReference, SameBitsForEveryRunAndThreadCount) { expect_same_bits(GetParam()); }
TEST_P(ConformanceShipped, SameBitsForEveryRunAndThreadCount) { expect_same_bits(GetParam()); }

TEST_P(ConformanceInPlace, SameBits) {
  const Case& c = GetParam();
  const std::vector<ir::RefTensor> in = draw_inputs(c);
  EXPECT_TRUE(run_kernel(c, in, {}) == run_kernel(c, in, {.threads = 3, .in_place = true}));
}

TEST_P(ConformanceView, ShowsTheBytesItClaims) {
  const Case& c = GetParam();
  const std::vector<ir::RefTensor> in = draw_inputs(c);
  const auto out = run_kernel(c, in, {});
  const std::vector<char> whole = encode(in[0]);
  const ir::Attrs attrs = c.attrs();
  const std::vector<ir::Type> types = c.outputs();
  for (size_t i = 0; i < out.size(); ++i) {
    const auto offset = c.op->view({attrs, c.sample.in, types}, static_cast<int>(i));
    if (!offset) continue;
    ASSERT_LE(*offset + types[i].bytes(), static_cast<int64_t>(whole.size()));
    EXPECT_TRUE(std::equal(out[i].begin(), out[i].end(), whole.begin() + *offset)) << "output " << i;
  }
}

TEST_P(ConformanceIdentity, ChangesNothing) {
  const Case& c = GetParam();
  const auto input = static_cast<size_t>(*identity_of(c));
  const std::vector<ir::RefTensor> in = draw_inputs(c);
  EXPECT_EQ(c.outputs()[0], c.sample.in[input]);
  EXPECT_EQ(run_kernel(c, in, {})[0], encode(in[input]));
}

TEST_P(Conformance, PrintsAndParses) {
  const Case& c = GetParam();
  ir::Graph graph("sample");
  ir::Builder builder(graph);
  builder.enter_region(graph.add_region(ir::RegionKind::for_grain));
  std::vector<Tensor> in;
  for (size_t i = 0; i < c.sample.in.size(); ++i) in.push_back(input(builder, "x" + std::to_string(i), c.sample.in[i]));
  builder.set_scope("a.b");
  builder.emit(*c.op, in, c.sample.attrs);
  const std::string text = ir::print(graph);
  const ir::Graph again = ir::parse(text, find);
  EXPECT_EQ(ir::print(again), text);
  EXPECT_EQ(again.node(again.regions()[0].nodes.back()).attrs, c.attrs());
  ir::verify(again, "parse");
}

// Every dtype in the place of input 0 either has a kernel or is refused as the user's error.
TEST_P(ConformanceReference, RefusesDtypesOrHasAKernel) {
  Case c = GetParam();
  if (c.sample.in.empty()) return;
  for (const DType dtype :
       {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i32, DType::i64, DType::u8, DType::u16}) {
    c.sample.in[0].dtype = dtype;
    const ir::Attrs attrs = c.attrs();
    try {
      const std::vector<ir::Type> types = c.op->infer({attrs, c.sample.in, {}});
      EXPECT_NE(c.op->cpu({attrs, c.sample.in, types}, 1), nullptr) << name(dtype);
    } catch (const Error& e) { EXPECT_EQ(e.info().kind, ErrorKind::config) << name(dtype) << ": " << e.what(); }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Conformance, testing::ValuesIn(all_cases()), CaseName());
INSTANTIATE_TEST_SUITE_P(Ops, ConformanceReference, testing::ValuesIn(cases_where(small)), CaseName());
INSTANTIATE_TEST_SUITE_P(Ops, ConformanceShipped,
                         testing::ValuesIn(cases_where([](const Case& c) { return !small(c); })), CaseName());
INSTANTIATE_TEST_SUITE_P(Ops, ConformanceInPlace, testing::ValuesIn(cases_where([](const Case& c) {
                           return small(c) && c.op->traits.in_place;
                         })),
                         CaseName());
INSTANTIATE_TEST_SUITE_P(Ops, ConformanceView,
                         testing::ValuesIn(cases_where([](const Case& c) { return c.op->view != nullptr; })),
                         CaseName());
INSTANTIATE_TEST_SUITE_P(Ops, ConformanceIdentity,
                         testing::ValuesIn(cases_where([](const Case& c) { return small(c) && is_identity(c); })),
                         CaseName());

TEST(OpTable, IsSortedAndFindable) {
  std::string previous;
  for (const ir::OpDef* op : all()) {
    EXPECT_LT(previous, op->name);
    EXPECT_EQ(find(op->name), op);
    previous = op->name;
  }
  EXPECT_EQ(find("no_such_op"), nullptr);
}

TEST(OpTable, EveryOpIsComplete) {
  for (const ir::OpDef* op : all()) {
    SCOPED_TRACE(op->name);
    ASSERT_NE(op->infer, nullptr);
    EXPECT_GT(std::strlen(op->doc), 0U);
    if (op->traits.role != ir::Role::compute) continue;  // structure: nothing to compute, so nothing to compare
    EXPECT_NE(op->reference, nullptr);
    EXPECT_NE(op->cpu, nullptr);
    EXPECT_EQ(op->traits.differentiable, op->grad != nullptr || op->decompose != nullptr);
    ASSERT_NE(op->samples, nullptr);
    const std::vector<ir::Sample> samples = op->samples();
    EXPECT_TRUE(std::any_of(samples.begin(), samples.end(), [](const ir::Sample& s) { return !s.shipped; }));
  }
}

// An op file that nobody lists would be dropped by the linker without a word.
TEST(OpTable, ListsEveryFile) {
  std::filesystem::path folder = "src/ops";  // tests run from the source tree
  if (!std::filesystem::is_directory(folder))
    folder = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() / folder;
  ASSERT_TRUE(std::filesystem::is_directory(folder)) << folder;
  const std::set<std::string> not_ops = {"all", "collectives", "gradient", "structure"};
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() != ".cpp" || not_ops.contains(stem)) continue;
    EXPECT_NE(find(stem), nullptr) << stem;
  }
}

TEST(OpTable, ExceptionsNameOpsAndReasons) {
  for (const Exception& e : exceptions) {
    EXPECT_NE(find(e.op), nullptr) << e.op;
    EXPECT_GT(std::strlen(e.reason), 0U) << e.op;
  }
}

}  // namespace ringmaster::ops
