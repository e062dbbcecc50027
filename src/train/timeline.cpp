// SPDX-License-Identifier: Apache-2.0
#include "train/timeline.h"

#include "train/svg.h"
#include "train/terminal.h"

#include <algorithm>
#include <numeric>

namespace ringmaster::train {

int64_t Timeline::Moment::sum() const { return std::accumulate(bytes.begin(), bytes.end(), int64_t{0}); }

Timeline timeline_of(const Compiled& program, const ir::StateLayout& states) {
  Timeline out{.states = states.end - states.exchange_bytes};  // buckets that others read are buffers too
  int64_t position = 0;
  for (const ir::Region& region : program.graph.regions()) {
    for (const ir::NodeId id : region.nodes) {
      ++position;
      if (program.graph.node(id).op->traits.role == ir::Role::grain_gather) out.backward = position;
    }
    if (region.kind == ir::RegionKind::for_grain) out.update = position;
  }
  out.moments.resize(static_cast<size_t>(position));
  for (const ir::Buffer& buffer : program.placement.buffers) {
    const auto* const kind = std::ranges::find(Timeline::kinds, buffer.category);
    if (kind == Timeline::kinds.end()) continue;
    const int64_t end = std::min(buffer.last + 1, position);
    for (int64_t at = buffer.first; at < end; ++at)
      out.moments[static_cast<size_t>(at)].bytes[static_cast<size_t>(kind - Timeline::kinds.begin())] += buffer.bytes;
  }
  return out;
}

namespace {

// The most of each of `columns` stretches of the program.
std::vector<int64_t> coarse(const Timeline& t, size_t columns) {
  std::vector<int64_t> out(columns);
  for (size_t i = 0; i < t.moments.size(); ++i) {
    int64_t& most = out[i * columns / t.moments.size()];
    most = std::max(most, t.moments[i].sum());
  }
  for (size_t i = 1; i < columns; ++i)  // fewer instructions than columns
    if (out[i] == 0 && t.moments.size() < columns) out[i] = out[i - 1];
  return out;
}

std::string cell(double eighths, bool unicode) {
  if (!unicode) return eighths >= 4 ? "#" : " ";
  constexpr const char* blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  return blocks[static_cast<size_t>(std::clamp(eighths, 0.0, 8.0))];
}

}  // namespace

std::string to_text(const Timeline& t, bool unicode) {
  if (t.moments.empty()) return "";
  constexpr size_t columns = 60, rows = 6;
  const std::vector<int64_t> bytes = coarse(t, columns);
  const auto most = static_cast<double>(std::max<int64_t>(1, *std::ranges::max_element(bytes)));
  std::string out;
  for (size_t row = rows; row-- > 0;) {
    std::string line;
    for (const int64_t b : bytes)
      line += cell(8 * (static_cast<double>(b) / most * rows - static_cast<double>(row)), unicode);
    const int64_t label = t.states + static_cast<int64_t>(most * static_cast<double>(row + 1) / rows);
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += fmt::format("  {:>12} {} {}\n", row + 1 == rows || row == 2 ? bytes_text(label) : "", unicode ? "┤" : "|",
                       line);
  }
  const auto column = [&](int64_t at) {
    return static_cast<size_t>(at) * columns / std::max<size_t>(1, t.moments.size());
  };
  std::string axis(columns, ' ');
  const auto write = [&](int64_t at, const std::string& word) {
    const size_t from = std::min(column(at), columns - word.size());
    axis.replace(from, word.size(), word);
  };
  write(0, "forward");
  if (t.backward > 0 && t.backward < t.update) write(t.backward, "backward");
  if (t.update < static_cast<int64_t>(t.moments.size())) write(t.update, "update");
  while (!axis.empty() && axis.back() == ' ') axis.pop_back();
  return out + fmt::format("  {:>12} {} {}\n", bytes_text(t.states), unicode ? "└" : "+", axis);
}

namespace {

constexpr const char* colors[] = {"#8d99ae", "#bc6c25", "#6a994e", "#e07a5f", "#3d5a80"};  // by kind
constexpr double left = plot_left, right = plot_right, top = plot_top, bottom = plot_bottom;

// A step outline: the upper edge from left to right, the lower one back.
std::string outline(const std::vector<int64_t>& low, const std::vector<int64_t>& high, double most) {
  const auto n = static_cast<double>(low.size());
  const auto x = [&](size_t i) { return left + (right - left) * static_cast<double>(i) / n; };
  const auto y = [&](int64_t bytes) { return bottom - (bottom - top) * static_cast<double>(bytes) / most; };
  std::string path = fmt::format("M{:.1f} {:.1f}", x(0), y(high[0]));
  for (size_t i = 0; i < high.size(); ++i) {
    if (i > 0 && high[i] != high[i - 1]) path += fmt::format("V{:.1f}", y(high[i]));
    if (i + 1 == high.size() || high[i + 1] != high[i]) path += fmt::format("H{:.1f}", x(i + 1));
  }
  path += fmt::format("V{:.1f}", y(low.back()));
  for (size_t i = low.size(); i-- > 0;)
    if (i == 0 || low[i - 1] != low[i]) path += fmt::format("H{:.1f}V{:.1f}", x(i), y(i == 0 ? low[0] : low[i - 1]));
  return path + "Z";
}

std::string axes(const Timeline& t, double most) {
  std::string out;
  for (const Tick& tick : byte_ticks(most)) {
    const double y = bottom - (bottom - top) * tick.value / most;
    out += svg_line(left, y, right, y, "#dddddd");
    out += svg_text(left - 8, y + 4, tick.text, "end");
  }
  const auto n = static_cast<double>(t.moments.size());
  const std::pair<int64_t, const char*> parts[] = {{0, "forward"}, {t.backward, "backward"}, {t.update, "update"}};
  for (const auto& [at, name] : parts) {
    if (at >= static_cast<int64_t>(t.moments.size())) continue;
    const double x = left + (right - left) * static_cast<double>(at) / n;
    out += svg_line(x, top, x, bottom + 6, "#999999");
    out += svg_text(x + 4, bottom + 18, name);
  }
  return out + svg_text(right, bottom + 18, "instructions of a step, in order", "end");
}

}  // namespace

std::string to_svg(const Timeline& t, const std::string& title, const std::string& where) {
  if (t.moments.empty()) return "";
  int64_t peak = 1;
  for (const Timeline::Moment& moment : t.moments) peak = std::max(peak, moment.sum());
  std::string out = svg_sheet(title, fmt::format("{} alive at the most, at {}; beside {} of weights and optimizer",
                                                 bytes_text(peak), where, bytes_text(t.states)));
  const double most = 1.05 * static_cast<double>(peak);
  out += axes(t, most);
  std::vector<int64_t> low(t.moments.size()), high(t.moments.size());
  double key = left;
  for (size_t k = 0; k < Timeline::kinds.size(); ++k) {
    int64_t largest = 0;
    for (size_t i = 0; i < low.size(); ++i) {
      high[i] = low[i] + t.moments[i].bytes[k];
      largest = std::max(largest, t.moments[i].bytes[k]);
    }
    const bool is_seen = static_cast<double>(largest) * (bottom - top) > 0.5 * most;  // half a pixel
    if (is_seen) {
      const std::string label = fmt::format("{} up to {}", ir::name(Timeline::kinds[k]), bytes_text(largest));
      out += fmt::format("<path d=\"{}\" fill=\"{}\"/>\n", outline(low, high, most), colors[k]);
      out += fmt::format("<rect x=\"{:.0f}\" y=\"388\" width=\"12\" height=\"12\" fill=\"{}\"/>", key, colors[k]);
      out += svg_text(key + 18, 398, label);
      key += 40 + 6.5 * static_cast<double>(cells(label));
    }
    low = high;
  }
  const auto fullest = std::ranges::max_element(t.moments, {}, &Timeline::Moment::sum) - t.moments.begin();
  const double at =
      left + (right - left) * (static_cast<double>(fullest) + 0.5) / static_cast<double>(t.moments.size());
  out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"#333333\"/>\n", at,
                     bottom - (bottom - top) * static_cast<double>(peak) / most);
  return out + "</svg>\n";
}

}  // namespace ringmaster::train
