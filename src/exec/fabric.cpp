// SPDX-License-Identifier: Apache-2.0
#include "exec/fabric.h"

#include "core/error.h"

namespace ringmaster::exec {

void Fabric::share(const Arena& arena) {
  CHECK(team_.shares() == (arena.exchange_bytes() > 0), "the arena has {} bytes for the {} ranks of a node",
        arena.exchange_bytes(), team_.node_size);
  if (!team_.shares()) return;
  exchange_at_ = arena.shared_bytes();
  memory_ = std::make_unique<comm::NodeMemory>(comm_, "arena",
                                               comm::NodeShape{.bytes = arena.exchange_bytes(),
                                                               .mine_at = arena.data() + exchange_at_,
                                                               .common_bytes = arena.shared_bytes(),
                                                               .common_at = arena.data()});
  node_ = std::make_unique<comm::NodeCollective>(*memory_);
}

}  // namespace ringmaster::exec
