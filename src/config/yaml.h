// SPDX-License-Identifier: Apache-2.0
// yaml: a strict subset of YAML as a tree with positions. Refused: several documents, directives, anchors, aliases,
// merge keys, tags, blocks of text and empty values. Duplicate keys are kept: the reader of the tree refuses them,
// because it knows their names.
#pragma once
#include <string>
#include <vector>

#include "config/source.h"

namespace ringmaster::config {

struct Node {
  enum class Kind { scalar, list, map };
  Kind kind = Kind::scalar;
  int line = 1;             // 1-based
  int column = 1;           // 1-based, bytes
  bool flow = false;        // lists and maps: written with brackets or braces
  bool quoted = false;      // scalars: written with quotes
  std::string text;         // scalars, without quotes and escapes
  std::vector<Node> items;  // lists; of a map key, value, key, value, ...
};

// The only document of `source`. Errors have kind config and the place.
Node parse_yaml(const Source& source);

// "a list", "a section", "the string `x`", "`5`": what an error says it found.
std::string describe(const Node& node);

}  // namespace ringmaster::config
