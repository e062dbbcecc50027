# SPDX-License-Identifier: Apache-2.0
# cli-json: the objects and files that scripts rely on, field by field (the contract). Fields may be added, never taken away.
set -euo pipefail
program=$RINGMASTER_BUILD/bin/ringmaster
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

head -c 20000 /dev/zero | tr '\0' 'a' >"$work/text.txt"
cat >"$work/tiny.yaml" <<YAML
model:
  layers: 1
  heads: 2
  width: 16
training:
  steps: 3
  seq_len: 16
  global_batch_size: 4
validation:
  interval: 2
data:
  path: $work/text.txt
launch:
  threads_per_rank: 1
YAML
"$program" train "$work/tiny.yaml" --ranks 2 --run-dir "$work/run" --quiet

python3 - "$program" "$work" <<'PYTHON'
import json, re, subprocess, sys

program, work = sys.argv[1:]
run = work + "/run"


def load(text):
    """strict: no NaN, no Infinity"""
    return json.loads(text, parse_constant=lambda name: sys.exit(f"{name} is no JSON"))


def call(words, code=0):
    done = subprocess.run([program, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == code, (words, done)
    return done.stdout


def ask(schema, fields, *words, code=0):
    text = call([*words, "--json"], code)
    assert text.endswith("\n") and text.count("\n") == 1, (words, text)
    found = load(text)
    assert found["schema"] == f"ringmaster.{schema}/1", found["schema"]
    assert set(fields.split()) <= set(found), (words, set(fields.split()) - set(found))
    return found


def has(found, fields):
    assert set(fields.split()) <= set(found), set(fields.split()) - set(found)


# ---- commands
for name in ("models", "ops"):
    rows = ask(name, name, name)[name]
    assert rows and all(set(row) == {"name", "doc"} and row["name"] and row["doc"] for row in rows)
shown = ask("config", "model.layers training.steps", "config", "show", work + "/tiny.yaml", "--set", "training.steps=7")
assert shown["training.steps"] == {"value": 7, "origin": "--set"}
assert re.fullmatch(r".*/tiny\.yaml:2:3", shown["model.layers"]["origin"]) and shown["training.seed"]["origin"] == "default"
assert set(shown) - {"schema"} == {row["key"] for row in ask("config_schema", "keys", "config", "schema")["keys"]}

plan = ask("plan", "ranks threads_per_rank isa calibrated plan_hash parameters flops_per_step predicted_step_seconds "
           "exposed_comm_seconds shared_memory_bytes_per_node per_rank collectives peak recompute memory advice sweep",
           "plan", work + "/tiny.yaml", "--ranks", "3", "--sweep")
assert len(plan["sweep"]) == 16 and plan["instructions"] > 100
assert len(ask("plan", "sweep", "plan", work + "/tiny.yaml", "--sweep", "--points", "5")["sweep"]) == 5
assert plan["ranks"] == len(plan["per_rank"]) == 3
for rank in plan["per_rank"]:
    has(rank, "rank grains peak_bytes by_category process_bytes wire_bytes_sent messages_sent")
    has(rank["by_category"], "weights master gradients optimizer activations workspace communication gathers batches")
    assert sum(rank["by_category"].values()) == rank["peak_bytes"]
has(plan["peak"], "instruction scope tensors")
has(plan["memory"], "limit_bytes source fits")
tight = ask("plan", "memory", "plan", work + "/tiny.yaml", "--memory", "1KiB", code=3)
assert tight["memory"] == {"limit_bytes": 1024, "source": "flag", "fits": False}
has(plan["recompute"], "mode budget_bytes minimum_budget_bytes activation_bytes extra_seconds lower_bound_seconds gap items "
    "saved_bytes saved_bytes_of_none")
assert plan["recompute"]["mode"] == "none" and plan["recompute"]["items"] == [] and plan["advice"] == []
for point in plan["sweep"]:
    has(point, "budget_bytes peak_bytes predicted_step_seconds")
assert plan["sweep"][0]["peak_bytes"] == plan["per_rank"][0]["peak_bytes"]
block = ask("plan", "recompute", "plan", work + "/tiny.yaml", "--set", "model.layers=4", "--set", "activation_checkpoint.mode=block")
for item in block["recompute"]["items"]:
    has(item, "scope bytes_saved seconds_added")
assert sum(item["bytes_saved"] for item in block["recompute"]["items"]) > 0
limit = ask("plan", "per_rank", "plan", work + "/tiny.yaml")["per_rank"][0]["process_bytes"] - 1024
for advice in ask("plan", "advice", "plan", work + "/tiny.yaml", "--memory", str(limit), code=3)["advice"]:
    has(advice, "set peak_bytes predicted_step_seconds")
    assert advice["peak_bytes"] < limit
    sets = [word for key in advice["set"] for word in ("--set", key)]
    assert ask("plan", "memory", "plan", work + "/tiny.yaml", "--memory", str(limit), *sets)["memory"]["fits"]


def plan_flops(ranks):
    return ask("plan", "flops_per_step", "plan", work + "/tiny.yaml", "--ranks", str(ranks))["flops_per_step"]


evaluation = ask("eval", "step validation_loss validation_tokens params_hash", "eval", run)
assert evaluation["step"] == 3 and evaluation["validation_tokens"] == 1999
listed = ask("checkpoint_ls", "checkpoints", "checkpoint", "ls", run)["checkpoints"]
assert [row["verified"] for row in listed] == [True]
has(listed[0], "step sequence path bytes verified")
verified = ask("checkpoint_verify", "valid step sequence files tensors bytes params_hash state_hash errors", "checkpoint", "verify", run)
assert verified["valid"] and verified["params_hash"] == evaluation["params_hash"]
exported = ask("checkpoint_export", "path step dtype tensors bytes tokenizer", "checkpoint", "export", run, work + "/hf")
assert exported["step"] == 3 and exported["dtype"] == "f32" and exported["tokenizer"] is None
imported = ask("checkpoint_import", "run checkpoint tensors parameters params_hash", "checkpoint", "import", work + "/hf", work + "/in")
assert imported["params_hash"] == evaluation["params_hash"] and imported["tensors"] == exported["tensors"]
assert imported["parameters"] * 4 == exported["bytes"]
doctor = json.loads(subprocess.run([program, "doctor", "--json"], capture_output=True, text=True).stdout)
has(doctor, "schema ok checks cpu isa versions")
assert all(set(check) == {"name", "status", "found", "expected", "cure"} and check["status"] in ("ok", "warn", "fail") for check in doctor["checks"])
bench = ask("bench", "cpu isa cores ranks threads_per_rank pairs gemm_peak triad_bytes_per_second rows instructions",
            "bench", "step", work + "/tiny.yaml", "--pairs", "2", "--ranks", "2")
has(bench["rows"][0], "name bytes unit values median min max gemm_roofline_ratio bytes_sent_per_rank messages_per_rank memory_bound_share vs")
assert bench["ranks"] == 2 and len(bench["rows"][0]["values"]) == 2 and bench["rows"][0]["bytes_sent_per_rank"] > 0
instruction_fields = "op scope detail runs seconds flops bytes share gemm_peak_share gemm_seconds triad_share"
has(bench["instructions"][0], instruction_fields)
step = bench["rows"][0]
assert step["gemm_roofline_ratio"] > 0 and 0 < step["memory_bound_share"] <= 1 and step["peak_resident_bytes"] > 1 << 20
ratios = [gemms / whole for gemms, whole in zip(step["gemm_seconds"], step["step_seconds"])]
assert min(ratios) <= step["gemm_roofline_ratio"] <= max(ratios), (ratios, step)
assert bench["gemm_peak"]["f32"] > 0 and bench["gemm_peak"]["bf16"] > 0 and bench["triad_bytes_per_second"] > 0
assert sum(row["flops"] for row in bench["instructions"]) * 2 == plan_flops(2), bench["instructions"]
for row in bench["instructions"]:
    assert (row["gemm_peak_share"] is None) == (row["flops"] == 0), row
alone = ask("bench", "cpu isa cores ranks threads_per_rank pairs gemm_peak triad_bytes_per_second rows instructions",
            "bench", "ops", work + "/tiny.yaml", "--filter", "layer_norm")
assert all("layer_norm" in row["op"] for row in alone["instructions"]), alone
has(alone["instructions"][0], instruction_fields)
assert {row["name"]: row["unit"] for row in alone["rows"]} == {"gemm f32": "FLOP/s", "gemm bf16": "FLOP/s", "triad": "bytes/s"}
machine = ask("bench", "rows instructions", "bench", "ops", "--filter", "^$")
assert not machine["instructions"] and {row["name"] for row in machine["rows"]} >= {"gemm f32", "gemm bf16", "triad"}
error = ask("error", "code kind message file line column key found expected cure", "eval", work + "/nothing", code=2)
assert error["code"] == 2 and error["kind"] == "checkpoint"
assert ask("error", "kind", "plan", work + "/tiny.yaml", "--nonsense", code=2)["kind"] == "usage"

# ---- files
summary = load(open(run + "/summary.json").read())
has(summary, "status exit_code steps loss validation_loss best_validation_loss best_step params_hash state_hash ranks "
    "threads_per_rank grains_per_rank numerics wire parameters tokens_per_second_median step_seconds_median "
    "predicted_step_seconds first_step_seconds wall_seconds peak_bytes_planned peak_bytes_measured process_peak_bytes "
    "process_pss_bytes wire_bytes_sent_planned wire_bytes_sent_measured messages_sent gemm_flops allocations_after_step_2 "
    "page_faults_after_step_2 restarts redone_steps skipped_steps cpu isa version build_hash config_hash data_hash plan_hash")
assert summary["params_hash"] == evaluation["params_hash"] and summary["state_hash"] == verified["state_hash"]
assert summary["validation_loss"] == evaluation["validation_loss"]
launch = load(open(run + "/launch.json").read())
has(launch, "attempt launcher_pid mpirun_pid command ranks")
assert [rank["rank"] for rank in launch["ranks"]] == [0, 1] and launch["command"].startswith("ringmaster train ")
has(launch["ranks"][0], "rank host pid device")
lines = [load(line) for line in open(run + "/metrics.jsonl")]
steps = [line for line in lines if line["kind"] == "step"]
assert [line["step"] for line in steps] == [1, 2, 3]
for line in steps:
    has(line, "loss lr grad_norm tokens sample_first sample_end epoch loss_scale redone wire_bytes_sent ranks attempt step_seconds "
        "compute_seconds exposed_comm_seconds data_seconds samples_per_second tokens_per_second time_unix")
assert [line["step"] for line in lines if line["kind"] == "validation"] == [2, 3]
assert [line["step"] for line in lines if line["kind"] == "checkpoint"] == [3]
has(next(line for line in lines if line["kind"] == "checkpoint"), "path sequence bytes stall_seconds params_hash state_hash")

# ---- every flag of --help exists, and what is not there is refused
for command in ("train", "eval", "sample", "plan", "config show", "config schema", "models", "ops", "doctor",
                "bench step", "bench ops", "checkpoint ls", "checkpoint verify"):
    text = call([*command.split(), "--help"])
    assert text.startswith(f"ringmaster {command}: ") and "--help" in text, text
assert re.fullmatch(r"ringmaster \d+\.\d+\.\d+\n", call(["--version"]))
assert "--launcher-pid" not in call(["train", "--help"])
dry = call(["train", work + "/tiny.yaml", "--ranks", "2", "--run-dir", work + "/it's dry", "--dry-run"])
assert dry.count("\n") == 1 and " -n 2 " in dry and "'\\''" in dry, dry
PYTHON
[ ! -e "$work/it's dry" ]
a=$("$program" sample "$work/run" --tokens 20 --count 3 --seed 7 | sha256sum)
b=$("$program" sample "$work/run" --tokens 20 --count 3 --seed 7 --ranks 2 | sha256sum)
[ "$a" = "$b" ] || { echo "sample: two ranks drew other bytes" >&2; exit 1; }
c=$("$program" sample "$work/run" --tokens 20 --count 3 --seed 7 --no-cache | sha256sum)
[ "$a" = "$c" ] || { echo "sample: --no-cache drew other bytes" >&2; exit 1; }
