// SPDX-License-Identifier: Apache-2.0
#include "train/pretrained.h"

#include "checkpoint/pretrained.h"
#include "tests/train/tiny_run.h"
#include "train/evaluate.h"
#include "train/saved.h"

#include <algorithm>
#include <cstring>
#include <functional>

namespace ringmaster::train {
namespace {

using checkpoint::TensorEntry;
using nlohmann::json;

const std::vector<std::string> two_steps{"training.steps=2"};

// A finished tiny run and what is exported of it.
class Exchange {
 public:
  Exchange() { EXPECT_EQ(run.train(1, two_steps), 0); }

  Path exported(const std::string& name, DType dtype = DType::f32) const {
    export_pretrained({.from = run.folder(), .out = run / name, .dtype = dtype, .tokenizer_dir = {}});
    return run / name;
  }
  checkpoint::Loaded saved() const { return checkpoint::open(locate(run.folder())); }

  TinyRun run;
};

using Tensors = std::vector<TensorEntry>;
// The folder again with other tensors or another configuration.
void rewrite(const Path& folder, const std::function<void(Tensors&, json&)>& change) {
  json config;
  {
    const checkpoint::Pretrained old(folder);
    config = old.config();
    Tensors tensors;
    for (const auto& [name, tensor] : old.tensors()) tensors.push_back(tensor);
    change(tensors, config);
    checkpoint::write_safetensors(folder / "model.safetensors", tensors);
  }
  TinyRun::write(folder / "config.json", config.dump());
}
TensorEntry& named(Tensors& tensors, const std::string& name) {
  return *std::ranges::find(tensors, name, &TensorEntry::name);
}

ErrorInfo refused(const Path& folder, const Path& out) {
  const ErrorInfo e = error_of([&] { import_pretrained(folder, out); });
  EXPECT_FALSE(e.file.empty()) << e.message;
  EXPECT_FALSE(e.cure.empty()) << e.message;
  EXPECT_FALSE(std::filesystem::exists(out)) << e.message;
  return e;
}

TEST(Pretrained, ExportedAndImportedWeightsAreTheSameBytes) {
  const Exchange x;
  const Path folder = x.exported("hf");
  const Imported done = import_pretrained(folder, x.run / "imported");
  EXPECT_EQ(done.params_hash, x.saved().params_hash());
  EXPECT_EQ(done.checkpoint, x.run / "imported/checkpoint/step-00000000");
  export_pretrained({.from = x.run / "imported", .out = x.run / "again.safetensors", .tokenizer_dir = {}});
  EXPECT_EQ(read_file(x.run / "again.safetensors"), read_file(folder / "model.safetensors"));
  EXPECT_FALSE(json::parse(read_file(folder / "config.json")).contains("ringmaster"));
}

TEST(Pretrained, AveragedWeightsGoOutAndAnImportBeginsItsAverageWithThem) {
  const TinyRun run;
  ASSERT_EQ(run.train(1, {"training.steps=3", "ema.decay=0.5"}), 0);
  const Exported done =
      export_pretrained({.from = run.folder(), .out = run / "out", .dtype = DType::f32, .tokenizer_dir = {}});
  EXPECT_TRUE(done.averaged);
  const checkpoint::Loaded saved = checkpoint::open(locate(run.folder()));
  const checkpoint::Pretrained out(run / "out");
  const char* name = "transformer.wte.weight";
  const auto bytes = [](const TensorEntry& t) {
    const auto* data = static_cast<const char*>(t.data);
    return std::string(data, data + t.bytes());
  };
  const TensorEntry& written = out.tensors().at(name);
  EXPECT_EQ(bytes(written), bytes(*saved.find(checkpoint::Kind::ema, name)));
  EXPECT_NE(bytes(written), bytes(*saved.find(checkpoint::Kind::model, name)));

  import_pretrained(run / "out", run / "in");  // a rate of 0 leaves weights and average where they begin
  TrainOptions options = run.options({"training.steps=1", "ema.decay=0.5", "optimizer.lr=0"});
  options.resolved.config.output.dir = (run / "in").string();
  ASSERT_EQ(TinyRun::start(1, options), 0);
  const checkpoint::Loaded begun = checkpoint::open(locate(run / "in"));
  EXPECT_EQ(bytes(*begun.find(checkpoint::Kind::model, name)), bytes(written));
  EXPECT_EQ(bytes(*begun.find(checkpoint::Kind::ema, name)), bytes(written));
}

TEST(Pretrained, ARecipeThatTransformersDoNotKnowGoesOutAsAFileAlone) {
  const TinyRun run(
      "model: {recipe: wgan_gp, layers: 1, width: 8}\ntraining: {steps: 1, global_batch_size: 8}\n"
      "data: {source: generated}\n");
  ASSERT_EQ(run.train(1), 0);
  const ErrorInfo e = error_of(
      [&] { export_pretrained({.from = run.folder(), .out = run / "out", .dtype = DType::f32, .tokenizer_dir = {}}); });
  EXPECT_NE(e.expected.find(".safetensors"), std::string::npos);
  export_pretrained({.from = run.folder(), .out = run / "out.safetensors", .dtype = DType::f32, .tokenizer_dir = {}});
  EXPECT_TRUE(std::filesystem::exists(run / "out.safetensors"));
}

TEST(Pretrained, AnImportTrainsEvaluatesAndResumes) {
  const Exchange x;
  import_pretrained(x.exported("hf"), x.run / "imported");
  // What starts are the weights, not fresh ones.
  const auto comm = comm::make_single();
  const std::string data = x.run.data().string();
  const double of_run = evaluate({.from = x.run.folder(), .data = data}, *comm).validation_loss;
  EXPECT_EQ(evaluate({.from = x.run / "imported/checkpoint/step-00000000", .data = data}, *comm).validation_loss,
            of_run);

  // Another optimizer and batch than those of the run that the weights come from.
  std::vector<std::string> sets{"training.steps=3", "optimizer.lr=0.02", "training.global_batch_size=4",
                                "training.grain_size=1"};
  const auto start = [&] {
    TrainOptions options = x.run.options(sets);
    options.resolved.config.output.dir = (x.run / "imported").string();
    return TinyRun::start(2, options);
  };
  ASSERT_EQ(start(), 0);
  const auto three = checkpoint::open(locate(x.run / "imported"));
  EXPECT_EQ(three.found().step, 3);
  EXPECT_NE(three.params_hash(), x.saved().params_hash());
  EXPECT_FALSE(run_state(three).data_hash.empty());
  sets[0] = "training.steps=5";
  ASSERT_EQ(start(), 0);
  EXPECT_EQ(locate(x.run / "imported").filename(), "step-00000005");
}

TEST(Pretrained, AnImportIsHeldToItsModelAlone) {
  const Exchange x;
  import_pretrained(x.exported("hf"), x.run / "imported");
  TrainOptions options = x.run.options({"model.heads=4", "optimizer.lr=0.5"});
  options.resume = Resume::folder;
  options.resume_from = (x.run / "imported").string();
  const ErrorInfo e = error_of([&] { check(options); });
  EXPECT_EQ(e.key, "model.heads");
  EXPECT_EQ(e.found, "4");
  EXPECT_EQ(e.expected, "2");
}

TEST(Pretrained, NamesWithoutPrefixMasksAndATiedHead) {
  const Exchange x;
  const Path folder = x.exported("hf");
  const std::vector<float> mask(64, 1.0F);
  rewrite(folder, [&](Tensors& tensors, json&) {
    TensorEntry head = named(tensors, "transformer.wte.weight");
    head.name = "lm_head.weight";
    for (TensorEntry& tensor : tensors) tensor.name = tensor.name.substr(std::string("transformer.").size());
    tensors.push_back(head);
    tensors.push_back({"h.0.attn.bias", DType::f32, {1, 1, 8, 8}, mask.data()});
    tensors.push_back({"h.0.attn.masked_bias", DType::f32, {}, mask.data()});
  });
  EXPECT_EQ(import_pretrained(folder, x.run / "imported").params_hash, x.saved().params_hash());
}

TEST(Pretrained, SmallerTypesAreWidened) {
  const Exchange x;
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const std::string type(name(dtype));
    const Path folder = x.exported("hf-" + type, dtype), back = x.run / ("imported-" + type);
    import_pretrained(folder, back);
    const checkpoint::Loaded loaded = checkpoint::open(locate(back));
    const checkpoint::Pretrained narrow(folder);
    for (const TensorEntry& tensor : loaded.tensors(checkpoint::Kind::model)) {
      ASSERT_EQ(tensor.dtype, DType::f32);
      const auto wide = checkpoint::converted(narrow.tensors().at(tensor.name), DType::f32);
      EXPECT_EQ(std::memcmp(tensor.data, wide.data(), wide.size()), 0) << tensor.name;
    }
  }
}

TEST(Pretrained, FoldersThatAreNoGpt2AreRefusedAndNothingIsCreated) {
  const Exchange x;
  const Path folder = x.exported("hf"), out = x.run / "imported";
  const auto after = [&](const std::function<void(Tensors&, json&)>& change) {
    std::filesystem::remove_all(x.run / "bad");
    std::filesystem::copy(folder, x.run / "bad");
    rewrite(x.run / "bad", change);
    return refused(x.run / "bad", out);
  };
  const std::vector<int64_t> zeros(4096, 0);
  const std::string table = "transformer.wte.weight", gain = "transformer.ln_f.weight";
  EXPECT_EQ(after([](Tensors&, json& c) { c["model_type"] = "bert"; }).key, "model_type");
  EXPECT_NE(
      after([&](Tensors& t, json&) { std::erase_if(t, [&](auto& e) { return e.name == gain; }); }).message.find(gain),
      std::string::npos);
  const ErrorInfo shape = after([&](Tensors& t, json&) { named(t, table).shape = {16, 256}; });
  EXPECT_EQ(shape.found, "[16,256]");
  EXPECT_EQ(shape.expected, "[256,16]");
  EXPECT_NE(after([&](Tensors& t, json&) {
              named(t, gain) = {gain, DType::i64, {16}, zeros.data()};
            }).message.find("i64"),
            std::string::npos);
  EXPECT_NE(after([&](Tensors& t, json&) {
              t.push_back({"score.weight", DType::f32, {2}, zeros.data()});
            }).message.find("score.weight"),
            std::string::npos);
  EXPECT_NE(after([&](Tensors& t, json&) {
              t.push_back({"lm_head.weight", DType::f32, {256, 16}, zeros.data()});
            }).cure.find("tie_word_embeddings"),
            std::string::npos);
  EXPECT_NE(after([](Tensors&, json& c) { c["tie_word_embeddings"] = false; }).message.find("lm_head.weight"),
            std::string::npos);
  EXPECT_NE(after([](Tensors&, json& c) { c["n_layer"] = 2; }).message.find("h.1."), std::string::npos);
  EXPECT_NE(after([](Tensors&, json& c) { c["n_layer"] = int64_t{1} << 50; }).file.find("config.json"),
            std::string::npos);
}

TEST(Pretrained, AnImportTakesNoFolderOfAnother) {
  const Exchange x;
  const Path folder = x.exported("hf");
  std::filesystem::create_directory(x.run / "empty");
  EXPECT_NO_THROW(import_pretrained(folder, x.run / "empty"));
  for (const Path& taken : {x.run.folder(), x.run / "empty", x.run.data(), folder}) {
    const ErrorInfo e = error_of([&] { import_pretrained(folder, taken); });
    EXPECT_EQ(e.kind, ErrorKind::config) << e.message;
  }
  EXPECT_EQ(x.saved().found().step, 2);
}

TEST(Pretrained, AnExportNeverReplacesAndNeverEntersACheckpoint) {
  const Exchange x;
  const Path saved = locate(x.run.folder());
  for (const Path& out : {x.run.data(), x.run.folder(), saved / "hf", saved / "model.hf.safetensors",
                          saved.parent_path() / "hf", x.run / "none/hf"}) {
    const ErrorInfo e = error_of([&] { export_pretrained({.from = x.run.folder(), .out = out, .tokenizer_dir = {}}); });
    EXPECT_EQ(e.kind, ErrorKind::usage) << out;
    EXPECT_FALSE(e.cure.empty());
  }
  EXPECT_TRUE(checkpoint::verify(saved).valid);
  EXPECT_NO_THROW(x.exported("slash/"));
  for (const std::string& name : list_folder(x.run / ".")) EXPECT_EQ(name.find(".tmp-"), std::string::npos) << name;
}

TEST(Pretrained, AWeightBeyondF16IsNotMadeInfinite) {
  const Exchange x;
  const Path folder = x.exported("hf");
  const std::vector<float> gains(16, 1e6F);
  rewrite(folder, [&](Tensors& t, json&) { named(t, "transformer.ln_f.weight").data = gains.data(); });
  import_pretrained(folder, x.run / "large");
  const auto to = [&](DType dtype) {
    export_pretrained(
        {.from = x.run / "large", .out = x.run / "large.safetensors", .dtype = dtype, .tokenizer_dir = {}});
  };
  const ErrorInfo e = error_of([&] { to(DType::f16); });
  EXPECT_EQ(e.key, "--dtype");
  EXPECT_NE(e.message.find("transformer.ln_f.weight"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(x.run / "large.safetensors"));
  EXPECT_NO_THROW(to(DType::bf16));
}

TEST(Pretrained, TheTokenizerIsCopiedUnderHuggingFacesNames) {
  const Exchange x;
  std::filesystem::create_directory(x.run / "gpt2");
  TinyRun::write(x.run / "gpt2/encoder.json", R"({"a": 0, "<|endoftext|>": 255})");
  TinyRun::write(x.run / "gpt2/vocab.bpe", "#version: 0.2\n");
  const ExportOptions options{.from = x.run.folder(), .out = x.run / "hf", .tokenizer_dir = x.run / "gpt2"};
  EXPECT_FALSE(export_pretrained(options).tokenizer.empty());
  EXPECT_EQ(read_file(x.run / "hf/merges.txt"), "#version: 0.2\n");
  EXPECT_EQ(read_file(x.run / "hf/vocab.json"), read_file(x.run / "gpt2/encoder.json"));
  EXPECT_EQ(json::parse(read_file(x.run / "hf/config.json"))["eos_token_id"], 255);
  std::filesystem::remove(x.run / "gpt2/vocab.bpe");
  const ErrorInfo e = error_of(
      [&] { export_pretrained({.from = x.run.folder(), .out = x.run / "hf2", .tokenizer_dir = x.run / "gpt2"}); });
  EXPECT_EQ(e.key, "--tokenizer-dir");
  EXPECT_FALSE(std::filesystem::exists(x.run / "hf2"));
}

}  // namespace
}  // namespace ringmaster::train
