// SPDX-License-Identifier: Apache-2.0
// Computed defaults and contradictions between keys; each is reported at the key that the user gave.
#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <limits>

#include "config/load.h"
#include "config/schema.h"
#include "config/source.h"
#include "config/value.h"

namespace ringmaster::config {
namespace {

// Of the keys that contradict each other, the one to point at: the first that is not a default.
std::string_view blame(const Resolved& r, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (r.origin_of(key).given()) return key;
  }
  return *keys.begin();
}

void fill_output_dir(Resolved& r) {
  if (!r.config.output.dir.empty()) return;
  const std::string stem = std::filesystem::path(r.file).stem().string();
  if (!is_utf8(stem)) {
    refuse({.kind = ErrorKind::config, .file = r.file, .key = "output.dir"},
           {.message = "the file name is not UTF-8, so that no run folder can be named after it",
            .expected = "`output.dir` or a UTF-8 file name",
            .cure = "give --run-dir"});
  }
  r.config.output.dir = "runs/" + stem;
}

// A value that would be ignored is refused; the default may be written out, as config.resolved.yaml does.
void refuse_ignored(const Resolved& r) {
  const Config untouched;
  for (const Key& k : keys()) {
    if (k.applies(r.config) || !r.origin_of(k.name).given() || k.get(r.config) == k.get(untouched)) continue;
    throw Error(with(error_at(r, k.name, ""),
                     {.message = fmt::format("`{}` is given but would be ignored", k.name),
                      .found = yaml_text(k.get(r.config), k.rule),
                      .expected = fmt::format("`{}` only where {}", k.leaf(), k.applies_if.text),
                      .cure = fmt::format("remove `{}`, or see to it that {}", k.name, k.applies_if.text)}));
  }
}

// Of n, at most `limit`.
int64_t largest_divisor(int64_t n, int64_t limit) {
  int64_t d = std::min(n, limit);
  while (n % d != 0) --d;
  return d;
}

void check_model(const Resolved& r) {
  const Config& c = r.config;
  if (c.data.source != "file") return;
  if (c.model.width % c.model.heads != 0) {
    const auto key = blame(r, {"model.heads", "model.width"});
    throw Error(with(
        error_at(r, key, ""),
        {.message = fmt::format("`model.heads` {} does not divide `model.width` {}", c.model.heads, c.model.width),
         .found = fmt::format("{} % {} = {}", c.model.width, c.model.heads, c.model.width % c.model.heads),
         .expected = "a width that is a multiple of the heads",
         .cure =
             fmt::format("set model.heads to {}, or model.width to {}", largest_divisor(c.model.width, c.model.heads),
                         c.model.heads * (c.model.width / c.model.heads + 1))}));
  }
  constexpr int64_t byte_values = 256;
  if (c.data.tokenizer == "byte" && (c.data.format == "auto" || c.data.format == "text") &&
      c.model.vocab_size < byte_values) {
    throw Error(with(error_at(r, blame(r, {"model.vocab_size", "data.tokenizer"}), ""),
                     {.message = fmt::format("`model.vocab_size` is {}, too small for bytes", c.model.vocab_size),
                      .found = fmt::format("{}", c.model.vocab_size),
                      .expected = "at least 256 with `data.tokenizer` byte",
                      .cure = "set model.vocab_size to 256"}));
  }
}

// Kernels count the rows of a grain in 31 bits.
void check_rows(const Resolved& r) {
  const Training& t = r.config.training;
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  const int64_t rows = t.grain_size * (r.config.data.source == "file" ? t.seq_len : 1);
  if (rows <= most) return;
  throw Error(with(
      error_at(r, blame(r, {"training.grain_size", "training.seq_len", "training.global_batch_size"}), ""),
      {.message = fmt::format("a grain of {} samples has {} rows, more than kernels can count", t.grain_size, rows),
       .found = fmt::format("{} rows", rows),
       .expected = fmt::format("at most {}", most),
       .cure = "lower training.grain_size"}));
}

void check_grain(const Resolved& r) {
  const Training& t = r.config.training;
  if (t.global_batch_size % t.grain_size == 0) return;
  const auto key = blame(r, {"training.grain_size", "training.global_batch_size"});
  throw Error(with(
      error_at(r, key, ""),
      {.message = fmt::format("`training.grain_size` {} does not divide `training.global_batch_size` {}", t.grain_size,
                              t.global_batch_size),
       .found = fmt::format("{} % {} = {}", t.global_batch_size, t.grain_size, t.global_batch_size % t.grain_size),
       .expected = "a divisor of the batch",
       .cure =
           fmt::format("set training.grain_size to {}, or leave it out", default_grain_size(t.global_batch_size))}));
}

// A key of a group that its update rule does not read would be ignored.
void check_groups(const Resolved& r) {
  const Optimizer& o = r.config.optimizer;
  for (size_t i = 0; i < o.groups.size(); ++i) {
    const OptimizerGroup& g = o.groups[i];
    const std::string rule = g.name.value_or(o.name);
    const bool has_more = g.lr_factor != 1.0 || g.weight_decay || g.name || g.beta1 || g.beta2;
    const bool has_beta = g.beta1 || g.beta2;
    if (!(g.frozen && has_more) && !(rule == "sgd" && has_beta)) continue;
    throw Error(with(
        error_at(r, "optimizer.groups", ""),
        {.message = fmt::format("`optimizer.groups[{}]` (match: {}) has keys that would be ignored", i, g.match),
         .found = g.frozen ? "keys of an update beside `frozen: true`" : "beta1 or beta2 with the rule sgd",
         .expected = g.frozen ? "`match` and `frozen` alone" : "beta1 and beta2 only with adam or adamw",
         .cure = g.frozen ? "remove the other keys, or `frozen`" : "remove them, or set `name` to adam or adamw"}));
  }
}

void check_activation_checkpoint(const Resolved& r) {
  const ActivationCheckpoint& a = r.config.activation_checkpoint;
  if (a.mode != "budget" || !a.budget.empty()) return;
  refuse(error_at(r, "activation_checkpoint.mode", ""),
         {.message = "`activation_checkpoint.mode` budget needs `activation_checkpoint.budget`",
          .found = "no activation_checkpoint.budget",
          .expected = "a byte size, such as 3GiB, or a percentage of what mode none needs, such as 60%",
          .cure = "add `budget: 60%` under `activation_checkpoint:`"});
}

// Ids that are ready do without it, but the run would end in a model that nobody can talk to.
void require_tokenizer(const Resolved& r) {
  if (r.config.data.tokenizer != "gpt2" || !r.config.data.tokenizer_dir.empty()) return;
  refuse(error_at(r, "data.tokenizer", ""), {.message = "`data.tokenizer` gpt2 needs `data.tokenizer_dir`",
                                             .found = "no data.tokenizer_dir",
                                             .expected = "the folder of encoder.json and vocab.bpe",
                                             .cure = "add `tokenizer_dir: FOLDER` under `data:`"});
}

}  // namespace

