// SPDX-License-Identifier: Apache-2.0
// cbc: integer programmes as text in the LP format, solved by the program `cbc` (COIN-OR branch and cut, Debian package coinor-cbc).
// Without its cuts: the knapsack covers of 2.10.8 cut off the optimum of some of these programmes, and its branching alone is faster here.
#pragma once
#include "tests/core/temp_folder.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ringmaster {

// Least of sum of cost x variable, under rows of the form: sum of factor x variable <= limit. Variables lie between 0 and 1.
class Programme {
 public:
  struct Term {
    double factor = 0;
    int variable = 0;
  };

  int binary(double cost = 0) { return add(cost, true); }
  int between(double cost = 0) { return add(cost, false); }  // 0 and 1
  void at_most(double limit, const std::vector<Term>& terms) { rows_ += row(terms) + fmt::format(" <= {}\n", limit); }
  void at_least(double limit, const std::vector<Term>& terms) { rows_ += row(terms) + fmt::format(" >= {}\n", limit); }
  void exactly(double limit, const std::vector<Term>& terms) { rows_ += row(terms) + fmt::format(" = {}\n", limit); }

  struct Solution {
    double cost = 0;
    std::vector<double> values;
  };
  // nullopt: no values satisfy the rows. Throws where cbc does not run or does not prove its answer.
  std::optional<Solution> solve() const {
    const TempFolder folder;
    std::ofstream(folder / "p.lp") << text();
    run_cbc(folder);
    return read(folder / "p.sol");
  }

  std::string text() const {
    std::vector<Term> costs;
    for (size_t v = 0; v < costs_.size(); ++v)
      if (costs_[v] != 0) costs.push_back({costs_[v], static_cast<int>(v)});
    std::string out =
        "Minimize\n cost: " + (costs.empty() ? "0 x0" : row(costs).substr(1)) + "\nSubject To\n" + rows_ + "Bounds\n";
    for (size_t v = 0; v < costs_.size(); ++v) out += fmt::format(" 0 <= x{} <= 1\n", v);
    out += "Generals\n";
    for (size_t v = 0; v < costs_.size(); ++v)
      if (whole_[v]) out += fmt::format(" x{}\n", v);
    return out + "End\n";
  }

 private:
  int add(double cost, bool whole) {
    costs_.push_back(cost);
    whole_.push_back(whole);
    return static_cast<int>(costs_.size()) - 1;
  }

  static std::string row(const std::vector<Term>& terms) {
    std::string out;
    int in_line = 0;
    for (const Term& t : terms) {
      if (in_line++ % 8 == 7) out += "\n";
      out += fmt::format(" {} {} x{}", t.factor < 0 ? '-' : '+', std::abs(t.factor), t.variable);
    }
    return out;
  }

  static void run_cbc(const TempFolder& folder) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder.path().c_str());
    posix_spawn_file_actions_addopen(&actions, 1, "log", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    std::vector<std::string> words = {"cbc",  "p.lp", "sec",   "60",       "ratio", "0",
                                      "cuts", "off",  "solve", "solution", "p.sol", "quit"};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_t child = 0;
    const int failed = ::posix_spawnp(&child, "cbc", &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    CHECK(failed == 0, "cbc does not start ({}): the tests need the Debian package coinor-cbc", failed);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(status == 0, "cbc ended with {}", status);
  }

  std::optional<Solution> read(const Path& path) const {
    std::ifstream in(path);
    std::string line;
    CHECK(std::getline(in, line).good(), "cbc wrote no solution");
    if (line.starts_with("Infeasible") || line.starts_with("Integer infeasible")) return std::nullopt;
    CHECK(line.starts_with("Optimal"), "cbc found no optimum: {}", line);
    Solution out{.values = std::vector<double>(costs_.size())};
    std::string index, name, reduced;
    double value = 0;
    while (in >> index >> name >> value >> reduced) {
      const auto v = static_cast<size_t>(std::stoi(name.substr(1)));
      out.values[v] = value;
      out.cost += costs_[v] * value;
    }
    return out;
  }

  std::vector<double> costs_;
  std::vector<bool> whole_;
  std::string rows_;
};

}  // namespace ringmaster
