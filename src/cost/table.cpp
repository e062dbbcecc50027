// SPDX-License-Identifier: Apache-2.0
#include "cost/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace ringmaster::cost {
namespace {

constexpr double least_seconds = 1e-9;  // what is quicker can not be measured
constexpr std::string_view heading = "ringmaster.costs/1 ";

std::string op_of(const Work& work) {
  return work.key.substr(0, work.key.find(' ')) + (work.narrow ? " of 16 bits" : "");
}

// What stands in front of the next `end`; `text` loses both.
std::string_view take(std::string_view& text, char end) {
  const size_t n = std::min(text.find(end), text.size());
  const std::string_view part = text.substr(0, n);
  text.remove_prefix(std::min(n + 1, text.size()));
  return part;
}

template <typename T> bool read(std::string_view word, T& out) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out);
  return error == std::errc() && end == word.data() + word.size();
}

}  // namespace

void Table::set(const Work& work, double seconds) {
  measured_[work.key] = {work, std::max(seconds, least_seconds)};
  sum_up();
}

void Table::merge(const Table& newer) {
  for (const auto& [key, measured] : newer.measured_) measured_[key] = measured;
  sum_up();
}

void Table::sum_up() {
  of_op_.clear();
  for (const auto& [key, m] : measured_) {
    Sum& sum = of_op_[op_of(m.work)];
    sum.flops += static_cast<double>(m.work.flops);
    sum.bytes += static_cast<double>(m.work.bytes);
    sum.seconds += m.seconds;
    sum.most_flops = std::max(sum.most_flops, m.work.flops);
    sum.most_bytes = std::max(sum.most_bytes, m.work.bytes);
  }
}

// Small shapes are all overhead and tell little of large ones.
const Table::Sum* Table::like(const Work& work) const {
  constexpr int64_t far = 64;
  const auto found = of_op_.find(op_of(work));
  if (found == of_op_.end()) return nullptr;
  const Sum& sum = found->second;
  return work.flops / far <= sum.most_flops && work.bytes / far <= sum.most_bytes ? &sum : nullptr;
}

bool Table::has(const Work& work) const { return measured_.contains(work.key) || like(work) != nullptr; }

double Table::seconds(const Work& work) const {
  if (const auto found = measured_.find(work.key); found != measured_.end()) return found->second.seconds;
  const Sum* found_like = like(work);
  if (found_like == nullptr) return estimate(work);
  const Sum& sum = *found_like;
  if (work.flops > 0 && sum.flops > 0) return sum.seconds * static_cast<double>(work.flops) / sum.flops;
  return sum.bytes > 0 ? sum.seconds * static_cast<double>(work.bytes) / sum.bytes : estimate(work);
}

double Table::estimate(const Work& work) const {
  const double products = static_cast<double>(work.flops) / (work.narrow ? rates_.gemm_16 : rates_.gemm_f32);
  return std::max(products, static_cast<double>(work.bytes) / rates_.bytes);
}

std::string Table::to_text() const {
  std::string out = fmt::format("{}{}\n", heading, measured_.size());
  for (const auto& [key, m] : measured_)
    out += fmt::format("{} {} {} {} {}\n", m.seconds, m.work.flops, m.work.narrow ? 16 : 32, m.work.bytes, key);
  return out;
}

Table Table::from_text(std::string_view text) {
  Table table;
  size_t lines = 0;
  if (!text.starts_with(heading) || !text.ends_with('\n')) return table;
  text.remove_prefix(heading.size());
  if (!read(take(text, '\n'), lines)) return table;
  while (!text.empty()) {
    std::string_view line = take(text, '\n');
    Measured m;
    int width = 0;
    const bool good = read(take(line, ' '), m.seconds) && read(take(line, ' '), m.work.flops) &&
                      read(take(line, ' '), width) && read(take(line, ' '), m.work.bytes);
    if (!good || !(m.seconds >= least_seconds && m.seconds < 1e6) || m.work.flops < 0 || m.work.bytes < 0) return {};
    m.work.narrow = width == 16;
    m.work.key = line;
    table.measured_[m.work.key] = m;
  }
  if (table.measured_.size() != lines) return {};
  table.sum_up();
  return table;
}

}  // namespace ringmaster::cost
