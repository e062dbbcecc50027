// SPDX-License-Identifier: Apache-2.0
// Text files to token files: the same bytes for any number of threads and any piece, and nothing written on an error.
#include "data/tokenize.h"

#include "data/bpe.h"
#include "data/formats.h"
#include "data/pretokenize.h"
#include "tests/data/tiny_bpe.h"

#include <random>

namespace ringmaster::data {
namespace {

// Text with everything that a cut could disturb: runs of blanks, CRLF, contractions, several planes, long words.
std::string mixed_text(uint32_t seed, int parts) {
  static const std::vector<std::string> pool = {"the",
                                                " the",
                                                "on",
                                                " a",
                                                "'ll",
                                                "'s",
                                                "'",
                                                "aaaa",
                                                "12",
                                                " 12",
                                                "\n",
                                                "\n\n",
                                                "  ",
                                                "   ",
                                                " ",
                                                "\t",
                                                "\r\n",
                                                "\xc2\xa0",
                                                "\xe3\x80\x80",
                                                "\xc3\xa9",
                                                ".",
                                                " \xf0\x9f\x98\x80",
                                                "\xf0\xa0\x80\x80",
                                                "<|endoftext|>",
                                                "aaaaaaaaaaaaaaaaaaaa"};
  std::mt19937 random(seed);
  std::string text;
  for (int i = 0; i < parts; ++i) text += pool[random() % pool.size()];
  return text;
}

class Tokenize : public testing::Test {
 protected:
  Tokenize() : tokenizer_(make_bpe(read_vocabulary(TinyBpe().write(folder_), "key"))) {}

  TokenizeOptions options(std::vector<std::string> in) const {
    return {.in = std::move(in), .out = folder_.path("out.bin"), .threads = 1};
  }
  std::vector<int32_t> read(const std::string& format) const {
    return all_tokens(open_whole({.path = {folder_.path("out.bin")}, .format = format}));
  }

  TempFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(Tokenize, AnyThreadsAndAnyPieceGiveTheIdsOfTheWholeFile) {
  for (uint32_t seed = 0; seed < 6; ++seed) {
    const std::string text = mixed_text(seed, 3000), file = folder_.write("a.txt", text);
    const std::vector<int32_t> whole = tokenizer_->encode(text);
    for (const int threads : {1, 2, 7}) {
      for (const int64_t piece : {1, 2, 17, 1000, 1 << 20}) {
        TokenizeOptions o = options({file});
        o.threads = threads;
        o.piece_bytes = piece;
        const Tokenized done = tokenize(*tokenizer_, o);
        EXPECT_EQ(read("auto"), whole) << threads << " threads, " << piece << " bytes";
        EXPECT_EQ(done.tokens, static_cast<int64_t>(whole.size()));
        EXPECT_EQ(done.bytes, static_cast<int64_t>(text.size()));
      }
    }
  }
}

// The claim that the pieces rest on, at every place where one could end.
TEST_F(Tokenize, EverySafeCutLeavesTheIds) {
  const std::string text = mixed_text(11, 300);
  const std::vector<int32_t> whole = tokenizer_->encode(text);
  int cuts = 0;
  for (size_t end = 1; end <= text.size(); ++end) {
    const size_t cut = last_safe_cut(std::string_view(text).substr(0, end), end - 1);
    if (cut == std::string_view::npos) continue;
    std::vector<int32_t> ids = tokenizer_->encode(text.substr(0, cut));
    const std::vector<int32_t> rest = tokenizer_->encode(text.substr(cut));
    ids.insert(ids.end(), rest.begin(), rest.end());
    EXPECT_EQ(ids, whole) << "cut at " << cut;
    ++cuts;
  }
  EXPECT_GT(cuts, 30);
}

TEST_F(Tokenize, TextWithoutBlanksIsOnePiece) {
  const std::string text(50000, 'a'), file = folder_.write("a.txt", text);
  TokenizeOptions o = options({file});
  o.threads = 3;
  o.piece_bytes = 100;
  tokenize(*tokenizer_, o);
  EXPECT_EQ(read("auto"), tokenizer_->encode(text));
}

TEST_F(Tokenize, FilesFollowOneAnotherAndWordsDoNotCross) {
  const std::string a = folder_.write("a.txt", "x th"), b = folder_.write("b.txt", "e y");
  const Tokenized done = tokenize(*tokenizer_, options({b, folder_.path("?.txt")}));  // a list keeps its order
  std::vector<int32_t> expected;
  for (const char* text : {"e y", "x th", "e y"}) {
    const std::vector<int32_t> ids = tokenizer_->encode(text);
    expected.insert(expected.end(), ids.begin(), ids.end());
  }
  EXPECT_EQ(read("llmc"), expected);
  EXPECT_EQ(done.files, 3);
}

TEST_F(Tokenize, Uint16IsTheSameIdsWithoutAHeader) {
  const std::string file = folder_.write("a.txt", mixed_text(5, 500));
  TokenizeOptions o = options({file});
  tokenize(*tokenizer_, o);
  const std::string with_header = read_file(o.out);
  o.format = "uint16";
  tokenize(*tokenizer_, o);
  EXPECT_EQ(with_header.substr(1024), read_file(o.out));
}

TEST_F(Tokenize, ProgressEndsAtTheTotal) {
  const std::string text = mixed_text(5, 500), file = folder_.write("a.txt", text);
  int64_t last = 0;
  TokenizeOptions o = options({file});
  o.piece_bytes = 100;
  o.progress = [&](int64_t done, int64_t total) {
    EXPECT_GT(done, last);
    EXPECT_EQ(total, static_cast<int64_t>(text.size()));
    last = done;
  };
  tokenize(*tokenizer_, o);
  EXPECT_EQ(last, static_cast<int64_t>(text.size()));
}

TEST_F(Tokenize, AnErrorNamesTheFirstBadByteAndLeavesTheOldFile) {
  std::string text = mixed_text(5, 2000);
  const size_t bad = text.size() / 2, at = bad + text.substr(bad).find('\n');
  text[at] = '\xff';
  text[text.size() - 1] = '\xff';
  const std::string file = folder_.write("a.txt", text);
  folder_.write("out.bin", "old");
  for (const int threads : {1, 7}) {
    TokenizeOptions o = options({file});
    o.threads = threads;
    o.piece_bytes = 64;
    const ErrorInfo info = error_of([&] { tokenize(*tokenizer_, o); });
    EXPECT_EQ(info.kind, ErrorKind::data);
    EXPECT_EQ(info.file, file);
    EXPECT_EQ(info.found, fmt::format("byte 0xff at offset {}", at));
  }
  EXPECT_EQ(read_file(folder_.path("out.bin")), "old");
  EXPECT_EQ(list_folder(folder_.path("")), (std::vector<std::string>{"a.txt", "bpe", "out.bin"}));
}

TEST_F(Tokenize, WrongOptionsAreErrors) {
  const std::string file = folder_.write("a.txt", "the");
  TokenizeOptions same = options({file});
  same.out = folder_.path("bpe") + "/../a.txt";
  EXPECT_EQ(error_of([&] { tokenize(*tokenizer_, same); }).key, "--out");
  EXPECT_EQ(read_file(file), "the");
  TokenizeOptions format = options({file});
  format.format = "text";
  EXPECT_EQ(error_of([&] { tokenize(*tokenizer_, format); }).key, "--format");
  EXPECT_EQ(error_of([&] { tokenize(*tokenizer_, options({folder_.path("none.txt")})); }).kind, ErrorKind::data);
}

TEST_F(Tokenize, IdsThatSixteenBitsDoNotHoldAreRefused) {
  TinyBpe large;
  for (int i = 0; large.tokens.size() <= 65536; ++i) large.tokens.push_back(fmt::format("token{}", i));
  const auto tokenizer = make_bpe(read_vocabulary(large.write(folder_, "large"), "key"));
  ASSERT_EQ(tokenizer->vocab_size(), 65537);
  const std::string file = folder_.write("a.txt", "the");
  EXPECT_EQ(error_of([&] { tokenize(*tokenizer, options({file})); }).found, "65537 tokens");
  EXPECT_FALSE(std::filesystem::exists(folder_.path("out.bin")));
}

// ---- the llmc layout, by bytes written here
std::string llmc_bytes(const std::vector<int32_t>& ids, std::vector<uint32_t> head = {20240520, 1}) {
  std::string bytes;
  if (head.size() < 3) head.push_back(static_cast<uint32_t>(ids.size()));
  head.resize(256);
  for (const uint32_t value : head) {
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift);
  }
  return bytes + u16_bytes(ids);
}

TEST(Llmc, IsRecognisedByItsMagicNumber) {
  const TempFolder folder;
  const std::vector<int32_t> ids = {7, 50256, 0, 65535};
  const std::string a = folder.write("a.bin", llmc_bytes(ids)), raw = folder.write("b.bin", u16_bytes(ids));
  const Split split = open_whole({.path = {a, a}});
  EXPECT_EQ(split.source->how(), "llmc by its first bytes");
  std::vector<int32_t> twice = ids;
  twice.insert(twice.end(), ids.begin(), ids.end());
  EXPECT_EQ(all_tokens(split), twice);
  EXPECT_EQ(open_whole({.path = {raw}}).source->how(), "uint16 by the extension .bin");
  EXPECT_EQ(open_whole({.path = {folder.write("c.txt", llmc_bytes(ids))}}).source->how(), "llmc by its first bytes");
  EXPECT_EQ(scan(split, 65536), scan(open_whole({.path = {raw, raw}}), 65536));
  EXPECT_EQ(error_of([&] { scan(split, 50257); }).found, "token id 65535 at byte 1030");
}

TEST(Llmc, EveryContradictionIsAnError) {
  const TempFolder folder;
  const auto found = [&](const std::string& bytes) {
    const std::string file = folder.write("a.bin", bytes);
    const ErrorInfo info = error_of([&] { open_whole({.path = {file}, .format = "llmc"}); });
    EXPECT_EQ(info.kind, ErrorKind::data);
    EXPECT_EQ(info.file, file);
    EXPECT_FALSE(info.expected.empty() || info.cure.empty());
    return info.found;
  };
  const std::vector<int32_t> ids = {1, 2, 3};
  EXPECT_EQ(found(llmc_bytes(ids).substr(0, 1023)), "1023 bytes");
  EXPECT_EQ(found("ab"), "2 bytes");
  EXPECT_EQ(found(llmc_bytes(ids, {20240801, 1})), "the number 20240801 at byte 0");
  EXPECT_EQ(found(llmc_bytes(ids, {20240520, 7})), "version 7");
  EXPECT_EQ(found(llmc_bytes(ids, {20240520, 1, 2})), "1030 bytes");
  EXPECT_EQ(found(llmc_bytes(ids, {20240520, 1, 4})), "1030 bytes");
  EXPECT_EQ(found(llmc_bytes(ids) + "x"), "1031 bytes");
  EXPECT_EQ(found(llmc_bytes({})), "a count of 0 tokens");
  EXPECT_EQ(found(llmc_bytes(ids, {20240520, 1, 0x80000003U})), "a count of 2147483651 tokens");
}

TEST(Gpt2Data, TextIsRefusedWithTheCommandThatTokenisesIt) {
  const TempFolder folder;
  const std::string text = folder.write("a.txt", "text"), ids = folder.write("a.bin", llmc_bytes({1, 2, 3}));
  config::Data data{.path = {text}, .tokenizer = "gpt2"};
  const ErrorInfo info = error_of([&] { open_dataset(data); });
  EXPECT_EQ(info.kind, ErrorKind::data);
  EXPECT_EQ(info.file, text);
  EXPECT_NE(info.cure.find("ringmaster data tokenize"), std::string::npos);
  data.path = {ids};
  EXPECT_EQ(open_dataset(data).train.size, 2);
  data.validation_path = text;
  EXPECT_EQ(error_of([&] { open_dataset(data); }).key, "data.validation_path");
}

}  // namespace
}  // namespace ringmaster::data
