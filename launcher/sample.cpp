// SPDX-License-Identifier: Apache-2.0
// sample: text, or rows of numbers, from a checkpoint. One rank shows text as it is drawn; more are started by mpirun and share
// whole sequences or batches of rows.
#include "train/sample.h"
#include "train/sample_rows.h"

#include "core/file.h"
#include "launcher/commands.h"
#include "launcher/job.h"
#include "launcher/mpirun.h"
#include "launcher/output.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace ringmaster::launcher {
namespace {

// What a recipe of text gives; the others are rows of numbers.
bool is_text(std::string_view format) { return format == "text" || format == "ids"; }

constexpr int64_t most = int64_t{1} << 31, most_rows = int64_t{1} << 24;

std::string format_of(const Arguments& arguments) {
  const std::string format = arguments.value("--format").value_or("text");
  if (is_text(format) || format == "npy" || format == "png") return format;
  const std::string meant = nearest(format, std::array<std::string, 4>{"text", "ids", "npy", "png"});
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("`--format {}` is no form of output", format),
               .key = "--format",
               .found = format,
               .expected = "text, ids, npy or png",
               .cure = meant.empty() ? "" : fmt::format("did you mean `{}`?", meant)});
}

train::SampleOptions text_options(const Arguments& arguments, bool ids) {
  return {.from = arguments.target(),
          .prompt = arguments.value("--prompt").value_or(""),
          .ids = ids,
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

int sample_text(const Arguments& arguments, comm::Communicator& comm, bool ids) {
  train::SampleOptions options = text_options(arguments, ids);
  const auto file = arguments.value("--out");
  const bool live = !file && options.count == 1 && comm.size() == 1;
  if (live) {
    options.on_text = [&, begun = false](std::string_view text) mutable {
      if (!std::exchange(begun, true)) print(options.prompt);  // not before: an error leaves stdout empty
      print(text);
    };
  }
  const std::vector<std::string> texts = train::sample(options, comm);
  if (live)
    print("\n");
  else if (comm.rank() == 0 && file)
    write_file_atomic(*file, joined(texts));
  else if (comm.rank() == 0)
    print(joined(texts));
  return 0;
}

void refuse_flags_of_text(const Arguments& arguments, const std::string& format) {
  for (const char* flag : {"--prompt", "--tokens", "--temperature", "--top-k", "--top-p", "--tokenizer-dir"}) {
    if (!arguments.value(flag)) continue;
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("{} is of text, and `--format {}` is not", flag, format),
                 .key = flag,
                 .found = *arguments.value(flag),
                 .cure = fmt::format("leave {} out", flag)});
  }
}

// mpirun lets a rank's output pass through a terminal of its own, which is no place for bytes.
void check_rows(const Arguments& arguments, const std::string& format, int ranks) {
  refuse_flags_of_text(arguments, format);
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  if (arguments.value("--out") || (!terminal && ranks == 1)) return;
  throw Error({.kind = ErrorKind::usage,
               .message = terminal ? fmt::format("`--format {}` is not for a terminal", format)
                                   : fmt::format("`--format {}` of {} ranks needs a file", format, ranks),
               .key = "--out",
               .found = "no --out",
               .expected = terminal ? "a file or a pipe" : "a file",
               .cure = fmt::format("give --out FILE.{}", format)});
}

int sample_rows(const Arguments& arguments, comm::Communicator& comm, const std::string& format) {
  const auto file = arguments.value("--out");
  const train::Rows rows =
      train::sample_rows({.from = arguments.target(),
                          .count = arguments.integer("--count", {1, most_rows}).value_or(0),
                          .seed = static_cast<uint64_t>(arguments.integer("--seed", {.low = 0}).value_or(0)),
                          .for_plot = format == "png"},
                         comm);
  if (comm.rank() != 0) return 0;
  if (const auto bad = std::ranges::count_if(rows.values, [](float x) { return !std::isfinite(x); }); bad > 0)
    note(fmt::format("{} of {} values are not finite", bad, rows.values.size()));
  const std::string bytes = format == "png" ? train::scatter_png(rows.plot, rows.axes) : train::to_npy(rows);
  if (!file) {
    print(bytes);
    return 0;
  }
  write_file_atomic(*file, bytes);
  if (format == "npy")
    note(fmt::format("{}: {} rows of {}", *file, rows.count, fmt::join(rows.columns, ", ")));
  else
    note(fmt::format("{}: {} rows{}", *file, rows.count, rows.has_truth ? "; grey: held-out points of the data" : ""));
  return 0;
}

}  // namespace

int sample(const Arguments& arguments) {
  const std::string format = format_of(arguments);
  const auto ranks = static_cast<int>(arguments.integer("--ranks", {1, 4096}).value_or(1));
  if (!comm::launched_by_mpi()) {
    arguments.check_folder_of("--out");
    if (!is_text(format)) check_rows(arguments, format, ranks);
    if (ranks > 1) return run_data_job(arguments, ranks);
  }

  const auto comm = join_job(arguments);
  const int code =
      is_text(format) ? sample_text(arguments, *comm, format == "ids") : sample_rows(arguments, *comm, format);
  comm->finalize();
  return code;
}

}  // namespace ringmaster::launcher
