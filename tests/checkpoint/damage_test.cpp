// SPDX-License-Identifier: Apache-2.0
// Every way to damage a committed checkpoint is found, named and refused.
#include "checkpoint/store.h"
#include "tests/checkpoint/sample.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace ringmaster::checkpoint {
namespace {

// One committed checkpoint and its files, to be damaged and put back.
class Damage : public testing::Test {
 protected:
  Damage() : path_(commit(run_.path(), sample_.content()).path), files_(bytes_of(path_)) {}

  void put_back() {
    std::filesystem::remove_all(path_);
    make_folders(path_);
    for (const auto& [name, bytes] : files_) overwrite(path_ / name, bytes);
  }

  // The only problem of the folder; open() must refuse it with the same words.
  Problem problem() {
    const Report report = verify(path_);
    EXPECT_FALSE(report.valid);
    EXPECT_EQ(report.params_hash, "");
    const ErrorInfo info = error_of([&] { open(path_); });
    EXPECT_EQ(info.kind, ErrorKind::checkpoint);
    EXPECT_FALSE(info.cure.empty());
    if (report.errors.size() != 1) {
      ADD_FAILURE() << report.errors.size() << " problems";
      return {};
    }
    EXPECT_NE(info.message.find(report.errors[0].detail), std::string::npos) << info.message;
    return report.errors[0];
  }

  TempFolder run_;
  Sample sample_;
  Path path_;
  std::map<std::string, std::string> files_;
};

}  // namespace

TEST_F(Damage, EveryByteOfTheManifestAndJsonFiles) {
  for (const std::string file : {"manifest.json", "config.json", "state.json"}) {
    const std::string& good = files_.at(file);
    for (size_t at = 0; at < good.size(); ++at) {
      for (const int mask : {0x01, 0x04, 0x80, 0xFF}) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ mask);
        overwrite(path_ / file, bad);
        ASSERT_FALSE(verify(path_).valid) << file << " byte " << at << " mask " << mask;
      }
    }
    overwrite(path_ / file, good);
  }
  EXPECT_TRUE(verify(path_).valid);
}

TEST_F(Damage, FlippedBytesOfTensorFilesNameFileAndTensor) {
  for (const std::string file : {"model.safetensors", "optimizer.safetensors"}) {
    const std::string& good = files_.at(file);
    for (size_t at = 0; at < good.size(); at += 13) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 0x10);
      overwrite(path_ / file, bad);
      const Problem found = problem();
      ASSERT_EQ(found.kind, "checksum") << at;
      ASSERT_EQ(found.file, file);
      ASSERT_EQ(found.offset, 0);  // one block
    }
    overwrite(path_ / file, good);
  }
}

TEST_F(Damage, SwappedBlocksAndAFileOfAnotherCheckpoint) {
  sample_.add(sample_.content().model, "big", DType::f32, {3, 1 << 18});  // three blocks of data and one of header
  sample_.content().step = 2;
  sample_.content().state["step"] = 2;
  path_ = commit(run_.path(), sample_.content()).path;
  std::string bytes = read_file(path_ / "model.safetensors");
  const std::string good = bytes;
  const auto block = static_cast<size_t>(block_bytes);
  std::swap_ranges(bytes.begin() + static_cast<int64_t>(block), bytes.begin() + static_cast<int64_t>(2 * block),
                   bytes.begin() + static_cast<int64_t>(2 * block));
  overwrite(path_ / "model.safetensors", bytes);
  const Report report = verify(path_);
  ASSERT_EQ(report.errors.size(), 2U);
  EXPECT_EQ(report.errors[0].offset, block_bytes);
  EXPECT_EQ(report.errors[1].offset, 2 * block_bytes);
  EXPECT_EQ(report.errors[0].tensor, "big");
  EXPECT_NE(error_of([&] { open(path_); }).cure.find("step-00000001"), std::string::npos);

  overwrite(path_ / "model.safetensors", good);
  overwrite(path_ / "state.json", files_.at("state.json"));  // of step 1, and of the same size
  EXPECT_EQ(problem().kind, "checksum");
}

