// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/pretrained.h"

#include "tests/checkpoint/sample.h"

#include <cstring>
#include <vector>

namespace ringmaster::checkpoint {
namespace {

// A folder of two shards with a tensor each, "a" and "b".
class Folder {
 public:
  Folder() {
    write("config.json", R"({"model_type": "gpt2"})");
    shard("one.safetensors", "a");
    shard("two.safetensors", "b");
    index(R"({"a": "one.safetensors", "b": "two.safetensors"})");
  }
  const Path& path() const { return temp_.path(); }
  void write(const std::string& name, const std::string& text) const { overwrite(path() / name, text); }
  void index(const std::string& map) const { write("model.safetensors.index.json", R"({"weight_map": )" + map + "}"); }
  void shard(const std::string& file, const std::string& tensor) const {
    const std::vector<float> values{1, 2, 3};
    write_safetensors(path() / file, std::vector<TensorEntry>{{tensor, DType::f32, {3}, values.data()}});
  }
  ErrorInfo refused() const {
    const ErrorInfo e = error_of([&] { Pretrained folder(path()); });
    EXPECT_EQ(e.kind, ErrorKind::checkpoint);
    EXPECT_FALSE(e.file.empty()) << e.message;
    return e;
  }

 private:
  TempFolder temp_;
};

TEST(Pretrained, ReadsShardsAndPrefersTheSingleFile) {
  const Folder folder;
  const Pretrained shards(folder.path());
  ASSERT_EQ(shards.tensors().size(), 2U);
  EXPECT_EQ(static_cast<const float*>(shards.tensors().at("b").data)[2], 3);
  EXPECT_EQ(shards.file_of("b").filename(), "two.safetensors");
  folder.shard("model.safetensors", "c");
  EXPECT_EQ(Pretrained(folder.path()).tensors().size(), 1U);
}

TEST(Pretrained, AnIndexThatDoesNotFitItsShards) {
  const Folder folder;
  for (const char* map : {R"({"a": "two.safetensors"})", R"({"a": "one.safetensors", "c": "two.safetensors"})",
                          R"({"a": "three.safetensors"})", R"({"a": 1})", "[]", "null"}) {
    folder.index(map);
    folder.refused();
  }
  folder.shard("two.safetensors", "a");
  folder.index(R"({"a": "one.safetensors", "b": "two.safetensors"})");
  EXPECT_NE(folder.refused().message.find("stands in one.safetensors too"), std::string::npos);
  folder.write("model.safetensors.index.json", "[1]");
  folder.refused();
}

TEST(Pretrained, NamesNeverLeaveTheFolder) {
  const Folder folder;
  for (const char* name : {"../one.safetensors", "/etc/passwd", "..", ".", "", "x/../one.safetensors"}) {
    folder.index(fmt::format(R"({{"a": "{}"}})", name));
    EXPECT_NE(folder.refused().file.find("index.json"), std::string::npos) << name;
  }
}

TEST(Pretrained, WhatIsMissingHasACure) {
  const Folder folder;
  std::filesystem::remove(folder.path() / "model.safetensors.index.json");
  EXPECT_FALSE(folder.refused().cure.empty());
  folder.write("pytorch_model.bin", "x");
  EXPECT_NE(folder.refused().message.find("pytorch_model.bin"), std::string::npos);
  std::filesystem::remove(folder.path() / "config.json");
  EXPECT_NE(folder.refused().message.find("config.json"), std::string::npos);
  EXPECT_EQ(error_of([&] { Pretrained(folder.path() / "none"); }).message, "does not exist");
  EXPECT_EQ(error_of([&] { Pretrained(folder.path() / "pytorch_model.bin"); }).message, "is not a folder");
}

TEST(Pretrained, BooleanMasksAreRead) {
  const Folder folder;
  const std::string header = R"({"h.0.attn.bias":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})";
  const auto length = static_cast<uint64_t>(header.size());
  folder.write("model.safetensors", std::string(reinterpret_cast<const char*>(&length), 8) + header + "\x01" + '\0');
  EXPECT_EQ(Pretrained(folder.path()).tensors().at("h.0.attn.bias").bytes(), 2);
}

TEST(Pretrained, ConversionRoundsToNearestEvenAndUpIsExact) {
  const std::vector<float> values{1.0F, -0.0F, 1.0F + 0x1p-8F, 1.0F + 0x3p-8F, 65504.0F, 1e-8F, 3.0e38F};
  const auto count = static_cast<int64_t>(values.size());
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const auto narrow = converted({"x", DType::f32, {count}, values.data()}, dtype);
    const auto wide = converted({"x", dtype, {count}, narrow.data()}, DType::f32);
    for (size_t i = 0; i < values.size(); ++i) {
      float found = 0;
      std::memcpy(&found, wide.data() + i * sizeof found, sizeof found);
      EXPECT_EQ(found, dtype == DType::bf16 ? to_float(to_bf16(values[i])) : to_float(to_f16(values[i]))) << values[i];
    }
  }
}

}  // namespace
}  // namespace ringmaster::checkpoint
