// SPDX-License-Identifier: Apache-2.0
// parse: reads what print() writes. Types are inferred again and compared with the text, so a wrong text is an error.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>

#include "core/error.h"
#include "core/program.h"
#include "ir/graph.h"

namespace ringmaster::ir {
namespace {

class Parser {
 public:
  Parser(const std::string& text, const OpDef* (*find_op)(std::string_view), const std::string& file)
      : text_(text), file_(file), find_op_(find_op) {}

  Graph run() {
    skip_blank_lines();
    expect_word("program");
    Graph graph(word());
    end_of_line();
    int region = -1;
    while (skip_blank_lines(), !at_end()) {
      if (accept_word("state")) {
        state(graph);
      } else if (accept_word("step")) {
        region = graph.add_region(RegionKind::step);
        end_of_line();
      } else if (accept_word("for")) {
        expect_word("grain");
        region = graph.add_region(RegionKind::for_grain);
        end_of_line();
      } else {
        if (region < 0) fail("a node outside of a region", "`step` or `for grain`");
        node(graph, region);
      }
    }
    return graph;
  }

 private:
  struct Defined {
    std::string id;
    size_t at;  // in the text
    Type type;
    int recompute = 0;
  };

  void state(Graph& graph) {
    const std::string word = this->word();
    constexpr StateRole roles[] = {StateRole::weight, StateRole::optimizer, StateRole::average, StateRole::cache,
                                   StateRole::shadow, StateRole::remainder, StateRole::control};
    const auto* const role = std::ranges::find_if(roles, [&](StateRole r) { return word == name(r); });
    if (role == std::end(roles))
      fail_at(word_at_, "state role `" + word + "`", "weight, optimizer, average, cache, shadow, remainder or control");
    const Type t = type();
    graph.add_state({string_literal(), t, *role});
    end_of_line();
  }

  void node(Graph& graph, int region) {
    std::vector<Defined> outs;
    if (peek() == '%') {
      do {
        const std::string id = value_name();
        const size_t id_at = word_at_;
        outs.push_back({id, id_at, type()});
        if (accept_word("recompute")) outs.back().recompute = recompute();
      } while (accept(','));
      expect('=');
    }
    const std::string name = word();
    const OpDef* op = find_op_(name);
    const size_t op_at = word_at_;
    if (op == nullptr) fail_at(op_at, "unknown op `" + name + "`", "an op that `" + program_name() + " ops` lists");
    expect('(');
    std::vector<ValueId> ins;
    if (!accept(')')) {
      do {
        const std::string id = value_name();
        const auto it = values_.find(id);
        if (it == values_.end()) fail_at(word_at_, "%" + id + " is used before it is defined", "");
        ins.push_back(it->second);
      } while (accept(','));
      expect(')');
    }
    Attrs attrs;
    std::string scope;
    bool again = false;
    while (spaces(), !at_end() && text_[at_] != '\n' && text_[at_] != '#') {
      if (accept('@')) {
        scope = word();
      } else {
        const std::string key = word();
        again = again || key == "again";
        if (key == "again") continue;
        expect('=');
        attrs.set(key, attr_value());
      }
    }
    end_of_line();
    Node& made = graph.node(add_node(graph, region, *op, ins, attrs, scope, op_at));
    made.again = again;
    if (made.outputs.size() != outs.size())
      fail_at(op_at, fmt::format("{} outputs named", outs.size()), fmt::format("{}", made.outputs.size()));
    for (size_t i = 0; i < outs.size(); ++i) {
      if (graph.type(made.outputs[i]) != outs[i].type)
        fail_at(outs[i].at, "%" + outs[i].id + " is " + str(outs[i].type), str(graph.type(made.outputs[i])));
      if (!values_.emplace(outs[i].id, made.outputs[i]).second)
        fail_at(outs[i].at, "%" + outs[i].id + " is defined twice", "");
      graph.set_recompute(made.outputs[i], outs[i].recompute);
    }
  }

  AttrValue attr_value() {
    spaces();
    if (peek() == '"') return string_literal();
    if (accept('[')) {
      Ints ints;
      if (!accept(']')) {
        do ints.push_back(integer());
        while (accept(','));
        expect(']');
      }
      return ints;
    }
    const std::string token = word();
    if (token == "true") return true;
    if (token == "false") return false;
    if (token.find_first_of(".en") == std::string::npos) return to_integer(token);
    double value = 0;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
    if (error != std::errc() || end != token.data() + token.size()) fail_at(word_at_, "`" + token + "`", "a number");
    return value;
  }

