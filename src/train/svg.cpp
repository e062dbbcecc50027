// SPDX-License-Identifier: Apache-2.0
#include "train/svg.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace ringmaster::train {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace

std::string svg_sheet(std::string_view title, std::string_view line) {
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
             "font-family=\"sans-serif\" font-size=\"12\" fill=\"#333333\">\n<rect width=\"{0}\" height=\"{1}\" "
             "fill=\"white\"/>\n<text x=\"{2}\" y=\"24\" font-size=\"16\">{3}</text>\n",
             svg_width, svg_height, plot_left, escaped(title)) +
         svg_text(plot_left, 44, line);
}

std::string svg_text(double x, double y, std::string_view text, std::string_view anchor) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, escaped(text));
}

std::vector<double> round_ticks(double most) {
  if (!(most > 0)) return {0};
  double step = std::pow(10.0, std::floor(std::log10(most)));
  const double fits = most / step;  // 1 to 10
  step *= fits < 2 ? 0.2 : fits < 4 ? 0.5 : fits < 8 ? 1 : 2;
  std::vector<double> ticks;
  for (int k = 0; k * step <= most * (1 + 1e-9); ++k) ticks.push_back(k * step);
  return ticks;
}

std::vector<Tick> byte_ticks(double most) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  double scale = 1;
  for (; most / scale >= 1024 && unit + 1 < std::size(units); ++unit) scale *= 1024;
  std::vector<Tick> ticks;
  for (const double value : round_ticks(most / scale))
    ticks.push_back({value * scale, fmt::format("{:g} {}", std::round(value * 1e6) / 1e6, units[unit])});
  return ticks;
}

std::string svg_line(double x1, double y1, double x2, double y2, std::string_view color) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", x1, y1, x2, y2,
                     color);
}

}  // namespace ringmaster::train
