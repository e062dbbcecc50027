// SPDX-License-Identifier: Apache-2.0
// A session fills weights piece by piece: a table of several pieces holds what its initialiser gives at once, in every form.
#include "core/halves.h"
#include "nn/optimizer.h"
#include "tests/train/tiny_run.h"
#include "train/session.h"

namespace ringmaster::train {
namespace {

const char* const large_table =  // 256 x 1040: one whole piece of 2^18 elements and a rest
    "model: {layers: 1, heads: 1, width: 1040}\ntraining: {seq_len: 8, global_batch_size: 1, seed: 4}\n"
    "precision: {compute: bf16}\nema: {decay: 0.5}\n";

TEST(Initialise, AWeightOfSeveralPiecesIsWholeInEveryForm) {
  for (const std::string master : {"f32", "split"}) {
    const TinyRun run(large_table);
    const config::Config c = run.resolved({"precision.master=" + master}).config;
    const auto comm = comm::make_single();
    Session session(c, *comm, {.programs = {.train = true}});
    session.initialise(c.training.seed);
    const nn::Parameter* table = nullptr;
    for (const nn::Parameter& p : session.recipe().networks().front().parameters())
      if (p.shape.elements() > 1 << 18 && (table == nullptr || p.shape.elements() < table->shape.elements()))
        table = &p;
    ASSERT_NE(table, nullptr);
    std::vector<float> expected(static_cast<size_t>(table->shape.elements()));
    nn::initialise(*table, c.training.seed, 0, expected);
    const auto* average = static_cast<const float*>(session.state(nn::average_name(table->name)));
    const auto* shadow = static_cast<const bf16*>(session.state(ir::shadow_name(table->name)));
    const auto* f32 = master == "f32" ? static_cast<const float*>(session.state(table->name)) : nullptr;
    const auto* rest =
        master == "split" ? static_cast<const uint16_t*>(session.state(ir::remainder_name(table->name))) : nullptr;
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(average[i], expected[i]) << i;
      ASSERT_EQ(f32 != nullptr ? f32[i] : joined({shadow[i], rest[i]}), expected[i]) << i;
      ASSERT_TRUE(rest != nullptr || shadow[i].bits == to_bf16(expected[i]).bits) << i;
    }
  }
}

}  // namespace
}  // namespace ringmaster::train
