// SPDX-License-Identifier: Apache-2.0
// Files to tokens: formats, lists, globs, odd names, splits, hashes, and every way a user's data can be wrong.
#include "data/source.h"

#include "tests/data/files.h"

#include <sys/stat.h>
#include <unistd.h>

namespace ringmaster::data {
namespace {

Dataset open_file(const std::string& path, double validation_fraction = 0.1) {
  return open_dataset({.path = {path}, .validation_fraction = validation_fraction});
}

// What every data error owes its reader.
void expect_helpful(const ErrorInfo& info) {
  EXPECT_EQ(info.kind, ErrorKind::data);
  EXPECT_EQ(exit_code(info.kind), 2);
  EXPECT_FALSE(info.message.empty());
  EXPECT_FALSE(info.key.empty());
  EXPECT_FALSE(info.found.empty());
  EXPECT_FALSE(info.expected.empty());
  EXPECT_FALSE(info.cure.empty());
}

TEST(Source, TextIsItsBytes) {
  const TempFolder folder;
  const std::string bytes = "a\n\xc3\xa9\xff";
  const Split split = open_whole({.path = {folder.write("a.txt", bytes)}});
  EXPECT_EQ(all_tokens(split), (std::vector<int32_t>{'a', '\n', 0xc3, 0xa9, 0xff}));
  EXPECT_EQ(split.source->how(), "text by the extension .txt");
}

TEST(Source, Uint16IsLittleEndian) {
  const TempFolder folder;
  const std::vector<int32_t> ids = {0, 1, 255, 256, 50303, 65535};
  EXPECT_EQ(all_tokens(open_whole({.path = {folder.write("a.bin", u16_bytes(ids))}})), ids);
}

TEST(Source, SameTokensFromTextAndUint16) {
  const TempFolder folder;
  const std::string bytes = noise(40000);  // longer than any internal buffer
  const Split text = open_whole({.path = {folder.write("a.txt", bytes)}});
  const Split words = open_whole({.path = {folder.write("a.u16", u16_bytes(all_tokens(text)))}});
  EXPECT_EQ(words.source->how(), "uint16 by the extension .u16");
  EXPECT_EQ(all_tokens(words), all_tokens(text));
}

TEST(Source, ReadsAnyRangeAcrossFiles) {
  const TempFolder folder;
  const std::string bytes = noise(1000);
  const std::vector<std::string> files = {folder.write("1", bytes.substr(0, 1)),
                                          folder.write("2", bytes.substr(1, 499)),
                                          folder.write("3", bytes.substr(500))};
  const Source source({.path = files, .format = "text"});
  ASSERT_EQ(source.size(), 1000);
  for (int64_t first = 0; first < 1000; first += 13) {
    for (const int64_t count : {0, 1, 2, 498, 1000}) {
      if (first + count > 1000) continue;
      std::vector<int32_t> ids(static_cast<size_t>(count));
      source.read(first, count, ids.data());
      EXPECT_EQ(std::string(ids.begin(), ids.end()),
                bytes.substr(static_cast<size_t>(first), static_cast<size_t>(count)));
    }
  }
}

TEST(Source, ListKeepsItsOrderAndGlobIsInByteOrder) {
  const TempFolder folder;
  const std::string b = folder.write("b.txt", "b"), upper = folder.write("B.txt", "B"), a = folder.write("a.txt", "a");
  const auto text = [](const std::vector<std::string>& path) {
    const std::vector<int32_t> ids = all_tokens(open_whole({.path = path}));
    return std::string(ids.begin(), ids.end());
  };
  EXPECT_EQ(text({b, a, upper}), "baB");
  EXPECT_EQ(text({folder.path("*.txt")}), "Bab");  // not the order of a locale
  EXPECT_EQ(text({b, folder.path("?.txt"), a}), "bBaba");
}

TEST(Source, OddNamesWork) {
  const TempFolder folder;
  for (const std::string name :
       {"two words.txt", "new\nline.txt", "\xc3\xa9t\xc3\xa9.txt", "not a glob [ab]*.txt", "no_extension"}) {
    const Split split = open_whole({.path = {folder.write(name, "xyz")}});
    EXPECT_EQ(split.size, 3) << name;
    EXPECT_EQ(split.source->files().size(), 1U) << name;
  }
}

TEST(Source, AutoTakesUnknownExtensionsAsTextUnlessTheyHoldNul) {
  const TempFolder folder;
  EXPECT_EQ(open_whole({.path = {folder.write("a.hpp", "int x;")}}).source->how(), "text by its bytes: no NUL");
  const std::string blob = folder.write("a.dat", std::string("ab\0c", 4));
  const ErrorInfo info = error_of([&] { open_whole({.path = {blob}}); });
  expect_helpful(info);
  EXPECT_EQ(info.file, blob);
  EXPECT_EQ(open_whole({.path = {blob}, .format = "uint16"}).size, 2);  // asked for, nothing is guessed
  EXPECT_EQ(open_whole({.path = {blob}, .format = "text"}).size, 4);
}

TEST(Source, UnknownFormatIsAnError) {
  const TempFolder folder;
  const ErrorInfo info = error_of([&] { open_whole({.path = {folder.write("a", "x")}, .format = "parquet"}); });
  EXPECT_EQ(info.kind, ErrorKind::config);
  EXPECT_EQ(info.key, "data.format");
  EXPECT_EQ(info.expected, "one of: auto, text, llmc, uint16");
}

TEST(Source, MissingFileNamesItAndTheFolderItWasSoughtIn) {
  const ErrorInfo info = error_of([] { open_file("no/such/file.txt"); });
  expect_helpful(info);
  EXPECT_EQ(info.file, "no/such/file.txt");
  EXPECT_EQ(info.key, "data.path");
  EXPECT_NE(info.cure.find(std::filesystem::current_path().string()), std::string::npos);
}

TEST(Source, OneMissingFileOfAListIsAnError) {
  const TempFolder folder;
  const ErrorInfo info = error_of([&] { Source({.path = {folder.write("a", "x"), folder.path("b")}}); });
  expect_helpful(info);
  EXPECT_EQ(info.file, folder.path("b"));
}

TEST(Source, NoPathIsAnError) {
  expect_helpful(error_of([] { Source({}); }));
  expect_helpful(error_of([] { Source({.path = {""}}); }));
}

TEST(Source, GlobWithoutMatchIsAnError) {
  const TempFolder folder;
  const ErrorInfo info = error_of([&] { open_file(folder.path("*.txt")); });
  expect_helpful(info);
  EXPECT_EQ(info.file, folder.path("*.txt"));
}

TEST(Source, EmptyFileIsAnError) {
  const TempFolder folder;
  const ErrorInfo info = error_of([&] { open_file(folder.write("a.txt", "")); });
  expect_helpful(info);
  EXPECT_EQ(info.found, "an empty file");
}

TEST(Source, FolderIsAnErrorAlsoInAGlob) {
  const TempFolder folder;
  folder.write("inner/a.txt", "x");
  for (const std::string& path : {folder.path("inner"), folder.path("inn*")}) {
    const ErrorInfo info = error_of([&] { open_file(path); });
    expect_helpful(info);
    EXPECT_EQ(info.file, folder.path("inner"));
    EXPECT_EQ(info.found, "a folder");
  }
}

TEST(Source, PipeIsAnErrorAndIsNotWaitedFor) {
  const TempFolder folder;
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  const ErrorInfo info = error_of([&] { open_file(folder.path("pipe")); });
  expect_helpful(info);
  EXPECT_EQ(info.found, "a device or pipe");
}

TEST(Source, UnreadableFileIsAnError) {
  const TempFolder folder;
  const std::string file = folder.write("a.txt", "x");
  if (::geteuid() == 0) {  // nothing is unreadable for root, but a path through a file cannot be opened by anyone
    expect_helpful(error_of([&] { open_file(file + "/b.txt"); }));
    return;
  }
  ASSERT_EQ(::chmod(file.c_str(), 0), 0);
  expect_helpful(error_of([&] { open_file(file); }));
}

TEST(Source, HalfATokenIsAnError) {
  const TempFolder folder;
  const ErrorInfo info = error_of([&] { open_file(folder.write("a.bin", "abc")); });
  expect_helpful(info);
  EXPECT_EQ(info.found, "3 bytes");
  EXPECT_EQ(info.expected, "a multiple of 2 bytes");
}

TEST(Source, MixedFormatsAreAnError) {
  const TempFolder folder;
  const std::string text = folder.write("a.txt", "ab"), words = folder.write("a.bin", "ab");
  const ErrorInfo list = error_of([&] { Source({.path = {text, words}}); });
  expect_helpful(list);
  EXPECT_EQ(list.file, words);
  const ErrorInfo two = error_of([&] { open_dataset({.path = {text}, .validation_path = words}); });
  expect_helpful(two);
  EXPECT_EQ(two.key, "data.validation_path");
  EXPECT_EQ(open_dataset({.path = {text}, .format = "text", .validation_path = words}).validation.size, 2);
}

TEST(Source, FileThatShrinksAfterOpeningIsAnError) {
  const TempFolder folder;
  const std::string file = folder.write("a.txt", noise(100));
  const Split split = open_whole({.path = {file}});
  std::filesystem::resize_file(file, 50);
  const ErrorInfo info = error_of([&] { all_tokens(split); });
  EXPECT_EQ(info.kind, ErrorKind::data);
  EXPECT_EQ(info.file, file);
  EXPECT_EQ(info.found, "the end of the file");
}

TEST(Dataset, TrainIsTheFirstFloorOfTheFraction) {
  const TempFolder folder;
  for (const int64_t n : {1, 2, 9, 10, 11, 101}) {
    const std::string file = folder.write("a.txt", noise(n));
    for (const int64_t percent : {0, 10, 25, 50}) {
      const Dataset dataset = open_file(file, static_cast<double>(percent) / 100);
      EXPECT_EQ(dataset.train.size, (100 - percent) * n / 100);
      std::vector<int32_t> joined = all_tokens(dataset.train);
      const std::vector<int32_t> rest = all_tokens(dataset.validation);
      joined.insert(joined.end(), rest.begin(), rest.end());
      EXPECT_EQ(std::string(joined.begin(), joined.end()), noise(n));
    }
  }
}

TEST(Dataset, ValidationPathLeavesAllOfPathToTraining) {
  const TempFolder folder;
  const Dataset dataset =
      open_dataset({.path = {folder.write("a.txt", "aaaa")}, .validation_path = folder.write("b.txt", "bb")});
  EXPECT_EQ(all_tokens(dataset.train), (std::vector<int32_t>{'a', 'a', 'a', 'a'}));
  EXPECT_EQ(all_tokens(dataset.validation), (std::vector<int32_t>{'b', 'b'}));
}

TEST(Scan, IsTheSha256OfTheJoinedFiles) {
  const TempFolder folder;
  const std::string a = folder.write("a.txt", "a"), b = folder.write("b.txt", "bc");
  // FIPS 180-2, appendix B.1: the digest of "abc"
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(scan(open_whole({.path = {a, b}}), 256), abc);
  EXPECT_EQ(scan(open_dataset({.path = {a}, .validation_path = b}), 256), abc);
  EXPECT_NE(scan(open_whole({.path = {b, a}}), 256), abc);
}

TEST(Scan, TokenOutsideTheVocabularyNamesFileOffsetAndCure) {
  const TempFolder folder;
  const std::string good = folder.write("a.bin", u16_bytes({0, 99})),
                    bad = folder.write("b.bin", u16_bytes({1, 2, 100, 300}));
  const Split split = open_whole({.path = {good, bad}});
  EXPECT_EQ(scan(split, 301).size(), 64U);
  const ErrorInfo info = error_of([&] { scan(split, 100); });
  expect_helpful(info);
  EXPECT_EQ(info.file, bad);
  EXPECT_EQ(info.found, "token id 100 at byte 4");
  EXPECT_NE(info.cure.find("301"), std::string::npos);
}

TEST(Scan, TokenBeyondTheFirstChunkIsFound) {
  const TempFolder folder;
  std::string bytes(1 << 20, 'a');
  bytes[900000] = bytes.back() = '\xff';  // the first one counts
  const Split split = open_whole({.path = {folder.write("a.txt", bytes)}});
  EXPECT_EQ(scan(split, 256).size(), 64U);
  EXPECT_EQ(error_of([&] { scan(split, 255); }).found, "token id 255 at byte 900000");
}

}  // namespace
}  // namespace ringmaster::data
