// SPDX-License-Identifier: Apache-2.0
// The pass over the ring. Three walks over the same sequence of messages keep their distance: receives posted, receives taken
// (added, or already in place) and sends posted; a send follows the taking of the receive that made its bytes.
#include "comm/collective.h"

#include "comm/reduce.h"

#include <algorithm>
#include <cstring>

namespace ringmaster::comm {

namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

Chunk chunk_at(const Schedule& schedule, int64_t elements, int send_step) {
  const int raw = (schedule.first - send_step) % schedule.chunks;
  return chunk_of(elements, raw < 0 ? raw + schedule.chunks : raw, schedule.chunks);
}

int64_t length(Chunk chunk) { return chunk.end - chunk.begin; }

int64_t segment_elements(int64_t segment_bytes, int64_t element_bytes) {
  return std::max<int64_t>(1, segment_bytes / element_bytes);
}

// Elements and messages of the send steps [begin, end); messages of at most `segment` elements.
Sent steps_sent(const Schedule& schedule, int64_t elements, int64_t segment, int begin, int end) {
  Sent total;
  for (int step = begin; step < end; ++step) {
    const int64_t chunk = length(chunk_at(schedule, elements, step));
    total.bytes += chunk;
    total.messages += ceil_div(chunk, segment);
  }
  return total;
}

// One slot holds the longest segment of the longest chunk.
int64_t slot_elements(int64_t elements, int chunks, int64_t segment) {
  return std::min(segment, ceil_div(elements, chunks));
}

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
  return fmt::format("{} #{} `{}` of {} x {}, {}, root {}, segments of {} bytes{}", name(h.operation), h.sequence,
                     end_of_name, h.elements, name(h.dtype), h.reduce == Reduce::sum ? "sum" : "max", h.root,
                     h.segment_bytes, among);
}

}  // namespace

Sent sent(const Schedule& schedule, const RingShape& shape) {
  const int64_t segment = segment_elements(shape.segment_bytes, shape.element_bytes);
  Sent total = steps_sent(schedule, shape.elements, segment, 0, schedule.sends);
  total.bytes *= shape.element_bytes;
  return total;
}

int64_t scratch_bytes(const RingShape& shape) {
  if (shape.size == 1) return 0;
  const int64_t segment = segment_elements(shape.segment_bytes, shape.element_bytes);
  return depth * slot_elements(shape.elements, shape.size, segment) * shape.element_bytes;
}

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

Collective::Collective(Communicator& comm) : InFlight(comm) {}

Collective::~Collective() {
  if (done()) return;
  for (Request* request : {&header_send_, &header_recv_}) {
    if (request->active()) comm().cancel(*request);
  }
  for (auto* requests : {&sends_, &receives_}) {
    for (Request& request : *requests) {
      if (request.active()) comm().cancel(request);
    }
  }
}

void Collective::start(const Schedule& schedule, const Vector& vector, Reduce reduce) {
  CHECK(done(), "{} `{}` is still in flight", name(schedule_.operation), name_);
  CHECK(vector.elements >= 0 && (vector.elements == 0 || vector.data != nullptr), "`{}` has {} elements", vector.name,
        vector.elements);
  CHECK(schedule.operation == Operation::all_gather || schedule.operation == Operation::broadcast ||
            reducible(vector.dtype),
        "{} of {}", name(schedule.operation), name(vector.dtype));
  schedule_ = schedule;
  vector_ = vector;
  name_ = vector.name;
  reduce_ = reduce;
  element_bytes_ = size_of(vector.dtype);
  segment_elements_ = segment_elements(comm().options().segment_bytes, element_bytes_);
  free_messages_ =
      steps_sent(schedule, vector.elements, segment_elements_, 0, std::min(schedule.lead, schedule.sends)).messages;
  posted_ = taken_ = sending_ = {};
  sent_ = bytes_in_ = bytes_out_ = 0;
  moved_ = std::chrono::steady_clock::now();

  members_ = comm().members(vector.group);
  header_out_ = make_header(vector.name, members_);
  header_out_.sequence = comm().next_sequence(members_.number());
  header_out_.elements = vector.elements;
  header_out_.segment_bytes = comm().options().segment_bytes;
  header_out_.operation = schedule.operation;
  header_out_.dtype = vector.dtype;
  header_out_.reduce = reduce;
  header_out_.root = schedule.root;
  const int index = members_.index(), size = members_.size();
  if (size == 1) return;

  slot_bytes_ = slot_elements(vector.elements, schedule.chunks, segment_elements_) * element_bytes_;
  scratch_ = vector.scratch;
  if (schedule.reduced > 0 && scratch_.empty()) {
    own_scratch_.resize(std::max(own_scratch_.size(), static_cast<size_t>(depth * slot_bytes_)));
    scratch_ = own_scratch_;
  }
  CHECK(schedule.reduced == 0 || static_cast<int64_t>(scratch_.size()) >= depth * slot_bytes_,
        "`{}` has {} bytes of scratch, needs {}", name_, scratch_.size(), depth * slot_bytes_);

  next_ = members_.rank_at((index + 1) % size);
  previous_ = members_.rank_at((index + size - 1) % size);
  tag_ = {Lane::payload, header_out_.sequence, members_.number()};
  agreed_ = false;
  enter();
  const Tag header_tag{Lane::header, header_out_.sequence, members_.number()};
  header_recv_ = comm().start_recv(std::as_writable_bytes(std::span(&header_in_, 1)), previous_, header_tag);
  header_send_ = comm().start_send(std::as_bytes(std::span(&header_out_, 1)), next_, header_tag);
  progress();
}

