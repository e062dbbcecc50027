// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include "tests/core/temp_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

namespace ringmaster {
namespace {

ErrorInfo error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) { return e.info(); }
  ADD_FAILURE() << "no error";
  return {};
}

}  // namespace

TEST(File, AtomicWriteReplacesAndLeavesNothingElse) {
  const TempFolder folder;
  write_file_atomic(folder / "a b", "first, and longer");
  write_file_atomic(folder / "a b", "second");
  EXPECT_EQ(read_file(folder / "a b"), "second");
  EXPECT_EQ(list_folder(folder.path()), std::vector<std::string>{"a b"});
}

TEST(File, AtomicWriteReplacesWhatALinkLeadsTo) {
  const TempFolder folder;
  write_file_atomic(folder / "f", "old");
  std::filesystem::create_symlink("f", folder / "link");
  std::filesystem::create_symlink("new", folder / "nowhere yet");
  write_file_atomic(folder / "link", "through the link");
  write_file_atomic(folder / "nowhere yet", "made");
  EXPECT_EQ(read_file(folder / "f"), "through the link");
  EXPECT_EQ(read_file(folder / "new"), "made");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  std::filesystem::create_symlink("/dev/null", folder / "device");
  EXPECT_THROW(write_file_atomic(folder / "device", "text"), Error);
}

TEST(File, FailedAtomicWriteKeepsTheOldBytes) {
  const TempFolder folder;
  write_file_atomic(folder / "f", "old");
  EXPECT_THROW(write_file_atomic(folder / "f",
                                 [](File& file) {
                                   file.write_all("half", 4);
                                   throw std::runtime_error("power gone");
                                 }),
               std::runtime_error);
  EXPECT_EQ(read_file(folder / "f"), "old");
  EXPECT_EQ(list_folder(folder.path()), std::vector<std::string>{"f"});
}

TEST(File, ReadRefusesWhatIsLargerThanItsLimit) {
  const TempFolder folder;
  write_file_atomic(folder / "f", "12345");
  EXPECT_EQ(read_file(folder / "f", {.max_bytes = 5}), "12345");
  const ErrorInfo info = error_of([&] { read_file(folder / "f", {.max_bytes = 4, .kind = ErrorKind::data}); });
  EXPECT_EQ(info.kind, ErrorKind::data);
  EXPECT_EQ(info.file, (folder / "f").string());
  EXPECT_EQ(info.found, "5 bytes");
  EXPECT_EQ(info.expected, "at most 4 bytes");
}

TEST(File, OnlyRegularFilesOpen) {
  const TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { File::open_read(folder / "pipe"); }).found, "a pipe");  // and does not wait for a writer
  EXPECT_EQ(error_of([&] { File::open_read(folder.path()); }).found, "a folder");
  EXPECT_EQ(error_of([&] { File::open_read("/dev/zero"); }).found, "a device");
  EXPECT_EQ(error_of([&] { read_file(folder / "absent"); }).message, "cannot open: No such file or directory");
}

TEST(File, LinksAreFollowedOnlyOnRequest) {
  const TempFolder folder;
  write_file_atomic(folder / "f", "text");
  std::filesystem::create_symlink("f", folder / "link");
  EXPECT_EQ(read_file(folder / "link"), "text");
  EXPECT_EQ(error_of([&] { read_file(folder / "link", {.follow_links = false}); }).message, "is a symbolic link");
}

TEST(File, ReadingBehindTheEndNamesBothSizes) {
  const TempFolder folder;
  write_file_atomic(folder / "f", "123456");
  const File file = File::open_read(folder / "f");
  std::string four(4, ' ');
  file.pread_exact(std::as_writable_bytes(std::span(four)), 2);
  EXPECT_EQ(four, "3456");
  const ErrorInfo info = error_of([&] { file.pread_exact(std::as_writable_bytes(std::span(four)), 3); });
  EXPECT_EQ(info.found, "6 bytes");
  EXPECT_EQ(info.expected, "at least 7 bytes");
}

TEST(File, CreateNewRefusesAnExistingFile) {
  const TempFolder folder;
  write_file_atomic(folder / "f", "kept");
  EXPECT_THROW(File::create_new(folder / "f"), Error);
  EXPECT_EQ(read_file(folder / "f"), "kept");
}

TEST(MappedFile, ShowsTheBytesAndSurvivesAMove) {
  const TempFolder folder;
  write_file_atomic(folder / "f", "mapped");
  write_file_atomic(folder / "empty", "");
  MappedFile a(folder / "f");
  const MappedFile b = std::move(a);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(b.bytes().data()), 6), "mapped");
  EXPECT_EQ(a.size(), 0);
  EXPECT_EQ(MappedFile(folder / "empty").size(), 0);
}

TEST(Folders, AreMadeWithTheirParentsAndOnlyOnce) {
  const TempFolder folder;
  make_folders(folder / "a/b/c");
  make_folders(folder / "a/b/c");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/c"));
  write_file_atomic(folder / "f", "");
  EXPECT_THROW(make_folders(folder / "f"), Error);
  EXPECT_THROW(make_folders(folder / "f/g"), Error);
  EXPECT_THROW(list_folder(folder / "absent"), Error);
}

}  // namespace ringmaster
