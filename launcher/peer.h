// SPDX-License-Identifier: Apache-2.0
// peer: PyTorch training the same shapes, by bench/peers/torch_gpt.py as it is, in a process of its own.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"

namespace ringmaster::launcher {

class TorchPeer {
 public:
  // Finds the script beside the source tree or in PREFIX/share/ringmaster, and a Python: $RINGMASTER_PYTHON, else the
  // pinned environment, made on first use (slow, contacts PyPI). Throws Error. Blocks.
  TorchPeer(const config::Config& config, int threads);

  const std::string& version() const { return version_; }              // "2.15.0+cpu"
  const std::string& script_sha256() const { return script_sha256_; }  // lower-case hex
  // Tokens a second, from the median of `steps` steps after the script's own two of warm-up. Throws Error. Blocks.
  double run(int64_t steps, const std::string& mode) const;  // eager | compile

 private:
  std::vector<std::string> command_;
  std::string version_, script_sha256_;
};

}  // namespace ringmaster::launcher
