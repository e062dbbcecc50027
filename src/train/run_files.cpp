// SPDX-License-Identifier: Apache-2.0
#include "train/run_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <sstream>

namespace ringmaster::train {

std::string dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

void write_json(const Path& path, const Json& json) { write_file_atomic(path, dump(json, 2)); }

void for_metrics(const std::string& file, const std::function<void(const std::string&, const Json&)>& body) {
  std::istringstream lines(file);
  for (std::string text; std::getline(lines, text) && !lines.eof();) {  // the last line counts only with its end
    const Json line = Json::parse(text, nullptr, false);
    if (line.is_object() && line.contains("step") && line["step"].is_number_integer()) body(text, line);
  }
}

MetricsFile::MetricsFile(Path path, int64_t restored_step) : path_(std::move(path)) {
  std::string before, kept;
  if (std::filesystem::exists(path_)) before = read_file(path_, {.max_bytes = int64_t{1} << 40});
  for_metrics(before, [&](const std::string& text, const Json& line) {
    if (line["step"].get<int64_t>() > restored_step) return;
    kept += text + "\n";
    remember(line);
  });
  if (kept != before) write_file_atomic(path_, kept);
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd_ < 0) throw errno_error("cannot open", path_);
}

MetricsFile::~MetricsFile() { ::close(fd_); }

void MetricsFile::write(std::string_view text) {
  if (::write(fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw errno_error("cannot write", path_);
}

void MetricsFile::append(const Json& line) {
  write(dump(line));
  remember(line);
}

void MetricsFile::append_step(JsonLine& line, const CurvePoint& point) {
  write(line.finish());
  train_.push_back(point);
}

void MetricsFile::reserve(int64_t steps) { reserve_touched(train_, static_cast<size_t>(steps)); }

void MetricsFile::remember(const Json& line) {
  const std::string kind = line.contains("kind") && line["kind"].is_string() ? line["kind"] : Json("");
  const char* field = kind == "step" ? "loss" : kind == "validation" ? "validation_loss" : nullptr;
  if (field == nullptr || !line.contains(field) || !line[field].is_number()) return;
  (kind == "step" ? train_ : validation_).push_back({line.value("step", int64_t{0}), line[field].get<double>()});
}

void RankLog::open(const Path& run_folder, int attempt) {
  try {
    make_folders(run_folder / "logs");
  } catch (const Error&) { return; }
  const Path path = run_folder / "logs" / fmt::format("rank-{:05}.log", rank_);
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  line(fmt::format("attempt {}, process {}", attempt, ::getpid()));
  for (const std::string& text : std::exchange(early_, {})) line(text);
}

RankLog::~RankLog() {
  if (fd_ >= 0) ::close(fd_);
}

void RankLog::line(const std::string& text) {
  if (fd_ < 0) {
    early_.push_back(text);
    return;
  }
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  const std::string stamped = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z {}\n", utc.tm_year + 1900,
                                          utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, text);
  [[maybe_unused]] const ssize_t ignored = ::write(fd_, stamped.data(), stamped.size());
}

bool write_first(const Path& path, const std::string& bytes) {
  const Path temporary = path.parent_path() / fmt::format(".{}-{}", path.filename().string(), ::getpid());
  write_file_atomic(temporary, bytes);
  const bool first = ::link(temporary.c_str(), path.c_str()) == 0;
  ::unlink(temporary.c_str());
  return first;
}

}  // namespace ringmaster::train
