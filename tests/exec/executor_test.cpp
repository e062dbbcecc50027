// SPDX-License-Identifier: Apache-2.0
// The executor against the reference evaluator on a program with everything in it: regions, batches of several grains,
// states, runtime scalars, collectives, views and in-place updates.
#include "exec/executor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>

#include "core/error.h"
#include "core/philox.h"
#include "ir/eval.h"
#include "tests/passes/pass_test_util.h"

namespace ringmaster::exec {
namespace {

// least squares: loss = sum |x w + b - y|^2 / n, one step of SGD with momentum
const char* const regression = R"(program regression
state weight f32[5,3] "w"
state weight f32[3] "b"
state optimizer f32[5,3] "w.velocity"
for grain
  %x f32[4,5] = input() name="x" shape=[4,5]
  %y f32[12] = input() name="y" shape=[12]
  %w f32[5,3] = state_read() name="w" shape=[5,3]
  %b f32[3] = state_read() name="b" shape=[3]
  %xw f32[4,3] = matmul(%x, %w)
  %p f32[4,3] = add(%xw, %b)
  %t f32[4,3] = reshape(%y) shape=[4,3]
  %d f32[4,3] = sub(%p, %t)
  %q f32[4,3] = mul(%d, %d)
  %s f32[] = sum(%q) dims=[0,1]
  %l f32[] = loss_term(%s) weight="n"
  %e f32[GRAINS] = grain_gather(%l) grains=GRAINS
step
  %rw f32[5,3] = state_read() name="w" shape=[5,3]
  %gw f32[5,3] = gradient(%rw)
  %rb f32[3] = state_read() name="b" shape=[3]
  %gb f32[3] = gradient(%rb)
  %v f32[5,3] = state_read() name="w.velocity" shape=[5,3]
  %squares f64[2] = square_sums(%gw, %gb)
  %norm f32[] = norm(%squares)
  %total f32[] = sum(%e) dims=[0]
  %n f32[] = scalar() name="n"
  %loss f32[] = div(%total, %n)
  %lr f32[] = scalar() name="lr"
  %step f32[] = scalar() name="step"
  %clip f32[] = clip_factor(%norm) max_norm=0.5
  %commit i32[] = decision(%norm, %loss)
  %w2 f32[5,3], %v2 f32[5,3] = sgd(%rw, %v, %gw, %lr, %step, %clip, %commit) momentum=0.9
  state_write(%w2) name="w"
  state_write(%v2) name="w.velocity"
  output(%loss) name="loss"
  output(%norm) name="norm"
  output(%commit) name="commit"
  output(%gb) name="gb"
)";

float draw(uint64_t what, uint64_t i) {
  return 2.0F * uniform(RandomStream({.seed = 5, .stream = what}).words(0, i)[0]) - 1.0F;
}

std::string with_grains(int64_t grains) {
  std::string text = regression;
  for (size_t at = text.find("GRAINS"); at != std::string::npos; at = text.find("GRAINS"))
    text.replace(at, 6, std::to_string(grains));
  return text;
}

struct Outcome {
  double loss = 0, norm = 0, commit = 0;
  std::vector<float> w, velocity, gb;
};

constexpr double lr = 0.1, weight = 7.0;

Outcome run_ranks_outcome(int ranks, int64_t grains, double poison = 0.0) {
  Outcome outcome;
  std::mutex mutex;
  comm::run_ranks(ranks, [&](comm::Communicator& comm) {
    ir::Graph graph = passes::graph_of(with_grains(grains));
    Fabric fabric(comm);
    passes::run(graph, {.ranks = ranks});
    const Deal mine = deal(grains, comm.rank(), comm.size());
    const ir::StateLayout states = ir::lay_out(graph.states());
    Prepared prepared = prepare(graph, {.threads = 1, .team = fabric.team()});
    ir::Placement placement =
        passes::place(graph, {.local_grains = mine.count, .scratch_bytes = prepared.scratch_bytes, .states = &states});
    const int64_t planned = placement.peak_bytes;
    Arena arena(planned);
    arena.paint();
    const auto state = [&](const char* name) {
      return reinterpret_cast<float*>(arena.data() + states.offset.at(name));
    };
    for (uint64_t i = 0; i < 15; ++i) state("w")[i] = draw(1, i);
    for (uint64_t i = 0; i < 3; ++i) state("b")[i] = draw(2, i);
    std::memset(state("w.velocity"), 0, 60);
    Executor executor(std::move(graph), std::move(prepared), std::move(placement), states, arena, fabric,
                      {.num_grains = grains, .deal = mine});
    for (int64_t g = 0; g < mine.count; ++g) {
      auto* x = static_cast<float*>(executor.input("x", g));
      auto* y = static_cast<float*>(executor.input("y", g));
      const auto grain = static_cast<uint64_t>(mine.first + g);
      for (uint64_t i = 0; i < 20; ++i) x[i] = draw(3, grain * 20 + i);
      for (uint64_t i = 0; i < 12; ++i) y[i] = draw(4, grain * 12 + i) + static_cast<float>(poison);
    }
    executor.set_scalar("n", weight);
    executor.set_scalar("lr", lr);
    executor.set_scalar("step", 1);
    executor.run({.seed = 1}, 4);
    EXPECT_EQ(arena.touched_bytes(), planned) << "rank " << comm.rank() << " of " << ranks;
    const std::lock_guard lock(mutex);
    if (comm.rank() != 0) {  // replicas agree to the bit
      return;
    }
    const auto gb = executor.output("gb");
    outcome = {executor.output_scalar("loss"),
               executor.output_scalar("norm"),
               executor.output_scalar("commit"),
               {state("w"), state("w") + 15},
               {state("w.velocity"), state("w.velocity") + 15},
               {gb.begin(), gb.end()}};
  });
  return outcome;
}

Outcome reference_outcome(int64_t grains) {
  ir::Graph graph = passes::graph_of(with_grains(grains));
  passes::autodiff(graph, {});
  const auto tensor = [](const Shape& shape, uint64_t what, uint64_t first) {
    ir::RefTensor t{{DType::f32, shape}, {}};
    for (int64_t i = 0; i < shape.elements(); ++i) t.data.push_back(draw(what, first + static_cast<uint64_t>(i)));
    return t;
  };
  ir::EvalInputs in{.scalars = {{"n", weight}, {"lr", lr}, {"step", 1}}, .num_grains = grains, .grain_size = 4};
  in.states = {{"w", tensor({5, 3}, 1, 0)},
               {"b", tensor({3}, 2, 0)},
               {"w.velocity", {{DType::f32, {5, 3}}, std::vector<double>(15)}}};
  for (int64_t g = 0; g < grains; ++g) {
    in.inputs["x"].push_back(tensor({4, 5}, 3, static_cast<uint64_t>(g) * 20));
    in.inputs["y"].push_back(tensor({12}, 4, static_cast<uint64_t>(g) * 12));
  }
  const auto out = ir::evaluate(graph, in);
  const auto floats = [](const std::vector<double>& v) { return std::vector<float>(v.begin(), v.end()); };
  return {out.at("loss").data[0],
          out.at("norm").data[0],
          out.at("commit").data[0],
          floats(in.states.at("w").data),
          floats(in.states.at("w.velocity").data),
          floats(out.at("gb").data)};
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5F) << i;
}

