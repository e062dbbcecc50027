// SPDX-License-Identifier: Apache-2.0
// sample: small checkpoint contents that own their data, and ways to damage files.
#pragma once
#include "checkpoint/store.h"
#include "core/error.h"
#include "tests/core/temp_folder.h"

#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ringmaster::checkpoint {

// Tensors of one step, whose bytes repeat only after 2^32, so that no two blocks are equal.
class Sample {
 public:
  explicit Sample(int64_t step = 1) : content_{.step = step} {
    add(content_.model, "wte.weight", DType::f32, {7, 4});
    add(content_.model, "h.0.\xC3\xBC \"quoted\"", DType::bf16, {3});
    add(content_.model, "scale", DType::f64, {});
    add(content_.optimizer, "wte.weight.exp_avg", DType::f32, {7, 4});
    content_.config = {{"model_type", "gpt2"}, {"n_embd", 4}};
    content_.state = {{"step", step}, {"tokens", 12345678901234567}};
    content_.provenance = {{"host", "node07"}};
  }

  void add(std::vector<TensorEntry>& list, std::string name, DType dtype, Shape shape) {
    TensorEntry tensor{.name = std::move(name), .dtype = dtype, .shape = shape};
    auto& data = storage_.emplace_back(static_cast<size_t>(tensor.bytes()));
    const uint64_t salt = 2654435761U * (2 * static_cast<uint64_t>(content_.step) + 1) + 2 * storage_.size();  // odd
    for (size_t i = 0; i < data.size(); ++i) { data[i] = static_cast<std::byte>(((i + 1) * salt) >> 24); }
    tensor.data = data.data();
    list.push_back(std::move(tensor));
  }

  Content& content() { return content_; }

 private:
  Content content_;
  std::deque<std::vector<std::byte>> storage_;
};

inline ErrorInfo error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) { return e.info(); }
  ADD_FAILURE() << "no error";
  return {};
}

inline void overwrite(const Path& path, const std::string& bytes) {  // in place, as damage does it
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::map<std::string, std::string> bytes_of(const Path& folder) {
  std::map<std::string, std::string> files;
  for (const std::string& name : list_folder(folder)) files[name] = read_file(folder / name);
  return files;
}

}  // namespace ringmaster::checkpoint
