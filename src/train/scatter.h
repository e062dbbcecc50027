// SPDX-License-Identifier: Apache-2.0
// scatter: points of the plane as a PNG picture with axes and a legend. Both axes have one scale; later series lie over earlier ones.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ringmaster::train {

struct Color {
  uint8_t red = 0, green = 0, blue = 0;
};
// of Okabe and Ito's palette, which color-blind readers can tell apart
inline constexpr Color grey{170, 170, 170}, blue{0, 114, 178}, orange{213, 94, 0};

struct PointSeries {
  std::vector<std::array<float, 2>> points;  // those that are not finite are left out
  Color color = blue;
  std::string name = {};  // in the legend, of characters of glyphs.h; "" is left out
};

struct AxisNames {
  std::string x = "x", y = "y";
};

// The bytes of a square picture of `pixels` a side. Throws Error (io) if libpng refuses.
std::string scatter_png(std::span<const PointSeries> series, const AxisNames& names = {}, int pixels = 800);

}  // namespace ringmaster::train
