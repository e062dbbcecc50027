// SPDX-License-Identifier: Apache-2.0
#include "launcher/peer.h"

#include "core/error.h"
#include "core/file.h"
#include "core/sha256.h"
#include "launcher/output.h"
#include "launcher/process.h"

#include <nlohmann/json.hpp>

#include <cmath>

namespace ringmaster::launcher {
namespace {

constexpr const char* script_name = "peers/torch_gpt.py";

// The folder that holds peers/ and python/: bench/ of the source tree that the program was built in, or the installed one.
Path bench_folder() {
  const Path program = std::filesystem::read_symlink("/proc/self/exe");
  std::vector<Path> candidates{program.parent_path().parent_path() / "share/ringmaster"};
  for (Path folder = program.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
    candidates.push_back(folder / "bench");
  }
  for (const Path& folder : candidates) {
    if (std::filesystem::exists(folder / script_name)) return folder;
  }
  throw Error(
      {.kind = ErrorKind::usage,
       .message = fmt::format("{} is neither beside the program nor in {}", script_name, candidates[0].string()),
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

TorchPeer::TorchPeer(const config::Config& config, int threads) {
  if (config.model.recipe != "language_model") {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("there is no PyTorch peer of the recipe `{}`", config.model.recipe),
                 .key = "--vs",
                 .found = config.model.recipe,
                 .expected = "language_model"});
  }
  const Path folder = bench_folder();
  const Path script = folder / script_name;
  script_sha256_ = sha256_hex(read_file(script));
  const Path make_env = folder / "python/make_env";
  note("the peer's Python: $RINGMASTER_PYTHON, or the pinned environment (installed once, 4.7 GB)");
  const std::string python = without_newline(
      output_of({make_env.string()}, "bench/python/make_env", "set RINGMASTER_PYTHON to a Python that has PyTorch")
          .out);
  version_ = without_newline(output_of({python, "-c", "import torch; print(torch.__version__)"}, "importing torch",
                                       "set RINGMASTER_PYTHON to a Python that has PyTorch")
                                 .out);
  command_ = {python, script.string()};
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
  const Captured ran = output_of(line, fmt::format("torch_gpt.py ({})", how.name()), "run it by hand to see more");
  const auto result = nlohmann::json::parse(ran.out, nullptr, false);
  if (!result.is_object() || !result.contains("tok_s") || !result["tok_s"].is_number()) {
    throw Error(
        {.kind = ErrorKind::io, .message = "torch_gpt.py did not print its result", .found = ran.out.substr(0, 200)});
  }
  return {result["tok_s"].get<double>(), ran.peak_resident_bytes};
}

}  // namespace ringmaster::launcher
