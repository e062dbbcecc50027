// SPDX-License-Identifier: Apache-2.0
// safetensors: a strict reader and a writer of the safetensors format (8 bytes header length, JSON header, raw tensors).
// A file's layout is a pure function of its tensors' names, dtypes and shapes: tensors stand in byte order of name and data
// starts at a multiple of 4,096 bytes, so any number of writers can each fill their own byte ranges.
// https://github.com/huggingface/safetensors#format
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/file.h"
#include "core/shape.h"

namespace ringmaster::checkpoint {

// A dense row-major little-endian tensor that somebody else owns: the caller of commit(), or the mapping of a loaded file.
struct TensorEntry {
  std::string name;  // not empty, UTF-8, unique in its file
  DType dtype = DType::f32;
  Shape shape;
  const void* data = nullptr;           // in a file of another writer it may be unaligned for its dtype
  const uint16_t* remainder = nullptr;  // of a split master (core/halves.h), written joined; `data` is its bf16 weight

  int64_t bytes() const { return shape.elements() * size_of(dtype); }
  // Calls piece(pointer, bytes) for its bytes, in order.
  void for_pieces(const std::function<void(const void*, int64_t)>& piece) const;
};

std::string_view safetensors_name(DType dtype);  // "F32", "BF16", ...

// Where every byte of a file stands.
struct SafetensorsLayout {
  std::string header;          // 8 length bytes, JSON, spaces; its size is where data starts
  std::vector<size_t> order;   // indices into the given tensors, in file order
  std::vector<int64_t> begin;  // absolute file offset of order[i]
  int64_t bytes = 0;           // of the whole file
};
SafetensorsLayout safetensors_layout(std::span<const TensorEntry> tensors);

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // in offset order; data is null
  std::vector<int64_t> begin;        // absolute file offset of each
  std::map<std::string, std::string> metadata;
};
// Checks all of the header against the file's size; hostile input is an Error (kind checkpoint) naming `file`. Stricter than
// the format's own reader: refuses empty names, unknown keys, more than Shape::max_rank dims and 8-bit floats.
// `prefix` holds at least the header (the whole mapped file will do).
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> prefix, int64_t file_bytes,
                                           const std::string& file);

// A mapped file and views into it.
class Safetensors {
 public:
  explicit Safetensors(const Path& path, const OpenOptions& options = {.kind = ErrorKind::checkpoint});
  const std::vector<int64_t>& begin() const { return header_.begin; }          // absolute file offsets of tensors()
  const std::vector<TensorEntry>& tensors() const { return header_.tensors; }  // in offset order
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  const TensorEntry* find(std::string_view name) const;  // null if absent

 private:
  MappedFile file_;
  SafetensorsHeader header_;
  std::map<std::string, size_t, std::less<>> index_;
};

// Durable (temporary file, fsync, rename) and without a second copy of the data.
void write_safetensors(const Path& path, std::span<const TensorEntry> tensors);

}  // namespace ringmaster::checkpoint
