// SPDX-License-Identifier: Apache-2.0
#include "launcher/peer.h"

#include "core/error.h"
#include "core/file.h"
#include "core/sha256.h"
#include "launcher/output.h"
#include "launcher/process.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <sstream>

namespace ringmaster::launcher {
namespace {

// The folder that holds peers/ and python/: bench/ of the source tree that the program was built in, or the installed one.
Path bench_folder(const std::string& script) {
  const Path program = std::filesystem::read_symlink("/proc/self/exe");
  std::vector<Path> candidates{program.parent_path().parent_path() / "share/ringmaster"};
  for (Path folder = program.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
    candidates.push_back(folder / "bench");
  }
  for (const Path& folder : candidates) {
    if (std::filesystem::exists(folder / "peers" / script)) return folder;
  }
  throw Error(
      {.kind = ErrorKind::usage,
       .message = fmt::format("peers/{} is neither beside the program nor in {}", script, candidates[0].string()),
       .key = "--vs",
       .cure = "run the program from its source tree, or install it with the peers"});
}

std::string last_lines(const std::string& text) {
  size_t begin = text.size();
  for (int lines = 0; lines < 12 && begin != std::string::npos && begin > 0; ++lines)
    begin = text.rfind('\n', begin - 1);
  return begin == std::string::npos ? text : text.substr(begin);
}

Captured output_of(const std::vector<std::string>& line, const std::string& purpose, const std::string& cure) {
  Captured ran = capture(line);
  if (ran.status == 0) return ran;
  throw Error({.kind = ErrorKind::io,
               .message = fmt::format("{} ended with exit code {}:{}", purpose, ran.status,
                                      last_lines("\n" + ran.out + ran.err)),
               .cure = cure});
}

std::string without_newline(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

std::string PeerConfig::name() const {
  return fmt::format("{} {}", ringmaster::name(dtype), compile ? "compile" : "eager");
}

PeerScript::PeerScript(const std::string& name) : name_(name) {
  const Path folder = bench_folder(name);
  path_ = (folder / "peers" / name).string();
  sha256_ = sha256_hex(read_file(path_));
  const Path make_env = folder / "python/make_env";
  note("the peer's Python: $RINGMASTER_PYTHON, or the pinned environment (installed once, 4.7 GB)");
  python_ = without_newline(
      output_of({make_env.string()}, "bench/python/make_env", "set RINGMASTER_PYTHON to a Python that has PyTorch")
          .out);
  version_ = without_newline(output_of({python_, "-c", "import torch; print(torch.__version__)"}, "importing torch",
                                       "set RINGMASTER_PYTHON to a Python that has PyTorch")
                                 .out);
}

Captured PeerScript::run(const std::vector<std::string>& line, const std::string& how) const {
  return output_of(line, fmt::format("{} ({})", name_, how), "run it by hand to see more");
}

TorchPeer::TorchPeer(const config::Config& config, int threads) {
  command_ = {script_.python(), script_.path()};
  const std::pair<const char*, int64_t> shape[] = {{"--layers", config.model.layers},
                                                   {"--dim", config.model.width},
                                                   {"--heads", config.model.heads},
                                                   {"--seq", config.training.seq_len},
                                                   {"--vocab", config.model.vocab_size},
                                                   {"--batch", config.training.global_batch_size},
                                                   {"--threads", threads}};
  for (const auto& [flag, value] : shape) command_.insert(command_.end(), {flag, fmt::format("{}", value)});
}

PeerRun TorchPeer::run(int64_t steps, const PeerConfig& how) const {
  std::vector<std::string> line = command_;
  line.insert(line.end(), {"--steps", fmt::format("{}", steps), "--dtype", how.dtype == DType::bf16 ? "bf16" : "fp32"});
  if (how.compile) line.emplace_back("--compile");
  const Captured ran = script_.run(line, how.name());
  const auto result = nlohmann::json::parse(ran.out, nullptr, false);
  if (!result.is_object() || !result.contains("tok_s") || !result["tok_s"].is_number()) {
    throw Error(
        {.kind = ErrorKind::io, .message = "torch_gpt.py did not print its result", .found = ran.out.substr(0, 200)});
  }
  return {result["tok_s"].get<double>(), ran.peak_resident_bytes};
}

GlooPeer::Run GlooPeer::run(std::string_view operation, int ranks, const std::vector<int64_t>& bytes) const {
  std::vector<std::string> line{script_.python(),      "-m",          "torch.distributed.run", "--nproc_per_node",
                                std::to_string(ranks), script_.path()};
  for (const int64_t size : bytes) line.push_back(std::to_string(size));
  const Captured ran = script_.run(line, fmt::format("{} ranks", ranks));
  Run out;
  std::istringstream lines(ran.out);
  const std::string field = fmt::format("{}_ms", operation);
  for (std::string text; std::getline(lines, text);) {
    const auto row = nlohmann::json::parse(text, nullptr, false);
    if (row.is_object() && row.contains(field) && row[field].is_number() && row.contains("bytes"))
      out.seconds[row["bytes"].get<int64_t>()] = row[field].get<double>() / 1e3;
  }
  for (const int64_t size : bytes) {
    if (out.seconds.contains(size)) continue;
    throw Error({.kind = ErrorKind::io,
                 .message = fmt::format("torch_all_reduce.py did not time {} of {} bytes", operation, size),
                 .found = ran.out.substr(0, 200)});
  }
  return out;
}

}  // namespace ringmaster::launcher
