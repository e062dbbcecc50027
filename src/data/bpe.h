// SPDX-License-Identifier: Apache-2.0
// bpe: GPT-2's byte-pair tokenizer. Text is cut into words (pretokenize.h), a word into its bytes, and neighbours are merged,
// lowest rank first and leftmost of equals, until no pair of neighbours has a rank.     Sennrich et al. 2016, Radford et al. 2019
// <|endoftext|> is a token that text never becomes: as text it is thirteen ordinary characters, and a prompt or a data file
// can not end a document by writing it. Decoding shows it as those characters.
#pragma once
#include "core/file.h"
#include "data/tokenizer.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace ringmaster::data {

struct Vocabulary {
  struct Merge {
    int32_t rank;
    int32_t id;  // what the pair becomes
  };
  std::vector<std::string> tokens;             // bytes, by id
  std::array<int32_t, 256> byte_ids{};         // id of each byte
  std::unordered_map<uint64_t, Merge> merges;  // by pair()

  static uint64_t pair(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
};

// Reads encoder.json (or vocab.json) and vocab.bpe (or merges.txt) of `folder`. Both are taken for hostile: throws Error (data)
// unless ids are 0, 1, ... without gap or repetition, every byte has a token, and every merge joins known tokens to a known one.
// `key` is the configuration key or flag that errors name.
Vocabulary read_vocabulary(const Path& folder, const std::string& key);

// encode() throws Error (data) with the offset of the first byte that is not UTF-8. Safe from several threads.
std::unique_ptr<Tokenizer> make_bpe(Vocabulary vocabulary);

}  // namespace ringmaster::data
