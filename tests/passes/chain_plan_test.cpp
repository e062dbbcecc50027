// SPDX-License-Identifier: Apache-2.0
// chain_plan against a search over all that a machine with bounded memory can do: hold the ends of segments, save segments in some
// way, run forward from any held end again, run backward from the last segment down. Nothing is shared with the planner.
#include "passes/chain_plan.h"

#include <gtest/gtest.h>

#include "core/error.h"

#include <array>
#include <map>
#include <queue>
#include <random>
#include <tuple>

namespace ringmaster::passes {
namespace {

constexpr int most_links = 4;

// Segment k begins with what passes the end of k - 1. What is held stays until the backward of the segment that it begins.
struct State {
  int next = 0;      // the segment that the first pass runs next; number of links: it is over
  int back = 0;      // the segment whose backward is next
  int current = -1;  // the segment whose beginning forward has just made without holding it; -1: none
  std::array<bool, most_links> held{};
  std::array<int, most_links> saved{};  // 1 + the way; 0: not saved
  auto operator<=>(const State&) const = default;
};

class Machine {
 public:
  Machine(const std::vector<Link>& links, int64_t memory)
      : links_(links), n_(static_cast<int>(links.size())), memory_(memory) {}

  std::optional<double> least() {
    State begin;
    begin.back = n_ - 1;
    begin.held[0] = true;
    offer(begin, 0);
    while (!open_.empty()) {
      const auto [time, state] = open_.top();
      open_.pop();
      if (time > best_[state]) continue;
      if (state.back < 0) return time;
      expand(state, time);
    }
    return std::nullopt;
  }

 private:
  using Item = std::pair<double, State>;

  void offer(const State& state, double time) {
    const auto [it, is_new] = best_.emplace(state, time);
    if (!is_new && it->second <= time) return;
    it->second = time;
    open_.push({time, state});
  }

  int64_t begin_bytes(int k) const { return k == 0 ? 0 : links_[static_cast<size_t>(k) - 1].passing; }

  int64_t in_memory(const State& s) const {
    int64_t bytes = 0;
    for (int k = 0; k < n_; ++k) {
      const auto i = static_cast<size_t>(k);
      if (s.held[i]) bytes += begin_bytes(k);
      if (s.saved[i] > 0) bytes += links_[i].ways[static_cast<size_t>(s.saved[i]) - 1].saved;
    }
    return bytes;
  }

  void expand(const State& s, double time) {
    for (int k = 0; k < n_; ++k) {
      const bool there = s.held[static_cast<size_t>(k)] || s.current == k;
      const bool first = s.next < n_;
      if (there && (!first || k == s.next)) forward(s, time, k, first);
    }
    if (s.next == n_) backward(s, time);
  }

  void forward(const State& s, double time, int k, bool first) {
    const Link& link = links_[static_cast<size_t>(k)];
    const int64_t others = in_memory(s) + (s.current == k && !s.held[static_cast<size_t>(k)] ? begin_bytes(k) : 0);
    State done = s;
    done.current = -1;
    if (first) done.next = k + 1;
    const double cost = first ? 0 : link.forward;
    if (k + 1 < n_ && k < s.back && others + link.forward_peak <= memory_) {  // nothing kept, or its end
      State after = done;
      after.current = k + 1;
      if (!after.held[static_cast<size_t>(k) + 1]) offer(after, time + cost);
      after.current = -1;
      after.held[static_cast<size_t>(k) + 1] = true;
      offer(after, time + cost);
    }
    if (!s.held[static_cast<size_t>(k)] || s.saved[static_cast<size_t>(k)] > 0) return;
    if (!first && k > s.back) return;
    const bool goes_on = k + 1 < n_ && (first || k < s.back);
    for (size_t w = 0; w < link.ways.size(); ++w) {
      if (others + link.ways[w].forward_peak > memory_) continue;
      State after = done;
      after.saved[static_cast<size_t>(k)] = static_cast<int>(w) + 1;
      if (goes_on) after.held[static_cast<size_t>(k) + 1] = true;
      offer(after, time + cost + link.ways[w].extra);
    }
  }

  void backward(const State& s, double time) {
    const auto k = static_cast<size_t>(s.back);
    if (!s.held[k]) return;
    State after = s;
    after.current = -1;
    after.held[k] = s.back == 0;
    after.saved[k] = 0;
    after.back = s.back - 1;
    if (s.saved[k] > 0) {
      const Saving& way = links_[k].ways[static_cast<size_t>(s.saved[k]) - 1];
      if (in_memory(s) - way.saved + way.backward_peak <= memory_) offer(after, time);
      return;
    }
    for (const Saving& way : links_[k].alone)
      if (in_memory(s) + way.backward_peak <= memory_) offer(after, time + way.extra);
  }

