// SPDX-License-Identifier: Apache-2.0
// help: the texts of --help, laid out from the table of commands.
#include "core/program.h"
#include "launcher/commands.h"

#include <fmt/format.h>

#include <algorithm>

namespace ringmaster::launcher {
namespace {

std::string spelt(const Flag& flag) {
  return flag.value.empty() ? std::string(flag.name) : fmt::format("{} {}", flag.name, flag.value);
}

}  // namespace

std::string usage(const Command& command) {
  std::string line = fmt::format("{} {}", program_name(), command.name);
  if (!command.target.empty()) line += fmt::format(" {}", command.target);
  for (const Flag& flag : command.flags) {
    if (!flag.doc.empty() && flag.name != "--help")
      line += fmt::format(" [{}]{}", spelt(flag), flag.repeats ? "..." : "");
  }
  return line;
}

std::string overview() {
  const std::string& program = program_name();
  std::string out = fmt::format("{} trains neural networks across MPI ranks from one YAML file.\n\n", program);
  constexpr Example first_steps[] = {{"doctor", "is this machine fit?"},
                                     {"plan CONFIG --ranks 2", "what will it need?"},
                                     {"train CONFIG --ranks 2", "train; the same line goes on after a stop"},
                                     {"sample runs/NAME", "what has it learnt?"}};
  for (const Example& step : first_steps)
    out += fmt::format("  {:<50}  {}\n", fmt::format("{} {}", program, step.line), step.doc);
  std::string_view group;
  for (const Command& command : commands()) {
    if (command.group != group) out += fmt::format("\n{}\n", group = command.group);
    out += fmt::format("  {:<31} {}\n", fmt::format("{} {}", command.name, command.target), command.doc);
  }
  out += fmt::format("\n{0} COMMAND --help says more; {0} --version is the version.\n\n", program);
  out +=
      "exit codes\n"
      "  0  done                          4  the loss or the gradients are no longer finite\n"
      "  1  failed, or found a fault      5  a rank did not answer in time\n"
      "  2  usage, configuration, input  75  saved and stopped; the same line goes on\n"
      "  3  does not fit, doctor failed 130  second Ctrl-C\n";
  return out;
}

std::string group_help(std::string_view word) {
  std::string out;
  if (find_command(word) != nullptr) return out;
  for (const Command& command : commands()) {
    if (command.name.starts_with(std::string(word) + " "))
      out += fmt::format("  {:<31} {}\n", fmt::format("{} {}", command.name, command.target), command.doc);
  }
  return out;
}

std::string help(const Command& command) {
  std::string out = fmt::format("{} {}: {}\n\n", program_name(), command.name, command.doc);
  out += fmt::format("  {} {}{}{} [flags]\n\n", program_name(), command.name, command.target.empty() ? "" : " ",
                     command.target);
  size_t width = 0;
  for (const Flag& flag : command.flags) {
    if (!flag.doc.empty()) width = std::max(width, spelt(flag).size());
  }
  for (const Flag& flag : command.flags) {
    if (!flag.doc.empty())
      out += fmt::format("  {:<{}}   {}{}\n", spelt(flag), width, flag.doc, flag.repeats ? " (repeats)" : "");
  }
  if (command.examples.empty()) return out;
  out += "\nexamples\n";
  for (const Example& example : command.examples) {
    if (!example.doc.empty()) out += fmt::format("  # {}\n", example.doc);
    out += fmt::format("  {} {}\n", program_name(), example.line);
  }
  return out;
}

}  // namespace ringmaster::launcher
