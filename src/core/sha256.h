// SPDX-License-Identifier: Apache-2.0
// sha256: incremental SHA-256 (FIPS 180-4) over libcrypto, for the hashes that users compare. hex() ends the object's use.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace ringmaster {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  Sha256& update(const void* data, size_t bytes);
  Sha256& update(std::string_view bytes) { return update(bytes.data(), bytes.size()); }
  std::string hex();  // 64 lower-case digits; call once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view bytes);

}  // namespace ringmaster
