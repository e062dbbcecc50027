// SPDX-License-Identifier: Apache-2.0
// structure: the ops that give a program its shape. They compute nothing: values come in (input, scalar, state_read), leave a
// grain (grain_gather; grain_sum.cpp), and go out (state_write, output; collectives.cpp).
#include <cstring>

#include "core/error.h"
#include "ops/defs.h"
#include "ops/ops.h"

namespace ringmaster::ops {
namespace {

using ir::Attrs;
using ir::AttrSpec;
using ir::CostClass;
using ir::KernelArgs;
using ir::OpView;
using ir::Role;
using ir::Type;

Type typed(const OpView& v) {
  const auto dtype = dtype_from_name(v.attrs.text("dtype"));
  if (!dtype) throw Error({.kind = ErrorKind::config, .message = "unknown dtype `" + v.attrs.text("dtype") + "`"});
  return {*dtype, Shape(v.attrs.ints("shape"))};
}

std::vector<Type> infer_typed(const OpView& v) { return {typed(v)}; }
std::vector<Type> infer_same(const OpView& v) { return {v.in[0]}; }
std::vector<Type> infer_nothing(const OpView&) { return {}; }

std::vector<Type> infer_gather(const OpView& v) {
  if (v.in[0].shape.rank() != 0) {
    throw Error({.kind = ErrorKind::config, .message = "x is " + str(v.in[0]), .expected = "a scalar"});
  }
  return {{v.in[0].dtype, {v.attrs.integer("grains")}}};
}

const AttrSpec typed_attrs[] = {{"name", std::string(), true}, {"dtype", std::string("f32")}, {"shape", ir::Ints{}}};
const AttrSpec name_attrs[] = {{"name", std::string(), true}};
const AttrSpec write_attrs[] = {{"name", std::string(), true},
                                {"begin", int64_t{-1}, false, ">= 0: elements from this one on, flat, and no others"}};
const AttrSpec term_attrs[] = {{"weight", std::string(), true, "runtime scalar that divides the sum"},
                               {"coefficient", 1.0}};
const AttrSpec gradient_attrs[] = {{"maxima", std::string(), false, "in fixed point: the state that decides the grids"},
                                   {"grid", int64_t{-1}, false, "in fixed point: which of them"},
                                   {"grains", int64_t{0}, false, "in fixed point: of the step"}};
const AttrSpec gather_attrs[] = {{"grains", int64_t{1}, true}};

std::vector<Type> infer_gradient(const OpView& v) {
  if (v.attrs.integer("grid") < 0) return {v.in[0]};
  return {{DType::i32, v.in[0].shape}, {DType::f32, {v.attrs.integer("grains")}}};
}

std::unique_ptr<ir::Kernel> grain_gather_cpu(const OpView& v, int) {
  const int64_t bytes = size_of(v.in[0].dtype), total = v.out[0].bytes();
  return ir::make_kernel([=](const KernelArgs& a) {
    auto* all = a.output<char>(0);
    if (a.context.first_grain)
      std::memset(all, 0, static_cast<size_t>(total));  // other ranks' grains: the sum over ranks fills them
    std::memcpy(all + a.context.grain * bytes, a.in[0], static_cast<size_t>(bytes));
  });
}

}  // namespace

const OpDef input_op{.name = "input",
                     .doc = "a batch tensor of the grain",
                     .attrs = typed_attrs,
                     .infer = infer_typed,
                     .traits = {.role = Role::input, .cost = CostClass::free}};
const OpDef scalar_op{.name = "scalar",
                      .doc = "a runtime scalar of the step",
                      .attrs = typed_attrs,
                      .infer = infer_typed,
                      .traits = {.role = Role::scalar, .cost = CostClass::free, .differentiable = false}};
const OpDef state_read_op{.name = "state_read",
                          .doc = "a persistent tensor",
                          .attrs = typed_attrs,
                          .infer = infer_typed,
                          .traits = {.role = Role::state_read, .cost = CostClass::free}};
const OpDef state_write_op{.name = "state_write",
                           .doc = "the new value of a persistent tensor, or of a part of it",
                           .attrs = write_attrs,
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .infer = infer_nothing,
                           .traits = {.role = Role::state_write}};
const OpDef output_op{.name = "output",
                      .doc = "a value that the host reads after the run",
                      .attrs = name_attrs,
                      .min_inputs = 1,
                      .max_inputs = 1,
                      .infer = infer_nothing,
                      .traits = {.role = Role::output, .cost = CostClass::free}};
const OpDef loss_term_op{.name = "loss_term",
                         .doc = "coefficient * sum / weight joins the phase's loss",
                         .attrs = term_attrs,
                         .min_inputs = 1,
                         .max_inputs = 2,  // the scale of its gradients
                         .infer = infer_same,
                         .view = [](const OpView&, int) { return std::optional<int64_t>(0); },
                         .traits = {.role = Role::loss_term, .cost = CostClass::free}};
const OpDef gradient_op{.name = "gradient",
                        .doc = "the gradient of the phase's loss by a state, until autodiff",
                        .attrs = gradient_attrs,
                        .min_inputs = 1,
                        .max_inputs = 1,
                        .infer = infer_gradient,
                        .traits = {.role = Role::gradient, .cost = CostClass::free}};
const OpDef grain_gather_op{.name = "grain_gather",
                            .doc = "scalar a grain -> [grains], in grain order",
                            .attrs = gather_attrs,
                            .min_inputs = 1,
                            .max_inputs = 1,
                            .infer = infer_gather,
                            .cpu = grain_gather_cpu,
                            .traits = {.role = Role::grain_gather, .differentiable = false}};
Tensor input(ir::Builder& b, const std::string& name, const Type& type) {
  const auto dims = type.shape.dims();
  return b.emit1(input_op, {},
                 {{"name", name},
                  {"dtype", std::string(ringmaster::name(type.dtype))},
                  {"shape", ir::Ints(dims.begin(), dims.end())}});
}

Tensor scalar(ir::Builder& b, const std::string& name, DType dtype) {
  return b.emit1(scalar_op, {}, {{"name", name}, {"dtype", std::string(ringmaster::name(dtype))}});
}

Tensor state_read(ir::Builder& b, const std::string& name) {
  const ir::State* state = b.graph().find_state(name);
  CHECK(state != nullptr, "no state {}", name);
  const auto dims = state->type.shape.dims();
  return b.emit1(state_read_op, {},
                 {{"name", name},
                  {"dtype", std::string(ringmaster::name(state->type.dtype))},
                  {"shape", ir::Ints(dims.begin(), dims.end())}});
}

void state_write(Tensor value, const std::string& name, int64_t begin) {
  value.builder().emit(state_write_op, std::span(&value, 1), {{"name", name}, {"begin", begin}});
}
void output(Tensor value, const std::string& name) {
  value.builder().emit(output_op, std::span(&value, 1), {{"name", name}});
}

Tensor loss_term(Tensor sum, const std::string& weight, double coefficient, Tensor scale) {
  std::vector<Tensor> in{sum};
  if (scale.valid()) in.push_back(scale);
  return sum.builder().emit(loss_term_op, in, {{"weight", weight}, {"coefficient", coefficient}}).front();
}
Tensor gradient_of(Tensor state) { return state.builder().emit1(gradient_op, {state}); }
FixedGradient gradient_of(Tensor state, const std::string& maxima, int64_t grid, int64_t num_grains) {
  const auto out = state.builder().emit(gradient_op, std::span(&state, 1),
                                        {{"maxima", maxima}, {"grid", grid}, {"grains", num_grains}});
  return {out[0], out[1]};
}
Tensor grain_gather(Tensor x, int64_t num_grains) {
  return x.builder().emit1(grain_gather_op, {x}, {{"grains", num_grains}});
}

}  // namespace ringmaster::ops
