# SPDX-License-Identifier: Apache-2.0
# checkpoint-interop: export and import as users meet them: docs/hugging-face.md works as written, what is refused ends with exit
# code 2 and leaves nothing behind, and an import is a run to go on from.
set -uo pipefail
. tests/cli.sh

PATH=$(cd "$RINGMASTER_BUILD/bin" && pwd):$PATH python3 tests/docs/run_blocks.py docs/hugging-face.md ||
  fail "docs/hugging-face.md does not work as written"

yes 'the ring goes round' | head -n 400 >"$work/text.txt"
printf 'model: {layers: 1, heads: 2, width: 16}\ntraining: {steps: 2, seq_len: 16}\ndata: {path: %s}\nlaunch: {threads_per_rank: 1}\n' \
  "$work/text.txt" >"$work/tiny.yaml"
"$program" train "$work/tiny.yaml" --run-dir "$work/run 1" --quiet || fail "train"
run="$work/run 1" saved="$work/run 1/checkpoint/step-00000002"
"$program" checkpoint export "$run" "$work/hf" >/dev/null || fail "export"

refused 'needs RUN\|CKPT OUT' checkpoint export
refused 'needs RUN\|CKPT OUT' checkpoint export "$run"
refused 'one argument too many' checkpoint export "$run" "$work/a" "$work/b"
refused 'needs DIR OUT' checkpoint import "$work/hf"
refused 'exists' checkpoint export "$run" "$work/hf"
refused 'exists' checkpoint export "$run" "$work/text.txt"
refused 'inside' checkpoint export "$run" "$saved/hf"
refused 'inside' checkpoint export "$run" "$run/checkpoint/hf.safetensors"
refused 'no folder that exists' checkpoint export "$run" "$work/none/hf"
refused 'no type of weights' checkpoint export "$run" "$work/new" --dtype f64
refused 'write `--dtype f16`' checkpoint export "$run" "$work/new" --dtype fp16
refused 'ends in .bin, which is not written' checkpoint export "$run" "$work/model.bin"
refused 'name model.safetensors' checkpoint export "$run" "$work/model.SafeTensors"
"$program" checkpoint export "$run" "$work/gpt-0.1" >/dev/null && [ -f "$work/gpt-0.1/config.json" ] || fail "a folder with a dot in its name"
refused 'holds no tokenizer' checkpoint export "$run" "$work/new" --tokenizer-dir "$work"
refused 'would be ignored' checkpoint export "$run" "$work/new.safetensors" --tokenizer-dir "$work"
refused 'does not exist' checkpoint export "$work/nothing" "$work/new"
refused 'is not a folder' checkpoint import "$work/text.txt" "$work/new"
refused 'run folder of ringmaster already' checkpoint import "$run" "$work/new"
refused 'holds no config.json' checkpoint import "$work" "$work/new"
refused 'another run' checkpoint import "$work/hf" "$run"
refused 'holds other files' checkpoint import "$work/hf" "$work/hf"

"$program" checkpoint import "$work/hf" "$work/in" >/dev/null || fail "import"
"$program" checkpoint verify "$work/in" >/dev/null || fail "the imported checkpoint is damaged"
refused '\-\-data FILE.*\-\-set data.path=FILE' eval "$work/in"
"$program" eval "$work/in" --set "data.path=$work/text.txt" >/dev/null || fail "eval of an import with --set data.path"
refused 'imported weights have 16' train "$work/tiny.yaml" --run-dir "$work/in" --set model.width=32
refused 'imported weights have 16' train "$work/tiny.yaml" --run-dir "$work/in" --set training.seq_len=8
"$program" train "$work/tiny.yaml" --run-dir "$work/in" --ranks 2 --set optimizer.lr=0.01 --quiet || fail "train on from an import"
"$program" train "$work/tiny.yaml" --run-dir "$work/other" --resume "$work/in/checkpoint/step-00000000" --quiet ||
  fail "--resume of an import"
[ "$failures" = 0 ]
