// SPDX-License-Identifier: Apache-2.0
// source: the token files of a run as one long sequence, and its split in training and validation.
// Nothing is loaded: tokens are read (pread) where they are needed, so a truncated or failing file is an Error, not a
// signal.
#pragma once
#include "config/config.h"
#include "data/file.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ringmaster::data {

struct Format;  // formats.h

struct SourceOptions {
  std::vector<std::string> path;   // files or globs; a name that exists is never read as a glob
  std::string format = "auto";     // auto | text | llmc | uint16
  std::string tokenizer = "byte";  // text is read for `byte` only: other tokenizers have work to do first
  std::string key = "data.path";   // configuration key or flag that errors name
};

// The concatenation of all files in the order given, those of one glob in byte order. Immutable, thread-safe; keeps the
// files open. Errors are of kind data: missing, empty, a folder, unreadable, a glob without match, half a token, files
// of different formats.
class Source {
 public:
  explicit Source(const SourceOptions& options);

  int64_t size() const { return size_; }  // tokens
  // tokens [first, first + count) into `ids`; blocks on the disk, never allocates
  void read(int64_t first, int64_t count, int32_t* ids) const;

  int64_t tokens_of(const DataFile& file) const;
  const Format& format() const { return *format_; }
  const std::string& how() const { return how_; }  // "text by the extension .txt": the format and why it was taken
  const std::string& key() const { return key_; }
  const std::vector<DataFile>& files() const { return files_; }

 private:
  std::vector<DataFile> files_;
  std::vector<int64_t> starts_;  // first token of each file in the concatenation
  int64_t size_ = 0;
  const Format* format_ = nullptr;
  std::string how_;
  std::string key_;
};

// A contiguous range of a source, which it keeps alive.
struct Split {
  std::shared_ptr<const Source> source;
  int64_t first = 0;
  int64_t size = 0;  // tokens

  void read(int64_t from, int64_t count, int32_t* ids) const { source->read(first + from, count, ids); }
};

// `eval --data FILE`: all of it
Split open_whole(const SourceOptions& options);

struct Dataset {
  Split train;       // the first floor((1 - validation_fraction) * n) tokens; all of data.path with a validation_path
  Split validation;  // the rest; all of validation_path if there is one
};

// Opens data.path and data.validation_path. Cheap: reads no tokens. Errors as Source, and if the two differ in format.
// Splits may come out too short: Sampler and ValidationWindows say so.
Dataset open_dataset(const config::Data& config);

// Reads every byte once, for one rank to do before step 1: SHA-256 (hex) of the token bytes, path then validation_path,
// as `cat FILES | sha256sum` gives where files have no header. Throws Error (data) with file and byte offset if a token id is not below
// vocab_size.
std::string scan(const Dataset& dataset, int64_t vocab_size);
std::string scan(const Split& split, int64_t vocab_size);  // the whole of its source

}  // namespace ringmaster::data
