// SPDX-License-Identifier: Apache-2.0
// pretrained: weights in and out, as folders and files that Hugging Face's libraries read and write.
#pragma once
#include "core/dtype.h"
#include "core/file.h"

#include <cstdint>
#include <string>

namespace ringmaster::train {

struct Imported {
  Path checkpoint;
  int64_t tensors = 0, parameters = 0;
  std::string params_hash;
};
// A Hugging Face GPT-2 folder becomes the checkpoint of step 0 of the new run folder `run`: f32 weights, no optimizer state,
// no data yet. Everything is checked before anything is created. Throws Error: config if `run` is no place for a new run,
// checkpoint for what is wrong with the folder.
Imported import_pretrained(const Path& folder, const Path& run);

struct ExportOptions {
  Path from;  // run folder (its newest checkpoint) or checkpoint folder
  Path out;   // must not exist: *.safetensors is a file of the weights alone, anything else a folder
  DType dtype = DType::f32;
  Path tokenizer_dir;  // "" = the run's data.tokenizer_dir, if it has one
};
struct Exported {
  int64_t step = 0, tensors = 0, bytes = 0;  // bytes of the tensors
  bool averaged = false;                     // the moving averages of the weights, which a run with ema.decay has
  std::string tokenizer;                     // "" or where its files are copied from
  std::string warning;                       // what a user should know; "" = nothing
};
// Writes beside `out` and renames: after an error there is nothing. A folder holds config.json, model.safetensors and, with
// GPT-2's tokenizer, its files. Blocks until it is durable.
Exported export_pretrained(const ExportOptions& options);

}  // namespace ringmaster::train