TEST_F(Damage, TruncationAtEveryPageAndAtRandom) {
  const std::string file = "model.safetensors";
  const std::string& good = files_.at(file);
  std::set<size_t> sizes{0, 1, 7, 8, 9, good.size() - 1};
  for (size_t at = 4096; at < good.size(); at += 4096) sizes.insert(at);
  std::mt19937 random(2);
  while (sizes.size() < 100) sizes.insert(random() % good.size());
  for (const size_t size : sizes) {
    overwrite(path_ / file, good.substr(0, size));
    const Problem found = problem();
    ASSERT_EQ(found.kind, "truncated");
    ASSERT_EQ(found.offset, static_cast<int64_t>(size));
  }
  overwrite(path_ / file, good.substr(0, good.size() - 1));
  EXPECT_EQ(problem().tensor, "wte.weight");  // last by name
}

TEST_F(Damage, MissingAndExtraFiles) {
  for (const auto& [name, bytes] : files_) {
    std::filesystem::remove(path_ / name);
    if (name == "provenance.json") {
      EXPECT_TRUE(verify(path_).valid);  // it says who wrote the checkpoint and is no part of it
    } else {
      const Problem found = problem();
      EXPECT_EQ(found.kind, "missing");
      EXPECT_EQ(found.file, name);
    }
    put_back();
  }
  overwrite(path_ / "ema.safetensors", files_.at("model.safetensors"));
  EXPECT_EQ(problem().kind, "extra");
  put_back();
  overwrite(path_ / "model.safetensors", files_.at("model.safetensors") + "x");
  EXPECT_EQ(problem().kind, "extra");
}

TEST_F(Damage, LinksFoldersAndPathsInsteadOfFiles) {
  overwrite(run_ / "elsewhere", files_.at("model.safetensors"));
  std::filesystem::remove(path_ / "model.safetensors");
  std::filesystem::create_symlink(run_ / "elsewhere", path_ / "model.safetensors");
  EXPECT_EQ(problem().kind, "path");
  std::filesystem::remove(path_ / "model.safetensors");
  make_folders(path_ / "model.safetensors");
  EXPECT_EQ(problem().kind, "path");
  put_back();
  auto manifest = nlohmann::ordered_json::parse(files_.at("manifest.json"));
  manifest["files"][0]["name"] = "../x";
  overwrite(path_ / "manifest.json", manifest.dump());
  EXPECT_EQ(problem().kind, "path");
  put_back();
  std::filesystem::remove(path_ / "manifest.json");
  overwrite(run_ / "manifest", files_.at("manifest.json"));
  std::filesystem::create_symlink(run_ / "manifest", path_ / "manifest.json");
  EXPECT_EQ(problem().kind, "manifest");
}

TEST_F(Damage, ANewerFormatIsRefusedWithBothVersions) {
  auto manifest = nlohmann::ordered_json::parse(files_.at("manifest.json"));
  manifest["format_version"] = 9;
  overwrite(path_ / "manifest.json", manifest.dump());
  EXPECT_EQ(problem().kind, "version");
  const ErrorInfo info = error_of([&] { open(path_); });
  EXPECT_EQ(info.found, "9");
  EXPECT_EQ(info.expected, "at most 1");
}

TEST_F(Damage, AHostileHeaderUnderCorrectHashes) {
  std::string bytes = files_.at("model.safetensors");
  bytes[8] = '[';
  overwrite(path_ / "model.safetensors", bytes);
  auto manifest = nlohmann::ordered_json::parse(files_.at("manifest.json"));
  for (auto& file : manifest["files"]) {
    if (file["name"] == "model.safetensors") file["xxh3_128"][0] = xxh3_128_hex(std::as_bytes(std::span(bytes)));
  }
  overwrite(path_ / "manifest.json", manifest.dump());
  EXPECT_EQ(problem().kind, "header");
}

}  // namespace ringmaster::checkpoint
