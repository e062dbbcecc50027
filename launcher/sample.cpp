// SPDX-License-Identifier: Apache-2.0
// sample: text from a checkpoint. One rank shows it as it is drawn; more are started by mpirun and share whole sequences.
#include "train/sample.h"

#include "core/file.h"
#include "launcher/commands.h"
#include "launcher/job.h"
#include "launcher/mpirun.h"
#include "launcher/output.h"

#include <utility>

namespace ringmaster::launcher {
namespace {

constexpr int64_t most = int64_t{1} << 31;

train::SampleOptions options_of(const Arguments& arguments) {
  const std::string format = arguments.value("--format").value_or("text");
  if (format != "text") {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("`--format {}` is not a form of text", format),
                 .key = "--format",
                 .found = format,
                 .expected = "text"});
  }
  return {.from = arguments.target(),
          .prompt = arguments.value("--prompt").value_or(""),
          .tokenizer_dir = arguments.value("--tokenizer-dir").value_or(""),
          .count = arguments.integer("--count", {1, most}).value_or(1),
          .tokens = arguments.integer("--tokens", {1, most}).value_or(256),
          .choice = {.temperature = arguments.number("--temperature").value_or(1.0),
                     .top_k = arguments.integer("--top-k", {1, most}).value_or(0),
                     .top_p = arguments.number("--top-p").value_or(1.0)},
          .cache = !arguments.has("--no-cache"),
          .seed = static_cast<uint64_t>(arguments.integer("--seed", {.low = 0}).value_or(0)),
          .on_text = {}};
}

// Sequences with a line of dashes between them; each ends with a newline.
std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) {
    if (!out.empty()) out += "---\n";
    out += text;
    if (!text.ends_with('\n')) out += '\n';
  }
  return out;
}

}  // namespace

int sample(const Arguments& arguments) {
  train::SampleOptions options = options_of(arguments);
  const auto ranks = static_cast<int>(arguments.integer("--ranks", {1, 4096}).value_or(1));
  if (!comm::launched_by_mpi() && ranks > 1) return run_data_job(arguments, ranks);

  const auto comm = join_job(arguments);
  const auto file = arguments.value("--out");
  const bool live = !file && options.count == 1 && comm->size() == 1;
  if (live) {
    options.on_text = [&, begun = false](std::string_view text) mutable {
      if (!std::exchange(begun, true)) print(options.prompt);  // not before: an error leaves stdout empty
      print(text);
    };
  }
  const std::vector<std::string> texts = train::sample(options, *comm);
  if (live)
    print("\n");
  else if (comm->rank() == 0 && file)
    write_file_atomic(*file, joined(texts));
  else if (comm->rank() == 0)
    print(joined(texts));
  comm->finalize();
  return 0;
}

}  // namespace ringmaster::launcher
