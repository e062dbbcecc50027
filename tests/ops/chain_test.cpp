// SPDX-License-Identifier: Apache-2.0
// A chain has the bits of its ops one after the other, on every value: infinities, NaNs, subnormals and both zeros too.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "core/error.h"
#include "ops/chain.h"
#include "ops/defs.h"
#include "ops/ops.h"
#include "tests/ops/case.h"

namespace ringmaster::ops {
namespace {

using Bytes = std::vector<std::vector<char>>;

struct Typed {
  ir::Type type;
  std::vector<char> bytes;
};

Bytes run_op(const ir::OpDef& op, const ir::Attrs& attrs, const std::vector<Typed>& in, std::vector<ir::Type>& types) {
  std::vector<ir::Type> in_types;
  std::vector<const void*> ins;
  for (const Typed& x : in) {
    in_types.push_back(x.type);
    ins.push_back(x.bytes.data());
  }
  types = op.infer({attrs, in_types, {}});
  Bytes out;
  std::vector<void*> outs;
  for (const ir::Type& type : types) out.emplace_back(static_cast<size_t>(type.bytes()));
  for (auto& bytes : out) outs.push_back(bytes.data());
  const auto kernel = op.cpu({attrs, in_types, types}, 2);
  std::vector<std::max_align_t> scratch(static_cast<size_t>(kernel->scratch_bytes()) / sizeof(std::max_align_t) + 8);
  const ir::RunContext context = test_context();
  kernel->run({ins.data(), outs.data(), scratch.data(), context});
  return out;
}

// Every fifth value is one that kernels like to get wrong.
void add_special_values(Typed& x) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const float special[] = {0.0F, -0.0F, inf, -inf, std::numeric_limits<float>::quiet_NaN(), 1e-42F, -3e38F, 65520.0F};
  ir::RefTensor tensor = decode(x.type, x.bytes);
  for (size_t i = 0; i < tensor.data.size(); i += 5) tensor.data[i] = static_cast<double>(special[i / 5 % 8]);
  x.bytes = encode(tensor);
}

class ChainBits : public testing::TestWithParam<Case> {};

TEST_P(ChainBits, AreThoseOfItsOps) {
  const Case& c = GetParam();
  const ir::Attrs attrs = c.attrs();
  std::vector<Typed> values;
  for (const ir::RefTensor& x : draw_inputs(c)) {
    values.push_back({x.type, encode(x)});
    add_special_values(values.back());
  }
  std::vector<ir::Type> types;
  const Bytes got = run_op(chain_op, attrs, values, types);
  for (const ChainInstruction& instruction : parse_chain(attrs.text("program"), c.sample.in.size())) {
    std::vector<Typed> operands;
    for (const size_t i : instruction.operands) operands.push_back(values[i]);
    std::vector<ir::Type> result;
    Bytes bytes = run_op(*instruction.op, instruction.attrs, operands, result);
    values.push_back({result[0], std::move(bytes[0])});
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const auto result = static_cast<size_t>(attrs.ints("results")[i]);
    EXPECT_TRUE(got[i] == values[result].bytes) << "value " << result;
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, ChainBits,
                         testing::ValuesIn(cases_where([](const Case& c) { return c.op == &chain_op; })), CaseName());

TEST(Chain, SamplesHoldEveryOpThatMayBePartOfOne) {
  std::string programs;
  for (const Case& c : cases_where([](const Case& k) { return k.op == &chain_op; }))
    programs += c.attrs().text("program") + "; ";
  for (const ir::OpDef* op : all())
    EXPECT_TRUE(op->tile == nullptr || programs.find(fmt::format("= {} ", op->name)) != std::string::npos) << op->name;
}

TEST(Chain, RefusesWhatItCanNotRun) {
  const auto refused = [](const std::string& program, const ir::Ints& results = {1}) {
    const ir::Attrs attrs{{"program", program}, {"results", results}};
    const ir::Type in[] = {{DType::f32, {4, 2}}};
    try {
      chain_op.infer({attrs, in, {}});
      return std::string();
    } catch (const Error& e) {
      EXPECT_EQ(e.info().kind, ErrorKind::config);
      return e.info().message + " " + e.info().expected;
    }
  };
  EXPECT_EQ(refused("1 = exp 0"), "");
  EXPECT_NE(refused("").find("op operands"), std::string::npos);
  EXPECT_NE(refused("2 = exp 0").find("1 = op operands"), std::string::npos);
  EXPECT_NE(refused("1 = softmax 0").find("an elementwise op"), std::string::npos);
  EXPECT_NE(refused("1 = exp 1").find("an earlier value"), std::string::npos);
  EXPECT_NE(refused("1 = add 0").find("2 operands"), std::string::npos);
  EXPECT_NE(refused("1 = scale 0 factor=much").find("a number"), std::string::npos);
  EXPECT_NE(refused("1 = scale 0 faktor=2").find("an attribute of scale"), std::string::npos);
  EXPECT_NE(refused("1 = cast 0 dtype=i32").find("f32, bf16 or f16"), std::string::npos);
  EXPECT_NE(refused("1 = exp 0", {0}).find("result 0"), std::string::npos);
}

}  // namespace
}  // namespace ringmaster::ops
