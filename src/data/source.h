// SPDX-License-Identifier: Apache-2.0
// source: the token files of a run as one long sequence, and the split of it in training and validation.
// Nothing is loaded: tokens are read with pread where they are needed, so a truncated or failing file is an Error, not a signal.
#pragma once
#include "config/config.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ringmaster::data {

struct Format;  // formats.h

struct SourceOptions {
  std::vector<std::string> path;  // files or globs (* ? [...]); a file whose name exists is never read as a glob
  std::string format = "auto";    // auto | text | uint16
  std::string key = "data.path";  // the configuration key that errors name
};

// The concatenation of all files, in the order given (those of one glob in byte order). Keeps the files open; safe to share
// between threads. Every Error is of kind data: missing, empty, a folder, unreadable, a glob without match, half a token.
class Source {
 public:
  explicit Source(const SourceOptions& options);
  ~Source();
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  int64_t size() const { return size_; }  // tokens
  // tokens [first, first + count) into `out`; blocks on the disk, never allocates
  void read(int64_t first, int64_t count, int32_t* out) const;
  // "text (by the extension .txt), 1 file": what `auto` decided and why
  const std::string& how() const { return how_; }
  std::string first_file() const;

 private:
  friend class Scan;
  struct File {
    std::string path;
    int fd = -1;
    int64_t first_byte = 0;   // of the tokens
    int64_t first_token = 0;  // in the concatenation
    int64_t tokens = 0;
  };
  void read_bytes(const File& file, int64_t offset, int64_t count, void* out) const;

  const Format* format_ = nullptr;
  std::vector<File> files_;
  int64_t size_ = 0;
  std::string how_;
};

// A contiguous range of a source; the source lives as long as a split of it.
struct Split {
  std::shared_ptr<const Source> source;
  int64_t first = 0;
  int64_t size = 0;  // tokens

  void read(int64_t from, int64_t count, int32_t* out) const { source->read(first + from, count, out); }
};
Split whole(std::shared_ptr<const Source> source);

// Reads every byte of `sources` once, in order: the SHA-256 (hex) of the token bytes, as sha256sum gives for the files
// joined. Throws Error (data), with file and byte offset, at the first token id that is not below vocab_size.
std::string scan(const std::vector<std::shared_ptr<const Source>>& sources, int64_t vocab_size);

struct Dataset {
  Split train;       // first floor((1 - validation_fraction) * n) tokens, or all of data.path if validation_path is set
  Split validation;  // the rest, or all of validation_path
  std::string how;   // one line for the log

  // scan() of everything; one rank is enough
  std::string hash(int64_t vocab_size) const;
};
// Opens data.path and data.validation_path and splits. Cheap: reads no tokens. Errors as Source.
Dataset open_dataset(const config::Data& config);

}  // namespace ringmaster::data
