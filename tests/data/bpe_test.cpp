// SPDX-License-Identifier: Apache-2.0
// GPT-2's tokenizer: its pattern, its merges against the plain algorithm, and every way its two files can be wrong.
#include "data/bpe.h"

#include "data/pretokenize.h"
#include "tests/data/tiny_bpe.h"

#include <algorithm>
#include <map>
#include <random>
#include <thread>

namespace ringmaster::data {
namespace {

using Words = std::vector<std::string>;

Words words_of(std::string_view text) {
  Words words;
  while (!text.empty()) {
    const size_t length = first_word(text);
    words.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return words;
}

TEST(Pretokenize, FollowsThePatternOfGpt2) {
  EXPECT_EQ(words_of("Hello world"), (Words{"Hello", " world"}));
  EXPECT_EQ(words_of("it's we'll I'd you've they're I'm can't"),
            (Words{"it", "'s", " we", "'ll", " I", "'d", " you", "'ve", " they", "'re", " I", "'m", " can", "'t"}));
  EXPECT_EQ(words_of("IT'S 'tis ''s 's"), (Words{"IT", "'", "S", " '", "tis", " ''", "s", " '", "s"}));
  EXPECT_EQ(words_of("  two  blanks \n\n x\t\ty "),
            (Words{" ", " two", " ", " blanks", " \n\n", " x", "\t", "\t", "y", " "}));
  EXPECT_EQ(words_of("a\r\nb\n\nc"), (Words{"a", "\r", "\n", "b", "\n", "\n", "c"}));
  EXPECT_EQ(words_of("x = f(12,3);"), (Words{"x", " =", " f", "(", "12", ",", "3", ");"}));
  EXPECT_EQ(words_of("end   "), (Words{"end", "   "}));
}

TEST(Pretokenize, KnowsLettersNumbersAndBlanksOfEveryPlane) {
  EXPECT_EQ(words_of("\xc3\xa9t\xc3\xa9 \xd0\xb4\xd0\xb0"), (Words{"\xc3\xa9t\xc3\xa9", " \xd0\xb4\xd0\xb0"}));
  EXPECT_EQ(words_of("x\xc2\xb2\xe2\x85\xa7"),
            (Words{"x", "\xc2\xb2\xe2\x85\xa7"}));  // superscript two and Roman eight: \p{N}
  EXPECT_EQ(words_of("a\xc2\xa0\xe3\x80\x80"
                     "b"),
            (Words{"a", "\xc2\xa0", "\xe3\x80\x80", "b"}));  // U+00A0, U+3000
  EXPECT_EQ(words_of("\xf0\x9f\x98\x80\xf0\x9f\x98\x80!a"), (Words{"\xf0\x9f\x98\x80\xf0\x9f\x98\x80!", "a"}));
  EXPECT_EQ(words_of("\xf0\xa0\x80\x80z"), (Words{"\xf0\xa0\x80\x80z"}));      // U+20000, a letter
  EXPECT_EQ(words_of("\xf0\x9d\x9f\x98z"), (Words{"\xf0\x9d\x9f\x98", "z"}));  // U+1D7D8, a digit
  EXPECT_EQ(words_of("a\x1c"
                     "b"),
            (Words{"a", "\x1c", "b"}));                        // a separator, no White_Space
  EXPECT_EQ(words_of("e\xcc\x81"), (Words{"e", "\xcc\x81"}));  // a combining accent is \p{M}
}

TEST(Pretokenize, FindsTheFirstByteThatIsNoUtf8) {
  EXPECT_EQ(first_invalid_utf8("abc\xc3\xa9\xf0\x9f\x98\x80"), std::string::npos);
  for (const std::string bad : {"\xff", "\x80", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    EXPECT_EQ(first_invalid_utf8("ab" + bad), 2U) << bad.size();
    EXPECT_EQ(first_invalid_utf8("\xc3\xa9" + bad + "a"), 2U) << bad.size();
  }
}

TEST(Utf8Stream, HandsOnWholeCharactersAndLosesNothing) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
  Utf8Stream stream;
  std::string all;
  for (const char c : text) {
    const std::string part = stream.add(std::string(1, c));
    EXPECT_EQ(first_invalid_utf8(part), std::string::npos);
    all += part;
  }
  EXPECT_EQ(all + stream.rest(), text);
  const std::string rubbish = "\xff\x80\xe2\x28\xf0\x9f";
  Utf8Stream other;
  all.clear();
  for (const char c : rubbish) all += other.add(std::string(1, c));
  EXPECT_EQ(all + other.rest(), rubbish);
  EXPECT_EQ(other.rest(), "");
}

// The algorithm as it is told: join the leftmost pair of lowest rank until there is none.
std::vector<std::string> plain_merges(const TinyBpe& bpe, const std::string& word) {
  std::vector<std::string> parts;
  for (const char c : word) parts.emplace_back(1, c);
  while (true) {
    size_t best = bpe.merges.size(), at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = std::find(bpe.merges.begin(), bpe.merges.end(), std::pair(parts[i], parts[i + 1]));
      const auto rank = static_cast<size_t>(found - bpe.merges.begin());
      if (rank < best) best = rank, at = i;
    }
    if (best == bpe.merges.size()) return parts;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

std::vector<int32_t> plain_ids(const TinyBpe& bpe, const std::string& text) {
  std::vector<int32_t> ids;
  for (const std::string& word : words_of(text)) {
    for (const std::string& part : plain_merges(bpe, word)) {
      const auto found = std::find(bpe.tokens.begin(), bpe.tokens.end(), written(part));
      ids.push_back(static_cast<int32_t>(found - bpe.tokens.begin()));
    }
  }
  return ids;
}

std::string random_text(uint32_t seed, int length) {
  static const Words parts = {"t",     "h",   "e",  "the",      " ",  " ",    "\n", "a",
                              "aaaaa", "'ll", "on", "\xc3\xa9", "12", "\r\n", ".",  "\xf0\x9f\x98\x80"};
  std::mt19937 random(seed);
  std::string text;
  for (int i = 0; i < length; ++i) text += parts[random() % parts.size()];
  return text;
}

TEST(Bpe, EqualsThePlainAlgorithm) {
  const TempFolder folder;
  const TinyBpe bpe;
  const auto tokenizer = make_bpe(read_vocabulary(bpe.write(folder), "key"));
  EXPECT_EQ(tokenizer->vocab_size(), 256 + static_cast<int64_t>(bpe.merges.size()) + 1);
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const std::string text = random_text(seed, 40);
    const std::vector<int32_t> ids = tokenizer->encode(text);
    EXPECT_EQ(ids, plain_ids(bpe, text)) << text;
    EXPECT_EQ(tokenizer->decode(ids), text);
  }
  EXPECT_LT(tokenizer->encode("the the the").size(), 5U);  // merges did happen
  EXPECT_TRUE(tokenizer->encode("").empty());
}

TEST(Bpe, MergesInAnyOrderOfRanks) {
  // a merge that opens one of lower rank, which training never writes but a file may
  const TempFolder folder;
  const TinyBpe bpe(TinyBpe::Pairs{{"ab", "c"}, {"b", "c"}, {"a", "b"}, {"abc", "a"}, {"c", "a"}});
  const auto tokenizer = make_bpe(read_vocabulary(bpe.write(folder), "key"));
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string word;
    for (int i = 0; i < 12; ++i) word += static_cast<char>('a' + random() % 3);
    EXPECT_EQ(tokenizer->encode(word), plain_ids(bpe, word)) << word;
  }
}

TEST(Bpe, EveryByteRoundTripsThroughDecode) {
  const TempFolder folder;
  const TinyBpe bpe;
  const auto tokenizer = make_bpe(read_vocabulary(bpe.write(folder), "key"));
  for (int32_t id = 0; id < 256; ++id) {
    EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{id}), std::string(1, static_cast<char>(255 - id)));
  }
  for (const int32_t id : {-1, static_cast<int32_t>(tokenizer->vocab_size())}) {
    EXPECT_EQ(error_of([&] { tokenizer->decode(std::vector<int32_t>{id}); }).kind, ErrorKind::data);
  }
}

