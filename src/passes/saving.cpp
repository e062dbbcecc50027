// SPDX-License-Identifier: Apache-2.0
#include "passes/saving.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <unordered_set>

#include "core/error.h"
#include "passes/min_cut.h"

namespace ringmaster::passes {
namespace {

constexpr int32_t nobody = -1;

// Backward of one segment, moment by moment, as recompute.cpp will run it: what is read and not at hand is made in one go, and
// stays until its last reader.
class Backward {
 public:
  Backward(const SegmentModel& model, const std::vector<bool>& saved) : model_(model) {
    const size_t n = model.values.size();
    at_hand_.resize(n);
    began_.assign(n, 0);
    read_.assign(n, nobody);
    for (size_t i = 0; i < n; ++i) at_hand_[i] = saved[i] || model.values[i].fixed || model.values[i].passes;
  }

  void run() {
    std::vector<std::vector<int32_t>> wanted(model_.backward.size());
    for (size_t i = 0; i < model_.values.size(); ++i)
      for (const int32_t at : model_.values[i].wants)
        wanted[static_cast<size_t>(at)].push_back(static_cast<int32_t>(i));
    for (size_t at = 0; at < model_.backward.size(); ++at) {
      now_ = model_.backward[at].before;
      make(wanted[at]);
      for (const int32_t v : wanted[at]) read_[static_cast<size_t>(v)] = tick();
      own_.push_back(model_.backward[at].during);
    }
  }

  double seconds() const { return seconds_; }
  int64_t peak() const { return most_alive(1); }
  // Without what dies at a node: it may lend its memory to what the node makes.
  int64_t floor() const { return most_alive(0); }
  // Saved and read at all.
  bool is_used(size_t value) const { return read_[value] != nobody; }

 private:
  int64_t most_alive(size_t behind_its_reader) const {
    std::vector<int64_t> live(own_.size() + 1);
    for (size_t i = 0; i < read_.size(); ++i) {
      if (read_[i] == nobody) continue;
      live[static_cast<size_t>(began_[i])] += model_.values[i].bytes;
      live[static_cast<size_t>(read_[i]) + behind_its_reader] -= model_.values[i].bytes;
    }
    int64_t sum = 0, most = 0;
    for (size_t t = 0; t < own_.size(); ++t) {
      sum += live[t];
      most = std::max(most, sum + own_[t]);
    }
    return most;
  }
  int32_t tick() const { return static_cast<int32_t>(own_.size()); }

  void make(const std::vector<int32_t>& wanted) {
    std::vector<int32_t> open = wanted;
    std::vector<bool> seen(at_hand_), runs(model_.makers.size());
    bool any = false;
    while (!open.empty()) {
      const auto v = static_cast<size_t>(open.back());
      open.pop_back();
      if (seen[v]) continue;
      seen[v] = true;
      const SegmentModel::Value& value = model_.values[v];
      runs[static_cast<size_t>(value.maker)] = any = true;
      for (const int32_t from : value.from) open.push_back(from);
    }
    if (any) execute(runs);
  }

  void execute(const std::vector<bool>& runs) {
    for (size_t first = 0; first < model_.values.size();) {
      const int32_t maker = model_.values[first].maker;
      size_t end = first;
      while (end < model_.values.size() && model_.values[end].maker == maker) ++end;
      if (runs[static_cast<size_t>(maker)]) run_maker(maker, first, end);
      first = end;
    }
  }

  void run_maker(int32_t maker, size_t first, size_t end) {
    const bool split = model_.values[first].behind_sum;  // its sum stands in the segment before, and is at hand
    const bool short_way = split || (end - first > 1 && model_.values[first + 1].behind_sum && at_hand_[first]);
    const SegmentModel::Maker& cost = model_.makers[static_cast<size_t>(maker)];
    seconds_ += short_way ? cost.from_sum : cost.seconds;
    for (const int32_t from : model_.values[short_way && !split ? first + 1 : first].from)
      read_[static_cast<size_t>(from)] = tick();
    for (size_t v = first; v < end; ++v) {
      if (at_hand_[v]) continue;
      at_hand_[v] = true;
      began_[v] = read_[v] = tick();
    }
    own_.push_back(now_);
  }

