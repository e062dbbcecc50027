// SPDX-License-Identifier: Apache-2.0
// rematerialise: values that backward reads, what makes them, and when: what is to be made again within how much memory?
#pragma once
#include <cstdint>
#include <vector>

namespace ringmaster::passes {

struct Rematerialise {
  struct Value {
    int64_t bytes = 0;
    int32_t maker = 0;
    bool pinned = false;  // stays in memory behind forward anyway, and is not made again
    bool saved = false;   // is saved whatever it is good for
  };
  struct Maker {
    double seconds = 0;
    std::vector<int32_t> reads;
  };
  struct Moment {  // a node of backward: the values it reads, and bytes of backward's own before it and while it runs
    std::vector<int32_t> reads;
    int64_t before = 0, during = 0;
  };
  std::vector<Value> values;
  std::vector<Maker> makers;  // in the order of forward
  std::vector<Moment> backward;
  // As the planner goes about it: no value is made again twice, nor before it is asked for, nor after it was saved. Else a value may come
  // and go at will.
  bool once = false;
};

}  // namespace ringmaster::passes