TEST(Bpe, TextNeverBecomesEndOfText) {
  const TempFolder folder;
  const TinyBpe bpe;
  const auto tokenizer = make_bpe(read_vocabulary(bpe.write(folder), "key"));
  const auto special = static_cast<int32_t>(tokenizer->vocab_size()) - 1;
  const std::string text = "a<|endoftext|>b";
  const std::vector<int32_t> ids = tokenizer->encode(text);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), special), 0);
  EXPECT_EQ(tokenizer->decode(ids), text);
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{special}), "<|endoftext|>");
}

TEST(Bpe, TextThatIsNotUtf8IsAnErrorWithItsOffset) {
  const TempFolder folder;
  const auto tokenizer = make_bpe(read_vocabulary(TinyBpe().write(folder), "key"));
  const ErrorInfo info = error_of([&] { tokenizer->encode_part("ab\xff", {.file = "a.txt", .offset = 1000}); });
  EXPECT_EQ(info.kind, ErrorKind::data);
  EXPECT_EQ(info.file, "a.txt");
  EXPECT_EQ(info.found, "byte 0xff at offset 1002");
  EXPECT_NE(info.cure.find("iconv"), std::string::npos);
}

TEST(Bpe, ALongWordTakesNoQuadraticTime) {
  const TempFolder folder;
  const auto tokenizer = make_bpe(read_vocabulary(TinyBpe().write(folder), "key"));
  const std::vector<int32_t> ids = tokenizer->encode(std::string(400000, 'a'));  // hours if it were
  EXPECT_EQ(ids.size(), 100000U);
}

