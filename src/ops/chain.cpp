// SPDX-License-Identifier: Apache-2.0
// chain: elementwise ops one after the other, in one pass over memory.
//   in  f32, bf16 or f16, shapes that broadcast to the results' one shape     out the values of `results`, in its order
//   attrs program (chain.h), results: the numbers of the values that leave the chain
//   numerics: every value is rounded to its dtype, so a chain has the bits of its ops apart, one by one.
//   errors: config if the program can not be read, an op in it is not elementwise, or the results' shapes differ.
#include "ops/chain.h"

#include "backend/cpu/parallel.h"
#include "ops/blocks.h"
#include "ops/chain_kernel.h"
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

#include <charconv>

namespace ringmaster::ops {
namespace {

using ir::OpView;
using ir::RefTensor;
using ir::Type;

const ir::AttrSpec attrs[] = {{"program", std::string(), true, "instructions, as in `2 = mul 0 1; 3 = exp 2`"},
                              {"results", ir::Ints{}, true, "numbers of the values that leave the chain"}};

[[noreturn]] void refuse(const std::string& what, const std::string& expected) {
  throw Error({.kind = ErrorKind::config, .message = what, .expected = expected});
}

std::vector<std::string> parts_of(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + separator.size();
  }
  return parts;
}

template <typename T> T number_of(const std::string& word) {
  T value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) refuse("`" + word + "` in a program", "a number");
  return value;
}

// An attribute of the type that the op declares.
void set_attr(ChainInstruction& instruction, const std::string& word, size_t equals) {
  const std::string name = word.substr(0, equals), text = word.substr(equals + 1);
  for (const ir::AttrSpec& spec : instruction.op->attrs) {
    if (spec.name != name) continue;
    if (std::holds_alternative<double>(spec.initial)) return instruction.attrs.set(name, number_of<double>(text));
    if (std::holds_alternative<int64_t>(spec.initial)) return instruction.attrs.set(name, number_of<int64_t>(text));
    if (std::holds_alternative<std::string>(spec.initial)) return instruction.attrs.set(name, text);
  }
  refuse("`" + word + "` in a program", fmt::format("an attribute of {}", instruction.op->name));
}

// "3 = scale 2 factor=0.5", where `result` is 3
ChainInstruction parse_instruction(const std::string& text, size_t result) {
  const std::vector<std::string> words = parts_of(text, " ");
  if (words.size() < 4 || words[1] != "=" || number_of<size_t>(words[0]) != result)
    refuse("`" + text + "` in a program", fmt::format("{} = op operands attributes", result));
  ChainInstruction instruction{find(words[2]), {}, {}};
  if (instruction.op == nullptr || instruction.op->tile == nullptr)
    refuse("`" + words[2] + "` in a program", "an elementwise op");
  for (size_t i = 3; i < words.size(); ++i) {
    if (const size_t equals = words[i].find('='); equals != std::string::npos) {
      set_attr(instruction, words[i], equals);
    } else {
      instruction.operands.push_back(number_of<size_t>(words[i]));
      if (instruction.operands.back() >= result) refuse("operand " + words[i] + " in a program", "an earlier value");
    }
  }
  const auto count = static_cast<int>(instruction.operands.size());
  if (count < instruction.op->min_inputs || count > instruction.op->max_inputs)
    refuse("`" + text + "` in a program", fmt::format("{} operands", instruction.op->min_inputs));
  instruction.attrs = ir::complete(*instruction.op, instruction.attrs);
  return instruction;
}

std::vector<ChainInstruction> program_of(const ir::Attrs& a, size_t inputs) {
  return parse_chain(a.text("program"), inputs);
}

std::vector<Type> infer(const OpView& v) {
  const std::vector<Type> types = infer_chain(program_of(v.attrs, v.in.size()), v.in);
  std::vector<Type> out;
  for (const int64_t result : v.attrs.ints("results")) {
    if (result < static_cast<int64_t>(v.in.size()) || result >= static_cast<int64_t>(types.size()))
      refuse(fmt::format("result {}", result), fmt::format("{} to {}", v.in.size(), types.size() - 1));
    out.push_back(types[static_cast<size_t>(result)]);
  }
  return out;
}

