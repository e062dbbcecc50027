# SPDX-License-Identifier: Apache-2.0
# cli-bad-input: what a user can get wrong. Each is exit code 2 with the place, what was expected or the cure on stderr;
# stdout stays empty and nothing is created.
set -uo pipefail
path=$PATH  # of the program; a case may take it away
. tests/cli.sh
cd "$work"
mkdir here && cd here  # an empty folder that must stay empty

# refused PATTERN ARGUMENT...: cli.sh's, for a folder that is empty and a $PATH that a case may take away; and it says a cure
refused() {
  local pattern=$1
  shift
  PATH=$path "$program" "$@" >"$work/out" 2>"$work/err"
  local code=$?
  [ $code = 2 ] || fail "$*: exit code $code, expected 2"
  [ -s "$work/out" ] && fail "$*: stdout is not empty"
  grep -q 'error: ' "$work/err" || fail "$*: says no error"
  grep -Eq "$pattern" "$work/err" || fail "$*: expected \"$pattern\" in: $(cat "$work/err")"
  [ "$(wc -l <"$work/err")" -ge 2 ] || fail "$*: says neither what is expected nor a cure: $(cat "$work/err")"
  [ -z "$(ls -A .)" ] || { fail "$*: created $(ls -A .)" && rm -rf ./*; }
}

# config TEXT: a configuration of its own; printf escapes
config() { printf "$1" >"$work/c.yaml"; }

# refused_config PATTERN TEXT: as a file
refused_config() {
  config "$2"
  refused "$1" train "$work/c.yaml" --set "data.path=$work/text.txt"
}

# refused_value PATTERN KEY VALUE
refused_value() { refused "$1" train "$work/good.yaml" --set "$2=$3"; }

head -c 20000 /dev/zero | tr '\0' 'a' >"$work/text.txt"
cat >"$work/good.yaml" <<YAML
model:
  layers: 1
  heads: 2
  width: 16
training:
  steps: 2
  seq_len: 16
  global_batch_size: 4
data:
  path: $work/text.txt
YAML

# the command line
refused 'did you mean `train`' trian "$work/good.yaml"
refused 'one of: config show, config schema' config
refused 'no command' 
refused 'needs CONFIG' train
refused 'did you mean `--ranks`' train "$work/good.yaml" --rank 2
refused 'one argument too many' train "$work/good.yaml" again
refused 'write `--set training.steps=30`' train "$work/good.yaml" training.steps=30
refused 'given 2 times' train "$work/good.yaml" --ranks 1 --ranks 2
for ranks in 0 -1 x 1000000000 1.5 '' ' 1' 99999999999999999999; do
  refused '\-\-ranks' train "$work/good.yaml" "--ranks" "$ranks"
  refused '\-\-ranks' plan "$work/good.yaml" "--ranks=$ranks"
done
refused 'KEY=VALUE' train "$work/good.yaml" --set training.steps
refused 'twice' train "$work/good.yaml" --set training.steps=1 --set training.steps=2
refused 'did you mean `training.steps`' train "$work/good.yaml" --set training.step=1
refused 'twice' train "$work/good.yaml" --ranks 2 --set launch.ranks=2
refused 'NAME|one of|pass' train "$work/good.yaml" --disable-pass nonsense
refused '\-\-memory' plan "$work/good.yaml" --memory lots
refused '\-\-isa' plan "$work/good.yaml" --isa neon
refused 'did you mean `--temperature`' sample "$work" --temp 0
refused 'lacks its value' train "$work/good.yaml" --ranks
refused 'lacks its value' train "$work/good.yaml" --ranks --quiet
refused 'auto, never' train "$work/good.yaml" --resume yes
refused 'model.heads to 4, or model.width to' train "$work/good.yaml" --set model.width=64 --set model.heads=5
refused 'at most 2147483647' plan "$work/good.yaml" --set training.seq_len=1048576 --set training.global_batch_size=4096 --set training.grain_size=4096
refused 'at most 500 bytes' bench ops --filter "$(printf '(%.0s' {1..600})"
refused 'needs `activation_checkpoint.budget`' plan "$work/good.yaml" --set activation_checkpoint.mode=budget
refused 'a percentage, such as 60%' plan "$work/good.yaml" --set activation_checkpoint.mode=budget --set activation_checkpoint.budget=all
refused 'takes no value' sample "$work" --no-cache=false
refused '\-\-format' sample "$work" --format jpeg
refused 'a list goes into the configuration file' plan "$work/good.yaml" --set 'data.path=[a,b]'
refused 'did you mean `bf16`' plan "$work/good.yaml" --set precision.compute=bfloat16
for value in hot -1 nan; do refused '0 takes the most probable token' sample "$work" --temperature "$value"; done
for value in 0 -1 1.5; do refused 'K most probable tokens; default all' sample "$work" --top-k "$value"; done
for value in 0 1.5; do refused 'above 0 and at most 1' sample "$work" --top-p "$value"; done
refused '\-\-vs' bench step "$work/good.yaml" --vs tensorflow
refused '\-\-filter' bench ops --filter '('
refused '\-\-set' bench ops --set training.steps=1
SLURM_PROCID=1 SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=4 refused 'mpi=pmix' train "$work/good.yaml"
path=/nowhere refused 'mpirun' train "$work/good.yaml" --ranks 2

# the file
refused 'no such file' train "$work/none.yaml"
refused 'folder' train "$work"
refused_config 'c.yaml:2:3: error: unknown key' 'model:\n  colour: 1\n'
refused_config 'c.yaml:2:3:.*|did you mean `layers`' 'model:\n  layer: 1\n'
refused_config 'did you mean `lr`' 'optimizer:\n  learning_rate: 3e-4\n'
refused_config 'c.yaml:3:3: error: .*twice' 'model:\n  layers: 1\n  layers: 2\n'
refused_config 'c.yaml:2:11: error: ' 'model:\n  layers: many\n'
refused_config 'c.yaml' '{"model": {"layers": 1}}\n'
refused_config 'c.yaml' '\177ELF\001\002\000\000'
refused_config 'no keys' ''
refused_config 'document' 'model:\n  layers: 1\n---\nmodel:\n  layers: 2\n'
refused_config 'tab' 'model:\n\tlayers: 1\n'
refused_config 'BOM|byte order mark' '\357\273\277model:\n  layers: 1\n'
refused_config 'UTF-8' 'model:\n  recipe: "\377\376"\n'
refused_config 'anchor|alias|`&`' 'model: &m\n  layers: 1\n'
refused_config 'null|empty|value' 'model:\n  layers: null\n'
refused_config 'c.yaml:2:3' 'model:\n  layers:   ~\n'
refused_config 'lr' 'optimizer:\n  lr: 1e400\n'
refused_config 'lr' 'optimizer:\n  lr: .nan\n'
refused_config 'steps' 'training:\n  steps: 010\n'
refused_config 'tied_embeddings' 'model:\n  tied_embeddings: no\n'
refused_config 'heads' 'model:\n  width: 10\n  heads: 3\n'
refused_config 'grain' 'training:\n  global_batch_size: 8\n  grain_size: 3\n'
refused_value 'recipe' model.recipe languagemodel

# data
refused_value 'nothing|no such file|does not exist|missing' data.path "$work/none.txt"
refused '\-\-set data.path=' train "$work/good.yaml" --set "data.path=$work/none.txt"
config "model:\n  layers: 1\ndata:\n  path: $work/none.txt\n"
refused 'c.yaml:4:3: error: data.path `.*none.txt` does not exist' train "$work/c.yaml"
config "data:\n  path: $work/text.txt\n  validation_path: $work/none.txt\n"
refused 'c.yaml:3:3: error: data.validation_path `.*none.txt` does not exist' train "$work/c.yaml"
refused_value 'folder' data.path "$work"
: >"$work/empty.txt"
refused_value 'empty' data.path "$work/empty.txt"
printf 'too short' >"$work/short.txt"
refused_value 'short|window|tokens|bytes' data.path "$work/short.txt"
head -c 60 "$work/text.txt" >"$work/one-window.txt"
refused_value 'batch|short|window|tokens' data.path "$work/one-window.txt"

# groups of parameters
groups() { config "data:\n  path: $work/text.txt\noptimizer:\n  groups:\n$1"; }
groups '    - {match: "*.bias", frozen: true}\n'
refused 'not a regular expression' train "$work/c.yaml"
groups '    - {match: "trasformer", frozen: true}\n'
refused 'c.yaml:4:3: .*no name holds its match' train "$work/c.yaml"
refused 'did you mean `transformer`.*regular expression' train "$work/c.yaml"
refused 'some of the [0-9]+ names: transformer.wte.weight,( [^ ,]+,){7} \.\.\.' train "$work/c.yaml"
groups '    - {match: "wpe.wieght$", frozen: true}\n'
refused 'did you mean `wpe.weight`' train "$work/c.yaml"
groups '    - {match: "blocks*bias", frozen: true}\n'
refused 'no glob: write `\.\*`' train "$work/c.yaml"
groups '    - {match: "weight", lr_factor: 2.0}\n    - {match: "wte.weight", frozen: true}\n'
refused 'groups before it take all that it matches' train "$work/c.yaml"

# run folders and checkpoints
mkdir "$work/full" && : >"$work/full/thesis.tex"
refused 'thesis.tex' train "$work/good.yaml" --run-dir "$work/full"
refused 'folder' train "$work/good.yaml" --run-dir "$work/text.txt"
[ "$(ls "$work/full")" = thesis.tex ] || fail "a folder of somebody else's was changed"

"$program" train "$work/good.yaml" --run-dir "$work/run" --quiet || fail "the good configuration does not train"
refused 'width.*16.*32|width.*32.*16' train "$work/good.yaml" --run-dir "$work/run" --set model.width=32
truncate -s -100 "$work"/run/checkpoint/step-00000002/model.safetensors
find "$work/run" -type f -exec sha256sum {} + | sort >"$work/before"
refused 'model.safetensors' train "$work/good.yaml" --run-dir "$work/run" --set training.steps=4
refused 'model.safetensors' train "$work/good.yaml" --run-dir "$work/run" --set training.steps=4 --ranks 2
refused 'model.safetensors' eval "$work/run"
refused 'model.safetensors' sample "$work/run"
find "$work/run" -type f -exec sha256sum {} + | sort | cmp - "$work/before" || fail "a refused resume changed the run folder"

# the same for scripts: one object on stdout
"$program" plan "$work/good.yaml" --set training.step=1 --json >"$work/out" 2>"$work/err"
[ $? = 2 ] || fail "plan --json: expected exit code 2"
python3 - "$work/out" <<'PYTHON' || fail "plan --json: $(cat "$work/out")"
import json, sys
text = open(sys.argv[1]).read()
assert text.count("\n") == 1 and text.endswith("\n")
error = json.loads(text)
assert error["schema"] == "ringmaster.error/1" and error["code"] == 2 and error["kind"] in ("usage", "config"), error
assert set(error) == {"schema", "code", "kind", "message", "file", "line", "column", "key", "found", "expected", "cure"}
assert "training.steps" in error["cure"], error
PYTHON

[ $failures = 0 ]
