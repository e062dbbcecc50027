// SPDX-License-Identifier: Apache-2.0
// inspect: compares a checkpoint folder with its manifest. Used by open, latest, verify and prune, so that they never disagree.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/store.h"

namespace ringmaster::checkpoint {

enum class Depth { sizes, blocks };  // names and sizes only, or every byte

struct Inspection {
  Path folder;
  std::optional<Manifest> manifest;  // absent if it cannot be read
  std::vector<Problem> problems;     // most telling first; empty means sound
};
// Throws nothing for what it finds in the folder.
Inspection inspect(const Path& folder, Depth depth);

// The first problem as an Error whose cure names another sound checkpoint of the run, if there is one.
[[nodiscard]] Error damage(const Inspection& inspection);

std::vector<Found> list_folder_of_checkpoints(const Path& folder);
Path checkpoint_folder(const Path& run_folder);
std::string step_name(int64_t step);  // "step-00000042"
// Which part a file holds; nullopt if it is no tensor file.
std::optional<Kind> kind_of(const std::string& file_name);

}  // namespace ringmaster::checkpoint
