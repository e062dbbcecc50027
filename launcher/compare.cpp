// SPDX-License-Identifier: Apache-2.0
// compare: where two runs first differ; exit code 1 if they do.
#include "train/compare.h"

#include "launcher/arguments.h"
#include "launcher/commands.h"
#include "launcher/output.h"

#include <cmath>

namespace ringmaster::launcher {
namespace {

using train::Comparison;
using train::Json;

Json to_json(const Comparison& c) {
  Json j{{"schema", "ringmaster.compare/1"},
         {"equal", c.equal()},
         {"steps_compared", c.steps_compared},
         {"first_difference", nullptr},
         {"first_tensor", nullptr}};
  if (c.field)
    j["first_difference"] = {{"step", c.field->step}, {"field", c.field->field}, {"a", c.field->a}, {"b", c.field->b}};
  if (c.tensor)
    j["first_tensor"] = {{"step", c.tensor->step},
                         {"name", c.tensor->name},
                         {"count", c.tensor->count},
                         {"max_abs", std::isfinite(c.tensor->max_abs) ? Json(c.tensor->max_abs) : Json(nullptr)}};
  const bool have = c.checkpoint_step >= 0;
  j["checkpoint_step"] = have ? Json(c.checkpoint_step) : Json(nullptr);
  j["params_equal"] = have ? Json(c.params_equal) : Json(nullptr);
  j["state_equal"] = have ? Json(c.state_equal) : Json(nullptr);
  return j;
}

std::string value(const Json& j) { return j.is_null() ? "nothing" : j.dump(); }

std::string to_text(const Comparison& c, const std::string& a, const std::string& b) {
  std::string text = fmt::format("{}  {} and {}\n\n", c.equal() ? "equal " : "differ", a, b);
  const auto row = [&](std::string_view name, const std::string& what) {
    text += fmt::format("  {:<14}{}\n", name, what);
  };
  row("metrics", c.field ? fmt::format("first differ at step {}: {} is {} and {}", c.field->step, c.field->field,
                                       value(c.field->a), value(c.field->b))
                         : fmt::format("the same in {} steps", c.steps_compared));
  if (c.checkpoint_step < 0) {
    row("checkpoints", "none of one step");
    return text;
  }
  row("parameters", fmt::format("{} at step {}", c.params_equal ? "the same" : "differ", c.checkpoint_step));
  row("whole state", fmt::format("{} at step {}", c.state_equal ? "the same" : "differs", c.checkpoint_step));
  if (c.tensor)
    row("first tensor", fmt::format("{} at step {}: {} elements differ, by up to {:.3g}", c.tensor->name,
                                    c.tensor->step, c.tensor->count, c.tensor->max_abs));
  return text;
}

}  // namespace

int compare(const Arguments& arguments) {
  const std::string &a = arguments.target(), &b = arguments.targets().at(1);
  const Comparison found = train::compare(a, b);
  if (arguments.has("--json"))
    print_json(to_json(found));
  else
    print(to_text(found, a, b));
  return found.equal() ? 0 : 1;
}

}  // namespace ringmaster::launcher
