// SPDX-License-Identifier: Apache-2.0
#include "launcher/arguments.h"

#include "core/file.h"

#include "config/schema.h"
#include "config/value.h"
#include "core/program.h"
#include "launcher/commands.h"
#include "launcher/output.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace ringmaster::launcher {
namespace {

std::string help_hint() { return program_name() + " --help says what each does"; }

// Names of commands begin with the words that were typed: "config show" before "config".
const Command* command_of(std::vector<std::string>& words) {
  for (const size_t count : {2, 1}) {
    if (words.size() < count) continue;
    const std::string name = count == 2 ? words[0] + " " + words[1] : words[0];
    if (const Command* command = find_command(name)) {
      words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(count));
      return command;
    }
  }
  return nullptr;
}

[[noreturn]] void refuse_command(const std::vector<std::string>& words) {
  std::vector<std::string> names, below;
  for (const Command& command : commands()) {
    names.emplace_back(command.name);
    if (!words.empty() && command.name.starts_with(words[0] + " ")) below.emplace_back(command.name);
  }
  if (words.empty()) {
    throw Error({.kind = ErrorKind::usage,
                 .message = "no command is given",
                 .expected = fmt::format("one of: {}", fmt::join(names, ", ")),
                 .cure = help_hint()});
  }
  const bool has_second = words.size() > 1 && !words[1].starts_with('-');
  const std::string typed = !below.empty() && has_second ? words[0] + " " + words[1] : words[0];
  if (!below.empty() && !has_second) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`{}` alone is no command", typed),
                 .found = typed,
                 .expected = fmt::format("one of: {}", fmt::join(below, ", ")),
                 .cure = help_hint()});
  }
  const std::string meant = nearest(typed, below.empty() ? names : below);
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("unknown command `{}`", typed),
               .found = typed,
               .expected = fmt::format("one of: {}", fmt::join(below.empty() ? names : below, ", ")),
               .cure = meant.empty() ? help_hint() : fmt::format("did you mean `{}`?", meant)});
}

[[noreturn]] void refuse_word(const Command& command, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  if (!word.starts_with('-') || word == "-") {
    const bool is_setting = word.find('=') != std::string::npos && config::find_key(name) != nullptr;
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`{}` is one argument too many", word),
                 .found = word,
                 .expected = usage(command),
                 .cure = is_setting && command.find("--set") != nullptr ? fmt::format("write `--set {}`", word) : ""});
  }
  std::vector<std::string_view> names;
  for (const Flag& flag : command.flags) {
    if (!flag.doc.empty()) names.push_back(flag.name);
  }
  const std::string meant = nearest(name, names);
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("unknown flag `{}` of {} {}", name, program_name(), command.name),
               .key = name,
               .found = name,
               .expected = names.empty() ? "no flags" : fmt::format("one of: {}", fmt::join(names, ", ")),
               .cure = meant.empty() ? "" : fmt::format("did you mean `{}`?", meant)});
}

// The cure is what --help says about the flag: its default, and what stands for "none" or "all".
Error usage_error(const Flag& flag, const std::string& found, std::string expected) {
  return Error({.kind = ErrorKind::usage,
                .message = fmt::format("`{}` is `{}`", flag.name, found),
                .key = std::string(flag.name),
                .found = found,
                .expected = std::move(expected),
                .cure = flag.doc.empty() ? "" : fmt::format("{} {}: {}", flag.name, flag.value, flag.doc)});
}

void refuse_value_of_switch(const Flag& flag, const std::vector<std::string>& words) {
  if (!flag.value.empty()) return;
  for (const std::string& word : words) {
    if (!word.starts_with(std::string(flag.name) + "=")) continue;
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`{}` takes no value", flag.name),
                 .key = std::string(flag.name),
                 .found = word,
                 .expected = std::string(flag.name),
                 .cure = fmt::format("write `{}`, or leave it out", flag.name)});
  }
}

// CLI11 would say so in words of its own.
void refuse_flag_without_value(const Command& command, const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    const Flag* flag = command.find(words[i]);
    if (flag == nullptr || flag->value.empty()) continue;
    if (i + 1 < words.size() && command.find(words[i + 1]) == nullptr) {
      ++i;  // its value, whatever it looks like
      continue;
    }
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`{}` lacks its value", flag->name),
                 .key = std::string(flag->name),
                 .found = i + 1 < words.size() ? words[i + 1] : "the end of the line",
                 .expected = fmt::format("{} {}", flag->name, flag->value),
                 .cure = fmt::format("{} {} --help", program_name(), command.name)});
  }
}

void check_values(const Command& command, const Flag& flag, const std::vector<std::string>& values) {
  const std::string name(flag.name);
  if (values.size() > 1 && !flag.repeats && !flag.value.empty()) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`{}` is given {} times", name, values.size()),
                 .key = name,
                 .found = fmt::format("{}", fmt::join(values, ", ")),
                 .expected = fmt::format("{} {} once", name, flag.value),
                 .cure = "keep one"});
  }
  for (const std::string& value : values) {
    if (!flag.value.empty() && value.empty() && name != "--prompt") {
      throw Error({.kind = ErrorKind::usage,
                   .message = fmt::format("`{}` is empty", name),
                   .key = name,
                   .expected = fmt::format("{} {}", name, flag.value),
                   .cure = fmt::format("{} {} --help", program_name(), command.name)});
    }
  }
}

}  // namespace

