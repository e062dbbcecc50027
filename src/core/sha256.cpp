// SPDX-License-Identifier: Apache-2.0
#include "core/sha256.h"

#include "core/error.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

namespace ringmaster {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() {
    CHECK(context != nullptr && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1, "libcrypto has no SHA-256");
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::update(const void* data, size_t bytes) {
  CHECK(state_ && EVP_DigestUpdate(state_->context, data, bytes) == 1, "SHA-256 of {} bytes failed", bytes);
  return *this;
}

std::string Sha256::hex() {
  const auto state = std::move(state_);  // libcrypto would let a second call pass, with another digest
  std::array<unsigned char, 32> digest{};
  CHECK(state && EVP_DigestFinal_ex(state->context, digest.data(), nullptr) == 1, "SHA-256 was finished twice");
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string sha256_hex(std::string_view bytes) { return Sha256().update(bytes).hex(); }

}  // namespace ringmaster
