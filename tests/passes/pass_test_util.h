// SPDX-License-Identifier: Apache-2.0
// pass_test_util: IR text in, IR text out. Values are renumbered in order of appearance, so that both sides compare as text.
#pragma once
#include <map>
#include <string>

#include "core/error.h"
#include "ops/ops.h"
#include "passes/passes.h"

namespace ringmaster::passes {

inline ir::Graph graph_of(const std::string& text) { return ir::parse(text, ops::find); }

// %ids in the order in which they appear
inline std::string renumbered(const std::string& text) {
  std::map<std::string, std::string> names;
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '%') {
      out += text[i++];
      continue;
    }
    size_t end = i + 1;
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) != 0)) ++end;
    const auto [it, is_new] = names.emplace(text.substr(i, end - i), fmt::format("%{}", names.size()));
    out += it->second;
    i = end;
  }
  return out;
}

inline std::string normal(const std::string& text) { return renumbered(ir::print(graph_of(text))); }

inline std::string after(PassFunction pass, const std::string& text, const Settings& settings = {}) {
  ir::Graph graph = graph_of(text);
  pass(graph, settings);
  ir::verify(graph, "the pass under test");
  return renumbered(ir::print(graph));
}

}  // namespace ringmaster::passes
