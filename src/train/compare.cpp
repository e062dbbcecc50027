// SPDX-License-Identifier: Apache-2.0
#include "train/compare.h"

#include "checkpoint/store.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>

namespace ringmaster::train {
namespace {

using checkpoint::TensorEntry;

// Lines in the order in which a step writes them: what went before it, itself, what was made of it.
constexpr std::string_view kinds[] = {"skip", "step", "validation", "checkpoint"};
constexpr size_t skip = 0, step = 1, saved = 3;

struct Place {
  int64_t step;
  size_t kind;
  int64_t count;  // of that kind in that step so far
  auto operator<=>(const Place&) const = default;
};

struct Run {
  std::map<Place, Json> lines;
  std::map<int64_t, Path> checkpoints;  // by step
  int64_t steps = 0;
};

void read_lines(Run& run, const Path& file) {
  if (!std::filesystem::exists(file)) return;
  for_metrics(read_file(file, {.max_bytes = int64_t{1} << 40}), [&](const std::string&, const Json& line) {
    const auto kind = std::ranges::find(kinds, line.value("kind", std::string()));
    if (kind == std::end(kinds)) return;
    Place place{line["step"].get<int64_t>(), static_cast<size_t>(kind - std::begin(kinds)), 0};
    while (run.lines.contains(place)) ++place.count;
    run.lines.emplace(place, line);
    if (place.kind == step) run.steps = std::max(run.steps, place.step);
  });
}

Run read_run(const Path& path) {
  if (!std::filesystem::exists(path / "ringmaster.run")) {
    throw Error({.kind = ErrorKind::checkpoint,
                 .message = "is not the folder of a run",
                 .file = path.string(),
                 .expected = "a folder with ringmaster.run in it",
                 .cure = "runs lie in runs/<name of the configuration>, or where --run-dir said"});
  }
  Run run;
  read_lines(run, path / "metrics.jsonl");
  for (const checkpoint::Found& found : checkpoint::list(path))
    if (found.problem.empty()) run.checkpoints[found.step] = found.path;
  return run;
}

// A checkpoint's number and size depend on how often one was saved; its hashes say what is in it.
bool counts(size_t kind, std::string_view field) {
  return is_deterministic(field) && (kind != saved || field.ends_with("_hash"));
}

std::optional<Comparison::Field> difference(const Place& place, const Json& a, const Json& b) {
  std::vector<std::string> fields;
  for (const Json* line : {&a, &b})
    for (const auto& [name, value] : line->items())
      if (counts(place.kind, name) && std::ranges::find(fields, name) == fields.end()) fields.push_back(name);
  for (const std::string& name : fields) {
    const Json of_a = a.value(name, Json()), of_b = b.value(name, Json());
    if (of_a != of_b) return Comparison::Field{place.step, name, of_a, of_b};
  }
  return {};
}

std::optional<Comparison::Field> first_field(const Run& a, const Run& b) {
  const int64_t last = std::min(a.steps, b.steps);
  std::set<Place> places;
  for (const Run* run : {&a, &b})
    for (const auto& [place, line] : run->lines)
      if (place.step <= last) places.insert(place);
  for (const Place& place : places) {
    const auto of_a = a.lines.find(place), of_b = b.lines.find(place);
    if (of_a != a.lines.end() && of_b != b.lines.end()) {
      if (auto found = difference(place, of_a->second, of_b->second)) return found;
    } else if (place.kind == skip || place.kind == step) {
      const Json kind = std::string(kinds[place.kind]);
      return Comparison::Field{place.step, "kind", of_a == a.lines.end() ? Json() : kind,
                               of_b == b.lines.end() ? Json() : kind};
    }
  }
  return {};
}

// Element i as a number; integers of 64 bits may lose their last ones.
double number(const TensorEntry& tensor, int64_t i) {
  const auto at = [&]<typename T>(T x) {
    std::memcpy(&x, static_cast<const char*>(tensor.data) + i * static_cast<int64_t>(sizeof x), sizeof x);
    return x;
  };
  switch (tensor.dtype) {
    case DType::f32: return at(float());
    case DType::bf16: return to_float(at(bf16()));
    case DType::f16: return to_float(at(f16()));
    case DType::f64: return at(double());
    case DType::i32: return at(int32_t());
    case DType::i64: return static_cast<double>(at(int64_t()));
    case DType::u8: return at(uint8_t());
    case DType::u16: return at(uint16_t());
  }
  return std::numeric_limits<double>::quiet_NaN();
}

std::optional<Comparison::Tensor> difference(int64_t at_step, const TensorEntry& a, const TensorEntry& b) {
  Comparison::Tensor found{.step = at_step, .name = a.name};
  if (a.dtype != b.dtype || a.shape != b.shape) {
    found.count = a.shape.elements();
    found.max_abs = std::numeric_limits<double>::quiet_NaN();
    return found;
  }
  if (std::memcmp(a.data, b.data, static_cast<size_t>(a.bytes())) == 0) return {};
  const auto size = static_cast<size_t>(size_of(a.dtype));
  for (int64_t i = 0; i < a.shape.elements(); ++i) {
    const size_t begin = static_cast<size_t>(i) * size;
    if (std::memcmp(static_cast<const char*>(a.data) + begin, static_cast<const char*>(b.data) + begin, size) == 0)
      continue;
    ++found.count;
    const double apart = std::abs(number(a, i) - number(b, i));
    if (!(apart <= found.max_abs)) found.max_abs = apart;  // a NaN too, which stays
  }
  return found;
}

std::optional<Comparison::Tensor> first_tensor(int64_t at_step, const checkpoint::Loaded& a,
                                               const checkpoint::Loaded& b) {
  using checkpoint::Kind;
  for (const Kind kind : {Kind::model, Kind::optimizer, Kind::ema}) {
    for (const auto& [one, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
      for (const TensorEntry& tensor : one->tensors(kind)) {
        const TensorEntry* twin = other->find(kind, tensor.name);
        const TensorEntry none{.name = tensor.name, .shape = Shape{0}};
        if (twin != nullptr && one == &b) continue;  // seen
        if (auto found = difference(at_step, tensor, twin != nullptr ? *twin : none)) return found;
      }
    }
  }
  return {};
}

void compare_checkpoints(const Run& a, const Run& b, Comparison& out) {
  std::vector<int64_t> steps;
  for (const auto& [at_step, path] : a.checkpoints)
    if (b.checkpoints.contains(at_step)) steps.push_back(at_step);
  if (steps.empty()) return;
  out.checkpoint_step = steps.back();
  {
    const checkpoint::Loaded of_a = checkpoint::open(a.checkpoints.at(steps.back())),
                             of_b = checkpoint::open(b.checkpoints.at(steps.back()));
    out.params_equal = of_a.params_hash() == of_b.params_hash();
    out.state_equal = of_a.state_hash() == of_b.state_hash();
  }
  if (out.params_equal && out.state_equal) return;
  for (const int64_t at_step : steps) {
    out.tensor =
        first_tensor(at_step, checkpoint::open(a.checkpoints.at(at_step)), checkpoint::open(b.checkpoints.at(at_step)));
    if (out.tensor) return;
  }
}

}  // namespace

bool is_deterministic(std::string_view field) {
  constexpr std::string_view others[] = {"ranks", "attempt", "wire_bytes_sent", "time_unix", "path"};
  return !field.ends_with("_seconds") && !field.ends_with("_per_second") &&
         std::ranges::find(others, field) == std::end(others);
}

Comparison compare(const Path& a, const Path& b) {
  const Run of_a = read_run(a), of_b = read_run(b);
  Comparison out{.field = first_field(of_a, of_b)};
  for (const auto& [place, line] : of_a.lines)
    if (place.kind == step && of_b.lines.contains(place)) ++out.steps_compared;
  compare_checkpoints(of_a, of_b, out);
  if (out.steps_compared == 0 && out.checkpoint_step < 0) {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("{} and {} have no step in common", a.string(), b.string()),
                 .found = fmt::format("{} and {} finished steps", of_a.steps, of_b.steps),
                 .expected = "a step, or a checkpoint of one step, that both have",
                 .cure = "compare runs that began at the same step"});
  }
  return out;
}

}  // namespace ringmaster::train
