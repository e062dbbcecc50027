// SPDX-License-Identifier: Apache-2.0
#include "train/wire.h"

#include "train/machine.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace ringmaster::train {
namespace {

using nlohmann::json;

comm::RingShape ring(const exec::Team& team, int64_t elements, int64_t element_bytes) {
  return {.elements = elements,
          .element_bytes = element_bytes,
          .rank = team.rank,
          .size = team.size,
          .segment_bytes = team.segment_bytes,
          .choice = team.choice};
}

void accumulate(exec::Exchanged& total, const comm::Sent& sent) {
  total.sent.bytes += sent.bytes;
  total.sent.messages += sent.messages;
}
std::string pack(const ErrorInfo& e) {
  return json{
      static_cast<int>(e.kind), e.message, e.file, e.line, e.column, e.key, e.found, e.expected, e.cure, e.excerpt}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

ErrorInfo unpack(const std::string& text) {
  const json a = json::parse(text);
  return {.kind = static_cast<ErrorKind>(a[0].get<int>()),
          .message = a[1],
          .file = a[2],
          .line = a[3],
          .column = a[4],
          .key = a[5],
          .found = a[6],
          .expected = a[7],
          .cure = a[8],
          .excerpt = a[9]};
}

}  // namespace

exec::Exchanged step_exchanged(const ir::Graph& graph, int64_t num_scalars, const exec::Team& team) {
  exec::Exchanged total = exec::exchanged(graph, team);
  accumulate(total, comm::all_reduce_sent(ring(team, num_scalars, size_of(DType::i64))));
  return total;
}

void Wire::ran(const exec::Executor& program) { planned_ += program.exchanged(); }

void Wire::add(const comm::Sent& sent) { accumulate(planned_, sent); }

void Wire::shared(const exec::Team& team) {
  if (team.shares()) accumulate(planned_, comm::NodeMemory::sent(ring(team, 0, 0)));
}

void Wire::sum(std::string_view name, std::span<int64_t> values) {
  const comm::RingShape shape =
      ring(exec::team_of(comm_, false), static_cast<int64_t>(values.size()), size_of(DType::i64));
  accumulate(planned_, comm::all_reduce_sent(shape));
  scratch_.resize(std::max(scratch_.size(), static_cast<size_t>(comm::scratch_bytes(shape))));
  comm::start_all_reduce(sum_, comm::vector_of(name, values, scratch_));
  sum_.wait();
}

std::vector<std::string> Wire::gather(std::string_view name, std::string_view mine) {
  std::vector<std::string> all = comm::all_gather_bytes(comm_, name, mine);
  const auto ranks = static_cast<int64_t>(all.size());
  size_t longest = 0;
  for (const std::string& text : all) longest = std::max(longest, text.size());
  const exec::Team team = exec::team_of(comm_, false);
  accumulate(planned_, comm::all_gather_sent(ring(team, ranks, size_of(DType::i64))));
  accumulate(planned_, comm::all_gather_sent(ring(team, ranks * static_cast<int64_t>(longest), size_of(DType::u8))));
  return all;
}

void Wire::agree(std::string_view name, const std::function<void()>& body) {
  std::string problem;
  try {
    body();
  } catch (const std::exception& e) {
    ErrorInfo info = describe(e);
    if (!is_root()) info.message = fmt::format("rank {} on {}: {}", comm_.rank(), host_name(), info.message);
    problem = pack(info);
  }
  for (const std::string& found : gather(name, problem))
    if (!found.empty()) throw AgreedError(unpack(found));
}

}  // namespace ringmaster::train
