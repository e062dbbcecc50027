// SPDX-License-Identifier: Apache-2.0
#include "core/shape.h"

#include "core/error.h"

#include <gtest/gtest.h>

namespace ringmaster {

TEST(Shape, ScalarHasOneElementAndNoDims) {
  EXPECT_EQ(Shape().rank(), 0);
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(str(Shape()), "[]");
}

TEST(Shape, DimsStridesAndElements) {
  const Shape shape{4, 256, 768};
  EXPECT_EQ(shape.elements(), 4 * 256 * 768);
  EXPECT_EQ(shape.dim(-1), 768);
  EXPECT_EQ(shape[0], 4);
  EXPECT_EQ(shape.strides(), (std::vector<int64_t>{256 * 768, 768, 1}));
  EXPECT_EQ(str(shape), "[4,256,768]");
  EXPECT_EQ((Shape{3, 0, 2}).elements(), 0);
}

TEST(Shape, EqualityLooksAtRankAndDims) {
  Shape shape{2, 3};
  EXPECT_EQ(shape, (Shape{2, 3}));
  EXPECT_NE(shape, (Shape{2, 3, 1}));
  shape.set(-1, 4);
  EXPECT_EQ(shape, (Shape{2, 4}));
}

TEST(Shape, SevenDimsAreAnInternalError) { EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1}), Error); }

TEST(Broadcast, FollowsNumPy) {
  EXPECT_EQ(broadcast({4, 1, 3}, {5, 1}), (Shape{4, 5, 3}));
  EXPECT_EQ(broadcast({}, {2, 2}), (Shape{2, 2}));
  EXPECT_EQ(broadcast({0, 3}, {1, 3}), (Shape{0, 3}));
  EXPECT_TRUE(broadcasts_to({3}, {2, 3}));
  EXPECT_FALSE(broadcasts_to({2, 3}, {3}));
  EXPECT_FALSE(broadcasts_to({2}, {2, 3}));
}

TEST(Broadcast, MismatchNamesBothShapes) {
  try {
    broadcast({4, 2}, {4, 3});
    FAIL() << "2 and 3 broadcast";
  } catch (const Error& e) {
    EXPECT_EQ(e.info().kind, ErrorKind::config);
    EXPECT_NE(e.info().message.find("[4,2] and [4,3]"), std::string::npos) << e.info().message;
  }
}

}  // namespace ringmaster
