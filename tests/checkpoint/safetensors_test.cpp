// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors.h"

#include "tests/checkpoint/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>

namespace ringmaster::checkpoint {
namespace {

std::string file_of(const std::string& json, size_t data_bytes, std::optional<uint64_t> length = {}) {
  const uint64_t n = length.value_or(json.size());
  std::string file(sizeof n, '\0');
  std::memcpy(file.data(), &n, sizeof n);
  return file + json + std::string(data_bytes, 'd');
}

SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors_header(std::as_bytes(std::span(file)), static_cast<int64_t>(file.size()), "f.safetensors");
}

std::string one(const std::string& tensor) { return "{\"a\":" + tensor + "}"; }

}  // namespace

TEST(Safetensors, RoundTripsEveryDtypeScalarsAndEmptyTensors) {
  const TempFolder folder;
  Sample sample;
  std::vector<TensorEntry> tensors;
  for (const DType d :
       {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i32, DType::i64, DType::u8, DType::u16}) {
    sample.add(tensors, "x." + std::string(name(d)), d, {2, 3});
  }
  sample.add(tensors, "scalar", DType::f32, {});
  sample.add(tensors, "empty", DType::f32, {3, 0});
  sample.add(tensors, "line\nbreak \\ \"\xE2\x82\xAC", DType::u8, {1, 1, 1, 1, 1, 5});
  write_safetensors(folder / "t.safetensors", tensors);

  const Safetensors file(folder / "t.safetensors");
  ASSERT_EQ(file.tensors().size(), tensors.size());
  EXPECT_EQ(file.metadata().at("format"), "pt");
  for (const TensorEntry& tensor : tensors) {
    const TensorEntry* found = file.find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->dtype, tensor.dtype);
    EXPECT_EQ(found->shape, tensor.shape);
    if (tensor.bytes() == 0) continue;
    EXPECT_EQ(std::memcmp(found->data, tensor.data, static_cast<size_t>(tensor.bytes())), 0) << tensor.name;
  }
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST(Safetensors, LayoutIsAFunctionOfTheTensorsAlone) {
  Sample sample;
  auto tensors = sample.content().model;
  const SafetensorsLayout layout = safetensors_layout(tensors);
  EXPECT_EQ(layout.header.size() % 4096, 0U);
  for (size_t i = 1; i < layout.order.size(); ++i)
    EXPECT_LT(tensors[layout.order[i - 1]].name, tensors[layout.order[i]].name);
  EXPECT_EQ(layout.bytes, layout.begin.back() + tensors[layout.order.back()].bytes());
  std::reverse(tensors.begin(), tensors.end());
  EXPECT_EQ(safetensors_layout(tensors).header, layout.header);
}

TEST(Safetensors, ReadsFilesOfOtherWriters) {  // unpadded, in any order, without metadata
  const std::string json = R"({"b":{"shape":[2],"data_offsets":[1,3],"dtype":"U8"}, "a":{"dtype":"U8","shape":[],)"
                           R"("data_offsets":[0,1]}} )";
  const SafetensorsHeader header = parse(file_of(json, 3));
  ASSERT_EQ(header.tensors.size(), 2U);
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_EQ(header.begin[0], static_cast<int64_t>(8 + json.size()));
  EXPECT_EQ(header.tensors[1].name, "b");
  EXPECT_EQ(header.begin[1], header.begin[0] + 1);
}