class OnRanks : public testing::TestWithParam<std::pair<int, int64_t>> {};

TEST_P(OnRanks, OneStepIsTheReferenceEvaluators) {
  const auto [ranks, grains] = GetParam();
  const Outcome ours = run_ranks_outcome(ranks, grains), reference = reference_outcome(grains);
  EXPECT_NEAR(ours.loss, reference.loss, 1e-5 * reference.loss);
  EXPECT_NEAR(ours.norm, reference.norm, 1e-5 * reference.norm);
  EXPECT_EQ(ours.commit, 1);
  expect_near(ours.w, reference.w);
  expect_near(ours.velocity, reference.velocity);
  expect_near(ours.gb, reference.gb);
}

// even, uneven, and more ranks than grains
INSTANTIATE_TEST_SUITE_P(Deals, OnRanks,
                         testing::Values(std::pair{1, 1}, std::pair{1, 4}, std::pair{2, 4}, std::pair{3, 4},
                                         std::pair{3, 2}, std::pair{5, 3}));

TEST(Executor, NothingIsWrittenWhenTheLossIsNotFinite) {
  const Outcome poisoned = run_ranks_outcome(2, 2, std::numeric_limits<double>::infinity());
  EXPECT_EQ(poisoned.commit, 0);
  for (uint64_t i = 0; i < 15; ++i) EXPECT_EQ(poisoned.w[i], draw(1, i));
  for (const float v : poisoned.velocity) EXPECT_EQ(v, 0.0F);
}

TEST(Deal, IsContiguousAndCoversEveryGrainOnce) {
  for (int size = 1; size <= 8; ++size) {
    for (int64_t grains = 0; grains <= 20; ++grains) {
      int64_t next = 0;
      for (int rank = 0; rank < size; ++rank) {
        const Deal d = deal(grains, rank, size);
        EXPECT_EQ(d.first, next);
        next += d.count;
      }
      EXPECT_EQ(next, grains);
    }
  }
}

TEST(Arena, TouchedBytesIsTheEndOfTheHighestWrittenLine) {
  Arena arena(10000);
  arena.paint();
  EXPECT_EQ(arena.touched_bytes(), 0);
  arena.data()[4097] = ~arena.data()[4097];
  EXPECT_EQ(arena.touched_bytes(), 4096 + 64);
}

}  // namespace
}  // namespace ringmaster::exec
