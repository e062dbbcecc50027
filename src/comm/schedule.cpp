// SPDX-License-Identifier: Apache-2.0
#include "comm/schedule.h"

#include <algorithm>

namespace ringmaster::comm {

const Schedule& schedule_of(Algorithm algorithm, Operation operation) {
  CHECK(algorithm != Algorithm::automatic, "{}: no algorithm was chosen", name(operation));
  if (!can(algorithm, operation)) {
    throw Error(
        {.kind = ErrorKind::usage,
         .message = fmt::format("there is no {} by {}", name(operation), name(algorithm)),
         .found = name(algorithm),
         .expected = "all_reduce by any; reduce_scatter and all_gather by ring or halving; broadcast by ring or tree",
         .cure = "choose another algorithm"});
  }
  if (algorithm == Algorithm::halving) return halving_schedule;
  return algorithm == Algorithm::tree ? tree_schedule : ring_schedule;
}

int64_t segment_elements(int64_t segment_bytes, int64_t element_bytes) {
  return std::max<int64_t>(1, segment_bytes / element_bytes);
}

int64_t slot_bytes(const Schedule& schedule, const Call& call, int64_t segment, int64_t element_bytes) {
  return std::min(segment, schedule.longest(call)) * element_bytes;
}

Algorithm algorithm_of(Operation operation, const RingShape& shape) {
  return shape.choice.of({operation, shape.elements * shape.element_bytes, shape.size, shape.segment_bytes});
}

Sent sent(Operation operation, const RingShape& shape, int root) {
  Sent total;
  if (shape.size == 1) return total;
  const Schedule& schedule = schedule_of(algorithm_of(operation, shape), operation);
  const Call call{operation, shape.rank, shape.size, root, shape.elements};
  const int64_t segment = segment_elements(shape.segment_bytes, shape.element_bytes);
  for (int f = 0; f < schedule.flows(call); ++f) {
    const Flow flow = schedule.flow(call, f);
    for (int t = 0; flow.peer >= 0 && flow.sends && t < flow.transfers; ++t) {
      const int64_t elements = schedule.transfer(call, f, t).range.size();
      total.bytes += elements * shape.element_bytes;
      total.messages += ceil_div(elements, segment);
    }
  }
  return total;
}

int64_t scratch_bytes(const RingShape& shape, Operation operation) {
  if (shape.size == 1) return 0;
  const Schedule& schedule = schedule_of(algorithm_of(operation, shape), operation);
  const Call call{operation, shape.rank, shape.size, 0, shape.elements};
  const int64_t segment = segment_elements(shape.segment_bytes, shape.element_bytes);
  return schedule.banks * depth * slot_bytes(schedule, call, segment, shape.element_bytes);
}

}  // namespace ringmaster::comm
