// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/manifest.h"

#include "tests/checkpoint/sample.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace ringmaster::checkpoint {
namespace {

std::string hash_of(std::string_view text) { return xxh3_128_hex(std::as_bytes(std::span(text))); }

Manifest sample() {
  return {
      .sequence = 3, .step = 20, .files = {{.name = "a", .bytes = 5, .xxh3_128 = {hash_of("hello")}}, {.name = "b"}}};
}

// The kind of problem that a manifest with one edit has.
std::string problem_of(const std::function<void(nlohmann::ordered_json&)>& edit) {
  auto json = nlohmann::ordered_json::parse(to_json(sample()));
  edit(json);
  try {
    parse_manifest(json.dump(), "manifest.json");
  } catch (const ManifestError& e) {
    EXPECT_EQ(e.info().kind, ErrorKind::checkpoint);
    return e.problem;
  }
  return "none";
}

}  // namespace

// xxHash's own sanity check of the empty input with seed 0.
TEST(Xxh3, EmptyInputHasThePublishedHash) { EXPECT_EQ(hash_of(""), "99aa06d3014798d86001c324468d497f"); }

TEST(Manifest, RoundTrips) {
  const Manifest read = parse_manifest(to_json(sample()), "manifest.json");
  EXPECT_EQ(to_json(read), to_json(sample()));
  EXPECT_EQ(read.sequence, 3);
  EXPECT_EQ(read.files.at(0).xxh3_128, sample().files[0].xxh3_128);
}

TEST(Manifest, ANewerFormatIsRefusedWithBothVersionsWhateverElseItHolds) {
  EXPECT_EQ(problem_of([](auto& m) { m = {{"format_version", 2}}; }), "version");
  const ErrorInfo info = error_of([] { parse_manifest(R"({"format_version":7,"new":[]})", "m"); });
  EXPECT_EQ(info.found, "7");
  EXPECT_EQ(info.expected, "at most 1");
}

TEST(Manifest, NamesThatLeaveTheFolderAreRefused) {
  for (const char* name : {"../x", "/etc/passwd", "a/b", "", ".", "..", ".hidden"}) {
    EXPECT_EQ(problem_of([&](auto& m) { m["files"][0]["name"] = name; }), "path") << name;
  }
}

TEST(Manifest, EveryOtherFaultIsRefused) {
  EXPECT_EQ(problem_of([](auto&) {}), "none");
  EXPECT_EQ(problem_of([](auto& m) { m["sequence"] = 4; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["step"] = 21; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["format_version"] = 0; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["format_version"] = "1"; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["step"] = -1; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["step"] = 20.0; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["more"] = 1; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m.erase("files"); }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m.erase("checksum"); }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["files"] = 1; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["files"][0] = 1; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["files"][1]["name"] = "a"; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["files"][0]["block_bytes"] = 0; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["files"][0]["block_bytes"] = 1; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["files"][0]["bytes"] = INT64_MAX; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["files"][0]["xxh3_128"] = "x"; }), "manifest");
  EXPECT_EQ(problem_of([](auto& m) { m["files"][0]["xxh3_128"] = {1}; }), "manifest");
  for (const char* text : {"", "{", "[]", "{}x", "1", "\"\xFF\"", R"({"step":1,"step":1})"}) {
    EXPECT_THROW(parse_manifest(text, "m"), ManifestError) << text;
  }
}

TEST(BlockWriter, HashesBlocksHoweverTheBytesCome) {
  const TempFolder folder;
  const std::string bytes(static_cast<size_t>(block_bytes) * 2 + 10, 'x');
  BlockWriter whole(folder / "whole"), pieces(folder / "pieces");
  whole.write(bytes.data(), static_cast<int64_t>(bytes.size()));
  for (size_t at = 0; at < bytes.size(); at += 99'991) {
    pieces.write(bytes.data() + at, static_cast<int64_t>(std::min<size_t>(99'991, bytes.size() - at)));
  }
  const FileRecord a = whole.finish(), b = pieces.finish();
  EXPECT_EQ(a.xxh3_128, b.xxh3_128);
  EXPECT_EQ(a.xxh3_128.size(), 3U);
  EXPECT_EQ(a.xxh3_128[2], hash_of(std::string(10, 'x')));
  EXPECT_EQ(a.bytes, static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(read_file(folder / "pieces"), bytes);
}

}  // namespace ringmaster::checkpoint
