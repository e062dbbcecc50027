// SPDX-License-Identifier: Apache-2.0
#include "train/svg.h"

#include <fmt/format.h>

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

std::string svg_line(double x1, double y1, double x2, double y2, std::string_view color) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", x1, y1, x2, y2,
                     color);
}

}  // namespace ringmaster::train