  Type type() {
    const std::string name = word();
    const auto dtype = dtype_from_name(name);
    if (!dtype) fail_at(word_at_, "unknown dtype `" + name + "`", "f32, bf16, f16, f64, i32, i64, u8 or u16");
    Type t{*dtype, {}};
    expect('[');
    if (!accept(']')) {
      do t.shape.push_back(dim(t.shape));
      while (accept(','));
      expect(']');
    }
    return t;
  }

  int recompute() {
    const int64_t times = integer();
    if (times < 1 || times > 1000) fail_at(word_at_, fmt::format("recompute {}", times), "1 to 1000");
    return static_cast<int>(times);
  }

  int64_t dim(const Shape& before) {
    const int64_t size = integer();
    if (size < 0) fail_at(word_at_, fmt::format("dim {}", size), "0 or more");
    if (before.rank() == Shape::max_rank) fail_at(word_at_, "one dim more", fmt::format("at most {}", Shape::max_rank));
    return size;
  }

  std::string value_name() {
    expect('%');
    return word();
  }
  int64_t integer() { return to_integer(word()); }
  int64_t to_integer(const std::string& token) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
    if (error != std::errc() || end != token.data() + token.size()) fail_at(word_at_, "`" + token + "`", "an integer");
    return value;
  }

  std::string string_literal() {
    expect('"');
    std::string out;
    while (!at_end() && text_[at_] != '"') {
      if (text_[at_] == '\\') ++at_;
      if (!at_end()) out += text_[at_++];
    }
    if (at_end()) fail("end of text in a string", "`\"`");
    ++at_;
    return out;
  }

  std::string word() {
    spaces();
    const size_t start = at_;
    const auto part = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
             std::string_view("_.-+/").find(c) != std::string_view::npos;
    };
    while (!at_end() && part(text_[at_])) ++at_;
    word_at_ = start;
    if (at_ == start) fail(at_end() ? "end of text" : fmt::format("`{}`", text_[at_]), "a word");
    return text_.substr(start, at_ - start);
  }

  bool accept_word(std::string_view w) {
    spaces();
    const size_t saved = at_;
    if (std::isalpha(static_cast<unsigned char>(peek())) != 0 && word() == w) return true;
    at_ = saved;
    return false;
  }
  void expect_word(std::string_view w) {
    if (!accept_word(w)) fail("something else", fmt::format("`{}`", w));
  }
  bool accept(char c) {
    spaces();
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(at_end() ? "end of text" : fmt::format("`{}`", text_[at_]), fmt::format("`{}`", c));
  }
  void end_of_line() {
    spaces();
    if (peek() == '#')
      while (!at_end() && text_[at_] != '\n') ++at_;
    if (!at_end() && text_[at_] != '\n') fail(fmt::format("`{}`", text_[at_]), "end of line");
  }
  void skip_blank_lines() {
    while (!at_end()) {
      if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
        ++at_;
      } else if (text_[at_] == '#') {
        end_of_line();
      } else {
        break;
      }
    }
  }
  void spaces() {
    while (!at_end() && text_[at_] == ' ') ++at_;
  }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  bool at_end() const { return at_ >= text_.size(); }

  // What the op refuses is placed at its name.
  NodeId add_node(Graph& graph, int region, const OpDef& op, std::vector<ValueId> ins, const Attrs& attrs,
                  const std::string& scope, size_t at) const {
    try {
      return graph.add_node(region, op, std::move(ins), attrs, scope);
    } catch (const Error& e) {
      ErrorInfo info = e.info();
      if (info.kind == ErrorKind::config) place(info, at);
      throw Error(info);
    }
  }

  void place(ErrorInfo& info, size_t at) const {
    info.file = file_;
    info.line = info.column = 1;
    for (size_t i = 0; i < at && i < text_.size(); ++i) {
      info.column = text_[i] == '\n' ? 1 : info.column + 1;
      if (text_[i] == '\n') ++info.line;
    }
  }

  [[noreturn]] void fail(const std::string& found, const std::string& expected) const { fail_at(at_, found, expected); }
  [[noreturn]] void fail_at(size_t at, const std::string& found, const std::string& expected) const {
    ErrorInfo info{
        .kind = ErrorKind::config, .message = "bad IR text: found " + found, .found = found, .expected = expected};
    place(info, at);
    throw Error(info);
  }

  const std::string& text_;
  const std::string& file_;
  const OpDef* (*find_op_)(std::string_view);
  size_t at_ = 0;
  size_t word_at_ = 0;  // where the last word began
  std::map<std::string, ValueId> values_;
};

}  // namespace

Graph parse(const std::string& text, const OpDef* (*find_op)(std::string_view), const std::string& file) {
  return Parser(text, find_op, file).run();
}

}  // namespace ringmaster::ir
