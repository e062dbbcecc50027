// SPDX-License-Identifier: Apache-2.0
#include "train/frontier_plot.h"

#include "train/recompute_report.h"
#include "train/svg.h"
#include "train/terminal.h"

#include <algorithm>

namespace ringmaster::train {

// Memory and time side by side, each as a share of the most.
std::string frontier_text(const std::vector<FrontierPoint>& sweep, bool unicode) {
  if (sweep.empty()) return "";
  const double most = static_cast<double>(sweep.front().budget_bytes), least = sweep.front().step_seconds;
  double slowest = 0;
  for (const FrontierPoint& p : sweep) slowest = std::max(slowest, p.step_seconds - least);
  if (sweep.size() == 1)
    return fmt::format("\nno budget saves anything here: none keeps less than the {} of mode none\n",
                       bytes_text(sweep.front().budget_bytes));
  std::string out = "\n       budget                          peak a rank       step\n";
  const FrontierPoint* above = nullptr;
  bool peak_falls = false;
  for (const FrontierPoint& p : sweep) {
    peak_falls = peak_falls || p.peak_bytes < sweep.front().peak_bytes - sweep.front().peak_bytes / 100;
    const bool is_last = &p == &sweep.back();
    if (above != nullptr && !is_last && above->peak_bytes == p.peak_bytes && above->step_seconds == p.step_seconds)
      continue;  // the same plan
    above = &p;
    const std::string memory = bar(static_cast<double>(p.budget_bytes) / most, unicode);
    const double more = p.step_seconds - least;
    const std::string added = more > 0 ? bar(more / slowest, unicode) : "";
    out += fmt::format("  {:>11}  {}{} {:>12}  {:>9} {:>+7.1f} %{}{}\n", bytes_text(p.budget_bytes), memory,
                       std::string(20 - std::min<size_t>(cells(memory), 20), ' '), bytes_text(p.peak_bytes),
                       short_seconds(p.step_seconds), 100 * more / least, added.empty() ? "" : "  ", added);
  }
  if (!peak_falls) out += "  the peak stays where it is: it is not of activations\n";
  return out;
}

std::string frontier_svg(const std::vector<FrontierPoint>& points, const std::string& title, const std::string& line) {
  if (points.empty()) return "";
  const double least = points.front().step_seconds,
               most_bytes = 1.02 * static_cast<double>(points.front().budget_bytes);
  const auto added = [&](const FrontierPoint& p) { return p.step_seconds / least - 1; };
  double most_added = 0.01;
  for (const FrontierPoint& p : points) most_added = std::max(most_added, added(p));
  const auto x = [&](double bytes) { return plot_left + (plot_right - plot_left) * bytes / most_bytes; };
  const auto y = [&](double share) { return plot_bottom - (plot_bottom - plot_top) * share / (1.05 * most_added); };
  std::string out = svg_sheet(
      title, fmt::format("what a budget of activations adds to a step of {}; {}", short_seconds(least), line));
  for (const double percent : round_ticks(100 * most_added)) {
    out += svg_line(plot_left, y(percent / 100), plot_right, y(percent / 100), "#dddddd");
    out +=
        svg_text(plot_left - 8, y(percent / 100) + 4, fmt::format("+{:g} %", std::round(1e3 * percent) / 1e3), "end");
  }
  for (const Tick& tick : byte_ticks(most_bytes)) {
    out += svg_line(x(tick.value), plot_bottom, x(tick.value), plot_bottom + 6, "#999999");
    out += svg_text(x(tick.value), plot_bottom + 20, tick.text, "middle");
  }
  std::string path, dots;
  for (const FrontierPoint& p : points) {
    const double at_x = x(static_cast<double>(p.budget_bytes)), at_y = y(added(p));
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", at_x, at_y);
    dots += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"#3d5a80\"><title>{}, {:+.1f} %</title>"
        "</circle>\n",
        at_x, at_y, bytes_text(p.budget_bytes), 100 * added(p));
  }
  out += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"#3d5a80\" stroke-width=\"2\"/>\n", path) + dots;
  out += svg_text(0.5 * (plot_left + plot_right), plot_bottom + 44,
                  points.size() > 1 ? "budget of activations" : "no budget saves anything here", "middle");
  return out + "</svg>\n";
}

}  // namespace ringmaster::train
