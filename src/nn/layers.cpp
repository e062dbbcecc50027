// SPDX-License-Identifier: Apache-2.0
#include "nn/layers.h"

#include <cmath>

#include "core/error.h"
#include "ops/ops.h"

namespace ringmaster::nn {

using ir::ScopeGuard;

Linear::Linear(const Scope& scope, int64_t in, int64_t out, const Options& options)
    : path_(scope.path()), weight_(scope.parameter("weight", {in, out}, options.weight)) {
  if (options.bias) bias_ = scope.parameter("bias", {out}, Init::zeros());
}

Tensor Linear::operator()(Tensor x) const {
  ir::Builder& b = x.builder();
  const ScopeGuard scope(b, path_);
  return ops::linear(x, weight_->read(b), bias_ == nullptr ? Tensor() : bias_->read(b));
}

// He et al. 2015: relu halves the variance, so that of the weights is twice 1 / fan_in.
Mlp::Mlp(const Scope& scope, const Options& o) {
  for (int64_t i = 0; i <= o.layers; ++i) {
    const int64_t in = i == 0 ? o.in : o.width, out = i == o.layers ? o.out : o.width;
    const double std = std::sqrt((i == o.layers ? 1.0 : 2.0) / static_cast<double>(in));
    layers_.emplace_back(scope / i, in, out, Linear::Options{.weight = Init::normal(std)});
  }
}

Tensor Mlp::operator()(Tensor x) const {
  for (size_t i = 0; i < layers_.size(); ++i) x = i == 0 ? layers_[i](x) : layers_[i](ops::relu(x));
  return x;
}

LayerNorm::LayerNorm(const Scope& scope, int64_t width)
    : path_(scope.path()),
      gain_(scope.parameter("weight", {width}, Init::ones())),
      bias_(scope.parameter("bias", {width}, Init::zeros())) {}

Tensor LayerNorm::operator()(Tensor x) const {
  ir::Builder& b = x.builder();
  const ScopeGuard scope(b, path_);
  return ops::layer_norm(x, gain_->read(b), bias_->read(b));
}

Embedding::Embedding(const Scope& scope, int64_t count, int64_t width, const Init& init)
    : path_(scope.path()), weight_(scope.parameter("weight", {count, width}, init)) {}

Tensor Embedding::table(ir::Builder& builder) const { return weight_->read(builder); }

Tensor Embedding::operator()(Tensor ids) const {
  const ScopeGuard scope(ids.builder(), path_);
  return ops::embedding(table(ids.builder()), ids);
}

bool Dropout::acts(const ir::Builder& builder) const { return p_ != 0.0 && builder.training(); }

Tensor Dropout::operator()(Tensor x) const {
  if (!acts(x.builder())) return x;
  const ScopeGuard scope(x.builder(), path_);
  return ops::dropout(x, p_);
}

SelfAttention::SelfAttention(const Scope& scope, const Options& options)
    : path_(scope.path()),
      options_(options),
      qkv_(scope / "c_attn", options.width, 3 * options.width),
      projection_(scope / "c_proj", options.width, options.width, {.weight = options.projection}),
      dropout_(scope / "attn_dropout", options.dropout) {}

Tensor Cache::append(const std::string& name, Tensor x_BH1D) const {
  ir::Builder& b = x_BH1D.builder();
  Shape shape = x_BH1D.shape();
  shape.set(-2, length_);
  b.graph().add_state({name, {x_BH1D.dtype(), shape}, ir::StateRole::cache});
  const Tensor all = ops::update_slice(ops::state_read(b, name), x_BH1D, position_);
  ops::state_write(all, name);
  return all;
}

Tensor SelfAttention::operator()(Tensor x_BTC, const Cache* cache) const {
  const ScopeGuard scope(x_BTC.builder(), path_);
  const int64_t B = x_BTC.dim(0), T = x_BTC.dim(1), H = options_.heads, D = options_.width / H;
  CHECK(cache == nullptr || (options_.causal && T == 1), "{} has a cache for {} tokens", path_, T);
  const Tensor qkv_BT3HD = ops::reshape(qkv_(x_BTC), {B, T, 3, H, D});
  // what sees a token at a time must give the bits of what sees them all, and dropout acts on the weights: both want them
  if (cache == nullptr && !x_BTC.builder().row_stable() && !dropout_.acts(x_BTC.builder())) {
    const Tensor y_BTHD = ops::self_attention(qkv_BT3HD, {.causal = options_.causal});
    return projection_(ops::reshape(y_BTHD, {B, T, options_.width}));
  }
  const Tensor qkv_3BHTD = ops::transpose(qkv_BT3HD, {2, 0, 3, 1, 4});
  const std::vector<Tensor> parts = ops::split(qkv_3BHTD, 0, {1, 1, 1});
  const auto head = [&](int i) { return ops::reshape(parts[static_cast<size_t>(i)], {B, H, T, D}); };
  const Tensor keys = cache == nullptr ? head(1) : cache->append(path_ + ".keys", head(1));
  const Tensor scores =  // [B,H,T,T]; with a cache [B,H,1,length]
      ops::scale(ops::matmul(head(0), keys, {.transpose_b = true}), 1.0 / std::sqrt(static_cast<double>(D)));
  const Tensor weights =
      cache == nullptr ? ops::softmax(scores, options_.causal) : ops::softmax_at(scores, cache->position());
  const Tensor values = cache == nullptr ? head(2) : cache->append(path_ + ".values", head(2));
  const Tensor y_BHTD = ops::matmul(dropout_(weights), values);
  return projection_(ops::reshape(ops::transpose(y_BHTD, {0, 2, 1, 3}), {B, T, options_.width}));
}

}  // namespace ringmaster::nn
