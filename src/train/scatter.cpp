// SPDX-License-Identifier: Apache-2.0
#include "train/scatter.h"

#include "core/error.h"
#include "train/glyphs.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ringmaster::train {
namespace {

constexpr Color white{255, 255, 255}, ink{60, 60, 60}, rule{232, 232, 232};

class Canvas {
 public:
  explicit Canvas(int side) : side_(side), pixels_(static_cast<size_t>(side) * static_cast<size_t>(side), white) {}

  void blend(int x, int y, Color color, double cover) {
    if (x < 0 || y < 0 || x >= side_ || y >= side_ || cover <= 0) return;
    Color& p = pixels_[static_cast<size_t>(y) * static_cast<size_t>(side_) + static_cast<size_t>(x)];
    const auto mixed = [cover](uint8_t under, uint8_t over) {
      return static_cast<uint8_t>(std::lround(under + (over - under) * std::min(cover, 1.0)));
    };
    p = {mixed(p.red, color.red), mixed(p.green, color.green), mixed(p.blue, color.blue)};
  }
  void fill(int x, int y, int width, int height, Color color) {
    for (int j = y; j < y + height; ++j)
      for (int i = x; i < x + width; ++i) blend(i, j, color, 1.0);
  }
  // A disc with a soft edge.
  void disc(double x, double y, double radius, Color color, double opacity) {
    const int reach = static_cast<int>(std::ceil(radius)) + 1;
    const int cx = static_cast<int>(std::floor(x)), cy = static_cast<int>(std::floor(y));
    for (int j = cy - reach; j <= cy + reach; ++j)
      for (int i = cx - reach; i <= cx + reach; ++i)
        blend(i, j, color, opacity * std::clamp(radius + 0.5 - std::hypot(i + 0.5 - x, j + 0.5 - y), 0.0, 1.0));
  }

  std::string png() const {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    image.width = image.height = static_cast<png_uint_32>(side_);
    image.format = PNG_FORMAT_RGB;
    static_assert(sizeof(Color) == 3);
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
    std::string out(bytes, '\0');
    if (png_image_write_to_memory(&image, out.data(), &bytes, 0, pixels_.data(), 0, nullptr) == 0)
      throw Error(
          {.kind = ErrorKind::io, .message = fmt::format("libpng can not write the picture: {}", image.message)});
    out.resize(bytes);
    return out;
  }

