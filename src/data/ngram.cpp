// SPDX-License-Identifier: Apache-2.0
// One trie of all grams up to order + 1 tokens; a node is a gram, its children the grams that are one token longer.
// Children are found through a single open-addressed table, which is only ever probed, never iterated: no order of it
// can matter.
#include "data/ngram.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace ringmaster::data {
namespace {

class Trie {
 public:
  static constexpr uint32_t root = 0;
  static constexpr uint32_t none = UINT32_MAX;

  struct Node {
    int64_t occurrences = 0;  // of this gram after its context
    int64_t followed = 0;     // sum of the children's occurrences
    int64_t distinct = 0;     // number of children
  };

  Trie() : slots_(1 << 16), nodes_(1) {}

  const Node& operator[](uint32_t id) const { return nodes_[id]; }

  uint32_t find(uint32_t parent, int32_t token) const { return slots_[probe(key(parent, token))].child; }

  // Counts `token` after the gram `parent`; returns the gram they make.
  uint32_t count(uint32_t parent, int32_t token) {
    const uint64_t wanted = key(parent, token);
    Slot* slot = &slots_[probe(wanted)];
    if (slot->child == none) {
      if (2 * nodes_.size() > slots_.size()) {
        grow();
        slot = &slots_[probe(wanted)];
      }
      CHECK(nodes_.size() < none, "more than {} n-grams", nodes_.size());
      *slot = {.key = wanted, .child = static_cast<uint32_t>(nodes_.size())};
      nodes_.emplace_back();
      ++nodes_[parent].distinct;
    }
    ++nodes_[parent].followed;
    ++nodes_[slot->child].occurrences;
    return slot->child;
  }

 private:
  struct Slot {
    uint64_t key = 0;
    uint32_t child = none;  // none: a free slot
  };

  static uint64_t key(uint32_t parent, int32_t token) {
    return static_cast<uint64_t>(parent) << 32 | static_cast<uint32_t>(token);
  }

  // The slot that holds `wanted`, or the free one where it belongs.
  size_t probe(uint64_t wanted) const {
    const uint64_t mask = slots_.size() - 1;
    uint64_t hash = wanted * 0x9E3779B97F4A7C15ULL;  // golden ratio: the high bits mix both halves of the key
    hash ^= hash >> 32;
    size_t at = hash & mask;
    while (slots_[at].child != none && slots_[at].key != wanted) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(2 * slots_.size()));
    for (const Slot& slot : old) {
      if (slot.child != none) slots_[probe(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::vector<Node> nodes_;
};

// The contexts of a position: grams[j] is the node of the j tokens before it, or none.
using Contexts = std::vector<uint32_t>;

Contexts start_of_split(int order) {
  Contexts contexts(static_cast<size_t>(order) + 2, Trie::none);
  contexts[0] = Trie::root;
  return contexts;
}

// Calls visit(position, token) for every token in order.
template <typename Visit> void each_token(const Split& split, Visit visit) {
  std::vector<int32_t> ids(1 << 16);
  for (int64_t first = 0; first < split.size; first += static_cast<int64_t>(ids.size())) {
    const int64_t count = std::min(static_cast<int64_t>(ids.size()), split.size - first);
    split.read(first, count, ids.data());
    for (int64_t i = 0; i < count; ++i) visit(first + i, ids[static_cast<size_t>(i)]);
  }
}

Trie count_grams(const Split& train, int order) {
  Trie trie;
  Contexts contexts = start_of_split(order);
  each_token(train, [&](int64_t, int32_t token) {
    for (auto j = static_cast<size_t>(order) + 1;
         j-- > 0;) {  // longest first: it reads what the next shorter overwrites
      contexts[j + 1] = contexts[j] == Trie::none ? Trie::none : trie.count(contexts[j], token);
    }
  });
  return trie;
}

double probability(const Trie& trie, const Contexts& contexts, int order, int32_t token, double uniform) {
  double p = uniform;
  for (size_t j = 0; j <= static_cast<size_t>(order); ++j) {
    if (contexts[j] == Trie::none || trie[contexts[j]].followed == 0) break;  // a longer context is unseen too
    const Trie::Node& context = trie[contexts[j]];
    const uint32_t gram = trie.find(contexts[j], token);
    const int64_t seen = gram == Trie::none ? 0 : trie[gram].occurrences;
    p = (static_cast<double>(seen) + static_cast<double>(context.distinct) * p) /
        static_cast<double>(context.followed + context.distinct);
  }
  return p;
}

}  // namespace

double ngram_nats(const Split& train, const Split& validation, const NGramOptions& options) {
  CHECK(options.order >= 0 && options.vocab_size >= 1, "order {}, vocab_size {}", options.order, options.vocab_size);
  CHECK(validation.size >= 2, "{} validation tokens", validation.size);
  const Trie trie = count_grams(train, options.order);
  const double uniform = 1.0 / static_cast<double>(options.vocab_size);
  Contexts contexts = start_of_split(options.order);
  double nats = 0.0;
  each_token(validation, [&](int64_t position, int32_t token) {
    if (position > 0) nats -= std::log(probability(trie, contexts, options.order, token, uniform));
    for (auto j = static_cast<size_t>(options.order) + 1; j-- > 0;) {
      contexts[j + 1] = contexts[j] == Trie::none ? Trie::none : trie.find(contexts[j], token);
    }
  });
  return nats / static_cast<double>(validation.size - 1);
}

}  // namespace ringmaster::data
