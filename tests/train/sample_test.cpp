// SPDX-License-Identifier: Apache-2.0
// Text with and without caches: the same logits to the bit, the same tokens, inside the context and past it.
#include "train/sample.h"

#include "tests/train/tiny_run.h"
#include "train/session.h"

#include <cstring>
#include <set>

namespace ringmaster::train {
namespace {

using Text = std::vector<int32_t>;

// A session over random weights, large enough that different contexts give different tokens.
struct Model {
  Model(const TinyRun& run, const std::vector<std::string>& sets, int threads, uint64_t seed)
      : config(run.resolved(sets).config),
        comm(comm::make_single()),
        session(config, *comm, {.programs = {.sampler = true, .decoder = true, .threads = threads}}) {
    session.initialise(seed);
    for (const ir::State& s : session.programs().states) {
      if (s.role != ir::StateRole::weight || s.type.shape.rank() < 2) continue;
      auto* x = static_cast<float*>(session.state(s.name));
      for (int64_t i = 0; i < s.type.shape.elements(); ++i) x[i] *= 12.0F;
    }
  }
  Text write(const Text& prompt, bool cached, const models::Choice& choice, int64_t tokens, uint64_t seed = 0) {
    return models::generate_text(
        {session.executor("sampler"), cached ? &session.executor("decoder") : nullptr}, prompt,
        {.seq_len = config.training.seq_len, .tokens = tokens, .choice = choice, .seed = seed});
  }