  const std::vector<Link>& links_;
  int n_;
  int64_t memory_;
  std::map<State, double> best_;
  std::priority_queue<Item, std::vector<Item>, std::greater<>> open_;
};

Link random_link(std::mt19937& random) {
  const auto below = [&](uint32_t n) { return static_cast<int64_t>(random() % n); };
  Link link{.forward = static_cast<double>(1 + below(9)), .passing = 1 + below(4)};
  link.forward_peak = link.passing + below(4);
  int64_t saved = 1 + below(6);
  double extra = 0;
  for (int64_t ways = 1 + below(3); ways > 0 && saved >= 0; --ways) {
    link.ways.push_back({saved, link.forward_peak + saved, saved + below(4), extra});
    saved -= 1 + below(3);
    extra += static_cast<double>(1 + below(4));
  }
  link.alone.push_back({.backward_peak = link.ways.front().saved + below(4), .extra = link.forward});
  return link;
}

std::string text(const std::vector<Link>& links, int64_t memory) {
  std::string out = fmt::format("memory {}", memory);
  for (const Link& l : links) {
    out += fmt::format("\n  forward {} passing {} peak {} alone {} {}; ways", l.forward, l.passing, l.forward_peak,
                       l.alone[0].backward_peak, l.alone[0].extra);
    for (const Saving& w : l.ways)
      out += fmt::format(" ({} {} {} {})", w.saved, w.forward_peak, w.backward_peak, w.extra);
  }
  return out;
}

TEST(ChainPlan, IsTheBestThatAMachineCanDo) {
  std::mt19937 random(11);
  int feasible = 0, recomputing = 0;
  for (int trial = 0; trial < 10000; ++trial) {
    std::vector<Link> links(1 + random() % most_links);
    for (Link& link : links) link = random_link(random);
    const auto memory = static_cast<int64_t>(4 + random() % 24);
    const auto found = ChainPlanner(links, memory).extra(memory);
    const auto least = Machine(links, memory).least();
    ASSERT_EQ(found.has_value(), least.has_value()) << "trial " << trial;
    if (!found) continue;
    ASSERT_DOUBLE_EQ(*found, *least) << "trial " << trial << ", " << text(links, memory);
    ++feasible;
    if (*found > 0) ++recomputing;
  }
  EXPECT_GT(feasible, 5000);
  EXPECT_GT(recomputing, 2000);
}

// Equal links in which nothing but ends is worth saving, and the loss, which needs its input alone.
std::vector<Link> links_and_loss(size_t count) {
  const Link link{.forward = 1,
                  .passing = 1,
                  .forward_peak = 1,
                  .ways = {{.saved = 100, .forward_peak = 101, .backward_peak = 100}},
                  .alone = {{.backward_peak = 0, .extra = 1}}};
  std::vector<Link> links(count, link);
  links.push_back({.forward = 1, .ways = {{}}, .alone = {{}}});
  return links;
}

TEST(ChainPlan, BetweenHoldingAllEndsAndOne) {
  const ChainPlanner planner(links_and_loss(11), 12);
  EXPECT_EQ(planner.extra(11), 11);  // every end is held: each segment once more
  EXPECT_FALSE(planner.extra(1).has_value());
}

TEST(ChainPlan, SaysHowOftenEachSegmentHasRun) {
  const auto plan = ChainPlanner(links_and_loss(3), 8).plan(2);
  ASSERT_TRUE(plan.has_value());
  // The first pass keeps the ends of 1 and 2. From the end of 1, segment 2 runs again for its backward; then 0 and 1 run again, which
  // keeps the end of 0 for the first time; and 0 once more.
  EXPECT_EQ(plan->steps[3].made, 0);
  EXPECT_EQ(plan->steps[2].made, 1);
  EXPECT_EQ(plan->steps[1].made, 1);
  EXPECT_EQ(plan->steps[0].made, 2);
  EXPECT_EQ(plan->steps[2].passing, 0);
  EXPECT_EQ(plan->steps[1].passing, 0);
  EXPECT_EQ(plan->steps[0].passing, 1);
}

}  // namespace
}  // namespace ringmaster::passes