Arguments Arguments::parse(std::vector<std::string> words) {
  Arguments parsed;
  parsed.words_ = words;
  parsed.command_ = command_of(words);
  if (parsed.command_ == nullptr) refuse_command(words);
  const Command& command = *parsed.command_;

  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::vector<std::string> targets;
  const bool takes_more = command.target.ends_with("...");
  const auto places = static_cast<size_t>(std::ranges::count(command.target, ' ')) + 1;  // words of the target
  if (!command.target.empty()) app.add_option("target", targets)->allow_extra_args(takes_more || places > 1);
  std::map<std::string, int64_t, std::less<>> given;
  for (const Flag& flag : command.flags) {
    const std::string name(flag.name);
    if (flag.value.empty()) {
      app.add_flag(name, given[name]);
    } else {
      app.add_option(name, parsed.values_[name])->allow_extra_args(false);
    }
  }
  for (const Flag& flag : command.flags) refuse_value_of_switch(flag, words);
  refuse_flag_without_value(command, words);
  std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
  try {
    app.parse(words);
  } catch (const CLI::ParseError& e) {
    throw Error({.kind = ErrorKind::usage, .message = e.what(), .expected = usage(command)});
  }
  if (const auto extras = app.remaining(); !extras.empty()) {
    const auto flag = std::ranges::find_if(extras, [](const std::string& word) { return word.starts_with('-'); });
    refuse_word(command, flag == extras.end() ? extras.front() : *flag);
  }
  for (const auto& [name, count] : given) {
    if (count > 0) parsed.values_[name] = {""};
  }
  for (const Flag& flag : command.flags) check_values(command, flag, parsed.values(flag.name));
  if (!targets.empty()) parsed.target_ = targets.front();
  parsed.targets_ = std::move(targets);
  if (!takes_more && parsed.targets_.size() > places) refuse_word(command, parsed.targets_[places]);
  const bool optional = command.target.starts_with('[');
  const bool lacks = parsed.targets_.size() < places || std::ranges::count(parsed.targets_, "") > 0;
  if (lacks && !optional && !command.target.empty() && !parsed.has("--help")) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("{} {} needs {}", program_name(), command.name, command.target),
                 .expected = usage(command),
                 .cure = fmt::format("{} {} --help", program_name(), command.name)});
  }
  return parsed;
}

bool Arguments::has(std::string_view flag) const { return !values(flag).empty(); }

std::optional<std::string> Arguments::value(std::string_view flag) const {
  const auto& given = values(flag);
  return given.empty() ? std::nullopt : std::optional(given.front());
}

const std::vector<std::string>& Arguments::values(std::string_view flag) const {
  static const std::vector<std::string> none;
  CHECK(command_->find(flag) != nullptr, "{} has no flag {}", command_->name, flag);
  const auto found = values_.find(flag);
  return found == values_.end() ? none : found->second;
}

std::optional<int64_t> Arguments::integer(std::string_view flag, Between range) const {
  const auto text = value(flag);
  if (!text) return std::nullopt;
  int64_t number = 0;
  const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (problem == std::errc() && end == text->data() + text->size() && number >= range.low && number <= range.high) {
    return number;
  }
  const bool bounded = range.high != std::numeric_limits<int64_t>::max();
  throw usage_error(*command_->find(flag), *text,
                    bounded ? fmt::format("an integer in {}..{}", range.low, range.high)
                            : fmt::format("an integer >= {}", range.low));
}

std::optional<double> Arguments::number(std::string_view flag) const {
  const auto text = value(flag);
  if (!text) return std::nullopt;
  double number = 0;
  const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (problem == std::errc() && end == text->data() + text->size() && std::isfinite(number) && number >= 0) {
    return number;
  }
  throw usage_error(*command_->find(flag), *text, "a number >= 0");
}

void Arguments::check_folder_of(std::string_view flag) const {
  const auto file = value(flag);
  if (!file) return;
  const Path folder = Path(*file).has_parent_path() ? Path(*file).parent_path() : Path(".");
  if (std::filesystem::is_directory(folder)) return;
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("{} {}: there is no folder {}", flag, *file, folder.string()),
               .key = std::string(flag),
               .found = *file,
               .expected = "a file in a folder that exists",
               .cure = fmt::format("make it: mkdir -p {}", folder.string())});
}

std::optional<int64_t> Arguments::bytes(std::string_view flag) const {
  const auto text = value(flag);
  if (!text) return std::nullopt;
  const auto size = config::parse_bytes(*text);
  if (!size || *size == 0) throw usage_error(*command_->find(flag), *text, "a size such as 2147483648, 2GiB or 2GB");
  return size;
}

std::vector<config::Flag> Arguments::config_flags() const {
  const std::pair<const char*, const char*> keys[] = {
      {"--ranks", "launch.ranks"}, {"--threads", "launch.threads_per_rank"}, {"--run-dir", "output.dir"}};
  std::vector<config::Flag> flags;
  for (const auto& [flag, key] : keys) {
    if (command_->find(flag) == nullptr) continue;
    if (const auto text = value(flag)) flags.push_back({flag, key, *text});
  }
  return flags;
}

config::Resolved Arguments::load_config() const { return config::load(target_, values("--set"), config_flags()); }

}  // namespace ringmaster::launcher