  const SegmentModel& model_;
  std::vector<bool> at_hand_;
  std::vector<int32_t> began_, read_;  // by value: the tick from which it is in memory, and of its last reader
  std::vector<int64_t> own_;           // by tick: bytes of backward's own
  int64_t now_ = 0;
  double seconds_ = 0;
};

}  // namespace

int64_t forward_peak(const SegmentModel& model, const std::vector<bool>& saved) {
  std::vector<int32_t> last(saved.size());  // by value: the last maker that reads it, or its own
  for (size_t i = 0; i < saved.size(); ++i) {
    last[i] = model.values[i].maker;
    for (const int32_t from : model.values[i].from) last[static_cast<size_t>(from)] = model.values[i].maker;
  }
  std::vector<int64_t> live(model.makers.size() + 1);
  for (size_t i = 0; i < saved.size(); ++i) {
    const SegmentModel::Value& value = model.values[i];
    const bool stays = saved[i] || value.fixed || value.passes;
    live[static_cast<size_t>(value.maker)] += value.bytes;
    live[stays ? model.makers.size() : static_cast<size_t>(last[i]) + 1] -= value.bytes;
  }
  int64_t sum = 0, most = 0;
  for (const int64_t change : live) most = std::max(most, sum += change);
  return most;
}

Saving simulate(const SegmentModel& model, const std::vector<bool>& saved, bool alone) {
  const std::vector<bool> nothing(saved.size());
  Backward backward(model, alone ? nothing : saved);
  backward.run();
  Saving out{.backward_peak = backward.peak(), .extra = backward.seconds(), .backward_floor = backward.floor()};
  if (alone) return out;
  out.forward_peak = forward_peak(model, saved);
  for (size_t i = 0; i < saved.size(); ++i)
    if ((saved[i] || model.values[i].fixed) && !model.values[i].passes && backward.is_used(i))
      out.saved += model.values[i].bytes;
  return out;
}

namespace {

bool no_better(const Saving& a, const Saving& b) {
  return a.saved >= b.saved && a.forward_peak >= b.forward_peak && a.backward_peak >= b.backward_peak &&
         a.extra >= b.extra;
}

// Leaves those that no other one beats or equals.
void prune(std::vector<Way>& ways) {
  std::ranges::stable_sort(ways, [](const Way& a, const Way& b) {
    return std::tie(a.cost.extra, a.cost.saved, a.cost.backward_peak, a.cost.forward_peak) <
           std::tie(b.cost.extra, b.cost.saved, b.cost.backward_peak, b.cost.forward_peak);
  });
  std::vector<Way> kept;
  for (Way& way : ways)
    if (std::ranges::none_of(kept, [&](const Way& k) { return no_better(way.cost, k.cost); }))
      kept.push_back(std::move(way));
  ways = std::move(kept);
}

// Values whose saving is worth a thought; of the rest those that backward reads are saved: the statistics of rows.
std::vector<int32_t> candidates(const SegmentModel& model, std::vector<bool>& always) {
  int64_t largest = 0;
  for (const auto& v : model.values) largest = std::max(largest, v.bytes);
  std::vector<int32_t> out;
  always.assign(model.values.size(), false);
  for (size_t i = 0; i < model.values.size(); ++i) {
    const auto& v = model.values[i];
    if (v.fixed || v.passes) continue;
    if (v.kept)
      always[i] = true;
    else if (is_small(v.bytes, largest))
      always[i] = !v.wants.empty();
    else
      out.push_back(static_cast<int32_t>(i));
  }
  return out;
}

std::vector<std::vector<bool>> all_sets(const std::vector<bool>& always, const std::vector<int32_t>& open) {
  std::vector<std::vector<bool>> out;
  for (uint32_t bits = 0; bits < (1U << open.size()); ++bits) {
    out.push_back(always);
    for (size_t k = 0; k < open.size(); ++k)
      if ((bits >> k & 1U) != 0) out.back()[static_cast<size_t>(open[k])] = true;
  }
  return out;
}

std::vector<std::vector<bool>> cheapest_sets(const SegmentModel& model, const std::vector<bool>& always) {
  double seconds = 0;
  int64_t bytes = 1;
  for (const auto& maker : model.makers) seconds += maker.seconds;
  for (const auto& value : model.values) bytes += value.bytes;
  std::vector<CutValue> values;
  std::vector<double> makers;
  for (const auto& maker : model.makers) makers.push_back(maker.seconds);
  for (size_t i = 0; i < model.values.size(); ++i) {
    const auto& v = model.values[i];
    values.push_back({.bytes = v.bytes,
                      .from = v.from,
                      .held = v.passes || v.fixed || always[i],
                      .wanted = !v.wants.empty(),
                      .maker = v.maker});
  }
  std::vector<std::vector<bool>> out;
  constexpr int prices = 64;  // of a byte, from 2^-16 to 2^16 times the mean
  for (int k = 0; k < prices; ++k) {
    const double price = seconds / static_cast<double>(bytes) *
                         std::ldexp(k % 2 == 0 ? 1.0 : 0x1.6a09e667f3bcdp0, (k - prices / 2 - (k % 2)) / 2);
    std::vector<bool> set = cheapest_to_save(values, makers, price);
    for (size_t i = 0; i < set.size(); ++i) set[i] = set[i] || always[i];
    out.push_back(std::move(set));
  }
  return out;
}

// From good sets to better ones: each set that no other one beats is tried with one value changed, and then with two, until that
// leads to no new one (a Pareto local search: Paquete, Chiarandini and Stuetzle 2004). It finds what lies between the prices.
class Search {
 public:
  Search(const SegmentModel& model, const std::vector<int32_t>& open)
      : model_(model), open_(open), most_tried_((size_t{1} << 22) / model.values.size()) {}

