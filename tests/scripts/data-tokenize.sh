# SPDX-License-Identifier: Apache-2.0
# data-tokenize: the command as users meet it: what it refuses with exit code 2, what is no error, and that what it writes trains
# and samples. The vocabulary is made here: 256 bytes, three merges and <|endoftext|>.
set -uo pipefail
. tests/cli.sh

python3 - "$work" <<'PYTHON'
import json, os, sys
work = sys.argv[1]
plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
rest = iter(range(256, 324))
letters = [chr(b) if b in plain else chr(next(rest)) for b in range(256)]
merges = ["t h", "th e", letters[32] + " the"]
tokens = letters + [m.replace(" ", "") for m in merges] + ["<|endoftext|>"]
os.makedirs(work + "/bpe")
os.makedirs(work + "/text")
json.dump({token: id for id, token in enumerate(tokens)}, open(work + "/bpe/encoder.json", "w"))
open(work + "/bpe/vocab.bpe", "w", encoding="utf-8").write("#version: 0.2\n" + "\n".join(merges) + "\n")
open(work + "/text/a.txt", "w", encoding="utf-8").write("the cat, the \u00e9t\u00e9 and the \U0001f600\r\n" * 400)
open(work + "/text/b.txt", "w").write("b the\n")
open(work + "/bad.txt", "wb").write(b"good\n" * 10 + b"\xff\n")
os.makedirs(work + "/broken")
open(work + "/broken/vocab.bpe", "w").write("")
open(work + "/broken/encoder.json", "w").write("{")
PYTHON
cd "$work" || exit 1
text=$work/text/a.txt
: >empty.txt

# what is wrong
refused 'needs IN' data tokenize
refused '`--out` is not given' data tokenize "$text" --tokenizer-dir bpe
refused 'no folder that exists' data tokenize "$text" --out none/x.bin --tokenizer-dir bpe
refused 'is a folder' data tokenize "$text" --out text --tokenizer-dir bpe
refused 'needs `--tokenizer-dir`' data tokenize "$text" --out x.bin
refused 'unknown tokenizer' data tokenize "$text" --out x.bin --tokenizer word
refused 'would be ignored' data tokenize "$text" --out x.bin --tokenizer byte --tokenizer-dir bpe
refused 'not a format' data tokenize "$text" --out x.bin --tokenizer-dir bpe --format json
refused '\-\-threads' data tokenize "$text" --out x.bin --tokenizer-dir bpe --threads 0
refused 'not a folder' data tokenize "$text" --out x.bin --tokenizer-dir none
refused 'neither encoder.json nor vocab.json' data tokenize "$text" --out x.bin --tokenizer-dir text
refused 'encoder.json.*not JSON' data tokenize "$text" --out x.bin --tokenizer-dir broken
refused 'does not exist' data tokenize none.txt --out x.bin --tokenizer-dir bpe
refused 'matches nothing' data tokenize 'none*.txt' --out x.bin --tokenizer-dir bpe
refused 'empty' data tokenize empty.txt --out x.bin --tokenizer-dir bpe
refused 'bad.txt.*byte 0xff at offset 50' data tokenize "$text" bad.txt --out x.bin --tokenizer-dir bpe
refused 'one of the inputs' data tokenize "$text" --out "$text" --tokenizer-dir bpe
refused 'one of: data tokenize' data

# what is not
"$program" data tokenize "$text" --out a.bin --tokenizer-dir bpe >out 2>err || fail "data tokenize: $(cat err)"
[ -s err ] && fail "data tokenize: stderr is not a terminal, and yet it says: $(cat err)"
for threads in 1 3; do
  (cd / && env -i "$program" data tokenize "$text" --out "$work/b.bin" --tokenizer-dir "$work/bpe" --threads $threads >/dev/null) || fail "$threads threads"
  cmp a.bin b.bin || fail "$threads threads write other bytes"
done
"$program" data tokenize 'text/*.txt' "$text" --out "$work/three files.bin" --tokenizer-dir bpe --json >out || fail 'a glob and a file'
python3 - out <<'PYTHON' || fail "data tokenize --json: $(cat out)"
import json, os, sys
found = json.loads(open(sys.argv[1]).read())
assert found["schema"] == "ringmaster.data_tokenize/1" and found["files"] == 3 and found["format"] == "llmc", found
assert found["vocab_size"] == 260 and os.path.getsize(found["out"]) == 1024 + 2 * found["tokens"], found
assert found["bytes"] == 2 * os.path.getsize("text/a.txt") + 6, found
PYTHON

# the ids train a model, which speaks through the tokenizer; text alone does not
cat >tiny.yaml <<YAML
model:
  layers: 1
  heads: 2
  width: 16
  vocab_size: 260
training:
  steps: 2
  seq_len: 16
  global_batch_size: 4
data:
  path: $work/a.bin
  tokenizer: gpt2
  tokenizer_dir: $work/bpe
launch:
  threads_per_rank: 1
YAML
refused 'ringmaster data tokenize' train tiny.yaml --set "data.path=$text"
refused 'needs `data.tokenizer_dir`' train tiny.yaml --set 'data.tokenizer_dir=""'
refused 'given but would be ignored' train tiny.yaml --set data.tokenizer=byte
refused 'does not fit model.vocab_size' train tiny.yaml --set model.vocab_size=200
"$program" train tiny.yaml --run-dir run --quiet || fail 'token files do not train'
"$program" sample run --prompt 'the été' --tokens 20 --seed 3 >sample.1 || fail 'sample'
[ "$(head -c 9 sample.1)" = 'the été' ] || fail "sample does not begin with its prompt: $(cat sample.1)"
"$program" sample run --prompt 'the été' --tokens 20 --seed 3 --out sample.2 || fail 'sample --out'
cmp sample.1 sample.2 || fail 'what is shown as it is drawn differs from what is written'
refused 'ringmaster data tokenize' eval run --data "$text"
cp -r run/checkpoint/step-00000002 alone
refused '\-\-tokenizer-dir' sample alone
refused 'there is no folder' sample run --prompt 'the' --tokens 20 --out none/sample
"$program" sample alone --prompt 'the été' --tokens 20 --seed 3 --tokenizer-dir bpe | cmp - sample.1 || fail 'a checkpoint without its run folder'
[ $failures = 0 ]