Chunk Collective::segment_at(int send_step, int64_t segment) const {
  const Chunk chunk = chunk_at(schedule_, vector_.elements, send_step);
  const int64_t begin = chunk.begin + segment * segment_elements_;
  return {begin, std::min(begin + segment_elements_, chunk.end)};
}

bool Collective::settle(Cursor& cursor, int steps, int lead) const {
  while (cursor.step < steps) {
    const int64_t chunk = length(chunk_at(schedule_, vector_.elements, cursor.step + lead));
    if (cursor.segment < ceil_div(chunk, segment_elements_)) return true;
    cursor.step += 1;
    cursor.segment = 0;
  }
  return false;
}

Bytes Collective::slot(int64_t index) const {
  return scratch_.subspan(static_cast<size_t>((index % depth) * slot_bytes_), static_cast<size_t>(slot_bytes_));
}

Bytes Collective::bytes_of(Chunk range) const {
  auto* data = static_cast<std::byte*>(vector_.data);
  return {data + range.begin * element_bytes_, static_cast<size_t>(length(range) * element_bytes_)};
}

// In all_reduce a chunk's final value arrives where its partial sum was sent from, P - 1 steps earlier. The value itself proves
// that the partial sum has arrived, but MPI wants the send completed before its buffer is posted again.
bool Collective::overwrites_unsent() const {
  const int earlier = posted_.step + schedule_.lead - schedule_.chunks;
  if (earlier < 0) return false;
  const int64_t before = steps_sent(schedule_, vector_.elements, segment_elements_, 0, earlier).messages;
  return sent_ <= before + posted_.segment;
}

bool Collective::exchange_headers() {
  if (agreed_ || !comm().test(header_recv_)) return false;
  check_same_call(header_out_, comm().rank(), header_in_, previous_);
  agreed_ = true;
  return true;
}

bool Collective::post_receives() {
  bool moved = false;
  while (agreed_ && posted_.index - taken_.index < depth && settle(posted_, schedule_.receives, schedule_.lead)) {
    const Bytes place = bytes_of(segment_at(posted_.step + schedule_.lead, posted_.segment));
    const bool reduced = posted_.step < schedule_.reduced;
    if (!reduced && overwrites_unsent()) break;
    const Bytes into = reduced ? slot(posted_.index).first(place.size()) : place;
    receives_[posted_.index % depth] = comm().start_recv(into, previous_, tag_);
    posted_.segment += 1;
    posted_.index += 1;
    moved = true;
  }
  return moved;
}

bool Collective::take_receives() {
  bool moved = false;
  while (taken_.index < posted_.index && comm().test(receives_[taken_.index % depth])) {
    settle(taken_, schedule_.receives, schedule_.lead);
    const Bytes place = bytes_of(segment_at(taken_.step + schedule_.lead, taken_.segment));
    if (taken_.step < schedule_.reduced) {
      reduce_into(place, slot(taken_.index).first(place.size()), vector_.dtype, reduce_);
    }
    bytes_in_ += static_cast<int64_t>(place.size());
    taken_.segment += 1;
    taken_.index += 1;
    moved = true;
  }
  return moved;
}

bool Collective::post_sends() {
  bool moved = false;
  while (sending_.index - sent_ < depth && sending_.index < free_messages_ + taken_.index &&
         settle(sending_, schedule_.sends, 0)) {
    const Bytes bytes = bytes_of(segment_at(sending_.step, sending_.segment));
    sends_[sending_.index % depth] = comm().start_send(bytes, next_, tag_);
    bytes_out_ += static_cast<int64_t>(bytes.size());
    sending_.segment += 1;
    sending_.index += 1;
    moved = true;
  }
  return moved;
}

bool Collective::retire_sends() {
  const int64_t before = sent_;
  while (sent_ < sending_.index && comm().test(sends_[sent_ % depth])) sent_ += 1;
  return sent_ > before;
}

bool Collective::progress() {
  if (done()) return false;
  bool moved = exchange_headers();
  moved |= take_receives();
  moved |= post_receives();
  moved |= retire_sends();
  moved |= post_sends();
  if (moved) moved_ = std::chrono::steady_clock::now();
  const bool received =
      agreed_ && taken_.index == posted_.index && !settle(posted_, schedule_.receives, schedule_.lead);
  const bool delivered = sent_ == sending_.index && !settle(sending_, schedule_.sends, 0);
  if (received && delivered && comm().test(header_send_)) {
    leave();
    return true;
  }
  return moved;
}

Waiting Collective::waiting() const {
  const Schedule& s = schedule_;
  const int64_t in =
      steps_sent(s, vector_.elements, segment_elements_, s.lead, s.lead + s.receives).bytes * element_bytes_;
  const int64_t out = steps_sent(s, vector_.elements, segment_elements_, 0, s.sends).bytes * element_bytes_;
  const bool receiving = !agreed_ || bytes_in_ < in;
  return {.operation = s.operation,
          .name = name_,
          .sequence = header_out_.sequence,
          .rank = comm().rank(),
          .peer = receiving ? previous_ : next_,
          .bytes_done = receiving ? bytes_in_ : bytes_out_,
          .bytes_total = receiving ? in : out,
          .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - moved_).count()};
}

}  // namespace ringmaster::comm
