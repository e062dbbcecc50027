// SPDX-License-Identifier: Apache-2.0
// peer: PyTorch training the same shapes, by bench/peers/torch_gpt.py as it is, in a process of its own.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/dtype.h"

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

class TorchPeer {
 public:
  // Finds the script beside the source tree or in PREFIX/share/ringmaster, and a Python: $RINGMASTER_PYTHON, else the
  // pinned environment, made on first use (slow, contacts PyPI). Throws Error. Blocks.
  TorchPeer(const config::Config& config, int threads);

  const std::string& version() const { return version_; }              // "2.15.0+cpu"
  const std::string& script_sha256() const { return script_sha256_; }  // lower-case hex
  PeerRun run(int64_t steps, const PeerConfig& how) const;             // throws Error; blocks

 private:
  std::vector<std::string> command_;
  std::string version_, script_sha256_;
};

}  // namespace ringmaster::launcher
