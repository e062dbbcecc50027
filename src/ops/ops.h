// SPDX-License-Identifier: Apache-2.0
// ops: the table of contents. One declaration an op for C++ callers, one entry in all() for the list. Each op's formula, shapes,
// errors and paper stand in its file. B sequences, T tokens, C channels, H heads, V vocabulary, N rows.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/builder.h"

namespace ringmaster::ops {

using ir::OpDef;
using ir::Tensor;

// ---- structure (structure.cpp): what a program is made of
Tensor input(ir::Builder& b, const std::string& name, const ir::Type& type);       // a batch tensor of the grain
Tensor scalar(ir::Builder& b, const std::string& name, DType dtype = DType::f32);  // a runtime scalar of the step
Tensor state_read(ir::Builder& b, const std::string& name);                        // a persistent tensor
void state_write(Tensor value, const std::string& name, int64_t begin = -1);
void output(Tensor value, const std::string& name);  // read by the host after the run
// coefficient * sum / weight joins the phase's loss; `sum` is this grain's, `weight` names a runtime scalar (global). Its gradients,
// and not the loss, are multiplied by `scale` (f32[]).
Tensor loss_term(Tensor sum, const std::string& weight, double coefficient = 1.0, Tensor scale = {});
Tensor gradient_of(Tensor state);  // of the phase's loss; step region
struct FixedGradient {
  Tensor sum;    // i32: of the integers that each grain rounded its gradient to
  Tensor peaks;  // f32[G]: the largest magnitude in each grain
};
// The same in fixed point, on a grid of those of the state `maxima` (grids.cpp).
FixedGradient gradient_of(Tensor state, const std::string& maxima, int64_t grid, int64_t num_grains);
Tensor grain_sum(std::span<const Tensor> xs);
FixedGradient grain_sum(std::span<const Tensor> xs, Tensor grid, int64_t num_grains);  // grid: f32[]
Tensor grain_gather(Tensor x, int64_t num_grains);                                     // scalar a grain -> [num_grains]

// ---- elementwise; binary ones broadcast (NumPy rules)
Tensor add(Tensor a, Tensor b);
Tensor sub(Tensor a, Tensor b);
Tensor mul(Tensor a, Tensor b);
Tensor div(Tensor a, Tensor b);
Tensor scale(Tensor x, double factor);  // factor * x
Tensor shift(Tensor x, double offset);  // x + offset
Tensor exp(Tensor x);
Tensor log(Tensor x);
Tensor sqrt(Tensor x);
Tensor tanh(Tensor x);
Tensor gelu(Tensor x);  // tanh approximation
Tensor relu(Tensor x);
Tensor leaky_relu(Tensor x, double slope = 0.2);
Tensor maximum(Tensor a, Tensor b);  // at a tie both take half of the gradient
Tensor minimum(Tensor a, Tensor b);
Tensor greater(Tensor a, Tensor b);  // 1 where a > b, else 0; no gradient
Tensor equal(Tensor a, Tensor b);    // 1 where a == b, else 0; no gradient
Tensor cast(Tensor x, DType dtype);
Tensor join_master(Tensor weight, Tensor remainder);  // bf16, u16 -> f32: the halves of a split master
Tensor dropout(Tensor x, double p);                   // scaled by 1/(1-p); stream = scope and call index
Tensor stop_gradient(Tensor x);
Tensor full(ir::Builder& b, const ir::Type& type, double value);  // a constant
inline Tensor square(Tensor x) { return mul(x, x); }
inline Tensor abs(Tensor x) { return maximum(x, scale(x, -1.0)); }                      // gradient 0 at 0
inline Tensor lerp(Tensor a, Tensor b, Tensor t) { return add(a, mul(t, sub(b, a))); }  // t 0: a, t 1: b

// ---- draws, anew in every step: f32 of a shape whose dim 0 counts the grain's samples. The stream is a hash of the scope and the
// call's index in it, or of a name: draws of one name and element are equal.
Tensor uniform(ir::Builder& b, const Shape& shape, const std::string& stream = "");  // [0, 1)
Tensor normal(ir::Builder& b, const Shape& shape, const std::string& stream = "");   // N(0, 1)

// ---- shape
Tensor reshape(Tensor x, const Shape& shape);            // one dim may be -1
Tensor transpose(Tensor x, std::vector<int64_t> order);  // out.dim(i) = x.dim(order[i])
Tensor broadcast_to(Tensor x, const Shape& shape);
Tensor update_slice(Tensor state, Tensor x, Tensor position);  // x [..,S,D] over rows position.. of [..,T,D]; i32[]
std::vector<Tensor> split(Tensor x, int64_t dim, std::vector<int64_t> sizes);
Tensor concat(std::span<const Tensor> xs, int64_t dim);

// ---- reductions
Tensor sum(Tensor x);  // all dims -> []
Tensor sum(Tensor x, std::vector<int64_t> dims, bool keep_dims);
Tensor mean(Tensor x);  // of all elements -> []
Tensor mean(Tensor x, const std::vector<int64_t>& dims, bool keep_dims);
Tensor norm_last(Tensor x,
                 double eps = 0.0);  // [..,C] -> [..]: sqrt(sum of squares + eps); eps bounds the gradient at 0
Tensor max_last(Tensor x);           // [..,C] -> [..,1], not differentiable (a shift, a report)
Tensor sum_to(Tensor x, const Shape& shape);  // reverses a broadcast: a sum and a reshape

// ---- networks
struct MatmulOptions {
  bool transpose_a = false;
  bool transpose_b = false;
};
Tensor matmul(Tensor a, Tensor b, MatmulOptions options = {});             // [..,M,K] x [..,K,N] -> [..,M,N]
Tensor linear(Tensor x, Tensor weight, Tensor bias = {});                  // [..,K] x [K,N] + [N]; also matmul
Tensor layer_norm(Tensor x, Tensor gain, Tensor bias, double eps = 1e-5);  // over the last dim
Tensor softmax(Tensor x, bool causal = false);  // over the last dim; causal: j <= i of [..,T,T]
Tensor softmax_at(Tensor x,
                  Tensor position);  // row `position` of a causal softmax: over j <= position of [..,C], i32[]
struct AttentionOptions {
  bool causal = false;
  double scale = 0.0;  // 0: 1/sqrt(D)
  Tensor lengths;      // i32[B]: keys that are no padding
};
Tensor attention(Tensor q, Tensor k, Tensor v, const AttentionOptions& options = {});  // [B,T,H,D] -> [B,Tq,H,D]
Tensor self_attention(Tensor qkv, const AttentionOptions& options = {});               // [B,T,3,H,D] -> [B,T,H,D]
Tensor embedding(Tensor table, Tensor ids);                                            // [V,C], i32[..] -> [..,C]
Tensor one_hot(Tensor ids, int64_t classes, DType dtype = DType::f32);                 // i32[..] -> [..,V]
Tensor cross_entropy(Tensor logits, Tensor targets);  // [..,V], i32[..] -> f32[..], nats
// cross_entropy(x weight^T, targets) without all logits at once; x [..,C], weight [V,C]; chunk "rows" or "vocabulary"
Tensor linear_cross_entropy(Tensor x, Tensor weight, Tensor targets, const std::string& chunk = "rows");

// ---- optimizers (all states f32; updates are skipped where commit is 0)
// -> f32[]; block by block, in f64. Of integers: gradient i is on grid i.
Tensor global_norm(std::span<const Tensor> gradients, std::span<const Tensor> grids = {});
inline constexpr int64_t norm_block = 65536;  // elements of one tensor; who computes a part computes whole blocks
inline int64_t norm_blocks(int64_t elements) { return (elements + norm_block - 1) / norm_block; }
Tensor square_sums(std::span<const Tensor> xs, std::span<const Tensor> grids = {});  // -> f64[blocks], of a global norm
Tensor decision(Tensor norm, Tensor loss,
                Tensor fits = {});                 // -> i32[]: 1 if both are finite, and `fits`, if given, is 1
Tensor clip_factor(Tensor norm, double max_norm);  // -> f32[]: min(1, max_norm / (norm + 1e-6))
struct LossScale {
  Tensor scale, inverse;  // f32[]
};
inline constexpr int64_t gradient_updates = 16;               // how many of the last ones decide the grids of gradients
std::vector<Tensor> grids(Tensor maxima, Tensor scale = {});  // f32[T,16] -> T times f32[]
struct NextGrids {
  Tensor maxima, fits;  // f32[T,16]; i32[]: 1, 0 or -1
};
NextGrids next_grids(Tensor maxima, Tensor step, Tensor scale, std::span<const Tensor> peaks);
LossScale loss_scale(Tensor state);                                     // i32[2]; f16 only
Tensor next_loss_scale(Tensor state, Tensor commit, Tensor fits = {});  // -> i32[2]
// The gradient that an update reads, as it is or in fixed point.
struct Gradient {
  Tensor value;
  Tensor grid = {};  // f32[], where value is i32
};
struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.0;
  bool decoupled = true;  // adamw; false: adam with L2
  double lr_factor = 1.0;
  double limit = 0.0;    // > 0: weights are clamped to [-limit, limit]
  int64_t rounding = 0;  // moments in bf16: the stream of random bits that rounds them
};
struct Adam {
  Tensor weight, first, second;
};
Adam adam(Tensor weight, const Gradient& gradient, Tensor first, Tensor second, Tensor lr, Tensor step, Tensor clip,
          Tensor commit, const AdamOptions& options);
