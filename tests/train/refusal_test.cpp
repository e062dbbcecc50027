// SPDX-License-Identifier: Apache-2.0
// What a run refuses before step 1: exit 2, place, cure, and nothing created.
#include "checkpoint/run_folder.h"
#include "tests/train/tiny_run.h"
#include "train/saved.h"

namespace ringmaster::train {
namespace {

// check() throws it, train() returns its code on two ranks, and neither leaves anything behind.
ErrorInfo refused(const TinyRun& run, const TrainOptions& options, ErrorKind kind) {
  const bool existed = std::filesystem::exists(run.folder());
  const ErrorInfo e = error_of([&] { check(options); });
  EXPECT_EQ(name(e.kind), std::string(name(kind))) << e.message;
  EXPECT_FALSE(e.message.empty());
  EXPECT_FALSE(e.cure.empty()) << e.message;
  testing::internal::CaptureStderr();
  EXPECT_EQ(TinyRun::start(2, options), exit_code(kind));
  EXPECT_NE(testing::internal::GetCapturedStderr().find(e.message), std::string::npos);
  EXPECT_EQ(std::filesystem::exists(run.folder()), existed);
  return e;
}

TEST(Refusal, DataThatIsMissingEmptyAFolderOrShort) {
  const TinyRun run;
  TinyRun::write(run / "empty.txt", "");
  TinyRun::write(run / "window.txt", some_text(8));
  TinyRun::write(run / "batch.txt", some_text(40));
  std::filesystem::create_directory(run / "folder.txt");
  for (const char* file : {"no-such-file.txt", "empty.txt", "folder.txt", "window.txt", "batch.txt"}) {
    TrainOptions options = run.options();
    options.resolved.config.data.path = {(run / file).string()};
    const ErrorInfo e = refused(run, options, ErrorKind::data);
    EXPECT_NE((e.message + e.file).find(file), std::string::npos) << e.message;
  }
}

TEST(Refusal, NoDataAtAll) {
  const TinyRun run;
  TrainOptions options = run.options();
  options.resolved.config.data.path.clear();
  EXPECT_EQ(refused(run, options, ErrorKind::config).key, "data.path");
}

TEST(Refusal, AnUnknownRecipeAtItsPlace) {
  const TinyRun run;
  const ErrorInfo e = refused(run, run.options({"model.recipe=langage_model"}), ErrorKind::config);
  EXPECT_EQ(e.cure, "did you mean `language_model`?");
  EXPECT_EQ(e.excerpt, "--set model.recipe=langage_model");
}

TEST(Refusal, ABestStepWhereNoStepIsBest) {
  const TinyRun run("model: {recipe: wgan_gp}\ndata: {source: generated}\ntraining: {steps: 1}\n");
  EXPECT_EQ(refused(run, run.options({"checkpoint.keep_best=true"}), ErrorKind::config).key, "checkpoint.keep_best");
}

TEST(Refusal, AnUnknownPass) {
  const TinyRun run;
  TrainOptions options = run.options();
  options.disabled_passes = {"shcedule"};
  refused(run, options, ErrorKind::usage);
}

TEST(Refusal, AFolderThatIsNotOurs) {
  const TinyRun run;
  std::filesystem::create_directory(run.folder());
  TinyRun::write(run.folder() / "thesis.txt", "do not touch");
  refused(run, run.options(), ErrorKind::config);
  EXPECT_EQ(list_folder(run.folder()).size(), 1U);
}

TEST(Refusal, ASecondStartInTheSameFolder) {
  const TinyRun run;
  const auto live = checkpoint::RunFolder::claim(run.folder(), "0");
  EXPECT_NE(refused(run, run.options(), ErrorKind::config).message.find("live run"), std::string::npos);
}

TEST(Refusal, ChangedKeysNamingBothValues) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  for (const auto& [key, now, then] : {std::array{"model.width", "32", "16"},
                                       {"optimizer.lr", "0.5", "0.01"},
                                       {"training.seed", "7", "1234"},
                                       {"training.steps", "3", "4"},
                                       {"data.validation_fraction", "0.2", "0.1"}}) {
    const ErrorInfo e = refused(run, run.options({std::string(key) + "=" + now}), ErrorKind::config);
    EXPECT_EQ(e.key, key);
    EXPECT_EQ(e.found, now);
    EXPECT_NE(e.message.find(then), std::string::npos) << e.message;
  }
  EXPECT_EQ(run.train(2, {"training.steps=5", "metrics.log_freq=2", "checkpoint.keep_latest_k=9"}),
            0);  // these may change
}

TEST(Refusal, ChangedData) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  std::string text = some_text(6000);
  text[100] = '!';
  TinyRun::write(run.data(), text);
  EXPECT_EQ(refused(run, run.options({"training.steps=8"}), ErrorKind::config).key, "data.path");
}

TEST(Refusal, ATruncatedCheckpoint) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  const Path model = run.folder() / "checkpoint" / "step-00000004" / "model.safetensors";
  std::filesystem::resize_file(model, std::filesystem::file_size(model) - 5);
  const ErrorInfo e = refused(run, run.options({"training.steps=8"}), ErrorKind::checkpoint);
  EXPECT_NE((e.message + e.file).find("model.safetensors"), std::string::npos);
}

TEST(Refusal, AResumeFolderThatHoldsNothing) {
  const TinyRun run;
  TrainOptions options = run.options();
  options.resume = Resume::folder;
  options.resume_from = run / "nowhere";
  refused(run, options, ErrorKind::checkpoint);
}

}  // namespace
}  // namespace ringmaster::train
