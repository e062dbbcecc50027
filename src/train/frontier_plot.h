// SPDX-License-Identifier: Apache-2.0
// frontier_plot: memory and time under budgets of activations, as a table with bars and as a drawing.
#pragma once
#include "train/frontier.h"

#include <string>
#include <vector>

namespace ringmaster::train {

// Of points from the most bytes to the least, the first of which saves all. "" of none.
std::string frontier_text(const std::vector<FrontierPoint>& points, bool unicode);
// Time added to a step over bytes of activations; `line` stands below the title.
std::string frontier_svg(const std::vector<FrontierPoint>& points, const std::string& title, const std::string& line);

}  // namespace ringmaster::train
