// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/store.h"

#include "checkpoint/hash.h"
#include "tests/checkpoint/sample.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

namespace ringmaster::checkpoint {
namespace {

Committed commit_step(const TempFolder& run, int64_t step, const CommitOptions& options = {}) {
  Sample sample(step);
  return commit(run.path(), sample.content(), options);
}

std::vector<int64_t> steps(const TempFolder& run) {
  std::vector<int64_t> steps;
  for (const Found& found : list(run.path())) steps.push_back(found.step);
  return steps;
}

}  // namespace

TEST(Commit, RoundTripsTensorsConfigStateAndHashes) {
  const TempFolder run;
  Sample sample(42);
  const Content& content = sample.content();
  const Committed done = commit(run.path(), content);
  EXPECT_EQ(done.path, run / "checkpoint/step-00000042");
  EXPECT_EQ(done.sequence, 1);

  const Loaded loaded = open(done.path);
  EXPECT_EQ(loaded.found().step, 42);
  EXPECT_EQ(loaded.found().bytes, done.bytes);
  EXPECT_EQ(loaded.config(), content.config);
  EXPECT_EQ(loaded.state(), content.state);
  for (const auto& [kind, tensors] :
       {std::pair(Kind::model, content.model), std::pair(Kind::optimizer, content.optimizer)}) {
    ASSERT_EQ(loaded.tensors(kind).size(), tensors.size());
    for (const TensorEntry& tensor : tensors) {
      const TensorEntry* found = loaded.find(kind, tensor.name);
      ASSERT_NE(found, nullptr) << tensor.name;
      EXPECT_EQ(found->shape, tensor.shape);
      EXPECT_EQ(std::memcmp(found->data, tensor.data, static_cast<size_t>(tensor.bytes())), 0) << tensor.name;
    }
  }
  EXPECT_TRUE(loaded.tensors(Kind::ema).empty());
  EXPECT_EQ(loaded.find(Kind::ema, "wte.weight"), nullptr);
  EXPECT_EQ(loaded.params_hash(), done.params_hash);
  EXPECT_EQ(loaded.state_hash(), done.state_hash);
  EXPECT_EQ(done.params_hash, params_hash(content.model));

  const Report report = verify(done.path);
  EXPECT_TRUE(report.valid);
  EXPECT_EQ(report.files, 4);
  EXPECT_EQ(report.tensors, 4);
  EXPECT_EQ(report.bytes, done.bytes);
  EXPECT_EQ(report.state_hash, done.state_hash);
}

TEST(Commit, AllButProvenanceIsByteIdenticalWhenWrittenAgain) {
  const TempFolder a, b;
  Sample sample, other;
  other.content().provenance = {{"host", "elsewhere"}, {"ranks", 8}};
  auto first = bytes_of(commit(a.path(), sample.content()).path);
  auto second = bytes_of(commit(b.path(), other.content()).path);
  EXPECT_NE(first.extract("provenance.json").mapped(), second.extract("provenance.json").mapped());
  EXPECT_EQ(first, second);
  EXPECT_EQ(first.size(), 5U);
}

TEST(Commit, ShardsAreNamedAndIndexedAsHuggingFaceDoes) {
  const TempFolder run;
  Sample sample;
  const Committed whole = commit(run.path(), sample.content());
  sample.content().step = 2;
  const Committed done = commit(run.path(), sample.content(), {.shard_bytes = 30});  // 6, 8 and 112 bytes
  const auto files = bytes_of(done.path);
  EXPECT_TRUE(files.contains("model-00001-of-00002.safetensors"));
  EXPECT_TRUE(files.contains("model-00002-of-00002.safetensors"));
  const auto index = nlohmann::json::parse(files.at("model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], 126);
  EXPECT_EQ(index["weight_map"]["scale"], "model-00001-of-00002.safetensors");
  EXPECT_EQ(index["weight_map"]["wte.weight"], "model-00002-of-00002.safetensors");
  EXPECT_EQ(open(done.path).params_hash(), whole.params_hash);
}

TEST(Commit, SequenceCountsCommitsWhateverStepAndMtimeSay) {
  const TempFolder run;
  EXPECT_FALSE(latest(run.path()));
  EXPECT_EQ(commit_step(run, 20).sequence, 1);
  EXPECT_EQ(commit_step(run, 10).sequence, 2);
  const auto year_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(24 * 365);
  std::filesystem::last_write_time(run / "checkpoint/step-00000010", year_ago);
  EXPECT_EQ(latest(run.path())->step, 10);
  EXPECT_EQ(latest(run.path())->sequence, 2);
}

TEST(Commit, TheSameStepAgainReplacesItAndBecomesTheNewest) {
  const TempFolder run;
  commit_step(run, 1);
  commit_step(run, 2);
  EXPECT_EQ(commit_step(run, 1).sequence, 3);
  EXPECT_EQ(steps(run), (std::vector<int64_t>{2, 1}));
  EXPECT_TRUE(verify(run / "checkpoint/step-00000001").valid);
  EXPECT_EQ(list_folder(run / "checkpoint").size(), 2U);  // what was replaced is gone
}

TEST(Commit, WhatADeadWriterLeftIsNeverLoadedAndRemovedNextTime) {
  const TempFolder run;
  const Committed done = commit_step(run, 1);
  std::filesystem::copy(done.path, run / "checkpoint/.tmp-step-00000009-77");
  EXPECT_EQ(latest(run.path())->step, 1);
  commit_step(run, 2);
  EXPECT_EQ(list_folder(run / "checkpoint"), (std::vector<std::string>{"step-00000001", "step-00000002"}));
}

TEST(Prune, KeepsTheNewestKOfTheSequence) {
  const TempFolder run;
  for (const int64_t step : {1, 5, 3, 4}) commit_step(run, step, {.keep_latest_k = 2});
  EXPECT_EQ(steps(run), (std::vector<int64_t>{3, 4}));
  commit_step(run, 6, {.keep_latest_k = 1, .keep_step = 3});
  EXPECT_EQ(steps(run), (std::vector<int64_t>{3, 6}));
  commit_step(run, 4, {.keep_latest_k = 2, .keep_step = 3});
  EXPECT_EQ(steps(run), (std::vector<int64_t>{3, 6, 4}));
  commit_step(run, 3);
  commit_step(run, 4, {.keep_latest_k = 2});
  EXPECT_EQ(steps(run), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(prune(run.path(), 0).size(), 0U);
  EXPECT_EQ(prune(run.path(), 1), std::vector<Path>{run / "checkpoint/step-00000003"});
  EXPECT_EQ(steps(run), std::vector<int64_t>{4});
}

TEST(Prune, ADamagedOneDoesNotCount) {
  const TempFolder run;
  for (const int64_t step : {1, 2, 3}) commit_step(run, step);
  overwrite(run / "checkpoint/step-00000003/state.json", "{}");
  EXPECT_EQ(prune(run.path(), 3).size(), 0U);
  EXPECT_EQ(prune(run.path(), 2).size(), 0U);  // 2 and 1 are the two that verify; the newest stays too
  EXPECT_EQ(steps(run), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(prune(run.path(), 1), std::vector<Path>{run / "checkpoint/step-00000001"});
  commit_step(run, 4, {.keep_latest_k = 2});
  EXPECT_EQ(steps(run), (std::vector<int64_t>{2, 4}));
}

TEST(Latest, ATruncatedNewestIsAnErrorThatNamesASoundOne) {
  const TempFolder run;
  const Committed sound = commit_step(run, 1), cut = commit_step(run, 2), also_cut = commit_step(run, 3);
  const auto bytes = std::filesystem::file_size(cut.path / "model.safetensors");
  std::filesystem::resize_file(cut.path / "model.safetensors", 4100);
  std::filesystem::resize_file(also_cut.path / "model.safetensors", 4100);
  const ErrorInfo info = error_of([&] { latest(run.path()); });
  EXPECT_EQ(info.kind, ErrorKind::checkpoint);
  EXPECT_EQ(info.file, (also_cut.path / "model.safetensors").string());
  EXPECT_EQ(info.found, "4100 bytes");
  EXPECT_EQ(info.expected, fmt::format("{} bytes", bytes));
  EXPECT_NE(info.message.find("at byte 4100"), std::string::npos) << info.message;
  EXPECT_NE(info.cure.find("--resume " + sound.path.string()), std::string::npos) << info.cure;
}

TEST(Latest, AnUnreadableManifestCouldBeTheNewest) {
  const TempFolder run;
  const Committed a = commit_step(run, 1), b = commit_step(run, 2);
  std::filesystem::remove(a.path / "manifest.json");
  const ErrorInfo info = error_of([&] { latest(run.path()); });
  EXPECT_EQ(info.file, (a.path / "manifest.json").string());
  EXPECT_NE(info.cure.find("--resume " + b.path.string()), std::string::npos) << info.cure;
  EXPECT_TRUE(prune(run.path(), 1).empty());
  commit_step(run, 3, {.keep_latest_k = 2});  // now it cannot be the newest any more
  EXPECT_EQ(steps(run), (std::vector<int64_t>{2, 3}));
}

TEST(Open, AFolderThatIsNoCheckpointIsAnError) {
  const TempFolder run;
  EXPECT_EQ(error_of([&] { open(run / "absent"); }).kind, ErrorKind::checkpoint);
  EXPECT_EQ(error_of([&] { open(run.path()); }).file, (run / "manifest.json").string());
  EXPECT_FALSE(verify(run / "absent").valid);
}

TEST(Open, ACopyUnderAnyNameOpens) {
  const TempFolder run;
  const Committed done = commit_step(run, 1);
  std::filesystem::copy(done.path, run / "best of all");
  EXPECT_EQ(open(run / "best of all/").found().step, 1);
  std::filesystem::copy(done.path, run / "step-00000002");
  EXPECT_EQ(error_of([&] { open(run / "step-00000002"); }).expected, "2");
}

}  // namespace ringmaster::checkpoint
