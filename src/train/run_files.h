// SPDX-License-Identifier: Apache-2.0
// run_files: the files of a run folder besides its checkpoints (docs/run-folder.md).
#pragma once
#include "core/file.h"
#include "train/json_line.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ringmaster::train {

using Json = nlohmann::ordered_json;

// Numbers that are not finite become null; bytes that are not UTF-8 the replacement character.
std::string dump(const Json& json, int indent = -1);
void write_json(const Path& path, const Json& json);  // atomic

struct CurvePoint {
  int64_t step = 0;
  double loss = 0;
};

// Room for `more` elements whose pages are there already; past 65,536 a vector may grow as it goes.
template <typename T> void reserve_touched(std::vector<T>& values, size_t more) {
  const size_t size = values.size();
  values.resize(size + std::min<size_t>(more, 65536));
  values.resize(size);
}

// Calls body(text, line) for each whole line of metrics.jsonl that has a step, in order; what a crash left unfinished has no end.
void for_metrics(const std::string& file, const std::function<void(const std::string&, const Json&)>& body);

// metrics.jsonl. Each line is one write to the file, so a reader sees whole lines.
class MetricsFile {
 public:
  // Drops the lines past `restored_step` (0: all) and what a crash left unfinished, by temporary file and rename.
  MetricsFile(Path path, int64_t restored_step);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;

  void append(const Json& line);  // Error (io) if the disk refuses
  // The line of a step that has begun; allocates nothing, but for the curve where more than reserve() said have come.
  void append(JsonLine& line) { write(line.finish()); }
  void append_step(JsonLine& line, const CurvePoint& point);
  void reserve(int64_t steps);
  // The losses so far, restored ones included.
  const std::vector<CurvePoint>& train_curve() const { return train_; }
  const std::vector<CurvePoint>& validation_curve() const { return validation_; }

 private:
  void write(std::string_view text);
  void remember(const Json& line);
  Path path_;
  int fd_ = -1;
  std::vector<CurvePoint> train_, validation_;
};

// logs/rank-NNNNN.log. Lines before open() are kept; a log that can not be written is no reason to stop.
class RankLog {
 public:
  explicit RankLog(int rank) : rank_(rank) {}
  ~RankLog();
  RankLog(const RankLog&) = delete;
  RankLog& operator=(const RankLog&) = delete;

  void open(const Path& run_folder, int attempt);
  void line(const std::string& text);

 private:
  int rank_;
  int fd_ = -1;
  std::vector<std::string> early_;
};

// Creates `path` only if nobody has: the first of several failing ranks tells the story. Returns whether this was the first.
bool write_first(const Path& path, const std::string& bytes);

}  // namespace ringmaster::train
