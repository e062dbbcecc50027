// SPDX-License-Identifier: Apache-2.0
// checkpoint ls, verify: what a run has saved and whether every byte is still as it was written.
#include "checkpoint/run_folder.h"
#include "checkpoint/store.h"
#include "launcher/arguments.h"
#include "launcher/commands.h"
#include "launcher/output.h"

#include <nlohmann/json.hpp>

namespace ringmaster::launcher {
namespace {

using nlohmann::json;

constexpr const char* when_saved = "a run saves one every checkpoint.interval steps and at its end";

json or_null(const std::string& text) { return text.empty() ? json() : json(text); }

std::vector<checkpoint::Found> checkpoints_of(const std::string& run) {
  if (!std::filesystem::is_directory(run)) {
    throw Error({.kind = ErrorKind::checkpoint,
                 .message = "is not a folder",
                 .file = run,
                 .expected = "the folder of a run",
                 .cure = "runs lie in runs/<name of the configuration>, or where --run-dir said"});
  }
  return checkpoint::list(run);
}

bool is_checkpoint(const Path& folder) { return std::filesystem::exists(folder / "manifest.json"); }

// The newest of a run, or all of them, or the checkpoint itself.
std::vector<Path> chosen(const Arguments& arguments) {
  const Path target = arguments.target();
  if (is_checkpoint(target)) return {target};
  std::vector<Path> paths;
  for (const auto& found : checkpoints_of(target)) paths.push_back(found.path);
  if (paths.empty()) {
    throw Error({.kind = ErrorKind::checkpoint,
                 .message = "holds no checkpoint",
                 .file = target.string(),
                 .expected = "a checkpoint, or a run folder with checkpoint/step-*",
                 .cure = when_saved});
  }
  return arguments.has("--all") ? paths : std::vector{paths.back()};
}

json report_json(const Path& path, const checkpoint::Report& report) {
  json errors = json::array();
  for (const checkpoint::Problem& problem : report.errors) {
    errors.push_back({{"file", problem.file},
                      {"tensor", or_null(problem.tensor)},
                      {"offset", problem.offset},
                      {"kind", problem.kind},
                      {"detail", problem.detail}});
  }
  return {{"path", path.string()},
          {"valid", report.valid},
          {"step", report.step},
          {"sequence", report.sequence},
          {"files", report.files},
          {"tensors", report.tensors},
          {"bytes", report.bytes},
          {"params_hash", or_null(report.params_hash)},
          {"state_hash", or_null(report.state_hash)},
          {"errors", std::move(errors)}};
}

std::string report_text(const Path& path, const checkpoint::Report& report) {
  std::string text =
      report.valid
          ? fmt::format("sound    {}  step {}, {} tensors, {} bytes\n         params {}\n         state  {}\n",
                        path.string(), report.step, report.tensors, report.bytes, report.params_hash, report.state_hash)
          : fmt::format("damaged  {}\n", path.string());
  for (const checkpoint::Problem& problem : report.errors) {
    const std::string tensor = problem.tensor.empty() ? "" : fmt::format(", {}", problem.tensor);
    text += fmt::format("         {} at byte {}{}: {} ({})\n", problem.file, problem.offset, tensor, problem.detail,
                        problem.kind);
  }
  return text;
}

}  // namespace

int checkpoint_ls(const Arguments& arguments) {
  json rows = json::array();
  std::string text;
  const std::vector<checkpoint::Found> all = checkpoints_of(arguments.target());
  if (all.empty() && !arguments.has("--json"))
    note(fmt::format("{} holds no checkpoint: {}", arguments.target(), when_saved));
  for (const checkpoint::Found& found : all) {
    if (!found.problem.empty()) {
      rows.push_back({{"step", nullptr},
                      {"sequence", nullptr},
                      {"path", found.path.string()},
                      {"bytes", nullptr},
                      {"verified", false}});
      text += fmt::format("damaged        {}  {}\n", found.path.string(), found.problem);
      continue;
    }
    const bool sound = checkpoint::verify(found.path).valid;
    rows.push_back({{"step", found.step},
                    {"sequence", found.sequence},
                    {"path", found.path.string()},
                    {"bytes", found.bytes},
                    {"verified", sound}});
    text += fmt::format("{:<7}  {:>12} bytes  {}\n", sound ? "sound" : "damaged", found.bytes, found.path.string());
  }
  if (arguments.has("--json"))
    print_json(json{{"schema", "ringmaster.checkpoint_ls/1"}, {"checkpoints", std::move(rows)}});
  else
    print(text);
  return 0;
}

int checkpoint_verify(const Arguments& arguments) {
  json rows = json::array();
  std::string text;
  bool all_valid = true;
  for (const Path& path : chosen(arguments)) {
    const checkpoint::Report report = checkpoint::verify(path);
    all_valid = all_valid && report.valid;
    rows.push_back(report_json(path, report));
    text += report_text(path, report);
  }
  if (arguments.has("--json")) {
    json object = rows.back();  // the newest speaks for the run
    object["schema"] = "ringmaster.checkpoint_verify/1";
    object["valid"] = all_valid;
    if (arguments.has("--all")) object["checkpoints"] = std::move(rows);
    print_json(object);
  } else {
    print(text);
  }
  return all_valid ? 0 : 1;
}

}  // namespace ringmaster::launcher