struct SgdOptions {
  double momentum = 0.0, weight_decay = 0.0, lr_factor = 1.0;
  bool nesterov = false;
  double limit = 0.0;
  int64_t rounding = 0;
};
struct Sgd {
  Tensor weight, velocity;
};
Sgd sgd(Tensor weight, const Gradient& gradient, Tensor velocity, Tensor lr, Tensor step, Tensor clip, Tensor commit,
        const SgdOptions& options);

// decay * old + (1 - decay) * weight
Tensor average(Tensor old, Tensor weight, Tensor commit, double decay);

// ---- what ranks divide among themselves, and exchange (collectives.cpp)
Tensor part(Tensor x, int64_t begin, int64_t end);  // elements [begin, end), flat, as a view
std::vector<Tensor> all_reduce(std::span<const Tensor> xs, int64_t bucket, bool within_node = false);
std::vector<Tensor> reduce_scatter(std::span<const Tensor> xs, int64_t bucket, std::vector<int64_t> bounds);
void barrier(ir::Builder& b);

// Every op, sorted by name; an outside project's ops come through a registry of its own.
std::span<const OpDef* const> all();
const OpDef* find(std::string_view name);

inline Tensor operator+(Tensor a, Tensor b) { return add(a, b); }
inline Tensor operator-(Tensor a, Tensor b) { return sub(a, b); }
inline Tensor operator*(Tensor a, Tensor b) { return mul(a, b); }
inline Tensor operator/(Tensor a, Tensor b) { return div(a, b); }
inline Tensor operator-(Tensor x) { return scale(x, -1.0); }
inline Tensor operator*(double f, Tensor x) { return scale(x, f); }
inline Tensor operator+(Tensor x, double c) { return shift(x, c); }
inline Tensor operator-(Tensor x, double c) { return shift(x, -c); }

}  // namespace ringmaster::ops

// Tensor lives in ir, so its operators are found by argument lookup only from there.
namespace ringmaster::ir {
using ops::operator+;
using ops::operator-;
using ops::operator*;
using ops::operator/;
}  // namespace ringmaster::ir
