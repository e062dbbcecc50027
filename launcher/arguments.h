// SPDX-License-Identifier: Apache-2.0
// arguments: the command line as the commands read it. What exists stands in commands.cpp; values stay the texts that were
// typed, and every error about them is kind usage and names the flag.
#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.h"
#include "launcher/commands.h"

namespace ringmaster::launcher {

struct Between {
  int64_t low = 0, high = std::numeric_limits<int64_t>::max();
};

class Arguments {
 public:
  // `words` are the arguments after the program's name. Throws Error (usage) with the nearest command or flag.
  static Arguments parse(std::vector<std::string> words);

  const Command& command() const { return *command_; }
  const std::vector<std::string>& words() const { return words_; }
  const std::string& target() const { return target_; }  // CONFIG, RUN, ...: the one argument that is no flag

  const std::vector<std::string>& targets() const {
    return targets_;
  }  // all of them, where Command::target has several words or ends in "..."

  bool has(std::string_view flag) const;
  std::optional<std::string> value(std::string_view flag) const;
  const std::vector<std::string>& values(std::string_view flag) const;  // of a flag that repeats, in order

  std::optional<int64_t> integer(std::string_view flag, Between range = {}) const;
  std::optional<double> number(std::string_view flag) const;  // finite, at least 0
  std::optional<int64_t> bytes(std::string_view flag) const;  // 2147483648, 2GiB, 2GB

  // Refuses a flag's file whose folder does not exist, before any work; nothing where the flag was not given.
  void check_folder_of(std::string_view flag) const;

  // CONFIG with the --set texts and the flags that stand for keys (--ranks, --threads, --run-dir).
  config::Resolved load_config() const;
  std::vector<config::Flag> config_flags() const;

 private:
  const Command* command_ = nullptr;
  std::vector<std::string> words_;
  std::string target_;
  std::vector<std::string> targets_;
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

}  // namespace ringmaster::launcher
