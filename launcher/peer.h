// SPDX-License-Identifier: Apache-2.0
// peer: PyTorch on the same work, by the scripts of bench/peers as they are, in processes of their own.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "core/dtype.h"
#include "launcher/process.h"

namespace ringmaster::launcher {

// One way to run the peer.
struct PeerConfig {
  DType dtype = DType::f32;  // f32, or bf16: autocast
  bool compile = false;
  std::string name() const;  // "bf16 compile", "f32 eager"
};

struct PeerRun {
  double tokens_per_second = 0;     // of the median of the steps after the script's own two of warm-up
  int64_t peak_resident_bytes = 0;  // of its process, as the kernel tells
};

class PeerScript {
 public:
  // Finds the script ("torch_gpt.py") beside the source tree or in PREFIX/share/ringmaster, and a Python: $RINGMASTER_PYTHON, else
  // the pinned environment, made on first use (slow, contacts PyPI). Throws Error. Blocks.
  explicit PeerScript(const std::string& name);

  const std::string& python() const { return python_; }
  const std::string& path() const { return path_; }
  const std::string& version() const { return version_; }  // of PyTorch: "2.15.0+cpu"
  const std::string& sha256() const { return sha256_; }    // of the script, lower-case hex
  // What the line prints; `how` is for the error. Throws Error; blocks.
  Captured run(const std::vector<std::string>& line, const std::string& how) const;

 private:
  std::string name_, python_, path_, version_, sha256_;
};

// Trains a GPT.
class TorchPeer {
 public:
  TorchPeer(const config::Config& config, int threads);  // throws Error
  const PeerScript& script() const { return script_; }
  PeerRun run(int64_t steps, const PeerConfig& how) const;  // throws Error; blocks

 private:
  PeerScript script_{"torch_gpt.py"};
  std::vector<std::string> command_;
};

// Collectives through torch.distributed and Gloo.
class GlooPeer {
 public:
  struct Run {
    std::map<int64_t, double> seconds;  // of one call, by bytes
  };
  // `operation`: all_reduce, reduce_scatter or all_gather, in f32. Throws Error; blocks.
  Run run(std::string_view operation, int ranks, const std::vector<int64_t>& bytes) const;
  const PeerScript& script() const { return script_; }

 private:
  PeerScript script_{"torch_all_reduce.py"};
};

}  // namespace ringmaster::launcher
