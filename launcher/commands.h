// SPDX-License-Identifier: Apache-2.0
// commands: the face of the program as one table. Parsing, --help and spelling hints run off it, so that a new flag is one
// row and a new command is one row and one file.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringmaster::launcher {

class Arguments;

struct Flag {
  std::string_view name;        // "--ranks"
  std::string_view value = {};  // "N"; empty: the flag takes none
  std::string_view doc = {};    // empty: the program's own, between launcher and ranks, and not shown
  bool repeats = false;
};

struct Example {
  std::string_view line;  // without the program's name
  std::string_view doc;
};

struct Command {
  std::string_view name;    // "train", "config show"
  std::string_view target;  // "CONFIG", "RUN|CKPT", "DIR OUT", "IN...", "[CONFIG]"; empty: it takes no argument
  std::string_view doc;     // one line
  std::string_view group;   // of the overview
  std::vector<Flag> flags;
  std::vector<Example> examples;
  int (*run)(const Arguments&) = nullptr;  // returns the exit code; throws Error

  const Flag* find(std::string_view flag) const;
};

std::span<const Command> commands();  // in the order of the overview
const Command* find_command(std::string_view name);

std::string overview();  // ringmaster --help
// The commands whose names begin with `word`, of a word that is none itself ("checkpoint"); else "".
std::string group_help(std::string_view word);
std::string help(const Command& command);
std::string usage(const Command& command);  // "ringmaster train CONFIG [--ranks N] ..."

// ---- one file a command
int train(const Arguments& arguments);
int eval(const Arguments& arguments);
int sample(const Arguments& arguments);
int plan(const Arguments& arguments);
int config_show(const Arguments& arguments);
int config_schema(const Arguments& arguments);
int models(const Arguments& arguments);
int ops(const Arguments& arguments);
int doctor(const Arguments& arguments);
int bench_step(const Arguments& arguments);
int bench_plan(const Arguments& arguments);
int bench_all_reduce(const Arguments& arguments);
int bench_reduce_scatter(const Arguments& arguments);
int bench_all_gather(const Arguments& arguments);
int bench_ops(const Arguments& arguments);
int compare(const Arguments& arguments);
int checkpoint_ls(const Arguments& arguments);
int checkpoint_verify(const Arguments& arguments);
int checkpoint_export(const Arguments& arguments);
int checkpoint_import(const Arguments& arguments);
int data_tokenize(const Arguments& arguments);

}  // namespace ringmaster::launcher