// Four grains or more, so that 1, 2 and 4 ranks (and 3, almost evenly) share a step; not more than needed, because
// large grains make large, fast matrix products. No machine, rank count or cost is asked: the grain is part of the
// numerics.
int64_t default_grain_size(int64_t global_batch_size) {
  CHECK(global_batch_size >= 1, "the batch is {}", global_batch_size);
  const int64_t limit = std::max<int64_t>(1, global_batch_size / 4);
  int64_t best = 1;
  for (int64_t d = 1; d * d <= global_batch_size; ++d) {
    if (global_batch_size % d != 0) continue;
    for (const int64_t divisor : {d, global_batch_size / d}) {
      if (divisor <= limit) best = std::max(best, divisor);
    }
  }
  return best;
}

void resolve(Resolved& r) {
  Training& t = r.config.training;
  if (t.grain_size == 0) t.grain_size = default_grain_size(t.global_batch_size);
  fill_output_dir(r);
  refuse_ignored(r);
  check_model(r);
  check_grain(r);
  check_rows(r);
  check_groups(r);
  check_activation_checkpoint(r);
}

void require_data(const Resolved& r) {
  if (r.config.data.source != "file") return;
  require_tokenizer(r);
  if (!r.config.data.path.empty()) return;
  ErrorInfo place{.kind = ErrorKind::config, .file = r.file, .key = "data.path"};
  if (r.origin_of("data.path").given()) place = error_at(r, "data.path", "");
  refuse(place, {.message = "`data.path` is not given",
                 .found = "no data",
                 .expected = "a text file, a list of files or a glob",
                 .cure = "add `path: my-text.txt` under `data:`, or --set data.path=my-text.txt"});
}

ErrorInfo error_at(const Resolved& r, std::string_view key, std::string message) {
  const Key& k = key_of(key);
  const Origin& origin = r.origin_of(key);
  const bool in_file = origin.line > 0;
  return {.kind = ErrorKind::config,
          .message = std::move(message),
          .file = in_file || !origin.given() ? r.file : "",
          .line = origin.line,
          .column = origin.column,
          .key = std::string(key),
          .found = yaml_text(k.get(r.config), k.rule),
          .excerpt = origin.excerpt};
}

const Origin& Resolved::origin_of(std::string_view key) const {
  const auto found = origin.find(std::string(key));
  CHECK(found != origin.end(), "no configuration key `{}`", key);
  return found->second;
}

std::string str(const Origin& o) { return o.line > 0 ? fmt::format("{}:{}:{}", o.source, o.line, o.column) : o.source; }

}  // namespace ringmaster::config
