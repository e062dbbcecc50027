// SPDX-License-Identifier: Apache-2.0
// checkpoint export, import: weights to and from the folders of Hugging Face's libraries.
#include "train/pretrained.h"

#include "core/program.h"
#include "launcher/arguments.h"
#include "launcher/commands.h"
#include "launcher/output.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>
#include <utility>

namespace ringmaster::launcher {
namespace {

// What other programs call the types of weights.
constexpr std::pair<std::string_view, std::string_view> other_names[] = {
    {"float32", "f32"}, {"fp32", "f32"}, {"float", "f32"}, {"bfloat16", "bf16"},
    {"float16", "f16"}, {"fp16", "f16"}, {"half", "f16"}};

DType dtype_of(const Arguments& arguments) {
  const std::string name = arguments.value("--dtype").value_or("f32");
  const auto dtype = dtype_from_name(name);
  if (dtype && (*dtype == DType::f32 || *dtype == DType::bf16 || *dtype == DType::f16)) return *dtype;
  const auto same = [&](const std::pair<std::string_view, std::string_view>& other) { return other.first == name; };
  const auto* const meant = std::ranges::find_if(other_names, same);
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("`--dtype {}` is no type of weights", name),
               .key = "--dtype",
               .found = name,
               .expected = "f32, bf16 or f16",
               .cure = meant != std::end(other_names) ? fmt::format("write `--dtype {}`", meant->second)
                                                      : "leave it out for f32"});
}

}  // namespace

int checkpoint_export(const Arguments& arguments) {
  const train::ExportOptions options{.from = arguments.target(),
                                     .out = arguments.targets().at(1),
                                     .dtype = dtype_of(arguments),
                                     .tokenizer_dir = arguments.value("--tokenizer-dir").value_or("")};
  const train::Exported done = train::export_pretrained(options);
  if (!done.warning.empty()) note(done.warning);
  if (arguments.has("--json")) {
    print_json({{"schema", "ringmaster.checkpoint_export/1"},
                {"path", options.out.string()},
                {"step", done.step},
                {"dtype", name(options.dtype)},
                {"weights", done.averaged ? "averaged" : "trained"},
                {"tensors", done.tensors},
                {"bytes", done.bytes},
                {"tokenizer", done.tokenizer.empty() ? nlohmann::json() : nlohmann::json(done.tokenizer)}});
    return 0;
  }
  print(fmt::format("{}: step {}, {}{} tensors of {}, {} bytes{}\n", options.out.string(), done.step,
                    done.averaged ? "averaged weights, " : "", done.tensors, name(options.dtype), done.bytes,
                    done.tokenizer.empty() ? "" : ", with the tokenizer"));
  return 0;
}

int checkpoint_import(const Arguments& arguments) {
  const Path run = arguments.targets().at(1);
  const train::Imported done = train::import_pretrained(arguments.target(), run);
  if (arguments.has("--json")) {
    print_json({{"schema", "ringmaster.checkpoint_import/1"},
                {"run", run.string()},
                {"checkpoint", done.checkpoint.string()},
                {"tensors", done.tensors},
                {"parameters", done.parameters},
                {"params_hash", done.params_hash}});
    return 0;
  }
  print(fmt::format("{}: {} tensors, {} parameters, step 0\n  {} train CONFIG --run-dir {} goes on from there\n",
                    run.string(), done.tensors, done.parameters, program_name(), run.string()));
  return 0;
}

}  // namespace ringmaster::launcher
