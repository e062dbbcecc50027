// SPDX-License-Identifier: Apache-2.0
// help: the texts of --help, laid out from the table of commands.
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
  std::string line = fmt::format("ringmaster {}", command.name);
  if (!command.target.empty()) line += fmt::format(" {}", command.target);
  for (const Flag& flag : command.flags) {
    if (!flag.doc.empty() && flag.name != "--help")
      line += fmt::format(" [{}]{}", spelt(flag), flag.repeats ? "..." : "");
  }
  return line;
}

std::string overview() {
  std::string out =
      "ringmaster trains neural networks across MPI ranks from one YAML file.\n\n"
      "  ringmaster doctor                                   is this machine fit?\n"
      "  ringmaster plan CONFIG --ranks 2                    what will it need?\n"
      "  ringmaster train CONFIG --ranks 2                   train; the same line goes on after a stop\n"
      "  ringmaster sample runs/NAME                         what has it learnt?\n";
  std::string_view group;
  for (const Command& command : commands()) {
    if (command.group != group) out += fmt::format("\n{}\n", group = command.group);
    out += fmt::format("  {:<28} {}\n", fmt::format("{} {}", command.name, command.target), command.doc);
  }
  out +=
      "\nringmaster COMMAND --help says more; ringmaster --version is the version.\n\n"
      "exit codes\n"
      "  0  done                          4  the loss or the gradients are no longer finite\n"
      "  1  failed, or found a fault      5  a rank did not answer in time\n"
      "  2  usage, configuration, input  75  saved and stopped; the same line goes on\n"
      "  3  does not fit, doctor failed 130  second Ctrl-C\n";
  return out;
}

std::string help(const Command& command) {
  std::string out = fmt::format("ringmaster {}: {}\n\n", command.name, command.doc);
  out +=
      fmt::format("  ringmaster {}{}{} [flags]\n\n", command.name, command.target.empty() ? "" : " ", command.target);
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
    out += fmt::format("  ringmaster {}\n", example.line);
  }
  return out;
}

}  // namespace ringmaster::launcher