std::vector<Tensor> decompose(const ir::Attrs& a, std::span<const Tensor> in) {
  std::vector<Tensor> values(in.begin(), in.end()), out;
  for (const ChainInstruction& instruction : program_of(a, in.size())) {
    std::vector<Tensor> operands;
    for (const size_t i : instruction.operands) operands.push_back(values[i]);
    values.push_back(in[0].builder().emit(*instruction.op, operands, instruction.attrs)[0]);
  }
  for (const int64_t result : a.ints("results")) out.push_back(values[static_cast<size_t>(result)]);
  return out;
}

void reference(const OpView& v, std::span<const RefTensor> in, std::span<RefTensor> out,
               const ir::RunContext& context) {
  const std::vector<ChainInstruction> instructions = program_of(v.attrs, in.size());
  const std::vector<Type> types = infer_chain(instructions, v.in);
  std::vector<RefTensor> values(in.begin(), in.end());
  for (const ChainInstruction& instruction : instructions) {
    std::vector<RefTensor> operands;
    std::vector<Type> operand_types;
    for (const size_t i : instruction.operands) {
      operands.push_back(values[i]);
      operand_types.push_back(types[i]);
    }
    const Type& type = types[values.size()];
    RefTensor result{type, std::vector<double>(static_cast<size_t>(type.shape.elements()))};
    instruction.op->reference({instruction.attrs, operand_types, std::span(&type, 1)}, operands, std::span(&result, 1),
                              context);
    values.push_back(std::move(result));
  }
  for (size_t i = 0; i < out.size(); ++i) out[i].data = values[static_cast<size_t>(v.attrs.ints("results")[i])].data;
}

std::unique_ptr<ir::Kernel> cpu(const OpView& v, int threads) {
  ChainPlan plan(program_of(v.attrs, v.in.size()), v);
  threads = threads_for(plan.elements, threads);
  const int64_t scratch = plan.thread_floats * threads * size_of(DType::f32);
  return ir::make_kernel(
      [plan = std::move(plan), threads](const ir::KernelArgs& args) {
        const int64_t blocks = (plan.elements + block_elements - 1) / block_elements;
        backend::parallel_tasks(threads, blocks, [&](int64_t block, int slot) {
          float* buffers = static_cast<float*>(args.scratch) + slot * plan.thread_floats;
          const int64_t end = std::min(plan.elements, (block + 1) * block_elements);
          for (int64_t at = block * block_elements; at < end; at += plan.tile)
            plan.run(args, buffers, at, std::min(plan.tile, end - at));
        });
      },
      scratch);
}

struct Sampled {
  const char* program;
  ir::Ints results;
  std::vector<Type> in;
};

