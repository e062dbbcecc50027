// SPDX-License-Identifier: Apache-2.0
#include "passes/min_cut.h"

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/boykov_kolmogorov_max_flow.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ringmaster::passes {
namespace {

using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;

struct Vertex {
  boost::default_color_type color = boost::white_color;
  int64_t distance = 0;
  Traits::edge_descriptor predecessor;
};
struct Edge {
  int64_t capacity = 0, residual = 0;
  Traits::edge_descriptor reverse;
};
using Flow = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, Vertex, Edge>;

constexpr int64_t unlimited = int64_t{1} << 60;

void connect(Flow& flow, size_t from, size_t to, int64_t capacity) {
  const auto there = boost::add_edge(from, to, Edge{capacity, 0, {}}, flow).first;
  const auto back = boost::add_edge(to, from, Edge{0, 0, {}}, flow).first;
  flow[there].reverse = back;
  flow[back].reverse = there;
}

// What the source still reaches: its side of the least cut, the smallest one.
std::vector<bool> reached_from(const Flow& flow, size_t source) {
  std::vector<bool> reached(boost::num_vertices(flow));
  std::vector<size_t> open{source};
  reached[source] = true;
  while (!open.empty()) {
    const size_t at = open.back();
    open.pop_back();
    for (auto [edge, end] = boost::out_edges(at, flow); edge != end; ++edge) {
      const size_t to = boost::target(*edge, flow);
      if (flow[*edge].residual <= 0 || reached[to]) continue;
      reached[to] = true;
      open.push_back(to);
    }
  }
  return reached;
}

// Vertex 2i stands for "value i must be had", 2i + 1 for "it is made again": what is on the source's side is so. To save it cuts
// the edge between them; to make it again drags its maker and all that it is made from to the source's side.
std::vector<bool> cut(std::span<const CutValue> values, std::span<const int64_t> prices,
                      std::span<const int64_t> makers) {
  const size_t first_maker = 2 * values.size(), source = first_maker + makers.size(), sink = source + 1;
  Flow flow(sink + 1);
  for (size_t i = 0; i < values.size(); ++i) {
    const CutValue& v = values[i];
    if (v.held) continue;
    connect(flow, 2 * i, 2 * i + 1, prices[i]);
    if (v.wanted) connect(flow, source, 2 * i, unlimited);
    if (v.must_hold) {
      connect(flow, 2 * i + 1, sink, unlimited);
      continue;
    }
    if (!makers.empty()) connect(flow, 2 * i + 1, first_maker + static_cast<size_t>(v.maker), unlimited);
    for (const int32_t from : v.from)
      if (!values[static_cast<size_t>(from)].held) connect(flow, 2 * i + 1, 2 * static_cast<size_t>(from), unlimited);
  }
  for (size_t m = 0; m < makers.size(); ++m) connect(flow, first_maker + m, sink, makers[m]);
  boost::boykov_kolmogorov_max_flow(flow, boost::get(&Edge::capacity, flow), boost::get(&Edge::residual, flow),
                                    boost::get(&Edge::reverse, flow), boost::get(&Vertex::predecessor, flow),
                                    boost::get(&Vertex::color, flow), boost::get(&Vertex::distance, flow),
                                    boost::get(boost::vertex_index, flow), source, sink);
  const std::vector<bool> reached = reached_from(flow, source);
  std::vector<bool> saved(values.size());
  for (size_t i = 0; i < values.size(); ++i) saved[i] = !values[i].held && reached[2 * i] && !reached[2 * i + 1];
  return saved;
}

}  // namespace

std::vector<bool> cheapest_to_save(std::span<const CutValue> values, std::span<const double> makers, double price) {
  double total = 0;
  for (const CutValue& v : values) total += price * static_cast<double>(v.bytes);
  for (const double seconds : makers) total += seconds;
  const double scale = total > 0 ? std::exp2(40) / total : 0;
  std::vector<int64_t> prices, costs;
  for (const CutValue& v : values) prices.push_back(std::llround(scale * price * static_cast<double>(v.bytes)));
  for (const double seconds : makers) costs.push_back(std::llround(scale * seconds));
  return cut(values, prices, costs);
}

std::vector<bool> fewest_to_save(std::span<const CutValue> values) {
  std::vector<int64_t> bytes;
  for (const CutValue& v : values) bytes.push_back(v.bytes);
  return cut(values, bytes, {});
}

}  // namespace ringmaster::passes
