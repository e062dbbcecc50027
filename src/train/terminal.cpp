// SPDX-License-Identifier: Apache-2.0
#include "train/terminal.h"

#include "core/error.h"
#include "train/machine.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace ringmaster::train {
namespace {

constexpr auto redraw_every = std::chrono::milliseconds(100);
constexpr double fading = 0.9;  // weight of the past in the rates that are shown
constexpr int bar_cells = 28;

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

int terminal_columns() {
  if (const char* columns = std::getenv("COLUMNS"))
    if (const int n = std::atoi(columns); n > 0) return n;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string progress_bar(double done, int width, bool unicode) {
  const int halves = std::clamp(static_cast<int>(done * 2 * width + 0.5), 0, 2 * width);
  std::string out;
  for (int i = 0; i < width; ++i) {
    const bool full = 2 * (i + 1) <= halves, half = !full && 2 * i + 1 <= halves;
    out += unicode ? (full ? "━" : half ? "╸" : "─") : (full ? "#" : "-");
  }
  return out;
}

}  // namespace

std::string count_text(double count, const char* gap) {
  const char* units[] = {"", "k", "M", "G", "T"};
  int unit = 0;
  while (count >= 1000 && unit < 4) {
    count /= 1000;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f}{}", count, gap);
  return count < 100 ? fmt::format("{:.1f}{}{}", count, gap, units[unit])
                     : fmt::format("{:.0f}{}{}", count, gap, units[unit]);
}

std::string bar(double share, bool unicode) {
  const int eighths = static_cast<int>(share * 20 * 8 + 0.5);
  if (!unicode) return std::string(static_cast<size_t>((eighths + 7) / 8), '#');
  constexpr const char* partial[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  std::string out;
  for (int i = 0; i < eighths / 8; ++i) out += "█";
  return out + partial[eighths % 8];
}

size_t cells(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string bytes_text(int64_t bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  return value < 10 && unit > 0 ? fmt::format("{:.2f} {}", value, units[unit])
                                : fmt::format("{:.0f} {}", value, units[unit]);
}

std::string duration_text(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(seconds));
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

Terminal::Terminal(const Options& options) : options_(options) {
  const bool terminal = options.columns > 0 || (options.columns == 0 && ::isatty(STDERR_FILENO) != 0);
  unicode_ = utf8_locale();
  live_ = terminal && !options.silent;
  color_ = terminal && !is_set("NO_COLOR");
  columns_ = options.columns > 0 ? options.columns : terminal ? terminal_columns() : 80;
}

void Terminal::write(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n <= 0) return;  // nobody listens; training goes on
    text.remove_prefix(static_cast<size_t>(n));
  }
}

void Terminal::clear_live() {
  if (!drawn_.empty()) write("\r\x1b[K");
  drawn_.clear();
}

void Terminal::note(const std::string& text) {
  if (options_.silent) return;
  const std::string live = drawn_;
  clear_live();
  write(text + "\n");
  if (!live.empty()) {
    drawn_ = live;
    write(live);
  }
}

void Terminal::error(const std::string& text) {
  clear_live();
  write(text);
}

void Terminal::units(std::string items, std::string loss) {
  items_ = std::move(items);
  loss_unit_ = loss.empty() ? "" : " " + loss;
}

void Terminal::headline(const Headline& h) {
  const std::string left = fmt::format("{}  {} parameters, {} rank{} x {} thread{} ({} on {})", h.name,
                                       count_text(static_cast<double>(h.parameters), " "), h.ranks,
                                       h.ranks == 1 ? "" : "s", h.threads, h.threads == 1 ? "" : "s", h.compute, h.isa);
  const std::string right = fmt::format("plan: {} a rank", bytes_text(h.plan_bytes));
  const int gap = std::max(3, std::min(columns_, 100) - static_cast<int>(cells(left) + cells(right)));
  note(left + std::string(static_cast<size_t>(gap), ' ') + right);
}

// "18.4k tok/s   comm 0.4 %   0:31 left"
std::string Terminal::rates(const StepView& v) const {
  const double step_seconds = weight_ > 0 ? seconds_ / weight_ : 0;
  return fmt::format("{} {}/s   comm {:.1f} %   {} left", count_text(seconds_ > 0 ? tokens_ / seconds_ : 0),
                     items_ == "tokens" ? "tok" : items_, seconds_ > 0 ? 100 * comm_seconds_ / seconds_ : 0,
                     duration_text(step_seconds * static_cast<double>(v.steps - v.step)));
}

std::string Terminal::plain_line(const StepView& v) const {
  return fmt::format("step {}/{}  {}  grad norm {:.3f}  lr {:.2e}   {}", v.step, v.steps, v.loss, v.grad_norm, v.lr,
                     rates(v));
}

std::string Terminal::live_line(const StepView& v) const {
  const std::string steps = fmt::format("{}", v.steps);
  const std::string left = fmt::format("step {:>{}}/{} ", v.step, steps.size(), steps);
  const std::string right = fmt::format("  {}   {}", v.loss, rates(v));
  const int room = columns_ - 1 - static_cast<int>(cells(left) + cells(right));
  if (room >= 4) {
    const double done = static_cast<double>(v.step) / static_cast<double>(std::max<int64_t>(v.steps, 1));
    return left + progress_bar(done, std::min(room, bar_cells), unicode_) + right;
  }
  std::string line = left + right;  // narrow: no bar, and cut
  return line.substr(0, static_cast<size_t>(std::max(1, columns_ - 1)));
}

void Terminal::step(const StepView& v) {
  seconds_ = fading * seconds_ + v.seconds;
  comm_seconds_ = fading * comm_seconds_ + v.comm_seconds;
  tokens_ = fading * tokens_ + static_cast<double>(v.tokens);
  weight_ = fading * weight_ + 1;
  if (options_.silent) return;
  if (!live_) {
    if (v.step % options_.log_freq == 0 || v.step == v.steps) note(plain_line(v));
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now < next_draw_ && v.step != v.steps) return;
  next_draw_ = now + redraw_every;
  drawn_ = live_line(v);
  write("\r" + drawn_ + "\x1b[K");
}

void Terminal::validation(double loss, std::optional<double> baseline) {
  if (!std::isfinite(loss)) return note("validation: the loss is not finite");
  note(baseline ? fmt::format("validation {:.3f}{} (order-2 n-gram {:.3f})", loss, loss_unit_, *baseline)
                : fmt::format("validation {:.3f}{}", loss, loss_unit_));
}

void Terminal::finish(const Ending& e, const Curve& curve) {
  if (options_.silent) return;
  clear_live();
  const std::string picture = draw(curve, {.columns = std::min(columns_, 100), .unicode = unicode_, .color = color_});
  std::string text = picture.empty() ? "" : "\n" + picture + "\n";
  text += fmt::format("{} at step {} in {}, {} {}/s", e.word, e.step, duration_text(e.seconds),
                      count_text(e.tokens_per_second), items_);
  if (e.validation && std::isfinite(*e.validation))
    text += fmt::format(", validation {:.3f}{}", *e.validation, loss_unit_);
  if (e.validation && e.best && e.best_step != e.step)
    text += fmt::format(" (best {:.3f} at step {})", *e.best, e.best_step);
  text += "\n";
  if (!e.checkpoint.empty()) text += "saved " + e.checkpoint + "\n";
  if (!e.best_checkpoint.empty() && e.best_checkpoint != e.checkpoint) text += "best  " + e.best_checkpoint + "\n";
  write(text);
}

}  // namespace ringmaster::train
