// SPDX-License-Identifier: Apache-2.0
// taken: what of the arena is taken, by offset and by when it matters. Kept in shelves of some hundred stretches, so that a search
// passes over those that end too low, and an insertion moves few.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace ringmaster::passes {

class Taken {
 public:
  struct Stretch {
    int64_t offset, end;  // bytes
    int64_t first, last;  // positions of the program, both included
  };

  // The lowest offset from `lowest` on at which so many bytes are free at all positions first..last.
  int64_t free_from(int64_t lowest, int64_t bytes, int64_t first, int64_t last) const {
    int64_t offset = lowest;
    for (const Shelf& shelf : shelves_) {
      if (shelf.end <= offset) continue;
      for (const Stretch& s : shelf.stretches) {
        if (offset + bytes <= s.offset) return offset;
        if (s.first <= last && s.last >= first) offset = std::max(offset, s.end);
      }
    }
    return offset;
  }

  void insert(const Stretch& stretch) {
    auto shelf = std::ranges::upper_bound(shelves_, stretch.offset, {}, [](const Shelf& s) { return s.begin(); });
    if (shelf != shelves_.begin()) --shelf;
    if (shelf == shelves_.end()) shelf = shelves_.insert(shelf, Shelf{});
    auto& list = shelf->stretches;
    list.insert(std::ranges::upper_bound(list, stretch.offset, {}, &Stretch::offset), stretch);
    shelf->end = std::max(shelf->end, stretch.end);
    if (list.size() < 2 * shelf_size) return;
    Shelf upper{.stretches = {list.begin() + shelf_size, list.end()}};
    list.resize(shelf_size);
    shelf->measure();
    upper.measure();
    shelves_.insert(shelf + 1, std::move(upper));
  }

 private:
  static constexpr int64_t shelf_size = 128;
  struct Shelf {
    std::vector<Stretch> stretches;  // by offset; never empty but while it is made
    int64_t end = 0;                 // the highest
    int64_t begin() const { return stretches.front().offset; }
    void measure() {
      end = 0;
      for (const Stretch& s : stretches) end = std::max(end, s.end);
    }
  };
  std::vector<Shelf> shelves_;  // by offset
};

}  // namespace ringmaster::passes
