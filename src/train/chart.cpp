// SPDX-License-Identifier: Apache-2.0
#include "train/chart.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ringmaster::train {
namespace {

constexpr int label_width = 6;  // "12.34 "
constexpr const char* cyan = "\x1b[36m";
constexpr const char* yellow = "\x1b[33m";
constexpr const char* dim = "\x1b[2m";
constexpr const char* plain = "\x1b[0m";

std::string utf8(int code_point) {  // of three bytes
  return {static_cast<char>(0xE0 | (code_point >> 12)), static_cast<char>(0x80 | ((code_point >> 6) & 0x3F)),
          static_cast<char>(0x80 | (code_point & 0x3F))};
}

// The bit of the dot at column x (0..1), row y (0..3, from the top) of a braille cell.
int braille_dot(int x, int y) {
  constexpr int bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
  return bits[y][x];
}

enum class Mark : uint8_t { none, validation, baseline };

class Chart {
 public:
  Chart(const Curve& curve, const ChartOptions& options)
      : curve_(curve),
        options_(options),
        width_(std::clamp(options.columns - label_width - 2, 10, 100)),
        height_(options.rows),
        dots_(static_cast<size_t>(width_ * height_)),
        marks_(static_cast<size_t>(width_ * height_)) {
    scale();
    draw_baseline();
    draw_train();
    for (const CurvePoint& p : curve.validation) mark(column_of(p.step) / 2, row_of(p.loss) / 4, Mark::validation);
  }

  std::string text() const {
    std::string out;
    for (int row = 0; row < height_; ++row) {
      const bool labelled = row % 3 == 0 || row == height_ - 1;
      const double value = high_ - (high_ - low_) * row / (height_ - 1);
      out += labelled ? fmt::format("{:>{}.2f} {}", value, label_width - 1, axis("┤", "+"))
                      : fmt::format("{:{}}{}", "", label_width, axis("│", "|"));
      out += row_text(row) + "\n";
    }
    return out + x_axis() + legend();
  }

 private:
  void scale() {
    first_ = curve_.train.front().step;
    last_ = std::max(curve_.train.back().step, first_ + 1);
    low_ = high_ = curve_.train.front().loss;
    const auto see = [&](double loss) {
      if (!std::isfinite(loss)) return;
      low_ = std::min(low_, loss);
      high_ = std::max(high_, loss);
    };
    for (const CurvePoint& p : curve_.train) see(p.loss);
    for (const CurvePoint& p : curve_.validation) see(p.loss);
    if (curve_.baseline) see(*curve_.baseline);
    if (high_ - low_ < 1e-6) high_ = low_ + 1e-6;
  }

  // dots, from the left and from the top
  int column_of(int64_t step) const {
    const double x = static_cast<double>(step - first_) / static_cast<double>(last_ - first_);
    return std::clamp(static_cast<int>(x * (2 * width_ - 1) + 0.5), 0, 2 * width_ - 1);
  }
  int row_of(double loss) const {
    const double y = (high_ - loss) / (high_ - low_);
    return std::clamp(static_cast<int>(y * (4 * height_ - 1) + 0.5), 0, 4 * height_ - 1);
  }
  size_t at(int column, int row) const { return static_cast<size_t>(row * width_ + column); }
  void mark(int column, int row, Mark m) { marks_[at(column, row)] = m; }
  void dot(int x, int y) { dots_[at(x / 2, y / 4)] |= braille_dot(x % 2, y % 4); }

  void draw_baseline() {
    if (!curve_.baseline) return;
    for (int column = 0; column < width_; ++column) mark(column, row_of(*curve_.baseline) / 4, Mark::baseline);
  }

  // The mean of the losses of each dot column, joined to the column before.
  void draw_train() {
    int before = -1, at_column = -1;
    size_t i = 0;
    while (i < curve_.train.size()) {
      const int column = column_of(curve_.train[i].step);
      double sum = 0;
      int64_t n = 0;
      for (; i < curve_.train.size() && column_of(curve_.train[i].step) == column; ++i, ++n)
        sum += curve_.train[i].loss;
      const int row = row_of(sum / static_cast<double>(n));
      const int from = before < 0 ? row : before;
      for (int x = std::max(at_column, 0); x < column; ++x)  // fewer points than columns: a straight line
        dot(x, from + (row - from) * (x - std::max(at_column, 0)) / std::max(1, column - std::max(at_column, 0)));
      for (int y = std::min(row, from); y <= std::max(row, from); ++y)
        if (y == row || at_column + 1 == column) dot(column, y);
      before = row;
      at_column = column;
    }
  }

