// SPDX-License-Identifier: Apache-2.0
// op: all that is known of an operation, in one record. Passes ask its traits and never its name.
// An op is one file, src/ops/<op>.cpp; docs/adding-an-op.md walks through one.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "ir/attrs.h"
#include "ir/kernel.h"

namespace ringmaster::ir {

struct Type {
  DType dtype = DType::f32;
  Shape shape;
  int64_t bytes() const { return size_of(dtype) * shape.elements(); }
  bool operator==(const Type&) const = default;
};
std::string str(const Type& type);  // "bf16[4,256,768]"

// What an op sees of one of its nodes.
struct OpView {
  const Attrs& attrs;
  std::span<const Type> in;
  std::span<const Type> out;  // empty while inferring
};

// A tensor of the reference evaluator: every dtype is held in f64 (ids and counts are exact there).
struct RefTensor {
  Type type;
  std::vector<double> data;
};

// Elements begin .. begin + count of an elementwise op on a grain, in f32 whatever the dtype: out[i] = f(in[0][i], ..), which the
// caller rounds to the dtype. The pointers point at element `begin`, operands are broadcast already, and out may be one of in.
// `begin` and `context` matter to random ops alone.
struct Tile {
  const float* const* in;
  float* out;
  int64_t begin, count;
  const RunContext& context;
};
using TileFunction = std::function<void(const Tile&)>;

class Tensor;  // ir/builder.h

// What `grad` sees: the node's tensors and the gradients that arrive at its outputs.
struct GradView {
  const Attrs& attrs;
  std::span<const Tensor> in;
  std::span<const Tensor> out;
  std::span<const Tensor> d_out;    // invalid where no gradient arrives
  const std::vector<bool>& needed;  // inputs whose gradient somebody wants
};

// How the conformance suite draws an input of a sample.
struct Fill {
  enum Kind { normal, uniform, positive, ids, distinct } kind = normal;
  double low = -1.0, high = 1.0;  // uniform: [low, high); ids: integers in [max(low, 0), high); distinct: 1e-2 apart
};

// A matrix product that an op runs: c[batch,m,n] = a[batch,m,k] b[batch,k,n].
struct Gemm {
  int64_t batch = 1, m = 1, n = 1, k = 1;
  bool transpose_a = false, transpose_b = false;  // a lies as [batch,k,m], b as [batch,n,k]
  DType dtype = DType::f32;                       // of a and b
  int64_t flops() const { return 2 * batch * m * n * k; }
  auto operator<=>(const Gemm&) const = default;
};

// One case of the conformance suite.
struct Sample {
  std::vector<Type> in;
  Attrs attrs = {};
  std::vector<Fill> fill = {};  // per input; normal when shorter
  std::vector<int> differentiate =
      {};                // inputs whose gradient is checked against finite differences; all float ones if empty
  bool shipped = false;  // a shape of a shipped config: only the thread and repeat checks (too large for f64 loops)
};

enum class CastClass { low_precision, f32, follow };            // which precision autocast gives it
enum class CostClass { free, memory, compute, communication };  // what bounds its time

// What a node means to the program; everything but `compute` is structure, defined in ops/structure.cpp.
enum class Role {
  compute,
  input,         // a batch tensor of the grain, attr name
  scalar,        // a runtime scalar of the step, attr name
  state_read,    // a persistent tensor, attr name
  state_write,   // its new value, attr name, or that of a part of it
  output,        // a value that the host reads after the run, attr name
  loss_term,     // marks what the phase minimises, until autodiff
  gradient,      // stands for the phase's gradient of a state, until autodiff
  grain_sum,     // adds its inputs over the grains of this rank
  grain_gather,  // collects scalars, one a grain, in grain order
  collective,    // no kernel: exec hands it to comm
};

struct Traits {
  Role role = Role::compute;
  CastClass cast = CastClass::follow;
  CostClass cost = CostClass::memory;
  bool random = false;  // reads the counter-based generator
  bool host = false;    // runs on the CPU whatever the device
  bool sparse = false;  // of its output most is 0: a gradient worth adding to a sum by itself
  int sums = -1;        // has the attribute into_sum: the kernel can add this output to a sum over the grains
  bool sums_one_grain =
      false;  // `sums` where a rank runs one grain alone: onto the sum of others it would add in another order
  bool f32_out = false;      // has the attribute f32_out: of 16-bit inputs, the f32 sum as it is, not rounded
  bool converts = false;     // the output is input 0 in another dtype
  bool plus = false;         // the output is input 0 plus input 1
  bool adds_before = false;  // input `min_inputs`, the last one, is added to input 0 first; the sum is the last output
  bool adds_behind = false;  // input `min_inputs`, the last one, is added to output 0; not both
  bool narrow_copy = false;  // has the attribute narrow: output 0 once more, in a 16-bit dtype, as the last output
  bool narrow_out = false;   // has the attribute narrow_out: output 0 in a 16-bit dtype instead of f32
  int remainder = -1;        // input 0 and output 0 may be split masters: where their remainders stand
  bool gathers = false;      // output 0 is rows of input 0 as they are, in any dtype
  bool by_parts =
      false;  // an element of an output needs of inputs shaped like input 0 only those at its place: a part will do
  bool sums_blocks = false;  // output 0 has a slot for each norm_block of its inputs' elements, 0 where others fill it
  bool in_place = false;     // output i may take the memory of input i where types agree and input i dies
  uint32_t f32_inputs = 0;   // bit i: input i stays f32 where autocast narrows the others (a saved statistic)
  bool differentiable = true;  // false: no gradient flows through (integers, norms, decisions)
};

// no kernel and no inputs to wait for: the value is provided
inline bool is_leaf(Role r) { return r == Role::input || r == Role::scalar || r == Role::state_read; }
// its output leaves the `for grain` region
inline bool is_grain_exit(Role r) { return r == Role::grain_sum || r == Role::grain_gather; }
// has a meaning beyond its outputs: never removed
inline bool is_effect(Role r) { return r == Role::state_write || r == Role::output || r == Role::loss_term; }

struct OpDef {
  const char* name;
  const char* doc;  // one line: formula and shapes
  std::span<const AttrSpec> attrs = {};
  int min_inputs = 0;
  int max_inputs = 0;  // -1: any number
  // output types; throws Error (config) with both shapes if the inputs do not fit
  std::vector<Type> (*infer)(const OpView&) = nullptr;
  // one tensor an input (invalid = no gradient), built out of other ops; null = not differentiable or has `decompose`
  std::vector<Tensor> (*grad)(const GradView&) = nullptr;
  // the same outputs out of primitives; set on fused ops and on fused backward kernels
  std::vector<Tensor> (*decompose)(const Attrs&, std::span<const Tensor>) = nullptr;
  // plain f64 loops; shares no code with the kernel. Outputs come typed and zeroed.
  void (*reference)(const OpView&, std::span<const RefTensor> in, std::span<RefTensor> out,
                    const RunContext&) = nullptr;
  // prepares the CPU kernel for these types and this many threads; null for leaves and collectives
  std::unique_ptr<Kernel> (*cpu)(const OpView&, int threads) = nullptr;
  // elementwise ops of one output and at most four float inputs, whose attributes are numbers and words: the arithmetic of `cpu` on a
  // tile in the cache, with the same bits (ops/chain.h); null = no part of a chain
  TileFunction (*tile)(const OpView&) = nullptr;
  // byte offset in input 0 at which output `index` lies as a view, if it is one (reshape: 0)
  std::optional<int64_t> (*view)(const OpView&, int index) = nullptr;
  // index of the input that output 0 always equals, if there is one (a reshape to the same shape); canonicalise drops such nodes
  std::optional<int> (*identity)(const OpView&) = nullptr;
  // its output 0 has the bits of output 0 of this op on as many of its own first inputs, whatever the attributes; `reuse` then
  // drops the other node (a backward that passes by the loss once more)
  const OpDef* recomputes = nullptr;
  // the matrix products that it runs; null = none
  std::vector<Gemm> (*gemms)(const OpView&) = nullptr;
  // their floating-point operations, where it leaves a part of them out (a causal mask); null = 2mnk each
  int64_t (*gemm_flops)(const OpView&) = nullptr;
  std::vector<Sample> (*samples)() = nullptr;
  Traits traits = {};
};

inline int64_t gemm_flops(const OpDef& op, const OpView& v) {
  if (op.gemm_flops != nullptr) return op.gemm_flops(v);
  int64_t total = 0;
  if (op.gemms != nullptr)
    for (const Gemm& gemm : op.gemms(v)) total += gemm.flops();
  return total;
}

}  // namespace ringmaster::ir
