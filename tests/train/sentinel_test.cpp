// SPDX-License-Identifier: Apache-2.0
// A bit that flips in the memory of a run is found, with the tensor and the rank named, wherever it is kept.
#include "train/sentinel.h"

#include "data/open.h"
#include "tests/train/tiny_run.h"
#include "train/feed.h"

#include <gtest/gtest.h>

#include <mutex>

namespace ringmaster::train {
namespace {

struct Flip {
  int rank = 0;  // who flips it
  std::string state;
  bool before_hash = false;  // and so computes with it, where nobody but a replica can tell
};

// What the ranks say of it: errors by rank, "" where there is none.
std::vector<std::string> errors_of(int ranks, int ranks_per_node, const std::vector<std::string>& sets,
                                   const Flip& flip) {
  const TinyRun run;
  const config::Config c = run.resolved(sets).config;
  std::vector<std::string> errors(static_cast<size_t>(ranks));
  comm::run_ranks(ranks,
                  [&](comm::Communicator& comm) {
                    Wire wire(comm);
                    Session session(c, comm, {.programs = {.train = true}});
                    session.allocate();
                    session.initialise(c.training.seed);
                    comm::barrier(comm);
                    std::vector<PhaseRun> phases = phase_runs(session, wire);
                    Sentinel sentinel(session, wire, phases, 2);
                    PhaseRun& phase = phases.front();
                    const auto samples = data::open(c).training;
                    const auto maybe_flip = [&](bool now) {
                      if (!now || comm.rank() != flip.rank) return;
                      static_cast<unsigned char*>(session.state(flip.state))[5] ^= 4;
                    };
                    try {
                      for (int64_t step = 0; step < 4; ++step) {
                        feed_samples(phase.program(), *samples, phase.first_sample(step * 6, 0), c.training.grain_size);
                        phase.agree(false);
                        phase.run({.step = step, .lr = 0.01});
                        if (phase.needs_redo()) phase.run({.step = step, .lr = 0.01});
                        if (!phase.committed()) throw Error({.kind = ErrorKind::internal, .message = "not committed"});
                        maybe_flip(step == 1 && flip.before_hash);
                        comm::barrier(comm);
                        sentinel.committed(phase, step);
                        maybe_flip(step == 1 && !flip.before_hash);
                        comm::barrier(comm);
                      }
                    } catch (const Error& e) {
                      errors[static_cast<size_t>(comm.rank())] = e.info().message;
                      if (dynamic_cast<const AgreedError*>(&e) == nullptr)
                        throw;  // the others are told by the end of the job
                    }
                  },
                  {.timeout_s = 20, .ranks_per_node = ranks_per_node});
  return errors;
}

// The message of the rank that has found it; the end of the others does not count.
std::string found(int ranks, int ranks_per_node, const std::vector<std::string>& sets, const Flip& flip) {
  std::string message;
  try {
    for (const std::string& error : errors_of(ranks, ranks_per_node, sets, flip))
      if (message.empty()) message = error;
  } catch (const Error& e) { message = e.info().message; }
  return message;
}

TEST(Sentinel, IsSilentWhereNothingHasChanged) {
  for (const int per_node : {0, 1, 2}) EXPECT_EQ(found(4, per_node, {}, {.rank = -1}), "") << per_node;
}

// What is not committed writes grids and loss scales, and comes again.
TEST(Sentinel, LetsStepsBeSkippedAndDoneAgain) {
  for (const int ranks : {1, 2}) {
    const TinyRun redone(
        "model: {layers: 2, heads: 2, width: 16}\n"
        "training: {steps: 6, seq_len: 8, global_batch_size: 6, grain_size: 1, max_norm: 0, verify_interval: 1}\n"
        "optimizer: {name: sgd, lr: 3, momentum: 0.9}\n");
    ASSERT_EQ(redone.train(ranks), 0);
    EXPECT_GT(redone.summary()["redone_steps"], 1);
    const TinyRun skipped(
        "model: {layers: 1, heads: 2, width: 16}\nprecision: {compute: f16}\n"
        "training: {steps: 4, seq_len: 8, global_batch_size: 4, grain_size: 1, verify_interval: 1}\n");
    ASSERT_EQ(skipped.train(ranks), 0);
  }
}

TEST(Sentinel, NamesTheTensorAndTheRankWhoseBitsHaveChanged) {
  const std::string moment = "transformer.h.0.attn.c_attn.weight.first_moment";
  EXPECT_EQ(found(1, 0, {}, {.rank = 0, .state = moment}),
            "bits of " + moment + " have changed on rank 0 since it wrote them");
  EXPECT_EQ(found(2, 1, {}, {.rank = 1, .state = moment}),
            "bits of " + moment + " have changed on rank 1 since it wrote them");
  // One copy for the node: whoever flips a bit, the rank whose part it is finds it.
  EXPECT_NE(found(2, 0, {}, {.rank = 1, .state = moment}).find("bits of " + moment + " have changed on rank "),
            std::string::npos);
}

TEST(Sentinel, NamesTheRanksWhoseReplicasDiffer) {
  const std::string weight = "transformer.wpe.weight";
  EXPECT_EQ(found(3, 1, {}, {.rank = 2, .state = weight, .before_hash = true}),
            "ranks 0 and 2 hold other bits of " + weight);
  const std::string message = found(4, 2, {}, {.rank = 3, .state = weight, .before_hash = true});  // of the second node
  EXPECT_NE(message.find("hold other bits of " + weight), std::string::npos) << message;
  EXPECT_EQ(message.find("ranks 0 and 1 "), std::string::npos) << message;
}

}  // namespace
}  // namespace ringmaster::train