TEST(Bpe, ThreadsShareATokenizer) {
  const TempFolder folder;
  const auto tokenizer = make_bpe(read_vocabulary(TinyBpe().write(folder), "key"));
  const std::string text = random_text(3, 20000);
  const std::vector<int32_t> expected = tokenizer->encode(text);
  std::vector<std::vector<int32_t>> ids(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : ids) threads.emplace_back([&] { mine = tokenizer->encode(text); });
  }
  for (const auto& theirs : ids) EXPECT_EQ(theirs, expected);
}

TEST(Bpe, AcceptsTheNamesOfHuggingFace) {
  const TempFolder folder;
  const TinyBpe bpe;
  folder.write("hf/vocab.json", bpe.encoder());
  folder.write("hf/merges.txt", bpe.vocab());
  const auto tokenizer = make_tokenizer({.name = "gpt2", .folder = folder.path("hf")});
  EXPECT_EQ(tokenizer->encode("the"), plain_ids(bpe, "the"));
}

class BpeFiles : public testing::Test {
 protected:
  // The folder is refused; the error names `file` and says `words`.
  void refused(const std::string& encoder, const std::string& vocab, const std::string& file,
               const std::string& words) {
    folder_.write("bpe/encoder.json", encoder);
    folder_.write("bpe/vocab.bpe", vocab);
    const ErrorInfo info = error_of([&] { make_tokenizer({.name = "gpt2", .folder = folder_.path("bpe")}); });
    EXPECT_EQ(info.kind, ErrorKind::data) << words;
    EXPECT_EQ(info.file, folder_.path("bpe/" + file)) << words;
    EXPECT_NE(info.message.find(words), std::string::npos) << info.message;
    EXPECT_FALSE(info.found.empty() || info.expected.empty()) << words;
  }
  void refused_encoder(const std::string& encoder, const std::string& words) {
    refused(encoder, good_.vocab(), "encoder.json", words);
  }
  void refused_line(const std::string& line, const std::string& words) {
    refused(good_.encoder(), good_.vocab() + line + "\n", "vocab.bpe", words);
  }
  // encoder.json with `from` replaced once
  std::string with(const std::string& from, const std::string& to) const {
    std::string text = good_.encoder();
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  }

  TempFolder folder_;
  TinyBpe good_;
};

