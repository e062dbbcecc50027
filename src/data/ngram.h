// SPDX-License-Identifier: Apache-2.0
// ngram: an interpolated Witten-Bell n-gram model of tokens, the baseline that a trained model must beat.
// `order` is the number of context tokens: order 0 is the unigram, order 2 predicts a token from the two before it.
#pragma once
#include "data/source.h"

#include <cstdint>

namespace ringmaster::data {

struct NGramOptions {
  int order = 2;           // context tokens, 0 or more
  int64_t vocab_size = 0;  // of the data; ids are below it
};

// Mean nats per validation target (each token but the first) of the model counted on the training split. The same bits on
// every run. Reads both splits into memory: 4 bytes a token and about 16 a distinct context.
double ngram_nats(const Split& train, const Split& validation, const NGramOptions& options);

}  // namespace ringmaster::data
