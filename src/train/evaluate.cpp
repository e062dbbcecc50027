// SPDX-License-Identifier: Apache-2.0
#include "train/evaluate.h"

#include "data/evaluation.h"
#include "data/open.h"
#include "train/machine.h"
#include "train/saved.h"
#include "train/validate.h"

#include <optional>

namespace ringmaster::train {

nlohmann::json to_json(const Evaluation& e) {
  return {{"schema", "ringmaster.eval/1"},
          {"step", e.step},
          {"validation_loss", e.validation_loss},
          {"validation_tokens", e.validation_tokens},
          {"params_hash", e.params_hash}};
}

namespace {

// A run that trained has its data; weights that were imported bring none.
ErrorInfo no_data(const config::Resolved& resolved) {
  return {.kind = ErrorKind::config,
          .message = "the run names no data: its `data.path` is not given",
          .file = resolved.file,
          .key = "data.path",
          .found = "no data",
          .expected = "a text or token file to measure the loss on",
          .cure = "give --data FILE for all of a file, or --set data.path=FILE for the validation split of one"};
}

// The run's own held-out samples, or all of --data.
std::shared_ptr<const data::ValidationSamples> held_out(const EvaluateOptions& options,
                                                        const config::Resolved& resolved, bool is_root) {
  const config::Config& c = resolved.config;
  if (c.data.source != "file") {
    if (options.data.empty()) return data::open(c).validation;
    throw Error({.kind = ErrorKind::usage,
                 .message = "--data names a file, but the run reads generated samples",
                 .key = "--data",
                 .found = options.data,
                 .cure = "leave --data out"});
  }
  data::Split split;
  if (options.data.empty()) {
    if (c.data.path.empty()) throw Error(no_data(resolved));
    config::require_data(resolved);
    split = data::open_dataset(c.data).validation;
  } else {
    split = data::open_whole(
        {.path = {options.data}, .format = c.data.format, .tokenizer = c.data.tokenizer, .key = "--data"});
  }
  auto windows = std::make_shared<data::ValidationWindows>(split, c.training.seq_len);
  if (is_root) data::scan(split, c.model.vocab_size);
  return windows;
}

}  // namespace

Evaluation evaluate(const EvaluateOptions& options, comm::Communicator& comm) {
  Wire wire(comm);
  std::optional<checkpoint::Loaded> loaded;
  std::optional<Session> session;
  std::shared_ptr<const data::ValidationSamples> samples;
  config::Config c;
  wire.agree("eval", [&] {
    loaded.emplace(checkpoint::open(locate(options.from)));
    const config::Resolved resolved = saved_config(*loaded, options.sets);
    c = resolved.config;
    samples = held_out(options, resolved, wire.is_root());
    session.emplace(
        c, comm,
        SessionOptions{.programs = {.validation = true,
                                    .threads = threads_per_rank(c.launch.threads_per_rank, comm.node_size())}});
    restore(*session, *loaded);
  });
  exec::Executor& evaluator = session->executor(session->recipe().evaluators.front().name);
  return {.step = loaded->found().step,
          .validation_loss = validation_loss(evaluator, *samples, wire, c.training.grain_size),
          .unit = session->recipe().evaluators.front().unit,
          .items = data::offer(c).items,
          .validation_tokens = samples->num_targets(),
          .params_hash = loaded->params_hash()};
}

}  // namespace ringmaster::train
