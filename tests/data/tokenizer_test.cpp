// SPDX-License-Identifier: Apache-2.0
#include "data/tokenizer.h"

#include "tests/data/files.h"

namespace ringmaster::data {
namespace {

TEST(ByteTokenizer, EveryByteRoundTrips) {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) text += static_cast<char>(byte);
  const auto tokenizer = make_tokenizer({.name = "byte"});
  const std::vector<int32_t> ids = tokenizer->encode(text);
  ASSERT_EQ(ids.size(), 256U);
  for (int32_t byte = 0; byte < 256; ++byte) EXPECT_EQ(ids[static_cast<size_t>(byte)], byte);
  EXPECT_EQ(tokenizer->decode(ids), text);
  EXPECT_EQ(tokenizer->vocab_size(), 256);
}

TEST(ByteTokenizer, IdThatIsNoByteIsAnError) {
  const auto tokenizer = make_tokenizer({.name = "byte"});
  for (const int32_t id : {-1, 256, 50303}) {
    const ErrorInfo info = error_of([&] { tokenizer->decode(std::vector<int32_t>{65, id}); });
    EXPECT_EQ(info.kind, ErrorKind::data);
    EXPECT_FALSE(info.cure.empty());
  }
}

TEST(IdTokenizer, IdsAreTheirOwnText) {
  const auto tokenizer = make_tokenizer({.name = "ids"});
  const std::vector<int32_t> ids{0, 464, 50256};
  EXPECT_EQ(tokenizer->encode(" 0  464\n50256 "), ids);
  EXPECT_EQ(tokenizer->decode(ids), " 0 464 50256");
  EXPECT_EQ(tokenizer->encode(tokenizer->decode(ids)), ids);
  for (const char* text : {"", "  ", "x", "1 -2", "1,2", "99999999999"})
    EXPECT_EQ(error_of([&] { tokenizer->encode(text); }).key, "--prompt") << text;
}

TEST(Tokenizer, UnknownNameIsAnErrorThatNamesTheKnownOnes) {
  const ErrorInfo info = error_of([] { make_tokenizer({.name = "bytes"}); });
  EXPECT_EQ(info.kind, ErrorKind::config);
  EXPECT_EQ(info.key, "data.tokenizer");
  EXPECT_EQ(info.expected, "byte or gpt2");
}

}  // namespace
}  // namespace ringmaster::data
