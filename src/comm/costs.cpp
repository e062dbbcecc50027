// SPDX-License-Identifier: Apache-2.0
#include "comm/costs.h"

#include "comm/collective.h"
#include "comm/reduce.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace ringmaster::comm {
namespace {

constexpr std::string_view heading = "ringmaster.comm-costs/1";
constexpr int64_t many_elements = 1 << 18;  // of 4 bytes: of 1 MiB beta is most of the time
constexpr int few_times = 5, many_times = 15;
constexpr double least = 1e-13;  // what is quicker can not be measured
constexpr size_t numbers = 2 * algorithms.size() + 1;

int64_t few_elements(int size) { return size; }  // each rank's chunk holds one: nothing is left out

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// One all_reduce, with the ranks in step before it.
double time_once(Communicator& comm, Collective& collective, Vector vector, Algorithm algorithm) {
  vector.algorithm = algorithm;
  barrier(comm, "costs");
  const double start = now();
  start_all_reduce(collective, vector);
  collective.wait();
  return now() - start;
}

// By each algorithm, in turns: what disturbs one disturbs all.
using Times = std::array<double, algorithms.size()>;
Times measure(Communicator& comm, std::vector<int32_t>& values, int64_t elements, int times) {
  std::array<std::vector<double>, algorithms.size()> seconds;
  Collective collective(comm);
  const Vector vector = vector_of("costs", std::span(values).first(static_cast<size_t>(elements)));
  for (int turn = 0; turn < times; ++turn)
    for (size_t i = 0; i < algorithms.size(); ++i)
      seconds[i].push_back(time_once(comm, collective, vector, algorithms[i]));
  Times medians{};
  for (size_t i = 0; i < algorithms.size(); ++i) medians[i] = median(std::move(seconds[i]));
  return medians;
}

double measure_gamma(std::vector<int32_t>& values) {
  const auto half = values.size() / 2;
  const Bytes mine = std::as_writable_bytes(std::span(values).first(half));
  const ConstBytes theirs = std::as_bytes(std::span(values).last(half));
  std::vector<double> seconds;
  for (int i = 0; i < few_times; ++i) {
    const double start = now();
    reduce_into(mine, theirs, DType::i32, Reduce::sum);
    seconds.push_back(now() - start);
  }
  return std::max(least, median(std::move(seconds)) / static_cast<double>(mine.size()));
}

std::array<double, numbers> as_numbers(const Costs& costs) {
  std::array<double, numbers> out{};
  for (size_t i = 0; i < algorithms.size(); ++i) {
    out[2 * i] = costs.of[i].alpha;
    out[2 * i + 1] = costs.of[i].beta;
  }
  out.back() = costs.gamma;
  return out;
}

Costs from_numbers(const std::array<double, numbers>& in) {
  Costs costs;
  for (size_t i = 0; i < algorithms.size(); ++i) costs.of[i] = {in[2 * i], in[2 * i + 1]};
  costs.gamma = in.back();
  return costs;
}

}  // namespace

Costs measure_costs(Communicator& comm) {
  Costs costs;
  if (comm.size() == 1) return costs;
  std::vector<int32_t> values(static_cast<size_t>(std::max<int64_t>(many_elements, few_elements(comm.size()))));
  costs.gamma = measure_gamma(values);
  const Times brief = measure(comm, values, few_elements(comm.size()), many_times);
  const Times all = measure(comm, values, many_elements, few_times);
  for (size_t i = 0; i < algorithms.size(); ++i) {
    const Terms terms =
        terms_of(algorithms[i],
                 {.bytes = 4 * many_elements, .size = comm.size(), .segment_bytes = comm.options().segment_bytes});
    const double alpha = std::min(brief[i], all[i]) / terms.steps;
    const double beta = (all[i] - terms.steps * alpha - terms.added * costs.gamma) / terms.sent;
    costs.of[i] = {std::max(least, alpha), std::max(least, beta)};
  }
  std::array<double, numbers> agreed = as_numbers(costs);
  Vector vector = vector_of("costs", std::span<double>(agreed));
  vector.algorithm = Algorithm::ring;
  broadcast(comm, vector);
  return from_numbers(agreed);
}

Sent costs_sent(const RingShape& who) {
  Sent total;
  const auto add = [&](const Sent& sent, int times) {
    total.bytes += times * sent.bytes;
    total.messages += times * sent.messages;
  };
  if (who.size == 1) return total;
  RingShape shape = who;
  for (const Algorithm algorithm : algorithms) {
    shape.choice = {algorithm};
    shape.element_bytes = 4;
    shape.elements = few_elements(who.size);
    add(all_reduce_sent(shape), many_times);
    shape.elements = many_elements;
    add(all_reduce_sent(shape), few_times);
  }
  shape.choice = {Algorithm::ring};
  shape.element_bytes = 8;
  shape.elements = numbers;
  add(broadcast_sent(shape), 1);
  return total;
}

std::string to_text(const Costs& costs) {
  std::string text(heading);
  for (const double number : as_numbers(costs)) text += fmt::format(" {}", number);
  return text + "\n";
}

std::optional<Costs> costs_from_text(std::string_view text) {
  if (!text.starts_with(heading) || !text.ends_with('\n')) return std::nullopt;
  text.remove_prefix(heading.size());
  std::array<double, numbers> found{};
  for (double& number : found) {
    if (!text.starts_with(' ')) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), number);
    if (error != std::errc() || !std::isfinite(number) || number < least) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  }
  if (text != "\n") return std::nullopt;
  return from_numbers(found);
}

}  // namespace ringmaster::comm
