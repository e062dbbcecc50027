// SPDX-License-Identifier: Apache-2.0
// ngram: an interpolated Witten-Bell n-gram model of tokens, the baseline that a trained model must beat.
// `order` counts context tokens: order 0 is the unigram, order 2 predicts a token from the two before it.
//   p(c | h) = (count(h c) + distinct(h) * p(c | h')) / (count(h) + distinct(h))
// h' is h without its oldest token, count(h) how often h is followed by anything, distinct(h) by how many different
// tokens; below the empty context lies the uniform distribution over the vocabulary. Contexts do not reach back across
// a split. Bell, Cleary, Witten 1990, "Text compression" (escape method C); Chen and Goodman 1998.
#pragma once
#include "data/source.h"

#include <cstdint>

namespace ringmaster::data {

struct NGramOptions {
  int order = 2;           // context tokens, 0 or more
  int64_t vocab_size = 0;  // ids are below it
};

// Mean nats per validation target (each token but the first) under the model counted on the training split. The same
// bits on every run. Memory grows with the distinct (order + 1)-grams, about 100 bytes each. CHECKs at least 2
// validation tokens.
double ngram_nats(const Split& train, const Split& validation, const NGramOptions& options);

}  // namespace ringmaster::data