TEST_F(BpeFiles, WrongVocabulariesAreErrors) {
  refused_encoder("", "not JSON");
  refused_encoder("{\"a\": 1", "not JSON");
  refused_encoder(good_.encoder() + "x", "not JSON");
  refused_encoder("[1, 2]", "an array in place of the object");
  refused_encoder("7", "the number 7 in place of the object");
  refused_encoder(with("\"A\": 190", "\"A\": \"190\""), "the text `190` as the id of `A`");
  refused_encoder(with("\"A\": 190", "\"A\": {}"), "an object as the id of `A`");
  refused_encoder(with("\"A\": 190", "\"A\": 1.5"), "the number `1.5` as the id");
  refused_encoder(with("\"A\": 190", "\"A\": -1"), "the number -1 as the id");
  refused_encoder(with("\"A\": 190", "\"A\": 4000000000"), "the number 4000000000 as the id");
  refused_encoder(with("\"A\": 190", "\"A\": 191"), "are not 0 to 270");
  refused_encoder(with("\"A\": 190", "\"A\": 271"), "are not 0 to 270");
  refused_encoder(with("\"A\": 190", "\"B\": 190"), "`B` has two entries");
  refused_encoder(with("\"A\": 190", "\"A \": 190"), "not written in GPT-2's characters");
  refused_encoder(with("\"A\": 190", "\"\": 190"), "not written in GPT-2's characters");
  refused_encoder(with("\"A\": 190", "\"\xe2\x82\xac\": 190"), "not written in GPT-2's characters");
  refused_encoder(with("\"A\": 190", "\"AA\": 190"), "no token for the byte 0x41");
}

TEST_F(BpeFiles, WrongMergesAreErrors) {
  refused_line("a", "not two tokens");
  refused_line("a b c", "not two tokens");
  refused_line("", "not two tokens");
  refused_line("t h", "twice");
  refused_line("a q", "makes a token that the vocabulary does not have");
  refused_line("qq q", "names `qq`, which the vocabulary does not have");
  refused_line("a \xff", "which the vocabulary does not have");
  refused_line("a ", "which the vocabulary does not have");
  refused_line("o n\r", "which the vocabulary does not have");
  TinyBpe special(TinyBpe::Pairs{{"<", "|"}});
  special.tokens.push_back("<|endoftext|");
  refused(special.encoder(), "#version: 0.2\n< |\n<|endoftext| >\n", "vocab.bpe", "makes a token");
}

TEST_F(BpeFiles, TheLineOfAWrongMergeIsNamed) {
  folder_.write("bpe/encoder.json", good_.encoder());
  folder_.write("bpe/vocab.bpe", "#version: 0.2\nt h\nx y\n");
  EXPECT_EQ(error_of([&] { read_vocabulary(folder_.path("bpe"), "key"); }).line, 3);
}

TEST_F(BpeFiles, AMissingFolderOrFileSaysWhatIsNeeded) {
  const auto of = [](const std::string& folder) {
    return error_of([&] { make_tokenizer({.name = "gpt2", .folder = folder}); });
  };
  EXPECT_EQ(of("").key, "data.tokenizer_dir");
  EXPECT_EQ(of("").kind, ErrorKind::config);
  EXPECT_EQ(of(folder_.path("none")).found, "no folder");
  folder_.write("half/encoder.json", good_.encoder());
  const ErrorInfo info = of(folder_.path("half"));
  EXPECT_EQ(info.kind, ErrorKind::data);
  EXPECT_NE(info.message.find("neither vocab.bpe nor merges.txt"), std::string::npos) << info.message;
  std::filesystem::create_directories(folder_.path("half/vocab.bpe"));
  EXPECT_EQ(of(folder_.path("half")).kind, ErrorKind::data);
}

// Only what the published files say themselves is compared: ranks, ids and their spelling.
TEST(Bpe, ReadsThePublishedVocabularyOfGpt2) {
  const std::string encoder = shared_file("data/bpe/encoder.json");
  if (encoder.empty())
    GTEST_SKIP() << "GPT-2's published encoder.json and vocab.bpe are not here, and are no part of the project";
  const auto tokenizer = make_tokenizer({.name = "gpt2", .folder = std::filesystem::path(encoder).parent_path()});
  ASSERT_EQ(tokenizer->vocab_size(), 50257);
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{50256}), "<|endoftext|>");
  EXPECT_EQ(tokenizer->encode("Hello world"), (std::vector<int32_t>{15496, 995}));
  // a token that one word is made of is found again from its own text
  int64_t found = 0;
  for (int32_t id = 0; id < 50256; ++id) {
    const std::string text = tokenizer->decode(std::vector<int32_t>{id});
    if (first_invalid_utf8(text) != std::string::npos || first_word(text) != text.size()) continue;
    const std::vector<int32_t> ids = tokenizer->encode(text);
    EXPECT_EQ(tokenizer->decode(ids), text);
    found += ids == std::vector<int32_t>{id} ? 1 : 0;
  }
  EXPECT_GT(found, 49000);
}

}  // namespace
}  // namespace ringmaster::data
