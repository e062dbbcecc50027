// SPDX-License-Identifier: Apache-2.0
#include "core/philox.h"

#include <gtest/gtest.h>

namespace ringmaster {

// Random123 1.14, examples/kat_vectors, philox4x32 10.
TEST(Philox, PublishedKnownAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ff = 0xffffffff;
  EXPECT_EQ(philox4x32_10({ff, ff, ff, ff}, {ff, ff}), (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, EveryPartOfTheKeyMatters) {
  const RandomKey key{.seed = 1, .stream = 2, .step = 3, .phase = 4, .repeat = 5};
  const auto words = RandomStream(key).words(7, 9);
  EXPECT_EQ(words, RandomStream(key).words(7, 9));
  for (RandomKey other : {RandomKey{2, 2, 3, 4, 5}, RandomKey{1, 3, 3, 4, 5}, RandomKey{1, 2, 4, 4, 5},
                          RandomKey{1, 2, 3, 5, 5}, RandomKey{1, 2, 3, 4, 6}}) {
    EXPECT_NE(words, RandomStream(other).words(7, 9));
  }
  EXPECT_NE(words, RandomStream(key).words(8, 9));
  EXPECT_NE(words, RandomStream(key).words(7, 10));
}

TEST(Uniform, CoversTheHalfOpenInterval) {
  EXPECT_EQ(uniform(0), 0.0F);
  EXPECT_EQ(uniform(0xffffffff), 1.0F - 0x1p-24F);
}

}  // namespace ringmaster
