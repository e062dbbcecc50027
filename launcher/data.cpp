// SPDX-License-Identifier: Apache-2.0
// data tokenize: text to token ids once, before training reads them again and again.
#include "core/program.h"
#include "data/tokenize.h"
#include "launcher/arguments.h"
#include "launcher/commands.h"
#include "launcher/output.h"
#include "train/machine.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <filesystem>

namespace ringmaster::launcher {
namespace {

// Before hours of work, not after them.
Path checked_out(const Arguments& arguments) {
  const auto out = arguments.value("--out");
  const auto refuse = [&](std::string message, std::string found, std::string cure) {
    return Error({.kind = ErrorKind::usage,
                  .message = std::move(message),
                  .file = out.value_or(""),
                  .key = "--out",
                  .found = std::move(found),
                  .expected = "a file to write",
                  .cure = std::move(cure)});
  };
  if (!out) throw refuse("`--out` is not given", "no output", "name the token file: --out tokens.bin");
  std::error_code ignored;
  if (std::filesystem::is_directory(*out, ignored)) throw refuse("is a folder", "a folder", "name a file in it");
  const Path folder = Path(*out).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder, ignored))
    throw refuse("lies in no folder that exists", "no such folder", fmt::format("mkdir -p {}", folder.string()));
  return *out;
}

data::TokenizerOptions tokenizer_of(const Arguments& arguments) {
  const std::string name = arguments.value("--tokenizer").value_or("gpt2");
  const std::string folder = arguments.value("--tokenizer-dir").value_or("");
  const auto refuse = [](std::string message, const char* key, std::string found, std::string expected,
                         std::string cure = program_name() + " data tokenize --help") {
    return Error({.kind = ErrorKind::usage,
                  .message = std::move(message),
                  .key = key,
                  .found = std::move(found),
                  .expected = std::move(expected),
                  .cure = std::move(cure)});
  };
  if (name != "gpt2" && name != "byte")
    throw refuse(fmt::format("unknown tokenizer `{}`", name), "--tokenizer", name, "gpt2 or byte");
  if (name == "gpt2" && folder.empty())
    throw refuse("the gpt2 tokenizer needs `--tokenizer-dir`", "--tokenizer-dir", "no folder",
                 "the folder of encoder.json and vocab.bpe", "give --tokenizer-dir DIR, or --tokenizer byte");
  if (name == "byte" && !folder.empty())
    throw refuse("`--tokenizer-dir` is given but would be ignored", "--tokenizer-dir", folder,
                 "--tokenizer-dir only with the gpt2 tokenizer");
  return {.name = name, .folder = folder, .key = "--tokenizer-dir"};
}

void show_progress(int64_t done, int64_t total) {
  chatter(fmt::format("\rtokenize  {:3} % of {} bytes", 100 * done / total, total));
  if (done == total) chatter("\n");
}

}  // namespace

int data_tokenize(const Arguments& arguments) {
  data::TokenizeOptions options{
      .in = arguments.targets(),
      .out = checked_out(arguments),
      .format = arguments.value("--format").value_or("llmc"),
      .threads = static_cast<int>(arguments.integer("--threads", {1, 4096}).value_or(train::allowed_cores()))};
  const auto tokenizer = data::make_tokenizer(tokenizer_of(arguments));
  if (::isatty(STDERR_FILENO) != 0) options.progress = show_progress;
  const data::Tokenized done = data::tokenize(*tokenizer, options);
  if (arguments.has("--json")) {
    print_json({{"schema", "ringmaster.data_tokenize/1"},
                {"out", options.out.string()},
                {"format", options.format},
                {"tokenizer", arguments.value("--tokenizer").value_or("gpt2")},
                {"vocab_size", tokenizer->vocab_size()},
                {"files", done.files},
                {"bytes", done.bytes},
                {"tokens", done.tokens}});
    return 0;
  }
  print(fmt::format("{}: {} tokens from {} bytes of {} file{}, {} of {} ids\n", options.out.string(), done.tokens,
                    done.bytes, done.files, done.files == 1 ? "" : "s", options.format, tokenizer->vocab_size()));
  return 0;
}

}  // namespace ringmaster::launcher