  config::Config config;
  std::unique_ptr<comm::Communicator> comm;
  Session session;
};

const std::vector<std::vector<std::string>> shapes{
    {},
    {"model.layers=3", "model.heads=3", "model.width=33", "training.seq_len=19"},
    {"model.layers=2", "model.heads=1", "model.width=20", "training.seq_len=37", "model.tied_embeddings=false"},
    {"model.layers=2", "model.heads=4", "model.width=128", "training.seq_len=32"},
    {"model.layers=1", "model.heads=2", "model.width=16", "training.seq_len=2"}};

TEST(Cache, LogitsAreTheUncachedOnesToTheBitAtEveryPosition) {
  const TinyRun run;
  auto all = shapes;  // and one so wide that oneDNN's product of one row has other bits than that of many
  all.push_back({"model.layers=1", "model.heads=12", "model.width=768", "training.seq_len=12"});
  for (const auto& sets : all)
    for (const int threads : {1, 2}) {
      Model model(run, sets, threads, 5);
      exec::Executor &whole = model.session.executor("sampler"), &decoder = model.session.executor("decoder");
      const int64_t T = model.config.training.seq_len;
      Text text;
      for (int64_t i = 0; i < T; ++i) {
        text.push_back(static_cast<int32_t>((i * 37 + 11) % 256));
        *static_cast<int32_t*>(decoder.input("token", 0)) = text.back();
        decoder.set_scalar("position", static_cast<double>(i));
        decoder.run({}, 1);
        const auto got = decoder.output("logits");
        const std::vector<float> cached(got.begin(), got.end());
        auto* tokens = static_cast<int32_t*>(whole.input("tokens", 0));
        auto* select = static_cast<float*>(whole.input("select", 0));
        std::fill_n(tokens, T, 3);  // what follows does not matter
        std::copy(text.begin(), text.end(), tokens);
        std::fill_n(select, T, 0.0F);
        select[i] = 1.0F;
        whole.run({}, 1);
        const auto expected = whole.output("logits");
        ASSERT_EQ(cached.size(), expected.size());
        ASSERT_EQ(std::memcmp(cached.data(), expected.data(), cached.size() * sizeof(float)), 0)
            << "position " << i << " of " << T << ", " << threads << " threads, width " << model.config.model.width;
      }
    }
}

TEST(Cache, TextsAreTheUncachedOnes) {
  const TinyRun run;
  const models::Choice choices[] = {
      {.temperature = 0}, {}, {.temperature = 0.7, .top_k = 20}, {.temperature = 1.3, .top_k = 50, .top_p = 0.8}};
  std::set<Text> different;
  for (const auto& sets : shapes)
    for (const uint64_t seed : {1, 2}) {
      Model model(run, sets, 1, seed);
      const int64_t T = model.config.training.seq_len;
      // shorter than the context, as long, longer; the caches still hold the sequence before
      for (const int64_t length : {T, int64_t{1}, T / 2 + 1, T + 3}) {
        Text prompt;
        for (int64_t i = 0; i < length; ++i) prompt.push_back(static_cast<int32_t>((i * i + length) % 256));
        for (const models::Choice& choice : choices) {
          const Text cached = model.write(prompt, true, choice, T + 5, seed);
          ASSERT_EQ(cached, model.write(prompt, false, choice, T + 5, seed)) << "prompt of " << length << " of " << T;
          different.insert(cached);
        }
      }
    }
  EXPECT_GT(different.size(), 100U);
}

TEST(Cache, IsStateThatIsPlannedAndInNoCheckpoint) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  const config::Config c = run.resolved().config;
  const Programs with = compile(c, {.sampler = true, .decoder = true}), without = compile(c, {.sampler = true});
  // keys and values of every layer, f32
  const int64_t bytes = 2 * c.model.layers * c.model.width * c.training.seq_len * 4;
  EXPECT_EQ(with.layout.end - without.layout.end, bytes);
  const Compiled* decoder = with.find("decoder");
  ASSERT_NE(decoder, nullptr);
  EXPECT_EQ(without.find("decoder"), nullptr);
  int64_t sum = 0;
  for (const auto& [category, n] : ir::by_category(decoder->placement, with.layout)) sum += n;
  EXPECT_EQ(sum, decoder->placement.peak_bytes);
  // appended in place: what update_slice gives lies where the state lies
  int updates = 0;
  for (const ir::NodeId id : decoder->graph.regions().front().nodes) {
    const ir::Node& node = decoder->graph.node(id);
    if (std::string(node.op->name) != "state_write") continue;
    ++updates;
    EXPECT_EQ(decoder->placement.values[static_cast<size_t>(node.inputs[0])].offset,
              with.layout.offset.at(node.attrs.text("name")));
  }
  EXPECT_EQ(updates, 2 * c.model.layers);
}

TEST(Cache, IsInNoOtherProgram) {
  const TinyRun run;
  const Programs programs =
      compile(run.resolved().config, {.train = true, .validation = true, .sampler = true, .decoder = true});
  ASSERT_EQ(programs.compiled.size(), 4U);
  for (const Compiled& program : programs.compiled) {
    const bool decodes = program.graph.name() == "decoder";
    const std::string text = ir::print(program.graph);
    for (const char* sign : {"state cache", "update_slice", "softmax_at"})
      EXPECT_EQ(text.find(sign) != std::string::npos, decodes) << sign << " in " << program.graph.name();
    const bool samples = decodes || program.graph.name() == "sampler";
    EXPECT_EQ(text.find("row_stable") != std::string::npos, samples) << program.graph.name();
  }
  for (const ir::State& s : compile(run.resolved().config, {.train = true, .validation = true}).states)
    EXPECT_NE(s.role, ir::StateRole::cache) << s.name;
}

TEST(Sample, CachedAndUncachedBytesAreEqualOnAnyNumberOfRanks) {
  const TinyRun run;
  ASSERT_EQ(run.train(2), 0);
  const auto texts = [&](const SampleOptions& options, int ranks) {
    std::vector<std::string> made;
    comm::run_ranks(ranks,
                    [&](comm::Communicator& comm) {
                      const auto mine = sample(options, comm);
                      if (comm.rank() == 0) made = mine;
                    },
                    {.timeout_s = 60});
    return made;
  };
  // no prompt, one token, a few, as long as the context (8) and longer
  for (const char* prompt : {"", "t", "the ", "the ring", "the ring goes round and never "})
    for (const double temperature : {0.0, 0.9}) {
      SampleOptions options{.from = run.folder(),
                            .prompt = prompt,
                            .count = 3,
                            .tokens = 20,
                            .choice = {.temperature = temperature, .top_k = 30, .top_p = 0.95},
                            .cache = false,
                            .seed = 3};
      const std::vector<std::string> uncached = texts(options, 1);
      ASSERT_EQ(uncached.size(), 3U);
      EXPECT_EQ(uncached[0] == uncached[1], temperature == 0) << prompt;
      options.cache = true;
      EXPECT_EQ(texts(options, 1), uncached) << prompt;
      EXPECT_EQ(texts(options, 2), uncached) << prompt;
      options.count = 1;
      EXPECT_EQ(texts(options, 2), std::vector<std::string>{uncached[0]}) << prompt;
    }
}

TEST(Sample, IdsAreThoseOfTheText) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  const auto comm = comm::make_single();
  const std::string text = sample({.from = run.folder(), .prompt = "the", .tokens = 20}, *comm).front();
  std::string ids;
  for (const unsigned char c : text) ids += fmt::format("{}{}", ids.empty() ? "" : " ", c);
  EXPECT_EQ(sample({.from = run.folder(), .prompt = "116 104 101", .ids = true, .tokens = 20}, *comm).front(), ids);
}

TEST(Sample, RefusesAChoiceOutOfRange) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  const auto comm = comm::make_single();
  const auto key = [&](const models::Choice& choice) {
    return error_of([&] { sample({.from = run.folder(), .choice = choice}, *comm); }).key;
  };
  EXPECT_EQ(key({.temperature = -1}), "--temperature");
  EXPECT_EQ(key({.top_k = -1}), "--top-k");
  EXPECT_EQ(key({.top_p = 0}), "--top-p");
  EXPECT_EQ(key({.top_p = 1.5}), "--top-p");
}

}  // namespace
}  // namespace ringmaster::train
