// SPDX-License-Identifier: Apache-2.0
#include "comm/header.h"

#include <algorithm>
#include <cstring>

namespace ringmaster::comm {
namespace {

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

std::string describe(const Header& h) {
  const std::string_view end_of_name(h.name.data(), strnlen(h.name.data(), h.name.size()));
  std::string among;
  if (h.group != 0)
    among = fmt::format(", group {} of {} ranks ({:08x})", h.group, h.ranks, h.ranks_hash & 0xffffffffU);
  if (h.operation == Operation::barrier) return fmt::format("barrier #{} `{}`{}", h.sequence, end_of_name, among);
  return fmt::format("{} #{} `{}` of {} x {}, {}, root {}, segments of {} bytes, {}{}", name(h.operation), h.sequence,
                     end_of_name, h.elements, name(h.dtype), h.reduce == Reduce::sum ? "sum" : "max", h.root,
                     h.segment_bytes, name(h.algorithm), among);
}

}  // namespace

Header make_header(std::string_view name, const Members& members) {
  Header header;
  header.ranks_hash = members.hash();
  header.group = members.number();
  header.ranks = members.size();
  header.name_hash = fnv1a(name);
  const std::string_view end = name.substr(name.size() - std::min(name.size(), header.name.size()));
  std::copy(end.begin(), end.end(), header.name.begin());
  return header;
}

void check_same_call(const Header& mine, int my_rank, const Header& theirs, int their_rank) {
  if (std::memcmp(&mine, &theirs, sizeof(Header)) == 0) return;
  throw Error({.kind = ErrorKind::rank,
               .message = fmt::format("ranks disagree: rank {} calls {}, rank {} calls {}", my_rank, describe(mine),
                                      their_rank, describe(theirs)),
               .found = describe(theirs),
               .expected = describe(mine),
               .cure = "start every rank with the same program, configuration and data"});
}

}  // namespace ringmaster::comm