// Every elementwise op, several results, values that are read twice, 16 bits within, tails, operands that are broadcast.
std::vector<ir::Sample> samples() {
  const ir::Fill positive{.kind = ir::Fill::uniform, .low = 0.5, .high = 2.0};
  const Type half{DType::bf16, {3, 1031}};
  const Sampled list[] = {
      {"2 = add 0 1; 3 = mul 2 0; 4 = sub 3 1; 5 = div 4 1", {5}, {f32({3, 5, 7}), f32({3, 5, 7})}},
      {"2 = greater 0 1; 3 = mul 2 0; 4 = equal 0 0; 5 = add 3 4", {2, 5}, {f32({17, 33}), f32({})}},
      {"2 = maximum 0 1; 3 = minimum 2 0; 4 = maximum 3 1", {4, 2}, {f32({17, 33}), f32({33})}},
      {"1 = relu 0; 2 = leaky_relu 1 slope=0.1; 3 = shift 2 offset=-1.5; 4 = scale 3 factor=0.7", {4}, {f32({1})}},
      {"1 = log 0; 2 = exp 1; 3 = sqrt 2; 4 = tanh 3", {1, 2, 3, 4}, {f32({2, 1200})}},
      {"2 = gelu 0; 3 = gelu_grad 1 2", {3}, {f32({5, 257}), f32({5, 257})}},
      {"1 = dropout 0 p=0.25 stream=-7046029254386353131; 2 = scale 1 factor=2.0", {2}, {f32({3, 5, 77})}},
      {"2 = add 0 1; 3 = cast 2 dtype=bf16", {2, 3}, {f32({2, 3000}), f32({2, 3000})}},
      {"2 = mul 0 0; 3 = cast 2 dtype=f32; 4 = add 3 1; 5 = cast 4 dtype=f16", {4, 5}, {half, f32({1031})}},
      {"3 = mul 0 1; 4 = add 3 2; 5 = tanh 4", {5}, {f32({4, 1, 3}), f32({1, 5, 1}), f32({4, 5, 3})}},
      {"2 = sub 0 1; 3 = mul 2 2", {3}, {f32({}), f32({})}},
      {"2 = sub 0 1; 3 = mul 2 2", {3}, {f32({0, 3}), f32({3})}},
  };
  std::vector<ir::Sample> samples;
  for (const auto& [program, results, in] : list) {
    samples.push_back({.in = in,
                       .attrs = {{"program", std::string(program)}, {"results", results}},
                       .fill = std::vector<ir::Fill>(in.size(), positive)});
  }
  samples.push_back(samples[7]);
  samples.back().in = {f32({4, 256, 768}), f32({4, 256, 768})};
  samples.back().shipped = true;
  return samples;
}

}  // namespace

std::string print_chain(std::span<const ChainInstruction> instructions, size_t inputs) {
  std::string text;
  for (const ChainInstruction& instruction : instructions) {
    text += fmt::format("{}{} = {} {}", text.empty() ? "" : "; ", inputs++, instruction.op->name,
                        fmt::join(instruction.operands, " "));
    for (const ir::AttrSpec& spec : instruction.op->attrs) {
      const ir::AttrValue& value = *instruction.attrs.find(spec.name);
      if (!spec.required && value == spec.initial) continue;
      const auto* word = std::get_if<std::string>(&value);
      text += fmt::format(" {}={}", spec.name, word != nullptr ? *word : ir::str(value));
    }
  }
  return text;
}

std::vector<ChainInstruction> parse_chain(const std::string& program, size_t inputs) {
  std::vector<ChainInstruction> instructions;
  for (const std::string& text : parts_of(program, "; "))
    instructions.push_back(parse_instruction(text, inputs + instructions.size()));
  return instructions;
}

std::vector<Type> infer_chain(std::span<const ChainInstruction> instructions, std::span<const Type> inputs) {
  std::vector<Type> types(inputs.begin(), inputs.end());
  for (const Type& type : inputs) require_float(type, "an input");
  for (const ChainInstruction& instruction : instructions) {
    std::vector<Type> operands;
    for (const size_t i : instruction.operands) operands.push_back(types[i]);
    types.push_back(instruction.op->infer({instruction.attrs, operands, {}}).front());
    require_float(types.back(), "a result");
    if (types.back().shape != types[inputs.size()].shape)
      refuse(fmt::format("{} gives {}", instruction.op->name, str(types.back())),
             "the shape " + str(types[inputs.size()].shape));
  }
  return types;
}

const OpDef chain_op{.name = "chain",
                     .doc = "elementwise ops one after the other, in one pass over memory",
                     .attrs = attrs,
                     .min_inputs = 1,
                     .max_inputs = -1,
                     .infer = infer,
                     .decompose = decompose,
                     .reference = reference,
                     .cpu = cpu,
                     .samples = samples,
                     .traits = {.by_parts = true, .in_place = true}};

}  // namespace ringmaster::ops
