// SPDX-License-Identifier: Apache-2.0
// maximum: y = the larger of a and b.     da = dy where a > b, dy / 2 where a = b, else 0; db the rest of dy; each summed
//   over the dims along which it was broadcast
//   in  a, b: f32, bf16 or f16, shapes broadcast (NumPy rules)     out y like them
//   numerics: exact; NaN where either is.   errors: config if dtypes differ or shapes do not broadcast.
#include "ops/defs.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

std::vector<Tensor> grad(const ir::GradView& v) {
  const Tensor a = v.in[0], b = v.in[1], dy = v.d_out[0];
  const Tensor tie = scale(equal(a, b), 0.5);
  std::vector<Tensor> d(2);
  if (v.needed[0]) d[0] = sum_to(mul(dy, add(greater(a, b), tie)), a.shape());
  if (v.needed[1]) d[1] = sum_to(mul(dy, add(greater(b, a), tie)), b.shape());
  return d;
}

// Both sides win somewhere, and no two values are so near that a difference could cross the tie.
std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list = binary_samples();
  for (ir::Sample& s : list)
    s.fill = {{.kind = ir::Fill::uniform, .low = 0.05, .high = 0.95}, {.kind = ir::Fill::ids, .high = 2.0}};
  return list;
}

}  // namespace

const OpDef maximum_op{.name = "maximum",
                       .doc = "the larger of a and b, shapes broadcast",
                       .min_inputs = 2,
                       .max_inputs = 2,
                       .infer = infer_binary,
                       .grad = grad,
                       .reference = binary_reference<[](double a, double b) { return a < b || b != b ? b : a; }>,
                       .cpu = binary_cpu<[](float a, float b) { return b < a || a != a ? a : b; }>,
                       .samples = samples,
                       .traits = {.elementwise = true, .in_place = true}};

Tensor maximum(Tensor a, Tensor b) { return a.builder().emit1(maximum_op, {a, b}); }

}  // namespace ringmaster::ops
