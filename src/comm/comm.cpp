// SPDX-License-Identifier: Apache-2.0
// The part of a Communicator that no transport changes: counting, waiting, and the list of collectives in flight.
#include "comm/comm.h"

#include "comm/in_flight.h"

#include <sched.h>
#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace ringmaster::comm {

using std::chrono::steady_clock;

namespace {

constexpr auto spin = std::chrono::microseconds(20);
constexpr auto yield = std::chrono::milliseconds(1);  // then sleep: a peer that needs longer needs the core too
constexpr auto hook_interval = std::chrono::milliseconds(10);
constexpr long first_sleep_ns = 50'000, last_sleep_ns = 1'000'000;

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

ErrorInfo timeout_info(const Waiting& w) {
  std::string what = name(w.operation);
  if (w.operation != Operation::message) what += fmt::format(" #{}", w.sequence);
  if (!w.name.empty()) what += fmt::format(" `{}`", w.name);
  return {
      .kind = ErrorKind::timeout,
      .message = fmt::format("{} on rank {} waited {:.1f} s for rank {} without progress: {} of {} bytes done", what,
                             w.rank, w.seconds, w.peer, w.bytes_done, w.bytes_total),
      .found = fmt::format("no byte from or to rank {} for {:.1f} s", w.peer, w.seconds),
      .expected = "progress within comm.timeout_s",
      .cure = fmt::format("see what rank {} does (stopped, swapping, waiting for another rank, lost network); if it is "
                          "only slow, raise comm.timeout_s",
                          w.peer)};
}

}  // namespace

int wire_tag(Tag tag) {
  CHECK(tag.group >= 0 && tag.group < most_groups && (tag.stream == 0 || tag.stream == 1), "group {}, stream {}",
        tag.group, tag.stream);
  const auto number = static_cast<int>(tag.number % most_in_flight);
  switch (tag.lane) {
    case Lane::message:
      CHECK(tag.number < 8192, "message tag {} is not below 8192", tag.number);
      return static_cast<int>(tag.number);
    case Lane::header: return 8192 + tag.group * most_in_flight + number;
    case Lane::payload: return 16384 + (tag.group * 2 + tag.stream) * most_in_flight + number;
  }
  CHECK(false, "lane {} does not exist", static_cast<int>(tag.lane));
  return 0;
}

Chunk chunk_of(int64_t elements, int index, int count) {
  const int64_t base = elements / count, longer = elements % count;  // the first `longer` chunks have one more
  const int64_t begin = index * base + std::min<int64_t>(index, longer);
  return {begin, begin + base + (index < longer ? 1 : 0)};
}

TimeoutError::TimeoutError(Waiting waiting) : Error(timeout_info(waiting)), waiting_(std::move(waiting)) {}

Communicator::Communicator(const Place& place, const Options& options) : place_(place), options_(options) {
  CHECK(place.size >= 1 && place.rank >= 0 && place.rank < place.size, "rank {} of {}", place.rank, place.size);
  CHECK(options.timeout_s > 0, "timeout_s is {}", options.timeout_s);
  CHECK(options.segment_bytes > 0 && options.segment_bytes <= INT_MAX, "segment_bytes is {}", options.segment_bytes);
}

void Communicator::check_peer(int peer) const {
  CHECK(std::this_thread::get_id() == thread_, "rank {} communicates from a second thread", rank());
  CHECK(peer >= 0 && peer < size() && peer != rank(), "rank {} of {} can not exchange with rank {}", rank(), size(),
        peer);
}

Request Communicator::start_send(ConstBytes bytes, int peer, Tag tag) {
  check_peer(peer);
  Sent& sent = tag.lane == Lane::payload  ? traffic_.payload
               : tag.lane == Lane::header ? traffic_.headers
                                          : traffic_.messages;
  sent.bytes += static_cast<int64_t>(bytes.size());
  sent.messages += 1;
  return post_send(bytes, peer, wire_tag(tag));
}

Request Communicator::start_recv(Bytes bytes, int peer, Tag tag) {
  check_peer(peer);
  return post_recv(bytes, peer, wire_tag(tag));
}

bool Communicator::test(Request& request) { return !request.active() || complete(request); }

void Communicator::abort(int exit_code) {
  std::fflush(nullptr);
  end_job(exit_code);
  std::_Exit(exit_code);  // no destructors: they could wait for a dead peer
}

bool Communicator::poll() {
  bool moved = false;
  for (size_t i = 0; i < in_flight_.size();) {
    InFlight* one = in_flight_[i];
    moved |= one->progress();
    if (i < in_flight_.size() && in_flight_[i] == one) ++i;  // else it is done and has left the list
  }
  return moved;
}

void InFlight::enter() {
  CHECK(comm_.in_flight_.size() < most_in_flight, "{} collectives in flight at once", most_in_flight);
  active_ = true;
  comm_.in_flight_.push_back(this);
}

void InFlight::leave() {
  if (!active_) return;
  active_ = false;
  std::erase(comm_.in_flight_, this);
}

void InFlight::wait() {
  comm_.wait_until(
      [&] {
        const bool moved = comm_.poll();
        if (!active_) return Communicator::Step::done;
        return moved ? Communicator::Step::moved : Communicator::Step::idle;
      },
      [&] { return waiting(); });
}

std::optional<Waiting> Communicator::waiting() const {
  if (in_flight_.empty()) return std::nullopt;
  return in_flight_.front()->waiting();
}

void Communicator::wait(Request& request, const Waiting& what) {
  wait_until(
      [&] {
        const bool moved = poll();
        if (test(request)) return Step::done;
        return moved ? Step::moved : Step::idle;
      },
      [&] { return what; });
}

void Communicator::wait_until(const std::function<Step()>& step, const std::function<Waiting()>& what) {
  auto still_since = steady_clock::now();
  long sleep_ns = first_sleep_ns;
  for (;;) {
    const Step result = step();
    if (result == Step::done) return;
    const auto now = steady_clock::now();
    if (result == Step::moved) {
      still_since = now;
      sleep_ns = first_sleep_ns;
    }
    if (now >= next_hook_) {
      next_hook_ = now + hook_interval;
      check_alive();
      if (on_poll_) on_poll_();
    }
    const auto still = now - still_since;
    if (still > std::chrono::duration<double>(options_.timeout_s)) {
      Waiting waiting = what();
      waiting.seconds = seconds_since(still_since);
      throw TimeoutError(std::move(waiting));
    }
    if (still < spin) continue;
    if (still < yield) {
      sched_yield();
      continue;
    }
    const timespec pause{.tv_sec = 0, .tv_nsec = sleep_ns};
    nanosleep(&pause, nullptr);
    sleep_ns = std::min(sleep_ns * 2, last_sleep_ns);
  }
}

}  // namespace ringmaster::comm
