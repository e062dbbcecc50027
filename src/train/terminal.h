// SPDX-License-Identifier: Apache-2.0
// terminal: what a person sees of a run, on stderr: a live line on a terminal, whole lines elsewhere. Nothing here may stop a run:
// errors of writing are ignored.
#pragma once
#include "train/chart.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringmaster::train {

struct Headline {
  std::string name;  // of the config
  int64_t parameters = 0;
  int ranks = 1, threads = 1;
  std::string compute, isa;  // dtype of products; instruction set
  int64_t plan_bytes = 0;    // a rank
};

struct StepView {
  int64_t step = 0, steps = 0;
  std::string_view loss;  // "loss 2.113", or one for each phase: "critic -1.720  generator 0.301"
  double lr = 0, grad_norm = 0;
  int64_t tokens = 0;
  double seconds = 0, comm_seconds = 0;
};

struct Ending {
  std::string word;  // "done", "saved", ...
  int64_t step = 0;
  double seconds = 0;
  double tokens_per_second = 0;
  std::optional<double> validation, best;
  int64_t best_step = 0;
  std::string checkpoint, best_checkpoint;  // paths; "": none
};

class Terminal {
 public:
  struct Options {
    bool silent = false;   // says nothing but errors
    int columns = 0;       // > 0: stderr ends on a terminal of this width; 0: find out; -1: on none
    int64_t log_freq = 1;  // steps between whole lines
  };
  explicit Terminal(const Options& options);

  // What a run reads ("tokens") and the unit of its validation loss ("nats", or none).
  void units(std::string items, std::string loss);
  void headline(const Headline& headline);
  void step(const StepView& view);
  void validation(double loss, std::optional<double> baseline);
  void finish(const Ending& ending, const Curve& curve);
  void note(const std::string& text);   // a whole line
  void error(const std::string& text);  // whole lines, said even when silent; ends with a newline

 private:
  void write(std::string_view text) const;
  void clear_live();
  std::string live_line(const StepView& view) const;
  std::string plain_line(const StepView& view) const;
  std::string rates(const StepView& view) const;
  bool unicode_ = false, color_ = false, live_ = false;
  int columns_ = 80;
  Options options_;
  std::string items_ = "tokens", loss_unit_;
  std::string drawn_;  // the live line on the screen
  std::chrono::steady_clock::time_point next_draw_{};
  double seconds_ = 0, comm_seconds_ = 0;  // of recent steps, older ones fading
  double tokens_ = 0, weight_ = 0;
};

// "3.2M" (`gap` stands before the unit), "61 MiB", "1:02:03"
std::string count_text(double count, const char* gap = "");
std::string bytes_text(int64_t bytes);
// A bar of at most 20 cells.
std::string bar(double share, bool unicode);
// Cells of the screen: code points, as all that we print is one cell wide.
size_t cells(std::string_view text);
std::string duration_text(double seconds);

}  // namespace ringmaster::train
