// SPDX-License-Identifier: Apache-2.0
// layers: thin modules over ops.   B sequences, T tokens, C channels, H heads, D = C / H
#pragma once
#include "nn/module.h"

namespace ringmaster::nn {

// y = x W + b,  W [in, out] (GPT-2's orientation), b [out]
class Linear {
 public:
  struct Options {
    Init weight = Init::normal(0.02);
    bool bias = true;
  };
  Linear(const Scope& scope, int64_t in, int64_t out, const Options& options);
  Linear(const Scope& scope, int64_t in, int64_t out) : Linear(scope, in, out, Options{}) {}
  Tensor operator()(Tensor x) const;

 private:
  std::string path_;
  const Parameter* weight_;
  const Parameter* bias_ = nullptr;
};

// Linear layers with relu between them: in, width x layers, out.     x_BI -> [B, out]
class Mlp {
 public:
  struct Options {
    int64_t in = 0, width = 0, layers = 1, out = 0;  // `layers` hidden ones
  };
  Mlp(const Scope& scope, const Options& options);
  Tensor operator()(Tensor x) const;

 private:
  std::vector<Linear> layers_;
};

// Ba et al. 2016, over the last dim
class LayerNorm {
 public:
  LayerNorm(const Scope& scope, int64_t width);
  Tensor operator()(Tensor x) const;

 private:
  std::string path_;
  const Parameter* gain_;
  const Parameter* bias_;
};

// A table [count, width]; ids i32[..] -> [.., width]
class Embedding {
 public:
  Embedding(const Scope& scope, int64_t count, int64_t width, const Init& init);
  Tensor operator()(Tensor ids) const;
  Tensor table(ir::Builder& builder) const;

 private:
  std::string path_;
  const Parameter* weight_;
};

// Zero with probability p while training, scaled by 1 / (1 - p); Srivastava et al. 2014
class Dropout {
 public:
  Dropout(const Scope& scope, double p) : path_(scope.path()), p_(p) {}
  Tensor operator()(Tensor x) const;
  bool acts(const ir::Builder& builder) const;  // false: it changes nothing in this program

 private:
  std::string path_;
  double p_;
};

// Where a program that sees one token a run keeps what attention must know of the tokens before it (a "KV cache").
class Cache {
 public:
  Cache(Tensor position, int64_t length) : position_(position), length_(length) {}
  // x_BH1D as row `position` of the state [B,H,length,D] of this name; all of the state, with what earlier runs left in it
  Tensor append(const std::string& name, Tensor x_BH1D) const;
  Tensor position() const { return position_; }  // i32[], of this run's token

 private:
  Tensor position_;
  int64_t length_;
};

// softmax(q k' / sqrt(D)) v over H heads; Vaswani et al. 2017, arXiv:1706.03762.   x_BTC -> [B,T,C]
//   with a cache x is one token, [B,1,C], and attends to itself and the tokens before it
class SelfAttention {
 public:
  struct Options {
    int64_t width = 0, heads = 1;
    bool causal = true;
    double dropout = 0.0;
    Init projection = Init::normal(0.02);
  };
  SelfAttention(const Scope& scope, const Options& options);
  Tensor operator()(Tensor x_BTC, const Cache* cache = nullptr) const;

 private:
  std::string path_;
  Options options_;
  Linear qkv_, projection_;
  Dropout dropout_;
};

}  // namespace ringmaster::nn
