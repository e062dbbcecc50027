// SPDX-License-Identifier: Apache-2.0
#include "core/isa.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "core/error.h"

namespace ringmaster {
namespace {

TEST(Isa, NamesRoundTrip) {
  for (const std::string_view known : isa_names()) EXPECT_EQ(name(*isa_from_name(known)), known);
  EXPECT_FALSE(isa_from_name(""));
  EXPECT_FALSE(isa_from_name("sse"));
  EXPECT_EQ(name(Isa::below_avx2), "");
}

TEST(Isa, TheCapIsReadFromTheEnvironment) {
  const char* variable = "RINGMASTER_MAX_CPU_ISA";
  ::setenv(variable, "avx512", 1);
  EXPECT_EQ(isa_cap(), Isa::avx512);
  ::setenv(variable, "avx5", 1);
  try {
    isa_cap();
    ADD_FAILURE() << "avx5 is no instruction set";
  } catch (const Error& e) {
    EXPECT_EQ(e.info().key, variable);
    EXPECT_FALSE(e.info().cure.empty());
  }
  ::unsetenv(variable);
  EXPECT_FALSE(isa_cap());
}

TEST(Isa, WhatIsUsableIsSupported) { EXPECT_LE(usable_isa(), supported_isa()); }

}  // namespace
}  // namespace ringmaster
