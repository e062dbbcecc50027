// SPDX-License-Identifier: Apache-2.0
// rematerialise_ilp: the least time that backward spends making values again within a memory, as an integer programme over every moment
// at which each value may be in memory and each maker may run (after Jain et al. 2020, arXiv:1910.02653, "Checkmate"; backward itself
// runs in the order given, and forward once). Nothing is shared with the planner: no set of values is run through, a value is
// where rows allow it to be.
#pragma once
#include <algorithm>
#include <optional>

#include "tests/passes/cbc.h"
#include "tests/passes/rematerialise.h"

namespace ringmaster::passes {

namespace ilp {

class Model {
 public:
  using Term = Programme::Term;
  using Terms = std::vector<Term>;

  Model(const Rematerialise& problem, int64_t memory) : in_(problem), memory_(memory), end_(problem.backward.size()) {
    readers_.resize(in_.values.size());
    makes_.resize(in_.makers.size());
    for (size_t m = 0; m < in_.makers.size(); ++m)
      for (const int32_t v : in_.makers[m].reads) readers_[static_cast<size_t>(v)].push_back(m);
    for (size_t v = 0; v < in_.values.size(); ++v) makes_[static_cast<size_t>(in_.values[v].maker)].push_back(v);
    add_variables();
  }

  std::optional<double> least(int64_t saved) {
    forward(saved);
    for (size_t p = 0; p < end_; ++p) {
      presence(p);
      memory_of(p);
    }
    if (in_.once) each_once();
    const auto found = programme_.solve();
    if (!found) return std::nullopt;
    return found->cost;
  }

 private:
  void add_variables() {
    for (size_t p = 0; p <= end_; ++p) {
      held_.emplace_back();
      for (size_t v = 0; v < in_.values.size(); ++v) held_[p].push_back(programme_.binary());
    }
    for (size_t p = 0; p < end_; ++p) {
      runs_.emplace_back();
      made_.emplace_back();
      for (const auto& maker : in_.makers) runs_[p].push_back(programme_.binary(maker.seconds));
      for (const auto& value : in_.values)
        made_[p].push_back(makes_[static_cast<size_t>(value.maker)].size() == 1
                               ? runs_[p][static_cast<size_t>(value.maker)]
                               : programme_.binary());
    }
  }

  Term held(size_t p, size_t v, double factor = 1) const { return {factor, held_[p][v]}; }
  Term made(size_t p, size_t v, double factor = 1) const { return {factor, made_[p][v]}; }
  Term runs(size_t p, size_t m, double factor = 1) const { return {factor, runs_[p][m]}; }
  double bytes(size_t v) const { return static_cast<double>(in_.values[v].bytes); }
  bool reads(size_t p, size_t v) const {
    return std::ranges::find(in_.backward[p].reads, static_cast<int32_t>(v)) != in_.backward[p].reads.end();
  }

  // What is made stays until its last reader of forward; what is held when backward begins stays until then.
  void forward(int64_t saved) {
    Terms stays;
    for (size_t v = 0; v < in_.values.size(); ++v) {
      if (in_.values[v].saved) programme_.at_least(1, {held(0, v)});
      if (!in_.values[v].pinned) stays.push_back(held(0, v, bytes(v)));
    }
    programme_.at_most(static_cast<double>(saved), stays);
    for (size_t m = 0; m < in_.makers.size(); ++m) {
      double sum = 0;
      Terms more;
      for (size_t v = 0; v < in_.values.size(); ++v) {
        const auto maker = static_cast<size_t>(in_.values[v].maker);
        if (maker > m) continue;
        if (maker == m || in_.values[v].pinned || (!readers_[v].empty() && readers_[v].back() >= m))
          sum += bytes(v);
        else
          more.push_back(held(0, v, bytes(v)));
      }
      programme_.at_most(static_cast<double>(memory_) - sum, more);
    }
  }