  void offer(const std::vector<bool>& saved) {
    if (tried_.size() >= most_tried_ || !tried_.insert(saved).second) return;
    const Saving cost = simulate(model_, saved, false);
    const auto beats = std::ranges::find_if(best_, [&](const Best& b) { return no_better(cost, b.cost); });
    if (beats != best_.end()) {
      // what beats one beats many: it is asked early
      std::iter_swap(beats, best_.begin() + (beats - best_.begin()) / 2);
      return;
    }
    std::erase_if(best_, [&](const Best& b) { return no_better(b.cost, cost); });
    best_.push_back({cost, sets_.size()});
    sets_.push_back(saved);
  }

  std::vector<Way> run() {
    for (const bool pairs : {false, true}) {
      for (size_t next = 0; next < sets_.size() && tried_.size() < most_tried_; ++next)
        if (std::ranges::find(best_, next, &Best::set) != best_.end()) change(sets_[next], pairs);
    }
    std::vector<Way> out;
    for (const Best& b : best_) out.push_back({b.cost, sets_[b.set]});
    return out;
  }

 private:
  struct Best {
    Saving cost;
    size_t set;
  };

  void change(std::vector<bool> saved, bool pairs) {  // a copy: offers move the sets
    const auto flip = [&](size_t k) { saved[static_cast<size_t>(open_[k])].flip(); };
    for (size_t a = 0; a < open_.size(); ++a) {
      flip(a);
      if (!pairs) offer(saved);
      for (size_t b = 0; pairs && b < a; ++b) {
        flip(b);
        offer(saved);
        flip(b);
      }
      flip(a);
    }
  }

  const SegmentModel& model_;
  const std::vector<int32_t>& open_;
  size_t most_tried_;  // half a second for 30 values, some seconds for hundreds
  std::unordered_set<std::vector<bool>> tried_;
  std::vector<std::vector<bool>> sets_;  // none of those before it beat it
  std::vector<Best> best_;               // of them: those that none beats
};

std::vector<Way> search(const SegmentModel& model, const std::vector<bool>& always, const std::vector<int32_t>& open) {
  Search search(model, open);
  std::vector<bool> read = always;
  for (const int32_t i : open) read[static_cast<size_t>(i)] = !model.values[static_cast<size_t>(i)].wants.empty();
  search.offer(read);
  search.offer(always);
  for (const std::vector<bool>& saved : cheapest_sets(model, always)) search.offer(saved);
  return search.run();
}

}  // namespace

Ways find_ways(const SegmentModel& model, int exact) {
  std::vector<bool> always;
  const std::vector<int32_t> open = candidates(model, always);
  Ways out{.exact = std::ssize(open) <= exact};
  if (out.exact) {
    for (const std::vector<bool>& saved : all_sets(always, open))
      out.ways.push_back({simulate(model, saved, false), saved});
  } else {
    out.ways = search(model, always, open);
  }
  prune(out.ways);
  out.alone.push_back({simulate(model, always, true), always});
  return out;
}

}  // namespace ringmaster::passes
