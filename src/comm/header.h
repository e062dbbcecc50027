// SPDX-License-Identifier: Apache-2.0
// header: what one rank calls, sent to a peer ahead of payload and compared there, so that ranks which mean different collectives
// are told, and no byte of the one lands in the other.
#pragma once
#include "comm/comm.h"

#include <string_view>

namespace ringmaster::comm {

struct Header {
  uint64_t sequence = 0;
  int64_t elements = 0;
  int64_t segment_bytes = 0;
  uint64_t name_hash = 0;   // FNV-1a of the whole name
  uint64_t ranks_hash = 0;  // of the group
  Operation operation = Operation::message;
  DType dtype = DType::f32;
  Reduce reduce = Reduce::sum;
  Algorithm algorithm = Algorithm::ring;
  int32_t root = 0;
  int32_t group = 0, ranks = 0;  // its number and how many
  std::array<char, 56> name{};   // its end, for the error; zero padded
};
static_assert(sizeof(Header) == 112);  // no padding: headers are compared byte by byte
Header make_header(std::string_view name, const Members& members = {});
void check_same_call(const Header& mine, int my_rank, const Header& theirs, int their_rank);  // throws kind rank

}  // namespace ringmaster::comm
