// SPDX-License-Identifier: Apache-2.0
#include "passes/segments.h"

#include <algorithm>
#include <cctype>

namespace ringmaster::passes {
namespace {

bool is_number(const std::string& part) {
  return !part.empty() && std::ranges::all_of(part, [](unsigned char c) { return std::isdigit(c) != 0; });
}

// By position p: bytes of the values up to p that values behind p are made from.
std::vector<int64_t> passing_bytes(const ir::Graph& graph, const Forward& forward, const std::vector<int32_t>& last) {
  std::vector<int64_t> bytes(forward.values().size() + 1);
  for (size_t i = 0; i < forward.values().size(); ++i) {
    const int64_t size = graph.type(forward.values()[i].value).bytes();
    bytes[i] += size;
    bytes[static_cast<size_t>(std::max(last[i], static_cast<int32_t>(i)))] -= size;
  }
  for (size_t p = 1; p < bytes.size(); ++p) bytes[p] += bytes[p - 1];
  return bytes;
}

}  // namespace

std::string block_of(const std::string& scope) {
  for (size_t begin = 0; begin < scope.size();) {
    const size_t end = std::min(scope.find('.', begin), scope.size());
    if (is_number(scope.substr(begin, end - begin))) return scope.substr(0, end);
    begin = end + 1;
  }
  return "";
}

std::string place_of(const std::string& scope) {
  const std::string block = block_of(scope);
  return block.empty() ? scope : block;
}

std::vector<Segment> cut(const ir::Graph& graph, const Forward& forward) {
  const auto n = static_cast<int32_t>(forward.values().size());
  if (n == 0) return {};
  std::vector<int32_t> last(static_cast<size_t>(n));  // that is made from it
  std::vector<std::string> block(static_cast<size_t>(n));
  for (int32_t i = 0; i < n; ++i) {
    const Saveable& s = forward.values()[static_cast<size_t>(i)];
    last[static_cast<size_t>(i)] = i;
    for (const int32_t from : s.from) last[static_cast<size_t>(from)] = i;
    block[static_cast<size_t>(i)] = block_of(graph.node(s.maker).scope);
  }
  const std::vector<int64_t> passing = passing_bytes(graph, forward, last);
  std::vector<Segment> out{{.name = block[0]}};
  for (int32_t i = 1; i < n; ++i) {
    const auto at = static_cast<size_t>(i);
    if (block[at] == block[at - 1]) continue;
    const int32_t end = i + 1 < n && passing[at] < passing[at - 1] ? i + 1 : i;  // the cut lies behind value end - 1
    if (end == out.back().begin) continue;
    out.back().end = end;
    out.push_back({.name = block[at], .begin = end});
  }
  out.back().end = n;
  for (Segment& s : out)
    for (int32_t i = 0; i < s.end; ++i)
      if (last[static_cast<size_t>(i)] >= s.end) s.passing.push_back(i);
  return out;
}

}  // namespace ringmaster::passes
