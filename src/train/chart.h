// SPDX-License-Identifier: Apache-2.0
// chart: a loss curve drawn in text. Braille cells hold 2 x 4 dots each (Unicode 2800..28FF); without UTF-8 it is plain ASCII.
#pragma once
#include "train/run_files.h"

#include <optional>
#include <string>
#include <vector>

namespace ringmaster::train {

struct Curve {
  std::vector<CurvePoint> train, validation;  // ascending steps
  std::optional<double> baseline;             // a horizontal line, e.g. the loss of an n-gram model
  std::string baseline_name;
};

struct ChartOptions {
  int columns = 80, rows = 12;  // of the whole picture; of the plot
  bool unicode = true;
  bool color = false;
};

// Lines with their ends; "" if there are fewer than two points to draw.
std::string draw(const Curve& curve, const ChartOptions& options);

}  // namespace ringmaster::train
