// SPDX-License-Identifier: Apache-2.0
// Each flow has two cursors over the same messages: those before `taken` are done (sent, or received and added), those between the two
// are in flight. A message is posted once all that it comes after is behind the `taken` of its flow.
#include "comm/collective.h"

#include "comm/reduce.h"

#include <algorithm>

namespace ringmaster::comm {

Collective::Collective(Communicator& comm) : InFlight(comm) {}

Collective::~Collective() {
  if (done()) return;
  for (State& state : flows_) {
    if (state.header.active()) comm().cancel(state.header);
    for (Request& request : state.requests)
      if (request.active()) comm().cancel(request);
  }
}

void Collective::start(Operation operation, const Vector& vector, Reduce reduce, int root) {
  CHECK(done(), "{} `{}` is still in flight", name(call_.operation), name_);
  CHECK(vector.elements >= 0 && (vector.elements == 0 || vector.data != nullptr), "`{}` has {} elements", vector.name,
        vector.elements);
  const bool reduces = operation == Operation::reduce_scatter || operation == Operation::all_reduce;
  CHECK(!reduces || reducible(vector.dtype), "{} of {}", name(operation), name(vector.dtype));
  members_ = comm().members(vector.group);
  CHECK(root >= 0 && root < members_.size(), "root {} of {} ranks", root, members_.size());
  algorithm_ = vector.algorithm;
  if (algorithm_ == Algorithm::automatic)
    algorithm_ = comm().choice().of(
        {operation, vector.elements * size_of(vector.dtype), members_.size(), comm().options().segment_bytes});
  schedule_ = &schedule_of(algorithm_, operation);
  call_ = {operation, members_.index(), members_.size(), root, vector.elements};
  vector_ = vector;
  name_ = vector.name;
  reduce_ = reduce;
  element_bytes_ = size_of(vector.dtype);
  segment_elements_ = segment_elements(comm().options().segment_bytes, element_bytes_);
  moved_ = std::chrono::steady_clock::now();
  fill_header(vector, reduce, root);
  if (call_.size == 1) return;
  if (reduces) take_scratch(vector);
  enter();
  open_flows();
  progress();
}

void Collective::fill_header(const Vector& vector, Reduce reduce, int root) {
  header_ = make_header(vector.name, members_);
  header_.sequence = comm().next_sequence(members_.number());
  header_.elements = vector.elements;
  header_.segment_bytes = comm().options().segment_bytes;
  header_.operation = call_.operation;
  header_.dtype = vector.dtype;
  header_.reduce = reduce;
  header_.algorithm = algorithm_;
  header_.root = root;
}

void Collective::take_scratch(const Vector& vector) {
  slot_bytes_ = slot_bytes(*schedule_, call_, segment_elements_, element_bytes_);
  const auto needed = static_cast<size_t>(schedule_->banks * depth * slot_bytes_);
  scratch_ = vector.scratch;
  if (scratch_.empty()) {
    own_scratch_.resize(std::max(own_scratch_.size(), needed));
    scratch_ = own_scratch_;
  }
  CHECK(scratch_.size() >= needed, "`{}` has {} bytes of scratch, needs {}", name_, scratch_.size(), needed);
}

void Collective::open_flows() {
  const Tag tag{Lane::header, header_.sequence, members_.number()};
  flows_.assign(static_cast<size_t>(schedule_->flows(call_)), {});
  for (int f = 0; f < static_cast<int>(flows_.size()); ++f) {
    State& state = flows_[static_cast<size_t>(f)];
    state.flow = schedule_->flow(call_, f);
    if (state.flow.peer < 0) state.flow.transfers = 0;
    turn(f, state.posted, 0);
    state.taken = state.posted;
    state.open = state.flow.peer < 0 || !state.flow.header || state.flow.sends;
    if (state.flow.peer < 0) continue;
    state.peer = members_.rank_at(state.flow.peer);
    if (!state.flow.header) continue;
    state.header = state.flow.sends
                       ? comm().start_send(std::as_bytes(std::span(&header_, 1)), state.peer, tag)
                       : comm().start_recv(std::as_writable_bytes(std::span(&state.theirs, 1)), state.peer, tag);
  }
}

void Collective::turn(int flow, Cursor& cursor, int number) const {
  cursor.number = number;
  cursor.segment = 0;
  const bool behind = number == flows_[static_cast<size_t>(flow)].flow.transfers;
  cursor.transfer = behind ? Transfer{} : schedule_->transfer(call_, flow, number);
}

bool Collective::may_post(const Cursor& next) const {
  return std::ranges::all_of(next.transfer.after, [&](const After& after) {
    if (after.flow < 0) return true;
    if (!after.whole && next.transfer.range.size() == 0) return true;  // nothing comes after nothing
    const State& state = flows_[static_cast<size_t>(after.flow)];
    if (!state.open || state.taken.number < after.transfer) return false;
    return state.taken.number > after.transfer || (!after.whole && state.taken.segment > next.segment);
  });
}

Bytes Collective::bytes_of(const Cursor& cursor) const {
  const Chunk range = cursor.transfer.range;
  const int64_t begin = range.begin + cursor.segment * segment_elements_;
  const int64_t end = std::min(begin + segment_elements_, range.end);
  auto* data = static_cast<std::byte*>(vector_.data);
  return {data + begin * element_bytes_, static_cast<size_t>((end - begin) * element_bytes_)};
}

Bytes Collective::slot(const State& state, const Cursor& cursor) const {
  const int64_t number = state.flow.bank * depth + cursor.passed % depth;
  return scratch_.subspan(static_cast<size_t>(number * slot_bytes_), bytes_of(cursor).size());
}

bool Collective::compare_headers(State& state) {
  if (state.open || !comm().test(state.header)) return false;
  check_same_call(header_, comm().rank(), state.theirs, state.peer);
  state.open = true;
  return true;
}

bool Collective::take(int flow) {
  State& state = flows_[static_cast<size_t>(flow)];
  Cursor& oldest = state.taken;
  bool moved = false;
  for (;;) {
    if (oldest.number < state.posted.number && oldest.segment == messages_of(oldest.transfer)) {
      turn(flow, oldest, oldest.number + 1);
      moved = true;
      continue;
    }
    if (oldest.passed == state.posted.passed || !comm().test(state.requests[oldest.passed % depth])) return moved;
    const Bytes place = bytes_of(oldest);
    if (oldest.transfer.reduced) reduce_into(place, slot(state, oldest), vector_.dtype, reduce_);
    state.bytes += static_cast<int64_t>(place.size());
    oldest.segment += 1;
    oldest.passed += 1;
    moved = true;
  }
}

bool Collective::post(int flow) {
  State& state = flows_[static_cast<size_t>(flow)];
  Cursor& next = state.posted;
  const Tag tag{Lane::payload, header_.sequence, members_.number(), state.flow.stream};
  bool moved = false;
  while (state.open && next.number < state.flow.transfers && may_post(next)) {
    const int64_t messages = messages_of(next.transfer);
    if (messages > 0) {
      if (next.passed - state.taken.passed == depth) break;
      const Bytes place = bytes_of(next);
      const Bytes into = next.transfer.reduced ? slot(state, next) : place;
      state.requests[next.passed % depth] =
          state.flow.sends ? comm().start_send(place, state.peer, tag) : comm().start_recv(into, state.peer, tag);
      next.segment += 1;
      next.passed += 1;
    }
    if (next.segment == messages) turn(flow, next, next.number + 1);
    moved = true;
  }
  return moved;
}

bool Collective::finished(State& state) {
  return state.open && state.taken.number == state.flow.transfers && comm().test(state.header);
}

bool Collective::progress() {
  if (done()) return false;
  bool moved = false, all = true;
  for (int f = 0; f < static_cast<int>(flows_.size()); ++f) {
    State& state = flows_[static_cast<size_t>(f)];
    moved |= compare_headers(state);
    moved |= take(f);
    moved |= post(f);
    all = finished(state) && all;
  }
  if (moved || all) moved_ = std::chrono::steady_clock::now();
  if (all) leave();
  return moved || all;
}

Waiting Collective::waiting() const {
  // First who owes us what we are ready for, then who does not take what we have sent.
  const auto urgency = [](const State& s) {
    const bool in_flight = !s.open || s.header.active() || s.posted.passed > s.taken.passed;
    return !in_flight ? 0 : s.flow.sends ? 1 : 2;
  };
  const auto late = std::ranges::max_element(flows_, {}, urgency);
  const State& state = *late;
  int64_t elements = 0;
  for (int t = 0; t < state.flow.transfers; ++t)
    elements += schedule_->transfer(call_, static_cast<int>(late - flows_.begin()), t).range.size();
  return {.operation = call_.operation,
          .name = name_,
          .sequence = header_.sequence,
          .rank = comm().rank(),
          .peer = state.peer,
          .bytes_done = state.bytes,
          .bytes_total = elements * element_bytes_,
          .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - moved_).count()};
}

}  // namespace ringmaster::comm
