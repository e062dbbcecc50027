// SPDX-License-Identifier: Apache-2.0
#include "config/schema.h"

#include <algorithm>

#include "core/error.h"

namespace ringmaster::config {
namespace {

template <typename T> constexpr Type type_of() { return static_cast<Type>(Value(std::in_place_type<T>).index()); }

template <typename> constexpr bool is_optional = false;
template <typename T> constexpr bool is_optional<std::optional<T>> = true;
template <typename> struct member_value;
template <typename Owner, typename T> struct member_value<T Owner::*> { using type = T; };

// A row for the field `section.*member`; its type is the field's type.
template <auto section, auto member> Key row(std::string_view name, Rule rule, std::string_view doc, Key rest = {}) {
  using T = typename member_value<decltype(member)>::type;
  rest.name = name;
  rest.get = [](const Config& c) -> Value { return c.*section.*member; };
  rest.set = [](Config& c, Value v) { c.*section.*member = std::get<T>(std::move(v)); };
  rest.rule = std::move(rule);
  rest.rule.type = type_of<T>();
  rest.doc = doc;
  return rest;
}

constexpr Range fraction{.low = 0, .high = 1, .open_high = true};
constexpr Range positive{.low = 0, .open_low = true};
constexpr Range not_negative{.low = 0};
constexpr Range at_least_1{.low = 1};
constexpr double many = 1 << 24;   // no real model or batch is larger, and products of two of them fit 64 bits
constexpr double far_away = 1e12;  // steps: thirty thousand years at one a second

bool uses_rule(const Config& c, bool sgd) {
  const auto is = [sgd](const std::string& name) { return (name == "sgd") == sgd; };
  return is(c.optimizer.name) || std::ranges::any_of(c.optimizer.groups, [&](const OptimizerGroup& g) {
           return is(g.name.value_or(c.optimizer.name));
         });
}
const Condition is_sgd{"optimizer.name is sgd", [](const Config& c) { return uses_rule(c, true); }};
const Condition is_adam{"optimizer.name is adam or adamw", [](const Config& c) { return uses_rule(c, false); }};
const Condition is_gpt2{"data.source is file and data.tokenizer is gpt2",
                        [](const Config& c) { return c.data.source == "file" && c.data.tokenizer == "gpt2"; }};
const Condition is_bf16{"precision.compute is bf16", [](const Config& c) { return c.precision.compute == "bf16"; }};
const Condition is_budget{"activation_checkpoint.mode is budget",
                          [](const Config& c) { return c.activation_checkpoint.mode == "budget"; }};
const Condition is_file{"data.source is file", [](const Config& c) { return c.data.source == "file"; }};
const Condition is_generated{"data.source is generated", [](const Config& c) { return c.data.source == "generated"; }};
const Condition is_generator{"data.source is generated and model.recipe is not wasserstein", [](const Config& c) {
                               return c.data.source == "generated" && c.model.recipe != "wasserstein";
                             }};
const Condition is_split{"data.source is file and data.validation_path is empty",
                         [](const Config& c) { return c.data.source == "file" && c.data.validation_path.empty(); }};

using enum Effect;

std::vector<Key> model_keys() {
  return {
      row<&Config::model, &Model::recipe>("model.recipe", {}, "what is trained; the command `models` lists the recipes",
                                          {.other_names = {"name", "architecture", "type"}}),
      row<&Config::model, &Model::layers>("model.layers", {.range = {1, many}}, "transformer blocks, or hidden layers",
                                          {.other_names = {"n_layer", "n_layers", "num_layers", "depth"}}),
      row<&Config::model, &Model::heads>("model.heads", {.range = {1, many}}, "attention heads; divides model.width",
                                         {.applies_if = is_file, .other_names = {"n_head", "n_heads", "num_heads"}}),
      row<&Config::model, &Model::width>(
          "model.width", {.range = {1, many}}, "channels of the residual stream, or of a hidden layer",
          {.unit = "channels", .other_names = {"n_embd", "dim", "d_model", "hidden_size", "embed_dim"}}),
      row<&Config::model, &Model::vocab_size>(
          "model.vocab_size", {.range = {2, many}}, "tokens that the model can tell apart; at least 256 for bytes",
          {.unit = "tokens", .applies_if = is_file, .other_names = {"vocabulary", "n_vocab"}}),
      row<&Config::model, &Model::dropout>("model.dropout", {.range = fraction},
                                           "probability of dropping an activation",
                                           {.applies_if = is_file, .other_names = {"dropout_rate"}}),
      row<&Config::model, &Model::tied_embeddings>(
          "model.tied_embeddings", {}, "the output layer shares the token embedding",
          {.applies_if = is_file, .other_names = {"tie_word_embeddings", "weight_tying"}}),
      row<&Config::model, &Model::loss_head>(
          "model.loss_head", {.choices = {"rows", "vocabulary"}},
          "how the loss goes about its logits: the exponentials of 256 rows at a time, or slices of the vocabulary, "
          "each "
          "computed twice, in less memory",
          {.applies_if = is_file, .other_names = {"fused_loss", "chunked_loss", "cut_cross_entropy"}}),
      row<&Config::model, &Model::latent>(
          "model.latent", {.range = {1, many}}, "independent normals that a generator starts from",
          {.unit = "channels", .applies_if = is_generator, .other_names = {"z_dim", "nz", "latent_dim", "noise_dim"}}),
      row<&Config::model, &Model::critic_steps>(
          "model.critic_steps", {.range = {1, 1000}},
          "critic updates, each on new samples, before one of the generator",
          {.unit = "updates", .applies_if = is_generator, .other_names = {"n_critic", "critic_iters"}}),
      row<&Config::model, &Model::gradient_penalty>(
          "model.gradient_penalty", {.range = not_negative}, "weight of (slope - 1)^2 in the critic's loss; 0 = none",
          {.applies_if = is_generated, .other_names = {"lambda", "lambda_gp", "gp_weight"}}),
      row<&Config::model, &Model::weight_clip>("model.weight_clip", {.range = not_negative},
                                               "after each update the critic's weights are clamped to this; 0 = never",
                                               {.applies_if = is_generated, .other_names = {"clip_value", "clamp"}}),
  };
}

std::vector<Key> training_keys() {
  return {
      row<&Config::training, &Training::steps>("training.steps", {.range = {1, far_away}}, "optimizer updates",
                                               {.other_names = {"max_steps", "max_iters", "num_steps", "iterations"}}),
      row<&Config::training, &Training::seed>("training.seed", {}, "seeds initialisation, sample order and dropout",
                                              {.other_names = {"random_seed"}}),
      row<&Config::training, &Training::seq_len>(
          "training.seq_len", {.range = {2, many}}, "the context: tokens of a sample",
          {.unit = "tokens",
           .applies_if = is_file,
           .other_names = {"block_size", "context", "context_length", "max_seq_len", "sequence_length"}}),
      row<&Config::training, &Training::global_batch_size>("training.global_batch_size", {.range = {1, many}},
                                                           "samples of a step, over all ranks",
                                                           {.unit = "samples", .other_names = {"batch_size", "batch"}}),
      row<&Config::training, &Training::grain_size>(
          "training.grain_size", {.range = {1, many}},
          "samples whose forward and backward run as one; divides training.global_batch_size",
          {.unit = "samples",
           .computed_default = "the largest divisor of the batch that leaves 4 grains or more",
           .other_names = {"micro_batch_size", "local_batch_size"}}),
      row<&Config::training, &Training::max_norm>(
          "training.max_norm", {.range = not_negative}, "the global gradient norm is clipped to this; 0 = never",
          {.other_names = {"grad_clip", "clip_grad_norm", "max_grad_norm", "clip"}}),
      row<&Config::training, &Training::numerics>(
          "training.numerics", {.choices = {"invariant", "fast"}},
          "invariant: gradients are added as 32-bit integers, so that a run has the same bits on any number of ranks; "
          "fast: as floats, which keeps elements below 2^-27 of the largest",
          {.other_names = {"deterministic", "use_deterministic_algorithms"}}),
      row<&Config::training, &Training::verify_interval>("training.verify_interval", {.range = {0, far_away}},
                                                         "now and then weights and optimizer states are hashed as they "
                                                         "are written, checked before the next update and "
                                                         "compared between ranks that keep the same; 0 = never",
                                                         {.unit = "steps", .effect = run}),
      row<&Config::precision, &Precision::compute>(
          "precision.compute", {.choices = {"f32", "bf16", "f16"}},
          "dtype of matrix products, which always add in f32; weights are kept and statistics, softmax and losses "
          "computed in f32",
          {.other_names = {"dtype", "mixed_precision", "precision", "amp", "param_dtype", "autocast"}}),
      row<&Config::precision, &Precision::master>(
          "precision.master", {.choices = {"f32", "split"}},
          "how weights that products read in bf16 are kept: in f32 beside their bf16 copy, or split: the bf16 weight "
          "rounded to nearest, the signed difference kept in 16 bits beside it: exact, no extra copy",
          {.applies_if = is_bf16, .other_names = {"master_weights", "master_dtype", "split_master", "split_bf16"}}),
  };
}

std::vector<Key> activation_checkpoint_keys() {
  using Section = ActivationCheckpoint;
  return {
      row<&Config::activation_checkpoint, &Section::mode>(
          "activation_checkpoint.mode", {.choices = {"none", "block", "selective", "budget"}},
          "which activations backward computes again instead of finding them saved; no bit changes. none: all are "
          "saved; "
          "block: of each run of blocks its input alone, in as many runs as a run has blocks; selective: all but "
          "products and attention; "
          "budget: what costs least time within activation_checkpoint.budget",
          {.effect = run, .other_names = {"gradient_checkpointing", "recompute", "remat", "activation_memory"}}),
      row<&Config::activation_checkpoint, &Section::budget>(
          "activation_checkpoint.budget", {.may_be_empty = true, .is_budget = true},
          "most bytes of activations at any moment of a step: 3GiB, or 60% of what mode none needs",
          {.effect = run, .applies_if = is_budget, .other_names = {"memory_budget", "activation_memory_budget"}}),
  };
}

std::vector<Key> optimizer_and_scheduler_keys() {
  return {
      row<&Config::optimizer, &Optimizer::name>("optimizer.name", {.choices = {"sgd", "adam", "adamw"}},
                                                "the update rule", {.other_names = {"type"}}),
      row<&Config::optimizer, &Optimizer::lr>("optimizer.lr", {.range = not_negative}, "peak learning rate",
                                              {.other_names = {"learning_rate"}}),
      row<&Config::optimizer, &Optimizer::beta1>("optimizer.beta1", {.range = fraction}, "decay of the first moment",
                                                 {.applies_if = is_adam}),
      row<&Config::optimizer, &Optimizer::beta2>("optimizer.beta2", {.range = fraction}, "decay of the second moment",
                                                 {.applies_if = is_adam}),
      row<&Config::optimizer, &Optimizer::eps>("optimizer.eps", {.range = positive},
                                               "added to the root of the second moment",
                                               {.applies_if = is_adam, .other_names = {"epsilon"}}),
      row<&Config::optimizer, &Optimizer::weight_decay>(
          "optimizer.weight_decay", {.range = not_negative},
          "decoupled for adamw, L2 for sgd and adam; tensors of 2 or more dims", {.other_names = {"wd", "decay"}}),
      row<&Config::optimizer, &Optimizer::momentum>("optimizer.momentum", {.range = fraction},
                                                    "decay of the velocity; 0 = plain sgd", {.applies_if = is_sgd}),
      row<&Config::optimizer, &Optimizer::nesterov>("optimizer.nesterov", {}, "look ahead along the velocity",
                                                    {.applies_if = is_sgd}),
      row<&Config::optimizer, &Optimizer::state>(
          "optimizer.state", {.choices = {"f32", "bf16_stochastic"}},
          "what moments and velocities are kept in; in bf16 they are rounded at random, right on average",
          {.other_names = {"state_dtype", "optim_bits"}}),
      row<&Config::optimizer, &Optimizer::groups>("optimizer.groups", {.may_be_empty = true},
                                                  "list of {match, lr_factor, weight_decay, name, beta1, beta2, "
                                                  "frozen}; the first match in a parameter's name wins",
                                                  {.other_names = {"param_groups"}}),
      row<&Config::ema, &Ema::decay>(
          "ema.decay", {.range = fraction},
          "share of the old average of the weights that stays at each update; 0 = no average",
          {.other_names = {"ema_decay", "momentum", "beta"}}),
      row<&Config::lr_scheduler, &LrScheduler::warmup_steps>(
          "lr_scheduler.warmup_steps", {.range = {0, far_away}}, "linear rise from 0; may exceed training.steps",
          {.unit = "steps", .other_names = {"warmup", "warmup_iters"}}),
      row<&Config::lr_scheduler, &LrScheduler::decay_type>(
          "lr_scheduler.decay_type", {.choices = {"constant", "linear", "cosine"}}, "the fall after the warm-up",
          {.other_names = {"type", "name", "schedule"}}),
      row<&Config::lr_scheduler, &LrScheduler::min_lr_factor>("lr_scheduler.min_lr_factor", {.range = {0, 1}},
                                                              "reached at training.steps",
                                                              {.unit = "of lr", .other_names = {"min_lr"}}),
  };
}

std::vector<Key> data_keys() {
  return {
      row<&Config::data, &Data::source>("data.source", {.choices = {"file", "generated"}},
                                        "token files, or sets of points in the plane whose truth is known",
                                        {.other_names = {"type"}}),
      row<&Config::data, &Data::path>(
          "data.path", {.may_be_empty = true}, "file, list of files or glob, relative to the working directory",
          {.effect = input, .applies_if = is_file, .other_names = {"dataset", "file", "files", "train_path"}}),
      row<&Config::data, &Data::format>("data.format", {.choices = {"auto", "text", "llmc", "uint16"}},
                                        "text, llm.c's token files, or raw little-endian 16-bit tokens; auto = by name "
                                        "and first bytes",
                                        {.applies_if = is_file}),
      row<&Config::data, &Data::tokenizer>("data.tokenizer", {.choices = {"byte", "gpt2"}}, "how text becomes tokens",
                                           {.applies_if = is_file}),
      row<&Config::data, &Data::tokenizer_dir>("data.tokenizer_dir", {.may_be_empty = true},
                                               "folder of encoder.json and vocab.bpe",
                                               {.effect = input, .applies_if = is_gpt2}),
      row<&Config::data, &Data::validation_path>(
          "data.validation_path", {.may_be_empty = true}, "held-out file; empty = the end of data.path",
          {.effect = input, .applies_if = is_file, .other_names = {"val_path", "valid_path"}}),
      row<&Config::data, &Data::validation_fraction>(
          "data.validation_fraction", {.range = fraction}, "the last part of data.path, held out",
          {.applies_if = is_split, .other_names = {"val_fraction", "val_split"}}),
      row<&Config::data, &Data::set>("data.set", {.choices = {"eight_gaussians", "grid25", "two_moons"}},
                                     "modes on a circle, a 5 x 5 grid of them, or two half circles",
                                     {.applies_if = is_generated}),
      row<&Config::data, &Data::other_set>("data.other_set",
                                           {.choices = {"none", "eight_gaussians", "grid25", "two_moons"}},
                                           "a second set, for recipes that compare two", {.applies_if = is_generated}),
      row<&Config::data, &Data::points>(
          "data.points", {.range = {0, 1 << 20}}, "points in a set; 0 = every sample is a new one",
          {.unit = "points", .applies_if = is_generated, .other_names = {"num_points", "n"}}),
  };
}

std::vector<Key> run_keys() {
  return {
      row<&Config::validation, &Validation::interval>(
          "validation.interval", {.range = {0, far_away}}, "0 = only after the last step",
          {.unit = "steps", .effect = run, .other_names = {"eval_interval", "freq"}}),
      row<&Config::checkpoint, &Checkpoint::interval>(
          "checkpoint.interval", {.range = {0, far_away}}, "0 = only after the last step",
          {.unit = "steps", .effect = run, .other_names = {"save_interval", "freq"}}),
      row<&Config::checkpoint, &Checkpoint::keep_latest_k>("checkpoint.keep_latest_k", {.range = at_least_1},
                                                           "older checkpoints are removed",
                                                           {.effect = run, .other_names = {"keep"}}),
      row<&Config::checkpoint, &Checkpoint::keep_best>(
          "checkpoint.keep_best", {},
          "each best validation so far saves a checkpoint, which stays until there is a better one",
          {.effect = run, .other_names = {"save_best", "best", "save_best_only"}}),
      row<&Config::metrics, &Metrics::log_freq>("metrics.log_freq", {.range = at_least_1},
                                                "steps between lines of the human log",
                                                {.unit = "steps", .effect = run, .other_names = {"log_interval"}}),
      row<&Config::comm, &Comm::timeout_s>("comm.timeout_s", {.range = {.low = 0, .high = 1e9, .open_low = true}},
                                           "a collective without progress for this long ends the run",
                                           {.unit = "seconds", .effect = run}),
      row<&Config::comm, &Comm::segment_bytes>("comm.segment_bytes", {.range = {64, 1 << 30}, .is_bytes = true},
                                               "the largest message of a collective", {.unit = "bytes", .effect = run}),
      row<&Config::comm, &Comm::algorithm>("comm.algorithm", {.choices = {"auto", "ring", "halving", "tree"}},
                                           "how gradients are summed over ranks; auto = the quickest by costs that are "
                                           "measured once for a set of machines",
                                           {.effect = run}),
      row<&Config::comm, &Comm::shared_memory>(
          "comm.shared_memory", {},
          "the ranks of a node keep one copy of weights and optimizer states and read each other's gradients",
          {.effect = run}),
      row<&Config::launch, &Launch::ranks>(
          "launch.ranks", {.range = {1, 65536}}, "MPI processes",
          {.unit = "ranks", .effect = run, .other_names = {"num_ranks", "world_size", "nproc", "processes"}}),
      row<&Config::launch, &Launch::threads_per_rank>(
          "launch.threads_per_rank", {.range = {1, 4096}, .word_for_zero = "auto"},
          "auto = the cores of the node shared among its ranks",
          {.unit = "threads", .effect = run, .other_names = {"threads", "num_threads"}}),
      row<&Config::output, &Output::dir>("output.dir", {}, "the run folder",
                                         {.computed_default = "runs/<name of the config file>",
                                          .effect = run,
                                          .other_names = {"run_dir", "out_dir", "path"}}),
  };
}

template <auto member> GroupKey group_key(std::string_view name, Rule rule, GroupKey rest) {
  using T = typename member_value<decltype(member)>::type;
  rest.name = name;
  rest.rule = std::move(rule);
  if constexpr (is_optional<T>) {
    using Inner = typename T::value_type;
    rest.rule.type = type_of<Inner>();
    rest.get = [](const OptimizerGroup& g) -> std::optional<Value> {
      return (g.*member).has_value() ? std::optional<Value>(*(g.*member)) : std::nullopt;
    };
    rest.set = [](OptimizerGroup& g, Value v) { g.*member = std::get<Inner>(std::move(v)); };
  } else {
    rest.rule.type = type_of<T>();
    rest.get = [](const OptimizerGroup& g) -> std::optional<Value> { return g.*member; };
    rest.set = [](OptimizerGroup& g, Value v) { g.*member = std::get<T>(std::move(v)); };
  }
  return rest;
}

}  // namespace

std::span<const Key> keys() {
  static const std::vector<Key> table = [] {
    std::vector<Key> all;
    for (const auto& rows : {model_keys(), training_keys(), activation_checkpoint_keys(),
                             optimizer_and_scheduler_keys(), data_keys(), run_keys()}) {
      all.insert(all.end(), rows.begin(), rows.end());
    }
    return all;
  }();
  return table;
}

std::span<const GroupKey> group_keys() {
  static const std::vector<GroupKey> table = {
      group_key<&OptimizerGroup::match>(
          "match", {.is_regex = true},
          {.required = true, .doc = "regular expression (ECMAScript) over parameter names"}),
      group_key<&OptimizerGroup::lr_factor>("lr_factor", {.range = not_negative}, {.doc = "of optimizer.lr"}),
      group_key<&OptimizerGroup::weight_decay>("weight_decay", {.range = not_negative},
                                               {.doc = "in place of optimizer.weight_decay"}),
      group_key<&OptimizerGroup::name>("name", {.choices = {"sgd", "adam", "adamw"}},
                                       {.doc = "in place of optimizer.name"}),
      group_key<&OptimizerGroup::beta1>("beta1", {.range = fraction}, {.doc = "in place of optimizer.beta1"}),
      group_key<&OptimizerGroup::beta2>("beta2", {.range = fraction}, {.doc = "in place of optimizer.beta2"}),
      group_key<&OptimizerGroup::frozen>("frozen", {}, {.doc = "not trained: no gradient, no optimizer state"}),
  };
  return table;
}

const Key* find_key(std::string_view name) {
  const auto found = std::ranges::find(keys(), name, &Key::name);
  return found == keys().end() ? nullptr : &*found;
}

const Key& key_of(std::string_view name) {
  const Key* key = find_key(name);
  CHECK(key != nullptr, "no configuration key `{}`", name);
  return *key;
}

std::vector<std::string_view> sections() {
  std::vector<std::string_view> names;
  for (const Key& k : keys()) {
    if (names.empty() || names.back() != k.section()) names.push_back(k.section());
  }
  return names;
}

bool is_section(std::string_view name) {
  return std::ranges::any_of(keys(), [&](const Key& k) { return k.section() == name; });
}

std::string suggest(std::string_view section, std::string_view leaf) {
  const auto known_elsewhere = [&](const Key& k) {
    return k.leaf() == leaf || std::ranges::find(k.other_names, leaf) != k.other_names.end();
  };
  std::vector<std::string_view> near, all;
  const Key* elsewhere = nullptr;
  for (const Key& k : keys()) {
    if (k.section() == section) {
      if (known_elsewhere(k)) return std::string(k.name);
      near.push_back(k.leaf());
    }
    if (elsewhere == nullptr && known_elsewhere(k)) elsewhere = &k;
    all.push_back(k.name);
  }
  if (const std::string name = nearest(std::string(leaf), near); !name.empty())
    return fmt::format("{}.{}", section, name);
  if (elsewhere != nullptr) return std::string(elsewhere->name);
  return nearest(section.empty() ? std::string(leaf) : fmt::format("{}.{}", section, leaf), all);
}

}  // namespace ringmaster::config
