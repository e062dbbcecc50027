// SPDX-License-Identifier: Apache-2.0
// attention: what attention.cpp and attention_grad.cpp share: the forms of the inputs, their check, and the weights out of
// primitives. B sequences, T tokens (q_len queries, k_len keys), H heads, D their width.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "backend/cpu/flash.h"
#include "ops/ops.h"

namespace ringmaster::ops {

extern const ir::AttrSpec attention_attrs[4];

// A node of attention, or of its gradient, which has the same inputs first. Throws Error (config) if they do not fit.
struct AttentionForm {
  explicit AttentionForm(const ir::OpView& v);

  bool packed, causal;
  int64_t batch = 0, q_len = 0, k_len = 0, heads = 0, dim = 0;
  double scale = 1.0;
  DType dtype = DType::f32;
  size_t tensors = 0;             // 1: qkv; 3: q, k, v
  std::optional<size_t> lengths;  // the input that holds them
  size_t inputs = 0;              // of attention; the gradient's own follow

  ir::Type y() const { return {dtype, {batch, q_len, heads, dim}}; }
  ir::Type lse() const { return {DType::f32, {batch, heads, q_len}}; }
  int64_t product_flops() const;  // of one product; a causal mask halves it
  // [q,k] of rows of D, or [q or k, D] of rows of the other: the two forms of product that attention is made of, whole
  ir::Gemm scores() const;
  ir::Gemm rows(bool of_keys) const;
  backend::FlashSpec spec() const;
  backend::FlashInputs pointers(const ir::KernelArgs& a) const;

  // where q (part 0), k or v of (b, t, h, d) lies, in elements of its tensor; input_of says which
  int64_t at(int part, int64_t b, int64_t t, int64_t h, int64_t d) const;
  size_t input_of(int part) const { return packed ? 0 : static_cast<size_t>(part); }
};

// How many keys query t of sequence b sees, for the references.
int64_t visible_keys(const AttentionForm& f, std::span<const ir::RefTensor> in, int64_t b, int64_t t);

// ---- decompositions
struct AttentionParts {
  AttentionParts(const AttentionForm& f, std::span<const Tensor> in);
  Tensor q, k, v;  // f32 [B,H,T,D]
  Tensor scores;   // f32 [B,H,q,k]: scale q k', -1e30 where unseen
  Tensor mask;     // 1 where seen, broadcasts to scores; invalid: everything is
  Tensor masked(Tensor x) const;
};
Tensor heads_first(Tensor x_BTHD);                // f32 [B,H,T,D]; the way back is the same transpose
Tensor tokens_first(Tensor x_BHTD, DType dtype);  // [B,T,H,D]

}  // namespace ringmaster::ops
