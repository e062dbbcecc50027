// SPDX-License-Identifier: Apache-2.0
// one_hot: y[.., v] = 1 where ids[..] == v, else 0.     Not differentiable.
//   in  ids i32 [..]     out y [.., V] of `dtype` (f32, bf16 or f16)     attrs classes (V >= 1), dtype
//   An id outside 0..V-1 gives a row of zeros.
#include "ops/defs.h"
#include "ops/element.h"
#include "ops/ops.h"
#include "ops/samples.h"

namespace ringmaster::ops {
namespace {

const ir::AttrSpec attrs[] = {{"classes", int64_t{1}, true}, {"dtype", std::string("f32")}};

std::vector<ir::Type> infer(const ir::OpView& v) {
  const auto dtype = dtype_from_name(v.attrs.text("dtype"));
  if (v.in[0].dtype != DType::i32 || v.in[0].shape.rank() == Shape::max_rank) {
    throw Error({.kind = ErrorKind::config,
                 .message = "ids is " + str(v.in[0]),
                 .expected = fmt::format("i32, less than {} dims", Shape::max_rank)});
  }
  if (!dtype) throw Error({.kind = ErrorKind::config, .message = "unknown dtype `" + v.attrs.text("dtype") + "`"});
  if (v.attrs.integer("classes") < 1) {
    throw Error({.kind = ErrorKind::config,
                 .message = fmt::format("classes is {}", v.attrs.integer("classes")),
                 .expected = "1 or more"});
  }
  ir::Type out{*dtype, v.in[0].shape};
  out.shape.push_back(v.attrs.integer("classes"));
  require_float(out, "the output");
  return {out};
}

void reference(const ir::OpView& v, std::span<const ir::RefTensor> in, std::span<ir::RefTensor> out,
               const ir::RunContext&) {
  const auto classes = static_cast<size_t>(v.attrs.integer("classes"));
  for (size_t r = 0; r < in[0].data.size(); ++r)
    for (size_t c = 0; c < classes; ++c) out[0].data[r * classes + c] = in[0].data[r] == static_cast<double>(c);
}

std::unique_ptr<ir::Kernel> cpu(const ir::OpView& v, int threads) {
  const int64_t rows = v.in[0].shape.elements(), classes = v.attrs.integer("classes");
  return with_float(v.out[0].dtype, [&]<typename T>(T) {
    return ir::make_kernel([=](const ir::KernelArgs& args) {
      const int32_t* ids = args.input<int32_t>(0);
      T* y = args.output<T>(0);
      backend::parallel_for(threads_for(rows * classes, threads), rows, [&](int64_t r) {
        std::fill_n(y + r * classes, classes, store<T>(0.0F));
        if (ids[r] >= 0 && ids[r] < classes) y[r * classes + ids[r]] = store<T>(1.0F);
      });
    });
  });
}

std::vector<ir::Sample> samples() {
  std::vector<ir::Sample> list;
  for (const char* dtype : {"f32", "bf16", "f16"}) {
    for (const Shape& shape : {Shape{}, Shape{3, 5}, Shape{17}, Shape{0}})
      list.push_back({.in = {i32(shape)},
                      .attrs = {{"classes", int64_t{33}}, {"dtype", std::string(dtype)}},
                      .fill = {{.kind = ir::Fill::ids, .high = 40}}});  // some are out of range
  }
  list.push_back({.in = {i32({3, 64})},
                  .attrs = {{"classes", int64_t{256}}},
                  .fill = {{.kind = ir::Fill::ids, .high = 256}},
                  .shipped = true});
  return list;
}

}  // namespace

const OpDef one_hot_op{.name = "one_hot",
                       .doc = "i32[..] -> [.., V]: 1 at the id, 0 elsewhere",
                       .attrs = attrs,
                       .min_inputs = 1,
                       .max_inputs = 1,
                       .infer = infer,
                       .reference = reference,
                       .cpu = cpu,
                       .samples = samples,
                       .traits = {.differentiable = false}};

Tensor one_hot(Tensor ids, int64_t classes, DType dtype) {
  return ids.builder().emit1(one_hot_op, {ids}, {{"classes", classes}, {"dtype", std::string(name(dtype))}});
}

}  // namespace ringmaster::ops
