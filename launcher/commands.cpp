// SPDX-License-Identifier: Apache-2.0
#include "launcher/commands.h"

#include <algorithm>

namespace ringmaster::launcher {
namespace {

constexpr Flag set{"--set", "KEY=VALUE", "a key of the configuration, later than the file; once a key", true};
constexpr Flag json{"--json", "", "one JSON object on stdout, errors too"};
constexpr Flag run_dir{"--run-dir", "DIR", "the run folder; default output.dir, else runs/<name of CONFIG>"};
constexpr Flag help_flag{"--help", "", "this text"};

// Between a launcher and the ranks that it started; values that only it can know.
constexpr Flag launcher_pid{"--launcher-pid", "PID"};
constexpr Flag columns{"--terminal-columns", "N"};

constexpr std::string_view runs = "train and use", prepares = "prepare data", looks = "look before you run",
                           keeps = "measure and keep";

std::vector<Command> running() {
  return {
      {.name = "train",
       .target = "CONFIG",
       .doc = "train the model that CONFIG describes; go on from its newest checkpoint if there is one",
       .group = runs,
       .flags = {{"--ranks", "N",
                  "MPI ranks, more than cores is fine; default launch.ranks. Under mpirun or srun the job decides"},
                 run_dir,
                 set,
                 {"--resume", "auto|never|DIR",
                  "from the newest checkpoint, from scratch, or from the run or checkpoint DIR"},
                 {"--dry-run", "", "print the launch line and stop"},
                 {"--dump-graph", "DIR", "write the program after each pass into DIR"},
                 {"--disable-pass", "NAME", "leave a pass out, to find the one that is wrong", true},
                 {"--quiet", "", "only errors and warnings"},
                 help_flag,
                 launcher_pid,
                 columns},
       .examples = {{"train configs/gpt-quickstart.yaml --ranks 2 --set data.path=book.txt",
                     "two ranks on this machine"},
                    {"train configs/gpt-quickstart.yaml --ranks 2 --set data.path=book.txt --set training.steps=5000",
                     "the same run, further"},
                    {"train my.yaml --run-dir /scratch/try-7 --set optimizer.lr=1e-3", "a folder of its own"}},
       .run = train},
      {.name = "eval",
       .target = "RUN|CKPT",
       .doc = "the validation loss of a run's newest checkpoint, or of a checkpoint, with the weights under training",
       .group = runs,
       .flags = {{"--data", "FILE", "all of FILE is the validation split"}, set, json, help_flag},
       .examples = {{"eval runs/gpt-quickstart", "on the run's own validation split"},
                    {"eval runs/gpt-quickstart --data other.txt --json", "on another text"}},
       .run = eval},
      {.name = "sample",
       .target = "RUN|CKPT",
       .doc = "text, points or numbers from a run's newest checkpoint, or from a checkpoint; averaged weights if it "
              "has them",
       .group = runs,
       .flags = {{"--prompt", "TEXT", "what the text begins with; default a line's start"},
                 {"--tokens", "N", "new tokens of each sequence; default 256"},
                 {"--count", "N", "sequences, default 1; or rows, default 1000 or all held-out samples"},
                 {"--temperature", "T", "0 takes the most probable token, 1 the model's own odds (default)"},
                 {"--top-k", "K", "draw among the K most probable tokens; default all"},
                 {"--top-p", "P", "draw among the fewest most probable tokens whose odds add up to P; default 1, all"},
                 {"--no-cache", "", "compute every token's context anew: slower, the same bytes"},
                 {"--seed", "N", "of the draws; default 0. The same arguments give the same bytes"},
                 {"--ranks", "N", "MPI ranks that share the sequences; default 1"},
                 {"--format", "text|ids|npy|png",
                  "ids: text as token ids; npy: rows of f32 for NumPy; png: a scatter plot of points; default text"},
                 {"--out", "FILE", "write there instead of on stdout"},
                 {"--tokenizer-dir", "DIR", "of the tokenizer's files; default the run's data.tokenizer_dir"},
                 help_flag,
                 launcher_pid},
       .examples = {{"sample runs/gpt-quickstart --prompt 'template <' --tokens 400", "go on from a prompt"},
                    {"sample runs/gpt-quickstart --temperature 0", "the most probable text"},
                    {"sample runs/wgan-gp-ring --format png --out points.png", "what a generator of points makes"}},
       .run = sample},
  };
}

std::vector<Command> looking() {
  return {
      {.name = "plan",
       .target = "CONFIG",
       .doc = "memory, wire bytes and FLOPs of a run before it exists; needs no data and no MPI",
       .group = looks,
       .flags = {{"--ranks", "N", "plan for that many ranks; default launch.ranks"},
                 {"--threads", "N", "a rank; default launch.threads_per_rank"},
                 {"--isa", "NAME",
                  "refuse unless this machine is NAME (avx2, avx512, avx512_bf16, amx): a plan is of this machine"},
                 {"--memory", "SIZE",
                  "such as 2.5GiB: exit 3 unless each rank fits, and say what would; without it a plan only reports"},
                 {"--svg", "FILE",
                  "draw what is alive from the first instruction to the last; with --sweep the frontier"},
                 {"--calibrate", "",
                  "measure this machine first, some 15 seconds; later plans and runs on as many threads use it too"},
                 {"--sweep", "", "memory and time under budgets of activations, from saving all to the least"},
                 {"--points", "N", "budgets of the sweep; default 16"},
                 set,
                 json,
                 help_flag},
       .examples = {{"plan configs/gpt2-124m.yaml --ranks 2 --memory 2GiB", "does it fit?"},
                    {"plan configs/gpt2-124m.yaml --sweep", "what memory costs in time"},
                    {"plan my.yaml --set training.global_batch_size=64 --json", "for a script"}},
       .run = plan},
      {.name = "config show",
       .target = "CONFIG",
       .doc = "every key with its value and where that comes from",
       .group = looks,
       .flags = {set, json, help_flag},
       .examples = {{"config show my.yaml --set training.steps=10", ""}},
       .run = config_show},
      {.name = "config schema",
       .doc = "every key with its type, default, range and meaning",
       .group = looks,
       .flags = {json, help_flag},
       .run = config_schema},
      {.name = "models",
       .doc = "the recipes that model.recipe names",
       .group = looks,
       .flags = {json, help_flag},
       .run = models},
      {.name = "ops",
       .doc = "the operations that programs are made of",
       .group = looks,
       .flags = {json, help_flag},
       .run = ops},
      {.name = "doctor",
       .doc = "is this machine fit to train? Says what is wrong and the cure; exit 3 if something fails",
       .group = looks,
       .flags = {json, help_flag, launcher_pid},
       .run = doctor},
  };
}

std::vector<Command> preparing() {
  return {
      {.name = "data tokenize",
       .target = "IN...",
       .doc = "text files or globs as one file of token ids, on all cores",
       .group = prepares,
       .flags = {{"--out", "FILE", "the token file; replaced when all of it is written"},
                 {"--tokenizer", "NAME", "gpt2 (default) or byte"},
                 {"--tokenizer-dir", "DIR", "gpt2: the folder of encoder.json and vocab.bpe"},
                 {"--format", "llmc|uint16", "with llm.c's header (default), or ids alone"},
                 {"--threads", "N", "default all cores; the bytes do not depend on it"},
                 json,
                 help_flag},
       .examples = {{"data tokenize 'books/*.txt' --out books.bin --tokenizer-dir gpt2",
                     "then train with data.path: books.bin, data.tokenizer: gpt2"}},
       .run = data_tokenize},
  };
}

Command of_collective(const char* name, const char* doc, int (*run)(const Arguments&)) {
  return {
      .name = name,
      .doc = doc,
      .group = keeps,
      .flags = {{"--ranks", "N", "MPI ranks; default 2"},
                {"--bytes", "LIST", "of the vector; default 4KiB,64KiB,1MiB,16MiB,64MiB,256MiB"},
                {"--wire", "f32|int32", "what is added up; default f32"},
                {"--algorithm", "LIST",
                 "node (peers' memory is read); ring, halving, tree (messages); default node,ring"},
                {"--pairs", "N", "measurements of each, in turns; default 7"},
                {"--vs", "LIST", "mpi, gloo: the MPI library's own, PyTorch's (its environment is made on first use)"},
                json,
                help_flag,
                launcher_pid},
      .run = run};
}

std::vector<Command> measuring() {
  return {
      of_collective("bench all_reduce", "time a sum over ranks that all of them get", bench_all_reduce),
      of_collective("bench reduce_scatter", "time a sum over ranks of which each gets its chunk", bench_reduce_scatter),
      of_collective("bench all_gather", "time handing each rank's chunk to all", bench_all_gather),
      {.name = "bench step",
       .target = "CONFIG",
       .doc = "time the training step on random token ids, against its own matrix products; no data needed",
       .group = keeps,
       .flags = {{"--ranks", "N", "MPI ranks; default launch.ranks"},
                 {"--pairs", "N", "measurements, each one of ours and one of the peer; default 3"},
                 {"--vs", "torch",
                  "a peer to pair with, in the fastest of its four configurations; its environment is made on first "
                  "use, or $RINGMASTER_PYTHON"},
                 {"--peer", "f32|bf16", "pair with the peer's fastest of this precision instead"},
                 set,
                 json,
                 help_flag,
                 launcher_pid},
       .examples = {{"bench step configs/gpt2-124m.yaml --vs torch", "ratios of pairs: above 1, ours is faster"}},
       .run = bench_step},
      {.name = "bench plan",
       .target = "CONFIG",
       .doc = "is the plan right here? Predicted against measured time of a step under budgets of activations",
       .group = keeps,
       .flags = {{"--budgets", "LIST", "none, block, selective, 3GiB, 60%, ...; default none,selective,block,50%,25%"},
                 {"--pairs", "N", "rounds, each a calibration and some steps under every budget; default 1"},
                 set,
                 json,
                 help_flag},
       .examples = {{"bench plan configs/gpt2-124m.yaml --budgets none,40%", ""}},
       .run = bench_plan},
      {.name = "bench ops",
       .target = "[CONFIG]",
       .doc = "what this machine reaches, and each instruction of CONFIG's step alone; without CONFIG every op",
       .group = keeps,
       .flags = {{"--filter", "RE", "only instructions whose text matches, such as 'matmul.*mlp'; '^$' none at all"},
                 set,
                 json,
                 help_flag},
       .examples = {{"bench ops configs/gpt2-124m.yaml", "which instructions are far from the machine's peak?"},
                    {"bench ops --filter layer_norm", "one op, on the shapes of the shipped configs"}},
       .run = bench_ops},
  };
}

std::vector<Command> keeping() {
  return {
      {.name = "compare",
       .target = "RUN RUN",
       .doc = "where two runs first differ: the step and field, the tensor; exit 1 if they do",
       .group = keeps,
       .flags = {json, help_flag},
       .examples = {{"compare runs/on-one-rank runs/on-three", "the same bits on any number of ranks?"}},
       .run = compare},
      {.name = "checkpoint ls",
       .target = "RUN",
       .doc = "the checkpoints of a run",
       .group = keeps,
       .flags = {json, help_flag},
       .run = checkpoint_ls},
      {.name = "checkpoint verify",
       .target = "CKPT|RUN",
       .doc = "read every byte of a checkpoint, or of a run's newest, and compare it with its manifest",
       .group = keeps,
       .flags = {{"--all", "", "all checkpoints of RUN"}, json, help_flag},
       .examples = {{"checkpoint verify runs/gpt-quickstart --all", ""}},
       .run = checkpoint_verify},
      {.name = "checkpoint export",
       .target = "RUN|CKPT OUT",
       .doc = "the weights for Hugging Face's libraries: a folder for from_pretrained, or one file OUT.safetensors",
       .group = keeps,
       .flags = {{"--dtype", "f32|bf16|f16", "of the weights; default f32, as they are trained"},
                 {"--tokenizer-dir", "DIR", "copy GPT-2's tokenizer from DIR into OUT; default the run's own"},
                 json,
                 help_flag},
       .examples = {{"checkpoint export runs/gpt-quickstart exported/gpt", "then GPT2LMHeadModel.from_pretrained"},
                    {"checkpoint export runs/gpt-quickstart gpt.safetensors --dtype bf16", "the weights alone"}},
       .run = checkpoint_export},
      {.name = "checkpoint import",
       .target = "DIR OUT",
       .doc = "a Hugging Face GPT-2 folder as the new run folder OUT, to train, evaluate and sample from",
       .group = keeps,
       .flags = {json, help_flag},
       .examples = {{"checkpoint import gpt2 runs/from-gpt2", ""},
                    {"train my.yaml --run-dir runs/from-gpt2", "my.yaml says model.layers, ... of DIR's config.json"}},
       .run = checkpoint_import},
  };
}

}  // namespace

const Flag* Command::find(std::string_view flag) const {
  const auto found = std::ranges::find(flags, flag, &Flag::name);
  return found == flags.end() ? nullptr : &*found;
}

std::span<const Command> commands() {
  static const std::vector<Command> table = [] {
    std::vector<Command> all;
    for (auto part : {running(), preparing(), looking(), measuring(), keeping()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return table;
}

const Command* find_command(std::string_view name) {
  const auto found = std::ranges::find(commands(), name, &Command::name);
  return found == commands().end() ? nullptr : &*found;
}

}  // namespace ringmaster::launcher
