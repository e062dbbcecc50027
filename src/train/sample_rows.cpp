// SPDX-License-Identifier: Apache-2.0
#include "train/sample_rows.h"

#include "data/open.h"
#include "train/feed.h"
#include "train/machine.h"
#include "train/saved.h"
#include "train/wire.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

namespace ringmaster::train {
namespace {

constexpr int64_t default_rows = 1000;

ErrorInfo usage_error(const char* key, std::string message) {
  return {.kind = ErrorKind::usage, .message = std::move(message), .key = key};
}

const models::RowSampler& rows_of(const models::Recipe& recipe) {
  if (recipe.rows.rows) return recipe.rows;
  ErrorInfo info = usage_error("--format", fmt::format("the recipe {} makes text, not rows of numbers", recipe.name()));
  info.expected = "text or ids";
  info.cure = "leave --format out, or give --format ids";
  throw Error(info);
}

int64_t count_of(int64_t asked, const data::ValidationSamples* samples) {
  if (samples == nullptr) return asked > 0 ? asked : default_rows;
  if (asked <= samples->num_samples()) return asked > 0 ? asked : samples->num_samples();
  ErrorInfo info = usage_error(
      "--count", fmt::format("--count is {}, but the run has {} held-out samples", asked, samples->num_samples()));
  info.found = fmt::format("{}", asked);
  info.expected = fmt::format("at most {}", samples->num_samples());
  info.cure = "leave --count out for all of them";
  throw Error(info);
}

std::vector<std::array<float, 2>> points_of(const Rows& rows, size_t x, size_t y) {
  std::vector<std::array<float, 2>> points;
  const size_t width = rows.columns.size();
  for (size_t r = 0; r < static_cast<size_t>(rows.count); ++r)
    points.push_back({rows.values[r * width + x], rows.values[r * width + y]});
  return points;
}

void add_plot(Rows& rows, const std::vector<models::RowSampler::Points>& pairs) {
  constexpr Color colors[] = {blue, orange};
  std::vector<std::string> x, y;
  for (const models::RowSampler::Points& pair : pairs) {
    rows.plot.push_back({points_of(rows, pair.x, pair.y), colors[x.size() % 2], pair.name});
    x.push_back(rows.columns[pair.x]);
    y.push_back(rows.columns[pair.y]);
  }
  rows.axes = {fmt::format("{}", fmt::join(x, ", ")), fmt::format("{}", fmt::join(y, ", "))};
}

bool offers_points(const config::Config& c) {
  const auto fields = data::offer(c).fields;
  return std::any_of(fields.begin(), fields.end(),
                     [](const data::Field& f) { return f.name == "x" && f.shape == Shape{2}; });
}

std::vector<std::array<float, 2>> held_out_points(const data::ValidationSamples& samples) {
  std::vector<std::array<float, 2>> points(static_cast<size_t>(samples.num_samples()));
  samples.fill(0, samples.num_samples(), data::BatchMemory([&](std::string_view name) -> void* {
                 return name == "x" ? points.data() : nullptr;
               }));
  return points;
}

// Batch after batch of this rank, all rows of each.
std::string run_batches(exec::Executor& program, const models::RowSampler& sampler, int64_t count,
                        const data::ValidationSamples* samples, uint64_t seed, const comm::Communicator& comm) {
  std::string mine;
  const int64_t batches = (count + sampler.batch - 1) / sampler.batch;
  for (int64_t batch = comm.rank(); batch < batches; batch += comm.size()) {
    const int64_t first = batch * sampler.batch;
    if (samples != nullptr) samples->fill(first, sampler.batch, batch_memory(program, 0));
    program.run({.seed = seed, .phase = models::sampling, .first_sample = first}, sampler.batch);
    const auto bytes = std::as_bytes(program.output("rows"));
    mine.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return mine;
}

}  // namespace

Rows sample_rows(const SampleRowsOptions& options, comm::Communicator& comm) {
  Wire wire(comm);
  std::optional<Session> session;
  std::shared_ptr<const data::ValidationSamples> samples;
  Rows rows;
  bool reads = false;
  wire.agree("sample", [&] {
    const checkpoint::Loaded loaded = checkpoint::open(locate(options.from));
    const config::Config c = saved_config(loaded, {}).config;
    rows_of(*make_recipe(c));
    session.emplace(
        c, comm,
        SessionOptions{
            .programs = {.sampler = true, .threads = threads_per_rank(c.launch.threads_per_rank, comm.node_size())}});
    restore(*session, loaded, WeightChoice::averaged);
    samples = data::open(c).validation;
    reads = session->executor("sampler").reads_batch();
    rows.columns = rows_of(session->recipe()).columns;
    rows.count = count_of(options.count, reads ? samples.get() : nullptr);
  });
  const models::RowSampler& sampler = rows_of(session->recipe());
  const std::string mine = run_batches(session->executor("sampler"), sampler, rows.count,
                                       reads ? samples.get() : nullptr, options.seed, comm);
  const std::vector<std::string> by_rank = wire.gather("sample", mine);
  if (!wire.is_root()) return {};

  const size_t batch_bytes = static_cast<size_t>(sampler.batch) * rows.columns.size() * sizeof(float);
  rows.values.resize(static_cast<size_t>(rows.count) * rows.columns.size());
  const size_t all = rows.values.size() * sizeof(float);
  for (size_t at = 0, batch = 0; at < all; at += batch_bytes, ++batch) {
    const std::string& theirs = by_rank[batch % by_rank.size()];
    std::memcpy(reinterpret_cast<std::byte*>(rows.values.data()) + at,
                theirs.data() + batch / by_rank.size() * batch_bytes, std::min(batch_bytes, all - at));
  }
  if (!options.for_plot) return rows;
  rows.has_truth = !reads && offers_points(session->config());
  if (rows.has_truth) rows.plot.push_back({held_out_points(*samples), grey, "held-out data"});
  add_plot(rows, sampler.points);
  return rows;
}

// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
std::string to_npy(const Rows& rows) {
  static_assert(std::endian::native == std::endian::little);
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows.count, rows.columns.size());
  constexpr size_t preamble = 10, alignment = 64;
  header.append(alignment - (preamble + header.size() + 1) % alignment, ' ');
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() & 0xFFU);
  out += static_cast<char>(header.size() >> 8U);
  out += header;
  out.append(reinterpret_cast<const char*>(rows.values.data()), rows.values.size() * sizeof(float));
  return out;
}

}  // namespace ringmaster::train
