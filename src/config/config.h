// SPDX-License-Identifier: Apache-2.0
// config: every key of a run with its default; one struct a YAML section. schema.cpp names each key once, with unit,
// range and doc; load.cpp reads YAML against that schema. A key enters with the feature that reads it (one field here,
// one row there): an unknown key is an error.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ringmaster::config {

struct Model {
  std::string recipe = "language_model";
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t width = 128;  // channels; a multiple of heads
  int64_t vocab_size = 256;
  double dropout = 0.0;  // probability, [0, 1)
  bool tied_embeddings = true;
  std::string loss_head = "rows";  // rows | vocabulary: what the loss cuts the logits into; they differ in bits
  int64_t latent = 2;              // a generator's input: independent normals
  int64_t critic_steps = 5;        // critic updates before each generator update
  double gradient_penalty = 10.0;  // lambda; 0 = none
  double weight_clip = 0.0;        // critic weights stay in [-c, c]; 0 = free
  bool operator==(const Model&) const = default;
};

struct Training {
  int64_t steps = 1000;
  uint64_t seed = 1234;
  int64_t seq_len = 128;               // tokens; the context
  int64_t global_batch_size = 8;       // samples a step
  int64_t grain_size = 0;              // samples; 0 until resolve() fills it: a pure function of the batch
  double max_norm = 1.0;               // global gradient norm; 0 = no clipping
  std::string numerics = "invariant";  // invariant | fast: whether gradients are added as integers
  int64_t verify_interval = 100;       // steps between checks that nothing has changed what was written; 0 = never
  bool operator==(const Training&) const = default;
};

struct Precision {
  std::string compute = "f32";  // f32 | bf16 | f16: of products
  std::string master = "f32";   // f32 | split: how weights that products read in bf16 are kept
  bool operator==(const Precision&) const = default;
};

// Gradient checkpointing: what forward does not save, backward makes anew. No bit depends on it.
struct ActivationCheckpoint {
  std::string mode = "none";  // none | block | selective | budget
  std::string budget;         // "3GiB", or "60%" of what mode none needs; mode budget alone
  bool operator==(const ActivationCheckpoint&) const = default;
};

struct OptimizerGroup {
  std::string match;  // regular expression (ECMAScript) over parameter names; the first match wins
  double lr_factor = 1.0;
  std::optional<double> weight_decay;
  std::optional<std::string> name;  // an update rule of its own
  std::optional<double> beta1, beta2;
  bool frozen = false;  // no gradient, no optimizer state, no bytes on the wire
  bool operator==(const OptimizerGroup&) const = default;
};

struct Optimizer {
  std::string name = "adamw";  // sgd | adam | adamw
  double lr = 3e-4;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;  // decoupled for adamw, L2 for sgd and adam; tensors of 2 or more dims
  double momentum = 0.9;      // sgd
  bool nesterov = false;      // sgd
  std::string state = "f32";  // f32 | bf16_stochastic: what moments and velocities are kept in
  std::vector<OptimizerGroup> groups;
  bool operator==(const Optimizer&) const = default;
};

struct Ema {
  double decay = 0.0;  // share of the old average that stays at each update; 0 = no average
  bool operator==(const Ema&) const = default;
};

struct LrScheduler {
  int64_t warmup_steps = 0;             // may exceed training.steps
  std::string decay_type = "constant";  // constant | linear | cosine
  double min_lr_factor = 0.0;           // of optimizer.lr, reached at training.steps
  bool operator==(const LrScheduler&) const = default;
};

struct Data {
  std::string source = "file";     // file | generated
  std::vector<std::string> path;   // file, list or glob, each relative to the working directory
  std::string format = "auto";     // auto | text | llmc | uint16
  std::string tokenizer = "byte";  // byte | gpt2
  std::string tokenizer_dir;       // gpt2: folder of encoder.json and vocab.bpe
  std::string validation_path;     // empty: split off `path`
  double validation_fraction = 0.1;
  std::string set = "eight_gaussians";  // generated: data/points.h names them
  std::string other_set = "none";       // generated: a second set, for recipes that compare two
  int64_t points = 0;                   // generated: of a set; 0 = every sample is new
  bool operator==(const Data&) const = default;
};

struct Validation {
  int64_t interval = 0;  // steps; 0 = only after the last step
  bool operator==(const Validation&) const = default;
};

struct Checkpoint {
  int64_t interval = 0;  // steps; 0 = only after the last step
  int64_t keep_latest_k = 2;
  bool keep_best = false;  // save at the best validation so far, and keep that
  bool operator==(const Checkpoint&) const = default;
};

struct Metrics {
  int64_t log_freq = 1;  // steps between lines of the human log
  bool operator==(const Metrics&) const = default;
};

struct Comm {
  double timeout_s = 300.0;        // a collective that makes no progress for this long ends the run (exit 5)
  int64_t segment_bytes = 262144;  // the largest message of a collective
  bool shared_memory = true;       // the ranks of a node keep one copy of the states and read each other's gradients
  std::string algorithm = "auto";  // of sums by messages: auto, ring, halving, tree
  bool operator==(const Comm&) const = default;
};

struct Launch {
  int64_t ranks = 1;
  int64_t threads_per_rank = 0;  // 0 = auto: max(1, allowed cores of the node / its ranks)
  bool operator==(const Launch&) const = default;
};

struct Output {
  std::string dir;  // default runs/<config stem>
  bool operator==(const Output&) const = default;
};

struct Config {
  Model model;
  Training training;
  Precision precision;
  ActivationCheckpoint activation_checkpoint;
  Optimizer optimizer;
  Ema ema;
  LrScheduler lr_scheduler;
  Data data;
  Validation validation;
  Checkpoint checkpoint;
  Metrics metrics;
  Comm comm;
  Launch launch;
  Output output;
  bool operator==(const Config&) const = default;
};

}  // namespace ringmaster::config
