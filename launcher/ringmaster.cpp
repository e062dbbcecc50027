// SPDX-License-Identifier: Apache-2.0
// From the command line to a command, and from what it throws to an exit code. Ends by _exit: at that point everything
// that must survive is on disk, and a destructor of a library that still waits for a dead rank would hang.
#include "launcher/ringmaster.h"

#include "core/error.h"
#include "core/program.h"
#include "launcher/arguments.h"
#include "launcher/commands.h"
#include "launcher/job.h"
#include "launcher/output.h"
#include "train/train.h"

#include <nlohmann/json.hpp>

#include <unistd.h>
#include <algorithm>

namespace ringmaster::launcher {
namespace {

// "-h", "help", "help COMMAND" and "COMMAND -h" are "--help".
std::vector<std::string> in_our_words(std::vector<std::string> words) {
  const bool asks = !words.empty() && words.front() == "help";
  if (asks) words.erase(words.begin());
  if (asks) words.emplace_back("--help");
  if (!words.empty() && words.back() == "-h") words.back() = "--help";
  return words;
}

int run(const std::vector<std::string>& typed) {
  const std::vector<std::string> words = in_our_words(typed);
  if (words.size() == 1 && words[0] == "--help") return print(overview()), 0;
  if (words.size() == 2 && words[1] == "--help") {
    if (const std::string text = group_help(words[0]); !text.empty()) return print(text), 0;
  }
  if (words.size() == 1 && words[0] == "--version")
    return print(fmt::format("{} {}\n", program_name(), train::version())), 0;
  refuse_lone_tasks();
  const Arguments arguments = Arguments::parse(words);
  if (arguments.has("--help")) return print(help(arguments.command())), 0;
  return arguments.command().run(arguments);
}

bool started_by_launcher(const std::vector<std::string>& words) {
  return std::ranges::any_of(words, [](const std::string& word) { return word.starts_with("--launcher-pid="); });
}

int guarded(const std::vector<std::string>& words, const Registry& registry) {
  try {
    add(registry);
    return run(words);
  } catch (const std::exception& e) {
    const ErrorInfo info = describe(e);
    let_rank_0_speak_first();
    if (started_by_launcher(words)) ::dup2(STDOUT_FILENO, STDERR_FILENO);  // mpirun.h
    if (std::ranges::find(words, "--json") == words.end()) {
      report(info);
      return exit_code(info.kind);
    }
    try {
      print_json(error_json(info));
    } catch (const std::exception&) {
      report(info);  // stdout takes nothing
    }
    return exit_code(info.kind);
  }
}

}  // namespace
}  // namespace ringmaster::launcher

namespace ringmaster {

void add(const Registry& registry) {
  for (const models::Entry& recipe : registry.recipes) models::add(recipe);
  for (const ir::OpDef* op : registry.ops) {
    CHECK(op != nullptr, "an op of the registry is null");
    ops::add(*op);
  }
}

int main(int argc, char** argv, const Registry& registry) {
  if (argc > 0) set_program_name(argv[0]);
  _exit(launcher::guarded({argv + std::min(argc, 1), argv + argc}, registry));
}

}  // namespace ringmaster
