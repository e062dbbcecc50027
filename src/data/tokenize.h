// SPDX-License-Identifier: Apache-2.0
// tokenize: text files to one file of token ids, in parallel. A piece of text ends only where the tokenizer is sure to cut
// (pretokenize.h), so neither the number of threads nor the size of a piece changes a byte of the result. Files are tokenised one
// by one: no word runs from one into the next, and nothing is put between them.
#pragma once
#include "core/file.h"
#include "data/tokenizer.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ringmaster::data {

struct TokenizeOptions {
  std::vector<std::string> in;  // files or globs, as data.path
  std::string key = "IN";       // what errors call them
  Path out;                     // replaced when everything is written; stays as it is on an Error
  std::string format = "llmc";  // llmc | uint16
  int threads = 1;
  int64_t piece_bytes = 1 << 20;  // of text, for one thread; longer only where no cut is sure
  std::function<void(int64_t done, int64_t total)> progress = {};  // bytes of text; may be empty, called by one thread
};

struct Tokenized {
  int64_t files = 0, bytes = 0, tokens = 0;
};

// Blocks. Throws Error: of kind data for text that the tokenizer refuses (the first such place, with its file and offset), an
// input that cannot be read, more than 65,536 token ids or 2^31 - 1 llmc tokens; of kind usage for an output that is an input.
Tokenized tokenize(const Tokenizer& tokenizer, const TokenizeOptions& options);

}  // namespace ringmaster::data
