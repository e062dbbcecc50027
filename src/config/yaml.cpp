// SPDX-License-Identifier: Apache-2.0
// yaml-cpp's own tree keeps one of two equal keys and resolves anchors silently, so ours is built from its events.
#include "config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <sstream>

namespace ringmaster::config {
namespace {

[[noreturn]] void refuse_nothing(const Source& source) {
  const bool is_file = source.flag.empty();
  refuse(source.at(0, 0), {.message = is_file ? "the file holds no keys" : "a value is missing",
                           .found = "nothing",
                           .expected = is_file ? "sections with keys" : "a value",
                           .cure = is_file ? "start from one of the shipped configurations" : ""});
}

class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const Source& source) : source_(source) {}
  std::optional<Node> root;

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (root.has_value()) {
      refuse(place(mark), {.message = "a second document starts here",
                           .found = "two documents",
                           .expected = "one document",
                           .cure = "keep one and remove the `---` line"});
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (open_.empty()) refuse_nothing(source_);
    check_plain(mark, "", anchor);
    ErrorInfo where = place(mark);
    if (awaits_value(open_.back())) {  // the mark of a missing value is already on the next line
      const Node& key = open_.back().items.back();
      where = source_.at(key.line, key.column, where.key);
    }
    refuse(where,
           {.message = where.key.empty() ? "a value is missing" : fmt::format("{} has no value", quote(where.key)),
            .found = "null",
            .expected = "a value",
            .cure = "write a value, or remove the line to take the default"});
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_alias(place(mark)); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_plain(mark, tag, anchor);
    Node node = start(mark);
    node.quoted = tag == "!";
    node.text = value;
    if (value == "<<" && !node.quoted) {
      refuse(place(mark), {.message = "merge keys are not supported", .found = "`<<`", .cure = "write the keys out"});
    }
    attach(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(Node::Kind::list, mark, tag, anchor, style);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(Node::Kind::map, mark, tag, anchor, style);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

  // The mark, and the name of the key whose value is being read.
  ErrorInfo place(const YAML::Mark& mark) const {
    std::string key;
    for (const Node& node : open_) {
      if (node.kind == Node::Kind::list) {
        key += fmt::format("[{}]", node.items.size());
      } else if (awaits_value(node)) {
        key += (key.empty() ? "" : ".") + node.items.back().text;
      }
    }
    return mark.is_null() ? source_.at(0, 0, key) : source_.at(mark.line + 1, mark.column + 1, key);
  }
  [[noreturn]] static void refuse_alias(const ErrorInfo& where) {
    refuse(where, {.message = "anchors and aliases are not supported",
                   .found = "an anchor or alias",
                   .expected = "plain values",
                   .cure = "write the value out; put text that starts with * or & into quotes"});
  }

 private:
  static bool awaits_value(const Node& node) { return node.kind == Node::Kind::map && node.items.size() % 2 == 1; }
  static Node start(const YAML::Mark& mark) { return {.line = mark.line + 1, .column = mark.column + 1}; }

  // yaml-cpp's tags: "?" for what is untagged and plain, "!" for untagged and quoted.
  void check_plain(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    if (anchor != 0) refuse_alias(place(mark));
    const auto offset = static_cast<size_t>(std::max(mark.pos, 0));
    const char first = offset < source_.text.size() ? source_.text[offset] : ' ';
    if (first == '|' || first == '>') {
      refuse(place(mark), {.message = "blocks of text are not supported",
                           .found = quote(std::string_view(&first, 1)),
                           .expected = "a value on the line of its key",
                           .cure = "use double quotes, with \\n for a new line"});
    }
    if (first == '!' || !(tag.empty() || tag == "?" || tag == "!")) {
      refuse(place(mark), {.message = "tags are not supported",
                           .found = "a tag",
                           .expected = "plain values",
                           .cure = "remove it; put text that starts with ! into quotes"});
    }
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YAML::EmitterStyle::value style) {
    check_plain(mark, tag, anchor);
    Node node = start(mark);
    node.kind = kind;
    node.flow = style == YAML::EmitterStyle::Flow;
    if (!open_.empty() && open_.back().kind == Node::Kind::map && !awaits_value(open_.back())) {
      refuse(place(mark),
             {.message = "a key must be a name", .found = describe(node), .expected = "a name and a colon"});
    }
    open_.push_back(std::move(node));
  }

  void close() {
    Node node = std::move(open_.back());
    open_.pop_back();
    attach(std::move(node));
  }

  void attach(Node node) {
    if (open_.empty()) {
      root = std::move(node);
    } else {
      open_.back().items.push_back(std::move(node));
    }
  }

  const Source& source_;
  std::vector<Node> open_;  // the maps and lists around the current event
};

// %YAML and %TAG lines: yaml-cpp ignores those that it does not know.
void refuse_directives(const Source& source) {
  std::istringstream lines(source.text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const size_t first = line.find_first_not_of(" \r");
    if (first == std::string::npos || line[first] == '#') continue;
    if (line[0] != '%') return;
    refuse(source.at(number, 1),
           {.message = "YAML directives are not supported", .found = quote(line), .cure = "remove the line"});
  }
}

[[noreturn]] void refuse_syntax(const Source& source, const YAML::Exception& e, const TreeBuilder& builder) {
  const ErrorInfo where = builder.place(e.mark);
  const auto offset = static_cast<size_t>(std::max(e.mark.pos, 0));
  if (!e.mark.is_null() && offset < source.text.size() && (source.text[offset] == '*' || source.text[offset] == '&')) {
    TreeBuilder::refuse_alias(where);
  }
  refuse(where,
         {.message = fmt::format("this is not valid YAML: {}", e.msg),
          .expected = source.flag.empty() ? "lines of `section:`, then indented lines of `key: value`" : "one value",
          .cure = "check the indentation and the quotes; a space follows each colon"});
}

}  // namespace

Node parse_yaml(const Source& source) {
  check_text(source);
  refuse_directives(source);
  // yaml-cpp closes an open quote by itself at the end of a text, but not if that end is in the middle of a line.
  std::istringstream in(source.text.substr(0, source.text.find_last_not_of(" \r\n") + 1));
  TreeBuilder builder(source);
  try {
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {}
  } catch (const YAML::Exception& e) { refuse_syntax(source, e, builder); }
  if (!builder.root.has_value()) refuse_nothing(source);
  return std::move(*builder.root);
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::list: return "a list";
    case Node::Kind::map: return "a section";
    case Node::Kind::scalar: break;
  }
  return node.quoted ? fmt::format("the string {}", quote(node.text)) : quote(node.text);
}

}  // namespace ringmaster::config
