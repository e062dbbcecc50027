// SPDX-License-Identifier: Apache-2.0
// svg: what the drawings of a plan share: the sheet, its title and texts.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace ringmaster::train {

constexpr int svg_width = 960, svg_height = 420;
constexpr double plot_left = 90, plot_right = 940, plot_top = 60, plot_bottom = 350;

// A white sheet with a title and a line below it; to be closed by "</svg>\n".
std::string svg_sheet(std::string_view title, std::string_view line);
// Text at a point; `anchor` is start, middle or end.
std::string svg_text(double x, double y, std::string_view text, std::string_view anchor = "start");
std::string svg_line(double x1, double y1, double x2, double y2, std::string_view color);

// Where an axis from 0 to `most` is marked: 0 and multiples of 1, 2 or 5 times a power of ten, five to ten in all.
std::vector<double> round_ticks(double most);
struct Tick {
  double value = 0;
  std::string text;
};
std::vector<Tick> byte_ticks(double most);  // of bytes, all in one unit

}  // namespace ringmaster::train
