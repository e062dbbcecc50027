// SPDX-License-Identifier: Apache-2.0
// sample: text from a checkpoint. Every draw is a function of (seed, sequence, position), and whole sequences are dealt over the
// ranks: the same arguments give the same bytes on any number of them.
#pragma once
#include "comm/comm.h"
#include "core/file.h"
#include "models/sampling.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ringmaster::train {

struct SampleOptions {
  Path from;           // a run folder (its newest checkpoint) or a checkpoint; its averaged weights if it has them
  std::string prompt;  // empty: a newline, which is not part of the text
  bool ids = false;    // prompt and text are token ids in decimal, and no tokenizer is needed; the prompt is not empty
  std::string tokenizer_dir;  // in place of data.tokenizer_dir, which a checkpoint outside its run folder does not know
  int64_t count = 1;          // sequences
  int64_t tokens = 256;       // new ones of each sequence
  models::Choice choice = {};
  bool cache = true;  // keys and values of earlier tokens are kept; the bits are the same without
  uint64_t seed = 0;
  std::function<void(std::string_view)> on_text;  // may be empty; with one sequence, its new bytes as they are drawn
};

// Blocks. The sequences in order, each prompt and new text; on rank 0, empty elsewhere. Throws Error.
std::vector<std::string> sample(const SampleOptions& options, comm::Communicator& comm);

}  // namespace ringmaster::train
