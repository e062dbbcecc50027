// SPDX-License-Identifier: Apache-2.0
// tiny_run: a training run small enough for a test: one layer, 16 wide, a few kilobytes of text, ranks as threads. Other runs bring
// a configuration of their own.
#pragma once
#include "config/load.h"
#include "core/file.h"
#include "tests/core/temp_folder.h"
#include "train/compare.h"
#include "train/run_files.h"
#include "train/train.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace ringmaster::train {

// A word soup that a model can learn something from; the same every time.
inline std::string some_text(int64_t bytes) {
  const char* words[] = {"the ", "ring ", "goes ", "round ", "and ", "never ", "stops.\n"};
  std::string text;
  for (uint64_t i = 1; static_cast<int64_t>(text.size()) < bytes; ++i) text += words[(i * i + i / 3) % 7];
  text.resize(static_cast<size_t>(bytes));
  return text;
}

class TinyRun {
 public:
  TinyRun() { write(data(), some_text(6000)); }
  explicit TinyRun(std::string yaml) : TinyRun() {
    yaml_ = std::move(yaml);
  }  // launch, comm, output and data are added

  Path data() const { return temp_ / "text.txt"; }
  Path folder() const { return temp_ / "run 1"; }
  Path operator/(const Path& name) const { return temp_ / name; }
  static void write(const Path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

  // `sets` win over what makes the run tiny.
  config::Resolved resolved(const std::vector<std::string>& sets = {}) const {
    write(temp_ / "tiny.yaml", yaml_ + "launch: {threads_per_rank: 1}\ncomm: {timeout_s: 60, algorithm: ring}\n");
    std::vector<config::Flag> flags{{"--run-dir", "output.dir", folder().string()}};
    bool has_data = yaml_.find("data:") != std::string::npos;
    for (const std::string& set : sets) has_data = has_data || set.starts_with("data.path=");
    if (!has_data) flags.push_back({"--data", "data.path", data().string()});
    return config::load((temp_ / "tiny.yaml").string(), sets, flags);
  }

  TrainOptions options(const std::vector<std::string>& sets = {}) const {
    return {.resolved = resolved(sets), .quiet = true, .in_process = true};
  }

  // The exit code, which all ranks must agree on.
  int train(int ranks, const std::vector<std::string>& sets = {}) const { return start(ranks, options(sets)); }
  static int start(int ranks, const TrainOptions& options, int ranks_per_node = 0) {
    std::vector<int> codes(static_cast<size_t>(ranks), -1);
    comm::run_ranks(
        ranks, [&](comm::Communicator& comm) { codes[static_cast<size_t>(comm.rank())] = train::train(options, comm); },
        {.timeout_s = 60, .ranks_per_node = ranks_per_node});
    for (const int code : codes) EXPECT_EQ(code, codes.front());
    return codes.front();
  }

  Json summary() const { return Json::parse(read_file(folder() / "summary.json")); }
  std::vector<Json> metrics(const std::string& kind = "") const {
    std::vector<Json> lines;
    std::istringstream in(read_file(folder() / "metrics.jsonl"));
    for (std::string line; std::getline(in, line);)
      if (Json j = Json::parse(line); kind.empty() || j["kind"] == kind) lines.push_back(std::move(j));
    return lines;
  }
  std::vector<double> losses() const {
    std::vector<double> out;
    for (const Json& line : metrics("step")) out.push_back(line["loss"].get<double>());
    return out;
  }

 private:
  TempFolder temp_;
  std::string yaml_ =
      "model: {layers: 1, heads: 2, width: 16}\n"
      "training: {steps: 4, seq_len: 8, global_batch_size: 6, grain_size: 2}\n"
      "optimizer: {lr: 1e-2}\n";
};

// The deterministic fields of a line of metrics (docs/run-folder.md).
inline Json deterministic(Json line) {
  for (auto it = line.begin(); it != line.end();) { it = is_deterministic(it.key()) ? std::next(it) : line.erase(it); }
  return line;
}

// The Error that `body` throws.
template <typename Body> ErrorInfo error_of(const Body& body) {
  try {
    body();
  } catch (const Error& e) { return e.info(); }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace ringmaster::train
