// SPDX-License-Identifier: Apache-2.0
// budget: the tags that keep the activations of a grain region within a number of bytes and cost the least time. Forward is taken as a
// chain of segments (segments.h); the ways to save each (saving.h) and the schedule over all (chain_plan.h) are exact for that model,
// whose memory is held in some hundred units. What a schedule really needs is then read off the graph that obeys it, so that the
// budget is kept to the byte.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "cost/table.h"
#include "passes/chain_plan.h"
#include "passes/forward.h"
#include "passes/modes.h"
#include "passes/recompute.h"
#include "passes/saving.h"
#include "passes/segments.h"

namespace ringmaster::passes {

// Most bytes of activations at any node of the program, backward's own included (ir::Category::activations).
int64_t activation_bytes(const ir::Graph& graph);
class Budget {
 public:
  // `graph` has no tags yet; `costs` must outlive this.
  Budget(const ir::Graph& graph, int region, const cost::Table& costs);

  struct Found {
    Tags tags;
    int64_t bytes = 0;  // activation_bytes of the graph that obeys
    double extra = 0;   // seconds of a grain, as the cost table has them
    // No schedule of the chain takes less extra time within the budget; nothing where not all ways were tried.
    std::optional<double> lower_bound;
  };
  // The fastest whose activation_bytes are at most `bytes`; nullopt: see least().
  std::optional<Found> within(int64_t bytes);
  const Found& least() const { return *least_; }       // of all that within() finds, the fewest bytes
  bool has_backward() const { return has_backward_; }  // else there is nothing to decide
  int64_t bytes_of_none() const { return bytes_of_none_; }
  // Of the graph that was given, or a copy.
  void set_tags(ir::Graph& graph, const Tags& tags) const;
  std::vector<Remade> obey(ir::Graph& graph,
                           const Tags& tags) const;  // in the order of the run, as the one that was given

 private:
  void look_at_forward();
  void build_links();
  int64_t best_unit(int64_t most) const;
  int64_t to_units(int64_t bytes, double up) const;
  Link scaled(const Link& link, double up) const;
  Link floor_of(size_t segment) const;
  Tags tags_of(const ChainPlan& plan) const;
  const Found& obeyed(const Tags& tags);
  const Found& at(int64_t units);
  void find_least();

  struct MadeAgain {
    double seconds = 0, seconds_from_sum = 0;
  };
  const cost::Table& costs_;
  Forward whole_;    // of the graph that was given
  ir::Graph graph_;  // of it the region alone, in the order of the run
  ir::Graph obeys_;  // what was tried last
  Forward forward_;
  std::vector<MadeAgain> made_again_;  // by node
  std::vector<Segment> segments_;
  std::vector<SegmentModel> models_;
  std::vector<Ways> ways_;   // by segment
  std::vector<Link> links_;  // in bytes
  std::unique_ptr<ChainPlanner> planner_, bound_;
  int64_t unit_ = 1, units_ = 0, least_units_ = 0;
  bool tries_all_ = false;  // every number of units, as the region is small
  const Found* least_ = nullptr;
  int64_t bytes_of_none_ = 0;
  bool is_exact_ = true;  // of every segment all ways were tried
  bool has_backward_ = false;
  std::vector<Found> modes_;  // what the other modes come to: they may do where backward is no chain
  std::map<Tags, Found> of_tags_;
  std::map<int64_t, const Found*> found_;  // by units; in of_tags_
};

}  // namespace ringmaster::passes