  // What is read is there: held from before, or made in front of the moment.
  void presence(size_t p) {
    for (size_t v = 0; v < in_.values.size(); ++v) {
      const auto maker = static_cast<size_t>(in_.values[v].maker);
      if (in_.values[v].pinned) programme_.at_most(0, {made(p, v)});
      if (reads(p, v)) programme_.at_least(1, {held(p, v), made(p, v)});
      programme_.at_least(0, {held(p, v), made(p, v), held(p + 1, v, -1)});
      programme_.at_most(1, {held(p, v), made(p, v)});
      for (const size_t m : readers_[v]) programme_.at_least(0, {held(p, v), made(p, v), runs(p, m, -1)});
      if (makes_[maker].size() == 1) continue;
      programme_.at_most(0, {made(p, v), runs(p, maker, -1)});
      programme_.at_least(0, {held(p, v), made(p, v), runs(p, maker, -1)});  // made beside the others
    }
  }

  // Before moment p makers may run, in the order of forward; then it runs itself.
  void memory_of(size_t p) {
    for (size_t m = 0; m < in_.makers.size(); ++m) {
      Terms terms;
      double sum = static_cast<double>(in_.backward[p].before);
      for (size_t v = 0; v < in_.values.size(); ++v) {
        const auto maker = static_cast<size_t>(in_.values[v].maker);
        if (maker >= m) terms.push_back(held(p, v, bytes(v)));
        if (maker == m) terms.push_back(made(p, v, bytes(v)));
        if (maker >= m) continue;
        if (reads(p, v))
          sum += bytes(v);
        else
          terms.push_back({bytes(v), needed(p, v, m)});
      }
      programme_.at_most(static_cast<double>(memory_) - sum, terms);
    }
    Terms terms;
    double sum = static_cast<double>(in_.backward[p].during);
    for (size_t v = 0; v < in_.values.size(); ++v) {
      if (reads(p, v))
        sum += bytes(v);
      else
        terms.push_back(held(p + 1, v, bytes(v)));
    }
    programme_.at_most(static_cast<double>(memory_) - sum, terms);
    needed_.clear();
  }

  // Is v read before moment p by maker m or one behind it, or held beyond the moment?
  int needed(size_t p, size_t v, size_t m) {
    const auto next = std::ranges::lower_bound(readers_[v], m);
    if (next == readers_[v].end()) return held_[p + 1][v];
    const auto [known, is_new] = needed_.try_emplace({v, *next});
    if (!is_new) return known->second;
    const int variable = known->second = programme_.between();
    programme_.at_least(0, {{1, variable}, runs(p, *next, -1)});
    programme_.at_least(0, {{1, variable}, {-1, needed(p, v, *next + 1)}});
    return variable;
  }

  void each_once() {
    for (size_t m = 0; m < in_.makers.size(); ++m) {
      Terms all;
      for (size_t p = 0; p < end_; ++p) {
        all.push_back(runs(p, m));
        Terms asked{runs(p, m)};
        bool at_once = false;
        for (const size_t v : makes_[m]) {
          at_once = at_once || reads(p, v);
          for (const size_t reader : readers_[v]) asked.push_back(runs(p, reader, -1));
        }
        if (!at_once) programme_.at_most(0, asked);
      }
      programme_.at_most(1, all);
    }
    for (size_t v = 0; v < in_.values.size(); ++v) {
      Terms all{held(0, v)};
      for (size_t p = 0; p < end_; ++p) all.push_back(made(p, v));
      programme_.at_most(1, all);
    }
  }

  const Rematerialise& in_;
  int64_t memory_;
  size_t end_;
  Programme programme_;
  std::vector<std::vector<size_t>> readers_;  // by value: makers, ascending
  std::vector<std::vector<size_t>> makes_;    // by maker: values
  std::vector<std::vector<int>> held_;        // [p][value]: in memory before moment p, and before what is made for it
  std::vector<std::vector<int>> runs_;        // [p][maker]: runs in front of moment p
  std::vector<std::vector<int>> made_;        // [p][value]: and makes it
  std::map<std::pair<size_t, size_t>, int> needed_;
};

}  // namespace ilp

// Forward and backward need at most `memory` at any time; of it `saved` between the two. nullopt: not possible.
inline std::optional<double> least_time(const Rematerialise& problem, int64_t memory, int64_t saved) {
  return ilp::Model(problem, memory).least(saved);
}

}  // namespace ringmaster::passes
