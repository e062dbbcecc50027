// SPDX-License-Identifier: Apache-2.0
// all_gather: rank r brings chunk r, all ranks end with all chunks. By ring or halving.
//   all_gather_bytes pads to the longest and sends its length ahead: 2 collectives.
#include "comm/collective.h"

#include <algorithm>
#include <cstring>

namespace ringmaster::comm {

void start_all_gather(Collective& collective, const Vector& vector) { collective.start(Operation::all_gather, vector); }

void all_gather(Communicator& comm, const Vector& vector) {
  Collective collective(comm);
  start_all_gather(collective, vector);
  collective.wait();
}

Sent all_gather_sent(const RingShape& shape) { return sent(Operation::all_gather, shape); }

std::vector<std::string> all_gather_bytes(Communicator& comm, std::string_view name, std::string_view mine) {
  const auto ranks = static_cast<size_t>(comm.size()), rank = static_cast<size_t>(comm.rank());
  std::vector<int64_t> lengths(ranks);
  lengths[rank] = static_cast<int64_t>(mine.size());
  all_gather(comm, vector_of(name, std::span(lengths)));

  const auto longest = static_cast<size_t>(*std::max_element(lengths.begin(), lengths.end()));
  std::vector<uint8_t> padded(ranks * longest);
  if (!mine.empty()) std::memcpy(padded.data() + rank * longest, mine.data(), mine.size());
  all_gather(comm, vector_of(name, std::span(padded)));

  std::vector<std::string> all(ranks);
  for (size_t r = 0; r < ranks; ++r) {
    const auto begin = padded.begin() + static_cast<std::ptrdiff_t>(r * longest);
    all[r].assign(begin, begin + lengths[r]);
  }
  return all;
}

}  // namespace ringmaster::comm
