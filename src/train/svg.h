// SPDX-License-Identifier: Apache-2.0
// svg: what the drawings of a plan share: the sheet, its title and texts.
#pragma once
#include <string>
#include <string_view>

namespace ringmaster::train {

constexpr int svg_width = 960, svg_height = 420;
constexpr double plot_left = 90, plot_right = 940, plot_top = 60, plot_bottom = 350;

// A white sheet with a title and a line below it; to be closed by "</svg>\n".
std::string svg_sheet(std::string_view title, std::string_view line);
// Text at a point; `anchor` is start, middle or end.
std::string svg_text(double x, double y, std::string_view text, std::string_view anchor = "start");
std::string svg_line(double x1, double y1, double x2, double y2, std::string_view color);

}  // namespace ringmaster::train