TEST(Safetensors, RefusesAHostileHeader) {
  const std::string good = R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  ASSERT_EQ(parse(file_of(one(good), 4)).tensors.size(), 1U);  // so that each line below differs in its one fault
  const std::string deep(100'000, '[');
  const std::vector<std::pair<std::string, std::string>> cases{
      {"nothing", ""},
      {"seven bytes", "1234567"},
      {"no header", file_of("", 0)},
      {"length past the end", file_of(one(good), 4, 500)},
      {"length of 2^63", file_of(one(good), 4, uint64_t{1} << 63)},
      {"length that wraps 8 + N", file_of(one(good), 4, ~uint64_t{7})},
      {"cut off", file_of(one(good), 4, one(good).size() - 1)},
      {"leading space", file_of(" " + one(good), 4)},
      {"byte order mark", file_of("\xEF\xBB\xBF" + one(good), 4)},
      {"NUL behind it", file_of(one(good) + std::string("\0 junk", 6), 4)},
      {"text behind it", file_of(one(good) + "x", 4)},
      {"two values", file_of(one(good) + "{}", 4)},
      {"list", file_of("[]", 0)},
      {"comment", file_of("{/**/}", 0)},
      {"NaN", file_of(one(R"({"dtype":"U8","shape":[NaN],"data_offsets":[0,4]})"), 4)},
      {"depth bomb", file_of(one(deep), 4)},
      {"depth bomb in shape", file_of(one(R"({"dtype":"U8","shape":)" + deep), 4)},
      {"non-UTF-8", file_of("{\"\xFF\":" + good + "}", 4)},
      {"lone surrogate", file_of("{\"\\ud800\":" + good + "}", 4)},
      {"empty name", file_of("{\"\":" + good + "}", 4)},
      {"duplicate name", file_of("{\"a\":" + good + ",\"a\":" + good + "}", 4)},
      {"duplicate empty tensor", file_of(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                                         R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                                         0)},
      {"duplicate key", file_of(one(R"({"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]})"), 4)},
      {"unknown key", file_of(one(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1})"), 4)},
      {"missing key", file_of(one(R"({"dtype":"U8","shape":[4]})"), 4)},
      {"unknown dtype", file_of(one(R"({"dtype":"U9","shape":[4],"data_offsets":[0,4]})"), 4)},
      {"lower-case dtype", file_of(one(R"({"dtype":"u8","shape":[4],"data_offsets":[0,4]})"), 4)},
      {"dtype number", file_of(one(R"({"dtype":8,"shape":[4],"data_offsets":[0,4]})"), 4)},
      {"tensor is null", file_of(one("null"), 0)},
      {"tensor is a number", file_of(one("4"), 0)},
      {"shape is a number", file_of(one(R"({"dtype":"U8","shape":4,"data_offsets":[0,4]})"), 4)},
      {"negative dim", file_of(one(R"({"dtype":"U8","shape":[-4],"data_offsets":[0,4]})"), 4)},
      {"two negative dims", file_of(one(R"({"dtype":"U8","shape":[-2,-2],"data_offsets":[0,4]})"), 4)},
      {"float dim", file_of(one(R"({"dtype":"U8","shape":[4.0],"data_offsets":[0,4]})"), 4)},
      {"exponent dim", file_of(one(R"({"dtype":"U8","shape":[4e0],"data_offsets":[0,4]})"), 4)},
      {"dim of 2^64", file_of(one(R"({"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,4]})"), 4)},
      {"product wraps to 0", file_of(one(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]})"), 0)},
      {"bytes wrap to 0", file_of(one(R"({"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]})"), 0)},
      {"strides overflow", file_of(one(R"({"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]})"), 0)},
      {"seven dims", file_of(one(R"({"dtype":"U8","shape":[1,1,1,1,1,1,4],"data_offsets":[0,4]})"), 4)},
      {"one offset", file_of(one(R"({"dtype":"U8","shape":[4],"data_offsets":[0]})"), 4)},
      {"three offsets", file_of(one(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4,4]})"), 4)},
      {"begin behind end", file_of(one(R"({"dtype":"U8","shape":[4],"data_offsets":[4,0]})"), 4)},
      {"too few bytes for the shape", file_of(one(R"({"dtype":"F32","shape":[4],"data_offsets":[0,4]})"), 4)},
      {"behind the file", file_of(one(R"({"dtype":"U8","shape":[5],"data_offsets":[0,5]})"), 4)},
      {"offsets of 2^63",
       file_of(one(R"({"dtype":"U8","shape":[4],"data_offsets":[9223372036854775804,9223372036854775808]})"), 4)},
      {"hole before", file_of(one(R"({"dtype":"U8","shape":[4],"data_offsets":[1,5]})"), 5)},
      {"trailing bytes", file_of(one(good), 5)},
      {"data without tensors", file_of("{}", 1)},
      {"overlap", file_of(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                          R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
                          4)},
      {"same bytes twice", file_of("{\"a\":" + good + ",\"b\":" + good + "}", 4)},
      {"hole between", file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                               R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
                               4)},
      {"metadata number", file_of(R"({"__metadata__":{"format":1}})", 0)},
      {"metadata null", file_of(R"({"__metadata__":null})", 0)},
      {"metadata nested", file_of(R"({"__metadata__":{"a":{}}})", 0)},
      {"metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})", 0)},
      {"metadata key twice", file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0)},
  };
  for (const auto& [what, file] : cases) {
    SCOPED_TRACE(what);
    const ErrorInfo info = error_of([&] { parse(file); });
    EXPECT_EQ(info.kind, ErrorKind::checkpoint);
    EXPECT_EQ(info.file, "f.safetensors");
    EXPECT_TRUE(info.message.starts_with("bad safetensors header: ")) << info.message;
  }
}

TEST(Safetensors, HeaderLengthIsBounded) {
  const std::string text(100'000'001, ' ');
  const ErrorInfo info = error_of([&] { parse(file_of(text, 0)); });
  EXPECT_EQ(info.expected, "at most 100000000");
}

// Whatever is accepted must lie in the file, back to back; whatever is refused must be refused by an Error.
TEST(Safetensors, TwentyThousandMutationsAreAcceptedSoundOrRefused) {
  Sample sample;
  std::vector<TensorEntry> tensors = sample.content().model;
  const SafetensorsLayout layout = safetensors_layout(tensors);
  std::string seed = layout.header + std::string(static_cast<size_t>(layout.bytes) - layout.header.size(), 'd');
  const size_t json_end = seed.find_last_of('}') + 1;
  const std::string tokens[] = {"{", "}",  "[",   "]",    ",",   ":",    "\"",
                                "0", "-1", "1e9", "null", "\\u", "\xFF", "18446744073709551615"};
  std::mt19937 random(1);
  const auto below = [&](size_t n) { return static_cast<size_t>(random()) % n; };
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string file = seed;
    for (size_t edits = 1 + below(3); edits > 0; --edits) {
      const size_t at = below(json_end), length = below(12);
      switch (below(5)) {
        case 0: file[at] = static_cast<char>(random()); break;
        case 1: file[at] = static_cast<char>(file[at] ^ (1 << below(8))); break;
        case 2: file.replace(at, length, file.substr(below(json_end), length)); break;  // file size stays
        case 3: file.insert(at, tokens[below(std::size(tokens))]); break;
        default: file.resize(below(file.size() + 1)); file.resize(seed.size(), ' ');
      }
    }
    try {
      const SafetensorsHeader header = parse(file);
      ++accepted;
      int64_t end = header.begin.empty() ? static_cast<int64_t>(file.size()) : header.begin[0];
      for (size_t i = 0; i < header.tensors.size(); ++i) {
        ASSERT_EQ(header.begin[i], end);
        end += header.tensors[i].bytes();
      }
      ASSERT_EQ(end, static_cast<int64_t>(file.size()));
    } catch (const Error& e) { ASSERT_EQ(e.info().kind, ErrorKind::checkpoint) << e.what(); }
  }
  EXPECT_GT(accepted, 0);  // names and padding may change
}

}  // namespace ringmaster::checkpoint
