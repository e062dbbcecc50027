// SPDX-License-Identifier: Apache-2.0
// sample_rows: what a recipe that makes numbers makes, from a checkpoint: points of a generator, values of a critic. A row is a function
// of (seed, its index), and batches of rows are dealt over the ranks: the same arguments give the same bytes on any number of them.
#pragma once
#include "comm/comm.h"
#include "core/file.h"
#include "train/scatter.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ringmaster::train {

struct SampleRowsOptions {
  Path from;              // a run folder (its newest checkpoint) or a checkpoint
  int64_t count = 0;      // rows; 0: all held-out samples of a recipe that reads them, else 1,000
  uint64_t seed = 0;      // of what is drawn
  bool for_plot = false;  // also what stands behind the points of a picture
};

struct Rows {
  std::vector<std::string> columns;
  int64_t count = 0;
  std::vector<float> values;  // [count, columns]
  // of for_plot: held-out points of the source, if it has any that the recipe does not read, and the rows' points
  std::vector<PointSeries> plot;
  AxisNames axes;
  bool has_truth = false;  // the first series of the plot are held-out points
};

// Blocks. With the averaged weights if the checkpoint has them. Rank 0 gets the rows, the others nothing. Throws Error.
Rows sample_rows(const SampleRowsOptions& options, comm::Communicator& comm);

// The values as a file of NumPy: format 1.0, little-endian f32 in C order.
std::string to_npy(const Rows& rows);

}  // namespace ringmaster::train