  std::string paint(const char* color, const std::string& text) const {
    return options_.color ? color + text + plain : text;
  }
  std::string axis(const char* unicode, const char* ascii) const {
    return paint(dim, options_.unicode ? unicode : ascii);
  }

  struct Cell {
    const char* color = plain;
    std::string text = " ";
  };
  Cell cell(int column, int row) const {
    const Mark m = marks_[at(column, row)];
    const int dots = dots_[at(column, row)];
    if (m == Mark::validation) return {yellow, options_.unicode ? "●" : "o"};
    if (dots != 0) return {cyan, options_.unicode ? utf8(0x2800 + dots) : "*"};
    if (m == Mark::baseline) return {dim, options_.unicode ? "╌" : "-"};
    return {};
  }

  // One color code a run of cells, nothing behind the last mark.
  std::string row_text(int row) const {
    std::string out, run;
    const char* color = plain;
    const auto flush = [&] { out += color == plain ? std::exchange(run, "") : paint(color, std::exchange(run, "")); };
    for (int column = 0; column < width_; ++column) {
      const Cell c = cell(column, row);
      if (c.color != color) flush();
      color = c.color;
      run += c.text;
    }
    if (color != plain) flush();
    return out;
  }

  std::string x_axis() const {
    std::string line;
    for (int column = 0; column < width_; ++column) line += options_.unicode ? "─" : "-";
    const std::string first = fmt::format("{}", first_), middle = fmt::format("{}", (first_ + last_) / 2),
                      last = fmt::format("step {}", last_);
    std::string labels(static_cast<size_t>(width_), ' ');
    const auto put = [&](size_t where, const std::string& text) { labels.replace(where, text.size(), text); };
    put(0, first);
    if (last.size() + middle.size() + first.size() + 6 < labels.size())
      put(labels.size() / 2 - middle.size() / 2, middle);
    put(labels.size() - last.size(), last);
    return fmt::format("{:{}}{}\n{:{}}{}\n", "", label_width, paint(dim, (options_.unicode ? "└" : "+") + line), "",
                       label_width + 1, labels);
  }

  // As many entries as fit.
  std::string legend() const {
    std::string out = fmt::format("{:{}}", "", label_width + 1);
    int room = width_;
    const auto add = [&](const char* color, const char* unicode, const char* ascii, const std::string& text) {
      const int cells = 3 + static_cast<int>(text.size()) + 3;  // a mark of up to two cells, and the gap behind
      if (room < cells) return;
      room -= cells;
      out += paint(color, options_.unicode ? unicode : ascii) + " " + text + "   ";
    };
    add(cyan, "⠤⠤", "**", fmt::format("train {:.3f}", recent_train()));
    if (!curve_.validation.empty())
      add(yellow, "●", "o", fmt::format("validation {:.3f}", curve_.validation.back().loss));
    if (curve_.baseline) add(dim, "╌╌", "--", fmt::format("{} {:.3f}", curve_.baseline_name, *curve_.baseline));
    return out.substr(0, out.find_last_not_of(' ') + 1) + "\n";
  }
  double recent_train() const {  // one step is noisy: the mean of the last twentieth
    const size_t n = std::max<size_t>(1, curve_.train.size() / 20);
    double sum = 0;
    for (size_t i = curve_.train.size() - n; i < curve_.train.size(); ++i) sum += curve_.train[i].loss;
    return sum / static_cast<double>(n);
  }

  const Curve& curve_;
  ChartOptions options_;
  int width_, height_;  // cells
  std::vector<int> dots_;
  std::vector<Mark> marks_;
  int64_t first_ = 0, last_ = 1;
  double low_ = 0, high_ = 1;
};

}  // namespace

std::string draw(const Curve& curve, const ChartOptions& options) {
  if (curve.train.size() < 2) return "";
  return Chart(curve, options).text();
}

}  // namespace ringmaster::train