 private:
  int side_;
  std::vector<Color> pixels_;
};

// ---- text
constexpr int cell = 2, advance = 6 * cell, text_height = 7 * cell;

int text_width(const std::string& text) { return static_cast<int>(text.size()) * advance - cell; }

void write(Canvas& canvas, int x, int y, const std::string& text) {
  for (const char c : text) {
    const auto* const glyph =
        std::find_if(std::begin(glyphs), std::end(glyphs), [c](const Glyph& g) { return g.character == c; });
    const int rows = glyph != std::end(glyphs) ? static_cast<int>(glyph->rows.size()) : 0;  // 0: a gap
    for (int row = 0; row < rows; ++row)
      for (int column = 0; column < 5; ++column)
        if ((glyph->rows[static_cast<size_t>(row)] >> (4 - column) & 1) != 0)
          canvas.fill(x + column * cell, y + row * cell, cell, cell, ink);
    x += advance;
  }
}

bool is_finite(const std::array<float, 2>& p) { return std::isfinite(p[0]) && std::isfinite(p[1]); }

// The smallest square around all points, with room at its border.
struct View {
  double left = -1, bottom = -1, size = 2;
};

View view_of(std::span<const PointSeries> series) {
  double low[2] = {HUGE_VAL, HUGE_VAL}, high[2] = {-HUGE_VAL, -HUGE_VAL};
  for (const PointSeries& s : series) {
    for (const auto& p : s.points) {
      for (size_t d = 0; is_finite(p) && d < 2; ++d) {
        low[d] = std::min(low[d], static_cast<double>(p[d]));
        high[d] = std::max(high[d], static_cast<double>(p[d]));
      }
    }
  }
  if (low[0] > high[0]) return {};
  const double widest = std::max(high[0] - low[0], high[1] - low[1]);
  const double far = std::max(std::abs(low[0] + high[0]), std::abs(low[1] + high[1])) / 2;
  const double size = std::max(widest > 0 ? 1.1 * widest : 2.0, 1e-6 * far);  // ticks must differ from each other
  return {(low[0] + high[0] - size) / 2, (low[1] + high[1] - size) / 2, size};
}

// 1, 2 or 5 times a power of ten, so that about six ticks stand on an axis.
double tick_step(double size) {
  const double rough = size / 6, power = std::pow(10.0, std::floor(std::log10(rough)));
  const double lead = rough / power;
  return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

constexpr double radius = 2.5;

// Each named series by a disc of its color, from `left` on a line of text at `y`.
void write_legend(Canvas& canvas, int left, int y, std::span<const PointSeries> series) {
  int x = left;
  for (const PointSeries& s : series) {
    if (s.name.empty()) continue;
    canvas.disc(x + 2 * radius, y + text_height / 2.0, 2 * radius, s.color, 1.0);
    write(canvas, x + advance + 3 * cell, y, s.name);
    x += text_width(s.name) + 5 * advance;
  }
}

// Where the view lies in the picture: a square with room for numbers and names around it.
struct Frame {
  int left = 64, top = 48, side = 0;
  View view;

  Frame(int pixels, const View& v) : side(pixels - left - 34), view(v) {}
  int bottom() const { return top + side; }
  double column(double x) const { return left + (x - view.left) / view.size * side; }
  double line(double y) const { return bottom() - (y - view.bottom) / view.size * side; }
};

void draw_axes(Canvas& canvas, const Frame& frame, const AxisNames& names) {
  const View& view = frame.view;
  const int left = frame.left, top = frame.top, bottom = frame.bottom(), side = frame.side;
  const double step = tick_step(view.size);
  const auto ticks = [&](double from, const auto& draw) {
    for (double k = std::ceil(from / step); k * step <= from + view.size; k += 1) {
      const double value = k == 0 ? 0.0 : k * step;
      draw(value, fmt::format("{:.6g}", value));
    }
  };
  ticks(view.left, [&](double value, const std::string& label) {
    const int x = static_cast<int>(frame.column(value));
    canvas.fill(x, top, 1, side, rule);
    canvas.fill(x, bottom, 1, 6, ink);
    write(canvas, x - text_width(label) / 2, bottom + 10, label);
  });
  ticks(view.bottom, [&](double value, const std::string& label) {
    const int y = static_cast<int>(frame.line(value));
    canvas.fill(left, y, side, 1, rule);
    canvas.fill(left - 6, y, 6, 1, ink);
    write(canvas, left - 10 - text_width(label), y - text_height / 2, label);
  });
  canvas.fill(left, top, 1, side, ink);
  canvas.fill(left, bottom, side, 1, ink);
  write(canvas, left + side - text_width(names.x), bottom + 30, names.x);
  write(canvas, left - text_width(names.y) / 2, top - 26, names.y);
}

}  // namespace

std::string scatter_png(std::span<const PointSeries> series, const AxisNames& names, int pixels) {
  const Frame frame(pixels, view_of(series));
  Canvas canvas(pixels);
  draw_axes(canvas, frame, names);
  write_legend(canvas, frame.left + text_width(names.y) / 2 + 3 * advance, frame.top - 26, series);
  for (const PointSeries& s : series)
    for (const auto& p : s.points)
      if (is_finite(p))
        canvas.disc(frame.column(static_cast<double>(p[0])), frame.line(static_cast<double>(p[1])), radius, s.color,
                    0.6);
  return canvas.png();
}

}  // namespace ringmaster::train
