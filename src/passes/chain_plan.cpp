// SPDX-License-Identifier: Apache-2.0
#include "passes/chain_plan.h"

#include <algorithm>

#include "core/error.h"

namespace ringmaster::passes {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

}  // namespace

ChainPlanner::ChainPlanner(std::vector<Link> links, int64_t memory)
    : links_(std::move(links)), units_(static_cast<size_t>(memory) + 1) {
  CHECK(!links_.empty() && memory >= 0, "a chain of {} links in {} units of memory", links_.size(), memory);
  const size_t n = links_.size();
  again_.resize(n * n);
  once_.resize(n);
  std::vector<size_t> alike(n);  // by link: so many from there on equal those one place before
  for (size_t k = n - 1; k > 0; --k) alike[k] = links_[k] == links_[k - 1] ? 1 + (k + 1 < n ? alike[k + 1] : 0) : 0;
  for (size_t length = 1; length < n; ++length) {  // the end of the last link is never kept: it runs forward once
    for (size_t first = 0; first + length < n; ++first) {
      uint32_t& index = again_[first * n + first + length - 1];
      if (alike[first] >= length) {
        index = again_[(first - 1) * n + first + length - 2];
        continue;
      }
      Row row = solve(first, first + length - 1, true);
      index = static_cast<uint32_t>(rows_.size());
      rows_.push_back(std::move(row));
    }
  }
  for (size_t first = n; first-- > 0;) once_[first] = solve(first, n - 1, false);
}

ChainPlanner::Row ChainPlanner::solve(size_t first, size_t last, bool again) const {
  Row out{std::vector<double>(units_, never), std::vector<int32_t>(units_, -1)};
  int32_t choice = 0;
  // What takes `time` and `need` memory, and goes on with `rest` in what `used` leaves and `left` in all of it.
  const auto offer = [&](double time, int64_t need, int64_t used, const Row* rest, const Row* left) {
    for (auto m = static_cast<size_t>(std::max(need, used)); m < units_; ++m) {
      const double whole = time + (rest != nullptr ? rest->time[m - static_cast<size_t>(used)] : 0) +
                           (left != nullptr ? left->time[m] : 0);
      if (whole < out.time[m]) {
        out.time[m] = whole;
        out.choice[m] = choice;
      }
    }
    ++choice;
  };
  const Link& link = links_[first];
  const bool end = first == last;
  const double forward = again ? link.forward : 0;
  for (const Saving& way : link.ways)
    offer(forward + way.extra, std::max(way.forward_peak, way.backward_peak), end ? 0 : way.saved + link.passing,
          end ? nullptr : &row(first + 1, last, again), nullptr);
  if (end && again)
    for (const Saving& way : link.alone) offer(way.extra, way.backward_peak, 0, nullptr, nullptr);
  choice = static_cast<int32_t>(link.ways.size() + link.alone.size());
  double time = 0;
  int64_t need = 0;
  for (size_t k = first; k < last; ++k) {  // the end of k is kept, nothing else up to there
    need = std::max(need, (k > first ? links_[k - 1].passing : 0) + links_[k].forward_peak);
    time += again ? links_[k].forward : 0;
    offer(time, need, links_[k].passing, &row(k + 1, last, again), &row(first, k, true));
  }
  return out;
}

std::optional<double> ChainPlanner::extra(int64_t memory) const {
  const double found = once_[0].time[std::min(static_cast<size_t>(memory), units_ - 1)];
  if (found == never) return std::nullopt;
  return found;
}

std::optional<ChainPlan> ChainPlanner::plan(int64_t memory) const {
  const auto found = extra(memory);
  if (!found) return std::nullopt;
  ChainPlan plan{*found, std::vector<ChainPlan::Step>(links_.size())};
  std::vector<int32_t> made(links_.size());
  follow(0, links_.size() - 1, std::min(memory, static_cast<int64_t>(units_) - 1), false, made, plan);
  return plan;
}

void ChainPlanner::follow(size_t first, size_t last, int64_t memory, bool again, std::vector<int32_t>& made,
                          ChainPlan& plan) const {
  const Link& link = links_[first];
  const auto ways = static_cast<int32_t>(link.ways.size()), alone = static_cast<int32_t>(link.alone.size());
  const int32_t choice = row(first, last, again).choice[static_cast<size_t>(memory)];
  if (choice < ways + alone) {
    ChainPlan::Step& step = plan.steps[first];
    step.alone = choice >= ways;
    step.way = step.alone ? choice - ways : choice;
    step.made = made[first]++;
    if (first == last) return;
    step.passing = step.made;
    const int64_t left = memory - link.ways[static_cast<size_t>(choice)].saved - link.passing;
    return follow(first + 1, last, left, again, made, plan);
  }
  const size_t end = first + static_cast<size_t>(choice - ways - alone);
  plan.steps[end].passing = made[end];
  for (size_t k = first; k <= end; ++k) ++made[k];
  follow(end + 1, last, memory - links_[end].passing, again, made, plan);
  follow(first, end, memory, true, made, plan);
}

}  // namespace ringmaster::passes
