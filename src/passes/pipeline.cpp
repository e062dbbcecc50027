// SPDX-License-Identifier: Apache-2.0
// pipeline: the order of the passes, on one page, each with the reason why it stands where it stands.
#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "passes/passes.h"

namespace ringmaster::passes {
namespace {

constexpr Pass list[] = {
    {"autodiff", autodiff, true},    // first: every later pass sees backward as plain nodes
    {"autocast", autocast, true},    // dtypes before anything is merged or fused: it sets the rounding points
    {"split", split_masters, true},  // which weights have a memory, before anyone asks where it is
    {"canonicalise", canonicalise},  // one spelling for one thing, and nothing that nobody reads
    {"reuse", reuse},                // a backward that yields the loss once more leaves the forward node nothing to do
    {"fuse", fuse},                  // fewer passes over memory; from here on no bit changes
    {"shard", shard, true},          // sums over ranks become visible nodes
    {"tag", tag},                    // what backward finds saved, now that nodes are what will run
    {"recompute", recompute},        // obeys; behind `canonicalise`, which would merge what it adds
    {"schedule", schedule},          // gradients leave a grain as soon as they exist; place follows (place.cpp)
};

void dump(const ir::Graph& graph, const std::string& folder, int index, const char* pass) {
  make_folders(folder);
  write_file_atomic(Path(folder) / fmt::format("{}-{:02}-{}.txt", graph.name(), index, pass), ir::print(graph));
}

}  // namespace

std::span<const Pass> pipeline() { return list; }

void check_disabled(std::span<const std::string> names) {
  std::vector<std::string> optional;
  for (const Pass& pass : list)
    if (!pass.required) optional.emplace_back(pass.name);
  for (const std::string& name : names) {
    if (std::find(optional.begin(), optional.end(), name) != optional.end()) continue;
    const bool known =
        std::any_of(std::begin(list), std::end(list), [&](const Pass& pass) { return pass.name == name; });
    const std::string hint = nearest(name, optional);
    throw Error(
        {.kind = ErrorKind::usage,
         .message = known ? fmt::format("pass `{}` can not be disabled: a program without it does not train", name)
                          : fmt::format("unknown pass `{}`", name),
         .key = "--disable-pass",
         .found = name,
         .expected = fmt::format("one of: {}", fmt::join(optional, ", ")),
         .cure = hint.empty() ? "" : fmt::format("did you mean `{}`?", hint)});
  }
}

void run(ir::Graph& graph, const Settings& settings, const RunOptions& options) {
  ir::verify(graph, "trace");
  if (!options.dump_folder.empty()) dump(graph, options.dump_folder, 0, "trace");
  int index = 0;
  for (const Pass& pass : list) {
    ++index;
    const auto is_disabled =
        std::find(options.disabled.begin(), options.disabled.end(), pass.name) != options.disabled.end();
    if (is_disabled) continue;
    const std::string effect = pass.run(graph, settings);
    ir::verify(graph, pass.name);
    if (options.log) options.log(fmt::format("{}: {}: {}", graph.name(), pass.name, effect));
    if (!options.dump_folder.empty()) dump(graph, options.dump_folder, index, pass.name);
  }
}

}  // namespace ringmaster::passes
